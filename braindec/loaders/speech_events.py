"""Events of natural language: one standard table of words, phonemes and sentences, whatever they come from.

Rows are words, phonemes, sentences or sounds; columns are those of :data:`EVENT_COLUMNS`. ``onset`` is the time in the
recording, ``audio_onset`` that in the sound; tables that know the sound alone have the same value in both until
:func:`place` puts them into a recording. Nothing is guessed: the unit of times is named, labels of silence are listed.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _files
from braindec.loaders._events import numbers, read_tsv
from braindec.loaders._literals import from_literals
from braindec.loaders._textgrid import read_textgrid as _intervals

__all__ = [
    "EVENT_COLUMNS", "SILENCE", "add_sentences", "check_onsets", "from_literals", "normalised", "place", "read_textgrid",
    "read_words_csv", "sentence_id",
]  # fmt: skip

EVENT_COLUMNS = ("onset", "duration", "trial_type", "text", "audio", "audio_onset", "story", "sentence", "sentence_id", "word_index")  # fmt: skip
SILENCE = ("", "sp", "sil", "silence", "spn", "<eps>", "<p>", "<sil>", "#")
_UNITS = {"s": 1.0, "ms": 1e-3}
_WORDS = ("words", "word")
_PHONEMES = ("phones", "phone", "phonemes", "phoneme")
_TITLES = ("mr", "mrs", "ms", "dr", "st", "prof")
_CLOSERS = "\"'\u2019\u201d\u00bb)]}"


def normalised(text: str) -> str:
    """Return what of a sentence counts: NFKC, case folded, no punctuation, single spaces (``Don't -- STOP!`` -> ``dont stop``)."""
    text = unicodedata.normalize("NFKC", str(text).replace("\u00b4", "'")).casefold()
    text = unicodedata.normalize("NFKC", text)
    kept = []
    for sign in text:
        kind = unicodedata.category(sign)
        if sign in "'\u2019\u2018`\u02bc" or kind == "Cf":
            continue
        kept.append(" " if kind[0] in "PZC" else sign)
    return " ".join("".join(kept).split())


def sentence_id(text: str) -> str:
    """Return the name of a sentence by its content: 12 hex digits of the sha256 of :func:`normalised`.

    The same for every subject, session and data set.

    Raises
    ------
    BraindecError
        If there is no letter or digit in it.
    """
    own = normalised(text) if isinstance(text, str) else ""
    if not own:
        raise BraindecError("a sentence without words has no id", found=repr(text), fix="leave it out")
    return hashlib.sha256(own.encode("utf-8")).hexdigest()[:12]


def add_sentences(
    words: pd.DataFrame, *, column: str | None = None, ends: str = ".?!", pause: float | None = None,
    abbreviations: Sequence[str] = _TITLES,
) -> pd.DataFrame:  # fmt: skip
    """Fill ``sentence``, ``sentence_id`` and ``word_index`` from where sentences begin.

    A sentence never goes from one sound (``audio``) or story to the next. Phonemes take those of the word that they are in.

    Parameters
    ----------
    words : DataFrame
        In order; ``text``, ``onset`` and, where there are phonemes, ``trial_type``.
    column : str, optional
        A column whose change begins a sentence (a number, or the sentence itself). Without it: ``sentence`` if the table
        has it (each word once: a ``word_index`` that does not rise begins a sentence too), else ``ends`` and ``pause``.
    ends : str
        A word that ends with one of these signs ends its sentence, unless it is one of ``abbreviations``.
    pause : float, optional
        A silence of more than that (s) ends a sentence too.
    abbreviations : sequence of str
        Words whose full stop ends nothing, in lower case.

    Returns
    -------
    DataFrame
        A copy with the columns filled; ``sentence`` is its words with a space between them where the table does not say it.

    Raises
    ------
    BraindecError
        If a column is missing or nothing says where sentences end.
    """
    _need(words, ("text", "onset"))
    table = words.reset_index(drop=True).copy()
    kinds = table["trial_type"].astype(str) if "trial_type" in table else pd.Series("word", index=table.index)
    mine = table[kinds.eq("word")]
    if not len(mine):
        raise BraindecError("there are no words to make sentences of", found=f"{len(table)} rows")
    fresh = _fresh(mine, column, ends, pause, {a.lower() for a in abbreviations})
    number = fresh.cumsum()
    texts = mine["text"].astype(str).groupby(number).agg(" ".join)
    written = mine["sentence"] if "sentence" in mine and column in (None, "sentence") else None
    if written is not None:
        texts = written.astype(str).groupby(number).first()
    index = mine.groupby(number).cumcount()
    filled = pd.DataFrame({"sentence": number.map(texts), "word_index": index}, index=mine.index)
    ids = {text: sentence_id(text) for text in dict.fromkeys(filled["sentence"])}
    filled["sentence_id"] = filled["sentence"].map(ids)
    for name in ("sentence", "sentence_id"):
        own = table[name].astype(object) if name in table else pd.Series("n/a", index=table.index, dtype=object)
        table[name] = filled[name].reindex(table.index).where(kinds.eq("word"), own)
    old = table["word_index"] if "word_index" in table else pd.Series(-1, index=table.index)
    table["word_index"] = filled["word_index"].reindex(table.index).where(kinds.eq("word"), old).astype(int)
    return _phonemes_in_words(table, kinds)


def _fresh(
    words: pd.DataFrame, column: str | None, ends: str, pause: float | None, abbreviations: set[str]
) -> pd.Series:
    """Where a sentence begins, one bool a word."""
    fresh = pd.Series(False, index=words.index)
    fresh.iloc[0] = True
    for name in ("audio", "story"):
        if name in words:
            fresh |= words[name].astype(str) != words[name].astype(str).shift()
    if column is not None:
        _need(words, (column,))
        return fresh | (words[column].astype(str) != words[column].astype(str).shift())
    if "sentence" in words and not words["sentence"].astype(str).isin(["", "n/a", "nan", "None"]).any():
        fresh |= words["sentence"] != words["sentence"].shift()
        if "word_index" in words:
            fresh |= pd.to_numeric(words["word_index"]).diff() <= 0
        return fresh
    bare = words["text"].astype(str).str.rstrip(_CLOSERS)
    known = bare.str.rstrip(".").str.lower().isin(abbreviations)
    last = bare.str.endswith(tuple(ends)) & ~(known & bare.str.endswith(".")) if ends else pd.Series(False, words.index)
    if pause is not None:
        _need(words, ("duration",))
        silence = words["onset"].shift(-1) - words["onset"] - words["duration"]
        last |= silence > pause
    if not last.any() and not fresh.iloc[1:].any() and len(words) > 1:
        raise BraindecError(
            "nothing says where sentences end", found=f"{len(words)} words without punctuation, such as {', '.join(words['text'].astype(str)[:5])}",
            fix="name the column that numbers sentences (column=...), or the silence in s that ends one (pause=...)",
        )  # fmt: skip
    return fresh | last.shift(fill_value=False)


def _phonemes_in_words(table: pd.DataFrame, kinds: pd.Series) -> pd.DataFrame:
    """Give each phoneme the sentence and index of the word that is under way."""
    inside = np.flatnonzero(kinds.eq("phoneme"))
    if not len(inside):
        return table
    rows = np.flatnonzero(kinds.eq("word"))
    for where in _same_sound(table, inside):
        words = rows[_key(table)[rows] == _key(table)[where[0]]]
        if not len(words):
            continue
        words = words[np.argsort(table["onset"].to_numpy(dtype=float)[words], kind="stable")]
        begins = table["onset"].to_numpy(dtype=float)[words]
        at = np.searchsorted(begins, table["onset"].to_numpy(dtype=float)[where] + 1e-6, side="right") - 1
        take = words[np.maximum(at, 0)]
        for name in ("sentence", "sentence_id", "word_index"):
            table.loc[where, name] = table[name].to_numpy()[take]
    return table


def _key(table: pd.DataFrame) -> np.ndarray:
    names = table["audio"] if "audio" in table else pd.Series("", index=table.index)
    return names.astype(str).to_numpy(dtype=object)


def _same_sound(table: pd.DataFrame, rows: np.ndarray) -> list[np.ndarray]:
    keys = _key(table)[rows]
    return [rows[keys == k] for k in dict.fromkeys(keys)]


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
    chosen = {"word": _tier(path, tiers, words, _WORDS, need=True), "phoneme": _tier(path, tiers, phonemes, _PHONEMES)}
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
    spans = table[table["tier"].eq(_tier(path, tiers, sentences, (), need=True))]
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
    path: Path, tiers: Sequence[str], asked: str | None, usual: Sequence[str], *, need: bool = False
) -> str | None:
    if asked is not None:
        if asked not in tiers:
            raise BraindecError(f"{path} has no tier {asked!r}{did_you_mean(asked, tiers)}", allowed=", ".join(tiers))
        return asked
    like = [t for t in tiers if t.strip().lower().split(" - ")[-1] in usual]
    if len(like) == 1:
        return like[0]
    if like or need:
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
    _need(table, used, str(path))
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


def place(words: pd.DataFrame, starts: Mapping[str, float], *, label: str = "the recording") -> pd.DataFrame:
    """Put words of sounds into a recording: ``onset`` = when the sound began + ``audio_onset``.

    Parameters
    ----------
    words : DataFrame
        With ``audio`` and ``audio_onset``.
    starts : mapping of str to float
        When each sound began, s in the recording; rows of other sounds are left out.
    label : str
        Of the recording, for the message.

    Raises
    ------
    BraindecError
        If no row is of these sounds.
    """
    _need(words, ("audio", "audio_onset"))
    played = words[words["audio"].astype(str).isin(list(starts))]
    if not len(played):
        there = sorted(set(words["audio"].astype(str)))
        raise BraindecError(f"{label}: there are no words for the sounds that were played", found=f"sounds {', '.join(list(starts)[:5])}",
                            allowed=", ".join(there[:8]))  # fmt: skip
    begin = played["audio"].astype(str).map(dict(starts)).to_numpy(dtype=float)
    placed = played.assign(onset=begin + played["audio_onset"].to_numpy(dtype=float))
    return placed.sort_values("onset", kind="stable").reset_index(drop=True)


def check_onsets(events: pd.DataFrame, duration: float, label: str, *, sfreq: float | None = None) -> None:
    """Refuse words that lie before or beyond the recording.

    Parameters
    ----------
    events : DataFrame
        ``onset`` in s.
    duration : float
        Of the recording, s.
    label : str
        Of the recording.
    sfreq : float, optional
        Of the recording, Hz: onsets in samples are then recognised.

    Raises
    ------
    BraindecError
        If an onset is no number, negative, or beyond the end: how many, the first, the likely cause, the fix.
    """
    _need(events, ("onset",), label)
    onsets = pd.to_numeric(events["onset"], errors="coerce").to_numpy(dtype=float)
    lost = ~np.isfinite(onsets)
    if lost.any():
        raise BraindecError(f"{label}: {int(lost.sum())} of {len(onsets)} events have no onset", found=f"the first in row {int(np.argmax(lost)) + 1}",
                            fix="leave them out, or correct the table")  # fmt: skip
    outside = (onsets < 0) | (onsets >= duration)
    if not outside.any():
        return
    first = int(np.flatnonzero(outside)[0])
    what = "words" if "trial_type" in events and events["trial_type"].astype(str).isin(["word"]).any() else "events"
    text = f" ({str(events['text'].iloc[first])[:30]!r})" if "text" in events else ""
    cause, fix = _cause(onsets, duration, sfreq)
    raise BraindecError(
        f"{label}: {int(outside.sum())} of {len(onsets)} {what} lie beyond the recording",
        found=f"the first is row {first + 1}{text} at {onsets[first]:.6g} s, onsets go from {onsets.min():.6g} to {onsets.max():.6g} s; "
        f"the recording has 0 to {duration:.6g} s; {cause}",
        fix=fix,
    )


def _cause(onsets: np.ndarray, duration: float, sfreq: float | None) -> tuple[str, str]:
    """What is likely wrong with onsets outside of the recording, and what to do."""
    span = float(onsets.max() - onsets.min())
    units = [(1000.0, "ms", "divide onsets by 1000, or read them with unit='ms'")]
    if sfreq is not None:
        units.append((sfreq, f"samples at {sfreq:g} Hz", f"divide onsets by {sfreq:g}, or read them with unit='samples', sfreq={sfreq:g}"))  # fmt: skip
    if onsets.min() >= 0 and onsets.max() > 5 * duration:
        fitting = [u for u in units if onsets.max() / u[0] < duration]
        if fitting:  # of those that fit, the one that fills most of the recording
            _, name, fix = min(fitting, key=lambda u: u[0])
            return f"they look like {name}", fix
    if (onsets.min() >= duration or onsets.min() < 0) and span < duration:
        return (
            "they fit when shifted, so they are of another clock or of another recording",
            "take the time from the start of this recording: subtract when it began, or align the clocks by their triggers "
            "(braindec.signal.clock.align_clock)",
        )
    return (
        "the recording was stopped early, or the events are of another run",
        "check that the table belongs to this run; leave out events beyond the end",
    )


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


def _need(table: pd.DataFrame, columns: Sequence[str], where: str = "the table of words") -> None:
    missing = [c for c in columns if c not in table]
    if missing:
        raise BraindecError(f"{where} has no column {missing[0]!r}{did_you_mean(str(missing[0]), table.columns)}",
                            found=f"columns {', '.join(map(str, table.columns)) or 'none'}")  # fmt: skip
