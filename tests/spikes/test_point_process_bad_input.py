"""Point-process models with input that cannot be: one clear error each, never a raw traceback, never a silent NaN."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.bases import convolve, design, exponential, raised_cosine
from braindec.spikes.glm import BernoulliGLM, PoissonGLM
from braindec.spikes.hmm_glm import HMMGLM
from braindec.spikes.planted_states import planted_states
from braindec.spikes.population_glm import PopulationGLM
from braindec.spikes.rescaling import rescale, rescaling_table
from braindec.spikes.states import choose_n_states, compare, match_states

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(400, 3)), RNG.poisson(0.3, 400)
C = RNG.poisson(0.2, size=(3, 900))
QUIET = ((Y == 0) & (RNG.random(400) < 0.3)).astype(float)  # 1 only where there are no spikes
BASIS = raised_cosine(3, duration=0.05, width=0.005)
SMALL = {"n_states": 2, "n_restarts": 1, "max_iter": 2}

BAD = {
    "X of one dimension": (lambda: PoissonGLM().fit(X[:, 0], Y), "X must be"),
    "X of text": (lambda: PoissonGLM().fit([["a"]] * 400, Y), "X must be numbers"),
    "X too large to square": (lambda: PoissonGLM().fit(1e200 * X, Y), "X must be"),
    "y of text": (lambda: PoissonGLM().fit(X, ["a"] * 400), "y must be numbers"),
    "rates for counts": (lambda: PoissonGLM().fit(X, Y + 0.5), "whole number"),
    "NaN for 0 and 1": (lambda: BernoulliGLM().fit(X, np.where(Y > 0, np.nan, 0)), "cannot take this y"),
    "infinite exposure": (lambda: PoissonGLM().fit(X, Y, exposure=np.full(400, np.inf)), "exposure"),
    "no penalties to try": (lambda: PoissonGLM(alpha="cv", alphas=()).fit(X, Y), "penalties to try"),
    "no iteration": (lambda: PoissonGLM(max_iter=0).fit(X, Y), "max_iter=0"),
    "too few ids": (lambda: PoissonGLM().fit(X, Y, ids=[1, 2]), "ids and bins"),
    "collinear beside groups": (
        lambda: PoissonGLM(group_alpha=0.01).fit(np.c_[X, X[:, 0]], Y, groups=[None, None, "a", None]), "collinear",
    ),
    "separable beside groups": (
        lambda: PoissonGLM(group_alpha=0.01).fit(np.c_[X, QUIET], Y, groups=["a", "a", "b", None]), "no maximum",
    ),
    "no time constant": (lambda: exponential([], width=0.01), "time constant"),
    "stretches beyond the end": (lambda: convolve(C, BASIS, offsets=[0, 5000]), "offsets"),
    "stretches that overlap": (lambda: convolve(C, BASIS, offsets=[0, 100, 50, 900]), "offsets"),
    "NaN in a signal": (lambda: convolve(np.full((1, 30), np.nan), BASIS), "finite"),
    "basis of another stimulus": (
        lambda: design(C, stimulus={"light": np.zeros(900)}, stimulus_basis={"lihgt": BASIS}), "lihgt",
    ),
    "stimulus of text": (lambda: PopulationGLM().fit([C], stimulus={"s": [["a"] * 900]}), "stimulus 's'"),
    "basis of another width": (lambda: PopulationGLM(history=BASIS, width=0.01).fit([C]), "bin width"),
    "nobody to be coupled to": (lambda: PopulationGLM(coupling=BASIS, history=BASIS).fit([C[:1]]).coupling_test(), "no other"),
    "a unit that always spikes": (
        lambda: PopulationGLM(history=BASIS, family="bernoulli").fit([np.r_[C[:2] > 0, np.ones((1, 900))]]), "every bin",
    ),
    "expected counts of other units": (lambda: rescaling_table(C, np.full((2, 900), 0.1)), "differ in shape"),
    "NaN counts": (lambda: rescale(np.full(10, np.nan), np.full(10, 0.1)), "whole numbers"),
    "counts in parts": (lambda: rescale(np.full(10, 0.5), np.full(10, 0.1)), "whole numbers"),
    "counts below 0": (lambda: rescale(-np.ones(10), np.full(10, 0.1)), "whole numbers"),
    "spikes that cannot be": (lambda: rescale(np.ones(10), np.zeros(10)), "allows none"),
    "NaN covariate": (lambda: HMMGLM(**SMALL).fit([C], covariates=[np.full((1, 900), np.nan)]), "covariates"),
    "covariates of text": (lambda: HMMGLM(**SMALL).fit([C], covariates=[np.full((1, 900), "a")]), "covariates"),
    "covariates that differ": (
        lambda: HMMGLM(**SMALL).fit([C, C], covariates=[np.zeros((1, 900)), np.zeros((2, 900))]), "covariates",
    ),
    "NaN responses": (lambda: HMMGLM(**SMALL).fit([C], responses=[np.full((3, 900), np.nan)]), "whole numbers"),
    "trials of text": (lambda: HMMGLM(**SMALL).fit([np.full((3, 9), "a")]), "counts"),
    "more states than stretches": (lambda: HMMGLM(**{**SMALL, "n_states": 30}).fit([C[:, :200]]), "too short"),
    "NaN tolerance": (lambda: HMMGLM(**SMALL, tol=float("nan")).fit([C]), "tol"),
    "a seed below 0": (lambda: HMMGLM(**SMALL, seed=-1).fit([C]), "seed"),
    "a trial without bins": (lambda: HMMGLM(**{**SMALL, "n_states": 1}).fit([C]).simulate([0]), "a length"),
    "no trial to simulate": (lambda: HMMGLM(**{**SMALL, "n_states": 1}).fit([C]).simulate([]), "no trial"),
    "a state below 0": (lambda: match_states([0, -1], [0, 1]), "numbered from 0"),
    "a state beyond the last": (lambda: match_states([0, 2], [0, 1], 2), "numbered from 0"),
    "nothing to choose from": (lambda: choose_n_states([C, C, C], []), "choose from"),
    "models of other trials": (lambda: compare([1.0, 2.0], [1.0, 2.0, 3.0]), "same trials"),
    "more than one spike of a sigmoid": (lambda: planted_states(rate=100.0), "less than one spike"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_one_clear_error(case):
    call, says = BAD[case]
    with pytest.raises(BraindecError, match=says):
        call()


def test_a_group_whose_columns_are_0_stays_at_0():
    found = PoissonGLM(group_alpha=0.001).fit(np.c_[X, 0 * X[:, 0]], Y, groups=["a", "b", "b", "c"])
    assert found.coef_[3] == 0 and np.isfinite(found.coef_).all()
    same = PoissonGLM(group_alpha=0.001).fit(X, Y, groups=["a", "b", "b"])
    np.testing.assert_allclose(found.coef_[:3], same.coef_, atol=1e-8)


def test_trials_without_history_have_no_states_to_be_guessed_from(recwarn):
    model = HMMGLM(**SMALL).fit([C[:, i : i + 1] for i in range(60)])
    assert np.isfinite(model.coupling_).all() and not recwarn.list
