"""What each pair of conditions contributes to an RSA score: pseudo-values whose mean is the score.

A score is a function of weighted means over pairs. Its derivative by the weight of a pair, added to the score, is that
pair's pseudo-value; to first order the score of any sample is the mean of the pseudo-values of its pairs and subjects.
With standardised cells a and d of similarity r,

    u_ij = r + a_ij d_ij - r (a_ij^2 + d_ij^2) / 2                    (cosine, Pearson, whitened on centred matrices)
    u_ij = 12 (F_ij G_ij + E[G; a > a_ij] + E[F; d > d_ij]) - 2 r     (rho-a; F, G are centred ranks between -1/2 and 1/2)

The lower noise ceiling has a second part, as each subject also acts through the pool that predicts the others.

Source: Hampel 1974 (JASA 69:383), influence curve; Croux & Dehon 2010 (Stat Methods Appl 19:497), that of Spearman's
correlation.
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.comparators._vectors import ranked
from braindec.align.rsa.compare import comparator_of
from braindec.align.rsa.rdm import cells_to_square, n_conditions_of, square_to_cells

__all__ = ["INFLUENCE", "ceiling_pseudo_values", "linear_pseudo_values", "pseudo_values"]

INFLUENCE = ("cosine", "pearson", "cosine_cov", "corr_cov", "rho_a", "spearman")
_RANKED = {"rho_a", "spearman"}
_WHITENED = {"cosine_cov", "corr_cov"}
_CENTRED = {"pearson", "corr_cov"}


def pseudo_values(model: np.ndarray, data: np.ndarray, comparator: str) -> np.ndarray:
    """Return pseudo-values of one model, shape (n_rdm, n_pairs); means over pairs are its similarities.

    Parameters
    ----------
    model : array of shape (n_pairs,)
    data : array of shape (n_rdm, n_pairs)
    comparator : str
        One of :data:`INFLUENCE`.
    """
    if comparator in _RANKED:
        return _rank_pseudo_values(model, data, comparator)
    a, d = _standard(model[None], comparator), _standard(data, comparator)
    return _folded(linear_pseudo_values(a, d), model.shape[0], comparator)


def linear_pseudo_values(a: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return ``r + a d - r (a^2 + d^2) / 2`` for rows of mean square 1, broadcast; r is the mean of ``a d``."""
    r = np.mean(a * d, axis=-1, keepdims=True)
    return r + a * d - 0.5 * r * (a**2 + d**2)


def ceiling_pseudo_values(data: np.ndarray, subject: np.ndarray, comparator: str) -> np.ndarray:
    """Return pseudo-values of the lower ceiling, shape (n_rdm, n_pairs): means over pairs add up to the ceiling.

    Parameters
    ----------
    data : array of shape (n_rdm, n_pairs)
    subject : array of int, shape (n_rdm,)
        Matrices of one subject are predicted from those of the others.
    comparator : str
        One of :data:`INFLUENCE`.
    """
    prepared = comparator_of(comparator).pool(np.asarray(data, dtype=float))
    total = prepared.sum(axis=0)
    mine = {s: prepared[subject == s].sum(axis=0) for s in np.unique(subject)}
    own = np.concatenate(
        [pseudo_values(total - mine[s], row[None], comparator) for s, row in zip(subject, data, strict=True)]
    )
    cells = _standard(ranked(data) if comparator in _RANKED else data, comparator)
    through = _folded(_through_pools(cells, subject), data.shape[1], comparator)
    return own + through


def _through_pools(cells: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """How each matrix acts through the pools of the other subjects; zero on average over matrices, cell by cell."""
    total = cells.sum(axis=0)
    pools = np.stack(
        [total - cells[subject == s].sum(axis=0) for s in subject]
    )  # of the other subjects, for each matrix
    size = np.sqrt(np.mean(pools**2, axis=1, keepdims=True))
    r = np.mean(pools * cells, axis=1, keepdims=True) / size
    gain = cells / size - r * pools / size**2  # of each predicted matrix, by a unit of weight in its pool
    others = np.stack([gain[subject != s].sum(axis=0) for s in subject])
    through = cells * others
    return through - through.mean(axis=0)


def _standard(rows: np.ndarray, comparator: str) -> np.ndarray:
    """Rows of mean square 1: cells as they are, centred, or double-centred square matrices (flat) for whitened ones."""
    rows = np.asarray(rows, dtype=float)
    if comparator in _CENTRED or comparator in _RANKED:
        rows = rows - rows.mean(axis=1, keepdims=True)
    if comparator in _WHITENED:  # the inverse covariance of the cells of a whole matrix centres rows and columns
        full = cells_to_square(rows)
        full = full - full.mean(axis=1, keepdims=True)
        rows = (full - full.mean(axis=2, keepdims=True)).reshape(len(rows), -1)
    size = np.sqrt(np.mean(rows**2, axis=1, keepdims=True))
    return rows / np.where(size > 0, size, 1.0)


def _folded(values: np.ndarray, n_pairs: int, comparator: str) -> np.ndarray:
    """Values of all n x n cells of whitened comparators as values of pairs with the same mean: what is on the diagonal
    belongs to a condition and is shared by its pairs."""
    if comparator not in _WHITENED:
        return values
    n = n_conditions_of(n_pairs)
    full = values.reshape(len(values), n, n)
    own = np.diagonal(full, axis1=1, axis2=2) / (n - 1)
    pairs = 2 * full + own[:, :, None] + own[:, None, :]
    return square_to_cells(pairs) * n_pairs / n**2


def _rank_pseudo_values(model: np.ndarray, data: np.ndarray, comparator: str) -> np.ndarray:
    n = len(model)
    a, d = ((ranked(rows) - (n + 1) / 2) / n for rows in (np.atleast_2d(model), data))  # within +-1/2
    above = _sum_above(a[0], d)  # sum of d where the model's cell is larger
    above += np.stack([_sum_above(row, a)[0] for row in d])
    products = a * d
    r = 12 * products.mean(axis=1, keepdims=True)
    values = 12 * (products + above / n) - 2 * r
    if comparator == "spearman":  # ties make ranks smaller than their nominal size
        values /= 12 * np.sqrt(np.mean(a**2, axis=1) * np.mean(d**2, axis=1))[:, None]
    return values


def _sum_above(by: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum of each row of ``values`` over cells whose ``by`` is larger, half of them where it is equal."""
    order = np.argsort(by, kind="stable")
    ranks = by[order]
    start = np.searchsorted(ranks, ranks, side="left")
    stop = np.searchsorted(ranks, ranks, side="right")
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values[:, order], axis=1)], axis=1)
    out = np.empty_like(values, dtype=float)
    out[:, order] = sums[:, -1:] - 0.5 * (sums[:, start] + sums[:, stop])
    return out
