"""Drawn scenes: bytes, balance, geometry, flow and words against what the table says was drawn."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders._scene_shapes import REACH, SHAPES, coverage
from braindec.loaders.scenes import (
    COLOURS,
    DIRECTIONS,
    scene_features,
    scene_flow,
    scene_masks,
    scene_pictures,
)
from braindec.types import Pictures


def test_same_seed_same_bytes_and_other_seed_other_bytes():
    a, b, c = scene_pictures(20, seed=3), scene_pictures(20, seed=3), scene_pictures(20, seed=4)
    assert a.values.dtype == np.uint8 and a.shape == (20, 32, 32, 3)
    assert hashlib.sha256(a.values.tobytes()).digest() == hashlib.sha256(b.values.tobytes()).digest()
    assert a.items.equals(b.items)
    assert (a.values != c.values).any()


@pytest.mark.parametrize("n", [64, 128, 100, 7, 1])
def test_levels_of_each_factor_come_equally_often_and_independently(n):
    items = scene_pictures(n, size=8, film=True, seed=n).items
    factors = {"shape": 4, "colour": 4, "background": 2, "motion": 4}
    for name, levels in factors.items():
        counts = items[name].value_counts().reindex(items[name].unique()).tolist() + [0] * (
            levels - items[name].nunique()
        )
        assert max(counts) - min(counts) <= 1, (name, counts)
    if n == 128:  # the number of combinations: each comes exactly once
        assert items.groupby(list(factors)).size().tolist() == [1] * 128
    if n % 16 == 0:
        assert set(items.groupby(["shape", "colour"]).size()) == {n // 16}


def test_place_gives_no_category_away():
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    items = scene_pictures(800, size=8, seed=5).items
    X = items[["x", "y", "radius", "angle"]].to_numpy()
    for column in ("shape", "colour"):
        nearest = KNeighborsClassifier(25)
        score = cross_val_score(nearest, X, items[column], cv=4).mean()
        assert abs(score - 0.25) < 0.05  # 3 standard errors of 800 draws are .046


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_one_area_their_centre_in_the_middle_and_stay_within_reach(shape):
    mask = coverage(shape, (128.0, 128.0), radius=40.0, angle=0.0, size=256)
    assert mask.sum() == pytest.approx(np.pi * 40**2, rel=0.004)
    y, x = np.indices(mask.shape) + 0.5
    assert (mask * x).sum() / mask.sum() == pytest.approx(128, abs=0.3)
    assert (mask * y).sum() / mask.sum() == pytest.approx(128, abs=0.3)
    assert np.hypot(x - 128, y - 128)[mask > 0].max() <= REACH * 40 + 1


def test_a_turn_by_90_degrees_is_a_turned_picture():
    for shape in SHAPES:
        upright, turned = (coverage(shape, (20.0, 20.0), radius=9.0, angle=a, size=40) for a in (0.0, 90.0))
        np.testing.assert_allclose(turned, np.rot90(upright), atol=0.06)  # counter-clockwise, as np.rot90


def test_what_the_table_says_is_in_the_picture():
    pictures = scene_pictures(48, size=48, shapes=8, colours=8, seed=2)
    masks, values = scene_masks(pictures), pictures.load()
    for i, row in enumerate(pictures.items.itertuples()):
        inside, outside = masks[i] == 1, masks[i] == 0
        assert np.abs(values[i][inside] - [row.red, row.green, row.blue]).max() < 0.5 / 255 + 1e-6
        assert np.abs(values[i][outside] - row.level).max() < 0.5 / 255 + 1e-6
        y, x = np.indices(masks[i].shape) + 0.5
        centre = (masks[i] * x).sum() / masks[i].sum(), (masks[i] * y).sum() / masks[i].sum()
        assert centre == pytest.approx([(row.x + 1) * 24, (row.y + 1) * 24], abs=0.4)
        assert masks[i].sum() == pytest.approx(np.pi * (row.radius * 48) ** 2, rel=0.03)
        assert outside[[0, -1]].all() and outside[:, [0, -1]].all()  # nothing is cut off
        assert abs((row.hue - COLOURS[row.colour] + 0.5) % 1 - 0.5) <= 0.0221


def test_edges_are_smooth():
    masks = scene_masks(scene_pictures(8, size=32, seed=1))
    assert ((masks > 0.05) & (masks < 0.95)).mean() > 0.01
    assert len(np.unique(masks)) > 15


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_whole_steps_move_every_pixel_exactly(speed):
    films = scene_pictures(16, size=40, film=True, speed=speed, directions=8, n_frames=4, seed=6)
    for values, row in zip(films.values, films.items.itertuples(), strict=True):
        if DIRECTIONS[row.motion] % 90:
            continue  # diagonals are no whole pixels
        right, down = round(row.dx), round(row.dy)
        assert abs(right) + abs(down) == speed
        for t in range(3):
            assert (np.roll(values[t], (down, right), axis=(0, 1)) == values[t + 1]).all()


def test_flow_is_the_displacement_of_the_centre_of_mass():
    films = scene_pictures(24, size=32, film=True, directions=8, seed=7)
    assert films.frame_rate == 8.0 and films.shape == (24, 6, 32, 32, 3)
    masks, flow = scene_masks(films), scene_flow(films)
    y, x = np.indices((32, 32)) + 0.5
    cx, cy = ((masks * axis).sum(axis=(2, 3)) / masks.sum(axis=(2, 3)) for axis in (x, y))
    inside = masks[:, :-1] >= 0.5
    assert (flow[~inside] == 0).all()
    for i, row in enumerate(films.items.itertuples()):
        assert np.diff(cx[i]) == pytest.approx(flow[i, 0][inside[i, 0]][0, 0], abs=0.06)
        assert np.diff(cy[i]) == pytest.approx(flow[i, 0][inside[i, 0]][0, 1], abs=0.06)
        assert np.hypot(row.dx, row.dy) == pytest.approx(row.speed)
        assert np.rad2deg(np.arctan2(-row.dy, row.dx)) % 360 == pytest.approx(row.direction, abs=1e-6)
        assert (cx[i].mean() / 16 - 1, cy[i].mean() / 16 - 1) == pytest.approx((row.x, row.y), abs=0.03)


def test_flow_warps_one_frame_into_the_next():
    films = scene_pictures(6, size=32, film=True, speed=1.0, directions=4, seed=8)
    values, flow = films.load(), scene_flow(films)
    for i in range(6):
        t = 2
        ys, xs = np.nonzero(scene_masks(films)[i, t] == 1)
        right, down = (flow[i, t, ys, xs, k].round().astype(int) for k in (0, 1))
        np.testing.assert_array_equal(values[i, t, ys, xs], values[i, t + 1, ys + down, xs + right])


def test_features_say_what_was_drawn():
    films = scene_pictures(256, size=16, film=True, seed=9)
    found = scene_features(films)
    values, units = found.load(), found.units
    assert list(dict.fromkeys(units["component"])) == [
        "shape", "colour", "background", "motion", "position", "size", "turn", "hue",
    ]  # fmt: skip
    for factor in ("shape", "colour"):
        mine = (units["component"] == factor).to_numpy()
        names = [n.split(" ", 1)[1] for n in units["name"][mine]]
        assert [names[k] for k in values[:, mine].argmax(axis=1)] == films.items[factor].tolist()
        assert np.abs(values[:, mine].sum(axis=1)).max() < 1e-6
    place = values[:, (units["component"] == "position").to_numpy()]
    assert np.corrcoef(place[:, 0], films.items["x"])[0, 1] == pytest.approx(1.0)
    assert place.std(axis=0) == pytest.approx(1.0, abs=0.12)
    np.testing.assert_array_equal(
        scene_features(films[10:12]).load(), values[10:12]
    )  # a row is its own picture's alone


def test_captions_say_colour_shape_place_and_motion_in_three_ways():
    films = scene_pictures(60, size=24, film=True, seed=10)
    for row in films.items.itertuples():
        said = [row.caption, row.caption_2, row.caption_3]
        assert len(set(said)) == 3
        for text in said:
            assert f"{row.colour} {row.shape}" in text
            assert row.motion in text
        assert row.place in row.caption and row.background in row.caption_2 and row.background in row.caption_3
        left = any(w in row.place for w in ("left",))
        assert not left or row.x < 0
        assert "upper" not in row.place or row.y < 0
    still = scene_pictures(4, size=24)
    assert not still.items["caption"].str.contains("moving").any()
    assert (still.items["motion"] == "still").all()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"shapes": ["disk", "star"]}, "disc"),
        ({"colours": 9}, "1 to 8"),
        ({"size": 4}, "8 to 256"),
        ({"n": 0}, "n >= 1"),
        ({"radius": (0.1, 0.4)}, "do not fit"),
        ({"film": True, "speed": 9.0}, "slower"),
        ({"concept": "shap"}, "shape"),
        ({"concept": "motion"}, "films"),
        ({"backgrounds": ["dark", "dark"]}, "twice"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(options, word):
    with pytest.raises(BraindecError) as error:
        scene_pictures(**{"n": 8, **options})
    assert word in str(error.value)


def test_other_pictures_have_no_truth():
    digits = Pictures.from_arrays(np.zeros((2, 8, 8)), ["a", "b"])
    for function in (scene_features, scene_flow, scene_masks):
        with pytest.raises(BraindecError, match="no drawn scenes"):
            function(digits)
    with pytest.raises(BraindecError, match="do not move"):
        scene_flow(scene_pictures(2))


def test_concepts():
    assert set(scene_pictures(16, concept="shape").items["concept_id"]) == {"disc", "square", "triangle", "star"}
    assert scene_pictures(16).items["concept_id"].nunique() == 16
    assert (
        scene_pictures(64, size=16, film=True, concept="motion").items["concept_id"].value_counts().tolist() == [16] * 4
    )


@pytest.mark.parametrize(
    "options",
    [
        {"n": 10.5}, {"n": "5"}, {"size": 16.5}, {"seed": -1}, {"seed": None}, {"seed": 1.5}, {"shapes": 2.5}, {"shapes": True},
        {"radius": (0.1,)}, {"radius": ("a", "b")}, {"film": True, "n_frames": 2.5}, {"film": True, "speed": "fast"},
        {"concept": "motion"},
    ],
)  # fmt: skip
def test_strange_options_of_scenes_are_said(options):
    with pytest.raises(BraindecError):
        scene_pictures(**{"n": 6, "size": 8, **options})
