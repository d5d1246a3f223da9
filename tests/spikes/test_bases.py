"""Bases: sums that are known, causality to the last bit, stretches that start anew, named columns."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.bases import boxcar, bspline, convolve, design, exponential, raised_cosine


def test_raised_cosines_are_the_published_function():
    basis = raised_cosine(5, duration=0.2, width=0.002, offset=0.01)
    axis = np.log(basis.lags + 0.01)
    step = (axis[-1] - axis[0]) / 6  # peaks step apart stand for pi / 2
    for j, curve in enumerate(basis.values.T):
        angle = (axis - axis[0] - j * step) * np.pi / 2 / step
        np.testing.assert_allclose(curve, np.where(np.abs(angle) < np.pi, (1 + np.cos(angle)) / 2, 0), atol=1e-12)
    inside = (axis >= axis[0] + step) & (axis <= axis[0] + 3 * step)
    np.testing.assert_allclose(basis.values[inside].sum(axis=1), 2.0, atol=1e-12)
    assert basis.values[0, 0] == 1 and abs(basis.values[-1]).max() < 1e-12


def test_linear_cosines_are_evenly_spaced_and_add_to_two():
    basis = raised_cosine(6, duration=0.7, width=0.001, scale="linear")
    peaks = basis.lags[basis.values.argmax(axis=0)]
    np.testing.assert_allclose(np.diff(peaks), np.diff(peaks)[0], atol=1.1e-3)
    inside = (basis.lags > peaks[1]) & (basis.lags < peaks[-2])
    np.testing.assert_allclose(basis.values[inside].sum(axis=1), 2.0, atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_splines_and_steps_add_to_one(degree):
    np.testing.assert_allclose(bspline(7, duration=0.1, width=0.001, degree=degree).values.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(boxcar(7, duration=0.1, width=0.001).values.sum(axis=1), 1.0)


def test_exponentials():
    basis = exponential([0.01, 0.03], width=0.005)
    np.testing.assert_allclose(basis.values[3], np.exp(-0.015 / np.array([0.01, 0.03])))
    assert basis.duration == pytest.approx(0.15)
    np.testing.assert_allclose(basis.filter([2.0, -1.0]), 2 * basis.values[:, 0] - basis.values[:, 1])


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_convolution_is_its_definition(delay):
    rng = np.random.default_rng(0)
    y, basis = rng.poisson(0.5, size=(2, 9000)), raised_cosine(3, duration=0.05, width=0.005)
    found = convolve(y, basis, delay=delay)
    for t in (0, 1, 5, 8191, 8192, 8193, 8999):  # beside the edges of the blocks too
        for f in range(3):
            direct = sum(basis.values[lag, f] * y[1, t - delay - lag] for lag in range(10) if t - delay - lag >= 0)
            assert found[t, 1, f] == pytest.approx(direct, abs=1e-12)


def test_history_never_sees_the_bin_nor_what_comes():
    rng = np.random.default_rng(1)
    y, basis = rng.poisson(0.5, size=(2, 400)), raised_cosine(3, duration=0.05, width=0.005)
    before = design(y, history=basis, coupling=basis, target=0).X
    later = y.copy()
    later[:, 200:] = rng.poisson(5, size=(2, 200))
    np.testing.assert_array_equal(design(later, history=basis, coupling=basis, target=0).X[:201], before[:201])
    assert (design(later, history=basis, coupling=basis, target=0).X[201] != before[201]).any()


def test_stretches_start_anew():
    rng = np.random.default_rng(2)
    y, basis = rng.poisson(0.5, size=(2, 100)), exponential(0.01, width=0.005)
    found = convolve(y, basis, offsets=[0, 40, 100])
    np.testing.assert_array_equal(found[40:], convolve(y[:, 40:], basis))
    assert (found[40] == 0).all()


def test_columns_have_names_and_owners():
    y, basis = np.ones((3, 50)), raised_cosine(2, duration=0.05, width=0.005)
    made = design(y, history=basis, coupling=basis, stimulus={"light": np.arange(50.0), "sound": np.ones(50)},
                  stimulus_basis={"light": basis})  # fmt: skip
    assert made.X.shape == (50, 6 + 6 + 2 + 1) and made.columns["name"].is_unique
    own = made.columns[made.of(1)]
    assert set(own.loc[own["kind"] == "history", "source"]) == {1}
    assert set(own.loc[own["kind"] == "coupling", "source"]) == {0, 2}
    assert own["name"].tolist()[-3:] == ["stimulus light cosine0", "stimulus light cosine1", "stimulus sound"]
    alone = design(y, history=basis, coupling=basis, target=1)
    np.testing.assert_array_equal(alone.X, design(y, history=basis, coupling=basis).X[:, own.index[:-3]])
    np.testing.assert_allclose(made.X[5, 12], basis.values[:6, 0] @ np.arange(5.0, -1, -1))  # a stimulus acts at once


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: raised_cosine(20, duration=0.05, width=0.005), "as many bins"),
        (lambda: raised_cosine(3, duration=0.05, width=0.005, scale="cubic"), "no scale"),
        (lambda: raised_cosine(3, duration=-1, width=0.005), "duration"),
        (lambda: exponential(0.0, width=0.005), "tau"),
        (lambda: design(np.full((2, 5), 0.5)), "whole numbers"),
        (lambda: design(-np.ones((2, 5))), "whole numbers"),
        (lambda: design(np.ones((2, 5)), target=2), "no such unit"),
        (lambda: design(np.ones((2, 5)), stimulus={"x": np.ones(4)}), "one finite value a bin"),
    ],
)
def test_wrong_input_is_one_clear_error(make, said):
    with pytest.raises(BraindecError, match=said):
        make()
