"""Fractional ridge: the penalty is said as the length of the coefficients, as a fraction of that of least squares.

For the singular value decomposition X = U S V' and c = U'y, ridge shrinks each coefficient by s^2 / (s^2 + alpha), and the
length of the betas falls with alpha. For each voxel the alpha is found at which it is the wanted fraction: looked up on a
grid, then polished by Newton steps on log(alpha).

Source: Rokem & Kay 2020 (GigaScience 9:giaa133), equations 5-10.
Differs from the reference in: alpha is polished to the fraction asked for, instead of interpolated only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.glm.estimators import Spectrum

__all__ = ["FRACTIONS", "check_fractions", "fractional_betas"]

FRACTIONS = tuple(round(0.05 * k, 2) for k in range(1, 21))
_GRID = 120  # penalties on the grid
_POLISH = 4  # Newton steps


def check_fractions(fractions: Sequence[float]) -> np.ndarray:
    """Return the fractions as a rising array.

    Raises
    ------
    BraindecError
        If there are none, or one is not above 0 and at most 1.
    """
    found = np.unique(np.asarray(list(fractions), dtype=float))
    if not len(found) or not np.isfinite(found).all() or found[0] <= 0 or found[-1] > 1:
        raise BraindecError(
            "fractions lie above 0 and up to 1", found=repr(list(fractions)), fix="e.g. [0.1, 0.2, ..., 1.0]"
        )
    return found


def fractional_betas(spectrum: Spectrum, data: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return ridge betas whose length is a fraction of that of the least-squares betas, voxel by voxel.

    Parameters
    ----------
    spectrum : Spectrum
        Of a run's design.
    data : array of shape (n_times, n_voxels)
        Nuisance taken out.
    fractions : array of shape (n_fractions,) or (1, n_voxels)
        The same fractions for all voxels, or one for each voxel.

    Returns
    -------
    array of shape (n_fractions, n_trials, n_voxels)
    """
    s, scores = spectrum.s, spectrum.u.T @ data  # (rank, voxel)
    base = scores / s[:, None]  # least squares in the basis of V
    fractions = np.asarray(fractions, dtype=float)
    wanted = fractions if fractions.ndim == 2 else np.repeat(fractions[:, None], data.shape[1], axis=1)
    alphas = _penalties(s, base**2, wanted)
    out = np.empty((len(wanted), spectrum.vt.shape[1], data.shape[1]))
    for place, alpha in enumerate(alphas):
        out[place] = spectrum.vt.T @ (base * (s[:, None] ** 2 / (s[:, None] ** 2 + alpha)))
    return out


def _penalties(s: np.ndarray, power: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The alpha of each fraction and voxel, shape (n_fractions, n_voxels); ``power`` (rank, voxel) of least squares."""
    total = power.sum(axis=0)
    power = power / np.where(total > 0, total, 1.0)
    square = s[:, None] ** 2
    low, high = np.log(square.min()) - 20.0, np.log(square.max()) + 12.0
    grid = np.linspace(low, high, _GRID)
    lengths = np.sqrt(((square.T / (square.T + np.exp(grid)[:, None])) ** 2) @ power)  # (alpha, voxel), falling
    alphas = np.zeros_like(wanted)
    for place, fraction in enumerate(wanted):
        above = np.clip((lengths >= fraction).sum(axis=0) - 1, 0, _GRID - 2)
        upper, lower = (np.take_along_axis(lengths, (above + k)[None], axis=0)[0] for k in (0, 1))
        share = np.clip((upper - fraction) / np.maximum(upper - lower, 1e-12), 0.0, 1.0)
        log_alpha = grid[above] + share * (grid[1] - grid[0])
        for _ in range(_POLISH):  # d length^2 / d log(alpha) = -2 sum power shrink^2 (1 - shrink)
            shrink = square / (square + np.exp(log_alpha))
            part = power * shrink**2
            length2, slope = part.sum(axis=0), -2 * (part * (1 - shrink)).sum(axis=0)
            step = (np.log(np.maximum(length2, 1e-300)) - 2 * np.log(fraction)) * length2 / np.minimum(slope, -1e-300)
            log_alpha = np.clip(log_alpha - np.clip(step, -1.0, 1.0), low, high)
        alphas[place] = np.where((fraction >= 1.0) | (total <= 0), 0.0, np.exp(log_alpha))
    return alphas
