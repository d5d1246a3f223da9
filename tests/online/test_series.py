"""Continuous replay: live predictions equal offline ones, a planted force is followed, delays look back only."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.series import decode_series, delayed
from braindec.loaders.source import open_source
from braindec.loaders.synthetic_force import force_recording
from braindec.online.series import live_series, replay_series
from braindec.ridge.folds import contiguous_folds
from braindec.ridge.plain import fit_ridge

STEPS = [{"band_power": {"bands": {"high_gamma": [70, 150]}, "width": 0.1, "sfreq": 20.0}}]


@pytest.fixture(scope="module")
def run():
    return force_recording(duration=60.0, n_channels=4, sfreq=400.0)[0]


def test_live_predictions_equal_offline_ridge_on_the_same_features(run):
    found = replay_series(run, ["force"], steps=STEPS, delays=[0, 1, 3], chunk=0.033)
    data, _ = live_series([run], ["force"], steps=STEPS)
    X = delayed(data.signals, np.zeros(len(data.signals), dtype=int), [0, 1, 3])
    train, test = data.times < 36.0, data.times >= 36.5
    mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
    folds = contiguous_folds(int(train.sum()), 5, buffer=10)
    fit = fit_ridge((X[train] - mean) / scale, data.targets[train], folds=folds, dtype="float64")
    assert np.allclose(found.times, data.times[test]) and np.allclose(found.true, data.targets[test])
    assert np.abs(found.predicted - fit.predict((X[test] - mean) / scale)).max() < 1e-8
    other = replay_series(run, ["force"], steps=STEPS, delays=[0, 1, 3], chunk=2.0)
    assert np.allclose(other.predicted, found.predicted, atol=1e-9)
    assert found.r() > 0.8 and found.r2() > 0.5 and found.trained_until == pytest.approx(36.0)


def test_where_nothing_follows_the_force_nothing_is_predicted():
    quiet = force_recording(duration=60.0, n_channels=4, sfreq=400.0, gain=0.0)[0]
    assert replay_series(quiet, ["force"], steps=STEPS).r2() < 0.1


def test_what_comes_later_is_refused(run):
    with pytest.raises(BraindecError, match="into the past"):
        replay_series(run, ["force"], steps=STEPS, delays=[-1, 0])
    with pytest.raises(BraindecError, match="have not come yet"):
        replay_series(run, ["force"], steps=[{"filter": {"low": 70.0, "high": 150.0}}])
    with pytest.raises(BraindecError, match="no channel 'forse'"):
        replay_series(run, ["forse"], steps=STEPS)
    with pytest.raises(BraindecError, match="share of the run"):
        replay_series(run, ["force"], steps=STEPS, train=0.99)


def test_grip_force_of_a_real_recording(shared, monkeypatch):
    monkeypatch.setenv("BRAINDEC_DATA", str(shared("ecog-grip").parent))
    run = open_source("ecog-grip").recordings("testsub")[0]
    steps = [{"notch": {"freqs": [60, 120, 180]}},
             {"band_power": {"bands": {"beta": [13, 30], "high_gamma": [70, 200]}, "width": 0.1, "sfreq": 20.0}}]  # fmt: skip
    data, _ = live_series([run], ["MOV_RIGHT"], steps=steps)
    cv = decode_series(data.signals, data.targets, names=["force"], sfreq=data.sfreq, delays=range(6), n_folds=4, gap=0.5, block=4.0,
                       n_shifts=39, controls=("time_only",)).scores.set_index(["row", "metric"])  # fmt: skip
    assert cv.loc[("decoded", "pearson"), "p"] <= 0.05 and cv.loc[("decoded", "pearson"), "value"] > 0.3
    assert cv.loc[("time_only", "pearson"), "value"] < 0.1
    assert replay_series(run, ["MOV_RIGHT"], steps=steps, delays=range(6)).r() > 0.4
