"""The reader for fMRI against images made here, whose every value is known, and against nilearn."""

from __future__ import annotations

import gzip
import json
import pickle

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import fmri

SHAPE, N, TR = (5, 6, 4), 20, 2.0
AFFINE = np.array([[-3.0, 0, 0, 60.0], [0, 3.0, 0, -70.0], [0, 0, 3.5, -40.0], [0, 0, 0, 1.0]])


def data(seed=0, n=N):
    return np.random.default_rng(seed).normal(1000, 30, (*SHAPE, n)).astype(np.float32)


def write(path, values, *, tr=TR, unit="sec", affine=AFFINE, code=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", unit)
    if values.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    nib.save(image, path)
    return path


def mask_of(seed=1):
    return (np.random.default_rng(seed).random(SHAPE) > 0.5).astype(np.uint8)


@pytest.fixture
def bids(tmp_path):
    """Two subjects, two runs each, with a mask beside them."""
    root = tmp_path / "study"
    for s in ("01", "02"):
        for r in ("1", "2"):
            stem = root / f"sub-{s}" / "func" / f"sub-{s}_task-look_run-{r}"
            write(stem.with_name(stem.name + "_bold.nii.gz"), data(int(s) * 10 + int(r)))
            events = pd.DataFrame(
                {"onset": [0.0, 10.0, 20.0], "duration": 6.0, "trial_type": ["face", "house", "face"]}
            )
            events.to_csv(stem.with_name(stem.name + "_events.tsv"), sep="\t", index=False)
    (root / "task-look_bold.json").write_text(json.dumps({"RepetitionTime": TR, "TaskName": "look"}))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Looking", "BIDSVersion": "1.9.0"}))
    write(root / "mask.nii.gz", mask_of())
    return root


def sidecar(root, **values):
    path = root / "task-look_bold.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_every_voxel_stands_where_its_name_and_position_say(bids):
    runs = fmri.load(bids, "01", mask="mask.nii.gz")
    assert [r.label for r in runs] == ["sub-01_task-look_run-1", "sub-01_task-look_run-2"]
    run, truth = runs[1], data(12)
    assert run.sfreq == pytest.approx(0.5) and run.n_times == N and run.n_channels == int(mask_of().sum())
    ijk = run.channels[["i", "j", "k"]].to_numpy()
    np.testing.assert_array_equal(run.load(), truth[tuple(ijk.T)])
    np.testing.assert_array_equal(sorted(map(tuple, ijk)), sorted(map(tuple, np.argwhere(mask_of()))))
    expected = nib.affines.apply_affine(AFFINE, ijk) / 1000
    np.testing.assert_allclose(run.positions, expected)
    assert set(run.channels["type"]) == {"voxel"} and run.info["modality"] == "fmri" and run.info["space"] == "MNI152"
    assert run.info["dataset"] == "Looking"
    assert list(run.events["trial_type"]) == ["face", "house", "face"] and list(run.events["onset"]) == [0, 10, 20]


def test_reads_lazily_in_any_order_and_pickles_as_a_path(bids):
    run = fmri.load(bids, "01", run="1", mask="mask.nii.gz")[0]
    whole = run.load()
    rows = np.array([7, 0, 3, 3])
    np.testing.assert_array_equal(run.signal.read(rows, 4, 9), whole[rows, 4:9])
    np.testing.assert_array_equal(run.signal[5], whole[5])
    assert run.signal.slow
    again = pickle.loads(pickle.dumps(run))
    assert "_open_source" not in again.signal.__dict__
    np.testing.assert_array_equal(again.load(), whole)


def test_agrees_with_nilearn(bids):
    from nilearn.maskers import NiftiMasker

    run = fmri.load(bids, "02", run="2", mask="mask.nii.gz")[0]
    theirs = NiftiMasker(mask_img=str(bids / "mask.nii.gz"), standardize=None).fit().transform(run.info["path"])
    order = np.lexsort(run.channels[["k", "j", "i"]].to_numpy().T)  # nilearn's order: the last axis fastest
    np.testing.assert_allclose(run.load()[order], theirs.T, rtol=1e-6)


def test_parcels_are_means_with_centres_and_names(bids):
    labels = np.zeros(SHAPE, np.int16)
    labels[:2], labels[3:] = 7, 3
    write(bids / "atlas.nii.gz", labels)
    (bids / "atlas.tsv").write_text("index\tname\n3\tback\n7\tfront\n9\tnowhere\n")
    run = fmri.load(bids, "01", run="1", atlas="atlas.nii.gz", atlas_labels="atlas.tsv")[0]
    assert run.ch_names == ["back", "front"] and list(run.channels["n_voxels"]) == [48, 48]
    truth = data(11)
    np.testing.assert_allclose(run.load(), [truth[3:].mean(axis=(0, 1, 2)), truth[:2].mean(axis=(0, 1, 2))], rtol=1e-6)
    np.testing.assert_allclose(
        run.positions[1], nib.affines.apply_affine(AFFINE, np.argwhere(labels == 7).mean(axis=0)) / 1000
    )
    inside = fmri.load(bids, "01", run="1", atlas="atlas.nii.gz", mask="mask.nii.gz")[0]
    chosen = (labels == 7) & (mask_of() > 0)
    np.testing.assert_allclose(inside.load()[1], truth[chosen].mean(axis=0), rtol=1e-6)
    assert inside.ch_names == ["parcel-003", "parcel-007"]


def test_subjects_and_files(bids):
    assert fmri.subjects(bids) == ["01", "02"]
    names = [p.name for p in fmri.files(bids, "02", mask="mask.nii.gz", run="1")]
    assert names == [
        "sub-02_task-look_run-1_bold.nii.gz",
        "task-look_bold.json",
        "sub-02_task-look_run-1_events.tsv",
        "mask.nii.gz",
    ]


@pytest.mark.parametrize(
    "option, value, said",
    [("subject", "03", "subject '03'"), ("task", "lok", "did you mean 'look'"), ("run", "9", "run '9'")],
)
def test_labels_that_are_not_there(bids, option, value, said):
    with pytest.raises(BraindecError, match=said):
        fmri.load(bids, **{option: value}, mask="mask.nii.gz")


def test_repetition_times_that_differ_are_refused(bids):
    sidecar(bids, RepetitionTime=2.5)
    with pytest.raises(BraindecError, match=r"2 s in the header, 2.5 s in the _bold.json"):
        fmri.load(bids, "01", mask="mask.nii.gz")
    run = fmri.load(bids, "01", mask="mask.nii.gz", tr=2.0)[0]
    assert run.sfreq == 0.5 and "the sidecar says a repetition time of 2.5 s" in run.info["warnings"][0]


@pytest.mark.parametrize(
    "tr, unit, said",
    [
        (0.0, "sec", "does not say its repetition time"),
        (2.0, "unknown", "does not say its repetition time"),
        (2000.0, "sec", "milliseconds"),
    ],
)
def test_missing_or_wrong_repetition_time_is_asked_for(tmp_path, tr, unit, said):
    write(tmp_path / "mask.nii.gz", mask_of())
    path = write(tmp_path / "bold.nii.gz", data(), tr=tr, unit=unit)
    with pytest.raises(BraindecError, match=said):
        fmri.load(path, mask="mask.nii.gz")
    assert fmri.load(path, mask="mask.nii.gz", tr=1.5)[0].sfreq == pytest.approx(1 / 1.5)


def test_milliseconds_in_the_header_are_understood(tmp_path):
    write(tmp_path / "mask.nii.gz", mask_of())
    assert fmri.load(write(tmp_path / "bold.nii.gz", data(), tr=1500.0, unit="msec"), mask="mask.nii.gz")[
        0
    ].sfreq == pytest.approx(1 / 1.5)


def test_a_tr_in_milliseconds_is_refused(bids):
    with pytest.raises(BraindecError, match="divided by 1000"):
        fmri.load(bids, "01", mask="mask.nii.gz", tr=2000)


def test_bad_masks(bids):
    write(bids / "empty.nii.gz", np.zeros(SHAPE, np.uint8))
    write(bids / "shifted.nii.gz", mask_of(), affine=AFFINE + np.array([[0, 0, 0, 30.0], [0] * 4, [0] * 4, [0] * 4]))
    write(bids / "larger.nii.gz", np.ones((10, 12, 8), np.uint8), affine=AFFINE @ np.diag([0.5, 0.5, 0.5, 1]))
    for name, said in (
        ("empty", "is empty"),
        ("shifted", "does not lie on the grid.*affines"),
        ("larger", r"shape \(10, 12, 8\)"),
        ("missing", "no image"),
    ):
        with pytest.raises(BraindecError, match=said):
            try:
                fmri.load(bids, "01", mask=f"{name}.nii.gz")
            except BraindecError as error:
                raise type(error)(str(error).replace("\n", " ")) from None
    assert fmri.load(bids, "01", mask="larger.nii.gz", resample=True)[0].n_channels == int(np.prod(SHAPE))
    with pytest.raises(BraindecError, match=r"candidates in the folder: .*mask.nii.gz"):
        fmri.load(bids, "01")
    with pytest.raises(BraindecError, match="stay inside"):
        fmri.load(bids, "01", mask="../mask.nii.gz")


def test_mask_from_intensities(bids):
    for path in bids.glob("sub-01/func/*_bold.nii.gz"):
        values = np.random.default_rng(0).normal(5, 0.5, (20, 20, 20, N)).astype(np.float32)
        values[5:15, 5:15, 5:15] += 800
        write(path, values)
    run = fmri.load(bids, "01", mask="auto")[0]
    inside = ((run.channels[["i", "j", "k"]] >= 5) & (run.channels[["i", "j", "k"]] < 15)).all(axis=1).sum()
    assert (
        inside > 800
        and run.n_channels < 1.5 * 1000
        and any("computed from the intensities" in w for w in run.info["warnings"])
    )


@pytest.mark.parametrize("values", [np.zeros(SHAPE, np.float32), np.zeros((*SHAPE, 1), np.float32)])
def test_one_volume_is_no_series(tmp_path, values):
    with pytest.raises(UnreadableError, match="not a time series"):
        fmri.load(write(tmp_path / "t1.nii.gz", values), mask="auto")


def test_damaged_images(tmp_path):
    write(tmp_path / "mask.nii.gz", mask_of())
    whole = write(tmp_path / "whole.nii", data()).read_bytes()
    broken = {
        "short.nii": whole[:-500],
        "short.nii.gz": gzip.compress(whole)[:-3000],
        "empty.nii.gz": b"",
        "text.nii": b"not an image" * 40,
        "cut.nii": whole[:200],
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableError, match="cut short|empty|cannot be read"):
            fmri.load(tmp_path / name, mask="mask.nii.gz")


def test_grids_that_differ_between_runs(bids):
    write(bids / "sub-01/func/sub-01_task-look_run-2_bold.nii.gz", data()[:, :, :3])
    with pytest.raises(BraindecError, match="different grids"):
        fmri.load(bids, "01", mask="mask.nii.gz")


def test_events_missing_empty_outside(bids):
    path = bids / "sub-01/func/sub-01_task-look_run-1_events.tsv"
    path.write_text("onset\tduration\ttrial_type\n0\t1\ta\n500\t1\tb\n")
    said = fmri.load(bids, "01", run="1", mask="mask.nii.gz")[0].info["warnings"]
    assert any("1 of 2 events lie outside" in w for w in said)
    path.write_text("onset\tduration\ttrial_type\n")
    assert any("is empty" in w for w in fmri.load(bids, "01", run="1", mask="mask.nii.gz")[0].info["warnings"])
    path.unlink()
    assert any("no events.tsv" in w for w in fmri.load(bids, "01", run="1", mask="mask.nii.gz")[0].info["warnings"])


def test_volumes_before_the_steady_state_are_dropped_with_their_time(bids):
    run = fmri.load(bids, "01", run="1", mask="mask.nii.gz", drop_volumes=4)[0]
    whole = fmri.load(bids, "01", run="1", mask="mask.nii.gz")[0]
    np.testing.assert_array_equal(run.load(), whole.load()[:, 4:])
    assert list(run.events["onset"]) == [-8.0, 2.0, 12.0]
    with pytest.raises(BraindecError, match="leaves nothing"):
        fmri.load(bids, "01", mask="mask.nii.gz", drop_volumes=19)


def test_an_unknown_affine_gives_no_positions(tmp_path):
    write(tmp_path / "mask.nii.gz", mask_of(), code=0)
    run = fmri.load(write(tmp_path / "bold.nii.gz", data(), code=0), mask="mask.nii.gz")[0]
    assert np.isnan(run.positions).all() and any("no coordinate system" in w for w in run.info["warnings"])


@pytest.fixture
def prepared(bids):
    """Derivatives of fMRIPrep for subject 01 in two spaces, whose signal is planted motion plus noise."""
    rng = np.random.default_rng(5)
    func = bids / "derivatives/fmriprep/sub-01/func"
    for run in ("1", "2"):
        stem = f"sub-01_task-look_run-{run}"
        motion = rng.normal(0, 1, (N, 6))
        columns = {n: motion[:, i] for i, n in enumerate(["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"])}
        table = pd.DataFrame(columns)
        for name in list(table):
            table[f"{name}_derivative1"] = table[name].diff()
        values = data(int(run)) + (motion[:, 0] * 50).astype(np.float32)
        for space in ("MNI152NLin2009cAsym", "T1w"):
            write(func / f"{stem}_space-{space}_desc-preproc_bold.nii.gz", values)
            own = mask_of()
            own.flat[int(run)] = 1 - own.flat[int(run)]
            write(func / f"{stem}_space-{space}_desc-brain_mask.nii.gz", own)
        table.to_csv(func / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False, na_rep="n/a")
    (bids / "derivatives/fmriprep/dataset_description.json").write_text(
        json.dumps({"Name": "fMRIPrep", "DatasetType": "derivative"})
    )
    return bids


def test_derivatives_find_masks_events_and_confounds(prepared):
    options = {"derivatives": "derivatives/fmriprep", "space": "MNI152NLin2009cAsym"}
    runs = fmri.load(prepared, "01", **options)
    masks = [mask_of(), mask_of()]
    for number, mask in enumerate(masks, 1):
        mask.flat[number] = 1 - mask.flat[number]
    assert runs[0].n_channels == int((masks[0] & masks[1]).sum()) and runs[0].ch_names == runs[1].ch_names
    assert any("brain masks of 2 runs differ" in w for w in runs[0].info["warnings"])
    assert (
        list(runs[1].events["trial_type"]) == ["face", "house", "face"]
        and runs[1].info["space"] == "MNI152NLin2009cAsym"
    )
    direct = fmri.load(prepared / "derivatives/fmriprep", "01", space="T1w")  # events are found in the raw folder above
    assert len(direct[0].events) == 3
    with pytest.raises(BraindecError, match="stands in several images.*space"):
        try:
            fmri.load(prepared / "derivatives/fmriprep", "01")
        except BraindecError as error:
            raise BraindecError(str(error).replace("\n", " ")) from None


def test_confounds_are_regressed_out_of_each_run(prepared):
    options = {"derivatives": "derivatives/fmriprep", "space": "T1w"}
    raw, clean = (fmri.load(prepared, "01", run="1", confounds=c, **options)[0] for c in ("none", "motion6"))
    table = pd.read_csv(
        prepared / "derivatives/fmriprep/sub-01/func/sub-01_task-look_run-1_desc-confounds_timeseries.tsv",
        sep="\t",
        na_values="n/a",
    )
    X = np.column_stack([np.ones(N), table[["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]]])
    y = raw.load().astype(float)
    beta, *_ = np.linalg.lstsq(X, y.T, rcond=None)
    np.testing.assert_allclose(clean.load(), y - ((X[:, 1:] - X[:, 1:].mean(0)) @ beta[1:]).T, atol=1e-2)
    np.testing.assert_allclose(clean.load().mean(axis=1), y.mean(axis=1), rtol=1e-5)  # the mean stays
    np.testing.assert_array_equal(clean.signal.read(np.array([4, 1]), 3, 9), clean.load()[[4, 1], 3:9])
    pickle.loads(pickle.dumps(clean)).load()
    with_first_row = fmri.load(prepared, "01", run="1", confounds=["motion6", "trans_x_derivative1"], **options)[0]
    assert np.isfinite(with_first_row.load()).all()


def test_confounds_that_are_not_there(prepared):
    options = {"derivatives": "derivatives/fmriprep", "space": "T1w"}
    for wanted, said in (
        ("motion24", "power2"),
        ("motoin6", "did you mean 'motion6'"),
        ("compcor", "a_comp_cor"),
        ("trans_w", "did you mean 'trans_"),
    ):
        with pytest.raises(BraindecError, match=said):
            fmri.load(prepared, "01", confounds=wanted, **options)
    with pytest.raises(BraindecError, match="has no confounds"):
        fmri.load(prepared, "01", mask="mask.nii.gz", confounds="motion6")
    path = prepared / "derivatives/fmriprep/sub-01/func/sub-01_task-look_run-1_desc-confounds_timeseries.tsv"
    table = pd.read_csv(path, sep="\t")
    table.loc[5, "trans_x"] = np.nan
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(BraindecError, match="missing after the first volume"):
        fmri.load(prepared, "01", run="1", confounds="motion6", **options)


@pytest.fixture
def labelled(tmp_path):
    write(tmp_path / "bold.nii.gz", data())
    write(tmp_path / "mask.nii.gz", mask_of())
    (tmp_path / "labels.txt").write_text("".join(f"{'rest' if i % 5 < 2 else 'face'} {i // 10}\n" for i in range(N)))
    return tmp_path


def test_one_label_a_volume(labelled):
    options = {"bold": "bold.nii.gz", "mask": "mask.nii.gz", "labels": "labels.txt", "subject": "01"}
    runs = fmri.load(labelled, **options)
    assert [r.info["run"] for r in runs] == ["0", "1"] and [r.n_times for r in runs] == [10, 10]
    whole = data()[tuple(runs[0].channels[["i", "j", "k"]].to_numpy().T)]
    np.testing.assert_array_equal(np.hstack([r.load() for r in runs]), whole)
    assert list(runs[0].events["trial_type"]) == ["rest", "rest", "face", "face", "face"] * 2
    np.testing.assert_allclose(runs[1].events["onset"], np.arange(10) * TR)
    blocks = fmri.load(labelled, **options, label_events="block")[0].events
    assert list(blocks["duration"]) == [4, 6, 4, 6] and list(blocks["onset"]) == [0, 4, 10, 14]
    assert fmri.subjects(labelled, **options) == ["01"]
    assert len(fmri.load(labelled, **options, run="1")) == 1
    (labelled / "labels.txt").write_text("labels chunks\n" + (labelled / "labels.txt").read_text())  # a header line
    assert len(fmri.load(labelled, **options)) == 2


def test_a_folder_a_subject_with_labels_in_each(labelled, tmp_path):
    for subject in ("1", "2"):
        folder = tmp_path / "all" / f"subj{subject}"
        folder.mkdir(parents=True)
        for name in ("bold.nii.gz", "mask.nii.gz"):
            (folder / name).write_bytes((labelled / name).read_bytes())
        (folder / "labels.txt").write_text("".join(f"class{subject} {i // 10}\n" for i in range(N)))
    options = {
        "bold": "subj{subject}/bold.nii.gz",
        "mask": "subj{subject}/mask.nii.gz",
        "labels": "subj{subject}/labels.txt",
    }
    assert fmri.subjects(tmp_path / "all", **options) == ["1", "2"]
    runs = fmri.load(tmp_path / "all", "2", **options)
    assert len(runs) == 2 and set(runs[0].events["trial_type"]) == {"class2"} and runs[0].info["subject"] == "2"
    assert {p.parent.name for p in fmri.files(tmp_path / "all", "2", **options)} == {"subj2"}


def test_labels_that_do_not_fit(labelled):
    options = {"bold": "bold.nii.gz", "mask": "mask.nii.gz", "labels": "labels.txt"}
    with pytest.raises(BraindecError, match="has no run '7'"):
        fmri.load(labelled, **options, run="7")
    with pytest.raises(BraindecError, match="does not have the columns"):
        fmri.load(labelled, **options, label_columns=["trial_type"])
    text = (labelled / "labels.txt").read_text().splitlines()
    (labelled / "labels.txt").write_text("\n".join(text[:-2]))
    with pytest.raises(BraindecError, match="18 lines, 20 volumes"):
        fmri.load(labelled, **options)
    (labelled / "labels.txt").write_text("\n".join(text[:5] + text[10:15] + text[5:10] + text[15:]))
    with pytest.raises(BraindecError, match="do not stand together"):
        fmri.load(labelled, **options)


def test_haxby_slice(shared):
    options = {"bold": "bold.nii.gz", "mask": "mask.nii.gz", "labels": "attributes_literal.txt"}
    runs = fmri.load(shared("haxby-slice"), **options)
    assert len(runs) == 12 and {r.n_times for r in runs} == {121} and {r.n_channels for r in runs} == {530}
    assert {r.sfreq for r in runs} == {0.4}
    counts = pd.concat([r.events for r in runs])["trial_type"].value_counts()
    assert counts["rest"] == 588 and (counts.drop("rest") == 108).all()
