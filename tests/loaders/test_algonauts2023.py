"""Reader ``algonauts2023`` on its twin."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.readers import algonauts2023 as reader
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin

SMALL = {"n_subjects": 2, "n_images": 30, "n_shared": 6, "n_vertices": 40}


@pytest.fixture
def twin(tmp_path):
    return make_twin("algonauts2023", tmp_path / "t", **SMALL)


def fmri(twin, side):
    return twin.root / "subj01" / "training_split" / "training_fmri" / f"{side}_training_fmri.npy"


def test_both_hemispheres(twin):
    source = open_source("algonauts2023", root=twin.root)
    windows = source.windows("01")
    expected = np.concatenate([np.load(fmri(twin, s)) for s in ("lh", "rh")], axis=1)
    assert np.array_equal(windows.features(), expected) and source.subjects() == ["01", "02"]
    names = sorted(p.name for p in (twin.root / "subj01/training_split/training_images").iterdir())
    assert windows.trials["image"].tolist() == names
    assert windows.trials["stimulus_id"].tolist() == [n.removesuffix(".png").split("_")[1] for n in names]
    assert set(windows.trials["part"]) == {"train"} and windows.trials["repetition"].eq(0).all()
    flags = np.load(twin.root / "subj01/roi_masks/lh.all-vertices_fsaverage_space.npy")
    left = windows.channels[windows.channels["structure"] == "CIFTI_STRUCTURE_CORTEX_LEFT"]
    assert left["vertex"].tolist() == np.flatnonzero(flags).tolist()
    assert windows.channels["type"].eq("vertex").all() and windows.recordings[0].info["space"] == "fsaverage"
    assert windows.recordings[0].info["n_vertices"]["CIFTI_STRUCTURE_CORTEX_RIGHT"] == 163842
    paths = source.files("01")
    assert all(p.is_file() for p in paths) and len(paths) == 8


def test_regions(twin):
    area = twin.truth()["01/area"]
    channels = reader.load(twin.root, "01", rois=["streams", "prf-visualrois"]).channels
    assert channels["region"].tolist() == [{0: "early", 1: "midventral", 2: "ventral", 3: "n/a"}[a] for a in area]
    assert ((channels["prf-visualrois"] == "V1v") == (area == 0)).all()
    whole = reader.load(twin.root, "01").features()
    for mask, wanted in (("ventral", area == 2), ("V1v", area == 0), ("streams", area != 3)):
        part = reader.load(twin.root, "01", mask=mask)
        assert np.array_equal(part.features(), whole[:, wanted])
    left = reader.load(twin.root, "01", hemisphere="lh")
    assert np.array_equal(left.features(), whole[:, : left.n_channels])


def test_a_test_part_is_read_where_there_is_one(twin):
    base = twin.root / "subj01" / "test_split"
    (base / "test_fmri").mkdir(parents=True)
    (base / "test_images").mkdir()
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(3, np.load(fmri(twin, s)).shape[1])).astype(np.float32) for s in ("lh", "rh")]
    for side, part in zip(("lh", "rh"), parts, strict=True):
        np.save(base / "test_fmri" / f"{side}_test_fmri.npy", part)
    for row in range(3):
        (base / "test_images" / f"test-{row + 1:04d}_nsd-{70000 + row}.png").touch()
    windows = reader.load(twin.root, "01")
    test = windows.trials["part"] == "test"
    assert windows.trials["stimulus_id"][test].tolist() == ["nsd-70000", "nsd-70001", "nsd-70002"]
    assert np.array_equal(windows.features(test), np.concatenate(parts, axis=1))


def test_bad_input(twin):
    with pytest.raises(BraindecError, match=r"no region 'V1w'; did you mean 'V1"):
        reader.load(twin.root, "01", mask="V1w")
    with pytest.raises(BraindecError, match=r"no class of regions 'stream'; did you mean 'streams'"):
        reader.load(twin.root, "01", rois=["stream"])
    with pytest.raises(BraindecError, match="hemisphere 'left' is unknown"):
        reader.load(twin.root, "01", hemisphere="left")
    with pytest.raises(BraindecError, match="no vertex of this subject"):
        reader.load(twin.root, "01", mask="V2v", rois=[])
    np.save(twin.root / "subj01/roi_masks/lh.streams_challenge_space.npy", np.zeros(3))
    with pytest.raises(BraindecError, match=r"does not fit the vertices(.|\n)*3 numbers"):
        reader.load(twin.root, "01")
    next((twin.root / "subj02/training_split/training_images").glob("*.png")).unlink()
    with pytest.raises(BraindecError, match="30 responses but 29 images"):
        reader.load(twin.root, "02")


def test_hemispheres_that_differ(twin):
    np.save(fmri(twin, "rh"), np.load(fmri(twin, "rh"))[:-1])
    with pytest.raises(BraindecError, match="different numbers of trials"):
        reader.load(twin.root, "01")


def test_nan_vertices(twin):
    values = np.load(fmri(twin, "rh"))
    values[:, 2] = np.nan
    np.save(fmri(twin, "rh"), values)
    windows = reader.load(twin.root, "01")
    assert np.flatnonzero(windows.channels["status"] == "bad").tolist() == [42]


def test_images_that_the_names_do_not_tell_apart(twin):
    images = sorted((twin.root / "subj01" / "training_split" / "training_images").glob("*.png"))
    number = images[0].name.split("nsd-")[1]
    other = images[1].rename(images[1].with_name(images[1].name.split("nsd-")[0] + f"nsd-{number}"))
    with pytest.raises(BraindecError, match="do not tell them apart"):
        reader.load(twin.root, "01")
    other.rename(other.with_name(other.name.split("nsd-")[0] + "nsd-7.png"))
    with pytest.raises(BraindecError, match="do not tell them apart"):
        reader.load(twin.root, "01")


@pytest.mark.parametrize("wrong", [-1, 0.5, np.nan, 8])
def test_numbers_of_regions_that_have_no_name(twin, wrong):
    path = twin.root / "subj01" / "roi_masks" / "lh.streams_challenge_space.npy"
    values = np.load(path).astype(float)
    values[0] = wrong
    np.save(path, values)
    with pytest.raises(BraindecError, match="does not fit the vertices"):
        reader.load(twin.root, "01")


def test_files_refuses_what_load_refuses(twin):
    for ask in (reader.load, reader.files):
        with pytest.raises(BraindecError, match="hemisphere 'L' is unknown"):
            ask(twin.root, "01", hemisphere="L")
    assert "streams" in reader.load(twin.root, "01", rois="streams").channels
