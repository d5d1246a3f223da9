"""Readers arrays and table: your own arrays, described; against numpy and pandas; nothing guessed, nothing unpickled."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders.readers import arrays, table

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 3, 40)).astype(np.float32)
Y = np.arange(12) % 3
SENSORS = ["F7", "F3", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "O2"]


def test_meg_hand_movement_directions(shared):
    root = shared("meg_hand_movement_direction")
    options = {"X": "X_train.npy", "y": "y_train.npy", "sfreq": 400, "modality": "meg", "ch_type": "grad",
               "names": {0: "a", 1: "b", 2: "c", 3: "d"}}  # fmt: skip
    windows = load(root, "01", reader="arrays", **options)
    x, y = np.load(root / "X_train.npy"), np.load(root / "y_train.npy")
    np.testing.assert_array_equal(windows.load([159, 3]), x[[159, 3]])
    assert windows.trials["trial_type"].tolist() == ["abcd"[i] for i in y] and windows.shape == (160, 10, 400)
    text = pickle.dumps(windows[[5]])
    assert len(text) < 30_000 and np.array_equal(pickle.loads(text).load(), x[[5]])
    assert {p.name for p in arrays.files(root, "01", **options)} == {"X_train.npy", "y_train.npy"}


def test_p300_continuous(shared):
    root = shared("eeg_p300_bi2012_s01")
    (recording,) = arrays.load(
        root, "01", signal="subject_01_session_01.npz:data", stim="subject_01_session_01.npz:stim",
        stim_names={1: "nontarget", 2: "target"}, sfreq=128, unit="uV", orientation="time_channel", modality="eeg",
        ch_names=[*SENSORS, "REF"], drop=["REF"], montage="spherical_1020",
    )  # fmt: skip
    stored = np.load(root / "subject_01_session_01.npz")
    np.testing.assert_allclose(recording.load(), stored["data"].T[:16] * 1e-6, rtol=1e-6)
    assert recording.events["trial_type"].value_counts().to_dict() == {"nontarget": 640, "target": 128}
    np.testing.assert_array_equal(np.round(recording.events["onset"] * 128), np.flatnonzero(stored["stim"]))
    assert recording.channels["unit"].unique().tolist() == ["V"] and np.isfinite(recording.positions).all()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).load(), recording.load())


@pytest.fixture
def folder(tmp_path):
    """X and y in every format."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "xt.npy", X.transpose(2, 0, 1))
    np.save(tmp_path / "y.npy", Y)
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["deep/y"] = X, Y
        file.create_dataset("chunked", data=X, chunks=(2, 3, 10), compression="gzip")
    scipy.io.savemat(tmp_path / "a.mat", {"x": X, "y": Y})
    with h5py.File(tmp_path / "b.mat", "w", userblock_size=512) as file:
        file["x"], file["y"] = X.T, Y[None]  # MATLAB v7.3 stores axes reversed
    return tmp_path


@pytest.mark.parametrize(
    ("x", "y", "orientation"),
    [
        ("x.npy", "y.npy", None), ("xt.npy", "y.npy", "time_window_channel"), ("a.npz:x", "a.npz:y", None), ("a.h5:x", "a.h5:deep/y", None),
        ("a.h5:chunked", "y.npy", None), ("a.mat:x", "a.mat:y", None), ("b.mat:x", "b.mat:y", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("unit", [None, "uV"])
def test_every_format_gives_the_array_back(folder, x, y, orientation, unit):
    windows = arrays.load(folder, X=x, y=y, sfreq=50.0, orientation=orientation, unit=unit)
    scale = 1e-6 if unit else 1.0
    np.testing.assert_allclose(windows.load([11, 0, 0]), X[[11, 0, 0]] * scale, rtol=1e-6)
    assert windows.trials["trial_type"].tolist() == [str(v) for v in Y]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(windows)).load(), windows.load())


def test_more_columns_are_labels_of_trials(folder):
    np.save(folder / "run.npy", np.repeat([1, 2], 6))
    np.save(folder / "onset.npy", np.arange(12) * 1.5)
    windows = arrays.load(folder, "07", X="x.npy", y="y.npy", column="concept_id", sfreq=50, tmin=-0.2,
                          columns={"run": "run.npy", "onset": "onset.npy"})  # fmt: skip
    assert windows.trials["run"].tolist() == ["1"] * 6 + ["2"] * 6 and windows.trials["onset"][2] == 3.0
    assert windows.trials["concept_id"][1] == "1" and windows.trials["subject"][0] == "07" and windows.times[0] == -0.2


def test_subjects_from_names(folder):
    for label in ("01", "02"):
        np.save(folder / f"s{label}_x.npy", X)
    options = {"X": "s{subject}_x.npy", "sfreq": 50}
    assert arrays.subjects(folder, **options) == ["01", "02"]
    assert arrays.load(folder, "02", **options).recordings[0].label == "sub-02"
    with pytest.raises(BraindecError, match="needs a subject"):
        arrays.load(folder, **options)
    with pytest.raises(BraindecError, match="no file"):
        arrays.load(folder, "03", **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"X": "x.npy", "y": "y.npy", "names": {0: "a", 1: "b"}}, "label '2' of y.npy has no name"),
        ({"X": "x.npy", "ch_names": ["a", "b"]}, "2 channel names for 3 channels"),
        ({"X": "x.npy", "y": "short.npy"}, "does not fit the windows"),
        ({"X": "y.npy"}, "1 axes, expected 3"),
        ({"X": "x.npy", "orientation": "time_channel"}, "does not fit X"),
        ({"signal": "y.npy"}, "orientation is needed"),
        ({}, r"x\.npy \(12, 3, 40\)"),
        ({"X": "x.npy", "signal": "x.npy"}, "both"),
        ({"X": "a.npz"}, "several arrays"),
        ({"X": "a.npz:z"}, "no array 'z'"),
        ({"X": "../x.npy"}, "must be inside"),
        ({"X": "xx.npy"}, r"did you mean 'x\.npy'"),
        ({"X": "text.npy"}, "must hold real numbers"),
        ({"X": "x.npy", "drop": ["zz"]}, "no channel 'zz'"),
    ],
)
def test_descriptions_that_do_not_fit(folder, options, match):
    np.save(folder / "short.npy", Y[:5])
    np.save(folder / "text.npy", np.full((2, 3, 4), "a"))
    with pytest.raises(BraindecError, match=match):
        arrays.load(folder, sfreq=50, **options)


def test_sfreq_is_never_guessed(folder):
    with pytest.raises(BraindecError, match="needs sfreq"):
        load(folder / "x.npy", X="x.npy")


def test_objects_are_not_unpickled_and_damage_is_named(folder):
    np.save(folder / "objects.npy", np.array([{"a": 1}, None]), allow_pickle=True)
    np.savez(folder / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    scipy.io.savemat(folder / "cells.mat", {"x": np.array([[1, 2], "a"], dtype=object)})
    for name in ("objects.npy", "objects.npz", "cells.mat:x"):
        with pytest.raises(UnreadableError, match="Python objects|not numbers or text"):
            arrays.load(folder, X=name, sfreq=1)
    for name in ("x.npy", "a.npz", "a.mat", "a.h5", "b.mat"):
        whole = (folder / name).read_bytes()
        for size in (0, 40, len(whole) // 2):
            (folder / name).write_bytes(whole[:size])
            with pytest.raises(BraindecError, match=name.replace(".", r"\.")) as caught:
                arrays.load(folder, X=name if name == "x.npy" else f"{name}:x", sfreq=1)
            assert caught.value.fix


def test_events_of_a_table_and_a_channel(tmp_path):
    signal = np.zeros((2, 500))
    signal[1, 100:150] = signal[1, 300:310] = 2.0
    np.save(tmp_path / "s.npy", signal)
    (tmp_path / "e.csv").write_text("onset,duration,trial_type\n1.0,0.5,a\n7.0,0,b\n")
    options = {"signal": "s.npy", "sfreq": 100, "orientation": "channel_time"}
    (recording,) = arrays.load(tmp_path, **options, events="e.csv")
    assert recording.events["trial_type"].tolist() == ["a", "b"] and any(
        "1 of 2 events" in w for w in recording.info["warnings"]
    )
    (recording,) = arrays.load(
        tmp_path, **options, events_from={"channel": "ch001", "threshold": 1, "min_duration": 0.2}
    )
    assert recording.events[["onset", "duration"]].to_numpy().tolist() == [[1.0, 0.5]]


FEATURES = "derivatives/*/sub-{subject}_ses-{session}_task-force_run-{run}_FEATURES.csv"


def test_force_features(shared):
    root = shared("ieeg_ecog_stn_force_features")
    options = {"sfreq": 10, "pattern": FEATURES, "time": "time", "time_unit": "ms", "modality": "ieeg", "space": "mni",
               "positions": "sub-000/ses-right/ieeg/sub-000_ses-right_space-mni_electrodes.tsv", "positions_unit": "m",
               "events_from": {"channel": "MOV_RIGHT_CLEAN", "threshold": 0.05, "name": "move"}}  # fmt: skip
    assert table.subjects(root, **options) == ["000"]
    (recording,) = table.load(root, "000", **options)
    frame = pd.read_csv(next(root.glob("derivatives/*/*FEATURES.csv")))
    kept = [c for c in frame if c not in ("Unnamed: 0", "time")]
    assert recording.ch_names == kept and recording.label == "sub-000_ses-right_run-3"
    np.testing.assert_allclose(recording.load(), frame[kept].to_numpy().T, rtol=1e-6)
    trace = frame["MOV_RIGHT_CLEAN"].to_numpy()
    rises = np.flatnonzero((trace[1:] > 0.05) & (trace[:-1] <= 0.05)) + 1
    assert len(recording.events) == 22
    np.testing.assert_allclose(recording.events["onset"], rises / 10)
    electrodes = pd.read_csv(next(root.glob("sub-000/**/*electrodes.tsv")), sep="\t").set_index("name")
    for name, label in ((kept[0], "LFP_RIGHT_0"), (kept[-2], "ECOG_RIGHT_5")):
        row = recording.ch_names.index(name)
        np.testing.assert_allclose(
            recording.positions[row], electrodes.loc[label, ["x", "y", "z"]].to_numpy(dtype=float)
        )
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).load(), recording.load())
    with pytest.raises(BraindecError, match="contradict sfreq"):
        table.load(root, "000", **{**options, "sfreq": 100})


def test_a_table_with_labels_units_and_columns(tmp_path):
    frame = pd.DataFrame(
        {
            "t": np.arange(6) / 2,
            "C3": range(6),
            "C4": range(6, 12),
            "note": list("abcdef"),
            "state": ["rest", "rest", "", "go", "go", "rest"],
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    (recording,) = table.load(
        tmp_path / "a.csv", sfreq=2, time="t", label="state", unit="mV", modality="eeg", ch_type="eeg"
    )
    assert recording.ch_names == ["C3", "C4"] and recording.channels["unit"].tolist() == ["V", "V"]
    np.testing.assert_allclose(recording.load(), frame[["C3", "C4"]].to_numpy().T * 1e-3, rtol=1e-6)
    assert recording.events.to_numpy().tolist() == [[0.0, 1.0, "rest"], [1.5, 1.0, "go"], [2.5, 0.5, "rest"]]
    assert any("note" in w for w in recording.info["warnings"])
    (some,) = table.load(tmp_path / "a.csv", sfreq=2, columns=["C*"], drop=["C4"])
    assert some.ch_names == ["C3"]
    for options, match in (
        ({"columns": ["C5"]}, "did you mean"), ({"columns": ["note"]}, "does not hold numbers"), ({"drop": ["zz"]}, "no column 'zz'"),
        ({"time": "tt"}, "there is no column 'tt'"), ({"label": "stat"}, "no column 'stat'"), ({"separator": ";"}, "no numeric column"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=match):
            table.load(tmp_path / "a.csv", sfreq=2, **options)


def test_names_that_stand_twice_and_bad_tables(tmp_path):
    (tmp_path / "a.tsv").write_text("x\tx\ty\n1\t2\t3\n4\t5\t6\n")
    (recording,) = table.load(tmp_path / "a.tsv", sfreq=1)
    assert recording.ch_names == ["x-0", "x-1", "y"] and recording.load().tolist() == [[1, 4], [2, 5], [3, 6]]
    assert recording.info["renamed"] == {"x-0": "x", "x-1": "x"}
    for text, match in (
        ("", "empty"),
        ("a,b\n", "no samples"),
        ("a,b\nx,y\n", "no numeric column"),
        ("a,b\n1,2,3,4\n5\n6,7,8,9,9\n", "cannot be read|no numeric"),
    ):
        (tmp_path / "b.csv").write_text(text)
        with pytest.raises(UnreadableError, match=match):
            load(tmp_path / "b.csv", sfreq=1)
