from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.covariance import ledoit_wolf

from braindec import registry
from braindec.errors import BraindecError
from braindec.signal.transforms._covariance import matrix_power, shrunk_covariances
from braindec.signal.transforms.baseline import Baseline
from braindec.signal.transforms.euclidean_alignment import EuclideanAlignment
from braindec.signal.transforms.noise_normalizer import NoiseNormalizer
from braindec.signal.transforms.robust_scaler import RobustScaler
from braindec.signal.transforms.standard_scaler import StandardScaler
from braindec.types import FitRecord

N, C, T = 60, 5, 80


@pytest.fixture
def mixed():
    """Windows whose channels are mixed by a known matrix, at the scale of EEG in V."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(C, C)) + 2 * np.eye(C)
    return ((mixing @ rng.normal(size=(N, C, T))) * 1e-5).astype(np.float32), mixing


def make(name):
    options = {"baseline": {"times": (np.arange(T) / 100 - 0.2).tolist()}}.get(name, {})
    return registry.get("signal.transforms", name)(**options)


@pytest.mark.parametrize("name", registry.names("signal.transforms"))
def test_every_transform_clones_records_its_rows_and_refuses_what_it_cannot_use(name, mixed):
    X, _ = mixed
    step = clone(make(name))
    ids = [f"w{i}" for i in range(N)]
    before = X.copy()
    out = step.fit(X, ids=ids).transform(X[:7])
    assert out.shape == (7, C, T) and out.dtype == np.float32
    assert (before == X).all(), "the input was changed"
    assert isinstance(step.fitted_on_, FitRecord) and step.fitted_on_.hash == FitRecord.of(step, ids).hash
    assert step.fit(X).fitted_on_.ids.size == 0
    broken = X.copy()
    broken[3, 2, 5] = np.nan
    for call in (lambda: make(name).fit(broken), lambda: step.transform(broken)):
        with pytest.raises(BraindecError, match="not finite") as error:
            call()
        assert "[2]" in str(error.value)
    with pytest.raises(BraindecError, match="window, channel, time"):
        make(name).fit(X[0])
    with pytest.raises(BraindecError, match="differ in number"):
        make(name).fit(X, ids=ids[:-1])
    if name != "baseline":
        with pytest.raises(BraindecError, match="not fitted"):
            make(name).transform(X)
        with pytest.raises(BraindecError, match="other channels"):
            step.transform(X[:, :3])


@pytest.mark.parametrize("name", ["robust_scaler", "standard_scaler", "noise_normalizer", "euclidean_alignment"])
def test_what_is_learnt_depends_on_the_training_rows_only(name, mixed):
    X, _ = mixed
    a, b = make(name).fit(X[:40]), make(name).fit(X[:40])
    assert np.array_equal(a.transform(X[40:]), b.transform(X[40:]))
    assert np.array_equal(a.transform(X[40:])[:5], a.transform(X[40:45])), "a row depends on its neighbours"


@pytest.mark.parametrize("name", ["robust_scaler", "standard_scaler", "noise_normalizer", "euclidean_alignment"])
def test_inverse(name, mixed):
    X, _ = mixed
    step = make(name).fit(X)
    assert np.allclose(step.inverse_transform(step.transform(X)), X, atol=1e-6 * np.abs(X).max())


def test_robust_scaler_against_pandas_and_by_hand():
    import pandas as pd

    X = np.random.default_rng(1).gamma(2, size=(20, 3, 50))
    out = RobustScaler(clamp=None).fit(X).transform(X)
    for c in range(3):
        s = pd.Series(X[:, c].ravel())
        expected = (s - s.median()) / (s.quantile(0.75) - s.quantile(0.25))
        assert np.allclose(out[:, c].ravel(), expected, atol=1e-5)
    # median 2, quartiles 1 and 3: (x - 2) / 2
    X = np.array([[[0.0, 1, 2, 3, 4]]])
    assert RobustScaler().fit(X).transform(X).ravel().tolist() == [-1, -0.5, 0, 0.5, 1]


def test_robust_scaler_clamps_at_20_and_a_zero_range_counts_as_one():
    X = np.zeros((4, 2, 10))
    X[:, 0] = np.arange(40).reshape(4, 10)
    X[:, 1] = 7.0
    step = RobustScaler().fit(X)
    assert step.spread_[""][1] == 1
    test = np.array([[[1e9] * 10, [9.0] * 10]])
    out = step.transform(test)
    assert (out[0, 0] == 20).all() and (out[0, 1] == 2).all()
    assert (step.transform(-test)[0, 0] == -20).all()
    with pytest.raises(BraindecError, match="clamp"):
        RobustScaler(clamp=-1).fit(X)


def test_a_constant_with_an_offset_is_not_blown_up():
    X = np.full((10, 1, 50), 0.1, dtype=np.float32)
    X += np.float32(1e-16)
    assert np.abs(StandardScaler().fit(X).transform(X)).max() < 1e-6


def test_standard_scaler_gives_mean_0_and_deviation_1_for_each_group(mixed):
    X, _ = mixed
    groups = ["a"] * 30 + ["b"] * 30
    X = X.copy()
    X[30:] = X[30:] * 7 + 1e-4
    out = StandardScaler().fit(X, groups=groups).transform(X, groups=groups)
    for rows in (slice(0, 30), slice(30, 60)):
        assert np.allclose(out[rows].mean(axis=(0, 2)), 0, atol=1e-4)
        assert np.allclose(out[rows].std(axis=(0, 2)), 1, atol=1e-4)
    with pytest.raises(BraindecError, match="not fitted on group 'c'"):
        StandardScaler().fit(X, groups=groups).transform(X[:1], groups=["c"])
    with pytest.raises(BraindecError, match="groups and windows"):
        StandardScaler().fit(X, groups=groups[:-1])


@pytest.mark.parametrize("n", [8, 40, 500])
def test_shrinkage_is_that_of_ledoit_and_wolf(n):
    X = np.random.default_rng(2).normal(size=(4, 12, n)) * np.linspace(1, 3, 12)[:, None]
    ours = shrunk_covariances(X)
    for k in range(4):
        assert np.allclose(ours[k], ledoit_wolf(X[k].T)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("over", ["time", "windows"])
def test_noise_covariance_is_the_mean_over_conditions_and_becomes_the_identity(over, mixed):
    X, _ = mixed
    conditions = np.array(["a"] * 10 + ["b"] * 50)
    step = NoiseNormalizer(over=over, shrinkage=0.0).fit(X, groups=conditions)

    def noise(data):
        found = []
        for name in "ab":
            part = data[conditions == name].astype(float)
            pieces = [np.cov(x, bias=True) for x in (part if over == "time" else part.transpose(2, 1, 0))]
            found.append(np.mean(pieces, axis=0))
        return np.mean(found, axis=0)

    assert np.allclose(step.covariance_, noise(X), rtol=1e-5)
    assert np.allclose(noise(step.transform(X)), np.eye(C), atol=1e-4)
    assert np.allclose(step.whitener_ @ step.covariance_ @ step.whitener_, np.eye(C), atol=1e-8)
    shrunk = NoiseNormalizer(over=over).fit(X, groups=conditions)
    assert np.allclose(shrunk.whitener_ @ shrunk.covariance_ @ shrunk.whitener_, np.eye(C), atol=1e-8)


def test_over_windows_the_evoked_response_is_no_noise(mixed):
    X, _ = mixed
    evoked = 1e-3 * np.sin(np.arange(T) / 5)[None, None, :] * np.arange(1, C + 1)[None, :, None]
    plain = NoiseNormalizer(over="windows", shrinkage=0.0).fit(X).covariance_
    loud = NoiseNormalizer(over="windows", shrinkage=0.0).fit(X + evoked).covariance_
    assert np.allclose(plain, loud, rtol=1e-3, atol=1e-3 * plain.max())
    assert np.trace(NoiseNormalizer(shrinkage=0.0).fit(X + evoked).covariance_) > 100 * np.trace(plain)


def test_whitening_makes_the_order_and_scale_of_channels_irrelevant(mixed):
    X, _ = mixed
    gains = np.array([1, 10, 0.1, 5, 2.0])[:, None]
    a = NoiseNormalizer(shrinkage=0.0).fit(X).transform(X)
    b = NoiseNormalizer(shrinkage=0.0).fit(X * gains).transform(X * gains)
    # both are whitened: they differ by a rotation, so all distances between windows are equal
    gram = [np.einsum("nct,mct->nm", x.astype(float), x.astype(float)) for x in (a, b)]
    assert np.allclose(gram[0], gram[1], rtol=1e-3, atol=1e-2)


def test_a_singular_covariance_is_refused_with_its_rank(mixed):
    X = mixed[0].astype(np.float64)
    X[:, 4] = -X[:, :4].mean(axis=1)
    for step in (NoiseNormalizer(shrinkage=0.0), EuclideanAlignment()):
        with pytest.raises(BraindecError, match="rank 4 of 5"):
            step.fit(X)
    NoiseNormalizer().fit(X)  # shrinkage mends it
    with pytest.raises(BraindecError, match="rank"):
        matrix_power(np.zeros((2, 2)), -0.5, what="x")


@pytest.mark.parametrize("options", [{"over": "epochs"}, {"shrinkage": 2.0}])
def test_unknown_options_of_the_noise_normaliser(options, mixed):
    with pytest.raises(BraindecError):
        NoiseNormalizer(**options).fit(mixed[0])


def test_alignment_makes_the_mean_covariance_of_every_domain_the_identity(mixed):
    X, _ = mixed
    domains = np.array(["s1"] * 25 + ["s2"] * 35)
    X = X.copy()
    X[25:] = (np.random.default_rng(3).normal(size=(C, C)) @ X[25:]).astype(np.float32)
    out = EuclideanAlignment().fit(X, groups=domains).transform(X, groups=domains).astype(float)
    for name in ("s1", "s2"):
        part = out[domains == name]
        assert np.allclose(np.mean([x @ x.T / T for x in part], axis=0), np.eye(C), atol=1e-4)


def test_an_unseen_domain_needs_calibration_which_is_recorded(mixed):
    X, _ = mixed
    step = EuclideanAlignment().fit(X[:30], groups=["s1"] * 30, ids=[f"a{i}" for i in range(30)])
    with pytest.raises(BraindecError, match="no reference for domain 's2'") as error:
        step.transform(X[30:], groups=["s2"] * 30)
    assert "adapt" in str(error.value)
    step.adapt(X[30:45], groups="s2", ids=[f"b{i}" for i in range(15)])
    out = step.transform(X[30:45], groups=["s2"] * 15).astype(float)
    assert np.allclose(np.mean([x @ x.T / T for x in out], axis=0), np.eye(C), atol=1e-4)
    assert [len(r.ids) for r in step.fit_records_] == [30, 15]
    assert "b3" in step.fit_records_[1].ids
    with pytest.raises(BraindecError, match="already"):
        step.adapt(X[:3], groups="s1")


def test_baseline_removes_the_mean_of_the_span_only():
    times = np.arange(-20, 60) / 100
    X = np.random.default_rng(0).normal(size=(6, 3, 80)) + 5
    out = Baseline(times=times, tmax=0.0).fit(X).transform(X)
    span = times <= 1e-9
    assert span.sum() == 21
    assert np.allclose(out[:, :, span].mean(axis=2), 0, atol=1e-6)
    assert np.allclose(out, X - X[:, :, :21].mean(axis=2, keepdims=True), atol=1e-6)
    late = Baseline(times=times, tmin=0.1, tmax=0.2).fit_transform(X)
    assert np.allclose(late, X - X[:, :, 30:41].mean(axis=2, keepdims=True), atol=1e-6)
    with pytest.raises(BraindecError, match="no sample"):
        Baseline(times=times, tmin=2.0, tmax=3.0).fit(X)
    with pytest.raises(BraindecError, match="differ in length"):
        Baseline(times=times[:-1]).fit(X)
