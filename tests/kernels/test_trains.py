"""Checks in front of kernels: each bad input has one message of its own, and good input passes unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.kernels._trains import check_count, check_positive, check_stretch, check_trains


@pytest.mark.parametrize(
    ("flat", "offsets"),
    [
        ([], [0, 0]),
        ([1.0], [0, 0, 1, 1]),
        ([2.0, 3.0, 1.0, 1.0], [0, 2, 4]),  # a unit begins before the last one ended; two spikes at one time
        ([2.0, 3.0, 1.0], [0, 0, 2, 2, 3, 3]),
    ],
)
def test_good_trains_pass(flat, offsets):
    found, starts = check_trains(flat, offsets)
    assert found.dtype == np.float64 and starts.dtype == np.int64
    assert found.tolist() == flat and starts.tolist() == offsets


@pytest.mark.parametrize(
    ("flat", "offsets", "message"),
    [
        ([1.0, np.nan], [0, 2], "finite"),
        ([np.inf], [0, 1], "finite"),
        ([[1.0, 2.0]], [0, 2], "one dimension"),
        ([3.0, 1.0, 2.0], [0, 0, 3], "unit 1 are not sorted"),
        ([1.0, 3.0, 2.0], [0, 1, 3], "unit 1 are not sorted"),
        ([1.0, 2.0], [0, 1], "do not fit"),
        ([1.0, 2.0], [1, 2], "do not fit"),
        ([1.0, 2.0], [0, 2, 1, 2], "must not fall"),
        ([1.0, 2.0], [0.0, 2.0], "whole numbers"),
        ([1.0, 2.0], [0], "whole numbers"),
    ],
)
def test_bad_trains_are_named(flat, offsets, message):
    with pytest.raises(BraindecError, match=message):
        check_trains(np.array(flat), np.array(offsets))


@pytest.mark.parametrize("flat", ["text", ["a"], [[1.0], [2.0, 3.0]], 1.0])
def test_what_is_no_list_of_numbers_is_named(flat):
    with pytest.raises(BraindecError, match="one dimension"):
        check_trains(flat, np.array([0, 1]))


def test_bad_numbers_are_named():
    for value in (0, -1.0, np.nan, np.inf, None, "x"):
        with pytest.raises(BraindecError, match="width must be a finite number above 0"):
            check_positive(value, "width")
    for value in (0, -3, 2.0, True, None):
        with pytest.raises(BraindecError, match="n_bins must be a whole number"):
            check_count(value, "n_bins")
    for start, stop in (
        (1.0, 1.0),
        (2.0, 1.0),
        (np.nan, 1.0),
        (0.0, np.inf),
        (None, 1.0),
        (0.0, "end"),
        ([0.0, 1.0], 2.0),
    ):
        with pytest.raises(BraindecError, match="start < stop"):
            check_stretch(start, stop)
    with pytest.raises(BraindecError, match="outside the stretch"):
        check_stretch(0.0, 1.0, np.array([0.5, 1.5]))
