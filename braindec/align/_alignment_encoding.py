"""Encoding scores of a layer, for the responses and all their surrogates at once.

For fixed features, penalty and rows, ridge regression is a linear map of the training responses to predictions of held-out
rows. The map is made once (one eigendecomposition a fold) and applied to the responses and to every surrogate, so that a
null of 200 refits costs a matrix product. What features add to nuisance is found by banded ridge of the two.

Source: Hoerl & Kennard 1970 (Technometrics 12:55); Nunez-Elizalde, Huth & Gallant 2019 (NeuroImage 197:482) for one penalty
a band; Freedman & Lane 1983 (J Bus Econ Stat 1:292) for surrogates of the residuals; Dupré la Tour et al. 2022 (NeuroImage
264:119728) for unique variance.

Differs from the reference in: penalties of a target are chosen once, from its training rows, and kept for its surrogates; weights of the two bands come from a grid instead of random draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from braindec.align._alignment_null import Surrogates
from braindec.align._alignment_splits import Held
from braindec.align._columns import fit_scaler

__all__ = [
    "ALPHAS",
    "Encoded",
    "FoldRows",
    "correlations",
    "encode",
    "encode_targets",
    "encode_unique",
    "explained",
    "fold_rows",
    "nuisance_design",
]

ALPHAS = 10.0 ** np.linspace(-3, 4, 15)  # in units of the mean eigenvalue
GAMMAS = (0.0, 0.1, 0.3, 0.6, 0.9, 1.0)  # weights of the features beside nuisance
_MEMORY = 12_000_000  # numbers of surrogate responses held at once


@dataclass(frozen=True, eq=False)
class FoldRows:
    """One fold: training and test rows, inner folds (numbers into the training rows), pieces of the test rows."""

    train: np.ndarray
    test: np.ndarray
    inner: Sequence[tuple[np.ndarray, np.ndarray]]
    pieces: Sequence[np.ndarray]  # numbers into the test rows


@dataclass(frozen=True, eq=False)
class Encoded:
    """Scores of one layer; the first surrogate is the responses themselves.

    Parameters
    ----------
    test : array of shape (n_folds, 1 + n_surrogates, n_regions)
        Mean over the targets of each region of held-out correlations (or unique R2).
    train : array of the same shape
        The same inside the training rows (inner folds), by which layers are chosen.
    pieces : list of array of shape (n_pieces, n_regions)
        Of the responses themselves: held-out pieces of each fold, for intervals.
    targets : array of shape (n_targets,)
        Mean over folds, of the responses themselves.
    exceed : array of shape (n_targets,)
        Number of surrogates whose correlation is at least that of the target.
    r2 : array of shape (n_folds, n_regions)
        Mean held-out R2 against the training mean, of the responses themselves.
    by_fold : array of shape (n_folds, n_targets)
    edge : int
        Penalties (targets x folds) that are the smallest of the grid.
    """

    test: np.ndarray
    train: np.ndarray
    pieces: list[np.ndarray]
    targets: np.ndarray
    exceed: np.ndarray
    r2: np.ndarray
    by_fold: np.ndarray
    edge: int = 0


def fold_rows(held: Held, *, inner_folds: int = 4, n_pieces: int = 8) -> list[FoldRows]:
    """Rows of all folds; test rows are cut into pieces of whole groups of 10 rows or more on average."""
    out = []
    for split in held.splits:
        names, first = np.unique(held.groups[split.test], return_index=True)
        names = names[np.argsort(first)]
        count = max(1, min(-(-n_pieces // len(held.splits)), len(split.test) // 10, len(names)))
        pieces = [np.flatnonzero(np.isin(held.groups[split.test], part)) for part in np.array_split(names, count)]
        out.append(FoldRows(split.train, split.test, held.inner(split, inner_folds), pieces))
    return out


def encode(
    X: np.ndarray, Y: np.ndarray, folds: Sequence[FoldRows], regions: np.ndarray, surrogates: Surrogates | None, *,
    alphas: np.ndarray = ALPHAS,
) -> Encoded:  # fmt: skip
    """Score one set of features.

    Parameters
    ----------
    X : array of shape (n, p)
    Y : array of shape (n, n_targets), float32
    folds : list of FoldRows
    regions : array of bool, shape (n_regions, n_targets)
    surrogates : Surrogates, optional
        None scores the responses only.
    """
    n_all = 1 + (0 if surrogates is None else len(surrogates))
    mask = regions.T.astype(np.float32)  # (target, region)
    size = np.maximum(mask.sum(axis=0), 1)
    test = np.zeros((len(folds), n_all, len(regions)))
    train, r2 = np.zeros_like(test), np.zeros((len(folds), len(regions)))
    pieces, edge = [], 0
    by_fold = np.zeros((len(folds), Y.shape[1]))
    total = np.zeros((n_all, Y.shape[1]), dtype=np.float32)  # of each surrogate and target over folds
    for number, fold in enumerate(folds):
        maps = _plain_maps(X, Y[fold.train], fold, alphas)
        edge += int((maps.chosen == 0).sum())
        held, inside, seen = _scores(maps, Y, fold, surrogates, n_all)
        test[number], train[number] = held @ mask / size, inside @ mask / size
        total += held
        by_fold[number] = held[0]
        r2[number] = _r2(Y, fold, seen) @ mask / size
        pieces.append(
            np.stack(
                [correlations(seen[None, rows], Y[None, fold.test[rows]])[0] @ mask / size for rows in fold.pieces]
            )
        )
    total /= len(folds)
    exceed = (total[1:] >= total[:1] - 1e-7).sum(axis=0)
    return Encoded(test, train, pieces, total[0].astype(float), exceed, r2, by_fold, edge)


def encode_targets(
    chosen: Sequence[np.ndarray], Y: np.ndarray, folds: Sequence[FoldRows], surrogates: Surrogates, *, alphas: np.ndarray = ALPHAS
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Score every target by features of its own for each fold, which were chosen without the fold's test rows.

    Parameters
    ----------
    chosen : sequence of array of shape (n, p)
        Features of each fold.

    Returns
    -------
    r : array of shape (n_targets,)
        Mean over folds.
    exceed : array of shape (n_targets,)
        Number of surrogates that reach it.
    """
    n_all = 1 + len(surrogates)
    total = np.zeros((n_all, Y.shape[1]), dtype=np.float32)
    for X, fold in zip(chosen, folds, strict=True):
        total += _scores(_plain_maps(X, Y[fold.train], fold, alphas), Y, fold, surrogates, n_all)[0]
    total /= len(folds)
    return total[0].astype(float), (total[1:] >= total[:1] - 1e-7).sum(axis=0)


def encode_unique(
    X: np.ndarray, N: np.ndarray, Y: np.ndarray, folds: Sequence[FoldRows], regions: np.ndarray, surrogates: Surrogates | None, *,
    alphas: np.ndarray = ALPHAS, gammas: Sequence[float] = GAMMAS,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Held-out R2 that the features add to nuisance columns: banded ridge of both, less ridge of the nuisance.

    Each band has columns of variance 1 / (number of columns); ``gammas`` are the weights of the features (the nuisance has the
    rest; 0 leaves the features out, so that a target may find that they add nothing). Surrogates exchange what nuisance leaves
    of the responses and put the nuisance part back (Freedman & Lane).

    Returns
    -------
    gained : array of shape (n_folds, 1 + n_surrogates, n_regions)
    pieces : list of array of shape (n_pieces, n_regions)
        Of the responses themselves, for each fold.
    """
    n_all = 1 + (0 if surrogates is None else len(surrogates))
    mask = regions.T.astype(np.float32)
    size = np.maximum(mask.sum(axis=0), 1)
    Z = np.concatenate([np.ones((len(N), 1)), _scaled(N, np.arange(len(N)))], axis=1)
    base = (Z @ (np.linalg.pinv(Z) @ Y)).astype(np.float32)
    rest = Y - base
    gained, pieces = np.zeros((len(folds), n_all, len(regions))), []
    for number, fold in enumerate(folds):
        both, alone = _banded_maps(X, N, Y[fold.train], fold, alphas, gammas)
        for start, stop in _batches(n_all, Y):
            many = _draw(surrogates, rest, start, stop) + base
            given = many[:, fold.train]
            level = given.mean(axis=1, keepdims=True)
            held, full, less = (v - level for v in (many[:, fold.test], both.predict(given), alone.predict(given)))
            gained[number, start:stop] = (explained(held, full) - explained(held, less)) @ mask / size
            if start == 0:
                pieces.append(np.stack([(explained(held[0, r], full[0, r]) - explained(held[0, r], less[0, r])) @ mask / size
                                        for r in fold.pieces]))  # fmt: skip
    return gained, pieces


def nuisance_design(bands: Mapping[str, np.ndarray], n: int, *, most: int) -> np.ndarray:
    """All nuisance columns, (n, q); more than ``most`` are brought down to as many principal components."""
    kept = [np.asarray(v, dtype=np.float64).reshape(n, -1) for v in bands.values()]
    N = np.concatenate(kept, axis=1) if kept else np.zeros((n, 0))
    N = N[:, N.std(axis=0) > 1e-12]
    if N.shape[1] <= most:
        return N.astype(np.float32)
    scaled = (N - N.mean(axis=0)) / N.std(axis=0)
    left, values, _ = np.linalg.svd(scaled, full_matrices=False)
    return (left[:, :most] * values[:most]).astype(np.float32)


@dataclass(eq=False)
class _Maps:
    """Linear maps of training responses to predictions, and which of them each target takes.

    outer : (n_maps, n_test, n_train); chosen : (n_targets,); inner : (n_maps, n_train, n_train), predictions of inner held-out
    rows, or None.
    """

    outer: np.ndarray
    chosen: np.ndarray
    inner: np.ndarray | None = None

    def predict(self, Y: np.ndarray, *, inside: bool = False) -> np.ndarray:
        """Predictions (n_surrogates, n_rows, n_targets) of responses (n_surrogates, n_train, n_targets)."""
        maps = self.inner if inside else self.outer
        assert maps is not None
        out = np.empty((len(Y), maps.shape[1], Y.shape[2]), dtype=np.float32)
        for place in np.unique(self.chosen):
            mine = np.flatnonzero(self.chosen == place)
            out[:, :, mine] = maps[place] @ Y[:, :, mine]
        return out


def _plain_maps(X: np.ndarray, Y: np.ndarray, fold: FoldRows, alphas: np.ndarray) -> _Maps:
    """Ridge with one penalty a target."""
    X = _scaled(X, fold.train)
    inner = _inner_maps(X, fold, alphas)
    return _Maps(_ridge_maps(X, fold.train, fold.test, alphas), np.argmin(_errors(inner, Y, fold), axis=0), inner)


def _banded_maps(
    X: np.ndarray, N: np.ndarray, Y: np.ndarray, fold: FoldRows, alphas: np.ndarray, gammas: Sequence[float]
) -> tuple[_Maps, _Maps]:
    """Banded ridge of features and nuisance with weights and penalty of each target, and ridge of the nuisance alone."""
    X, N = _scaled(X, fold.train) / np.sqrt(X.shape[1]), _scaled(N, fold.train) / np.sqrt(N.shape[1])

    def joined(gamma: float) -> np.ndarray:
        return (
            N
            if gamma == 0
            else X
            if gamma == 1
            else np.concatenate([np.sqrt(gamma) * X, np.sqrt(1 - gamma) * N], axis=1)
        )

    errors = np.concatenate([_errors(_inner_maps(joined(g), fold, alphas), Y, fold) for g in gammas])
    best = np.argmin(errors, axis=0)
    alone = np.argmin(errors[: len(alphas)], axis=0)  # gammas begin with 0
    outer = np.concatenate([_ridge_maps(joined(g), fold.train, fold.test, alphas) if (best // len(alphas) == k).any() or k == 0
                            else np.zeros((len(alphas), len(fold.test), len(fold.train)), dtype=np.float32) for k, g in enumerate(gammas)])  # fmt: skip
    return _Maps(outer, best), _Maps(outer[: len(alphas)], alone)


def _inner_maps(X: np.ndarray, fold: FoldRows, alphas: np.ndarray) -> np.ndarray:
    """(n_alphas, n_train, n_train): rows of each inner held-out part from the rest."""
    n_train = len(fold.train)
    inner = np.zeros((len(alphas), n_train, n_train), dtype=np.float32)
    for a, b in fold.inner:
        inner[:, b[:, None], a[None]] = _ridge_maps(X, fold.train[a], fold.train[b], alphas)
    return inner


def _errors(inner: np.ndarray, Y: np.ndarray, fold: FoldRows) -> np.ndarray:
    """Squared error of each map on inner held-out rows, (n_maps, n_targets)."""
    rows = np.concatenate([b for _, b in fold.inner])
    return np.stack([((Y[rows] - m[rows] @ Y) ** 2).sum(axis=0) for m in inner])


def _ridge_maps(X: np.ndarray, train: np.ndarray, test: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Maps of ridge with an intercept for each penalty (in units of the mean eigenvalue), (n_alphas, n_test, n_train)."""
    mean = X[train].mean(axis=0)
    own, other = X[train] - mean, X[test] - mean
    if own.shape[1] < len(train):
        values, vectors = np.linalg.eigh(own.T @ own)
        left, right = other @ vectors, vectors.T @ own.T  # prediction = mean + left / (values + alpha) @ right @ Y
    else:
        values, vectors = np.linalg.eigh(own @ own.T)
        left, right = (other @ own.T) @ vectors, vectors.T
    real = values > 1e-9 * max(float(values[-1]), 1e-300)
    values, left, right = values[real], left[:, real], right[real]
    scale = values.mean() if len(values) else 1.0
    base = 1.0 / len(train)
    return np.stack([(base + (left / (values + alpha * scale)) @ right).astype(np.float32) for alpha in alphas])


def _scores(
    maps: _Maps, Y: np.ndarray, fold: FoldRows, surrogates: Surrogates | None, n_all: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out and inner correlations (n_all, n_targets), and predictions of the responses themselves (n_test, n_targets)."""
    held, inside = np.zeros((n_all, Y.shape[1]), dtype=np.float32), np.zeros((n_all, Y.shape[1]), dtype=np.float32)
    own = np.empty(0)
    for start, stop in _batches(n_all, Y):
        many = _draw(surrogates, Y, start, stop)
        given = many[:, fold.train]
        predicted = maps.predict(given)
        held[start:stop] = correlations(predicted, many[:, fold.test])
        guessed = maps.predict(given, inside=True)
        for _, rows in fold.inner:
            inside[start:stop] += correlations(guessed[:, rows], given[:, rows]) / len(fold.inner)
        if start == 0:
            own = predicted[0]
    return held, inside, own


def _draw(surrogates: Surrogates | None, Y: np.ndarray, start: int, stop: int) -> np.ndarray:
    return Y[None] if surrogates is None else surrogates.apply(Y, start, stop)


def _batches(n_all: int, Y: np.ndarray) -> list[tuple[int, int]]:
    step = max(1, _MEMORY // max(Y.size, 1))
    return [(a, min(a + step, n_all)) for a in range(0, n_all, step)]


def correlations(P: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Correlation over rows of (k, n, t) and (k, n, t), (k, t); 0 where one of them does not vary."""
    P, Y = P - P.mean(axis=1, keepdims=True), Y - Y.mean(axis=1, keepdims=True)
    both = np.einsum("knt,knt->kt", P, Y)
    p, y = np.einsum("knt,knt->kt", P, P), np.einsum("knt,knt->kt", Y, Y)
    known = (p > 1e-12 * np.maximum(y, 1e-30)) & (y > 0)
    return np.divide(both, np.sqrt(p * y), out=np.zeros_like(both), where=known)


def explained(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Out-of-sample R2 of deviations from the training mean, over the second last axis."""
    total = (Y**2).sum(axis=-2)
    left = ((Y - P) ** 2).sum(axis=-2)
    return 1.0 - np.divide(left, total, out=np.ones_like(total), where=total > 0)


def _r2(Y: np.ndarray, fold: FoldRows, seen: np.ndarray) -> np.ndarray:
    level = Y[fold.train].mean(axis=0)
    return explained(Y[fold.test] - level, seen - level)


def _scaled(X: np.ndarray, train: np.ndarray) -> np.ndarray:
    return fit_scaler(X[train]).apply(X)
