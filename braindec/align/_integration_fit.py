"""Held-out scores of all models for all electrodes and bins at once, kept as sums over blocks of film.

In each fold low-level features are regressed out of responses and of features (fitted on training rows), features are
standardised on training rows, and ridge picks a penalty for each electrode and bin in contiguous inner folds with the same
gap. Of the held-out predictions only sums over blocks are kept: the part of an event in Pearson r of its fold is
y p - r (y^2 + p^2) / 2 + r with y and p standardised in the fold. Parts add up to r, and their differences between models
are paired by event.

Source: influence function of the correlation (Devlin, Gnanadesikan & Kettenring 1975, Biometrika 62:531); Dupre la Tour
et al. 2022 (NeuroImage 264:119728) for a weight of its own for each band.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from braindec.align._integration_data import blocks_of, film_folds
from braindec.errors import BraindecError
from braindec.ridge import fit_banded, fit_ridge
from braindec.ridge.folds import Fold

__all__ = ["JOINED", "BlockSums", "Models", "band_weights", "score_models"]

JOINED, LOW_LEVEL = "concatenation", "low_level"
_PART = 2**24  # numbers of responses that are worked on at a time
_FLAT = 1e-6  # a prediction that varies less than this share of the response is constant


@dataclass(frozen=True)
class Models:
    """Which features are what.

    Parameters
    ----------
    vision, language, multimodal, nuisance : tuple of str
        Names of features.
    random : mapping of str to str
        Trained model -> its randomly initialised twin.
    other : tuple of str
        Models that are only reported.
    controlled : (str, str), optional
        Two models whose difference is reported.
    """

    vision: tuple[str, ...]
    language: tuple[str, ...]
    multimodal: tuple[str, ...]
    nuisance: tuple[str, ...]
    random: Mapping[str, str]
    other: tuple[str, ...] = ()
    controlled: tuple[str, str] | None = None

    @property
    def single(self) -> tuple[str, ...]:
        """Every model that is fitted by itself."""
        twins = [self.random[m] for m in (*self.vision, *self.language, *self.multimodal) if m in self.random]
        return tuple(dict.fromkeys([*self.vision, *self.language, *self.multimodal, *twins, *self.other]))

    def rivals(self, name: str) -> dict[str, tuple[str, ...]]:
        """What a multimodal model must beat, comparison -> all models of it; low-level features are out of all scores."""
        found = {"vision": self.vision, "language": self.language, JOINED: (JOINED,)}
        if name in self.random:
            found["random"] = (self.random[name],)
        return found | {LOW_LEVEL: ()}


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums over blocks of the parts of r.

    Parameters
    ----------
    sums : mapping of str to array of shape (n_blocks, n_targets)
        Of each model; ``low_level`` is that of the nuisance alone, on whole responses.
    counts : array of shape (n_blocks,)
        Events.
    fold, film : array of shape (n_blocks,)
    share : float
        Held-out over training events, mean over folds.
    inner : mapping of str to array of shape (n_folds, n_targets)
        R2 of each model in the inner folds of each fold, with the penalties chosen there: of training rows only.
    usable : array of bool, shape (n_targets,)
        Not constant.
    folds : list of (train, test)
    """

    sums: Mapping[str, np.ndarray]
    counts: np.ndarray
    fold: np.ndarray
    film: np.ndarray
    share: float
    inner: Mapping[str, np.ndarray]
    usable: np.ndarray
    folds: Sequence[Fold]

    def r(self, name: str) -> np.ndarray:
        """Mean over events of their part, (n_targets,): Pearson r, the mean over folds weighted by events."""
        return self.sums[name].sum(axis=0) / self.counts.sum()


def band_weights(n_vision: int, n_language: int) -> np.ndarray:
    """Weights of bands that the concatenation may choose from, (n_draws, n_vision + n_language).

    Every pair of a vision and a language model in five proportions (each alone among them), and all models at once: what
    the concatenation can choose holds every unimodal model, so that it is not worse for being larger.
    """
    n = n_vision + n_language
    rows = [np.full(n, 1 / n), *np.eye(n)]
    for v, w in product(range(n_vision), range(n_language)):
        for share in (0.2, 0.5, 0.8):
            row = np.zeros(n)
            row[v], row[n_vision + w] = share, 1 - share
            rows.append(row)
    return np.unique(np.array(rows), axis=0)


def score_models(
    X: Mapping[str, np.ndarray], Y: np.ndarray, models: Models, *, at: np.ndarray, film: np.ndarray, position: bool, n_folds: int,
    inner_folds: int, gap: float, block: float, alphas: Any = "auto", backend: str = "numpy", device: str = "cpu",
    step: Callable[[], Any] = lambda: None,
) -> BlockSums:  # fmt: skip
    """Fit every model in every fold and score it on held-out events.

    Parameters
    ----------
    X : mapping of str to array of shape (n, n_units)
        Features of each event; rows in order of film and time.
    Y : array of shape (n, n_targets)
        Responses (electrode, bin); NaN columns are not used.
    models : Models
    at, film : array of shape (n,)
        s in the film, which film.
    position : bool
        Place in the film and its square are low-level features too.
    n_folds, inner_folds, gap, block
        See :func:`braindec.align.integration_sites.integration_sites`.
    step : callable
        Called after each fit.
    """
    folds = film_folds(at, film, n_folds, gap=gap)
    blocks = blocks_of(at, film, folds, block)
    n_blocks = int(blocks.max()) + 1
    usable = np.isfinite(Y).all(axis=0)
    usable[usable] = np.ptp(Y[:, usable], axis=0) > 0
    if not usable.any():
        raise BraindecError("no electrode has a response that varies", found=f"{Y.shape[1]} electrodes x bins")
    low = _low_level([X[k] for k in models.nuisance], at, film, position)
    sums = {name: np.zeros((n_blocks, Y.shape[1])) for name in (*models.single, JOINED, LOW_LEVEL)}
    inside = {name: np.full((n_folds, Y.shape[1]), np.nan) for name in (*models.single, JOINED)}
    options = {"alphas": alphas, "backend": backend, "device": device, "coef": True}
    weights = band_weights(len(models.vision), len(models.language))
    columns = np.flatnonzero(usable)
    parts = np.array_split(columns, max(1, -(-len(Y) * len(columns) // _PART)))
    for k, (train, test) in enumerate(folds):
        rows, n = np.r_[train, test], len(train)
        inner = film_folds(at[train], film[train], inner_folds, gap=gap)
        ready = {name: _standard(X[name][rows] - _predicted(low, X[name], train, rows), n) for name in models.single}
        own = (*models.vision, *models.language)
        wide = np.concatenate([ready[k] / np.sqrt(ready[k].shape[1]) for k in own], axis=1)
        edges = np.cumsum([0, *(ready[k].shape[1] for k in own)])
        bands = {k: slice(int(a), int(b)) for k, a, b in zip(own, edges[:-1], edges[1:], strict=True)}
        for columns in parts:
            low_part = _predicted(low, Y[:, columns], train, rows)
            left = (Y[np.ix_(rows, columns)] - low_part).astype(np.float32)
            _add(sums[LOW_LEVEL], columns, blocks[test], Y[np.ix_(test, columns)], low_part[n:])
            for name in models.single:
                fit = fit_ridge(ready[name][:n], left[:n], folds=inner, **options)
                _add(sums[name], columns, blocks[test], left[n:], fit.predict(ready[name][n:]))
                inside[name][k, columns] = fit.cv_score
                step()
            joined = fit_banded(wide[:n], left[:n], bands=bands, gammas=weights, folds=inner, halving=False, **options)
            _add(sums[JOINED], columns, blocks[test], left[n:], joined.predict(wide[n:]))
            inside[JOINED][k, columns] = joined.cv_score
            step()
    first = np.array([np.flatnonzero(blocks == b)[0] for b in range(n_blocks)])
    of_fold = np.empty(len(at), dtype=int)
    for k, (_, test) in enumerate(folds):
        of_fold[test] = k
    share = float(np.mean([len(test) / len(train) for train, test in folds]))
    return BlockSums(sums, np.bincount(blocks), of_fold[first], film[first], share, inside, usable, folds)


def _low_level(nuisance: Sequence[np.ndarray], at: np.ndarray, film: np.ndarray, position: bool) -> np.ndarray:
    """Columns that are regressed out: ones, low-level features, place in the film and its square."""
    columns = [np.ones((len(at), 1)), *nuisance]
    if position:
        for f in np.unique(film):
            own = film == f
            place = np.where(own, (at - at[own].min()) / max(np.ptp(at[own]), 1e-9) - 0.5, 0.0)
            columns.append(np.stack([place, np.where(own, place**2, 0.0), own], axis=1))
    values = np.concatenate(columns, axis=1)
    spread = np.maximum(np.abs(values).max(axis=0), 1e-12)
    return values / spread


def _standard(values: np.ndarray, n: int) -> np.ndarray:
    """Columns with the mean and the standard deviation of the first ``n`` rows taken out; constant ones become 0."""
    spread = values[:n].std(axis=0)
    kept = spread > 1e-9 * np.maximum(np.abs(values[:n]).max(axis=0), 1e-300)
    if not kept.any():
        return np.zeros_like(values)
    return np.where(kept, (values - values[:n].mean(axis=0)) / np.where(kept, spread, 1.0), 0.0)


def _predicted(low: np.ndarray, values: np.ndarray, train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What low-level features predict of columns in ``rows``, fitted on training rows."""
    return low[rows] @ np.linalg.lstsq(low[train], values[train].astype(np.float64), rcond=1e-8)[0]


def _add(out: np.ndarray, columns: np.ndarray, blocks: np.ndarray, Y: np.ndarray, P: np.ndarray) -> None:
    """Add the parts of r of held-out events to their blocks; a constant prediction has no part."""
    y = Y - Y.mean(axis=0, dtype=np.float64)
    p = P - P.mean(axis=0, dtype=np.float64)
    sy, sp = y.std(axis=0), p.std(axis=0)
    known = (sy > 0) & (sp > _FLAT * np.maximum(sy, 1e-300))
    y, p = y / np.where(sy > 0, sy, 1.0), p / np.where(known, sp, 1.0)
    r = np.where(known, (y * p).mean(axis=0), 0.0)
    parts = np.where(known, y * p - r / 2 * (y**2 + p**2) + r, 0.0)
    starts = np.flatnonzero(np.r_[True, np.diff(blocks) != 0])
    out[np.ix_(blocks[starts], columns)] += np.add.reduceat(parts, starts, axis=0)
