"""Does an output change before its input does? The executed test of causality.

Noise goes through a function twice, the second time with one sample raised. What comes out before that sample must be the
same both times. Nothing is assumed of the function: filters, scaling by a whole run, resampling and steps that are not
linear are all found out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_SIZE = 300.0  # of the raised sample, in standard deviations of the noise
_SMALL = 1e-7  # of the largest change: what rounding to float32 makes

Run = Callable[[np.ndarray], tuple[np.ndarray, float]]


def lead_of(
    run: Run, *, n_channels: int, sfreq: float, seconds: float = 4.0, scale: float = 1e-5, seed: int = 0
) -> float:
    """Return for how long before a sample the output of ``run`` knows of it, s; 0.0 when it is causal.

    Parameters
    ----------
    run : callable
        (channel, time) at ``sfreq`` -> ((channel, time), sampling frequency of the output). Sample k of the output is at
        ``k / sfreq_out`` s.
    n_channels : int
    sfreq : float
        Hz.
    seconds : float
        Length of the noise.
    scale : float
        Standard deviation of the noise, in the unit of the signal.
    seed : int
        Of the noise.
    """
    rng = np.random.default_rng([seed, 17])
    n_times = max(64, round(seconds * sfreq))
    noise = scale * rng.standard_normal((n_channels, n_times))
    before, rate = run(noise.copy())
    lead = 0.0
    for place in (min(6, n_times // 8), n_times // 2, n_times - 2):
        raised = noise.copy()
        raised[:, place] += _SIZE * scale
        after, _ = run(raised)
        if after.shape != before.shape:
            return float(seconds)
        change = np.abs(np.asarray(after, dtype=np.float64) - before).max(axis=0)
        known = np.flatnonzero(change > _SMALL * max(change.max(), 1e-300))
        if len(known):
            lead = max(lead, place / sfreq - known[0] / rate)
    return float(lead) if lead > 1e-9 else 0.0
