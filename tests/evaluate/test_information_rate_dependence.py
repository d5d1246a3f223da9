"""Information rates of decisions that depend on one another: classes in blocks, decoders that drift, rates near 0 and at the top."""

from __future__ import annotations

import numpy as np

from braindec.evaluate.information_rate import information_rate, wolpaw_bits


def wandering(rng: np.random.Generator, n_runs: int, n: int) -> np.ndarray:
    """Decisions that know nothing and resemble the one before."""
    score = rng.standard_normal((n_runs, n))
    for k in range(1, n):
        score[:, k] = 0.85 * score[:, k - 1] + np.sqrt(1 - 0.85**2) * score[:, k]
    return (score > 0).astype(int).ravel()


def test_several_decisions_on_one_trial_are_no_independent_evidence():
    """A decision every half second, trials of 4 s: with single classes permuted 26 % of p were 0.05 or less."""
    p = []
    for seed in range(60):
        rng = np.random.default_rng([seed, 3])
        true = np.concatenate([np.repeat(rng.permutation(np.arange(6) % 2), 8) for _ in range(3)])
        found = information_rate(
            true, wandering(rng, 3, 48), seconds=0.5, groups=np.repeat([0, 1, 2], 48), n_permutations=39
        )
        p.append(found["p"][0])
        assert "blocks of decisions" in found["note"][0] and "whole blocks exchanged" in found["note"][0]
    assert np.mean(np.array(p) <= 0.05) <= 0.12 and min(p) < 0.3


def test_intervals_hold_nothing_where_there_is_nothing():
    """Near 0 a jackknife sees no spread: one interval in three did not hold 0."""
    covered = []
    for seed in range(80):
        rng = np.random.default_rng([seed, 4])
        true = np.concatenate([rng.permutation(np.arange(32) % 2) for _ in range(3)])
        found = information_rate(
            true, wandering(rng, 3, 32), seconds=60.0, groups=np.arange(96) // 32, n_permutations=0
        )
        covered.append([found["low"][i] <= 0 <= found["high"][i] for i in range(2)])
    assert (np.mean(covered, axis=0) >= 0.93).all()


def test_no_errors_in_few_decisions_are_no_certainty():
    true = np.tile(["a", "b"], 8)
    found = information_rate(true, true, seconds=60.0, n_permutations=0)
    assert np.allclose(found["high"], 1.0) and np.isclose(found["value"][1], 1.0)
    assert (found["low"] <= wolpaw_bits(0.8, 2)).all()  # 16 of 16: the exact interval of the accuracy begins at 0.79
