"""Reader ``meg_masc``: MEG-MASC (Gwilliams et al. 2023), 27 subjects who hear four stories in each of two sessions, KIT MEG in BIDS.

It reads as the reader ``bids`` does, and turns the dictionaries that stand as text in ``trial_type`` into the standard table of speech.
Layout, as established from the data descriptor and from public code that reads it:

* ``sub-01/ses-0/meg/sub-01_ses-0_task-0_meg.con`` with ``_events.tsv`` (UTF-8 with a byte-order mark): tasks 0 to 3 are stories (lw1,
  cable_spool_fort, easy_money, the_black_willow); sessions 0 and 1 play the same stories. 208 axial gradiometers, 1000 Hz.
* ``trial_type``: kind ("sound", "word", "phoneme"), story, sound, start (s in the sound), word, phoneme ("t_B": label and place in the word),
  sequence_id (of the sentence), condition ("sentence", "word_list", "pseudo_words"), pronounced.
* ``stimuli/audio/lw1_0.wav``: several sounds a story. Events write some names in another case and with ``.0`` (``lw1_0.0.wav``).

From memory: that ``start`` stands with words; where it is missing it is the time since the sound began. Dictionaries are read as
literals, never evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options, _speech_tables
from braindec.loaders.readers import bids
from braindec.loaders.speech_events import add_sentences, from_literals
from braindec.types import Recording

__all__ = ["load", "audio", "files", "subjects"]


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    phonemes: bool = True,
    condition: str | None = "sentence",
    sensors: str | Sequence[str] | None = ("mag", "grad"),
) -> list[Recording]:
    """Open recordings of stories; only headers and tables are read.

    Parameters
    ----------
    root : str or Path
        The BIDS folder.
    subject, session, task : str or list of str, optional
        "01"; "0" or "1"; "0" to "3".
    phonemes : bool
        Whether to keep the rows of phonemes.
    condition : str, optional
        Words of this condition: "sentence", "word_list" or "pseudo_words"; None keeps all.
    sensors : str or list of str, optional
        Channel types to keep; None keeps triggers and reference channels too.

    Returns
    -------
    list of Recording
        ``info["warnings"]`` says when sentences are heard in several recordings, as they are in both sessions.

    Raises
    ------
    BraindecError
        If ``trial_type`` holds something else than literals, a word begins beyond the recording, or a sound is missing.
    """
    folder = _files.existing(root)
    recordings = bids.load(root, subject, session=session, task=task, datatype="meg")
    sounds = _speech_tables.sounds_in(folder / "stimuli" / "audio")
    found = []
    for recording in recordings:
        tables = _tables(recording, phonemes=phonemes, condition=condition)
        kept = recording if sensors is None else recording.select(types=sensors)
        found.append(_speech_tables.finish(kept, tables, sounds=sounds, where=str(folder / "stimuli" / "audio")))
    return _speech_tables.say_repeats(found)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects."""
    return bids.subjects(root, **_for_bids(options))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` reads; sounds are listed by :func:`audio`."""
    return bids.files(root, subject, **_for_bids(options))


def audio(root: str | Path, **options: Any) -> dict[str, Path]:
    """Return the sounds by the names that events give.

    Raises
    ------
    BraindecError
        If there are none.
    """
    _options.bind(load, options)
    folder = _files.existing(root) / "stimuli" / "audio"
    found = _speech_tables.sounds_in(folder)
    if found is None:
        raise BraindecError("MEG-MASC has no sounds here", found=f"no sound file in {folder}",
                            fix="copy stimuli/audio of the data set there")  # fmt: skip
    return found


def _tables(recording: Recording, *, phonemes: bool, condition: str | None) -> list[pd.DataFrame]:
    """Rows of sounds, sentences, words and phonemes of one recording."""
    table = _parsed(recording)
    played = table[table["trial_type"] == "sound"].assign(audio_onset=0.0)
    played = played.assign(text=played["audio"], duration=_lengths(played, recording)).drop(columns="_sentence")
    words = table[table["trial_type"] == "word"]
    if condition is not None and words["condition"].notna().any():
        words = words[words["condition"] == condition]
    if not len(words):
        raise BraindecError(f"{recording.label} has no words of condition {condition!r}",
                            found=", ".join(sorted(set(map(str, table["condition"].dropna())))) or "no words at all")  # fmt: skip
    parts = [words]
    if phonemes:
        spoken = table[table["trial_type"] == "phoneme"]
        place = np.searchsorted(words["onset"].to_numpy(), spoken["onset"].to_numpy() + 1e-3, side="right") - 1
        ends = (words["onset"] + words["duration"]).to_numpy()
        parts.append(spoken[(place >= 0) & (spoken["onset"].to_numpy() < ends[np.maximum(place, 0)])])
    found = add_sentences(pd.concat(parts, ignore_index=True), column="_sentence").drop(columns="_sentence")
    return [played, _speech_tables.sentence_rows(found[found["trial_type"] == "word"]), found]


def _parsed(recording: Recording) -> pd.DataFrame:
    """The dictionaries as columns, in order of onset; ``_sentence`` changes from sentence to sentence."""
    raw = recording.events
    if "trial_type" not in raw or not len(raw):
        raise UnreadableError(f"{recording.label} has no events of speech", found=f"columns {', '.join(map(str, raw.columns))}",
                              fix="copy the _events.tsv of the recording beside it")  # fmt: skip
    try:
        said = from_literals(raw["trial_type"])
    except UnreadableError as error:
        raise UnreadableError(
            f"{recording.label}: {error.asked}", found=error.found, allowed=error.allowed, fix=error.fix
        ) from None
    missing = [c for c in ("kind", "sound", "word") if c not in said]
    if missing:
        raise UnreadableError(
            f"{recording.label}: trial_type says nothing of {missing[0]}", found=str(raw["trial_type"].iloc[0])[:80]
        )
    table = pd.DataFrame({"onset": raw["onset"], "duration": raw["duration"], "trial_type": said["kind"]})
    table = table.assign(**{c: said[c] if c in said else np.nan for c in ("story", "condition", "pronounced")})
    table["story"] = table["story"].astype(object).where(table["story"].notna(), "n/a").str.lower()
    table["audio"] = [_speech_tables.sound_name(s) if isinstance(s, str) else "n/a" for s in said["sound"]]
    table["text"] = said["word"].where(
        said["kind"] != "phoneme", said.get("phoneme", said["word"]).astype(str).str.split("_").str[0]
    )
    table["_sentence"] = said.get("sequence_id", said["sound"]).astype(str) + table["condition"].astype(str)
    begin = table["onset"].where(table["trial_type"] == "sound").groupby(table["audio"]).transform("max")
    start = pd.to_numeric(said["start"], errors="coerce") if "start" in said else pd.Series(np.nan, index=table.index)
    table["audio_onset"] = start.where(start.notna(), table["onset"] - begin)
    return table.sort_values("onset", kind="stable").reset_index(drop=True)


def _lengths(played: pd.DataFrame, recording: Recording) -> np.ndarray:
    """Until the next sound, or the end, where the table gives no duration."""
    given = played["duration"].to_numpy(dtype=float)
    until = np.r_[played["onset"].to_numpy()[1:], recording.duration] - played["onset"].to_numpy()
    return np.where(np.isfinite(given) & (given > 0), given, until)


def _for_bids(options: dict[str, Any]) -> dict[str, Any]:
    values = _options.bind(load, options)
    return {"session": values["session"], "task": values["task"], "datatype": "meg"}
