"""Exports of MOABB: arrays with a table, and the same trials as a BIDS folder."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.official import official_split
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin
from braindec.signal.windows import make_windows

SIZES = {"n_subjects": 2, "n_runs": 2, "n_trials": 8}


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("moabb", tmp_path_factory.mktemp("moabb") / "arrays", **SIZES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_twin("moabb", tmp_path_factory.mktemp("moabb") / "bids", form="bids", **SIZES)


def test_arrays_are_those_of_the_files(twin):
    source = open_source("bci-iv-2a-moabb", root=twin.root)
    X, y, table = np.load(twin.root / "X.npy"), np.load(twin.root / "y.npy"), pd.read_csv(twin.root / "metadata.csv")
    assert source.subjects() == ["1", "2"]
    windows = source.windows("2")
    mine = np.flatnonzero(table["subject"] == 2)
    assert np.allclose(windows.load(), X[mine] * 1e-6, rtol=1e-6) and set(windows.channels["unit"]) == {"V"}
    assert windows.trials["trial_type"].tolist() == y[mine].tolist() and set(windows.trials["session"]) == {
        "0train",
        "1test",
    }
    assert (windows.trials["part"] == windows.trials["session"].map({"0train": "train", "1test": "test"})).all()
    assert windows.ch_names[7] == "C3" and np.isfinite(windows.recordings[0].positions).all() and windows.sfreq == 250
    split = official_split(windows, "part", validation_by="run", validation=0.0)
    assert len(split.train) == len(split.test) == 16
    assert open_source("bci-iv-2a-moabb", root=twin.root, options={"session": "1test"}).windows("1").trials[
        "session"
    ].unique() == ["1test"]


def test_the_bids_folder_holds_the_same_trials(twin, folder):
    arrays = open_source("bci-iv-2a-moabb", root=twin.root).windows("1")
    recordings = open_source(root=folder.root, reader="bids", options=folder.options).recordings("1")
    assert [(r.info["session"], r.info["run"]) for r in recordings] == [
        ("0train", "0"),
        ("0train", "1"),
        ("1test", "0"),
        ("1test", "1"),
    ]
    windows = make_windows(recordings, tmin=0.0, tmax=4.0)
    assert windows.trials["trial_type"].tolist() == arrays.trials["trial_type"].tolist()
    assert np.allclose(windows.load(), arrays.load(), rtol=1e-5, atol=1e-11)


def save(folder, X, y, table):
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y, allow_pickle=True)
    table.to_csv(folder / "metadata.csv", index=False)


def test_labels_may_be_python_texts_but_not_code(tmp_path):
    table = pd.DataFrame({"subject": [1, 1, 1], "session": ["0", "0", "1"], "run": [0, 1, 0]})
    X = np.arange(3 * 2 * 5, dtype=float).reshape(3, 2, 5)
    save(tmp_path, X, np.array(["feet", "tongue", "feet"], dtype=object), table)
    options = {"sfreq": 100.0, "unit": "V"}
    windows = open_source(root=tmp_path, reader="moabb", options=options).windows("1")
    assert windows.trials["trial_type"].tolist() == ["feet", "tongue", "feet"] and np.array_equal(
        windows.load(), X.astype(np.float32)
    )

    class Bad:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'flag'}",)

    save(tmp_path, X, np.array([Bad(), 1, 2], dtype=object), table)
    with pytest.raises(UnreadableError, match="more than plain data"):
        open_source(root=tmp_path, reader="moabb", options=options).load("1")
    assert not (tmp_path / "flag").exists()


def test_files_that_do_not_fit(tmp_path):
    table = pd.DataFrame({"subject": [1, 1], "session": ["0", "0"], "run": [0, 1]})
    y = np.array(["a", "b"])

    def load(X, y, table, **options):
        save(tmp_path, X, y, table)
        return open_source(root=tmp_path, reader="moabb", options={"sfreq": 100.0, **options}).load("1")

    with pytest.raises(UnreadableError, match="one trial a row"):
        load(np.zeros((3, 2, 5)), y, table)
    with pytest.raises(BraindecError, match="does not fit"):
        load(np.zeros((2, 2, 5)), np.array(["a", "b", "c"]), table)
    with pytest.raises(UnreadableError, match="no column run"):
        load(np.zeros((2, 2, 5)), y, table.drop(columns="run"))
    with pytest.raises(BraindecError, match="3 names for 2 channels"):
        load(np.zeros((2, 2, 5)), y, table, ch_names=["a", "b", "c"])
    with pytest.raises(BraindecError, match="no session '7'"):
        load(np.zeros((2, 2, 5)), y, table, session="7")
    with pytest.raises(BraindecError, match="parts does not say"):
        load(np.zeros((2, 2, 5)), y, table, parts={"1": "train"})
    with pytest.raises(BraindecError, match="needs sfreq"):
        open_source(root=tmp_path, reader="moabb").load("1")
