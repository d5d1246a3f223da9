"""Du-IN: items of pickles come out as they were written; leaks of the published protocol are caught; words are decoded over runs."""

from __future__ import annotations

import os
import pickle
import shutil

import numpy as np
import pytest

from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.audit import audit
from braindec.evaluate.official import official_split
from braindec.evaluate.published import published_records
from braindec.evaluate.splits import split_by
from braindec.loaders.plain_pickle import load_plain
from braindec.loaders.readers.du_in import CHOSEN
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin
from braindec.types import FitRecord


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("du_in", tmp_path_factory.mktemp("duin") / "twin", n_subjects=1)


def windows_of(twin, **options):
    return open_source("du-in", root=twin.root, options={**twin.options, **options}).windows("001")


def run_folder(root, run="run1"):
    return root / "data" / "seeg.he2023xuanwu" / "001" / "word-recitation" / run / "dataset.bipolar.default.unaligned"


def test_windows_are_the_items(twin):
    windows = windows_of(twin)
    items = load_plain(run_folder(twin.root, "run2") / "data", as_dict=["DotDict"])
    names = load_plain(run_folder(twin.root, "run2") / "info", as_dict=["DotDict"])["ch_names"]
    mine = np.flatnonzero(windows.trials["run"] == "run2")
    assert windows.ch_names == names and len(mine) == len(items)
    assert windows.trials["trial_type"].iloc[mine].tolist() == [i["name"] for i in items]
    assert np.array_equal(windows.load(mine), np.stack([i["data_s"] for i in items]))
    assert windows.tmin == -0.5 and windows.modality == "ieeg" and (windows.channels["type"] == "seeg").all()
    assert np.allclose(windows.trials["onset"].iloc[mine], 0.5 + 2.0 * np.arange(len(mine)))
    assert len(pickle.dumps(windows)) < 100_000
    assert np.array_equal(pickle.loads(pickle.dumps(windows)).load([3, 70]), windows.load([3, 70]))


def test_a_span_over_several_items_is_read_as_one(twin):
    signal = windows_of(twin, run="run1").recordings[0].signal
    whole = signal.read()
    assert (
        np.array_equal(signal.read(np.array([2, 0]), 450, 1130), whole[[2, 0], 450:1130]) and whole.shape[1] == 40 * 800
    )


def test_channels_by_name(twin):
    ten = CHOSEN["001"].split()
    assert windows_of(twin, channels="chosen").ch_names == ten
    assert windows_of(twin, channels=ten[:2]).ch_names == ten[:2]
    with pytest.raises(BraindecError, match="no channel 'SM99'"):
        windows_of(twin, channels=["SM99"])
    with pytest.raises(BraindecError, match="no run 'run9'"):
        windows_of(twin, run="run9")
    assert all(len(set(names.split())) == 10 for names in CHOSEN.values()) and len(CHOSEN) == 12


def test_words_are_decoded_over_runs(twin):
    windows = windows_of(twin).crop(0.0, 1.5)
    y = windows.trials["trial_type"].to_numpy()
    hits = np.concatenate([Classifier(model="lda", bin_width=0.25).fit(windows[s.train], y[s.train]).predict(windows[s.test]) == y[s.test]
                           for s in split_by(windows, "run")])  # fmt: skip
    assert hits.mean() > 0.3  # chance 1 / 8


def test_a_choice_of_channels_that_saw_test_trials_is_caught(twin):
    windows = windows_of(twin, channels="chosen")
    splits = split_by(windows, "run")
    found = audit(windows, splits, checks=["test_selection"])
    assert found.level == "fail" and "ten channels" in found.findings[0].message
    assert "test trials among them" in " ".join(windows.recordings[0].info["warnings"])
    clean = windows_of(twin)
    assert published_records(clean) == []
    inside = [
        (s, [FitRecord.of("selection of channels", clean.ids[s.train], purpose="selection")])
        for s in split_by(clean, "run")
    ]
    assert audit(clean, split_by(clean, "run"), records=inside, checks=["test_selection"]).level == "pass"


def test_z_scores_over_all_trials_are_caught(twin):
    windows = windows_of(twin)
    splits = split_by(windows, "run")
    everything = FitRecord.of("z-score of each channel over all trials", windows.ids)  # what the authors' script does
    found = audit(windows, splits, records=[(splits[0], [everything])], checks=["fit_scope"])
    assert found.level == "fail" and "40 test rows" in found.findings[0].message


def test_the_split_of_the_paper_is_flagged_and_that_by_run_is_not(twin):
    windows = windows_of(twin, split="paper")
    part = windows.trials["part"]
    counts = windows.trials.groupby(["trial_type", "part"]).size().unstack(fill_value=0)
    assert (counts["train"] == 12).all() and abs(counts["test"].sum() - counts["validation"].sum()) <= 1
    assert windows_of(twin, split="paper").trials["part"].equals(part) and not windows_of(
        twin, split="paper", seed=1
    ).trials["part"].equals(part)
    assert set(windows.trials.loc[part != "train", "run"]) == {"run3"} and set(
        windows.trials.loc[part == "train", "run"]
    ) == {"run1", "run2", "run3"}
    split = official_split(windows, "part", validation_by="stimulus_id")
    y = windows.trials["trial_type"]
    found = audit(windows, split, y=y, checks=["time_adjacency", "block_design"])
    assert found.level == "warn" and found.of("time_adjacency")[0].level == "warn"
    assert audit(windows, split_by(windows, "run"), y=y, checks=["time_adjacency", "block_design"]).level == "pass"
    assert "same minutes" in " ".join(windows.recordings[0].info["warnings"])
    with pytest.raises(BraindecError, match="split is run or paper"):
        windows_of(twin, split="random")


def test_files_that_hold_more_than_data_or_do_not_fit(twin, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(twin.root, root)
    options = dict(twin.options)
    info = run_folder(root) / "info"

    class Bad:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'flag'}",)

    info.write_bytes(pickle.dumps({"ch_names": [Bad()]}))
    with pytest.raises(UnreadableError, match="more than plain data"):
        open_source("du-in", root=root, options=options).load("001")
    assert not (tmp_path / "flag").exists()
    info.write_bytes(pickle.dumps({"ch_names": ["a", "b"]}))
    with pytest.raises(UnreadableError, match="must be \\(channel, time\\)"):
        open_source("du-in", root=root, options=options).load("001")
    info.write_bytes(pickle.dumps(["a"]))
    with pytest.raises(UnreadableError, match="is no run of Du-IN"):
        open_source("du-in", root=root, options=options).load("001")
    with pytest.raises(BraindecError, match="holds no runs"):
        open_source("du-in", root=tmp_path).subjects()
    with pytest.raises(BraindecError, match="aligned"):
        open_source("du-in", root=root, options={**options, "aligned": True}).subjects()
