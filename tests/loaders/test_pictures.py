"""Stimuli as pictures: from sources, folders, tables and archives; what is missing or mixed is said."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._synthetic_presets import PRESETS
from braindec.loaders._synthetic_stimuli import write_stimuli
from braindec.loaders.images import load_images
from braindec.loaders.pictures import load_pictures
from braindec.loaders.source import Source, open_source
from braindec.loaders.twin import make_twin

_RNG = np.random.default_rng(0)
_VALUES = _RNG.integers(0, 256, (4, 12, 16, 3), dtype=np.uint8)
_NAMES = ["cat/cat_01", "cat/cat_02", "dog/dog_01", "sun"]


@pytest.fixture
def folder(tmp_path):
    for name, values in zip(_NAMES, _VALUES, strict=True):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path)
    return tmp_path


def test_a_folder_is_read_as_it_is_and_lazily(folder):
    found = load_pictures(folder)
    assert found.ids.tolist() == _NAMES and found.shape == (4, 12, 16, 3)
    np.testing.assert_array_equal(found.load(), _VALUES.astype(np.float32) / 255)
    np.testing.assert_array_equal(found.of(["sun", "cat/cat_02", "sun"]), _VALUES[[3, 1, 3]].astype(np.float32) / 255)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.load([2]), found.load([2]))
    (folder / "sun.png").write_bytes(b"no image")
    found.load([0, 1])  # the damaged one is not touched
    with pytest.raises(UnreadableError, match=r"sun\.png"):
        found.load([3])


def test_ids_are_matched_by_path_or_by_name_and_missing_ones_are_named(folder):
    found = load_pictures(folder, stimulus_ids=["dog_01", "cat/cat_01", "sun.png"])
    assert found.ids.tolist() == ["dog_01", "cat/cat_01", "sun.png"]
    np.testing.assert_array_equal(found.load(), _VALUES[[2, 0, 3]].astype(np.float32) / 255)
    with pytest.raises(BraindecError) as error:
        load_pictures(folder, stimulus_ids=["cat_01", "cat_07", "moon"])
    assert "2 of 3" in str(error.value) and "cat_07, moon" in str(error.value)
    Image.fromarray(_VALUES[0]).save(folder / "dog" / "cat_01.png")  # now two files have that name
    with pytest.raises(BraindecError, match="no cat_01"):
        load_pictures(folder, stimulus_ids=["cat_01"])


def test_mixed_sizes_are_refused_unless_a_size_is_said(folder):
    Image.fromarray(_VALUES[0][:, :10]).save(folder / "narrow.png")
    with pytest.raises(BraindecError) as error:
        load_pictures(folder)
    assert (
        "4 of 12 x 16 colour" in str(error.value) and "narrow.png" in str(error.value) and "size=" in str(error.value)
    )
    assert load_pictures(folder, size=8).shape == (5, 8, 8, 3)


def test_mixed_modes_are_refused_unless_a_mode_is_said(folder):
    Image.fromarray(_VALUES[0][..., 0]).save(folder / "grey.png")
    with pytest.raises(BraindecError, match="1 of 12 x 16 grey"):
        load_pictures(folder)
    colour, grey = load_pictures(folder, mode="colour"), load_pictures(folder, mode="grey")
    assert colour.shape[-1] == 3 and grey.shape[-1] == 1
    at = colour.ids.tolist().index("grey")
    np.testing.assert_array_equal(colour.load([at])[0], np.repeat(_VALUES[0][..., :1], 3, axis=-1) / np.float32(255))
    np.testing.assert_array_equal(grey.load([at])[0], _VALUES[0][..., :1] / np.float32(255))
    expected = _VALUES[3] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(255 * grey.of(["sun"])[0, ..., 0], expected, atol=0.51)


def test_scaling_is_a_mean_over_areas(tmp_path):
    Image.fromarray(_VALUES[0][:, :12]).save(tmp_path / "a.png")
    small = load_pictures(tmp_path, size=(12, 12))
    np.testing.assert_array_equal(small.load()[0], _VALUES[0][:, :12] / np.float32(255))
    Image.fromarray(np.kron(_VALUES[0][:8, :8], np.ones((4, 4, 1), np.uint8))).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_pictures(tmp_path, size=8).load()[0], _VALUES[0][:8, :8] / np.float32(255))


def test_sixteen_bits_are_refused(tmp_path):
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UnreadableError, match="8 bits"):
        load_pictures(tmp_path)


def test_a_table_gives_ids_and_columns(folder):
    table = pd.DataFrame(
        {"stimulus_id": ["b", "a"], "path": ["sun.png", "cat/cat_01.png"], "caption": ["a sun", "a cat"]}
    )
    table.to_csv(folder / "named.tsv", sep="\t", index=False)
    found = load_pictures(folder / "named.tsv")
    assert found.ids.tolist() == ["b", "a"] and found.items["caption"].tolist() == ["a sun", "a cat"]
    np.testing.assert_array_equal(found.load(), _VALUES[[3, 0]].astype(np.float32) / 255)


def test_an_archive_keeps_films_and_columns(tmp_path):
    films = _RNG.integers(0, 256, (3, 5, 8, 8, 3), dtype=np.uint8)
    np.savez(
        tmp_path / "films.npz", values=films, stimulus_id=["x", "y", "z"], concept_id=["1", "1", "2"], frame_rate=12.5
    )
    found = load_pictures(tmp_path / "films.npz", stimulus_ids=["z", "x"])
    assert found.is_film and found.frame_rate == 12.5 and found.items["concept_id"].tolist() == ["2", "1"]
    np.testing.assert_array_equal(found.load(), films[[2, 0]].astype(np.float32) / 255)
    assert load_pictures(tmp_path / "films.npz", size=4, mode="grey").shape == (3, 5, 4, 4, 1)


def test_the_synthetic_cohort_has_its_stimuli(tmp_path):
    preset = replace(PRESETS["eeg"]["tiny"], train_concepts=6, train_exemplars=2, test_concepts=2, n_units=6)
    stimuli, _ = write_stimuli(tmp_path, "eeg", preset, 0)
    found = load_pictures(Source("synthetic", tmp_path, "bids"))
    assert found.ids.tolist() == stimuli["stimulus_id"].tolist() and found.shape[1:] == (64, 64, 3)
    path = tmp_path / stimuli["path"][3]
    np.testing.assert_array_equal(found.of([found.ids[3]])[0], np.asarray(Image.open(path)) / np.float32(255))
    assert "concept_id" in found.items and set(found.items["part"]) == {"train", "test"}
    np.testing.assert_array_equal(load_pictures(tmp_path / "stimuli").load([3]), found.load([3]))


@pytest.mark.parametrize("name", ["nsd", "god", "things_fmri"])
def test_twins_have_pictures_that_follow_the_latents_of_the_responses(tmp_path, name):
    sizes = {"n_subjects": 1, "n_voxels": 60}
    twin = make_twin(name, tmp_path / name, **sizes)
    source = open_source(twin.dataset or None, root=twin.data["root"], options=twin.options)
    found = load_pictures(source, size=8)
    windows = source.windows(source.subjects()[0])
    shown = found.of(windows.trials["stimulus_id"])  # each stimulus has one
    assert shown.shape[1:] == (8, 8, 3) and 0.05 < shown.std() < 0.5
    np.testing.assert_array_equal(shown, load_pictures(source, size=8).of(windows.trials["stimulus_id"]))
    latents = twin.truth()["latents"]
    logit = np.log((found.load().clip(0.004, 0.996)) / (1 - found.load().clip(0.004, 0.996))).reshape(len(found), -1)
    fit = np.column_stack([logit, np.ones(len(found))])
    rest = latents - fit @ np.linalg.lstsq(fit, latents, rcond=None)[0]
    assert (rest.var(axis=0) / latents.var(axis=0)).mean() < 0.1  # the picture tells the latents


def test_digits_of_the_real_recording(shared):
    source = open_source(root=shared("fmri_digits69_images"), reader="digits69")
    found = load_pictures(source)
    assert found.shape == (100, 28, 28, 1) and found.items["concept_id"].value_counts().to_dict() == {
        "six": 50,
        "nine": 50,
    }
    names, values = source.pictures()
    np.testing.assert_array_equal(found.of(names)[..., 0], values[..., 0] / np.float32(255))
    assert load_pictures(source, size=14, mode="colour").shape == (100, 14, 14, 3)


def test_pictures_of_a_source_from_a_folder_are_those_of_its_trials(tmp_path):
    twin = make_twin("god", tmp_path / "god", n_subjects=1, n_voxels=40, n_concepts=4, n_images=2, n_test=3)
    source = open_source(twin.dataset or None, root=twin.data["root"], options=twin.options)
    ids = load_pictures(source).ids
    folder = tmp_path / "images"
    for i, name in enumerate([*ids, "another"]):
        path = folder / name.split("_")[0] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(path)
    found = load_pictures(source, folder=folder)
    assert set(found.ids) == set(ids) and "concept_id" in found.items
    assert (255 * found.load()[:, 0, 0, 0]).round().tolist() == [ids.tolist().index(s) for s in found.ids]
    path = folder / ids[2].split("_")[0] / f"{ids[2]}.png"
    path.unlink()
    with pytest.raises(BraindecError, match=f"no {ids[2]}"):
        load_pictures(source, folder=folder)


def test_nsd_reads_its_own_file_of_stimuli(tmp_path):
    import h5py

    twin = make_twin("nsd", tmp_path / "nsd", n_subjects=1, n_sessions=1, n_trials=30, n_voxels=40, n_shared=4)
    values = _RNG.integers(0, 256, (60, 10, 10, 3), dtype=np.uint8)
    path = tmp_path / "nsd" / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["imgBrick"] = values
    source = open_source(twin.dataset or None, root=twin.data["root"], options=twin.options)
    trials = source.windows(source.subjects()[0]).trials
    found = load_pictures(source)
    rows = trials["stimulus_id"].astype(int).to_numpy() - 1
    np.testing.assert_array_equal(found.of(trials["stimulus_id"]), values[rows] / np.float32(255))
    assert load_pictures(source, size=5, mode="grey", stimulus_ids=["3", "1"]).load().shape == (2, 5, 5, 1)
    with pytest.raises(BraindecError, match="60 pictures"):
        load_pictures(source, stimulus_ids=["61"])


def test_what_cannot_be_is_refused(tmp_path, folder):
    with pytest.raises(BraindecError, match="colour, grey"):
        load_pictures(folder, mode="color")
    with pytest.raises(BraindecError, match="no images"):
        load_pictures((tmp_path / "cat" / "none").mkdir() or tmp_path / "cat" / "none")
    with pytest.raises(BraindecError, match="no file or folder"):
        load_pictures(tmp_path / "nowhere")
    with pytest.raises(BraindecError, match="1 or more"):
        load_pictures(folder, size=0)
    np.savez(tmp_path / "wrong.npz", values=np.zeros((2, 8, 8, 3)))
    with pytest.raises(BraindecError, match="stimulus_id"):
        load_pictures(tmp_path / "wrong.npz")


def test_deep_images_are_refused_even_when_size_and_mode_are_given(tmp_path):
    Image.fromarray(np.full((16, 16), 20_000, np.uint16)).save(tmp_path / "deep.png")
    for options in ({}, {"size": 8, "mode": "colour"}):
        with pytest.raises(UnreadableError, match="more than 8 bits"):
            load_pictures(tmp_path, **options)
    with pytest.raises(UnreadableError, match="more than 8 bits"):
        load_images(tmp_path, size=8)[0]


def test_a_turned_picture_with_transparency_stands_as_the_opaque_one(tmp_path):
    values = np.zeros((10, 20, 4), np.uint8)
    values[:, :10], values[..., 3] = 255, 255
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "a.png", exif=turned)
    Image.fromarray(values[..., :3]).save(tmp_path / "b.png", exif=turned)
    found = load_pictures(tmp_path).load()
    assert found.shape == (2, 20, 10, 3)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("size", ["32", 2.5, (8,), (1, 2, 3), 0, True, float("nan")])
def test_sizes_that_cannot_be_are_said(folder, size):
    with pytest.raises(BraindecError, match="size="):
        load_pictures(folder, size=size)


def test_an_empty_choice_and_a_strange_rate_are_said(folder, tmp_path):
    with pytest.raises(BraindecError, match="no images are asked for"):
        load_pictures(folder, stimulus_ids=[])
    np.savez(tmp_path / "x.npz", values=_VALUES, stimulus_id=np.arange(4), frame_rate=np.arange(4))
    with pytest.raises(BraindecError, match="frame_rate must be one number"):
        load_pictures(tmp_path / "x.npz")
