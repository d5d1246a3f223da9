"""Surrogates: what they keep exactly, what they destroy, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.stats.surrogates import phase_randomized, shuffled_stimuli


def smooth(rng, n, p, width=8):
    window = np.hanning(width + 2)
    return (
        np.stack([np.convolve(rng.normal(size=n + width + 1), window, mode="valid")[:n] for _ in range(p)], axis=1) + 3
    )


@pytest.mark.parametrize("lengths", [(101,), (100,), (60, 61, 3), (4, 5)])
def test_means_power_and_relations_of_each_run_stay(lengths):
    rng = np.random.default_rng(0)
    X = smooth(rng, sum(lengths), 4)
    runs = np.repeat([f"run {k}" for k in range(len(lengths))], lengths)
    made = phase_randomized(X, runs=runs, rng=1)
    assert made.shape == X.shape and made.dtype == X.dtype
    start = 0
    for length in lengths:
        a, b = X[start : start + length], made[start : start + length]
        np.testing.assert_allclose(b.mean(axis=0), a.mean(axis=0))
        fa, fb = np.fft.rfft(a, axis=0), np.fft.rfft(b, axis=0)
        np.testing.assert_allclose(np.abs(fb), np.abs(fa), atol=1e-9)
        np.testing.assert_allclose(fb[:, 0] * fb[:, 1].conj(), fa[:, 0] * fa[:, 1].conj(), atol=1e-8)  # cross-spectrum
        np.testing.assert_allclose(b.T @ b, a.T @ a, rtol=1e-9)  # so all inner products
        start += length


def test_runs_do_not_touch_one_another():
    rng = np.random.default_rng(0)
    X, runs = rng.normal(size=(90, 2)), np.repeat([1, 2, 3], 30)
    other = X.copy()
    other[30:60] += 100
    a, b = phase_randomized(X, runs=runs, rng=5), phase_randomized(other, runs=runs, rng=5)
    np.testing.assert_array_equal(a[:30], b[:30])
    np.testing.assert_array_equal(a[60:], b[60:])


def test_the_relation_to_the_original_is_gone():
    X = smooth(np.random.default_rng(0), 400, 1)
    r = [np.corrcoef(X[:, 0], phase_randomized(X, rng=seed)[:, 0])[0, 1] for seed in range(300)]
    assert abs(np.mean(r)) < 0.03 and np.std(r) > 0.05


def test_same_seed_same_bytes_and_float32_stays():
    X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    assert phase_randomized(X, rng=3).tobytes() == phase_randomized(X, rng=3).tobytes()
    assert phase_randomized(X, rng=3).dtype == np.float32
    assert not np.array_equal(phase_randomized(X, rng=3), phase_randomized(X, rng=4))


def test_refusals():
    X = np.zeros((5, 1))
    with pytest.raises(BraindecError, match="a run of 1 row has no phase"):
        phase_randomized(X, runs=[1, 1, 1, 1, 2], rng=0)
    with pytest.raises(BraindecError, match="not neighbours"):
        phase_randomized(X, runs=[1, 1, 2, 1, 1], rng=0)
    with pytest.raises(BraindecError, match="finite"):
        phase_randomized(np.full((5, 1), np.nan), rng=0)


def test_stimuli_move_as_wholes():
    rng = np.random.default_rng(0)
    stimuli = rng.permutation(np.repeat(np.arange(20), 3))
    features = rng.normal(size=(20, 2))[stimuli]
    made = features[shuffled_stimuli(stimuli, rng=1)]
    given = {}
    for s, row in zip(stimuli, made, strict=True):
        np.testing.assert_array_equal(given.setdefault(s, row), row)  # one set of features a stimulus
    assert len({tuple(v) for v in given.values()}) == 20  # and each set used once
    assert (made != features).any(axis=1).mean() > 0.7


def test_repetitions_keep_their_order_and_unequal_counts_work():
    stimuli = np.array(["a", "b", "a", "b", "a"])
    seen = {tuple(shuffled_stimuli(stimuli, rng=seed)) for seed in range(20)}
    assert seen == {(0, 1, 2, 3, 4), (1, 0, 3, 2, 1)}


def test_groups_are_kept_apart():
    stimuli, groups = np.arange(40), np.repeat(["x", "y"], 20)
    rows = shuffled_stimuli(stimuli, groups=groups, rng=0)
    assert sorted(rows) == list(range(40)) and (groups[rows] == groups).all() and (rows != stimuli).any()
    with pytest.raises(BraindecError, match="two groups"):
        shuffled_stimuli(np.array(["a", "a"]), groups=["x", "y"], rng=0)
