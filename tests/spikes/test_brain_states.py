"""Hidden states of a population: held-out gains, the control without states, drift, trials cut from recordings, the recipe."""

import numpy as np
import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.spikes._simulate import markov_chain
from braindec.spikes.brain_states import PLAIN, cut_trials, fit_states, said, state_panels, state_rows
from braindec.spikes.hmm_glm import HMMGLM
from braindec.spikes.planted_states import planted_states
from braindec.spikes.state_audit import state_audit
from braindec.types import Result, Spikes

OPTIONS = {"link": "sigmoid", "n_restarts": 1, "max_iter": 20}


@pytest.fixture(scope="module")
def planted():
    return planted_states(n_states=2, n_units=5, n_trials=15, n_bins=500, rng=1)


@pytest.fixture(scope="module")
def fits(planted):
    return fit_states(planted.counts, n_states=[1, 2], priors=["one_hot", "gaussian"], options=OPTIONS, n_surrogates=2)


def one(rows, **keys):
    table = pd.DataFrame(rows)
    for key, value in keys.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_states_gain_where_they_are_planted_and_not_on_the_control(planted, fits):
    rows = state_rows(fits, planted)
    assert fits.n_states == 2 and list(fits.models) == [PLAIN, "one-hot prior", "Gaussian prior"]
    gain = one(rows, metric="state_gain", model="one-hot prior", row="decoded")
    assert gain["value"] > 0.02 and gain["low"] > 0 and gain["p"] == 1 / 64
    control = one(rows, metric="state_gain", row="state_free")
    assert control["value"] < 0.005 and control["p"] > 0.05 and control["n"] == 12
    assert one(rows, metric="state_accuracy", model="Gaussian prior", how="smoothed")["value"] > 0.9
    assert one(rows, metric="state_accuracy", model="Gaussian prior", how="smoothed")["p"] <= 0.02
    assert one(rows, metric="auc_planted", model="one-hot prior")["value"] > 0.9
    total = (
        one(rows, metric="bits_per_spike", model="one-hot prior")["value"]
        - one(rows, metric="bits_per_spike", model=PLAIN)["value"]
    )
    assert total == pytest.approx(gain["value"])
    Result(pd.DataFrame(rows))  # every decoded score has chance, interval and n
    sentences = " ".join(said(rows, fits))
    assert "states do not gain" in sentences and "chooses 2 states" in sentences


def test_states_of_rate_are_told_from_states_of_coupling(planted, fits):
    rows = state_rows(fits, planted)
    more = one(rows, metric="state_gain", row="over_rates_only")
    assert more["low"] > 0 and more["p"] <= 0.05 and state_audit(fits, rows).of("rates")[0].level == "pass"
    rng = np.random.default_rng(0)
    states = [markov_chain(np.array([[0.99, 0.01], [0.01, 0.99]]), np.array([0.5, 0.5]), 500, rng) for _ in range(16)]
    counts = [rng.poisson(np.where(s == 0, 0.12, 0.35), size=(8, 500)) for s in states]  # no couplings at all
    found = fit_states(
        counts, n_states=2, priors=["gaussian"], options={**OPTIONS, "link": "softplus", "max_iter": 60}, n_surrogates=0
    )
    rows = state_rows(found)
    gain, only = one(rows, metric="state_gain", row="decoded"), one(rows, metric="state_gain", row="rates_only")
    assert gain["p"] <= 0.05 and gain["low"] > 0  # couplings follow the rate, and would be taken for switching
    assert only["value"] > gain["value"] and one(rows, metric="state_gain", row="over_rates_only")["p"] > 0.05
    assert state_audit(found, rows).of("rates")[0].level == "warn"
    assert "of rate, not of coupling" in " ".join(said(rows, found))


def test_redrawn_counts_follow_the_plain_model(planted):
    model = HMMGLM(1, link="sigmoid").fit(planted.counts)
    drawn = [model.redraw(planted.counts, rng=seed) for seed in range(3)]
    for found in drawn:
        np.testing.assert_allclose(np.concatenate(found, axis=1).mean(axis=1), model.mean_, rtol=0.1)
    again = HMMGLM(1, link="sigmoid").fit(planted.counts, responses=drawn[0])
    np.testing.assert_allclose(again.coupling_, model.coupling_, atol=0.5)
    assert again.gain(planted.counts, responses=drawn[1]).mean() > 0
    with pytest.raises(BraindecError, match="responses do not fit"):
        again.gain(planted.counts, responses=drawn[0][:2])


def test_panels_are_drawn(planted, fits):
    from braindec import registry

    panels, arrays = state_panels(fits, planted, width=0.02, rows=state_rows(fits, planted))
    assert {p["draw"] for p in panels} == {"score_bars", "state_posterior", "coupling_matrix"}
    for panel in panels:
        args = {k: arrays[v[1:]] if isinstance(v, str) and v.startswith("@") else v for k, v in panel["args"].items()}
        assert registry.get("viz", panel["draw"])(**args).axes
    assert (arrays["path"] == arrays["true"]).mean() > 0.9  # labels are those of the truth


def test_the_audit_finds_drift(planted, fits):
    rows = state_rows(fits)
    assert state_audit(fits, rows).of("drift")[0].level == "pass"
    rng = np.random.default_rng(0)
    rate = np.linspace(0.05, 0.6, 16)
    drifting = [rng.poisson(r, size=(4, 300)) for r in rate]
    found = fit_states(
        drifting,
        n_states=2,
        priors=["gaussian"],
        options={**OPTIONS, "link": "softplus", "state_bias": True},
        n_surrogates=0,
    )
    assert state_audit(found, state_rows(found)).of("drift")[0].level == "warn"


def test_trials_are_cut_from_what_was_observed():
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(0, 100, n)) for n in (1000, 3, 600)]
    spikes = Spikes.from_trains(trains, start=0.0, stop=100.0).restrict([(0, 47), (50, 100)])
    counts, names, notes = cut_trials([spikes], width=0.02, seconds=10.0)
    assert [c.shape for c in counts] == [(2, 500)] * 4 + [(2, 350)] + [(2, 500)] * 5
    assert names == ["unit000", "unit002"] and "1 of 3 units were left out" in notes[0]
    np.testing.assert_array_equal(sum(c.sum(axis=1) for c in counts), [len(spikes.train(0)), len(spikes.train(2))])
    assert len(cut_trials([spikes], width=0.02, seconds=5.0, max_trials=7)[0]) == 7
    with pytest.raises(BraindecError, match="set trials.seconds to less"):
        cut_trials([spikes], width=0.02, seconds=40.0)
    with pytest.raises(BraindecError, match="fewer than 2 units"):
        cut_trials([spikes], width=0.02, seconds=10.0, min_rate=50.0)


def go(tmp_path, *settings):
    run(load_recipe("brain_states"), cohort=None, overrides=list(settings), only=None, jobs=1, scheduler=None, out=tmp_path / "out",
        cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    return Result.open(next((tmp_path / "out" / "units").iterdir()))


SMALL = (
    "planted.n_states=2",
    "planted.n_units=5",
    "planted.n_trials=12",
    "planted.n_bins=400",
    "n_states=2",
    "model.n_restarts=1",
    "n_surrogates=1",
)


def test_recipe_finds_what_is_planted(tmp_path):
    found = go(tmp_path, *SMALL)
    gain = one(found.scores, metric="state_gain", model="one-hot prior", row="decoded")
    assert gain["low"] > 0 and one(found.scores, metric="state_gain", row="state_free")["low"] <= 0
    assert one(found.scores, metric="auc_planted", model="Gaussian prior")["value"] > 0.9
    assert "2 (planted 2)" in found.made_by["overview"]["states"]


def test_recipe_gains_nothing_from_states_without_effect(tmp_path):
    found = go(tmp_path, *SMALL, "planted.switching=false", "priors=[gaussian]")
    gain = one(found.scores, metric="state_gain", model="Gaussian prior", row="decoded")
    assert gain["low"] <= 0 and gain["p"] > 0.05


@pytest.mark.slow
def test_recipe_reads_a_recording(tmp_path, shared):
    root = shared("spikes_locust_odours")
    found = go(tmp_path, "data.dataset=spikes_locust_odours", f"data.root={root}", "n_states=2", "priors=[gaussian]", "model.n_restarts=1",
               "model.max_iter=5", "n_surrogates=0", "trials.max_trials=8", "trials.max_units=6")  # fmt: skip
    assert found.made_by["overview"]["units"] == 6 and "auc_planted" not in set(found.scores["metric"])
