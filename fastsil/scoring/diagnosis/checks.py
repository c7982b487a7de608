"""The checks: each has a code, a list of the evidence it needs, and a function that returns a finding or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.suggestions import for_python, suggest, suggest_standardizing
from fastsil.report.words import join_words, show_text
from fastsil.scoring.diagnosis.evidence import Evidence, hash_rows
from fastsil.scoring.diagnosis.findings import SEVERITIES, Diagnosis, Finding
from fastsil.validation.arrays import is_sparse

# Share of samples nearer to another cluster's center that k-means, stopped early or fitted in batches, does not reach.
_MISFIT = 0.10
# Level of the tests against shuffled labels and against data without structure.
_LEVEL = 0.05
# Relative spread of the distances between independent samples of about fifty equal features: 1 / sqrt(2 * 50).
_ALIKE = 0.10
# A feature is dominant if it makes this share of all squared distances, and this many times a typical one's; several
# are, at most a third of all, if together they make that larger share, and each that many times a typical other one's.
_DOMINANT_SHARE, _DOMINANT_TOGETHER, _DOMINANT_RATIO = 0.8, 0.95, 50.0
_MOST_DOMINANT = 1 / 3
_MOST_NAMED = 4
# Mean cosine similarity of all pairs above which rows share one direction more than they differ.
_COMMON_DIRECTION = 0.9
# Rounding of the data, relative to their standard deviation, that is no longer small.
_ROUNDING = 1e-2
_REPEATED = 0.01
_TINY = 0.01
# With many clusters all are small: then tiny means this share of the mean size.
_TINY_OF_MEAN = 0.2
_MEANS_APART = 0.05


def diagnose(evidence: Evidence) -> Diagnosis:
    """Make every check that the evidence allows.

    Parameters
    ----------
    evidence : Evidence
        Evidence; ``coordinates``, ``distances`` and ``null`` may be missing.

    Returns
    -------
    Diagnosis
    """
    findings, checked, not_checked = [], [], []
    for code, check in _CHECKS.items():
        if any(getattr(evidence, name) is None for name in check.needs):
            not_checked.append(code)
            continue
        checked.append(code)
        finding = check.look(evidence)
        if finding is not None:
            findings.append(finding)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(tuple(findings), tuple(checked), tuple(not_checked))


def _look_for_shuffled(evidence: Evidence) -> Finding | None:
    p = evidence.shuffled_p
    if not p > _LEVEL:
        return None
    return Finding(
        "labels_shuffled",
        "fault",
        f"The labels explain the distances no better than the same labels in random order: {p:.0%} of the "
        "shuffled orders do as well.",
        "Check that labels and data come from the same fit, in the same order of rows and with the same metric.",
        {"p_value": p, "mean_silhouette": evidence.score},
    )


def _look_for_distances(evidence: Evidence) -> Finding | None:
    if not evidence.are_distances:
        return None
    precomputed = "metric='precomputed'"
    return Finding(
        "distances_as_samples",
        "fault",
        "X is square and symmetric with zeros on its diagonal, as distances are, and its rows were taken for samples.",
        f"If these are distances, score them with {for_python(precomputed) or 'fastsil score --metric precomputed'}.",
    )


def _look_for_misfit(evidence: Evidence) -> Finding | None:
    share = evidence.centers.misfit
    # Shuffled labels do not fit either; that is one fault, and the other finding names it.
    if share < _MISFIT or (evidence.distances is not None and evidence.shuffled_p > _LEVEL):
        return None
    return Finding(
        "labels_do_not_fit",
        "fault" if share >= 1 / 3 else "warning",
        f"{share:.1%} of the samples are nearer to the center of another cluster than to the center of their own; "
        "after k-means hardly any are.",
        "If the labels come from k-means, check for labels of another fit, shuffled rows or another metric. Rings, "
        "chains and classes given by hand can look like this too; their silhouettes are low.",
        {"share": share},
    )


def _look_for_unequal_spread(evidence: Evidence) -> Finding | None:
    misfit, radius = evidence.centers.misfit, evidence.centers.radius
    if evidence.score >= 0 or misfit >= _MISFIT:
        return None
    several = np.flatnonzero(evidence.sizes > 1)
    tight, wide = several[radius[several].argmin()], several[radius[several].argmax()]
    labels = evidence.classes[[tight, wide]]
    negative = tuple(evidence.classes[evidence.cluster_scores < 0].tolist())
    return Finding(
        "unequal_spread",
        "note",
        f"The mean silhouette is {evidence.score:.3f} although {1 - misfit:.1%} of the samples are at their own "
        f"nearest center. That is no error: the radius of cluster {labels[0]} is {radius[tight]:.3g} and that "
        f"of {labels[1]} {radius[wide]:.3g}, and members of a wide cluster are, on average, farther from each other "
        f"than from a neighboring tight cluster. {len(negative)} of {len(evidence.classes)} clusters have a "
        "negative mean.",
        "Look at the clusters one by one, and try a mixture model, which fits spreads, or whitened or cosine data.",
        {"mean_silhouette": evidence.score, "least_radius": radius[tight], "largest_radius": radius[wide]},
        negative,
    )


def _look_for_no_structure(evidence: Evidence) -> Finding | None:
    null = evidence.null
    if null is None or null.p_value <= _LEVEL:
        return None
    return Finding(
        "no_structure",
        "warning",
        f"Data without any clusters score as high: {null.mean:.3f} ± {null.std:.3f}, and these data {null.score:.3f} "
        f"at the same number of samples (p = {null.p_value:.2f}).",
        "Do not report these clusters as groups. Try other features, or report that there is no structure.",
        {"score": null.score, "null_mean": null.mean, "null_std": null.std, "p_value": null.p_value},
    )


def _look_for_alike_distances(evidence: Evidence) -> Finding | None:
    assert evidence.distances is not None
    distances = evidence.distances[np.triu_indices(len(evidence.distances), 1)]
    mean = float(distances.mean()) if len(distances) else 0.0
    spread = float(distances.std()) / mean if mean else 0.0
    if spread == 0 or spread >= _ALIKE:
        return None
    as_many = 1 / (2 * spread**2)
    return Finding(
        "distances_alike",
        "warning",
        f"All distances are nearly the same: they spread by {spread:.1%} about their mean, as between random samples "
        f"of {as_many:,.0f} independent features. Silhouettes must then be near 0.",
        f"Reduce the features by PCA{_list_other_metrics(evidence)}, and compare the clusterings.",
        {"relative_spread": spread, "mean_distance": mean},
    )


def _list_other_metrics(evidence: Evidence) -> str:
    """Name other metrics whose distances may differ more, if there are any."""
    n_samples, n_features = (0, 0) if evidence.coordinates is None else evidence.coordinates.shape
    others = ["" if evidence.unit_rows else "cosine distance", "whitening" if n_samples > n_features + 1 else ""]
    named = " or ".join(filter(None, others))
    return f", or try {named}" if named else ""


def _look_for_dominating_feature(evidence: Evidence) -> Finding | None:
    total, within = evidence.centers.variance, evidence.centers.variance_within
    if len(total) < 2 or total.sum() == 0:
        return None
    order = np.argsort(-total, kind="stable")
    shares = np.cumsum(total[order]) / total.sum()
    for count in range(1, max(1, int(_MOST_DOMINANT * len(total))) + 1):
        # Within the clusters too: a feature that separates clusters well is no fault, one that is merely large is.
        ratio = min(_ratio_to_typical(total, order[:count]), _ratio_to_typical(within, order[:count]))
        if shares[count - 1] >= (_DOMINANT_SHARE if count == 1 else _DOMINANT_TOGETHER) and ratio >= _DOMINANT_RATIO:
            return _describe_dominating(evidence, order[:count], float(shares[count - 1]))
    return None


def _describe_dominating(evidence: Evidence, features: NDArray[np.intp], share: float) -> Finding:
    several = len(features) > 1
    names, counted = evidence.feature_names, ""
    words = [show_text(names[j]) if len(names) else f"{j}" for j in features[:_MOST_NAMED]]
    if len(features) > _MOST_NAMED:
        words[-1] = f"{len(features) - _MOST_NAMED + 1} more"
    if not len(names):
        counted = " (counted from 0)"
    what = f"Features {join_words(words)}{counted} make" if several else f"Feature {words[0]}{counted} makes"
    advice = (
        "If their units are arbitrary, standardize the features: "
        if several
        else "Drop it if it is an id. If its unit is arbitrary, standardize the features: "
    )
    return Finding(
        "dominating_feature",
        "warning",
        f"{what} {share:.1%} of all squared distances, so that the clusters depend on {'them' if several else 'it'} "
        "almost alone.",
        advice + suggest_standardizing(sparse=is_sparse(evidence.coordinates)),
        {"feature": float(features[0]), "n_features": float(len(features)), "share": share},
    )


def _look_for_offset(evidence: Evidence) -> Finding | None:
    mean, variance = evidence.centers.mean, evidence.centers.variance
    common = float(mean @ mean)
    if evidence.unit_rows and common >= _COMMON_DIRECTION:
        return Finding(
            "dominating_offset",
            "warning",
            f"All rows point in nearly one direction: the mean cosine similarity of two samples is {common:.3f}, so "
            "that cosine distances are small differences of a large common part.",
            "Subtract the mean row before the cosine distance is taken"
            + (
                " (of a dense copy)."
                if is_sparse(evidence.coordinates)
                else f": {suggest('X = X - X.mean(axis=0)', standardize=True)}"
            ),
            {"mean_cosine": common},
        )
    dtype = evidence.coordinates.dtype
    if dtype.kind != "f" or variance.sum() == 0:
        return None
    rounding = float(np.finfo(dtype).eps * np.sqrt(common / variance.sum()))
    if rounding < _ROUNDING:
        return None
    return Finding(
        "dominating_offset",
        "warning",
        f"The values lie so far from 0 that {dtype} rounds them by about {rounding:.1%} of their spread.",
        "Subtract the mean of each feature in float64, where the data are made, and store the result.",
        {"relative_rounding": rounding},
    )


def _look_for_duplicates(evidence: Evidence) -> Finding | None:
    hashes = hash_rows(evidence.coordinates)
    repeats = len(hashes) - len(np.unique(hashes))
    share = repeats / len(hashes)
    if share < _REPEATED or repeats < 2:
        return None
    return Finding(
        "duplicates",
        "warning" if share >= 0.1 else "note",
        f"{repeats:,} of {len(hashes):,} samples ({share:.1%}) repeat another one exactly; copies have distance 0 and "
        "raise the score of their cluster.",
        "Drop repeated rows unless each stands for an observation of its own"
        + (
            "."
            if is_sparse(evidence.coordinates)
            else for_python(", as X[rows] and labels[rows]: rows = numpy.unique(X, axis=0, return_index=True)[1]")
            or "."
        ),
        {"repeats": float(repeats), "share": share},
    )


def _look_for_singletons(evidence: Evidence) -> Finding | None:
    alone = evidence.classes[evidence.sizes == 1]
    if len(alone) == 0:
        return None
    return Finding(
        "singletons",
        "warning",
        f"{_count_clusters(len(alone), 'has', 'have')} one sample only ({_list_labels(alone)}); its silhouette is 0 by "
        "definition.",
        "Inspect these samples as outliers, drop them, or choose fewer clusters.",
        {"clusters": float(len(alone))},
        tuple(alone.tolist()),
    )


def _look_for_tiny_clusters(evidence: Evidence) -> Finding | None:
    sizes, n_samples = evidence.sizes, evidence.sizes.sum()
    limit = min(_TINY * n_samples, _TINY_OF_MEAN * n_samples / len(sizes))
    tiny = np.flatnonzero((sizes > 1) & (sizes < limit))
    if len(tiny) == 0:
        return None
    return Finding(
        "tiny_clusters",
        "note",
        f"{_count_clusters(len(tiny), 'has', 'have')} less than {limit / n_samples:.2%} of the samples "
        f"({_list_labels(evidence.classes[tiny])}; the smallest {sizes[tiny].min():,} of {n_samples:,}).",
        "Look at them as outliers; the macro mean counts each as much as the largest cluster.",
        {"clusters": float(len(tiny)), "least_size": float(sizes[tiny].min())},
        tuple(evidence.classes[tiny].tolist()),
    )


def _look_for_noise_label(evidence: Evidence) -> Finding | None:
    labels = [str(label) for label in evidence.classes]
    # Without a 0 among the labels, -1 is one of two classes rather than the noise of DBSCAN.
    if not {"-1", "0"} <= set(labels):
        return None
    noise = labels.index("-1")
    label = evidence.classes.tolist()[noise]
    size = int(evidence.sizes[noise])
    return Finding(
        "noise_label",
        "warning",
        f"The label -1, which DBSCAN and HDBSCAN give to noise, is scored as a cluster of {size:,} samples with a mean "
        f"silhouette of {evidence.cluster_scores[noise]:.3f}.",
        f"Leave noise out of the score: {suggest(f'ignore_label={label!r}', ignore_label=label)}",
        {"samples": float(size), "mean_silhouette": float(evidence.cluster_scores[noise])},
        (evidence.classes[noise],),
    )


def _look_for_disagreeing_means(evidence: Evidence) -> Finding | None:
    macro = evidence.partition.mean_of_means(evidence.silhouettes)
    gap = evidence.score - macro
    if abs(gap) < _MEANS_APART:
        return None
    # micro - macro = sum of (size / n - 1 / k) (score - middle), for any middle; of the clusters that count.
    totals = evidence.partition.totals
    weights = totals / totals.sum() - (totals > 0) / np.count_nonzero(totals)
    parts = weights * (evidence.cluster_scores - (evidence.score + macro) / 2) / gap
    order = np.argsort(-parts, kind="stable")
    causes = order[: int(np.searchsorted(np.cumsum(parts[order]), 0.5)) + 1]
    named = "; ".join(
        f"{evidence.classes[c]}: {evidence.sizes[c]:,} samples, mean {evidence.cluster_scores[c]:.2f}"
        for c in causes[:5]
    )
    return Finding(
        "means_disagree",
        "note",
        f"The mean over samples is {evidence.score:.3f}, the mean of the clusters' means {macro:.3f}; mostly because "
        f"of cluster {named}.",
        "Say which of the two means you report, and look at these clusters.",
        {"micro": evidence.score, "macro": macro},
        tuple(evidence.classes[causes].tolist()),
    )


@dataclass(frozen=True)
class _Check:
    look: Callable[[Evidence], Finding | None]
    needs: tuple[str, ...] = ()


_CHECKS = {
    "distances_as_samples": _Check(_look_for_distances, ("coordinates",)),
    "labels_shuffled": _Check(_look_for_shuffled, ("distances",)),
    "labels_do_not_fit": _Check(_look_for_misfit, ("coordinates",)),
    "no_structure": _Check(_look_for_no_structure, ("null",)),
    "noise_label": _Check(_look_for_noise_label),
    "distances_alike": _Check(_look_for_alike_distances, ("distances",)),
    "dominating_feature": _Check(_look_for_dominating_feature, ("coordinates",)),
    "dominating_offset": _Check(_look_for_offset, ("coordinates",)),
    "duplicates": _Check(_look_for_duplicates, ("coordinates",)),
    "singletons": _Check(_look_for_singletons),
    "tiny_clusters": _Check(_look_for_tiny_clusters),
    "unequal_spread": _Check(_look_for_unequal_spread, ("coordinates",)),
    "means_disagree": _Check(_look_for_disagreeing_means),
}


def _ratio_to_typical(variances: NDArray[np.float64], top: NDArray[np.intp]) -> float:
    typical = float(np.median(np.delete(variances, top)))
    return float(variances[top].min() / typical) if typical > 0 else np.inf


def _count_clusters(count: int, one: str, several: str) -> str:
    return f"1 cluster {one}" if count == 1 else f"{count} clusters {several}"


def _list_labels(labels: Sequence[Any] | NDArray[Any], most: int = 8) -> str:
    shown = ", ".join(show_text(label) for label in labels[:most])
    return f"label {shown}" + (f" and {len(labels) - most} more" if len(labels) > most else "")
