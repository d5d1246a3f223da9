"""Fit lag curves of attention with lag-CRP curves of a grid: all heads against all cells in one matrix product.

Source: Ji-An, Zhou, Benna & Mattar 2024 (NeurIPS): curves are shifted to a minimum of 0, the CRP is scaled to the maximum
of the attention, and the distance is the mean squared difference over the variance of the attention.
Differs from the reference in: a head counts as CMR-like only if, besides a distance below 0.5, its parameters do not lie
in a corner of the grid and it is an induction head. Distance alone is degenerate: in GPT-2 small 68 of 144 heads pass,
and the best of them attends to one token only and has no induction score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from braindec.errors import BraindecError
from braindec.llm.scores._cmr_model import CMRGrid

__all__ = ["CMRFit", "cmr_like", "fit_cmr"]

MAX_DISTANCE, MIN_INDUCTION = 0.5, 0.1
_CLOSE = 1e-7  # cells this close to the best one are compared again without cancellation


class CMRFit(NamedTuple):
    """The best cell of each head: ``distance`` (head,), ``params`` (head, 3), ``curve`` (head, lag) in the scale of the
    shifted attention, and ``corner`` (head,): at least two parameters at the end of their axis."""

    distance: np.ndarray
    params: np.ndarray
    curve: np.ndarray
    corner: np.ndarray


def fit_cmr(attention: np.ndarray, grid: CMRGrid) -> CMRFit:
    """Return the CMR parameters whose lag-CRP is nearest to the attention of each head.

    Parameters
    ----------
    attention : array of shape (n_heads, n_lags)
        Attention scores (before the softmax, or logarithms of attention) by lag. A flat curve has no fit: NaN.
    grid : CMRGrid
        Flat curves of the grid are left out. Of equal cells the first is taken.

    Raises
    ------
    BraindecError
        If shapes do not fit or attention is not finite.
    """
    attention = np.asarray(attention, dtype=float)
    if attention.ndim != 2 or attention.shape[1] != grid.crp.shape[-1]:
        raise BraindecError("attention must be (head, lag) with the lags of the grid",
                            found=f"{attention.shape}, grid {grid.crp.shape}")  # fmt: skip
    if not np.isfinite(attention).all():
        raise BraindecError("attention by lag is not finite", found=f"{int((~np.isfinite(attention)).sum())} values")
    cells = np.asarray(grid.crp, dtype=float).reshape(-1, attention.shape[1])
    cells = cells - cells.min(axis=1, keepdims=True)
    peak = cells.max(axis=1)
    usable = np.flatnonzero(peak > 0)
    cells = cells[usable] / peak[usable, None]  # (cell, lag), 0 to 1
    shifted = attention - attention.min(axis=1, keepdims=True)
    top = shifted.max(axis=1)
    variance = shifted.var(axis=1)
    curved = top > 0
    scaled = shifted / np.where(curved, top, 1.0)[:, None]
    rough = np.square(cells).mean(axis=1) - 2 * (scaled @ cells.T) / cells.shape[1]  # (head, cell), but for a constant
    best = rough.argmin(axis=1)
    lowest = rough[np.arange(len(rough)), best]
    for head in np.flatnonzero((rough <= lowest[:, None] + _CLOSE).sum(axis=1) > 1):
        close = np.flatnonzero(rough[head] <= lowest[head] + _CLOSE)
        best[head] = close[np.square(cells[close] * top[head] - shifted[head]).mean(axis=1).argmin()]
    curve = cells[best] * top[:, None]
    distance = np.square(curve - shifted).mean(axis=1) / np.where(curved, variance, np.nan)
    place = np.stack(np.unravel_index(usable[best], grid.crp.shape[:3]), axis=1)  # (head, 3)
    axes = (grid.beta_enc, grid.beta_rec, grid.gamma_ft)
    params = np.stack([axis[p] for axis, p in zip(axes, place.T, strict=True)], axis=1)
    ends = np.stack([(p == 0) | (p == len(axis) - 1) for axis, p in zip(axes, place.T, strict=True)])
    params[~curved], curve[~curved] = np.nan, np.nan
    return CMRFit(distance, params, curve, ends.sum(axis=0) >= 2)


def cmr_like(
    distance: np.ndarray, corner: np.ndarray, induction: np.ndarray, *, copying: np.ndarray | None = None,
    max_distance: float = MAX_DISTANCE, min_induction: float = MIN_INDUCTION,
) -> np.ndarray:  # fmt: skip
    """Return which heads count as CMR-like.

    They have a distance below ``max_distance``, parameters that are not in a corner, an induction score of at least
    ``min_induction`` and, where copying scores are given, one above 0.
    """
    with np.errstate(invalid="ignore"):
        like = (np.asarray(distance) < max_distance) & ~np.asarray(corner) & (np.asarray(induction) >= min_induction)
        return like if copying is None else like & (np.asarray(copying) > 0)
