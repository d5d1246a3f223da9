"""Information rates against closed forms, evidence against exact posteriors, and intervals and p that hold."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.information_rate import (
    accumulate,
    bits_per_minute,
    information_rate,
    mutual_information,
    stop_early,
    stopping_threshold,
    wolpaw_bits,
)


def channel(n: int, accuracy: float, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and decisions that are right with one probability and evenly wrong."""
    true = rng.integers(k, size=n)
    wrong = (true + rng.integers(1, k, size=n)) % k
    return true, np.where(rng.random(n) < accuracy, true, wrong)


def test_wolpaw_is_the_formula_and_zero_below_chance():
    p, n = 0.8, 4
    assert wolpaw_bits(p, n) == pytest.approx(np.log2(4) + 0.8 * np.log2(0.8) + 0.2 * np.log2(0.2 / 3))
    assert wolpaw_bits(1.0, 36) == pytest.approx(np.log2(36))  # 5.17 bits, as in the paper
    assert wolpaw_bits(0.9, 2) == pytest.approx(0.531, abs=1e-3)
    assert wolpaw_bits(0.25, 4) == wolpaw_bits(0.1, 4) == 0.0


def test_mutual_information_of_known_channels():
    flip = 0.1
    counts = np.array([[0.45, 0.05], [0.05, 0.45]]) * 1e6
    capacity = 1 + flip * np.log2(flip) + (1 - flip) * np.log2(1 - flip)
    assert mutual_information(counts) == pytest.approx(capacity, abs=1e-5)
    erasure = np.array([[0.35, 0.0, 0.15], [0.0, 0.35, 0.15]]) * 1e6  # 30 % not decided
    assert mutual_information(erasure) == pytest.approx(0.7, abs=1e-5)
    assert mutual_information(np.outer([3, 5], [2, 6]) * 1000.0) == pytest.approx(0, abs=1e-4)
    # even errors and equally likely classes: Wolpaw's formula is exact
    even = np.full((4, 4), 0.2 / 3 / 4) + np.eye(4) * (0.8 - 0.2 / 3) / 4
    assert mutual_information(even * 1e7, correct=False) == pytest.approx(wolpaw_bits(0.8, 4))


def test_the_bias_of_few_counts_is_taken_away():
    rng = np.random.default_rng(0)
    plain, corrected = [], []
    for _ in range(400):
        table = np.zeros((3, 3))
        np.add.at(table, channel(60, 1 / 3, 3, rng), 1)
        plain.append(mutual_information(table, correct=False))
        corrected.append(mutual_information(table))
    assert np.mean(plain) > 0.035 and abs(np.mean(corrected)) < 0.01


def test_a_rate_uses_the_true_time_of_a_trial():
    assert bits_per_minute(2.0, 4.0) == 30.0
    true, predicted = channel(400, 0.8, 4, np.random.default_rng(1))
    fast, slow = (information_rate(true, predicted, seconds=s, n_permutations=0) for s in (1.0, 4.0))
    assert np.allclose(fast["value"], 4 * slow["value"]) and np.allclose(fast["bits"], slow["bits"])
    assert list(fast["metric"]) == ["information_rate", "wolpaw_rate"]
    assert (fast["low"] < fast["value"]).all() and (fast["value"] < fast["high"]).all()


def test_wolpaw_is_left_out_where_choices_do_not_occur_alike():
    rng = np.random.default_rng(2)
    true = np.where(rng.random(600) < 0.85, "nontarget", "target")
    lazy = np.full(600, "nontarget")  # 85 % right, and says nothing
    found = information_rate(true, lazy, seconds=0.2, n_permutations=99)
    assert list(found["metric"]) == ["information_rate"] and abs(found["value"][0]) < 0.5 and found["p"][0] > 0.5
    assert "does not hold" in found["note"][0]


def test_evidence_adds_up_to_the_exact_posterior():
    rng = np.random.default_rng(3)
    likelihood = rng.uniform(0.1, 1, size=(5, 3, 4))
    found = accumulate(np.log(likelihood), [0, 1, 2, 3, 0], prior=[0.4, 0.3, 0.2, 0.1])
    exact = np.cumprod(likelihood, axis=1) * np.array([0.4, 0.3, 0.2, 0.1])
    assert np.allclose(np.exp(found.evidence), exact / exact.sum(axis=2, keepdims=True))
    assert np.array_equal(found.chosen, exact.argmax(axis=2))


def test_accuracy_rises_with_repeats_as_for_gaussian_evidence():
    from scipy.stats import norm

    rng, d = np.random.default_rng(4), 0.8
    true = rng.integers(2, size=4000)
    x = rng.standard_normal((4000, 6)) + d * (true[:, None] - 0.5)
    odds = d * x  # log odds of class 1 against class 0
    found = accumulate(np.stack([np.zeros_like(odds), odds], axis=2), true)
    assert np.allclose(found.accuracy, norm.cdf(d / 2 * np.sqrt(np.arange(1, 7))), atol=0.02)
    chosen, used = stop_early(found, 0.9)
    assert used.mean() < 5.5 and np.mean(chosen == true) > 0.8
    sure = np.mean(chosen[used < 6] == true[used < 6])
    assert sure >= 0.9 - 0.02  # a posterior of 0.9 is right in 9 of 10 cases or more (it overshoots)
    everything, n = stop_early(found, 1.1)
    assert (n == 6).all() and np.array_equal(everything, found.chosen[:, -1])


def test_the_threshold_is_the_best_on_training_selections():
    rng = np.random.default_rng(5)
    true = rng.integers(4, size=300)
    evidence = rng.standard_normal((300, 8, 4)) * 0.7
    evidence[np.arange(300), :, true] += 1.2
    found = accumulate(evidence, true)
    best = stopping_threshold(found, seconds_a_repeat=1.0, pause=2.0)

    def rate(threshold: float) -> float:
        chosen, used = stop_early(found, threshold)
        return bits_per_minute(wolpaw_bits(np.mean(chosen == true), 4), used.mean() + 2.0)

    assert rate(best) == pytest.approx(
        max(rate(t) for t in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999, 1.1))
    )
    assert rate(best) > rate(1.1)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: wolpaw_bits(1.2, 2), "accuracy from 0 to 1"),
    (lambda: wolpaw_bits(0.5, 1), "two choices"),
    (lambda: mutual_information(np.zeros((2, 2))), "needs counts"),
    (lambda: mutual_information(np.array([[1, -1], [0, 2]])), "needs counts"),
    (lambda: bits_per_minute(1.0, 0.0), "time from one decision"),
    (lambda: information_rate(["a"] * 20, ["a"] * 20, seconds=1.0), "one choice only"),
    (lambda: information_rate(["a", "b"], ["a", "b"], seconds=1.0), "10 decisions"),
    (lambda: accumulate(np.zeros((2, 3, 4)), [0, 4]), "none of the choices"),
    (lambda: accumulate(np.zeros((2, 3)), [0, 1]), "selection, repeat, choice"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(BraindecError, match=words):
        call()


@pytest.mark.slow
def test_intervals_cover_and_p_holds_its_rate():
    rng = np.random.default_rng(6)
    bits = wolpaw_bits(0.75, 3)
    covered, false = [], []
    for k in range(200):
        true, predicted = channel(240, 0.75, 3, rng)
        found = information_rate(
            true, predicted, seconds=60.0, groups=np.arange(240) // (30 if k % 2 else 240), n_permutations=0
        )
        covered.append(found["low"][0] <= bits <= found["high"][0])
        true, predicted = channel(90, 1 / 3, 3, rng)
        false.append(
            information_rate(true, predicted, seconds=60.0, groups=np.arange(90) // 30, n_permutations=99)[
                "p"
            ].to_numpy()[0]
            <= 0.05
        )
    assert 0.9 <= np.mean(covered) <= 0.99
    assert 0.02 <= np.mean(false) <= 0.085
