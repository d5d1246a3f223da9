"""WKV: compiled against sums that are written out, against numbers of another implementation, and where exponents are huge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.wkv import wkv, wkv_gradient, wkv_gradient_numpy, wkv_numpy


def sizes(seed: int, batch: int = 2, times: int = 9, channels: int = 3, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    k, v = rng.normal(size=(2, batch, times, channels)) * scale
    return rng.normal(size=channels), rng.normal(size=channels) * scale, k, v, rng.normal(size=k.shape)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_parity_with_the_published_kernel(shared, backend):
    with np.load(shared("models.npz", kind="parity")) as file:
        w, u, k, v, y = (file[f"wkv_{name}"] for name in "wukvy")
    np.testing.assert_allclose(wkv(w, u, k[None], v[None], backend=backend)[0], y, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), times=st.integers(1, 12), scale=st.sampled_from([0.1, 1.0, 30.0, 300.0]))
def test_compiled_scan_is_the_definition(seed, times, scale):
    w, u, k, v, gy = sizes(seed, times=times, scale=scale)
    np.testing.assert_allclose(wkv(w, u, k, v), wkv_numpy(w, u, k, v), atol=1e-11 * scale)
    for found, expected in zip(wkv_gradient(w, u, k, v, gy), wkv_gradient_numpy(w, u, k, v, gy), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9 * scale)


def test_gradient_is_the_slope():
    w, u, k, v, gy = sizes(1)
    step = 1e-6
    for place, gradient in enumerate(wkv_gradient(w, u, k, v, gy)):
        arrays = [w, u, k, v]
        slope = np.empty_like(gradient)
        for at in np.ndindex(gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[place][at] += sign * step
                ends.append((wkv_numpy(*moved) * gy).sum())
            slope[at] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(gradient, slope, atol=1e-7)


def test_closed_forms():
    w, u, k, v, _ = sizes(2)
    np.testing.assert_allclose(wkv(w, u, k, v)[:, 0], v[:, 0])  # nothing came before the first token
    flat = np.full_like(k, 3.0)
    forever = wkv(np.full(3, -50.0), np.zeros(3), flat, v)  # no decay, equal keys: the running mean
    np.testing.assert_allclose(forever, v.cumsum(axis=1) / np.arange(1, 10)[:, None])
    only_now = wkv(w, np.full(3, 500.0), k, v)
    np.testing.assert_allclose(only_now, v)


def test_float32_and_threads_do_not_change_the_answer():
    w, u, k, v, gy = (a.astype(np.float32) for a in sizes(3, batch=40, times=30, channels=20))
    y = wkv(w, u, k, v)  # 24,000 elements: rows in threads
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y[:2], wkv(w, u, k[:2], v[:2]))
    np.testing.assert_allclose(y, wkv_numpy(*(a.astype(float) for a in (w, u, k, v))), atol=2e-6)
    few = wkv_gradient(w, u, k[:2], v[:2], gy[:2])
    many = wkv_gradient(w, u, k, v, np.concatenate([gy[:2], 0 * gy[2:]]))
    for one, other in zip(few[2:], many[2:], strict=True):
        np.testing.assert_array_equal(one, other[:2])


@pytest.mark.parametrize("wrong", [lambda w, u, k, v: (w[:2], u, k, v), lambda w, u, k, v: (w, u, k[0], v[0])])
def test_shapes_that_do_not_fit(wrong):
    with pytest.raises(BraindecError, match="keys and values of"):
        wkv(*wrong(*sizes(0)[:4]))


def test_no_such_version():
    w, u, k, v, gy = sizes(0)
    with pytest.raises(BraindecError, match="no version"):
        wkv_gradient(w, u, k, v, gy, backend="cuda")


def test_a_gradient_of_another_shape_is_refused():
    w, u, k, v, gy = sizes(0)
    for wrong in (gy[:, :4], gy[0], gy[:1]):
        with pytest.raises(BraindecError, match="keys and values of"):
            wkv_gradient(w, u, k, v, wrong)


def test_whole_numbers_and_nan_are_refused():
    w, u, k, v, gy = sizes(0)
    with pytest.raises(BraindecError, match="wrong type"):
        wkv(w, u, k.astype(int), v)  # decays would be cut to whole numbers
    for at in range(4):
        arrays = [a.copy() for a in (w, u, k, v)]
        arrays[at].flat[1] = np.nan
        with pytest.raises(BraindecError, match="NaN"):
            wkv(*arrays)
    with pytest.raises(BraindecError, match="gradients"):
        wkv_gradient(w, u, k, v, np.full_like(gy, np.inf))
    np.testing.assert_array_equal(wkv(w, u, k, v.astype(np.float32)), wkv(w, u, k, v.astype(np.float32).astype(float)))
