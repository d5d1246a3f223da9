"""Victor-Purpura distances: against the recursion over all cells, closed forms, the axioms of a metric, and elephant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.victor_purpura import victor_purpura, victor_purpura_numpy

TICKS = st.lists(st.integers(0, 60), max_size=14)  # few places: simultaneous and doubled spikes come up
COSTS = st.sampled_from([0.0, 1e-6, 0.3, 1.0, 2.0, 7.0, 40.0, 1e3, np.inf])


def ragged(*trains):
    trains = [np.sort(np.asarray(t, dtype=float)) for t in trains]
    return np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains]))


def one(a, b, cost, **more):
    return victor_purpura(*ragged(a, b), cost=cost, **more)[0, 1]


@settings(max_examples=150, deadline=None)
@given(a=TICKS, b=TICKS, c=TICKS, cost=COSTS, scale=st.sampled_from([0.1, 0.03]))
def test_band_of_cells_gives_what_all_cells_give(a, b, c, cost, scale):
    flat, offsets = ragged(*(np.array(t) * scale for t in (a, b, c)))
    found = victor_purpura(flat, offsets, cost=cost)
    np.testing.assert_allclose(found, victor_purpura_numpy(flat, offsets, cost=cost), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)
    assert not np.diag(found).any()
    for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert found[x, z] <= found[x, y] + found[y, z] + 1e-12
    counts = np.diff(offsets)
    assert np.all(found >= np.abs(counts[:, None] - counts)) and np.all(found <= counts[:, None] + counts)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 63, 64, 65, 200])
@pytest.mark.parametrize("cost", [0.05, 3.0, 60.0])
def test_long_trains(n, cost):
    rng = np.random.default_rng(n)
    flat, offsets = ragged(rng.uniform(0, 9, n), rng.uniform(0, 9, n // 2 + 1), rng.uniform(4, 5, n))
    expected = victor_purpura_numpy(flat, offsets, cost=cost)
    np.testing.assert_allclose(victor_purpura(flat, offsets, cost=cost), expected, rtol=0, atol=1e-10)


def test_closed_forms():
    assert one([1.0], [1.25], 2.0) == 0.5  # moved
    assert one([1.0], [2.25], 2.0) == 2.0  # deleted and inserted
    assert one([1.0, 2.0], [], 5.0) == 2.0
    assert one([0.1, 0.2, 0.9], [0.5], 0.0) == 2.0  # only numbers count
    assert one([0.1, 0.2, 0.9], [0.2, 0.9, 0.9], np.inf) == 2.0  # only simultaneous spikes match
    assert one([0.0, 1.0], [0.1, 1.1], 1.0) == pytest.approx(0.2)
    # spikes keep their order: 1.0 and 1.1 cannot both go to where they cross
    assert one([1.0, 1.1], [1.1], 1.0) == 1.0


def test_distance_of_shifted_trains_is_cost_times_shift_until_it_saturates():
    t = np.arange(1, 30) * 1.0
    for shift in (0.01, 0.1, 0.3):
        assert one(t, t + shift, 4.0) == pytest.approx(min(4.0 * shift, 2.0) * len(t))
    distances = [one(t, np.random.default_rng(0).uniform(0, 30, 25), q) for q in (0, 0.1, 0.5, 1, 3, 10, 100)]
    assert np.all(np.diff(distances) >= 0)  # never falls with the cost


def test_times_may_start_anywhere():
    rng = np.random.default_rng(1)
    flat, offsets = ragged(rng.uniform(0, 20, 100), rng.uniform(0, 20, 120))
    for cost in (1.0, 10.0, 100.0):
        np.testing.assert_allclose(
            victor_purpura(flat + 5000, offsets, cost=cost), victor_purpura(flat, offsets, cost=cost), atol=1e-8
        )


def test_number_of_threads_does_not_matter(monkeypatch):
    import numba

    rng = np.random.default_rng(2)
    flat, offsets = ragged(*(rng.uniform(0, 9, 150) for _ in range(12)))
    found = []
    for threads in (1, 3, 5):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        found.append(victor_purpura(flat, offsets, cost=3.0).tobytes())
    assert len(set(found)) == 1


def test_elephant_agrees():
    dissimilarity = pytest.importorskip("elephant.spike_train_dissimilarity")
    import neo
    import quantities as pq

    rng = np.random.default_rng(3)
    trains = [np.sort(rng.uniform(0, 5, n)) for n in (20, 13, 30)]
    theirs = [neo.SpikeTrain(t * pq.s, t_stop=5 * pq.s) for t in trains]
    for cost in (0.5, 5.0, 50.0):
        expected = dissimilarity.victor_purpura_distance(theirs, cost / pq.s)
        np.testing.assert_allclose(victor_purpura(*ragged(*trains), cost=cost), expected, atol=1e-10)


@pytest.mark.parametrize("q", ["0", "1", "10", "100"])
def test_reference_values(shared, q):
    known = np.load(shared("spikestats.npz", kind="parity"))
    found = victor_purpura(known["flat"], known["offsets"], cost=float(q))
    np.testing.assert_allclose(found, known[f"vp_q{q}"], rtol=0, atol=1e-9)
    if q == "10":  # another algorithm, on four of the trains
        some = np.ix_([0, 1, 2, 6], [0, 1, 2, 6])
        np.testing.assert_allclose(found[some], known["vp_intuitive_q10"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("cost", [-1.0, np.nan, "much", None])
def test_cost_must_be_a_number_from_0_on(cost):
    with pytest.raises(BraindecError, match="cost of moving a spike"):
        one([1.0], [2.0], cost)


def test_trains_must_be_sorted_and_finite():
    with pytest.raises(BraindecError, match="not sorted"):
        victor_purpura([1.0, 0.5], [0, 2], cost=1.0)
    with pytest.raises(BraindecError, match="finite"):
        victor_purpura([1.0, np.nan], [0, 2], cost=1.0)
    with pytest.raises(BraindecError, match="no version"):
        victor_purpura([1.0], [0, 1], cost=1.0, backend="opencl")
