"""Noise ceiling of RSA: how similar subjects' matrices are to one pooled from all of them, and from all others.

The upper bound is what the best imaginable model would reach on these data, as it is fitted to them; the lower bound is
what the other subjects predict. Scores are never clamped to either.
Source: Nili et al. 2014 (PLoS Comput Biol 10:e1003553), "Noise ceiling"; pooling by comparator as in Schütt et al.
2023 (eLife 12:e82566).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from braindec.align.rsa.compare import Comparator, common_cells, comparator_of
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError

__all__ = ["NoiseCeiling", "noise_ceiling"]


@dataclass(frozen=True, eq=False)
class NoiseCeiling:
    """The two bounds; unpacks as ``lower, upper = noise_ceiling(...)``.

    Parameters
    ----------
    lower, upper : float
        Mean over subjects.
    lower_each, upper_each : array of shape (n_subjects,)
        Similarity of each subject with the matrix pooled from the others, and from all.
    comparator : str
    name : str
        How the ceiling was made, for tables.
    """

    lower: float
    upper: float
    lower_each: np.ndarray
    upper_each: np.ndarray
    comparator: str
    name: str = "pooled over all subjects (upper), over all other subjects (lower)"

    def __iter__(self) -> Iterator[float]:
        return iter((self.lower, self.upper))


def noise_ceiling(
    data: RDMs, *, comparator: str | Comparator = "cosine", sigma_k: np.ndarray | None = None, missing: str = "refuse"
) -> NoiseCeiling:
    """Return lower and upper bound of the similarity that a model can have with these matrices.

    Parameters
    ----------
    data : RDMs
        One matrix a subject (of one region and time).
    comparator : str or Comparator
        The one that models are scored with.
    sigma_k, missing
        As for :func:`braindec.align.rsa.compare.compare`.

    Raises
    ------
    BraindecError
        For one matrix only, or what :func:`compare` refuses.
    """
    comparator = comparator_of(comparator)
    if not isinstance(data, RDMs):
        raise BraindecError(
            "a noise ceiling is of RDMs", found=type(data).__name__, fix="RDMs.from_square(matrices, conditions)"
        )
    if len(data) < 2:
        raise BraindecError(
            "a noise ceiling needs the matrices of at least 2 subjects", found=f"{len(data)}",
            fix="with one subject, use runs: one matrix a run says how reproducible they are",
        )  # fmt: skip
    cells = common_cells(data, comparator=comparator, missing=missing)
    values = comparator.check(data.values if cells.all() else data.values[:, cells], sigma_k, "data")
    prepared = comparator.pool(values)
    total, n = prepared.sum(axis=0), len(prepared)
    upper = comparator.compare(total[None] / n, values, sigma_k=sigma_k)[0]
    others = (total - prepared) / (n - 1)
    if comparator.embed is None:
        lower = np.array([comparator.compare(others[i : i + 1], values[i : i + 1])[0, 0] for i in range(n)])
    else:
        lower = np.sum(comparator.embed(others, sigma_k) * comparator.embed(values, sigma_k), axis=1)
    return NoiseCeiling(float(lower.mean()), float(upper.mean()), lower, upper, comparator.name)
