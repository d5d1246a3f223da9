"""Reader ``armeni``: ten hours of Sherlock Holmes heard by three subjects (Armeni et al. 2022), CTF MEG in BIDS.

It reads as the reader ``bids`` does, and turns the events into the standard table of speech. Layout, as established from the data
descriptor and from public code that reads it:

* ``sub-001/ses-001/meg/sub-001_ses-001_task-compr_meg.ds``, 1200 Hz, sessions 001 to 010; each plays a story in up to eight sections.
* ``_events.tsv``: onset, duration, sample, type, value. ``word_onset_01`` (the number is that of the section) with the word in upper case and
  quotes, ``phoneme_onset_01`` with ARPAbet labels (``AH0``); ``sp`` is a pause. ``wav_onset`` is the start of a section's sound.
* ``stimuli``: ``01_1.wav`` is section 1 of session 1.

From memory: that each section has one row ``wav_onset`` (plain or numbered like the words). Where it is missing, the section begins
with its first row. The table says nothing of sentences: a ``pause`` ends one, so they are stretches of speech, not sentences of the text;
the same stretch has the same ``sentence_id`` in all subjects. Times in the sound are differences of times of the recording, to the ms, so that they
are the same for all subjects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options, _speech_tables
from braindec.loaders.readers import bids
from braindec.loaders.speech_events import SILENCE, add_sentences
from braindec.types import Recording

__all__ = ["load", "audio", "files", "subjects"]

_UNIT = re.compile(r"^(word|phoneme)_onset_(\d+)$")
_WAV = re.compile(r"^wav_onset(?:_(\d+))?$")


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    session: str | Sequence[str] | None = None,
    phonemes: bool = True,
    pause: float = 0.25,
    sensors: str | Sequence[str] | None = ("mag", "grad"),
) -> list[Recording]:
    """Open the sessions of a story; only headers and tables are read.

    Parameters
    ----------
    root : str or Path
        The BIDS folder.
    subject, session : str or list of str, optional
        "001" to "003"; "001" to "010".
    phonemes : bool
        Whether to keep the rows of phonemes.
    pause : float
        A silence of more than that (s) between two words ends a sentence.
    sensors : str or list of str, optional
        Channel types to keep; None keeps reference coils and triggers too.

    Returns
    -------
    list of Recording
        One a session.

    Raises
    ------
    BraindecError
        If a word begins beyond the recording, or a sound is missing.
    """
    folder = _files.existing(root)
    sounds = _speech_tables.sounds_in(folder / "stimuli")
    found = []
    for recording in bids.load(root, subject, session=session, task="compr", datatype="meg"):
        tables = _tables(recording, phonemes=phonemes, pause=pause)
        kept = recording if sensors is None else recording.select(types=sensors)
        found.append(_speech_tables.finish(kept, tables, sounds=sounds, where=str(folder / "stimuli")))
    return _speech_tables.say_repeats(found)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects."""
    return bids.subjects(root, **_for_bids(options))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` reads; sounds are listed by :func:`audio`."""
    return bids.files(root, subject, **_for_bids(options))


def audio(root: str | Path, **options: Any) -> dict[str, Path]:
    """Return the sounds by the names that events give ("01_1.wav").

    Raises
    ------
    BraindecError
        If there are none.
    """
    _options.bind(load, options)
    folder = _files.existing(root) / "stimuli"
    found = _speech_tables.sounds_in(folder)
    if found is None:
        raise BraindecError(
            "there are no sounds here", found=f"no sound file in {folder}", fix="copy stimuli of the data set there"
        )
    return found


def _tables(recording: Recording, *, phonemes: bool, pause: float) -> list[pd.DataFrame]:
    """Rows of sounds, sentences, words and phonemes of one session."""
    raw = recording.events
    missing = [c for c in ("type", "value") if c not in raw]
    if missing:
        raise UnreadableError(
            f"{recording.label}: its events have no column {missing[0]}",
            found=f"columns {', '.join(map(str, raw.columns))}",
        )
    kind = raw["type"].astype(str).str.extract(_UNIT)
    value = raw["value"].astype(str).str.strip().str.strip("\"'").str.strip()
    rows = raw.assign(trial_type=kind[0], section=pd.to_numeric(kind[1]), text=value)
    if not rows["trial_type"].eq("word").any():
        raise BraindecError(f"{recording.label} has no words", found=f"types {', '.join(raw['type'].astype(str).unique()[:8])}",
                            allowed="word_onset_01, ...")  # fmt: skip
    begins = _sections(recording, rows)
    rows = rows[rows["trial_type"].notna() & ~rows["text"].str.lower().isin(SILENCE)]
    session = int(re.sub(r"\D", "", str(recording.info.get("session") or "0")) or 0)
    names = {number: f"{session:02d}_{int(number)}.wav" for number in begins}
    rows = rows.assign(audio=rows["section"].map(names), audio_onset=(rows["onset"] - rows["section"].map(begins)).round(3),
                       story=f"story-{session:02d}", text=rows["text"].str.lower().where(rows["trial_type"] == "word", rows["text"]))  # fmt: skip
    rows = rows.sort_values(["onset", "trial_type"], ascending=[True, False], kind="stable").reset_index(drop=True)
    rows["duration"] = _durations(rows)
    spoken = add_sentences(rows, ends="", pause=pause)
    spoken = spoken[
        [
            "onset",
            "duration",
            "trial_type",
            "text",
            "audio",
            "audio_onset",
            "story",
            "sentence",
            "sentence_id",
            "word_index",
        ]
    ]
    words = spoken[spoken["trial_type"] == "word"]
    ends = spoken.assign(end=spoken["onset"] + spoken["duration"]).groupby("audio")["end"].max()
    played = pd.DataFrame({"onset": list(begins.values()), "audio": list(names.values()), "audio_onset": 0.0, "trial_type": "sound",
                           "story": f"story-{session:02d}"})  # fmt: skip
    played = played.assign(
        text=played["audio"], duration=played["audio"].map(ends).to_numpy() - played["onset"].to_numpy()
    )
    return [played, _speech_tables.sentence_rows(words), spoken if phonemes else words]


def _sections(recording: Recording, rows: pd.DataFrame) -> dict[float, float]:
    """When the sound of each section began, s in the recording."""
    first = rows[rows["section"].notna()].groupby("section")["onset"].min().sort_index()
    wav = rows["type"].astype(str).str.extract(_WAV)[0]
    marked = rows[rows["type"].astype(str).str.match(_WAV)]
    begins: dict[float, float] = {}
    for number, onset in zip(first.index.astype(float), first.astype(float), strict=True):
        numbered = marked[pd.to_numeric(wav.loc[marked.index]) == number]["onset"]
        earlier = marked[marked["onset"] <= onset + 1e-3]["onset"]
        begins[number] = float(numbered.iloc[0] if len(numbered) else earlier.max() if len(earlier) else onset)
    if len(set(begins.values())) < len(begins):
        raise BraindecError(f"{recording.label}: two sections begin at one time", found=str({int(k): v for k, v in begins.items()}),
                            fix="each section needs a row wav_onset")  # fmt: skip
    return begins


def _durations(rows: pd.DataFrame) -> np.ndarray:
    """Of the table where it has them; else until the next row of the same kind, at most 0.5 s."""
    given = rows["duration"].to_numpy(dtype=float)
    following = rows.groupby("trial_type")["onset"].shift(-1)
    until = (following - rows["onset"]).clip(lower=0, upper=0.5).fillna(0.5).to_numpy(dtype=float)
    return np.where(np.isfinite(given) & (given > 0), given, until)


def _for_bids(options: dict[str, Any]) -> dict[str, Any]:
    values = _options.bind(load, options)
    return {"session": values["session"], "task": "compr", "datatype": "meg"}
