"""Parts of the reader nwb: time axes with gaps, signals read through h5py, candidates among the series of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Signal

_JITTER = 0.1  # share of the median step that a step may differ by without being a gap


class SeriesSignal(Signal):
    """One dataset of (time, channel), or many of (time,) stacked; read through h5py, float32, in the unit of the file.

    Parameters
    ----------
    path : str or Path
        The NWB file.
    names : list of str
        Datasets inside the file: one, or one a channel.
    factor, offset : array of shape (n_channels,)
        ``factor * stored + offset`` is the value (NWB: conversion x channel_conversion, and offset).
    first, last : int
        Samples ``first`` to ``last`` (not included) of the series.
    """

    def __init__(
        self, path: str | Path, names: Sequence[str], *, factor: np.ndarray, offset: np.ndarray, first: int, last: int
    ) -> None:
        self.path, self.names = str(path), [str(n) for n in names]
        self.factor, self.offset = np.asarray(factor, dtype=np.float64), np.asarray(offset, dtype=np.float64)
        self.first, self.last = int(first), int(last)
        self.shape = (len(self.factor), self.last - self.first)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        rows = np.arange(self.shape[0])[channels]
        span = slice(self.first + start, self.first + stop)
        file = self._file()
        if len(self.names) == self.shape[0] and file[self.names[0]].ndim == 1:
            stored = np.stack([file[self.names[r]][span] for r in rows]) if len(rows) else np.zeros((0, stop - start))
        else:
            wanted, inverse = np.unique(rows, return_inverse=True)  # h5py wants rising, unique indices
            stored = file[self.names[0]][span, wanted].T[inverse]
        return (stored * self.factor[rows, None] + self.offset[rows, None]).astype(np.float32)

    def _file(self) -> Any:
        file = self.__dict__.get("_open_file")
        if file is None:
            import h5py

            file = self._open_file = h5py.File(self.path, "r")
        return file


@dataclass(frozen=True)
class Axis:
    """The time axis of a series: regular stretches (first, last + 1) and the time of each sample in s."""

    sfreq: float
    start: float
    stretches: tuple[tuple[int, int], ...]
    times: np.ndarray | None
    said: str | None


def time_axis(series: Any, n_samples: int, name: str) -> Axis:
    """Return the time axis of an NWB series; steps that differ from the median by more than 10 % are gaps.

    Raises
    ------
    BraindecError
        If it has neither a rate nor timestamps, they go backwards, or no step is regular.
    """
    rate = getattr(series, "rate", None)
    if rate:
        return Axis(float(rate), float(series.starting_time or 0.0), ((0, n_samples),), None, None)
    if getattr(series, "timestamps", None) is None:
        raise BraindecError(
            f"the series {name} has neither a rate nor timestamps", fix="correct the file: it is not valid NWB"
        )
    times = np.asarray(series.timestamps[:], dtype=np.float64)
    if len(times) != n_samples or n_samples < 2 or not np.isfinite(times).all():
        raise BraindecError(
            f"the timestamps of {name} do not fit", found=f"{len(times)} timestamps, {n_samples} samples"
        )
    steps = np.diff(times)
    if (steps <= 0).any():
        raise BraindecError(
            f"the timestamps of {name} do not rise",
            found=f"a step of {steps.min():.6g} s at sample {int(steps.argmin())}",
        )
    step = float(np.median(steps))
    jumps = np.flatnonzero(np.abs(steps - step) > _JITTER * step) + 1
    if len(jumps) > 0.5 * len(steps):
        raise BraindecError(
            f"{name} is not sampled regularly",
            found=f"steps of {steps.min():.4g} to {steps.max():.4g} s, median {step:.4g} s",
            fix="resample it to a regular rate in a program that knows how it was recorded",
        )
    edges = [0, *jumps.tolist(), n_samples]
    regular = steps[np.abs(steps - step) <= _JITTER * step]
    said = None
    if len(jumps):
        lost = float((steps[jumps - 1] - step).sum())
        said = (
            f"{name}: {len(jumps)} gaps in its timestamps (steps of {steps[jumps - 1].min():.4g} to "
            f"{steps.max():.4g} s instead of {step:.4g} s, "
            f"{lost:.4g} s in all)"
        )
    return Axis(1.0 / float(regular.mean()), float(times[0]), tuple(pairwise(edges)), times, said)


def choose(
    groups: Mapping[str, list[str]], wanted: str | Sequence[str] | None, all_names: Sequence[str], path: Path
) -> list[str]:
    """Return the names of the series that make one recording.

    Parameters
    ----------
    groups : dict
        Candidates: label -> names of series that can be stacked.
    wanted : str or list of str, optional
        Names, or a pattern with ``*``.
    all_names : list of str
        All series of the file.
    """
    if wanted is None:
        if len(groups) == 1:
            return next(iter(groups.values()))
        listed = ", ".join(f"{label} ({len(names)})" for label, names in groups.items())
        raise BraindecError(
            f"{path.name} holds {'several series' if groups else 'no series of samples'}",
            found=listed or ", ".join(all_names[:8]) or "nothing",
            fix=f"say which: series: '{next(iter(groups))}'"
            if groups
            else "say one by name: series: ..."
            if all_names
            else "check the file",
        )
    patterns = [wanted] if isinstance(wanted, str) else list(wanted)
    chosen: list[str] = []
    for pattern in patterns:
        expression = re.compile(re.escape(str(pattern)).replace(r"\*", ".*"))
        hits = [n for n in all_names if expression.fullmatch(n) or expression.fullmatch(n.rsplit("/", 1)[-1])]
        if not hits:
            raise BraindecError(
                f"{path.name} has no series {pattern!r}{did_you_mean(str(pattern), [*groups, *all_names])}",
                allowed=", ".join([*groups, *all_names][:20]),
            )
        chosen += hits
    return list(dict.fromkeys(chosen))


def stem(name: str) -> str:
    """The name without its running number: ``Activity_0012`` -> ``Activity_*``."""
    return re.sub(r"\d+$", "*", name)
