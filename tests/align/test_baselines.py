"""Bands that know nothing of the stimulus."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.baselines import oasm_band, position_band, rate_band
from braindec.errors import BraindecError


def test_position_is_the_same_in_runs_of_one_length_and_has_no_constant():
    runs = np.repeat([1, 2], 50)
    band = position_band(100, runs=runs, degree=3)
    np.testing.assert_allclose(band[:50], band[50:])
    assert band.shape == (100, 3) and np.abs(band.mean(axis=0)).max() < 0.03
    np.testing.assert_allclose(band[:50, 0], np.linspace(-1, 1, 50))
    assert (position_band(1) == 0).sum() >= 1


def test_oasm_shares_with_neighbours_of_the_block_only():
    band = oasm_band(40, blocks=np.repeat(["a", "b"], 20), sigma=2.0)
    overlap = band @ band.T
    assert (overlap[:20, 20:] == 0).all() and overlap[10, 11] > 0.8 * overlap[10, 10] > 0 and overlap[2, 18] < 1e-3
    with pytest.raises(BraindecError, match="sigma"):
        oasm_band(5, sigma=0)


def test_rate_counts_events():
    band = rate_band(np.array([0.1, 0.2, 2.0, 3.9, 9.0]), np.array([0.0, 2.0, 4.0]), step=2.0)
    assert band[:, 0].tolist() == [2, 2, 0]
    with pytest.raises(BraindecError, match="finite"):
        rate_band(np.array([np.nan]), np.zeros(1), step=1)
