"""Random search over band weights: every draw on all targets, or successive halving on a growing random subsample.

Targets differ in the draw that suits them, so draws are not ranked by their mean score: kept is the set that loses
least when each target of the subsample takes the best draw of the set (a greedy cover, whose gain has diminishing
returns: Nemhauser, Wolsey & Fisher 1978). Penalties are searched near the best one of the draws before.

Source: Jamieson & Talwalkar 2016 (AISTATS), successive halving.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.ridge._crossval import CrossValidation
from braindec.ridge._targets import Targets

__all__ = ["Search", "cover", "search_all", "search_halving"]

_FIRST = 1 / 20  # share of the targets in the first round
_FEWEST = 256  # targets in the first round
_STRIDE, _FINE = 2, 8  # a grid of so many penalties or more is thinned while draws are compared
_GROWTH = 4  # the subsample of a round is so many times that of the round before
_KEEP = 1 / 3  # share of the draws that a round keeps at most, and never fewer than the last round may have
_LAST = 12  # draws that all targets may be scored with
_ENOUGH = 0.999  # of what all draws gain over the best single one


@dataclass(eq=False)
class Search:
    """Best draw and penalty of each target so far.

    Parameters
    ----------
    place, draw : arrays of shape (t,), int
        Place of the penalty in the grid; row of the draw.
    score : array of shape (t,)
        -inf where nothing was tried.
    scores : array of shape (n_alphas, t)
        Of the best draw; NaN for penalties that were not tried.
    best : array of shape (n_draws, t) or (n_draws, 0)
        Best score with each draw, kept on subsamples only.
    draw_scores : array of shape (n_draws,)
        Mean over targets of the best score with each draw; NaN for draws that were not tried on all targets.
    """

    place: np.ndarray
    draw: np.ndarray
    score: np.ndarray
    scores: np.ndarray
    best: np.ndarray
    draw_scores: np.ndarray

    @classmethod
    def empty(cls, n_alphas: int, t: int, n_draws: int, *, keep: bool) -> Search:
        """Nothing tried yet."""
        return cls(
            np.zeros(t, dtype=int), np.zeros(t, dtype=int), np.full(t, -np.inf), np.full((n_alphas, t), np.nan),
            np.full((n_draws, t if keep else 0), np.nan), np.full(n_draws, np.nan),
        )  # fmt: skip

    def update(self, draw: int, found: np.ndarray) -> None:
        """Take the scores (n_alphas, t) of a draw where they are better; of equals the earlier stays."""
        filled = np.where(np.isnan(found), -np.inf, found)
        place = filled.argmax(axis=0)
        score = filled[place, np.arange(found.shape[1])]
        better = score > self.score
        self.place[better], self.draw[better], self.score[better] = place[better], draw, score[better]
        self.scores[:, better] = found[:, better]
        if self.best.size:
            self.best[draw] = score
        fitted = np.isfinite(score)
        self.draw_scores[draw] = score[fitted].mean() if fitted.any() else np.nan


def search_all(validation: CrossValidation, gammas: np.ndarray, targets: Targets) -> Search:
    """Score every target with every draw and every penalty."""
    search = Search.empty(len(validation.alphas), targets.t, len(gammas), keep=False)
    for draw, gamma in enumerate(gammas):
        search.update(draw, validation.scores(gamma, targets))
    return search


def search_halving(
    validation: CrossValidation, gammas: np.ndarray, targets: Targets, rng: np.random.Generator
) -> Search:
    """Drop draws that help no target of a subsample; score all targets with those that are left."""
    order = rng.permutation(np.flatnonzero(~targets.skipped))
    size, draws = max(_FEWEST, int(len(order) * _FIRST)), np.arange(len(gammas))
    coarse = validation.with_every(_STRIDE) if len(validation.alphas) >= _FINE else validation
    guess = None
    while len(draws) > 2 and size * 2 <= len(order):
        sample = Targets(targets.gather(np.sort(order[:size])), targets.n, centre=False, block=targets.block)
        found = _search_near(coarse, gammas, draws, sample, keep=True)
        draws = draws[cover(found.best[draws], max(_LAST, int(np.ceil(len(draws) * _KEEP))))]
        guess = int(np.searchsorted(validation.alphas, coarse.alphas[int(np.median(found.place))]))
        size *= _GROWTH
        if len(draws) <= _LAST:
            break
    return _search_near(validation, gammas, draws, targets, keep=False, guess=guess)


def cover(scores: np.ndarray, size: int) -> np.ndarray:
    """Rows of (draw, target) scores, at most ``size``, whose best-of-set mean is greedily the highest; sorted."""
    scores = np.where(np.isfinite(scores), scores, 0.0)
    least, most = scores.mean(axis=1).max(), scores.max(axis=0).mean()
    chosen: list[int] = []
    best = np.full(scores.shape[1], -np.inf)
    while len(chosen) < min(size, len(scores)):
        chosen.append(int(np.argmax(np.maximum(scores, best).mean(axis=1))))
        best = np.maximum(best, scores[chosen[-1]])
        if best.mean() >= least + _ENOUGH * (most - least):
            break
    return np.sort(np.array(chosen))


def _search_near(
    validation: CrossValidation, gammas: np.ndarray, draws: np.ndarray, targets: Targets, *, keep: bool,
    guess: int | None = None,
) -> Search:  # fmt: skip
    """Score draws near the best penalty so far; the first draw with all penalties, or near one guess for all targets."""
    search = Search.empty(len(validation.alphas), targets.t, len(gammas), keep=keep)
    for k, draw in enumerate(draws):
        if k == 0 and guess is None:
            found = validation.scores(gammas[draw], targets)
        else:
            found = validation.scores_near(gammas[draw], targets, search.place if k else np.full(targets.t, guess))
        search.update(int(draw), found)
    return search
