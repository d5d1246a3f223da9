"""Dictionaries that a table holds as text, such as the events of MEG-MASC; read as literals, never evaluated."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from braindec.errors import BraindecError, UnreadableError

__all__ = ["from_literals"]

_OPEN, _CLOSE = "([{", ")]}"


def from_literals(
    column: pd.Series | Sequence[str], *, max_length: int = 20_000, max_depth: int = 5, max_keys: int = 200
) -> pd.DataFrame:
    """Read a column of dictionaries written as text (``"{'kind': 'word', 'word': 'once'}"``).

    Each is read by :func:`ast.literal_eval`: text, numbers, lists, dictionaries, True, False and None, and the bare
    words nan and inf; anything else is refused.

    Parameters
    ----------
    column : Series or sequence of str
    max_length : int
        Most characters of a row.
    max_depth : int
        Deepest nesting of brackets in a row, its own counted; brackets inside of quotes count neither way.
    max_keys : int
        Most keys of a row.

    Returns
    -------
    DataFrame
        One row for each, in the index of the column; keys that a row lacks are NaN.

    Raises
    ------
    UnreadableError
        If a row is no dictionary, or goes beyond a limit; the message has its number, counted from 1.
    """
    column = column if isinstance(column, pd.Series) else pd.Series(list(column), dtype=object)
    if not len(column):
        raise BraindecError("there are no dictionaries to read", found="an empty column")
    seen: dict[str, dict[str, Any]] = {}
    rows = []
    for number, text in enumerate(column, start=1):
        if not isinstance(text, str) or text not in seen:
            seen[text if isinstance(text, str) else ""] = _read(text, number, max_length, max_depth, max_keys)
        rows.append(seen[text])
    return pd.DataFrame.from_records(rows, index=column.index)


def _read(text: Any, number: int, max_length: int, max_depth: int, max_keys: int) -> dict[str, Any]:
    def refuse(found: str) -> UnreadableError:
        return UnreadableError(f"row {number} (from 1) of the column holds no dictionary", found=found,
                               allowed="text such as {'kind': 'word', 'start': 1.5}", fix="correct or drop the row")  # fmt: skip

    if not isinstance(text, str):
        raise refuse(f"{type(text).__name__} {text!r}")
    if len(text) > max_length:
        raise refuse(f"{len(text)} characters, at most {max_length} are read")
    depth = _depth(text)
    if depth > max_depth:
        raise refuse(f"brackets nested {depth} deep, at most {max_depth} are read: {text[:40]!r}...")
    try:
        tree = _Numbers().visit(ast.parse(text.strip(), mode="eval"))
        value = ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise refuse(f"{text[:60]!r}: {str(error)[:60]}") from None
    if not isinstance(value, dict):
        raise refuse(f"{type(value).__name__}: {text[:60]!r}")
    if len(value) > max_keys:
        raise refuse(f"{len(value)} keys, at most {max_keys} are read")
    strange = [k for k in value if not isinstance(k, str)]
    if strange:
        raise refuse(f"the key {strange[0]!r} is no text")
    return value


class _Numbers(ast.NodeTransformer):
    """The bare words nan and inf, as numbers."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = {"nan": math.nan, "inf": math.inf}.get(node.id)
        return node if value is None else ast.copy_location(ast.Constant(value), node)


def _depth(text: str) -> int:
    """How deep brackets are nested outside of quotes."""
    deepest = depth = 0
    quote, skip = "", False
    for sign in text:
        if skip:
            skip = False
        elif quote:
            skip = sign == "\\"
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _OPEN:
            depth += 1
            deepest = max(deepest, depth)
        elif sign in _CLOSE:
            depth -= 1
    return deepest
