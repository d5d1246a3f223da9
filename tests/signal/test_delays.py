"""Delays: an impulse arrives where it should, and never in another run."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.delays import delayed


@pytest.mark.parametrize("delay", [0, 1, 3, -2])
def test_an_impulse_arrives_late_and_only_once(delay):
    X = np.zeros((12, 2))
    X[5, 1] = 1
    out = delayed(X, [delay])
    assert out[5 + delay, 1] == 1 and out.sum() == 1


def test_an_impulse_at_the_end_of_a_run_is_lost():
    X = np.zeros((10, 1))
    X[4] = 1
    runs = np.repeat(["a", "b"], 5)
    assert delayed(X, [1, 2, 3], runs=runs).sum() == 0
    assert delayed(X, [1, 2, 3]).sum() == 3  # the same impulse inside one run
    X = np.zeros((10, 1))
    X[5] = 1
    assert delayed(X, [-1], runs=runs).sum() == 0


def test_each_run_is_delayed_as_if_it_were_alone():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 3)) for n in (7, 2, 11)]
    runs = np.repeat([3, 1, 2], [7, 2, 11])
    together = delayed(np.concatenate(parts), [0, 2, 4], runs=runs)
    np.testing.assert_array_equal(together, np.concatenate([delayed(p, [0, 2, 4]) for p in parts]))
    np.testing.assert_array_equal(together[:, :3], np.concatenate(parts))
    assert (together[7:9, 3:] == 0).all()  # a run of two rows is shorter than the delay


def test_types():
    assert delayed(np.ones((4, 1), dtype=np.float32), [1]).dtype == np.float32
    assert delayed(np.ones((4, 1), dtype=int), [1]).dtype == np.float64
    assert delayed(np.ones((0, 2)), [0, 1]).shape == (0, 4)


@pytest.mark.parametrize("delays", [[], [1, 1], [0.5]])
def test_delays_that_are_not_rows(delays):
    with pytest.raises(BraindecError, match="whole numbers"):
        delayed(np.ones((4, 1)), delays)


def test_runs_that_do_not_fit():
    with pytest.raises(BraindecError, match="not neighbours"):
        delayed(np.ones((4, 1)), [1], runs=["a", "b", "a", "b"])
    with pytest.raises(BraindecError, match="one label"):
        delayed(np.ones((4, 1)), [1], runs=["a"])
