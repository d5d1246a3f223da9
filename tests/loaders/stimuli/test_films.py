"""Features of films: drifting gratings have their unit, lightness and contrast closed forms; files, arrays and Pictures agree."""

import numpy as np
import pytest
from PIL import Image

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._film_frames import lightness, open_film, shrunk
from braindec.loaders.films import load_films
from braindec.loaders.stimuli.contrast import contrast
from braindec.loaders.stimuli.film_frames import film_frames
from braindec.loaders.stimuli.luminance import luminance
from braindec.loaders.stimuli.motion_energy import motion_energy

RATE = 25.0


def grey_of(light):
    """The sRGB value whose lightness is ``light``."""
    y = np.where(light > 8, ((light + 16) / 116) ** 3, light * (3 / 29) ** 3)
    return np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)


def grating(cycles, hertz, degrees, size=48, n=60, amplitude=20.0):
    y, x = np.mgrid[:size, :size] / size
    along = x * np.cos(np.deg2rad(degrees)) - y * np.sin(np.deg2rad(degrees))  # 90 degrees go up
    t = np.arange(n) / RATE
    return grey_of(50 + amplitude * np.cos(2 * np.pi * (cycles * along - hertz * t[:, None, None])))


@pytest.mark.parametrize(
    ("cycles", "hertz", "degrees"), [(4, 2, 0), (4, 4, 135), (4, 2, 180), (2, 4, 270), (4, 4, 45), (8, 2, 90)]
)
def test_a_drifting_grating_has_its_unit_and_not_the_opposite_one(cycles, hertz, degrees):
    series = motion_energy(grating(cycles, hertz, degrees), frame_rate=RATE, size=48, log=False)
    units = series.channels
    energy = np.where(units["spatial_frequency"] > 0, series.load()[:, 30], 0.0)
    best = units.iloc[np.argmax(energy)]
    assert (best["spatial_frequency"], best["temporal_frequency"], best["direction"]) == (cycles, hertz, degrees)
    assert energy.max() == pytest.approx(20.0, rel=0.02)  # a Gabor at its own grating gives the amplitude
    mine = (units["spatial_frequency"] == cycles) & (units["temporal_frequency"] == hertz)
    opposite = energy[mine & (units["direction"] == (degrees + 180) % 360)]
    assert (
        len(opposite) and opposite.max() < 0.08 * energy.max()
    )  # Gabors that the edge of the picture cuts answer a little
    here = (units["centre_x"] == best["centre_x"]) & (units["centre_y"] == best["centre_y"])
    assert energy[mine & here & (units["direction"] == (degrees + 180) % 360)].max() < 0.03 * energy.max()
    course = series.load()[np.argmax(energy), 15:-15]
    assert np.ptp(course) < 0.05 * energy.max()  # phase does not count


def test_a_grating_that_stands_and_a_field_that_flickers():
    still = motion_energy(grating(4, 0, 90), frame_rate=RATE, size=48, log=False)
    energy = np.where(still.channels["spatial_frequency"] > 0, still.load()[:, 30], 0.0)
    best = still.channels.iloc[np.argmax(energy)]
    assert (best["temporal_frequency"], best["direction"]) == (0, 90)
    t = np.arange(60) / RATE
    light = 50 + 20 * np.cos(2 * np.pi * 4 * t)
    flicker = motion_energy(
        grey_of(light)[:, None, None] * np.ones((1, 16, 16)), frame_rate=RATE, size=16, spatial=(0.0, 2.0), log=False
    )
    found = dict(zip(flicker.ch_names, flicker.load()[:, 30], strict=True))
    assert found["0 c 4 Hz 0 deg at 0.50 0.50"] == pytest.approx(20.0, rel=0.02)
    assert max(v for k, v in found.items() if k.startswith("2 c")) < 1e-3  # Gabors have no mean


def test_lightness_that_stays_moves_nothing():
    series = motion_energy(np.full((30, 12, 12), 0.7), frame_rate=RATE, size=12, spatial=(0.0, 2.0), log=False)
    quiet = ~((series.channels["spatial_frequency"] == 0) & (series.channels["temporal_frequency"] == 0)).to_numpy()
    assert series.load()[quiet].max() < 1e-3
    logs = motion_energy(np.full((30, 12, 12), 0.7), frame_rate=RATE, size=12, spatial=(0.0,), temporal=(0.0,))
    np.testing.assert_allclose(logs.load(), np.log(1 + lightness(np.full((1, 1, 1, 1), 0.7)).item()), rtol=1e-5)


@pytest.mark.parametrize("sfreq", [None, 7.0])
def test_frames_of_another_block_change_nothing(sfreq):
    film = grating(4, 4, 0, size=16)
    other = film.copy()
    other[31:] = np.random.default_rng(0).random(other[31:].shape)
    options = {"frame_rate": RATE, "size": 16, "spatial": (0.0, 2.0), "sfreq": sfreq, "blocks": [(0.0, 31 / RATE)]}
    a, b = (motion_energy(f, **options).load() for f in (film, other))
    edge = round(31 / RATE * (sfreq or RATE))
    np.testing.assert_array_equal(a[:, :edge], b[:, :edge])
    assert np.abs(a[:, edge:] - b[:, edge:]).max() > 0.1
    a, b = (motion_energy(f, **{**options, "blocks": None}).load() for f in (film, other))
    assert np.abs(a[:, :edge] - b[:, :edge]).max() > 0.01


def test_lightness_equals_its_definition():
    light = np.array([0.0, 4.0, 8.0, 30.0, 77.0, 100.0])
    np.testing.assert_allclose(lightness(grey_of(light)[:, None, None, None])[:, 0, 0], light, atol=1e-3)
    primary = np.eye(3)[:, None, None, :]  # red, green, blue of sRGB: L* 53.2, 87.7, 32.3
    np.testing.assert_allclose(lightness(primary)[:, 0, 0], [53.24, 87.74, 32.30], atol=0.02)
    assert lightness(np.full((1, 1, 1, 3), 255, np.uint8)).item() == pytest.approx(100.0, abs=1e-3)


def test_luminance_contrast_and_change():
    light = np.zeros((10, 8, 12))
    light[:, :, 6:] = 80.0
    light[5:, :4] += 10.0
    film = grey_of(light)
    np.testing.assert_allclose(luminance(film, frame_rate=RATE).load()[0], [40] * 5 + [45] * 5, atol=0.01)
    grid = luminance(film, frame_rate=RATE, grid=2)
    np.testing.assert_allclose(grid.load()[:, 7], [10, 90, 0, 80], atol=0.01)
    change = luminance(film, frame_rate=RATE, change=True).load()[0]
    np.testing.assert_allclose(change, [0] * 5 + [5] + [0] * 4, atol=0.01)
    np.testing.assert_allclose(
        luminance(film, frame_rate=RATE, change=True, blocks=[(0, 0.2)]).load()[0], 0.0, atol=0.01
    )
    np.testing.assert_allclose(contrast(film, frame_rate=RATE).load()[0], light.std(axis=(1, 2)), atol=0.01)
    np.testing.assert_allclose(contrast(film, frame_rate=RATE, grid=2).load(), 0.0, atol=0.02)
    np.testing.assert_allclose(luminance(film, frame_rate=RATE, sfreq=5.0).load()[0], [40, 45], atol=0.01)


def test_frames_are_averaged_over_areas():
    values = np.random.default_rng(0).random((3, 12, 10)).astype(np.float32)
    np.testing.assert_allclose(shrunk(values, (4, 5)), values.reshape(3, 4, 3, 5, 2).mean(axis=(2, 4)), rtol=1e-5)
    np.testing.assert_allclose(shrunk(values, (5, 3)).mean(axis=(1, 2)), values.mean(axis=(1, 2)), rtol=1e-5)
    series = film_frames(grey_of(100 * values), frame_rate=RATE, size=(4, 5))
    np.testing.assert_allclose(series.load().T.reshape(3, 4, 5), 100 * shrunk(values, (4, 5)), atol=0.05)


def test_every_kind_of_film_is_the_same_film(tmp_path):
    film = np.random.default_rng(0).integers(0, 256, size=(130, 8, 10, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", film)
    (tmp_path / "b").mkdir()
    for k, frame in enumerate(film):
        Image.fromarray(frame).save(tmp_path / "b" / f"f{k + 1}.png")
    expected = film_frames(film, frame_rate=RATE, size=4)
    for source in (tmp_path / "a.npy", tmp_path / "b", load_films(tmp_path, frame_rate=RATE, stimulus_ids=["a"])):
        rate = None if not isinstance(source, type(tmp_path)) else RATE
        np.testing.assert_allclose(film_frames(source, frame_rate=rate, size=4).load(), expected.load(), atol=1e-3)
    assert expected.duration == 130 / RATE and film_frames(tmp_path / "b", frame_rate=RATE).info["stimulus"] == "b"
    assert [len(b) for b in open_film(film, frame_rate=RATE).batches()] == [64, 64, 2]
    few = [Image.fromarray(f).quantize(64) for f in film[:5]]
    few[0].save(tmp_path / "c.gif", save_all=True, append_images=few[1:], duration=40, loop=0)
    assert luminance(tmp_path / "c.gif").sfreq == 25.0 and luminance(tmp_path / "c.gif").n_times == 5


def test_films_that_cannot_be_used(tmp_path):
    film = np.zeros((5, 4, 4))
    for wrong, said in ((np.zeros((5, 4)), "no film"), (np.zeros((0, 4, 4)), "no film"), (film + 2, "between 0 and 1"),
                        (film * np.nan, "between 0 and 1"), (film.astype(int), "no film"), (film.astype(np.uint16), "uint8")):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            luminance(wrong, frame_rate=RATE)
    with pytest.raises(BraindecError, match="frame rate of film is not known"):
        luminance(film)
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(UnreadableError, match="no film"):
        luminance(tmp_path / "x.txt", frame_rate=RATE)
    with pytest.raises(BraindecError, match="half of the frame rate"):
        motion_energy(film, frame_rate=RATE, size=4, spatial=(1.0,), temporal=(13.0,))
    with pytest.raises(BraindecError, match="half of size"):
        motion_energy(film, frame_rate=RATE, size=4, spatial=(2.0,))
    with pytest.raises(BraindecError, match="opposite pairs"):
        motion_energy(film, frame_rate=RATE, size=4, spatial=(1.0,), n_directions=3)
