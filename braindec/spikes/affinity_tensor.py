"""Affinity tensor: how strongly each pair of units goes together in each window of time, of one or several recordings.

Affinities: "correlation" of binned activity within the window (the default), "covariance", "spike_tiling" (spike time
tiling coefficient) and "coincidence" (cosine of counts). Non-negative factors need non-negative entries, so that a sign is
chosen: what goes together, what goes against each other, or the size of both.

Source: Cutts & Eglen 2014 (J Neurosci 34:14288) for spike time tiling; arXiv:2402.14102 for the idea of factors of a tensor of
affinities over time and animals, each with communities.
Differs from the reference in: its differential affinity is not used (the formula is not known here); affinity is the
correlation of activity in windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number, whole
from braindec.types import Recording, Spikes

__all__ = ["AffinityTensor", "affinity_tensor", "square"]

_KINDS = ("correlation", "covariance", "coincidence", "spike_tiling")
_SIGNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "positive": lambda v: np.maximum(v, 0),
    "negative": lambda v: np.maximum(-v, 0),
    "absolute": np.abs,
}


@dataclass(frozen=True, eq=False)
class AffinityTensor:
    """Affinities of pairs.

    Parameters
    ----------
    values : array (n_pairs, n_windows) or (n_pairs, n_windows, n_recordings)
        Not below 0.
    pairs : array of int (n_pairs, 2)
    times : array (n_windows,)
        Middle of each window, s from the beginning of the recording.
    names : list of str
        Units.
    kind, sign : str
    """

    values: np.ndarray
    pairs: np.ndarray
    times: np.ndarray
    names: list[str]
    kind: str
    sign: str

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.names)


def affinity_tensor(
    recordings: Any, *, window: float, step: float | None = None, width: float = 0.1, kind: str = "correlation",
    sign: str = "positive",
) -> AffinityTensor:  # fmt: skip
    """Build the tensor.

    Parameters
    ----------
    recordings : Spikes or Recording, or a list of them
        Of the same units; a list gives a third mode. The shortest one sets the number of windows.
    window, step : float
        Length of the windows and from one to the next (``window`` by default), s.
    width : float
        Bins of Spikes for correlations; of "spike_tiling" the greatest distance that counts as together, s.
    kind : {"correlation", "covariance", "coincidence", "spike_tiling"}
    sign : {"positive", "negative", "absolute"}
        Which affinities are kept.

    Raises
    ------
    BraindecError
        If recordings hold different units, a window has too few samples, or a name is unknown.
    """
    if kind not in _KINDS:
        raise BraindecError(
            f"there is no affinity {kind!r}{did_you_mean(str(kind), _KINDS)}", allowed=", ".join(_KINDS)
        )
    if sign not in _SIGNS:
        raise BraindecError(f"there is no sign {sign!r}{did_you_mean(str(sign), _SIGNS)}", allowed=", ".join(_SIGNS))
    several = list(recordings) if isinstance(recordings, (list, tuple)) else [recordings]
    window = number(window, "window", least=0, ends=False, unit="s")
    step = window if step is None else number(step, "step", least=0, ends=False, unit="s")
    names = _names(several)
    n_windows = min(int(np.floor((r.stop - r.start if isinstance(r, Spikes) else r.duration) / step - window / step + 1 + 1e-9))
                    for r in several)  # fmt: skip
    if n_windows < 2:
        raise BraindecError(f"windows of {window:g} s do not fit twice", found=f"{n_windows}", fix="shorter windows")
    pairs = np.stack(np.triu_indices(len(names), 1), axis=1)
    starts = step * np.arange(n_windows)
    slices = [
        _of(r, starts, window, number(width, "width", least=0, ends=False, unit="s"), kind, pairs) for r in several
    ]
    values = _SIGNS[sign](np.stack(slices, axis=2))
    if not values.any():
        raise BraindecError(f"no pair has a {sign} affinity in any window", fix="longer windows, or sign='absolute'")
    return AffinityTensor(
        values if isinstance(recordings, (list, tuple)) and len(several) > 1 else values[:, :, 0], pairs, starts + window / 2,
        names, kind, sign,
    )  # fmt: skip


def square(values: np.ndarray, n_units: int) -> np.ndarray:
    """Return a symmetric matrix (n_units, n_units) with zeros on the diagonal from values of pairs, as in ``pairs``."""
    out = np.zeros((n_units, n_units))
    rows, columns = np.triu_indices(whole(n_units, "n_units", least=2), 1)
    if np.shape(values) != (len(rows),):
        raise BraindecError(f"{n_units} units have {len(rows)} pairs", found=f"shape {np.shape(values)}")
    out[rows, columns] = values
    return out + out.T


def _names(several: Sequence[Any]) -> list[str]:
    if not several or not all(isinstance(r, (Spikes, Recording)) for r in several):
        raise BraindecError(
            "affinities are of Spikes or Recordings", found=type(several[0]).__name__ if several else "nothing"
        )
    every = [r.units["name"].astype(str).tolist() if isinstance(r, Spikes) else r.ch_names for r in several]
    if any(names != every[0] for names in every):
        raise BraindecError("recordings hold different units", fix="select the units that all have, in one order")
    if len(every[0]) < 3:
        raise BraindecError("affinities need 3 units at least", found=f"{len(every[0])}")
    return every[0]


def _of(one: Any, starts: np.ndarray, window: float, width: float, kind: str, pairs: np.ndarray) -> np.ndarray:
    """Affinities of one recording, (n_pairs, n_windows)."""
    if kind == "spike_tiling":
        return _tiling(one, starts, window, width, pairs)
    recording = one.counts(width) if isinstance(one, Spikes) else one
    signal, sfreq = recording.signal.read().astype(np.float64), recording.sfreq
    if not np.isfinite(signal).all():
        raise BraindecError("affinities need finite signals", found="NaN or infinite values")
    n = round(window * sfreq)
    if n < 3:
        raise BraindecError(f"a window of {window:g} s has {n} samples", allowed="3 or more", fix="a longer window")
    out = np.empty((len(pairs), len(starts)))
    for w, start in enumerate(starts):
        first = round(start * sfreq)
        part = signal[:, first : first + n]
        out[:, w] = _matrix(part, kind)[pairs[:, 0], pairs[:, 1]]
    return out


def _matrix(part: np.ndarray, kind: str) -> np.ndarray:
    """Affinities in one window; a unit that is silent (or flat) in it goes with none."""
    centred = part if kind == "coincidence" else part - part.mean(axis=1, keepdims=True)
    gram = centred @ centred.T
    if kind == "covariance":
        return gram / part.shape[1]
    size = np.sqrt(np.diag(gram))
    return (
        gram
        / np.where(size > 1e-12 * (1 + np.abs(part).max(axis=1)), size, np.inf)[:, None]
        / np.where(size > 0, size, np.inf)
    )


def _tiling(one: Any, starts: np.ndarray, window: float, width: float, pairs: np.ndarray) -> np.ndarray:
    from braindec.kernels.sttc import sttc

    if not isinstance(one, Spikes):
        raise BraindecError("spike tiling is of spikes", found=repr(one), fix="kind='correlation'")
    out = np.empty((len(pairs), len(starts)))
    for w, start in enumerate(starts):
        a, b = one.start + start, one.start + start + window
        flat, offsets = one.restrict([[a, b]]).trains()
        matrix = np.nan_to_num(sttc(flat, offsets, start=a, stop=b, dt=width))  # a silent unit goes with none
        out[:, w] = matrix[pairs[:, 0], pairs[:, 1]]
    return out
