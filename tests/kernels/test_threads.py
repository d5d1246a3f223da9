"""Rows shared out over threads: stretches that cover all rows once, about the same work in each."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.kernels._threads import in_parts, run_parts, split_rows


@settings(max_examples=60, deadline=None)
@given(weights=st.lists(st.floats(0, 100), max_size=30), threads=st.integers(1, 8))
def test_stretches_cover_all_rows(weights, threads):
    edges = split_rows(np.array(weights), least=1, threads=threads)
    assert edges[0] == 0 and edges[-1] == len(weights) and np.all(np.diff(edges) > 0)
    assert len(edges) - 1 <= threads


def test_rows_are_split_by_weight():
    assert split_rows(np.ones(10), least=1, threads=2).tolist() == [0, 5, 10]
    assert split_rows(np.array([100.0, 1, 1, 1, 97]), least=1, threads=2).tolist() == [0, 1, 5]
    assert split_rows(np.ones(4), least=100, threads=8).tolist() == [0, 4]  # too little work to share
    assert split_rows(np.zeros(0), least=1, threads=8).tolist() == [0]


def test_each_row_is_done_once_and_by_several_threads():
    done, names, together = np.zeros(40, dtype=int), set(), threading.Barrier(4, timeout=20)

    def part(first: int, last: int) -> None:
        together.wait()
        names.add(threading.get_ident())
        done[first:last] += 1

    run_parts(part, [0, 10, 20, 30, 40])
    assert done.tolist() == [1] * 40 and len(names) == 4
    in_parts(part, 40, threads=4)
    assert done.tolist() == [2] * 40
    run_parts(lambda a, b: done.__setitem__(slice(a, b), 0), [0])
    assert done.tolist() == [2] * 40


def test_errors_in_threads_are_raised():
    def part(first: int, last: int) -> None:
        raise ValueError(f"rows {first} to {last}")

    with pytest.raises(ValueError, match="rows 0 to 5"):
        run_parts(part, [0, 5, 10])
