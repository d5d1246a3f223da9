"""What may be exchanged under "no information": whole subjects, whole contents, irregular stretches; perfect scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from braindec.decoders.classifier import Classifier
from braindec.evaluate._exchange import exchange_of
from braindec.evaluate.controls.time_only import time_features
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.types import Split, Windows

DECODER = Classifier(bin_width=0.25)


def windows_of(X, codes, runs, **columns):
    onset = 2.0 * np.concatenate([np.arange(n) for n in np.bincount(runs)])
    trials = pd.DataFrame({"run": runs, "onset": onset, "trial_type": codes, **columns})
    return Windows.from_arrays(X.astype("float32"), trials, sfreq=8.0)


def chain(rng, n, stay):
    """Labels that stay with a probability, as states and choices do."""
    return (np.cumsum(rng.random(n) > stay) + rng.integers(2)) % 2


def drifting(rng, runs, per, stay):
    """Labels and signals that are both alike from row to row, and know nothing of each other."""
    codes = np.concatenate([chain(rng, per, stay) for _ in range(runs)])
    slow = lfilter([1], [1, -0.95], rng.normal(size=(runs, per + 80, 3)), axis=1)[:, 80:]
    X = rng.normal(size=(runs * per, 3, 8)) + slow.reshape(-1, 3, 1)
    return windows_of(X, codes, np.repeat(np.arange(runs), per)), codes


@pytest.mark.parametrize("by", ["subject", "run"])
def test_labels_that_belong_to_subjects_are_exchanged_between_subjects_not_runs(by):
    subject, labels = np.repeat(np.arange(8), 3 * 4), np.array([0, 1, 1, 0, 1, 0, 0, 1])
    codes = labels[subject]
    X = np.random.default_rng(0).normal(size=(96, 3, 8))
    windows = windows_of(X, codes, np.repeat(np.arange(24), 4), subject=subject.astype(str))
    splits = split_by(windows, by)
    exchange = exchange_of(windows, codes, splits)
    assert "between whole subjects" in exchange.how and exchange.where == "subject"
    assert exchange.arrangements(codes) == pytest.approx(np.log(70))
    for drawn in exchange.draw(codes, splits, n=10, rng=np.random.default_rng(1)):
        assert all(len(set(drawn[subject == s])) == 1 for s in range(8))
    assert np.array_equal(np.unique(exchange.clusters, return_inverse=True)[1], subject)


def test_labels_within_subjects_are_exchanged_within_runs_and_subjects_resampled():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(6), 20)
    codes = np.concatenate([rng.permutation(10) % 2 for _ in range(12)])
    windows = windows_of(rng.normal(size=(120, 3, 8)), codes, np.repeat(np.arange(12), 10), subject=subject.astype(str))
    exchange = exchange_of(windows, codes, split_by(windows, "subject"))
    assert "within each run" in exchange.how
    assert len(np.unique(exchange.clusters)) == 6 and exchange.where == "subject"


def test_blocks_inside_runs_stay_in_them_and_stimuli_shared_by_runs_are_the_clusters():
    rng = np.random.default_rng(0)
    runs, block = np.repeat(np.arange(4), 24), np.repeat(np.arange(24), 4)
    codes = np.concatenate([rng.permutation(6) % 2 for _ in range(4)])[block]
    windows = windows_of(rng.normal(size=(96, 3, 8)), codes, runs, block=block)
    splits = split_by(windows, "block", n_folds=6)
    exchange = exchange_of(windows, codes, splits)
    for drawn in exchange.draw(codes, splits, n=10, rng=rng):
        assert [drawn[runs == r].sum() for r in range(4)] == [12] * 4
    stimulus = np.concatenate([rng.permutation(24) for _ in range(4)])
    windows = windows_of(rng.normal(size=(96, 3, 8)), stimulus % 2, runs, stimulus_id=stimulus.astype(str))
    exchange = exchange_of(windows, stimulus % 2, split_by(windows, "stimulus_id", n_folds=4))
    assert len(np.unique(exchange.clusters)) == 24


def test_irregular_stretches_are_turned_not_cut():
    windows, codes = drifting(np.random.default_rng(3), 3, 60, 0.85)
    splits = split_by(windows, "run")
    exchange = exchange_of(windows, codes, splits)
    assert "turned around within each run" in exchange.how
    assert exchange.arrangements(codes) <= np.log(60**3) + 1e-9
    for drawn in exchange.draw(codes, splits, n=20, rng=np.random.default_rng(0)):
        for r in range(3):
            own, real = drawn[60 * r : 60 * r + 60], codes[60 * r : 60 * r + 60]
            assert any(np.array_equal(np.roll(real, k), own) for k in range(60))


@pytest.mark.slow
@pytest.mark.parametrize("stay", [0.8, 0.93])
def test_the_p_value_holds_its_level_for_labels_in_irregular_stretches(stay):
    """Exchanging rows, or stretches cut to one length, rejects 12 to 15 % of these."""
    hits = []
    for seed in range(250):
        windows, codes = drifting(np.random.default_rng(seed), 4, 60, stay)
        options = {"metrics": ("auc",), "controls": (), "n_permutations": 39, "n_bootstrap": 100, "seed": seed}
        hits.append(cross_validate(DECODER, windows, codes, split_by(windows, "run"), **options).scores["p"][0] <= 0.05)
    assert np.mean(hits) <= 0.08


def test_a_perfect_score_of_few_rows_is_not_certain():
    rng = np.random.default_rng(0)
    runs, codes = np.repeat(np.arange(3), 8), np.concatenate([rng.permutation(8) % 2 for _ in range(3)])
    X = rng.normal(size=(24, 3, 8)) + 8 * codes[:, None, None]
    windows = windows_of(X, codes, runs)
    cv = cross_validate(DECODER, windows, codes, split_by(windows, "run"), controls=(), n_permutations=0)
    assert (cv.scores["value"] == 1).all() and (cv.scores["high"] == 1).all()
    assert cv.scores["low"].to_numpy() == pytest.approx(0.025 ** (1 / 12))  # Clopper & Pearson, 12 of 12
    assert "exact interval" in cv.scores["note"][0]


def test_a_control_of_time_reads_durations_that_are_not_all_numbers():
    windows = windows_of(
        np.zeros((6, 1, 2)), np.arange(6) % 2, np.zeros(6, int), duration=["n/a", "0.5", "1", "n/a", "1", "1"]
    )
    features, seen = time_features(windows)
    assert "duration" in seen and features[:, -1].tolist() == [0, 0.5, 1, 0, 1, 1]


def test_blocks_that_folds_of_time_cut_stay_whole():
    rng = np.random.default_rng(0)
    codes = np.repeat(rng.permutation(16) % 2, 6)
    windows = windows_of(rng.normal(size=(96, 3, 8)), codes, np.zeros(96, int))
    splits = split_by(windows, "time", n_folds=5)
    exchange = exchange_of(windows, codes, splits)
    assert "blocks of about 6 rows" in exchange.how and len(np.unique(exchange.clusters)) == 5
    for drawn in exchange.draw(codes, splits, n=10, rng=rng):
        assert (drawn.reshape(16, 6) == drawn.reshape(16, 6)[:, :1]).all()


def test_labellings_without_any_pair_are_not_drawn():
    block = np.arange(16) // 2
    codes = np.array([0, 1, 1, 0, 0, 1, 1, 0])[block]
    windows = windows_of(np.random.default_rng(0).normal(size=(16, 3, 8)), codes, np.zeros(16, int), block=block)
    splits = [
        Split(
            np.flatnonzero(block // 2 != k),
            np.empty(0, int),
            np.flatnonzero(block // 2 == k),
            by="block",
            ids=windows.ids,
        )
        for k in range(4)
    ]
    drawn = exchange_of(windows, codes, splits).draw(codes, splits, n=60, rng=np.random.default_rng(0))
    assert all(any(np.ptp(labels[s.test]) > 0 for s in splits) for labels in drawn)  # 6 of 70 orders have no pair
