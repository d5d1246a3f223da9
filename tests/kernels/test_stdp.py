"""Weights of given spike trains: the compiled version equals the definition; parity with a simulator; closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec import registry
from braindec.errors import BraindecError
from braindec.kernels.short_term import transmit_factors
from braindec.kernels.stdp import apply_to_trains, apply_to_trains_numpy
from braindec.networks.plasticity_rule import PlasticityRule, Trace

RULES = [n for n in registry.names("networks.plasticity") if n != "short_term"]


def rule_of(name):
    rule = registry.get("networks.plasticity", name)
    return rule.with_params(w_max=1.0) if "w_max" in rule.params else rule


def poisson(rng, rate, seconds, n):
    trains = [np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds))) for _ in range(n)]
    return np.concatenate(trains), np.concatenate([[0], np.cumsum([len(t) for t in trains])]).astype(np.int64)


@pytest.mark.parametrize("name", RULES)
def test_numba_equals_the_definition_for_every_rule(name):
    rng = np.random.default_rng(3)
    pre, post = poisson(rng, 30, 0.6, 7), poisson(rng, 40, 0.6, 7)
    w0, m = rng.uniform(0.2, 0.8, 7), rng.uniform(0, 0.3, 50)
    options = {"dt": 1e-3, "stop": 0.7, "modulator": m}
    a = apply_to_trains_numpy(rule_of(name), pre, post, w0, **options)
    b = apply_to_trains(rule_of(name), pre, post, w0, **options)
    assert np.ptp(a.final - w0) > 1e-6, "the rule does something"
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(right, left, rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 60), max_size=12), st.lists(st.integers(0, 60), max_size=12), st.floats(0, 1), st.booleans()
)
def test_numba_equals_the_definition_for_any_trains(pre, post, w0, nearest):
    rule = rule_of("pair_stdp").with_params(a_plus=0.2, a_minus=0.25)
    if nearest:
        rule = replace(
            rule, pre_traces=(Trace("tau_plus", nearest=True),), post_traces=(Trace("tau_minus", nearest=True),)
        )
    trains = np.sort(np.array(pre, dtype=float)) * 1e-3, np.sort(np.array(post, dtype=float)) * 1e-3
    a = apply_to_trains_numpy(rule, *trains, w0, dt=1e-3)
    b = apply_to_trains(rule, *trains, w0, dt=1e-3)
    np.testing.assert_allclose(b.final, a.final, atol=1e-13)
    np.testing.assert_allclose(b.weights, a.weights, atol=1e-13)
    assert np.array_equal(a.steps, b.steps) and np.all(np.diff(a.steps) >= 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 10_000_000))
def test_later_by_a_whole_number_of_steps_changes_nothing(shift):
    rng = np.random.default_rng(0)
    pre, post = (np.sort(rng.integers(0, 4000, 40)) for _ in range(2))
    rule = rule_of("triplet_stdp")
    first = apply_to_trains(rule, pre * 1e-4, post * 1e-4, 0.5)
    later = apply_to_trains(rule, (pre + shift) * 1e-4, (post + shift) * 1e-4, 0.5)
    assert np.array_equal(first.weights, later.weights)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_parity_with_the_window_and_a_train_of_a_simulator(shared, backend):
    known = np.load(shared("neurons_brian2.npz", kind="parity"))
    lags, rule = known["stdp_lags_ms"] * 1e-3, rule_of("pair_stdp")
    one = np.arange(len(lags) + 1)
    window = apply_to_trains(rule, (np.full(len(lags), 0.2), one), (0.2 + lags, one), 0.5, backend=backend).final - 0.5
    np.testing.assert_allclose(window, known["stdp_dw"], atol=1e-12)
    train = apply_to_trains(
        rule, known["stdp_train_pre_ms"] * 1e-3, known["stdp_train_post_ms"] * 1e-3, 0.5, backend=backend
    )
    assert train.final[0] == pytest.approx(float(known["stdp_train_w_final"]), abs=1e-12)


def test_a_spike_of_both_in_one_step_counts_as_presynaptic_first():
    got = apply_to_trains(rule_of("pair_stdp"), [0.01], [0.01], 0.5)
    assert got.final[0] == pytest.approx(0.51) and got.steps.tolist() == [100, 100]
    assert got.weights.tolist() == pytest.approx([0.5, 0.51])


def test_the_sum_over_all_pairs_is_the_closed_form():
    rng = np.random.default_rng(1)
    pre, post = (np.sort(rng.choice(20_000, 60, replace=False)) * 1e-4 for _ in range(2))
    lag = post[None] - pre[:, None]
    expected = np.sum(np.where(lag >= 0, 0.01 * np.exp(-lag / 0.02), 0)) - np.sum(
        np.where(lag < 0, 0.0105 * np.exp(lag / 0.02), 0)
    )
    free = rule_of("pair_stdp").with_params(w_min=-1e9)
    assert apply_to_trains(free, pre, post, 0.3).final[0] - 0.3 == pytest.approx(expected, abs=1e-10)


def test_weights_stay_within_bounds():
    rng = np.random.default_rng(5)
    rule = rule_of("pair_stdp").with_params(a_plus=0.5, a_minus=0.5)
    got = apply_to_trains(rule, poisson(rng, 50, 2, 20), poisson(rng, 50, 2, 20), 0.5)
    assert got.weights.min() == 0.0 and got.weights.max() == 1.0


def test_a_rule_of_periods_runs_at_whole_periods_up_to_the_stop():
    seen = PlasticityRule("count", {"period": 0.01, "w_max": 100.0}, on_period=lambda w, x, y, m, p: w + 1.0)
    assert apply_to_trains(seen, [0.5], [], 0.0, stop=0.0345).final[0] == 3.0
    assert apply_to_trains(seen, [0.05], [], 0.0, backend="numpy").final[0] == 5.0
    assert apply_to_trains(seen, [], [], 0.0).final[0] == 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pre_times": [0.2, 0.1]}, "not sorted"),
        ({"pre_times": [np.nan]}, "finite"),
        ({"post_times": [-0.1]}, "before time 0"),
        ({"w0": 1.5}, "do not fit"),
        ({"w0": [0.1, 0.2]}, "do not fit"),
        ({"dt": 0.05}, "larger than tau_plus"),
        ({"dt": 0.0}, "dt must be"),
        ({"modulator": [np.inf]}, "modulator"),
        ({"backend": "fpga"}, "no version"),
        ({"rule": "short_term"}, "does not change weights"),
    ],
)
def test_wrong_input_is_one_clear_error(change, words):
    call = {"rule": "pair_stdp", "pre_times": [0.1], "post_times": [0.2], "w0": 0.5, **change}
    rule = registry.get("networks.plasticity", call.pop("rule"))
    with pytest.raises(BraindecError, match=words):
        apply_to_trains(rule, call.pop("pre_times"), call.pop("post_times"), call.pop("w0"), **call)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0, 3), max_size=15), st.sampled_from([0.0, 0.02, 1.0]), st.floats(0.01, 1), st.floats(0.05, 0.95)
)
def test_short_term_factors_equal_the_definition(times, tau_f, tau_r, use):
    rule = registry.get("networks.plasticity", "short_term").with_params(
        tau_facilitation=tau_f, tau_recovery=tau_r, use=use
    )
    a, b = (transmit_factors(rule, np.sort(times), backend=k) for k in ("numpy", "numba"))
    np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-15)
    assert np.all((a >= 0) & (a <= 1))
    if len(times):
        assert a[0] == pytest.approx(use), "a rested synapse releases its share"


def test_short_term_factors_of_many_trains_and_wrong_rules():
    rule = registry.get("networks.plasticity", "short_term")
    both = transmit_factors(rule, (np.array([0.1, 0.2, 0.1, 0.2]), np.array([0, 2, 4])))
    assert both[:2].tolist() == both[2:].tolist() == transmit_factors(rule, [0.1, 0.2]).tolist()
    with pytest.raises(BraindecError, match="no short-term"):
        transmit_factors(registry.get("networks.plasticity", "oja"), [0.1])
    with pytest.raises(BraindecError, match="before time 0"):
        transmit_factors(rule, [-0.1])
