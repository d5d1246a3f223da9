"""Noise regressors: principal components of voxels that the task does not drive, as many as help to predict held-out runs.

The noise pool are bright voxels in which the ON-OFF model explains nothing of held-out runs. The components of a run are
made of that run's own data (nuisance taken out, each voxel of unit length), so a run needs no other for them; only which
voxels make up the pool, and how many components are taken, is learned, from training runs.

Source: Kay, Rokem, Winawer, Dougherty & Wandell 2013 (Frontiers in Neuroscience 7:247), GLMdenoise; Prince et al. 2022
(eLife 11:e77599).
Differs from the reference in: the data that are predicted are the same for every number of components (those before
denoising), so a number cannot win by removing variance of the target.
"""

from __future__ import annotations

import numpy as np

__all__ = ["choose_number", "noise_components", "noise_pool"]

_WITHIN = 0.05  # the smallest number within this share of the best improvement is taken


def noise_pool(r2: np.ndarray, intensity: np.ndarray, *, threshold: float, bright: float) -> np.ndarray:
    """Return which voxels are in the pool, shape (n_voxels,), bool.

    Parameters
    ----------
    r2 : array of shape (n_voxels,)
        Cross-validated R2 of the ON-OFF model; NaN for unusable voxels.
    intensity : array of shape (n_voxels,)
        Mean over training runs.
    threshold : float
        R2 below it.
    bright : float
        Intensity above this share of the 99th percentile; below it are voxels outside the brain. Not used for data
        without a baseline (a 99th percentile that is not positive, or means of both signs).
    """
    usable = np.isfinite(r2)
    pool = usable & (np.nan_to_num(r2, nan=np.inf) < threshold)
    top = np.percentile(intensity[usable], 99) if usable.any() else 0.0
    if top > 0 and np.median(intensity[usable]) > 0:
        pool &= intensity > bright * top
    return pool


def noise_components(cross: np.ndarray, n: int) -> np.ndarray:
    """Return the first ``n`` temporal components of the pool, orthonormal, shape (n_times, n).

    Parameters
    ----------
    cross : array of shape (n_times, n_times)
        Sum over the pool of the outer products of time courses of unit length.
    """
    values, vectors = np.linalg.eigh(cross)
    order = np.argsort(values)[::-1][:n]
    kept = values[order] > 1e-9 * max(values.max(initial=0.0), 1e-300)
    return vectors[:, order[kept]]


def choose_number(scores: np.ndarray) -> tuple[int, np.ndarray]:
    """Choose how many components, and return the curve that was looked at.

    Parameters
    ----------
    scores : array of shape (n_numbers, n_voxels)
        Cross-validated R2 with 0, 1, 2, ... components; NaN for voxels that do not count.

    Returns
    -------
    n : int
        The smallest number whose median improvement is within 5 % of the best one.
    curve : array of shape (n_numbers,)
        Median R2 over voxels that any number predicts (R2 above 0); NaN when there is none.
    """
    with np.errstate(invalid="ignore"):
        counted = np.isfinite(scores).all(axis=0) & (np.nanmax(scores, axis=0, initial=-np.inf) > 0)
    if not counted.any():
        return 0, np.full(len(scores), np.nan)
    curve = np.median(scores[:, counted], axis=1)
    gain = curve - curve[0]
    return (int(np.argmax(gain >= (1 - _WITHIN) * gain.max())) if gain.max() > 0 else 0), curve
