"""Bins counted by one thread a spike are those of the definition."""

from __future__ import annotations

import numpy as np

from braindec.kernels.binning import bin_spikes


def test_binning_is_the_same():
    rng = np.random.default_rng(0)
    flat, offsets = np.concatenate([np.sort(rng.uniform(0, 2, n)) for n in (20, 0, 13)]), np.array([0, 20, 20, 33])
    asked = {"start": 0.3, "width": 0.1, "n_bins": 14}
    found = bin_spikes(flat, offsets, backend="cuda", **asked)
    assert found.dtype == np.int32 and 0 < found.sum() < 33
    np.testing.assert_array_equal(found, bin_spikes(flat, offsets, backend="numpy", **asked))


def test_no_spikes_at_all():
    assert bin_spikes([], [0, 0], start=0.0, width=1.0, n_bins=2, backend="cuda").tolist() == [[0, 0]]
