"""Reader ``brennan``: 49 subjects who hear the first chapter of Alice in Wonderland (Brennan & Hale 2019), 60-channel EEG in FieldTrip files.

Layout, as established from the README of the data set (Deep Blue Data) and from public code that reads it:

* ``S01.mat``: struct ``raw`` of FieldTrip with label, fsample (500 Hz), trial{1} (channel, time; uV), time{1}. Channels 1 to 61 of the cap
  easycap-M10 without 29 (the reference while recording), VEOG, and the sound as it was recorded (AUD, Aux5; not in all files).
* ``proc/S01.mat``: struct ``proc`` with trl (begin, end, offset, then segment, tmin, Order: one row a word that was kept; begin and end in samples
  counted from 1), varnames, implicitref, refchannels, rejections.badchans.
* ``AliceChapterOne-EEG.csv``: Word, Segment (1 to 12), onset, offset (s in the segment), Order, LogFreq, SndPower, Length, Position, Sentence, ...
* ``audio/DownTheRabbitHoleFinal_SoundFile1.wav`` to 12.

33 subjects were used in the paper (:data:`USED`); 8 were left out for their answers to questions about the story and 8 for noise. When a segment
began is the median over its words of their onset in the recording less that in the segment; so words that were not kept have a time too. S26, S34,
S35 and S36 lack the first trigger: their segments are numbered one too low, which is corrected. From memory: that ``Position`` counts words
of a sentence, and the unit uV.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options, _positions, _speech_tables
from braindec.loaders._events import read_tsv
from braindec.loaders._speech_matlab import MatrixSignal, first_trial, read_plain, text_list
from braindec.loaders.speech_events import add_sentences, place, read_words_csv
from braindec.types import Recording

__all__ = ["load", "USED", "audio", "files", "subjects"]

USED = tuple(f"S{k:02d}" for k in (1, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 25, 26, 34, 35, 36, 37, 38, 39, 40, 41, 42, 44,
                                   45, 48))  # fmt: skip
_ONE_TOO_LOW = ("S26", "S34", "S35", "S36")
_TABLE = "AliceChapterOne-EEG.csv"
_SOUND = "DownTheRabbitHoleFinal_SoundFile{}.wav"
_MICROVOLT = 1e-6
_SPREAD = 0.02  # s that the words of a segment may differ in when it began


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    which: str = "used",
    sensors: str | Sequence[str] | None = ("eeg",),
) -> list[Recording]:
    """Open recordings of the chapter.

    Parameters
    ----------
    root : str or Path
        The folder that holds S01.mat, proc, audio and the table of words.
    subject : str or list of str, optional
        "S01", ...
    which : {"used", "all"}
        The 33 subjects of the paper, or all that are there.
    sensors : str or list of str, optional
        Channel types to keep; None keeps VEOG and the recorded sound (type "misc") too.

    Returns
    -------
    list of Recording
        One a subject, in V; channels that the authors rejected have the status "bad".

    Raises
    ------
    BraindecError
        If a word begins beyond the recording, words of one segment say different times, or a sound is missing.
    UnreadableError
        If a file is damaged, or the alignment in ``proc`` is missing.
    """
    folder = _files.existing(root)
    words = _words(folder)
    sounds = _sounds(folder)
    found = []
    for path in _paths(folder, subject, which):
        proc = _alignment(folder, path.stem)
        said: list[str] = []
        recording = _open(path, proc, said)
        starts = _starts(path.stem, proc, recording.sfreq, said)
        spoken = place(words, {_SOUND.format(k): v for k, v in starts.items()}, label=recording.label)
        lasts = spoken.groupby("audio")[["audio_onset", "duration"]].apply(
            lambda g: (g["audio_onset"] + g["duration"]).max()
        )
        played = pd.DataFrame({"onset": list(starts.values()), "audio": [_SOUND.format(k) for k in starts], "audio_onset": 0.0,
                               "trial_type": "sound", "story": "alice"})  # fmt: skip
        played = played.assign(text=played["audio"], duration=played["audio"].map(lasts).fillna(0.0))
        _speech_tables.check_places(spoken, recording.label)
        early = spoken["onset"] < 0  # a sound may begin before the recording
        if (played["onset"] < 0).any():
            said.append(
                f"{recording.label}: a sound began before the recording: its row and {int(early.sum())} words are left out"
            )
        spoken, played = spoken[~early].reset_index(drop=True), played[played["onset"] >= 0]
        kept = recording.with_signal(recording.signal, warnings=said)
        kept = kept if sensors is None else kept.select(types=sensors)
        tables = [played, _speech_tables.sentence_rows(spoken), spoken]
        found.append(_speech_tables.finish(kept, tables, sounds=sounds, where=str(folder / "audio")))
    return _speech_tables.say_repeats(found)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects."""
    values = _options.bind(load, options)
    return [path.stem for path in _paths(_files.existing(root), None, values["which"])]


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` reads; sounds are listed by :func:`audio`."""
    values = _options.bind(load, options)
    folder = _files.existing(root)
    paths = _paths(folder, subject, values["which"])
    return [*paths, *(folder / "proc" / p.name for p in paths), folder / _TABLE]


def audio(root: str | Path, **options: Any) -> dict[str, Path]:
    """Return the sounds by the names that events give.

    Raises
    ------
    BraindecError
        If there are none.
    """
    _options.bind(load, options)
    folder = _files.existing(root)
    found = _sounds(folder)
    if found is None:
        raise BraindecError(
            "there are no sounds here",
            found=f"no sound file in {folder / 'audio'}",
            fix="unpack audio.zip of the data set there",
        )
    return found


def _sounds(folder: Path) -> dict[str, Path] | None:
    return _speech_tables.sounds_in(folder / "audio")


def _paths(folder: Path, subject: Any, which: str) -> list[Path]:
    if which not in ("used", "all"):
        raise BraindecError(
            f"which={which!r} is unknown{did_you_mean(str(which), ('used', 'all'))}", allowed="used, all"
        )
    there = {p.stem: p for p in sorted(folder.glob("S*.mat")) if re.fullmatch(r"S\d+", p.stem)}
    known = {name: p for name, p in there.items() if which == "all" or name in USED}
    if not known:
        raise BraindecError(f"{folder} holds no recordings", found=", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing",
                            allowed="S01.mat, ..." + ("" if which == "all" else " of the subjects that were used; which=all takes every one"))  # fmt: skip
    for label in _options.as_list(subject) or []:
        if label not in known:
            left = " was left out of the analysis by the authors: which=all" if label in there else ""
            raise BraindecError(f"there is no subject {label!r}{did_you_mean(label, known)}", found=f"{label}{left}" if left else None,
                                allowed=", ".join(known))  # fmt: skip
    return [p for name, p in known.items() if subject is None or name in (_options.as_list(subject) or [])]


def _words(folder: Path) -> pd.DataFrame:
    """The words of the chapter; ``audio_onset`` in s of their segment."""
    path = folder / _TABLE
    if not path.is_file():
        raise UnreadableError(
            f"{folder} has no {_TABLE}: when each word was said is not known", fix="copy it from the data set"
        )
    header = list(read_tsv(path, separator=",").columns)
    missing = [c for c in ("Word", "Segment", "onset", "offset", "Sentence") if c not in header]
    if missing:
        raise UnreadableError(
            f"{path} has no column {missing[0]!r}{did_you_mean(missing[0], header)}", found=", ".join(header[:12])
        )
    table = read_words_csv(path, onset="onset", unit="s", text="Word", end="offset", separator=",")
    segment = pd.to_numeric(table["Segment"]).astype(int)
    table = table.assign(audio=[_SOUND.format(k) for k in segment], story="alice")
    return add_sentences(table.drop(columns=["Segment", "sentence"]), column="Sentence").drop(columns=["Sentence"])


def _alignment(folder: Path, name: str) -> Mapping[str, Any]:
    path = folder / "proc" / f"{name}.mat"
    if not path.is_file():
        raise UnreadableError(
            f"{name}: when words were said is not known: {path} is not there", fix="unpack proc.zip of the data set"
        )
    proc = read_plain(path, "proc")
    missing = [c for c in ("trl", "varnames") if not isinstance(proc, dict) or c not in proc]
    if missing:
        raise UnreadableError(
            f"{path}: proc has no field {missing[0]}",
            found=", ".join(proc) if isinstance(proc, dict) else type(proc).__name__,
        )
    return proc


def _open(path: Path, proc: Mapping[str, Any], said: list[str]) -> Recording:
    raw = read_plain(path, "raw")
    missing = [c for c in ("label", "trial", "fsample") if not isinstance(raw, dict) or c not in raw]
    if missing:
        raise UnreadableError(
            f"{path}: raw has no field {missing[0]}",
            found=", ".join(raw) if isinstance(raw, dict) else type(raw).__name__,
        )
    names = text_list(raw["label"])
    shape = first_trial(raw).shape
    if shape[0] != len(names):
        raise UnreadableError(f"{path}: trial and label do not fit", found=f"{shape[0]} rows, {len(names)} names")
    kinds = ["eeg" if n.isdigit() else "eog" if "EOG" in n.upper() else "misc" for n in names]
    rejected = proc.get("rejections")
    bad = set(text_list(rejected.get("badchans", []))) if isinstance(rejected, dict) else set()
    channels = pd.DataFrame({"name": names, "type": kinds, "unit": ["n/a" if k == "misc" else "V" for k in kinds],
                             "status": ["bad" if n in bad else "good" for n in names]})  # fmt: skip
    signal = MatrixSignal(path, "raw", n_channels=shape[0], n_times=shape[1], scale=_MICROVOLT, trial=True)
    info = {"dataset": "brennan2019", "subject": path.stem, "session": None, "task": "alice", "run": None, "modality": "eeg", "path": str(path),
            "reference": f"channel {proc.get('implicitref', '29')}, as recorded"}  # fmt: skip
    sfreq = float(np.asarray(raw["fsample"]).reshape(-1)[0])
    return _positions.standard_montage(Recording(signal, sfreq, channels, info=info), "easycap-M10", said)


def _starts(name: str, proc: Mapping[str, Any], sfreq: float, said: list[str]) -> dict[int, float]:
    """When each segment began, s in the recording."""
    trl = np.atleast_2d(np.asarray(proc["trl"], dtype=float))
    columns = text_list(proc["varnames"])
    if trl.shape[1] < 3 + len(columns) or "segment" not in columns or "tmin" not in columns:
        raise UnreadableError(f"{name}: trl and varnames of proc do not fit", found=f"{trl.shape[1]} columns, names {', '.join(columns)}",
                              allowed="begin, end, offset, ..., segment, tmin, Order")  # fmt: skip
    last = pd.DataFrame(trl[:, trl.shape[1] - len(columns) :], columns=columns)
    onset = (trl[:, 0] - 1 - trl[:, 2]) / sfreq
    segment = last["segment"].to_numpy(dtype=int) + (1 if name in _ONE_TOO_LOW else 0)
    found: dict[int, float] = {}
    for number in sorted(set(segment.tolist())):
        mine = onset[segment == number] - last["tmin"].to_numpy()[segment == number]
        found[number] = float(np.median(mine))
        spread = float(np.max(np.abs(mine - found[number])))
        if (
            spread > _SPREAD and name in _ONE_TOO_LOW
        ):  # their words stand beside those of another segment: the first one tells
            found[number] = float(mine[0])
        elif spread > _SPREAD:
            said.append(
                f"{name}: the words of segment {number} differ by up to {1000 * spread:.0f} ms in when it began; the median is used"
            )
    if name in _ONE_TOO_LOW:
        said.append(
            f"{name}: its first trigger is missing, segments are numbered one too low in proc and were moved up"
        )
    return found
