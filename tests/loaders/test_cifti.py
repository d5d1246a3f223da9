"""CIFTI maskers against files that nibabel writes: exact values, structures, parcels, and refusals of other brain models."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
from nibabel import cifti2
from nibabel.cifti2.parse_cifti2 import Cifti2Extension
from sklearn.base import clone

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._cifti_made_up import made_up_model
from braindec.loaders._cifti_write import make_image, save_image
from braindec.loaders.cifti import CiftiLabelsMasker, CiftiMasker, read_labels

N_SURFACE, GRID = 60, (7, 8, 9)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -126], [0, 0, 2.0, -72], [0, 0, 0, 1.0]])


def axis(*, left=45, right=41, thalamus=12, stem=7, n_surface=N_SURFACE, seed=0, affine=AFFINE, grid=GRID):
    """A brain model built by nibabel: two surfaces with a medial wall, two structures of voxels."""
    rng = np.random.default_rng(seed)
    made = None
    for name, n in (("CortexLeft", left), ("CortexRight", right)):
        if n:
            one = cifti2.BrainModelAxis.from_surface(np.sort(rng.permutation(n_surface)[:n]), n_surface, name=name)
            made = one if made is None else made + one
    flat = rng.permutation(int(np.prod(grid)))
    for name, some in (("ThalamusLeft", flat[:thalamus]), ("BrainStem", flat[100 : 100 + stem])):
        if len(some):
            ijk = np.stack(np.unravel_index(np.sort(some), grid), axis=1)
            one = cifti2.BrainModelAxis(name, voxel=ijk, affine=affine, volume_shape=grid)
            made = one if made is None else made + one
    return made


def write(path, data, model, *, first=None, intent="DENSE_SERIES", dtype=np.float32):
    first = cifti2.SeriesAxis(0, 1.5, len(data)) if first is None else first
    image = cifti2.Cifti2Image(np.asarray(data, dtype), header=(first, model))
    image.nifti_header.set_intent(f"NIFTI_INTENT_CONNECTIVITY_{intent}")
    nib.save(image, path)
    return path


def values(n=6, size=105, seed=1):
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


@pytest.fixture
def series(tmp_path):
    return write(tmp_path / "a.dtseries.nii", values(), axis())


def labels_file(path, model, keys, names):
    table = {k: (n, (0.1, 0.2, 0.3, 1.0)) for k, n in names.items()}
    return write(path, keys[None], model, first=cifti2.LabelAxis(["atlas"], [table]), intent="DENSE_LABELS")


def test_round_trip_of_91282_grayordinates_is_exact(tmp_path):
    rng = np.random.default_rng(0)
    made = made_up_model()
    sizes = dict.fromkeys(("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"), 32492)
    model = cifti2.BrainModelAxis(
        made.structure_of, made.voxel, made.vertex, affine=AFFINE, volume_shape=(91, 109, 91), nvertices=sizes
    )
    assert (
        len(model) == 91282
        and len(np.unique(model.name[~model.surface_mask])) == 19
        and (model.name == "CIFTI_STRUCTURE_CORTEX_LEFT").sum() == 29696
    )
    truth = rng.normal(size=(3, 91282)).astype(np.float32)
    truth[1, [5, 70000]] = np.nan
    path = write(tmp_path / "whole.dtseries.nii", truth, model, first=cifti2.SeriesAxis(0, 1.0, 3))

    masker = CiftiMasker().fit(path)
    found = masker.transform(path)
    assert found.shape == (3, 91282) and found.dtype == np.float32
    np.testing.assert_array_equal(found, truth)
    back = save_image(masker.inverse_transform(found), tmp_path / "back.dtseries.nii")
    again = nib.load(back)
    np.testing.assert_array_equal(np.asarray(again.dataobj), truth)
    assert again.header.get_axis(1) == model and again.header.get_axis(0).step == 1.0
    assert again.nifti_header.get_intent()[0] == "ConnDenseSeries"

    cortex = CiftiMasker(structures="cortex").fit(path)
    assert cortex.n_elements_ == 59412
    full = cortex.inverse_transform(cortex.transform(path)[0], names=["weight"], full=True)
    data = np.asarray(full.dataobj)
    np.testing.assert_array_equal(data[0, :59412], truth[0, :59412])
    assert np.isnan(data[0, 59412:]).all() and list(full.header.get_axis(0).name) == ["weight"]


def test_contract_of_sklearn_and_nilearn(series):
    masker = CiftiMasker(structures="cortex")
    with pytest.raises(Exception, match="not fitted"):
        masker.transform(series)
    copy = clone(masker)
    assert copy.get_params() == {"mask_img": None, "structures": "cortex"}
    X = copy.fit_transform(series)
    np.testing.assert_array_equal(X, values()[:, :86])
    assert copy.n_elements_ == 86 == copy.n_features_in_
    page = str(copy.generate_report())
    assert "CORTEX_LEFT" in page and "45" in page
    many = copy.transform([series, series])
    assert len(many) == 2 and many[1].shape == (6, 86)
    with pytest.raises(BraindecError, match=r"\(n, 86\)"):
        copy.inverse_transform(np.zeros((2, 85)))


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("all", range(105)), ("cortex", range(86)), ("subcortex", range(86, 105)), ("CortexLeft", range(45)),
        ("CIFTI_STRUCTURE_CORTEX_RIGHT", range(45, 86)), ("left_cortex", range(45)), ("thalamus", range(86, 98)),
        (["brain_stem", "cortex_right"], [*range(45, 86), *range(98, 105)]),
    ],
)  # fmt: skip
def test_structures_by_any_usual_name(series, asked, rows):
    found = CiftiMasker(structures=asked).fit_transform(series)
    np.testing.assert_array_equal(found, values()[:, list(rows)])


def test_an_unknown_structure_is_named_with_the_nearest(series):
    with pytest.raises(BraindecError, match="did you mean 'THALAMUS_LEFT'"):
        CiftiMasker(structures="thalmus_left").fit(series)


def test_a_part_of_the_structures_is_written_as_its_own_model(series):
    masker = CiftiMasker(structures=["CortexRight", "BrainStem"]).fit(series)
    image = masker.inverse_transform(masker.transform(series))
    model, whole = image.header.get_axis(1), axis()
    assert model == whole[45:86] + whole[98:105]
    np.testing.assert_array_equal(np.asarray(image.dataobj), values()[:, [*range(45, 86), *range(98, 105)]])


def test_series_units_and_exponent_are_those_of_the_header(tmp_path):
    path = write(tmp_path / "a.dtseries.nii", values(), axis(), first=cifti2.SeriesAxis(3.0, 0.72, 6))
    image = nib.load(path)
    index_map = image.header.matrix.get_index_map(0)
    index_map.series_exponent, index_map.series_step, index_map.series_start = -3, 720, 3000
    path = tmp_path / "b.dtseries.nii"
    nib.save(image, path)
    masker = CiftiMasker().fit(path)
    assert masker.series_ == {"step": pytest.approx(0.72), "start": pytest.approx(3.0), "unit": "SECOND"}
    again = masker.inverse_transform(masker.transform(path)).header.get_axis(0)
    assert again.step == pytest.approx(0.72) and again.start == pytest.approx(3.0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i2", "f4", "f8"])
def test_byte_order_and_scale_factors(tmp_path, order, kind):
    stored = np.random.default_rng(3).integers(-1000, 1000, size=(4, 105)).astype(order + kind)
    cifti_header = cifti2.Cifti2Header.from_axes((cifti2.SeriesAxis(0, 2, 4), axis()))
    header = nib.Nifti2Header(endianness=order)
    header.set_data_dtype(stored.dtype)
    header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SERIES")
    header.extensions.append(Cifti2Extension.from_bytes(cifti_header.to_xml()))
    path = tmp_path / "b.dtseries.nii"
    nib.save(nib.Nifti2Image(stored[None, None, None, None], None, header), path)
    raw, slope, inter = bytearray(path.read_bytes()), 1.0, 0.0
    assert raw[:4] == np.array(540, order + "i4").tobytes()
    if kind == "i2":  # a scale factor in the header, as files of 16 bits have it
        slope, inter = 0.25, 100.0
        raw[176:192] = np.array([slope, inter], order + "f8").tobytes()
        path.write_bytes(raw)
    found = CiftiMasker().fit_transform(path)
    np.testing.assert_array_equal(found, (stored.astype(float) * slope + inter).astype(np.float32))
    np.testing.assert_allclose(found, nib.load(path).get_fdata(), rtol=1e-6)


def test_scalars_keep_names_and_single_maps_are_vectors(tmp_path):
    path = write(
        tmp_path / "a.dscalar.nii", values(2), axis(), first=cifti2.ScalarAxis(["r", "p"]), intent="DENSE_SCALARS"
    )
    masker = CiftiMasker().fit(path)
    assert masker.maps_ == ("r", "p")
    image = masker.inverse_transform(masker.transform(path))
    assert list(image.header.get_axis(0).name) == ["r", "p"] and image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    one = masker.inverse_transform(values(1)[0])
    assert one.shape == (1, 105)


def test_labels_round_trip_with_keys_and_names(tmp_path):
    keys = np.random.default_rng(0).choice([0, 3, 2**24 + 1, -7], size=105).astype(np.int32)
    names = {0: "???", 3: "V1", 2**24 + 1: "odd", -7: "below"}
    table = {k: (n, (0.5, 0.25, 0.0, 1.0)) for k, n in names.items()}
    image = cifti2.Cifti2Image(keys[None], header=(cifti2.LabelAxis(["atlas"], [table]), axis()))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_LABELS")
    nib.save(image, tmp_path / "a.dlabel.nii")
    masker = CiftiMasker().fit(tmp_path / "a.dlabel.nii")
    found = masker.transform(tmp_path / "a.dlabel.nii")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found[0], keys)
    back = save_image(masker.inverse_transform(found), tmp_path / "back.dlabel.nii")
    again = nib.load(back)
    np.testing.assert_array_equal(np.asarray(again.dataobj), keys[None])
    assert again.header.get_axis(0).label[0] == table
    labels = read_labels(back)
    assert labels.keys.dtype == np.int32 and list(labels.table["key"]) == [-7, 0, 3, 2**24 + 1]
    assert list(labels.parcels()["name"]) == ["below", "V1", "odd"]


def parcels_axis(model):
    rows = [np.arange(0, 20), np.arange(45, 70), np.arange(86, 98)]
    parts = [(name, model[r]) for name, r in zip(("left", "right", "thalamus"), rows, strict=True)]
    return cifti2.ParcelsAxis.from_brain_models(parts)


@pytest.mark.parametrize("kind", ["ptseries", "pscalar"])
def test_files_of_parcels_round_trip(tmp_path, kind):
    model, data = parcels_axis(axis()), values(5, 3)
    first = cifti2.SeriesAxis(0, 1, 5) if kind == "ptseries" else cifti2.ScalarAxis(list("abcde"))
    intent = "PARCELLATED_SERIES" if kind == "ptseries" else "PARCELLATED_SCALAR"
    path = write(tmp_path / f"a.{kind}.nii", data, model, first=first, intent=intent)
    masker = CiftiMasker().fit(path)
    np.testing.assert_array_equal(masker.transform(path), data)
    back = nib.load(save_image(masker.inverse_transform(data), tmp_path / f"b.{kind}.nii"))
    assert back.header.get_axis(1) == model and back.header.get_axis(0) == first
    chosen = CiftiMasker(structures=["right"]).fit(path)
    np.testing.assert_array_equal(chosen.transform(path), data[:, [1]])
    with pytest.raises(BraindecError, match="parcel 1 is 'left' against 'other'"):
        others = parcels_axis(axis())
        others.name = np.array(["other", "right", "thalamus"])
        masker.transform(write(tmp_path / f"c.{kind}.nii", data, others, first=first, intent=intent))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"left": 44}, "CORTEX_LEFT vertices: 45 against 44"),
        ({"thalamus": 10}, "THALAMUS_LEFT voxels: 12 against 10"),
        ({"stem": 0}, r"BRAIN_STEM voxels \(7\) is missing"),
        ({"right": 0}, r"CORTEX_RIGHT vertices \(41\) is missing"),
        ({"n_surface": 70}, "CORTEX_LEFT: a surface of 60 against 70 vertices"),
        ({"affine": AFFINE + np.diag([0, 0, 0.5, 0])}, "the affine of the volume"),
        ({"grid": (8, 8, 9)}, r"the volume: \(7, 8, 9\) against \(8, 8, 9\) voxels"),
        ({"seed": 5}, "CORTEX_LEFT vertices: .* of 45 lie elsewhere"),
    ],
)
def test_another_brain_model_is_refused_in_words(tmp_path, series, change, said):
    model = axis(**change)
    other = write(tmp_path / "other.dtseries.nii", values(size=len(model)), model)
    masker = CiftiMasker().fit(series)
    with pytest.raises(BraindecError, match=said) as error:
        masker.transform(other)
    assert "other.dtseries.nii has another brain model than a.dtseries.nii" in str(error.value)
    with pytest.raises(BraindecError, match="another brain model"):
        CiftiMasker().fit([series, other])


def test_structures_in_another_order_are_refused(tmp_path, series):
    whole = axis()
    swapped = whole[45:86] + whole[:45] + whole[86:]
    with pytest.raises(BraindecError, match="the order: CORTEX_LEFT, CORTEX_RIGHT.* against CORTEX_RIGHT, CORTEX_LEFT"):
        CiftiMasker().fit(series).transform(write(tmp_path / "b.dtseries.nii", values(), swapped))


def test_a_mask_may_be_a_part_of_the_data_but_nothing_else(tmp_path, series):
    whole = axis()
    part = (np.arange(86) % 3 == 0).astype(np.float32)
    part[0] = np.nan
    scalar = {"first": cifti2.ScalarAxis(["mask"]), "intent": "DENSE_SCALARS"}
    mask = write(tmp_path / "mask.dscalar.nii", part[None], whole[:86], **scalar)
    found = CiftiMasker(mask).fit_transform(series)
    np.testing.assert_array_equal(found, values()[:, :86][:, (np.arange(86) % 3 == 0) & (np.arange(86) > 0)])
    other = axis(n_surface=70)[:86]
    with pytest.raises(BraindecError, match="60 against 70 vertices"):
        CiftiMasker(write(tmp_path / "m.dscalar.nii", part[None], other, **scalar)).fit(series)


def test_parcels_are_means_and_labels_of_the_cortex_lie_over_the_whole_model(tmp_path, series):
    whole = axis()
    keys = np.repeat([1, 2, 0, 5], [20, 30, 16, 20])
    path = labels_file(tmp_path / "a.dlabel.nii", whole[:86], keys, {0: "???", 1: "A", 2: "B", 5: "C", 9: "nowhere"})
    masker = CiftiLabelsMasker(path).fit(series)
    found, truth = masker.transform(series), values().astype(float)
    expected = np.stack([truth[:, :86][:, keys == k].mean(axis=1) for k in (1, 2, 5)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert found.dtype == np.float32 and masker.region_names_ == {0: "A", 1: "B", 2: "C"}
    assert list(masker.labels_) == [1, 2, 5] and masker.labels_.dtype == np.int32
    assert list(masker.lut_["n_grayordinates"]) == [20, 30, 20]
    image = masker.inverse_transform(np.array([10.0, np.nan, -3.0]), names=["w"])
    data = np.asarray(image.dataobj)[0]
    assert image.header.get_axis(1) == whole
    np.testing.assert_array_equal(data[:86][keys == 1], 10)
    np.testing.assert_array_equal(data[:86][keys == 5], -3)
    assert np.isnan(data[:86][(keys == 2) | (keys == 0)]).all() and np.isnan(data[86:]).all()
    median = CiftiLabelsMasker(path, strategy="median").fit_transform(series)
    np.testing.assert_allclose(median[:, 1], np.median(truth[:, 20:50], axis=1), rtol=1e-6)
    assert clone(masker).get_params()["strategy"] == "mean" and "C" in str(masker.generate_report())


def test_labels_with_the_medial_wall_are_matched_by_vertex(tmp_path, series):
    """CBIG and others give 64,984 labels: every vertex of both surfaces."""
    full = cifti2.BrainModelAxis.from_surface(
        np.arange(60), 60, name="CortexLeft"
    ) + cifti2.BrainModelAxis.from_surface(np.arange(60), 60, name="CortexRight")
    keys = np.r_[np.where(np.arange(60) < 30, 1, 2), np.full(60, 3)]
    path = labels_file(tmp_path / "a.dlabel.nii", full, keys, {1: "A", 2: "B", 3: "R"})
    found = CiftiLabelsMasker(path).fit(series).transform(series)
    left = axis().vertex[:45]
    np.testing.assert_allclose(found[:, 0], values()[:, :45][:, left < 30].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found[:, 2], values()[:, 45:86].mean(axis=1), rtol=1e-5, atol=1e-7)


def test_lost_parcels_are_counted_and_another_surface_is_refused(tmp_path, series):
    whole = axis()
    keys = np.r_[np.full(86, 1), np.full(12, 4), np.full(7, 6)]
    path = labels_file(tmp_path / "a.dlabel.nii", whole, keys, {1: "A", 4: "T", 6: "S"})
    cortex = write(tmp_path / "c.dtseries.nii", values()[:, :86], whole[:86])
    with pytest.warns(UserWarning, match="2 parcels have no grayordinate in c.dtseries.nii and are left out: T, S"):
        masker = CiftiLabelsMasker(path).fit(cortex)
    assert masker.n_elements_ == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CiftiLabelsMasker(path).fit().n_elements_ == 3
    other = axis(n_surface=70)
    with pytest.raises(BraindecError, match="a.dlabel.nii lies on another brain model than o.dtseries.nii"):
        CiftiLabelsMasker(path).fit(write(tmp_path / "o.dtseries.nii", values(), other))
    with pytest.raises(BraindecError, match="did you mean 'median'"):
        CiftiLabelsMasker(path, strategy="medan").fit(series)


def test_confounds_leave_the_mean_and_nothing_along_them(series):
    rng = np.random.default_rng(0)
    confounds = rng.normal(size=(6, 2))
    found = CiftiMasker().fit(series).transform(series, confounds=confounds)
    centred = confounds - confounds.mean(axis=0)
    assert abs(centred.T @ (found - found.mean(axis=0))).max() < 1e-5
    np.testing.assert_allclose(found.mean(axis=0), values().mean(axis=0), atol=1e-6)
    kept = CiftiMasker().fit(series).transform(series, sample_mask=np.array([0, 2, 5]))
    np.testing.assert_array_equal(kept, values()[[0, 2, 5]])


def test_matrices_and_damaged_files_are_refused(tmp_path, series):
    parcels = parcels_axis(axis())
    path = write(tmp_path / "a.pconn.nii", np.eye(3), parcels, first=parcels, intent="PARCELLATED")
    with pytest.raises(UnreadableError, match="its axes are parcels x parcels"):
        CiftiMasker().fit(path)
    cut = tmp_path / "cut.dtseries.nii"
    cut.write_bytes(series.read_bytes()[:-50])
    with pytest.raises(UnreadableError, match=r"cut.dtseries.nii was cut short"):
        CiftiMasker().fit(cut)
    (tmp_path / "empty.dtseries.nii").touch()
    with pytest.raises(UnreadableError, match="is empty"):
        CiftiMasker().fit(tmp_path / "empty.dtseries.nii")
    with pytest.raises(UnreadableError, match=r"did you mean 'a.dtseries.nii'"):
        CiftiMasker().fit(tmp_path / "b.dtseries.nii")
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3)), np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(UnreadableError, match="is not CIFTI"):
        CiftiMasker().fit(tmp_path / "v.nii")
    with pytest.raises(UnreadableError, match="holds no labels"):
        read_labels(series)


def test_images_in_memory_and_a_volume_in_metres(tmp_path):
    image = make_image(values(), made := made_up_model(n_vertices=60, cortex={"CORTEX_LEFT": 45, "CORTEX_RIGHT": 41},
                                                       voxels={"THALAMUS_LEFT": 19}, grid=GRID), step=1.0)  # fmt: skip
    masker = CiftiMasker().fit(image)
    np.testing.assert_array_equal(masker.transform(image), values())
    transform = image.header.matrix.get_index_map(1).volume.transformation_matrix_voxel_indices_ijk_to_xyz
    transform.meter_exponent = 0
    transform.matrix = np.diag([1e-3, 1e-3, 1e-3, 1]) @ np.asarray(transform.matrix)
    path = tmp_path / "metres.dtseries.nii"
    nib.save(image, path)
    assert not made.difference(CiftiMasker().fit(path).model_)
