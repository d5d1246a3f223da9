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
from typing import Any, NamedTuple

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
    each: Callable[[int, slice, np.ndarray], None] | None = None,
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
    each : callable, optional
        Gets the number of each fold, which surrogates, and their correlations (n_surrogates, n_targets) in that fold.

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
        for number, fold in enumerate(folds):
            designs, slices = [], {}
            for surrogate in made:
                scalers = {name: fit_scaler(surrogate[name][fold.train], weight=weights[name]) for name in names}
                X, slices = joined(surrogate, scalers, delays, runs, dtype)
                designs.append(X)
            Z = np.stack(designs)
            rows = np.r_[fold.train, fold.test]
            found = _fold_scores(Z[:, rows], Y[rows], fold, list(slices.values()), scoring)
            out[start : start + step] += found
            if each is not None:
                each(number, slice(start, start + len(made)), found)
    return out / len(folds)


class _Axes(NamedTuple):
    """A fit seen from the eigenvectors of its features: predictions of held-out rows are ``basis @ w``.

    values : (n_surrogates, r) eigenvalues; H : (n_surrogates, r, n_targets) training responses on the axes, so that
    ``w = H / (values + alpha)``; E : (n_rows, n_targets) held-out responses; basis : (n_surrogates, n_rows, r), or None where
    fewer numbers do: gram = basis' basis, cross = basis' E, sums of the basis over rows.
    """

    values: np.ndarray
    H: np.ndarray
    E: np.ndarray
    basis: np.ndarray | None
    gram: np.ndarray | None = None
    cross: np.ndarray | None = None
    sums: np.ndarray | None = None

    def centred(self) -> _Axes:
        """The same around the means of the held-out rows, for correlations."""
        E = self.E - self.E.mean(axis=0)
        if self.basis is not None:
            return self._replace(E=E, basis=self.basis - self.basis.mean(axis=1, keepdims=True))
        n = len(E)
        gram = self.gram - self.sums[:, :, None] * self.sums[:, None, :] / n
        cross = self.cross - self.sums[:, :, None] * self.E.mean(axis=0)
        return self._replace(E=E, gram=gram, cross=cross)

    def moments(self, alpha: Any) -> tuple[np.ndarray, np.ndarray]:
        """Sums over held-out rows of prediction x response and of prediction squared, (n_surrogates, n_targets)."""
        w = self.H / (self.values[:, :, None] + alpha)
        if self.basis is None:
            return np.einsum("srt,srt->st", self.cross, w), np.einsum("srt,srt->st", self.gram @ w, w)
        predicted = self.basis @ w
        return np.einsum("snt,nt->st", predicted, self.E), np.einsum("snt,snt->st", predicted, predicted)

    def correlation(self, alpha: Any) -> np.ndarray:
        """Correlation of prediction and response (axes must be centred); 0 where the prediction is constant."""
        cross, power = self.moments(alpha)
        spread = np.sum(self.E**2, axis=0)
        size = np.sqrt(np.maximum(power, 0.0) * spread)
        return np.divide(cross, size, out=np.zeros(cross.shape), where=size > CONSTANT * np.maximum(spread, 1e-300))


def _fold_scores(Z: np.ndarray, Y: np.ndarray, fold: NullFold, parts: list[slice], scoring: str) -> np.ndarray:
    """Held-out correlation in one fold, (n_surrogates, n_targets); rows are training rows, then test rows."""
    train, test = np.arange(len(fold.train)), np.arange(len(fold.train), len(Y))
    solver: _Primal | _Dual = _Primal(Z, parts) if Z.shape[2] <= len(train) else _Dual(Z, parts)
    outer = solver.prepare(Y, train, test)
    if fold.alpha is not None:
        return _fixed_scores(solver, outer, fold)
    inner = [solver.prepare(Y, a, b) for a, b in fold.inner]
    best, found = np.full((len(Z), Y.shape[1]), -np.inf), np.zeros((len(Z), Y.shape[1]))
    alphas = fold.alphas.astype(Z.dtype)
    for gamma in fold.draws:
        total = sum(_inner_scores(solver.axes(split, gamma), alphas, scoring) for split in inner)
        chosen = np.argmax(total, axis=0)  # (n_surrogates, n_targets)
        top = np.take_along_axis(total, chosen[None], axis=0)[0]
        better = top > best
        if better.any():
            r = solver.axes(outer, gamma).centred().correlation(alphas[chosen][:, None, :])
            best, found = np.where(better, top, best), np.where(better, r, found)
    return found


def _fixed_scores(solver: Any, outer: Any, fold: NullFold) -> np.ndarray:
    """The same with the penalty and the weights of each target given."""
    alpha = np.asarray(fold.alpha)
    gamma = np.ones((len(solver.parts), len(alpha))) if fold.gamma is None else np.asarray(fold.gamma)
    kinds, which = np.unique(gamma, axis=1, return_inverse=True)
    found = np.zeros((solver.n, len(alpha)))
    for k in range(kinds.shape[1]):
        mine = np.flatnonzero(which.reshape(-1) == k)
        axes = solver.axes(outer, kinds[:, k], mine).centred()
        found[:, mine] = axes.correlation(alpha[mine].astype(axes.H.dtype))
    return found


def _inner_scores(axes: _Axes, alphas: np.ndarray, scoring: str) -> np.ndarray:
    """Score of each penalty on held-out training rows, (n_alphas, n_surrogates, n_targets)."""
    if scoring == "r":
        axes = axes.centred()
        return np.stack([axes.correlation(alpha) for alpha in alphas])
    out = np.empty((len(alphas), len(axes.H), axes.E.shape[1]))
    for k, alpha in enumerate(alphas):
        cross, power = axes.moments(alpha)
        out[k] = (2 * cross - power) / len(axes.E)  # mean squared error taken off; summed over folds as the solver does
    return out


def _eigh(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors in the type of ``gram``; values that are rounding become infinite: nothing is fitted there."""
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    floor = 10 * np.finfo(gram.dtype).eps * np.maximum(values[:, -1:], np.finfo(gram.dtype).tiny)
    return np.where(values > floor, values, np.inf).astype(gram.dtype), vectors.astype(gram.dtype)


class _Primal:
    """No more columns than training rows: inner products of columns, once for all weights of bands."""

    def __init__(self, Z: np.ndarray, parts: list[slice]) -> None:
        self.Z, self.parts, self.n = Z, parts, len(Z)

    def prepare(self, Y: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[Any, ...]:
        own = self.Z[:, train]
        mean, level = own.mean(axis=1, keepdims=True), Y[train].mean(axis=0)
        own, held, E = own - mean, self.Z[:, test] - mean, Y[test] - level
        across = own.swapaxes(1, 2)
        fit = across @ own, across @ (Y[train] - level)
        if held.shape[2] > held.shape[1]:
            return *fit, E, held, None
        return *fit, E, None, (held.swapaxes(1, 2) @ held, held.swapaxes(1, 2) @ E, held.sum(axis=1))

    def axes(self, prepared: tuple[Any, ...], gamma: np.ndarray, targets: Any = slice(None)) -> _Axes:
        gram, cross, E, held, sums = prepared
        root = np.concatenate([np.full(p.stop - p.start, np.sqrt(g)) for p, g in zip(self.parts, gamma, strict=True)])
        root = root.astype(gram.dtype)
        values, vectors = _eigh(gram * root[:, None] * root)
        vectors = vectors * root[:, None]
        turned = vectors.swapaxes(1, 2)
        H, E = turned @ cross[:, :, targets], E[:, targets]
        if held is not None:
            return _Axes(values, H, E, held @ vectors)
        return _Axes(values, H, E, None, turned @ sums[0] @ vectors, turned @ sums[1][:, :, targets],
                     np.einsum("srp,sp->sr", turned, sums[2]))  # fmt: skip


class _Dual:
    """More columns than training rows: inner products of rows, one matrix a band."""

    def __init__(self, Z: np.ndarray, parts: list[slice]) -> None:
        self.parts, self.n = parts, len(Z)
        self.kernels = [Z[:, :, p] @ Z[:, :, p].swapaxes(1, 2) for p in parts]

    def prepare(self, Y: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[Any, ...]:
        level = Y[train].mean(axis=0)
        return train, test, Y[train] - level, Y[test] - level

    def axes(self, prepared: tuple[Any, ...], gamma: np.ndarray, targets: Any = slice(None)) -> _Axes:
        train, test, Y, E = prepared
        K = sum(k * k.dtype.type(g) for k, g in zip(self.kernels, gamma, strict=True))
        own, across = K[:, train[:, None], train[None]], K[:, test[:, None], train[None]]
        mean = own.mean(axis=1, keepdims=True)
        grand = mean.mean(axis=2, keepdims=True)
        across = across - across.mean(axis=2, keepdims=True) - mean + grand
        values, vectors = _eigh(own - mean - mean.swapaxes(1, 2) + grand)
        return _Axes(values, vectors.swapaxes(1, 2) @ Y[:, targets], E[:, targets], across @ vectors)
