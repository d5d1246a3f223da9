"""Similarities of models and data in many resamples of conditions at once, as weighted sums (linear comparators).

In a resample that draws condition i ``m_i`` times the pair (i, j) stands ``m_i m_j`` times and copies of one condition make
no pair. Cosine and Pearson correlation are then weighted sums over pairs: one matrix product of (resample, pair) weights
with (pair, product) columns gives every model, matrix and resample. Ceilings need the products of data matrices only.

The whitened comparators weigh entries by the inverse of ``V``, the covariance of the entries of a matrix of noise with equal
and independent conditions: ``V = 2 I + B' B`` with B the incidence of pairs to drawn conditions. In a resample copies are
drawn conditions of their own that have no pair with one another (they are independent draws of the population, which is
what a bootstrap imitates). Woodbury's formula and the symmetry of copies leave, with ``s_i(a) = sum_j m_j a_ij``,
``t_i = n + 2 - 2 m_i`` and ``n`` the number of draws,

    2 a' V^-1 b = sum_ij m_i m_j a_ij b_ij - sum_i m_i s_i(a) s_i(b) / t_i
                  + (sum_i m_i s_i(a) / t_i) (sum_i m_i s_i(b) / t_i) / (1 + sum_i m_i / t_i)

so that no pair-by-pair matrix is made, whatever the number of conditions.

Source: Schütt et al. 2023 (eLife 12:e82566), bootstrap of conditions; Diedrichsen et al. 2021 (Neurons, Behavior, Data
analysis and Theory 5(3)), whitened comparators. The closed form above for resamples is derived here; it equals the dense
formula over drawn pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.align.rsa.rdm import cells_to_square

__all__ = ["LINEAR", "Sums", "ceilings_of", "similarities", "weighted_sums"]

LINEAR = ("cosine", "pearson", "cosine_cov", "corr_cov")
_CENTRED = {"pearson", "corr_cov"}
_WHITENED = {"cosine_cov", "corr_cov"}
_BLOCK = 4096  # pairs that are multiplied at a time: memory stays flat
_RESAMPLES = 128  # that are whitened at a time
_FEW = 16  # resamples up to which one product of matrices each is cheaper than products of all pairs of rows
_TINY = 1e-14


@dataclass(frozen=True)
class Sums:
    """Inner products of rows (models first, then data) in each resample, and what pooling divides by.

    Parameters
    ----------
    cross : array of shape (n_resamples, n_models, n_data)
    models, data : array of shape (n_resamples, n_models) and (n_resamples, n_data)
        Inner product of each row with itself.
    among_data : array of shape (n_resamples, n_data, n_data)
    scale : array of shape (n_resamples, n_data)
        Size of each data row, unwhitened, which it is divided by before it is pooled.
    """

    cross: np.ndarray
    models: np.ndarray
    data: np.ndarray
    among_data: np.ndarray
    scale: np.ndarray


def weighted_sums(models: np.ndarray, data: np.ndarray, copies: np.ndarray, comparator: str) -> Sums:
    """Return inner products under a comparator in each resample.

    Parameters
    ----------
    models : array of shape (n_models, n_pairs)
    data : array of shape (n_data, n_pairs)
    copies : array of shape (n_resamples, n_conditions)
        How often each condition is drawn.
    comparator : {"cosine", "pearson", "cosine_cov", "corr_cov"}
    """
    rows = np.concatenate([models, data]).astype(float)
    if comparator in _CENTRED:  # means are taken away again in each resample; this keeps digits
        rows = rows - rows.mean(axis=1, keepdims=True)
    size = np.sqrt(np.mean(rows**2, axis=1, keepdims=True))
    rows = rows / np.where(size > 0, size, 1.0)
    k, n_rows = len(models), len(rows)
    left, right = _wanted(k, n_rows)
    sums, means, weight = _sums(rows, copies, left, right)
    if comparator in _CENTRED:
        sums -= means[left] * means[right] * weight
    scale = np.sqrt(np.maximum(sums[(left == right) & (left >= k)], 0.0))
    if comparator in _WHITENED:
        sums = _whitened(rows, copies, left, right, sums, means if comparator in _CENTRED else np.zeros_like(means))
    return _arranged(sums, scale, k, n_rows - k, left, right)


def similarities(sums: Sums) -> np.ndarray:
    """Return the similarity of each model and matrix, shape (n_resamples, n_models, n_data); 0 for a constant one."""
    size = np.sqrt(np.maximum(sums.models[:, :, None] * sums.data[:, None, :], 0.0))
    flat = size <= _TINY
    return np.where(flat, 0.0, sums.cross / np.where(flat, 1.0, size))


def ceilings_of(sums: Sums, copies: np.ndarray, share: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Return lower and upper noise ceiling, shape (n_resamples, 2).

    Parameters
    ----------
    sums : Sums
        Of as many resamples of conditions as there are rows of ``copies``, or of one.
    copies : array of shape (n_resamples, n_data)
        How often each matrix is drawn.
    share : array of shape (n_resamples, n_data)
        Weight of each matrix in the mean over matrices.
    subject : array of int, shape (n_data,)
        The lower ceiling predicts a subject's matrices from those of the others; NaN where only one was drawn.
    """
    scale = np.where(sums.scale > _TINY, sums.scale, np.inf)
    among = sums.among_data / (scale[:, :, None] * scale[:, None, :])  # (resample, data, data) of pooled rows
    own = np.sqrt(np.maximum(np.einsum("bii->bi", among), _TINY))
    share = share / share.sum(axis=1, keepdims=True)
    pooled = np.matmul(among, copies[:, :, None])[:, :, 0]  # each row with the pool
    total = np.einsum("bi,bi->b", copies, pooled)
    upper = np.sum(share * pooled / own, axis=1) / np.sqrt(np.maximum(total, _TINY))
    mine = (subject[:, None] == subject[None, :]).astype(float)
    ours = among * mine
    with_own = np.matmul(ours, copies[:, :, None])[:, :, 0]
    block = np.matmul(copies * pooled, mine), np.matmul(copies * with_own, mine)
    left = total[:, None] - 2 * block[0] + block[1]  # the pool without this subject, with itself
    enough = left > 1e-9 * np.maximum(total, _TINY)[:, None]
    apart = np.where(enough, (pooled - with_own) / (own * np.sqrt(np.where(enough, left, 1.0))), np.nan)
    lower = np.sum(np.where(share > 0, share * apart, 0.0), axis=1)
    return np.stack([lower, upper], axis=1)


def _wanted(k: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows whose products are needed: each with itself, models with data, data with data."""
    left, right = np.triu_indices(n_rows)
    keep = (left == right) | (right >= k)
    return left[keep], right[keep]


def _sums(
    rows: np.ndarray, copies: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums of products (n_products, n_resamples), weighted means (n_rows, n_resamples), weights (n_resamples,)."""
    first, second = np.triu_indices(copies.shape[1], 1)
    turned = np.ascontiguousarray(copies.T, dtype=float)
    sums, totals = np.zeros((len(left), len(copies))), np.zeros((len(rows), len(copies)))
    if len(copies) <= _FEW:
        for b, m in enumerate(turned.T):
            heavy = rows * (m[first] * m[second])
            sums[:, b], totals[:, b] = (heavy @ rows.T)[left, right], heavy.sum(axis=1)
        return sums, totals / _weight(turned), _weight(turned)
    for start in range(0, rows.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        weights = turned[first[part]] * turned[second[part]]  # (pair, resample)
        block = rows[:, part]
        sums += (block[left] * block[right]) @ weights
        totals += block @ weights
    return sums, totals / _weight(turned), _weight(turned)


def _weight(turned: np.ndarray) -> np.ndarray:
    """Pairs of each resample, of copies (n_conditions, n_resamples)."""
    return (turned.sum(axis=0) ** 2 - np.sum(turned**2, axis=0)) / 2


def _whitened(
    rows: np.ndarray, copies: np.ndarray, left: np.ndarray, right: np.ndarray, sums: np.ndarray, means: np.ndarray
) -> np.ndarray:
    """Inner products under the inverse covariance of entries; see the head of this module."""
    squares, out = cells_to_square(rows), np.empty_like(sums)
    for start in range(0, len(copies), _RESAMPLES):
        part = slice(start, start + _RESAMPLES)
        drawn = copies[part]  # (resample, condition)
        n = drawn.sum(axis=1, keepdims=True)
        over = drawn / (n + 2 - 2 * drawn)
        row_sums = np.matmul(squares, drawn.T).transpose(2, 0, 1)  # (resample, row, condition)
        row_sums -= (
            means[:, part].T[:, :, None] * (n - drawn)[:, None, :]
        )  # each entry less the mean, over n - m_i others
        heavy = row_sums * over[:, None, :]
        along = heavy.sum(axis=2)
        taken = np.matmul(heavy, row_sums.swapaxes(1, 2))
        taken -= along[:, :, None] * along[:, None, :] / (1 + over.sum(axis=1))[:, None, None]
        out[:, part] = sums[:, part] - taken[:, left, right].T
    return out / 2


def _arranged(sums: np.ndarray, scale: np.ndarray, k: int, s: int, left: np.ndarray, right: np.ndarray) -> Sums:
    n = sums.shape[1]
    own = left == right
    cross, among = np.empty((n, k, s)), np.empty((n, s, s))
    between = (left < k) & (right >= k)
    cross[:, left[between], right[between] - k] = sums[between].T
    data = left >= k
    among[:, left[data] - k, right[data] - k] = among[:, right[data] - k, left[data] - k] = sums[data].T
    diagonal = sums[own].T
    return Sums(cross, diagonal[:, :k], diagonal[:, k:], among, scale.T)
