"""Simulated encoding data with known truth."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d

from braindec.evaluate.splits import split_by


def smooth(rng, n, p, sigma=2.0):
    """Independent smooth noise of unit variance, (n, p)."""
    values = gaussian_filter1d(rng.normal(size=(n + 80, p)), sigma, axis=0)[40:-40]
    return values / values.std(axis=0)


def planted(
    *, n_runs=6, per_run=60, n_targets=30, widths=(5, 8), noise=1.0, seed=0, delays=(0,), sigma=0.0, share=None
):
    """Two bands that drive targets by amounts that vary over targets; ``share`` (n_bands, n_targets) is the truth."""
    from braindec.signal.delays import delayed

    rng = np.random.default_rng(seed)
    n = n_runs * per_run
    runs = np.repeat([f"run {k}" for k in range(n_runs)], per_run)
    make = (lambda p: rng.normal(size=(n, p))) if not sigma else (lambda p: smooth(rng, n, p, sigma))
    bands = {name: make(p) for name, p in zip("ab", widths, strict=True)}
    if share is None:
        share = rng.random((2, n_targets)) * np.array([[1.0], [0.6]])
    Y = noise * rng.normal(size=(n, n_targets))
    for k, values in enumerate(bands.values()):
        X = delayed(values, delays, runs=runs)
        W = rng.normal(size=(X.shape[1], n_targets))
        signal = X @ W
        Y += np.sqrt(share[k]) * signal / signal.std(axis=0)
    trials = pd.DataFrame({"run": runs, "onset": np.tile(2.0 * np.arange(per_run), n_runs)})
    trials["window_id"] = [f"{r}@{k}" for r, k in zip(runs, np.tile(np.arange(per_run), n_runs), strict=True)]
    return SimpleNamespace(bands=bands, Y=Y, runs=runs, share=share, trials=trials, splits=split_by(trials, "run") if n_runs > 1 else [], n=n,
                           ids=trials["window_id"].to_numpy())  # fmt: skip


@pytest.fixture(scope="session")
def simulate():
    return planted


@pytest.fixture(scope="session")
def smooth_noise():
    return smooth
