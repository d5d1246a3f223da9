"""Burg spectra: closed forms, an independent solver, power that adds up, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from braindec.errors import BraindecError
from braindec.signal.burg import burg, burg_psd


def autoregressive(n, seed=0, radius=0.95, frequency=10.0, sfreq=100.0):
    """An AR(2) process with one peak, and its coefficients."""
    a = np.array([-2 * radius * np.cos(2 * np.pi * frequency / sfreq), radius**2])
    noise = np.random.default_rng(seed).normal(size=n + 500)
    return lfilter([1.0], [1.0, *a], noise)[500:], a


def test_order_one_has_the_closed_form():
    x = np.random.default_rng(1).normal(size=(3, 50))
    a, variance = burg(x, 1)
    expected = -2 * (x[:, 1:] * x[:, :-1]).sum(axis=1) / ((x[:, 1:] ** 2).sum(axis=1) + (x[:, :-1] ** 2).sum(axis=1))
    np.testing.assert_allclose(a[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(variance, (x**2).mean(axis=1) * (1 - expected**2), rtol=1e-12)


def test_rows_are_those_of_a_plain_recursion():
    x = np.random.default_rng(2).normal(size=(2, 3, 60))
    a, variance = burg(x, 7)
    for i, j in np.ndindex(2, 3):
        f, b, model, energy = list(x[i, j]), list(x[i, j]), [1.0], float(np.mean(x[i, j] ** 2))
        for _ in range(7):
            f, b = f[1:], b[:-1]
            k = (
                -2
                * sum(p * q for p, q in zip(f, b, strict=True))
                / sum(p * p + q * q for p, q in zip(f, b, strict=True))
            )
            f, b = [p + k * q for p, q in zip(f, b, strict=True)], [q + k * p for p, q in zip(f, b, strict=True)]
            padded = [*model, 0.0]
            model = [p + k * q for p, q in zip(padded, padded[::-1], strict=True)]
            energy *= 1 - k * k
        np.testing.assert_allclose(a[i, j], model[1:], rtol=1e-9)
        np.testing.assert_allclose(variance[i, j], energy, rtol=1e-9)


def test_coefficients_are_those_of_statsmodels():
    linear_model = pytest.importorskip("statsmodels.regression.linear_model")
    x = autoregressive(400)[0]
    rho, sigma2 = linear_model.burg(x, order=6, demean=False)
    a, variance = burg(x, 6)
    np.testing.assert_allclose(a, -rho, rtol=1e-8)
    np.testing.assert_allclose(variance, sigma2, rtol=0.02)


def test_a_known_process_is_found_with_its_spectrum():
    x, true = autoregressive(20_000)
    a, variance = burg(x, 2)
    np.testing.assert_allclose(a, true, atol=0.02)
    assert variance == pytest.approx(1.0, abs=0.03)
    freqs = np.arange(2.0, 45.0, 0.5)
    closed = 2 / (
        100 * np.abs(1 + true[0] * np.exp(-2j * np.pi * freqs / 100) + true[1] * np.exp(-4j * np.pi * freqs / 100)) ** 2
    )
    np.testing.assert_allclose(np.log(burg_psd(x, 100.0, freqs, order=2)), np.log(closed), atol=0.15)


def test_the_spectrum_holds_the_variance_and_pieces_average():
    x = np.stack([autoregressive(2000, seed)[0] for seed in range(3)])
    freqs = np.linspace(0, 50, 2001)
    psd = burg_psd(x, 100.0, freqs, order=12)
    np.testing.assert_allclose(np.trapezoid(psd, freqs, axis=1), x.var(axis=1), rtol=0.05)
    pieces = burg_psd(x, 100.0, freqs, order=12, segment=10.0, overlap=0.0)
    np.testing.assert_allclose(
        pieces, (burg_psd(x[:, :1000], 100.0, freqs, order=12) + burg_psd(x[:, 1000:], 100.0, freqs, order=12)) / 2
    )


def test_refusals():
    x = np.random.default_rng(0).normal(size=(2, 30))
    for order in (0, 15, 2.5, True):
        with pytest.raises(BraindecError, match="does not fit"):
            burg(x, order)
    with pytest.raises(BraindecError, match="zero throughout"):
        burg(np.zeros((2, 30)), 3)
    with pytest.raises(BraindecError, match="half the sampling frequency"):
        burg_psd(x, 40.0, np.array([10.0, 25.0]), order=4)
    with pytest.raises(BraindecError, match="pieces do not fit"):
        burg_psd(x, 40.0, np.array([10.0]), order=4, segment=2.0)
    with pytest.raises(BraindecError, match="overlap"):
        burg_psd(x, 40.0, np.array([10.0]), order=4, overlap=1.0)
