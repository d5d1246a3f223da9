"""Event tables on their way to windows: which rows are chosen, under which labels, and a safe query of columns.

A query such as ``"difficulty > 2 and side == 'left'"`` is parsed here and never evaluated as Python: it knows column
names, numbers, text, lists, comparisons, ``in``, ``and``, ``or`` and ``not``, nothing else.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Recording

__all__ = ["choose_labels", "label_text", "labelled_events", "query_rows"]

_MISSING = {"", "n/a", "nan", "none"}
_COMPARE = {ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
            ast.Gt: operator.gt, ast.GtE: operator.ge}  # fmt: skip


def label_text(value: Any) -> str | None:
    """Return one text for a label however a table stored it (3, 3.0 and "3" are the same); None for n/a."""
    if value is None or (np.isscalar(value) and pd.isna(value)):
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in _MISSING else text


def labelled_events(
    recording: Recording, column: str | None, *, rename: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return the events of a recording in order of onset, the label ``column`` as text and renamed.

    Parameters
    ----------
    recording : Recording
        Its events.
    column : str or None
        The column of labels; None when events have none.
    rename : mapping, optional
        Old label -> new label.

    Returns
    -------
    DataFrame
        The columns of the events, ``duration`` with 0 for n/a, ``event_index`` (place in the run, from 0). Rows whose
        onset is not a number are left out.

    Raises
    ------
    BraindecError
        If there are no events or no such column.
    """
    events = recording.events
    where = f"{recording.label} ({recording.info.get('path') or 'in memory'})"
    if not len(events):
        raise BraindecError(
            f"{where} has no events", found="an empty table of events",
            fix="add an events.tsv with onset, duration and trial_type, or leave this recording out",
        )  # fmt: skip
    if column is not None and column not in events:
        raise BraindecError(
            f"the events of {where} have no column {column!r}{did_you_mean(column, events.columns)}",
            allowed=", ".join(map(str, events.columns)),
        )
    onset = pd.to_numeric(events["onset"], errors="coerce")
    duration = pd.to_numeric(events["duration"], errors="coerce").fillna(0.0)
    table = events.assign(onset=onset, duration=duration)[np.isfinite(onset)].sort_values("onset", kind="stable")
    table = table.reset_index(drop=True)
    table["event_index"] = np.arange(len(table))
    if column is not None:
        new = {str(k): str(v) for k, v in (rename or {}).items()}
        texts = [label_text(v) for v in table[column]]
        table[column] = pd.Series([new.get(t, t) if t is not None else None for t in texts], dtype=object)
    return table


def choose_labels(
    tables: Sequence[pd.DataFrame], column: str, select: Sequence[str] | str | None, recordings: Sequence[Recording]
) -> list[np.ndarray]:
    """Return for each table the mask of rows whose label is chosen (any label but n/a when ``select`` is None).

    Raises
    ------
    BraindecError
        If a chosen label stands in no table, or there are no labels at all; the message has the labels that are there.
    """
    present: dict[str, int] = {}
    for table in tables:
        for label, n in table[column].value_counts().items():
            present[str(label)] = present.get(str(label), 0) + int(n)
    counts = ", ".join(f"{k} ({n})" for k, n in sorted(present.items())[:40]) or "nothing but n/a"
    where = f"{recordings[0].info.get('path') or recordings[0].label}" + (
        f" and {len(recordings) - 1} more" if len(recordings) > 1 else ""
    )
    if select is None:
        if not present:
            raise BraindecError(f"no event of {where} has a {column}", found=f"{column}: {counts}")
        return [table[column].notna().to_numpy() for table in tables]
    wanted = [label_text(v) for v in ([select] if isinstance(select, str) else select)]
    unknown = [w for w in wanted if w not in present]
    if unknown:
        raise BraindecError(
            f"no event has {column} = {unknown[0]!r}{did_you_mean(str(unknown[0]), present)}",
            found=f"{where}: {counts}", fix="names are those after `rename`" if len(present) else None,
        )  # fmt: skip
    return [table[column].isin(wanted).to_numpy() for table in tables]


def query_rows(table: pd.DataFrame, query: str) -> np.ndarray:
    """Return the mask of rows for which ``query`` is true; never runs code.

    Parameters
    ----------
    table : DataFrame
        Its columns are the names in the query.
    query : str
        For example ``"rt < 0.8 and side in ['left', 'right']"``.

    Raises
    ------
    BraindecError
        If it cannot be parsed, uses anything but columns, constants and comparisons, or names no column.
    """
    try:
        tree = ast.parse(query, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise BraindecError(
            f"the query {query!r} cannot be read", found=str(error), fix="e.g. query: rt < 0.8"
        ) from error
    try:
        result = _evaluate(tree, table, query)
    except TypeError as error:
        raise BraindecError(f"the query {query!r} compares unlike things", found=str(error)) from error
    mask = np.broadcast_to(np.asarray(result), (len(table),))
    if mask.dtype != bool:
        raise BraindecError(f"the query {query!r} is neither true nor false", fix="compare the column with a value")
    return mask.copy()


def _evaluate(node: ast.AST, table: pd.DataFrame, query: str) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool)):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in table:
            near = did_you_mean(node.id, table.columns)
            raise BraindecError(
                f"the query {query!r} names no column: {node.id!r}{near}", allowed=", ".join(map(str, table.columns))
            )
        return table[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_evaluate(e, table, query) for e in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        value = _evaluate(node.operand, table, query)
        return ~_mask(value, query) if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.BoolOp):
        parts = [_mask(_evaluate(v, table, query), query) for v in node.values]
        return np.logical_and.reduce(parts) if isinstance(node.op, ast.And) else np.logical_or.reduce(parts)
    if isinstance(node, ast.Compare):
        left, parts = _evaluate(node.left, table, query), []
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = _evaluate(right_node, table, query)
            parts.append(_mask(_compare(op, left, right, query), query))
            left = right
        return np.logical_and.reduce(parts)
    raise BraindecError(
        f"the query {query!r} uses {type(node).__name__}", allowed="columns, constants, comparisons, in, and, or, not"
    )


def _compare(op: ast.cmpop, left: Any, right: Any, query: str) -> Any:
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(left, pd.Series) or not isinstance(right, list):
            raise BraindecError(
                f"the query {query!r}: `in` wants a column and a list", fix="e.g. side in ['left', 'right']"
            )
        found = left.isin(right)
        return found if isinstance(op, ast.In) else ~found
    if type(op) not in _COMPARE:
        raise BraindecError(f"the query {query!r} uses {type(op).__name__}", allowed="==, !=, <, <=, >, >=, in, not in")
    return _COMPARE[type(op)](left, right)


def _mask(value: Any, query: str) -> np.ndarray:
    mask = np.asarray(value)
    if mask.dtype == object and all(isinstance(v, (bool, np.bool_)) for v in mask.ravel()):
        mask = mask.astype(bool)
    if mask.dtype != bool:
        raise BraindecError(f"the query {query!r} joins things that are neither true nor false")
    return mask
