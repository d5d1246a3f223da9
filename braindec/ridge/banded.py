"""Banded ridge: one penalty for each band of features and target, by random search over band weights.

With band weights gamma on the simplex and a penalty alpha, the kernel is K = sum_b gamma_b X_b X_b' and the problem is
plain ridge on the scaled features sqrt(gamma_b) X_b. Each draw of gamma is cross-validated with all penalties, and each
target keeps its best (gamma, alpha).

Source: la Tour, Eickenberg, Nunez-Elizalde & Gallant 2022 (NeuroImage 264:119728), section 2.6, for random search
with Dirichlet draws of cycled concentration; Jamieson & Talwalkar 2016 (AISTATS) for successive halving.
Differs from the reference in: draws that no target of a growing random subsample profits from are dropped before all
targets are scored (``halving``); corners of the simplex are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.ridge._backend import get_backend
from braindec.ridge._fit import Linear, assemble, make_problem
from braindec.ridge._halving import Search, search_all, search_halving
from braindec.ridge._penalties import at_edge
from braindec.ridge._refit import Refit
from braindec.ridge.folds import Fold

__all__ = ["BandedFit", "fit_banded"]

_CONCENTRATIONS = (0.1, 1.0)


@dataclass(frozen=True, eq=False)
class BandedFit:
    """Outcome of :func:`fit_banded`.

    Parameters
    ----------
    alpha : array of shape (t,)
        Penalty of each target; NaN for skipped targets.
    gamma : array of shape (n_bands, t)
        Band weights of each target, on the simplex.
    alphas : array of shape (n_alphas,)
    gammas : array of shape (n_draws, n_bands)
        All draws.
    draw : array of shape (t,), int
        Draw of each target; -1 for skipped targets.
    cv_scores : array of shape (n_alphas, t)
        Cross-validated score of each penalty with the target's best draw; NaN for penalties that were not tried.
    cv_score : array of shape (t,)
    draw_scores : array of shape (n_draws,)
        Mean over targets of the best score with each draw; NaN for draws that were dropped on a subsample.
    coef : array of shape (p, t) or None
        Of the features as they were given (band weights included).
    intercept : array of shape (t,) or None
    band_names : list of str
    at_edge : dict
    skipped : array of shape (t,), bool
    """

    alpha: np.ndarray
    gamma: np.ndarray
    alphas: np.ndarray
    gammas: np.ndarray
    draw: np.ndarray
    cv_scores: np.ndarray
    cv_score: np.ndarray
    draw_scores: np.ndarray
    coef: np.ndarray | None
    intercept: np.ndarray | None
    band_names: list[str]
    at_edge: dict[str, int]
    skipped: np.ndarray
    linear: Linear = field(repr=False)

    @property
    def deltas(self) -> np.ndarray:
        """log(gamma / alpha), (n_bands, t); -inf where a band has no weight."""
        with np.errstate(divide="ignore"):
            return np.log(self.gamma / self.alpha)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n, t) for features (n, p); NaN for skipped targets."""
        return self.linear.predict(X)

    def predict_bands(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Prediction of each band, (n, t) each; they sum to :meth:`predict`.

        A band is taken around its training mean; the mean of the target is shared out in equal parts.
        """
        return self.linear.predict_bands(X)


def fit_banded(
    X: np.ndarray,
    Y: Any,
    *,
    bands: Mapping[str, slice],
    alphas: Any = "auto",
    folds: Sequence[Fold] | None = None,
    n_draws: int = 100,
    gammas: np.ndarray | None = None,
    halving: bool = True,
    scoring: str = "r2",
    fit_intercept: bool = True,
    n_targets_batch: int | None = None,
    backend: str = "numpy",
    device: str = "cpu",
    dtype: str = "float32",
    coef: bool = True,
    seed: int = 0,
) -> BandedFit:
    """Fit ridge regression with band weights and a penalty for each target.

    Parameters
    ----------
    X : array of shape (n, p)
        All bands beside one another.
    Y : array-like of shape (n, t)
        As in :func:`fit_ridge`.
    bands : mapping of name to slice
        Columns of each band; together they are all columns of X, each once.
    n_draws : int
        Random band weights that are tried; the first is equal weights.
    gammas : array of shape (n_draws, n_bands), optional
        Band weights to try instead: at least 0, summing to 1.
    halving : bool
        Drop draws that help no target of a random subsample before all targets are scored, and search penalties near
        the best one of earlier draws. False scores every target with every draw and every penalty.
    seed : int
        Of the draws and the subsample.

    Other parameters are those of :func:`fit_ridge`.
    """
    bands = _checked_bands(bands, np.shape(X)[-1] if np.ndim(X) else 0)
    rng = np.random.default_rng(seed)
    gammas = _draw_weights(n_draws, len(bands), rng) if gammas is None else _checked_weights(gammas, len(bands))
    engine = get_backend(backend, device=device, dtype=dtype)
    with engine.session():
        problem = make_problem(
            X, Y, bands=bands, alphas=alphas, folds=folds, n_draws=len(gammas), scoring=scoring,
            fit_intercept=fit_intercept, n_targets_batch=n_targets_batch, backend=engine,
        )  # fmt: skip
        targets, grid = problem.targets, problem.alphas
        if not problem.choose:
            search = Search.empty(len(grid), targets.t, len(gammas), keep=False)
        elif halving:
            search = search_halving(problem.validation, gammas, targets, rng)
        else:
            search = search_all(problem.validation, gammas, targets)
        skipped, alpha = targets.skipped, np.where(targets.skipped, np.nan, grid[search.place])
        linear = assemble(Refit(problem.validation, targets, alpha, search.draw, gammas), coef=coef)
    return BandedFit(
        alpha=alpha, gamma=np.where(skipped, np.nan, gammas[search.draw].T), alphas=grid, gammas=gammas,
        draw=np.where(skipped, -1, search.draw), cv_scores=search.scores,
        cv_score=np.where(np.isfinite(search.score), search.score, np.nan), draw_scores=search.draw_scores,
        coef=linear.coef, intercept=linear.intercept, band_names=list(bands), at_edge=at_edge(alpha, grid),
        skipped=skipped, linear=linear,
    )  # fmt: skip


def _draw_weights(n_draws: int, n_bands: int, rng: np.random.Generator) -> np.ndarray:
    if n_draws < 1:
        raise BraindecError("n_draws is a number of band weights to try", found=str(n_draws), allowed="1 or more")
    gammas = np.full((n_draws, n_bands), 1.0 / n_bands)
    for k in range(1, n_draws if n_bands > 1 else 1):
        gammas[k] = rng.dirichlet(np.full(n_bands, _CONCENTRATIONS[(k - 1) % len(_CONCENTRATIONS)]))
    return gammas if n_bands > 1 else gammas[:1]


def _checked_weights(gammas: np.ndarray, n_bands: int) -> np.ndarray:
    gammas = np.asarray(gammas, dtype=np.float64)
    if gammas.ndim != 2 or gammas.shape[1] != n_bands or not len(gammas):
        raise BraindecError("band weights must be (draw, band)", found=f"{gammas.shape}", allowed=f"(draws, {n_bands})")
    if not np.isfinite(gammas).all() or (gammas < 0).any() or not np.allclose(gammas.sum(axis=1), 1.0, atol=1e-6):
        raise BraindecError(
            "band weights must be at least 0 and sum to 1",
            found=f"sums from {gammas.sum(axis=1).min():.6g} to {gammas.sum(axis=1).max():.6g}, least {gammas.min():.6g}",
        )
    return gammas


def _checked_bands(bands: Mapping[str, slice], p: int) -> dict[str, slice]:
    if not bands:
        raise BraindecError("banded ridge needs at least one band", found="none")
    checked, covered = {}, np.zeros(p, dtype=int)
    for name, columns in bands.items():
        start, stop, step = columns.indices(p) if isinstance(columns, slice) else (0, 0, 1)
        if step != 1 or stop <= start or (columns.stop or 0) > p:
            raise BraindecError(
                f"band {name!r} must be a slice of neighbouring columns",
                found=repr(columns),
                allowed=f"within 0 to {p}",
            )
        checked[str(name)] = slice(start, stop)
        covered[start:stop] += 1
    if (covered != 1).any():
        wrong = int(np.flatnonzero(covered != 1)[0])
        raise BraindecError(
            "the bands must cover each column of the features once",
            found=f"column {wrong} is in {covered[wrong]} bands; {int((covered != 1).sum())} such columns",
        )
    return checked
