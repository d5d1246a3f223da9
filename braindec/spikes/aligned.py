"""Spikes around events: times relative to each onset, ragged by trial and unit; the base of PSTHs, tuning and Fano factors.

A trial counts only where all of its window was observed; others are dropped and told. A window holds its beginning and
not its end; a spike less than 1 ns before an edge counts as on it (times in ms written as s do not hit edges exactly).
Windows of different trials may overlap: a spike then belongs to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.spikes._observed import TIE, checked_spikes, holds
from braindec.types import Spikes

Labels = str | Sequence[Any] | np.ndarray  # a column of the trials, or one label a trial

__all__ = ["Aligned", "Labels", "aligned", "thinned"]


@dataclass(frozen=True, eq=False)
class Aligned:
    """Spike times around events; made by :func:`aligned`.

    Parameters
    ----------
    times : array of shape (n,)
        s from the onset of the trial, in order of trial, unit, time.
    trial, unit : array of int, shape (n,)
        Rows of ``trials`` and ``units``.
    trials : DataFrame
        One row a trial that was kept: ``onset`` (s) and what came with it.
    units : DataFrame
        As in Spikes.
    tmin, tmax : float
        The window, s from the onset.
    dropped : DataFrame
        Trials whose window was not observed as a whole: row, onset, why.
    """

    times: np.ndarray
    trial: np.ndarray
    unit: np.ndarray
    trials: pd.DataFrame
    units: pd.DataFrame
    tmin: float
    tmax: float
    dropped: pd.DataFrame

    @property
    def n_trials(self) -> int:
        """Number of trials that were kept."""
        return len(self.trials)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    def of(self, trial: int, unit: int) -> np.ndarray:
        """Return the times of one unit in one trial, s from the onset."""
        return self.times[(self.trial == trial) & (self.unit == unit)]

    def edges(self, width: float | None = None) -> np.ndarray:
        """Return the edges of bins in s; one bin over the window without ``width``; a last bin not full is left out."""
        span = self.tmax - self.tmin
        if width is None:
            return np.array([self.tmin, self.tmax])
        if not (np.isfinite(width) and width > 0):
            raise BraindecError("bins need a width above 0 s", found=f"{width}")
        n = int(np.floor(span / width * (1 + 1e-12) + TIE))
        if n < 1:
            raise BraindecError(f"bins of {width:g} s do not fit", found=f"a window of {span:g} s")
        return self.tmin + width * np.arange(n + 1)

    def counts(self, width: float | None = None) -> np.ndarray:
        """Count spikes in bins of ``width`` s, array of int32 (trial, unit, bin); in the whole window without it."""
        edges = self.edges(width)
        n = len(edges) - 1
        step = (edges[-1] - edges[0]) / n
        bins = np.floor((self.times - self.tmin + TIE) / step).astype(np.int64)
        inside = (bins >= 0) & (bins < n)
        place = (self.trial[inside].astype(np.int64) * self.n_units + self.unit[inside]) * n + bins[inside]
        flat = np.bincount(place, minlength=self.n_trials * self.n_units * n)
        return flat.reshape(self.n_trials, self.n_units, n).astype(np.int32)

    def between(self, tmin: float, tmax: float) -> Aligned:
        """Return a part of the window.

        Raises
        ------
        BraindecError
            If it is empty or leaves the window.
        """
        if not (self.tmin - TIE <= tmin < tmax <= self.tmax + TIE):
            raise BraindecError("that is no part of the window", found=f"{tmin:g} to {tmax:g} s",
                                allowed=f"{self.tmin:g} to {self.tmax:g} s")  # fmt: skip
        keep = (self.times >= tmin - TIE) & (self.times < tmax - TIE)
        return replace(self, times=self.times[keep], trial=self.trial[keep], unit=self.unit[keep],
                       tmin=float(tmin), tmax=float(tmax))  # fmt: skip

    def select(self, trials: Sequence[int] | np.ndarray) -> Aligned:
        """Return some trials, by rows or a mask of booleans, in the order given."""
        asked = np.asarray(trials)
        if asked.dtype == bool and asked.shape != (self.n_trials,):
            raise BraindecError(
                "a mask of trials has another length", found=f"{asked.shape}", allowed=f"({self.n_trials},)"
            )
        rows = np.flatnonzero(asked) if asked.dtype == bool else asked.astype(int)
        if not len(rows) or len(np.unique(rows)) != len(rows) or rows.min() < 0 or rows.max() >= self.n_trials:
            raise BraindecError("trials are rows from 0 on, each once, at least one", found=str(rows.tolist())[:120],
                                allowed=f"0 to {self.n_trials - 1}")  # fmt: skip
        place = np.full(self.n_trials, -1, dtype=np.int32)
        place[rows] = np.arange(len(rows))
        keep = place[self.trial] >= 0
        order = np.argsort(place[self.trial[keep]], kind="stable")
        return replace(
            self, times=self.times[keep][order], trial=place[self.trial[keep]][order], unit=self.unit[keep][order],
            trials=self.trials.iloc[rows].reset_index(drop=True),
        )  # fmt: skip

    def column(self, name: Labels) -> np.ndarray:
        """Return one label a trial: a column of ``trials`` by name, or what is given, checked for its length."""
        if isinstance(name, str):
            if name not in self.trials:
                raise BraindecError(f"the trials have no column {name!r}{did_you_mean(name, map(str, self.trials))}",
                                    allowed=", ".join(map(str, self.trials)))  # fmt: skip
            values = self.trials[name].to_numpy()
        else:
            values = np.asarray(name)
        if values.shape != (self.n_trials,):
            raise BraindecError("conditions need one label for each trial", found=f"shape {values.shape}",
                                allowed=f"({self.n_trials},)")  # fmt: skip
        if pd.isna(values).any():
            raise BraindecError("some trials have no condition", found=f"{int(pd.isna(values).sum())} of {len(values)}",
                                fix="leave them out: aligned.select(mask)")  # fmt: skip
        return values

    def __repr__(self) -> str:
        left = f", {len(self.dropped)} dropped" if len(self.dropped) else ""
        return f"<Aligned {self.n_trials} trials{left}, {self.n_units} units, {self.tmin:g} to {self.tmax:g} s>"


def aligned(spikes: Spikes, onsets: Any, *, tmin: float, tmax: float) -> Aligned:
    """Cut spikes around events.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    onsets : array of shape (n_events,) or DataFrame
        Times of the events in s, on the clock of ``spikes``; a table needs a column ``onset``, its other columns come along.
    tmin, tmax : float
        Window, s from each onset.

    Raises
    ------
    BraindecError
        If the window is empty, an onset is not finite, or no window was observed as a whole.
    """
    checked_spikes(spikes, "aligned")
    table = _table(onsets)
    if not (np.isfinite(tmin) and np.isfinite(tmax) and tmin < tmax):
        raise BraindecError("a window needs tmin < tmax (s)", found=f"{tmin} and {tmax}")
    when = table["onset"].to_numpy(dtype=float)
    whole = holds(spikes.support, when + tmin, when + tmax)
    if not whole.any():
        raise BraindecError(
            "no event has a window that was observed as a whole",
            found=f"{len(when)} onsets from {when.min():.6g} to {when.max():.6g} s, windows of {tmax - tmin:g} s",
            allowed=f"{spikes.start:.6g} to {spikes.stop:.6g} s", fix="are the onsets in s, on the clock of the spikes?",
        )  # fmt: skip
    gone = np.flatnonzero(~whole)
    dropped = pd.DataFrame({"row": gone, "onset": when[gone], "why": "the window was not observed as a whole"})
    trials = table[whole].reset_index(drop=True)
    when = when[whole]
    flat, offsets = spikes.trains()
    times, trial, unit = [], [], []
    for u in range(spikes.n_units):
        train = flat[offsets[u] : offsets[u + 1]]
        low = np.searchsorted(train, when + tmin - TIE, side="left")
        n = np.searchsorted(train, when + tmax - TIE, side="left") - low
        which = np.repeat(np.arange(len(when)), n)
        rank = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        times.append(train[low[which] + rank] - when[which])
        trial.append(which)
        unit.append(np.full(len(which), u))
    t, k, who = (np.concatenate(v) if v else np.zeros(0) for v in (times, trial, unit))
    order = np.lexsort((t, who, k))
    return Aligned(t[order], k[order].astype(np.int32), who[order].astype(np.int32), trials, spikes.units,
                   float(tmin), float(tmax), dropped)  # fmt: skip


def thinned(found: Aligned, share: float | np.ndarray, *, seed: int = 0) -> Aligned:
    """Return the same trials with each spike kept by chance, so that rates can be made equal.

    Parameters
    ----------
    found : Aligned
        Trials.
    share : float or array of shape (n_units,)
        Chance of a spike to stay, 0 to 1, one for all or for each unit.
    seed : int
        Source of chance.
    """
    chance = np.broadcast_to(np.asarray(share, dtype=float), (found.n_units,))
    if not ((chance >= 0) & (chance <= 1)).all():
        raise BraindecError(
            "the share of spikes that stay lies between 0 and 1", found=f"{chance.min()} to {chance.max()}"
        )
    keep = np.random.default_rng(seed).random(len(found.times)) < chance[found.unit]
    return replace(found, times=found.times[keep], trial=found.trial[keep], unit=found.unit[keep])


def _table(onsets: Any) -> pd.DataFrame:
    if isinstance(onsets, pd.DataFrame):
        if "onset" not in onsets:
            raise BraindecError("a table of events needs a column 'onset' (s)", found=", ".join(map(str, onsets)))
        table = onsets.reset_index(drop=True)
    else:
        table = pd.DataFrame({"onset": np.asarray(onsets, dtype=float).ravel()})
    when = pd.to_numeric(table["onset"], errors="coerce").to_numpy(dtype=float)
    if not len(when):
        raise BraindecError("there are no events to align spikes to", found="0 onsets")
    if not np.isfinite(when).all():
        raise BraindecError("some onsets are not finite", found=f"{int((~np.isfinite(when)).sum())} of {len(when)}",
                            fix="leave these events out")  # fmt: skip
    return table.assign(onset=when)
