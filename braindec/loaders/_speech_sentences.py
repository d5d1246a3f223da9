"""Sentences: what of one counts, its name by content, and where each begins in a table of words."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean

__all__ = ["add_sentences", "need", "normalised", "sentence_id"]

_TITLES = ("mr", "mrs", "ms", "dr", "st", "prof")
_NOTHING = ("", "n/a", "nan", "None")
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
    need(words, ("text", "onset"))
    table = words.reset_index(drop=True).copy()
    kinds = table["trial_type"].astype(str) if "trial_type" in table else pd.Series("word", index=table.index)
    mine = table[kinds.eq("word")]
    if not len(mine):
        raise BraindecError("there are no words to make sentences of", found=f"{len(table)} rows")
    lost = mine["text"].isna()
    if lost.any():
        raise BraindecError(
            f"{int(lost.sum())} of {len(mine)} words have no text", found=f"the first is at {mine['onset'][lost].iloc[0]} s",
            fix="the table may be cut short: copy it again; or leave these words out",
        )  # fmt: skip
    fresh = _fresh(mine, column, ends, pause, {a.lower() for a in abbreviations})
    number = fresh.cumsum()
    texts = mine["text"].astype(str).groupby(number).agg(" ".join)
    if column in (None, "sentence") and _written(mine):
        texts = mine["sentence"].astype(str).groupby(number).first()
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
        need(words, (column,))
        missing = words[column].isna() | words[column].astype(str).isin(_NOTHING)
        if missing.any():
            raise BraindecError(f"{int(missing.sum())} of {len(words)} words have no {column}", found=f"the first is {words['text'][missing].iloc[0]!r}",
                                fix="fill the column, or leave these words out")  # fmt: skip
        return fresh | (words[column].astype(str) != words[column].astype(str).shift())
    if _written(words):
        fresh |= words["sentence"] != words["sentence"].shift()
        if "word_index" in words:
            fresh |= pd.to_numeric(words["word_index"]).diff() <= 0
        return fresh
    bare = words["text"].astype(str).str.rstrip(_CLOSERS)
    known = bare.str.rstrip(".").str.lower().isin(abbreviations)
    last = bare.str.endswith(tuple(ends)) & ~(known & bare.str.endswith(".")) if ends else pd.Series(False, words.index)
    if pause is not None:
        need(words, ("duration",))
        silence = words["onset"].shift(-1) - words["onset"] - words["duration"]
        last |= silence > pause
    if not last.any() and not fresh.iloc[1:].any() and len(words) > 1:
        raise BraindecError(
            "nothing says where sentences end", found=f"{len(words)} words without punctuation, such as {', '.join(words['text'].astype(str)[:5])}",
            fix="name the column that numbers sentences (column=..., 'audio' where each sound is one), or "
            + ("a silence in s that ends one (pause=...)" if pause is None else f"a shorter silence: none is longer than pause={pause:g} s"),
        )  # fmt: skip
    return fresh | last.shift(fill_value=False)


def _written(words: pd.DataFrame) -> bool:
    """Whether the table says the sentence of each word."""
    return "sentence" in words and not (words["sentence"].isna() | words["sentence"].astype(str).isin(_NOTHING)).any()


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


def need(table: pd.DataFrame, columns: Sequence[str], where: str = "the table of words") -> None:
    """Raise unless a table has the columns."""
    missing = [c for c in columns if c not in table]
    if missing:
        raise BraindecError(f"{where} has no column {missing[0]!r}{did_you_mean(str(missing[0]), table.columns)}",
                            found=f"columns {', '.join(map(str, table.columns)) or 'none'}")  # fmt: skip
