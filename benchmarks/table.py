"""Markdown tables from the JSON lines, and their place between markers in RESULTS.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cells, choice
from benchmarks.harness import stored

PATH = Path(__file__).parent / "RESULTS.md"

_HEAD = """# Measurements

Each section is written by the command that it names, from a run on the machine that it names; nothing here is typed.
Ratios are scikit-learn's time over fastsil's, so more is better.
"""


_SIDE_BY_SIDE = ("time", "fastsil", "ratio", "memory", "fastsil's memory", "difference")
_RATIO = ("data", "dtype", "fastsil", "scikit-learn", "with working_memory=32", "ratio", "asked for", "met")

# Heading, note, columns, and what makes a row of a result.
SECTIONS: dict[str, tuple[str, str, Sequence[str], Callable[[dict[str, Any]], list[str]]]] = {
    "speed": (
        "Speed",
        "Median times of `silhouette_samples` on all cores. The ratio is the median over rounds (with extremes) of the "
        "paired ratios to scikit-learn's faster setting, all contenders in turn, 0.2 s apart. Where a time is "
        "«from N samples», scikit-learn ran on a random subset and its time is scaled by the square of the ratio of "
        "the numbers of samples; fastsil ran on all. Pairs: distances that fastsil computed, of all n² ordered pairs.",
        (*_RATIO, "pairs"),
        cells.of_speed,
    ),
    "labelings": (
        "Labels that k-means did not make",
        "As above, on word vectors. Labels at random; classes by the distance from the middle; average linkage of "
        "4,000 samples, of which one cluster has nearly all, so that half of all pairs are the least; HDBSCAN, "
        "which calls nine of ten samples noise; k = 1,000.",
        (*_RATIO, "pairs"),
        cells.of_speed,
    ),
    "many": (
        "A sweep's labelings in one call",
        "Median times of `silhouette_samples_many` for the labels of MiniBatchKMeans with k = 2 to 16, against "
        "scikit-learn's function called for each: timed for three of them, from a random subset, and scaled. Ratios as "
        "above.",
        _RATIO,
        cells.of_ratio,
    ),
    "metrics": (
        "Other metrics and inputs",
        "As above, for `silhouette_samples` with the metric, on labels that are drawn with the data. Where a time is "
        "«from N samples», scikit-learn ran on a random subset and its time is scaled.",
        _RATIO,
        cells.of_ratio,
    ),
    "large": (
        "Cosine at a million samples",
        "Median times of `silhouette_samples` on all cores.",
        ("data", "dtype", "fastsil"),
        cells.of_large,
    ),
    "gaps": (
        "Separate groups: false alarms and power",
        "Share of drawn data sets that `KMeansSweep(range(2, 11))` calls separate groups, with the right number of "
        "them, and with the caution that clusters touch or are arcs of a curve. Dip hunting: the share that it "
        "finds (Guo and Shah 2025: Hartigans' dip along the direction between two centers, which are computed from "
        "other samples). Data without groups first.",
        ("data", "data sets", "groups", "right k", "caution", "dip hunting", "asked for", "met"),
        cells.list_gap_cells,
    ),
    "choice": (
        "Which k",
        "Number of clusters that rules name, on data whose groups are known: the verdict of "
        "`KMeansSweep(range(2, 11), n_null=10)`; the extremes of three indices over its fits; its gap statistic "
        "(Gaussian null sets); prediction strength (5 splits, 0.8); the lowest BIC of `GaussianMixture`; CompSil (10 "
        "subsamples). The verdict's rule was fixed before the drawn data were looked at.",
        ("data", "groups", *choice.RULES),
        cells.list_choice_cells,
    ),
    "calibration": (
        "Calibration of the comparison with data without clusters",
        "Share of drawn data sets in which `KMeansSweep(range(2, 5), n_null=...)` finds structure at 5 %: by the test "
        "of silhouettes, inertia and shape together, which is the one that counts, and by each alone. One restart of "
        "k-means for data without clusters, ten for blobs.",
        (
            "data",
            "null sets",
            "data sets",
            "found",
            "by silhouettes alone",
            "by inertia alone",
            "by shape alone",
            "asked for",
            "met",
        ),
        cells.of_calibration,
    ),
    "memory": (
        "Memory",
        "Peak of resident memory during a call in a process of its own, beyond what was resident before (X, the "
        "libraries, code that a small call has loaded). What only a call of this size loads counts in the first call, "
        "which is the one judged, and not in the second. Calls of minutes have no second, and where «in N s» is said "
        "they were interrupted then: what they hold is made at the start. Planned: what `fastsil.plan` says. Allowed: "
        "100 bytes a sample, 32 bytes a cluster and feature, 64 MiB.",
        ("n", "d", "k", "dtype", "X", "beyond X", "in a second call", "planned", "allowed", "met"),
        cells.of_memory,
    ),
    "sweep_memory": (
        "Memory of a sweep",
        "Peak of resident memory during `KMeansSweep(n_init=1)` over k = 2 to 16 and its page, in a process of its "
        "own, beyond what was resident before (X, the libraries, code that a small sweep has loaded). Allowed: two "
        "copies of X, which scikit-learn's k-means makes, 50 bytes a sample for each k and 100 more, 160 MiB, and for "
        "exact scores the sums of their shared pass, up to scikit-learn's `working_memory`.",
        ("n", "d", "dtype", "scores", "X", "beyond X", "allowed", "met"),
        cells.of_sweep_memory,
    ),
    "accuracy": (
        "Accuracy",
        "Largest error of a silhouette against plain differences and sums in long double, from the same input.",
        ("data", "dtype", "strategy", "fastsil", "scikit-learn", "promised", "met"),
        cells.of_accuracy,
    ),
    "kernels": (
        "Rate of the tile kernels",
        "GFLOP/s on one thread, and the share of a one-thread BLAS product of the same shape (median and extremes of "
        "paired rounds); 2 d operations a pair, each pair once. Corrections, square roots and sums count in the time, "
        "not in the operations.",
        ("d", "dtype", "BLAS product", *cells.KERNELS),
        cells.of_kernels,
    ),
    "threads": (
        "Two threads",
        "A call on two threads against two processes that each do the call on one thread at the same time: the share "
        "of their joint rate that two threads reach.",
        ("data", "dtype", "one thread", "two threads", "two processes, each", "share"),
        cells.of_threads,
    ),
    "peers": (
        "Other packages that compute silhouettes",
        "Each contender in a process and an environment of its own, in turn with fastsil in the same metric, on the "
        "same float32 data and cores. The ratio is the median over rounds (with extremes) of the contender's time over "
        "fastsil's. Memory: peak beyond what was resident before the call, including the data. Difference: the largest "
        "to fastsil's silhouettes, which were compared with plain sums. For contenders that state exact results it is "
        "rounding, for the others it is their error. Samples that are alone in their cluster are listed separately: "
        "by Rousseeuw's definition their silhouette is 0, and some contenders give them 1.",
        (
            "data",
            "contender",
            "version",
            "metric",
            *_SIDE_BY_SIDE,
        ),
        cells.of_peers,
    ),
    "by_group": (
        "Batches within cell types",
        "As for other packages, of `silhouette_by` against scib-metrics' silhouettes of batches and BRAS, on four "
        "batches at random.",
        ("data", "contender", "version", "metric", *_SIDE_BY_SIDE),
        cells.of_peers,
    ),
    "fits": (
        "The fits of a sweep",
        "k-means for k = 2 to 16 as `KMeansSweep` makes it (ten restarts that compete on some rows), against other "
        "k-means with one restart for each k, in turn, in processes of their own, float32. The ratio is the median "
        "over rounds (with extremes) of the contender's time over fastsil's. Excess: by how much its sum of squares is "
        "above fastsil's, mean over k (least and largest). At least as fast at no larger mean sum is asked for.",
        ("data", "contender", "version", "time", "fastsil", "ratio", "excess", "met"),
        cells.of_fits,
    ),
    "growth": (
        "Growth",
        "Median times on float32 data with one of n, d and k growing (the picture is `docs/images/growth.png`), and "
        "the time on one thread over that on all cores.",
        ("grows", "n", "d", "k", *cells.GROWTH, "one thread / all"),
        cells.of_growth,
    ),
    "scaling": (
        "Scaling to many cores",
        "A call recorded on one thread, every task timed alone by CPU time, and replayed on more workers: how many "
        "times faster than the call on one thread (float32; the picture is `docs/images/scaling.png`). What is outside "
        "of tasks is serial; where most of that is spent is named. The first four figures are bounds from above, "
        "which know serial work, dependencies and unequal tasks. In the last two threads take time to start (on this "
        "machine), and only one at a time runs Python. None has a limit of memory bandwidth. scikit-learn's k-means "
        "has threads of its own, and cannot be recorded so. Asked for at 32 workers, of the bound.",
        (
            "call",
            "one thread",
            "serial",
            "of it",
            *(f"{workers} workers" for workers in cells.WORKERS),
            *(f"{workers}, Python by one" for workers in cells.WORKERS[-2:]),
            "asked for",
            "met",
        ),
        cells.of_scaling,
    ),
    "compare": (
        "Two commits",
        "Median times of both, in interleaved rounds, and the ratios of the first to the second within rounds: above 1 "
        "the second is faster. Difference: the largest of a silhouette.",
        ("data", "dtype", "metric", "first", "second", "ratio", "difference"),
        cells.of_compare,
    ),
    "estimate": (
        "An estimate of many samples",
        "`silhouette_estimate` on overlapping groups, float32, at its default tolerance and confidence; at most 10 s "
        "are asked for.",
        ("data", "time", "interval", "tol", "rows computed", "met"),
        cells.of_estimate,
    ),
    "estimated_sweep": (
        "A sweep with estimates",
        "`KMeansSweep(tol=1e-3)` on overlapping groups, float32, with its verdict and its page, compared with its fits "
        "of k-means alone; at most 2.5 times as long is asked for.",
        ("data", "fits", "all", "ratio", "met"),
        cells.of_estimated_sweep,
    ),
    "coverage": (
        "Coverage of intervals",
        "Share of repetitions (other random samples of the same data) in which the interval of `silhouette_estimate` "
        "held the exact value: of the mean silhouette, of the mean of the clusters' means, of the share of negative "
        "samples, of the mean of the cluster that was held least. Nothing may be below the confidence.",
        (
            "data",
            "n",
            "repetitions",
            "confidence",
            "score",
            "macro",
            "negative",
            "worst cluster",
            "tol",
            "interval",
            "computed",
            "met",
        ),
        cells.of_coverage,
    ),
    "estimates": (
        "Errors of estimates",
        "Root mean square error of the mean silhouette over five seeds, largest error of a sample's own silhouette, "
        "and median time: `silhouette_estimate`; `silhouette_profile(exact=False)`; the published sampling "
        "(silhouette-scalable 0.1.3, `compute_local` on one thread, its default; its sample a cluster doubled from "
        "t=64 until it takes as long as "
        "`silhouette_estimate`); scikit-learn with a tenth of the samples; root mean square distances, with n - 1 in "
        "the own cluster. The ratio is the published sampling's error over that of `silhouette_estimate`; at least 10 "
        "is asked for.",
        (
            "data",
            "silhouette_estimate",
            "exact=False",
            "published sampling",
            "sample_size",
            "root mean square",
            "ratio",
            "met",
        ),
        cells.of_estimates,
    ),
    "plans": (
        "Plans",
        "`fastsil.plan` against the call that it predicts, `silhouette_profile`: time of the plan itself, seconds "
        "predicted and measured, their ratio, that of the pairs, and seconds predicted of an estimate. Within a factor "
        "of 2 is asked for.",
        ("data", "plan", "predicted", "measured", "ratio", "pairs", "estimate", "met"),
        cells.of_plans,
    ),
    "start": ("Start", "Medians, each in a new process.", ("what", "measured", "wanted", "met"), cells.of_start),
}


def markdown(subject: str, rows: Sequence[dict[str, Any]]) -> str:
    """Make the table of some results."""
    *_, columns, cells_of = SECTIONS[subject]
    lines = [list(columns), ["---"] * len(columns), *(cells_of(row) for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def describe(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {machine[name]}" for name in ("fastsil", "numpy", "numba", "scikit-learn", "python"))
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {versions}; BLAS: {machine['blas']}"


def section(subject: str) -> str:
    """Make heading, note, table and origin of the latest results."""
    rows = stored(subject)
    heading, note, *_ = SECTIONS[subject]
    commands = sorted({f"`{row['command']}`" for row in rows})
    commits = sorted({row["commit"] for row in rows})
    days = sorted(row["date"][:10] for row in rows)
    dates = dict.fromkeys((days[0], days[-1]))
    origin = (
        f"{describe(rows[-1]['machine'])}. By {', '.join(commands)}, {' to '.join(dates)}, "
        f"commit {', '.join(commits)} (+: with changes)."
    )
    return f"## {heading}\n\n{note}\n\n{markdown(subject, rows)}\n\n{origin}"


def write(subjects: Sequence[str], path: Path = PATH) -> None:
    """Put sections into RESULTS.md, between their markers; others stay."""
    text = path.read_text() if path.exists() else _HEAD
    for subject in subjects:
        if not stored(subject):
            continue
        block = f"<!-- {subject} -->\n{section(subject)}\n<!-- /{subject} -->"
        marked = re.compile(rf"<!-- {subject} -->.*?<!-- /{subject} -->", re.DOTALL)
        if marked.search(text):
            text = marked.sub(lambda _, block=block: block, text)
        else:
            text = f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text)
