"""Connectivity: scipy's coherence, mixing without delay, delays, a hand computation, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from braindec.errors import BraindecError
from braindec.signal.connectivity import connectivity, node_strength

SFREQ = 128.0
BANDS = ((8.0, 13.0),)


def delayed(n_times=2048, delay=4, seed=0):
    """Channel 1 follows channel 0 by some samples; channel 2 is alone."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_times + delay)
    noise = 0.3 * rng.normal(size=(3, n_times))
    return np.stack([x[delay:], x[:-delay], rng.normal(size=n_times)])[None] + noise


def test_coherence_is_that_of_scipy():
    X = delayed()
    found = connectivity(X, SFREQ, bands=BANDS, measure="coherence", segment=0.5, overlap=0.5)
    f, c = scipy.signal.coherence(
        X[0, 0], X[0, 1], fs=SFREQ, window="hann", nperseg=64, noverlap=32, detrend="constant"
    )
    inside = (f >= 8) & (f < 13)
    assert found[0, 0, 0, 1] == pytest.approx(np.sqrt(c[inside]).mean(), abs=1e-4)
    f, pxy = scipy.signal.csd(X[0, 0], X[0, 1], fs=SFREQ, window="hann", nperseg=64, noverlap=32, detrend="constant")
    power = [
        scipy.signal.welch(X[0, k], fs=SFREQ, window="hann", nperseg=64, noverlap=32, detrend="constant")[1]
        for k in (0, 1)
    ]
    imaginary = np.abs(np.imag(pxy / np.sqrt(power[0] * power[1])))[inside].mean()
    found = connectivity(X, SFREQ, bands=BANDS, measure="imaginary_coherence", segment=0.5, overlap=0.5)
    assert found[0, 0, 0, 1] == pytest.approx(imaginary, abs=1e-4)


def test_a_delay_is_seen_by_all_and_mixing_by_coherence_only():
    X = delayed()
    for measure in ("imaginary_coherence", "coherence", "wpli"):
        found = connectivity(X, SFREQ, bands=BANDS, measure=measure)[0, 0]
        assert found[0, 1] > 0.6 and found[0, 1] > 1.5 * found[0, 2], measure
        np.testing.assert_allclose(found, found.T)
        assert (np.diag(found) == 0).all() and found.min() >= 0 and found.max() <= 1
    rng = np.random.default_rng(1)
    source = rng.normal(size=4096)
    mixed = np.stack([source, -0.7 * source])[None] + 1e-3 * rng.normal(size=(1, 2, 4096))
    assert connectivity(mixed, SFREQ, bands=BANDS, measure="coherence")[0, 0, 0, 1] > 0.99
    assert connectivity(mixed, SFREQ, bands=BANDS)[0, 0, 0, 1] < 0.01


def test_windows_do_not_touch_and_node_strength_is_a_mean():
    X = np.concatenate([delayed(256, seed=s) for s in range(3)])
    bands = ((8.0, 13.0), (13.0, 30.0))
    together = connectivity(X, SFREQ, bands=bands)
    assert together.shape == (3, 2, 3, 3)
    for i in range(3):
        np.testing.assert_allclose(connectivity(X[i : i + 1], SFREQ, bands=bands)[0], together[i])
    np.testing.assert_allclose(node_strength(together)[0, 0, 0], together[0, 0, 0, 1:].mean())


def test_the_phase_lag_index_by_hand():
    X = delayed(128, seed=5)
    pieces = np.stack([X[0, :, s : s + 64] for s in (0, 32, 64)])
    spectra = np.fft.rfft((pieces - pieces.mean(axis=2, keepdims=True)) * scipy.signal.get_window("hann", 64), axis=2)
    cross = np.imag(spectra[:, 0, 5] * spectra[:, 1, 5].conj())  # 10 Hz
    found = connectivity(X, SFREQ, bands=((9.5, 11.0),), measure="wpli", segment=0.5, overlap=0.5)
    assert found[0, 0, 0, 1] == pytest.approx(abs(cross.mean()) / np.abs(cross).mean(), rel=1e-5)


def test_refusals():
    X = delayed(256)
    with pytest.raises(BraindecError, match="did you mean 'coherence'"):
        connectivity(X, SFREQ, bands=BANDS, measure="coherense")
    with pytest.raises(BraindecError, match="between channels"):
        connectivity(X[:, :1], SFREQ, bands=BANDS)
    with pytest.raises(BraindecError, match="three pieces"):
        connectivity(X[:, :, :70], SFREQ, bands=BANDS)
    with pytest.raises(BraindecError, match="sampling frequency is too low"):
        connectivity(X, SFREQ, bands=((50.0, 70.0),))
    with pytest.raises(BraindecError, match="no frequency of the pieces"):
        connectivity(X, SFREQ, bands=((8.5, 9.5),))
    X[0, 1] = 3.0
    with pytest.raises(BraindecError, match="constant in window 0"):
        connectivity(X, SFREQ, bands=BANDS)
