"""No number of a test run enters a training beta, and what is learned comes from the training runs alone."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.evaluate.audit import audit
from braindec.evaluate.splits import split_by
from braindec.signal.glm.single_trial import SingleTrialGLM

TRAIN = ["1", "2", "3"]
MODELS = [
    {"model": "lsa"}, {"model": "lss"}, {"model": "lss", "hrf": "library", "noise_regressors": 2}, {"model": "ridge"}, {"model": "ladder"},
]  # fmt: skip


def changed(recording, how):
    data = recording.load().astype(np.float32)
    return recording.with_signal(how(data))


def fitted(recordings, options):
    glm = SingleTrialGLM(**options).fit(recordings, runs=TRAIN)
    return glm, glm.betas(recordings)


@pytest.mark.parametrize("options", MODELS, ids=lambda o: "-".join(str(v) for v in o.values()))
@pytest.mark.parametrize("how", [lambda x: x + 100, lambda x: x * np.random.default_rng(0).uniform(0.5, 2, x.shape).astype("f4"),
                                 lambda x: np.full_like(x, np.nan)], ids=["plus 100", "scrambled", "nan"])  # fmt: skip
def test_changing_a_test_run_leaves_every_training_beta_bit_identical(experiment, options, how):
    runs = experiment(n_runs=4, n_voxels=40, n_stimuli=15, silent=15, n_global=2).recordings
    glm, before = fitted(runs, options)
    other_glm, after = fitted([*runs[:3], changed(runs[3], how)], options)
    train = before.trials["used_in_fit"].to_numpy()
    assert train.sum() == 45 and (before.trials["part"] == np.where(train, "train", "test")).all()
    a, b = before.load(check=False), after.load(check=False)
    assert a[train].tobytes() == b[train].tobytes()
    assert a[~train].tobytes() != b[~train].tobytes()
    for name in ("hrf_index_", "pool_", "n_noise_", "fraction_", "r2_", "noise_curve_"):
        assert np.array_equal(getattr(glm, name), getattr(other_glm, name), equal_nan=True)


def test_a_test_run_in_another_order_or_left_out_of_betas_changes_nothing(experiment):
    runs = experiment(n_runs=4, n_voxels=40, n_stimuli=15, silent=15, n_global=2).recordings
    glm, everything = fitted(runs, {"model": "ladder"})
    alone = SingleTrialGLM(model="ladder").fit(runs[:3])
    assert np.array_equal(alone.betas(runs[:3]).load(), everything[everything.trials["used_in_fit"].to_numpy()].load())
    assert np.array_equal(glm.betas(runs[3:]).load(), everything[~everything.trials["used_in_fit"].to_numpy()].load())


def test_each_thing_that_is_learned_does_depend_on_training_runs(experiment):
    """The test above could not fail otherwise: with the changed run among the training runs, each of them moves."""
    runs = experiment(n_runs=4, n_voxels=60, n_stimuli=15, silent=25, n_global=2, noise=0.7).recordings
    rng = np.random.default_rng(0)

    def other(data):
        return data * (1 + 0.03 * rng.standard_normal(data.shape)).astype(np.float32)

    a = SingleTrialGLM(model="ladder").fit(runs)
    b = SingleTrialGLM(model="ladder").fit([*runs[:3], changed(runs[3], other)])
    for name in ("hrf_index_", "pool_", "fraction_", "r2_", "noise_curve_"):
        assert not np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), name


def test_records_and_flags_say_what_was_seen(experiment):
    runs = experiment(n_runs=4, n_voxels=40, n_stimuli=15, silent=15).recordings
    glm, betas = fitted(runs, {"model": "ladder"})
    assert glm.runs_ == [r.label for r in runs[:3]] == betas.info["fitted_on_runs"]
    assert set(glm.fitted_on_.ids) == set(betas.ids[betas.trials["used_in_fit"]])
    assert not betas.info["fitted_on_test_runs"]
    splits = split_by(betas, "run")
    last = [s for s in splits if set(betas.trials["run"].iloc[s.test]) == {"4"}]
    assert audit(betas, last, records=[(last[0], glm.fit_records_)]).of("fit_scope")[0].level == "pass"
    first = [s for s in splits if set(betas.trials["run"].iloc[s.test]) == {"1"}]
    assert audit(betas, first, records=[(first[0], glm.fit_records_)]).of("fit_scope")[0].level == "fail"
    every = SingleTrialGLM(model="ladder").fit(runs).betas(runs)
    assert every.info["fitted_on_test_runs"] and "part" not in every.trials and every.trials["used_in_fit"].all()
    nothing = SingleTrialGLM().fit(runs).betas(runs)
    assert not nothing.info["fitted_on_test_runs"]  # nothing is learned over runs


def test_the_test_run_is_not_even_read_by_fit(experiment):
    runs = experiment(n_runs=4, n_voxels=10, n_stimuli=15).recordings

    class Forbidden(type(runs[3].signal)):
        def read(self, *args, **kwargs):
            raise AssertionError("a test run was read")

    runs[3] = runs[3].with_signal(Forbidden(runs[3].load()))
    SingleTrialGLM(model="ladder").fit(runs, runs=TRAIN)
