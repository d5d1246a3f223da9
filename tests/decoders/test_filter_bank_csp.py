"""Filter-bank CSP: the band that tells the classes apart is chosen, and only the middle of a window is used."""

from __future__ import annotations

import numpy as np

from braindec.decoders.filter_bank_csp import FilterBankCSP
from braindec.signal.filter_bank import band_pass
from braindec.types import Windows


def in_one_band(frequency=21.0, n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.tile(["a", "b"], n // 2)
    time = np.arange(400) / 100
    sources = rng.normal(size=(n, 5, 400))
    size = np.where(y == "a", 1.5, 0.3)[:, None]
    sources[:, 0] += size * np.sin(2 * np.pi * frequency * time + rng.uniform(0, 6.28, (n, 1)))
    X = np.einsum("cs,nst->nct", np.random.default_rng(9).normal(size=(5, 5)), sources)
    trials = {"trial_type": y, "run": np.repeat(list("123"), n // 3)}
    return Windows.from_arrays(X.astype("float32"), trials, sfreq=100.0, tmin=-0.5), y


def test_the_band_that_matters_is_chosen():
    windows, y = in_one_band()
    decoder = FilterBankCSP(n_filters=1, n_features=1).fit(windows[:40], y[:40])
    assert {band for band, _ in decoder.chosen()} == {(20.0, 24.0)}
    assert decoder.score(windows[40:], y[40:]) == 1.0
    assert decoder.bank_.information.max() > 0.6
    assert [r.purpose for r in decoder.fit_records_] == ["fit", "selection", "fit"]


def test_partners_come_with_chosen_features():
    windows, y = in_one_band()
    decoder = FilterBankCSP(n_filters=2, n_features=3).fit(windows, y)
    columns = set(decoder.bank_.columns.tolist())
    assert all((c - c % 4) + (c % 4 + 2) % 4 in columns for c in columns) and len(columns) % 2 == 0


def test_a_wider_window_feeds_the_filters_and_is_cut_afterwards():
    windows, y = in_one_band()
    decoder = FilterBankCSP(((8.0, 12.0), (20.0, 24.0)), tmin=0.5, tmax=2.5).fit(windows, y)
    found = decoder._data(windows)[1]
    X = band_pass(windows.load(), 100.0, (20.0, 24.0))[:, :, 100:300]  # windows begin at -0.5 s
    X -= X.mean(axis=2, keepdims=True)
    covs = X @ X.swapaxes(1, 2)
    np.testing.assert_allclose(found, covs / np.trace(covs, axis1=1, axis2=2)[:, None, None], atol=1e-12)
