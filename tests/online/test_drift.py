"""Trend over runs and comparisons of ways of learning: closed forms, and p that is right when nothing changes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.online.drift import by_run, compare, rolling, score, score_interval, trend
from braindec.online.replay import Replay


def made(rates: list[float], *, n: int = 60, seed: int = 0, session: int = 2) -> Replay:
    """A replay whose decisions are right with the probability of their run."""
    rng, tables = np.random.default_rng(seed), []
    for k, rate in enumerate(rates):
        true = rng.permutation(np.repeat(["a", "b"], n // 2))
        right = rng.random(n) < rate
        predicted = np.where(right, true, np.where(true == "a", "b", "a"))
        odds = np.where(predicted == "a", 1.0, -1.0) * rng.uniform(0.1, 1, n)
        tables.append(pd.DataFrame({"session": f"{k // session + 1:02d}", "run": f"{k % session + 1:02d}", "block": k, "true": true,
                                    "predicted": predicted, "correct": right, "score_a": odds, "score_b": -odds}))  # fmt: skip
    return Replay(pd.concat(tables, ignore_index=True), None, [], [], np.array(["a", "b"]), 0.0)  # type: ignore[arg-type]


def test_scores_of_runs_are_counted_by_hand():
    found = made([0.9, 0.6, 0.5])
    runs = by_run(found)
    for k, row in runs.iterrows():
        part = found.decisions[found.decisions["block"] == k]
        expected = np.mean([part.loc[part["true"] == c, "correct"].mean() for c in "ab"])
        assert row["value"] == pytest.approx(expected) and row["low"] <= expected <= row["high"] and row["n"] == 60
    assert score(found) == pytest.approx(
        np.mean([found.decisions.loc[found.decisions["true"] == c, "correct"].mean() for c in "ab"])
    )


def test_auc_compares_windows_of_one_run_only():
    found = made([0.8, 0.8])
    shifted = found.decisions.copy()
    shifted.loc[shifted["block"] == 1, "score_a"] += 100.0
    other = Replay(shifted, None, [], [], found.classes, 0.0)  # type: ignore[arg-type]
    assert score(other, "auc") == pytest.approx(score(found, "auc"))


def test_intervals_are_over_runs_when_there_are_enough():
    assert score_interval(made([0.8] * 6))[2] == "interval over runs"
    low, high, how = score_interval(made([0.8] * 3, n=200))
    assert how == "interval over windows" and low < 0.8 < high and high - low < 0.12


def test_trend_is_the_slope_and_its_p_is_exact_for_few_runs():
    values = np.array([0.9, 0.8, 0.85, 0.7, 0.6])
    found = trend(values)
    assert found.slope == pytest.approx(np.polyfit(np.arange(5), values, 1)[0])
    all_slopes = [abs(np.polyfit(np.arange(5), values[list(o)], 1)[0]) for o in permutations(range(5))]
    assert found.p == pytest.approx(
        np.mean(np.array(all_slopes) >= abs(found.slope) - 1e-12)
    ) and found.floor == pytest.approx(2 / 120)
    many = trend(np.linspace(0.9, 0.6, 12) + 0.01 * np.random.default_rng(0).standard_normal(12))
    assert many.p == many.floor
    with pytest.raises(BraindecError, match="3 runs"):
        trend([0.5, 0.6])


def test_rolling_is_a_mean_of_the_last_decisions():
    found = made([0.9, 0.3], n=100)
    place, course = rolling(found, 50)
    part = found.decisions.iloc[70:120]
    assert course[place == 120][0] == pytest.approx(
        np.mean([part.loc[part["true"] == c, "correct"].mean() for c in "ab"])
    )
    assert len(course) == 151


def test_a_lead_is_found_and_none_where_there_is_none():
    better = compare(made([0.9] * 8, seed=1), made([0.6] * 8, seed=2))
    assert better.low > 0.15 and better.p < 0.01 and better.n == 8
    same = made([0.7] * 6)
    assert compare(same, same).p == 1.0
    with pytest.raises(BraindecError, match="2 runs"):
        compare(made([0.9]), made([0.8]))


@pytest.mark.slow
def test_p_of_trend_and_lead_holds_its_rate_when_nothing_changes():
    rng = np.random.default_rng(0)
    trends = [trend(rng.normal(0.7, 0.05, n)).p for n in (6, 10) for _ in range(400)]
    share = np.mean(np.array(trends) <= 0.05)
    assert 0.03 <= share <= 0.07
    leads = [compare(made([0.7] * 8, n=30, seed=2 * k), made([0.7] * 8, n=30, seed=2 * k + 1)).p for k in range(60)]
    assert np.mean(np.array(leads) <= 0.05) <= 0.12
