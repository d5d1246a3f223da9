"""Splits: rows for training, validation and test, by run, session, subject, content, or contiguous blocks of time.

Windows of one continuous signal are alike because they are close in time; dealing them out at random puts near
copies of the test rows into training. So rows are split by whole groups, and a shuffled split of ordered data is
refused. Content is split by a hash of its name, so that the same stimulus is in the same part for every subject.

Source: Xu et al. 2024 (arXiv 2405.17024) and Li et al. 2021 (TPAMI, "The perils and pitfalls of block design") on
what shuffled windows do; Roberts et al. 2017 (Ecography) on blocked cross-validation; the hash follows the idea of
Défossez et al. 2023, section "Datasets".
"""

from __future__ import annotations

import hashlib
import unicodedata

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._rows import Rows, content_text, distance_to, group_names, rows_of
from braindec.types import Split, Windows

_SHUFFLED = {"shuffled", "shuffle", "random", "randomly", "kfold", "k-fold", "k_fold", "stratified", "stratifiedkfold",
             "stratified_kfold", "shufflesplit", "shuffle_split", "stratifiedshufflesplit", "train_test_split", "iid",
             "loo", "leaveoneout", "leave_one_out", "trial", "window", "row", "window_id", "onset", "sample",
             "event_index"}  # fmt: skip
_ORDERED = ("onset", "sample", "run", "session", "event_index", "block", "time", "repetition")
_MOST_FOLDS = 1000

__all__ = ["content_folds", "content_split", "inner", "split_by"]


def split_by(
    windows: Windows | pd.DataFrame,
    by: str,
    *,
    n_folds: int | None = None,
    gap: float = 0.0,
    validation: float = 0.0,
    seed: int = 0,
) -> list[Split]:
    """Split rows by a key into cross-validation folds.

    Parameters
    ----------
    windows : Windows or DataFrame
        What is split; a table of trials has its rows named by ``window_id`` or numbered.
    by : str
        "run" (within subject and session), "session" (within subject), "subject", "stimulus_id", "concept_id", any
        other column of the trials (a column of block numbers, for example), or "time": contiguous blocks in order
        of onset, within each subject.
    n_folds : int, optional
        Number of folds; by default one value of the key is left out at a time. "time" needs it.
    gap : float
        Training and validation rows closer than this (s) to a test row of the same recording are left out, and
        training rows that close to a validation row.
    validation : float
        Share of the training groups (for "time": of the training rows) that become the validation part.
    seed : int
        Deals groups to folds and to validation.

    Returns
    -------
    list of Split
        One a fold; every row is tested exactly once.

    Raises
    ------
    BraindecError
        If the key is missing or has one value, there are more folds than groups, the gap removes all training rows,
        or a shuffled split is asked for rows that have an order in time.

    Examples
    --------
    >>> trials = pd.DataFrame({"run": ["1", "1", "2", "2", "3", "3"], "trial_type": list("ababab")})
    >>> [s.name for s in split_by(trials, "run")]
    ['run-1', 'run-2', 'run-3']
    """
    rows = rows_of(windows)
    _check_numbers(rows, n_folds, gap, validation)
    if str(by).lower().replace(" ", "_") in _SHUFFLED:
        by = _refuse_shuffled(rows, by)
        n_folds = n_folds or 5
    if by == "time":
        return _time_folds(rows, n_folds, gap=gap, validation=validation)
    groups = _groups(rows, by)
    names, code = np.unique(groups, return_inverse=True)
    fold_of_group, labels = _deal(names, np.bincount(code), n_folds, by=by, seed=seed)
    splits = []
    for fold, label in enumerate(labels):
        test = np.flatnonzero(fold_of_group[code] == fold)
        train_groups = np.flatnonzero(fold_of_group != fold)
        held = _validation_groups(train_groups, validation, by=by, rng=np.random.default_rng([seed, fold]))
        inside = np.isin(code, held)
        train = np.flatnonzero((fold_of_group[code] != fold) & ~inside)
        splits.append(_make(rows, train, np.flatnonzero(inside), test, by=by, name=label, gap=gap))
    return splits


def content_split(
    windows: Windows | pd.DataFrame, column: str, *, test: float = 0.2, validation: float = 0.1, seed: int = 0
) -> Split:
    """Split by a hash of the content: the same stimulus goes to the same part for every subject and cohort.

    Parameters
    ----------
    windows : Windows or DataFrame
        What is split.
    column : str
        Column that names the content ("stimulus_id", "concept_id", a sentence, ...).
    test, validation : float
        Expected share of contents in each part; the hash decides, so real shares differ a little.
    seed : int
        Another seed is another split.

    Raises
    ------
    BraindecError
        If the column is missing, or the hash leaves a part empty.
    """
    rows = rows_of(windows)
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise BraindecError(
            "shares of a content split must leave something to train on", found=f"test={test}, validation={validation}",
            allowed="0 < test, 0 <= validation, test + validation < 1",
        )  # fmt: skip
    values = _content(rows, column)
    names, code = np.unique(values, return_inverse=True)
    place = np.array([_hash(v, seed) for v in names])
    part = np.where(place < test, 2, np.where(place < test + validation, 1, 0))
    counts = np.bincount(part, minlength=3)
    if not counts[0] or not counts[2] or (validation and not counts[1]):
        raise BraindecError(
            f"the hash of {column!r} leaves a part empty",
            found=f"{len(names)} values: {counts[0]} train, {counts[1]} validation, {counts[2]} test",
            fix=f"too few values for these shares: use split_by(windows, {column!r}, n_folds=...), or another seed",
        )
    rows_by_part = [np.flatnonzero(part[code] == p) for p in range(3)]
    return Split(*rows_by_part, by=column, ids=rows.ids, name=f"hash of {column}, seed {seed}")


def content_folds(
    windows: Windows | pd.DataFrame, column: str, *, n_folds: int = 5, validation: float = 0.0, seed: int = 0
) -> list[Split]:
    """Split by a hash of the content into folds; a content is in the same fold for every subject and cohort.

    Folds differ a little in size; :func:`split_by` with ``n_folds`` makes them equal, for one cohort only.

    Raises
    ------
    BraindecError
        If the column is missing, or a fold is empty.
    """
    rows = rows_of(windows)
    _check_numbers(rows, n_folds, 0.0, validation)
    values = _content(rows, column)
    names, code = np.unique(values, return_inverse=True)
    fold = np.floor(np.array([_hash(v, seed) for v in names]) * n_folds).astype(int)
    if len(np.unique(fold)) < n_folds:
        raise BraindecError(
            f"the hash of {column!r} leaves a fold empty", found=f"{len(names)} values for {n_folds} folds",
            fix=f"use fewer folds, or split_by(windows, {column!r}, n_folds={n_folds})",
        )  # fmt: skip
    inner_place = np.array([_hash(v, f"{seed} validation") for v in names])
    splits = []
    for k in range(n_folds):
        held = (inner_place < validation) & (fold != k)
        if validation and not held.any():
            raise BraindecError(f"the hash of {column!r} leaves the validation part empty", fix="raise validation=")
        train = np.flatnonzero(((fold != k) & ~held)[code])
        name = f"fold {k + 1} of {n_folds}"
        splits.append(
            Split(
                train, np.flatnonzero(held[code]), np.flatnonzero((fold == k)[code]), by=column, ids=rows.ids, name=name
            )
        )
    return splits


def inner(
    split: Split,
    windows: Windows | pd.DataFrame,
    *,
    by: str | None = None,
    n_folds: int | None = None,
    gap: float | None = None,
    seed: int = 0,
) -> list[Split]:
    """Split the training rows of ``split`` again, to choose settings without its test rows (nested cross-validation).

    Row numbers of the result are those of ``windows``; its test rows lie inside ``split.train``. The key and the gap
    are those of ``split`` unless they are given.
    """
    rows = rows_of(windows)
    if len(rows) != len(split.ids) or not np.array_equal(rows.ids.astype(str), split.ids.astype(str)):
        raise BraindecError("the split was made for other windows", found=f"{len(split.ids)} and {len(rows)} rows")
    part = (
        windows[split.train]
        if isinstance(windows, Windows)
        else rows.trials.assign(window_id=rows.ids).iloc[split.train]
    )
    nested = split_by(part, by or split.by, n_folds=n_folds, gap=split.gap if gap is None else gap, seed=seed)
    back = split.train
    return [
        Split(back[s.train], back[s.validation], back[s.test], by=s.by, ids=split.ids, gap=s.gap,
              name=f"{split.name} / {s.name}")
        for s in nested
    ]  # fmt: skip


def _check_numbers(rows: Rows, n_folds: int | None, gap: float, validation: float) -> None:
    if n_folds is not None and (n_folds != int(n_folds) or n_folds < 2):
        raise BraindecError("n_folds must be a whole number of at least 2", found=repr(n_folds))
    if not 0 <= validation < 1:
        raise BraindecError(
            "validation is a share of the training part", found=repr(validation), allowed="0 <= validation < 1"
        )
    if not gap >= 0:
        raise BraindecError("gap is a time in s", found=repr(gap), allowed="0 or more")
    if gap > 0 and not rows.timed:
        raise BraindecError(
            f"a gap of {gap:g} s needs the time of every row", found="the trials have no column onset (s), or it has holes",
            fix="add onset (s from the start of its recording) to the trials, or leave gap out",
        )  # fmt: skip


def _refuse_shuffled(rows: Rows, by: str) -> str:
    """Raise unless the rows are distinct items without any order in time; then they are split by item."""
    signs = [c for c in _ORDERED if rows.column(c) is not None]
    content = rows.column("stimulus_id")
    if rows.windows is None and not signs and content is not None and len(set(content)) == len(rows):
        return "stimulus_id"
    why = f"columns {', '.join(signs)}" if signs else "rows in the order of recording"
    ways = [f'by="{c}"' for c in ("run", "session", "stimulus_id", "concept_id") if _several(rows, c)]
    if rows.timed or rows.windows is not None or signs:
        ways.append('by="time", n_folds=5, gap=... (contiguous blocks)')
    raise BraindecError(
        f"by={by!r} would deal neighbouring windows of one signal to training and test",
        found=f"data with an order in time ({why}): noise that drifts slowly makes neighbours alike, and a decoder of "
        "pure noise then scores far above chance",
        fix="split by " + (" or ".join(ways) or 'by="time", n_folds=5'),
    )


def _several(rows: Rows, column: str) -> bool:
    values = rows.column(column)
    return values is not None and len(set(values)) > 1


def _groups(rows: Rows, by: str) -> np.ndarray:
    """Group of each row, checked: the column is there, complete, and has several values."""
    _check_column(rows, by)
    groups = group_names(rows, by)
    if len(set(groups)) < 2:
        column = rows.trials[by].iloc[0]
        raise BraindecError(
            f"cannot split by {by!r}: all {len(rows)} rows have one value", found=f"{by} = {column!r}",
            fix='use by="time", n_folds=5 (contiguous blocks), or a column with several values: '
            + (", ".join(c for c in rows.trials.columns if c != "window_id" and 1 < rows.trials[c].nunique() <= len(rows) // 2)
               or "none here"),
        )  # fmt: skip
    return groups


def _check_column(rows: Rows, by: str) -> None:
    columns = [str(c) for c in rows.trials.columns]
    if by not in columns:
        raise BraindecError(
            f"cannot split by {by!r}: the trials have no such column{did_you_mean(str(by), columns)}",
            allowed=", ".join(["time", *(c for c in columns if c != "window_id")]),
            fix="recordings of one run are split in time: by 'time', with n_folds=5 and a gap in s",
        )
    missing = rows.trials[by].isna().to_numpy()
    if missing.any():
        raise BraindecError(
            f"cannot split by {by!r}: {int(missing.sum())} of {len(rows)} rows have no value there",
            found=f"first: {rows.ids[np.flatnonzero(missing)[0]]}",
            fix="fill the column, or leave these rows out"
            if not missing.all() else 'use another column, or by="time" with n_folds',
        )  # fmt: skip


def _deal(
    names: np.ndarray, sizes: np.ndarray, n_folds: int | None, *, by: str, seed: int
) -> tuple[np.ndarray, list[str]]:
    """Give each group a fold: its own, or (largest group first, to the smallest fold) one of ``n_folds``."""
    if n_folds is None:
        if len(names) > _MOST_FOLDS:
            raise BraindecError(
                f"leaving one {by} out at a time would make {len(names)} folds",
                fix="give n_folds, for example n_folds=5",
            )
        return np.arange(len(names)), [str(n) for n in names]
    if n_folds > len(names):
        raise BraindecError(
            f"{n_folds} folds by {by!r} need {n_folds} groups", found=f"{len(names)}: {', '.join(map(str, names[:8]))}",
            fix=f"use n_folds={len(names)} or fewer, or leave it out to leave one out at a time",
        )  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of_group, load = np.empty(len(names), dtype=int), np.zeros(n_folds)
    taken = np.zeros(n_folds)
    for group in order:
        fold = np.lexsort((taken, load))[0]
        fold_of_group[group] = fold
        load[fold] += sizes[group]
        taken[fold] += 1
    return fold_of_group, [f"fold {k + 1} of {n_folds}" for k in range(n_folds)]


def _validation_groups(groups: np.ndarray, share: float, *, by: str, rng: np.random.Generator) -> np.ndarray:
    if not share:
        return groups[:0]
    if len(groups) < 2:
        raise BraindecError(
            f"a validation part by {by!r} needs at least 2 groups beside the test group", found=f"{len(groups)}",
            fix="leave validation out, or split by something with more values",
        )  # fmt: skip
    n = min(max(1, round(share * len(groups))), len(groups) - 1)
    return rng.permutation(groups)[:n]


def _time_folds(rows: Rows, n_folds: int | None, *, gap: float, validation: float) -> list[Split]:
    """Contiguous blocks in order of time within each subject; block k of every subject is tested in fold k."""
    if n_folds is None:
        raise BraindecError('by="time" needs n_folds', fix="for example n_folds=5")
    subject = rows.column("subject")
    code = np.zeros(len(rows), dtype=int) if subject is None else np.unique(subject, return_inverse=True)[1]
    sizes = np.bincount(code)
    if sizes.min() < n_folds:
        raise BraindecError(
            f"{n_folds} blocks of time need as many rows", found=f"{sizes.min()} rows", fix="use fewer folds"
        )
    place = np.empty(len(rows))  # 0 to 1 along the subject's time
    for s in range(len(sizes)):
        mine = rows.order[code[rows.order] == s]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    fold = np.minimum((place * n_folds).astype(int), n_folds - 1)
    splits = []
    for k in range(n_folds):
        inside = np.zeros(len(rows), dtype=bool)
        if validation:  # at the far end, where it touches training on one side only
            span = validation * (1 - 1 / n_folds)
            inside = place >= 1 - span if k < n_folds - 1 else place < span
            inside &= fold != k
            if not inside.any() or not ((fold != k) & ~inside).any():
                raise BraindecError(
                    "validation leaves a part empty", found=f"validation={validation}, {len(rows)} rows"
                )
        train = np.flatnonzero((fold != k) & ~inside)
        name = f"block {k + 1} of {n_folds}"
        splits.append(
            _make(rows, train, np.flatnonzero(inside), np.flatnonzero(fold == k), by="time", name=name, gap=gap)
        )
    return splits


def _make(
    rows: Rows, train: np.ndarray, validation: np.ndarray, test: np.ndarray, *, by: str, name: str, gap: float
) -> Split:
    """Apply the gap and build the split."""
    if gap > 0:
        to_test = distance_to(rows, train, test)
        kept = to_test >= gap - 1e-9
        held = distance_to(rows, validation, test) >= gap - 1e-9
        if not kept.any() or (len(validation) and not held.any()):
            raise BraindecError(
                f"a gap of {gap:g} s leaves nothing to {'train' if not kept.any() else 'validate'} on in {name}",
                found=f"the farthest training row is {to_test.max():.3g} s from a test row of its recording",
                fix="use a smaller gap, or fewer and longer blocks",
            )
        train, validation = train[kept], validation[held]
        if len(validation):
            train = train[distance_to(rows, train, validation) >= gap - 1e-9]
            if not len(train):
                raise BraindecError(
                    f"a gap of {gap:g} s around the validation rows leaves nothing to train on in {name}",
                    fix="use a smaller gap or a smaller validation part",
                )
    return Split(train, validation, test, by=by, ids=rows.ids, name=name, gap=gap)


def _content(rows: Rows, column: str) -> np.ndarray:
    _check_column(rows, column)
    return np.array([content_text(v) for v in rows.trials[column]], dtype=object)


def _hash(value: str, seed: int | str) -> float:
    """A number in [0, 1) that depends on the content and the seed only."""
    text = unicodedata.normalize("NFC", value)
    digest = hashlib.sha256(f"{seed}\n{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
