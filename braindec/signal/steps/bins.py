"""Bins: the mean of each channel over bins of time, as a slower signal."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import by_channel
from braindec.signal.steps._check import positive
from braindec.types import Recording

__all__ = ["bins"]
VERSION = 1


def bins(recording: Recording, *, width: float, causal: bool = False) -> Recording:
    """Average over bins of ``width`` s.

    Parameters
    ----------
    recording : Recording
        Power, for example (step band_power): nothing keeps faster rhythms from folding back. Trigger channels take the
        value at the time of the bin.
    width : float
        s, rounded to samples; the new sampling frequency is 1 / width.
    causal : bool
        A bin ends at its time, so that no later sample is in it; the first, which has no past, takes the value of the second.
        Otherwise a bin begins at its time.

    Returns
    -------
    Recording
        Events keep their onsets in s; their column ``sample`` is dropped.

    Raises
    ------
    BraindecError
        If a bin holds no sample, or the run less than two bins.
    """
    size = round(positive(width, "width", "s") * recording.sfreq)
    n_bins = recording.n_times // size if size else 0
    if n_bins < 2:
        raise BraindecError(
            f"{recording.label}: bins of {width:g} s leave less than two", found=f"{recording.n_times} samples at {recording.sfreq:g} Hz",
            fix="use shorter bins" if size else "a bin must hold a sample: use a longer width",
        )  # fmt: skip
    used = n_bins * size

    def average(block: np.ndarray) -> np.ndarray:
        if causal:  # the last sample of bin k is k * size
            block = np.concatenate([np.zeros((len(block), size - 1)), block], axis=1)
        found = block[:, :used].reshape(len(block), n_bins, size).mean(axis=2)
        if causal:
            found[:, 0] = found[:, 1]
        return found

    return by_channel(
        recording, average, n_times=n_bins, stim=lambda block: block[:, :used:size], sfreq=recording.sfreq / size,
        events=recording.events.drop(columns="sample", errors="ignore"),
        lowpass=min(float(recording.info.get("lowpass") or np.inf), recording.sfreq / size / 2),
    )  # fmt: skip
