"""Reading times: tables of words and how long each was read, from any file, and the tables of the Natural Stories corpus.

Layout of Natural Stories (Futrell et al. 2021, languageMIT/naturalstories; checked against the files):

* ``processed_wordinfo.tsv``: word, zone (place in the story, from 1), item (story, 1 to 10), nItem, meanItemRT (ms), sdItemRT, gmeanItemRT, gsdItemRT;
  rows in alphabetical order of words.
* ``all_stories.tok``: word, zone, item; in order.
* ``all_stories_gpt3.csv``: token, logprob (nats; empty at the start of a story), offset (characters in the story), story (from 0, in the order of items).

A word's log-probability is the sum over the tokens that begin in it (white space in front counts as the word's).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._files import existing

__all__ = ["read_natural_stories", "read_reading_times", "read_tok"]

_SEPARATORS = {".tsv": "\t", ".tok": "\t", ".csv": ",", ".txt": "\t"}
_LN2 = float(np.log(2))


def read_reading_times(
    path: str | Path | pd.DataFrame,
    *,
    word: str = "word",
    time: str = "time",
    story: str | None = None,
    place: str | None = None,
    subject: str | None = None,
    unit: str = "ms",
    separator: str | None = None,
) -> pd.DataFrame:
    """Read a table of words and reading times with columns of any name.

    Parameters
    ----------
    path : str, Path or DataFrame
        A table with a header.
    word, time : str
        Columns of the word and of its time.
    story, place, subject : str, optional
        Columns of the text, of the word's place in it (numbers that rise; the order of rows without it) and of the reader. With
        readers, times are averaged over them (the number is kept as ``n``).
    unit : {"ms", "s"}
        Of the times in the file; they become ms.
    separator : str, optional
        Between columns; by the ending of the file when it is left out.

    Returns
    -------
    DataFrame
        One row a word, text by text in order: text_id, word_index (from 0), word, time (ms), n, n_letters, stimulus_id, and the
        other columns where they say one thing a word. Words without a time keep NaN. ``attrs["texts"]`` has the texts.

    Raises
    ------
    BraindecError
        If a column is not there (the message names those that are), times are not numbers, below 0 or in another unit, a
        word is missing, or a place has two words.
    """
    table = path.copy() if isinstance(path, pd.DataFrame) else _read(path, separator)
    name = "the table" if isinstance(path, pd.DataFrame) else Path(path).name
    wanted = {"word": word, "time": time, "story": story, "place": place, "subject": subject}
    for what, column in wanted.items():
        if column is not None and column not in table:
            raise BraindecError(
                f"{name} has no column {column!r} for the {what}{did_you_mean(column, map(str, table.columns))}",
                found=", ".join(map(str, table.columns[:14])), fix=f"name it: {what}=...",
            )  # fmt: skip
    if unit not in ("ms", "s"):
        raise BraindecError(f"times are not read in {unit!r}", allowed="ms, s")
    times = pd.to_numeric(table[time], errors="coerce")
    bad = times.isna() & table[time].notna() & ~table[time].astype(str).str.lower().isin(["na", "n/a", "nan"])
    if not len(table):
        raise BraindecError(f"{name} has no rows", found=", ".join(map(str, table.columns[:14])))
    nameless = table[word].isna() | (table[word].astype(str).str.strip() == "")
    if nameless.any():
        raise BraindecError(
            f"{name}: no word in row {int(np.flatnonzero(nameless)[0]) + 2}", found=f"{int(nameless.sum())} rows without a word",
            fix="leave them out, or read the table with keep_default_na=False if the word is 'null' or 'NA'",
        )  # fmt: skip
    bad |= np.isinf(times)
    if bad.any() or (times < 0).any():
        row = int(np.flatnonzero(bad | (times < 0))[0])
        raise BraindecError(
            f"{name}: not a reading time in row {row + 2}",
            found=repr(table[time].iloc[row]),
            allowed="a number from 0 on",
        )
    usual = float(times.median())
    if times.notna().any() and not 20 <= usual * (1000.0 if unit == "s" else 1.0) <= 20_000:
        raise BraindecError(
            f"{name}: half of the times are below {usual:g} {unit}, which nobody reads a word in", allowed="a median of 20 ms to 20 s",
            fix=f"unit={'s' if unit == 'ms' else 'ms'!r}, if they are in that",
        )  # fmt: skip
    plain = pd.DataFrame({
        "text_id": table[story].astype(str) if story else "1", "word": table[word].astype(str), "time": times * (1000.0 if unit == "s" else 1.0),
    })  # fmt: skip
    plain["place"] = pd.to_numeric(table[place]) if place else _places(table, plain["text_id"], subject)
    keep = [c for c in table if c not in wanted.values()]
    extra = table[keep].rename(
        columns={c: f"file_{c}" for c in keep if c in ("n", "n_letters", "word_index", "stimulus_id", *plain)}
    )
    return _finish(pd.concat([plain, extra], axis=1), averaged=subject is not None, name=name)


def read_tok(path: str | Path) -> pd.DataFrame:
    """Read a token file: tab-separated columns word, zone and item, one word a row.

    Returns
    -------
    DataFrame
        text_id (the item), word_index (the zone, from 0), word, stimulus_id ("1/0"), in order; ``attrs["texts"]`` has the texts.
    """
    table = _read(path, "\t")
    missing = [c for c in ("word", "zone", "item") if c not in table]
    if missing:
        raise BraindecError(
            f"{Path(path).name} is no token file: it lacks {', '.join(missing)}", found=", ".join(map(str, table.columns[:8])), allowed="word, zone, item"
        )  # fmt: skip
    table = table.sort_values(["item", "zone"], kind="stable")
    text = table["item"].astype(str)
    found = pd.DataFrame(
        {
            "text_id": text.to_numpy(),
            "word_index": table["zone"].to_numpy() - 1,
            "word": table["word"].astype(str).to_numpy(),
        }
    )
    if found.duplicated(["text_id", "word_index"]).any():
        twice = found[found.duplicated(["text_id", "word_index"])].iloc[0]
        raise BraindecError(
            f"{Path(path).name} has two words in one place", found=f"item {twice.text_id}, zone {twice.word_index + 1}"
        )
    return _with_texts(found)


def read_natural_stories(folder: str | Path) -> pd.DataFrame:
    """Read the reading times of Natural Stories, joined by story and place, with the log-probabilities of GPT-3 where they are.

    Parameters
    ----------
    folder : str or Path
        The repository, or a folder with its files: processed_wordinfo.tsv, all_stories.tok and (optional) all_stories_gpt3.csv.

    Returns
    -------
    DataFrame
        One row a word in order: text_id ("1" to "10"), word_index, word, time (mean over readers, ms), n (readers), log_time (log of the
        geometric mean, ms), n_letters, stimulus_id, start and stop (characters in the story), and surprisal (bits, of the
        file's model; NaN for the first word of a story) and n_tokens. ``attrs["texts"]`` has the stories.

    Raises
    ------
    BraindecError, UnreadableError
        If a file is missing, its columns are others, or a word is not the same in both tables (with its place).
    """
    root = existing(folder)
    words = read_tok(_one(root, "all_stories.tok"))
    times = _read(_one(root, "processed_wordinfo.tsv"), "\t")
    needed = ("word", "zone", "item", "nItem", "meanItemRT", "gmeanItemRT")
    missing = [c for c in needed if c not in times]
    if missing:
        raise BraindecError(
            f"processed_wordinfo.tsv lacks {', '.join(missing)}", found=", ".join(map(str, times.columns))
        )
    times = pd.DataFrame({
        "text_id": times["item"].astype(str), "word_index": times["zone"] - 1, "said": times["word"].astype(str), "time": times["meanItemRT"].astype(float),
        "n": times["nItem"].astype(int), "log_time": np.log(times["gmeanItemRT"].astype(float)),
    })  # fmt: skip
    joined = words.merge(times, on=["text_id", "word_index"], how="left", validate="one_to_one")
    other = joined["said"].notna() & (joined["said"] != joined["word"])
    if other.any():
        row = joined[other].iloc[0]
        raise BraindecError(
            "the reading times belong to other words", found=f"story {row.text_id}, word {row.word_index + 1}: {row.said!r} and {row.word!r}; {int(other.sum())} in all",
            fix="take both files from one release (those before May 2025 were shifted by one word)",
        )  # fmt: skip
    joined = joined.drop(columns="said").assign(n_letters=joined["word"].str.len())
    joined = _with_offsets(joined)
    path = _one(root, "all_stories_gpt3.csv", needed=False)
    if path is not None:
        joined = _join_tokens(joined, _read(path, ","), path)
    joined.attrs["texts"] = words.attrs["texts"]
    return joined


def _join_tokens(words: pd.DataFrame, tokens: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add the log-probability of each word: tokens are dealt to words by their offsets in the story."""
    missing = [c for c in ("token", "logprob", "offset", "story") if c not in tokens]
    if missing:
        raise BraindecError(f"{path.name} lacks {', '.join(missing)}", found=", ".join(map(str, tokens.columns)))
    total, count = np.full(len(words), np.nan), np.zeros(len(words), dtype=int)
    order = list(dict.fromkeys(words["text_id"]))
    for number, part in tokens.groupby("story", sort=True):
        if not 0 <= int(number) < len(order):
            raise BraindecError(
                f"{path.name} has a story that is not there", found=str(number), allowed=f"0 to {len(order) - 1}"
            )
        rows = np.flatnonzero((words["text_id"] == order[int(number)]).to_numpy())
        text = part["token"].fillna("").astype(str)
        first = part["offset"].to_numpy(dtype=int) + np.array([len(t) - len(t.lstrip()) for t in text])
        owner = np.searchsorted(
            words["stop"].to_numpy()[rows], first, side="right"
        )  # the word that the token begins in
        inside = (owner < len(rows)) & (text.str.strip() != "").to_numpy()
        _check_text(words.iloc[rows], text[inside], first[inside], path)
        probability = part["logprob"].to_numpy(dtype=float)
        for place in np.unique(owner[inside]):
            mine = inside & (owner == place)
            total[rows[place]] = -probability[mine].sum() / _LN2
            count[rows[place]] = int(mine.sum())
    return words.assign(surprisal=total, n_tokens=count)


def _check_text(words: pd.DataFrame, tokens: pd.Series, first: np.ndarray, path: Path) -> None:
    """Tokens must be found where their offsets say, or offsets count something else than characters of these words."""
    text = " ".join(words["word"])
    same = [text[a : a + len(t.strip())] == t.strip() for t, a in zip(tokens, first, strict=True)]
    if np.mean(same) < 0.9:
        raise BraindecError(
            f"the offsets of {path.name} do not fit the words of story {words['text_id'].iloc[0]}",
            found=f"{100 * np.mean(same):.0f} % of the tokens are where they should be", fix="take the files from one release",
        )  # fmt: skip


def _places(table: pd.DataFrame, text: pd.Series, subject: str | None) -> pd.Series:
    keys = [text] if subject is None else [text, table[subject]]
    return table.groupby(keys, sort=False).cumcount() + 1


def _finish(table: pd.DataFrame, *, averaged: bool, name: str) -> pd.DataFrame:
    """One row a word: readers averaged, columns that differ between readers dropped, ids and lengths added."""
    keys = ["text_id", "place"]
    twice = table.duplicated(keys)
    if twice.any() and not averaged:
        row = table[twice].iloc[0]
        raise BraindecError(
            f"{name} has two rows for one word", found=f"text {row.text_id}, place {row.place}, {row.word!r}", fix="name the column of readers: subject=..."
        )  # fmt: skip
    grouped = table.groupby(keys, sort=False)
    words = grouped["word"].nunique()
    if (words > 1).any():
        raise BraindecError(
            f"{name}: readers saw different words in one place", found=f"text and place {words.index[words > 1][0]}"
        )
    found = grouped.agg(word=("word", "first"), time=("time", "mean"), n=("time", "count"))
    others = [c for c in table if c not in (*keys, "word", "time")]
    same = [c for c in others if (grouped[c].nunique(dropna=False) == 1).all()]
    found = found.join(grouped[same].first()).reset_index()
    order = {text: k for k, text in enumerate(dict.fromkeys(table["text_id"]))}
    found = found.sort_values(
        ["text_id", "place"], key=lambda c: c.map(order) if c.name == "text_id" else c, kind="stable"
    )
    found = found.reset_index(drop=True)
    found["word_index"] = found.groupby("text_id", sort=False).cumcount()
    found["n_letters"] = found["word"].str.len()
    return _with_texts(found.drop(columns="place"))


def _with_texts(table: pd.DataFrame) -> pd.DataFrame:
    ids = [f"{t}/{k}" for t, k in zip(table["text_id"], table["word_index"], strict=True)]
    table = _with_offsets(table.reset_index(drop=True).assign(stimulus_id=ids))
    texts: Mapping[str, str] = {str(t): " ".join(part["word"]) for t, part in table.groupby("text_id", sort=False)}
    table.attrs["texts"] = dict(texts)
    return table


def _with_offsets(table: pd.DataFrame) -> pd.DataFrame:
    """Add where each word stands in its text, words joined by single spaces."""
    length = table["word"].str.len()
    stop = (length + 1).groupby(table["text_id"], sort=False).cumsum() - 1
    return table.assign(start=stop - length, stop=stop)


def _one(root: Path, name: str, *, needed: bool = True) -> Path | None:
    found = sorted(root.rglob(name))
    if not found and needed:
        raise BraindecError(
            f"{root} holds no {name}", found=", ".join(sorted(p.name for p in root.iterdir())[:8]) or "an empty folder",
            fix="get the Natural Stories corpus: braindec fetch natural-stories",
        )  # fmt: skip
    return found[0] if found else None


def _read(path: str | Path | None, separator: str | None) -> pd.DataFrame:
    path = existing(str(path))
    sign = separator or _SEPARATORS.get(path.suffix.lower(), ",")
    try:  # no quotes in tab-separated files: words there may be quotation marks
        quoting = 3 if sign == "\t" else 0
        return pd.read_csv(path, sep=sign, quoting=quoting, keep_default_na=False, na_values=[""], low_memory=False)
    except (OSError, ValueError) as error:  # pandas: a ParserError is a ValueError
        raise UnreadableError(f"{path} cannot be read as a table", found=" ".join(str(error).split())[:200]) from None
