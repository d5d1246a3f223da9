"""WKV on the device equals its definition."""

from __future__ import annotations

import numpy as np

from braindec.kernels.wkv import wkv


def test_device_equals_definition():
    rng = np.random.default_rng(0)
    k, v = rng.normal(size=(2, 2, 6, 3)) * 10
    w, u = rng.normal(size=(2, 3))
    np.testing.assert_allclose(wkv(w, u, k, v, backend="cuda"), wkv(w, u, k, v, backend="numpy"), atol=1e-12)
