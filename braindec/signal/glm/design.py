"""Design matrices of single trials: one column a trial, nuisance columns of each run, and FIR designs.

A trial's column is the response to its event, a box of its duration convolved with a hemodynamic response, sampled at
the volumes. The running integral of the response is tabulated at a high temporal resolution and read at the exact lags
between volumes and onsets (a box convolved is a difference of two integrals), so onsets are never rounded to a grid.
Everything is made run by run: nothing of one run reaches another.

Source: Friston et al. 1998 (NeuroImage 7) for the convolved design; Kay, Rokem, Winawer, Dougherty & Wandell 2013
(Frontiers in Neuroscience 7:247), Methods, for polynomials whose degree grows with the run; Dale 1999 (Human Brain
Mapping 8) for FIR designs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.glm.hrf_library import STEP

__all__ = ["drift_columns", "fir_design", "nuisance_basis", "polynomial_degree", "trial_regressors"]

_TINY = 1e-8  # relative size below which a column counts as spanned by others


def trial_regressors(
    onsets: np.ndarray, durations: np.ndarray, hrfs: np.ndarray, *, times: np.ndarray, step: float = STEP
) -> np.ndarray:
    """Return the response to each event for each hemodynamic response, each with a peak of 1.

    Parameters
    ----------
    onsets, durations : array of shape (n_trials,)
        s; a duration of 0 is an impulse.
    hrfs : array of shape (n_hrfs, n_samples)
        Responses to an impulse, every ``step`` s from 0.
    times : array of shape (n_times,)
        When the volumes were taken, s: ``(k + slice_time_ref) / sfreq``.
    step : float
        s.

    Returns
    -------
    array of shape (n_hrfs, n_times, n_trials)
        Scaled so that the response to each event, wherever the volumes lie, peaks at 1: a beta is the height of the
        peak of the response to its event.
    """
    onsets, durations = np.asarray(onsets, dtype=float), np.asarray(durations, dtype=float)
    hrfs = np.atleast_2d(np.asarray(hrfs, dtype=float))
    lags = np.asarray(times, dtype=float)[:, None] - onsets[None, :]  # (time, trial)
    grid = np.arange(hrfs.shape[1]) * step
    found = np.empty((len(hrfs), *lags.shape))
    lengths, which = np.unique(durations, return_inverse=True)
    for number, response in enumerate(hrfs):
        total = np.concatenate([[0.0], np.cumsum((response[1:] + response[:-1]) / 2) * step])  # trapezoids
        for place, length in enumerate(lengths):
            mine = which == place
            found[number][:, mine] = _response(lags[:, mine], length, grid, response, total)
            fine = np.arange(0.0, grid[-1] + length + step, step)
            peak = np.abs(_response(fine, length, grid, response, total)).max()
            found[number][:, mine] /= peak
    return found


def _response(lags: np.ndarray, length: float, grid: np.ndarray, response: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Response ``lags`` s after the onset of an event of ``length`` s; 0 before it."""
    if length <= 0:
        return np.interp(lags, grid, response, left=0.0, right=0.0)
    return np.interp(lags, grid, total) - np.interp(lags - length, grid, total)


def fir_design(onsets: np.ndarray, *, delays: Sequence[int], n_times: int, sfreq: float) -> np.ndarray:
    """Return one column a delay, 1 in the volume that lies ``delay`` volumes after that of an event.

    Parameters
    ----------
    onsets : array of shape (n_events,)
        s from the first volume of this run.
    delays : sequence of int
        Volumes; may be negative.
    n_times : int
        Volumes of this run. What would fall outside is cut off: no delay reaches into another run.
    sfreq : float
        1 / TR, Hz.

    Returns
    -------
    array of shape (n_times, n_delays)
        Events that fall on one volume add up.
    """
    volumes = np.floor(np.asarray(onsets, dtype=float) * sfreq + 1e-6).astype(int)
    design = np.zeros((n_times, len(delays)))
    for column, delay in enumerate(delays):
        place = volumes + int(delay)
        np.add.at(design[:, column], place[(place >= 0) & (place < n_times)], 1.0)
    return design


def polynomial_degree(n_times: int, sfreq: float) -> int:
    """Return the degree of the drift of a run: half its length in minutes, rounded, and at least 1 (Kay et al. 2013)."""
    return max(1, round(n_times / sfreq / 60 / 2))


def drift_columns(
    n_times: int, sfreq: float, drift: str | int = "polynomial", *, high_pass: float = 1 / 128
) -> np.ndarray:
    """Return a constant and slow courses, shape (n_times, n_columns), orthonormal.

    Parameters
    ----------
    drift : {"polynomial", "cosine"} or int
        Legendre polynomials of a degree by the length of the run, discrete cosines slower than ``high_pass`` Hz, or the
        degree of the polynomials (0: the mean only).

    Raises
    ------
    BraindecError
        If ``drift`` is none of these, or leaves no degree of freedom.
    """
    if drift == "cosine":
        n = int(np.floor(2 * n_times / sfreq * high_pass))
        place = (np.arange(n_times) + 0.5) / n_times
        columns = np.cos(np.pi * place[:, None] * np.arange(n + 1))
    elif drift == "polynomial" or (isinstance(drift, (int, np.integer)) and not isinstance(drift, bool) and drift >= 0):
        degree = polynomial_degree(n_times, sfreq) if drift == "polynomial" else int(drift)
        columns = np.polynomial.legendre.legvander(np.linspace(-1, 1, n_times), degree)
    else:
        raise BraindecError(f"drift={drift!r} is unknown", allowed='"polynomial", "cosine", or a degree of 0 or more')
    if columns.shape[1] >= n_times:
        raise BraindecError("the drift has as many columns as the run has volumes", found=f"{columns.shape}")
    return np.linalg.qr(columns)[0]


def nuisance_basis(drift: np.ndarray, confounds: np.ndarray | None = None, *, label: str = "run") -> np.ndarray:
    """Return an orthonormal basis of drift and confounds, shape (n_times, rank).

    Parameters
    ----------
    drift : array of shape (n_times, n_drift)
        Orthonormal, with the constant.
    confounds : array of shape (n_times, n_confounds), optional
        NaN in leading rows (derivatives have no first value) is replaced by the column's mean.
    label : str
        The run, for messages.

    Raises
    ------
    BraindecError
        If rows differ in number, a value is missing after the first good one, or no degree of freedom is left.
    """
    if confounds is None or not np.size(confounds):
        return drift
    table = np.array(confounds, dtype=float).reshape(len(confounds), -1)
    if len(table) != len(drift):
        raise BraindecError(
            f"{label}: confounds need one row a volume", found=f"{len(table)} rows, {len(drift)} volumes"
        )
    bad = ~np.isfinite(table)
    leading = np.logical_and.accumulate(bad, axis=0)
    if (bad & ~leading).any() or leading.all(axis=0).any():
        columns = np.flatnonzero((bad & ~leading).any(axis=0) | leading.all(axis=0))
        raise BraindecError(f"{label}: confounds have holes after their first value",
                            found=f"columns {columns[:8].tolist()}", fix="leave these columns out")  # fmt: skip
    table[bad] = np.nanmean(table, axis=0)[np.nonzero(bad)[1]]
    table -= drift @ (drift.T @ table)
    size = np.linalg.norm(table, axis=0)
    table = table[:, size > _TINY * np.sqrt(len(table))] / size[size > _TINY * np.sqrt(len(table))]
    u, s, _ = np.linalg.svd(table, full_matrices=False)
    basis = np.concatenate([drift, u[:, s > _TINY * s.max(initial=0.0)]], axis=1)
    if basis.shape[1] >= len(drift):
        raise BraindecError(f"{label}: drift and confounds leave no degree of freedom",
                            found=f"{basis.shape[1]} columns, {len(drift)} volumes")  # fmt: skip
    return basis
