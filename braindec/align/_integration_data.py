"""Events of a film in order of its time: binned responses, features of each event, contiguous folds with a gap, blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.ridge.folds import Fold
from braindec.signal.electrodes import electrode_places
from braindec.signal.windows import make_windows
from braindec.types import Features, Recording, Windows

__all__ = [
    "Bins",
    "bin_times",
    "blocks_of",
    "event_features",
    "film_folds",
    "film_times",
    "responses_of",
    "subjects_of",
]

_CHUNK = 2**24  # numbers of windows that are read at a time
_UNKNOWN = ("", "n/a", "nan", "None")
_FILM = "film"  # the usual name of the column, which may be missing


@dataclass(frozen=True)
class Bins:
    """Bins of time around an event, s: centres from ``tmin`` to ``tmax`` every ``step``, each ``width`` wide."""

    tmin: float = -2.0
    tmax: float = 2.0
    width: float = 0.2
    step: float = 0.025

    def __post_init__(self) -> None:
        if not (np.isfinite([self.tmin, self.tmax, self.width, self.step]).all() and self.tmax >= self.tmin
                and self.width > 0 and self.step > 0):  # fmt: skip
            raise BraindecError(
                "bins need tmin <= tmax, a width and a step above 0 (s)",
                found=f"tmin={self.tmin}, tmax={self.tmax}, width={self.width}, step={self.step}",
            )

    @property
    def centres(self) -> np.ndarray:
        """s from onset, (n_bins,)."""
        return self.tmin + self.step * np.arange(round((self.tmax - self.tmin) / self.step) + 1)

    @property
    def span(self) -> tuple[float, float]:
        """First and last moment that a response holds, s from onset."""
        return self.tmin - self.width / 2, float(self.centres[-1]) + self.width / 2


def bin_times(bins: Bins, windows: Windows) -> tuple[np.ndarray, int]:
    """First sample of each bin in the windows, and samples a bin."""
    size = max(1, round(bins.width * windows.sfreq))
    first = np.round((bins.centres - bins.width / 2 - windows.tmin) * windows.sfreq).astype(int)
    if first[0] < 0 or first[-1] + size > windows.n_times:
        end = windows.tmin + windows.n_times / windows.sfreq
        raise BraindecError(
            "the windows are shorter than the bins", found=f"windows {windows.tmin:g} to {end:g} s, bins {bins.span[0]:g} to {bins.span[1]:g} s",
            fix="cut windows from the first to the last moment of the bins, or give recordings",
        )  # fmt: skip
    return first, size


def subjects_of(data: Recording | Windows | Sequence[Recording] | Sequence[Windows], bins: Bins, column: str, types: Sequence[str]) -> dict[str, Windows]:  # fmt: skip
    """Windows of each subject: recordings are cut around the events of the types wanted; windows are taken as they are."""
    items = [data] if isinstance(data, (Recording, Windows)) else list(data)
    if not items:
        raise BraindecError("integration sites need recordings", found="none")
    if all(isinstance(i, Windows) for i in items):
        found = {}
        for item in items:
            names = item.trials["subject"].astype(str).unique() if "subject" in item.trials else [f"{len(found) + 1:02d}"]  # fmt: skip
            if len(names) != 1 or names[0] in found:
                raise BraindecError("windows must be of one subject each, once", found=", ".join(map(str, names)),
                                    fix="join the runs of a subject, and give one Windows a subject")  # fmt: skip
            _check_types(item.trials, column, types)
            found[str(names[0])] = item[item.trials[column].astype(str).isin(list(types)).to_numpy()]
        return found
    if not all(isinstance(i, Recording) for i in items):
        raise BraindecError("integration sites need recordings or windows", found=", ".join(sorted({type(i).__name__ for i in items})))  # fmt: skip
    runs: dict[str, list[Recording]] = {}
    for item in items:
        runs.setdefault(str(item.info.get("subject") or "01"), []).append(item)
    for own in runs.values():
        for run in own:
            _check_types(run.events, column, ())
        _check_types(pd.concat([run.events for run in own]), column, types)
    return {
        subject: make_windows(_good(own), tmin=bins.span[0], tmax=bins.span[1] + 2 / own[0].sfreq, column=column, select=list(types))
        for subject, own in runs.items()
    }  # fmt: skip


def _check_types(table: pd.DataFrame, column: str, types: Sequence[str]) -> None:
    if column not in table:
        raise BraindecError(f"events have no column {column!r}{did_you_mean(column, table)}", found=", ".join(map(str, table)))  # fmt: skip
    known = sorted(set(table[column].astype(str)) - set(_UNKNOWN))
    for name in types:
        if name not in known:
            raise BraindecError(f"no event is a {name!r}{did_you_mean(name, known)}", found=f"{column}: {', '.join(known[:10]) or 'nothing'}",
                                fix="name the event types that there are (types=...)")  # fmt: skip


def _good(runs: list[Recording]) -> list[Recording]:
    bad = {n for r in runs for n, s in zip(r.channels["name"], r.channels["status"], strict=True) if s == "bad"}
    shared = set.intersection(*(set(r.ch_names) for r in runs)) - bad
    names = [n for n in runs[0].ch_names if n in shared]
    if not names:
        raise BraindecError(f"{runs[0].label}: no good electrode is left", found=f"marked bad: {', '.join(sorted(bad)[:6])}")  # fmt: skip
    return [r if r.ch_names == names else r.select(names) for r in runs]


def place_notes(subject: str, windows: Windows) -> list[str]:
    """Say which electrodes have no place, lie outside the head, or are in an unknown space: the map leaves them out."""
    found, said = electrode_places(windows), []
    if not found.names:
        return [f"sub-{subject}: no channel is of type seeg, ecog or dbs; all channels were analysed."]
    if found.without:
        said.append(f"sub-{subject}: {len(found.without)} of {len(found.names)} electrodes have no position ({_some(found.without)}); "
                    "they are analysed, and left out of the map.")  # fmt: skip
    if found.space is None and len(found.without) < len(found.names):
        said.append(f"sub-{subject}: positions are in an unknown space; they are not comparable between subjects.")
    if found.outside:
        said.append(f"sub-{subject}: {len(found.outside)} electrodes lie outside the head ({_some(found.outside)}): check unit and axes of "
                    "the positions; they are analysed, and left out of the map.")  # fmt: skip
    return said


def responses_of(windows: Windows, rows: np.ndarray, bins: Bins) -> np.ndarray:
    """Mean response in each bin, (event, electrode, bin), float32, in standard deviations of the electrode."""
    first, size = bin_times(bins, windows)
    step = max(1, _CHUNK // (windows.n_channels * windows.n_times))
    out = np.empty((len(rows), windows.n_channels, len(first)), dtype=np.float32)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        values = windows.load(part).astype(np.float64)
        if not np.isfinite(values).all():
            wrong = np.unique(np.flatnonzero(~np.isfinite(values).all(axis=(0, 2))))
            raise BraindecError("responses are not finite", found=", ".join(windows.ch_names[c] for c in wrong[:6]),
                                fix="mark these electrodes bad, or repair the recording")  # fmt: skip
        scale = 1.0 / np.maximum(np.abs(values).max(axis=(0, 2), keepdims=True), 1e-300)  # volts are tiny
        total = np.concatenate([np.zeros((*values.shape[:2], 1)), np.cumsum(values * scale, axis=2)], axis=2)
        out[start : start + step] = ((total[:, :, first + size] - total[:, :, first]) / size / scale).astype(np.float32)
    spread = out.std(axis=(0, 2), dtype=np.float64, keepdims=True)
    return np.where(spread > 0, out / np.maximum(spread, 1e-300), np.nan).astype(np.float32)


def film_times(trials: pd.DataFrame, time: str, film: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Time in the film (s) and number of the film of each event.

    Raises
    ------
    BraindecError
        If the column of times, or one of films that was named, is missing, or times are no numbers.
    """
    if time not in trials:
        raise BraindecError(
            f"events have no column {time!r} (s in the film){did_you_mean(time, trials)}", found=", ".join(map(str, trials.columns)),
            fix="name the column of time in the film (time_column=...); folds and gaps are in that time",
        )  # fmt: skip
    at = pd.to_numeric(trials[time], errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(at).all():
        raise BraindecError(f"{int((~np.isfinite(at)).sum())} of {len(at)} events have no time in the film", found=f"column {time!r}")  # fmt: skip
    if film is not None and film != _FILM and film not in trials:
        raise BraindecError(
            f"events have no column {film!r} (which film){did_you_mean(film, trials)}", found=", ".join(map(str, trials.columns)),
            fix="name the column that says which film (film_column=...), or None where all is one film",
        )  # fmt: skip
    if film is None or film not in trials:  # the usual column may be missing: all is one film
        return at, np.zeros(len(at), dtype=int)
    return at, np.unique(trials[film].astype(str), return_inverse=True)[1].reshape(-1)


def film_folds(at: np.ndarray, film: np.ndarray, n_folds: int, *, gap: float) -> list[Fold]:
    """Contiguous folds in film time: test rows are a stretch, training rows are further than ``gap`` s from all of them.

    Parameters
    ----------
    at, film : array of shape (n,)
        s in the film, and which film, sorted by film and time. A moment that was shown twice stands in one fold.
    n_folds : int
    gap : float
        s.
    """
    n = len(at)
    place = np.concatenate([[0], np.cumsum((np.diff(at) != 0) | (np.diff(film) != 0))])  # moments, in order
    if not 2 <= n_folds <= place[-1] + 1:
        raise BraindecError(f"{n_folds} contiguous folds of {place[-1] + 1} moments of film", allowed=f"2 to {place[-1] + 1}")  # fmt: skip
    cut = place[np.linspace(0, n, n_folds + 1).round().astype(int)[1:-1]]
    part = np.searchsorted(cut, place, side="right")
    folds = []
    for k in range(n_folds):
        test = np.flatnonzero(part == k)
        keep = part != k
        for f in np.unique(film[test]):
            own = at[test[film[test] == f]]
            keep &= ~((film == f) & (at > own.min() - gap) & (at < own.max() + gap))
        train = np.flatnonzero(keep)
        if not len(test) or len(train) < 10:
            raise BraindecError(
                f"fold {k + 1} of {n_folds} is left with {len(train)} training and {len(test)} test events",
                found=f"a gap of {gap:g} s in {np.ptp(at):.0f} s of film", fix="take fewer folds, a smaller gap or more film",
            )  # fmt: skip
        folds.append((train, test))
    return folds


def blocks_of(at: np.ndarray, film: np.ndarray, folds: Sequence[Fold], seconds: float) -> np.ndarray:
    """Number of the block of each event: stretches of film of about ``seconds``, each within one fold and film; (n,)."""
    out, n = np.full(len(at), -1), 0
    for _, test in folds:
        for f in np.unique(film[test]):
            rows = test[film[test] == f]
            pieces = max(1, round((np.ptp(at[rows]) or 1.0) / seconds))
            edges = np.linspace(at[rows].min(), at[rows].max(), pieces + 1)[1:-1]
            own = np.searchsorted(edges, at[rows], side="right")
            out[rows] = n + np.unique(own, return_inverse=True)[1].reshape(-1)  # empty stretches are no blocks
            n = out[rows].max() + 1
    return out


def event_features(features: Mapping[str, Features], columns: Mapping[str, str], trials: pd.DataFrame, missing: str) -> tuple[dict[str, np.ndarray], np.ndarray]:  # fmt: skip
    """Features of each event and which events have all of them.

    Parameters
    ----------
    features : mapping of name to Features
    columns : mapping of name to str
        The event column that holds the ids of each.
    trials : DataFrame
    missing : {"raise", "drop"}

    Returns
    -------
    values : dict of name to array of shape (n_kept, n_units), float64
    kept : array of bool, shape (n_events,)

    Raises
    ------
    BraindecError
        If a column is missing, ids have no features (with "raise"), or features are not finite.
    """
    kept, rows = np.ones(len(trials), dtype=bool), {}
    for name, own in features.items():
        column = columns[name]
        if column not in trials:
            raise BraindecError(
                f"events have no column {column!r}, which holds the ids of {name!r}{did_you_mean(column, trials)}",
                found=", ".join(map(str, trials.columns)), fix="say which column it is: columns={'vision': ...}",
            )  # fmt: skip
        place = pd.Series(np.arange(len(own.items)), index=own.items["stimulus_id"])
        if not place.index.is_unique:
            raise BraindecError(f"features {name!r} hold an id twice", found=str(place.index[place.index.duplicated()][0]))  # fmt: skip
        asked = trials[column].astype(str)
        rows[name] = place.index.get_indexer(asked)
        lost = rows[name] < 0
        if lost.any() and missing == "raise":
            raise BraindecError(
                f"{int(lost.sum())} of {len(trials)} events have no features of {name!r}",
                found=f"{column} {', '.join(map(repr, asked[lost].unique()[:4]))}; the features hold {len(place)} ids such as "
                f"{', '.join(map(repr, place.index[:2]))}",
                fix="extract features for them, name the right column (columns=...), or leave these events out: missing='drop'",
            )  # fmt: skip
        kept &= ~lost
    values = {}
    for name, own in features.items():
        wanted, inverse = np.unique(rows[name][kept], return_inverse=True)
        values[name] = own.load(wanted)[inverse].astype(np.float64) if len(wanted) else np.empty((0, own.shape[1]))
        if not np.isfinite(values[name]).all():
            raise BraindecError(f"features {name!r} are not finite", found=f"{int((~np.isfinite(values[name])).sum())} values")  # fmt: skip
    return values, kept


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:6])) + (", ..." if len(names) > 6 else "")
