"""Trials of arrays, Windows and Features as one array (trial, time, unit) with the keys of the units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, Recording, Windows

__all__ = ["Trials", "trials_of"]

_CHANNEL = ("region", "type", "x", "y", "z")  # columns of the channel table that go along


@dataclass
class Trials:
    """One condition.

    Parameters
    ----------
    values : array of shape (trial, time, unit)
    units : DataFrame
        Keys, one row a unit.
    sfreq : float or None
        Hz, where the data know it.
    kind : {"array", "windows", "features"}
    blocks : array of shape (trial,), or None
    """

    values: np.ndarray
    units: pd.DataFrame
    sfreq: float | None
    kind: str
    blocks: np.ndarray | None = None


def trials_of(
    signal: Any,
    control: Any,
    *,
    condition: str | None,
    by: str | None,
    blocks: str | np.ndarray | None,
    sentence: int | None = None,
) -> tuple[Trials, Trials | None]:
    """Return the trials of the condition and those of its control.

    ``sentence`` is the number of units of one, where it is known: a sentence of a text must not come again in another trial.

    Raises
    ------
    BraindecError
        If the signal is of no known kind, conditions are not there, trials are unequal, or the two differ in units.
    """
    kinds = {Windows: ("windows", "trial_type"), Features: ("features", "condition")}
    if isinstance(signal, Recording):
        raise BraindecError(
            "a recording has no trials yet", fix="cut it: braindec.make_windows([recording], tmin=..., tmax=...)"
        )
    kind, column = next((v for k, v in kinds.items() if isinstance(signal, k)), ("array", None))
    if kind == "array":
        return _of_arrays(signal, control, condition, blocks)
    by = by or column
    split = _of_windows if kind == "windows" else partial(_of_features, sentence=sentence)
    if control is None or isinstance(control, str):
        wanted = condition
        if control is not None and condition is None:
            wanted = _the_other(signal, by, control)
        mine = split(signal, by, wanted, blocks)
        other = None if control is None else split(signal, by, control, blocks)
    else:
        if type(control) is not type(signal):
            raise BraindecError(
                "condition and control must be of one kind", found=f"{type(signal).__name__}, {type(control).__name__}"
            )
        mine, other = split(signal, by, condition, blocks), split(control, by, None, blocks)
    if isinstance(blocks, np.ndarray) and other is not None:
        mine.blocks, other.blocks = blocks[: len(mine.values)], blocks[len(mine.values) :]
    if other is not None and not _same(mine.units, other.units):
        raise BraindecError(
            "condition and control differ in their units", found=f"{len(mine.units)} and {len(other.units)} units"
        )
    return mine, other


def _same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    keys = [c for c in a if c in b and c not in _CHANNEL]
    return len(a) == len(b) and a[keys].astype(str).equals(b[keys].astype(str))


def _of_arrays(signal: Any, control: Any, condition: str | None, blocks: Any) -> tuple[Trials, Trials | None]:
    if condition is not None or isinstance(control, str) or isinstance(blocks, str):
        raise BraindecError(
            "arrays have no named conditions", fix="give control= as an array of its own, blocks= as one value a trial"
        )
    made = []
    for name, values in (("the condition", signal), ("the control", control)):
        if values is None and name == "the condition":
            raise BraindecError(
                "there is nothing to tag", found="None", allowed="an array (trial, time, unit), Windows or Features"
            )
        if values is None:
            made.append(None)
            continue
        if isinstance(values, (list, tuple)) and len({np.shape(v) for v in values}) > 1:
            lengths = sorted({np.shape(v)[0] if np.ndim(v) else 0 for v in values})
            raise BraindecError(
                f"trials of {name} are unequal", found=f"lengths {lengths[:6]}",
                fix="cut all trials to the same number of samples; do not pad them",
            )  # fmt: skip
        values = np.asarray(values)
        if values.dtype == object:
            raise BraindecError(f"trials of {name} are unequal", fix="cut all trials to the same number of samples")
        n_units = values.shape[2] if values.ndim == 3 else 0
        made.append(Trials(values, pd.DataFrame({"unit": np.arange(n_units)}), None, "array"))
    mine, other = made
    if blocks is not None and other is not None:
        mine.blocks, other.blocks = np.asarray(blocks)[: len(mine.values)], np.asarray(blocks)[len(mine.values) :]
    return mine, other


def _the_other(signal: Windows | Features, by: str, control: str) -> str:
    """The only other value of the column, when the condition was not named."""
    table = signal.trials if isinstance(signal, Windows) else signal.items
    values = sorted(set(_labels(table, by)) - {control})
    if control not in set(_labels(table, by)):
        known = sorted(set(_labels(table, by)))
        raise BraindecError(
            f"no trial has {by} = {control!r}{did_you_mean(control, known)}", allowed=", ".join(known[:20])
        )
    if len(values) != 1:
        raise BraindecError(
            "which condition is compared with the control?", found=f"{by}: {', '.join(values) or 'no other'}",
            fix=f"condition={values[0]!r}" if values else "record another condition",
        )  # fmt: skip
    return values[0]


def _column(table: pd.DataFrame, by: str) -> pd.Series:
    if by not in table:
        raise BraindecError(f"there is no column {by!r}{did_you_mean(by, table)}", allowed=", ".join(map(str, table)))
    return table[by]


def _labels(table: pd.DataFrame, by: str) -> np.ndarray:
    """Return a column of conditions as text.

    Raises
    ------
    BraindecError
        If some trials have none.
    """
    column = _column(table, by)
    if column.isna().any():
        raise BraindecError(
            f"column {by!r} is empty in {int(column.isna().sum())} of {len(column)} rows", fix="leave these rows out, or name their condition"
        )  # fmt: skip
    return column.astype(str).to_numpy()


def _rows(table: pd.DataFrame, by: str, value: str | None) -> np.ndarray:
    if value is None:
        return np.arange(len(table))
    labels = _labels(table, by)
    rows = np.flatnonzero(labels == str(value))
    if not len(rows):
        known = sorted(set(labels))
        raise BraindecError(
            f"no trial has {by} = {value!r}{did_you_mean(str(value), known)}", allowed=", ".join(known[:20])
        )
    return rows


def _of_windows(signal: Windows, by: str, value: str | None, blocks: str | np.ndarray | None) -> Trials:
    rows = _rows(signal.trials, by, value)
    trials = signal.trials.iloc[rows]
    x = signal.load(rows).transpose(0, 2, 1)
    table = signal.channels.reset_index(drop=True)
    units = pd.DataFrame({"channel": table["name"].to_numpy()})
    for key in ("subject", "session"):
        found = trials[key].unique() if key in trials else []
        if len(found) == 1:
            units.insert(0, key, found[0])
    for extra in _CHANNEL:
        if extra in table:
            units[extra] = table[extra].to_numpy()
    inside = None
    if isinstance(blocks, str):
        keys = [k for k in ("subject", "session") if k in trials and k != blocks]
        inside = (
            trials[keys].astype(str).assign(own=_column(trials, blocks).astype(str)).agg("/".join, axis=1).to_numpy()
        )
    return Trials(x, units, float(signal.sfreq), "windows", inside)


def _of_features(
    signal: Features, by: str, value: str | None, blocks: str | np.ndarray | None, *, sentence: int | None = None
) -> Trials:
    items = signal.items
    rows = _rows(items, by, value)
    part = items.iloc[rows]
    name = next((c for c in ("trial", "text_id") if c in part), None)
    if name is None:
        raise BraindecError(
            "features of tagged texts need a column text_id (or trial) that says which words make a trial",
            found=f"columns {', '.join(map(str, part))}",
        )
    if part[name].isna().any():
        raise BraindecError(f"column {name!r} is empty in {int(part[name].isna().sum())} of {len(part)} rows")
    code, texts = pd.factorize(part[name])
    if "word_index" in part and (part["word_index"].isna().any() or part.duplicated([name, "word_index"]).any()):
        raise BraindecError(
            "the order of words in their trials is not known", found="word_index is empty, or stands twice in a trial",
            fix="make the words table with braindec.llm.tag_stimuli.tag_words",
        )  # fmt: skip
    counts = np.bincount(code)
    if len(set(counts.tolist())) > 1:
        odd = int(np.argmax(counts != np.bincount(counts).argmax()))
        raise BraindecError(
            "trials are unequal: texts differ in their number of units",
            found=f"{texts[odd]} has {counts[odd]}, others {np.bincount(counts).argmax()}",
            fix="make trials of equally many sentences of equal length (braindec.llm.tag_stimuli)",
        )
    order = np.lexsort((part["word_index"].to_numpy() if "word_index" in part else np.arange(len(part)), code))
    if "word" in part:
        words = part["word"].astype(str).to_numpy()[order].reshape(len(texts), counts[0])
        _refuse_reuse(words, texts, sentence if sentence and counts[0] % sentence == 0 else int(counts[0]))
    x = signal.load(rows[order]).reshape(len(texts), counts[0], -1)
    inside = None
    if isinstance(blocks, str):
        inside = _column(part, blocks).astype(str).to_numpy()[order].reshape(len(texts), counts[0])[:, 0]
    sfreq = signal.info.get("sfreq")
    return Trials(x, pd.DataFrame(signal.units), None if sfreq is None else float(sfreq), "features", inside)


def _refuse_reuse(words: np.ndarray, texts: pd.Index, sentence: int) -> None:
    """A sentence in two trials makes them dependent: a language model answers the same text with the same numbers.

    ``words`` is (trial, unit), ``sentence`` the number of units of one (of the whole trial, where it is not known).
    """
    seen: dict[tuple[str, ...], int] = {}
    for k, row in enumerate(words):
        for own in map(tuple, row.reshape(-1, sentence)):
            if seen.setdefault(own, k) != k:
                raise BraindecError(
                    "a sentence stands in two trials, and trials must be independent",
                    found=f"{texts[seen[own]]} and {texts[k]}: {' '.join(own[:8])}",
                    fix="deal every sentence into one trial only (braindec.llm.tag_stimuli.tag_trials)",
                )
