"""Common spatial patterns: closed forms, two independent implementations, deficient ranks, shrinkage, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.csp import class_covariances, covariances, csp_filters, log_power, signal_space


def mixed(n=80, n_channels=6, n_times=200, seed=0):
    """Two classes of windows of mixed sources; the first source is louder in class 1, the second in class 0."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 2
    sources = rng.normal(size=(n, n_channels, n_times))
    sources[codes == 1, 0] *= 2.0
    sources[codes == 0, 1] *= 3.0
    mixing = rng.normal(size=(n_channels, n_channels))
    return np.einsum("cs,nst->nct", mixing, sources), codes, mixing


def test_diagonal_covariances_have_the_closed_form():
    a, b = np.array([4.0, 1.0, 2.0, 1.0]), np.array([1.0, 3.0, 2.0, 1.5])
    found = csp_filters(np.stack([np.diag(b), np.diag(a)]), n_filters=1)
    np.testing.assert_allclose(found.share, [4 / 5, 1 / 4])  # of class 1: a / (a + b), largest and smallest
    np.testing.assert_allclose(
        np.abs(found.filters), [[1 / np.sqrt(2.5), 0, 0, 0], [0, 1 / np.sqrt(2.0), 0, 0]], atol=1e-12
    )
    np.testing.assert_allclose(np.abs(found.patterns.T), [[np.sqrt(2.5), 0, 0, 0], [0, np.sqrt(2.0), 0, 0]], atol=1e-12)


def test_filters_solve_the_generalised_eigenproblem_and_patterns_are_their_inverse():
    X, codes, mixing = mixed()
    means = class_covariances(covariances(X, normalise=False), codes, 2, shrinkage=0.0)
    found = csp_filters(means, n_filters=3)
    np.testing.assert_allclose(found.filters @ (means[0] + means[1]) @ found.filters.T / 2, np.eye(6), atol=1e-9)
    np.testing.assert_allclose(np.diag(found.filters @ means[1] @ found.filters.T) / 2, found.share, atol=1e-9)
    np.testing.assert_allclose(found.patterns, np.linalg.inv(found.filters), atol=1e-8)
    planted = np.abs(np.corrcoef(found.patterns[:, 0], mixing[:, 0])[0, 1])
    assert planted > 0.98 and np.abs(np.corrcoef(found.patterns[:, 3], mixing[:, 1])[0, 1]) > 0.98


def test_filters_are_those_of_mne():
    from mne.decoding import CSP

    X, codes, _ = mixed()
    X -= X.mean(axis=2, keepdims=True)  # mne does not centre the windows
    other = CSP(n_components=6, reg=None, cov_est="epoch", norm_trace=False, component_order="alternate", log=True)
    other.fit(X, codes)
    covs = covariances(X, normalise=False)
    found = csp_filters(class_covariances(covs, codes, 2, shrinkage=0.0), n_filters=3)
    ours, theirs = found.filters, other.filters_[:6]
    similar = np.abs(np.corrcoef(ours, theirs)[:6, 6:])
    assert (similar.max(axis=1) > 0.999).all()


def test_features_are_those_of_pyriemann():
    spatialfilters = pytest.importorskip("pyriemann.spatialfilters")
    X, codes, _ = mixed(seed=3)
    covs = covariances(X, normalise=False)
    other = spatialfilters.CSP(nfilter=6, metric="euclid", log=True).fit(covs, codes)
    found = csp_filters(class_covariances(covs, codes, 2, shrinkage=0.0), n_filters=3)
    ours, theirs = log_power(covs, found.filters), other.transform(covs)
    similar = np.abs(np.corrcoef(ours.T, theirs.T)[:6, 6:])
    assert (similar.max(axis=1) > 0.9999).all()  # the same components; their scale is free


def test_one_class_against_the_rest():
    rng = np.random.default_rng(1)
    codes = np.arange(90) % 3
    X = rng.normal(size=(90, 5, 100))
    for k in range(3):
        X[codes == k, k] *= 2.0
    means = class_covariances(covariances(X, normalise=False), codes, 3, shrinkage=0.0)
    found = csp_filters(means, n_filters=1)
    assert found.filters.shape == (6, 5) and found.target.tolist() == [0, 0, 1, 1, 2, 2]
    for k in range(3):  # equal to the two-class problem of the class against the mean of the others
        rest = np.mean([means[j] for j in range(3) if j != k], axis=0)
        alone = csp_filters(np.stack([rest, means[k]]), n_filters=1)
        np.testing.assert_allclose(found.share[2 * k : 2 * k + 2], alone.share)
        assert np.abs(found.patterns[:, 2 * k]).argmax() == k


@pytest.mark.parametrize("how", ["average", "double"])
def test_dependent_channels_change_nothing(how):
    X, codes, _ = mixed()
    if how == "average":  # six channels against their mean have rank five; five of them say it all
        full = X - X.mean(axis=1, keepdims=True)
        fewer = full[:, :5]
    else:
        full, fewer = np.concatenate([X, X[:, :1]], axis=1), X
    shares, powers = [], []
    for data in (full.astype(np.float32), fewer):
        covs = covariances(data, normalise=False)
        space = signal_space(covs.mean(axis=0))
        inside = space.T @ covs @ space
        found = csp_filters(class_covariances(inside, codes, 2, shrinkage=0.0), n_filters=2, space=space)
        shares.append(found.share)
        powers.append(log_power(covs, found.filters))
    assert full.shape[1] > fewer.shape[1]
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-5)
    np.testing.assert_allclose(powers[0], powers[1], atol=1e-4)


def test_shrinkage_is_the_ratio_of_error_and_distance():
    X, codes, _ = mixed(n=12, n_channels=4)
    covs = covariances(X)
    found = class_covariances(covs, codes, 2)
    for k in range(2):
        own = covs[codes == k]
        mean = own.mean(axis=0)
        target = np.trace(mean) / 4 * np.eye(4)
        error = sum(np.sum((c - mean) ** 2) for c in own) / (len(own) * (len(own) - 1))
        amount = error / np.sum((mean - target) ** 2)
        assert 0 < amount < 1
        np.testing.assert_allclose(found[k], (1 - amount) * mean + amount * target, rtol=1e-10)
    many = covariances(mixed(n=2000, n_channels=4)[0])
    loose = class_covariances(many, np.arange(2000) % 2, 2)
    np.testing.assert_allclose(loose[0], many[::2].mean(axis=0), atol=2e-4)  # nothing to shrink when much is known


def test_shrinkage_helps_with_fewer_samples_than_channels():
    """How well the filter finds the louder source, from 4 windows of 8 samples a class and 24 channels."""
    found = {"auto": [], 0.01: []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        codes = np.arange(8) % 2
        X = rng.normal(size=(8, 24, 8))
        X[codes == 1, 0] *= 4.0
        covs = covariances(X, normalise=False)
        for amount, values in found.items():
            w = csp_filters(class_covariances(covs, codes, 2, shrinkage=amount), n_filters=1).filters[0]
            values.append(abs(w[0]) / np.linalg.norm(w))
    assert np.mean(found["auto"]) > np.mean(found[0.01]) + 0.1


def test_refusals():
    X, codes, _ = mixed(n=8)
    with pytest.raises(BraindecError, match="constant in all channels"):
        covariances(np.concatenate([X, np.zeros_like(X[:1])]))
    with pytest.raises(BraindecError, match="two samples"):
        covariances(X[:, :, :1])
    with pytest.raises(BraindecError, match="two windows or more of each class"):
        class_covariances(covariances(X), np.array([1] + [0] * 7), 2)
    means = class_covariances(covariances(X), codes, 2)
    with pytest.raises(BraindecError, match="independent channels"):
        csp_filters(means, n_filters=4)
    with pytest.raises(BraindecError, match="no channel varies"):
        signal_space(np.zeros((3, 3)))
    singular = np.diag([1.0, 1.0, 0.0])
    with pytest.raises(BraindecError, match="cannot be inverted"):
        csp_filters(np.stack([singular, singular]), n_filters=1)
