"""Rules that steer rates or norms: inhibition to a target rate, Oja to the principal component, scaling, short-term."""

import numpy as np
import pytest

from braindec import registry
from braindec.kernels.short_term import transmit_factors
from braindec.kernels.stdp import apply_to_trains


def get(name, **params):
    return registry.get("networks.plasticity", name).with_params(**params)


def train(rng, rate, seconds):
    return np.sort(rng.uniform(0, seconds, rng.poisson(max(rate, 0.0) * seconds)))


def ragged(trains):
    return np.concatenate(trains), np.concatenate([[0], np.cumsum([len(t) for t in trains])]).astype(np.int64)


@pytest.mark.parametrize("post_rate", [2.0, 5.0, 9.0])
def test_inhibitory_rule_drifts_by_the_distance_from_the_target_rate(post_rate):
    rng = np.random.default_rng(int(post_rate))
    n, seconds, eta = 150, 40.0, 1e-4
    pre = ragged([train(rng, 10, seconds) for _ in range(n)])
    post = ragged([train(rng, post_rate, seconds) for _ in range(n)])
    change = apply_to_trains(get("vogels_inhibitory", eta=eta, rho=5.0), pre, post, 0.5).final - 0.5
    expected = 2 * eta * 20e-3 * 10 * (post_rate - 5.0) * seconds
    assert abs(change.mean() - expected) < 4 * change.std() / np.sqrt(n)


def test_inhibitory_rule_brings_a_driven_neuron_to_the_target():
    rng = np.random.default_rng(0)
    rule, w, rates = get("vogels_inhibitory", eta=0.01, rho=5.0), np.full(20, 0.1), []
    for _ in range(150):  # the neuron fires at 40 Hz less what 20 inhibitory neurons of 10 Hz take away
        rates.append(max(40.0 - 4.0 * w.sum(), 0.0))
        post = train(rng, rates[-1], 1.0)
        w = apply_to_trains(rule, ragged([train(rng, 10, 1.0) for _ in w]), ragged([post] * len(w)), w).final
    assert rates[0] > 30 and np.mean(rates[-50:]) == pytest.approx(5.0, abs=1.0)


def test_oja_turns_weights_to_the_principal_component_of_norm_1():
    rng = np.random.default_rng(1)
    mixing = np.array([1.0, 0.8, 0.6, 0.3, 0.1])
    rule, w, drawn = get("oja", eta=2e-3), rng.uniform(0.2, 1.0, 5), []
    for _ in range(400):
        x = mixing * rng.uniform(0, 3) + rng.uniform(0, 0.5, 5)  # inputs in units of 10 Hz, one common cause
        drawn.append(x)
        post = train(rng, 10.0 * w @ x, 1.0)
        w = apply_to_trains(rule, ragged([train(rng, 10.0 * r, 1.0) for r in x]), ragged([post] * 5), w).final
    values, vectors = np.linalg.eigh(np.mean([np.outer(x, x) for x in drawn], axis=0))
    principal = np.abs(vectors[:, -1])
    assert np.linalg.norm(w) == pytest.approx(1.0, abs=0.08)
    assert w @ principal / np.linalg.norm(w) > 0.99
    assert values[-1] > 3 * values[-2]


def test_scaling_follows_its_closed_form_and_keeps_ratios():
    rule = get("homeostatic", eta=0.05, target=8.0, tau_rate=0.5, period=0.2, w_max=100.0)
    post = np.arange(1, 200) * 0.05  # 20 Hz
    got = apply_to_trains(rule, ([], [0, 0, 0]), ragged([post, post]), [1.0, 3.0], dt=1e-3, stop=9.9).final
    w = 1.0
    for k in range(1, 50):
        trace = np.exp(-(0.2 * k - post[post < 0.2 * k - 1e-9]) / 0.5).sum()
        w *= 1 + 0.05 * (1 - trace / (0.5 * 8.0))
    assert got[0] == pytest.approx(w, rel=1e-9) and w < 0.1
    assert got[1] / got[0] == pytest.approx(3.0)


def test_scaling_brings_a_neuron_to_its_target():
    rng = np.random.default_rng(2)
    rule = get("homeostatic", eta=0.1, target=5.0, tau_rate=0.5, period=0.5, w_max=100.0)
    for start in (0.2, 4.0):
        w = np.array([start])
        for _ in range(60):  # each piece of 4 s is long against the trace's 0.5 s
            post = train(rng, 10.0 * w[0], 4.0)
            w = apply_to_trains(rule, [], post, w, stop=4.0, dt=1e-3).final
        assert 10.0 * w[0] == pytest.approx(5.0 * 8 / 7.42, rel=0.15)  # the trace is still rising in the first 0.5 s


@pytest.mark.parametrize(("tau_f", "tau_r", "use"), [(0.0, 0.8, 0.5), (1.0, 0.13, 0.03), (0.3, 0.3, 0.2)])
@pytest.mark.parametrize("rate", [5.0, 20.0, 60.0])
def test_short_term_plasticity_reaches_its_steady_state(tau_f, tau_r, use, rate):
    rule = get("short_term", tau_facilitation=tau_f, tau_recovery=tau_r, use=use)
    got = transmit_factors(rule, np.arange(1, 2000) / rate)
    keep_u = np.exp(-1 / (rate * tau_f)) if tau_f else 0.0
    u = use / (1 - (1 - use) * keep_u)
    lost = np.exp(-1 / (rate * tau_r))
    r = (1 - lost) / (1 - (1 - u) * lost)
    assert got[-1] == pytest.approx(u * r, rel=1e-9)


def test_depressing_and_facilitating_synapses_are_told_apart():
    times = np.arange(1, 8) / 20
    down = transmit_factors(get("short_term"), times)
    up = transmit_factors(get("short_term", tau_facilitation=1.0, tau_recovery=0.13, use=0.03), times)
    assert np.all(np.diff(down) < 0) and up[3] > 2 * up[0]
