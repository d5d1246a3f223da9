"""SPIKE-synchronisation: against all differences of times, closed forms, bounds, ties on a grid, and shifts in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.spike_synchrony import (
    coincidences,
    coincidences_numpy,
    spike_synchrony,
    spike_synchrony_numpy,
    spike_synchrony_profile,
)

TICKS = st.lists(st.integers(0, 60), max_size=14)


def ragged(*trains):
    trains = [np.sort(np.asarray(t, dtype=float)) for t in trains]
    return np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains]))


@settings(max_examples=200, deadline=None)
@given(
    trains=st.lists(TICKS, min_size=1, max_size=4),
    start=st.sampled_from([0.0, -0.7, 5000.0]),
    max_tau=st.sampled_from([np.inf, 0.02, 0.005]),
)
def test_walk_gives_what_all_differences_give(trains, start, max_tau):
    flat, offsets = ragged(*(start + np.array(t) * 0.01 for t in trains))
    asked = {"start": start, "stop": start + 0.61, "max_tau": max_tau}
    found = coincidences(flat, offsets, **asked)
    np.testing.assert_array_equal(found, coincidences_numpy(flat, offsets, **asked))
    share = spike_synchrony(flat, offsets, **asked)
    np.testing.assert_array_equal(share, spike_synchrony_numpy(flat, offsets, **asked))
    assert np.array_equal(share, share.T) and np.all(np.diag(share) == 1) and np.all((share >= 0) & (share <= 1))
    if len(trains) > 1 and offsets[2]:
        a, b = flat[: offsets[1]], flat[offsets[1] : offsets[2]]
        times, train, coincident = spike_synchrony_profile(a, b, **asked)
        assert coincident.mean() == pytest.approx(share[0, 1]) and np.all(np.diff(times) >= 0)
        np.testing.assert_array_equal(np.bincount(train, minlength=2), [len(a), len(b)])


def test_closed_forms():
    a = np.arange(1.0, 10.0)

    def one(a, b, **more):
        return spike_synchrony(*ragged(a, b), start=0.0, stop=10.0, **more)[0, 1]

    assert one(a, a + 0.3) == 1.0 and one(a, a + 0.3, max_tau=0.2) == 0.0
    assert one(a, a + 0.5) == 0.0  # half of an interval is no coincidence
    assert one(a, a[:4] + 0.1) == 8 / 13
    assert one(a, []) == 0.0 and one([], []) == 1.0
    assert one([1.0], [5.9]) == 1.0 and one([1.0], [6.1]) == 0.0  # alone: half of the recording
    assert one([3.0, 3.0], [3.0]) == 1.0  # doubled spikes are simultaneous with their partner


def test_ties_on_a_grid_do_not_depend_on_where_the_recording_begins():
    ticks = np.cumsum(np.random.default_rng(0).integers(2, 9, (2, 300)), axis=1)
    found = []
    for start in (0.0, 0.1, 5000.0, 86_400.123, -7.7):
        flat, offsets = ragged(*(start + ticks * 0.001))
        found.append(int(coincidences(flat, offsets, start=start, stop=start + 5)[0, 1]))
    window = np.minimum(np.diff(ticks, axis=1, prepend=-9999), np.diff(ticks, axis=1, append=9999))
    apart = np.abs(ticks[0][:, None] - ticks[1])  # whole numbers: ties are exact
    close = (2 * apart < np.minimum(window[0][:, None], window[1])) | (apart == 0)
    assert set(found) == {2 * close.sum()}


def test_number_of_threads_does_not_matter(monkeypatch):
    import numba

    rng = np.random.default_rng(1)
    flat, offsets = ragged(*(rng.uniform(0, 60, 3000) for _ in range(12)))
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        found.append(spike_synchrony(flat, offsets, start=0, stop=60).tobytes())
    assert len(set(found)) == 1


def test_reference_values(shared):
    known = np.load(shared("spikestats.npz", kind="parity"))
    flat, offsets = known["flat"], known["offsets"]
    for shift in (0.0, 5000.0):
        found = spike_synchrony(flat + shift, offsets, start=shift, stop=20 + shift)
        np.testing.assert_allclose(found, known["spike_sync"], rtol=0, atol=1e-9)


def test_bad_input_is_one_clear_error():
    cases = [({"max_tau": wrong}, "window") for wrong in (0.0, np.nan, None)] + [({"stop": 1.5}, "outside")]
    for changes, text in cases:
        with pytest.raises(BraindecError, match=text):
            spike_synchrony(*ragged([1.0, 2.0], [1.5]), **{"start": 0.0, "stop": 3.0, **changes})
