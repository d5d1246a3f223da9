"""Atlases: label files of every kind, labels of voxels and vertices, masks, cards."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.atlases import (
    atlas_home,
    compare_spaces,
    fetch_atlas,
    labels_of,
    load_atlas_card,
    names,
    open_atlas,
    rois_of,
    sizes_on,
)
from braindec.types import Recording

RNG = np.random.default_rng(0)
AFFINE = np.array([[-2.0, 0, 0, 20], [0, 2, 0, -30], [0, 0, 2, -10], [0, 0, 0, 1]])
SHAPE = (12, 14, 10)
LEFT, RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"
MNI = "MNI152NLin6Asym"


def write(path, values, affine=AFFINE, dtype=None):
    values = np.asarray(values)
    nib.save(nib.Nifti1Image(values.astype(dtype or values.dtype), affine), path)
    return path


def voxels(shape=SHAPE, affine=AFFINE, space: str | None = MNI, keep=slice(None)) -> Recording:
    """A recording of every voxel of a grid, in the order of NIfTI."""
    ijk = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape, order="F"), axis=1)[keep]
    xyz = (ijk @ affine[:3, :3].T + affine[:3, 3]) / 1000
    channels = pd.DataFrame({"name": ["-".join(map(str, v)) for v in ijk], "type": "voxel", "unit": "a.u."})
    channels[["x", "y", "z"]], channels[["i", "j", "k"]] = xyz, ijk
    info = {"grid": list(shape), "affine": np.asarray(affine).tolist(), "space": space, "modality": "fmri"}
    return Recording(np.zeros((len(ijk), 3), np.float32), 0.5, channels, info=info)


@pytest.fixture
def labels():
    return RNG.choice([0, 3, 300, 2001], size=SHAPE, p=[0.4, 0.2, 0.2, 0.2])


def test_a_label_volume_keeps_its_numbers_and_takes_names_by_number(tmp_path, labels):
    path = write(tmp_path / "a.nii.gz", labels, dtype=np.float32)
    atlas = open_atlas(path, labels={3: "V1", 2001: "Precentral_L", 7: "nowhere"}, space=MNI)
    assert atlas.kind == "volume" and atlas.labels.dtype == np.int32
    np.testing.assert_array_equal(atlas.labels, labels)
    assert atlas.names == {3: "V1", 300: "region-300", 2001: "Precentral_L"}
    assert any("1 labels" in n and "300" in n for n in atlas.notes) and any("nowhere" in n for n in atlas.notes)
    assert atlas.sizes == {k: int((labels == k).sum()) for k in (3, 300, 2001)}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_labels_above_127_survive_every_type(tmp_path, dtype):
    values = np.zeros(SHAPE)
    values[:2], values[2:4] = 200, 130
    atlas = open_atlas(write(tmp_path / "a.nii", values, dtype=dtype))
    assert sorted(atlas.names) == [130, 200] and atlas.labels.dtype == np.int32


def test_a_table_of_another_atlas_is_refused(tmp_path, labels):
    path = write(tmp_path / "a.nii.gz", labels, dtype=np.int16)
    with pytest.raises(BraindecError, match="names none of the labels"):
        open_atlas(path, labels={1: "a", 2: "b"})


@pytest.mark.parametrize("values", [np.zeros(SHAPE), np.full(SHAPE, -1.0), RNG.standard_normal(SHAPE)])
def test_volumes_without_labels_are_refused(tmp_path, values):
    with pytest.raises(BraindecError, match=r"a\.nii"):
        open_atlas(write(tmp_path / "a.nii", values, dtype=np.float32))


def test_probabilities_are_thresholded_only_when_asked(tmp_path):
    shares = RNG.uniform(0, 100, (*SHAPE, 3)).astype(np.float32)
    path = write(tmp_path / "p.nii.gz", shares)
    atlas = open_atlas(path, labels={1: "a", 2: "b", 3: "c"}, space=MNI)
    assert atlas.labels is None
    np.testing.assert_array_equal(atlas.probabilities, shares)
    with pytest.raises(BraindecError, match=r"threshold") as error:
        labels_of(voxels(), atlas)
    assert "values from" in str(error.value)
    made = open_atlas(path, labels={1: "a", 2: "b", 3: "c"}, threshold=60.0, space=MNI)
    expected = np.where(shares.max(-1) >= 60, shares.argmax(-1) + 1, 0)
    np.testing.assert_array_equal(made.labels, expected)
    np.testing.assert_array_equal(labels_of(voxels(), made), expected.ravel(order="F"))
    for bad in (0.0, 101.0):
        with pytest.raises(BraindecError, match="leaves"):
            atlas.thresholded(bad)


def test_one_map_of_probabilities_is_one_region(tmp_path):
    share = RNG.uniform(0, 0.9, SHAPE).astype(np.float32)
    atlas = open_atlas(write(tmp_path / "LanA.nii", share), labels={1: "language"}, threshold=0.2)
    np.testing.assert_array_equal(atlas.labels == 1, share >= np.float32(0.2))
    assert atlas.names == {1: "language"}


def test_two_volumes_of_the_same_numbers_are_told_apart(tmp_path):
    left, right = np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.int16)
    left[7:, :5], left[7:, 5:9] = 1, 2
    right[:7, :5], right[:7, 5:9], right[7, 0, 0] = 1, 2, 2
    paths = [write(tmp_path / f"maxprob_vol_{s}.nii.gz", v) for s, v in (("rh", right), ("lh", left))]
    atlas = open_atlas(paths, labels={1: "V1v", 2: "V1d"})
    assert atlas.names == {1: "L_V1v", 2: "L_V1d", 3: "R_V1v", 4: "R_V1d"}
    assert atlas.labels[7, 0, 0] == 0 and "1 voxels lie in both" in " ".join(atlas.notes)
    assert (atlas.labels[8:, :5] == 1).all() and (atlas.labels[:7, 5:9] == 4).all()
    with pytest.raises(BraindecError, match="left or right"):
        open_atlas([write(tmp_path / "one.nii", left), write(tmp_path / "two.nii", right)])


def test_masks_by_name(tmp_path):
    a, b = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    a[:4], b[3:8] = 1, 1
    files = {"IFG": write(tmp_path / "ifg.nii.gz", a), "TPJ": write(tmp_path / "tpj.nii.gz", b)}
    atlas = open_atlas(files, space=MNI)
    assert atlas.names == {1: "IFG", 2: "TPJ"} and atlas.sizes == {1: 3 * 140, 2: 4 * 140}
    assert "140 voxels lie in two masks" in atlas.notes[0]
    found = rois_of(voxels(), files, mask_space=MNI)  # each by itself: the overlap belongs to both
    np.testing.assert_array_equal(found["IFG"], a.ravel(order="F") > 0)
    np.testing.assert_array_equal(found["TPJ"], b.ravel(order="F") > 0)
    empty = {**files, "none": write(tmp_path / "none.nii.gz", np.zeros(SHAPE, np.uint8))}
    for call in (lambda: open_atlas(empty), lambda: rois_of(voxels(), empty)):
        with pytest.raises(BraindecError, match="none"):
            call()


def test_a_region_outside_the_data_is_told(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[0] = 1
    files = {"V1": write(tmp_path / "v1.nii.gz", mask)}
    recording = voxels().select(np.flatnonzero(voxels().channels["i"] > 5))
    with pytest.raises(BraindecError, match="V1"):
        rois_of(recording, files)
    said: list[str] = []
    assert not rois_of(recording, files, allow_empty=True, said=said)["V1"].any() and "V1" in said[-1]


def annot(path, keys, called):
    colours = np.c_[RNG.integers(0, 255, (len(called), 3)), np.zeros(len(called), int)]
    nib.freesurfer.write_annot(path, keys, colours, called, fill_ctab=True)
    return path


def test_annotations_of_freesurfer(tmp_path):
    left, right = RNG.integers(-1, 4, 50), RNG.integers(-1, 4, 60)
    called = ["Unknown", "G_cuneus", "S_central", "Medial_wall"]
    paths = [annot(tmp_path / f"{h}.aparc.annot", k, called) for h, k in (("lh", left), ("rh", right))]
    atlas = open_atlas(paths, space="fsaverage5")
    assert atlas.kind == "surface" and sorted(atlas.names.values()) == [
        "L_G_cuneus",
        "L_S_central",
        "R_G_cuneus",
        "R_S_central",
    ]
    for name, expected in (
        ("L_G_cuneus", np.r_[left == 1, np.zeros(60, bool)]),
        ("R_S_central", np.r_[np.zeros(50, bool), right == 2]),
    ):
        (key,) = [k for k, n in atlas.names.items() if n == name]
        np.testing.assert_array_equal(atlas.labels == key, expected)
    np.testing.assert_array_equal(atlas.labels == 0, ~np.isin(np.r_[left, right], [1, 2]))
    one = open_atlas(paths[1], space="fsaverage5")
    assert sorted(one.names.values()) == ["G_cuneus", "S_central"] and one.model.structures == [RIGHT]


def test_overlays_of_one_number_a_vertex(tmp_path):
    both = [RNG.integers(0, 4, n).astype(np.int32) for n in (50, 60)]
    for side, keys in zip(("lh", "rh"), both, strict=True):
        nib.save(nib.MGHImage(keys[:, None, None], np.eye(4)), tmp_path / f"{side}.wang15_mplbl.mgz")
    atlas = open_atlas(
        [tmp_path / f"{s}.wang15_mplbl.mgz" for s in ("lh", "rh")], labels={1: "V1v", 2: "V1d", 3: "V2v"}
    )
    assert atlas.names == {1: "L_V1v", 2: "L_V1d", 3: "L_V2v", 4: "R_V1v", 5: "R_V1d", 6: "R_V2v"}
    np.testing.assert_array_equal(atlas.labels, np.r_[both[0], np.where(both[1] > 0, both[1] + 3, 0)])


def vertices(n=(50, 60), drop=10, space="fsaverage5") -> Recording:
    """A recording on both hemispheres without the first vertices of each (as without a medial wall)."""
    rows = [(s, v) for s, m in ((LEFT, n[0]), (RIGHT, n[1])) for v in range(drop, m)]
    channels = pd.DataFrame(rows, columns=["structure", "vertex"])
    channels["name"] = [f"{s[-5:]}-{v}" for s, v in rows]
    channels["type"] = "vertex"
    channels[["i", "j", "k"]] = -1
    info = {"n_vertices": {LEFT: n[0], RIGHT: n[1]}, "space": space}
    return Recording(np.zeros((len(rows), 2), np.float32), 1.0, channels, info=info)


def test_vertices_take_the_labels_of_their_surface(tmp_path):
    left, right = RNG.integers(0, 3, 50), RNG.integers(0, 3, 60)
    called = ["Unknown", "G_cuneus", "S_central"]
    paths = [annot(tmp_path / f"{h}.a.annot", k, called) for h, k in (("lh", left), ("rh", right))]
    atlas = open_atlas(paths, space="fsaverage5")
    recording = vertices()
    order = RNG.permutation(recording.n_channels)
    found = labels_of(recording.select(order), atlas)
    names_of = np.array([atlas.names.get(int(k), "") for k in found])
    side = np.array(["L_" if s == LEFT else "R_" for s in recording.channels["structure"]])
    expected = np.array([p + called[k] if k else "" for p, k in zip(side, np.r_[left[10:], right[10:]], strict=True)])
    np.testing.assert_array_equal(names_of, expected[order])
    with pytest.raises(BraindecError, match="50 against 51 vertices"):
        labels_of(vertices(n=(51, 60)), atlas)
    with pytest.raises(BraindecError, match="fsLR against fsaverage5"):
        labels_of(vertices(space="fsLR"), atlas)
    with pytest.raises(BraindecError, match="no vertices"):
        labels_of(voxels(), atlas)


def dlabel(path, keys, table, n_vertices=40):
    axis = nib.cifti2.BrainModelAxis.from_surface(np.arange(n_vertices)[5:], n_vertices, LEFT)
    label = nib.cifti2.LabelAxis(["areas"], [{k: (n, (1, 0, 0, 1)) for k, n in table.items()}])
    nib.save(nib.Cifti2Image(keys[None].astype(np.float32), header=(label, axis)), path)
    return path


def test_labels_of_cifti_and_gifti(tmp_path):
    keys = RNG.choice([0, 1, 361], size=35)
    atlas = open_atlas(
        dlabel(tmp_path / "mmp.dlabel.nii", keys, {0: "???", 1: "R_V1_ROI", 361: "L_MST_ROI"}), space="fsLR"
    )
    assert atlas.kind == "cifti" and atlas.names == {1: "R_V1_ROI", 361: "L_MST_ROI"}
    recording = vertices(n=(40, 1), drop=0, space="fsLR").select(np.arange(40))
    np.testing.assert_array_equal(labels_of(recording, atlas), np.r_[np.zeros(5), keys])
    table = nib.gifti.GiftiLabelTable()
    for key, name in ((0, "???"), (1, "V1"), (400, "V2")):
        one = nib.gifti.GiftiLabel(key, 1, 0, 0, 1)
        one.label = name
        table.labels.append(one)
    marks = RNG.choice([0, 1, 400], size=40).astype(np.int32)
    array = nib.gifti.GiftiDataArray(marks, intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32")
    nib.save(nib.gifti.GiftiImage(darrays=[array], labeltable=table), tmp_path / "lh.areas.label.gii")
    atlas = open_atlas(tmp_path / "lh.areas.label.gii", space="fsLR")
    assert atlas.names == {1: "V1", 400: "V2"}
    np.testing.assert_array_equal(labels_of(recording, atlas), marks)


def test_voxels_on_the_same_grid_and_a_part_of_them(tmp_path, labels):
    atlas = open_atlas(write(tmp_path / "a.nii.gz", labels, dtype=np.int16), space=MNI)
    np.testing.assert_array_equal(labels_of(voxels(), atlas), labels.ravel(order="F"))
    rows = RNG.permutation(labels.size)[:300]
    np.testing.assert_array_equal(labels_of(voxels().select(rows), atlas), labels.ravel(order="F")[rows])
    without = voxels().select(rows)
    channels = without.channels.drop(columns=["i", "j", "k"])  # the indices follow from the affine
    again = Recording(without.signal, without.sfreq, channels, info=without.info)
    np.testing.assert_array_equal(labels_of(again, atlas), labels.ravel(order="F")[rows])


def test_another_grid_is_refused_and_looked_up_only_when_asked(tmp_path, labels):
    from nilearn.image import resample_img

    path = write(tmp_path / "a.nii.gz", labels, dtype=np.int16)
    atlas = open_atlas(path, space=MNI)
    affine = np.array([[3.0, 0, 0, -1.2], [0, 3, 0, -28.3], [0, 0, 3, -9.1], [0, 0, 0, 1]])
    other = voxels((9, 10, 8), affine)
    with pytest.raises(BraindecError, match="does not lie on the grid") as error:
        labels_of(other, atlas)
    assert "resample" in str(error.value)
    said: list[str] = []
    found = labels_of(other, atlas, resample="nearest", said=said)
    independent = resample_img(nib.load(path), target_affine=affine, target_shape=(9, 10, 8), interpolation="nearest",
                               force_resample=True, copy_header=True)  # fmt: skip
    expected = np.asarray(independent.dataobj).astype(int).ravel(order="F")
    at = (other.positions * 1000 - AFFINE[:3, 3]) / np.diag(AFFINE)[:3]
    inner = ((at >= 0) & (at <= np.array(SHAPE) - 1)).all(
        axis=1
    )  # scipy gives 0 in the outer half of the border voxels
    assert inner.sum() > 200 and set(np.unique(found)) == {0, 3, 300, 2001} and said
    np.testing.assert_array_equal(found[inner], expected[inner])
    np.testing.assert_array_equal(labels_of(other, atlas, resample=True), found)


@pytest.mark.parametrize("mine", ["MNI152NLin2009cAsym", "T1w", "scanner", "Talairach"])
def test_a_mismatch_of_spaces_names_both(tmp_path, labels, mine):
    atlas = open_atlas(write(tmp_path / "a.nii.gz", labels, dtype=np.int16), space=MNI)
    with pytest.raises(BraindecError) as error:
        labels_of(voxels(space=mine), atlas)
    assert mine in str(error.value) and MNI in str(error.value)
    assert labels_of(voxels(space=mine), atlas, space=MNI).any()  # the person knows better


def test_what_is_taken_on_trust_is_told(tmp_path, labels):
    atlas = open_atlas(write(tmp_path / "a.nii.gz", labels, dtype=np.int16), space=MNI)
    for mine in ("MNI152", None):
        said: list[str] = []
        labels_of(voxels(space=mine), atlas, said=said)
        assert len(said) == 1 and MNI in said[0]
    said = []
    labels_of(voxels(), atlas, said=said)
    assert said == []


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("fsaverage", "fsaverage5", "same"), ("fsLR", "fslr32k", "same"), ("MNI152NLin6Asym", "MNI152NLin2009cAsym", "other"),
        ("mni", "MNIColin27", "near"), ("MNI152", "MNI305", "other"), ("aligned", "MNI152", "unknown"), (None, "T1w", "unknown"),
        ("Other", "MNI152", "unknown"), ("T1w", "T1w", "same"), ("fsaverage", "fsLR", "other"),
    ],
)  # fmt: skip
def test_names_of_spaces(one, two, expected):
    assert compare_spaces(one, two) == compare_spaces(two, one) == expected


def test_the_space_of_a_file_is_in_its_name_or_header(tmp_path, labels):
    path = write(tmp_path / "tpl-MNI152NLin2009cAsym_res-02_dseg.nii.gz", labels, dtype=np.int16)
    assert open_atlas(path).space == "MNI152NLin2009cAsym"
    image = nib.Nifti1Image(labels.astype(np.int16), AFFINE)
    image.set_sform(AFFINE, code=4)
    nib.save(image, tmp_path / "x.nii.gz")
    assert open_atlas(tmp_path / "x.nii.gz").space == "MNI152"


def test_a_whole_region_in_voxels_of_another_size(tmp_path, labels):
    atlas = open_atlas(write(tmp_path / "a.nii.gz", labels, dtype=np.int16), space=MNI)
    big = voxels((6, 7, 5), AFFINE @ np.diag([2.0, 2, 2, 1]))
    assert sizes_on(big, atlas) == {k: pytest.approx(n / 8) for k, n in atlas.sizes.items()}
    assert sizes_on(voxels(), atlas) == atlas.sizes


def test_centres_of_regions(tmp_path, labels):
    atlas = open_atlas(write(tmp_path / "a.nii.gz", labels, dtype=np.int16), labels={3: "V1", 300: "b", 2001: "c"})
    table = atlas.centres().set_index("name")
    for key, name in atlas.names.items():
        expected = nib.affines.apply_affine(AFFINE, np.argwhere(labels == key)).mean(axis=0) / 1000
        np.testing.assert_allclose(table.loc[name, ["x", "y", "z"]].astype(float), expected)
        assert table.loc[name, "n"] == (labels == key).sum()


def test_vertices_have_no_voxels(tmp_path, labels):
    atlas = open_atlas(write(tmp_path / "a.nii.gz", labels, dtype=np.int16), space=MNI)
    with pytest.raises(BraindecError, match="no voxels with a place"):
        labels_of(vertices(), atlas, resample="nearest")


def test_real_masks_on_a_real_grid(shared):
    folder = shared("atlas_ibc_language_rois")
    regions = ["left_FG", "left_FP", "left_IFG", "left_TPJ", "left_aSTS_TP", "left_pSTS", "vmPFC"]
    files = {n: folder / f"{n}.nii.gz" for n in regions}
    atlas = open_atlas(files, space="MNI152")
    assert atlas.sizes == {1: 60, 2: 403, 3: 637, 4: 444, 5: 2193, 6: 91, 7: 646}
    brain = nib.load(folder / "gm_mask_3mm.nii.gz")
    inside = np.flatnonzero(np.asarray(brain.dataobj).ravel(order="F"))
    recording = voxels(brain.shape, brain.affine, "MNI152", inside)
    found = labels_of(recording, atlas, resample="nearest")
    share = [(found == k).sum() * 27 / (n * 8) for k, n in atlas.sizes.items()]
    assert 0.5 < min(share) and max(share) < 1.3  # grey matter covers most of each region
    assert (recording.positions[(found > 0) & (found < 7), 0] < 0).all()  # six of them lie in the left hemisphere
    masks = rois_of(recording, files, resample="nearest", mask_space="MNI152")
    for k, name in atlas.names.items():
        np.testing.assert_array_equal(masks[name], found == k)


# --- cards


def test_a_card_opens_the_files_that_lie_in_its_folder(tmp_path):
    labels = RNG.integers(0, 101, (20, 20, 20))
    folder = tmp_path / "schaefer2018"
    folder.mkdir()
    with pytest.raises(BraindecError) as error:
        open_atlas("schaefer2018", n_parcels=100, home=tmp_path)
    assert "fetch_atlas('schaefer2018', n_parcels=100)" in str(error.value) and str(folder) in str(error.value)
    stem = "Schaefer2018_100Parcels_7Networks_order"
    write(folder / f"{stem}_FSLMNI152_2mm.nii.gz", labels, dtype=np.int16)
    lines = [f"{k}\t7Networks_LH_Vis_{k}\t120\t18\t{k % 255}\t0" for k in range(1, 101)]
    (folder / f"{stem}.txt").write_text("\n".join(lines) + "\n")
    atlas = open_atlas("schaefer2018", n_parcels=100, home=tmp_path)
    assert (
        len(atlas.names) == 100 and atlas.names[3] == "7Networks_LH_Vis_3" and atlas.space == MNI and atlas.notes == ()
    )
    with pytest.raises(BraindecError, match="n_parcels = 150"):
        open_atlas("schaefer2018", n_parcels=150, home=tmp_path)
    with pytest.raises(BraindecError, match="did you mean 'n_parcels'"):
        open_atlas("schaefer2018", parcels=100, home=tmp_path)
    with pytest.raises(BraindecError, match="fslr"):
        open_atlas("schaefer2018", form="fsLR", home=tmp_path)


def test_a_file_that_is_not_what_the_card_says(tmp_path):
    (tmp_path / "lana2022/SPM").mkdir(parents=True)
    write(tmp_path / "lana2022/SPM/LanA_n806.nii", np.ones(SHAPE), dtype=np.uint8)
    with pytest.raises(BraindecError, match="not what the card"):
        open_atlas("lana2022", home=tmp_path)


def test_other_counts_than_the_card_says_are_told(tmp_path):
    folder = tmp_path / "fedorenko-language"
    folder.mkdir()
    write(folder / "allParcels_language_SN220.nii", RNG.integers(0, 4, SHAPE), dtype=np.int16)
    (folder / "allParcels_language_SN220.txt").write_text("LH_IFGorb\nLH_IFG\nLH_MFG\n")
    atlas = open_atlas("fedorenko-language", home=tmp_path)
    assert atlas.names == {1: "LH_IFGorb", 2: "LH_IFG", 3: "LH_MFG"} and "12 regions" in atlas.notes[-1]


def test_fetching_follows_the_licence(tmp_path):
    mirror, home = tmp_path / "mirror", tmp_path / "home"
    mirror.mkdir()
    form = load_atlas_card("schaefer2018").form(None, n_parcels=100)
    for file in form.files:
        (mirror / file.path).write_bytes(b"content of " + file.path.encode())
        assert file.url.endswith(file.path)
    done = fetch_atlas("schaefer2018", n_parcels=100, home=home, mirror=mirror, progress=False)
    assert [p.relative_to(home).as_posix() for p in done] == [f"schaefer2018/{f.path}" for f in form.files]
    for name in ("hcp-mmp1", "wang2015"):
        with pytest.raises(BraindecError, match="cannot be downloaded for you"):
            fetch_atlas(name, home=home, progress=False)


def test_names_that_are_nearly_right(tmp_path):
    with pytest.raises(BraindecError, match="did you mean 'schaefer2018'"):
        open_atlas("schaefer2019")
    with pytest.raises(UnreadableError, match="there is no"):
        open_atlas(tmp_path / "none.nii.gz")
    with pytest.raises(UnreadableError, match="no atlas file"):
        open_atlas(tmp_path / "names.txt")
    with pytest.raises(BraindecError, match="n_parcels"):
        open_atlas(tmp_path / "a.nii.gz", n_parcels=100)
    with pytest.raises(BraindecError, match="form"):
        open_atlas({"V1": tmp_path / "a.nii.gz"}, form="volume")


def test_where_atlases_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINDEC_DATA", str(tmp_path))
    assert atlas_home() == tmp_path / "atlases" and atlas_home(tmp_path) == tmp_path
    assert "aal" in names() and "schaefer2018" in names()


def test_a_card_of_ones_own(tmp_path):
    text = """
name: mine
title: t
licence: not stated
citation: c
url: https://example.org
access: closed
how_to_obtain: ask
folder: mine
forms:
  volume: {kind: volume, space: T1w, labels: ["a_{side}.nii.gz"], names: [V1]}
parameters: {side: [left, right]}
"""
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine/a_right.nii.gz", np.eye(12)[:, :, None] * np.ones(10), dtype=np.uint8)
    atlas = open_atlas(tmp_path / "mine.yaml", home=tmp_path, side="right")
    assert atlas.names == {1: "V1"} and atlas.space == "T1w"
    for wrong in (text.replace("[V1]", "[V1], colour: red"), text.replace("side: [left", "hemi: [left"),
                  text.replace("access: closed", "access: open"), text.replace("folder: mine", "folder: ../x"),
                  text.replace("a_{side}.nii.gz", "../a_{side}.nii.gz")):  # fmt: skip
        (tmp_path / "mine.yaml").write_text(wrong)
        with pytest.raises(BraindecError, match="cannot be used"):
            load_atlas_card(tmp_path / "mine.yaml")


@pytest.mark.parametrize("asked", [3, None])
def test_what_is_no_atlas_is_refused(asked):
    with pytest.raises(BraindecError, match="which atlas"):
        open_atlas(asked)
