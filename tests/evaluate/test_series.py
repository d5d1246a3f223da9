"""Decoding of continuous variables: what was planted is found, what is not there is not, and p holds for slow signals."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.series import decode_series, delayed


def slow(n, k, rng, keep=0.95):
    """Autoregressive noise, (n, k), of unit variance."""
    from scipy.signal import lfilter

    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.normal(size=(n + 200, k)), axis=0)[200:]


def rows(found, row="decoded"):
    return found.scores[found.scores["row"] == row].set_index(["target", "metric"])


def test_what_was_planted_is_found():
    rng = np.random.default_rng(0)
    y = slow(600, 1, rng)
    X = np.roll(y, 2, axis=0) @ rng.normal(size=(1, 12)) + 0.5 * slow(600, 12, rng)  # signals lag by two samples
    Y = np.column_stack([y, y > 0.5, slow(600, 1, rng)])
    found = decode_series(
        X, Y, names=["y", "high", "else"], sfreq=2.0, delays=[-2, -1, 0], n_shifts=39, n_bootstrap=100
    )
    table = rows(found)
    r, r2 = table.loc[("y", "pearson")], table.loc[("y", "r2")]
    assert (
        r["value"] > 0.85 and r["p"] == 1 / 40 and r["low"] < r["value"] < r["high"] and 0.6 < r2["value"] < r["value"]
    )
    assert table.loc[("high", "auc"), "value"] > 0.9 and table.loc[("else", "pearson"), "p"] > 0.05
    assert r["value"] == pytest.approx(np.corrcoef(found.true[:, 0], found.predicted[:, 0])[0, 1])
    for control in ("label_shuffle", "noise_input", "time_only"):
        assert abs(rows(found, control).loc[("y", "pearson"), "value"]) < 0.5
    ahead = decode_series(X, Y[:, :1], names=["y"], sfreq=2.0, delays=[0], n_shifts=0, n_bootstrap=100, controls=())
    assert rows(ahead).loc[("y", "pearson"), "value"] < r["value"] and np.isnan(rows(ahead).loc[("y", "pearson"), "p"])


def test_test_rows_and_their_neighbours_are_never_trained_on():
    rng = np.random.default_rng(1)
    found = decode_series(
        rng.normal(size=(300, 4)),
        rng.normal(size=(300, 1)),
        names=["y"],
        sfreq=10.0,
        gap=1.5,
        n_shifts=0,
        n_bootstrap=100,
    )
    for train, test in found.folds:
        assert np.abs(train[:, None] - test[None]).min() > 15
    assert sorted(np.concatenate([t for _, t in found.folds])) == list(range(300))
    assert not np.isnan(found.predicted).any()


def test_same_seed_same_numbers_and_a_constant_offset_changes_nothing():
    rng = np.random.default_rng(2)
    X, y = slow(300, 5, rng), slow(300, 1, rng)
    options = {"names": ["y"], "sfreq": 1.0, "gap": 5.0, "n_shifts": 19, "n_bootstrap": 100}
    a, b = decode_series(X, y, **options), decode_series(X * 3 + 100, y * 2 + 7, **options)
    np.testing.assert_allclose(a.scores["value"].astype(float), b.scores["value"].astype(float), atol=1e-6)
    assert a.scores.equals(decode_series(X, y, **options).scores)


def test_delays_stay_inside_their_run():
    X = np.arange(6.0)[:, None]
    runs = np.array([0, 0, 0, 1, 1, 1])
    assert delayed(X, runs, [1, 0, -1]).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 4], [3, 4, 5], [4, 5, 5]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Y": np.ones((100, 1))}, "does not vary"), ({"Y": np.full((100, 1), np.nan)}, "targets are not finite"), ({"X": np.full((100, 2), np.inf)}, "signals are not finite"),
        ({"Y": np.ones((90, 1))}, "must fit"), ({"names": ["a", "b"]}, "must fit"), ({"delays": [5], "gap": 3.0}, "reach over the gap"), ({"gap": 60.0}, "too short"),
        ({"delays": []}, "whole samples"), ({"sfreq": 0.0}, "above 0"), ({"controls": ["x"]}, "unknown control"),
    ],
)  # fmt: skip
def test_bad_input(change, said):
    rng = np.random.default_rng(0)
    good = {
        "X": rng.normal(size=(100, 2)),
        "Y": rng.normal(size=(100, 1)),
        "names": ["y"],
        "sfreq": 1.0,
        "gap": 2.0,
        "n_shifts": 0,
    }
    given = {**good, **change}
    with pytest.raises(BraindecError, match=said):
        decode_series(given.pop("X"), given.pop("Y"), **given)


@pytest.mark.slow
def test_p_holds_for_slow_signals_that_share_nothing():
    rng = np.random.default_rng(7)
    p = []
    for seed in range(120):
        X, Y = slow(240, 6, rng, 0.9), slow(240, 3, rng, 0.9)
        found = decode_series(
            X, Y, names=["a", "b", "c"], sfreq=1.0, gap=5.0, n_shifts=39, n_bootstrap=100, controls=(), seed=seed
        )
        p += rows(found).xs("pearson", level="metric")["p"].tolist()
    rate = np.mean(np.array(p) <= 0.05)
    assert 0.02 <= rate <= 0.085, rate  # 360 tests, 5 % expected


def test_signals_and_targets_that_drift_share_nothing():
    rng = np.random.default_rng(8)
    p = []
    for seed in range(30):
        drift = np.linspace(-1.5, 1.5, 300)[:, None]
        X, y = slow(300, 4, rng, 0.8) + drift * rng.normal(size=(1, 4)), slow(300, 1, rng, 0.8) + drift
        found = decode_series(
            X, y, names=["y"], sfreq=1.0, gap=5.0, n_shifts=19, n_bootstrap=10, controls=(), seed=seed
        )
        p.append(rows(found).loc[("y", "pearson"), "p"])
    assert np.mean(np.array(p) <= 0.05) <= 0.2  # two thirds where the line is turned with the rest


def test_slow_targets_have_longer_blocks_and_wider_intervals():
    rng = np.random.default_rng(9)
    fast, late = slow(1200, 1, rng, 0.5), slow(1200, 1, rng, 0.98)
    X = np.column_stack([fast + slow(1200, 1, rng, 0.5), late + slow(1200, 1, rng, 0.98)])
    found = decode_series(
        X, np.column_stack([fast, late]), names=["fast", "late"], sfreq=2.0, n_shifts=0, n_bootstrap=200, controls=()
    )
    table = rows(found).xs("pearson", level="metric")
    assert "blocks of 20 s" in table.loc["fast", "note"]
    length = float(table.loc["late", "note"].split("blocks of ")[1].split(" s")[0])
    assert 60 < length < 150  # 4 x 25 s
    width = table["high"] - table["low"]
    assert width["late"] > 2 * width["fast"]
