"""The pictures and their features: seen in the numbers, not only by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders._synthetic_features import embed, picture_features
from braindec.loaders._synthetic_images import BACKGROUNDS, PALETTES, TEXTURES, Concept, draw_concepts, redress, render
from braindec.loaders._synthetic_shapes import SHAPES


def grating(cycles_x: float, cycles_y: float, side: int = 64) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    grey = 127 + 100 * np.sin(2 * np.pi * (cycles_x * x + cycles_y * y))
    return np.repeat(np.uint8(grey)[:, :, None], 3, axis=2)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_every_shape_is_drawn_inside_its_box_and_seen(shape):
    for role, outline in SHAPES[shape]():
        assert role in ("body", "second", "accent", "dark") and outline.shape[1] == 2 and np.abs(outline).max() <= 1.0
    plain = render(Concept(shape, "plain", "red", "sky"), np.random.default_rng(0)).astype(int)
    red = (plain[..., 0] - plain[..., 2] > 90).mean()
    assert 0.02 < red < 0.6


@pytest.mark.parametrize(
    ("texture", "background"), list(zip((*TEXTURES, *TEXTURES), (*BACKGROUNDS, *BACKGROUNDS), strict=False))
)
def test_textures_and_backgrounds_change_pixels(texture, background):
    picture = render(Concept("ball", texture, "blue", background), np.random.default_rng(0), size=64)
    other = render(
        Concept("ball", "plain" if texture != "plain" else "dotted", "blue", background),
        np.random.default_rng(0),
        size=64,
    )
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - other).mean() > 1


def test_pictures_are_drawn_from_the_generator_and_exemplars_differ():
    concept = Concept("fish", "striped", "teal", "sunset", 2)
    first, again, other = (render(concept, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (first == again).all() and np.abs(first.astype(int) - other).mean() > 2


def test_concepts_are_different_and_spread():
    concepts = draw_concepts(110, np.random.default_rng(0))
    assert len({c.name for c in concepts}) == 110
    shapes, palettes = (pd.Series([getattr(c, k) for c in concepts]).value_counts() for k in ("shape", "palette"))
    assert len(shapes) == len(SHAPES) and shapes.max() - shapes.min() <= 1
    assert len(palettes) == len(PALETTES) and palettes.max() <= 1.6 * palettes.min()
    assert redress(concepts[0], np.random.default_rng(0)).shape == concepts[0].shape
    with pytest.raises(BraindecError, match="cannot draw 100000 concepts"):
        draw_concepts(100_000, np.random.default_rng(0))


def test_features_know_orientation_frequency_and_place():
    upright, flat, fine = (picture_features(g[None])[0] for g in (grating(7.7, 0), grating(0, 7.7), grating(15.4, 0)))
    energy = [f[48:].reshape(3, 6, 16).mean(axis=2) for f in (upright, flat, fine)]  # (frequency, orientation)
    assert np.unravel_index(energy[0].argmax(), (3, 6)) == (1, 0)
    assert np.unravel_index(energy[1].argmax(), (3, 6)) == (1, 3)
    assert np.unravel_index(energy[2].argmax(), (3, 6)) == (2, 0)
    half = np.full((64, 64, 3), 127, np.uint8)
    half[:, 32:] = grating(7.7, 0)[:, 32:]
    cells = picture_features(half[None])[0][48:].reshape(3, 6, 4, 4)[1, 0]
    assert cells[:, 3].min() > 4 * cells[:, 0].max()


def test_features_know_colour():
    colours = np.zeros((3, 64, 64, 3), np.uint8)
    for k in range(3):
        colours[k, ..., k] = 255
    described = picture_features(colours)[:, :48].reshape(3, 3, 16)
    np.testing.assert_allclose(described[:, :, 0], [[1 / 3, 1, 0.5], [1 / 3, -1, 0.5], [1 / 3, 0, -1]], atol=1e-9)
    assert np.ptp(described, axis=2).max() < 1e-9  # the same everywhere


def test_larger_pictures_are_reduced_first():
    small = grating(6, 3)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(picture_features(small[None]), picture_features(large[None]), atol=1e-9)


def test_embedding_sees_training_rows_only_and_whitens_them():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(60, 20)) @ rng.normal(size=(20, 20))
    stimuli = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(60)], "part": ["train"] * 40 + ["test"] * 20})
    values = embed(raw, stimuli, n_units=8).load()
    changed = raw.copy()
    changed[40:] *= 7
    np.testing.assert_array_equal(embed(changed, stimuli, n_units=8).load()[:40], values[:40])
    np.testing.assert_allclose(np.cov(values[:40].T, bias=True), np.eye(8), atol=1e-5)
    # independent: principal axes of the standardised training rows from the covariance matrix
    scaled = (raw[:40] - raw[:40].mean(axis=0)) / raw[:40].std(axis=0)
    scores = scaled @ np.linalg.eigh(scaled.T @ scaled)[1][:, ::-1][:, :8]
    agreement = np.abs(np.corrcoef(scores.T, values[:40].T)[:8, 8:])
    np.testing.assert_allclose(agreement, np.eye(8), atol=1e-4)
