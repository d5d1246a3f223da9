"""Bands that know nothing of the stimulus: place in the run, rate of events, and neighbourhood in time.

A model of the brain that does not beat them has shown that responses drift or follow the pace of the stimulus, not what the
stimulus means. Neighbourhood in time (OASM) is the sharpest detector of a split that leaks: it holds no stimulus at all,
and scores high when neighbouring rows stand on both sides of a split.

Source: Feghhi, Hadidi, Song, Blank & Kao 2024 (arXiv:2406.01538) for orthogonal autocorrelated sequences (OASM) and the
simple baselines; Hadidi et al. 2025 (bioRxiv 2025.03.09.642245).
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.delays import run_blocks

__all__ = ["oasm_band", "position_band", "rate_band"]


def position_band(n: int, *, runs: np.ndarray | None = None, degree: int = 3) -> np.ndarray:
    """Legendre polynomials of the place within each run, without the constant, (n, degree)."""
    if degree < 1:
        raise BraindecError("the degree of a position band is at least 1", found=repr(degree))
    out = np.zeros((n, degree))
    for start, stop in run_blocks(runs, n):
        place = np.linspace(-1, 1, stop - start) if stop - start > 1 else np.zeros(1)
        out[start:stop] = np.polynomial.legendre.legvander(place, degree)[:, 1:]
    return out


def oasm_band(n: int, *, blocks: np.ndarray | None = None, sigma: float = 2.0) -> np.ndarray:
    """Orthogonal autocorrelated sequences: an identity matrix, smoothed within blocks by a Gaussian, (n, n).

    Each row has its own column, and shares it with its neighbours in time; rows of different blocks (runs, passages,
    stories) share nothing.

    Parameters
    ----------
    n : int
        Rows.
    blocks : array of shape (n,), optional
        Block of each row; one block by default.
    sigma : float
        Width of the Gaussian in rows.
    """
    from scipy.ndimage import gaussian_filter1d

    if not sigma > 0:
        raise BraindecError("sigma of OASM is a number of rows above 0", found=repr(sigma))
    out = np.zeros((n, n))
    for start, stop in run_blocks(blocks, n):
        out[start:stop, start:stop] = gaussian_filter1d(np.eye(stop - start), sigma, axis=0, mode="constant")
    return out


def rate_band(onsets: np.ndarray, times: np.ndarray, *, step: float) -> np.ndarray:
    """Number of events (words, phonemes, cuts) that begin during each row, (n, 1).

    Parameters
    ----------
    onsets : array of shape (n_events,)
        s on the clock of ``times``.
    times : array of shape (n,)
        Begin of each row in s; rows last ``step``.
    step : float
        s.
    """
    onsets, times = np.sort(np.asarray(onsets, dtype=float)), np.asarray(times, dtype=float)
    if not np.isfinite(onsets).all() or not np.isfinite(times).all() or not step > 0:
        raise BraindecError("a rate needs finite times and a positive step", found=f"step {step}")
    return (np.searchsorted(onsets, times + step) - np.searchsorted(onsets, times)).astype(float)[:, None]
