"""The discriminant that learns on: at first the static classifier, then what its update says."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.online.adaptive_lda import AdaptiveLDA
from braindec.types import Windows


def windows(n: int = 80, *, shift: float = 1.0, seed: int = 0) -> tuple[Windows, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(["a", "b", "c"], [n // 2, n // 4, n - n // 2 - n // 4]))
    X = rng.standard_normal((n, 3, 40))
    for k, name in enumerate("abc"):
        X[y == name, k] += shift
    return Windows.from_arrays(X.astype(np.float32), {"trial_type": y}, sfreq=100.0), y


def test_untouched_it_decides_as_the_classifier_does():
    train, y = windows()
    test, _ = windows(seed=1)
    static, own = Classifier(bin_width=0.1).fit(train, y), AdaptiveLDA(bin_width=0.1).fit(train, y)
    a, b = static.predict_proba(test), np.exp(own.decision(test))
    assert np.mean(static.predict(test) == own.predict(test)) > 0.97 and np.abs(a - b).max() < 0.15
    assert set(own.fitted_on_.ids) == set(train.ids)


def test_an_update_is_the_one_written_down():
    train, y = windows()
    new, label = windows(4, seed=2)
    own = AdaptiveLDA(rate=0.1, covariance_rate=0.02, scaler=None, bin_width=0.1).fit(train, y)
    means, covariance = own.means_.copy(), own.covariance_.copy()
    own.partial_fit(new, label)
    rows = new.load().astype(float).reshape(4, 3, 4, 10).mean(axis=3).reshape(4, -1)
    for row, name in zip(rows, label, strict=True):
        k = "abc".index(name)
        away = row - means[k]
        means[k] = means[k] + 0.1 * away
        covariance = 0.98 * covariance + 0.02 * np.outer(away, away)
    assert np.allclose(own.means_, means, atol=1e-6) and np.allclose(own.covariance_, covariance, atol=1e-6)


def test_it_follows_a_change_that_a_static_one_does_not():
    train, y = windows(200)
    later, z = windows(300, seed=3)
    turned = np.array(["abc"[("abc".index(v) + 1) % 3] for v in z])  # classes have changed places
    own, still = AdaptiveLDA(rate=0.05).fit(train, y), AdaptiveLDA(rate=0.0, covariance_rate=0.0).fit(train, y)
    for k in range(200):
        own.partial_fit(later[k : k + 1], turned[k : k + 1])
        still.partial_fit(later[k : k + 1], turned[k : k + 1])
    assert np.mean(own.predict(later[200:]) == turned[200:]) > 0.9
    assert np.mean(still.predict(later[200:]) == turned[200:]) < 0.1


def test_wrong_shares_and_labels_are_refused():
    train, y = windows()
    with pytest.raises(BraindecError, match="rate is a share"):
        AdaptiveLDA(rate=1.0).fit(train, y)
    with pytest.raises(BraindecError, match="two classes"):
        AdaptiveLDA().fit(train, np.repeat("a", len(y)))
    with pytest.raises(BraindecError, match="not trained: 'd'"):
        AdaptiveLDA().fit(train, y).partial_fit(train[:1], ["d"])
