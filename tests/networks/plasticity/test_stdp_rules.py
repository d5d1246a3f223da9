"""Windows, drifts and fixed points of the rules of spike timing against their closed forms."""

import numpy as np
import pytest

from braindec import registry
from braindec.kernels.stdp import apply_to_trains


def get(name, **params):
    return registry.get("networks.plasticity", name).with_params(**params)


def ragged(trains):
    return np.concatenate(trains), np.concatenate([[0], np.cumsum([len(t) for t in trains])]).astype(np.int64)


def poisson(rng, rate, seconds, n):
    return ragged([np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds))) for _ in range(n)])


def test_pair_rule_drifts_as_the_areas_of_its_window_say():
    rng = np.random.default_rng(0)
    rule = get("pair_stdp", a_plus=1e-4, a_minus=2e-4, tau_plus=30e-3, tau_minus=10e-3)
    n, seconds = 200, 50
    change = apply_to_trains(rule, poisson(rng, 10, seconds, n), poisson(rng, 20, seconds, n), 0.5).final - 0.5
    expected = 10 * 20 * seconds * (1e-4 * 30e-3 - 2e-4 * 10e-3)
    assert abs(change.mean() - expected) < 4 * change.std() / np.sqrt(n)
    assert expected > 8 * change.std() / np.sqrt(n), "the test could see another sign"


def test_multiplicative_rule_settles_where_both_changes_are_equal():
    rng = np.random.default_rng(1)
    rule = get("weight_dependent_stdp", mu_plus=1.0, mu_minus=1.0, eta=0.01, alpha=1.5)
    n = 60
    pre, post = poisson(rng, 30, 60, n), poisson(rng, 30, 60, n)
    low, high = (apply_to_trains(rule, pre, post, w).final for w in (0.05, 0.95))
    assert low.mean() == pytest.approx(1 / 2.5, abs=0.02) and high.mean() == pytest.approx(1 / 2.5, abs=0.02)


def test_weight_dependent_rule_with_mu_0_is_the_additive_one():
    rng = np.random.default_rng(2)
    pre, post = poisson(rng, 30, 2, 5), poisson(rng, 30, 2, 5)
    a = apply_to_trains(get("weight_dependent_stdp", mu_plus=0.0, mu_minus=0.0, eta=0.01, alpha=1.05), pre, post, 0.5)
    b = apply_to_trains(get("pair_stdp"), pre, post, 0.5)
    np.testing.assert_allclose(a.final, b.final, atol=1e-12)


def pairing(rate, lag, n=60, start=0.1):
    pre = start + np.arange(n) / rate
    return pre, pre + lag


@pytest.mark.parametrize("rate", [10.0, 20.0, 50.0])
@pytest.mark.parametrize("lag", [-10e-3, 10e-3])
def test_triplet_rule_under_pairings_is_the_sum_over_its_triplets(rate, lag):
    p = get("triplet_stdp").params
    pre, post = pairing(rate, lag)
    back = lambda now, past, tau: sum(np.exp(-(now - t) / tau) for t in past if t < now - 1e-9)  # noqa: E731
    up = sum(back(t, pre, p["tau_plus"]) * (p["a2_plus"] + p["a3_plus"] * back(t, post, p["tau_y"])) for t in post)
    down = sum(back(t, post, p["tau_minus"]) * (p["a2_minus"] + p["a3_minus"] * back(t, pre, p["tau_x"])) for t in pre)
    rule = get("triplet_stdp", w_min=-1e3, w_max=1.0)
    got = apply_to_trains(rule, pre, post, 0.0).final[0]
    assert got == pytest.approx(up - down, abs=1e-9)


def test_triplet_rule_potentiates_at_high_rates_whatever_the_order_and_pairs_do_not():
    change = lambda name, rate, lag: apply_to_trains(get(name, w_min=-1e3), *pairing(rate, lag), 0.0).final[0]  # noqa: E731
    assert change("triplet_stdp", 1.0, -10e-3) < -0.1, "post before pre depresses at a low rate"
    assert abs(change("triplet_stdp", 1.0, 10e-3)) < 0.05, "and pre before post does nothing there, as in visual cortex"
    assert change("triplet_stdp", 50.0, -10e-3) > 0.3, "at 50 Hz both orders potentiate"
    assert change("triplet_stdp", 50.0, 10e-3) > 0.3
    assert change("pair_stdp", 50.0, -10e-3) < 0, "the pair rule keeps its sign"


def test_astrocyte_rule_with_a_constant_state_is_a_pair_rule_with_that_depression():
    rng = np.random.default_rng(3)
    pre, post = poisson(rng, 30, 2, 5), poisson(rng, 30, 2, 5)
    a = apply_to_trains(get("astrocyte_stdp", w_max=1.0), pre, post, 0.5, modulator=0.12)
    b = apply_to_trains(get("pair_stdp", a_plus=0.015, a_minus=0.012, tau_plus=10e-3, tau_minus=10e-3), pre, post, 0.5)
    np.testing.assert_allclose(a.final, b.final, atol=1e-12)


def test_a_higher_astrocyte_state_depresses_more():
    rng = np.random.default_rng(4)
    pre, post = poisson(rng, 30, 2, 50), poisson(rng, 30, 2, 50)
    means = [
        apply_to_trains(get("astrocyte_stdp"), pre, post, 1.0, modulator=m).final.mean() for m in (0.05, 0.15, 0.25)
    ]
    assert means[0] > means[1] > means[2]
