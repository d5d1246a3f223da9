"""Words of texts with their character offsets, and the tokens that belong to each of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError

__all__ = ["texts_of", "tokens_of_words", "word_spans", "words_table"]

Texts = "Mapping[str, str] | Sequence[str] | Sequence[Sequence[str]]"


def words_table(
    texts: Mapping[Any, str | Sequence[str]] | Sequence[str] | Sequence[Sequence[str]], *, separator: str = " ",
    onsets: Mapping[Any, Sequence[float]] | Sequence[Sequence[float]] | None = None,
    durations: Mapping[Any, Sequence[float]] | Sequence[Sequence[float]] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Split texts into words, one row a word.

    Parameters
    ----------
    texts : mapping of text id to text or words, or sequence of them
        A text is split where there is white space (with another ``separator``: there, and "" makes every character a
        word). Words given as a list are joined by ``separator``.
    separator : str
    onsets, durations : mapping or sequence, optional
        Seconds, one number a word, for each text.

    Returns
    -------
    DataFrame
        text_id, word_index, word, start, stop (characters in the text), stimulus_id (``text_id/word_index``), and
        onset and duration where given; ``attrs["texts"]`` has the whole texts, ``attrs["spans"]`` the places of all
        their words, so that a selection of rows still knows what comes before them.

    Raises
    ------
    BraindecError
        If there are no texts, a text is empty, a word is empty, or the number of onsets is not that of the words.
    """
    if isinstance(texts, str):
        raise BraindecError("texts must be several", found="one str", fix="[text], or {text_id: text}")
    if not isinstance(texts, Iterable) or isinstance(texts, (set, frozenset, pd.DataFrame)):
        raise BraindecError(
            "texts must stand in a list or under their ids",
            found=type(texts).__name__,
            fix="[text, ...], or {text_id: text}",
        )
    if not isinstance(separator, str):
        raise BraindecError(f"separator={separator!r} separates no words", allowed="text, e.g. ' '; '' for characters")
    pairs = list(texts.items() if isinstance(texts, Mapping) else enumerate(texts))
    named = {str(k): v for k, v in pairs}
    if not named:
        raise BraindecError("there are no texts")
    if len(named) < len(pairs):
        raise BraindecError(
            "two texts have the same id", found=f"{len(pairs)} texts, {len(named)} ids when read as text"
        )
    parts, wholes, places = [], {}, {}
    for text_id, text in named.items():
        whole, spans = _split(text_id, text, separator)
        part = pd.DataFrame({
            "text_id": text_id, "word_index": np.arange(len(spans)), "word": [whole[a:b] for a, b in spans],
            "start": [a for a, _ in spans], "stop": [b for _, b in spans],
            "stimulus_id": [f"{text_id}/{k}" for k in range(len(spans))],
        })  # fmt: skip
        for column, given in (("onset", onsets), ("duration", durations)):
            if given is not None:
                part[column] = _times(given, text_id, list(named).index(text_id), len(spans), column)
        parts.append(part)
        wholes[text_id] = whole
        places[text_id] = tuple(n for span in spans for n in span)
    table = pd.concat(parts, ignore_index=True)
    table.attrs.update(texts=wholes, spans=places)
    return table


def _split(text_id: str, text: str | Sequence[str], separator: str) -> tuple[str, list[tuple[int, int]]]:
    if isinstance(text, str):
        if separator == "":
            spans = [(k, k + 1) for k, c in enumerate(text) if not c.isspace()]
        else:
            pattern = r"\S+" if separator.isspace() else f"(?:(?!{re.escape(separator)}).)+"
            spans = [m.span() for m in re.finditer(pattern, text, flags=re.DOTALL)]
            spans = [(a + len(w) - len(w.lstrip()), b) for a, b in spans if (w := text[a:b]).strip()]
            spans = [(a, a + len(text[a:b].rstrip())) for a, b in spans]
        if not spans:
            raise BraindecError(f"text {text_id!r} is empty", found=repr(text[:40]), fix="leave it out")
        return text, spans
    if not isinstance(text, Iterable) or isinstance(text, (bytes, Mapping)):
        raise BraindecError(f"text {text_id!r} is not text", found=repr(text)[:40], allowed="a str, or a list of words")
    words = list(text)
    if odd := [k for k, w in enumerate(words) if not isinstance(w, str)]:
        raise BraindecError(
            f"word {odd[0]} of text {text_id!r} is not text", found=repr(words[odd[0]])[:40],
            fix="a word that a table reader took for a missing value or a number: read it with dtype=str, keep_default_na=False",
        )  # fmt: skip
    if not words:
        raise BraindecError(f"text {text_id!r} has no words", fix="leave it out")
    if blank := [k for k, w in enumerate(words) if not w.strip()]:
        raise BraindecError(f"word {blank[0]} of text {text_id!r} is empty", found=f"{len(blank)} empty words")
    starts = np.cumsum([0] + [len(w) + len(separator) for w in words[:-1]])
    return separator.join(words), [(int(a), int(a) + len(w)) for a, w in zip(starts, words, strict=True)]


def _times(given: Any, text_id: str, k: int, n: int, column: str) -> np.ndarray:
    if isinstance(given, Mapping):
        by_name = {str(key): value for key, value in given.items()}
        found = by_name.get(text_id)
    else:
        found = given[k] if k < len(given) else None
    if not hasattr(found, "__len__") or len(found) != n:
        have = str(len(found)) if hasattr(found, "__len__") else "none"
        raise BraindecError(f"text {text_id!r} has {n} words, but {have} values of {column}")
    try:
        times = np.asarray(found, dtype=float)
    except (TypeError, ValueError) as error:
        raise BraindecError(f"{column} of text {text_id!r} must be seconds", found=repr(found)[:60]) from error
    wrong = ~np.isfinite(times) if column == "onset" else ~(times >= 0)
    if wrong.any():
        raise BraindecError(
            f"{column} of text {text_id!r} must be finite seconds" + (" from 0 on" if column == "duration" else ""),
            found=f"{times[wrong][0]} at word {np.flatnonzero(wrong)[0]}",
        )
    if column == "onset" and (np.diff(times) < 0).any():
        k = int(np.flatnonzero(np.diff(times) < 0)[0])
        raise BraindecError(
            f"onsets of text {text_id!r} go back in time", found=f"word {k} at {times[k]} s, word {k + 1} at {times[k + 1]} s",
            fix="sort the words, or give each run a text id of its own",
        )  # fmt: skip
    return times


def texts_of(table: pd.DataFrame) -> dict[str, str]:
    """Return the whole texts of a words table: those it carries, else rebuilt from its words.

    Raises
    ------
    BraindecError
        If the table carries none and words are missing.
    """
    need = ("text_id", "word_index", "word", "start", "stop", "stimulus_id")
    if missing := [c for c in need if c not in table]:
        raise BraindecError(
            f"a words table needs the columns {', '.join(missing)}", found=", ".join(map(str, table.columns)),
            fix="make it with braindec.llm.words.words_table(texts)",
        )  # fmt: skip
    if len(table) == 0:
        raise BraindecError("the words table has no rows")
    _check_rows(table)
    kept = table.attrs.get("texts", {})
    asked = pd.unique(table["text_id"].astype(str))
    if all(t in kept for t in asked):
        _check_places(table, kept)
        return {t: kept[t] for t in asked}
    made = {}
    for text_id, rows in table.groupby(table["text_id"].astype(str), sort=False):
        rows = rows.sort_values("word_index")
        if list(rows["word_index"]) != list(range(len(rows))):
            raise BraindecError(
                f"words of text {text_id!r} are missing, and the table does not carry the whole text",
                found=f"{len(rows)} words, the last has word_index {rows['word_index'].iloc[-1]}",
                fix="give the table that words_table made (its attrs hold the texts)",
            )
        letters = [" "] * int(rows["stop"].max())
        for word, start, stop in zip(rows["word"], rows["start"], rows["stop"], strict=True):
            if len(str(word)) != int(stop) - int(start):
                raise BraindecError(
                    f"word {str(word)!r} of text {str(text_id)!r} does not fit its offsets",
                    found=f"{len(str(word))} characters from {int(start)} to {int(stop)}",
                    fix="make the table anew with words_table(texts)",
                )
            letters[int(start) : int(stop)] = list(str(word))
        made[str(text_id)] = "".join(letters)
    return made


def _check_rows(table: pd.DataFrame) -> None:
    """Refuse a table whose rows cannot be words of texts: numbers that are none, offsets out of order, words twice."""
    fix = "make it anew with words_table(texts), and do not edit word_index, word, start or stop"
    for column in ("text_id", "word"):
        if table[column].isna().any():
            raise BraindecError(
                f"column {column!r} of the words table is empty in {int(table[column].isna().sum())} rows",
                fix="if it came from a file: read it with keep_default_na=False",
            )
    numbers = {}
    for column in ("word_index", "start", "stop"):
        numbers[column] = x = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
        if (bad := ~np.isfinite(x) | (x < 0) | (x != np.round(x))).any():
            raise BraindecError(
                f"column {column!r} of the words table must hold whole numbers from 0 on",
                found=f"{table[column].iloc[int(np.flatnonzero(bad)[0])]!r}", fix=fix,
            )  # fmt: skip
    text = table["text_id"].astype(str).to_numpy()
    order = np.lexsort((numbers["word_index"], text))
    same = text[order][1:] == text[order][:-1]
    if (twice := same & (np.diff(numbers["word_index"][order]) == 0)).any():
        k = order[int(np.flatnonzero(twice)[0])]
        raise BraindecError(
            f"word {int(numbers['word_index'][k])} of text {text[k]!r} stands twice in the words table", fix=fix
        )
    over = same & (numbers["start"][order][1:] < numbers["stop"][order][:-1])
    if (numbers["stop"] <= numbers["start"]).any() or over.any():
        first = np.flatnonzero(numbers["stop"] <= numbers["start"])
        k = int(first[0]) if len(first) else int(order[1:][over][0])
        raise BraindecError(
            f"offsets of word {table['word'].iloc[k]!r} of text {text[k]!r} are out of order",
            found=f"start {int(numbers['start'][k])}, stop {int(numbers['stop'][k])}",
            allowed="start < stop, and no earlier than the end of the word before", fix=fix,
        )  # fmt: skip
    if (table["stimulus_id"].astype(str).duplicated()).any():
        raise BraindecError("a stimulus_id stands twice in the words table", fix=fix)


def _check_places(table: pd.DataFrame, kept: Mapping[str, str]) -> None:
    """Refuse rows that are not the words of the texts that the table carries: which of the two is meant is unknown."""
    columns = (table[c] for c in ("text_id", "word_index", "word", "start", "stop"))
    for text_id, index, word, start, stop in zip(*columns, strict=True):
        there = kept[str(text_id)][int(start) : int(stop)]
        spans = table.attrs.get("spans", {}).get(str(text_id))
        moved = spans is not None and tuple(spans[2 * int(index) : 2 * int(index) + 2]) != (int(start), int(stop))
        if there != str(word) or moved:
            raise BraindecError(
                f"the words table was edited: word {int(index)} of text {str(text_id)!r} is {str(word)!r}",
                found=f"{there!r} at its characters {int(start)} to {int(stop)}",
                fix="change the texts and make the table anew with words_table(texts)",
            )


def word_spans(table: pd.DataFrame, text_id: str) -> np.ndarray:
    """Return the places of all words of a text, shape (n_words, 2), also of those that are not in the table."""
    kept = table.attrs.get("spans", {}).get(text_id)
    if kept is not None:
        return np.asarray(kept, dtype=int).reshape(-1, 2)
    rows = table[table["text_id"].astype(str) == text_id].sort_values("word_index")
    return rows[["start", "stop"]].to_numpy(dtype=int)


def tokens_of_words(offsets: np.ndarray, spans: np.ndarray, special: np.ndarray | None = None) -> np.ndarray:
    """Return the first and one past the last token of each word: the tokens whose characters overlap the word's.

    Parameters
    ----------
    offsets : array of shape (n_tokens, 2)
        Characters of each token; a leading space may be part of it.
    spans : array of shape (n_words, 2)
    special : array of bool, optional
        Tokens that stand for no characters.

    Returns
    -------
    array of shape (n_words, 2)
        Both numbers are equal where no token belongs to a word.
    """
    offsets = np.asarray(offsets, dtype=int).reshape(-1, 2)
    use = offsets[:, 1] > offsets[:, 0]
    if special is not None:
        use &= ~np.asarray(special, dtype=bool)
    place = np.flatnonzero(use)
    starts, stops = offsets[place, 0], offsets[place, 1]
    first = np.searchsorted(stops, spans[:, 0], side="right")  # the first token that ends after the word begins
    last = np.searchsorted(starts, spans[:, 1], side="left")  # the first token that begins after the word has ended
    ends = np.append(place, len(offsets))
    found = np.repeat(ends[first][:, None], 2, axis=1)
    some = last > first
    found[some, 1] = place[last[some] - 1] + 1
    return found
