"""Ridge on pixels and the nearest training picture, against closed forms."""

import numpy as np
import pytest

from braindec.decoders.nearest_picture import NearestPicture
from braindec.decoders.picture_ridge import PictureRidge
from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Pictures


@pytest.fixture(scope="module")
def digits():
    pictures = digit_pictures()
    windows = pixel_voxels(pictures, n_voxels=80, noise=0.5, stimulus_ids=pictures.ids[:360])
    return pictures, windows[:300], windows[300:360]


def test_ridge_is_the_closed_form(digits):
    pictures, train, test = digits
    decoder = PictureRidge(alpha=3.0, scaler=None).fit(train, pictures)
    X, Y = train.load()[:, :, 0].astype(float), pictures.of(train.trials["stimulus_id"]).reshape(300, -1).astype(float)
    mean, scale = Y.mean(axis=0), Y.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    centred = X - X.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + 3.0 * np.eye(80), centred.T @ ((Y - mean) / scale))
    expected = ((test.load()[:, :, 0] - X.mean(axis=0)) @ weights) * scale + mean
    np.testing.assert_allclose(decoder.condition(test).reshape(60, -1), expected, atol=2e-4)
    assert np.array_equal(decoder.reconstruct(test), np.clip(decoder.condition(test), 0, 1))
    assert not decoder.generative
    with pytest.raises(BraindecError, match="no prior"):
        decoder.prior(["a"])


def test_voxels_without_noise_give_the_pictures_back():
    pictures = digit_pictures()
    windows = pixel_voxels(pictures, n_voxels=100, noise=0.0, stimulus_ids=pictures.ids[:300])
    made = PictureRidge(alpha=1e-4).fit(windows[:250], pictures).reconstruct(windows[250:])
    true = pictures.of(windows.trials["stimulus_id"][250:])
    assert np.abs(made - true).max() < 0.35
    assert np.mean((made - true) ** 2) < 1e-3


def test_the_nearest_picture_is_a_training_picture_with_the_largest_correlation(digits):
    pictures, train, test = digits
    decoder = NearestPicture().fit(train, pictures)
    guess, made = decoder.condition(test).reshape(60, -1), decoder.reconstruct(test)
    bank = pictures.of(decoder.bank_ids_).reshape(300, -1)
    best = [max(range(300), key=lambda j, g=g: np.corrcoef(g, bank[j])[0, 1]) for g in guess]
    np.testing.assert_array_equal(made.reshape(60, -1), bank[best])
    assert set(decoder.bank_ids_) == set(train.trials["stimulus_id"])
    near = NearestPicture(closeness="distance").fit(train, pictures)
    best = [np.argmin(((g - bank) ** 2).sum(axis=1)) for g in near.condition(test).reshape(60, -1)]
    np.testing.assert_array_equal(near.reconstruct(test).reshape(60, -1), bank[best])
    mean = NearestPicture(average=300).fit(train, pictures).reconstruct(test)
    np.testing.assert_allclose(mean[0].ravel(), bank.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("kind", [PictureRidge, NearestPicture])
def test_the_same_picture_after_saving(kind, digits, tmp_path):
    pictures, train, test = digits
    decoder = kind(scaler="robust_scaler").fit(train, pictures)
    decoder.save(tmp_path / "model")
    again = kind.load(tmp_path / "model")
    assert np.array_equal(again.reconstruct(test), decoder.reconstruct(test))
    assert again.get_params() == decoder.get_params()
    assert [r.step for r in again.fit_records_] == [r.step for r in decoder.fit_records_]
    assert not list(tmp_path.rglob("*.pkl"))


def test_films_are_predicted_frame_by_frame():
    rng = np.random.default_rng(0)
    films = Pictures.from_arrays(rng.random((40, 3, 4, 4, 1)), [f"f{i}" for i in range(40)], frame_rate=8.0)
    windows = pixel_voxels(Pictures(films.load().reshape(40, 12, 4, 1), films.items), n_voxels=60, noise=0.0)
    made = PictureRidge(alpha=1e-3).fit(windows[:36], films).reconstruct(windows[36:])
    assert made.shape == (4, 3, 4, 4, 1)


def test_what_is_wrong_is_said(digits):
    pictures, train, test = digits
    with pytest.raises(BraindecError, match="there is no picture of"):
        PictureRidge().fit(train, pictures[:5])
    with pytest.raises(BraindecError, match="closeness"):
        NearestPicture(closeness="near").fit(train, pictures)
    with pytest.raises(BraindecError, match="average"):
        NearestPicture(average=0).fit(train, pictures)
    with pytest.raises(BraindecError, match="not fitted"):
        PictureRidge().reconstruct(test)
