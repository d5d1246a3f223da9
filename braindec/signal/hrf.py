"""The hemodynamic response: how BOLD follows a short event, and what that does to event tables.

The canonical response is the difference of two gamma densities: a peak 5 s after the event and an undershoot about 10 s
later, of a sixth of its weight.

Source: Friston, Fletcher, Josephs, Holmes, Rugg & Turner (1998, NeuroImage 7); parameters of SPM's ``spm_hrf``
(6, 16, 1, 1, 6, 0, 32).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import gamma

from braindec.errors import BraindecError
from braindec.signal.events import label_text

__all__ = ["LENGTH", "canonical_hrf", "peak_delay", "regressors"]

LENGTH = 32.0  # s
_STEP = 0.01  # s, of the numerical peak


def canonical_hrf(
    times: np.ndarray, *, peak: float = 6.0, undershoot: float = 16.0, dispersion: float = 1.0,
    undershoot_dispersion: float = 1.0, ratio: float = 6.0,
) -> np.ndarray:  # fmt: skip
    """Return the response at ``times`` s after a short event, scaled to an integral of 1 over time.

    Parameters
    ----------
    times : array of float
        s; 0 before the event.
    peak, undershoot : float
        Delays of the two gamma densities in s (their modes lie one dispersion earlier).
    dispersion, undershoot_dispersion : float
        Their widths in s.
    ratio : float
        Weight of the peak against the undershoot.

    Raises
    ------
    BraindecError
        If a parameter is not positive, or ``ratio`` is not above 1.
    """
    if min(peak, undershoot, dispersion, undershoot_dispersion) <= 0 or ratio <= 1:
        raise BraindecError("the parameters of the hemodynamic response must be positive, ratio above 1",
                            found=f"{peak}, {undershoot}, {dispersion}, {undershoot_dispersion}, {ratio}")  # fmt: skip
    t = np.asarray(times, dtype=float)
    rise = gamma.pdf(t, peak / dispersion, scale=dispersion)
    fall = gamma.pdf(t, undershoot / undershoot_dispersion, scale=undershoot_dispersion)
    return (rise - fall / ratio) / (1 - 1 / ratio)


def peak_delay(duration: float = 0.0) -> float:
    """Return how many s after its onset an event of ``duration`` s has its greatest canonical response.

    About 5 s for a short event; a good ``delay`` for :func:`braindec.signal.windows.volume_windows`, whose volumes are
    labelled by what was on ``delay`` s before, is ``peak_delay()``.
    """
    if not (np.isfinite(duration) and duration >= 0):
        raise BraindecError("a duration must be 0 or more s", found=repr(duration))
    t = np.arange(0, LENGTH + duration, _STEP)
    rise = np.cumsum(canonical_hrf(t)) if duration >= _STEP else canonical_hrf(t)
    lag = round(duration / _STEP)
    response = rise - np.concatenate([np.zeros(lag), rise[: len(rise) - lag]]) if duration >= _STEP else rise
    return float(t[np.argmax(response)])


def regressors(
    events: pd.DataFrame,
    *,
    sfreq: float,
    n_times: int,
    column: str = "trial_type",
    modulation: str | None = None,
    oversampling: int = 16,
    start: float = 0.0,
) -> pd.DataFrame:
    """Convolve the events of each label with the canonical response.

    Parameters
    ----------
    events : DataFrame
        onset and duration in s, and ``column``; rows whose label is n/a are left out.
    sfreq : float
        1 / TR in Hz.
    n_times : int
        Volumes of the run.
    column : str
        One regressor for each value of it.
    modulation : str, optional
        A column of numbers that scales each event; 1 otherwise.
    oversampling : int
        Steps in one TR at which events are laid down.
    start : float
        Time in s of the first volume (the middle of its slices: ``TR / 2`` without slice-time correction).

    Returns
    -------
    DataFrame of shape (n_times, n_labels)
        A long block has a response of 1; an event shorter than a step counts as one step.

    Raises
    ------
    BraindecError
        If a column is missing or a number is not finite.
    """
    missing = [c for c in ("onset", "duration", column, modulation) if c is not None and c not in events]
    if missing:
        raise BraindecError(f"the events have no column {missing[0]!r}", allowed=", ".join(map(str, events.columns)))
    labels = np.array([label_text(v) for v in events[column]], dtype=object)
    kept = events[pd.notna(labels)]
    labels = labels[pd.notna(labels)]
    numbers = kept[[c for c in ("onset", "duration", modulation) if c is not None]].apply(
        pd.to_numeric, errors="coerce"
    )
    numbers["duration"] = numbers["duration"].fillna(0.0)
    if not np.isfinite(numbers.to_numpy(dtype=float)).all():
        raise BraindecError(
            "events for regressors need finite onsets and modulations",
            found=f"{int(numbers.isna().any(axis=1).sum())} rows",
        )
    fine = sfreq * oversampling
    lead = round(LENGTH * fine)  # events before the run still respond in it
    n_fine = lead + n_times * oversampling + int(np.ceil(max(start, 0) * fine)) + 1
    response = canonical_hrf(np.arange(lead) / fine) / fine
    begin = np.round(numbers["onset"].to_numpy(dtype=float) * fine).astype(int) + lead
    end = np.maximum(
        np.round((numbers["onset"] + numbers["duration"]).to_numpy(dtype=float) * fine).astype(int) + lead, begin + 1
    )
    weight = numbers[modulation].to_numpy(dtype=float) if modulation else np.ones(len(kept))
    sampled = lead + np.round((start + np.arange(n_times) / sfreq) * fine).astype(int)
    columns = {}
    for label in sorted(set(labels)):
        course = np.zeros(n_fine)
        for row in np.flatnonzero(labels == label):
            course[max(begin[row], 0) : max(min(end[row], n_fine), 0)] += weight[row]
        columns[label] = np.convolve(course, response)[sampled]
    return pd.DataFrame(columns, index=np.arange(n_times))
