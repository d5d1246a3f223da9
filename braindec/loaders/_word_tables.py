"""Words and phonemes of files: TextGrids of Praat, and tables whose columns and unit of time are named."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _files
from braindec.loaders._events import numbers, read_tsv
from braindec.loaders._speech_sentences import add_sentences, need, sentence_id
from braindec.loaders._textgrid import read_textgrid as _intervals

__all__ = ["EVENT_COLUMNS", "SILENCE", "read_textgrid", "read_words_csv"]

EVENT_COLUMNS = ("onset", "duration", "trial_type", "text", "audio", "audio_onset", "story", "sentence", "sentence_id", "word_index")  # fmt: skip
SILENCE = ("", "sp", "sil", "silence", "spn", "<eps>", "<p>", "<sil>", "#")
_UNITS = {"s": 1.0, "ms": 1e-3}
_WORDS = ("words", "word")
_PHONEMES = ("phones", "phone", "phonemes", "phoneme")


def read_textgrid(
    path: str | Path, *, words: str | None = None, phonemes: str | None = None, sentences: str | None = None,
    audio: str | None = None, story: str = "n/a", silence: Sequence[str] = SILENCE,
) -> pd.DataFrame:  # fmt: skip
    """Read words and phonemes of a TextGrid (Praat, long or short format).

    Parameters
    ----------
    path : str or Path
    words, phonemes : str, optional
        Names of the tiers; without them ``words`` / ``word`` and ``phones`` / ``phonemes`` in any case, also behind a name
        (``speaker - words``). A TextGrid without a tier of phonemes has none.
    sentences : str, optional
        Tier of sentences; without it, the table has no sentences until :func:`add_sentences`.
    audio : str, optional
        Name of the sound file; without it, that of the TextGrid with ``.wav``.
    story : str
    silence : sequence of str
        Labels that are no words and no phonemes, in lower case.

    Returns
    -------
    DataFrame
        :data:`EVENT_COLUMNS` in order of onset (a word before its phonemes); ``onset`` is that in the sound.

    Raises
    ------
    UnreadableError
        If it is no TextGrid, or ends early.
    BraindecError
        If a tier is missing or there are several that could be meant.
    """
    path = _files.existing(path)
    table = _intervals(path)
    tiers = list(dict.fromkeys(table["tier"]))
    chosen = {
        "word": _tier(path, tiers, words, _WORDS, needed=True),
        "phoneme": _tier(path, tiers, phonemes, _PHONEMES),
    }
    kept = []
    for kind, tier in chosen.items():
        if tier is not None:
            rows = table[table["tier"].eq(tier) & ~table["text"].str.strip().str.lower().isin(set(silence))]
            kept.append(rows.assign(trial_type=kind, text=rows["text"].str.strip()))
    found = pd.concat(kept, ignore_index=True)
    if not found["trial_type"].eq("word").any():
        raise BraindecError(f"{path}: the tier {chosen['word']!r} holds no words", found="silence alone")
    name = audio or f"{path.stem}.wav"
    found = found.assign(audio=name, audio_onset=found["onset"], story=story, sentence="n/a", sentence_id="n/a", word_index=-1)  # fmt: skip
    found = found.sort_values(["onset", "trial_type"], ascending=[True, False], kind="stable").reset_index(drop=True)
    found = found[list(EVENT_COLUMNS)]
    if sentences is None:
        return found
    spans = table[table["tier"].eq(_tier(path, tiers, sentences, (), needed=True))]
    spans = spans[~spans["text"].str.strip().str.lower().isin(set(silence))]
    return _within(found, spans, path)


def _within(found: pd.DataFrame, spans: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Words (and phonemes) with the sentence whose interval holds their middle; those in none keep n/a."""
    middle = (found["onset"] + found["duration"] / 2).to_numpy(dtype=float)
    begins = spans["onset"].to_numpy(dtype=float)
    at = np.searchsorted(begins, middle, side="right") - 1
    ends = begins + spans["duration"].to_numpy(dtype=float)
    held = (at >= 0) & (middle <= ends[np.maximum(at, 0)]) if len(spans) else np.zeros(len(found), dtype=bool)
    if not held[found["trial_type"].eq("word").to_numpy()].any():
        raise BraindecError(f"{path}: no word lies in a sentence", found=f"{len(spans)} sentences")
    texts, where = spans["text"].str.strip().to_numpy(dtype=object), at[held]
    found.loc[held, "sentence"] = texts[where]
    found.loc[held, "sentence_id"] = [sentence_id(t) for t in texts[where]]
    words = found["trial_type"].eq("word").to_numpy()
    number = pd.Series(np.where(held, at, -1), index=found.index)
    index = (words & held).astype(int)
    running = pd.Series(index, index=found.index).groupby(number).cumsum() - 1
    found["word_index"] = np.where(held, running.clip(lower=0), -1)
    return found


def _tier(
    path: Path, tiers: Sequence[str], asked: str | None, usual: Sequence[str], *, needed: bool = False
) -> str | None:
    if asked is not None:
        if asked not in tiers:
            raise BraindecError(f"{path} has no tier {asked!r}{did_you_mean(asked, tiers)}", allowed=", ".join(tiers))
        return asked
    like = [t for t in tiers if t.strip().lower().split(" - ")[-1] in usual]
    if len(like) == 1:
        return like[0]
    if like or needed:
        raise BraindecError(f"{path}: which tier holds the {usual[0]}?", found=f"tiers {', '.join(tiers) or 'none'}",
                            fix="name the tier, such as words='word'")  # fmt: skip
    return None


def read_words_csv(
    path: str | Path, *, onset: str, unit: str, text: str, duration: str | None = None, end: str | None = None,
    sfreq: float | None = None, audio: str | None = None, sound: str | None = None, story: str | None = None,
    sentence: str | None = None, kind: str = "word", separator: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Read a table of words (or phonemes) whose columns are named.

    Parameters
    ----------
    path : str or Path
        Text in UTF-8 with a line of names; columns parted by commas (.csv) or tabs (else).
    onset, text : str
        Columns of the time in the sound, and of the words.
    unit : {"s", "ms", "samples"}
        Of onset, duration and end; it is never guessed.
    duration, end : str, optional
        Column of the length, or of the time of the end; without both the duration is 0.
    sfreq : float, optional
        Hz, with ``unit="samples"``.
    audio : str, optional
        Column of the sound file.
    sound : str, optional
        Name of the sound file, where all rows are of one.
    story, sentence : str, optional
        Columns.
    kind : str
        ``trial_type`` of the rows.
    separator : str, optional

    Returns
    -------
    DataFrame
        :data:`EVENT_COLUMNS`, then every other column (numbers where a whole column is numeric).

    Raises
    ------
    BraindecError
        If a column is missing, a time is no number, or the unit is unknown.
    """
    path = _files.existing(path)
    scale = _seconds(unit, sfreq)
    table = read_tsv(path, separator=separator or ("," if path.suffix.lower() == ".csv" else "\t"))
    used = [c for c in (onset, text, duration, end, audio, story, sentence) if c is not None]
    need(table, used, str(path))
    if not len(table):
        raise BraindecError(f"{path} holds no rows", found="a line of names alone")
    times = {c: _times(table, c, path) * scale for c in (onset, duration, end) if c is not None}
    begin = times[onset]
    length = times[duration] if duration else times[end] - begin if end else np.zeros(len(table))
    if (length < 0).any():
        raise BraindecError(f"{path}: {int((length < 0).sum())} rows end before they begin", found=f"row {int(np.argmax(length < 0)) + 1}",
                            fix="is the column of the end named as duration, or the other way round?")  # fmt: skip
    own = pd.DataFrame({"onset": begin, "duration": length, "trial_type": kind, "text": table[text].fillna("").astype(object),
                        "audio": table[audio] if audio else sound or "n/a", "audio_onset": begin,
                        "story": table[story] if story else "n/a", "sentence": table[sentence] if sentence else "n/a",
                        "sentence_id": "n/a", "word_index": -1})  # fmt: skip
    own["audio"] = [Path(str(a)).name for a in own["audio"]]
    rest = table[[c for c in table if c not in used and c not in own]]
    own = pd.concat([own, rest.apply(numbers)], axis=1)
    if sentence and kind == "word":
        return add_sentences(own, column="sentence")
    return own.assign(sentence_id=[sentence_id(t) for t in own["sentence"]]) if sentence else own


def _seconds(unit: str, sfreq: float | None) -> float:
    if unit == "samples":
        if not (isinstance(sfreq, Real) and np.isfinite(sfreq) and sfreq > 0):
            raise BraindecError("times in samples need the sampling frequency", found=f"sfreq={sfreq!r}", fix="say sfreq=... (Hz)")  # fmt: skip
        return 1.0 / float(sfreq)
    if unit not in _UNITS:
        raise BraindecError(f"the unit of times {unit!r} is unknown", allowed="s, ms, samples")
    return _UNITS[unit]


def _times(table: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    wrong = ~np.isfinite(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BraindecError(f"{path}: {int(wrong.sum())} values of {column} are not numbers", found=f"{table[column].iloc[row]!r} in row {row + 1}",
                            fix="leave these rows out, or correct them")  # fmt: skip
    return values
