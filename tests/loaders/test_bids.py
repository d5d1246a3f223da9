"""Reader bids: against mne-bids on real data, and on small made folders with everything that goes wrong."""

from __future__ import annotations

import json
import pickle
import warnings

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import bids
from braindec.types import Windows

NAMES = ["Fz", "Cz", "Pz", "EOG1"]


class Folder:
    """A BIDS folder with one BrainVision recording; its sidecars can be changed or removed."""

    def __init__(self, root, kind="eeg"):
        self.root, self.kind = root, kind
        rng = np.random.default_rng(0)
        info = mne.create_info(NAMES, 100.0, ["eeg"] * 3 + ["misc"], verbose="ERROR")
        self.data = rng.standard_normal((4, 3000)) * 1e-5
        raw = mne.io.RawArray(self.data, info, verbose="ERROR")
        self.folder = root / "sub-01" / "ses-a" / kind
        self.folder.mkdir(parents=True)
        self.base = "sub-01_ses-a_task-words_run-1"
        (root / "dataset_description.json").write_text(json.dumps({"Name": "Made", "BIDSVersion": "1.10.0"}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mne.export.export_raw(self.folder / f"{self.base}_{kind}.vhdr", raw, overwrite=True, verbose="ERROR")
        self.write(
            f"{kind}.json", json.dumps({"SamplingFrequency": 100, "PowerLineFrequency": 50, "RecordingDuration": 30.0})
        )
        self.write("channels.tsv", "name\ttype\tunits\tstatus\tdescription\nFz\tEEG\tuV\tgood\tx\nCz\tEEG\tuV\tbad\ty\n"
                   "Pz\tEEG\tuV\tn/a\tz\nEOG1\tEOG\tuV\tgood\tn/a\n")  # fmt: skip
        self.write("events.tsv", "onset\tduration\ttrial_type\tstimulus_id\tvalue\tn\n1.0\t0.5\tword\t007\t3\t1\n"
                   "2.5\tn/a\tpicture\tn/a\t4\tn/a\n")  # fmt: skip
        self.electrodes("m", {"Fz": (0.0, 0.08, 0.06), "Cz": (0.0, 0.0, 0.1), "Pz": (0.01, -0.08, 0.05)})

    def path(self, suffix):
        return self.folder / f"{self.base}_{suffix}"

    def write(self, suffix, text):
        self.path(suffix).write_text(text, encoding="utf8")

    def electrodes(self, unit, places, *, system="CapTrak", extra=""):
        rows = "".join(f"{n}\t{x}\t{y}\t{z}\n" for n, (x, y, z) in places.items())
        base = f"sub-01_ses-a_space-{system}_"
        (self.folder / f"{base}electrodes.tsv").write_text("name\tx\ty\tz\n" + rows + extra)
        prefix = "iEEG" if self.kind == "ieeg" else "EEG"
        said = {f"{prefix}CoordinateSystem": system, **({f"{prefix}CoordinateUnits": unit} if unit else {})}
        (self.folder / f"{base}coordsystem.json").write_text(json.dumps(said))

    def load(self, **options):
        return bids.load(self.root, "01", **options)[0]


@pytest.fixture
def made(tmp_path):
    """A good folder."""
    return Folder(tmp_path / "made")


def test_a_good_folder_says_everything(made):
    recording = made.load()
    assert recording.info["warnings"] == [] and recording.label == "sub-01_ses-a_task-words_run-1"
    assert {k: recording.info[k] for k in ("dataset", "session", "task", "run", "modality", "space", "line_freq")} == {
        "dataset": "Made", "session": "a", "task": "words", "run": "1", "modality": "eeg", "space": "CapTrak", "line_freq": 50.0,
    }  # fmt: skip
    np.testing.assert_allclose(recording.load(), made.data, atol=1e-8)
    assert recording.channels["type"].tolist() == ["eeg", "eeg", "eeg", "eog"]
    assert recording.channels["status"].tolist() == ["good", "bad", "good", "good"]
    assert (
        recording.channels["description"].tolist()[:3] == ["x", "y", "z"] and recording.channels["file_unit"][0] == "uV"
    )
    np.testing.assert_allclose(recording.positions[:3], [[0, 0.08, 0.06], [0, 0, 0.1], [0.01, -0.08, 0.05]])
    events = recording.events
    assert events["onset"].tolist() == [1.0, 2.5] and np.isnan(events["duration"][1])
    assert events["stimulus_id"][0] == "007" and events["value"].tolist() == [3, 4] and np.isnan(events["n"][1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).load(), recording.load())


def test_muse_equals_mne_bids(shared):
    root = shared("muse-p300")
    assert bids.subjects(root) == ["01", "02", "03", "05"]
    recordings = bids.load(root, "02")
    assert len(recordings) == len(list(root.glob("sub-02/ses-*/eeg/*.vhdr"))) and all(
        not r.info["warnings"] for r in recordings
    )
    chosen = bids.load(root, "02", session="02", run=["01", "03"])
    for recording in chosen:
        about = recording.info
        path = mne_bids.BIDSPath(subject="02", session="02", task="p300", run=about["run"], datatype="eeg", root=root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = mne_bids.read_raw_bids(path, verbose="ERROR")
        np.testing.assert_array_equal(recording.load(), raw.get_data())
        np.testing.assert_allclose(recording.events["onset"], raw.annotations.onset, atol=1e-6)
        assert recording.events["trial_type"].tolist() == list(raw.annotations.description)
        places = raw.get_montage().get_positions()["ch_pos"]
        np.testing.assert_allclose(recording.positions, [places[n] for n in recording.ch_names], atol=1e-6)


def test_windows_over_several_runs_in_any_order_equal_slicing(shared):
    recordings = bids.load(shared("muse-p300"), "01", session="01")[:3]
    arrays = [r.load().astype(np.float32) for r in recordings]
    rng = np.random.default_rng(0)
    index = np.stack([rng.integers(0, 3, 60), rng.integers(0, 20_000, 60)], axis=1)
    windows = Windows(tuple(recordings), index, 205, pd.DataFrame({"trial_type": ["x"] * 60}))
    rows = rng.permutation(60)[:40]
    expected = np.stack([arrays[r][:, s : s + 205] for r, s in index[rows]])
    np.testing.assert_array_equal(windows.load(rows), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(windows[rows])).load(), expected)


def test_ecog_grip(shared):
    root = shared("ecog-grip")
    (recording,) = bids.load(root)
    assert recording.channels["type"].value_counts().to_dict() == {"ecog": 6, "dbs": 3, "misc": 1}
    assert (
        recording.info["modality"] == "ieeg"
        and recording.info["space"] == "mni"
        and recording.duration == pytest.approx(19.001)
    )
    np.testing.assert_allclose(recording.positions[3], [0.037318174, -0.04861012664, 0.06179765474])
    assert np.isnan(recording.positions[9]).all()
    assert len(recording.events) == 0 and any("no events.tsv" in w for w in recording.info["warnings"])
    force = recording.load()[9]
    (moved,) = bids.load(
        root, events_from={"channel": "MOV_RIGHT", "threshold": float(np.quantile(force, 0.9)), "name": "grip"}
    )
    assert len(moved.events) and set(moved.events["trial_type"]) == {"grip"}
    onset = round(moved.events["onset"][0] * 1000)
    assert force[onset] > np.quantile(force, 0.9) >= force[onset - 1]


def test_a_recording_without_its_data_is_named(shared):
    with pytest.raises(UnreadableError, match=r"_ieeg\.eeg is missing"):
        bids.load(shared("ieeg_ecog_stn_force_features"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"task": "wrds"}, "did you mean 'words'"), ({"session": "b"}, "no session 'b'"), ({"run": 2}, "no run '2'"),
        ({"datatype": "eg"}, "did you mean"), ({"datatype": "meg"}, "no EEG, MEG"), ({"acquisition": "x"}, "no acquisition"),
    ],
)  # fmt: skip
def test_labels_that_are_not_there(made, options, match):
    with pytest.raises(BraindecError, match=match):
        made.load(**options)


def test_folders_that_are_not_bids(made, tmp_path, shared):
    with pytest.raises(BraindecError, match="did you mean"):
        bids.load(tmp_path)
    with pytest.raises(BraindecError, match="no sub-"):
        bids.load(shared("haxby-slice"))
    with pytest.raises(BraindecError, match="no subject '02'"):
        bids.load(made.root, "02")
    (made.root / "sub-09" / "func").mkdir(parents=True)
    with pytest.raises(BraindecError, match="reader 'fmri'"):
        bids.load(made.root, "09")


def test_files_and_subjects(made):
    names = {p.name.split("run-1_")[-1] for p in bids.files(made.root, "01")}
    assert {"eeg.vhdr", "eeg.vmrk", "eeg.eeg", "events.tsv", "channels.tsv", "eeg.json"} <= names
    assert any("electrodes.tsv" in n for n in names) and any("coordsystem.json" in n for n in names)
    assert bids.subjects(made.root, task="words") == ["01"]


def test_sidecars_are_inherited_from_above(made):
    for suffix, name in (("eeg.json", "task-words_eeg.json"), ("channels.tsv", "task-words_channels.tsv")):
        made.path(suffix).rename(made.root / name)
    (made.root / "task-other_eeg.json").write_text(json.dumps({"SamplingFrequency": 5}))
    assert made.load().info["line_freq"] == 50.0 and made.load().channels["status"][1] == "bad"
    made.write("eeg.json", json.dumps({"PowerLineFrequency": 60}))
    assert made.load().info["line_freq"] == 60.0  # the nearest wins


def test_a_byte_order_mark_is_skipped(made):
    for suffix in ("events.tsv", "channels.tsv"):
        made.path(suffix).write_bytes(b"\xef\xbb\xbf" + made.path(suffix).read_bytes())
    assert made.load().events["onset"].tolist() == [1.0, 2.5] and made.load().channels["status"][1] == "bad"


@pytest.mark.parametrize("text", [None, "", "onset\tduration\ttrial_type\n"])
def test_no_events(made, text):
    made.path("events.tsv").unlink()
    if text is not None:
        made.write("events.tsv", text)
    recording = made.load()
    assert len(recording.events) == 0 and {"onset", "duration"} <= set(recording.events)
    assert any("the recording has no events" in w for w in recording.info["warnings"])


def test_events_outside_are_counted_and_kept(made):
    made.write("events.tsv", "onset\tduration\ttrial_type\n-1\t0\ta\n5\t0\ta\n29.999\t0\ta\n30.0\t0\ta\n90\t0\ta\n")
    recording = made.load()
    assert len(recording.events) == 5
    (text,) = recording.info["warnings"]
    assert "3 of 5 events lie outside" in text and "1 before" in text and "2 after" in text and "in s?" in text


def test_events_that_cannot_be_read(made):
    made.write("events.tsv", "time\tduration\n1\t0\n")
    with pytest.raises(UnreadableError, match="no column onset"):
        made.load()
    made.write("events.tsv", "onset\tduration\nsoon\t0\n")
    with pytest.raises(UnreadableError, match="not numbers"):
        made.load()
    made.write("events.tsv", "onset\ttrial_type\n1\ta\nn/a\tb\n")
    recording = made.load()
    assert recording.events["duration"].tolist() == [0.0] and len(recording.info["warnings"]) == 2
    made.path("events.tsv").write_bytes(b"onset\tduration\ttrial_type\n1\t0\t\xff\xfe\n")
    with pytest.raises(UnreadableError, match="cannot be read as a table"):
        made.load()


def test_a_sampling_frequency_that_contradicts_is_an_error(made):
    made.write("eeg.json", json.dumps({"SamplingFrequency": 250}))
    with pytest.raises(UnreadableError, match="differ in sampling frequency"):
        made.load()
    made.write("eeg.json", "{not json")
    with pytest.raises(UnreadableError, match="not JSON"):
        made.load()


def test_a_file_shorter_than_its_sidecar_says(made):
    made.write("eeg.json", json.dumps({"SamplingFrequency": 100, "RecordingDuration": 120}))
    assert any("30.000 s but its sidecar says 120.000 s" in w for w in made.load().info["warnings"])


@pytest.mark.parametrize("unit", ["m", "cm", "mm"])
def test_positions_are_in_the_named_unit(made, unit):
    scale = {"m": 1, "cm": 100, "mm": 1000}[unit]
    made.electrodes(unit, {"Fz": (0.0, 0.08 * scale, 0.06 * scale), "Cz": (0.0, 0.0, 0.1 * scale)})
    recording = made.load()
    np.testing.assert_allclose(recording.positions[:2], [[0, 0.08, 0.06], [0, 0, 0.1]])
    assert "positions_unit_found" not in recording.info and np.isnan(recording.positions[2]).all()


@pytest.mark.parametrize(
    ("said", "true", "scale"), [("m", "mm", 1000), ("mm", "m", 1), ("m", "cm", 100), ("cm", "m", 1)]
)
def test_a_unit_that_cannot_be_is_said_and_not_corrected(made, said, true, scale):
    made.electrodes(said, {"Fz": (0.0, 0.08 * scale, 0.06 * scale), "Cz": (0.0, 0.0, 0.1 * scale)})
    recording = made.load()
    assert recording.info["positions_unit_found"] == true and any(
        f"looks like {true}" in w for w in recording.info["warnings"]
    )
    factor = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}[said]
    np.testing.assert_allclose(recording.positions[1], [0, 0, 0.1 * scale * factor])


def test_no_unit_no_positions(made):
    made.electrodes(None, {"Fz": (0.0, 0.08, 0.06)})
    recording = made.load()
    assert np.isnan(recording.positions).all() and any("names their unit" in w for w in recording.info["warnings"])


def test_an_electrode_that_stands_twice(made):
    made.electrodes(
        "m", {"Fz": (0.0, 0.08, 0.06), "Cz": (0.0, 0.0, 0.1)}, extra="Fz\t0.01\t0.08\t0.06\nCz\t0.0\t0.0\t0.1\n"
    )
    recording = made.load()
    texts = " ".join(recording.info["warnings"])
    assert "electrode Fz stands 2 times in different places" in texts and "electrode Cz stands 2 times" in texts
    assert np.isnan(recording.positions[0]).all() and recording.positions[1].tolist() == [0.0, 0.0, 0.1]


def test_front_left_up_axes_are_turned(made):
    for file in made.folder.glob("*space-CapTrak*"):
        file.unlink()
    made.electrodes("m", {"Fz": (0.08, 0.0, 0.06), "Cz": (0.0, 0.02, 0.1)}, system="CTF")
    recording = made.load()
    np.testing.assert_allclose(recording.positions[:2], [[0, 0.08, 0.06], [-0.02, 0, 0.1]], atol=1e-12)
    assert recording.info["space"] == "CTF" and "turned" in recording.info["axes"]


def test_several_spaces_need_a_choice(made):
    made.electrodes("mm", {"Fz": (0.0, 70.0, 50.0)}, system="MNI152Lin")
    recording = made.load()
    assert np.isnan(recording.positions).all() and any("space: ..." in w for w in recording.info["warnings"])
    np.testing.assert_allclose(made.load(space="MNI152Lin").positions[0], [0, 0.07, 0.05])
    assert made.load(space="CapTrak").info["space"] == "CapTrak"


def test_channels_that_differ_are_said(made):
    made.write("channels.tsv", "name\ttype\tunits\tstatus\nFz\tEEG\tuV\tgood\nCz\tEEG\tuV\tmaybe\nXX\tEEG\tuV\tgood\n")
    texts = " ".join(made.load().info["warnings"])
    assert (
        "2 channels are only in the file (Pz, EOG1)" in texts
        and "1 only in the table (XX)" in texts
        and "'maybe'" in texts
    )


def test_two_datatypes_need_a_choice(made):
    other = made.root / "sub-01" / "ses-a" / "ieeg"
    other.mkdir()
    for file in made.folder.glob("*_eeg.*"):
        (other / file.name.replace("_eeg.", "_ieeg.")).write_bytes(file.read_bytes())
    with pytest.raises(BraindecError, match="several datatypes"):
        bids.load(made.root)
    assert made.load(datatype="eeg").info["modality"] == "eeg"


def test_split_files_are_opened_once(made, tmp_path):
    raw = mne.io.RawArray(made.data, mne.create_info(NAMES, 100.0, "eeg"), verbose="ERROR")
    folder = tmp_path / "split" / "sub-01" / "meg"
    folder.mkdir(parents=True)
    raw.save(folder / "sub-01_task-x_split-01_meg.fif", verbose="ERROR", overwrite=True)
    (folder / "sub-01_task-x_split-02_meg.fif").write_bytes((folder / "sub-01_task-x_split-01_meg.fif").read_bytes())
    assert len(bids.load(tmp_path / "split")) == 1


def test_options_of_all_readers_work_here(made):
    recording = made.load(drop_channels=["EOG1"], rename={"Fz": "F"}, montage="spherical_1020")
    assert recording.ch_names == ["F", "Cz", "Pz"] and "spherical_1020" in recording.info["space"]
