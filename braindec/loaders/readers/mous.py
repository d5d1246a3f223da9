"""Reader ``mous``: the auditory MEG of the MOUS set (Schoffelen et al. 2019), 102 subjects who hear Dutch sentences and word lists.

It reads as the reader ``bids`` does, and puts the words of each sentence where its sound was played. Layout, as established from the data
descriptor (table 3) and from public code that reads it:

* ``sub-A2002/meg/sub-A2002_task-auditory_meg.ds``, CTF, 273 axial gradiometers (and reference coils), 1200 Hz; auditory subjects are A2xxx.
* ``_events.tsv``: onset, duration, sample, type, value. Type "Picture" with the value ZINNEN or WOORDEN begins a block of sentences or of word
  lists; "Sound" with ``Start File 186.wav`` is the start of a sound; "Nothing" with ``Audio onset`` is the onset of its first word.
* ``stimuli/audio_files/EQ_Ramp_Int2_Int1LPF186.wav`` and ``stimuli/stimuli.txt`` (lines such as ``186 De oude man ...``).
* The order of the sentences differs between subjects: each sentence is a block of its own, split by ``sentence_id``.

The times of single words are not part of these files: an aligner makes a TextGrid for each sound. They are looked for, by number, as
``*186.TextGrid`` in ``derivatives`` and ``stimuli``, or in the folder named by ``words``. From memory: the exact text of the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options, _speech_tables
from braindec.loaders.readers import bids
from braindec.loaders.speech_events import add_sentences, place, read_textgrid
from braindec.types import Recording

__all__ = ["load", "audio", "files", "subjects"]

_CONDITIONS = {"ZINNEN": "sentence", "WOORDEN": "word_list"}
_SOUND = re.compile(r"(\d+)\.wav\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)$")
_FILE = "EQ_Ramp_Int2_Int1LPF{:03d}.wav"


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    words: str | None = "auto",
    word_tier: str | None = None,
    phoneme_tier: str | None = None,
    condition: str | None = "sentence",
    phonemes: bool = True,
    sensors: str | Sequence[str] | None = ("mag", "grad"),
) -> list[Recording]:
    """Open the auditory recordings; only headers and tables are read.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``sub-A2002`` and ``stimuli``.
    subject : str or list of str, optional
        "A2002", ...
    words : str, optional
        Folder of TextGrids (inside ``root``, or a path of its own); "auto" looks in ``derivatives`` and ``stimuli``; None reads
        sounds and sentences without words.
    word_tier, phoneme_tier : str, optional
        Names of the tiers, where they are not ``words`` and ``phones``.
    condition : str, optional
        "sentence", "word_list", or None for both.
    phonemes : bool
        Whether to keep the rows of phonemes.
    sensors : str or list of str, optional
        Channel types to keep; None keeps reference coils, EEG and triggers too.

    Returns
    -------
    list of Recording

    Raises
    ------
    BraindecError
        If the alignment of words is missing, a word begins beyond the recording, or a sound is missing.
    """
    folder = _files.existing(root)
    grids = None if words is None else _grids(folder, words)
    texts = _texts(folder / "stimuli" / "stimuli.txt")
    sounds = _sounds(folder)
    read: dict[str, pd.DataFrame] = {}
    found = []
    for recording in bids.load(root, subject, task="auditory", datatype="meg"):
        played = _played(recording, texts, condition)
        if grids is not None:
            _complete(recording, played, grids)
            for number in played["_number"].unique():
                if number not in read:
                    read[number] = _aligned(
                        grids[number], _FILE.format(int(number)), texts.get(number), word_tier, phoneme_tier
                    )
            spoken = _spoken(played, read, phonemes)
            tables = [
                played.drop(columns=["_number", "sentence"]),
                _speech_tables.sentence_rows(spoken[spoken["trial_type"] == "word"]),
                spoken,
            ]
        else:
            tables = [played.drop(columns=["_number", "sentence"]), _without_words(played)]
        kept = recording if sensors is None else recording.select(types=sensors)
        where = str(folder / "stimuli" / "audio_files")
        found.append(_speech_tables.finish(kept, tables, sounds=sounds, where=where))
    return _speech_tables.say_repeats(found)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects with auditory MEG."""
    _options.bind(load, options)
    return bids.subjects(root, task="auditory", datatype="meg")


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` reads; sounds are listed by :func:`audio`."""
    values = _options.bind(load, options)
    folder = _files.existing(root)
    found = bids.files(root, subject, task="auditory", datatype="meg")
    found += [p for p in [folder / "stimuli" / "stimuli.txt"] if p.is_file()]
    return found + ([] if values["words"] is None else list(_grids(folder, values["words"]).values()))


def audio(root: str | Path, **options: Any) -> dict[str, Path]:
    """Return the sounds by the names that events give ("EQ_Ramp_Int2_Int1LPF186.wav").

    Raises
    ------
    BraindecError
        If there are none.
    """
    _options.bind(load, options)
    folder = _files.existing(root)
    found = _sounds(folder)
    if found is None:
        raise BraindecError("MOUS has no sounds here", found=f"no sound file in {folder / 'stimuli' / 'audio_files'}",
                            fix="copy stimuli/audio_files of the data set there")  # fmt: skip
    return found


def _played(recording: Recording, texts: Mapping[str, str], condition: str | None) -> pd.DataFrame:
    """One row a sound: onset, duration, audio, condition, sentence and ``_number``."""
    raw = recording.events
    missing = [c for c in ("type", "value") if c not in raw]
    if missing:
        raise UnreadableError(
            f"{recording.label}: its events have no column {missing[0]}",
            found=f"columns {', '.join(map(str, raw.columns))}",
        )
    value = raw["value"].astype(str).str.strip()
    block = value.where((raw["type"] == "Picture") & value.isin(_CONDITIONS)).map(_CONDITIONS).ffill()
    number = value.str.extract(_SOUND, expand=False).where(raw["type"] == "Sound")
    table = raw.assign(_number=number.str.lstrip("0").replace("", "0"), condition=block)[number.notna()]
    until = pd.Series([*raw.loc[table.index[1:], "onset"], recording.duration], index=table.index)
    ends = raw[(raw["type"] == "Nothing") & value.str.contains("End of file")]["onset"].to_numpy()
    stop = [
        min([e for e in ends if begin < e <= after], default=after)
        for begin, after in zip(table["onset"], until, strict=True)
    ]
    table = table.assign(
        duration=stop - table["onset"],
        trial_type="sound",
        audio=[_FILE.format(int(n)) for n in table["_number"]],
        audio_onset=0.0,
    )
    if condition is not None and table["condition"].notna().any():
        table = table[table["condition"] == condition]
    if not len(table):
        raise BraindecError(f"{recording.label} has no sounds of condition {condition!r}", found=f"{int(number.notna().sum())} sounds",
                            allowed="sentence, word_list, or null for both")  # fmt: skip
    keep = ["onset", "duration", "trial_type", "audio", "audio_onset", "condition", "_number"]
    table = table[keep].reset_index(drop=True)
    return table.assign(text=table["audio"], story=table["audio"], sentence=table["_number"].map(dict(texts)))


def _spoken(played: pd.DataFrame, read: Mapping[str, pd.DataFrame], phonemes: bool) -> pd.DataFrame:
    """Words and phonemes of every sound at the time when it was played; a sound that is played twice is there twice."""
    parts = []
    for row in played.to_dict("records"):
        placed = place(read[row["_number"]], {row["audio"]: row["onset"]})
        parts.append(placed.assign(condition=row["condition"], story=row["story"]))
    spoken = pd.concat(parts, ignore_index=True)
    return spoken if phonemes else spoken[spoken["trial_type"] == "word"]


def _without_words(played: pd.DataFrame) -> pd.DataFrame:
    """Sentences as their sounds last, where the text is known."""
    table = played[played["sentence"].notna()].assign(trial_type="sentence", word_index=0)
    if not len(table):
        return table.drop(columns="_number")
    named = add_sentences(table.assign(trial_type="word", text=table["sentence"], word_index=0))
    return named.assign(trial_type="sentence").drop(columns="_number")


def _aligned(path: Path, audio: str, text: str | None, word_tier: str | None, phoneme_tier: str | None) -> pd.DataFrame:
    table = read_textgrid(path, words=word_tier, phonemes=phoneme_tier, audio=audio)
    filled = add_sentences(table, column="audio")
    if text is None:
        return filled
    said = filled["trial_type"] == "word"
    named = add_sentences(filled[said].assign(sentence=text))
    first = named.iloc[0]
    return filled.assign(sentence=first["sentence"], sentence_id=first["sentence_id"])


def _grids(folder: Path, words: str) -> dict[str, Path]:
    """TextGrids by the number of the sound."""
    places = (
        [folder / "derivatives", folder / "stimuli"] if words == "auto" else [folder / words, Path(words).expanduser()]
    )
    found: dict[str, Path] = {}
    for where in places:
        for path in sorted(where.rglob("*.TextGrid")) if where.is_dir() else []:
            number = _NUMBER.search(path.stem)
            if number:
                found.setdefault(str(int(number.group(1))), path)
    if not found:
        raise BraindecError(
            "MOUS: when each word was said is not known: there are no TextGrids", found="looked in " + ", ".join(map(str, places)),
            fix="align the sounds with their text (stimuli/stimuli.txt) with an aligner, name the folder: words=...; "
            "or words=null for sounds and sentences without words",
        )  # fmt: skip
    return found


def _complete(recording: Recording, played: pd.DataFrame, grids: Mapping[str, Path]) -> None:
    missing = [n for n in played["_number"].unique() if n not in grids]
    if missing:
        raise BraindecError(
            f"{recording.label}: {len(missing)} of {played['_number'].nunique()} sounds have no TextGrid", found=", ".join(missing[:8]),
            fix="align these sounds too, or words=null for sounds and sentences without words",
        )  # fmt: skip


def _texts(path: Path) -> dict[str, str]:
    """The text of each sound by number: lines of a number and a sentence."""
    if not path.is_file():
        return {}
    found = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = path.read_text(encoding="latin-1").splitlines()
    for line in lines:
        number, _, text = line.strip().partition(" ")
        if number.isdigit() and text.strip():
            found[str(int(number))] = text.strip()
    return found


def _sounds(folder: Path) -> dict[str, Path] | None:
    found = _speech_tables.sounds_in(folder / "stimuli" / "audio_files")
    if found is None:
        return None
    numbers = {name: _NUMBER.search(Path(name).stem) for name in found}
    return {_FILE.format(int(m.group(1))): found[n] for n, m in numbers.items() if m}
