"""Readers of stimulus files: localizer tables, corpora of equally long sentences, word pairs with ratings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._files import existing

__all__ = ["read_corpus", "read_localizer", "read_word_pairs"]

_CONDITIONS = {"S": "sentence", "N": "nonword"}


def read_localizer(folder: str | Path, *, lower: bool = True) -> pd.DataFrame:
    """Read the tables of the language localizer (Fedorenko et al. 2010): sentences and lists of non-words.

    Each file ``langloc_fmri_run1_stim_set1.csv`` has a header ``stim1, ..., stim14``: a number, 12 words
    (stim2 to stim13) and the condition (stim14: S or N), one item a row.

    Parameters
    ----------
    folder : str or Path
        A folder of such files, or one of them.
    lower : bool
        Words in small letters, as they are given to models; the files have capitals.

    Returns
    -------
    DataFrame
        stimulus_id ("run1-set1-00-sentence"), text, condition ("sentence" or "nonword"), words, n_words, run, set, path.

    Raises
    ------
    BraindecError
        If there is no such file, a file lacks a column, or a condition is neither S nor N (with file and row).
    """
    root = existing(folder)
    paths = [root] if root.is_file() else sorted(root.rglob("*.csv"))
    if not paths:
        raise BraindecError(
            f"{folder} holds no localizer tables", found="no .csv file", allowed="langloc_fmri_run1_stim_set1.csv, ..."
        )
    columns = [f"stim{k}" for k in range(2, 15)]
    rows: list[dict[str, Any]] = []
    for path in paths:
        table = _table(path)
        missing = [c for c in columns if c not in table]
        if missing:
            raise BraindecError(
                f"{path.name} is no localizer table: it lacks {', '.join(missing[:4])}", found=", ".join(map(str, table.columns[:14])),
                allowed="stim2 ... stim13 (the words) and stim14 (S or N)", fix="name the folder that holds only such tables",
            )  # fmt: skip
        run, number = _run_and_set(path)
        for k, line in enumerate(table[columns].itertuples(index=False)):
            mark = str(line[-1]).strip().upper()
            words = [str(word).strip() for word in line[:-1]]
            if mark not in _CONDITIONS or not all(words):
                raise BraindecError(
                    f"{path.name}, line {k + 2}: " + ("a word is missing" if mark in _CONDITIONS else "the condition is not known"),
                    found=", ".join(map(str, line)), allowed="12 words, then S (sentence) or N (non-words)",
                )  # fmt: skip
            words = [word.lower() for word in words] if lower else words
            condition = _CONDITIONS[mark]
            rows.append({
                "stimulus_id": f"run{run}-set{number}-{k:02d}-{condition}", "text": " ".join(words), "condition": condition, "words": words,
                "n_words": len(words), "run": run, "set": number, "path": str(path),
            })  # fmt: skip
    found = pd.DataFrame(rows)
    twice = found["stimulus_id"][found["stimulus_id"].duplicated()]
    if len(twice):
        raise BraindecError(
            "two localizer tables have one run and set", found=str(twice.iloc[0]), fix="leave one of the files out"
        )
    return found


def read_corpus(path: str | Path, unit: Literal["word", "character"] = "word") -> list[list[str]]:
    """Read sentences of equally many units, one a line, with or without a header line ``text``.

    Punctuation marks are left out; characters of a sentence are units where there are no spaces (Chinese).

    Parameters
    ----------
    path : str or Path
        A text file in UTF-8.
    unit : {"word", "character"}

    Returns
    -------
    list of list of str

    Raises
    ------
    BraindecError
        If sentences differ in length (with the line number), or the file is empty.
    """
    if unit not in ("word", "character"):
        raise BraindecError(f"no unit {unit!r}", allowed="word, character")
    path = existing(path)
    lines = [(k, line.strip()) for k, line in enumerate(_text(path).splitlines(), start=1)]
    lines = [(k, line) for k, line in lines if line]
    if lines and lines[0][1].strip('"').lower() == "text":
        lines = lines[1:]
    if not lines:
        raise BraindecError(f"{path} holds no sentences", found="an empty file")
    sentences = []
    for _, line in lines:
        plain = re.sub(r"[^\w\s'-]", "", line, flags=re.UNICODE)
        sentences.append(plain.split() if unit == "word" else [c for c in plain if not c.isspace()])
    lengths = [len(s) for s in sentences]
    usual = max(set(lengths), key=lengths.count)
    other = [k for k, n in enumerate(lengths) if n != usual]
    if usual == 0:
        raise BraindecError(
            f"{path.name} holds no {unit}s", found=repr(lines[0][1][:40]), allowed="text in UTF-8, one sentence a line"
        )
    if other:
        shown = "; ".join(f"line {lines[k][0]}: {lengths[k]} ({lines[k][1]!r})" for k in other[:4])
        raise BraindecError(
            f"the sentences of {path.name} differ in length: {len(other)} do not have {usual} {unit}s", found=shown,
            fix="leave them out" + ("" if unit == "character" else ', or read characters: unit="character"'),
        )  # fmt: skip
    return sentences


def read_word_pairs(path: str | Path) -> pd.DataFrame:
    """Read word pairs with a rating: three columns separated by spaces or tabs, no header.

    Parameters
    ----------
    path : str or Path
        One file, or a folder of ``.txt`` files (the sets of Faruqui & Dyer 2014).

    Returns
    -------
    DataFrame
        stimulus_id ("EN-RG-65/0"), word1, word2, rating, set (name of the file). Rows of other form are refused, with their line.
    """
    root = existing(path)
    paths = [root] if root.is_file() else sorted(root.glob("*.txt"))
    if not paths:
        raise BraindecError(f"{path} holds no word pairs", found="no .txt file")
    rows = []
    for file in paths:
        for k, line in enumerate(_text(file).splitlines(), start=1):
            parts = line.split()
            if not parts:
                continue
            rating = _number(parts[2]) if len(parts) == 3 else None
            if rating is None:
                raise BraindecError(
                    f"{file.name}, line {k}: no word pair", found=repr(line[:80]), allowed="two words and a number, separated by spaces"
                )  # fmt: skip
            rows.append((f"{file.stem}/{k - 1}", parts[0], parts[1], rating, file.stem))
    if not rows:
        raise BraindecError(f"{path} holds no word pairs", found="empty files")
    return pd.DataFrame(rows, columns=["stimulus_id", "word1", "word2", "rating", "set"])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} cannot be read as text", found=str(error), fix="save it in UTF-8") from None


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas: a ParserError is a ValueError
        raise UnreadableError(f"{path} cannot be read as a table", found=" ".join(str(error).split())) from None


def _run_and_set(path: Path) -> tuple[str, str]:
    run, number = re.search(r"run[_-]?(\d+)", path.stem), re.search(r"set[_-]?(\d+)", path.stem)
    return (run.group(1) if run else "1"), (number.group(1) if number else path.stem)
