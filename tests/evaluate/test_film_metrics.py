"""Optical flow on known motion, and metrics of films: direction, end-point error, consistency, identification."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from braindec.errors import BraindecError
from braindec.evaluate.films.end_point_error import end_point_error
from braindec.evaluate.films.film_n_way import film_n_way
from braindec.evaluate.films.film_two_way import film_two_way
from braindec.evaluate.films.frame_psnr import frame_psnr
from braindec.evaluate.films.frame_ssim import frame_ssim
from braindec.evaluate.films.motion_direction import direction_errors, motion_angles, motion_direction
from braindec.evaluate.films.temporal_consistency import temporal_consistency
from braindec.evaluate.optical_flow import film_flows, optical_flow
from braindec.evaluate.pictures.psnr import psnr
from braindec.evaluate.pictures.ssim import ssim

WORDS = {"right": (1, 0), "up": (0, -1), "left": (-1, 0), "down": (0, 1)}


def texture(n, size, *, grain, seed=0):
    values = gaussian_filter(np.random.default_rng(seed).standard_normal((n, size + 40, size + 40)), (0, grain, grain))
    return 0.5 + 0.15 * values / values.std()


def moved(values, size, place):
    """Cut of each texture as it is after ``place(rows, columns)`` says where each pixel came from."""
    rows, columns = np.meshgrid(np.arange(size) + 20.0, np.arange(size) + 20.0, indexing="ij")
    return np.stack([map_coordinates(v, place(rows, columns), order=3) for v in values])


def disc_film(direction, *, rng, size=32, frames=4, speed=2, radius=4.0, colours=((0.5, 0.5, 0.5), None)):
    """A coloured disc that moves over a plain ground."""
    x, y = rng.uniform(12, 20, 2)
    colour = rng.random(3) if colours[1] is None else np.array(colours[1])
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    made = []
    for t in range(frames):
        go = speed * (t - frames / 2)
        inside = np.clip(radius + 0.5 - np.hypot(columns - x - direction[0] * go, rows - y - direction[1] * go), 0, 1)
        made.append(np.array(colours[0]) * (1 - inside[..., None]) + colour * inside[..., None])
    return np.array(made, dtype=np.float32)


def films(n=12, seed=0, **options):
    rng = np.random.default_rng(seed)
    names = [list(WORDS)[i % 4] for i in range(n)]
    return np.stack([disc_film(WORDS[w], rng=rng, **options) for w in names]), names


@pytest.mark.parametrize("step", [(0.5, 0.3), (1, -1), (2.5, 1.5), (-4, 3), (6, 0)])
@pytest.mark.parametrize("grain", [1.5, 3])
def test_flow_of_known_translations(step, grain):
    values = texture(4, 32, grain=grain)
    first = moved(values, 32, lambda r, c: [r, c])
    second = moved(values, 32, lambda r, c: [r - step[1], c - step[0]])
    flow = optical_flow(first, second)
    inner = flow[:, 8:-8, 8:-8]
    assert np.linalg.norm(inner - np.array(step), axis=-1).mean() < 0.3


def test_flow_of_a_turn_is_not_one_translation():
    values, angle = texture(3, 48, grain=2), np.radians(4)
    middle = 20 + 23.5

    def turned(r, c):  # where the pixel came from: turned back
        y, x = r - middle, c - middle
        return [middle + np.cos(angle) * y - np.sin(angle) * x, middle + np.sin(angle) * y + np.cos(angle) * x]

    first, second = moved(values, 48, lambda r, c: [r, c]), moved(values, 48, turned)
    y, x = np.meshgrid(np.arange(48) - 23.5, np.arange(48) - 23.5, indexing="ij")
    true = np.stack([np.cos(angle) * x + np.sin(angle) * -y - x, np.sin(angle) * x + np.cos(angle) * y - y], axis=-1)
    opposite = np.stack(
        [np.cos(angle) * x + np.sin(angle) * y - x, -np.sin(angle) * x + np.cos(angle) * y - y], axis=-1
    )
    flow = optical_flow(first, second)[:, 8:-8, 8:-8]
    errors = [np.linalg.norm(flow - t[8:-8, 8:-8], axis=-1).mean() for t in (true, opposite)]
    assert errors[0] < 0.3 < errors[1]


def test_nothing_moves_where_nothing_moved():
    still = np.repeat(texture(2, 32, grain=2)[:, None, :32, :32, None], 3, axis=1)
    assert np.abs(film_flows(still)).max() == 0
    assert np.isnan(motion_angles(np.clip(still, 0, 1))).all()
    noise = np.clip(0.5 + 0.03 * np.random.default_rng(0).standard_normal((2, 3, 32, 32, 3)), 0, 1)
    assert np.linalg.norm(film_flows(noise), axis=-1).mean() < 0.05


def test_directions_of_discs():
    shown, names = films()
    angles = {"right": 0, "up": 90, "left": 180, "down": 270}
    error = (motion_angles(shown) - np.array([angles[w] for w in names]) + 180) % 360 - 180
    assert np.abs(error).max() < 10
    noisy = np.clip(shown + 0.05 * np.random.default_rng(1).standard_normal(shown.shape), 0, 1)
    assert motion_direction.score(noisy, shown) == 1
    assert motion_direction.score(noisy, shown, directions=names) == 1
    assert direction_errors(noisy, shown).max() < 15
    back = shown[:, ::-1]
    assert motion_direction.score(back, shown) == 0
    assert motion_direction.score(back, shown, version="cosine") == pytest.approx(-1, abs=0.02)
    assert direction_errors(back, shown).min() > 170
    assert motion_direction.chance(12) == 0.25 and motion_direction.chance(12, version="cosine") == 0


def test_a_disc_as_bright_as_its_ground_moves_by_its_colour():
    grey = np.array([0.2125, 0.7154, 0.0721])
    ground, colour = np.array([0.5, 0.5, 0.5]), np.array([0.9, 0.0, 0.0])
    colour[1] = (ground @ grey - colour[0] * grey[0]) / grey[1]
    shown, names = films(n=4, colours=(ground, colour))
    assert np.ptp(shown @ grey.astype(np.float32)) < 1e-5
    assert motion_direction.score(shown, shown, directions=names) == 1


def test_a_made_film_that_stands_still_is_wrong_and_told():
    shown, _ = films(n=4)
    still = np.repeat(shown[:, :1], 4, axis=1)
    with pytest.warns(UserWarning, match="4 of 4 items .*stands still"):
        assert motion_direction.score(still, shown) == 0
    mixed = np.concatenate([shown[:3], still[3:]])
    assert motion_direction.per_item(shown, mixed).tolist() == [1, 1, 1, 0.25]
    with pytest.raises(BraindecError, match="no film that was shown moves"):
        motion_direction.per_item(shown, still)


def test_end_point_error_is_the_distance_of_flows():
    values = texture(2, 32, grain=3)

    def film(step):
        return np.stack([moved(values, 32, lambda r, c, t=t: [r, c - step * t]) for t in range(3)], axis=1)[..., None]

    right, left = (np.clip(film(s), 0, 1) for s in (1.0, -1.0))
    assert end_point_error.per_item(right, right).tolist() == [0, 0]
    assert end_point_error.per_item(left, right) == pytest.approx([2, 2], abs=0.3)
    still = np.repeat(right[:, :1], 3, axis=1)
    assert end_point_error.per_item(still, right) == pytest.approx([1, 1], abs=0.2)
    assert not end_point_error.higher_is_better
    assert end_point_error.blind(right, np.full_like(right, 0.5)) == pytest.approx(1, abs=0.2)


def test_frame_metrics_are_means_over_frames():
    shown, _ = films(n=3)
    made = np.clip(shown + 0.1 * np.random.default_rng(0).standard_normal(shown.shape), 0, 1).astype(np.float32)
    for film, picture in ((frame_ssim, ssim), (frame_psnr, psnr)):
        frames = [picture.per_item(made[:, t], shown[:, t]) for t in range(4)]
        np.testing.assert_allclose(film.per_item(made, shown), np.mean(frames, axis=0), rtol=1e-9)


def test_consistency_is_the_correlation_of_neighbouring_frames():
    made = np.random.default_rng(0).random((3, 4, 8, 8, 1))
    pairs = [[np.corrcoef(f[t].ravel(), f[t + 1].ravel())[0, 1] for t in range(3)] for f in made]
    shown = np.repeat(made[:, :1], 4, axis=1)
    np.testing.assert_allclose(temporal_consistency.per_item(made, shown, network="pixels"), np.mean(pairs, axis=1))
    assert temporal_consistency.per_item(shown, made, network="pixels") == pytest.approx(1)
    matched = temporal_consistency.per_item(made, shown, network="pixels", version="matched")
    np.testing.assert_allclose(matched, 1 - np.abs(np.mean(pairs, axis=1) - 1))
    with pytest.warns(UserWarning, match="constant features"):
        assert temporal_consistency.score(np.full_like(made, 0.5), shown, network="pixels") == 0
    with pytest.raises(BraindecError, match="at least two frames"):
        temporal_consistency.per_item(made[:, :1], made[:, :1], network="pixels")


def test_a_film_is_identified_as_a_whole_time_included():
    """Films of the same frames in another order: identified by their order, not by their mean frame."""
    rng = np.random.default_rng(0)
    frames = rng.random((4, 8, 8, 1))
    shown = np.stack([frames[order] for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2])])
    made = np.clip(shown + 0.05 * rng.standard_normal(shown.shape), 0, 1)
    assert film_two_way.score(made, shown, network="pixels") == 1
    assert film_two_way.blind(shown, shown, network="pixels") == pytest.approx(0.5)


def test_clips_have_classes_of_frames_or_of_films():
    rng = np.random.default_rng(0)
    shown = rng.random((6, 3, 8, 8, 1))
    table = rng.random((18, 20))

    def frame_classes(x, layer=None):  # looked up by frame
        return table[[np.abs(shown.reshape(18, -1) - f.ravel()).sum(axis=1).argmin() for f in x]]

    class FilmClasses:
        films, name = True, "films"

        def __call__(self, x, layer=None):
            assert x.ndim == 5
            return frame_classes(x.reshape(-1, *x.shape[2:])).reshape(len(x), 3, -1).mean(axis=1)

    made = shown[::-1]
    by_frame = film_n_way.per_item(made, shown, network=frame_classes, n_way=5)
    np.testing.assert_allclose(by_frame, film_n_way.per_item(made, shown, network=FilmClasses(), n_way=5))
    assert film_n_way.chance(6, n_way=2, n_targets=3) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: motion_direction.per_item(f, f, directions=["rigth"] * 4), "did you mean 'right'"),
        (lambda f: motion_direction.per_item(f, f, directions=["right"]), "one direction an item"),
        (lambda f: end_point_error.per_item(f[:, 0], f[:, 0]), "must be films"),
        (lambda f: end_point_error.per_item(f[:, :1], f[:, :1]), "at least two frames"),
        (lambda f: end_point_error.per_item(f[:, :, :6, :6], f[:, :, :6, :6]), "at least 8 pixels"),
        (lambda f: end_point_error.per_item(f, f, window=0), "needs a window"),
        (lambda f: frame_ssim.per_item(f, f[:, :2]), "one size and mode"),
    ],
)  # fmt: skip
def test_bad_films_are_refused(call, words):
    with pytest.raises(BraindecError, match=words):
        call(films(n=4)[0])
