"""Digits, and voxels that weigh all their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Pictures


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    pictures, known = digit_pictures(), load_digits()
    assert pictures.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(pictures.load()[..., 0] * 16, known.images.astype(np.float32))
    assert pictures.items["concept_id"].astype(int).tolist() == known.target.tolist()


def test_voxels_are_linear_in_the_pixels_with_the_noise_that_is_asked_for():
    pictures = digit_pictures()[:400]
    clean, noisy = (pixel_voxels(pictures, n_voxels=50, noise=n, seed=1).features() for n in (0.0, 0.5))
    pixels = np.column_stack([pictures.load().reshape(400, -1), np.ones(400)])
    rest = clean - pixels @ np.linalg.lstsq(pixels, clean, rcond=None)[0]
    assert np.abs(rest).max() < 1e-4
    assert clean.std(axis=0) == pytest.approx(np.ones(50), abs=1e-4)
    assert (noisy - clean).std() == pytest.approx(0.5, abs=0.01)


def test_repetitions_and_order():
    pictures = digit_pictures()[:6]
    shown = ["digit-0003", "digit-0001"]
    w = pixel_voxels(pictures, n_voxels=10, noise=0.0, stimulus_ids=shown, repetitions=3)
    assert w.trials["stimulus_id"].tolist() == shown * 3 and w.trials["repetition"].tolist() == [0, 0, 1, 1, 2, 2]
    X = w.features()
    np.testing.assert_array_equal(X[:2], X[4:])
    np.testing.assert_array_equal(X[0], pixel_voxels(pictures, n_voxels=10, noise=0.0).features()[3])
    with pytest.raises(BraindecError, match="noise >= 0"):
        pixel_voxels(pictures, noise=-1)


@pytest.mark.parametrize(
    "options", [{"noise": float("nan")}, {"noise": "a"}, {"seed": -1}, {"n_voxels": 2.5}, {"repetitions": 1.5}]
)
def test_strange_options_of_voxels_are_said(options):
    with pytest.raises(BraindecError):
        pixel_voxels(digit_pictures()[:10], **options)


def test_voxels_of_pictures_that_are_all_alike_are_refused_not_nan():
    with pytest.raises(BraindecError, match="all alike"):
        pixel_voxels(Pictures.from_arrays(np.ones((3, 4, 4, 1)), [1, 2, 3]))
