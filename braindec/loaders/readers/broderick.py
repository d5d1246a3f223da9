"""Reader ``broderick``: 19 subjects who hear "The Old Man and the Sea" in 20 runs (Broderick et al. 2018, natural speech), 128-channel EEG.

Layout, as established from the pages of the data set (Dryad) and from public code that reads it:

* ``EEG/Subject1/Subject1_Run1.mat``: ``eegData`` (time, 128; BioSemi 128, A1 to D32, uV), ``mastoids`` (time, 2), ``fs`` (128 Hz). A run
  begins with its sound.
* ``Stimuli/Envelopes/audio1_128Hz.mat`` and, in some copies of the archive, ``Stimuli/Text/Run1.mat``: ``wordVec`` (cell), ``onset_time``,
  ``offset_time`` (s in the sound).

When each word was said is not in every copy of the archive: ``words`` names a folder of tables of your own, ``Run1.csv`` with the columns
word, onset, offset (s in the sound) and, if known, sentence. From memory: names and units of the variables of ``Stimuli/Text``, that the
unit is uV, and that the sounds (``audio1.wav``, ...) are not part of the archive. Without a column of sentences a ``pause`` ends one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options, _positions, _speech_tables
from braindec.loaders._events import read_tsv
from braindec.loaders._speech_matlab import MatrixSignal, read_plain, shape_of, text_list, variables
from braindec.loaders.speech_events import add_sentences, read_words_csv
from braindec.types import Recording
from braindec.types.signals import ArraySignal

__all__ = ["load", "audio", "files", "subjects"]

_NAME = re.compile(r"^Subject(\d+)_Run(\d+)\.mat$", re.IGNORECASE)
_CHANNELS = [f"{letter}{k}" for letter in "ABCD" for k in range(1, 33)]
_MICROVOLT = 1e-6


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    run: str | Sequence[str] | None = None,
    words: str | None = "auto",
    sounds: str = "Stimuli/Audio",
    pause: float = 0.3,
    mastoids: str = "drop",
) -> list[Recording]:
    """Open runs; samples are read when they are used.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``EEG`` (or ``Natural Speech/EEG``).
    subject, run : str or list of str, optional
        "1" to "19"; "1" to "20".
    words : str, optional
        Folder of tables ``Run1.csv`` (inside ``root``, or a path of its own); "auto" reads ``Stimuli/Text``; None reads the sounds alone.
    sounds : str
        Folder of ``audio1.wav``, ... inside ``root``, or a path of its own.
    pause : float
        Without a column of sentences, a silence of more than that (s) ends one.
    mastoids : {"drop", "reference", "keep"}
        Left out; subtracted (their mean) from the EEG; or kept as channels M1 and M2 of type "misc".

    Returns
    -------
    list of Recording
        One a run, in V.

    Raises
    ------
    BraindecError
        If it is not known when words were said, a word begins beyond the run, or a sound is missing.
    UnreadableError
        If a file is damaged.
    """
    if mastoids not in ("drop", "reference", "keep"):
        raise BraindecError(f"mastoids={mastoids!r} is unknown{did_you_mean(str(mastoids), ('drop', 'reference', 'keep'))}",
                            allowed="drop, reference, keep")  # fmt: skip
    folder = _base(root)
    known = _sounds(folder, sounds)
    found = []
    for path, who, number in _runs(folder, subject, run):
        recording = _open(path, who, number, mastoids)
        begin = pd.DataFrame({"onset": [0.0], "duration": [recording.duration], "trial_type": ["sound"], "audio": [f"audio{number}.wav"],
                              "text": [f"audio{number}.wav"], "audio_onset": [0.0], "story": [f"run-{number}"]})  # fmt: skip
        tables = [begin]
        if words is not None:
            spoken = _words(_word_table(folder, words, number), number, pause)
            tables += [_speech_tables.sentence_rows(spoken), spoken]
        found.append(_speech_tables.finish(recording, tables, sounds=known, where=sounds))
    return _speech_tables.say_repeats(found)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the numbers of the subjects."""
    values = _options.bind(load, options)
    return list(dict.fromkeys(str(who) for _, who, _ in _runs(_base(root), None, values["run"])))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` reads; sounds are listed by :func:`audio`."""
    values = _options.bind(load, options)
    folder = _base(root)
    runs = _runs(folder, subject, values["run"])
    tables = [] if values["words"] is None else [_word_table(folder, values["words"], number) for _, _, number in runs]
    return list(dict.fromkeys([*(path for path, _, _ in runs), *tables]))


def audio(root: str | Path, **options: Any) -> dict[str, Path]:
    """Return the sounds by the names that events give ("audio1.wav").

    Raises
    ------
    BraindecError
        If there are none; they are not part of the archive.
    """
    values = _options.bind(load, options)
    folder = _base(root)
    found = _sounds(folder, values["sounds"])
    if found is None:
        raise BraindecError("there are no sounds here", found=f"no sound file in {values['sounds']} of {folder}",
                            fix="the archive has envelopes only: put audio1.wav ... audio20.wav into a folder and name it: sounds=...")  # fmt: skip
    return found


def _base(root: str | Path) -> Path:
    folder = _files.existing(root)
    for place in (folder, folder / "Natural Speech"):
        if (place / "EEG").is_dir():
            return place
    raise BraindecError(f"{folder} holds no folder EEG", found=", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing",
                        fix="name the folder that holds EEG and Stimuli")  # fmt: skip


def _runs(folder: Path, subject: Any, run: Any) -> list[tuple[Path, int, int]]:
    """Files with the numbers of subject and run that are asked for, in order."""
    matches = [(path, _NAME.match(path.name)) for path in sorted((folder / "EEG").rglob("*.mat"))]
    found = sorted(((p, int(m.group(1)), int(m.group(2))) for p, m in matches if m), key=lambda item: item[1:])
    for what, asked, column in (("subject", subject, 1), ("run", run, 2)):
        labels = _options.as_list(asked)
        if labels is None:
            continue
        have = sorted({str(item[column]) for item in found}, key=int)
        for label in labels:
            if label not in have:
                raise BraindecError(
                    f"there is no {what} {label!r}{did_you_mean(label, have)}", allowed=", ".join(have) or "none"
                )
        found = [item for item in found if str(item[column]) in labels]
    if not found:
        raise BraindecError(f"{folder / 'EEG'} holds no runs", allowed="Subject1/Subject1_Run1.mat, ...")
    return found


def _open(path: Path, who: int, number: int, mastoids: str) -> Recording:
    have = variables(path)
    missing = [name for name in ("eegData", "fs") if name not in have]
    if missing:
        raise UnreadableError(
            f"{path} has no variable {missing[0]}{did_you_mean(missing[0], have)}", found=", ".join(have)
        )
    sfreq = float(np.asarray(read_plain(path, "fs")).reshape(-1)[0])
    shape = shape_of(path, "eegData")
    if len(shape) != 2 or shape[1] != len(_CHANNELS):
        raise UnreadableError(f"{path}: eegData has the shape {shape}", allowed=f"(time, {len(_CHANNELS)})")
    n_times, n_channels = shape
    signal: Any = MatrixSignal(path, "eegData", n_channels=n_channels, n_times=n_times, scale=_MICROVOLT)
    names, kinds = list(_CHANNELS), ["eeg"] * n_channels
    if mastoids != "drop":
        ears = np.atleast_2d(np.asarray(read_plain(path, "mastoids"), dtype=float)).T * _MICROVOLT
        own = signal.read()
        if mastoids == "reference":
            signal = ArraySignal(own - ears.mean(axis=0, keepdims=True).astype(np.float32))
        else:
            signal = ArraySignal(np.concatenate([own, ears.astype(np.float32)]))
            names, kinds = [*names, "M1", "M2"], [*kinds, "misc", "misc"]
    channels = pd.DataFrame({"name": names, "type": kinds, "unit": "V"})
    info = {"dataset": "broderick2018", "subject": str(who), "session": None, "task": "listening", "run": str(number), "modality": "eeg",
            "path": str(path), "reference": "mean of the mastoids" if mastoids == "reference" else "as recorded"}  # fmt: skip
    said: list[str] = []
    recording = _positions.standard_montage(Recording(signal, sfreq, channels, info=info), "biosemi128", said)
    return replace(recording, info={**recording.info, "warnings": said})


def _word_table(folder: Path, words: str, number: int) -> Path:
    """The file that says when the words of a run were said."""
    places = [folder / "Stimuli" / "Text"] if words == "auto" else [folder / words, Path(words).expanduser()]
    names = [f"Run{number}{ending}" for ending in (".csv", ".tsv", ".mat")]
    for place in places:
        for name in names:
            if (place / name).is_file():
                return place / name
    raise BraindecError(
        f"run {number}: when each word was said is not known", found=f"no {', '.join(names)} in {', '.join(map(str, places))}",
        fix="align the sounds with the text, write Run1.csv, ... (word, onset, offset in s), and name the folder: words=...; "
        "or words=null for the sounds alone",
    )  # fmt: skip


def _words(path: Path, number: int, pause: float) -> pd.DataFrame:
    """Words of a run with their sentences."""
    sound, story = f"audio{number}.wav", f"run-{number}"
    if path.suffix.lower() != ".mat":
        header = read_tsv(path, separator="," if path.suffix.lower() == ".csv" else "\t").columns
        sentence = "sentence" if "sentence" in header else None
        table = read_words_csv(path, onset="onset", unit="s", text="word", end="offset", sound=sound, sentence=sentence)
        table = table.assign(story=story)
        return table if sentence else add_sentences(table.drop(columns=["sentence"]), pause=pause)
    have = variables(path)
    missing = [name for name in ("wordVec", "onset_time", "offset_time") if name not in have]
    if missing:
        raise UnreadableError(
            f"{path} has no variable {missing[0]}{did_you_mean(missing[0], have)}", found=", ".join(have)
        )
    onset, offset = (
        np.asarray(read_plain(path, name), dtype=float).reshape(-1) for name in ("onset_time", "offset_time")
    )
    text = text_list(read_plain(path, "wordVec"))
    if not len(text) == len(onset) == len(offset):
        raise UnreadableError(
            f"{path}: words and times differ in number",
            found=f"{len(text)} words, {len(onset)} onsets, {len(offset)} offsets",
        )
    table = pd.DataFrame({"onset": onset, "duration": offset - onset, "trial_type": "word", "text": text, "audio": sound, "audio_onset": onset,
                          "story": story})  # fmt: skip
    return add_sentences(table, pause=pause)


def _sounds(folder: Path, sounds: str) -> dict[str, Path] | None:
    """Sounds by run: the number at the end of the file's name."""
    for place in (folder / sounds, Path(sounds).expanduser()):
        found = _speech_tables.sounds_in(place)
        if found is not None:
            numbers = {p: re.search(r"(\d+)$", p.stem) for p in found.values()}
            return {f"audio{int(m.group(1))}.wav": p for p, m in numbers.items() if m} or None
    return None
