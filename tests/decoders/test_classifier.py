"""The classifier: exact refits, simulated truth, scikit-learn habits, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from braindec.decoders._features import bin_edges, binned, channel_scaler, fit_scaler
from braindec.decoders._xdawn import XdawnTangent
from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.types import Windows

SETTINGS = [
    {},
    {"model": "ridge"},
    {"model": "logistic"},
    {"features": "samples", "scaler": "standard", "class_weight": None},
    {"features": "xdawn_tangent", "n_filters": 2},
    {"model": "ridge", "alpha": 0.5, "clamp": None},
    {"shrinkage": 0.3, "scaler": None},
]


def responses(n=90, n_classes=3, seed=0, effect=1.0):
    """Classes differ in the amplitude of a response of channel 2 from 0.1 to 0.2 s."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, 5, 40)).astype("float32")
    X[:, 2, 10:20] += effect * (codes - (n_classes - 1) / 2)[:, None]
    y = np.array(["bird", "car", "dog"])[codes]
    return Windows.from_arrays(X, {"trial_type": y}, sfreq=100.0), y


@pytest.mark.parametrize("settings", SETTINGS)
def test_refits_on_permuted_labels_equal_plain_fits(settings):
    windows, y = responses()
    rng = np.random.default_rng(1)
    Y = np.stack([y[:60], rng.permutation(y[:60]), rng.permutation(y[:60])])
    found = Classifier(**settings).null_decisions(windows[:60], Y, windows[60:])
    for labels, scores in zip(Y, found, strict=True):
        expected = Classifier(**settings).fit(windows[:60], labels).decision(windows[60:])
        np.testing.assert_allclose(scores, expected, atol=1e-8)
    codes = np.unique(y, return_inverse=True)[1][:60]
    np.testing.assert_allclose(
        Classifier(**settings).null_decisions(windows[:60], codes[None], windows[60:])[0], found[0]
    )


@pytest.mark.parametrize("settings", SETTINGS)
def test_planted_classes_are_found_and_nothing_is_found_in_noise(settings):
    windows, y = responses(n=180, effect=1.5)
    decoder = Classifier(**settings).fit(windows[:120], y[:120])
    assert decoder.score(windows[120:], y[120:]) > (0.5 if settings.get("features") == "xdawn_tangent" else 0.65)
    noise, labels = responses(n=180, effect=0.0, seed=3)
    assert abs(Classifier(**settings).fit(noise[:120], labels[:120]).score(noise[120:], labels[120:]) - 1 / 3) < 0.2


def test_habits_of_scikit_learn():
    windows, y = responses()
    decoder = Classifier("ridge", bin_width=0.1)
    copy = clone(decoder)
    assert copy.get_params() == decoder.get_params()
    assert not hasattr(copy.fit(windows, y), "seed")
    assert copy.predict_proba(windows).sum(axis=1) == pytest.approx(np.ones(90))
    assert copy.decision_function(windows).shape == (90, 3)
    assert (copy.predict(windows) == copy.classes_[copy.decision(windows).argmax(axis=1)]).all()
    assert np.mean(cross_val_score(Classifier(), windows, y, cv=3)) > 0.6


def test_logistic_equals_scikit_learn():
    windows, y = responses(n_classes=2)
    decoder = Classifier("logistic", alpha=0.3, scaler=None, features="samples").fit(windows, y)
    X = windows.features().astype(float)
    unit = np.sum((X - X.mean(0)) ** 2) / len(X)
    reference = LogisticRegression(C=1 / (0.3 * unit), class_weight="balanced", max_iter=5000, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(decoder.decision_function(windows), reference.decision_function(X), atol=1e-3)
    np.testing.assert_allclose(decoder.predict_proba(windows), reference.predict_proba(X), atol=1e-3)


def test_rare_classes_weigh_as_much_as_frequent_ones():
    rng = np.random.default_rng(4)
    codes = (rng.random(600) < 0.1).astype(int)
    X = rng.normal(size=(600, 1, 1)).astype("float32")
    X[:, 0, 0] += 1.5 * codes
    windows = Windows.from_arrays(X, {"trial_type": codes}, sfreq=1.0)
    for model in ("lda", "ridge", "logistic"):
        given = Classifier(model, clamp=None).fit(windows, codes).predict(windows)
        recall = [np.mean(given[codes == k] == k) for k in (0, 1)]
        assert abs(recall[0] - recall[1]) < 0.1, model
        greedy = Classifier(model, clamp=None, class_weight=None).fit(windows, codes).predict(windows)
        assert greedy.mean() < given.mean() / 2, model


def test_posteriors_of_the_discriminant_are_calibrated():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 2, 4000)
    X = (rng.normal(size=(4000, 1, 1)) + 1.5 * codes[:, None, None]).astype("float32")
    windows = Windows.from_arrays(X, {"trial_type": codes}, sfreq=1.0)
    posterior = Classifier(clamp=None, class_weight=None).fit(windows, codes).predict_proba(windows)[:, 1]
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = (posterior >= low) & (posterior < low + 0.2)
        assert codes[inside].mean() == pytest.approx(posterior[inside].mean(), abs=0.05)


def test_scaler_and_features_see_training_rows_only():
    windows, y = responses()
    wild = windows.load().copy()
    wild[60:] *= 1000
    other = Windows.from_arrays(wild, windows.trials, sfreq=100.0)
    first, second = Classifier().fit(windows[:60], y[:60]), Classifier().fit(other[:60], y[:60])
    np.testing.assert_array_equal(first.linear_.weights, second.linear_.weights)
    assert all(set(r.ids) == set(windows.ids[:60]) for r in first.fit_records_)
    assert [r.step for r in first.fit_records_] == ["RobustScaler", "Classifier(lda)"]


def test_the_order_of_windows_does_not_matter():
    windows, y = responses()
    order = np.random.default_rng(6).permutation(60)
    a = Classifier().fit(windows[:60], y[:60]).decision(windows[60:])
    b = Classifier().fit(windows[order], y[order]).decision(windows[60:])
    np.testing.assert_allclose(a, b, atol=1e-8)


def test_scalers_by_name():
    robust = channel_scaler("robust", 2.0)
    assert (type(robust).__name__, robust.clamp) == ("RobustScaler", 2.0)
    assert channel_scaler("standard", None).clamp is None
    assert channel_scaler(None, 3.0) is None
    X = np.random.default_rng(0).normal(size=(300, 1, 2000)).astype("float32")
    ids = np.arange(300).astype(str)
    some = fit_scaler(channel_scaler("robust", None), X, ids)  # every second window is enough
    assert set(some.fitted_on_.ids) == set(ids[::2])
    assert some.spread_[""][0] == pytest.approx(1.349, abs=0.01)


def test_time_bins():
    assert bin_edges(205, 256.0, 0.05).tolist()[:3] == [0, 13, 26]
    assert bin_edges(205, 256.0, 0.05)[-1] == 205
    assert bin_edges(3, 0.4, 0.05).tolist() == [0, 1, 2, 3]  # wider than a sample: every sample stays
    assert bin_edges(10, 100.0, 99.0).tolist() == [0, 10]
    X = np.arange(12, dtype="float32").reshape(1, 2, 6)
    np.testing.assert_allclose(binned(X, np.array([0, 2, 6])), [[0.5, 3.5, 6.5, 9.5]])
    np.testing.assert_allclose(binned(X, np.arange(7)), X.reshape(1, -1))


def test_patterns_are_where_the_classes_differ():
    windows, y = responses(n=180, n_classes=2, effect=1.5)
    patterns = Classifier(bin_width=0.05).fit(windows, y).patterns()
    assert patterns.shape == (2, 5, 8)
    channel, time = np.unravel_index(np.abs(patterns[1]).argmax(), (5, 8))
    assert channel == 2
    assert time in (2, 3)  # 0.1 to 0.2 s
    np.testing.assert_allclose(patterns[0], -patterns[1], atol=1e-8)


def test_tangent_features_do_not_change_when_channels_are_mixed():
    """Covariance features see the same brain through any invertible mixing of the sensors."""
    windows, y = responses()
    codes = np.unique(y, return_inverse=True)[1]
    X = windows.load().astype(float)
    mix = np.random.default_rng(8).normal(size=(5, 5)) + 3 * np.eye(5)
    a = XdawnTangent(2).fit_transform(X, codes)
    b = XdawnTangent(2).fit_transform(np.einsum("dc,nct->ndt", mix, X), codes)
    lengths = np.linalg.norm(a, axis=1)
    np.testing.assert_allclose(np.linalg.norm(b, axis=1), lengths, rtol=1e-3)
    np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-2 * np.max(lengths) ** 2)


def test_crop_uses_only_its_span():
    windows, y = responses()
    cropped = Classifier(tmin=0.1, tmax=0.2).fit(windows[:60], y[:60])
    assert cropped.shape_in_ == (5, 10)
    np.testing.assert_array_equal(
        cropped.decision(windows[60:]),
        Classifier().fit(windows.crop(0.1, 0.2)[:60], y[:60]).decision(windows.crop(0.1, 0.2)[60:]),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "ldaa"}, "did you mean 'lda'"),
        ({"features": "bin"}, "did you mean 'bins'"),
        ({"scaler": "minmax"}, "robust, standard"),
        ({"bin_width": -1.0}, "time in s"),
        ({"class_weight": "equal"}, "balanced"),
        ({"shrinkage": "none"}, "auto"),
        ({"clamp": -1}, "positive"),
        ({"model": "ridge", "alpha": -1.0}, "positive"),
        ({"model": "logistic", "alpha": 0.0}, "positive"),
        ({"features": "xdawn_tangent", "n_filters": 0}, "1 or more"),
    ],
)
def test_wrong_settings_are_told(settings, message):
    windows, y = responses()
    with pytest.raises(BraindecError, match=message):
        Classifier(**settings).fit(windows, y)


def test_wrong_data_is_told():
    windows, y = responses()
    with pytest.raises(BraindecError, match="at least two classes"):
        Classifier().fit(windows, np.full(90, "a"))
    with pytest.raises(BraindecError, match="one label for each window"):
        Classifier().fit(windows, y[:5])
    with pytest.raises(BraindecError, match="missing"):
        Classifier().fit(windows, np.where(np.arange(90) == 3, np.nan, np.arange(90) % 2))
    with pytest.raises(BraindecError, match="reads Windows"):
        Classifier().fit(windows.load(), y)
    fitted = Classifier().fit(windows, y)
    with pytest.raises(BraindecError, match="as in training"):
        fitted.predict(windows.crop(0.0, 0.2))
    broken = windows.load().copy()
    broken[3, 1, 7] = np.nan
    with pytest.raises(BraindecError, match="not finite"):
        Classifier().fit(Windows.from_arrays(broken, windows.trials, sfreq=100.0), y)
    with pytest.raises(BraindecError, match="all alike"):
        Classifier().fit(Windows.from_arrays(np.zeros_like(broken), windows.trials, sfreq=100.0), y)
