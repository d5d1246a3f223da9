"""Events from tables, from trigger channels and from channels that cross a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.types import Recording

_TEXT = ("trial_type", "stimulus_id", "concept_id", "subject", "session", "run", "task", "stim_file")
_CHANNEL_KEYS = ("channel", "threshold", "min_duration", "name", "below", "every")
_STIM_KEYS = ("stim_channel", "values", "mask", "min_duration")
_SIGNS = {"\t": "tabs", ",": "commas"}


def read_tsv(path: str | Path, *, separator: str = "\t") -> pd.DataFrame:
    """Read a BIDS table as text: a byte-order mark is skipped, ``n/a`` and empty cells become NaN.

    Raises
    ------
    UnreadableError
        If it is not a table in UTF-8.
    """
    try:
        table = pd.read_csv(
            path, sep=separator, dtype=str, encoding="utf-8-sig", keep_default_na=False, na_values=["n/a", "N/A", ""],
            skipinitialspace=True,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise UnreadableError(
            f"{path} cannot be read as a table", found=str(error).splitlines()[0],
            fix=f"one row a line, columns separated by {_SIGNS.get(separator, repr(separator))}, text in UTF-8",
        ) from error  # fmt: skip
    table.columns = [str(c).strip() for c in table.columns]
    return table


def events_table(table: pd.DataFrame, path: str | Path, warnings: list[str]) -> pd.DataFrame:
    """Return events with onset and duration in s and every other column; numbers where a whole column is numeric.

    Rows without an onset are dropped and counted in ``warnings``.
    """
    if not len(table.columns) or not len(table):
        return pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    if "onset" not in table:
        raise UnreadableError(
            f"{path} has no column onset{did_you_mean('onset', table.columns)}", found=f"columns {list(table.columns)}",
            fix="name the column of times (s from the start of the recording) onset",
        )  # fmt: skip
    events = pd.DataFrame(index=table.index)
    for column in table:
        events[column] = numbers(table[column]) if column not in _TEXT else table[column].astype(object)
    for column in ("onset", "duration"):
        if column in table:
            events[column] = pd.to_numeric(table[column], errors="coerce")
            unread = int((events[column].isna() & table[column].notna()).sum())
            if unread:
                raise UnreadableError(
                    f"{path}: {unread} values of {column} are not numbers",
                    found=repr(table[column][events[column].isna() & table[column].notna()].iloc[0]),
                )
    if "duration" not in events:
        events["duration"] = 0.0
        warnings.append(f"{Path(path).name} has no column duration: 0 s is used")
    lost = events["onset"].isna()
    if lost.any():
        warnings.append(f"{Path(path).name}: {int(lost.sum())} of {len(events)} events have no onset and are left out")
        events = events[~lost]
    first = ["onset", "duration"]
    return events[first + [c for c in events if c not in first]].reset_index(drop=True)


def numbers(column: pd.Series) -> pd.Series:
    """Return the column as numbers when every value that is there is one, else as it is."""
    numeric = pd.to_numeric(column, errors="coerce")
    return numeric if not (numeric.isna() & column.notna()).any() and column.notna().any() else column.astype(object)


def say_outside(events: pd.DataFrame, duration: float, name: str, warnings: list[str]) -> None:
    """Append a warning that counts the events before the start or after the end of the recording."""
    onset = events["onset"].to_numpy(dtype=float)
    before, after = int((onset < 0).sum()), int((onset >= duration).sum())
    if before or after:
        hint = "; are the onsets in s?" if before + after > len(onset) / 2 else ""
        warnings.append(
            f"{name}: {before + after} of {len(onset)} events lie outside the recording ({before} before its start, "
            f"{after} after its end at {duration:.3f} s){hint}"
        )


def derive(recording: Recording, how: Mapping[str, Any], values: Mapping[Any, str] | None = None) -> pd.DataFrame:
    """Make events from a channel of the recording.

    Parameters
    ----------
    recording : Recording
        Holds the channel.
    how : mapping
        ``{channel, threshold, min_duration, name, below, every}``: one event each time the channel rises above
        ``threshold`` (in the channel's unit), as long as it stays there; stretches shorter than ``min_duration`` s are
        left out; ``name`` is their trial_type (the channel's name by default); with ``below`` the stretches under the
        threshold become events of that name too; with ``every`` both are cut into events of that many s.
        Or ``{stim_channel, values, mask, min_duration}``: one event each time the trigger channel changes to another
        value that is not 0.
    values : mapping of int to str, optional
        Names of trigger values; values without a name keep their number.

    Raises
    ------
    BraindecError
        If a key or the channel is unknown, or there is no event.
    """
    keys = _STIM_KEYS if "stim_channel" in how else _CHANNEL_KEYS
    unknown = [k for k in how if k not in keys]
    if unknown:
        raise BraindecError(
            f"events_from has no {unknown[0]!r}{did_you_mean(unknown[0], keys)}", allowed=", ".join(keys)
        )
    if "stim_channel" in how:
        trace = _trace(recording, str(how["stim_channel"]))
        events = from_triggers(
            trace, recording.sfreq, values=how.get("values") or values, mask=how.get("mask"),
            min_duration=float(how.get("min_duration", 0.0)),
        )  # fmt: skip
        source = how["stim_channel"]
    else:
        if "channel" not in how or "threshold" not in how:
            raise BraindecError(
                "events_from needs channel and threshold, or stim_channel", found=", ".join(map(str, how))
            )
        source = str(how["channel"])
        events = from_threshold(
            _trace(recording, source), recording.sfreq, threshold=float(how["threshold"]),
            min_duration=float(how.get("min_duration", 0.0)), name=str(how.get("name") or source),
            below=how.get("below"), every=how.get("every"),
        )  # fmt: skip
    if not len(events):
        trace = _trace(recording, str(source))
        raise BraindecError(
            f"{recording.label}: the channel {source} gives no event",
            found=f"values {np.nanmin(trace):.6g} to {np.nanmax(trace):.6g}",
            fix="choose another threshold or channel",
        )
    return events


def from_threshold(
    trace: np.ndarray, sfreq: float, *, threshold: float, min_duration: float = 0.0, name: str = "above",
    below: str | None = None, every: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return the stretches of ``trace`` (n_times,) above ``threshold`` (and below it, when ``below`` names them)."""
    above = np.asarray(trace) > threshold
    edges = np.flatnonzero(np.diff(above.astype(np.int8))) + 1
    starts, stops = np.r_[0, edges], np.r_[edges, len(above)]
    rows: list[tuple[float, float, str]] = []
    for start, stop in zip(starts, stops, strict=True):
        kind = name if above[start] else below
        onset, length = start / sfreq, (stop - start) / sfreq
        rose = start > 0 or below is not None  # a trace that starts above never rose
        if kind is None or not rose or length < min_duration:
            continue
        if every is None:
            rows.append((onset, length, kind))
        else:
            n = int(np.floor(length / every + 1e-9))
            rows += [(onset + k * every, float(every), kind) for k in range(n)]
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type"]).astype({"onset": float, "duration": float})


def from_triggers(
    trace: np.ndarray, sfreq: float, *, values: Mapping[Any, str] | None = None, mask: int | None = None,
    min_duration: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """Return one event each time a trigger trace (n_times,) changes to another value that is not 0.

    A value that is already there at the first sample has no known onset and is left out; ``mask`` keeps only these bits
    of the value. The duration is the time until the next change.
    """
    codes = np.round(np.nan_to_num(np.asarray(trace, dtype=float))).astype(np.int64)
    if mask is not None:
        codes = codes & int(mask)
    at = np.flatnonzero((codes[1:] != codes[:-1]) & (codes[1:] != 0)) + 1
    changes = np.r_[np.flatnonzero(codes[1:] != codes[:-1]) + 1, len(codes)]
    lengths = (changes[np.searchsorted(changes, at, side="right")] - at) / sfreq if len(at) else np.zeros(0)
    long_enough = lengths >= min_duration
    at, lengths = at[long_enough], lengths[long_enough]
    kinds = _names(codes[at], values)
    return pd.DataFrame({"onset": at / sfreq, "duration": lengths, "trial_type": kinds, "value": codes[at]})


def _names(codes: np.ndarray, values: Mapping[Any, str] | None) -> np.ndarray:
    names = {int(k): str(v) for k, v in (values or {}).items()}
    if names and not set(names) & set(codes.tolist()):
        raise BraindecError(
            "no trigger has one of the values that are named", found=f"values {sorted(set(codes.tolist()))[:20]}",
            allowed=f"named: {names}",
        )  # fmt: skip
    return np.array([names.get(int(c), str(int(c))) for c in codes], dtype=object)


def _trace(recording: Recording, name: str) -> np.ndarray:
    names: Sequence[str] = recording.ch_names
    if name not in names:
        stims = recording.channels.loc[recording.channels["type"] == "stim", "name"].tolist()
        raise BraindecError(
            f"{recording.label} has no channel {name!r}{did_you_mean(name, names)}",
            found=f"trigger channels: {', '.join(stims) or 'none'}", allowed=", ".join(names[:40]),
        )  # fmt: skip
    return np.asarray(recording.signal.read(np.array([names.index(name)])))[0]
