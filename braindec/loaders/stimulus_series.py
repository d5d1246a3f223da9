"""Feature series: a stimulus over time as a :class:`Recording` whose channels are units and whose time is that of the stimulus.

Sample ``k`` stands for the time ``k / sfreq``; there are as many samples as times before the end. A series that is made in
blocks is made of each block alone, so that nothing of one block reaches into another: blocks of training and test stay apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.cache import fingerprint
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number
from braindec.types import Recording

__all__ = ["Stretch", "hash_of", "in_stretches", "make_series", "n_samples", "stretches", "to_rate"]

_METHODS = ("nearest", "linear", "mean")
_SAME = 1e-6  # s: edges of blocks that are nearer than that are one


@dataclass(frozen=True)
class Stretch:
    """A stretch of a stimulus, ``start`` to ``stop`` s, which holds the samples ``first`` to ``last`` (not included)."""

    start: float
    stop: float
    first: int
    last: int


def n_samples(duration: float, sfreq: float) -> int:
    """Return how many samples ``k / sfreq`` lie before ``duration``."""
    return int(np.ceil(duration * sfreq - 1e-6))


def stretches(blocks: Any, duration: float, *, sfreq: float, name: str = "the stimulus") -> list[Stretch]:
    """Cut a stimulus where blocks begin and end; what lies between blocks is a stretch too.

    Parameters
    ----------
    blocks : None, DataFrame or sequence of (start, stop)
        In s of the stimulus. A table has ``start``, ``stop`` and may have ``audio``: rows of other stimuli are left out.
    duration : float
        Of the stimulus, s.
    sfreq : float
        Of the series, Hz: sample ``k`` is in the stretch that begins at or before it, times rounded to samples as
        :meth:`Segments.cut` does.
    name : str
        Of the stimulus, as in ``audio``.

    Raises
    ------
    BraindecError
        If blocks overlap, end before they begin, or leave the stimulus.
    """
    spans = _spans(blocks, name)
    if not len(spans):
        return [Stretch(0.0, duration, 0, n_samples(duration, sfreq))]
    if not np.isfinite(spans).all() or (spans[:, 1] <= spans[:, 0]).any():
        raise BraindecError(f"{name}: blocks need a start and a later stop in s", found=str(spans[:3].tolist()))
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    if (spans[1:, 0] < spans[:-1, 1] - _SAME).any():
        k = int(np.argmax(spans[1:, 0] < spans[:-1, 1] - _SAME))
        raise BraindecError(f"{name}: blocks overlap", found=f"{spans[k].tolist()} and {spans[k + 1].tolist()} s",
                            fix="merge them: what they share would be on both sides of a split")  # fmt: skip
    if spans[0, 0] < -_SAME or spans[-1, 1] > duration + max(_SAME, 0.5 / sfreq):
        raise BraindecError(f"{name}: blocks leave the stimulus", found=f"{spans[0, 0]:g} to {spans[-1, 1]:g} s, it has 0 to {duration:g} s",
                            fix="give blocks in s from the start of the sound or film")  # fmt: skip
    edges = np.unique(np.clip(np.r_[0.0, spans.ravel(), duration], 0.0, duration))
    edges = edges[np.r_[True, np.diff(edges) > _SAME]]
    edges[-1] = duration
    rows = np.round(edges * sfreq).astype(int)
    rows[-1] = n_samples(duration, sfreq)
    rows = np.minimum(rows, rows[-1])
    return [
        Stretch(float(edges[k]), float(edges[k + 1]), int(rows[k]), int(rows[k + 1]))
        for k in range(len(rows) - 1)
        if rows[k + 1] > rows[k]
    ]


def _spans(blocks: Any, name: str) -> np.ndarray:
    """Blocks of this stimulus as (start, stop) in s, shape (n, 2)."""
    if blocks is None:
        return np.zeros((0, 2))
    if isinstance(blocks, pd.DataFrame):
        if not {"start", "stop"} <= set(blocks):
            raise BraindecError("blocks need the columns start and stop (s)", found=f"columns {', '.join(map(str, blocks.columns))}")  # fmt: skip
        if "audio" in blocks:
            own = blocks[blocks["audio"].astype(str) == name]
            if not len(own) and len(blocks):
                there = sorted(set(blocks["audio"].astype(str)))
                raise BraindecError(f"there are no blocks of {name!r}{did_you_mean(name, there)}", found=f"blocks of {', '.join(there[:5])}",
                                    fix="name the sound as in the column audio, or give start and stop alone")  # fmt: skip
            blocks = own
        blocks = blocks[["start", "stop"]].to_numpy(dtype=float)
    try:
        spans = np.asarray(list(blocks), dtype=float)
    except (TypeError, ValueError):
        spans = np.zeros(0)
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise BraindecError("blocks are pairs of start and stop in s", found=repr(blocks)[:80])
    return spans


def in_stretches(
    parts: Sequence[Stretch], n_units: int, sfreq: float, make: Callable[[Stretch, np.ndarray], np.ndarray], *, doing: str = ""
) -> np.ndarray:  # fmt: skip
    """Fill a series stretch by stretch, shape (n_units, n_times), float32.

    ``make(stretch, times)`` gives (n_units, n) at ``times`` in s from the start of the stretch, all within it; ``doing``
    stands beside the bar of progress.
    """
    values = np.zeros((n_units, parts[-1].last), dtype=np.float32)
    for part in tqdm(parts, desc=doing, disable=None if doing and len(parts) > 1 else True, leave=False):
        times = np.arange(part.first, part.last) / sfreq - part.start
        values[:, part.first : part.last] = make(part, np.clip(times, 0.0, part.stop - part.start))
    return values


def make_series(
    signal: Any, sfreq: float, units: Sequence[str] | pd.DataFrame, *, feature: str, stimulus: str,
    settings: Mapping[str, Any], path: str | None = None, content: str | None = None, warnings: Sequence[str] = (),
) -> Recording:  # fmt: skip
    """Make the recording of a feature series.

    Parameters
    ----------
    signal : Signal or array of shape (n_units, n_times)
    sfreq : float
        Hz.
    units : sequence of str, or DataFrame with ``name``
    feature, stimulus : str
        What was computed, of which sound or film.
    settings : mapping
        With which settings; plain JSON.
    path, content : str, optional
        The file, and the hash of what is in it.
    warnings : sequence of str

    Raises
    ------
    BraindecError
        If a value is not finite.
    """
    if isinstance(signal, np.ndarray) and not np.isfinite(signal).all():
        bad = int((~np.isfinite(signal)).any(axis=1).sum())
        raise BraindecError(
            f"{feature} of {stimulus} is not finite", found=f"NaN or infinite in {bad} of {len(signal)} units"
        )
    table = units if isinstance(units, pd.DataFrame) else pd.DataFrame({"name": list(units)})
    info = {"dataset": "stimulus", "modality": "misc", "path": path or stimulus, "stimulus": stimulus, "feature": feature,
            "settings": dict(settings), "content": content, "warnings": list(warnings)}  # fmt: skip
    return Recording(signal, sfreq, table.assign(type="misc", unit="a.u."), info=info)


def hash_of(source: Any) -> str:
    """Return a hash of the content of a file, folder or array."""
    if isinstance(source, (str, Path)):
        return fingerprint(source)
    values = np.ascontiguousarray(source)
    return hashlib.sha256(f"{values.dtype}{values.shape}".encode() + values.tobytes()).hexdigest()[:16]


def to_rate(series: Recording, sfreq: float, *, method: str = "nearest", blocks: Any = None) -> Recording:
    """Bring a feature series to another sampling frequency; sample 0 stays at time 0.

    Parameters
    ----------
    series : Recording
    sfreq : float
        Hz.
    method : {"nearest", "linear", "mean"}
        "nearest" takes the sample that is nearest in time (the later one of two), "linear" interpolates (and holds the last
        value), "mean" averages the series from each new sample to the next, a sample of the series lasting until its next
        one: for a lower rate it loses nothing.
    blocks : DataFrame or sequence of (start, stop), optional
        Samples of one block (s) are made of samples of that block alone.

    Raises
    ------
    BraindecError
        If a rate or method makes no sense, or blocks leave the series.
    """
    sfreq = number(sfreq, "sfreq", least=0, ends=False, unit="Hz")
    if method not in _METHODS:
        raise BraindecError(f"there is no method {method!r}{did_you_mean(str(method), _METHODS)}", allowed=", ".join(_METHODS))  # fmt: skip
    if series.n_times < 1:
        raise BraindecError(f"{series.label}: the series has no sample")
    name = str(series.info.get("stimulus") or series.label)
    parts = stretches(blocks, series.duration, sfreq=sfreq, name=name)
    if not parts:
        raise BraindecError(f"{name}: the series is shorter than one sample", found=f"{series.duration:g} s", fix=f"a rate above {sfreq:g} Hz")  # fmt: skip
    old = series.load().astype(np.float64)
    new = np.zeros((len(old), parts[-1].last), dtype=np.float32)
    for part in parts:
        low = min(round(part.start * series.sfreq), series.n_times - 1)
        own = old[:, low : max(round(part.stop * series.sfreq), low + 1)]
        at = np.arange(part.first, part.last) / sfreq * series.sfreq - low  # in samples of the series
        new[:, part.first : part.last] = _at(own, at, series.sfreq / sfreq, method)
    settings = {**dict(series.info.get("settings") or {}), "rate": {"from": series.sfreq, "method": method}}
    return series.with_signal(new, sfreq=sfreq, settings=settings)


def _at(values: np.ndarray, at: np.ndarray, step: float, method: str) -> np.ndarray:
    """Values (n_units, n_times) at the samples ``at``, or their averages from there on for ``step`` samples."""
    last = values.shape[1] - 1
    if method == "nearest":
        return values[:, np.clip(np.floor(at + 0.5 + 1e-9).astype(int), 0, last)]
    if method == "linear":
        at = np.clip(at, 0, last)
        left = np.minimum(np.floor(at).astype(int), max(last - 1, 0))
        return values[:, left] + (at - left) * (values[:, np.minimum(left + 1, last)] - values[:, left])
    begin = np.clip(at, 0, last)
    return _means(values, begin, np.clip(at + step, begin + 1e-6, last + 1))


def _means(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Average of a step function from ``begin`` to ``end`` (in steps), shape (n_units, n)."""
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)

    def integral(at: np.ndarray) -> np.ndarray:
        whole = np.minimum(np.floor(at + 1e-9).astype(int), values.shape[1])
        rest = np.clip(at - whole, 0.0, None)
        return total[:, whole] + rest * values[:, np.minimum(whole, values.shape[1] - 1)]

    return (integral(end) - integral(begin)) / (end - begin)
