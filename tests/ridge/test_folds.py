"""Folds keep the order of time: blocks, whole groups, buffers that stop at the border of a run."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.ridge import check_folds, contiguous_folds, group_folds


def test_blocks_are_contiguous_and_cover_every_row_once():
    folds = contiguous_folds(103, 5)
    tested = np.concatenate([test for _, test in folds])
    assert (tested == np.arange(103)).all()
    assert all((np.diff(test) == 1).all() for _, test in folds)
    assert {len(test) for _, test in folds} == {20, 21}
    assert all(len(np.intersect1d(train, test)) == 0 and len(train) + len(test) == 103 for train, test in folds)


def test_buffer_leaves_so_many_rows_out_on_either_side():
    train, test = contiguous_folds(100, 5, buffer=7)[2]
    assert (test == np.arange(40, 60)).all()
    assert (train == np.r_[0:33, 67:100]).all()


def test_buffer_stops_at_the_border_of_a_run():
    runs = np.repeat(["b", "a"], 50)
    train, test = contiguous_folds(100, 2, runs=runs, buffer=10)[0]
    assert (test == np.arange(50)).all()
    assert (train == np.arange(50, 100)).all()
    train, _ = contiguous_folds(100, 4, runs=runs, buffer=10)[1]  # rows 25-49, the end of run b
    assert (train == np.r_[0:15, 50:100]).all()


def test_buffer_around_a_row_in_the_middle_of_interleaved_runs():
    runs = np.arange(40) % 2  # neighbours within a run are two rows apart
    train, _ = group_folds(np.repeat(np.arange(4), 10), order=runs, buffer=1)[1]  # rows 10-19
    assert (train == np.r_[0:8, 22:40]).all()


def test_groups_stay_whole_and_in_order():
    groups = np.repeat(["r10", "r2", "r1"], [5, 9, 6])
    folds = group_folds(groups)
    assert [set(groups[test]) for _, test in folds] == [{"r10"}, {"r2"}, {"r1"}]
    parts = group_folds(np.repeat(np.arange(12), 10), 4)
    assert [np.unique(test // 10).tolist() for _, test in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_groups_of_very_different_size_still_make_as_many_parts():
    groups = np.repeat(np.arange(4), [1, 1, 1, 97])
    assert len(group_folds(groups, 4)) == 4
    assert all(len(test) for _, test in group_folds(groups, 3))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: contiguous_folds(10, 1), "2 to 10"),
        (lambda: contiguous_folds(10, 11), "2 to 10"),
        (lambda: contiguous_folds(20, 2, buffer=10), "buffer of 10 leaves 0"),
        (lambda: contiguous_folds(20, 2, buffer=-1), "number of rows"),
        (lambda: contiguous_folds(20, 2, runs=np.zeros(19)), "one entry a row"),
        (lambda: group_folds(np.zeros(10)), "1 folds of 1 groups"),
        (lambda: check_folds([(np.arange(5), np.arange(4, 8))], 10), "tests on"),
        (lambda: check_folds([(np.arange(5), np.arange(8, 11))], 10), "0 to 9"),
        (lambda: check_folds([(np.arange(5), [7, 7])], 10), "twice"),
        (lambda: check_folds([(np.arange(5.0), [7])], 10), "row numbers"),
        (lambda: check_folds([([1], [7])], 10), "at least 2 training rows"),
        (lambda: check_folds([(np.arange(5), [])], 10), "row numbers"),
        (lambda: check_folds([], 10), "at least one fold"),
        (lambda: check_folds([(np.arange(3),)], 10), "pair"),
    ],
)
def test_what_cannot_be_a_fold_is_refused(make, words):
    with pytest.raises(BraindecError, match=words):
        make()


def test_masks_are_rows():
    mask = np.arange(10) < 6
    ((train, test),) = check_folds([(mask, ~mask)], 10)
    assert (train == np.arange(6)).all() and (test == np.arange(6, 10)).all()
