"""Windows in memory: the planted signal can be found, and each leak is there when asked for and only then."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.synthetic import synthetic_features, synthetic_windows


def left_out_accuracy(X: np.ndarray, y: np.ndarray, runs: np.ndarray) -> float:
    """Ridge to +-1, one run left out; X is (trial, feature)."""
    sign = np.where(y == "class-1", 1.0, -1.0)
    right = 0
    for run in np.unique(runs):
        test = runs == run
        mean = X[~test].mean(axis=0)
        A = X[~test] - mean
        A1 = np.column_stack([A / A.std(), np.ones(len(A))])
        w = np.linalg.solve(A1.T @ A1 + 20 * np.eye(A1.shape[1]), A1.T @ sign[~test])
        right += (
            (np.column_stack([(X[test] - mean) / A.std(), np.ones(test.sum())]) @ w > 0) == (sign[test] > 0)
        ).sum()
    return right / len(y)


def flat(windows, tmin=None, tmax=None):
    cut = windows.crop(tmin, tmax)
    return cut.load().reshape(len(cut), -1).astype(float) * 1e5


def labels(windows):
    return windows.trials["trial_type"].to_numpy(), (windows.trials["subject"] + windows.trials["run"]).to_numpy()


def test_shape_columns_and_same_seed_same_bytes():
    windows = synthetic_windows(n_subjects=2, n_runs=3, n_trials=20, n_channels=5, seed=4)
    assert windows.shape == (120, 5, 60) and windows.times[0] == pytest.approx(-0.1)
    assert {
        "subject",
        "session",
        "run",
        "onset",
        "duration",
        "trial_type",
        "stimulus_id",
        "concept_id",
        "repetition",
        "window_id",
    } <= set(windows.trials)
    assert windows.trials["window_id"].is_unique and windows.modality == "eeg"
    np.testing.assert_array_equal(
        windows.load(), synthetic_windows(n_subjects=2, n_runs=3, n_trials=20, n_channels=5, seed=4).load()
    )
    assert not np.array_equal(
        windows.load(), synthetic_windows(n_subjects=2, n_runs=3, n_trials=20, n_channels=5, seed=5).load()
    )
    events = windows.recordings[0].events
    np.testing.assert_allclose(events["onset"], windows.trials["onset"][:20])
    np.testing.assert_allclose(
        np.round(events["onset"] * 100) - 10, windows.index[:20, 1]
    )  # the window starts 0.1 s before


def test_class_is_decoded_after_onset_only():
    windows = synthetic_windows(n_trials=60, n_runs=4, strength=0.7)
    y, runs = labels(windows)
    assert left_out_accuracy(flat(windows, 0.1, 0.4), y, runs) > 0.75
    assert abs(left_out_accuracy(flat(windows, -0.1, 0.0), y, runs) - 0.5) < 0.1
    nothing = synthetic_windows(n_trials=60, n_runs=4, strength=0.0)
    assert abs(left_out_accuracy(flat(nothing, 0.1, 0.4), *labels(nothing)) - 0.5) < 0.1


def test_features_are_in_the_signal_with_the_topographies_that_are_said():
    features = synthetic_features(80, 12, seed=2)
    windows = synthetic_windows(features, n_trials=160, n_channels=6, seed=2, n_classes=2)
    kinds = windows.trials["trial_type"].str[-1].astype(int).to_numpy()
    values = features.load()
    linear = (values - values.mean(axis=0)) @ windows.info["directions"].T
    linear = linear / linear.std(axis=0)
    drives = np.column_stack([2.0 * kinds - 1, linear[features.rows_of(windows.trials["stimulus_id"])]])
    X = windows.load().astype(float)
    course = windows.info["course"]
    weighted = X @ course / (course @ course)  # (trial, channel)
    design = np.column_stack([drives, np.ones(len(drives))])
    found = np.linalg.lstsq(design, weighted, rcond=None)[0][:-1].T
    planted = windows.info["topographies"][0]
    assert np.corrcoef(found.ravel(), planted.ravel())[0, 1] > 0.9
    assert np.linalg.norm(found) / np.linalg.norm(planted) == pytest.approx(1, abs=0.25)


def test_block_design_puts_classes_together_and_drift_makes_them_decodable_without_signal():
    blocked = synthetic_windows(n_classes=4, n_trials=40, design="block", seed=1)
    y = blocked.trials["trial_type"].to_numpy()[:40]
    assert (y[1:] != y[:-1]).sum() == 3
    random = synthetic_windows(n_classes=4, n_trials=40, seed=1).trials["trial_type"].to_numpy()[:40]
    assert (random[1:] != random[:-1]).sum() > 15
    drifting = synthetic_windows(n_runs=1, n_trials=80, design="block", strength=0, drift=4.0, seed=1)
    y, _ = labels(drifting)
    neighbours = np.arange(len(y)) % 8  # shuffled folds within a run: every test window has training windows beside it
    assert left_out_accuracy(flat(drifting, -0.1, 0.0), y, neighbours) > 0.8


def test_leaks_are_there_when_asked_for():
    early = synthetic_windows(n_trials=40, strength=0.5, leak="before_onset")
    assert left_out_accuracy(flat(early, -0.1, 0.0), *labels(early)) > 0.8
    copied = synthetic_windows(n_runs=3, n_trials=20, leak="duplicate_run")
    X, run = copied.load(), copied.trials["run"].to_numpy()
    np.testing.assert_array_equal(X[run == "01"], X[run == "03"])
    assert not np.array_equal(X[run == "01"], X[run == "02"])


def test_concepts_group_stimuli():
    features = synthetic_features(30, 8, n_concepts=10)
    assert features.items["concept_id"].nunique() == 10 and features.items["stimulus_id"].is_unique
    windows = synthetic_windows(features, n_trials=30, n_classes=5)
    assert (windows.trials.groupby("concept_id")["trial_type"].nunique() == 1).all() and windows.trials[
        "trial_type"
    ].nunique() == 5


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"design": "blocks"}, "did you mean 'block'"), ({"leak": "before_onse"}, "did you mean 'before_onset'")],
)
def test_unknown_words_are_refused(settings, said):
    with pytest.raises(BraindecError, match=said):
        synthetic_windows(**settings)
