"""Windows around events: one window an event, cut lazily from continuous recordings; channels that recordings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal._trials import as_recordings, identify, join_trials, unique_ids
from braindec.signal.events import choose_labels, labelled_events, query_rows
from braindec.signal.volumes import volume_windows
from braindec.types import Recording, Windows
from braindec.types.windows import check_same_channels

__all__ = ["common_channels", "make_windows", "volume_windows"]


def make_windows(
    recordings: Recording | Sequence[Recording],
    *,
    tmin: float,
    tmax: float,
    column: str | None = "trial_type",
    select: Sequence[str] | str | None = None,
    query: str | None = None,
    rename: Mapping[str, str] | None = None,
    on_short: str = "drop",
) -> Windows:
    """Cut one window around each event; nothing is read.

    Parameters
    ----------
    recordings : Recording or sequence of Recording
        Runs, sessions or subjects; they must share channels and sampling frequency.
    tmin, tmax : float
        Span of the window in s from the event's onset; ``round((tmax - tmin) * sfreq)`` samples, the end not included.
    column : str or None
        The event column that holds the labels; events whose label is n/a are left out. None: every event, no labels.
    select : list of str, optional
        The labels to keep, as they are after ``rename``; all by default.
    query : str, optional
        Keep the events for which this holds, e.g. ``"rt < 0.8 and side == 'left'"``; columns, constants and
        comparisons only.
    rename : mapping, optional
        Old label -> new label; several old labels may share a new one.
    on_short : {"drop", "raise"}
        What to do with an event outside its recording, or whose window leaves it.

    Returns
    -------
    Windows
        ``tmin`` is rounded to a sample. ``trials`` has every event column, subject, session, task and run of the recording, ``event_index`` (place of the
        event in its run, from 0), ``sample`` (the event's, at the sampling frequency of the windows) and ``repetition``
        when there is a ``stimulus_id``. ``info["dropped"]`` says what was left out, ``info["counts"]`` how many windows
        each label has.

    Raises
    ------
    BraindecError
        If events are missing, a label is unknown, a window is longer than a run, or no window is left.
    """
    recordings = as_recordings(recordings)
    check_same_channels(recordings)
    if on_short not in ("drop", "raise"):
        raise BraindecError(
            f"on_short={on_short!r} is unknown{did_you_mean(on_short, ['drop', 'raise'])}", allowed="drop, raise"
        )
    sfreq = recordings[0].sfreq
    n_times = _window_length(recordings, tmin, tmax)
    tables = identify([labelled_events(r, column, rename=rename) for r in recordings], recordings)
    masks = (
        [np.ones(len(t), bool) for t in tables] if column is None else choose_labels(tables, column, select, recordings)
    )
    if query is not None:
        masks = [m & query_rows(t, query) for m, t in zip(masks, tables, strict=True)]
    kept, index, dropped = [], [], []
    for number, (recording, table, mask) in enumerate(zip(recordings, tables, masks, strict=True)):
        chosen = table[mask].reset_index(drop=True)
        onset = chosen["onset"].to_numpy(dtype=float)
        sample = np.round(onset * sfreq).astype(np.int64)
        start = sample + round(tmin * sfreq)  # one time axis for all windows, true to half a sample
        outside = (sample < 0) | (sample >= recording.n_times)
        if len(recordings) > 1 and len(outside) and outside.all():
            raise BraindecError(
                f"all {len(chosen)} events of {recording.label} lie outside the recording",
                found=f"onsets {onset.min():g} to {onset.max():g} s, the recording has 0 to {recording.duration:g} s",
                fix="check that onsets are in s from the start of this recording, or leave this run out",
            )
        short = ~outside & ((start < 0) | (start + n_times > recording.n_times))
        dropped += _say_dropped(recording, len(table), chosen, outside, short)
        inside = ~(outside | short)
        kept.append(chosen.assign(sample=sample)[inside])
        index.append(np.stack([np.full(inside.sum(), number), start[inside]], axis=1))
    found = np.concatenate(index)
    _check_left(found, dropped, column=column, select=select, query=query, on_short=on_short, span=(tmin, tmax))
    trials = join_trials(kept).assign(window_id=unique_ids(recordings, found))
    info = {"dropped": dropped, "counts": _counts(trials, column)}
    return Windows(tuple(recordings), found, n_times, trials, round(tmin * sfreq) / sfreq, info)


def common_channels(recordings: Sequence[Recording], *, good: bool = False) -> list[Recording]:
    """Return lazy selections of the channels that all recordings share, in the order of the first.

    Parameters
    ----------
    recordings : sequence of Recording
        Runs, sessions or subjects.
    good : bool
        Also leave out channels that are marked bad in any recording.

    Raises
    ------
    BraindecError
        If they share none.
    """
    recordings = as_recordings(recordings)
    shared = set.intersection(*(set(r.ch_names) for r in recordings))
    if good:
        for recording in recordings:
            shared -= set(recording.channels["name"][recording.channels["status"] == "bad"])
    names = [n for n in recordings[0].ch_names if n in shared]
    if not names:
        raise BraindecError(
            f"{len(recordings)} recordings share no {'good ' if good else ''}channel",
            found="; ".join(f"{r.label}: {', '.join(r.ch_names[:6])}" for r in recordings[:4]),
            fix="check the channel names, or leave out the recording that differs",
        )
    return [r if r.ch_names == names else r.select(names) for r in recordings]


def _window_length(recordings: Sequence[Recording], tmin: float, tmax: float) -> int:
    sfreq = recordings[0].sfreq
    if not (np.isfinite(tmin) and np.isfinite(tmax) and round((tmax - tmin) * sfreq) >= 1):
        raise BraindecError(
            f"a window from tmin={tmin} to tmax={tmax} s has no sample", found=f"sampling frequency {sfreq:g} Hz",
            fix="choose tmax above tmin by at least one sample",
        )  # fmt: skip
    n_times = round((tmax - tmin) * sfreq)
    shortest = min(recordings, key=lambda r: r.n_times)
    if n_times > shortest.n_times:
        raise BraindecError(
            f"a window of {tmax - tmin:g} s is longer than the run {shortest.label}",
            found=f"{shortest.n_times} samples ({shortest.duration:.3g} s), the window has {n_times}",
            fix="choose a shorter window, or leave this run out",
        )
    return n_times


def _say_dropped(
    recording: Recording, n_events: int, chosen: pd.DataFrame, outside: np.ndarray, short: np.ndarray
) -> list[str]:
    said = []
    unknown = len(recording.events) - n_events
    if unknown:
        said.append(f"{recording.label}: {unknown} events have no onset")
    if not len(chosen):
        said.append(f"{recording.label}: none of its {n_events} events was chosen")
    for mask, what in ((outside, "lie outside the recording"), (short, "have a window that leaves the recording")):
        if mask.any():
            onsets = ", ".join(f"{t:.6g}" for t in chosen["onset"].to_numpy(dtype=float)[mask][:3])
            more = ", ..." if mask.sum() > 3 else ""
            said.append(
                f"{recording.label}: {int(mask.sum())} of {len(chosen)} events {what} (0 to {recording.duration:.6g} s; "
                f"onset {onsets}{more} s)"
            )
    return said


def _check_left(index: np.ndarray, dropped: list[str], *, column, select, query, on_short: str, span: tuple) -> None:
    lost = [d for d in dropped if "recording (" in d]
    if lost and on_short == "raise":
        raise BraindecError(
            "some events have no whole window", found="; ".join(lost[:5]), fix="use on_short='drop' to leave them out"
        )
    if len(index):
        return
    asked = f"column={column!r}, select={select!r}" + (f", query={query!r}" if query else "")
    raise BraindecError(
        f"no window from {span[0]:g} to {span[1]:g} s is left ({asked})", found="; ".join(dropped[:5]) or "no event",
        fix="check that onsets are in s from the start of the recording, and the selection",
    )  # fmt: skip


def _counts(trials: pd.DataFrame, column: str | None) -> dict[str, int]:
    if column is None:
        return {}
    return {str(k): int(n) for k, n in trials[column].value_counts().sort_index().items()}
