"""EEGLAB v7.3 files: the shared one beside its data, and files built in MATLAB's layout, against what was written."""

from __future__ import annotations

import pickle
import shutil

import h5py
import mne
import numpy as np
import pytest

from braindec.errors import UnreadableError
from braindec.loaders import load
from braindec.loaders.eeglab_hdf5 import count_trials

RNG = np.random.default_rng(0)


def _put(group, name, value):
    """Write one MATLAB value: text as uint16, numbers as (1, 1) double, arrays with their axes reversed."""
    if isinstance(value, str):
        data = group.create_dataset(
            name, data=np.array([[ord(c)] for c in value], np.uint16) if value else np.zeros(2, np.uint64)
        )
        data.attrs["MATLAB_class"] = np.bytes_("char")
        if not value:
            data.attrs["MATLAB_empty"] = np.uint8(1)
        return data
    data = group.create_dataset(name, data=np.atleast_2d(np.asarray(value)).T)
    data.attrs["MATLAB_class"] = np.bytes_("single" if data.dtype == np.float32 else "double")
    return data


def _struct(file, group, name, rows):
    """Write a struct array: each field is a dataset of references."""
    made = group.create_group(name)
    for field in rows[0]:
        refs = [_put(file.require_group("#refs#"), f"{name}{field}{i}", row[field]).ref for i, row in enumerate(rows)]
        made.create_dataset(field, data=np.array(refs, dtype=h5py.ref_dtype)[:, None])


def write_set(path, data, *, sfreq=100.0, events=(), locs=None, tmin=0.0, fdt=None, at_root=False, chunks=None):
    """Write an EEGLAB v7.3 file of ``data`` (channel, time) or (channel, time, trial) in microvolt."""
    with h5py.File(path, "w", userblock_size=512) as file:
        eeg = file if at_root else file.create_group("EEG")
        trials = data.shape[2] if data.ndim == 3 else 1
        for name, value in (
            ("srate", sfreq),
            ("nbchan", data.shape[0]),
            ("pnts", data.shape[1]),
            ("trials", trials),
            ("xmin", tmin),
        ):
            _put(eeg, name, float(value))
        if fdt is not None:
            _put(eeg, "data", fdt)
            np.asarray(data, np.float32).ravel(order="F").tofile(path.parent / fdt)
        else:
            made = eeg.create_dataset("data", data=np.asarray(data, np.float32).T, chunks=chunks)
            made.attrs["MATLAB_class"] = np.bytes_("single")
        locs = locs or [{"labels": f"E{i}", "X": 0.0, "Y": 0.0, "Z": 85.0} for i in range(data.shape[0])]
        _struct(file, eeg, "chanlocs", locs)
        if events:
            _struct(file, eeg, "event", list(events))
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")


DATA = RNG.standard_normal((4, 300)).astype(np.float32) * 20
EVENTS = [{"type": "square", "latency": 1.0, "position": 1.0}, {"type": "rt", "latency": 51.0, "position": 2.0}]


def test_the_shared_file_equals_its_version_5_twin(shared, tmp_path):
    """The same recording is in the shared data as version 5 with the data file: mne reads that one."""
    shutil.copy(shared("formats/EEGLAB/test_raw_h5.set"), tmp_path)
    shutil.copy(shared("eeglab-sample/eeglab_data.fdt"), tmp_path / "test_raw.fdt")
    recording = load(tmp_path / "test_raw_h5.set")
    expected = mne.io.read_raw_eeglab(shared("eeglab-sample/eeglab_data.set"), preload=True, verbose="ERROR")
    assert recording.sfreq == 128.0 and recording.n_channels == 32
    np.testing.assert_allclose(recording.load(), expected.get_data(), rtol=1e-6)
    events = recording.events.sort_values("onset", kind="stable")
    np.testing.assert_allclose(events["onset"], expected.annotations.onset, atol=1e-6)  # mne rounds to us
    assert sorted(events["trial_type"]) == sorted(expected.annotations.description)
    assert "position" in events and any("no channel names" in w for w in recording.info["warnings"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).load(), recording.load())


@pytest.mark.parametrize("kind", ["fdt", "inside", "chunked", "root"])
def test_data_wherever_they_are(tmp_path, kind):
    options = {"fdt": {"fdt": "a.fdt"}, "inside": {}, "chunked": {"chunks": (50, 2)}, "root": {"at_root": True}}[kind]
    write_set(tmp_path / "a.set", DATA, events=EVENTS, **options)
    recording = load(tmp_path / "a.set")
    np.testing.assert_allclose(recording.load(), DATA * 1e-6, rtol=1e-6)
    np.testing.assert_allclose(recording.signal.read(np.array([3, 1]), 20, 33), DATA[[3, 1], 20:33] * 1e-6, rtol=1e-6)
    assert recording.channels["unit"].tolist() == ["V"] * 4 and recording.info["modality"] == "eeg"
    assert recording.events["onset"].tolist() == [0.0, 0.5] and recording.events["trial_type"].tolist() == [
        "square",
        "rt",
    ]
    text = pickle.dumps(recording)
    np.testing.assert_array_equal(pickle.loads(text).load(), recording.load())


def test_positions_are_mm_nose_first_and_names_unique(tmp_path):
    locs = [
        {"labels": "Cz", "type": "EEG", "X": 0.0, "Y": 0.0, "Z": 85.0}, {"labels": "Fz", "type": "EEG", "X": 60.0, "Y": 0.0, "Z": 60.0},
        {"labels": "Cz", "type": "EOG", "X": 0.0, "Y": 85.0, "Z": 0.0}, {"labels": "X", "type": "", "X": "", "Y": "", "Z": ""},
    ]  # fmt: skip
    write_set(tmp_path / "a.set", DATA, locs=locs)
    recording = load(tmp_path / "a.set")
    assert recording.ch_names == ["Cz-0", "Fz", "Cz-1", "X"] and recording.info["renamed"] == {
        "Cz-0": "Cz",
        "Cz-1": "Cz",
    }
    assert recording.channels["type"].tolist() == ["eeg", "eeg", "eog", "eeg"]
    np.testing.assert_allclose(
        recording.positions[:3], [[0, 0, 0.085], [0, 0.06, 0.06], [-0.085, 0, 0]]
    )  # y is to the left
    assert np.isnan(recording.positions[3]).all()


def test_positions_that_cannot_be_mm_are_left_out(tmp_path):
    write_set(tmp_path / "a.set", DATA, locs=[{"labels": f"E{i}", "X": 0.0, "Y": 0.0, "Z": 1.0} for i in range(4)])
    recording = load(tmp_path / "a.set")
    assert np.isnan(recording.positions).all() and any(
        "positions were left out" in w for w in recording.info["warnings"]
    )


@pytest.mark.parametrize("chunks", [None, (1, 25, 4)])
def test_epochs(tmp_path, chunks):
    data = RNG.standard_normal((4, 50, 3)).astype(np.float32)
    events = [
        {"type": kind, "latency": float(trial * 50 + 11 + shift), "epoch": float(trial + 1), "word": word}
        for trial, kind, shift, word in ((0, "a", 0, "dog"), (0, "key", 20, ""), (1, "b", 0, "cat"), (2, "a", 0, "sun"))
    ]
    write_set(tmp_path / "e.set", data, events=events, tmin=-0.1, chunks=chunks)
    assert count_trials(tmp_path / "e.set") == 3
    windows = load(tmp_path / "e.set", "01")
    np.testing.assert_allclose(windows.load([2, 0]), data.transpose(2, 0, 1)[[2, 0]] * 1e-6, rtol=1e-5)
    assert windows.trials["trial_type"].tolist() == ["a", "b", "a"] and windows.trials["word"].tolist() == [
        "dog",
        "cat",
        "sun",
    ]
    assert windows.tmin == pytest.approx(-0.1) and windows.trials["subject"].tolist() == ["01"] * 3
    with pytest.raises(UnreadableError, match="3 epochs"):
        load(tmp_path / "e.set", reader="raw")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(windows)).load(), windows.load())


def test_damage(tmp_path):
    path = tmp_path / "a.set"
    write_set(path, DATA, fdt="a.fdt")
    (tmp_path / "a.fdt").write_bytes((tmp_path / "a.fdt").read_bytes()[:-40])
    with pytest.raises(UnreadableError, match=r"a\.fdt was cut short"):
        load(path)
    (tmp_path / "a.fdt").unlink()
    with pytest.raises(UnreadableError, match=r"a\.fdt is missing"):
        load(path)
    write_set(path, DATA)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UnreadableError, match="damaged|cut short"):
        load(path)
    with h5py.File(path, "w") as file:
        file["x"] = [1]
    with pytest.raises(UnreadableError, match="no EEGLAB data set"):
        load(path)
