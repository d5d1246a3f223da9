"""Spike time tiling: against all differences of times, closed forms, bounds, shifts in time, and elephant near t = 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.sttc import sttc, sttc_numpy, tile_counts, tile_counts_numpy

TICKS = st.lists(st.integers(0, 300), max_size=14)


def ragged(*trains):
    trains = [np.sort(np.asarray(t, dtype=float)) for t in trains]
    return np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains]))


@settings(max_examples=150, deadline=None)
@given(
    trains=st.lists(TICKS, min_size=1, max_size=4),
    dt=st.sampled_from([0.001, 0.005, 0.02, 0.4]),
    start=st.sampled_from([0.0, 17.3, -4.0, 5000.0]),
)
def test_table_of_cells_gives_what_all_differences_give(trains, dt, start):
    flat, offsets = ragged(*(start + np.array(t) * 0.001 for t in trains))
    asked = {"start": start, "stop": start + 0.3, "dt": dt}
    inside, tiled = tile_counts(flat, offsets, **asked)
    expected, expected_tiled = tile_counts_numpy(flat, offsets, **asked)
    np.testing.assert_array_equal(inside, expected)
    np.testing.assert_allclose(tiled, expected_tiled, rtol=0, atol=1e-11)
    found = sttc(flat, offsets, **asked)
    np.testing.assert_allclose(found, sttc_numpy(flat, offsets, **asked), rtol=0, atol=1e-9)
    silent = np.diff(offsets) == 0
    assert np.isnan(found[silent]).all() and np.isnan(found[:, silent]).all()
    inner = found[np.ix_(~silent, ~silent)]
    assert np.all(np.abs(inner) <= 1) and np.array_equal(inner, inner.T) and np.all(np.diag(inner) == 1)


def test_closed_forms():
    flat, offsets = ragged([1.0], [1.05], [5.0], [0.02, 9.99])
    inside, tiled = tile_counts(flat, offsets, start=0.0, stop=10.0, dt=0.1)
    np.testing.assert_allclose(tiled, [0.2, 0.2, 0.2, 0.12 + 0.11])  # cut at start and stop
    assert inside.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2]]
    found = sttc(flat, offsets, start=0.0, stop=10.0, dt=0.1)
    assert found[0, 1] == pytest.approx(1.0)
    assert found[0, 2] == pytest.approx(-0.02)  # neither tiles the other: both terms are -T
    assert found[0, 3] == pytest.approx((-0.023 - 0.02) / 2)


def test_tiles_that_overlap_count_once():
    _, tiled = tile_counts(*ragged([1.0, 1.05, 1.3, 2.0]), start=0.0, stop=3.0, dt=0.1)
    assert tiled[0] == pytest.approx(0.25 + 0.2 + 0.2)


def test_all_spikes_and_all_time_in_reach_counts_as_1():
    assert sttc(*ragged([0.5], [0.6]), start=0.0, stop=1.0, dt=2.0)[0, 1] == 1.0


def test_a_distance_of_exactly_dt_is_within_reach_wherever_the_recording_begins():
    ticks = np.arange(1, 400, 7)
    for start in (0.0, 0.1, 5000.0, 86_400.123, -333.3):
        flat, offsets = ragged(start + ticks * 0.001, start + (ticks + 5) * 0.001)
        inside, _ = tile_counts(flat, offsets, start=start, stop=start + 1, dt=0.005)
        assert inside[0, 1] == inside[1, 0] == len(ticks), start
        inside, _ = tile_counts(flat, offsets, start=start, stop=start + 1, dt=0.0049999)
        assert inside[0, 1] < len(ticks), start


def test_independent_trains_are_uncorrelated_and_shared_spikes_are_found():
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 500, 2500)
    a, b = rng.uniform(0, 500, 2500), np.append(base[:1250] + rng.normal(0, 5e-4, 1250), rng.uniform(0, 500, 1250))
    b = np.clip(b, 0, 500)
    for shift in (0.0, 5000.0):
        flat, offsets = ragged(a + shift, base + shift, b + shift)
        found = sttc(flat, offsets, start=shift, stop=500 + shift, dt=0.005)
        assert abs(found[0, 1]) < 0.02 and found[1, 2] == pytest.approx(0.5, abs=0.03)


def test_bursts_in_one_cell_of_the_table():
    rng = np.random.default_rng(1)
    a, b = np.append(rng.uniform(0, 1e-3, 300), 900.0), np.append(rng.uniform(0, 1e-3, 200), 800.0)
    flat, offsets = ragged(a, b)
    asked = {"start": 0.0, "stop": 1000.0, "dt": 1e-6}
    np.testing.assert_array_equal(tile_counts(flat, offsets, **asked)[0], tile_counts_numpy(flat, offsets, **asked)[0])


def test_number_of_threads_does_not_matter(monkeypatch):
    import numba

    rng = np.random.default_rng(2)
    flat, offsets = ragged(*(rng.uniform(0, 60, 3000) for _ in range(12)))
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        found.append(sttc(flat, offsets, start=0, stop=60, dt=0.005).tobytes())
    assert len(set(found)) == 1


def test_elephant_agrees_near_0_and_not_far_from_it():
    correlation = pytest.importorskip("elephant.spike_train_correlation")
    import neo
    import quantities as pq

    rng = np.random.default_rng(3)
    trains = [np.sort(np.round(rng.uniform(0, 2, n), 4)) + 2e-5 * k for k, n in enumerate((60, 40))]
    for shift, alike in ((0.0, True), (5000.0, False)):
        theirs = correlation.spike_time_tiling_coefficient(
            *(neo.SpikeTrain((t + shift) * pq.s, t_start=shift * pq.s, t_stop=(2 + shift) * pq.s) for t in trains),
            dt=0.005 * pq.s,
        )
        flat, offsets = ragged(*trains)
        ours = sttc(flat + shift, offsets, start=shift, stop=2 + shift, dt=0.005)[0, 1]
        assert bool(abs(ours - theirs) < 1e-9) is alike  # its window has a relative tolerance, which grows with t


@pytest.mark.parametrize("dt", ["0.002", "0.01", "0.05"])
def test_reference_values(shared, dt):
    known = np.load(shared("spikestats.npz", kind="parity"))
    for shift in (0.0, 5000.0):
        found = sttc(known["flat"] + shift, known["offsets"], start=shift, stop=20 + shift, dt=float(dt))
        np.testing.assert_allclose(found, known[f"sttc_exact_dt{dt}"], rtol=0, atol=1e-9)


def test_bad_input_is_one_clear_error():
    good = {"start": 0.0, "stop": 3.0, "dt": 0.01}
    for changes, text in (
        ({"dt": 0.0}, "reach"),
        ({"dt": np.nan}, "reach"),
        ({"stop": 1.5}, "outside"),
        ({"start": 1.2}, "outside"),
        ({"start": 3.0}, "start < stop"),
    ):
        with pytest.raises(BraindecError, match=text):
            sttc(*ragged([1.0, 2.0], [1.5]), **{**good, **changes})
