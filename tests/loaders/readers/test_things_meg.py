"""THINGS-MEG: published epochs with the table of trials, the zero-shot training part, and raw recordings joined to the same table."""

from __future__ import annotations

import shutil

import mne
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.audit import audit
from braindec.evaluate.official import official_split
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("things_meg", tmp_path_factory.mktemp("meg") / "twin", n_subjects=1)


def windows_of(twin, **options):
    return open_source("things-meg", root=twin.root, options=options).windows("BIGMEG1")


def table_of(twin):
    return pd.read_csv(twin.root / "sourcedata" / "sample_attributes_P1.csv")


def test_tested_concepts_are_left_out_of_training(twin):
    windows, table = windows_of(twin), table_of(twin)
    trials = windows.trials
    tested = set(trials.loc[trials["part"] == "test", "concept_id"])
    assert len(tested) == 14 and not tested & set(trials.loc[trials["part"] == "train", "concept_id"])
    assert (trials["part"] == "train").sum() == (44 - 14) * 4 and (trials["part"] == "test").sum() == 14 * 6
    assert (trials.query("part == 'test'").groupby("stimulus_id")["repetition"].max() == 6).all()
    assert not trials["stimulus_id"].str.contains("catch").any() and (table["trial_type"] == "catch").any()
    said = " ".join(windows.recordings[0].info["warnings"])
    assert (
        "56 training trials of 14 tested concepts" in said
        and "catch trials" in said
        and "standard deviations of their baseline" in said
    )
    split = official_split(windows, "part", validation_by="concept_id", validation=0.0)
    assert (
        audit(windows, split, candidates=twin.features, claim="concept_id", checks=["content_overlap"]).level == "pass"
    )


def test_without_zero_shot_the_audit_fails(twin):
    windows = windows_of(twin, zero_shot=False)
    split = official_split(windows, "part", validation_by="concept_id", validation=0.0)
    found = audit(windows, split, candidates=twin.features, claim="concept_id", checks=["content_overlap"])
    assert found.level == "fail" and any("14 of 14" in f.message for f in found.at("fail"))
    images = audit(windows, split, candidates=twin.features, claim="stimulus_id", checks=["content_overlap"])
    assert not [f for f in images.at("fail") if "stimulus_id" in f.message]  # images are new in any case


def test_epochs_are_those_of_the_table(twin):
    windows, table = windows_of(twin, zero_shot=False), table_of(twin)
    epochs = mne.read_epochs(twin.root / "derivatives" / "preprocessed" / "preprocessed_P1-epo.fif", verbose="ERROR")
    kept = np.flatnonzero(table["trial_type"] != "catch")
    assert np.allclose(windows.load([0, 5, 17]), epochs.get_data(copy=True)[kept[[0, 5, 17]]].astype(np.float32))
    assert [f"{s}.jpg" for s in windows.trials["stimulus_id"]] == [
        p.rsplit("/", 1)[1] for p in table["image_path"].iloc[kept]
    ]
    assert np.allclose(windows.trials["onset"], table["image_on"].iloc[kept]) and np.allclose(
        windows.times, epochs.times
    )
    assert set(windows.channels["unit"]) == {"a.u."} and set(
        windows_of(twin, baseline_zscored=False).channels["unit"]
    ) == {"T"}
    assert np.isfinite(windows.recordings[0].positions).all()


def test_the_planted_responses_are_found(twin):
    windows, truth = windows_of(twin, zero_shot=False).crop(0.0, 0.5), twin.truth()
    latents = truth["latents"][twin.features.rows_of(windows.trials["stimulus_id"])]
    data = windows.load().astype(float)
    found = np.linalg.lstsq(np.c_[latents, np.ones(len(latents))], data.reshape(len(data), -1), rcond=None)[0][:-1]
    planted = np.einsum("lc,lt->lct", truth["1/topographies"], truth["1/courses"])
    assert np.corrcoef(found.ravel(), planted.ravel())[0, 1] > 0.7


def test_sessions_and_tables_that_do_not_fit(twin, tmp_path):
    assert set(windows_of(twin, session=["02", "03"]).trials["session"]) == {"02", "03"}
    root = tmp_path / "copy"
    shutil.copytree(twin.root, root)
    path = root / "sourcedata" / "sample_attributes_P1.csv"
    table = table_of(twin)
    table.iloc[:-3].to_csv(path, index=False)
    with pytest.raises(BraindecError, match="differ in number"):
        open_source("things-meg", root=root).load("BIGMEG1")
    table.drop(columns="image_path").to_csv(path, index=False)
    with pytest.raises(UnreadableError, match="image_path"):
        open_source("things-meg", root=root).load("BIGMEG1")
    table.assign(trial_type="odd").to_csv(path, index=False)
    with pytest.raises(UnreadableError, match="unknown trial_type"):
        open_source("things-meg", root=root).load("BIGMEG1")
    with pytest.raises(BraindecError, match="form is epochs or raw"):
        open_source("things-meg", root=twin.root, options={"form": "x"}).load("BIGMEG1")
    with pytest.raises(BraindecError, match="holds no raw"):
        open_source("things-meg", root=twin.root, options={"form": "raw"}).subjects()


@pytest.fixture
def raw_folder(tmp_path):
    """Two runs as BIDS (FIF instead of CTF), with events.tsv and the table of trials."""
    rng = np.random.default_rng(0)
    rows = []
    for run in (1, 2):
        info = mne.create_info(["MLT11-1609", "MRO11-1609"], 100.0, "mag")
        base = tmp_path / "sub-BIGMEG1" / "ses-01" / "meg" / f"sub-BIGMEG1_ses-01_task-main_run-{run:02d}"
        base.parent.mkdir(parents=True, exist_ok=True)
        mne.io.RawArray(1e-13 * rng.normal(size=(2, 4000)), info, verbose="ERROR").save(
            f"{base}_meg.fif", verbose="ERROR"
        )
        kinds = ["exp", "test", "catch", "exp"] * 8
        paths = [{"exp": f"images_meg/cat/cat_{k:02d}s.jpg" if k % 2 else f"images_meg/dog_toy/dog_toy_{k:02d}s.jpg", "test": "images_test_meg/cat_99s.jpg",
                  "catch": f"images_catch_meg/catch{k:03d}.jpg"}[kind] for k, kind in enumerate(kinds)]  # fmt: skip
        onset = 1.0 + np.arange(32)
        value = np.where(np.array(kinds) == "catch", np.nan, np.arange(32) + 32 * run)
        pd.DataFrame({"onset": onset, "duration": 0.5, "value": value}).to_csv(
            f"{base}_events.tsv", sep="\t", index=False, na_rep="n/a"
        )
        rows += [
            {"image_path": p, "trial_type": k, "session_nr": 1, "run_nr": run, "things_image_nr": v}
            for p, k, v in zip(paths, kinds, value, strict=True)
        ]
    (tmp_path / "sourcedata").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "sourcedata" / "sample_attributes_P1.csv", index=False)
    return tmp_path


def test_raw_recordings_take_their_trials_from_the_table(raw_folder):
    source = open_source("things-meg", root=raw_folder, options={"form": "raw"})
    first, second = source.recordings(source.subjects()[0])
    assert (first.info["session"], first.info["run"], second.info["run"]) == ("01", "01", "02")
    assert set(first.events["part"]) == {"train", "test"} and set(
        first.events.query("part == 'train'")["concept_id"]
    ) == {"dog_toy"}
    assert first.events["onset"].iloc[:3].tolist() == [
        1.0,
        2.0,
        5.0,
    ]  # the third is a catch trial, the fourth shows the tested concept
    assert dict(zip(first.channels["name"], first.channels["status"], strict=True))["MRO11-1609"] == "bad"
    assert source.files("BIGMEG1")


def test_raw_recordings_of_other_trials_are_refused(raw_folder):
    path = raw_folder / "sourcedata" / "sample_attributes_P1.csv"
    table = pd.read_csv(path)
    table.iloc[:-1].to_csv(path, index=False)
    with pytest.raises(BraindecError, match="differ in number"):
        open_source("things-meg", root=raw_folder, options={"form": "raw"}).load("BIGMEG1")
    wrong = table["things_image_nr"] + 1
    table.assign(things_image_nr=wrong).to_csv(path, index=False)
    with pytest.raises(BraindecError, match="name different images"):
        open_source("things-meg", root=raw_folder, options={"form": "raw"}).load("BIGMEG1")
    table.assign(things_image_nr=wrong.where(np.arange(len(table)) % 2 == 0, table["things_image_nr"])).to_csv(
        path, index=False
    )
    assert (
        len(open_source("things-meg", root=raw_folder, options={"form": "raw"}).recordings("BIGMEG1")) == 2
    )  # some differ in the published tables
