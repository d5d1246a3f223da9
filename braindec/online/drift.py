"""Does a decoder fall off over runs? Scores run by run, a test of trend, and one way of learning against another.

A trend is tested by giving the runs every other order (all of them where there are few): under no drift their order says
nothing. Two ways of learning are compared on the same runs: the sign of each run's difference is flipped.

Source: Good (2005, Permutation, Parametric and Bootstrap Tests, chapter 3) for the test of trend; Vidaurre et al. (2011,
IEEE Trans Biomed Eng 58:587) for static against adapting decoders.
"""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from braindec import registry
from braindec.errors import BraindecError
from braindec.evaluate._exchange import exchange_in_order, exchange_of
from braindec.evaluate.metric import Metric, codes_of
from braindec.online.replay import Replay
from braindec.stats.bootstrap import bootstrap_interval, bootstrap_weights, interval_of
from braindec.stats.permutation import permutation_p, sign_flip_test

__all__ = ["Comparison", "Trend", "by_run", "compare", "rolling", "score", "score_interval", "score_p", "trend"]

_FEWEST_RUNS = 5
_EXACT = 7  # runs up to which all orders are tried


class Trend(NamedTuple):
    """Slope of scores over runs, a run; its two-sided p; the smallest p that so few runs can give."""

    slope: float
    p: float
    floor: float


class Comparison(NamedTuple):
    """Mean difference over runs, its interval, a two-sided p, and how many runs there are."""

    value: float
    low: float
    high: float
    p: float
    n: int


def score(found: Replay, metric: str = "balanced_accuracy") -> float:
    """Return a score over all decided windows; AUC compares windows of one run only."""
    measure, table = registry.get("evaluate.metrics", metric), found.decided
    parts = [_sums(measure, part, found.classes) for _, part in table.groupby(_run_of(table), sort=False)]
    if metric == "auc":
        return float(measure.combine(sum(p[0] for p in parts), sum(p[1] for p in parts)))
    return float(measure.combine(*_sums(measure, table, found.classes)))


def score_interval(
    found: Replay, metric: str = "balanced_accuracy", *, n_bootstrap: int = 1000, seed: int = 0
) -> tuple[float, float, str]:
    """Return the interval of :func:`score`: over runs when there are 5 or more, else over windows; and which it is.

    Windows that share one trial (a decision every so many s) have their class in blocks: then blocks are resampled.
    """
    measure, table = registry.get("evaluate.metrics", metric), found.decided
    runs = table.groupby(_run_of(table), sort=False).ngroup().to_numpy()
    codes = codes_of(table["true"].to_numpy(), found.classes)
    several, rng = len(np.unique(runs)) >= _FEWEST_RUNS, np.random.default_rng([seed, 6])
    units = runs if several else exchange_in_order(codes, runs).units
    single = len(np.unique(units)) == len(table)
    weights = bootstrap_weights(units, None if several else codes, n=n_bootstrap, rng=rng)
    if metric == "auc":
        sums = [_sums(measure, table[runs == r], found.classes, weights[:, runs == r]) for r in np.unique(runs)]
        above, below = (sum(s[i] for s in sums) for i in (0, 1))
    else:
        above, below = _sums(measure, table, found.classes, weights)
    defined = (below > 0).any(axis=1)
    fewest = min(len(np.unique(units[codes == k])) for k in np.unique(codes))
    n_units = len(np.unique(units)) if several or single else fewest
    low, high = interval_of(measure.combine(above[defined], below[defined]), n_units=n_units)
    how = (
        "interval over runs"
        if several
        else "interval over windows"
        if single
        else "interval over blocks of windows of one class"
    )
    if not several and not single and fewest < 2:
        return *measure.bounds, "a class has one block of windows only: the interval is everything"
    return max(measure.bounds[0], low), min(measure.bounds[1], high), how


def score_p(found: Replay, y: np.ndarray, metric: str, *, n_permutations: int, seed: int = 0) -> float:
    """Return p of a score when labels of the played windows change places and decisions stay.

    Right for a decoder that never saw these labels. Which labels may change places follows from the design, as in
    cross-validation. ``y`` are the classes of all windows; 0 permutations give NaN.
    """
    if not n_permutations:
        return np.nan
    measure, table, windows = registry.get("evaluate.metrics", metric), found.decided, found.windows
    codes = codes_of(y, found.classes)
    labellings = exchange_of(windows, codes, found.splits).draw(codes, found.splits, n=n_permutations, rng=np.random.default_rng([seed, 13]))  # fmt: skip
    rows = pd.Index(windows.ids).get_indexer(table["window_id"])
    scores = table[[f"score_{c}" for c in found.classes]].to_numpy(dtype=float)
    runs = (
        table.groupby(_run_of(table), sort=False).ngroup().to_numpy() if metric == "auc" else np.zeros(len(table), int)
    )

    def value(labels: np.ndarray) -> np.ndarray:
        parts = []
        for run in np.unique(runs):
            mine = runs == run
            given = np.broadcast_to(scores[mine], (len(labels), *scores[mine].shape))
            parts.append(
                measure.sums(
                    labels[:, mine], given if measure.needs == "scores" else given.argmax(axis=2), len(found.classes)
                )
            )
        return measure.combine(sum(p[0] for p in parts), sum(p[1] for p in parts))

    null, observed = value(labellings[:, rows]), value(codes[None, rows])[0]
    return float(permutation_p(observed, null))


def by_run(found: Replay, metric: str = "balanced_accuracy", *, n_bootstrap: int = 500, seed: int = 0) -> pd.DataFrame:
    """Return the score of each played run with an interval over its windows.

    Returns
    -------
    DataFrame
        session, run, block, value, low, high (NaN for ``n_bootstrap=0``), n; in order of time. Runs in which the score is not defined are left out.
    """
    measure, table = registry.get("evaluate.metrics", metric), found.decided
    rng, rows = np.random.default_rng([seed, 7]), []
    for _, part in table.groupby(_run_of(table), sort=False):
        codes = codes_of(part["true"].to_numpy(), found.classes)
        fewest = int(np.bincount(codes)[np.unique(codes)].min())
        above, below = _sums(measure, part, found.classes)
        if fewest < 2 or not (below > 0).any() or (metric == "auc" and len(np.unique(codes)) < 2):
            continue
        low, high = np.nan, np.nan
        if n_bootstrap:
            weights = bootstrap_weights(np.arange(len(part)), codes, n=n_bootstrap, rng=rng)
            low, high = interval_of(measure.combine(*_sums(measure, part, found.classes, weights)), n_units=fewest)
        value, first = float(measure.combine(above, below)), part.iloc[0]
        rows.append({"session": first.get("session"), "run": first.get("run"), "block": int(first["block"]), "value": value,
                     "low": max(measure.bounds[0], np.minimum(low, value)), "high": min(measure.bounds[1], np.maximum(high, value)), "n": len(part)})  # fmt: skip
    if not rows:
        raise BraindecError(f"{metric} is defined in no run that was played", found=f"{len(table)} decisions")
    return pd.DataFrame(rows)


def trend(values: Any, *, n_permutations: int = 4999, rng: np.random.Generator | int = 0) -> Trend:
    """Test whether scores of runs in order of time rise or fall.

    Parameters
    ----------
    values : array of shape (n_runs,)
    n_permutations : int
        Random orders for more than 7 runs; all orders otherwise.
    rng : Generator or int

    Raises
    ------
    BraindecError
        For fewer than 3 runs, or values that are not finite.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if values.ndim != 1 or n < 3 or not np.isfinite(values).all():
        raise BraindecError("a trend needs the scores of 3 runs or more", found=f"shape {values.shape}")
    place = np.arange(n) - (n - 1) / 2
    slope = float(place @ values / (place @ place))
    if n <= _EXACT:
        orders = np.array(list(permutations(range(n))))
        null = np.abs(values[orders] @ place)
        p = float(np.mean(null >= abs(place @ values) - 1e-12))
        return Trend(slope, p, 2 / factorial(n))
    rng = np.random.default_rng(rng)
    null = np.abs(np.array([rng.permutation(values) @ place for _ in range(n_permutations)]))
    return Trend(slope, float(permutation_p(abs(place @ values), null)), 1 / (n_permutations + 1))


def compare(new: Replay, old: Replay, metric: str = "balanced_accuracy", *, seed: int = 0) -> Comparison:
    """Compare two ways of learning on the same runs: ``new`` minus ``old``, run by run.

    Raises
    ------
    BraindecError
        If they played other runs, or only one.
    """
    a, b = by_run(new, metric, n_bootstrap=0), by_run(old, metric, n_bootstrap=0)
    joined = a.merge(b, on=["session", "run"], suffixes=("", "_old"))
    if len(joined) < 2:
        raise BraindecError("two replays are compared over 2 runs or more that both played", found=f"{len(joined)}")
    gain = (joined["value"] - joined["value_old"]).to_numpy()
    low, high = bootstrap_interval(gain, n=2000, rng=np.random.default_rng([seed, 8]))
    p = 1.0 if not gain.any() else sign_flip_test(gain, two_sided=True, rng=np.random.default_rng([seed, 9]))
    return Comparison(float(gain.mean()), max(-1.0, low), min(1.0, high), float(p), len(gain))


def rolling(found: Replay, width: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each decision from the ``width``-th on, its number and the balanced accuracy of the last ``width`` decisions."""
    table, classes = found.decided, found.classes
    codes, right = codes_of(table["true"].to_numpy(), classes), table["correct"].to_numpy(dtype=float)
    width = min(width, len(table))
    hits, seen = (np.zeros((len(table) + 1, len(classes))) for _ in range(2))
    hits[1:], seen[1:] = (
        np.cumsum(np.eye(len(classes))[codes] * w[:, None], axis=0) for w in (right, np.ones_like(right))
    )
    h, s = hits[width:] - hits[:-width], seen[width:] - seen[:-width]
    with np.errstate(invalid="ignore"):
        share = np.where(s > 0, h / np.maximum(s, 1), np.nan)
    return np.arange(width, len(table) + 1), np.nanmean(share, axis=1)


def _run_of(table: pd.DataFrame) -> list[str]:
    return [c for c in ("session", "run") if c in table] or ["block"]


def _sums(measure: Metric, part: pd.DataFrame, classes: np.ndarray, weights: np.ndarray | None = None) -> Any:
    codes = codes_of(part["true"].to_numpy(), classes)
    scores = part[[f"score_{c}" for c in classes]].to_numpy(dtype=float)
    given = scores if measure.needs == "scores" else scores.argmax(axis=1)
    return measure.sums(codes, given, len(classes), weights)
