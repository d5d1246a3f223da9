"""Images in one size, and features of pixels whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.images import Images, image_features, load_images


def grating(angle, *, frequency=0.1, side=96, phase=0.0):
    y, x = np.mgrid[:side, :side]
    wave = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return np.repeat(((wave + 1) / 2)[..., None], 3, axis=2).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for concept in ("cat", "dog"):
        (tmp_path / concept).mkdir()
        for i in range(3):
            Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / concept / f"{i}.png")
    return tmp_path


def test_a_folder_is_read_lazily(folder):
    images = load_images(folder, size=(20, 30))
    assert isinstance(images, Images) and images.shape == (6, 20, 30, 3) and list(images.ids)[:2] == ["cat/0", "cat/1"]
    (folder / "dog" / "2.png").unlink()  # it is missed only when it is read
    assert images[:2].shape == (2, 20, 30, 3) and images[0].dtype == np.uint8
    with pytest.raises(UnreadableError):
        images[5]


def test_area_average_of_whole_pixels(folder):
    original = np.asarray(Image.open(folder / "cat" / "0.png")).astype(float)
    expected = original.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(load_images(folder, size=(20, 30))[0] - expected).max() <= 1  # it rounds twice


def test_a_table_names_images(folder):
    (folder / "stimuli.tsv").write_text("stimulus_id\tpath\tconcept_id\nA\tdog/1.png\tdog\nB\tcat/2.png\tcat\n")
    images = load_images(folder / "stimuli.tsv", size=16)
    assert list(images.ids) == ["A", "B"] and list(images.items["concept_id"]) == ["dog", "cat"]
    np.testing.assert_array_equal(images.of(["B"])[0], load_images(folder, size=16).of(["cat/2"])[0])
    with pytest.raises(BraindecError, match="no image 'C'"):
        images.of(["C"])


@pytest.mark.parametrize(
    "row, said",
    [("A\t../x.png", "stay inside"), ("A\tnone.png", "are not there"), ("A\tcat/0.png\nA\tcat/1.png", "stands twice")],
)
def test_tables_that_do_not_fit(folder, row, said):
    (folder / "stimuli.tsv").write_text(f"stimulus_id\tpath\n{row}\n")
    with pytest.raises(BraindecError, match=said):
        load_images(folder / "stimuli.tsv")


def test_damaged_images_and_empty_folders(folder, tmp_path):
    (folder / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(UnreadableError, match="cannot be read as an image"):
        load_images(folder)[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BraindecError, match="no images"):
        load_images(tmp_path / "empty")


def test_grey_and_transparent_images(tmp_path):
    Image.new("L", (32, 32), 100).save(tmp_path / "grey.png")
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    images = load_images(tmp_path, size=32)
    assert (images.of(["grey"]) == 100).all() and (images.of(["clear"]) == 255).all()  # transparent is white


@pytest.mark.parametrize(
    "kind, strongest",
    [
        ("gist", lambda values, names: int(names[values.argmax()].split("-o")[1].split("-")[0])),
        ("hog", lambda values, names: int(np.bincount([int(n.split("-b")[1]) for n in names], values).argmax())),
    ],
)
def test_orientation_is_found(kind, strongest):
    bins = 8 if kind == "gist" else 9
    for k in range(bins):
        angle = np.pi * k / bins if kind == "gist" else np.pi * (k + 0.5) / bins
        found = image_features(grating(angle)[None], kind)
        assert strongest(found.load()[0], list(found.units["name"])) == k


def test_frequency_is_found():
    for frequency in (0.05, 0.1, 0.2, 0.35):
        found = image_features(grating(0.4, frequency=frequency)[None], "gist")
        best = found.units["name"].iloc[found.load()[0].argmax()]
        assert best.startswith(f"gist-f{frequency:g}-")


def test_energy_does_not_know_phase():
    a, b = (image_features(grating(0.3, phase=p)[None], "gist").load()[0] for p in (0.0, 1.7))
    assert np.abs(a - b).max() < 0.05 * a.max()


def test_colour_and_pixels_are_means_of_cells():
    picture = np.zeros((1, 64, 64, 3), np.float32)
    picture[0, :32, :, 0] = 1.0  # the upper half is red
    found = image_features(picture, "colour", grid=2)
    values = dict(zip(found.units["name"], found.load()[0], strict=True))
    assert values["colour-red_green-mean-c0"] == 1.0 and values["colour-red_green-mean-c3"] == 0.0
    assert values["colour-yellow_blue-mean-c1"] == 0.5 and values["colour-light-spread-c0"] < 1e-7
    pixels = image_features(picture, "pixels", grid=1).load()[0].reshape(4, 4, 3)
    np.testing.assert_array_equal(pixels[:, :, 0], [[1] * 4, [1] * 4, [0] * 4, [0] * 4])


def test_same_pixels_same_bytes_whatever_the_batch(folder):
    images = load_images(folder, size=48)
    a, b = image_features(images, "all", batch=2), image_features(images, "all", batch=6)
    assert a.load().tobytes() == b.load().tobytes() and list(a.ids) == list(images.ids)
    np.testing.assert_array_equal(image_features(np.asarray(images), "all", stimulus_ids=images.ids).load(), a.load())


def test_scale_is_of_the_training_images_only(folder):
    images = load_images(folder, size=48)
    raw, train = image_features(images, "colour").load(), ["cat/0", "cat/1", "dog/2"]
    scaled = image_features(images, "colour", standardise_on=train)
    rows = scaled.rows_of(train)
    np.testing.assert_allclose(scaled.load()[rows].mean(axis=0), 0, atol=1e-5)
    mean, spread = raw[rows].mean(axis=0), raw[rows].std(axis=0)
    np.testing.assert_allclose(scaled.load(), (raw - mean) / np.where(spread > 0, spread, 1), atol=1e-3)
    with pytest.raises(BraindecError, match="no features"):
        image_features(images, "colour", standardise_on=["cow/0"])


def test_a_network_of_ones_own(folder):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16 * 16 * 3, 5))
    found = image_features(load_images(folder, size=16), "network", network=lambda x: network(torch.from_numpy(x)))
    assert found.shape == (6, 5)
    with torch.no_grad():
        expected = network(torch.from_numpy(load_images(folder, size=16)[:].astype(np.float32) / 255))
    np.testing.assert_allclose(found.load(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "pictures, kind, said",
    [
        (np.zeros((2, 32, 32, 1)), "gist", "n, height, width, 3"),
        (np.full((1, 32, 32, 3), 7.0), "gist", "between 0 and 1"),
        (np.zeros((1, 32, 32, 3)), "gits", "did you mean 'gist'"),
        (np.zeros((0, 32, 32, 3)), "gist", "no images"),
        (np.zeros((1, 3, 3, 3)), "pixels", "too small"),
        (np.zeros((1, 8, 8, 3)), "network", "go together"),
    ],
)
def test_what_cannot_be_described(pictures, kind, said):
    with pytest.raises(BraindecError, match=said):
        image_features(pictures, kind)
