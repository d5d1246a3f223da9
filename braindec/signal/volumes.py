"""Windows of fMRI: one labelled volume, or the mean of the volumes of one block or event, with the delay of the BOLD response.

A volume belongs to the event that was going on ``delay`` s before the middle of the volume. The BOLD response to a short
event peaks about 5 s after it (:func:`braindec.signal.hrf.peak_delay`); for labels that hold the delay already, use 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal._trials import as_recordings, identify, join_trials, unique_ids
from braindec.signal.events import choose_labels, labelled_events
from braindec.types import Recording, Signal, Windows
from braindec.types.windows import check_same_channels

__all__ = ["MeanSignal", "volume_windows"]

_SLACK = 1e-6  # volumes; onsets are rounded when written


class MeanSignal(Signal):
    """A signal whose sample ``t`` is the mean of ``lengths[t]`` samples of another from ``t`` on; read lazily.

    Parameters
    ----------
    source : Signal
        The signal that is averaged.
    lengths : array of int, shape (n_times,)
        1 leaves the sample as it is.
    """

    def __init__(self, source: Signal, lengths: np.ndarray) -> None:
        self.source, self.lengths = source, np.asarray(lengths, dtype=np.int64)
        self.shape, self.path, self.slow = source.shape, source.path, getattr(source, "slow", False)
        self.dtype = np.dtype(np.float32)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        lengths = self.lengths[start:stop]
        if not len(lengths):
            return self.source.read(channels, start, stop).astype(np.float32)
        end = int((np.arange(start, stop) + lengths).max())
        block = np.asarray(self.source.read(channels, start, end))
        out = block[:, : stop - start].astype(np.float32)
        for place in np.flatnonzero(lengths > 1):
            out[:, place] = block[:, place : place + lengths[place]].mean(axis=1, dtype=np.float64)
        return out


def volume_windows(
    recordings: Recording | Sequence[Recording],
    *,
    column: str = "trial_type",
    select: Sequence[str] | str | None = None,
    delay: float = 0.0,
    average: bool = False,
    duration: float | None = None,
    rename: Mapping[str, str] | None = None,
) -> Windows:
    """Make windows of one sample: a labelled volume each, or the mean over each block.

    Parameters
    ----------
    recordings : Recording or sequence of Recording
        fMRI runs, ``sfreq`` = 1 / TR; events are blocks, single events, or one row a volume.
    column : str
        The event column that holds the labels.
    select : list of str, optional
        Labels to keep (leave "rest" out here); all by default.
    delay : float
        Time in s between an event and the volume that shows it.
    average : bool
        False: one window a volume. True: one window a block, the mean of its volumes; rows of one volume that follow
        one another with one label are one block.
    duration : float, optional
        Length in s of every event, instead of the column ``duration``.
    rename : mapping, optional
        Old label -> new label.

    Returns
    -------
    Windows
        Shape (n_windows, n_channels, 1). ``trials.onset`` is when the (first) volume begins, ``event_onset`` and
        ``event_duration`` are those of the event, ``event_index`` its place in the run.

    Raises
    ------
    BraindecError
        If events or labels are missing, or no volume is left.
    """
    recordings = as_recordings(recordings)
    check_same_channels(recordings)
    if not np.isfinite(delay):
        raise BraindecError("delay must be a number of s", found=repr(delay))
    tables = [labelled_events(r, column, rename=rename) for r in recordings]
    if duration is not None:
        tables = [t.assign(duration=float(duration)) for t in tables]
    if average:
        tables = [_join_volumes(t, column, r.sfreq) for t, r in zip(tables, recordings, strict=True)]
    tables = identify(tables, recordings)
    masks = choose_labels(tables, column, select, recordings)
    kept, index, sources, dropped = [], [], [], []
    for number, (recording, table, mask) in enumerate(zip(recordings, tables, masks, strict=True)):
        chosen = table[mask].reset_index(drop=True)
        if not len(chosen):
            dropped.append(f"{recording.label}: none of its {len(table)} events was chosen")
        cut = _blocks if average else _volumes
        rows, first, lengths, said = cut(recording, chosen, column, delay)
        dropped += said
        kept.append(_volume_trials(chosen.iloc[rows], first, lengths, recording.sfreq))
        index.append(np.stack([np.full(len(first), number), first], axis=1))
        sources.append(_averaged(recording, first, lengths) if average else recording)
    found = np.concatenate(index).astype(np.int64)
    if not len(found):
        raise BraindecError(
            f"no volume is left (column={column!r}, select={select!r}, delay={delay:g} s)", found="; ".join(dropped[:5]) or "none",
            fix="check that onsets are in s from the first volume, and the selection",
        )  # fmt: skip
    trials = join_trials(kept).assign(window_id=unique_ids(recordings, found))
    counts = {str(k): int(n) for k, n in trials[column].value_counts().sort_index().items()}
    return Windows(tuple(sources), found, 1, trials, 0.0, {"dropped": dropped, "counts": counts, "delay": float(delay)})


def _span(recording: Recording, events: pd.DataFrame, delay: float) -> tuple[np.ndarray, np.ndarray]:
    """First volume and one past the last volume whose middle lies in each event shifted by ``delay``; at least one."""
    begin = (events["onset"].to_numpy(dtype=float) + delay) * recording.sfreq
    end = begin + events["duration"].to_numpy(dtype=float) * recording.sfreq
    first = np.ceil(begin - 0.5 - _SLACK).astype(np.int64)
    last = np.ceil(end - 0.5 - _SLACK).astype(np.int64)
    brief = last <= first  # shorter than a volume: the volume that holds it
    first[brief] = np.floor(begin[brief] + _SLACK).astype(np.int64)
    last[brief] = first[brief] + 1
    return first, last


def _volumes(recording: Recording, events: pd.DataFrame, column: str, delay: float) -> tuple:
    """One row a volume: (row of its event, volume, length 1, what was left out)."""
    first, last = _span(recording, events, delay)
    owner = np.full(recording.n_times, -1, dtype=np.int64)
    torn = np.zeros(recording.n_times, dtype=bool)
    labels = events[column].to_numpy(dtype=object)
    missed = 0
    for row, (a, b) in enumerate(zip(first, last, strict=True)):
        inside = np.arange(max(a, 0), min(b, recording.n_times))
        missed += int(b - a) - len(inside)
        taken = inside[owner[inside] >= 0]
        torn[taken[labels[owner[taken]] != labels[row]]] = True
        owner[inside[owner[inside] < 0]] = row
    said = [f"{recording.label}: {missed} labelled volumes lie outside the run (delay {delay:g} s)"] if missed else []
    if torn.any():
        said.append(f"{recording.label}: {int(torn.sum())} volumes belong to two events with different {column}")
    volumes = np.flatnonzero((owner >= 0) & ~torn)
    return owner[volumes], volumes, np.ones(len(volumes), np.int64), said


def _blocks(recording: Recording, events: pd.DataFrame, column: str, delay: float) -> tuple:
    """One row a block: (row of its event, first volume, number of volumes, what was left out)."""
    first, last = _span(recording, events, delay)
    inside = (first >= 0) & (last <= recording.n_times)
    said = []
    if (~inside).any():
        said.append(f"{recording.label}: {int((~inside).sum())} blocks leave the run (delay {delay:g} s)")
    again = pd.Series(first).duplicated().to_numpy() & inside
    if again.any():
        said.append(f"{recording.label}: {int(again.sum())} blocks begin at the volume of another one")
    rows = np.flatnonzero(inside & ~again)
    return rows, first[rows], (last - first)[rows], said


def _volume_trials(events: pd.DataFrame, first: np.ndarray, lengths: np.ndarray, sfreq: float) -> pd.DataFrame:
    return events.reset_index(drop=True).assign(
        event_onset=events["onset"].to_numpy(dtype=float), event_duration=events["duration"].to_numpy(dtype=float),
        onset=first / sfreq, duration=lengths / sfreq, sample=first,
    )  # fmt: skip


def _averaged(recording: Recording, first: np.ndarray, lengths: np.ndarray) -> Recording:
    whole = np.ones(recording.n_times, dtype=np.int64)
    whole[first] = lengths
    return replace(recording, signal=MeanSignal(recording.signal, whole))


def _join_volumes(table: pd.DataFrame, column: str, sfreq: float) -> pd.DataFrame:
    """Join rows of one volume each that follow one another with one label; longer rows are blocks already."""
    onset, length = table["onset"].to_numpy(dtype=float) * sfreq, table["duration"].to_numpy(dtype=float) * sfreq
    label = table[column].to_numpy(dtype=object)
    single = np.abs(length - 1) < 0.01
    follows = np.zeros(len(table), dtype=bool)
    follows[1:] = single[1:] & single[:-1] & (label[1:] == label[:-1]) & (np.abs(onset[1:] - onset[:-1] - 1) < 0.01)
    if not follows.any():
        return table
    block = np.cumsum(~follows) - 1
    joined = table[~follows].reset_index(drop=True)
    joined["duration"] = np.bincount(block, weights=table["duration"].to_numpy(dtype=float))
    joined["event_index"] = np.arange(len(joined))
    return joined
