"""Volumes of fMRIPrep with what is often wrong: spaces, repetition times, grids, confounds without a first row."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import fmri

GRID, N, TR = (4, 5, 3), 16, 2.0
SPACE = "MNI152NLin2009cAsym"
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def write(path, values, *, tr=TR, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values.astype(np.float32), affine)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        image.header.set_zooms((3, 3, 3, tr))
    image.set_sform(affine, code=4)
    nib.save(image, path)
    return path


@pytest.fixture
def prepared(tmp_path):
    """Two runs as fMRIPrep writes them, with masks and confounds."""
    rng = np.random.default_rng(0)
    for r in "12":
        stem = tmp_path / f"sub-01/func/sub-01_task-x_run-{r}"
        write(stem.with_name(f"{stem.name}_space-{SPACE}_desc-preproc_bold.nii.gz"), rng.normal(100, 5, (*GRID, N)))
        write(stem.with_name(f"{stem.name}_space-{SPACE}_desc-brain_mask.nii.gz"), np.ones(GRID))
        table = pd.DataFrame(rng.normal(size=(N, 24)), columns=_motion24())
        table.loc[0, [c for c in table if "derivative" in c]] = np.nan
        table.to_csv(stem.with_name(f"{stem.name}_desc-confounds_timeseries.tsv"), sep="\t", index=False, na_rep="n/a")
    return tmp_path


def _motion24():
    base = [f"{k}_{a}" for k in ("trans", "rot") for a in "xyz"]
    return [f"{b}{tail}" for tail in ("", "_derivative1", "_power2", "_derivative1_power2") for b in base]


@pytest.mark.parametrize("name", ["tpl-MNI152NLin6Asym_res-02_mask.nii.gz", "sub-01_space-T1w_mask.nii.gz"])
@pytest.mark.parametrize("option", ["mask", "atlas"])
def test_a_mask_of_another_space_is_refused_even_on_the_same_grid(prepared, name, option):
    write(prepared / name, np.ones(GRID))
    with pytest.raises(BraindecError, match=f"lies in another space than the images\n.*against {SPACE}"):
        fmri.load(prepared, **{option: name})
    with pytest.raises(BraindecError, match="lies in another space"):
        fmri.load(prepared, resample=True, **{option: name})
    fitting = write(prepared / f"tpl-{SPACE}_atlas.nii.gz", np.ones(GRID))
    unsaid = write(prepared / "own.nii.gz", np.ones(GRID))
    assert fmri.load(prepared, **{option: fitting.name})[0].n_channels == (60 if option == "mask" else 1)
    assert fmri.load(prepared, **{option: unsaid.name})


def test_a_mask_on_another_grid_is_refused(prepared):
    write(prepared / "small.nii.gz", np.ones((4, 5, 2)))
    with pytest.raises(
        BraindecError, match=r"does not lie on the grid of the images\n.*\(4, 5, 2\) against \(4, 5, 3\)"
    ):
        fmri.load(prepared, mask="small.nii.gz")


def test_runs_of_another_repetition_time_or_grid_are_one_error(prepared):
    second = next(prepared.rglob("*run-2*preproc_bold.nii.gz"))
    write(second, np.zeros((*GRID, N)), tr=1.0)
    with pytest.raises(BraindecError, match=r"differ in repetition time\n.*1 s: .*run-2; 2 s: .*run-1") as error:
        fmri.load(prepared)
    assert "run: ..." in str(error.value)
    assert fmri.load(prepared, run="2")[0].sfreq == 1.0
    write(second, np.zeros((4, 5, 4, N)))
    with pytest.raises(
        BraindecError, match=r"runs of one subject lie on different grids(.|\n)*\(4, 5, 3\) and \(4, 5, 4\)"
    ):
        fmri.load(prepared)


def test_derivatives_without_a_first_row_are_said_and_take_the_mean(prepared):
    run = fmri.load(prepared, run="1", confounds=["trans_x", "trans_x_derivative1"])[0]
    said = [w for w in run.info["warnings"] if "confounds" in w]
    assert len(said) == 1 and "1 of 2 confounds have no value in the first volume" in said[0]
    table = pd.read_csv(next(prepared.rglob("*run-1*timeseries.tsv")), sep="\t")[["trans_x", "trans_x_derivative1"]]
    design = table.fillna(table.mean()).to_numpy()
    design -= design.mean(axis=0)
    assert abs(run.load() @ design).max() < 1e-2 and np.isfinite(run.load()).all()
    plain = fmri.load(prepared, run="1", confounds="motion6")[0]
    assert not [w for w in plain.info["warnings"] if "confounds" in w]


def test_holes_after_the_first_row_are_refused(prepared):
    path = next(prepared.rglob("*run-1*timeseries.tsv"))
    table = pd.read_csv(path, sep="\t")
    table.loc[1, "trans_y_derivative1"] = np.nan
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(BraindecError, match="missing after the first volume\n.*trans_y_derivative1"):
        fmri.load(prepared, run="1", confounds="motion24+trans_y_derivative1")


def test_the_atlas_is_kept_for_maps(prepared):
    atlas = write(prepared / "atlas.nii.gz", np.arange(60).reshape(GRID) % 3)
    run = fmri.load(prepared, atlas="atlas.nii.gz")[0]
    assert run.info["atlas"] == str(atlas) and list(run.channels["label"]) == [1, 2]
    assert fmri.load(prepared)[0].info["atlas"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tr": "two"}, "tr must be a repetition time"),
        ({"drop_volumes": "three"}, "drop_volumes must be a number"),
        ({"drop_volumes": 2.5}, "drop_volumes must be a number"),
        ({"drop_volumes": -1}, "drop_volumes must be a number"),
        ({"confounds": 5}, "confounds must be a strategy"),
        ({"confounds": True}, "confounds must be a strategy"),
        ({"confounds": ""}, "confounds must be a strategy"),
        ({"events_root": "/not/here"}, "there is no file or folder /not/here"),
    ],
)
def test_options_of_another_kind_are_refused(prepared, options, message):
    with pytest.raises(BraindecError, match=message):
        fmri.load(prepared, "01", **options)


def test_options_that_mean_the_same(prepared):
    plain = fmri.load(prepared, "01")[0]
    for options in ({"tr": str(TR)}, {"confounds": ["none"]}, {"confounds": ("none",)}, {"drop_volumes": "0"}):
        same = fmri.load(prepared, "01", **options)[0]
        assert same.sfreq == plain.sfreq and np.array_equal(same.signal.read(), plain.signal.read())


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("option", ["mask", "atlas"])
def test_masks_that_end_early_or_hold_no_numbers_are_named(prepared, option, resample):
    noisy = np.random.default_rng(0).integers(1, 9, GRID)
    affine = AFFINE if not resample else np.diag([3.1, 3.1, 3.1, 1.0])
    path = write(prepared / "odd.nii.gz", noisy, affine=affine)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UnreadableError, match="odd.nii.gz cannot be read"):
        fmri.load(prepared, "01", resample=resample, **{option: "odd.nii.gz"})
    colours = np.zeros(GRID, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, AFFINE), path)
    with pytest.raises(UnreadableError, match="holds no real numbers"):
        fmri.load(prepared, "01", **{option: "odd.nii.gz"})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("1.5\ta\n", "must hold the numbers"),
        ("inf\ta\n", "must hold the numbers"),
        ("1\ta\n1\tb\n", "names parcel 1 twice"),
        ("1\t\n", "no name"),
        ("7\ta\n", "names none of the parcels"),
    ],
)
def test_tables_of_another_parcellation_are_refused(prepared, table, message):
    write(prepared / "atlas.nii.gz", np.arange(60).reshape(GRID) % 3)
    (prepared / "names.tsv").write_text(f"index\tname\n{table}", encoding="utf8")
    with pytest.raises(BraindecError, match=message):
        fmri.load(prepared, "01", atlas="atlas.nii.gz", atlas_labels="names.tsv")


def test_parcels_without_a_name_are_said(prepared):
    write(prepared / "atlas.nii.gz", np.arange(60).reshape(GRID) % 3)
    (prepared / "names.tsv").write_text("index\tname\n1\ta\n", encoding="utf8")
    run = fmri.load(prepared, "01", atlas="atlas.nii.gz", atlas_labels="names.tsv")[0]
    assert any("1 parcels of atlas.nii.gz have no name in names.tsv: [2]" in s for s in run.info["warnings"])
