"""Profiles of all k in few bytes a sample.

A profile has 45 to 65 bytes for each sample, most of which follow from the rest: labels, the order of the samples by
cluster, silhouettes. A sweep keeps the mean distances and the codes of clusters, and makes a profile when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.terms import SilhouetteTerms, Work, compute_silhouettes
from fastsil.scoring.profile import SilhouetteProfile, get_terms, make_profile
from fastsil.sweep.checkpoint import Arrays
from fastsil.validation.partition import Partition, partition_from_codes

# Fields of a profile that do not follow from its mean distances where these were guessed.
_GUESSES = ("silhouettes", "lower", "upper")


@dataclass(frozen=True, eq=False)
class KeptProfile:
    """A profile without what follows from the rest.

    Attributes
    ----------
    classes, codes : ndarray
        As those of the partition, codes in as few bytes as hold them.
    terms : SilhouetteTerms
        Mean distances; codes of the neighbors in as few bytes as hold them.
    dtype : dtype
        Type of the silhouettes.
    metric : str
        Name of the metric.
    guesses : dict of str to ndarray
        Silhouettes and their bounds, where these do not follow from the mean distances.
    rows : ndarray of shape (n_drawn,) or None
        Rows of the data that it is of; None for all.
    sample_weight : ndarray of shape (n_samples,), optional
        Weights of the samples, which all profiles share.
    """

    classes: NDArray[Any]
    codes: NDArray[np.unsignedinteger[Any]]
    terms: SilhouetteTerms
    dtype: np.dtype[Any]
    metric: str
    guesses: Arrays
    rows: NDArray[np.intp] | None = None
    sample_weight: NDArray[np.float64] | None = None

    def read(self) -> SilhouetteProfile:
        """Make the profile."""
        partition = partition_from_codes(self.classes, self.codes).weighted(self.sample_weight)
        terms = replace(self.terms, neighbor=self.terms.neighbor.astype(np.int32))
        profile = make_profile(terms, partition, dtype=self.dtype, metric=self.metric)
        return replace(profile, **self.guesses) if self.guesses else profile  # type: ignore[arg-type]  # all are arrays

    def as_arrays(self, k: int) -> Arrays:
        """Return what :func:`keep_arrays` makes it from, besides the partition; of drawn rows, that too."""
        terms = self.terms
        arrays: Arrays = {f"a-{k}": terms.a, f"b-{k}": terms.b, f"neighbor-{k}": terms.neighbor}
        if self.rows is not None:
            arrays |= {f"rows-{k}": self.rows, f"classes-{k}": self.classes, f"codes-{k}": self.codes}
        arrays[f"work-{k}"] = np.array(json.dumps(asdict(terms.work)))
        return arrays | {f"{name}-{k}": values for name, values in self.guesses.items()}


class KeptProfiles(Mapping[int, SilhouetteProfile]):
    """Profiles by k, each of which is made whenever it is read."""

    def __init__(self, kept: Mapping[int, KeptProfile]) -> None:
        self._kept = dict(kept)

    def __getitem__(self, k: int) -> SilhouetteProfile:
        return self._kept[k].read()

    def __contains__(self, k: object) -> bool:
        return k in self._kept

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(k = {', '.join(map(str, self._kept))})"


def keep_profile(profile: SilhouetteProfile, partition: Partition) -> KeptProfile:
    """Keep a profile of all samples of a partition."""
    terms, dtype = get_terms(profile), profile.silhouettes.dtype
    # Mean distances beyond the range of float64 have silhouettes that their rounded values have not.
    follows = profile.exact and bool((compute_silhouettes(terms, partition).astype(dtype) == profile.silhouettes).all())
    return KeptProfile(
        classes=partition.classes,
        codes=_narrow(partition.codes, partition),
        terms=replace(terms, neighbor=_narrow(terms.neighbor, partition)),
        dtype=dtype,
        metric=profile.metric,
        guesses={} if follows else {name: getattr(profile, name) for name in _GUESSES},
        sample_weight=partition.sample_weight,
    )


def keep_arrays(k: int, arrays: Arrays, partition: Partition, *, dtype: np.dtype[Any], metric: str) -> KeptProfile:
    """Keep a profile as :meth:`KeptProfile.as_arrays` describes it."""
    work = Work(**json.loads(str(arrays[f"work-{k}"])))
    neighbor = _narrow(arrays[f"neighbor-{k}"], partition)
    return KeptProfile(
        classes=partition.classes,
        codes=_narrow(partition.codes, partition),
        terms=SilhouetteTerms(arrays[f"a-{k}"], arrays[f"b-{k}"], neighbor, work),
        dtype=dtype,
        metric=metric,
        guesses={name: arrays[f"{name}-{k}"] for name in _GUESSES if f"{name}-{k}" in arrays},
        sample_weight=partition.sample_weight,
    )


def _narrow(codes: NDArray[np.integer[Any]], partition: Partition) -> NDArray[Any]:
    """Return codes of clusters in as few bytes as hold them."""
    return codes.astype(np.min_scalar_type(partition.n_clusters - 1))
