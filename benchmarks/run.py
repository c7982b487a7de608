"""The benchmarks: ``python -m benchmarks [SUBJECT]``; ``--help`` lists the subjects."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import (
    calibration,
    cases,
    choice,
    compare,
    contest,
    environments,
    estimates,
    first_use,
    fits,
    gap_studies,
    growth,
    harness,
    many,
    metrics,
    peers,
    pictures,
    rates,
    readme,
    scaling,
    sweep_memory,
    table,
)
from benchmarks.harness import Recorder, paired_ratio, run_probe

# More samples than the limit, and scikit-learn is timed on a random subset.
_PEER_LIMIT = 100_000
_PEER_SAMPLES = 20_000
# Seconds after which a call whose memory is measured is interrupted.
_MEMORY_SECONDS = 120.0


def speed(options: argparse.Namespace) -> list[str]:
    """Measure ratios to scikit-learn."""
    return _collect("speed", options, _speed_rows(options, _chosen_cases(options)))


def labelings(options: argparse.Namespace) -> list[str]:
    """Measure ratios to scikit-learn for labels that k-means did not make."""
    chosen = [case for case in cases.LABELINGS if not options.case or any(part in case.name for part in options.case)]
    return _collect("labelings", options, _speed_rows(options, [(case, "float32") for case in chosen]))


def _speed_rows(
    options: argparse.Namespace, chosen: Sequence[tuple[cases.Case, str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for case, dtype in chosen:
        if case.missing():
            print(f"{case.name}: left out, needs {' and '.join(case.missing())}", file=sys.stderr)
            continue
        row = _time_case(case, dtype, options)
        yield f"{row['case']}, {dtype}", row


def _chosen_cases(options: argparse.Namespace) -> list[tuple[cases.Case, str]]:
    if options.npy:
        chosen = [cases.from_file(options.npy, k) for k in options.k]
    elif options.case:
        chosen = [case for case in cases.CASES if any(part in case.name for part in options.case)]
    elif options.full:
        chosen = list(cases.CASES)
    else:
        return [pair for pair in cases.QUICK if pair[1] in options.dtype]
    return [(case, dtype) for case in chosen for dtype in cases.dtypes_of(case) if dtype in options.dtype]


def _time_case(case: cases.Case, dtype: str, options: argparse.Namespace) -> dict[str, Any]:
    from fastsil import silhouette_profile

    n_samples = min(case.n, options.samples or case.n)
    data = case.make(n_samples, dtype)
    entries = [harness.Entry(peers.FASTSIL, data, 1.0)]
    most = options.peer_samples if len(data.X) > options.peer_limit else len(data.X)
    entries += [harness.scaled_entry(peer, data, most) for peer in peers.SKLEARN]
    measured = harness.time_in_turn(entries, options.rounds, options.budget).seconds
    work = silhouette_profile(*data).work
    return {
        "case": case.name if n_samples == case.n else f"{case.name}, cut to {len(data.X)}",
        "dtype": dtype,
        "n": len(data.X),
        "peer_rows": len(entries[1].data.X),
        **harness.against_sklearn(measured),
        "floor": case.floors.get(dtype) if n_samples == case.n else None,
        "strategy": work.strategy,
        "share": work.share,
        "phases": dict(work.seconds),
    }


def many_labelings(options: argparse.Namespace) -> list[str]:
    """Measure ratios to scikit-learn for a sweep's labelings in one call."""
    return _collect("many", options, _many_rows(options))


def _many_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for d, dtype in product((128, 512) if options.full else (64,), options.dtype):
        n = options.samples or (20_000 if options.full else 4_000)
        row = many.time_sweep(n, d, dtype, peer_samples=min(options.peer_samples, 10_000), rounds=options.rounds)
        yield f"{row['case']}, {dtype}", row


def calibrate(options: argparse.Namespace) -> list[str]:
    """Measure false alarms and power of the test of gaps, and of the comparison with null sets."""
    return [
        *_collect("gaps", options, _gap_rows(options)),
        *_collect("calibration", options, _calibration_rows(options)),
    ]


def _gap_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for study in gap_studies.STUDIES:
        if not options.case or any(part in study.name for part in options.case):
            row = gap_studies.run_study(study, gap_studies.N_SETS if options.full else 2)
            yield row["case"], row


def _calibration_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    alarms = []
    for study in calibration.STUDIES:
        if options.case and not any(part in study.name for part in options.case):
            continue
        row = calibration.run_study(study, study.n_sets if options.full else 4)
        yield row["case"], row
        if not study.has_clusters:
            alarms.append(row)
            if len(alarms) == calibration.N_WITHOUT_CLUSTERS:
                total = calibration.total_of_alarms(alarms)
                yield total["case"], total


def choose_k(options: argparse.Namespace) -> list[str]:
    """Measure how often rules name the right number of clusters."""
    return _collect("choice", options, _choice_rows(options))


def _choice_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = []
    for data in choice.list_sets(choice.N_DRAWN if options.full else 2):
        if not options.case or any(part in data.name for part in options.case):
            rows.append({"case": data.name, "k": data.k, "chosen": choice.choose(data)})
            yield data.name, rows[-1]
    yield "total", choice.sum_up(rows)


def other_metrics(options: argparse.Namespace) -> list[str]:
    """Measure ratios to scikit-learn for other metrics and for CSR, and a large example."""
    return [
        *_collect("metrics", options, _metric_rows(options)),
        *_collect("large", options, _large_rows(options)),
    ]


def _metric_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for case in metrics.CASES:
        if options.case and not any(part in case.name for part in options.case):
            continue
        n = min(case.n, options.samples or (case.n if options.full else 2_000))
        row = metrics.time_case(case, n, rounds=options.rounds, budget=options.budget)
        yield f"{row['case']}, {row['dtype']}", row


def _large_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    if options.case:
        return
    for row in metrics.time_large(options.samples or (1_000_000 if options.full else 50_000), rounds=options.rounds):
        yield row["case"], row


def memory(options: argparse.Namespace) -> list[str]:
    """Measure peak memory beyond X, of a call and of a sweep."""
    calls = _collect("memory", options, _memory_rows(options))
    if options.case and "sweep" not in options.case:
        return calls
    rows = (
        (f"{row['n']} {row['d']} {row['dtype']} {row['scores']}", row) for row in sweep_memory.list_rows(options.full)
    )
    return [*calls, *_collect("sweep_memory", options, rows)]


def _memory_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    sizes = (10_000, 100_000, 1_000_000) if options.full else (5_000, 20_000)
    features = (2, 128, 1024) if options.full else (16, 512)
    clusters = (2, 100, 10_000) if options.full else (2, 100)
    for n, d, k, dtype in product(sizes, features, clusters, options.dtype):
        name = f"{n} {d} {k} {dtype}"
        if k > n / 2 or (options.case and not any(part in name for part in options.case)):
            continue
        peaks = run_probe(
            "memory", {"n": n, "d": d, "k": k, "dtype": dtype, "limit": options.budget or _MEMORY_SECONDS}
        )
        allowed = 100 * n + 32 * k * d + (64 << 20)
        shape = {"n": n, "d": d, "k": k, "dtype": dtype, "X": n * d * np.dtype(dtype).itemsize}
        yield name, {**shape, **peaks, "allowed": allowed, "met": peaks["extra"] <= allowed}


def accuracy(options: argparse.Namespace) -> list[str]:
    """Measure errors on data that are hard on digits."""
    from fastsil import silhouette_profile

    recorder = _recorder("accuracy", options)
    rows = []
    for dtype in options.dtype:
        for name, data in cases.adversarial(dtype).items():
            expected = peers.reference(*data)
            with np.errstate(all="ignore"):
                errors = {
                    peer.name: float(np.abs(peer.samples(*data) - expected).max())
                    for peer in (peers.FASTSIL, peers.SKLEARN[0])
                }
            promised = peers.FASTSIL.tolerance[dtype]
            row = {"case": name, "dtype": dtype, "strategy": silhouette_profile(*data).work.strategy, **errors}
            row |= {"promised": promised, "met": errors["fastsil"] <= promised}
            recorder.add(f"{name}, {dtype}", **row)
            rows.append(row)
    _show("accuracy", rows)
    return ["accuracy"]


def kernels(options: argparse.Namespace) -> list[str]:
    """Measure rates of the tile kernels, and two threads against two processes."""
    return [
        *_collect("kernels", options, _kernel_rows(options)),
        *_collect("threads", options, _thread_rows(options)),
    ]


def _kernel_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    features = (2, 4, 6, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 2048) if options.full else (2, 8, 64, 256, 2048)
    for dtype, d in product(options.dtype, features):
        found = rates.kernel_rates(options.samples or 2048, d, dtype)
        yield f"{d} {dtype}", {"d": d, "dtype": dtype, "rates": found}


def _thread_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    n = options.samples or (50_000 if options.full else 20_000)
    # Of equal clusters, few and many; nine tenths of the samples in one; clusters of ten.
    shapes = ((128, 10, 0.0), (128, 100, 0.0), (128, 10, 0.9), (128, n // 10, 0.0))
    for (d, k, largest), dtype in product(shapes, options.dtype):
        measured = rates.thread_scaling(n, d, k, largest, dtype, options.rounds)
        times = {name: float(np.median(values)) for name, values in measured.items()}
        # Two processes do two calls in their time, two threads one call in theirs.
        share = paired_ratio(measured["two processes"], [2 * value for value in measured["two threads"]])
        case = f"n={n} d={d} k={k}" + (f", {largest:.0%} in one" if largest else "")
        yield f"{case} {dtype}", {"case": case, "dtype": dtype, "seconds": times, **share}


def estimate(options: argparse.Namespace) -> list[str]:
    """Measure coverage, errors compared with other methods, plans compared with calls, and a million samples."""
    n = options.samples or (50_000 if options.full else 20_000)
    repetitions = 1000 if options.full else 100
    shape = (1_000_000, 128, 100) if options.full else (100_000, 64, 50)
    parts = {
        "estimate": estimates.million(*shape),
        "estimated_sweep": estimates.sweep(*shape[:2]),
        "coverage": estimates.coverage(repetitions, 4000),
        "estimates": estimates.comparison(n),
        "plans": estimates.plans(options.full),
    }
    chosen = {name: rows for name, rows in parts.items() if not options.case or name in options.case}
    return [
        subject
        for name, rows in chosen.items()
        for subject in _collect(name, options, ((f"{row['case']} {row.get('confidence', '')}", row) for row in rows))
    ]


def start(options: argparse.Namespace) -> list[str]:
    """Measure the cost of a first call."""
    return _collect("start", options, ((row["what"], row) for row in first_use.measure(options.rounds)))


def contest_of_peers(options: argparse.Namespace) -> list[str]:
    """Measure other packages that compute silhouettes."""
    _say_missing(contest.CONTENDERS)
    by_samples = [each for each in contest.CONTENDERS if each.ours == "fastsil"]
    by_group = [each for each in contest.CONTENDERS if each.ours != "fastsil"]
    return [
        *_collect("peers", options, _contest_rows(options, by_samples)),
        *_collect("by_group", options, _contest_rows(options, by_group)),
    ]


def _say_missing(contenders: Sequence[contest.Contender]) -> None:
    if missing := contest.missing(contenders):
        print(f"left out, not in an environment (see environments): {', '.join(missing)}\n", file=sys.stderr)


def _contest_rows(
    options: argparse.Namespace, contenders: Sequence[contest.Contender]
) -> Iterator[tuple[str, dict[str, Any]]]:
    contenders = contest.present(contenders)
    contenders = [each for each in contenders if not options.case or any(s in each.name for s in options.case)]
    for name, data in contest.contest_cases(options.full):
        for row in contest.hold(name, data, contenders, rounds=options.rounds):
            yield f"{name}, {row['name']}", row


def fits_of_sweep(options: argparse.Namespace) -> list[str]:
    """Measure the fits of a sweep against other k-means."""
    _say_missing(fits.CONTENDERS)
    rows = fits.measure(options.full, options.rounds, options.case or ())
    return _collect("fits", options, ((f"{row['case']}, {row['name']}", row) for row in rows))


def growth_of_time(options: argparse.Namespace) -> list[str]:
    """Measure the growth of time with n, d and k."""
    return _collect("growth", options, _growth_rows(options))


def _growth_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in growth.measure(options.full, options.rounds, options.case or ("n", "d", "k")):
        yield f"{row['grows']} {row['n']} {row['d']} {row['k']}", row


def scaling_to_many_cores(options: argparse.Namespace) -> list[str]:
    """Replay recorded calls on up to 64 workers."""
    n = options.samples or (None if options.full or options.case else 20_000)
    rows = ((row["case"], row) for row in scaling.measure(n, options.case))
    return _collect("scaling", options, rows)


def compare_commits(options: argparse.Namespace) -> list[str]:
    """Compare two commits, in interleaved runs."""
    if len(options.revisions) != 2:
        raise SystemExit("compare needs two commits: python -m benchmarks compare REV_A REV_B")
    return _collect("compare", options, _compare_rows(options))


def _compare_rows(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in compare.compare(*options.revisions, max(options.rounds, 5), full=options.full):
        yield f"{row['case']} {row['dtype']} {row['metric']}", row


def make_environments(options: argparse.Namespace) -> list[str]:
    """Install the peers, each into an environment of its own."""
    for package, outcome in environments.make(contest.packages_of([*contest.CONTENDERS, *fits.CONTENDERS])):
        print(f"{package}: {outcome}", flush=True)
    return []


def draw_pictures(options: argparse.Namespace) -> list[str]:
    """Draw the kept results."""
    for path in pictures.draw():
        print(path)
    return []


def write_table(options: argparse.Namespace) -> list[str]:
    """Write RESULTS.md from the results kept."""
    options.record = True
    return list(table.SECTIONS)


def _recorder(subject: str, options: argparse.Namespace) -> Recorder:
    recorder = Recorder(subject, options.command)
    print(f"{table.describe(recorder.machine)}\n", file=sys.stderr)
    return recorder


def _collect(subject: str, options: argparse.Namespace, results: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """Keep and print every row at once, then show the table."""
    recorder = _recorder(subject, options)
    rows = []
    for key, row in results:
        recorder.add(key, **row)
        rows.append(row)
        _say(subject, row)
    _show(subject, rows)
    return [subject]


def _say(subject: str, row: dict[str, Any]) -> None:
    print("  ".join(table.SECTIONS[subject][3](row)), file=sys.stderr, flush=True)


def _show(subject: str, rows: Sequence[dict[str, Any]]) -> None:
    heading, note, *_ = table.SECTIONS[subject]
    print(f"\n{heading}. {note}\n\n{table.markdown(subject, rows)}\n")


_SUBCOMMANDS = {
    "speed": speed,
    "labelings": labelings,
    "many": many_labelings,
    "metrics": other_metrics,
    "calibration": calibrate,
    "choice": choose_k,
    "memory": memory,
    "accuracy": accuracy,
    "estimate": estimate,
    "kernels": kernels,
    "start": start,
    "peers": contest_of_peers,
    "fits": fits_of_sweep,
    "growth": growth_of_time,
    "scaling": scaling_to_many_cores,
    "compare": compare_commits,
    "environments": make_environments,
    "pictures": draw_pictures,
    "table": write_table,
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=_SUBCOMMANDS, default="speed")
    parser.add_argument("revisions", nargs="*", metavar="REV", help="compare: two commits")
    parser.add_argument("--full", action="store_true", help="the whole table (speed: an hour or two)")
    parser.add_argument("--record", action="store_true", help="write the section in benchmarks/RESULTS.md as well")
    parser.add_argument("--dtype", nargs="+", choices=["float32", "float64"], default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of contenders in turn")
    parser.add_argument("--budget", type=float, help="seconds a row: no round begins after, memory: it ends")
    parser.add_argument("--case", nargs="+", help="only what has one of these in its name; growth: n, d or k")
    parser.add_argument("--npy", metavar="FILE", help="speed: the rows of a .npy file instead")
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100], help="speed: clusters for --npy")
    parser.add_argument(
        "--samples", type=int, help="speed, metrics, kernels, scaling: at most this number of samples (a quick look)"
    )
    scaled = "speed: for more samples than --peer-limit, scikit-learn's time is scaled from a subset of --peer-samples"
    parser.add_argument("--peer-limit", type=int, default=_PEER_LIMIT, help=scaled)
    parser.add_argument("--peer-samples", type=int, default=_PEER_SAMPLES, help="speed: see --peer-limit")
    options = parser.parse_args(arguments)
    # Results are public: of a file they contain the name only.
    arguments = [Path(word).name if word == options.npy else word for word in arguments]
    options.command = " ".join(["python -m benchmarks", *arguments])
    if options.budget is None:
        options.budget = 600.0 if options.full or options.case else 30.0
    try:
        subjects = _SUBCOMMANDS[options.what](options)
    except KeyboardInterrupt:
        print("stopped; rows that were finished are kept", file=sys.stderr)
        return 130
    if options.record:
        table.write(subjects)
        readme.write()
    return 0
