"""Van Rossum distances: against the double sums, the integral on a fine grid, closed forms, axioms, and elephant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.van_rossum import van_rossum, van_rossum_numpy

TICKS = st.lists(st.integers(-30, 400), max_size=14)
TAUS = st.sampled_from([1e-4, 0.003, 0.02, 0.5, 10.0, 1e6])


def ragged(*trains):
    trains = [np.sort(np.asarray(t, dtype=float)) for t in trains]
    return np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains]))


def one(a, b, tau):
    return van_rossum(*ragged(a, b), tau=tau)[0, 1]


@settings(max_examples=150, deadline=None)
@given(a=TICKS, b=TICKS, c=TICKS, tau=TAUS, scale=st.sampled_from([0.1, 0.001]))
def test_one_pass_gives_what_the_double_sums_give(a, b, c, tau, scale):
    flat, offsets = ragged(*(np.array(t) * scale for t in (a, b, c)))
    found = van_rossum(flat, offsets, tau=tau)
    expected = van_rossum_numpy(flat, offsets, tau=tau)
    np.testing.assert_allclose(found**2, expected**2, rtol=0, atol=1e-9)  # the root magnifies what cancels near 0
    np.testing.assert_array_equal(found, found.T)
    assert not np.diag(found).any()
    for x, y, z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert found[x, z] <= found[x, y] + found[y, z] + 1e-7


def test_it_is_the_distance_of_filtered_trains():
    rng = np.random.default_rng(0)
    a, b, tau = np.sort(rng.uniform(0, 2, 12)), np.sort(rng.uniform(0, 2, 9)), 0.1
    t = np.arange(0, 6, 2e-5) + 1e-5

    def filtered(train):
        since = t[:, None] - train
        return np.where(since >= 0, np.exp(-np.clip(since, 0, None) / tau), 0.0).sum(axis=1)

    integral = ((filtered(a) - filtered(b)) ** 2).sum() * 2e-5
    assert one(a, b, tau) == pytest.approx(np.sqrt(2 / tau * integral), rel=1e-3)


def test_closed_forms():
    assert one([3.0], [], 0.1) == 1.0
    assert one([1.0], [1.05], 0.1) == pytest.approx(np.sqrt(2 - 2 * np.exp(-0.5)))
    assert one([1.0, 1.0], [], 0.1) == 2.0  # doubled spikes add up
    assert one(np.arange(50.0), np.arange(50.0) + 0.5, 1e-9) == pytest.approx(10.0)  # none overlap
    assert one(np.arange(50.0), np.arange(30.0), np.inf) == 20.0
    assert one(np.arange(50.0), np.arange(30.0), 1e12) == pytest.approx(20.0)
    assert one([0.5, 600.0], [0.5, 601.0], 1e-300) == pytest.approx(np.sqrt(2))


def test_equal_trains_are_at_distance_0_and_near_ones_near():
    t = np.sort(np.random.default_rng(1).uniform(0, 600, 3000))
    assert one(t, t, 0.01) == 0.0
    assert one(t, t + 1e-9, 0.01) == pytest.approx(np.sqrt(2 * 1e-9 / 0.01 * len(t)), rel=1e-2)


def test_times_may_start_anywhere():
    rng = np.random.default_rng(2)
    flat, offsets = ragged(rng.uniform(0, 20, 100), rng.uniform(0, 20, 120))
    for tau in (0.005, 0.05, 0.5):
        for shift in (5000.0, -5000.0):
            np.testing.assert_allclose(
                van_rossum(flat + shift, offsets, tau=tau), van_rossum(flat, offsets, tau=tau), atol=1e-8
            )


def test_number_of_threads_does_not_matter(monkeypatch):
    import numba

    rng = np.random.default_rng(3)
    flat, offsets = ragged(*(rng.uniform(0, 9, 2000) for _ in range(12)))
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        found.append(van_rossum(flat, offsets, tau=0.02).tobytes())
    assert len(set(found)) == 1


def test_elephant_agrees():
    dissimilarity = pytest.importorskip("elephant.spike_train_dissimilarity")
    import neo
    import quantities as pq

    rng = np.random.default_rng(4)
    trains = [np.sort(rng.uniform(0, 5, n)) for n in (20, 13, 30)]
    theirs = [neo.SpikeTrain(t * pq.s, t_stop=5 * pq.s) for t in trains]
    for tau in (0.01, 0.3):
        expected = dissimilarity.van_rossum_distance(theirs, tau * pq.s)
        np.testing.assert_allclose(van_rossum(*ragged(*trains), tau=tau), expected, atol=1e-6)


@pytest.mark.parametrize("tau", ["0.005", "0.05", "0.5"])
def test_reference_values(shared, tau):
    known = np.load(shared("spikestats.npz", kind="parity"))
    found = van_rossum(known["flat"], known["offsets"], tau=float(tau))
    np.testing.assert_allclose(found, known[f"vr_tau{tau}"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("tau", [0.0, -0.1, np.nan, "long", None])
def test_tau_must_be_above_0(tau):
    with pytest.raises(BraindecError, match="time constant"):
        one([1.0], [2.0], tau)
