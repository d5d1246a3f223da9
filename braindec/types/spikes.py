"""Spikes: sorted spike times of many units."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types.recording import Recording
from braindec.types.signals import as_signal

MAX_RATE = 1000.0  # Hz; no neuron keeps this up
MAX_REFRACTORY = 1.0  # s; intervals of a neuron are not nearly all longer than this
EDGE = 1e-6  # of a bin: a spike that close below an edge is on it, because 0.29 / 0.01 is 28.999...
_MANY = 50  # spikes below which intervals say nothing about their unit


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spike times of many units in the stretches of time that were observed.

    Parameters
    ----------
    times : array of shape (n_spikes,)
        Times in s, sorted.
    unit : array of int, shape (n_spikes,)
        Row of ``units`` that fired.
    units : DataFrame
        One row a unit (name, region, quality, ...).
    start, stop : float
        The stretch that was observed, s.
    events : DataFrame
        As in :class:`Recording`.
    info : dict
        As in :class:`Recording`.
    support : array of shape (n_intervals, 2), optional
        Intervals [from, to] in s inside ``start`` and ``stop`` that were really observed, in order, not overlapping;
        without it all of ``start`` to ``stop``.

    Raises
    ------
    BraindecError
        If times are unsorted, not finite or outside the support, a unit is unknown, or an interval is empty.

    Warns
    -----
    UserWarning
        If a unit has two spikes at one time, or fires as no neuron does (times in another unit than s).
    """

    times: np.ndarray
    unit: np.ndarray
    units: pd.DataFrame
    start: float
    stop: float
    events: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"onset": [], "duration": []}))
    info: Mapping[str, Any] = field(default_factory=dict)
    support: np.ndarray = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        times, given = _floats(self.times, "spike times"), np.asarray(self.unit)
        codes = _floats(given, "units of spikes, rows of the table of units,")
        if given.size and not np.array_equal(codes, np.round(codes)):
            raise BraindecError(
                "units of spikes are whole numbers, rows of the table of units", found=f"dtype {given.dtype}"
            )
        if not isinstance(self.units, pd.DataFrame):
            raise BraindecError("units are a table, one row a unit", found=type(self.units).__name__,
                                fix='pandas.DataFrame({"name": [...]})')  # fmt: skip
        wrong = (codes < 0) | (codes >= len(self.units))
        if wrong.any():
            raise BraindecError(
                "a spike names an unknown unit", found=f"{codes[wrong][0]:g}", allowed=f"0 to {len(self.units) - 1}"
            )
        unit = codes.astype(np.int32)
        for end in ("start", "stop"):
            object.__setattr__(self, end, float(_floats(getattr(self, end), f"{end} of spikes").reshape(-1)[0]))
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "unit", unit)
        units = self.units.reset_index(drop=True)
        if "name" not in units:
            units = units.assign(name=[f"unit{i:03d}" for i in range(len(units))])
        object.__setattr__(self, "units", units)
        if times.shape != unit.shape or times.ndim != 1:
            raise BraindecError("spike times and units differ in number", found=f"{times.shape} and {unit.shape}")
        if not self.start < self.stop or not np.isfinite([self.start, self.stop]).all():
            raise BraindecError("spikes need start < stop, finite, in s", found=f"{self.start} and {self.stop}")
        _check_events(self.events)
        object.__setattr__(self, "support", _support(self.support, self.start, self.stop))
        if len(times):
            _check_times(times, self.start, self.stop, self.support)
            for text in _implausible(times, unit, units["name"], self.duration):
                warnings.warn(text, UserWarning, stacklevel=_caller())

    @classmethod
    def from_trains(
        cls, trains: Sequence[np.ndarray], *, start: float, stop: float, units: pd.DataFrame | None = None, **rest: Any
    ) -> Spikes:
        """Build from one array of times (s) a unit, each in any order.

        Parameters
        ----------
        trains : sequence of array
            Spike times of each unit, s.
        start, stop : float
            The stretch that was observed, s.
        units : DataFrame, optional
            One row a unit.
        **rest
            ``events``, ``info``, ``support``.
        """
        if isinstance(trains, str) or not hasattr(trains, "__iter__"):
            raise BraindecError("trains are one array of times a unit", found=repr(trains)[:80])
        arrays = [_floats(t, "spike times").ravel() for t in trains]
        unit = np.repeat(np.arange(len(arrays), dtype=np.int32), [len(a) for a in arrays])
        times = np.concatenate(arrays) if arrays else np.zeros(0)
        order = np.argsort(times, kind="stable")
        table = pd.DataFrame(index=range(len(arrays))) if units is None else units
        if len(table) != len(arrays):
            raise BraindecError(
                "trains and the table of units differ in number", found=f"{len(arrays)} trains, {len(table)} units"
            )
        return cls(times[order], unit[order], table, start, stop, **rest)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def duration(self) -> float:
        """Observed time in s: the sum of the intervals of the support."""
        return float((self.support[:, 1] - self.support[:, 0]).sum())

    def trains(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all times unit after unit, and where each unit begins.

        Returns
        -------
        flat : array of shape (n_spikes,)
            Times in s, sorted within each unit.
        offsets : array of int64, shape (n_units + 1,)
            Unit ``i`` has ``flat[offsets[i]:offsets[i + 1]]``.
        """
        order = np.argsort(self.unit, kind="stable")
        offsets = np.zeros(self.n_units + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.unit, minlength=self.n_units), out=offsets[1:])
        return self.times[order], offsets

    def train(self, unit: int | str) -> np.ndarray:
        """Return the times in s of one unit, by row or by name."""
        return self.times[self.unit == self._row(unit)]

    def select(self, units: Sequence[int | str] | np.ndarray) -> Spikes:
        """Return some units, by rows, names or a mask of booleans, in the order given."""
        asked = np.atleast_1d(np.asarray(units))
        if asked.dtype == bool and asked.shape != (self.n_units,):
            raise BraindecError(
                "a mask of units has another length", found=f"{asked.shape}", allowed=f"({self.n_units},)"
            )
        rows = np.flatnonzero(asked) if asked.dtype == bool else np.array([self._row(u) for u in asked.tolist()], int)
        if len(np.unique(rows)) != len(rows):
            raise BraindecError("a unit is asked for twice", found=str(asked.tolist())[:200])
        place = np.full(self.n_units, -1, dtype=np.int32)
        place[rows] = np.arange(len(rows))
        keep = place[self.unit] >= 0
        return self._derived(
            times=self.times[keep], unit=place[self.unit[keep]], units=self.units.iloc[rows].reset_index(drop=True)
        )

    def restrict(self, intervals: Sequence[Sequence[float]] | np.ndarray) -> Spikes:
        """Return what was observed inside ``intervals``, shape (n, 2) in s; times stay as they are.

        An interval holds its beginning and not its end, so that a spike is never in two of them.

        Raises
        ------
        BraindecError
            If an interval is empty, intervals overlap, or none touches what was observed.
        """
        asked = _support(np.atleast_2d(_floats(intervals, "intervals (from, to in s)")), -np.inf, np.inf)
        pieces = [
            (max(a, c), min(b, d)) for a, b in asked.tolist() for c, d in self.support.tolist() if max(a, c) < min(b, d)
        ]
        if not pieces:
            raise BraindecError(
                "the intervals hold nothing that was observed",
                found=f"{asked[0, 0]:g} to {asked[-1, 1]:g} s",
                allowed=f"{self.start:g} to {self.stop:g} s",
            )
        support = np.array(pieces)
        which = np.searchsorted(asked[:, 0], self.times, side="right") - 1
        keep = (which >= 0) & (self.times < asked[np.maximum(which, 0), 1])
        keep |= (which >= 0) & (self.times == self.stop) & (asked[np.maximum(which, 0), 1] >= self.stop)
        return self._derived(
            times=self.times[keep], unit=self.unit[keep], support=support,
            start=float(support[0, 0]), stop=float(support[-1, 1]),
        )  # fmt: skip

    def with_events(self, events: pd.DataFrame) -> Spikes:
        """Return the same spikes with other events."""
        _check_events(events)
        return self._derived(events=events.reset_index(drop=True))

    def without_duplicates(self) -> Spikes:
        """Return the same spikes with one of those that a unit has at one time."""
        flat = np.lexsort((self.times, self.unit))
        times, unit = self.times[flat], self.unit[flat]
        keep = np.append(True, (np.diff(times) != 0) | (np.diff(unit) != 0)) if len(times) else np.zeros(0, bool)
        order = np.sort(flat[keep])
        return self._derived(times=self.times[order], unit=self.unit[order])

    def counts(self, width: float) -> Recording:
        """Count spikes in bins, as a recording of (unit, bin) at 1 / ``width`` Hz.

        Parameters
        ----------
        width : float
            Bin width in s; a last bin that is not full is dropped. Bins in gaps of the support hold 0, and ``info["warnings"]``
            says how many.
        """
        if not isinstance(width, (int, float, np.integer, np.floating)) or not width > 0:
            raise BraindecError("bins need a width above 0 s", found=f"{width}")
        n_bins = int(np.floor((self.stop - self.start) / width * (1 + 1e-12)))
        if n_bins < 1:
            raise BraindecError(f"bins of {width} s do not fit", found=f"{self.stop - self.start:.6g} s were observed")
        if self.n_units * n_bins > 2**32:
            raise BraindecError(f"bins of {width:g} s are too many to be held", found=f"{self.n_units} x {n_bins}")
        bins = np.floor((self.times - self.start) / width + EDGE).astype(np.int64)
        inside = bins < n_bins
        flat = np.bincount(self.unit[inside].astype(np.int64) * n_bins + bins[inside], minlength=self.n_units * n_bins)
        counts = flat.reshape(self.n_units, n_bins).astype(np.float32)
        channels = self.units.assign(type="unit", unit="count")
        events = self.events.assign(onset=self.events["onset"] - self.start)
        info = {"modality": "spikes", **self.info}
        seen = np.zeros(n_bins, dtype=bool)
        slack = 1e-6 * width
        for a, b in self.support:
            seen[int(np.ceil((a - self.start - slack) / width)) : max(0, int((b - self.start + slack) / width))] = True
        if not seen.all():
            said = f"{int((~seen).sum())} of {n_bins} bins of {width:g} s were not observed as a whole; they hold what was seen, or 0"
            info["warnings"] = [*(info.get("warnings") or []), said]
        return Recording(as_signal(counts), 1.0 / width, channels, events, info)

    def _derived(self, **changes: Any) -> Spikes:
        """A part of these spikes: checked already, and what was warned of is not said again."""
        made = object.__new__(Spikes)
        made.__dict__.update({**self.__dict__, **changes})
        return made

    def _row(self, unit: int | str) -> int:
        if isinstance(unit, str):
            rows = np.flatnonzero(self.units["name"].astype(str) == unit)
            if len(rows) != 1:
                raise BraindecError(
                    f"{len(rows)} units are called {unit!r}", allowed=", ".join(self.units["name"].astype(str)[:20])
                )
            return int(rows[0])
        if not isinstance(unit, (int, float, np.integer, np.floating)) or not (
            np.isfinite(unit) and int(unit) == unit and 0 <= unit < self.n_units
        ):
            raise BraindecError("there is no such unit", found=str(unit), allowed=f"0 to {self.n_units - 1}")
        return int(unit)

    def __repr__(self) -> str:
        gaps = "" if len(self.support) == 1 else f" ({self.duration:g} s of it in {len(self.support)} intervals)"
        return f"<Spikes {self.n_units} units, {len(self.times)} spikes, {self.start:g} to {self.stop:g} s{gaps}>"


def _caller() -> int:
    """The level of the stack, seen from who asks, of the first function outside this file."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename in (__file__, "<string>"):
        frame, level = frame.f_back, level + 1
    return level


def _support(support: Any, start: float, stop: float) -> np.ndarray:
    """Check intervals and return them as (n, 2)."""
    if support is None:
        return np.array([[start, stop]], dtype=np.float64)
    found = _floats(support, "intervals (from, to in s)")
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise BraindecError("intervals are a table of (from, to) in s", found=f"shape {found.shape}")
    if not np.isfinite(found).all() or np.any(found[:, 0] >= found[:, 1]):
        bad = found[~(found[:, 0] < found[:, 1])]
        raise BraindecError(
            "an interval is empty or not finite", found=str((bad if len(bad) else found)[0].tolist()),
            allowed="from < to, in s",
        )  # fmt: skip
    if np.any(found[1:, 0] < found[:-1, 1]):
        at = int(np.flatnonzero(found[1:, 0] < found[:-1, 1])[0])
        raise BraindecError(
            "intervals overlap or are out of order", found=f"{found[at].tolist()} then {found[at + 1].tolist()}",
            fix="sort them and join those that overlap",
        )  # fmt: skip
    if found[0, 0] < start or found[-1, 1] > stop:
        raise BraindecError(
            "intervals leave the observed stretch", found=f"{found[0, 0]:g} to {found[-1, 1]:g} s",
            allowed=f"{start:g} to {stop:g} s",
        )  # fmt: skip
    return found


def _check_times(times: np.ndarray, start: float, stop: float, support: np.ndarray) -> None:
    if not np.isfinite(times).all() or np.any(np.diff(times) < 0):
        raise BraindecError("spike times must be finite and sorted", fix="sort them: order = times.argsort()")
    if times[0] < start or times[-1] > stop:
        raise BraindecError(
            "spike times lie outside the observed stretch",
            found=f"{times[0]:.6g} to {times[-1]:.6g} s against {start:.6g} to {stop:.6g} s",
            fix=f"observed from before 0 s on? start={np.floor(times[0]):g}" if times[0] < start and times[-1] <= stop
            else "are the times in s? milliseconds must be divided by 1000",
        )  # fmt: skip
    which = np.searchsorted(support[:, 0], times, side="right") - 1
    outside = (which < 0) | (times > support[np.maximum(which, 0), 1])
    if outside.any():
        raise BraindecError(
            f"{int(outside.sum())} spikes lie in gaps of the support", found=f"the first at {times[outside][0]:.6g} s",
            fix="build Spikes without support and call .restrict(intervals), which leaves them out",
        )  # fmt: skip


def _check_events(events: Any) -> None:
    if not isinstance(events, pd.DataFrame) or "onset" not in events:
        raise BraindecError("events are a table with a column 'onset' (s)", found=", ".join(map(str, getattr(events, "columns", [type(events).__name__]))) or "no column")  # fmt: skip


def _floats(values: Any, what: str) -> np.ndarray:
    """Numbers as an array of float64."""
    try:
        found = np.asarray(values)
        if found.dtype.kind in "biuf" or (found.dtype.kind == "O" and found.size):
            return found.astype(np.float64)
        if not found.size:
            return found.astype(np.float64)
    except (TypeError, ValueError):
        pass
    raise BraindecError(f"{what} must be numbers", found=repr(values)[:80])


def _implausible(times: np.ndarray, unit: np.ndarray, names: pd.Series, duration: float) -> list[str]:
    """Sentences about doubled spikes, and about rates and intervals that no neuron has."""
    order = np.lexsort((times, unit))
    gaps, same = np.diff(times[order]), np.diff(unit[order]) == 0
    said = []
    double = int((same & (gaps == 0)).sum())
    if double:
        said.append(f"{double} spikes are doubled (one unit, one time); .without_duplicates() keeps one of each")
    count = np.bincount(unit, minlength=len(names))
    fastest = int(count.argmax())
    if count[fastest] > 10 and count[fastest] / duration > MAX_RATE:
        said.append(
            f"unit {names.iloc[fastest]} would fire at {count[fastest] / duration:.4g} Hz, which no neuron does: is the "
            "stretch, or are the times, in another unit than s?"
        )
    own = unit[order][1:]
    for row in np.flatnonzero(count > _MANY):
        short = float(np.quantile(gaps[same & (own == row)], 0.01))  # a few may be errors of sorting
        if short > MAX_REFRACTORY:
            said.append(
                f"unit {names.iloc[row]} has {count[row]} spikes and hardly an interval below {short:.3g} s, which no neuron "
                "does: are the times in ms? divide them by 1000"
            )
            break
    return said
