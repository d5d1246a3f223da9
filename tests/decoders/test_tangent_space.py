"""The tangent space: closed form, deficient rank, re-centring without labels, the missing package."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from braindec.decoders.tangent_space import TangentSpace
from braindec.errors import BraindecError, MissingExtraError
from braindec.loaders.synthetic_imagery import synthetic_imagery
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows
from braindec.types import Windows

pytest.importorskip("pyriemann")


def with_covariances(covariances, n_times=64):
    """Windows whose plain covariances are exactly these."""
    rng = np.random.default_rng(0)
    n, c, _ = covariances.shape
    X = np.empty((n, c, n_times))
    for i in range(n):
        noise = rng.normal(size=(c, n_times))
        noise -= noise.mean(axis=1, keepdims=True)
        white = np.linalg.solve(np.linalg.cholesky(noise @ noise.T / (n_times - 1)), noise)
        X[i] = np.linalg.cholesky(covariances[i]) @ white
    return X


def test_diagonal_covariances_have_log_ratios_as_coordinates():
    rng = np.random.default_rng(1)
    variances = np.exp(rng.normal(size=(12, 3)))
    X = with_covariances(np.stack([np.diag(v) for v in variances]))
    y = np.tile(["a", "b"], 6)
    decoder = TangentSpace("scm").fit(Windows.from_arrays(X.astype("float32"), {"trial_type": y}, sfreq=64.0), y)
    rows = decoder._data(Windows.from_arrays(X.astype("float32"), {"trial_type": y}, sfreq=64.0))
    expected = np.log(variances) - np.log(variances).mean(axis=0)  # the Riemannian mean of diagonals is geometric
    np.testing.assert_allclose(rows[:, [0, 3, 5]], expected, atol=1e-4)
    np.testing.assert_allclose(rows[:, [1, 2, 4]], 0, atol=1e-4)


def test_invertible_mixing_changes_nothing():
    """Affine invariance: the same decisions from other electrodes, and from an average reference that keeps all."""
    recordings = synthetic_imagery(classes=("left_hand", "right_hand"), n_sessions=1).recordings
    windows = make_windows(prepare(recordings, [{"filter": {"low": 7.0, "high": 30.0}}]), tmin=0.5, tmax=3.5)
    y, X = windows.trials["trial_type"].to_numpy(), windows.load()[:, :8].astype(float)
    mixing = np.random.default_rng(2).normal(size=(8, 8))
    both = [Windows.from_arrays(np.einsum("dc,nct->ndt", m, X).astype("float32"), windows.trials, sfreq=100.0)
            for m in (np.eye(8), mixing)]  # fmt: skip
    a, b = (TangentSpace("scm", model="ridge", alpha=0.1).fit(w[:48], y[:48]).decision(w[48:]) for w in both)
    np.testing.assert_allclose(a, b, atol=2e-3)
    average = X - X.mean(axis=1, keepdims=True)
    deficient, full = (
        Windows.from_arrays(x.astype("float32"), windows.trials, sfreq=100.0) for x in (average, average[:, :7])
    )
    found = [TangentSpace("scm", model="ridge", alpha=0.1).fit(w[:48], y[:48]) for w in (deficient, full)]
    assert found[0].rank_ == 7
    np.testing.assert_allclose(found[0].decision(deficient[48:]), found[1].decision(full[48:]), atol=2e-3)


def test_recentring_helps_a_session_that_drifted_and_sees_no_label():
    gains = []
    for subject in ("01", "03"):
        recordings = synthetic_imagery(subject, drift=2.0, n_runs=2).recordings
        windows = make_windows(prepare(recordings, [{"filter": {"low": 7.0, "high": 30.0}}]), tmin=0.5, tmax=3.5)
        y = windows.trials["trial_type"].to_numpy()
        train = (windows.trials["session"] == "01").to_numpy()
        plain, moved = (
            TangentSpace(model="ridge", recentre=r).fit(windows[train], y[train]) for r in (None, "session")
        )
        gains.append(moved.score(windows[~train], y[~train]) - plain.score(windows[~train], y[~train]))
        assert all(set(r.ids) <= set(windows.ids[train].astype(str)) for r in moved.fit_records_)
    assert np.mean(gains) > 0.1


def test_refusals(monkeypatch):
    rng = np.random.default_rng(0)
    windows = Windows.from_arrays(
        rng.normal(size=(12, 6, 5)).astype("float32"), {"trial_type": list("ab" * 6)}, sfreq=100.0
    )
    y = windows.trials["trial_type"].to_numpy()
    with pytest.raises(BraindecError, match="so short windows cannot be inverted"):
        TangentSpace("scm").fit(windows, y)
    TangentSpace("lwf").fit(windows, y)
    with pytest.raises(BraindecError, match="no column 'session'"):
        TangentSpace(recentre="session").fit(windows, y)
    monkeypatch.setitem(sys.modules, "pyriemann.utils", None)
    with pytest.raises(MissingExtraError, match="pyriemann"):
        TangentSpace().fit(windows, y)
