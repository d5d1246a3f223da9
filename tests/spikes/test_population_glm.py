"""GLMs of populations: the same maximum as one by one, planted couplings, calibrated tests of couplings, stimuli."""

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes.bases import design, exponential, raised_cosine
from braindec.spikes.glm import BernoulliGLM, PoissonGLM
from braindec.spikes.planted_states import planted_states
from braindec.spikes.population_glm import PopulationGLM
from braindec.types import Spikes

WIDTH = 0.005
BASIS = raised_cosine(3, duration=0.05, width=WIDTH)


@pytest.fixture(scope="module")
def coupled():
    """Five units, one state: couplings by the exponential link."""
    return planted_states(
        n_states=1, n_units=5, n_trials=4, n_bins=5000, strength=0.5, link="exp", excitatory=0.3, rng=1
    )


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
@pytest.mark.parametrize("coupling", [BASIS, exponential(0.01, width=WIDTH)])
@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_equals_one_model_a_unit(family, coupling, alpha):
    rng = np.random.default_rng(0)
    y = np.minimum(rng.poisson(0.15, size=(4, 3000)), 1)
    signal = rng.normal(size=3000)
    model = PopulationGLM(history=BASIS, coupling=coupling, family=family, alpha=alpha, width=WIDTH)
    model.fit([y[:, :1000], y[:, 1000:]], stimulus={"s": [signal[:1000], signal[1000:]]})
    one = PoissonGLM(alpha=alpha) if family == "poisson" else BernoulliGLM(alpha=alpha)
    for target in range(4):
        made = design(
            y, history=BASIS, coupling=coupling, stimulus={"s": signal}, target=target, offsets=[0, 1000, 3000]
        )
        one.fit(made.X, y[target])
        mine = model.weights_[model._mask[:, target], target]
        np.testing.assert_allclose(np.sort(mine), np.sort(np.append(one.coef_, one.intercept_)), atol=1e-8)
        mean = np.concatenate(
            model.mean([y[:, :1000], y[:, 1000:]], stimulus={"s": [signal[:1000], signal[1000:]]}), axis=1
        )
        np.testing.assert_allclose(mean[target], one.mean(made.X), rtol=1e-7)


def test_finds_planted_couplings(coupled):
    model = PopulationGLM(history=coupled.basis, coupling=coupled.basis, width=0.02).fit(coupled.counts)
    area = coupled.basis.values.sum()
    np.testing.assert_allclose(model.filters().sum(axis=2), coupled.weights[0] * area, atol=0.35)
    test = model.coupling_test()
    planted = coupled.sign[0][test["target"], test["source"]]
    assert ((test["q"] < 0.05) == (planted != 0)).mean() > 0.9
    assert (np.sign(test["area"][planted != 0]) == planted[planted != 0]).all()
    assert model.score(coupled.counts) > 0.02


def test_likelihood_ratio_is_that_of_two_fits():
    y = np.random.default_rng(3).poisson(0.15, size=(4, 3000))
    test = PopulationGLM(history=BASIS, coupling=BASIS, width=WIDTH).fit([y]).coupling_test()
    made = design(y, history=BASIS, coupling=BASIS, target=2)
    keep = (made.columns["source"] != 1).to_numpy()
    logs = [PoissonGLM().fit(X, y[2]).log_likelihood(X, y[2]).sum() for X in (made.X, made.X[:, keep])]
    row = test[(test["target"] == 2) & (test["source"] == 1)].iloc[0]
    assert row["statistic"] == pytest.approx(2 * (logs[0] - logs[1]), abs=1e-6) and row["df"] == 3
    assert row["p"] == pytest.approx(stats.chi2.sf(row["statistic"], 3), abs=1e-6)


@pytest.mark.slow
def test_couplings_that_are_not_there_have_uniform_p():
    p = []
    for seed in range(60):
        y = np.random.default_rng(seed).poisson(0.1, size=(5, 3000))
        p += PopulationGLM(history=BASIS, coupling=BASIS, width=WIDTH).fit([y]).coupling_test()["p"].tolist()
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_cross_validated_penalty_predicts_better():
    rng = np.random.default_rng(0)
    y = rng.poisson(0.05, size=(10, 1500))
    new = [rng.poisson(0.05, size=(10, 4000))]
    scores = [
        PopulationGLM(history=BASIS, coupling=BASIS, width=WIDTH, alpha=a).fit([y]).score(new) for a in ("cv", 1e-6)
    ]
    assert scores[0] > scores[1] + 0.05 and scores[0] == pytest.approx(0, abs=0.05)


def test_takes_spikes_with_gaps():
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(0, 40, 800)) for _ in range(3)]
    spikes = Spikes.from_trains(trains, start=0.0, stop=40.0).restrict([(0, 15), (20, 40)])
    model = PopulationGLM(history=BASIS, coupling=BASIS, width=WIDTH).fit(spikes)
    rates = model.predict(spikes)
    assert [r.shape for r in rates] == [(3, 3000), (3, 4000)]
    assert np.concatenate(rates, axis=1).mean() == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda y: PopulationGLM(history=BASIS).fit([y * [[1], [0]]]), "without spikes"),
        (lambda y: PopulationGLM(family="normal").fit([y]), "no family"),
        (lambda y: PopulationGLM(family="bernoulli").fit([y + 1]), "0 or 1 spike"),
        (lambda y: PopulationGLM(history=BASIS).fit([y]).coupling_test(), "no coupling"),
        (lambda y: PopulationGLM(coupling=BASIS, alpha=0.1).fit([y]).coupling_test(), "without a penalty"),
        (lambda y: PopulationGLM().score([y]), "not fitted"),
        (lambda y: PopulationGLM(history=BASIS).fit([y]).score([y[:1]]), "other units"),
        (lambda y: PopulationGLM().fit([y], stimulus={"s": [np.ones(200)]}), "collinear"),
        (lambda y: PopulationGLM().fit([y], stimulus={"s": []}), "one array a trial"),
        (lambda y: PopulationGLM().fit([y], stimulus={"s": [np.where(y[0] > 0, 1.0, 0.0)]}), "unit 0: .*separable"),
        (lambda y: PopulationGLM().fit([y, y[:1]]), "same units"),
        (
            lambda y: PopulationGLM().fit(Spikes.from_trains([[0.1]], start=0, stop=1), stimulus=None).coupling_test(),
            "no coupling",
        ),
    ],
)
def test_wrong_input_is_one_clear_error(make, said):
    y = np.random.default_rng(0).poisson(0.3, size=(2, 200))
    with pytest.raises(BraindecError, match=said):
        make(y)
