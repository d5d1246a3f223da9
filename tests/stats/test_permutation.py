"""Permutation tests against counting by hand, exact enumeration, and null simulations."""

from __future__ import annotations

from itertools import permutations
from math import exp

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.stats.permutation import (
    log_arrangements,
    log_turns,
    max_statistic,
    permutation_p,
    permute_units,
    permute_within,
    sign_flip_test,
    turn_within,
)


def test_p_counts_the_observed_value_and_ties():
    null = np.array([0.1, 0.2, 0.3, 0.4])
    assert permutation_p(0.3, null) == 3 / 5
    assert permutation_p(0.5, null) == 1 / 5
    assert permutation_p(0.3 + 1e-15, null) == 3 / 5  # equal up to rounding is a tie
    np.testing.assert_allclose(permutation_p([0.0, 1.0], np.stack([null, null], axis=1)), [1.0, 0.2])


@pytest.mark.parametrize(("observed", "null"), [(1.0, []), (np.nan, [1.0]), (1.0, [np.nan])])
def test_p_refuses_what_is_not_finite(observed, null):
    with pytest.raises(BraindecError):
        permutation_p(observed, np.array(null))


def test_permuting_within_groups_keeps_each_group_and_reaches_every_order():
    rng = np.random.default_rng(0)
    labels, groups = np.array([1, 2, 3, 10, 20]), np.array(["b", "a", "b", "a", "b"])
    seen = set()
    for _ in range(400):
        out = permute_within(labels, groups, rng)
        assert sorted(out[groups == "a"]) == [2, 10]
        assert sorted(out[groups == "b"]) == [1, 3, 20]
        seen.add(tuple(out))
    assert len(seen) == 12  # 2! * 3!


def test_permuting_is_uniform():
    rng = np.random.default_rng(1)
    counts = dict.fromkeys(permutations((0, 1, 2)), 0)
    for _ in range(6000):
        counts[tuple(permute_within(np.arange(3), None, rng).tolist())] += 1
    chi2 = sum((c - 1000) ** 2 / 1000 for c in counts.values())
    assert chi2 < 20.5  # p = 0.001 at 5 degrees of freedom


def test_units_move_as_a_whole():
    rng = np.random.default_rng(2)
    units = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    labels = np.array([0, 0, 1, 1, 1, 0, 1, 1])
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    seen = set()
    for _ in range(100):
        out = permute_units(labels, units, groups, rng)
        assert all(len(set(out[units == u])) == 1 for u in range(4))
        seen.add(tuple(out))
    assert len(seen) == 4


def test_number_of_arrangements():
    assert exp(log_arrangements(np.array([0, 0, 1, 1]))) == pytest.approx(6)
    assert exp(log_arrangements(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))) == pytest.approx(4)


def test_maximum_statistic_against_counting():
    null = np.array([[0.0, 3.0], [1.0, 2.0], [2.5, 0.0]])
    found = max_statistic(np.array([2.6, 0.5]), null)
    np.testing.assert_allclose(found.p, [2 / 4, 4 / 4])
    assert found.threshold == np.inf  # four values cannot reach 5 %
    assert max_statistic(np.array([-9.0, 0.5]), null, two_sided=True).p[0] == 1 / 4


def test_maximum_statistic_holds_the_family_wise_error_rate():
    rng = np.random.default_rng(3)
    mix = np.linalg.cholesky(0.6 * np.ones((20, 20)) + 0.4 * np.eye(20))
    hits = threshold_hits = 0
    for _ in range(1000):
        draws = rng.normal(size=(60, 20)) @ mix.T
        found = max_statistic(draws[0], draws[1:])
        hits += found.p.min() <= 0.05
        threshold_hits += draws[0].max() >= found.threshold
    assert 0.03 <= hits / 1000 <= 0.07
    assert threshold_hits == hits


def test_sign_flips_are_exact_for_few_values():
    values = np.array([0.3, 0.1, 0.4, -0.05])
    flips = np.array([[a, b, c, d] for a in (1, -1) for b in (1, -1) for c in (1, -1) for d in (1, -1)])
    means = flips @ values
    assert sign_flip_test(values) == np.mean(means >= values.sum() - 1e-12)
    assert sign_flip_test(values, two_sided=True) == np.mean(np.abs(means) >= abs(values.sum()) - 1e-12)
    assert sign_flip_test(np.ones(5)) == 1 / 32


@pytest.mark.parametrize("n", [8, 25])
def test_sign_flips_hold_their_level(n):
    rng = np.random.default_rng(4)
    p = [sign_flip_test(rng.standard_t(3, size=n), n_permutations=199, rng=rng) for _ in range(1500)]
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07


def test_sign_flips_refuse_one_subject():
    with pytest.raises(BraindecError, match="at least 2"):
        sign_flip_test(np.array([0.3]))


def test_turned_labels_keep_their_order_and_are_counted():
    groups, order = np.array([0, 1, 0, 1, 0, 0]), np.array([4, 2, 0, 5, 3, 1])
    labels = np.array([0, 1, 0, 1, 1, 1])  # in order: 1 0 0 1 | 1 1
    seen = {tuple(turn_within(labels, groups, order, np.random.default_rng(s))[order]) for s in range(100)}
    assert seen == {(*np.roll([1, 0, 0, 1], k), 1, 1) for k in range(4)}
    assert log_turns(labels, groups, order) == pytest.approx(np.log(4))
    assert log_turns(np.array([0, 1, 0, 1]), np.zeros(4, int), np.arange(4)) == pytest.approx(np.log(2))
