"""HMM-GLMs: planted states and couplings come back, EM never goes down, one state is the GLM, no future in filtering."""

import itertools

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes._hmm_steps import Weights, expected, flatten, sums, unflatten
from braindec.spikes._hmm_trials import make_trials
from braindec.spikes._links import link_named
from braindec.spikes.bases import exponential, raised_cosine
from braindec.spikes.glm import PoissonGLM
from braindec.spikes.hmm_glm import HMMGLM
from braindec.spikes.planted_states import planted_states
from braindec.spikes.population_glm import PopulationGLM
from braindec.spikes.states import choose_n_states, compare, match_states, structure_auc
from braindec.types import Spikes


@pytest.fixture(scope="module")
def planted():
    return planted_states(n_states=2, n_units=6, n_trials=14, n_bins=600, rng=0)


@pytest.fixture(scope="module")
def fitted(planted):
    options = {"link": "sigmoid", "n_restarts": 2}
    return {p: HMMGLM(2, prior=p, **options).fit(planted.counts[:8]) for p in ("none", "gaussian", "one_hot")}


@pytest.mark.parametrize("prior", ["none", "gaussian", "one_hot"])
def test_planted_states_and_structure_come_back(planted, fitted, prior):
    model, test, true = fitted[prior], planted.counts[8:], planted.states[8:]
    matched = match_states(true, [p.argmax(axis=1) for p in model.posterior(test)], 2)
    assert matched.accuracy >= 0.9
    assert match_states(true, model.viterbi(test), 2).accuracy >= 0.9
    found = structure_auc(planted.sign, model.strengths()[matched.order])
    assert found["structure"] >= 0.9 and found["connected"] >= 0.9
    plain = HMMGLM(1, link="sigmoid").fit(planted.counts[:8])
    assert model.score(test) > plain.score(test) + 0.03 and compare(model.gain(test), plain.gain(test)) == 1 / 64
    stay = np.diag(model.transition_)
    assert (stay > 0.97).all()


def test_one_hot_names_the_kind_of_each_connection(planted, fitted):
    model = fitted["one_hot"]
    order = match_states(planted.states[:8], model.viterbi(planted.counts[:8]), 2).order
    kind = model.structure_[:, order].argmax(axis=0) - 1
    assert (kind == planted.sign).mean() > 0.9
    np.testing.assert_allclose(model.structure_.sum(axis=0), 1.0)
    signs = np.sign(model.coupling_[..., 0])  # one strength a connection, whatever the state
    size = np.abs(model.coupling_[..., 0])
    both = (signs[0] != 0) & (signs[1] != 0)
    np.testing.assert_allclose(size[0][both], size[1][both])


@pytest.mark.slow
def test_five_states_of_twenty_units():
    planted = planted_states(n_states=5, n_units=20, n_trials=18, n_bins=1200, strength=1.5, rng=3)
    model = HMMGLM(5, prior="one_hot", link="sigmoid", n_restarts=2).fit(planted.counts[:10])
    test = planted.counts[10:]
    matched = match_states(planted.states[10:], [p.argmax(axis=1) for p in model.filtered(test)], 5)
    assert matched.accuracy >= 0.9  # by filtering: with no bin of the future
    assert structure_auc(planted.sign, model.strengths()[matched.order])["structure"] >= 0.9
    plain = HMMGLM(1, link="sigmoid").fit(planted.counts[:10])
    assert compare(model.gain(test), plain.gain(test)) == 1 / 256


@pytest.mark.parametrize("prior", ["none", "gaussian"])
def test_em_never_goes_down(planted, prior):
    model = HMMGLM(3, prior=prior, link="softplus", n_restarts=1, tol=-np.inf, max_iter=15).fit(planted.counts[:5])
    assert len(model.history_) == 15 and np.diff(model.history_).min() > -1e-6


@pytest.mark.parametrize("link", ["exp", "softplus", "sigmoid"])
@pytest.mark.parametrize("state_bias", [False, True])
def test_gradients_are_those_of_the_expected_likelihood(planted, link, state_bias):
    made = make_trials(planted.counts[:2], planted.basis, state_bias=state_bias)
    rng = np.random.default_rng(0)
    weights = Weights(
        rng.normal(scale=0.2, size=(2, made.X.shape[1], 6)), rng.normal(scale=0.2, size=(made.Z.shape[1], 6)) - 1
    )
    posterior, f = rng.dirichlet([1, 1], size=len(made.y)), link_named(link)
    found, flat = sums(made, weights, f, posterior), flatten(weights)
    for k in (0, 3, flat.shape[1] - 1):
        step = np.zeros_like(flat)
        step[:, k] = 1e-5
        up, down = (expected(made, unflatten(flat + s * step, weights), f, posterior) for s in (1, -1))
        np.testing.assert_allclose(found.gradient[:, k], (up - down) / 2e-5, rtol=1e-4, atol=1e-3)
    if link == "exp":  # the canonical link: the information is the Hessian
        g = [sums(made, unflatten(flat + s * step, weights), f, posterior).gradient for s in (1, -1)]
        np.testing.assert_allclose(found.information[:, -1], -(g[0] - g[1]) / 2e-5, rtol=1e-4, atol=1e-3)


def test_one_state_is_the_poisson_glm(planted):
    counts = planted.counts[:3]
    model = HMMGLM(1, link="exp", ridge=1e-8, basis=planted.basis).fit(counts)
    made = make_trials(counts, planted.basis)
    other = PoissonGLM().fit(made.X, made.y[:, 2])
    np.testing.assert_allclose(model.coupling_[0, 2, :, 0], other.coef_, atol=1e-4)
    assert model.log_likelihood(counts).shape == (3,)
    whole = PopulationGLM(history=planted.basis, coupling=planted.basis, width=0.02).fit(counts)
    assert model.score(counts) == pytest.approx(whole.score(counts), abs=1e-5)


def test_filtering_does_not_see_the_future(planted, fitted):
    model, one = fitted["gaussian"], planted.counts[9]
    other = one.copy()
    other[:, 300:] = planted.counts[10][:, 300:]
    a, b = (model.filtered([c])[0] for c in (one, other))
    np.testing.assert_array_equal(a[:300], b[:300])
    assert np.abs(model.posterior([one])[0][:300] - model.posterior([other])[0][:300]).max() > 1e-6
    assert match_states(planted.states[9], a.argmax(axis=1), 2).accuracy <= match_states(
        planted.states[9], model.posterior([one])[0].argmax(axis=1), 2
    ).accuracy + 0.02  # fmt: skip


def test_likelihood_of_a_trial_is_that_of_its_bins(planted, fitted):
    """By enumeration of the paths of a short trial."""
    model, short = fitted["none"], planted.counts[9][:, :6]
    from itertools import product

    from scipy.stats import poisson

    made = make_trials([short], model.basis_)
    total = []
    for path in product(range(2), repeat=6):
        p = np.log(model.start_[path[0]]) + sum(np.log(model.transition_[a, b]) for a, b in itertools.pairwise(path))
        for t, s in enumerate(path):
            eta = model.bias_[s] + model.coupling_[s, :, :, 0] @ made.X[t]
            p += poisson.logpmf(short[:, t], 1 / (1 + np.exp(-eta))).sum()
        total.append(p)
    assert model.log_likelihood([short])[0] == pytest.approx(np.logaddexp.reduce(total), abs=1e-9)


def test_gains_are_over_the_mean_rates(planted, fitted):
    from scipy.stats import poisson

    model, test = fitted["none"], planted.counts[8:]
    rate = np.concatenate(planted.counts[:8], axis=1).mean(axis=1)
    flat = np.array([poisson.logpmf(c, rate[:, None]).sum() for c in test])
    np.testing.assert_allclose(model.gain(test), (model.log_likelihood(test) - flat) / np.log(2), rtol=1e-9)
    assert model.score(test) == pytest.approx(model.gain(test).sum() / sum(c.sum() for c in test))


def test_without_states_nothing_is_gained():
    planted = planted_states(n_states=2, n_units=5, n_trials=12, n_bins=400, switching=False, rng=1)
    one, two = (HMMGLM(n, link="sigmoid", n_restarts=1).fit(planted.counts[:7]) for n in (1, 2))
    assert compare(two.gain(planted.counts[7:]), one.gain(planted.counts[7:])) > 0.05


def test_same_seed_same_model(planted):
    a, b = (HMMGLM(2, link="sigmoid", n_restarts=2, max_iter=4, seed=3).fit(planted.counts[:3]) for _ in range(2))
    np.testing.assert_array_equal(a.coupling_, b.coupling_)


def test_states_with_biases_of_their_own():
    """States that differ in rate alone: found with state biases, several functions a coupling, trials of several lengths."""
    rng = np.random.default_rng(0)
    trials, states = [], []
    for n in (500, 300, 400, 600):
        s = (np.arange(n) // 100 + rng.integers(2)) % 2
        trials.append(rng.poisson(np.where(s, 0.5, 0.1), size=(4, n)))
        states.append(s)
    basis = raised_cosine(2, duration=0.1, width=0.02)
    for prior in ("gaussian", "one_hot"):
        model = HMMGLM(2, prior=prior, basis=basis, state_bias=True, link="exp", n_restarts=1).fit(trials)
        assert model.coupling_.shape == (2, 4, 4, 2)
        order = match_states(states, model.viterbi(trials), 2)
        assert order.accuracy > 0.95
        np.testing.assert_allclose(np.exp(model.bias_[order.order]).mean(axis=1), [0.1, 0.5], rtol=0.25)


def test_covariates_are_shared_by_the_states(planted):
    rng = np.random.default_rng(0)
    light = [rng.normal(size=(1, 600)) for _ in range(6)]
    counts = [rng.poisson(np.exp(0.5 * v - 1.5) * np.ones((4, 1))) for v in light]
    model = HMMGLM(2, link="exp", n_restarts=1, max_iter=10).fit(counts[:4], covariates=light[:4])
    assert model.score(counts[4:], covariates=light[4:]) > 0.1
    with pytest.raises(BraindecError, match="covariates differ"):
        model.score(counts[4:])


def test_number_of_states_is_found(planted):
    table = choose_n_states(planted.counts[:10], [1, 2, 3], n_folds=2, link="sigmoid", n_restarts=1)
    assert table.loc[table["chosen"], "n_states"].tolist() == [2]


def test_simulation_follows_the_model(planted, fitted):
    counts, states = fitted["none"].simulate([4000, 100], rng=0)
    assert counts[1].shape == (6, 100) and states[0].shape == (4000,)
    np.testing.assert_allclose(counts[0].mean(axis=1), np.concatenate(planted.counts, axis=1).mean(axis=1), rtol=0.35)


def test_takes_spikes():
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(0, 30, 600)) for _ in range(3)]
    spikes = Spikes.from_trains(trains, start=0.0, stop=30.0).restrict([(0, 10), (12, 30)])
    model = HMMGLM(2, n_restarts=1, max_iter=3).fit([spikes, spikes])
    assert [p.shape for p in model.posterior(spikes)] == [(500, 2), (900, 2)]
    assert len(model.fitted_on_.ids) == 4


def test_matching():
    assert match_states([0, 0, 1, 2], [2, 2, 0, 1]).order.tolist() == [2, 0, 1]
    assert match_states([0, 0, 1, 1], [1, 1, 1, 0]).accuracy == 0.75


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda c: HMMGLM(2, prior="gausian").fit(c), "did you mean 'gaussian'"),
        (lambda c: HMMGLM(0).fit(c), "n_states"),
        (lambda c: HMMGLM(2, link="probit").fit(c), "no link"),
        (lambda c: HMMGLM(2, basis=exponential(0.01, width=0.005)).fit(c), "another bin width"),
        (
            lambda c: HMMGLM(2).fit([v * (np.arange(6) > 0)[:, None] for v in c]),
            r"no spikes in the training trials(.|\n)*\[0\]",
        ),
        (lambda c: HMMGLM(2, link="sigmoid").fit([v + 1 for v in c]), "one spike a bin"),
        (lambda c: HMMGLM(2).fit([]), "no trials"),
        (lambda c: HMMGLM(2).fit([c[0], c[1][:2]]), "same units"),
        (lambda c: HMMGLM(2).fit([c[0] * 0.5]), "whole numbers"),
        (lambda c: HMMGLM(2).viterbi(c), "not fitted"),
        (lambda c: HMMGLM(1).fit(c).score([c[0][:3]]), "other units"),
        (lambda c: HMMGLM(1).fit(c).score([np.zeros((6, 50))]), "need spikes"),
        (lambda c: planted_states(strength=5.0, link="exp", excitatory=1.0), "explodes"),
    ],
)
def test_wrong_input_is_one_clear_error(planted, make, said):
    with pytest.raises(BraindecError, match=said):
        make(planted.counts[:2])
