"""One block of targets through all folds: held-out scores of the model, of the model without each band, and of controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindec.align.refit_null import CONSTANT, NullFold
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.ridge import pearson
from braindec.types import FitRecord, Split

__all__ = ["BlockScores", "Task", "held_out_units", "score_block"]

_UNITS = 8  # held-out pieces wanted at least for an interval
_PIECE = 10  # rows of such a piece at least


@dataclass(frozen=True, eq=False)
class Task:
    """What every block of targets goes through.

    Parameters
    ----------
    encoder : VoxelwiseEncoder
        Not fitted; cloned.
    bands : dict of str to array of shape (n, p_band)
    splits : sequence of Split
    runs, groups : array of shape (n,) or None
    units : list of list of array
        For each fold the pieces of its test rows over which intervals are made (row numbers).
    unique : sequence of str
        Bands that are left out in turn.
    controls : dict of str to (encoder, bands)
        Other models for the control rows.
    """

    encoder: VoxelwiseEncoder
    bands: Mapping[str, np.ndarray]
    splits: Sequence[Split]
    runs: np.ndarray | None
    groups: np.ndarray | None
    units: Sequence[Sequence[np.ndarray]]
    unique: Sequence[str] = ()
    controls: Mapping[str, tuple[VoxelwiseEncoder, Mapping[str, np.ndarray]]] = field(default_factory=dict)


@dataclass(eq=False)
class BlockScores:
    """Scores of one block of targets.

    Parameters
    ----------
    values : dict of str to array of shape (n_targets,)
        Means over folds: "r", "r2", "split_r2/BAND", "unique_r2/BAND", "control/NAME".
    by_fold : dict of str to array of shape (n_folds, n_targets)
    units : dict of str to array of shape (n_units, n_targets)
        The same scores of each held-out piece.
    fold_of : array of int, shape (n_units,)
        Fold of each piece.
    folds : list of NullFold
        For the surrogates.
    edge : dict of str to int
        Targets and folds whose penalty is the lowest or highest of the grid, and how many there are.
    skipped : array of bool, shape (n_targets,)
    records : list of list of FitRecord
    notes : list of str
    """

    values: dict[str, np.ndarray]
    by_fold: dict[str, np.ndarray]
    units: dict[str, np.ndarray]
    fold_of: np.ndarray
    folds: list[NullFold]
    edge: dict[str, int]
    skipped: np.ndarray
    records: list[list[FitRecord]]
    notes: list[str]


def held_out_units(
    splits: Sequence[Split], runs: np.ndarray | None, stimuli: np.ndarray | None = None
) -> list[list[np.ndarray]]:
    """Pieces of the test rows of each fold over which intervals are made.

    Runs, cut into contiguous pieces where there are fewer than 8 in all; runs of which a fold holds fewer than 10 rows go
    together with the next one, as a correlation of a few rows says nothing. With ``stimuli`` (single trials) whose
    repetitions are held out together, pieces are groups of whole stimuli: what features miss of a stimulus comes back in
    each of its repetitions, so that runs are not independent of one another.
    """
    whole = []
    for split in splits:
        rows = np.asarray(split.test)
        shown = None if stimuli is None else stimuli[rows]
        if shown is not None and not set(shown) & set(stimuli[split.train]) and "" not in shown:
            whole.append(_by_stimulus(rows, shown))
            continue
        labels = np.zeros(len(rows)) if runs is None else np.asarray(runs).astype(str)[rows]
        edges = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
        whole.append(_long_enough(np.split(rows, edges[1:])))
    total = sum(len(w) for w in whole)
    if total >= _UNITS or stimuli is not None:
        return whole
    pieces = -(-_UNITS // total)
    return [[p for w in fold for p in np.array_split(w, max(1, min(pieces, len(w) // _PIECE)))] for fold in whole]


def _by_stimulus(rows: np.ndarray, shown: np.ndarray) -> list[np.ndarray]:
    """Groups of whole stimuli, as they were first shown, of 10 rows or more on average and at most 8 a fold."""
    _, first, code = np.unique(shown.astype(str), return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))[code.reshape(-1)]
    count = max(1, min(_UNITS, len(rows) // _PIECE, len(first)))
    return [rows[np.isin(order, group)] for group in np.array_split(np.arange(len(first)), count)]


def _long_enough(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Neighbouring pieces put together until each has 10 rows, where any is shorter."""
    out: list[np.ndarray] = []
    for piece in pieces:
        if out and len(out[-1]) < _PIECE:
            out[-1] = np.concatenate([out[-1], piece])
        else:
            out.append(piece)
    if len(out) > 1 and len(out[-1]) < _PIECE:
        last = out.pop()
        out[-1] = np.concatenate([out[-1], last])
    return out


def score_block(task: Task, Y: np.ndarray) -> BlockScores:
    """Fit and score one block of targets in every fold.

    Parameters
    ----------
    Y : array of shape (n, n_targets)
        All rows of these targets.
    """
    from sklearn.base import clone

    sums: dict[str, list[np.ndarray]] = {}
    units: dict[str, list[np.ndarray]] = {}
    fold_of = np.repeat(np.arange(len(task.units)), [len(u) for u in task.units])
    out = BlockScores(
        {}, {}, {}, fold_of, [], {"lowest": 0, "highest": 0, "of": 0}, np.zeros(Y.shape[1], dtype=bool), [], []
    )

    for fold, split in enumerate(task.splits):
        seen = np.asarray(Y[split.test])
        pieces = [np.searchsorted(split.test, rows) for rows in task.units[fold]]

        def add(name: str, score: Any, pieces: Any = pieces, n: int = len(seen)) -> None:
            sums.setdefault(name, []).append(score(np.arange(n)))
            units.setdefault(name, []).extend(score(rows) for rows in pieces)

        how = {"runs": task.runs, "groups": task.groups, "ids": split.ids, "rows": split.train}
        test = {"runs": task.runs, "rows": split.test}
        fitted = clone(task.encoder).fit(task.bands, Y, **how)
        full, parts = fitted.predict(task.bands, **test), fitted.predict_bands(task.bands, **test)
        add("r", lambda k, Y=seen, P=full: correlation(Y[k], P[k]))
        levels = fitted.band_means(task.bands, **{**test, "rows": split.train})
        parts = {k: v - levels[k] for k, v in parts.items()}
        base = (fitted.intercept_ + sum(levels.values())).astype(seen.dtype)  # the training mean: it belongs to no band
        without = seen - base
        add("r2", lambda k, Y=without, P=full - base: explained(Y[k], P[k]))
        for name in parts:
            add(
                f"split_r2/{name}",
                lambda k, Y=without, B=parts, b=name: split_explained(Y[k], {i: v[k] for i, v in B.items()})[b],
            )
        for name in task.unique:
            rest = {k: v for k, v in task.bands.items() if k != name}
            less = clone(task.encoder).fit(rest, Y, **how).predict(rest, **test) if rest else None
            add(
                f"unique_r2/{name}",
                lambda k, Y=without, P=full - base, L=None if less is None else less - base: (
                    explained(Y[k], P[k]) - (0.0 if L is None else explained(Y[k], L[k]))
                ),
            )
        for name, (encoder, bands) in task.controls.items():
            other = clone(encoder).fit(bands, Y, **how).predict(bands, **test)
            add(f"control/{name}", lambda k, Y=seen, P=other: correlation(Y[k], P[k]))
        out.folds.append(_null_fold(fitted, split, len(task.bands)))
        out.skipped |= np.asarray(fitted.fit_.skipped)
        for side in ("lowest", "highest"):
            out.edge[side] += int(fitted.fit_.at_edge[side])
        out.edge["of"] += int((~np.asarray(fitted.fit_.skipped)).sum())
        out.records.append(list(fitted.fit_records_))
        out.notes += [f"{split.name or f'fold {fold + 1}'}: {note}" for note in fitted.notes_]
    out.by_fold = {name: np.stack(values) for name, values in sums.items()}
    out.values = {name: values.mean(axis=0) for name, values in out.by_fold.items()}
    out.units = {name: np.stack(values) for name, values in units.items()}
    return out


def explained(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Share of the squared deviations from the training mean that a prediction explains (out-of-sample R2).

    Both are deviations from the training mean, (row, target); NaN for targets without deviations. The mean of the test rows
    themselves, the usual baseline, is not known to a model, and in folds of a few rows it makes R2 meaningless.
    """
    total = (Y.astype(np.float64) ** 2).sum(axis=0)
    left = ((Y - P).astype(np.float64) ** 2).sum(axis=0)
    return 1.0 - np.divide(left, total, out=np.full(total.shape, np.nan), where=total > 0)


def split_explained(Y: np.ndarray, parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parts of bands in :func:`explained` by the product measure; they add up to that of the sum of the bands."""
    total = (Y.astype(np.float64) ** 2).sum(axis=0)
    twice = 2.0 * Y.astype(np.float64) - np.sum(list(parts.values()), axis=0, dtype=np.float64)
    return {
        name: np.divide((twice * part).sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0)
        for name, part in parts.items()
    }


def correlation(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Correlation of each target; 0 where the target varies and the prediction does not, NaN for constant targets."""
    r, spread = np.asarray(pearson(Y, P), dtype=np.float64), Y.std(axis=0)
    known = np.isfinite(spread) & (np.ptp(Y, axis=0) > 0) & np.isfinite(P).all(axis=0)
    return np.where(known & (P.std(axis=0) <= CONSTANT * spread), 0.0, r)


def _null_fold(fitted: VoxelwiseEncoder, split: Split, n_bands: int) -> NullFold:
    fit = fitted.fit_
    gamma = getattr(fit, "gamma", None)
    draws = np.ones((1, n_bands)) if gamma is None else np.asarray(fit.gammas)
    return NullFold(split.train, split.test, fitted.folds_, np.asarray(fit.alphas), draws, np.asarray(fit.alpha),
                    None if gamma is None else np.asarray(gamma))  # fmt: skip
