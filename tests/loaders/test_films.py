"""Films from frames, arrays, GIFs and videos: the same frames, whatever they come from."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
from PIL import Image

from braindec.errors import BraindecError, MissingExtraError, UnreadableError
from braindec.loaders.films import load_films
from braindec.loaders.scenes import scene_pictures


@pytest.fixture(scope="module")
def values():
    return scene_pictures(3, size=16, film=True, n_frames=12, speed=0.4, seed=1).values


def _write_frames(folder, values):
    for i, film in enumerate(values):
        (folder / f"film{i}").mkdir(parents=True)
        for k, frame in enumerate(film, start=1):
            Image.fromarray(frame).save(folder / f"film{i}" / f"frame{k}.png")


def test_folders_of_frames_in_order_of_their_numbers(tmp_path, values):
    _write_frames(tmp_path, values)
    found = load_films(tmp_path, frame_rate=8.0)
    assert found.is_film and found.shape == values.shape and found.frame_rate == 8.0
    assert found.ids.tolist() == ["film0", "film1", "film2"]
    np.testing.assert_array_equal(found.load(), values / np.float32(255))  # frame2 before frame10
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.of(["film2"])[0], values[2] / np.float32(255))


def test_each_second_frame_in_another_size(tmp_path, values):
    _write_frames(tmp_path, values)
    found = load_films(
        tmp_path, frame_rate=8.0, step=2, n_frames=4, size=8, mode="grey", stimulus_ids=["film2", "film0"]
    )
    assert found.shape == (2, 4, 8, 8, 1) and found.frame_rate == 4.0
    means = values[[2, 0], :8:2].astype(float).reshape(2, 4, 8, 2, 8, 2, 3).mean(axis=(3, 5)) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(
        255 * found.load()[..., 0], means, atol=1.51
    )  # rounded twice by the scaling and once by the grey


def test_arrays_and_a_table(tmp_path, values):
    for i, film in enumerate(values):
        np.save(tmp_path / f"f{i}.npy", film if i else (film / 255).astype(np.float32))
    (tmp_path / "films.tsv").write_text("stimulus_id\tpath\tcaption\nb\tf1.npy\tone\na\tf0.npy\ttwo\n")
    np.testing.assert_array_equal(load_films(tmp_path, frame_rate=10).load(), values / np.float32(255))
    found = load_films(tmp_path / "films.tsv", frame_rate=10)
    assert found.ids.tolist() == ["b", "a"] and found.items["caption"].tolist() == ["one", "two"]
    np.testing.assert_array_equal(found.load(), values[[1, 0]] / np.float32(255))


def test_gifs_say_their_rate(tmp_path, values):
    few = [Image.fromarray(f).quantize(16) for f in values[0]]
    few[0].save(tmp_path / "a.gif", save_all=True, append_images=few[1:], duration=100, loop=0)
    found = load_films(tmp_path)
    assert found.frame_rate == 10.0 and found.shape == (1, 12, 16, 16, 3)
    assert np.abs(found.load()[0] - values[0] / 255).mean() < 0.03
    with pytest.raises(BraindecError, match="10 Hz"):
        load_films(tmp_path, frame_rate=25)


def test_films_of_different_length_size_or_rate_are_refused(tmp_path, values):
    _write_frames(tmp_path, values)
    with pytest.raises(BraindecError, match="frame_rate"):
        load_films(tmp_path)
    (tmp_path / "film1" / "frame12.png").unlink()
    with pytest.raises(BraindecError) as error:
        load_films(tmp_path, frame_rate=8)
    assert "film1 has 11" in str(error.value) and "n_frames=11" in str(error.value)
    assert load_films(tmp_path, frame_rate=8, n_frames=11).shape[1] == 11
    with pytest.raises(BraindecError, match="not all films have 12"):
        load_films(tmp_path, frame_rate=8, n_frames=12)
    np.save(tmp_path / "other.npy", np.zeros((12, 9, 9, 3), np.uint8))
    with pytest.raises(BraindecError, match="1 of 9 x 9 colour"):
        load_films(tmp_path, frame_rate=8)
    with pytest.raises(BraindecError, match="no film9"):
        load_films(tmp_path, frame_rate=8, stimulus_ids=["film9"])
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "film0" / "frame3.png")
    with pytest.raises(BraindecError, match="frames of one film"):
        load_films(tmp_path, frame_rate=8)


def test_what_is_no_film_is_refused(tmp_path):
    with pytest.raises(BraindecError, match="no films"):
        load_films(tmp_path, frame_rate=8)
    np.save(tmp_path / "a.npy", np.zeros((4, 8), np.uint8))
    with pytest.raises(UnreadableError, match="holds no film"):
        load_films(tmp_path, frame_rate=8)
    np.save(tmp_path / "a.npy", np.full((4, 8, 8), 3.0))
    with pytest.raises(BraindecError, match="between 0 and 1"):
        load_films(tmp_path, frame_rate=8).load()
    with pytest.raises(BraindecError, match="1 or more"):
        load_films(tmp_path, frame_rate=8, step=0)
    (tmp_path / "a.npy").write_bytes(b"\x80\x04pickle")
    with pytest.raises(UnreadableError, match="cannot be read"):
        load_films(tmp_path, frame_rate=8)


@pytest.mark.skipif(importlib.util.find_spec("av") is not None, reason="PyAV is installed")
def test_without_pyav_the_line_that_installs_it_is_said(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(MissingExtraError, match=r"pip install 'braindec\[video\]'"):
        load_films(tmp_path)


def test_videos(tmp_path):
    av = pytest.importorskip("av")
    from fractions import Fraction

    films = scene_pictures(2, size=64, film=True, seed=2).values
    for i, film in enumerate(films):
        with av.open(str(tmp_path / f"f{i}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=Fraction(8))
            stream.width = stream.height = 64
            stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
            for frame in film:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    found = load_films(tmp_path)
    assert found.shape == films.shape and found.frame_rate == 8.0
    assert np.abs(found.load() - films / 255).mean() < 0.02  # it is compressed
    (tmp_path / "z.mp4").write_bytes(b"no film")
    with pytest.raises(UnreadableError, match=r"z\.mp4"):
        load_films(tmp_path)


@pytest.mark.parametrize(
    "options", [{"n_frames": "3"}, {"n_frames": 2.5}, {"step": None}, {"step": 1.5}, {"frame_rate": "x"}]
)
def test_counts_of_films_are_whole_numbers(values, tmp_path, options):
    np.save(tmp_path / "a.npy", values[0])
    with pytest.raises(BraindecError, match="sensible numbers"):
        load_films(tmp_path, **{"frame_rate": 8, **options})
    assert load_films(tmp_path, frame_rate=np.float32(8), n_frames=np.int64(3)).shape[1] == 3
