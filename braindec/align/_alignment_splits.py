"""How items are held out: whole passages, stories or contiguous blocks; shuffled splits of ordered items are refused.

Items of one passage resemble one another in content, and stand beside one another in time, so that they share noise.
Dealt out one by one to training and test, a model without any content (neighbourhood in time) beats every language model.

Source: Feghhi, Hadidi, Song, Blank & Kao 2024 (arXiv:2406.01538); Hadidi et al. 2025 (bioRxiv 2025.03.09.642245).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.ridge import contiguous_folds, group_folds
from braindec.stats.asked import whole
from braindec.types import Split

__all__ = ["Held", "group_columns", "hold_out"]

GROUPS = ("concept_id", "text_id", "passage_id", "passage", "story_id", "story", "sentence_id", "paragraph", "document")
_ORDER = ("onset", "run", "word_index", "position", "event_index")
_SHUFFLED = {"shuffled", "shuffle", "random", "kfold", "shufflesplit", "iid"}
_BORDER = 6  # rows
_NEAR = 0.5  # share of test rows with a training neighbour above which a split is a shuffled one
_WHY = ("items beside one another share content and noise; on Pereira 2018 a model without any content reaches r = 0.45 with a "
        "shuffled split, GPT2-XL 0.40 (0.00 and 0.14 with whole passages held out)")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Held:
    """The folds, and what belongs together.

    Parameters
    ----------
    splits : list of Split
    groups : array of shape (n,)
        Rows that are held out together, and change places together under the null.
    by : str
        What the groups are.
    ordered : bool
        Rows stand in an order in time.
    leaky : bool
        Neighbours stand on both sides of a split, and the caller allowed it.
    notes : list of str
    unnamed : bool
        Rows stand in order and nothing says what belongs together: the groups are contiguous blocks of no meaning.
    """

    splits: Sequence[Split]
    groups: np.ndarray
    by: str
    ordered: bool
    leaky: bool
    notes: Sequence[str]
    unnamed: bool = False

    def inner(self, split: Split, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Folds inside the training rows, numbers into ``split.train``: whole groups that are neighbours."""
        mine = self.groups[split.train]
        count = len(set(mine.tolist()))
        if count < 2:
            return contiguous_folds(len(mine), n_folds)
        return group_folds(mine, min(n_folds, count))


def group_columns(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Columns that put several items together, one of each kind: columns that divide the rows alike are told as one."""
    found: dict[str, np.ndarray] = {}
    n_items = rows["stimulus_id"].nunique() if "stimulus_id" in rows else len(rows)
    for name in GROUPS:
        if name not in rows or rows[name].isna().any():
            continue
        codes = pd.factorize(rows[name].astype(str))[0]
        if not 2 <= len(set(codes.tolist())) < n_items:
            continue
        if any(np.array_equal(codes, other) for other in found.values()):
            continue
        found[name] = codes
    return found


def hold_out(
    rows: pd.DataFrame, *, split: Any = "auto", groups: Any = None, n_folds: int = 5, buffer: int | None = None,
    runs: np.ndarray | None = None, ordered: bool | None = None, allow_leaky: bool = False, kind: str = "items",
    reach: int = 0,
) -> Held:  # fmt: skip
    """Make (or check) the folds of an alignment.

    Parameters
    ----------
    rows : DataFrame
        One row an item, trial or volume, in order.
    split : str or list of Split
        "auto": by the column that puts items together (passage, story, ...), else by run, else contiguous blocks. A
        column, "time" (contiguous blocks), "shuffled", or folds that were made elsewhere.
    groups : str or array of shape (n,), optional
        Column or labels of what belongs together, where the table leaves it open.
    n_folds : int
    buffer : int, optional
        Rows beside the test rows (in their run) that leave training where rows are ordered; by default ``reach``, at least 6 rows
        (or less: a quarter of the rows of a fold), as noise that drifts reaches across the border of a passage.
    runs : array of shape (n,), optional
    ordered : bool, optional
        Rows stand in an order in time; by default where a column says so. False: the order was random for each subject.
    allow_leaky : bool
        Take a shuffled split of ordered items after all; every score is marked.
    kind : str
        "items" or "time".
    reach : int
        Rows that the delays of features reach.

    Raises
    ------
    BraindecError
        If several columns could be meant, or a split puts neighbours on both sides.
    """
    whole(n_folds, "n_folds", least=2)
    n, candidates = len(rows), group_columns(rows)
    if ordered is None:
        ordered = kind == "time" or bool(candidates) or any(c in rows and rows[c].notna().any() for c in _ORDER)
    ids = _ids(rows)
    together, by = _together(rows, groups, split, candidates, kind, runs)
    if isinstance(split, str):
        splits, by, together = _named(rows, split, together, by, n_folds, buffer, runs, ids, ordered, reach, kind)
    else:
        splits = list(split) if isinstance(split, Sequence) else []
        _check_splits(splits, n)
        by = by or splits[0].by
    unnamed = together is None and ordered
    if together is None:
        together = _blocks_of(n, runs, n_folds) if by == "time" else ids
    neighbours = _belongs(together, candidates, ordered)
    share = _near(splits, neighbours, runs)
    repeated = kind == "items" and _straddles(splits, rows["stimulus_id"].to_numpy(dtype=object))
    if repeated and not allow_leaky:
        raise BraindecError("repetitions of one stimulus stand on both sides of the split",
                            found="the response to a stimulus would be predicted from other responses to it, by any model that can tell stimuli apart",
                            fix='split="stimulus_id", or average=True; allow_leaky=True marks every score as leaky')  # fmt: skip
    leaky = repeated or (ordered and share > _NEAR) or _straddles(splits, together)
    if leaky and not allow_leaky:
        ways = [f'split="{c}"' for c in candidates] or (['split="run"'] if runs is not None else [])
        out = " or ".join([*ways, 'split="time"'])
        raise BraindecError(
            "the split puts neighbouring items of one text on both sides" if candidates else "the split puts neighbours in time on both sides",
            found=f"{share:.0%} of the test rows have a training row beside them: {_WHY}",
            fix=f"{out}; ordered=False where the order was random; allow_leaky=True marks every score as leaky",
        )  # fmt: skip
    notes = []
    if isinstance(split, str) and len(splits) < n_folds:
        notes.append(f"{n_folds} folds were asked for and {len(splits)} can be made: each {by} is held out in turn.")
    if leaky:
        notes.append(f"LEAKY SPLIT, allowed by the caller: {share:.0%} of the test rows have a training row of the same text beside them. Scores say "
                     "nothing about what the units represent.")  # fmt: skip
    return Held(splits, np.asarray(together), by, bool(ordered), bool(leaky), notes, bool(unnamed))


def _together(
    rows: pd.DataFrame, groups: Any, split: Any, candidates: Mapping[str, np.ndarray], kind: str, runs: np.ndarray | None
) -> tuple[np.ndarray | None, str]:  # fmt: skip
    """Labels of what belongs together and what to call them; None where nothing is said."""
    if isinstance(groups, str):
        return _column(rows, groups), groups
    if groups is not None:
        if not np.iterable(groups):
            raise BraindecError(f"groups={groups!r} name no rows", allowed=f"a column, or one label for each of {len(rows)} rows")  # fmt: skip
        labels = np.asarray(groups).astype(str)
        if labels.shape != (len(rows),):
            raise BraindecError(
                "groups need one label for each row", found=f"shape {labels.shape} for {len(rows)} rows"
            )
        return labels, "groups"
    if kind == "time":
        labels = rows["content"].to_numpy(dtype=object).astype(str) if "content" in rows else runs
        return (
            (None, "")
            if labels is None or len(set(labels.tolist())) < 2
            else (np.asarray(labels).astype(str), "content" if "content" in rows else "run")
        )
    if isinstance(split, str) and split in rows:
        return _column(rows, split), split
    if len(candidates) > 1 and split == "auto":
        told = ", ".join(f"{name} ({codes.max() + 1} groups)" for name, codes in candidates.items())
        raise BraindecError("which items belong together? Several columns could say", found=told,
                            fix=" or ".join(f'split="{name}"' for name in candidates))  # fmt: skip
    if len(candidates) == 1:
        name = next(iter(candidates))
        return _column(rows, name), name
    if rows["stimulus_id"].duplicated().any():
        return rows["stimulus_id"].to_numpy(dtype=object).astype(str), "stimulus_id"
    return None, ""


def _named(
    rows: pd.DataFrame, split: str, together: np.ndarray | None, by: str, n_folds: int, buffer: int | None,
    runs: np.ndarray | None, ids: np.ndarray, ordered: bool, reach: int, kind: str,
) -> tuple[list[Split], str, np.ndarray | None]:  # fmt: skip
    """Folds by name."""
    n = len(rows)
    width = (max(reach, min(_BORDER, n // (4 * n_folds))) if ordered else 0) if buffer is None else buffer
    if split.lower() in _SHUFFLED:
        order = np.random.default_rng(0).permutation(n)
        tests = [np.sort(order[k::n_folds]) for k in range(n_folds)]
        made = [(np.setdiff1d(np.arange(n), t), t) for t in tests]
        return _splits(made, "shuffled", ids), "shuffled", together
    if split not in ("auto", "time", "run") and split not in rows:
        raise BraindecError(f"the items have no column {split!r} to split by{did_you_mean(split, rows.columns)}",
                            allowed=", ".join(["auto", "time", *map(str, rows.columns)]))  # fmt: skip
    if split == "run" and kind == "items" and runs is not None:
        together, by = runs.astype(str), "run"
    if together is not None and split != "time":
        count = len(set(together.tolist()))
        if count < 2:
            raise BraindecError(f"all rows have one {by}: nothing can be held out by it", fix='split="time"')
        return (
            _splits(group_folds(together, min(n_folds, count), buffer=width, order=runs), by, ids),
            by,
            together,
        )
    if not ordered:
        return _splits(group_folds(ids, min(n_folds, n)), "stimulus_id", ids), "stimulus_id", ids
    return _splits(contiguous_folds(n, n_folds, runs=runs, buffer=width), "time", ids), "time", together


def _splits(folds: Sequence[tuple[np.ndarray, np.ndarray]], by: str, ids: np.ndarray) -> list[Split]:
    none = np.empty(0, dtype=int)
    return [Split(a, none, b, by=by, ids=ids, name=f"fold {k + 1} of {len(folds)}") for k, (a, b) in enumerate(folds)]


def _belongs(together: np.ndarray, candidates: Mapping[str, np.ndarray], ordered: bool) -> np.ndarray:
    """What two neighbours must share to count as such: their finest text, or anything where rows are ordered alone."""
    if candidates:
        return max(candidates.values(), key=lambda codes: int(codes.max()))
    return np.zeros(len(together), dtype=int) if ordered else np.arange(len(together))


def _near(splits: Sequence[Split], belongs: np.ndarray, runs: np.ndarray | None) -> float:
    """Share of test rows that have a training row directly beside them, in the same text and run."""
    n = len(belongs)
    beside = belongs[1:] == belongs[:-1]
    if runs is not None:
        beside &= np.asarray(runs)[1:] == np.asarray(runs)[:-1]
    near = total = 0
    for split in splits:
        train = np.zeros(n, dtype=bool)
        train[split.train] = True
        close = np.zeros(n, dtype=bool)
        close[1:] |= train[:-1] & beside
        close[:-1] |= train[1:] & beside
        near, total = near + int(close[split.test].sum()), total + len(split.test)
    return near / max(total, 1)


def _straddles(splits: Sequence[Split], together: np.ndarray) -> bool:
    """Whether most groups of more than one row stand on both sides."""
    names, counts = np.unique(together.astype(str), return_counts=True)
    several = set(names[counts > 1].tolist())
    if not several:
        return False
    labels, both = together.astype(str), 0
    for split in splits:
        both += len(set(labels[split.test].tolist()) & set(labels[split.train].tolist()) & several)
    return both > _NEAR * len(several)


def _blocks_of(n: int, runs: np.ndarray | None, n_folds: int) -> np.ndarray:
    """Contiguous pieces that inner folds hold out together: some for each outer fold."""
    return (np.arange(n) * 4 * n_folds // n).astype(str)


def _column(rows: pd.DataFrame, name: str) -> np.ndarray:
    if name not in rows:
        raise BraindecError(
            f"the items have no column {name!r}{did_you_mean(name, rows.columns)}",
            allowed=", ".join(map(str, rows.columns)),
        )
    if rows[name].isna().any():
        raise BraindecError(f"{int(rows[name].isna().sum())} of {len(rows)} rows have no {name}")
    return rows[name].astype(str).to_numpy(dtype=object).astype(str)


def _ids(rows: pd.DataFrame) -> np.ndarray:
    if "window_id" in rows:
        return rows["window_id"].to_numpy(dtype=object)
    if rows["stimulus_id"].is_unique:
        return rows["stimulus_id"].to_numpy(dtype=object)
    return np.array([f"{s}#{k}" for k, s in enumerate(rows["stimulus_id"])], dtype=object)


def _check_splits(splits: Sequence[Split], n: int) -> None:
    if not splits or not all(isinstance(s, Split) for s in splits):
        raise BraindecError("there are no folds to align in", allowed='"auto", a column, or a list of Split')
    for split in splits:
        if len(split.ids) != n:
            raise BraindecError(
                f"{split.name or 'a split'} was made for other rows", found=f"{len(split.ids)} rows, the brain has {n}"
            )
