"""Area under the ROC curve: by counting pairs, against scikit-learn, its interval and its level."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from braindec.stats.auc import auc


def test_pairs_and_ties():
    found = auc([1.0, 2.0, 2.0, 3.0, np.nan], [False, True, False, True, True])
    assert found.value == pytest.approx(3.5 / 4)
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    assert auc(score, positive).value == pytest.approx(roc_auc_score(positive, score))
    assert np.isnan(auc([1.0, 2.0], [True, True])).all()


def test_full_separation_still_has_a_width():
    few, many = (auc(np.arange(2.0 * n), np.arange(2 * n) >= n) for n in (3, 30))
    assert few.value == many.value == few.high == 1.0 and few.low < 0.75 < 0.9 < many.low < 1
    assert auc([2.0, 1.0], [False, True])[:2] == (0.0, 0.0) and auc([2.0, 1.0], [False, True]).high > 0.7


def test_interval_covers_and_p_holds_its_level():
    rng = np.random.default_rng(1)
    truth, inside, false = 0.7602, [], []  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    positive = np.repeat([True, False], [25, 35])
    for _ in range(400):
        found = auc(rng.normal(size=60) + positive, positive)
        inside.append(found.low <= truth <= found.high)
        false.append(auc(rng.normal(size=60), positive).p <= 0.05)
    assert 0.91 <= np.mean(inside) <= 0.985 and 0.025 <= np.mean(false) <= 0.08
