"""A made-up population of neurons with known tuning: directions, Poisson spikes, and what an ideal observer could read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Spikes

__all__ = ["TunedPopulation", "tuned_population"]

_DURATION, _LATENCY = 0.5, 0.05  # s of a stimulus, and of the response's delay


@dataclass(frozen=True, eq=False)
class TunedPopulation:
    """Spikes and the truth behind them.

    Parameters
    ----------
    spikes : Spikes
        One event a trial: trial_type is the direction in degrees (three digits), run the quarter of the session.
    rates : array of shape (n_directions, n_units)
        Rate of each unit while a direction is shown, Hz.
    directions : array of shape (n_directions,)
        Degrees.
    duration : float
        How long a direction is shown, s.
    """

    spikes: Spikes
    rates: np.ndarray
    directions: np.ndarray
    duration: float

    def ideal_accuracy(self, n: int = 20_000, seed: int = 0) -> float:
        """Share of directions that an observer who knows all rates names from the spikes of one trial (simulated)."""
        rng = np.random.default_rng(seed)
        shown = rng.integers(len(self.rates), size=n)
        mean = np.maximum(self.rates * self.duration, 1e-12)
        counts = rng.poisson(mean[shown])
        likelihood = counts @ np.log(mean).T - mean.sum(axis=1)
        return float((likelihood.argmax(axis=1) == shown).mean())


def tuned_population(
    *, n_units: int = 40, n_trials: int = 240, n_directions: int = 8, gain: float = 12.0, seed: int = 0
) -> TunedPopulation:
    """Make spikes of units tuned to direction.

    Each unit fires at a baseline of 2 to 8 Hz; 50 ms after a direction is shown, for 0.5 s, ``gain`` times a von Mises curve
    around its preferred direction is added. Directions come in random order, each as often as the others, 0.3 to 0.6 s
    apart, in four runs without a pause.

    Parameters
    ----------
    n_units, n_trials, n_directions : int
        Sizes; trials are dealt evenly to directions.
    gain : float
        Rate at the preferred direction above baseline, Hz; 0 makes units that know nothing.
    seed : int
        Same seed, same spikes.

    Raises
    ------
    BraindecError
        If there are fewer than 4 trials a direction, or a size is not positive.
    """
    if n_units < 1 or not 2 <= n_directions <= 360 or n_trials < 4 * n_directions or not gain >= 0:
        raise BraindecError(
            "a tuned population needs units, two directions, four trials of each and a gain of 0 Hz or more",
            found=f"{n_units} units, {n_directions} directions, {n_trials} trials, gain {gain}",
        )
    rng = np.random.default_rng(seed)
    directions = np.arange(n_directions) * 360.0 / n_directions
    preferred, base = rng.uniform(0, 2 * np.pi, n_units), rng.uniform(2.0, 8.0, n_units)
    tuning = np.exp(2.0 * (np.cos(np.radians(directions)[:, None] - preferred) - 1))
    rates = base + gain * tuning
    shown = np.concatenate([rng.permutation(n_directions) for _ in range(-(-n_trials // n_directions))])[:n_trials]
    onset = 1.0 + np.cumsum(np.r_[0.0, _DURATION + rng.uniform(0.3, 0.6, n_trials - 1)])
    stop = float(np.ceil(onset[-1] + _DURATION + 1.0))
    trains = []
    for unit in range(n_units):
        background = rng.uniform(0, stop, rng.poisson(base[unit] * stop))
        extra = rng.poisson((rates[shown, unit] - base[unit]) * _DURATION)
        driven = np.repeat(onset + _LATENCY, extra) + rng.uniform(0, _DURATION, extra.sum())
        trains.append(np.sort(np.r_[background, driven]))
    events = pd.DataFrame({
        "onset": onset, "duration": _DURATION, "trial_type": [f"{d:03.0f}" for d in directions[shown]],
        "run": [str(r + 1) for r in np.arange(n_trials) * 4 // n_trials],
    })  # fmt: skip
    units = pd.DataFrame({"name": [f"unit{i:03d}" for i in range(n_units)], "preferred": np.degrees(preferred)})
    info = {"subject": "simulated", "dataset": "tuned population", "modality": "spikes"}
    spikes = Spikes.from_trains(trains, start=0.0, stop=stop, units=units, events=events, info=info)
    return TunedPopulation(spikes, rates, directions, _DURATION)
