"""Words and phonemes of one sound as samples of a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders.stimulus_series import Stretch

__all__ = ["of_kind", "spans"]


def of_kind(events: pd.DataFrame, kind: str, audio: str | None) -> tuple[pd.DataFrame, str]:
    """Return the rows of one kind and one sound in order of their time, and the name of the sound.

    Raises
    ------
    BraindecError
        If columns are missing, nothing is left, or the table has several sounds and none is named.
    """
    if not isinstance(events, pd.DataFrame):
        raise BraindecError(f"this is no table of {kind}s", found=type(events).__name__, allowed="a DataFrame of braindec.loaders.speech_events")  # fmt: skip
    missing = [c for c in ("trial_type", "audio_onset", "duration", "text") if c not in events]
    if missing:
        raise BraindecError(f"a table of {kind}s needs a column {missing[0]!r}", found=f"columns {', '.join(map(str, events.columns)) or 'none'}",
                            fix="read it with braindec.loaders.speech_events")  # fmt: skip
    table = events[events["trial_type"].astype(str) == kind]
    names = list(dict.fromkeys(table["audio"].astype(str))) if "audio" in table else ["the sound"]
    if audio is not None:
        if audio not in names:
            raise BraindecError(f"there are no {kind}s of {audio!r}{did_you_mean(audio, names)}", allowed=", ".join(names[:8]) or "none")  # fmt: skip
        table, names = table[table["audio"].astype(str) == audio] if "audio" in table else table, [audio]
    if not len(table):
        there = ", ".join(sorted(set(events["trial_type"].astype(str)))[:8]) or "an empty table"
        raise BraindecError(f"the table holds no {kind}s", found=there, allowed=f"trial_type {kind}")
    if len(names) > 1:
        raise BraindecError(f"the table has {kind}s of several sounds: which is meant?", found=", ".join(names[:8]), fix="say audio=...")  # fmt: skip
    return table.sort_values("audio_onset", kind="stable").reset_index(drop=True), names[0]


def spans(
    table: pd.DataFrame, parts: Sequence[Stretch], *, sfreq: float, duration: float, at: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first sample of each row and the one after its last: one sample, or as long as it lasts in its block.

    Raises
    ------
    BraindecError
        If a row lies before or beyond the sound.
    """
    if at not in ("onset", "span"):
        raise BraindecError(f"at={at!r} is unknown{did_you_mean(str(at), ('onset', 'span'))}", allowed="onset, span")
    begin = pd.to_numeric(table["audio_onset"], errors="coerce").to_numpy(dtype=float)
    n_times = parts[-1].last
    outside = ~((begin >= 0) & (begin < duration))
    if outside.any():
        row = int(np.argmax(outside))
        raise BraindecError(f"{int(outside.sum())} of {len(table)} {table['trial_type'].iloc[0]}s lie beyond their sound",
                            found=f"the first is {table['text'].iloc[row]!r} at {begin[row]:g} s, the sound has {duration:g} s",
                            fix="check that audio_onset is in s of the sound, and the table belongs to it")  # fmt: skip
    first = np.minimum(np.round(begin * sfreq).astype(int), n_times - 1)
    if at == "onset":
        return first, first + 1
    length = pd.to_numeric(table["duration"], errors="coerce").to_numpy(dtype=float)
    if not (np.isfinite(length) & (length >= 0)).all():
        raise BraindecError("spans need the duration of each row in s", found=f"{int((~(length >= 0)).sum())} of {len(length)} have none",
                            fix="use at='onset'")  # fmt: skip
    last = np.maximum(np.round((begin + length) * sfreq).astype(int), first + 1)
    ends = np.array([part.last for part in parts])
    return first, np.minimum(last, ends[np.searchsorted(ends, first, side="right")])
