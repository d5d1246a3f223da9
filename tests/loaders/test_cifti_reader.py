"""The reader for CIFTI runs: fMRIPrep and HCP layouts written by nibabel, values, times, events, and what is refused."""

from __future__ import annotations

import json
import pickle

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel import cifti2

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders._detect import detect
from braindec.loaders.inspect import inspect
from braindec.loaders.readers import cifti, fmri
from braindec.signal._source import source_key

MOTION = [f"{kind}_{a}" for kind in ("trans", "rot") for a in "xyz"]
N, TR, GRID = 24, 1.5, (6, 7, 8)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -126], [0, 0, 2.0, -72], [0, 0, 0, 1.0]])
LEFT, RIGHT, VOXELS = np.arange(3, 33), np.arange(0, 28), np.array([[0, 1, 2], [3, 3, 3], [5, 6, 7], [1, 1, 1]])
SIZE = len(LEFT) + len(RIGHT) + len(VOXELS)


def axis(left=LEFT, *, n_surface=40):
    sides = cifti2.BrainModelAxis.from_surface(left, n_surface, name="CortexLeft")
    sides += cifti2.BrainModelAxis.from_surface(RIGHT, n_surface, name="CortexRight")
    return sides + cifti2.BrainModelAxis("ThalamusLeft", voxel=VOXELS, affine=AFFINE, volume_shape=GRID)


def data(seed, n=N, size=SIZE):
    return np.random.default_rng(seed).normal(100, 10, size=(n, size)).astype(np.float32)


def write(path, values, *, model=None, step=TR, unit="SECOND", start=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    series = cifti2.SeriesAxis(start, step, len(values), unit=unit)
    image = cifti2.Cifti2Image(values, header=(series, axis() if model is None else model))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SERIES")
    nib.save(image, path)
    return path


@pytest.fixture
def study(tmp_path):
    """A raw BIDS folder with events, and derivatives of fMRIPrep in it: two subjects, two runs."""
    root = tmp_path / "study"
    for s in ("01", "02"):
        for r in ("1", "2"):
            stem = f"sub-{s}_task-movie_run-{r}"
            path = root / "derivatives/fmriprep" / f"sub-{s}/func/{stem}_space-fsLR_den-91k_bold.dtseries.nii"
            write(path, data(int(s) * 10 + int(r)))
            path.with_name(f"{stem}_space-fsLR_den-91k_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
            confounds = pd.DataFrame(np.random.default_rng(5).normal(size=(N, 6)), columns=MOTION)
            confounds["trans_x_derivative1"] = np.r_[np.nan, np.diff(confounds["trans_x"])]
            confounds.to_csv(
                path.with_name(f"{stem}_desc-confounds_timeseries.tsv"), sep="\t", index=False, na_rep="n/a"
            )
            raw = root / f"sub-{s}/func/{stem}_events.tsv"
            raw.parent.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame(
                {"onset": [0.0, 9.0], "duration": 3.0, "trial_type": "clip", "stimulus_id": ["a", "b"]}
            )
            table.to_csv(raw, sep="\t", index=False)
    (root / "derivatives/fmriprep/dataset_description.json").write_text(json.dumps({"Name": "Films"}))
    return root


def of(study):
    return study / "derivatives/fmriprep"


def test_every_grayordinate_is_what_its_channel_says(study):
    runs = cifti.load(of(study), "02")
    assert [r.label for r in runs] == ["sub-02_task-movie_run-1", "sub-02_task-movie_run-2"]
    run, truth = runs[1], data(22)
    assert run.sfreq == pytest.approx(1 / TR) and run.signal.shape == (SIZE, N)
    np.testing.assert_array_equal(run.load(), truth.T)
    table = run.channels
    assert set(table["type"]) == {"grayordinate"}
    np.testing.assert_array_equal(table["vertex"], [*LEFT, *RIGHT, -1, -1, -1, -1])
    np.testing.assert_array_equal(table[["i", "j", "k"]].to_numpy()[-4:], VOXELS)
    np.testing.assert_allclose(run.positions[-4:], nib.affines.apply_affine(AFFINE, VOXELS) / 1000)
    assert np.isnan(run.positions[:-4]).all()
    assert table["structure"].iloc[0] == "CIFTI_STRUCTURE_CORTEX_LEFT" and table["name"].iloc[0] == "CORTEX_LEFT-00003"
    info = run.info
    assert info["space"] == "fsLR" and info["density"] == "91k" and info["dataset"] == "Films"
    assert info["n_vertices"] == {"CIFTI_STRUCTURE_CORTEX_LEFT": 40, "CIFTI_STRUCTURE_CORTEX_RIGHT": 40}
    assert info["grid"] == list(GRID) and np.array_equal(info["affine"], AFFINE)
    assert list(run.events["stimulus_id"]) == ["a", "b"] and list(run.events["onset"]) == [0, 9]


def test_reads_pieces_without_the_rest_and_pickles_as_a_path(study, monkeypatch):
    run = cifti.load(of(study), "01", run="1")[0]
    truth = data(11).T
    rows = np.array([40, 2, 61, 2])
    np.testing.assert_array_equal(run.signal[rows, 5:9], truth[rows, 5:9])
    np.testing.assert_array_equal(run.signal.read(slice(10, 30), 3, 4), truth[10:30, 3:4])
    sent = pickle.dumps(run)
    assert len(sent) < 40_000
    np.testing.assert_array_equal(pickle.loads(sent).load(), truth)
    opened = []
    memmap = np.memmap
    monkeypatch.setattr(np, "memmap", lambda *a, **k: opened.append(a) or memmap(*a, **k))
    pickle.loads(sent).signal.read(rows)
    assert len(opened) == 1  # mapped, not read


def test_a_moved_folder_keeps_its_key_and_other_rows_have_another(study, tmp_path):
    first = cifti.load(of(study), "01", run="1")[0]
    key = source_key(first)
    study.rename(tmp_path / "moved")
    again = cifti.load(of(tmp_path / "moved"), "01", run="1")[0]
    assert source_key(again) == key
    assert source_key(cifti.load(of(tmp_path / "moved"), "01", run="1", structures="cortex")[0]) != key


def test_structures_and_dropped_volumes(study):
    run = cifti.load(
        study, "01", derivatives="derivatives/fmriprep", structures=["CortexRight", "thalamus"], drop_volumes=4
    )[0]
    np.testing.assert_array_equal(run.load(), data(11)[4:, len(LEFT) :].T)
    assert list(run.events["onset"]) == [-6.0, 3.0]
    assert any("lie outside the recording" in w for w in run.info["warnings"])


def labels_file(path, keys, names, model=None):
    table = {k: (n, (0.1, 0.2, 0.3, 1.0)) for k, n in names.items()}
    header = (cifti2.LabelAxis(["atlas"], [table]), axis()[: len(keys)] if model is None else model)
    image = cifti2.Cifti2Image(keys[None].astype(np.int32), header=header)
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_LABELS")
    nib.save(image, path)
    return path


def test_parcels_are_means_in_order_of_their_keys(study):
    keys = np.array([7, 0, 2] * 20)[:58]
    labels_file(study / "p.dlabel.nii", keys, {0: "???", 2: "B", 7: "A"})
    run = cifti.load(study, "01", derivatives="derivatives/fmriprep", parcels="p.dlabel.nii")[0]
    truth = data(11).astype(float)[:, :58]
    expected = np.stack([truth[:, keys == k].mean(axis=1) for k in (2, 7)])
    np.testing.assert_allclose(run.load(), expected, rtol=1e-6)
    np.testing.assert_allclose(run.signal.read(np.array([1]), 3, 5), expected[1:, 3:5], rtol=1e-6)
    assert list(run.channels["name"]) == ["B", "A"] and list(run.channels["label"]) == [2, 7]
    assert set(run.channels["type"]) == {"parcel"} and list(run.channels["region"]) == ["B", "A"]
    named = cifti.load(study, "01", derivatives="derivatives/fmriprep", regions="p.dlabel.nii")[0]
    assert list(named.channels["region"][:4]) == ["A", "n/a", "B", "A"] and named.n_channels == SIZE
    with pytest.raises(BraindecError, match="lies on another brain model"):
        other = axis(n_surface=50)[:58]
        labels_file(study / "q.dlabel.nii", keys, {0: "???", 2: "B", 7: "A"}, other)
        cifti.load(study, "01", derivatives="derivatives/fmriprep", parcels="q.dlabel.nii")


def test_confounds_are_regressed_out_and_the_first_row_is_said(study):
    run = cifti.load(of(study), "01", run="1", confounds=["trans_x", "trans_x_derivative1"])[0]
    table = pd.read_csv(next(of(study).rglob("sub-01*run-1*timeseries.tsv")), sep="\t")
    design = table[["trans_x", "trans_x_derivative1"]].to_numpy()
    design[0, 1] = design[1:, 1].mean()
    design -= design.mean(axis=0)
    truth = data(11).astype(float)
    expected = truth - design @ np.linalg.lstsq(design, truth - truth.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(run.load(), expected.T, rtol=2e-5)
    np.testing.assert_allclose(run.signal.read(np.array([3, 50]), 2, 7), expected.T[[3, 50], 2:7], rtol=2e-5)
    assert any("1 of 2 confounds have no value in the first volume" in w for w in run.info["warnings"])
    assert run.info["confounds"] == ["trans_x", "trans_x_derivative1"]


def test_confounds_missing_later_are_refused(study):
    path = next(of(study).rglob("sub-01*run-1*timeseries.tsv"))
    table = pd.read_csv(path, sep="\t")
    table.loc[4, "rot_z"] = np.nan
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(BraindecError, match=r"confounds are missing after the first volume\n.*rot_z"):
        cifti.load(of(study), "01", confounds="motion6")


def test_header_and_sidecar_must_agree(study):
    path = next(of(study).rglob("sub-01*run-1*_bold.json"))
    path.write_text(json.dumps({"RepetitionTime": 2.0}))
    with pytest.raises(BraindecError, match=r"1.5 s in the header, 2 s in the _bold.json"):
        cifti.load(of(study), "01")
    run = cifti.load(of(study), "01", tr=1.5)[0]
    assert any("the sidecar says a repetition time of 2 s" in w for w in run.info["warnings"])


def test_a_series_that_is_not_of_seconds_has_no_repetition_time(study):
    path = next(of(study).rglob("sub-01*run-1*.dtseries.nii"))
    path.unlink()
    write(path, data(1), unit="HERTZ")
    path.with_name(path.name.replace(".dtseries.nii", ".json")).unlink()
    with pytest.raises(BraindecError, match="a step of 1.5 hertz in the header, no RepetitionTime"):
        cifti.load(of(study), "01")
    assert cifti.load(of(study), "01", run="1", tr=2.0)[0].sfreq == 0.5


def test_runs_that_differ_give_one_error(study):
    path = next(of(study).rglob("sub-01*run-2*.dtseries.nii"))
    side = path.with_name(path.name.replace(".dtseries.nii", ".json"))
    path.unlink()
    write(path, data(1), step=2.0)
    side.write_text(json.dumps({"RepetitionTime": 2.0}))
    with pytest.raises(BraindecError, match=r"differ in repetition time\n.*1.5 s: .*run-1; 2 s: .*run-2"):
        cifti.load(of(study), "01")
    path.unlink()
    write(path, data(1, size=SIZE - 1), model=axis(LEFT[1:]))
    with pytest.raises(BraindecError, match="CORTEX_LEFT vertices: 30 against 29"):
        cifti.load(of(study), "01")
    assert len(cifti.load(of(study), "02")) == 2 and cifti.subjects(of(study)) == ["01", "02"]


def test_files_lists_what_is_read(study):
    names = [p.name for p in cifti.files(of(study), "01", run="1", confounds="motion6")]
    assert names == [
        "sub-01_task-movie_run-1_space-fsLR_den-91k_bold.dtseries.nii",
        "sub-01_task-movie_run-1_space-fsLR_den-91k_bold.json",
        "sub-01_task-movie_run-1_events.tsv",
        "sub-01_task-movie_run-1_desc-confounds_timeseries.tsv",
    ]


def test_hcp_names_by_a_pattern_with_events_of_ones_own(tmp_path):
    end = "Atlas_1.6mm_MSMAll_hp2000_clean.dtseries.nii"
    for s in ("100610", "102311"):
        for m, way in (("MOVIE1", "AP"), ("MOVIE2", "PA")):
            name = f"tfMRI_{m}_7T_{way}"
            write(tmp_path / s / "MNINonLinear/Results" / name / f"{name}_{end}", data(len(m)), step=1.0)
    (tmp_path / "events").mkdir()
    for m in ("MOVIE1", "MOVIE2"):
        (tmp_path / f"events/{m}.tsv").write_text(f"onset\tduration\tstimulus_id\n2\t10\t{m}-clip\n")
    with pytest.raises(BraindecError, match="is a folder of the HCP: which files are the runs"):
        cifti.load(tmp_path)
    options = {
        "bold": f"{{subject}}/MNINonLinear/Results/*/tfMRI_{{task}}_7T_{{run}}_{end}",
        "events": "events/{task}.tsv",
    }
    assert cifti.subjects(tmp_path, **options) == ["100610", "102311"]
    runs = cifti.load(tmp_path, "102311", **options)
    assert [(r.info["task"], r.info["run"]) for r in runs] == [("MOVIE1", "AP"), ("MOVIE2", "PA")]
    assert runs[1].sfreq == 1.0 and list(runs[1].events["stimulus_id"]) == ["MOVIE2-clip"]
    one = cifti.load(tmp_path, "102311", task="MOVIE2", **options)
    assert len(one) == 1 and tmp_path / "events/MOVIE2.tsv" in cifti.files(tmp_path, "102311", **options)
    with pytest.raises(BraindecError, match="there is no table of events"):
        cifti.load(tmp_path, "102311", **{**options, "events": "events/{task}_{run}.tsv"})


def test_one_file_is_recognised_and_other_readers_point_here(study):
    path = next(of(study).rglob("sub-01*run-1*.dtseries.nii"))
    assert detect(path) == "cifti" and load(path).n_channels == SIZE
    with pytest.raises(UnreadableError, match="use the reader cifti"):
        fmri.load(path)
    with pytest.raises(BraindecError, match="use the reader cifti"):
        fmri.load(of(study))
    assert detect(of(study)) == "cifti"
    found = inspect(of(study))
    assert found.reader == "cifti" and len(found.table) == 4 and set(found.table["n_channels"]) == {SIZE}


def test_ptseries_runs_are_parcels(tmp_path):
    model = axis()
    parcels = cifti2.ParcelsAxis.from_brain_models([("V1", model[:10]), ("Th", model[58:])])
    path = tmp_path / "a.ptseries.nii"
    write(path, data(1, size=2), model=parcels)
    run = cifti.load(path)[0]
    np.testing.assert_array_equal(run.load(), data(1, size=2).T)
    assert list(run.channels["name"]) == ["V1", "Th"] and list(run.channels["n_grayordinates"]) == [10, 4]
    centre = nib.affines.apply_affine(AFFINE, VOXELS.mean(axis=0)) / 1000
    np.testing.assert_allclose(run.positions[1], centre)
    assert cifti.load(path, structures=["Th"])[0].ch_names == ["Th"]


def test_what_is_no_series_is_refused(tmp_path):
    values = data(1, 2)
    image = cifti2.Cifti2Image(values, header=(cifti2.ScalarAxis(["a", "b"]), axis()))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS")
    nib.save(image, tmp_path / "a.dscalar.nii")
    with pytest.raises(UnreadableError, match="dscalar of 2 maps"):
        cifti.load(tmp_path / "a.dscalar.nii")
    shown = load(tmp_path / "a.dscalar.nii")
    assert "2 maps: a, b" in repr(shown) and "62 grayordinate" in repr(shown)
    (tmp_path / "x.dconn.nii").write_bytes(b"0" * 600)
    with pytest.raises(UnreadableError, match="matrix between brain places"):
        load(tmp_path / "x.dconn.nii")
    path = labels_file(tmp_path / "p.dlabel.nii", np.repeat([0, 2], 29), {0: "???", 2: "V1"})
    assert "1 parcels (V1)" in repr(load(path))


def test_labels_without_a_name_and_places_outside_all_parcels_are_said(study):
    keys = np.arange(58) % 3
    keys[:4] = 9
    labels_file(study / "unnamed.dlabel.nii", keys, {0: "???", 1: "a", 2: "b"})
    run = cifti.load(study, "01", derivatives="derivatives/fmriprep", parcels="unnamed.dlabel.nii")[0]
    said = run.info["warnings"]
    assert any("1 labels have no name in its table, such as 9" in s for s in said)
    outside = int((keys == 0).sum()) + SIZE - 58
    assert any(f"{outside} of {SIZE} places lie in no parcel" in s for s in said)
