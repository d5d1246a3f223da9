"""ISI and SPIKE distances: against the averaged profiles, the formulas on a fine grid, closed forms, and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels._knots import one_train
from braindec.kernels.isi_distance import isi_distance, isi_distance_numpy, isi_distance_profile
from braindec.kernels.spike_distance import spike_distance, spike_distance_numpy, spike_distance_profile

TICKS = st.lists(st.integers(0, 40), max_size=12)
BOTH = pytest.mark.parametrize(
    ("kernel", "definition"), [(isi_distance, isi_distance_numpy), (spike_distance, spike_distance_numpy)]
)


def ragged(*trains):
    trains = [np.sort(np.asarray(t, dtype=float)) for t in trains]
    return np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains]))


@BOTH
@settings(max_examples=120, deadline=None)
@given(trains=st.lists(TICKS, min_size=1, max_size=4), start=st.sampled_from([0.0, -3.7, 11.1]))
def test_walk_gives_the_mean_of_the_profile(kernel, definition, trains, start):
    flat, offsets = ragged(*(start + np.array(t) * 0.1 for t in trains))
    asked = {"start": start, "stop": start + 4.0 + 1e-12}
    found = kernel(flat, offsets, **asked)
    np.testing.assert_allclose(found, definition(flat, offsets, **asked), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found, found.T)
    assert not np.diag(found).any() and np.all(found >= 0) and np.all(found <= 1 + 1e-12)


def test_profiles_are_the_formulas_moment_by_moment():
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.uniform(0, 3, 9)), np.sort(rng.uniform(0, 3, 14))
    knots = [one_train(t, 0.0, 3.0) for t in (a, b)]
    t = rng.uniform(0, 3, 300)
    isi_edges, isi = isi_distance_profile(a, b, start=0.0, stop=3.0)
    edges, begins, ends = spike_distance_profile(a, b, start=0.0, stop=3.0)
    for now in t:
        nu, local = [], []
        for mine, other in (knots, knots[::-1]):
            after = int(np.flatnonzero(mine > now)[0])
            d = [np.abs(other - mine[min(max(k, 1), len(mine) - 2)]).min() for k in (after - 1, after)]
            nu.append(mine[after] - mine[after - 1])
            local.append((d[0] * (mine[after] - now) + d[1] * (now - mine[after - 1])) / nu[-1])
        expected = (local[0] * nu[1] + local[1] * nu[0]) / (0.5 * (nu[0] + nu[1]) ** 2)
        k = np.searchsorted(edges, now, side="right") - 1
        share = (now - edges[k]) / (edges[k + 1] - edges[k])
        assert begins[k] + share * (ends[k] - begins[k]) == pytest.approx(expected, abs=1e-12)
        assert isi[np.searchsorted(isi_edges, now, side="right") - 1] == pytest.approx(
            abs(nu[0] - nu[1]) / max(nu), abs=1e-12
        )


def test_closed_forms():
    regular, twice = np.arange(0.5, 10, 1.0), np.arange(0.25, 10, 0.5)
    flat, offsets = ragged(regular, twice, regular, [])
    found = isi_distance(flat, offsets, start=0.0, stop=10.0)
    assert found[0, 1] == pytest.approx(0.5) and found[0, 2] == 0.0
    assert found[0, 3] == pytest.approx(0.9)  # a unit without spikes has one interval as long as the recording
    found = spike_distance(flat, offsets, start=0.0, stop=10.0)
    assert found[0, 2] == 0.0
    # each train a quarter of a period off: S_1 = S_2 = 0.25 of an interval of 1 all the time
    flat, offsets = ragged(np.arange(0.5, 99), np.arange(0.75, 99))
    assert spike_distance(flat, offsets, start=0.0, stop=99.0)[0, 1] == pytest.approx(0.25, abs=0.005)
    assert isi_distance(flat, offsets, start=0.0, stop=99.0)[0, 1] == pytest.approx(0.0, abs=0.01)


def test_intervals_at_the_edges():
    assert one_train(np.array([2.0, 3.0]), 0.0, 10.0).tolist() == [
        0.0,
        2.0,
        3.0,
        10.0,
    ]  # the longer of gap and interval
    assert one_train(np.array([1.0, 6.0, 9.0]), 0.0, 10.0).tolist() == [-4.0, 1.0, 6.0, 9.0, 12.0]
    assert one_train(np.array([4.0]), 0.0, 10.0).tolist() == [0.0, 4.0, 10.0]
    assert one_train(np.array([]), 0.0, 10.0)[1:-1].tolist() == [0.0, 10.0]


@BOTH
def test_times_may_start_anywhere_and_threads_do_not_matter(kernel, definition, monkeypatch):
    import numba

    rng = np.random.default_rng(1)
    flat, offsets = ragged(*(rng.uniform(0, 20, n) for n in (400, 3000, 3000, 3000, 3000, 1, 0)))
    known = kernel(flat, offsets, start=0, stop=20)
    for shift in (5000.0, -5000.0):
        np.testing.assert_allclose(kernel(flat + shift, offsets, start=shift, stop=20 + shift), known, atol=1e-8)
    for threads in (2, 5):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        assert kernel(flat, offsets, start=0, stop=20).tobytes() == known.tobytes()


def test_independent_poisson_trains():
    """Intervals around a moment are Gamma(2), so I = 1 - min / max has the mean 1 - 12 * integral_0^1/2 u^2 du = 1/2."""
    rng = np.random.default_rng(2)
    flat, offsets = ragged(*(rng.uniform(0, 200, 2000) for _ in range(8)))
    pairs = np.triu_indices(8, 1)
    assert isi_distance(flat, offsets, start=0, stop=200)[pairs].mean() == pytest.approx(0.5, abs=0.01)


def test_reference_values(shared):
    known = np.load(shared("spikestats.npz", kind="parity"))
    flat, offsets = known["flat"], known["offsets"]
    pairs = np.triu_indices(8, 1)
    for shift in (0.0, 5000.0):
        asked = {"start": shift, "stop": 20 + shift}
        for name, kernel in (("isi_distance", isi_distance), ("spike_distance", spike_distance)):
            found = kernel(flat + shift, offsets, **asked)
            np.testing.assert_allclose(found, known[name], rtol=0, atol=1e-9)
            assert found[pairs].mean() == pytest.approx(float(known[f"{name}_multi"]), abs=1e-9)
    a, b = flat[: offsets[1]], flat[offsets[1] : offsets[2]]
    edges, values = isi_distance_profile(a, b, start=0.0, stop=20.0)
    np.testing.assert_allclose(edges, known["isi_profile_01_x"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(values, known["isi_profile_01_y"], rtol=0, atol=1e-9)
    edges, begins, ends = spike_distance_profile(a, b, start=0.0, stop=20.0)
    np.testing.assert_allclose(edges, known["spike_profile_01_x"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(begins, known["spike_profile_01_y1"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ends, known["spike_profile_01_y2"], rtol=0, atol=1e-9)


@BOTH
def test_spikes_must_lie_in_the_stretch(kernel, definition):
    for start, stop, text in ((1.5, 3.0, "outside"), (0.0, 1.5, "outside"), (3.0, 0.0, "start < stop")):
        with pytest.raises(BraindecError, match=text):
            kernel(*ragged([1.0, 2.0], [1.5]), start=start, stop=stop)
