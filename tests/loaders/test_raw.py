"""Reader raw: every format equals an independent read; damaged, cut, empty and mis-named files give one clear message."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders.readers import raw as reader

CLIP = "sub-pt1_ses-02_task-monitor_acq-ecog_run-01_clip2"
FILES = [
    "formats/BDF/test_bdf_stim_channel.bdf", "formats/Brainvision/test_NO.vhdr", "formats/CTF/somMDYO-18av.ds",
    "formats/CTF/somMDYO-18av.ds_raw.fif", "formats/EDF/test_reduced.edf", "formats/KIT/test.sqd", "formats/NihonKohden/MB0400FU.EDF",
    f"formats/Persyst/{CLIP}.lay", "formats/SNIRF/NIRx/NIRSport2/1.0.3/2021-05-05_001.snirf",
    "formats/SSS/141027_cropped_90Hz_raw.fif", "formats_small/test.bdf", "formats_small/test.edf", "formats_small/test.vhdr",
    "formats_small/test.sqd", "eeglab-sample/eeglab_data.set", "ieeg_ecog_seizure_sample/sample_ecog.edf",
]  # fmt: skip


def test_channels_of_several_rates_do_not_depend_on_how_they_are_read(shared):
    """mne interpolates piece by piece: a window would differ from the same stretch of the whole."""
    recording = load(shared("formats/EDF/test_reduced.edf"))
    whole = recording.load()
    for start in (3, 700, 2000):
        np.testing.assert_array_equal(
            recording.signal.read(slice(None), start, start + 333), whole[:, start : start + 333]
        )
    assert any("differ in sampling frequency" in w for w in recording.info["warnings"])


@pytest.mark.parametrize("name", FILES)
def test_every_format_equals_mne(shared, name, capfd):
    path = shared(name)
    recording = load(path)
    expected = mne.io.read_raw(path, verbose="ERROR")
    capfd.readouterr()
    data = expected.get_data()
    assert recording.ch_names == expected.ch_names and recording.sfreq == pytest.approx(expected.info["sfreq"])
    stop = min(data.shape[1], 700)
    np.testing.assert_array_equal(recording.signal.read(slice(None), 0, stop), data[:, :stop])
    rows = np.array([len(data) - 1, 0])
    np.testing.assert_array_equal(recording.signal.read(rows, stop // 2, stop), data[rows, stop // 2 : stop])
    assert recording.channels["type"].tolist() == expected.get_channel_types()
    np.testing.assert_allclose(recording.events["onset"], expected.annotations.onset - expected.first_time)
    assert recording.events["trial_type"].tolist() == list(expected.annotations.description)
    again = pickle.loads(pickle.dumps(recording))
    np.testing.assert_array_equal(again.signal.read(slice(None), 5, 50), data[:, 5:50])


def test_loading_is_silent(shared, capfd):
    load(shared(f"formats/Persyst/{CLIP}.lay"))
    load(shared("formats_small/test.vhdr"))
    out = capfd.readouterr()
    assert out.out == "" and out.err == ""


def test_files_lists_every_part(shared):
    names = {p.name for p in reader.files(shared("formats_small/test.vhdr"))}
    assert names == {"test.vhdr", "test.eeg", "test.vmrk"}
    assert {p.suffix for p in reader.files(shared("eeglab-sample/eeglab_data.set"))} == {".set", ".fdt"}
    assert {p.suffix for p in reader.files(shared(f"formats/Persyst/{CLIP}.lay"))} == {".lay", ".dat"}
    assert any(p.suffix == ".meg4" for p in reader.files(shared("formats/CTF/somMDYO-18av.ds")))


# name of the damaged file, the other files of the recording, what is opened
PARTS = [
    ("formats_small", "test.bdf", [], "test.bdf"), ("formats_small", "test.edf", [], "test.edf"),
    ("formats_small", "test.eeg", ["test.vhdr", "test.vmrk"], "test.vhdr"),
    ("formats_small", "test.vhdr", ["test.eeg", "test.vmrk"], "test.vhdr"), ("formats_small", "test.sqd", [], "test.sqd"),
    ("formats/SSS", "141027_cropped_90Hz_raw.fif", [], "141027_cropped_90Hz_raw.fif"),
    ("eeglab-sample", "eeglab_data.fdt", ["eeglab_data.set"], "eeglab_data.set"),
    ("eeglab-sample", "eeglab_data.set", ["eeglab_data.fdt"], "eeglab_data.set"),
    ("formats/Persyst", f"{CLIP}.dat", [f"{CLIP}.lay"], f"{CLIP}.lay"),
    ("formats/Persyst", f"{CLIP}.lay", [f"{CLIP}.dat"], f"{CLIP}.lay"),
    ("formats/SNIRF/NIRx/NIRSport2/1.0.3", "2021-05-05_001.snirf", [], "2021-05-05_001.snirf"),
    ("formats/NihonKohden", "MB0400FU.EDF", [], "MB0400FU.EDF"),
]  # fmt: skip


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.597])
@pytest.mark.parametrize(("folder", "name", "others", "main"), PARTS, ids=[p[1] for p in PARTS])
def test_a_cut_file_is_refused_by_name(shared, tmp_path, folder, name, others, main, fraction):
    source = shared(folder)
    for other in others:
        shutil.copy(source / other, tmp_path / other)
    whole = (source / name).read_bytes()
    size = int(len(whole) * fraction)
    if name == "test.eeg":
        size += 1 if size % 64 == 0 and size else 0  # not on a sample: on one, only the markers tell (next test)
    (tmp_path / name).write_bytes(whole[:size])
    with pytest.raises(UnreadableError) as caught:
        load(tmp_path / main)
    assert main.split(".")[0] in str(caught.value) and caught.value.fix


def test_markers_after_the_end_are_said(shared, tmp_path):
    for name in ("test.vhdr", "test.vmrk", "test.eeg"):
        shutil.copy(shared("formats_small") / name, tmp_path / name)
    data = (tmp_path / "test.eeg").read_bytes()
    (tmp_path / "test.eeg").write_bytes(data[: 64 * 4740])  # a whole number of samples
    recording = load(tmp_path / "test.vhdr")
    assert any("outside data range" in w and "cut short" in w for w in recording.info["warnings"])


def test_a_cut_marker_file_is_refused(shared, tmp_path):
    for name in ("test.vhdr", "test.vmrk", "test.eeg"):
        shutil.copy(shared("formats_small") / name, tmp_path / name)
    text = (tmp_path / "test.vmrk").read_bytes()
    (tmp_path / "test.vmrk").write_bytes(text[: text.index(b"Mk7=") + 12])
    with pytest.raises(UnreadableError, match=r"test.vmrk was cut short"):
        load(tmp_path / "test.vhdr")
    (tmp_path / "test.vmrk").unlink()
    recording = None
    try:
        recording = load(tmp_path / "test.vhdr")
    except UnreadableError as error:
        assert "vmrk" in str(error)
    assert recording is None or any("marker file" in w for w in recording.info["warnings"])


@pytest.mark.parametrize("name", ["test.edf", "test.bdf", "test.eeg", "test.sqd"])
def test_line_ends_that_were_converted_are_named(shared, tmp_path, name):
    for other in ("test.vhdr", "test.vmrk"):
        shutil.copy(shared("formats_small") / other, tmp_path / other)
    data = (shared("formats_small") / name).read_bytes()
    (tmp_path / name).write_bytes(data.replace(b"\n", b"\r\n"))
    with pytest.raises(UnreadableError, match="conversion of line ends") as caught:
        load(tmp_path / ("test.vhdr" if name == "test.eeg" else name))
    assert "binary" in str(caught.value)


@pytest.mark.parametrize(
    "ending", [".edf", ".bdf", ".fif", ".vhdr", ".set", ".snirf", ".sqd", ".lay", ".cnt", ".gdf", ".mff", ".ds"]
)
def test_a_text_file_with_the_wrong_ending(tmp_path, ending):
    path = tmp_path / f"notes_raw{ending}"
    path.write_text("This is a text and not a recording.\n" * 40)
    with pytest.raises(UnreadableError) as caught:
        load(path)
    assert path.name in str(caught.value) and caught.value.fix


def test_missing_parts_are_named(shared, tmp_path):
    vhdr = "sub-000/ses-right/ieeg/sub-000_ses-right_task-force_run-3_ieeg.vhdr"
    with pytest.raises(UnreadableError, match=r"_ieeg\.eeg is missing"):
        load(shared("ieeg_ecog_stn_force_features") / vhdr)
    with pytest.raises(UnreadableError, match=r"test_raw\.fdt is missing"):
        load(shared("formats/EEGLAB/test_raw_h5.set"))
    shutil.copy(shared("formats/Persyst") / f"{CLIP}.lay", tmp_path)
    with pytest.raises(UnreadableError, match=r"\.dat is missing"):
        load(tmp_path / f"{CLIP}.lay")


def test_other_formats_name_what_to_do(shared):
    with pytest.raises(UnreadableError, match="pyxdf"):
        load(shared("formats_small/test.xdf"))
    with pytest.raises(UnreadableError, match="not a continuous recording"):
        load(shared("formats/KIT/test_mrk.sqd"))
    with pytest.raises(UnreadableError, match="no reader knows"):
        load(shared("formats_small/test_hsp.txt"))
    with pytest.raises(BraindecError, match=r"did you mean 'test\.edf'"):
        load(shared("formats_small") / "tst.edf")


def test_names_that_stand_twice_are_made_unique_and_said(tmp_path):
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(rng.uniform(-50, 50, 500), 100, label=n, physical_dimension="uV", physical_range=(-60, 60))
        for n in ("Fz", "Cz", "Fz")
    ]
    edfio.Edf(signals).write(tmp_path / "twice.edf")
    recording = load(tmp_path / "twice.edf")
    assert recording.ch_names == ["Fz-0", "Cz", "Fz-1"] and recording.info["renamed"] == {"Fz-0": "Fz", "Fz-1": "Fz"}
    assert not any("not unique" in w for w in recording.info["warnings"])
    np.testing.assert_allclose(recording.load()[2] * 1e6, signals[2].data, atol=1e-3)


def test_an_edf_that_was_not_closed_is_read_and_said(shared, tmp_path):
    data = bytearray(shared("formats_small/test.edf").read_bytes())
    data[236:244] = b"-1      "
    (tmp_path / "open.edf").write_bytes(data)
    recording = load(tmp_path / "open.edf")
    assert recording.n_times == 3072 and any("not closed" in w for w in recording.info["warnings"])


PATTERN = "S{subject}R{run}.edf"


def test_a_folder_with_a_pattern(shared):
    root = shared("eeg_mi_eegmmi_s001_imagery")
    assert reader.subjects(root, pattern=PATTERN) == ["001"]
    recordings = reader.load(root, "001", pattern=PATTERN, run=["04", "08"])
    assert [r.label for r in recordings] == ["sub-001_run-04", "sub-001_run-08"]
    assert [p.name for p in reader.files(root, "001", pattern=PATTERN, run="04")] == ["S001R04.edf"]
    with pytest.raises(BraindecError, match=r"no run '05'.*'04'|did you mean"):
        reader.load(root, pattern=PATTERN, run="05")
    with pytest.raises(BraindecError, match="no subject '002'"):
        reader.load(root, "002", pattern=PATTERN)
    with pytest.raises(BraindecError, match="6 readable files"):
        reader.load(root)
    with pytest.raises(BraindecError, match="did you mean 'subject'"):
        reader.load(root, pattern="S{subjct}R{run}.edf")
    with pytest.raises(BraindecError, match="must stay inside"):
        reader.load(root, pattern="../{subject}.edf")
    with pytest.raises(BraindecError, match="has no option 'patern'; did you mean 'pattern'"):
        reader.subjects(root, patern=PATTERN)


def test_labels_for_one_file(shared):
    path = shared("eeglab-sample/eeglab_data.set")
    (recording,) = reader.load(path, "01", session="a", run=2)
    assert recording.label == "sub-01_ses-a_run-2"
    assert reader.subjects(path) == ["eeglab_data"] and reader.subjects(path, subject="01") == ["01"]


def test_events_from_a_trigger_channel_equal_mne(shared):
    path = shared("formats/BDF/test_bdf_stim_channel.bdf")
    raw = mne.io.read_raw_bdf(path, preload=True, verbose="ERROR")
    expected = mne.find_events(raw, "Status", consecutive=True, verbose="ERROR")
    recording = load(path, events_from={"stim_channel": "Status"}, stim_values={int(expected[0, 2]): "first"})
    np.testing.assert_array_equal(np.round(recording.events["onset"] * recording.sfreq).astype(int), expected[:, 0])
    np.testing.assert_array_equal(recording.events["value"], expected[:, 2])
    assert recording.events["trial_type"][0] == "first"
    hint = load(path).info["warnings"]
    assert any("events_from={stim_channel: Status}" in w for w in hint)
    with pytest.raises(BraindecError, match="did you mean 'Status'"):
        load(path, events_from={"stim_channel": "status"})
    with pytest.raises(BraindecError, match="no trigger has one of the values"):
        load(path, events_from={"stim_channel": "Status"}, stim_values={77777: "x"})


def test_rename_types_drop_montage_and_positions(shared):
    path = shared("eeglab-sample/eeglab_data.set")
    plain = load(path)
    first, second = plain.ch_names[:2]
    changed = load(path, drop_channels=[second], types={first: "eog"}, rename={first: "new"}, montage="spherical_1020")
    assert changed.ch_names[0] == "new" and second not in changed.ch_names and changed.channels["type"][0] == "eog"
    assert changed.info["renamed"] == {"new": first} and "spherical_1020" in changed.info["space"]
    np.testing.assert_array_equal(changed.signal.read(slice(0, 1), 0, 50), plain.signal.read(slice(0, 1), 0, 50))
    some = load(path, types={"EOG*": "eog", "F*": "misc", "FPz": "eeg"}, drop_channels=["P*", -1])
    kinds = dict(zip(some.ch_names, some.channels["type"], strict=True))
    assert (
        kinds["EOG1"] == "eog" and kinds["F3"] == "misc" and kinds.get("FPz", "eeg") == "eeg" and kinds["C3"] == "eeg"
    )
    assert not any(n.startswith("P") for n in some.ch_names)
    with pytest.raises(BraindecError, match="no channel type 'egg'; did you mean"):
        load(path, types={"C3": "egg"})
    for options in ({"rename": {"zz": "a"}}, {"drop_channels": ["zz"]}, {"types": {"zz": "eeg"}}):
        with pytest.raises(BraindecError, match="no channel 'zz'"):
            load(path, **options)
    with pytest.raises(BraindecError, match="no montage 'standard_99'"):
        load(path, montage="standard_99")


def test_electrodes_of_a_seizure_recording(shared):
    root = shared("ieeg_ecog_seizure_sample")
    options = {"positions": "sample_ecog_electrodes.tsv", "space": "MNI", "modality": "ieeg"}
    with pytest.raises(BraindecError, match="unit of the positions"):
        load(root / "sample_ecog.edf", **options)
    recording = load(root / "sample_ecog.edf", **options, positions_unit="m")
    table = pd.read_csv(root / "sample_ecog_electrodes.tsv", sep="\t").drop_duplicates("name").set_index("name")
    rows = [i for i, n in enumerate(recording.ch_names) if n in table.index]
    assert len(rows) > 40
    expected = table.loc[[recording.ch_names[i] for i in rows], ["x", "y", "z"]].to_numpy()
    np.testing.assert_allclose(recording.positions[rows], expected)
    assert recording.events["trial_type"].tolist() == ["eeg sz start"] and recording.info["modality"] == "ieeg"
    wrong = load(root / "sample_ecog.edf", **options, positions_unit="mm")
    assert wrong.info["positions_unit_found"] == "m" and any("looks like m" in w for w in wrong.info["warnings"])
    np.testing.assert_allclose(wrong.positions[rows], expected * 1e-3)  # used as said, never guessed


def test_reader_options_reach_mne_and_wrong_ones_are_named(shared):
    path = shared("formats_small/test.edf")
    assert load(path, reader_options={"exclude": ["A1"]}).n_channels in (138, 139)
    with pytest.raises(BraindecError, match="reader_options"):
        load(path, reader_options={"nonsense": 1})
    with pytest.raises(BraindecError, match="no option 'exclud'"):
        load(path, exclud=["A1"])


def test_a_folder_with_one_recording_needs_no_name(shared, tmp_path):
    for name in ("test.vhdr", "test.vmrk", "test.eeg"):
        shutil.copy(shared("formats_small") / name, tmp_path / name)
    assert isinstance(load(tmp_path).info["path"], str) and Path(load(tmp_path).info["path"]).name == "test.vhdr"
