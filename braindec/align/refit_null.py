"""The null of an encoding model: fit again on surrogate features, choosing penalties as for the real ones.

Responses that drift slowly and features that drift slowly agree by chance far more often than independent samples would;
tests that keep the fitted model and disturb its predictions do not see this, because the model was adapted to the drift
when it was fitted. Here every surrogate (phases randomised within runs, or stimuli permuted) goes through the whole
procedure: scaling, inner cross-validation, fit, prediction of held-out rows. Responses are the same for all surrogates and
are read once; surrogates are solved in batches, in the eigenbasis of the smaller of the two Gram matrices.

Source: Theiler et al. 1992 (Physica D 58:77) for the surrogates; Nichols & Holmes 2002 (Human Brain Mapping 15:1) for
p-values and the maximum statistic; Dupré la Tour et al. 2022 (NeuroImage 264:119728) for ridge in a reduced basis.

Differs from the reference in: surrogates go through the full choice of penalties ("chosen"); "fixed" keeps those of the real
features and is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.align._columns import Folds, fit_scaler, joined
from braindec.stats.surrogates import random_phases, shuffled_stimuli, turn_phases

__all__ = ["NullFold", "phase_surrogates", "refit_scores", "stimulus_surrogates"]

Surrogate = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
CONSTANT = 1e-6  # a prediction that varies by less than this share of the response is a constant up to rounding
_MEMORY = 2**25  # numbers held at once for a batch of surrogates


@dataclass(frozen=True, eq=False)
class NullFold:
    """One fold of the outer cross-validation, as the real features saw it.

    Parameters
    ----------
    train, test : array of int
        Row numbers.
    inner : list of (array, array)
        Inner folds, numbers into ``train``.
    alphas : array of shape (n_alphas,)
        Penalties to choose from.
    draws : array of shape (n_draws, n_bands)
        Weights of bands to choose from; one row of ones for plain ridge.
    alpha, gamma : array of shape (n_targets,) and (n_bands, n_targets), optional
        Penalties and weights of each target, when they are not chosen again.
    """

    train: np.ndarray
    test: np.ndarray
    inner: Folds
    alphas: np.ndarray
    draws: np.ndarray
    alpha: np.ndarray | None = None
    gamma: np.ndarray | None = None


def phase_surrogates(
    n: int, n_rows: int, runs: np.ndarray | None, *, seed: int, vary: Sequence[str] | None = None
) -> list[Surrogate]:
    """Return ``n`` functions bands -> phase-randomised bands; one set of phases for all columns of all bands.

    ``vary`` names the bands that become surrogates, the others stay as they are; all by default.
    """

    def one(k: int) -> Surrogate:
        def make(bands: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            phases = random_phases(n_rows, runs=runs, rng=np.random.default_rng([seed, k]))
            return {name: turn_phases(v, phases) if vary is None or name in vary else v for name, v in bands.items()}

        return make

    return [one(k) for k in range(n)]


def stimulus_surrogates(
    n: int, stimuli: np.ndarray, groups: np.ndarray | None, *, seed: int, vary: Sequence[str] | None = None
) -> list[Surrogate]:
    """Return ``n`` functions bands -> bands in which each stimulus has the features of another one."""

    def one(k: int) -> Surrogate:
        def make(bands: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            rows = shuffled_stimuli(stimuli, groups=groups, rng=np.random.default_rng([seed, k]))
            return {name: v[rows] if vary is None or name in vary else v for name, v in bands.items()}

        return make

    return [one(k) for k in range(n)]


def refit_scores(
    bands: Mapping[str, np.ndarray], Y: np.ndarray, folds: Sequence[NullFold], surrogates: Sequence[Surrogate], *,
    weights: Mapping[str, float], delays: Sequence[int], runs: np.ndarray | None, scoring: str = "r2", dtype: str = "float32",
) -> np.ndarray:  # fmt: skip
    """Fit on each surrogate in each fold and return its held-out correlations.

    Parameters
    ----------
    bands : mapping of str to array of shape (n, p_band)
        The real features.
    Y : array of shape (n, n_targets)
        Responses; finite and not constant.
    folds : sequence of NullFold
    surrogates : sequence of callable
        Each makes one surrogate of the bands.
    weights : mapping of str to float
        Standard deviation that columns of each band are scaled to (``VoxelwiseEncoder.band_weights``).
    delays, runs, scoring, dtype
        As for the encoder.

    Returns
    -------
    array of shape (n_surrogates, n_targets), float64
        Mean over folds. A prediction that is constant in a fold counts as 0 there.
    """
    names = list(bands)
    Y = np.asarray(Y, dtype=dtype)
    n_columns = sum(v.shape[1] for v in bands.values()) * len(list(delays))
    size = max(max(len(f.train) + len(f.test) for f in folds) * (min(n_columns, len(Y)) + n_columns), 1)
    size += 4 * min(n_columns, len(Y)) * Y.shape[1]
    step = max(1, _MEMORY // size)
    out = np.zeros((len(surrogates), Y.shape[1]))
    for start in range(0, len(surrogates), step):
        made = [make(bands) for make in surrogates[start : start + step]]
        for fold in folds:
            designs, slices = [], {}
            for surrogate in made:
                scalers = {name: fit_scaler(surrogate[name][fold.train], weight=weights[name]) for name in names}
                X, slices = joined(surrogate, scalers, delays, runs, dtype)
                designs.append(X)
            Z = np.stack(designs)
            rows = np.r_[fold.train, fold.test]
            out[start : start + step] += _fold_scores(Z[:, rows], Y[rows], fold, list(slices.values()), scoring)
    return out / len(folds)


def _fold_scores(Z: np.ndarray, Y: np.ndarray, fold: NullFold, parts: list[slice], scoring: str) -> np.ndarray:
    """Held-out correlation in one fold, (n_surrogates, n_targets); rows are training rows, then test rows."""
    train, test = np.arange(len(fold.train)), np.arange(len(fold.train), len(Y))
    solver = _Primal(Z, parts) if Z.shape[2] <= len(train) else _Dual(Z, parts)
    best = np.full((len(Z), Y.shape[1]), -np.inf)
    found = np.zeros(best.shape)
    if fold.alpha is not None:
        return _fixed_scores(solver, Y, train, test, fold)
    for gamma in fold.draws:
        solver.weigh(gamma)
        total: Any = 0.0
        for inner_train, inner_test in fold.inner:
            total = total + _inner_scores(solver, Y, train[inner_train], train[inner_test], fold.alphas, scoring)
        chosen = np.argmax(total, axis=0)  # (n_surrogates, n_targets)
        top = np.take_along_axis(total, chosen[None], axis=0)[0]
        better = top > best
        if better.any():
            basis, values, H, E = _projected(solver, Y, train, test)
            r = _correlation(basis, E, H / (values[:, :, None] + fold.alphas[chosen][:, None, :]))
            best, found = np.where(better, top, best), np.where(better, r, found)
    return found


def _fixed_scores(solver: Any, Y: np.ndarray, train: np.ndarray, test: np.ndarray, fold: NullFold) -> np.ndarray:
    found = np.zeros((solver.n, Y.shape[1]))
    gamma = np.ones((solver.n_bands, Y.shape[1])) if fold.gamma is None else fold.gamma
    kinds, which = np.unique(gamma, axis=1, return_inverse=True)
    for k in range(kinds.shape[1]):
        mine = np.flatnonzero(which.reshape(-1) == k)
        solver.weigh(kinds[:, k])
        basis, values, H, E = _projected(solver, Y[:, mine], train, test)
        found[:, mine] = _correlation(basis, E, H / (values[:, :, None] + fold.alpha[mine].astype(values.dtype)))
    return found


def _projected(solver: Any, Y: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, ...]:
    """Held-out rows on the axes, squared singular values, training responses on the axes, held-out responses."""
    basis, values, left = solver.axes(train, test)
    mean = Y[train].mean(axis=0)
    return basis, values, left @ (Y[train] - mean), Y[test] - mean


def _inner_scores(
    solver: Any, Y: np.ndarray, train: np.ndarray, test: np.ndarray, alphas: np.ndarray, scoring: str
) -> np.ndarray:
    """Score of each penalty on held-out training rows, (n_alphas, n_surrogates, n_targets)."""
    basis, values, H, E = _projected(solver, Y, train, test)
    out = np.empty((len(alphas), len(H), Y.shape[1]))
    if scoring == "r":
        for k, alpha in enumerate(alphas):
            out[k] = _correlation(basis, E, H / (values[:, :, None] + values.dtype.type(alpha)))
        return out
    spread = np.sum((E - E.mean(axis=0)) ** 2, axis=0)
    spread = np.where(spread > 0, spread, np.inf)  # a target that is constant in this fold does not choose
    for k, alpha in enumerate(alphas):
        cross, power = _moments(basis, E, H / (values[:, :, None] + values.dtype.type(alpha)))
        out[k] = (2 * cross - power) / spread  # R2 up to what does not depend on the penalty
    return out


def _correlation(basis: np.ndarray, E: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Correlation of ``basis @ w`` with ``E``, (n_surrogates, n_targets); 0 where the prediction is constant."""
    basis, E = basis - basis.mean(axis=1, keepdims=True), E - E.mean(axis=0)
    cross, power = _moments(basis, E, w)
    spread = np.sum(E**2, axis=0)
    size = np.sqrt(np.maximum(power, 0.0) * spread)
    return np.divide(cross, size, out=np.zeros(cross.shape), where=size > CONSTANT * np.maximum(spread, 1e-300))


def _moments(basis: np.ndarray, E: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over rows of prediction x response and prediction squared, prediction = ``basis @ w``.

    basis : (n_surrogates, n_rows, r); E : (n_rows, n_targets); w : (n_surrogates, r, n_targets)
    """
    if basis.shape[2] < basis.shape[1]:  # fewer axes than rows: no prediction is formed
        across = basis.swapaxes(1, 2)
        return np.sum((across @ E) * w, axis=1), np.sum(((across @ basis) @ w) * w, axis=1)
    predicted = basis @ w
    return np.sum(predicted * E, axis=1), np.sum(predicted**2, axis=1)


def _kept(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Eigenvalues that rounding leaves meaningful; the others become infinite, so that nothing is fitted along them."""
    floor = 10 * np.finfo(dtype).eps * np.maximum(values[:, -1:], np.finfo(dtype).tiny)
    return np.where(values > floor, values, np.inf).astype(dtype)


class _Primal:
    """Eigenvectors of the columns' Gram matrix."""

    def __init__(self, Z: np.ndarray, parts: list[slice]) -> None:
        self.source, self.parts, self.n, self.n_bands = Z, parts, len(Z), len(parts)
        self.Z = Z

    def weigh(self, gamma: np.ndarray) -> None:
        scale = np.concatenate([np.full(p.stop - p.start, np.sqrt(g)) for p, g in zip(self.parts, gamma, strict=True)])
        self.Z = self.source if (scale == 1).all() else self.source * scale.astype(self.source.dtype)

    def axes(self, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = self.Z[:, train]
        mean = own.mean(axis=1, keepdims=True)
        own = own - mean
        gram = (own.swapaxes(1, 2) @ own).astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        values, vectors = _kept(values, own.dtype), vectors.astype(own.dtype)
        return (self.Z[:, test] - mean) @ vectors, values, (own @ vectors).swapaxes(1, 2)


class _Dual:
    """Eigenvectors of the rows' Gram matrix, summed over weighted bands."""

    def __init__(self, Z: np.ndarray, parts: list[slice]) -> None:
        self.n, self.n_bands = len(Z), len(parts)
        self.kernels = [Z[:, :, p] @ Z[:, :, p].swapaxes(1, 2) for p in parts]
        self.K = sum(self.kernels)

    def weigh(self, gamma: np.ndarray) -> None:
        self.K = sum(k * k.dtype.type(g) for k, g in zip(self.kernels, gamma, strict=True))

    def axes(self, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own, across = self.K[:, train[:, None], train[None]], self.K[:, test[:, None], train[None]]
        mean = own.mean(axis=1, keepdims=True)
        grand = mean.mean(axis=2, keepdims=True)
        across = across - across.mean(axis=2, keepdims=True) - mean + grand
        own = own - mean - mean.swapaxes(1, 2) + grand
        values, vectors = np.linalg.eigh(own.astype(np.float64))
        values, vectors = _kept(values, own.dtype), vectors.astype(own.dtype)
        return across @ vectors, values, vectors.swapaxes(1, 2)
