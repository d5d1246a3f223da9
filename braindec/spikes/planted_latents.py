"""Simulated populations with a known latent: a ring, a path in a square, the Lorenz attractor; and planted assemblies.

Units of a ring have a preferred angle, units of a path a preferred place: Gaussian (von Mises) bumps on a background.
Sessions have other units; they go other ways through the same space, or the same way (``same_path``). Units of an
assembly share a source of common spikes; which units form assemblies depends on a state that comes and goes.

Source: Taube et al. 1990 (J Neurosci 10:420) for head-direction cells; O'Keefe & Dostrovsky 1971 (Brain Res 34:171) for
places; Lorenz 1963 (J Atmos Sci 20:130); Kuhn, Aertsen & Rotter 2003 (Neural Comput 15:67, single interaction process)
for common spikes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number, whole
from braindec.types import Spikes

__all__ = ["PlantedAssemblies", "PlantedLatents", "planted_assemblies", "planted_latents"]

_SHAPES = ("ring", "plane", "lorenz")
_FINE = 0.01  # s; steps in which rates are constant


@dataclass(frozen=True, eq=False)
class PlantedLatents:
    """Spikes of several sessions and what drove them.

    Parameters
    ----------
    spikes : list of Spikes
        One a session.
    angle : list of array of shape (n_bins,), or None
        Of a ring, rad from -pi to pi, at the middle of each bin.
    place : list of array of shape (n_bins, n_dims)
        The latent itself: (cos, sin) of a ring, (x, y) of a plane, (x, y, z) of the attractor, each of them scaled to
        -1 to 1.
    width : float
        Bin width, s.
    """

    spikes: list[Spikes]
    angle: list[np.ndarray] | None
    place: list[np.ndarray]
    width: float


@dataclass(frozen=True, eq=False)
class PlantedAssemblies:
    """Spikes of the same units in several recordings, and which units fired together when.

    Parameters
    ----------
    spikes : list of Spikes
        One a recording.
    members : array of int, shape (n_states, n_units)
        Assembly of each unit in each state.
    active : array of shape (n_windows, n_states)
        How strongly each state is on in each window, 0 to 1.
    strength : array of shape (n_recordings, n_states)
        How strongly it is on in each recording.
    window : float
        Length of a window, s.
    """

    spikes: list[Spikes]
    members: np.ndarray
    active: np.ndarray
    strength: np.ndarray
    window: float


def planted_latents(
    shape: str = "ring",
    *,
    n_sessions: int = 2,
    n_units: int = 40,
    seconds: float = 240.0,
    width: float = 0.05,
    rate: float = 20.0,
    background: float = 1.0,
    speed: float = 1.0,
    same_path: bool = False,
    shuffled: bool = False,
    rng: np.random.Generator | int = 0,
) -> PlantedLatents:
    """Simulate Poisson spikes of units tuned to a latent that moves on a known shape.

    Parameters
    ----------
    shape : {"ring", "plane", "lorenz"}
    n_sessions, n_units : int
        Each session has so many units of its own.
    seconds, width : float
        Length of a session and width of the bins that the latent is given in, s.
    rate, background : float
        Of a unit at its preferred place and far from it, Hz.
    speed : float
        Of the latent; 1 goes around a ring about every 6 s.
    same_path : bool
        The latent takes the same course in every session.
    shuffled : bool
        Bins of the latent that the units see are in random order in every session: same rates, no course in time.
    rng : Generator or int

    Raises
    ------
    BraindecError
        If the shape is unknown or a number out of range.
    """
    if shape not in _SHAPES:
        raise BraindecError(
            f"there is no latent {shape!r}{did_you_mean(str(shape), _SHAPES)}", allowed=", ".join(_SHAPES)
        )
    rng = np.random.default_rng(rng)
    n_sessions, n_units = whole(n_sessions, "n_sessions", least=1), whole(n_units, "n_units", least=1)
    width = number(width, "width", least=_FINE, unit="s")
    n_bins = round(number(seconds, "seconds", least=2 * width, unit="s") / width)
    peak = number(rate, "rate", least=0, ends=False, unit="Hz")
    floor = number(background, "background", least=0, unit="Hz")
    speed = number(speed, "speed", least=0, ends=False)
    spikes, angles, places, path = [], [], [], None
    for s in range(n_sessions):
        path = path if same_path and path is not None else _path(shape, n_bins, width, speed, rng)
        angle, place = path
        seen = place[rng.permutation(n_bins)] if shuffled else place
        rates = floor + peak * _bumps(shape, seen, n_units, rng)
        units = pd.DataFrame({"name": [f"s{s + 1}u{i + 1:02d}" for i in range(n_units)]})
        info = {"session": str(s + 1)}
        spikes.append(_poisson(rates, width, units, info, rng))
        angles.append(angle)
        places.append(place)
    return PlantedLatents(spikes, [a for a in angles if a is not None] or None, places, width)


def planted_assemblies(
    *,
    n_states: int = 2,
    n_assemblies: int = 3,
    n_units: int = 30,
    n_recordings: int = 4,
    n_windows: int = 12,
    window: float = 10.0,
    rate: float = 8.0,
    common: float = 0.7,
    jitter: float = 0.02,
    rng: np.random.Generator | int = 0,
) -> PlantedAssemblies:
    """Simulate units that share spikes with others: with whom depends on a state that comes and goes.

    Parameters
    ----------
    n_states, n_assemblies, n_units : int
        In each state, units are dealt anew to assemblies of (nearly) one size.
    n_recordings, n_windows : int
    window : float
        s.
    rate : float
        Of every unit at any time, Hz.
    common : float
        Share of a unit's spikes that are its assembly's when a state is fully on; 0 plants nothing.
    jitter : float
        Common spikes are apart by as much, s.
    rng : Generator or int
    """
    rng = np.random.default_rng(rng)
    n_states = whole(n_states, "n_states", least=1)
    n_assemblies, n_units = whole(n_assemblies, "n_assemblies", least=1), whole(n_units, "n_units", least=2)
    n_recordings, n_windows = whole(n_recordings, "n_recordings", least=1), whole(n_windows, "n_windows", least=1)
    share = number(common, "common", least=0, most=1)
    rate = number(rate, "rate", least=0, ends=False, unit="Hz")
    window = number(window, "window", least=0, ends=False, unit="s")
    members = np.stack([rng.permutation(np.arange(n_units) % n_assemblies) for _ in range(n_states)])
    turn = np.arange(n_windows)[:, None] / n_windows - (np.arange(n_states) + rng.uniform(0, 0.3)) / n_states
    active = np.clip(np.cos(2 * np.pi * turn), 0, 1)
    strength = rng.uniform(0.4, 1.0, size=(n_recordings, n_states))
    units = pd.DataFrame({"name": [f"u{i + 1:02d}" for i in range(n_units)]})
    made = []
    for r in range(n_recordings):
        trains = [
            _assembly_spikes(
                members, share * strength[r] * active[w] / max(1.0, active[w].sum()), rate, window, jitter, rng
            )
            for w in range(n_windows)
        ]
        together = [np.concatenate([w * window + t[i] for w, t in enumerate(trains)]) for i in range(n_units)]
        stop = n_windows * window
        made.append(Spikes.from_trains([np.unique(t) for t in together], start=0.0, stop=stop, units=units,
                                       info={"session": str(r + 1)}))  # fmt: skip
    return PlantedAssemblies(made, members, active, strength, window)


def _assembly_spikes(
    members: np.ndarray, share: np.ndarray, rate: float, window: float, jitter: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Spikes of one window: of each state a unit takes ``share`` of its assembly's source, the rest are its own."""
    sources = [[rng.uniform(0, window, rng.poisson(rate * window)) for _ in range(m.max() + 1)] for m in members]
    out = []
    for i in range(members.shape[1]):
        parts = [rng.uniform(0, window, rng.poisson(rate * window * (1 - share.sum())))]
        for state, source in enumerate(sources):
            common = source[members[state, i]]
            common = common[rng.random(len(common)) < share[state]]
            parts.append(common + rng.uniform(-jitter / 2, jitter / 2, len(common)))
        out.append(np.clip(np.concatenate(parts), 0, np.nextafter(window, 0)))
    return out


def _path(
    shape: str, n_bins: int, width: float, speed: float, rng: np.random.Generator
) -> tuple[np.ndarray | None, np.ndarray]:
    if shape == "lorenz":
        place = _lorenz(n_bins, width * speed, rng)
        return None, place
    steps = _smooth(n_bins, width, 1.0 / speed, 1 if shape == "ring" else 2, rng)
    if shape == "ring":
        angle = rng.uniform(-np.pi, np.pi) + np.cumsum(1.4 * speed * steps[:, 0]) * width
        angle = np.angle(np.exp(1j * angle))
        return angle, np.stack([np.cos(angle), np.sin(angle)], axis=1)
    free = rng.uniform(-1, 1, 2) + np.cumsum(speed * steps, axis=0) * width
    return None, np.abs(np.mod(free + 1, 4) - 2) - 1  # walls at -1 and 1 throw it back


def _smooth(n: int, width: float, tau: float, k: int, rng: np.random.Generator) -> np.ndarray:
    """Ornstein-Uhlenbeck noise of variance 1, (n, k)."""
    from scipy.signal import lfilter

    keep = np.exp(-width / tau)
    noise = rng.standard_normal((n, k)) * np.sqrt(1 - keep**2)
    noise[0] /= np.sqrt(1 - keep**2)
    return lfilter([1.0], [1.0, -keep], noise, axis=0)


def _lorenz(n: int, step: float, rng: np.random.Generator) -> np.ndarray:
    """The attractor with sigma 10, rho 28, beta 8/3, fourth-order Runge-Kutta, each axis scaled to -1 to 1."""

    def slope(v: np.ndarray) -> np.ndarray:
        x, y, z = v
        return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    parts = max(1, int(np.ceil(step / 0.01)))
    h, v = step / parts, np.array([1.0, 1.0, 25.0]) + rng.standard_normal(3)
    out = np.empty((n, 3))
    warm = int(np.ceil(20 / step))
    for t in range(-warm, n):
        for _ in range(parts):
            a = slope(v)
            b = slope(v + h / 2 * a)
            c = slope(v + h / 2 * b)
            v = v + h / 6 * (a + 2 * b + 2 * c + slope(v + h * c))
        if t >= 0:
            out[t] = v
    return 2 * (out - out.min(axis=0)) / np.ptp(out, axis=0) - 1


def _bumps(shape: str, place: np.ndarray, n_units: int, rng: np.random.Generator) -> np.ndarray:
    """Tuning between 0 and 1, (n_units, n_bins)."""
    if shape == "ring":
        preferred = rng.uniform(-np.pi, np.pi, n_units)
        near = np.cos(preferred)[:, None] * place[:, 0] + np.sin(preferred)[:, None] * place[:, 1]
        return np.exp(rng.uniform(2, 5, n_units)[:, None] * (near - 1))
    centre = place[rng.integers(len(place), size=n_units)]
    distance = ((centre[:, None] - place) ** 2).sum(axis=2)
    return np.exp(-distance / (2 * rng.uniform(0.25, 0.5, n_units)[:, None] ** 2))


def _poisson(
    rates: np.ndarray, width: float, units: pd.DataFrame, info: dict[str, str], rng: np.random.Generator
) -> Spikes:
    n_units, n_bins = rates.shape
    counts = rng.poisson(rates * width)
    unit, bins = np.divmod(np.repeat(np.arange(n_units * n_bins), counts.ravel()), n_bins)
    times = (bins + rng.random(len(bins))) * width
    trains = [np.unique(times[unit == i]) for i in range(n_units)]
    return Spikes.from_trains(trains, start=0.0, stop=n_bins * width, units=units, info=info)
