"""Scores of rows: one value an item and seed, the level of chance, and what exchanging items between stimuli gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.evaluate._control_items import Items
from braindec.evaluate._control_metrics import Scorer
from braindec.evaluate._control_pairs import as_unit, exchange_null, exchanges
from braindec.evaluate._control_tests import Flips
from braindec.stats.permutation import permutation_p

_OTHERS = 8  # other stimuli that dear metrics compare with, over all seeds
_FEWEST = 999  # exchanges at least: look-ups are cheap, and the check for leaks needs p-values below 1 %

__all__ = ["RowScore", "score_rows"]


@dataclass(frozen=True, eq=False)
class RowScore:
    """One metric of one row.

    Parameters
    ----------
    values : array of shape (n_seeds, n)
        NaN where the metric has no answer for a reason that holds for every row (an item that is alone in its category).
    chance : float
        Counted, or what the same made items score for other stimuli.
    p : float
        Above chance, one-sided; NaN without permutations, or where no two stimuli can be exchanged.
    null : array of shape (n_exchanges,), or None
        Mean score under each exchange of stimuli (the same exchanges for every row and metric).
    lost : int
        Items without an answer, over all seeds, that were given the metric's stand-in.
    flipped : array of shape (1 + n_flips,), or None
        Of dear metrics: the mean lead over other stimuli, observed and with signs flipped (the same signs for every row and metric).
    """

    values: np.ndarray
    chance: float
    p: float
    null: np.ndarray | None
    lost: int = 0
    flipped: np.ndarray | None = None

    @property
    def of_items(self) -> np.ndarray:
        """Mean over seeds, shape (n,)."""
        return self.values.mean(axis=0)

    @property
    def mean(self) -> float:
        """Mean over items and seeds."""
        return float(np.nanmean(self.values))

    @property
    def seed_sd(self) -> float:
        """Standard deviation of the mean over seeds; NaN for one seed."""
        return float(np.nanmean(self.values, axis=1).std(ddof=1)) if len(self.values) > 1 else float("nan")


def score_rows(
    made: Mapping[str, np.ndarray], true: np.ndarray, items: Items, all_scorers: Sequence[Scorer], *, n_permutations: int, rng: np.random.Generator
) -> dict[str, dict[str, RowScore]]:  # fmt: skip
    """Score every row by every metric: metric -> row -> :class:`RowScore`.

    One seed of one row is looked at at a time, so only one is in memory as floats.
    """
    n = max(n_permutations, _FEWEST) if n_permutations else 0
    orders = {
        w: exchanges(items.n_items, items.groups(within=w), n=n, rng=rng) for w in {s.within for s in all_scorers}
    }
    flips = Flips(items.code, n=n_permutations, rng=rng) if n_permutations else None
    others = _others(items, rng, most=max(_OTHERS, *(len(m) for m in made.values())))
    out: dict[str, dict[str, RowScore]] = {s.name: {} for s in all_scorers}
    bar = tqdm(total=sum(len(m) for m in made.values()), desc="control report", disable=None)
    for row, seeds in made.items():
        known = [_Sums(s, items, true) for s in all_scorers]
        for seed in range(len(seeds)):
            own = as_unit(seeds[seed])
            _check_finite(row, own)
            for one in known:
                one.add(own, others[seed :: len(seeds)])
            bar.update()
        for one in known:
            out[one.scorer.name][row] = one.finish(orders.get(one.scorer.within), flips)
    bar.close()
    return out


class _Sums:
    """One metric of one row, seed after seed."""

    def __init__(self, scorer: Scorer, items: Items, true: np.ndarray) -> None:
        self.scorer, self.items, self.true = scorer, items, true
        self.values: list[np.ndarray] = []
        self.pairs: np.ndarray | None = None
        self.here: list[np.ndarray] = []
        self.elsewhere: list[np.ndarray] = []
        self.lost = 0

    def add(self, made: np.ndarray, others: np.ndarray) -> None:
        """Score one seed, and by a dear metric also for the stimuli of ``others``."""
        scorer, items = self.scorer, self.items
        own = np.arange(items.n)
        pairs = None
        if scorer.pairs is not None:
            pairs = scorer.pairs(made, self.true[items.first], items.labels_of_items)
            self.pairs = pairs if self.pairs is None else self.pairs + pairs
        if pairs is not None and (
            scorer.exact or scorer.function is None
        ):  # trials of one stimulus are no distractors of one another
            self.values.append(pairs[own, items.code])
            return
        assert scorer.function is not None
        values, lost = scorer.function(made, self.true, items.labels)
        if scorer.within or not np.isfinite(values).all():
            values = np.where(lost, np.nan, values)
        else:
            self.lost += int(lost.sum())
        if np.isinf(values).any() or not np.isfinite(values).any() or (np.isnan(values).any() and not scorer.within):
            raise BraindecError(f"the metric {scorer.name} gave values that are not finite", found=f"{int((~np.isfinite(values)).sum())} of {len(values)}")  # fmt: skip
        self.values.append(values)
        if scorer.pairs is None:
            for order in others:
                place = items.first[order[items.code]]
                labels = None if items.labels is None else items.labels[place]
                self.elsewhere.append(scorer.function(made, self.true[place], labels)[0])
                self.here.append(values)

    def finish(self, orders: np.ndarray | None, flips: Flips | None) -> RowScore:
        """Return values, chance and p."""
        values, null, p, chance, flipped = np.array(self.values), None, float("nan"), self.scorer.chance, None
        sign = 1.0 if self.scorer.higher_is_better else -1.0
        if self.pairs is not None:
            pairs = self.pairs / len(values)
            if not np.isfinite(chance):
                own = pairs[np.arange(self.items.n), self.items.code]
                n = self.items.n_items
                chance = float((pairs.sum(axis=1) - own).mean() / (n - 1))
            if orders is not None and (orders != np.arange(self.items.n_items)).any():  # else nothing can be exchanged
                null = exchange_null(pairs, self.items.code, orders)
                own = pairs[np.arange(self.items.n), self.items.code]
                p = float(permutation_p(float(np.nanmean(own)), null))
        else:
            elsewhere = np.mean(self.elsewhere, axis=0)
            chance = chance if np.isfinite(chance) else float(np.nanmean(elsewhere))
            if flips is not None:
                lead = sign * (np.mean(self.here, axis=0) - elsewhere)
                turned, observed, _ = flips.null(lead)
                p, flipped = flips.p(lead), np.concatenate([[observed], turned])
        return RowScore(values, chance, p, null, self.lost, flipped)


def _others(items: Items, rng: np.random.Generator, *, most: int) -> np.ndarray:
    """Return a few exchanges of stimuli, one a seed at least, that leave none in its place (unless alone in its fold), (most, n_items)."""
    groups = items.groups(within=False)
    groups = np.zeros(items.n_items, dtype=int) if groups is None else groups
    out = np.tile(np.arange(items.n_items), (most, 1))
    for group in np.unique(groups):
        mine = rng.permutation(np.flatnonzero(groups == group))
        for k in range(most):
            out[k, mine] = np.roll(mine, 1 + k % max(1, len(mine) - 1))
    return out


def _check_finite(row: str, made: np.ndarray) -> None:
    if made.dtype.kind not in "OUS" and not np.isfinite(made).all():
        bad = int((~np.isfinite(made)).reshape(len(made), -1).any(axis=1).sum())
        raise BraindecError(f"the row {row!r} holds values that are not finite", found=f"{bad} of {len(made)} items")
