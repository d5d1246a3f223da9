"""Every defect that is planted is found, and clean data raise nothing; the first guess runs."""

from __future__ import annotations

import json
import shutil

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindec.config import parse_yaml
from braindec.errors import BraindecError
from braindec.loaders.inspect import first_guess, inspect
from braindec.loaders.source import open_source

NAMES = ["Fz", "Cz", "Pz", "Oz"]
PLACES = np.array([[0.0, 0.06, 0.08], [0.0, 0.0, 0.1], [0.0, -0.06, 0.08], [0.0, -0.09, 0.03]])


def signal(seed, n=2560, n_channels=4):
    return np.random.default_rng(seed).normal(0, 1e-5, (n_channels, n))


def write_run(root, subject, run, data, *, sfreq=256.0, names=NAMES, events=None, session=None):
    parts = [f"sub-{subject}", *([f"ses-{session}"] if session else []), "task-look", f"run-{run}"]
    folder = root / f"sub-{subject}" / (f"ses-{session}/eeg" if session else "eeg")
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / "_".join(parts)
    info = mne.create_info(list(names), sfreq, "eeg", verbose="ERROR")
    mne.export.export_raw(
        f"{stem}_eeg.vhdr", mne.io.RawArray(data, info, verbose="ERROR"), overwrite=True, verbose="ERROR"
    )
    pd.DataFrame({"name": names, "type": "EEG", "units": "V"}).to_csv(f"{stem}_channels.tsv", sep="\t", index=False)
    if events is None:
        events = pd.DataFrame({"onset": np.arange(0.5, 9, 0.5), "duration": 0.1, "trial_type": ["a", "b"] * 8 + ["a"]})
    events.to_csv(f"{stem}_events.tsv", sep="\t", index=False)
    return stem


def write_places(root, subject, *, unit="m", factor=1.0, names=NAMES, places=PLACES):
    folder = root / f"sub-{subject}" / "eeg"
    table = pd.DataFrame({"name": names, **dict(zip("xyz", (places * factor).T, strict=True))})
    table.to_csv(folder / f"sub-{subject}_space-CapTrak_electrodes.tsv", sep="\t", index=False)
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": unit}
    (folder / f"sub-{subject}_space-CapTrak_coordsystem.json").write_text(json.dumps(system))


@pytest.fixture
def study(tmp_path):
    """Two subjects, two runs each, nothing wrong."""
    root = tmp_path / "study"
    for s in ("01", "02"):
        for r in ("1", "2"):
            write_run(root, s, r, signal(10 * int(s) + int(r)))
        write_places(root, s)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Looking", "BIDSVersion": "1.9.0"}))
    return root


def levels(found, check):
    return [f.level for f in found.of(check)]


def test_a_clean_study(study):
    found = inspect(study)
    assert found.findings == [] and found.level == "pass", str(found)
    assert (
        found.reader == "bids"
        and len(found.table) == 4
        and found.column == "trial_type"
        and found.events == {"a": 36, "b": 32}
    )
    text = str(found)
    for part in ("4 recordings", "subjects: 01, 02", "tasks: look", "4 eeg", "256 Hz", "a (36)", "nothing suspicious"):
        assert part in text, part


def test_the_first_guess_opens_the_study(study):
    guess = parse_yaml(first_guess(inspect(study)), "guess")
    assert guess["recipe"] == "erp_classification" and guess["events"] == {
        "column": "trial_type",
        "classes": ["a", "b"],
    }
    assert guess["split"] == {"by": "run"} and guess["epochs"]["tmin"] == 0.0
    source = open_source(
        root=guess["data"]["root"], reader=guess["data"]["reader"], options=guess["data"].get("options")
    )
    assert source.subjects() == ["01", "02"]
    from braindec.engine import load_recipe

    path = study.parent / "guess.yaml"
    path.write_text(first_guess(inspect(study)))
    config = load_recipe("erp_classification").config(str(path), [])
    assert config.data.reader == "bids"


def test_a_recording_under_two_sessions(tmp_path):
    root = tmp_path / "study"
    for session in ("01", "02"):
        write_run(root, "01", "1", signal(1 if session == "01" else 2), session=session)
    copy = {e: next((root / "sub-01/ses-01/eeg").glob(f"*{e}")).read_bytes() for e in (".eeg",)}
    assert levels(inspect(root), "duplicate_recordings") == []
    next((root / "sub-01/ses-02/eeg").glob("*.eeg")).write_bytes(copy[".eeg"])
    found = inspect(root)
    assert levels(found, "duplicate_recordings") == ["fail"]
    assert found.of("duplicate_recordings")[0].evidence["names"] == [
        "sub-01_ses-01_task-look_run-1",
        "sub-01_ses-02_task-look_run-1",
    ]
    assert "sub-01_ses-02_task-look_run-1 are copies of others" in first_guess(found)


def test_sampling_rates_and_channel_sets_that_differ(study):
    write_run(study, "02", "2", signal(5, 5120), sfreq=512.0)
    write_run(study, "01", "2", signal(6, n_channels=3), names=NAMES[:3])
    found = inspect(study)
    assert levels(found, "sampling_rate") == ["warn"] and "1 at 512 Hz" in found.of("sampling_rate")[0].message
    assert levels(found, "channel_set") == ["warn"] and "not in all: Oz" in found.of("channel_set")[0].message
    guess = parse_yaml(first_guess(found), "guess")
    assert guess["channels"] == "common" and guess["signal"][1] == {"resample": {"sfreq": 128}}


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_events_that_are_not_there(study, how):
    for path in study.glob("sub-01/eeg/*_events.tsv"):
        path.unlink() if how == "missing" else path.write_text("onset\tduration\ttrial_type\n")
    found = inspect(study)
    assert levels(found, "events_missing") == ["warn"] and "2 recordings" in found.of("events_missing")[0].message


def test_events_outside_the_recording(study):
    events = pd.DataFrame({"onset": [1.0, 500.0, 800.0], "duration": 0.0, "trial_type": ["a", "b", "a"]})
    write_run(study, "01", "1", signal(1), events=events)
    found = inspect(study)
    assert levels(found, "events_outside") == ["warn"] and "2 of 3 events" in found.of("events_outside")[0].message


def test_flat_and_missing_channels(study):
    data = signal(3)
    data[1] = 0
    write_run(study, "01", "1", data)
    data = signal(4)
    data[2] = np.nan
    write_run(study, "02", "1", data)
    found = inspect(study)
    assert levels(found, "flat_channel") == ["warn"] and "Cz" in found.of("flat_channel")[0].message
    assert levels(found, "nan_channel") == ["warn"] and "Pz" in found.of("nan_channel")[0].message


def test_a_channel_that_others_determine(study):
    data = signal(3)
    data[3] = -data[:3].mean(axis=0)
    write_run(study, "01", "1", data)
    found = inspect(study)
    assert levels(found, "rank_deficient") == ["warn"] and "Oz" in found.of("rank_deficient")[0].message
    assert parse_yaml(first_guess(found), "guess")["data"]["options"]["drop_channels"] == ["Oz"]


@pytest.mark.parametrize("unit, factor, looks", [("m", 1000.0, "mm"), ("mm", 1.0, "m")])
def test_metres_against_millimetres(study, unit, factor, looks):
    write_places(study, "02", unit=unit, factor=factor)
    found = inspect(study)
    assert levels(found, "positions") == ["fail"] and found.of("positions")[0].message.split(" [")[0].endswith(looks)
    write_places(study, "02", unit="mm", factor=1000.0)
    assert inspect(study).findings == []


def test_a_label_that_stands_twice(study):
    write_places(study, "01", names=["Fz", "Cz", "Pz", "Fz"])
    assert levels(inspect(study), "duplicate_electrode") == ["warn"]


def test_two_electrodes_in_one_place(study):
    places = PLACES.copy()
    places[3] = places[2]
    write_places(study, "01", places=places)
    found = inspect(study)
    assert levels(found, "positions") == ["warn"] and "Pz = Oz" in found.of("positions")[0].message


def test_one_class_only(study):
    only = pd.DataFrame({"onset": np.arange(0.5, 9), "duration": 0.1, "trial_type": "a"})
    for r in ("1", "2"):
        write_run(study, "02", r, signal(40 + int(r)), events=only)
    found = inspect(study)
    assert levels(found, "one_class") == ["warn"] and "02" in found.of("one_class")[0].message
    for r in ("1", "2"):
        write_run(study, "01", r, signal(50 + int(r)), events=only)
    assert levels(inspect(study), "one_class") == ["fail"]


def test_a_damaged_recording_does_not_hide_the_others(study):
    path = next(study.glob("sub-01/eeg/*run-1_eeg.eeg"))
    path.write_bytes(path.read_bytes()[:-1001])
    found = inspect(study)
    assert levels(found, "damaged") == ["fail"] and len(found.table) == 3
    assert parse_yaml(first_guess(found), "guess")["select"] == {"subjects": ["02"]}


def test_line_ends_that_were_converted(study, shared):
    edf = next(shared("formats/EDF").glob("*.edf"))
    folder = study / "sub-03" / "eeg"
    folder.mkdir(parents=True)
    (folder / "sub-03_task-look_run-1_eeg.edf").write_bytes(edf.read_bytes().replace(b"\n", b"\r\n"))
    found = inspect(study)
    assert levels(found, "damaged") == ["fail"] and "line ends" in found.of("damaged")[0].message


def test_the_column_that_names_classes_is_found(study):
    for path in study.glob("sub-*/eeg/*_events.tsv"):
        table = pd.read_csv(path, sep="\t")
        table["condition"], table["trial_type"] = table["trial_type"], [f"picture{i}" for i in range(len(table))]
        table.to_csv(path, sep="\t", index=False)
    assert inspect(study).column == "condition"


def test_fmri_runs(tmp_path):
    root = tmp_path / "bold"
    rng = np.random.default_rng(0)
    for run in (1, 2):
        folder = root / "sub-01" / "func"
        folder.mkdir(parents=True, exist_ok=True)
        values = rng.normal(5, 0.5, (16, 16, 16, 12)).astype(np.float32)
        values[4:12, 4:12, 4:12] += 500
        image = nib.Nifti1Image(values, np.diag([3.0, 3, 3, 1]))
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((3.0, 3.0, 3.0, 2.0))
        nib.save(image, folder / f"sub-01_task-x_run-{run}_bold.nii.gz")
        (folder / f"sub-01_task-x_run-{run}_events.tsv").write_text(
            "onset\tduration\ttrial_type\n0\t6\tface\n8\t6\thouse\n16\t6\tface\n"
        )
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    found = inspect(root)
    assert found.reader == "fmri" and len(found.table) == 2 and set(found.table["sfreq"]) == {0.5}
    guess = parse_yaml(first_guess(found), "guess")
    assert (
        guess["recipe"] == "fmri_category_decoding"
        and guess["data"]["options"]["mask"] == "auto"
        and guess["split"] == {"by": "run"}
    )
    (root / "task-x_bold.json").write_text('{"RepetitionTime": 3.0}')
    assert levels(inspect(root), "repetition_time") == ["fail"]
    first, second = sorted((root / "sub-01" / "func").glob("*bold.nii.gz"))
    shutil.copy(first, second)
    assert levels(inspect(root), "duplicate_recordings") == ["fail"]


def test_prepared_runs_are_taken_where_they_are(tmp_path):
    from braindec.loaders.synthetic import make_cohort

    root = make_cohort(tmp_path / "cohort", modality="fmri", preset="tiny", n_subjects=1).root
    found = inspect(root)
    assert found.findings == [] and found.options == {"derivatives": "derivatives/fmriprep"}, str(found)
    guess = parse_yaml(first_guess(found), "guess")
    source = open_source(root=guess["data"]["root"], reader="fmri", options=guess["data"]["options"])
    assert source.recordings("01")[0].info["space"] == "MNI152NLin2009cAsym"


def test_arrays_and_an_empty_folder(tmp_path):
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(20, 3, 50)))
    np.save(tmp_path / "labels.npy", np.arange(20) % 2)
    guess = parse_yaml(first_guess(inspect(tmp_path)), "guess")
    assert guess["data"]["options"] == {"X": "X.npy", "y": "labels.npy"} and guess["signal"] == []
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothing"):
        with pytest.raises(BraindecError):
            inspect(path)


def test_the_computed_column_of_bi2012(shared):
    found = inspect(shared("eeg_p300_bi2012_s01"))
    assert levels(found, "rank_deficient") == ["warn"] and "column 17" in found.of("rank_deficient")[0].message
    assert parse_yaml(first_guess(found), "guess")["data"]["options"]["drop"] == [16]


def test_a_real_recording_under_two_sessions(shared, tmp_path):
    source = shared("muse-p300") / "sub-02"
    shutil.copytree(source, tmp_path / "study" / "sub-02")
    shutil.copy(shared("muse-p300") / "dataset_description.json", tmp_path / "study")
    first = tmp_path / "study/sub-02/ses-01/eeg"
    copy = tmp_path / "study/sub-02/ses-09/eeg"
    copy.mkdir(parents=True)
    for path in sorted(first.glob("*run-01*")):
        text = path.read_bytes()
        text = text if path.suffix == ".eeg" else text.replace(b"ses-01", b"ses-09")
        (copy / path.name.replace("ses-01", "ses-09")).write_bytes(text)
    found = inspect(tmp_path / "study")
    (finding,) = found.of("duplicate_recordings")
    assert finding.level == "fail" and finding.evidence["names"] == [
        "sub-02_ses-01_task-p300_run-01",
        "sub-02_ses-09_task-p300_run-01",
    ]


@pytest.mark.parametrize("name", ["muse-ssvep", "haxby-slice"])
def test_real_clean_data_raise_nothing(name, shared):
    found = inspect(shared(name))
    assert found.findings == [] and name in first_guess(found)
