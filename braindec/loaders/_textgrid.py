"""TextGrid files of Praat: intervals of words and phones with their times, long and short text format.

Source: Praat manual, "TextGrid file formats".
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from braindec.errors import UnreadableError

__all__ = ["read_textgrid", "textgrid_seconds"]

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<![\w.+-])(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.\]])')


def read_textgrid(path: Path) -> pd.DataFrame:
    """Return one row an interval (or point): tier, onset and duration in s from the start of the sound, text.

    Raises
    ------
    UnreadableError
        If it is not a TextGrid, or ends early.
    """
    tokens = _tokens(path)
    place = 0

    def take(kind: type) -> str | float:
        nonlocal place
        if place >= len(tokens) or not isinstance(tokens[place], kind):
            found = "its end" if place >= len(tokens) else repr(tokens[place])
            raise UnreadableError(f"{path} cannot be read as a TextGrid", found=f"{found} at value {place + 1}",
                                  fix="the file was cut short or changed: copy it again")  # fmt: skip
        place += 1
        return tokens[place - 1]

    take(float), take(float)  # start and end of the whole
    rows = []
    for _ in range(int(take(float))):
        kind, name = str(take(str)), str(take(str))
        take(float), take(float)
        for _ in range(int(take(float))):
            begin = float(take(float))
            end = begin if kind == "TextTier" else float(take(float))
            rows.append((name, begin, end - begin, str(take(str))))
    return pd.DataFrame(rows, columns=["tier", "onset", "duration", "text"])


def textgrid_seconds(path: Path) -> float:
    """Return the length of the sound in s: the end of the whole."""
    return float(_tokens(path)[1])


def _tokens(path: Path) -> list[str | float]:
    """Values in order: texts, and numbers that stand alone (indices such as ``intervals [3]:`` do not)."""
    raw = path.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    head = text[:200]
    if "ooTextFile" not in head or "TextGrid" not in head:
        raise UnreadableError(
            f"{path} is not a TextGrid", found=repr(head.splitlines()[0][:60]) if head.strip() else "an empty file"
        )
    body = text[text.index("TextGrid") + len("TextGrid") :].lstrip('"')
    tokens: list[str | float] = []
    for quoted, number in _TOKEN.findall(body):
        tokens.append(float(number) if number else quoted.replace('""', '"'))
    if len(tokens) < 3 or not all(isinstance(token, float) for token in tokens[:3]):
        raise UnreadableError(f"{path} cannot be read as a TextGrid", found=f"{len(tokens)} values")
    return tokens
