"""Scores of predictions, target by target: Pearson r, R2, the share of each band in R2, unique R2.

A score that is not defined (a constant target, a value that is not finite) is NaN, never a silent 0.

Source: the product measure is Hoffman 1960 and Pratt 1987; its use for bands is la Tour, Eickenberg, Nunez-Elizalde &
Gallant 2022 (NeuroImage 264:119728), equation 17.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from braindec.errors import BraindecError

__all__ = ["pearson", "r2", "split_r", "split_r2", "unique_r2"]

_BLOCK = 4096  # targets at a time: float64 copies stay small


def pearson(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Correlation of each target with its prediction, (t,); NaN where the target or the prediction is constant."""
    _check(Y, {"P": P})
    r = np.empty(Y.shape[1])
    for block in _blocks(Y.shape[1]):
        y, p = _centred(Y[:, block]), _centred(P[:, block])
        r[block] = _divide(_dot(y, p), np.sqrt(_dot(y, y) * _dot(p, p)))
    return np.clip(r, -1.0, 1.0)


def r2(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Share of the variance of each target (around its own mean) that the prediction explains, (t,); at most 1."""
    _check(Y, {"P": P})
    score = np.empty(Y.shape[1])
    for block in _blocks(Y.shape[1]):
        y, residual = _centred(Y[:, block]), np.asarray(Y[:, block], dtype=np.float64) - P[:, block]
        score[block] = 1.0 - _divide(_dot(residual, residual), _dot(y, y))
    return score


def split_r2(Y: np.ndarray, predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Share of each band in R2 (product measure); the shares sum to R2 of the summed prediction.

    With y and the summed prediction p around the mean of the target, the share of band b is
    sum p_b (2 y - p) / sum y^2. The mean of the target is taken from the bands in equal parts.

    Parameters
    ----------
    Y : array of shape (n, t)
    predictions : mapping of band to array of shape (n, t)
        Their sum is the prediction.

    Returns
    -------
    dict of band to array of shape (t,)
    """
    return _split(Y, predictions, correlation=False)


def split_r(Y: np.ndarray, predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Share of each band in Pearson r: cov(y, p_b) / (sd(y) sd(p)); the shares sum to r of the summed prediction."""
    return _split(Y, predictions, correlation=True)


def unique_r2(full: np.ndarray, reduced: np.ndarray) -> np.ndarray:
    """R2 that is lost when a band is left out: ``full`` minus ``reduced``, (t,)."""
    full, reduced = np.asarray(full, dtype=np.float64), np.asarray(reduced, dtype=np.float64)
    if full.shape != reduced.shape:
        raise BraindecError("unique R2 needs scores of the same targets", found=f"{full.shape} and {reduced.shape}")
    return full - reduced


def _split(Y: np.ndarray, predictions: Mapping[str, np.ndarray], *, correlation: bool) -> dict[str, np.ndarray]:
    if not predictions:
        raise BraindecError("a split score needs the prediction of at least one band", found="none")
    _check(Y, predictions)
    shares = {band: np.empty(Y.shape[1]) for band in predictions}
    for block in _blocks(Y.shape[1]):
        y = np.asarray(Y[:, block], dtype=np.float64)
        mean = y.mean(axis=0)
        y = y - mean
        parts = {
            band: np.asarray(P[:, block], dtype=np.float64) - mean / len(predictions) for band, P in predictions.items()
        }
        if correlation:
            parts = {band: part - part.mean(axis=0) for band, part in parts.items()}
        total = sum(parts.values())
        other = y if correlation else 2.0 * y - total
        scale = np.sqrt(_dot(y, y) * _dot(total, total)) if correlation else _dot(y, y)
        constant = (y == y[:1]).all(axis=0)
        for band, part in parts.items():
            shares[band][block] = np.where(constant, np.nan, _divide(_dot(part, other), scale))
    return shares


def _check(Y: np.ndarray, predictions: Mapping[str, np.ndarray]) -> None:
    shapes = {name: np.shape(P) for name, P in predictions.items()}
    if np.ndim(Y) != 2 or any(shape != np.shape(Y) for shape in shapes.values()):
        raise BraindecError("scores compare arrays of one shape (row, target)", found=f"Y {np.shape(Y)}, {shapes}")


def _blocks(n_targets: int) -> list[slice]:
    return [slice(a, min(a + _BLOCK, n_targets)) for a in range(0, n_targets, _BLOCK)]


def _centred(values: np.ndarray) -> np.ndarray:
    """Float64 values around the mean of each column; a constant column is exactly 0."""
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    centred[:, (values == values[:1]).all(axis=0)] = 0.0
    return centred


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->j", a, b)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b > 0, a / b, np.nan)
