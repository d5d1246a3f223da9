"""Scores against scipy, scikit-learn and the definition; undefined ones are NaN."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from braindec.errors import BraindecError
from braindec.ridge import pearson, r2, split_r, split_r2, unique_r2


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    parts = {name: rng.standard_normal((60, 7)) + 1.0 for name in ("a", "b", "c")}
    return sum(parts.values()) + rng.standard_normal((60, 7)) + 5.0, parts


def test_against_independent_implementations(arrays):
    Y, parts = arrays
    P = sum(parts.values())
    assert np.allclose(pearson(Y, P), [pearsonr(Y[:, k], P[:, k]).statistic for k in range(7)], atol=1e-12)
    assert np.allclose(r2(Y, P), r2_score(Y, P, multioutput="raw_values"), atol=1e-12)


def test_shares_sum_to_the_score_of_the_sum(arrays):
    Y, parts = arrays
    P = sum(parts.values())
    assert np.allclose(sum(split_r2(Y, parts).values()), r2(Y, P), atol=1e-12)
    assert np.allclose(sum(split_r(Y, parts).values()), pearson(Y, P), atol=1e-12)


def test_shares_are_himalayas_for_centred_data(arrays):
    pytest.importorskip("himalaya")
    from himalaya.scoring import r2_score_split

    Y, parts = arrays
    Y, parts = Y - Y.mean(0), {name: P - P.mean(0) for name, P in parts.items()}
    theirs = r2_score_split(Y, np.stack(list(parts.values())))
    assert np.allclose(np.stack(list(split_r2(Y, parts).values())), theirs, atol=1e-10)


def test_orthogonal_bands_have_their_own_r2():
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 5)) - 0.0)[0]
    basis = np.linalg.qr(np.c_[np.ones(50), basis])[0][:, 1:]
    parts = {"a": basis[:, :1] * 2, "b": basis[:, 1:2]}
    Y = parts["a"] + parts["b"] + 2 * basis[:, 2:3]
    shares = split_r2(Y, parts)
    assert np.allclose(shares["a"], 4 / 9) and np.allclose(shares["b"], 1 / 9)


def test_constant_and_not_finite_targets_are_nan(arrays):
    Y, parts = arrays
    Y[:, 1], Y[3, 2] = 0.1, np.nan
    P = sum(parts.values())
    for score in (pearson(Y, P), r2(Y, P), split_r2(Y, parts)["a"], split_r(Y, parts)["b"]):
        assert np.isnan(score[[1, 2]]).all() and np.isfinite(np.delete(score, [1, 2])).all()
    P[:, 0] = 3.0
    assert np.isnan(pearson(Y, P)[0]) and np.isfinite(r2(Y, P)[0])


def test_shapes_are_checked(arrays):
    Y, _ = arrays
    with pytest.raises(BraindecError, match="one shape"):
        pearson(Y, Y[:, :3])
    with pytest.raises(BraindecError, match="at least one band"):
        split_r2(Y, {})
    with pytest.raises(BraindecError, match="same targets"):
        unique_r2(np.zeros(3), np.zeros(4))
    assert np.allclose(unique_r2(np.array([0.5]), np.array([0.2])), 0.3)
