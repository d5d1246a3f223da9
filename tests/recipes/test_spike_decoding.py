"""The recipe for spikes and calcium: a planted population, and real cohorts with and without a confound."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.loaders.synthetic_spikes import tuned_population
from braindec.types import Result


@pytest.fixture
def go(tmp_path):
    def run_it(*settings: str, cohort: str | None = None) -> Result:
        run(load_recipe("spike_decoding"), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None, out=tmp_path / "out",
            cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
        return Result.open(next((tmp_path / "out" / "units").iterdir()))

    return run_it


@pytest.fixture
def real(go, shared, monkeypatch):
    def run_it(cohort: str, *settings: str) -> Result:
        data = shared(load_recipe("spike_decoding").config(cohort, []).data.dataset).parent
        monkeypatch.setitem(os.environ, "BRAINDEC_DATA", str(data))
        return go(*settings, cohort=cohort)

    return run_it


def row(scores: pd.DataFrame, metric: str, name: str = "decoded", target: str | None = None) -> pd.Series:
    kept = scores[(scores["metric"] == metric) & (scores["row"] == name)]
    return (kept if target is None else kept[kept["target"] == target]).iloc[0]


QUICK = ("statistics.n_permutations=39", "statistics.n_bootstrap=200", "time_course.step=0.2")


def test_a_planted_population_is_read_and_not_beyond_the_ideal_observer(go):
    found = go(*QUICK)
    decoded, ideal = row(found.scores, "accuracy"), row(found.scores, "accuracy", "ideal observer")
    assert decoded["p"] == 1 / 40 and 0.5 < decoded["value"] <= ideal["value"] + 0.03
    for control in ("label_shuffle", "noise_input", "time_only"):
        assert row(found.scores, "accuracy", control)["low"] < 0.125 < row(found.scores, "accuracy", control)["high"]
    course = found.arrays["course/value"], found.arrays["course/times"]
    assert course[0][course[1] < 0].max() < 0.3 < course[0][course[1] > 0.1].max()  # nothing before the event
    assert any("ideal observer" in a for a in found.made_by["answers"])
    assert found.made_by["audit"]["level"] != "fail" and found.made_by["panels"][0]["draw"] == "timecourse"


def test_neurons_that_know_nothing_give_chance(go):
    found = go(*QUICK, "simulated.gain=0", "time_course=null")
    decoded = row(found.scores, "balanced_accuracy")
    assert decoded["value"] < 0.2 and decoded["p"] > 0.05
    assert row(found.scores, "accuracy", "ideal observer")["value"] == pytest.approx(0.125, abs=0.01)


def test_accuracy_rises_with_the_gain_and_with_the_number_of_units():
    shares = [tuned_population(gain=g).ideal_accuracy(4000) for g in (0.0, 2.0, 8.0)]
    assert shares[0] < shares[1] < shares[2]
    assert tuned_population(n_units=5).ideal_accuracy(4000) < tuned_population(n_units=40).ideal_accuracy(4000)
    for change in ({"n_trials": 8}, {"gain": -1.0}, {"n_directions": 1}):
        with pytest.raises(BraindecError, match="tuned population needs"):
            tuned_population(**change)


def test_the_planted_rates_are_in_the_spikes():
    truth = tuned_population(n_trials=800, gain=20.0, seed=3)
    from braindec.signal.spike_windows import spike_windows

    windows = spike_windows(truth.spikes, width=0.5, tmin=0.05, tmax=0.55, scale="rate")
    rates = windows.load()[:, :, 0]
    for k, direction in enumerate(truth.directions):
        seen = rates[windows.trials["trial_type"] == f"{direction:03.0f}"].mean(axis=0)
        assert np.abs(seen - truth.rates[k]).max() < 3.5  # 100 trials of 0.5 s
        assert np.corrcoef(seen, truth.rates[k])[0, 1] > 0.97


def test_wrong_settings_are_one_clear_error(go):
    for settings, said in (
        (("split.by=rn",), "did you mean 'run'"), (("split.by=run", "split.held_out=[9]"), "no event has run = '9'"),
        (('events.classes=["000", "050"]',), "no event has trial_type = '050'"), (("counts.width=0.3",), "do not divide"),
        (("series={targets: [velocity]}",), "no continuous variable"), (("split.blocks=100",), "need as many windows"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            go(*QUICK, "time_course=null", *settings)


def test_one_run_held_out(go):
    found = go(*QUICK, "time_course=null", 'split.held_out=["4"]')
    assert row(found.scores, "accuracy")["n"] == 60 and any(
        "One fixed test part of 60" in n for n in found.made_by["notes"]
    )


def test_sounds_on_the_files_own_split(real):
    found = real("spikes_auditory_cortex", *QUICK, "time_course=null")
    decoded = row(found.scores, "accuracy")
    assert decoded["n"] == 162 and 0.45 < decoded["value"] < 0.7 and decoded["p"] == 1 / 40
    assert (
        row(found.scores, "accuracy", "label_shuffle")["high"] < 0.12
        and row(found.scores, "accuracy", "time_only")["value"] < 0.12
    )


@pytest.mark.slow
def test_the_label_of_the_sounds_file_is_no_spike(shared):
    """The first 500 columns hold the label: as bins they would add it to the counts, and accuracy would rise by half."""
    from braindec.decoders.classifier import Classifier
    from braindec.loaders import load
    from braindec.types import Windows

    path = shared("spikes_auditory_cortex") / "D_E_III.csv"
    spikes = load(path, reader="spike_bins", width=0.001, coding="unit_number", labels="sound_ID", columns=["role"])
    table = pd.read_csv(path, low_memory=False)
    values = table.iloc[:, 2:].to_numpy()
    assert spikes.n_units == 70 == values.max() and len(spikes.times) == (values > 0).sum()
    label, test = table["sound_ID"].to_numpy(), (table["role"] == "test").to_numpy()
    wrong = np.column_stack([label, np.zeros_like(label), values[:, :498]])  # what "the first 500 columns" gives
    score = {}
    for name, bins in (("right", values), ("wrong", wrong)):
        X = np.stack([(bins == u).reshape(-1, 20, 25).sum(axis=2) for u in range(1, 71)], axis=1).astype(np.float32)
        windows = Windows.from_arrays(X, {"trial_type": label}, sfreq=40.0)
        decoder = Classifier(features="samples", scaler=None, shrinkage=0.1)
        score[name] = decoder.fit(windows[~test], label[~test]).score(windows[test], label[test])
    assert score["right"] < 0.65 and score["wrong"] > 0.8


def test_odours_are_decoded_before_they_come_and_the_page_says_so(real):
    found = real("spikes_locust_odours", *QUICK[1:], "time_course=null")
    decoded = row(found.scores, "balanced_accuracy")
    assert decoded["value"] > 0.7 and np.isnan(decoded["p"]) and found.made_by["audit"]["level"] == "fail"
    failed = {f["check"]: f for f in found.made_by["audit"]["findings"] if f["level"] == "fail"}
    assert failed["pre_onset"]["evidence"]["balanced_accuracy"] > 0.35 and "block_design" in failed
    assert any("Before the event the same labels are decoded" in a for a in found.made_by["answers"])
    assert any("no permutation of labels can tell" in a for a in found.made_by["answers"])


@pytest.mark.slow
def test_what_a_worm_does_is_in_its_brain(real):
    found = real(
        "calcium_celegans_wholebrain",
        "statistics.n_permutations=39",
        "statistics.n_bootstrap=200",
        "select.subjects=['2022-01-16-01']",
    )
    velocity = row(found.scores, "pearson", target="velocity")
    assert (
        velocity["value"] > 0.65
        and velocity["p"] == 1 / 40
        and row(found.scores, "r2", target="velocity")["value"] > 0.4
    )
    assert (
        row(found.scores, "auc", target="reversal")["value"] > 0.9
        and row(found.scores, "pearson", target="head_angle")["value"] > 0.65
    )
    assert found.made_by["audit"]["level"] == "pass" and any("R² =" in a for a in found.made_by["answers"])
    assert {p["draw"] for p in found.made_by["panels"]} == {"decoded_trace", "null_histogram"}
