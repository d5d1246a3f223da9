"""Statistics of retrieval: score rows with chance, interval and permutation p, and the curve over repetitions.

Source: Clopper & Pearson 1934 for independent queries; the bootstrap resamples items, and subjects too where there
are several (Owen 2007, pigeonhole bootstrap); Phipson & Smyth 2010 for p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.evaluate._ranks import all_ranks, expected_rank, pairwise, reciprocal, top_credit, true_ranks
from braindec.stats.binomial import clopper_pearson
from braindec.stats.bootstrap import interval_of
from braindec.stats.permutation import permutation_p

_FEW = 5  # fewer subjects than this are not resampled: the interval then holds for these subjects
_DRAWS = 20  # random subsets of trials a point of the curve
_WORK = 2e10  # multiplications that a point of the curve may cost


@dataclass(frozen=True, eq=False)
class Pool:
    """The queries of one group and the candidates that they search.

    Parameters
    ----------
    label : str
        The group.
    queries : array of shape (n_queries, dim)
    candidates : array of shape (n_candidates, dim)
        Both scaled.
    true : array of int, shape (n_queries,)
        Row of the true candidate.
    item : array of int, shape (n_queries,)
        The item, numbered across groups.
    names : array of str, shape (n_candidates,)
    rows : array of int, shape (n_queries,)
        Place of the queries among all.
    """

    label: str
    queries: np.ndarray
    candidates: np.ndarray
    true: np.ndarray
    item: np.ndarray
    names: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class RankMetric:
    """A statistic of (above, tied, n_candidates): one value a query, then their mean or median."""

    name: str
    k: float
    of: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    chance: Callable[[int], float]
    median: bool = False
    higher: bool = True
    version: str = "1"

    def pool(self, values: np.ndarray) -> np.ndarray:
        """Mean or median over the last axis."""
        return np.median(values, axis=-1) if self.median else values.mean(axis=-1)


def make_metrics(topk: Sequence[int]) -> list[RankMetric]:
    """The metrics of a retrieval: top-k, median rank, mean reciprocal rank, pairwise identification."""
    top = [
        RankMetric(f"top{k}", k, lambda a, t, m, k=k: top_credit(a, t, k), lambda m, k=k: k / m)
        for k in sorted(set(topk))
    ]
    return [
        *top,
        RankMetric("median_rank", np.nan, lambda a, t, m: expected_rank(a, t), lambda m: (m + 1) / 2, True, False),
        RankMetric("mean_reciprocal_rank", np.nan, reciprocal, lambda m: float(np.sum(1 / np.arange(1, m + 1)) / m)),
        RankMetric("pairwise", np.nan, pairwise, lambda m: 0.5),
    ]


def score_pools(
    pools: Sequence[Pool],
    metrics: Sequence[RankMetric],
    *,
    n_permutations: int,
    n_bootstrap: int,
    rng: np.random.Generator,
    row: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the score table (each pool, then all pooled when there are several) and the table of queries."""
    items = np.unique(np.concatenate([p.item for p in pools]))
    keys = rng.random((n_permutations, len(items)))  # one permutation of the items for all groups
    pools = [replace(p, item=np.searchsorted(items, p.item)) for p in pools]
    above, tied, null = [], [], []
    for pool in pools:
        values = (
            _permuted(pool, metrics, keys)
            if n_permutations
            else ([], *true_ranks(pool.queries, pool.candidates, pool.true))
        )
        null.append(values[0])
        above.append(values[1])
        tied.append(values[2])
    lines: list[dict[str, Any]] = []
    sets = [[i] for i in range(len(pools))] + ([list(range(len(pools)))] if len(pools) > 1 else [])
    for chosen in sets:
        part = [pools[i] for i in chosen]
        label = part[0].label if len(part) == 1 else "pooled"
        group = np.repeat(np.arange(len(part)), [len(p.queries) for p in part])
        item = np.concatenate([p.item for p in part])
        weight = np.array([len(p.queries) for p in part]) / len(item)
        for number, metric in enumerate(metrics):
            of = [metric.of(above[i], tied[i], len(pools[i].candidates)) for i in chosen]
            drawn = [null[i][number] for i in chosen] if n_permutations else []
            chance = float(weight @ [metric.chance(len(p.candidates)) for p in part])
            lines += _lines(metric, np.concatenate(of), item, group, drawn, chance=chance, n_bootstrap=n_bootstrap, rng=rng,
                            row=row, label=label, n_candidates=max(len(p.candidates) for p in part))  # fmt: skip
    order = np.argsort(np.concatenate([p.rows for p in pools]))
    queries = pd.DataFrame({
        "rank": expected_rank(np.concatenate(above), np.concatenate(tied)),
        "tied": np.concatenate(tied),
        "n_candidates": np.concatenate([np.full(len(p.queries), len(p.candidates)) for p in pools]),
        "subject": np.concatenate([np.full(len(p.queries), p.label, dtype=object) for p in pools]),
    })  # fmt: skip
    return pd.DataFrame(lines), queries.iloc[order].reset_index(drop=True)


def _permuted(
    pool: Pool, metrics: Sequence[RankMetric], keys: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Values of every metric under each permutation of the items shown, (n_permutations, n_queries) or its mean.

    The trials of an item stay together and are given the identity of another item that was shown. Under the null the
    predictions say nothing about which item it was, so every such assignment was equally likely.
    """
    shown, item = np.unique(pool.item, return_inverse=True)
    column = np.empty(len(shown), dtype=np.int64)
    column[item] = pool.true
    order = np.argsort(keys[:, shown], axis=1)  # (permutation, item) -> item whose identity it gets
    n = len(pool.queries)
    above, tied = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    sums = [
        np.zeros((len(keys), n) if m.median else len(keys), dtype=np.float32 if m.median else float) for m in metrics
    ]
    for rows, up, ties in all_ranks(pool.queries, pool.candidates, column):
        line = np.arange(len(up))
        above[rows], tied[rows] = up[line, item[rows]], ties[line, item[rows]]
        step = max(1, 2_000_000 // len(line))
        for start in range(0, len(keys), step):
            drawn = slice(start, start + step)
            given = order[drawn][:, item[rows]]  # (permutation, query)
            a, t = up[line, given], ties[line, given]
            for metric, total in zip(metrics, sums, strict=True):
                values = metric.of(a, t, len(pool.candidates))
                if metric.median:
                    total[drawn, rows] = values
                else:
                    total[drawn] += values.sum(axis=1)
    return [s if m.median else s / n for m, s in zip(metrics, sums, strict=True)], above, tied


def _lines(
    metric: RankMetric,
    values: np.ndarray,
    item: np.ndarray,
    group: np.ndarray,
    drawn: list[np.ndarray],
    *,
    chance: float,
    n_bootstrap: int,
    rng: np.random.Generator,
    row: str,
    label: str,
    n_candidates: int,
) -> list[dict[str, Any]]:
    value = float(metric.pool(values))
    low, high, note = interval(values, item, group, median=metric.median, proportion=metric.name.startswith("top"),
                               n_bootstrap=n_bootstrap, rng=rng)  # fmt: skip
    common = {"subject": label, "metric": metric.name, "version": metric.version}
    counts = {"n": len(values), "k": metric.k, "n_candidates": n_candidates, "n_items": len(np.unique(item))}
    lines = [
        {
            **common,
            "row": row,
            "value": value,
            "chance": chance,
            "low": low,
            "high": high,
            "p": np.nan,
            "note": note,
            **counts,
        }
    ]
    if not drawn:
        return lines
    if metric.median:
        null = np.median(np.concatenate(drawn, axis=1), axis=1)
    else:
        null = np.average(drawn, axis=0, weights=np.bincount(group))
    sign = 1 if metric.higher else -1
    lines[0]["p"] = float(permutation_p(sign * value, sign * null))
    if row == "decoded":
        low, high = np.quantile(null, [0.025, 0.975])
        shuffled = {"value": float(null.mean()), "chance": chance, "low": float(low), "high": float(high), "p": np.nan}
        note = f"null of {len(null)} permutations of item identity"
        lines.append({**common, "row": "item_permutation", **shuffled, "note": note, **counts})
    return lines


def interval(
    values: np.ndarray,
    item: np.ndarray,
    group: np.ndarray,
    *,
    median: bool = False,
    proportion: bool = False,
    n_bootstrap: int = 2000,
    rng: np.random.Generator,
) -> tuple[float, float, str]:
    """95 % interval of the mean (or median) of values that come in items and groups.

    Parameters
    ----------
    values : array of shape (n,)
    item, group : array of int, shape (n,)
        Item and subject of each value.
    proportion : bool
        Values are hits between 0 and 1: exact interval when every item has one value.

    When all values are 0, or all are 1, there is nothing to resample: the interval of a mean is the exact one of as many
    hits as there are items.

    Returns
    -------
    low, high : float
    note : str
        How it was made.
    """
    item = np.unique(item, return_inverse=True)[1]
    group = np.unique(group, return_inverse=True)[1]
    n_items, n_groups = int(item.max()) + 1, int(group.max()) + 1
    whole = np.isin(values, (0.0, 1.0)).all()
    if proportion and n_groups == 1 and n_items == len(values) and whole:
        low, high = clopper_pearson(int(values.sum()), len(values))
        return low, high, "exact interval"
    if not median and np.ptp(values) == 0 and whole:  # nothing to resample: items count, not trials
        low, high = clopper_pearson(int(values[0]) * n_items, n_items)
        return low, high, f"exact interval over {n_items} items"
    if n_bootstrap < 1:
        return float("nan"), float("nan"), "no interval asked for"
    by_item = rng.multinomial(n_items, np.full(n_items, 1 / n_items), size=n_bootstrap)
    many = n_groups >= _FEW
    by_group = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_bootstrap) if many else None
    drawn = (_medians if median else _means)(values, item, group, by_item, by_group, n_groups)
    low, high = interval_of(drawn[np.isfinite(drawn)], n_units=min(n_items, n_groups) if many else n_items)
    over = f"{n_items} items" + (f" and {n_groups} subjects" if many else "")
    note = f"bootstrap over {over}" + (f"; holds for these {n_groups} subjects" if 1 < n_groups < _FEW else "")
    return low, high, note


def _means(values, item, group, by_item, by_group, n_groups) -> np.ndarray:
    cells = np.zeros((2, n_groups, by_item.shape[1]))
    np.add.at(cells[0], (group, item), values)
    np.add.at(cells[1], (group, item), 1.0)
    sums, counts = (c.sum(axis=0)[None] if by_group is None else by_group @ c for c in cells)  # (resample, item)
    total = (counts * by_item).sum(axis=1)
    return np.divide((sums * by_item).sum(axis=1), total, out=np.full(len(by_item), np.nan), where=total > 0)


def _medians(values, item, group, by_item, by_group, n_groups) -> np.ndarray:
    order = np.argsort(values, kind="stable")
    values, item, group = values[order], item[order], group[order]
    result = np.empty(len(by_item))
    step = max(1, 2_000_000 // len(values))
    for start in range(0, len(by_item), step):
        part = slice(start, start + step)
        weight = by_item[part][:, item] * (1 if by_group is None else by_group[part][:, group])
        reach = np.cumsum(weight, axis=1)
        half = reach[:, -1:] / 2
        low = (reach < half).sum(axis=1)  # the lower and the upper middle, as np.median has them
        high = (reach <= half).sum(axis=1)
        last = len(values) - 1
        result[part] = (values[np.minimum(low, last)] + values[np.minimum(high, last)]) / 2
        result[part][reach[:, -1] == 0] = np.nan
    return result


def repetition_curve(
    predicted: np.ndarray,
    vectors: np.ndarray,
    true: np.ndarray,
    labels: np.ndarray | None,
    *,
    direction: str,
    scale: Callable[[np.ndarray], np.ndarray],
    ks: Sequence[int] | None,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Top-1 when the predictions of ``k`` trials of an item are averaged (random trials, several draws).

    Items with fewer than ``k`` trials are left out of that point; ``n`` says how many are left.
    """
    names = np.array(["pooled"], dtype=object) if labels is None else np.unique(labels)
    group = np.zeros(len(true), dtype=int) if labels is None else np.searchsorted(names, labels)
    unit = np.unique(group * len(vectors) + true, return_inverse=True)[1]  # trials of one item in one subject
    counts = np.bincount(unit)
    if ks is None:
        most = int(np.median(counts))
        ks = sorted({1, *(2**i for i in range(1, 12) if 2**i < most), most})
    candidates, lines = scale(vectors), []
    for k in sorted({int(k) for k in ks}):
        kept = counts >= k
        if k < 1 or kept.sum() < 2:
            continue
        work = float(kept.sum()) * len(vectors) * vectors.shape[1]
        draws = 1 if (counts[kept] == k).all() else int(np.clip(_WORK / work, 1, _DRAWS))
        first = np.zeros(len(counts), dtype=np.int64)
        first[unit[::-1]] = np.arange(len(unit))[::-1]
        at = first[kept]
        if k == 1 and direction == "brain_to_image":  # every trial, not a draw of one
            hits = np.bincount(unit, top_credit(*true_ranks(scale(predicted), candidates, true), 1)) / counts
        else:
            hits = np.zeros(len(at))
            for _ in range(draws):
                means = _average(predicted, unit, kept, k, rng)
                hits += _hits(scale(means), candidates, true[at], group[at], direction) / draws
        sizes = np.bincount(group[at], minlength=len(names))
        for g in [*np.unique(group[at])] + ([None] if len(names) > 1 else []):
            mine = np.ones(len(at), dtype=bool) if g is None else group[at] == g
            low, high, _ = interval(
                hits[mine], true[at][mine], group[at][mine], proportion=True, n_bootstrap=n_bootstrap, rng=rng
            )
            n_candidates = len(vectors) if direction == "brain_to_image" else sizes[group[at][mine]].mean()
            lines.append({"subject": "pooled" if g is None else names[g], "k": k, "top1": hits[mine].mean(), "low": low,
                          "high": high, "n": int(mine.sum()), "chance": 1.0 / n_candidates})  # fmt: skip
    return pd.DataFrame(lines, columns=["subject", "k", "top1", "low", "high", "n", "chance"])


def _average(predicted: np.ndarray, unit: np.ndarray, kept: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Mean of ``k`` random trials of each unit that is kept, shape (n_kept, dim)."""
    order = np.lexsort((rng.random(len(unit)), unit))
    sizes = np.bincount(unit)
    place = np.arange(len(unit)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = order[(place < k) & kept[unit[order]]]
    return predicted[chosen].reshape(-1, k, predicted.shape[1]).mean(axis=1)


def _hits(means: np.ndarray, candidates: np.ndarray, true: np.ndarray, group: np.ndarray, direction: str) -> np.ndarray:
    if direction == "brain_to_image":
        return top_credit(*true_ranks(means, candidates, true), 1)
    hits = np.zeros(len(means))
    for g in np.unique(group):
        mine = np.flatnonzero(group == g)
        hits[mine] = top_credit(*true_ranks(candidates[true[mine]], means[mine], np.arange(len(mine))), 1)
    return hits
