"""Maps back as images: what nibabel and nilearn read is what was given, at the place it was given for; NaN stays NaN."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel import cifti2
from nilearn.maskers import NiftiLabelsMasker, NiftiMasker

from braindec.errors import BraindecError
from braindec.loaders import load
from braindec.loaders._cifti_made_up import made_up_model
from braindec.loaders._cifti_write import make_image, save_image
from braindec.loaders.brain_maps import read_map, write_maps
from braindec.loaders.cifti import CiftiMasker
from braindec.loaders.readers import cifti, fmri

GRID = (5, 6, 7)
AFFINE = np.array([[-3.0, 0.2, 0, 60.0], [0, 3.0, 0, -70.0], [0.1, 0, 3.5, -40.0], [0, 0, 0, 1.0]])
SMALL = {"n_vertices": 40, "cortex": {"CORTEX_LEFT": 30, "CORTEX_RIGHT": 31}, "voxels": {"THALAMUS_LEFT": 9, "BRAIN_STEM": 4},
         "grid": GRID, "affine": AFFINE}  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def mask_of():
    return rng(1).random(GRID) > 0.5


def run_of_volumes(tmp_path, **options):
    values = rng(2).normal(size=(*GRID, 8)).astype(np.float32)
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 2.0))
    nib.save(image, tmp_path / "run.nii.gz")
    nib.save(nib.Nifti1Image(mask_of().astype(np.uint8), AFFINE), tmp_path / "mask.nii.gz")
    return fmri.load(tmp_path / "run.nii.gz", "01", task="look", mask="mask.nii.gz", **options)[0]


@pytest.mark.parametrize("columns", ["ijk", "xyz"])
def test_voxels_become_a_volume_that_nilearn_reads_back(tmp_path, columns):
    run = run_of_volumes(tmp_path)
    drop = ["i", "j", "k"] if columns == "xyz" else ["x", "y", "z"]
    values = rng().normal(size=run.n_channels).astype(np.float32)
    channels = run.channels.drop(columns=drop)
    (path,) = write_maps((channels, run.info), {"r": values}, tmp_path / "out")
    image = nib.load(path)
    assert image.shape == GRID and np.allclose(image.affine, AFFINE) and image.get_data_dtype() == np.float32
    mask = nib.Nifti1Image(mask_of().astype(np.uint8), AFFINE)
    seen = NiftiMasker(mask, standardize=None).fit().transform(image).ravel()  # nilearn's order is that of C
    ours = pd.Series(values, index=pd.MultiIndex.from_frame(run.channels[["i", "j", "k"]]))
    np.testing.assert_array_equal(seen, ours.loc[[tuple(p) for p in np.argwhere(mask_of())]].to_numpy())
    assert np.isnan(np.asarray(image.dataobj)[~mask_of()]).all()


def test_nan_is_kept_and_a_subset_lands_where_it_belongs(tmp_path):
    run = run_of_volumes(tmp_path)
    some = run.select(np.array([40, 3, 17]))
    maps = {"r": [np.nan, 2.0, 0.0], "p": [0.5, 0.25, 1.0]}
    paths = write_maps(some, maps, tmp_path / "out", entities={"desc": "banded"})
    r, p = (np.asarray(nib.load(path).dataobj) for path in paths)
    places = [tuple(v) for v in run.channels[["i", "j", "k"]].to_numpy()[[40, 3, 17]]]
    assert np.isnan(r[places[0]]) and r[places[1]] == 2 and r[places[2]] == 0
    assert np.isfinite(r).sum() == 2 and np.isfinite(p).sum() == 3
    back = read_map(paths[0], like=some)
    np.testing.assert_array_equal(back.maps["r"], np.float32(maps["r"]))
    alone = read_map(paths[1])
    assert alone.maps["p"].tolist() == [p[tuple(v)] for v in alone.channels[["i", "j", "k"]].to_numpy()]
    with pytest.raises(BraindecError, match="does not lie on the grid"):
        read_map(paths[0], like=(some.channels, {**some.info, "grid": [5, 6, 8]}))


def test_names_sidecars_and_description_are_bids(tmp_path):
    run = run_of_volumes(tmp_path)
    info = {**run.info, "space": "MNI152NLin2009cAsym", "session": "2"}
    zeros = np.zeros(run.n_channels)
    paths = write_maps((run.channels, info), {"r2_motion": zeros, "r": zeros}, tmp_path / "out",
                       entities={"description": "banded", "res": "2"}, description="Held-out.")  # fmt: skip
    folder = tmp_path / "out/sub-01/func"
    stem = "sub-01_task-look_space-MNI152NLin2009cAsym_res-2_stat-{}_desc-banded_statmap"
    assert paths == [folder / (stem.format(s) + ".nii.gz") for s in ("r2Motion", "r")]
    sidecar = json.loads((folder / (stem.format("r2Motion") + ".json")).read_text())
    assert sidecar["Maps"] == ["r2_motion"] and sidecar["Description"] == "Held-out."
    assert list(read_map(paths[0]).maps) == ["r2_motion"]
    description = json.loads((tmp_path / "out/dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative" and description["GeneratedBy"][0]["Name"] == "braindec"
    assert nib.load(paths[0]).header["sform_code"] == 4
    (path,) = write_maps(
        run, {"r": zeros}, tmp_path / "o", entities={"ses": "2", "run": 1, "task": None, "stat": "weird"}
    )
    assert (
        path.relative_to(tmp_path / "o").as_posix() == "sub-01/ses-2/func/sub-01_ses-2_run-1_stat-weird_statmap.nii.gz"
    )


def test_the_same_values_give_the_same_bytes(tmp_path):
    run = run_of_volumes(tmp_path)
    values = {"a": rng().normal(size=run.n_channels), "b": rng(1).normal(size=run.n_channels)}
    (one,) = write_maps(run, values, tmp_path / "x", one_file=True)
    (two,) = write_maps(run, values, tmp_path / "y", one_file=True)
    assert one.read_bytes() == two.read_bytes() and nib.load(one).shape == (*GRID, 2)
    assert list(read_map(one).maps) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"maps": {"r": np.zeros(3)}}, "one value a channel"), ({"maps": {}}, "there is no map"),
        ({"maps": {"a b": None, "a_b": None}}, "two maps would get one name"), ({"maps": {"...": None}}, "two maps would"),
        ({"entities": {"dsc": "x"}}, "did you mean 'desc'"), ({"kind": "nifty"}, "did you mean 'nifti'"),
        ({"entities": {"desc": "--"}}, "the label of desc is empty"), ({"kind": "gifti"}, "do not say their structure and vertex"),
    ],
)  # fmt: skip
def test_bad_requests_are_one_message(tmp_path, change, said):
    run = run_of_volumes(tmp_path)
    zeros = np.zeros(run.n_channels)
    maps = {k: zeros if v is None else v for k, v in change.pop("maps", {"r": None}).items()}
    with pytest.raises(BraindecError, match=said):
        write_maps(run, maps, tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_labels_cannot_leave_the_folder(tmp_path):
    run = run_of_volumes(tmp_path)
    info = {**run.info, "subject": "../../evil", "task": "a/b"}
    (path,) = write_maps((run.channels, info), {"../r": np.zeros(run.n_channels)}, tmp_path / "out")
    assert path == tmp_path / "out/sub-evil/func/sub-evil_task-aB_stat-r_statmap.nii.gz"


def test_parcels_are_painted_on_their_atlas(tmp_path):
    labels = rng(4).integers(0, 4, size=GRID).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "atlas.nii.gz")
    run = run_of_volumes(tmp_path, atlas="atlas.nii.gz")
    (path,) = write_maps(run, {"r": [1.0, np.nan, 3.0]}, tmp_path / "out")
    found = np.asarray(nib.load(path).dataobj)
    np.testing.assert_array_equal(found, np.select([labels == 1, labels == 3], [1.0, 3.0], np.nan))
    masker = NiftiLabelsMasker(nib.Nifti1Image(labels, AFFINE), standardize=None)
    seen = masker.fit().transform(nib.Nifti1Image(np.nan_to_num(found), AFFINE)).ravel()
    np.testing.assert_allclose(seen, [1, 0, 3])
    table = pd.read_csv(write_maps(run, {"r": [1.0, np.nan, 3.0]}, tmp_path / "t", kind="table")[0], sep="\t")
    assert list(table["r"].isna()) == [False, True, False] and list(table["label"]) == [1, 2, 3]


def grayordinates(tmp_path, model=None, n=6):
    model = made_up_model(3, **SMALL) if model is None else model
    values = rng(5).normal(size=(n, model.size)).astype(np.float32)
    path = save_image(make_image(values, model, step=1.0), tmp_path / "a.dtseries.nii")
    return cifti.load(path, "01", task="film")[0]


def test_a_dscalar_has_the_brain_model_of_the_data(tmp_path):
    run = grayordinates(tmp_path)
    values = rng().normal(size=run.n_channels).astype(np.float32)
    values[[0, 70]] = np.nan
    paths = write_maps(run, {"r": values, "r2 motion": -values}, tmp_path / "out")
    image, source = nib.load(paths[1]), nib.load(run.info["path"])
    assert (
        image.header.get_axis(1) == source.header.get_axis(1)
        and image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    )
    np.testing.assert_array_equal(np.asarray(image.dataobj)[0], -values)
    assert list(image.header.get_axis(0).name) == ["r2 motion"]
    np.testing.assert_array_equal(CiftiMasker().fit(run.info["path"]).transform(paths[0])[0], values)
    (both,) = write_maps(run, {"r": values, "p": values + 1}, tmp_path / "both", one_file=True)
    again = read_map(both, like=run)
    np.testing.assert_array_equal(again.maps["p"], values + 1)
    assert list(again.maps) == ["r", "p"]


def test_dropped_grayordinates_are_nan_in_the_whole_model(tmp_path):
    run = grayordinates(tmp_path)
    rows = rng(7).permutation(run.n_channels)[:20]
    values = np.arange(20, dtype=np.float32)
    (path,) = write_maps(run.select(rows), {"r": values}, tmp_path / "out")
    found = np.asarray(nib.load(path).dataobj)[0]
    np.testing.assert_array_equal(found[rows], values)
    assert np.isnan(found).sum() == run.n_channels - 20
    np.testing.assert_array_equal(read_map(path, like=run.select(rows)).maps["r"], values)
    info = {**run.info, "path": "gone.dtseries.nii"}
    (alone,) = write_maps((run.select(rows).channels, info), {"r": values}, tmp_path / "alone")
    assert nib.load(alone).shape == (1, 20)
    np.testing.assert_array_equal(read_map(alone, like=run.select(rows)).maps["r"], values)
    (given,) = write_maps((run.select(rows).channels, info), {"r": values}, tmp_path / "given", like=run.info["path"])
    np.testing.assert_array_equal(np.asarray(nib.load(given).dataobj)[0], found)
    other = save_image(make_image(np.zeros((1, 74)), made_up_model(9, **SMALL)), tmp_path / "o.dscalar.nii")
    with pytest.raises(BraindecError, match="do not lie on the brain model of like"):
        write_maps((run.select(rows).channels, info), {"r": values}, tmp_path / "no", like=other)
    with pytest.raises(BraindecError, match="lacks"):
        read_map(alone, like=run)


def test_91282_grayordinates_round_trip(tmp_path):
    run = grayordinates(tmp_path, made_up_model(), n=2)
    values = rng().normal(size=91282).astype(np.float32)
    values[rng(1).random(91282) < 0.01] = np.nan
    (path,) = write_maps(run, {"r": values}, tmp_path / "out", entities={"space": "fsLR", "desc": "banded"})
    assert path.name == "sub-01_task-film_space-fsLR_den-91k_stat-r_desc-banded_statmap.dscalar.nii"
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj)[0], values)


def test_grayordinates_as_hemispheres_have_the_medial_wall_as_nan(tmp_path):
    run = grayordinates(tmp_path)
    values = rng().normal(size=run.n_channels).astype(np.float32)
    paths = write_maps(run, {"r": values}, tmp_path / "out", kind="gifti")
    assert [p.name.split("_")[2] for p in paths] == ["hemi-L", "hemi-R"]
    for path, structure, n in zip(
        paths, ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"), (30, 31), strict=True
    ):
        (array,) = (nib.load(path).agg_data(),)
        rows = (run.channels["structure"] == structure).to_numpy()
        np.testing.assert_array_equal(array[run.channels["vertex"][rows]], values[rows])
        assert array.shape == (40,) and np.isfinite(array).sum() == n
        assert nib.load(path).meta["AnatomicalStructurePrimary"] == ("CortexLeft" if n == 30 else "CortexRight")
    cortex = run.select(np.flatnonzero(run.channels["vertex"] >= 0))
    np.testing.assert_array_equal(read_map(paths[1], like=cortex).maps["r"], values[:61])
    shown = load(paths[0])
    assert "80 vertex; 1 maps: r" in repr(shown)


def test_vertices_may_be_written_as_cifti(tmp_path):
    run = grayordinates(tmp_path)
    vertices = run.select(np.flatnonzero(run.channels["vertex"] >= 0))
    channels, info = vertices.channels.assign(type="vertex"), {**run.info, "path": None}
    values = np.arange(61, dtype=np.float32)
    gii = write_maps((channels, info), {"r": values}, tmp_path / "g")
    (dense,) = write_maps((channels, info), {"r": values}, tmp_path / "c", kind="cifti")
    assert len(gii) == 2 and nib.load(dense).shape == (1, 61)
    np.testing.assert_array_equal(
        read_map(dense, like=(channels, info)).maps["r"], read_map(gii[0], like=(channels, info)).maps["r"]
    )


def test_parcels_of_a_dlabel_are_painted_on_the_model_of_the_data(tmp_path):
    source = grayordinates(tmp_path)
    axis = nib.load(source.info["path"]).header.get_axis(1)
    keys = (np.arange(61) % 4).astype(np.int32)
    table = {k: (n, (0.1, 0.1, 0.1, 1.0)) for k, n in enumerate(("???", "V1", "V2", "V3"))}
    image = cifti2.Cifti2Image(keys[None], header=(cifti2.LabelAxis(["a"], [table]), axis[:61]))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_LABELS")
    nib.save(image, tmp_path / "p.dlabel.nii")
    run = cifti.load(source.info["path"], "01", parcels=str(tmp_path / "p.dlabel.nii"))[0]
    (path,) = write_maps(run, {"r": [5.0, np.nan, -2.0]}, tmp_path / "out")
    found = nib.load(path)
    assert found.header.get_axis(1) == axis
    expected = np.full(74, np.nan)
    expected[:61][keys == 1], expected[:61][keys == 3] = 5.0, -2.0
    np.testing.assert_array_equal(np.asarray(found.dataobj)[0], expected)
    unknown = run.channels.assign(label=[1, 2, 8])
    with pytest.raises(BraindecError, match="1 parcels are not in p.dlabel.nii"):
        write_maps((unknown, run.info), {"r": [1, 2, 3]}, tmp_path / "no")
    (plain,) = write_maps((run.channels, {**run.info, "parcels": None}), {"r": [5.0, np.nan, -2.0]}, tmp_path / "t")
    assert plain.suffix == ".tsv" and "n/a" in plain.read_text()


def test_files_of_parcels_give_a_pscalar(tmp_path):
    run = grayordinates(tmp_path)
    axis = nib.load(run.info["path"]).header.get_axis(1)
    parcels = cifti2.ParcelsAxis.from_brain_models([("V1", axis[:10]), ("Th", axis[61:70]), ("R", axis[30:40])])
    image = cifti2.Cifti2Image(np.ones((4, 3), np.float32), header=(cifti2.SeriesAxis(0, 1, 4), parcels))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_PARCELLATED_SERIES")
    nib.save(image, tmp_path / "a.ptseries.nii")
    found = cifti.load(tmp_path / "a.ptseries.nii")[0].select(["R", "V1"])
    (path,) = write_maps(found, {"r": [3.0, 1.0]}, tmp_path / "out", entities={"task": "film"})
    written = nib.load(path)
    assert written.header.get_axis(1) == parcels and path.name.endswith(".pscalar.nii")
    np.testing.assert_array_equal(np.asarray(written.dataobj), [[1, np.nan, 3]])
    np.testing.assert_array_equal(read_map(path, like=found).maps["r"], [3, 1])


def test_parcels_of_label_gifti_are_painted_on_both_hemispheres(tmp_path):
    labels = []
    for side, keys in (("L", [0, 1, 1, 2]), ("R", [1, 2, 0, 2, 2])):
        table = nib.gifti.GiftiLabelTable()
        for key, name in enumerate(("???", "A", "B")):
            table.labels.append(nib.gifti.GiftiLabel(key, 1, 1, 1, 1))
            table.labels[-1].label = name
        array = nib.gifti.GiftiDataArray(
            np.array(keys, np.int32), intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32"
        )
        labels.append(str(tmp_path / f"p.{side}.label.gii"))
        nib.save(nib.gifti.GiftiImage(darrays=[array], labeltable=table), labels[-1])
    channels = pd.DataFrame({"name": ["L_A", "L_B", "R_A", "R_B"], "type": "parcel"})
    left, right = write_maps(
        (channels, {"subject": "01", "labels": labels}), {"r": [1.0, 2.0, np.nan, 4.0]}, tmp_path / "o"
    )
    np.testing.assert_array_equal(nib.load(left).agg_data(), [np.nan, 1, 1, 2])
    np.testing.assert_array_equal(nib.load(right).agg_data(), [np.nan, 4, np.nan, 4, 4])


def test_voxels_without_a_volume_become_a_table(tmp_path):
    run = run_of_volumes(tmp_path)
    info = {**run.info, "grid": None}
    values = rng().normal(size=run.n_channels).astype(np.float32)
    (path,) = write_maps((run.channels, info), {"r": values}, tmp_path / "out")
    table = pd.read_csv(path, sep="\t", dtype={"r": np.float32})
    np.testing.assert_allclose(table["r"], values, rtol=1e-6)
    assert list(table["name"]) == run.ch_names
    with pytest.raises(BraindecError, match="do not say their volume"):
        write_maps((run.channels, info), {"r": values}, tmp_path / "out", kind="nifti")


@pytest.mark.parametrize("values", [["a"], [1j], [None]])
def test_maps_hold_real_numbers(tmp_path, values):
    channels = pd.DataFrame({"name": ["v"], "type": ["voxel"], "i": 0, "j": 0, "k": 0})
    where = (channels, {"grid": [1, 1, 1], "affine": np.eye(4).tolist()})
    with pytest.raises(BraindecError, match="one real number a channel"):
        write_maps(where, {"r": values}, tmp_path)
    with pytest.raises(BraindecError, match="no map to write"):
        write_maps(where, [np.zeros(1)], tmp_path)


def test_voxels_without_a_place_and_odd_affines(tmp_path):
    channels = pd.DataFrame({"name": ["v"], "type": ["voxel"]})
    where = {"grid": [1, 1, 1], "affine": np.eye(4).tolist()}
    with pytest.raises(BraindecError, match="do not say where they lie"):
        write_maps((channels, where), {"r": [1.0]}, tmp_path)
    with pytest.raises(BraindecError, match="4 x 4"):
        write_maps((channels.assign(i=0, j=0, k=0), {**where, "affine": [1, 2]}), {"r": [1.0]}, tmp_path)
