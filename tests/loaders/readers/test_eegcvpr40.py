"""EEGCVPR40: refused by default; its twin is pure noise that random folds decode and left-out blocks do not; the audit fails it."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import KFold

from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.audit import audit
from braindec.evaluate.official import official_split
from braindec.evaluate.splits import split_by
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin
from braindec.stats.binomial import binomial_threshold


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("eegcvpr40", tmp_path_factory.mktemp("cvpr") / "twin")


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    return make_twin("eegcvpr40", tmp_path_factory.mktemp("cvpr") / "random", order="random")


def source_of(twin, **options):
    return open_source("eegcvpr40", root=twin.root, options={**twin.options, **options})


def test_it_is_refused_unless_the_design_is_known(twin):
    for options in ({}, {"i_know_about_the_block_design": False}, {"i_know_about_the_block_design": "yes"}):
        source = open_source("eegcvpr40", root=twin.root, options=options)
        for call in (source.subjects, lambda s=source: s._module.load(s.root, "1", **s.options)):
            with pytest.raises(BraindecError, match="block of its own") as error:
                call()
            assert (
                "9264220" in str(error.value)
                and "i_know_about_the_block_design: true" in str(error.value)
                and "things-eeg2" in str(error.value)
            )
    windows = source_of(twin).windows("1")
    assert "says nothing about the brain" in windows.recordings[0].info["warnings"][0]


def accuracy(windows, folds):
    X = windows.load().reshape(len(windows), windows.n_channels, 4, -1).mean(axis=3).reshape(len(windows), -1)
    y = windows.trials["trial_type"].to_numpy()
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    hits = [lda.fit(X[a], y[a]).predict(X[b]) == y[b] for a, b in folds]
    return float(np.mean(np.concatenate(hits)))


def test_noise_in_blocks_is_decoded_by_random_folds_and_by_nothing_else(twin, shuffled):
    beyond = binomial_threshold(360, 0.1, 0.001)
    beyond = beyond if beyond < 1 else beyond / 360
    for subject in ("1", "2"):
        windows, random = source_of(twin).windows(subject), source_of(shuffled).windows(subject)
        folds = list(KFold(5, shuffle=True, random_state=0).split(windows.ids))
        published = official_split(windows, "part", validation_by="stimulus_id")
        assert (
            accuracy(windows, folds) > 0.4 and accuracy(windows, [(published.train, published.test)]) > 0.3
        )  # chance 0.1
        assert accuracy(windows, [(s.train, s.test) for s in split_by(windows, "round")]) < beyond
        assert accuracy(random, folds) < beyond


def test_the_audit_fails_the_published_split(twin, shuffled):
    windows = source_of(twin).windows("1")
    y = windows.trials["trial_type"].to_numpy()
    split = official_split(windows, "part", validation_by="stimulus_id")
    found = audit(windows, split, y=y, checks=["block_design"])
    assert found.level == "fail" and "30 recordings holds one class only" in found.findings[0].message
    honest = audit(windows, split_by(windows, "round"), y=y, checks=["block_design"])
    assert honest.level == "warn"  # nothing is shared, but blocks differ in class
    one_block = source_of(twin, blocks="class").windows("1")  # as published: a block a class
    assert (
        audit(
            one_block, official_split(one_block, "part", validation_by="stimulus_id"), y=y, checks=["block_design"]
        ).level
        == "fail"
    )
    random = source_of(shuffled).windows("1")
    assert "run" not in random.trials
    mixed = official_split(random, "part", validation_by="stimulus_id")
    assert audit(random, mixed, y=random.trials["trial_type"].to_numpy(), checks=["block_design"]).level == "pass"


def test_trials_are_those_of_the_file(twin):
    table = torch.load(twin.root / "block" / "eeg_5_95_std.pth", weights_only=True)
    windows = source_of(twin).windows("2")
    rows = [k for k, item in enumerate(table["dataset"]) if item["subject"] == 2]
    assert np.array_equal(windows.load(), np.stack([table["dataset"][k]["eeg"].numpy() for k in rows]))
    assert windows.trials["concept_id"].tolist() == [table["labels"][table["dataset"][k]["label"]] for k in rows]
    assert windows.trials["stimulus_id"].tolist() == [table["images"][table["dataset"][k]["image"]] for k in rows]
    places = torch.load(twin.root / "block" / "block_splits_by_image_all.pth", weights_only=True)["splits"][0]
    assert [k for k, p in zip(rows, windows.trials["part"], strict=True) if p == "test"] == [
        k for k in places["test"] if k in set(rows)
    ]
    cropped = source_of(twin, start=20, stop=100).windows("1")
    assert cropped.n_times == 80 and cropped.tmin == pytest.approx(0.02)
    assert (windows.trials.groupby(["run"])["trial_type"].nunique() == 1).all() and sorted(
        windows.trials["round"].unique()
    ) == ["01", "02", "03"]


def test_files_of_old_torch(twin, tmp_path):
    table = torch.load(twin.root / "block" / "eeg_5_95_std.pth", weights_only=True)
    torch.save(table, tmp_path / "eeg_5_95_std.pth", _use_new_zipfile_serialization=False)
    old = open_source("eegcvpr40", root=tmp_path, options=twin.options).windows("1")
    assert np.array_equal(old.load(), source_of(twin).windows("1").load()) and "part" not in old.trials


def test_what_does_not_fit_is_refused(twin, tmp_path):
    options = {"i_know_about_the_block_design": True}
    with pytest.raises(BraindecError, match="has no eeg_5_95_std"):
        open_source("eegcvpr40", root=tmp_path, options=options).subjects()
    path = tmp_path / "eeg_5_95_std.pth"

    class Bad:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'flag'}",)

    torch.save({"dataset": [Bad()]}, path)
    with pytest.raises(UnreadableError, match="weights_only"):
        open_source("eegcvpr40", root=tmp_path, options=options).subjects()
    assert not (tmp_path / "flag").exists()
    torch.save({"dataset": [{"eeg": torch.zeros(2, 3)}]}, path)
    with pytest.raises(UnreadableError, match="not in the form"):
        open_source("eegcvpr40", root=tmp_path, options=options).subjects()
    with pytest.raises(BraindecError, match="no subject '9'"):
        source_of(twin).load("9")
    with pytest.raises(BraindecError, match="samples"):
        source_of(twin, start=20, stop=460).load("1")
    with pytest.raises(BraindecError, match="blocks is class or order"):
        source_of(twin, blocks="time").load("1")
    with pytest.raises(UnreadableError, match="no split 3"):
        source_of(twin, split_number=3).load("1")
