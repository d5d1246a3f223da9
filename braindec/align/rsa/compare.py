"""Comparison of dissimilarity matrices: every model with every data matrix, by a comparator that a file names.

Most comparators are inner products of embedded matrices (centred, ranked, whitened, of unit length), so that all models
against all data are one matrix product and a resampling can work on the embedding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from braindec.align.rsa.rdm import RDMs, n_conditions_of
from braindec.errors import BraindecError
from braindec.registry import get

__all__ = ["Comparator", "common_cells", "compare", "comparator_of"]

Array = np.ndarray


@dataclass(frozen=True)
class Comparator:
    """A versioned similarity of dissimilarity matrices; each file of ``align/rsa/comparators`` holds one.

    Parameters
    ----------
    name, version : str
        The version changes when numbers would.
    describe : str
        One line for the reader.
    pool : callable
        ``pool(rdms) -> rdms`` of the same shape: what each matrix becomes before matrices of subjects are averaged
        (scaled, z-scored or ranked), so that the mean comes close to the matrix that is most similar to all of them.
    embed : callable, optional
        ``embed(rdms (k, n_pairs), sigma_k) -> (k, any)``: the similarity is the inner product of two embeddings.
    pairwise : callable, optional
        ``pairwise(A (k, n_pairs), B (m, n_pairs)) -> (k, m)``, where there is no embedding.
    whitened : bool
        Takes ``sigma_k`` and needs every cell: cells are weighed by how their errors hang together.
    rank : bool
        Depends on the order of cells only.
    varies : bool
        A matrix whose cells are all the same has no such similarity.
    chance : float
        Expected value of unrelated matrices; NaN where it depends on the data (cosine of positive dissimilarities).
    min_conditions : int
        Fewest conditions that make sense.
    """

    name: str
    version: str
    describe: str
    pool: Callable[[Array], Array]
    embed: Callable[[Array, Array | None], Array] | None = None
    pairwise: Callable[[Array, Array], Array] | None = None
    whitened: bool = False
    rank: bool = False
    varies: bool = True
    chance: float = 0.0
    min_conditions: int = 3

    def compare(self, A: Array, B: Array, *, sigma_k: Array | None = None) -> Array:
        """Return the similarity of each matrix of ``A`` (k, n_pairs) with each of ``B`` (m, n_pairs), shape (k, m).

        Raises
        ------
        BraindecError
            If cells are missing or all the same, or there are fewer conditions than needed.
        """
        A, B = self.check(A, sigma_k, "first"), self.check(B, sigma_k, "second")
        if A.shape[1] != B.shape[1]:
            raise BraindecError(
                "matrices of different size cannot be compared", found=f"{A.shape[1]} and {B.shape[1]} cells"
            )
        if self.embed is None:
            assert self.pairwise is not None
            return self.pairwise(A, B)
        return self.embed(A, sigma_k) @ self.embed(B, sigma_k).T

    def pooled(self, rdms: Array) -> Array:
        """Return the mean of prepared matrices: (n_pairs,) of (k, n_pairs)."""
        return self.pool(np.asarray(rdms, dtype=np.float64)).mean(axis=0)

    def check(self, rdms: Array, sigma_k: Array | None = None, which: str = "") -> Array:
        """Return ``rdms`` as float64 of (k, n_pairs) after the checks of :meth:`compare`."""
        rdms = np.atleast_2d(np.asarray(rdms, dtype=np.float64))
        if sigma_k is not None and not self.whitened:
            raise BraindecError(f"{self.name} takes no sigma_k", allowed="whitened comparators: cosine_cov, corr_cov")
        if not np.isfinite(rdms).all():
            raise BraindecError(
                f"{self.name} needs every cell of the {which} matrices", found=f"{int((~np.isfinite(rdms)).sum())} missing",
                fix="use compare(..., missing='pairwise'), which keeps the cells that all have",
            )  # fmt: skip
        if rdms.shape[1] < self.min_conditions * (self.min_conditions - 1) // 2:
            raise BraindecError(
                f"{self.name} needs at least {self.min_conditions} conditions", found=f"{rdms.shape[1]} cells",
                fix="with so few conditions every similarity is a matter of chance",
            )  # fmt: skip
        if self.whitened:
            n_conditions_of(rdms.shape[1])
        low, high = rdms.min(axis=1), rdms.max(axis=1)
        scale = np.maximum(np.abs(low), np.abs(high))
        empty = high - low <= 1e-14 * scale if self.varies else scale == 0
        if not self.rank or self.varies:
            _refuse_empty(self, empty, which)
        return rdms


def compare(
    models: RDMs,
    data: RDMs,
    *,
    comparator: str | Comparator = "cosine",
    sigma_k: Array | None = None,
    missing: str = "refuse",
) -> Array:
    """Return the similarity of every model with every data matrix.

    Parameters
    ----------
    models, data : RDMs
        Over the same conditions, in any order.
    comparator : str or Comparator
        A name of ``align.rsa.comparators``: cosine, pearson, spearman, rho_a, kendall_tau_b, tau_a, cosine_cov,
        corr_cov, bures.
    sigma_k : array of shape (n, n) or (n,), optional
        Covariance between the conditions' pattern estimates, in the order of ``models``, for whitened comparators;
        the identity by default.
    missing : {"refuse", "pairwise"}
        What to do when some matrices lack cells that others have: an error, or only the cells that all of them have
        (a warning counts them). Cells that every matrix lacks are always left out.

    Returns
    -------
    array of shape (n_model, n_data)

    Raises
    ------
    BraindecError
        For different conditions, cells missing in some matrices only, a whitened comparator with missing cells, a
        matrix whose cells are all the same, or fewer conditions than the comparator needs.
    """
    comparator = comparator_of(comparator)
    _are_rdms(models, data)
    data = data.aligned_to(models)
    if models.n_conditions < comparator.min_conditions:
        raise BraindecError(
            f"{comparator.name} needs at least {comparator.min_conditions} conditions", found=f"{models.n_conditions}",
            fix="with so few conditions every similarity is a matter of chance",
        )  # fmt: skip
    cells = common_cells(models, data, comparator=comparator, missing=missing)
    A, B = (models.values, data.values) if cells.all() else (models.values[:, cells], data.values[:, cells])
    return comparator.compare(A, B, sigma_k=sigma_k)


def common_cells(*rdms: RDMs, comparator: str | Comparator = "cosine", missing: str = "refuse") -> Array:
    """Return which cells all matrices have, bool of shape (n_pairs,); see ``missing`` of :func:`compare`."""
    if missing not in ("refuse", "pairwise"):
        raise BraindecError(f"missing={missing!r} is unknown", allowed="refuse, pairwise")
    comparator = comparator_of(comparator)
    _are_rdms(*rdms)
    absent = [np.isnan(one.values) for one in rdms]
    anywhere = np.any([a.any(axis=0) for a in absent], axis=0)
    if not anywhere.any():
        return ~anywhere
    n_lost, n_all = int(anywhere.sum()), len(anywhere)
    if comparator.whitened or comparator.name == "bures":
        raise BraindecError(
            f"{comparator.name} needs every cell", found=f"{n_lost} of {n_all} are missing",
            fix="keep the conditions that all have: rdms.subset(names), or use a comparator that is not whitened",
        )  # fmt: skip
    everywhere = np.all([a.all(axis=0) for a in absent], axis=0)
    if missing == "refuse" and not np.array_equal(everywhere, anywhere):
        raise BraindecError(
            "some dissimilarity matrices lack cells that others have", found=f"{int((anywhere & ~everywhere).sum())} of {n_all} cells",
            fix="keep the conditions that all have (rdms.subset), or compare the common cells: missing='pairwise'",
        )  # fmt: skip
    if missing == "pairwise" and not np.array_equal(everywhere, anywhere):
        warnings.warn(f"{n_all - n_lost} of {n_all} cells are common to all matrices and compared", stacklevel=3)
    return ~anywhere


def comparator_of(comparator: str | Comparator) -> Comparator:
    """Return a comparator by name, or itself."""
    return comparator if isinstance(comparator, Comparator) else get("align.rsa.comparators", str(comparator))


def _are_rdms(*given: RDMs) -> None:
    if wrong := [one for one in given if not isinstance(one, RDMs)]:
        raise BraindecError(
            "dissimilarity matrices are compared as RDMs", found=type(wrong[0]).__name__,
            fix="RDMs.from_square(matrices, conditions), or RDMs(cells, conditions)",
        )  # fmt: skip


def _refuse_empty(comparator: Comparator, empty: Array, which: str) -> None:
    if empty.any():
        raise BraindecError(
            f"{comparator.name} is not defined for a matrix whose cells are all {'the same' if comparator.varies else '0'}",
            found=f"{which} matrices, row {', '.join(map(str, np.flatnonzero(empty)[:5]))}",
            fix="leave it out: it says nothing about the geometry",
        )
