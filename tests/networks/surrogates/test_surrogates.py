"""Surrogate derivatives: closed forms, derivatives of smooth functions, one body for NumPy, torch and Numba."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm

from braindec import registry
from braindec.errors import BraindecError
from braindec.kernels._lif_loops import derivative_rows
from braindec.networks.surrogate import Surrogate, resolve

NAMES = registry.names("networks.surrogates")
X = np.linspace(-2, 2, 401)
SMOOTH = {  # what the surrogate is the derivative of, from the papers
    "atan": lambda x, k: np.arctan(np.pi / 2 * k * x) / np.pi + 0.5,
    "fast_sigmoid": lambda x, k: x / (1 + k * np.abs(x)),
    "sigmoid": lambda x, k: expit(k * x),
    "gaussian": lambda x, k: norm.cdf(x, scale=1 / k),
    "triangle": lambda x, k: np.where(x < 0, 0.5 * np.clip(1 + k * x, 0, 1) ** 2, 1 - 0.5 * np.clip(1 - k * x, 0, 1) ** 2),
}  # fmt: skip
CLOSED = {
    "atan": lambda x, k: k / 2 / (1 + (np.pi / 2 * k * x) ** 2),
    "fast_sigmoid": lambda x, k: 1 / (1 + k * np.abs(x)) ** 2,
    "sigmoid": lambda x, k: k * expit(k * x) * (1 - expit(k * x)),
    "gaussian": lambda x, k: norm.pdf(x, scale=1 / k),
    "triangle": lambda x, k: k * np.maximum(0, 1 - k * np.abs(x)),
    "straight_through": lambda x, k: k * (np.abs(x) <= 1 / (2 * k)),
}


def test_the_folder_holds_what_is_tested_here():
    assert set(NAMES) == set(CLOSED)


@pytest.mark.parametrize("slope", [0.7, 1.0, 3.0])
@pytest.mark.parametrize("name", NAMES)
def test_derivative_is_the_closed_form(name, slope):
    found = resolve(name).with_slope(slope).derivative(X)
    np.testing.assert_allclose(found, CLOSED[name](X, slope), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_derivative_by_finite_differences(name):
    x, h, k = X + 0.0037, 1e-6, 1.7  # away from the kinks
    expected = (SMOOTH[name](x + h, k) - SMOOTH[name](x - h, k)) / (2 * h)
    np.testing.assert_allclose(resolve(name).with_slope(k).derivative(x), expected, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_even_highest_at_the_threshold_and_never_negative(name):
    found = resolve(name).derivative(X)
    np.testing.assert_allclose(found, found[::-1], atol=1e-15)
    assert found.argmax() == 200 or found[200] == found.max()
    assert (found >= 0).all()


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("fast_sigmoid",)])
def test_area_is_one(name):
    x = np.linspace(-400, 400, 4_000_001)
    assert np.trapezoid(resolve(name).derivative(x), x) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_torch_and_numba_agree_with_numpy_and_keep_the_type(name):
    surrogate = resolve(name)
    x = X.astype(np.float32)
    numpy, tensor = surrogate.derivative(x), surrogate.derivative(torch.from_numpy(x))
    compiled, one = np.empty_like(x), np.float32(1)
    derivative_rows(surrogate.body, "float32")(
        x + one, np.ones_like(x), one * np.float32(surrogate.slope), one, compiled
    )
    again = surrogate.derivative((x + np.float32(1)) - np.float32(1))  # what is left after the threshold is taken off
    assert numpy.dtype == np.float32 and tensor.dtype == torch.float32 and compiled.dtype == np.float32
    np.testing.assert_allclose(tensor.numpy(), numpy, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(compiled, again, rtol=2e-6, atol=1e-7)


def test_far_from_the_threshold_nothing_overflows():
    with np.errstate(over="raise", invalid="raise"):
        for name in NAMES:
            assert np.isfinite(resolve(name).derivative(np.array([-1e4, 1e4]))).all()


def test_an_unknown_name_gives_the_nearest():
    with pytest.raises(BraindecError, match="fast_sigmoid"):
        resolve("fast_sigmiod")


@pytest.mark.parametrize("slope", [0, -1.0, float("nan"), "2", True])
def test_a_slope_must_be_a_positive_number(slope):
    with pytest.raises(BraindecError, match="slope"):
        resolve("atan").with_slope(slope)


def test_one_of_your_own():
    own = Surrogate("flat", lambda x, k, one, exp: k * one + 0 * x, 0.5)
    assert resolve(own) is own
    assert own.derivative(np.float64(3)) == 0.5
