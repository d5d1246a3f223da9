"""A made-up recording of spikes and a field of which everything is known: rates, irregularity, tuning, a pair, locking.

Each unit is a gamma renewal process in operational time, so that its local variation is 3 / (2 shape + 1) whatever its rate
does, but for spikes less than 2 ms after another, which are left out (some 2 % at 12 Hz). The rate is base x tuning x exp(gain x - gain^2 / 2), x the rhythm in the field with variance 1: the mean rate does not
depend on the locking, and the phase density of the spikes grows with the gain. One pair shares extra spikes.

Source: Cox 1962 (Renewal Theory, chapter 2); Brown et al. 2002 (Neural Computation 14:325) for operational time; Shinomoto et
al. 2003 for the local variation of gamma processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.stats.asked import number, whole
from braindec.types import Spikes

__all__ = ["PlantedRecording", "planted_recording"]

_STEP = 0.001  # s, of the rates
_DEAD = 0.002  # s after a spike in which there is no other
_STIMULUS = (0.1, 0.9)  # s after onset: when tuned units differ


@dataclass(frozen=True)
class PlantedRecording:
    """A recording and its truth.

    Parameters
    ----------
    spikes : Spikes
        ``events`` has onset, duration and trial_type ("left", "right").
    field : array of shape (n_samples,)
        Rhythm and noise, in units of the rhythm's standard deviation.
    sfreq : float
        Of the field, Hz; its first sample is at 0 s.
    rhythm : float
        Hz.
    truth : DataFrame
        One row a unit: rate (Hz, mean of the base), shape, lv (local variation), tuning (rate in "right" over "left"), gain
        (of the locking), partner (row of the unit it shares spikes with, or -1).
    """

    spikes: Spikes
    field: np.ndarray
    sfreq: float
    rhythm: float
    truth: pd.DataFrame


def planted_recording(
    *, n_units: int = 12, n_trials: int = 120, duration: float = 1.2, pause: float = 0.5, rhythm: float = 20.0, noise: float = 0.5,
    tuning: float = 2.0, gain: float = 0.4, shape: float = 4.0, shared: float = 1.0, sfreq: float = 500.0, seed: int = 0,
) -> PlantedRecording:  # fmt: skip
    """Make a recording: a third of the units is tuned, a third locked, a third regular, and the last two share spikes.

    Parameters
    ----------
    n_units, n_trials : int
        At least 6 and 10.
    duration, pause : float
        Of a trial, and between trials, s; all of it is recorded.
    rhythm : float
        Frequency of the field's rhythm, Hz.
    noise : float
        Standard deviation of white noise in the field.
    tuning : float
        Rate of tuned units in "right" over that in "left" while the stimulus lasts; 1 plants nothing.
    gain : float
        Of the locking; 0 plants nothing.
    shape : float
        Of the intervals of regular units; 1 plants nothing.
    shared : float
        Spikes a second that the pair shares, within 1 ms; 0 plants nothing.
    sfreq : float
        Of the field, Hz.
    seed : int
        Source of chance.
    """
    n_units, n_trials = whole(n_units, "n_units", least=6), whole(n_trials, "n_trials", least=10)
    for value, name in ((duration, "duration"), (tuning, "tuning"), (shape, "shape"), (sfreq, "sfreq")):
        number(value, name, least=0, ends=False)
    for value, name in ((pause, "pause"), (noise, "noise"), (gain, "gain"), (shared, "shared")):
        number(value, name, least=0)
    if duration <= _STIMULUS[1] or not 0 < rhythm < sfreq / 2.5:
        raise BraindecError("a trial must be longer than its stimulus, and the rhythm below 0.4 of the sampling frequency",
                            found=f"{duration:g} s; {rhythm:g} Hz at {sfreq:g} Hz", allowed=f"above {_STIMULUS[1]:g} s; below {sfreq / 2.5:g} Hz")  # fmt: skip
    rng = np.random.default_rng(seed)
    seconds = n_trials * (duration + pause) + pause
    onset = pause + np.arange(n_trials) * (duration + pause)
    side = rng.permutation(np.resize(["left", "right"], n_trials))
    wave = _rhythm(seconds, rhythm, rng)
    every = round(1 / (sfreq * _STEP)) if sfreq < 1 / _STEP else 1
    field = wave[::every] + noise * rng.standard_normal(len(wave[::every]))
    truth = _plan(n_units, tuning, gain, shape, rng)
    t = np.arange(len(wave)) * _STEP
    inside = np.zeros(len(t), dtype=int)  # 0: no stimulus, 1: left, 2: right
    for when, where in zip(onset, side, strict=True):
        inside[(t >= when + _STIMULUS[0]) & (t < when + _STIMULUS[1])] = 1 if where == "left" else 2
    trains = [_train(row, wave, inside, rng) for row in truth.itertuples()]
    both = np.sort(rng.uniform(0, seconds - 0.01, rng.poisson(shared * seconds)))
    for u in (n_units - 2, n_units - 1):
        trains[u] = np.sort(np.concatenate([trains[u], both + rng.uniform(0, 1e-3, len(both))]))
    if shared > 0:
        truth.loc[[n_units - 2, n_units - 1], "partner"] = [n_units - 1, n_units - 2]
    trains = [_refractory(t) for t in trains]
    units = pd.DataFrame({"name": [f"unit{u + 1:02d}" for u in range(n_units)]})
    events = pd.DataFrame({"onset": onset, "duration": duration, "trial_type": side})
    spikes = Spikes.from_trains(
        trains, start=0.0, stop=float(seconds), units=units, events=events, info={"modality": "spikes"}
    )
    return PlantedRecording(spikes, field, 1 / (_STEP * every), float(rhythm), truth.assign(name=units["name"]))


def _plan(n: int, tuning: float, gain: float, shape: float, rng: np.random.Generator) -> pd.DataFrame:
    """Which unit has what: parts that overlap, so that no one property tells another; the last two have none."""
    u = np.arange(n)
    free = u < n - 2
    kind = np.where(free & (u % 3 == 2), shape, 1.0)
    return pd.DataFrame({"rate": rng.uniform(8.0, 20.0, n), "shape": kind, "lv": 3 / (2 * kind + 1), "tuning": np.where(free & (u % 3 == 0), tuning, 1.0),
                         "gain": np.where(free & ((u // 2) % 2 == 0), gain, 0.0), "partner": -1})  # fmt: skip


def _rhythm(seconds: float, frequency: float, rng: np.random.Generator) -> np.ndarray:
    """Noise in a band of 1.5 Hz around the frequency, variance 1."""
    n = round(seconds / _STEP)
    f = np.fft.rfftfreq(n, _STEP)
    weight = np.exp(-0.5 * ((f - frequency) / 1.5) ** 2)
    wave = np.fft.irfft(weight * (rng.standard_normal(len(f)) + 1j * rng.standard_normal(len(f))), n)
    return wave / wave.std()


def _train(row, wave: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # type: ignore[no-untyped-def]
    """A gamma process in operational time, the integral of the rate."""
    side = np.sqrt(row.tuning)
    rate = row.rate * np.array([1.0, 1 / side, side])[inside] * np.exp(row.gain * wave - row.gain**2 / 2)
    operational = np.append(0.0, np.cumsum(rate) * _STEP)
    total = operational[-1]
    intervals = rng.gamma(row.shape, 1 / row.shape, int(total + 10 * np.sqrt(total) + 50))
    unit = rng.uniform() * intervals[0] + np.append(0.0, np.cumsum(intervals[1:]))  # begins inside an interval
    return np.interp(unit[unit < total], operational, np.arange(len(operational)) * _STEP)


def _refractory(times: np.ndarray) -> np.ndarray:
    """Leave out spikes that come too soon after the one before."""
    kept, last = [], -np.inf
    for t in times.tolist():
        if t - last >= _DEAD:
            kept.append(t)
            last = t
    return np.array(kept)
