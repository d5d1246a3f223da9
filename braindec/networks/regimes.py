"""How active, how regular, how synchronous a simulated population is, and which of Brunel's regimes that is.

Synchrony is the depth of modulation of the population's rate: ``sqrt(var - mean) / mean`` of its spike counts in bins of
1 ms, so that neurons which fire independently give 0 whatever their rate. The population's frequency is the highest peak
of the spectrum of those counts (Welch, Hann windows). Regularity is the mean CV of the intervals of neurons with at
least four spikes.

Source: Brunel 2000, J. Comput. Neurosci. 8, 183 (regimes; figure 8 and table 1).
Differs from the reference in: numbers instead of pictures tell regimes apart. A finite network is never quite asynchronous:
12,500 neurons in the asynchronous regime have a depth of about 0.5, so the border is put at 0.65.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindec.errors import BraindecError

if TYPE_CHECKING:
    from braindec.networks.simulate import Simulation

__all__ = ["Activity", "activity", "regime", "shifted_depth"]

REGULAR_BELOW = 0.2  # CV
SYNCHRONOUS_ABOVE = 0.65  # depth of modulation
_BIN = 1e-3
_FINE = 5e-4


@dataclass(frozen=True, eq=False)
class Activity:
    """Measures of one run.

    Attributes
    ----------
    rate : float
        Mean rate of a neuron, Hz.
    cv : float
        Mean CV of intervals of neurons with four spikes or more; NaN without any.
    cvs : array
        CV of each of those neurons.
    depth : float
        Depth of modulation of the population's rate in bins of 1 ms.
    fano : float
        Variance over mean of the population's counts in bins of 5 ms.
    frequency : float
        Highest peak of the spectrum of the population's rate between 5 and 900 Hz.
    counts : array of int
        Spikes of the population in bins of 1 ms.
    intervals : array
        Of all neurons, s.
    """

    rate: float
    cv: float
    cvs: np.ndarray
    depth: float
    fano: float
    frequency: float
    counts: np.ndarray
    intervals: np.ndarray


def activity(simulation: Simulation, *, begin: float = 0.0) -> Activity:
    """Measure all recorded populations together, from ``begin`` (s) on.

    Raises
    ------
    BraindecError
        If less than 50 ms are left or nothing was recorded.
    """
    steps, neurons, n, dt = _joined(simulation)
    first, last = _limits(simulation, begin)
    if (last - first) * dt < 0.05:
        raise BraindecError("activity needs 50 ms or more", found=f"{begin:g} to {simulation.stop:g} s")
    keep = steps >= first
    steps, neurons = steps[keep] - first, neurons[keep]
    order = np.lexsort((steps, neurons))
    gaps, same = np.diff(steps[order]), np.diff(neurons[order]) == 0
    owner, gaps = neurons[order][1:][same], gaps[same] * dt
    number = np.bincount(owner, minlength=n)
    mean = np.bincount(owner, gaps, n) / np.maximum(number, 1)
    square = np.bincount(owner, gaps**2, n) / np.maximum(number, 1)
    cvs = (np.sqrt(np.maximum(square - mean**2, 0)) / np.maximum(mean, 1e-12))[number >= 3]
    counts, fine, coarse = (_counts(steps, last - first, max(round(w / dt), 1)) for w in (_BIN, _FINE, 5e-3))
    rate = len(steps) / n / ((last - first) * dt)
    fano = float(coarse.var() / coarse.mean()) if coarse.any() else np.nan
    return Activity(
        rate, float(cvs.mean()) if len(cvs) else np.nan, cvs, _depth(counts), fano, _peak(fine), counts, gaps
    )


def regime(found: Activity) -> str:
    """Return "SR", "SI", "AR" or "AI": synchronous or asynchronous, regular or irregular; "silent" without intervals to tell."""
    if np.isnan(found.cv):
        return "silent"
    return ("S" if found.depth > SYNCHRONOUS_ABOVE else "A") + ("R" if found.cv < REGULAR_BELOW else "I")


def shifted_depth(simulation: Simulation, *, begin: float, n: int, seed: int) -> np.ndarray:
    """Depths of modulation after each neuron's train was shifted in time, round the end, by a random amount; shape (n,).

    Rates and intervals stay, relations between neurons are lost: what independence gives.
    """
    steps, neurons, n_neurons, dt = _joined(simulation)
    first, last = _limits(simulation, begin)
    keep = steps >= first
    steps, neurons, width = steps[keep] - first, neurons[keep], last - first
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        shift = rng.integers(0, width, n_neurons)
        found.append(_depth(_counts((steps + shift[neurons]) % width, width, max(round(_BIN / dt), 1))))
    return np.array(found)


def _limits(simulation: Simulation, begin: float) -> tuple[int, int]:
    """First and last step to look at; a run that went on from another has nothing before its own start."""
    dt = simulation.network.dt
    return max(round(begin / dt), round(simulation.start / dt)), round(simulation.stop / dt)


def _joined(simulation: Simulation) -> tuple[np.ndarray, np.ndarray, int, float]:
    steps, neurons, n = [], [], 0
    for name, found in simulation.steps.items():
        steps.append(found)
        neurons.append(simulation.neurons[name].astype(np.int64) + n)
        n += simulation.network.population(name).n
    if not steps:
        raise BraindecError("no spikes were recorded", fix="Record(spikes=True)")
    return np.concatenate(steps), np.concatenate(neurons), n, simulation.network.dt


def _counts(steps: np.ndarray, n_steps: int, width: int) -> np.ndarray:
    n_bins = n_steps // width
    return np.bincount(steps[steps < n_bins * width] // width, minlength=n_bins)


def _depth(counts: np.ndarray) -> float:
    mean = counts.mean()
    return float(np.sqrt(max(counts.var() - mean, 0.0)) / mean) if mean > 0 else 0.0


def _peak(counts: np.ndarray) -> float:
    from scipy.signal import welch

    if not counts.any():
        return np.nan
    frequencies, power = welch(counts, fs=1 / _FINE, nperseg=min(len(counts), 400), noverlap=None, detrend="constant")
    inside = (frequencies >= 5) & (frequencies <= 900)
    return float(frequencies[inside][power[inside].argmax()])
