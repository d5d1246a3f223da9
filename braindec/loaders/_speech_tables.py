"""Event tables of natural speech: the columns that all readers give, sounds by the names that events have, sentences, repeats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders.speech_events import EVENT_COLUMNS, check_onsets
from braindec.types import Recording

__all__ = ["check_places", "finish", "say_repeats", "sentence_rows", "sound_name", "sounds_in"]

_TEXT = ("trial_type", "text", "audio", "story", "sentence", "sentence_id")
_ORDER = {"sound": 0, "sentence": 1, "word": 2, "phoneme": 3}
_EARLY = 0.05  # s that a word may begin before its sound, by rounding
_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".aiff")


def finish(
    recording: Recording, tables: Sequence[pd.DataFrame], *, sounds: Mapping[str, Path] | None, where: str
) -> Recording:
    """Return the recording with the standard table of events, checked.

    Parameters
    ----------
    recording : Recording
    tables : sequence of DataFrame
        Rows of sounds, sentences, words, phonemes; missing columns are filled in, further ones kept.
    sounds : mapping of str to Path, or None
        Sound files of the set by name; None when none are here, which is said in ``info["warnings"]``.
    where : str
        Where the sounds should be, for messages.

    Raises
    ------
    BraindecError
        If a word begins beyond the recording or before its sound, or events name a sound that is missing among those that are here.
    """
    events = pd.concat([t for t in tables if len(t)], ignore_index=True)
    for column in EVENT_COLUMNS:
        if column not in events:
            events[column] = "n/a" if column in _TEXT else -1 if column == "word_index" else np.nan
    events[list(_TEXT)] = events[list(_TEXT)].astype(object).where(events[list(_TEXT)].notna(), "n/a")
    events["word_index"] = events["word_index"].fillna(-1).astype(int)
    place = np.lexsort([events["trial_type"].map(_ORDER).to_numpy(), events["onset"].to_numpy(dtype=float)])
    events = events.iloc[place].reset_index(drop=True)
    events = events[[*EVENT_COLUMNS, *(c for c in events if c not in EVENT_COLUMNS)]]
    check_onsets(events, recording.duration, recording.label, sfreq=recording.sfreq)
    check_places(events, recording.label)
    said = list(recording.info.get("warnings") or [])
    named = [n for n in dict.fromkeys(events["audio"]) if n != "n/a"]
    if sounds is None:
        if named:
            said.append(f"no sounds are here ({where}): words and phonemes can be used, features of the sound cannot")
    else:
        files = {sound_name(n): n for n in sounds}
        missing = [n for n in named if sound_name(n) not in files]
        if missing:
            raise BraindecError(
                f"{recording.label}: events name a sound that is not there: {missing[0]}{did_you_mean(missing[0], sounds)}",
                found=f"{len(missing)} of {len(named)} sounds are missing in {where}", allowed=", ".join(sorted(sounds)[:12]),
                fix="copy all sound files of the set there, or move the folder away to work without sounds",
            )  # fmt: skip
        events["audio"] = events["audio"].map({n: files[sound_name(n)] for n in named} | {"n/a": "n/a"})
    return replace(recording, events=events, info={**recording.info, "warnings": said})


def check_places(events: pd.DataFrame, label: str) -> None:
    """Refuse words that are said before their sound begins."""
    at = pd.to_numeric(events["audio_onset"], errors="coerce")
    early = (at < -_EARLY) & events["trial_type"].isin(["word", "phoneme"])
    if early.any():
        row = events[early].iloc[0]
        raise BraindecError(
            f"{label}: {int(early.sum())} words and phonemes begin before their sound",
            found=f"the first is {str(row['text'])[:30]!r} at {float(row['audio_onset']):.6g} s of {row['audio']}",
            fix="times in the sound count from its begin: check the table of words",
        )


def sound_name(text: object) -> str:
    """Return what of a name of a sound counts: no folder, lower case, ``name_0.0.wav`` as ``name_0.wav``."""
    name = re.split(r"[\\/]", str(text).strip())[-1].lower()
    return re.sub(r"\.0(?=\.\w+$)", "", name)


def sounds_in(folder: Path, pattern: str = "*") -> dict[str, Path] | None:
    """Return the sound files of a folder by name, or None when there are none."""
    if not folder.is_dir():
        return None
    found = {
        p.name: p for p in sorted(folder.glob(pattern)) if p.suffix.lower() in _ENDINGS and not p.name.startswith(".")
    }
    return found or None


def sentence_rows(words: pd.DataFrame) -> pd.DataFrame:
    """Return one row a sentence, from its first word to the end of its last one."""
    if not len(words):
        return words.copy()
    number = (words["word_index"] == 0).cumsum()
    first = words.groupby(number).head(1).reset_index(drop=True)
    ends = (words["onset"] + words["duration"]).groupby(number).max().to_numpy()
    return first.assign(trial_type="sentence", text=first["sentence"], duration=ends - first["onset"].to_numpy())


def say_repeats(recordings: Sequence[Recording]) -> list[Recording]:
    """Say in ``info["warnings"]`` when a subject hears sentences in several sessions or runs."""
    heard: dict[tuple[str, str], set[int]] = {}
    for k, recording in enumerate(recordings):
        for name in recording.events.loc[recording.events["trial_type"] == "word", "sentence_id"].unique():
            heard.setdefault((str(recording.info["subject"]), str(name)), set()).add(k)
    out = []
    for k, recording in enumerate(recordings):
        twice = sum(
            1
            for (who, _), where in heard.items()
            if who == str(recording.info["subject"]) and k in where and len(where) > 1
        )
        said = list(recording.info.get("warnings") or [])
        if twice:
            said.append(
                f"{recording.label}: {twice} of its sentences are heard in other recordings of the subject too: "
                "split by content (sentence_id or content_id), never by session or run"
            )
        out.append(replace(recording, info={**recording.info, "warnings": said}))
    return out
