"""LatentRidge: ridge regression of very many targets in groups, each with its penalty, block by block.

Coefficients of 91,168 latents for 15,000 voxels take 5.5 GB: they may lie in a mapped file. Targets are read in blocks too.

Variance: predictions of ridge vary less than what they predict, and a generator that was trained on real latents does not know
such ones. ``gain`` stretches them around the mean by the spread of the training targets over the spread of predictions of
training rows that were held out. No row that is predicted later has a part in it, so one trial alone can be decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.ridge.folds import Fold, group_folds
from braindec.ridge.plain import RidgeFit, fit_ridge

__all__ = ["ItemRows", "LatentRidge"]

_BLOCK = 4096  # targets that are predicted at once


class ItemRows:
    """Targets of windows, (n_windows, n_targets), of which only blocks of columns are in memory.

    Parameters
    ----------
    source : array of shape (n_items, n_targets) or Signal
        Anything with ``read(rows, start, stop)`` is read by blocks.
    items : array of int, shape (n_items,)
        Rows of ``source`` that are used, rising.
    codes : array of int, shape (n_windows,)
        Which of ``items`` each window has.
    columns : slice
        Of ``source``.
    """

    def __init__(self, source: Any, items: np.ndarray, codes: np.ndarray, columns: slice) -> None:
        self.source, self.items, self.codes, self.columns = source, items, codes, columns
        self.shape = (len(codes), columns.stop - columns.start)

    def __getitem__(self, part: tuple[Any, slice]) -> np.ndarray:
        rows, columns = part
        start, stop, _ = columns.indices(self.shape[1])
        a, b = self.columns.start + start, self.columns.start + stop
        values = self.source.read(self.items, a, b) if hasattr(self.source, "read") else self.source[self.items, a:b]
        return np.asarray(values)[self.codes[rows]]

    def of(self, rows: np.ndarray) -> ItemRows:
        """The same of some windows."""
        return ItemRows(self.source, self.items, self.codes[rows], self.columns)


class LatentRidge:
    """Ridge regression of groups of targets.

    Parameters
    ----------
    alphas : sequence of (float, list of float or "auto")
        Penalty of each group; of several the one is taken that leaves the least squared error of the group in
        cross-validation.
    restore_variance : bool
        Stretch predictions to the spread of the training targets.
    n_folds : int
        Of cross-validation; rows of one stimulus stay together.
    folder : str or Path, optional
        Coefficients are kept in a mapped file there instead of in memory.

    Attributes
    ----------
    coef : array of shape (n_columns, n_targets), float32
    intercept, mean, spread, gain : array of shape (n_targets,), float32
        ``spread`` of the training targets; ``gain`` is 1 where nothing is restored.
    alpha : list of float
    """

    def __init__(
        self, alphas: Sequence[Any], *, restore_variance: bool = False, n_folds: int = 5, folder: str | Path | None = None
    ) -> None:  # fmt: skip
        self.alphas, self.restore_variance, self.n_folds, self.folder = list(alphas), restore_variance, n_folds, folder

    def fit(self, X: np.ndarray, groups: Sequence[ItemRows], *, stimuli: np.ndarray) -> LatentRidge:
        """Fit on training rows.

        Parameters
        ----------
        X : array of shape (n, n_columns), float32
        groups : sequence of ItemRows (n, n_targets of the group)
        stimuli : array of shape (n,)
            Rows of one stimulus are held out together.
        """
        n_targets = sum(g.shape[1] for g in groups)
        self.coef = self._room((X.shape[1], n_targets))
        self.intercept, self.mean, self.spread = (np.zeros(n_targets, np.float32) for _ in range(3))
        self.gain, self.alpha = np.ones(n_targets, np.float32), []
        folds = self._folds(stimuli) if self.restore_variance or any(_several(a) for a in self.alphas) else []
        start = 0
        for targets, alpha in zip(groups, self.alphas, strict=True):
            place = slice(start, start + targets.shape[1])
            self.mean[place], self.spread[place] = _moments(targets)
            chosen = _choose(X, targets, alpha, folds, self.spread[place])
            self.alpha.append(chosen)
            self._solve(X, targets, chosen, place)
            if self.restore_variance:
                held = _held_out_spread(X, targets, chosen, folds)
                varies = held > 1e-6 * self.spread[place]
                self.gain[place] = np.where(varies, self.spread[place] / np.where(varies, held, 1.0), 1.0)
            start = place.stop
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return predictions (n, n_targets), float32; a row's depends on that row alone."""
        out = np.empty((len(X), len(self.mean)), dtype=np.float32)
        for a in range(0, out.shape[1], _BLOCK):
            part = slice(a, min(a + _BLOCK, out.shape[1]))
            out[:, part] = X @ np.asarray(self.coef[:, part]) + self.intercept[part]
        if self.restore_variance:
            out -= self.mean
            out *= self.gain
            out += self.mean
        return out

    def _solve(self, X: np.ndarray, targets: ItemRows, alpha: float, place: slice) -> None:
        fitted = fit_ridge(X, targets, alphas=alpha, coef=False)
        for part, coef, intercept in _blocks(fitted, targets):
            inside = slice(place.start + part.start, place.start + part.stop)
            self.coef[:, inside], self.intercept[inside] = coef, intercept

    def _folds(self, stimuli: np.ndarray) -> list[Fold]:
        names, codes = np.unique(stimuli, return_inverse=True)
        n = min(self.n_folds, len(names))
        if n < 2:
            raise BraindecError(
                "a penalty or a spread is estimated by holding stimuli out", found=f"{len(names)} stimuli, {n} folds",
                fix="give alpha a number, and restore_variance=False",
            )  # fmt: skip
        part = np.random.default_rng(0).permutation(len(names))[codes] % n
        return group_folds(part, n)

    def _room(self, shape: tuple[int, int]) -> np.ndarray:
        if self.folder is None:
            return np.empty(shape, dtype=np.float32)
        path = Path(self.folder)
        path.mkdir(parents=True, exist_ok=True)
        return np.lib.format.open_memmap(path / "coefficients.npy", mode="w+", dtype=np.float32, shape=shape)


def _blocks(fitted: RidgeFit, targets: ItemRows) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Coefficients and intercepts, block by block; constant targets are predicted as they are."""
    linear = fitted.linear
    for part, coef in linear._blocks():
        never = fitted.skipped[part]
        coef = np.where(never, 0.0, coef)
        intercept = linear.y_mean[part] - linear.x_mean @ coef
        yield part, coef, np.where(never, targets[0:1, part][0], intercept)


def _choose(X: np.ndarray, targets: ItemRows, alpha: Any, folds: list[Fold], spread: np.ndarray) -> float:
    """The penalty of a group; of several, that of the least squared error of the whole group."""
    if not _several(alpha):
        if isinstance(alpha, bool) or not np.isfinite(alpha) or alpha <= 0:
            raise BraindecError("a ridge penalty must be a positive number", found=repr(alpha))
        return float(alpha)
    found = fit_ridge(X, targets, alphas=alpha, folds=folds, coef=False)
    used = ~found.skipped
    if not used.any():
        return float(found.alphas[-1])
    explained = found.cv_scores[:, used] @ (spread[used].astype(np.float64) ** 2)
    return float(found.alphas[int(np.argmax(explained))])


def _held_out_spread(X: np.ndarray, targets: ItemRows, alpha: float, folds: list[Fold]) -> np.ndarray:
    """Standard deviation of predictions of training rows by fits that did not see their stimuli, (n_targets,).

    A fold has fewer rows than the whole, and the penalty is lowered in proportion, so that it shrinks as much.
    """
    n, n_targets = targets.shape
    total, squares, count = np.zeros(n_targets), np.zeros(n_targets), 0
    for train, test in folds:
        fitted = fit_ridge(X[train], targets.of(train), alphas=alpha * len(train) / n, coef=False)
        count += len(test)
        for part, coef, intercept in _blocks(fitted, targets.of(train)):
            made = X[test] @ coef + intercept
            total[part] += made.sum(axis=0)
            squares[part] += np.einsum("ij,ij->j", made, made, dtype=np.float64)
    return np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0))


def _moments(targets: ItemRows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over rows, block by block."""
    n, n_targets = targets.shape
    mean, spread = np.empty(n_targets), np.empty(n_targets)
    for a in range(0, n_targets, _BLOCK):
        part = slice(a, min(a + _BLOCK, n_targets))
        values = np.asarray(targets[:, part], dtype=np.float64)
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values).all(axis=1)).sum())
            raise BraindecError("targets of the ridge hold values that are not finite", found=f"in {bad} of {n} rows")
        mean[part], spread[part] = values.mean(axis=0), values.std(axis=0)
    return mean, spread


def _several(alpha: Any) -> bool:
    return isinstance(alpha, (str, list, tuple, np.ndarray))
