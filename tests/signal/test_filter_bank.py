"""The bank of filters keeps its band and stays inside each window; information of a feature has its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from braindec.errors import BraindecError
from braindec.signal.filter_bank import BANDS, band_pass, band_windows, check_bands
from braindec.signal.mutual_information import parzen_information
from braindec.types import Windows


def test_a_band_passes_what_is_in_it_and_nothing_else():
    t = np.arange(400) / 100
    X = np.stack([np.sin(2 * np.pi * f * t) for f in (4.0, 10.0, 25.0)])[None]
    found = band_pass(X, 100.0, (8.0, 12.0))
    middle = slice(100, 300)
    np.testing.assert_allclose(found[0, 1, middle], X[0, 1, middle], atol=0.03)  # no shift in time
    assert np.abs(found[0, [0, 2], middle]).max() < 0.02
    assert len(BANDS) == 9 and BANDS[0] == (4.0, 8.0) and BANDS[-1] == (36.0, 40.0)


def test_windows_do_not_touch():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3, 2, 200))
    alone = band_pass(X[1:2], 100.0, (8.0, 12.0))
    X[[0, 2]] *= 100
    np.testing.assert_array_equal(band_pass(X, 100.0, (8.0, 12.0))[1], alone[0])


def test_windows_keep_their_tables():
    rng = np.random.default_rng(1)
    trials = {"trial_type": list("abab"), "run": ["1", "1", "2", "2"]}
    windows = Windows.from_arrays(
        rng.normal(size=(4, 3, 200)).astype("float32"), trials, sfreq=100.0, tmin=-0.5, subject="07"
    )
    found = band_windows(windows, (8.0, 12.0))
    np.testing.assert_allclose(found.load(), band_pass(windows.load(), 100.0, (8.0, 12.0)), atol=1e-6)
    assert found.ids.tolist() == windows.ids.tolist() and found.tmin == -0.5 and found.ch_names == windows.ch_names


def test_refusals():
    X = np.zeros((1, 1, 100))
    with pytest.raises(BraindecError, match="sampling frequency is too low for the band 36 to 40 Hz"):
        band_pass(X, 80.0, (36.0, 40.0))
    with pytest.raises(BraindecError, match="too short for the band 1 to 4 Hz"):
        band_pass(X, 100.0, (1.0, 4.0))
    for wrong in ([], [(12.0, 8.0)], [(0.0, 4.0)], [(4.0,)], ["ab"]):
        with pytest.raises(BraindecError, match="band"):
            check_bands(wrong)


def test_information_of_a_gaussian_feature():
    """Two equally likely Gaussians of distance d: 1 bit less the mean entropy of the posterior, by quadrature."""
    rng = np.random.default_rng(0)
    member = np.arange(1200) % 2 == 0
    distances = np.array([0.0, 1.0, 2.0, 8.0])
    rows = rng.normal(size=(1200, 4)) + member[:, None] * distances
    grid = np.linspace(-8, 16, 4001)
    expected = []
    for d in distances:
        a, b = norm.pdf(grid), norm.pdf(grid - d)
        p = a / (a + b)
        entropy = -(p * np.log2(p) + (1 - p) * np.log2(np.maximum(1 - p, 1e-300)))
        expected.append(1 - np.trapezoid((a + b) / 2 * entropy, grid))
    np.testing.assert_allclose(parzen_information(rows, member), expected, atol=0.04)
    with pytest.raises(BraindecError, match="two rows of each kind"):
        parzen_information(rows[:3], np.array([True, False, False]))
