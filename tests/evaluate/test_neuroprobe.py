"""Neuroprobe: what the regimes keep apart, and classes whose limits come from training rows alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.neuroprobe import REGIMES, TASKS, neuroprobe_folds, neuroprobe_labels, neuroprobe_splits

WATCHED = {
    ("1", "trial000"): "a",
    ("1", "trial001"): "b",
    ("2", "trial000"): "b",
    ("2", "trial001"): "c",
    ("3", "trial000"): "a",
}


@pytest.fixture
def trials():
    """Words of five recordings, some stretches without words."""
    rng = np.random.default_rng(0)
    rows = []
    for (subject, session), film in WATCHED.items():
        now = 0.0
        for k in range(80):
            verbal = k % 8 != 7
            rows.append({"subject": subject, "session": session, "story": film, "onset": now, "duration": 0.3 if verbal else 1.0, "trial_type": "word" if verbal else "nonverbal",
                         "sentence": f"{film}{k // 8}", "word_index": k % 8, "is_onset": float(k % 8 == 0), "pos": ["NOUN", "VERB", "DET"][int(rng.integers(3))], "bin_head": int(rng.integers(2)),
                         "face_num": int(rng.poisson(1)), **{c: rng.normal() for c in ("rms", "pitch", "delta_rms", "gpt2_surprisal", "word_length", "mean_pixel_brightness",
                         "max_global_magnitude", "max_vector_magnitude")}})  # fmt: skip
            now += rows[-1]["duration"] + float(rng.uniform(0.1, 0.6)) + (4 if not verbal else 0)
    return pd.DataFrame(rows)


def where(trials, subject, session):
    return np.flatnonzero((trials["subject"] == subject) & (trials["session"] == session))


def test_there_are_fifteen_tasks_and_three_regimes():
    assert len(TASKS) == len(set(TASKS)) == 15 and REGIMES == ("SS-SM", "SS-DM", "DS-DM")
    assert {"volume", "pitch", "onset", "speech", "word_part_speech", "gpt2_surprisal"} <= set(TASKS)


def test_same_movie_is_split_in_contiguous_folds_with_a_gap(trials):
    folds = neuroprobe_splits(trials, "SS-SM", subject="1", session="trial001", n_folds=4, gap=2.0)
    mine = where(trials, "1", "trial001")
    assert len(folds) == 4 and np.array_equal(np.sort(np.concatenate([f.test for f in folds])), mine)
    start, stop = trials["onset"].to_numpy(), (trials["onset"] + trials["duration"]).to_numpy()
    for fold in folds:
        assert set(fold.train) <= set(mine) and np.array_equal(fold.test, np.arange(fold.test[0], fold.test[-1] + 1))
        distance = np.maximum(
            start[fold.train][:, None] - stop[fold.test], start[fold.test] - stop[fold.train][:, None]
        )
        assert distance.min() >= 2.0 - 1e-9
        assert audit(trials, fold, checks=["time_adjacency"], min_gap=2.0).level == "pass"


def test_different_movie_trains_on_other_films_of_the_subject(trials):
    (split,) = neuroprobe_splits(trials, "SS-DM", subject="1", session="trial000")
    assert np.array_equal(split.test, where(trials, "1", "trial000")) and np.array_equal(
        split.train, where(trials, "1", "trial001")
    )
    found = audit(trials, split, claim=["session", "story"], checks=["content_overlap"])
    assert found.level == "pass"


def test_a_film_that_is_tested_is_never_trained_on(trials):
    (split,) = neuroprobe_splits(
        trials, "DS-DM", subject="1", session="trial001"
    )  # film b, which subject 2 watched too
    assert set(trials["story"].iloc[split.train]) == {"a", "c"} and set(trials["subject"].iloc[split.train]) == {
        "2",
        "3",
    }
    (one,) = neuroprobe_splits(
        trials, "DS-DM", subject="1", session="trial001", train_subjects=["2"], train_sessions=["trial001"]
    )
    assert np.array_equal(one.train, where(trials, "2", "trial001"))
    with pytest.raises(BraindecError, match="no recording of another subject") as error:
        neuroprobe_splits(
            trials[trials["story"] == "a"].reset_index(drop=True), "DS-DM", subject="1", session="trial000"
        )
    assert "the test film is a" in str(error.value)
    with pytest.raises(BraindecError, match="another film of this subject"):
        neuroprobe_splits(trials, "SS-DM", subject="3", session="trial000")


def test_limits_of_quartiles_come_from_training_rows(trials):
    (split,) = neuroprobe_splits(trials, "SS-DM", subject="1", session="trial000")
    shifted = trials.copy()
    shifted.loc[split.test, "rms"] += 100.0
    a, b = (
        neuroprobe_labels(trials, "volume", train=split.train),
        neuroprobe_labels(shifted, "volume", train=split.train),
    )
    assert np.array_equal(a[split.train], b[split.train])  # test values move no limit
    words = trials["trial_type"].to_numpy() == "word"
    assert set(b[split.test][words[split.test]]) == {"high"}
    low, high = np.quantile(trials["rms"].to_numpy()[split.train][words[split.train]], (0.25, 0.75))
    values = trials["rms"].to_numpy()
    assert all(
        (a[k] == "low") == (words[k] and values[k] < low) and (a[k] == "high") == (words[k] and values[k] > high)
        for k in range(len(a))
    )


def test_classes_of_the_other_tasks(trials):
    everything = np.arange(len(trials))
    kind = trials["trial_type"].to_numpy()
    speech, onset = (neuroprobe_labels(trials, t, train=everything) for t in ("speech", "onset"))
    assert np.array_equal(speech == "speech", kind == "word") and np.array_equal(
        speech == "nonverbal", kind == "nonverbal"
    )
    assert np.array_equal(onset == "sentence onset", (kind == "word") & (trials["is_onset"] == 1).to_numpy())
    pos = neuroprobe_labels(trials, "word_part_speech", train=everything)
    assert np.array_equal(pos == "verb", (kind == "word") & (trials["pos"] == "VERB").to_numpy()) and None in pos
    index = neuroprobe_labels(trials, "word_index", train=everything)
    assert np.array_equal(index == "first", (kind == "word") & (trials["word_index"] == 0).to_numpy())
    faces = neuroprobe_labels(trials, "face_num", train=everything)
    assert np.array_equal(faces == "none", (kind == "word") & (trials["face_num"] == 0).to_numpy())


def test_gaps_between_words_of_one_sentence():
    trials = pd.DataFrame(
        {
            "subject": "1",
            "session": "s",
            "story": "a",
            "trial_type": "word",
            "onset": np.arange(20.0),
            "duration": 0.5,
            "sentence": ["x"] * 10 + ["y"] * 10,
        }
    )
    trials["onset"] += np.r_[0, np.cumsum(np.linspace(0, 1, 19))]
    labels = neuroprobe_labels(trials, "word_gap", train=np.arange(20))
    gaps = np.r_[np.nan, trials["onset"].to_numpy()[1:] - (trials["onset"] + 0.5).to_numpy()[:-1]]
    gaps[10] = np.nan  # the first word of the second sentence
    low, high = np.nanquantile(gaps, (0.25, 0.75))
    assert labels.tolist() == ["low" if g < low else "high" if g > high else None for g in gaps]
    mixed = trials.sample(frac=1.0, random_state=1)
    again = neuroprobe_labels(mixed.reset_index(drop=True), "word_gap", train=np.arange(20))
    assert [again[list(mixed.index).index(k)] for k in range(20)] == labels.tolist()


@pytest.mark.parametrize("task", TASKS)
def test_every_task_in_every_regime(trials, task):
    for regime, options in (("SS-SM", {"n_folds": 2}), ("SS-DM", {}), ("DS-DM", {})):
        for fold in neuroprobe_folds(trials, task, regime, subject="2", session="trial000", **options):
            assert len(set(fold.classes(fold.split.train))) == len(set(fold.classes(fold.split.test))) == 2
            assert None not in fold.labels[np.r_[fold.split.train, fold.split.test]]
            assert len(fold.labels) == len(trials)


def test_what_does_not_fit_is_refused(trials):
    with pytest.raises(BraindecError, match="no regime 'SS-XM'"):
        neuroprobe_splits(trials, "SS-XM", subject="1", session="trial000")
    with pytest.raises(BraindecError, match="no recording of subject 9"):
        neuroprobe_splits(trials, "SS-SM", subject="9", session="trial000")
    with pytest.raises(BraindecError, match="needs the column story"):
        neuroprobe_splits(trials.drop(columns="story"), "SS-SM", subject="1", session="trial000")
    with pytest.raises(BraindecError, match="did you mean 'volume'"):
        neuroprobe_labels(trials, "volum", train=np.arange(5))
    with pytest.raises(BraindecError, match="needs the column rms"):
        neuroprobe_labels(trials.drop(columns="rms"), "volume", train=np.arange(50))
    with pytest.raises(BraindecError, match="needs the column pos"):
        neuroprobe_labels(trials.drop(columns="pos"), "word_part_speech", train=np.arange(50))
    with pytest.raises(BraindecError, match="nonverbal: true"):
        neuroprobe_labels(trials[trials["trial_type"] == "word"].reset_index(drop=True), "speech", train=np.arange(50))
    with pytest.raises(BraindecError, match="no quartiles"):
        neuroprobe_labels(trials, "pitch", train=np.arange(5))
    with pytest.raises(BraindecError, match="has 1 classes"):
        neuroprobe_folds(trials.assign(face_num=0), "face_num", "SS-DM", subject="1", session="trial000")
