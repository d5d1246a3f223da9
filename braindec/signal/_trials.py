"""The trial table of windows: who, which run, which presentation of a stimulus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal.events import label_text
from braindec.types import Recording

_TEXT = ("subject", "session", "run", "task", "stimulus_id", "concept_id")
_FIRST = (
    "subject",
    "session",
    "task",
    "run",
    "onset",
    "duration",
    "trial_type",
    "stimulus_id",
    "concept_id",
    "repetition",
)


def as_recordings(recordings: Recording | Sequence[Recording]) -> list[Recording]:
    """Return a list of recordings, refusing an empty one."""
    found = [recordings] if isinstance(recordings, Recording) else list(recordings)
    if not found:
        raise BraindecError(
            "no recordings to cut windows from", found="an empty list", fix="check the subject and the selection"
        )
    return found


def identify(tables: Sequence[pd.DataFrame], recordings: Sequence[Recording]) -> list[pd.DataFrame]:
    """Add subject, session, task and run of each recording, ids as text, and the repetition of each stimulus.

    Parameters
    ----------
    tables : sequence of DataFrame
        All events of each recording, in order of onset.
    recordings : sequence of Recording
        Info wins over columns of the events; a recording without a run is a run of its own, numbered within its session.
    """
    runs = _run_names(recordings)
    seen: dict[tuple, int] = {}
    found = []
    for table, recording, run in zip(tables, recordings, runs, strict=True):
        own = {k: str(recording.info[k]) for k in ("subject", "session", "task") if recording.info.get(k) is not None}
        if run is not None and (recording.info.get("run") is not None or "run" not in table):
            own["run"] = run
        table = table.assign(**own)
        for column in _TEXT:
            if column in table and column not in own:
                table[column] = pd.Series([label_text(v) for v in table[column]], index=table.index, dtype=object)
        if "stimulus_id" in table and "repetition" not in table:
            table["repetition"] = _repetitions(table["stimulus_id"], own.get("subject"), seen)
        found.append(table)
    return found


def join_trials(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the chosen rows of all recordings; the columns that every room knows come first."""
    columns = list(dict.fromkeys(c for t in tables for c in t.columns))
    order = [c for c in _FIRST if c in columns] + [c for c in columns if c not in _FIRST]
    kept = [t for t in tables if len(t)]
    return pd.concat(kept, ignore_index=True)[[c for c in order if any(c in t for t in kept)]]


def unique_ids(recordings: Sequence[Recording], index: np.ndarray) -> np.ndarray:
    """Return stable readable names of windows; two events at one sample get ``#2``, ``#3``."""
    labels = [r.label for r in recordings]
    names = [label if labels.count(label) == 1 else f"{label}#{i}" for i, label in enumerate(labels)]
    ids = pd.Series([f"{names[r]}@{s}" for r, s in index], dtype=object)
    again = ids.groupby(ids).cumcount()
    return np.array([i if not k else f"{i}#{k + 1}" for i, k in zip(ids, again, strict=True)], dtype=object)


def _run_names(recordings: Sequence[Recording]) -> list[str | None]:
    count: dict[tuple, int] = {}
    names: list[str | None] = []
    for recording in recordings:
        info = recording.info
        if info.get("run") is not None:
            names.append(str(info["run"]))
            continue
        key = (info.get("subject"), info.get("session"))
        count[key] = count.get(key, 0) + 1
        names.append(f"{count[key]:02d}")
    return names


def _repetitions(stimuli: pd.Series, subject: str | None, seen: dict[tuple, int]) -> np.ndarray:
    """Count from 1 how often the subject has met each stimulus, over runs and sessions in the order given."""
    numbers = np.zeros(len(stimuli), dtype=np.int64)
    for place, stimulus in enumerate(stimuli):
        if stimulus is not None:
            seen[subject, stimulus] = numbers[place] = seen.get((subject, stimulus), 0) + 1
    return numbers
