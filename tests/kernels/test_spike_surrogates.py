"""Surrogate trains: what each kind keeps, how its draws are spread, the same bytes on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from braindec.errors import BraindecError
from braindec.kernels import _surrogate_loops, _threads
from braindec.kernels.spike_surrogates import dither, jitter, shift, shuffle_intervals

KINDS = {"jitter": jitter, "dither": dither, "shuffle_intervals": shuffle_intervals, "shift": shift}
STOP = 4.0


def ragged(trains):
    return np.concatenate([np.sort(t) for t in trains]), np.cumsum([0] + [len(t) for t in trains])


def options(kind, width, refractory):
    asked = {} if kind == "shift" else {"refractory": refractory}
    return asked if kind == "shuffle_intervals" else asked | {"width": width}


def parts(flat, offsets, support):
    """Slices of each unit in each stretch."""
    for unit in range(len(offsets) - 1):
        for low, high in support:
            mine = np.arange(offsets[unit], offsets[unit + 1])
            inside = mine[(flat[mine] >= low) & ((flat[mine] < high) | (high == support[-1][1]))]
            if len(inside):
                yield slice(inside[0], inside[-1] + 1), low, high


@settings(max_examples=60, deadline=None)
@given(
    ticks=st.lists(st.lists(st.integers(0, 512), max_size=40), min_size=1, max_size=3), kind=st.sampled_from(list(KINDS)),
    width=st.sampled_from([0.01, 0.125, 0.3, 9.0]), refractory=st.sampled_from([0.0, 0.002, 0.05, 1.0]),
    seed=st.integers(0, 2**63), shifted=st.sampled_from([0.0, 5000.0]), cut=st.booleans(),
)  # fmt: skip
def test_what_is_kept(ticks, kind, width, refractory, seed, shifted, cut):
    flat, offsets = ragged([np.array(t) / 128 + shifted for t in ticks])
    start, stop = shifted, shifted + STOP
    support = [(start, start + 1.5), (start + 1.5, stop)] if cut else [(start, stop)]
    asked = options(kind, width, refractory) | {"start": start, "stop": stop, "n_surrogates": 3, "seed": seed}
    asked["support"] = np.array(support) if cut else None
    found = KINDS[kind](flat, offsets, **asked)
    assert found.shape == (3, len(flat))
    assert KINDS[kind](flat, offsets, backend="numpy", **asked).tobytes() == found.tobytes()
    assert KINDS[kind](flat, offsets, **{**asked, "n_surrogates": 1}).tobytes() == found[:1].tobytes()
    tiny = 1e-12 * max(1.0, stop)
    for at, low, high in parts(flat, offsets, support):
        old = flat[at]
        for new in found[:, at]:
            assert np.all(np.diff(new) >= 0) and new[0] >= low and new[-1] <= high
            before, after = np.diff(old), np.diff(new)
            if kind in ("jitter", "dither"):
                assert np.all(after >= np.minimum(before, refractory) - tiny)
            if kind == "jitter":  # the n-th spike stays in the window of the n-th spike; the end is in the last one
                edges = low + np.arange(int(np.ceil((high - low) / width)) + 1) * width
                window = np.searchsorted(edges, np.minimum(old, high - 1e-9), side="right") - 1
                assert np.all(new >= edges[window] - tiny)
                assert np.all(new <= np.minimum(edges[window + 1], high) + tiny)
            if kind == "dither":  # sorting cannot move a spike farther than the farthest move
                assert np.all(np.abs(new - old) <= width + tiny)
            if kind == "shuffle_intervals":
                np.testing.assert_allclose(np.sort(after), np.sort(before), atol=tiny * 10)
                assert new[0] == old[0] and new[-1] == old[-1]
            if kind == "shift" and len(old) > 1:
                around = [np.sort(np.append(np.diff(t), t[0] + high - low - t[-1])) for t in (old, new)]
                np.testing.assert_allclose(*around, atol=tiny * 10)


def test_jittered_spikes_are_spread_evenly_over_their_windows():
    flat = np.sort(np.random.default_rng(0).uniform(0, 100, 300))
    found = jitter(flat, [0, 300], width=0.5, start=0.0, stop=100.0, n_surrogates=40, seed=5)
    place = np.mod(found, 0.5).ravel() / 0.5
    assert kstest(place, "uniform").pvalue > 1e-3
    alone = jitter(np.arange(200) + 0.1, [0, 200], width=1.0, start=0.0, stop=200.0, n_surrogates=40, seed=5)
    between = np.corrcoef(alone - np.arange(200))[np.triu_indices(40, 1)]
    assert np.abs(between).mean() < 0.08  # surrogates are independent: 0.056 is expected


def test_dithered_spikes_are_spread_evenly_around_them():
    flat = np.arange(1, 200) * 1.0  # too far apart to pass one another
    for refractory in (0.0, 0.1):
        found = dither(flat, [0, 199], width=0.3, start=0.0, stop=200.0, n_surrogates=30, seed=1, refractory=refractory)
        assert kstest(((found - flat) / 0.6 + 0.5).ravel(), "uniform").pvalue > 1e-3


def test_jitter_with_dead_time_is_even_over_what_is_left():
    """Three spikes in one window: with the dead times taken off they are order statistics of even draws."""
    n, dead = 3, 0.1
    found = jitter([0.2, 0.5, 0.9], [0, n], width=1.0, start=0.0, stop=1.0, n_surrogates=4000, seed=3, refractory=dead)
    free = (found - dead * np.arange(n)) / (1 - dead * (n - 1))
    np.testing.assert_allclose(free.mean(axis=0), np.arange(1, n + 1) / (n + 1), atol=0.02)
    assert kstest(free[:, 1], "beta", args=(2, 2)).pvalue > 1e-3


def test_every_order_of_intervals_is_as_likely():
    flat = np.cumsum([0.0, 1.0, 2.0, 4.0])
    found = np.diff(shuffle_intervals(flat, [0, 4], start=0.0, stop=7.0, n_surrogates=6000, seed=2))
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 6 and counts.sum() == 6000 and np.all(np.abs(counts - 1000) < 5 * np.sqrt(1000))


def test_shifts_are_spread_over_the_stretch_and_differ_between_units():
    found = shift([1.0, 1.0], [0, 1, 2], start=0.0, stop=10.0, n_surrogates=2000, seed=0)
    assert kstest(found.ravel() / 10, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.1
    near = shift([5.0], [0, 1], start=0.0, stop=10.0, width=0.5, n_surrogates=500, seed=0)
    assert near.min() >= 4.5 and near.max() <= 5.5 and near.std() > 0.2


def test_spikes_far_from_sorted_are_sorted():
    flat = np.sort(np.random.default_rng(0).uniform(0, 10, 900))
    found = dither(flat, [0, 900], width=10.0, start=0.0, stop=10.0, seed=0)
    again = dither(flat, [0, 900], width=10.0, start=0.0, stop=10.0, seed=0, backend="numpy")
    assert found.tobytes() == again.tobytes() and np.all(np.diff(found) >= 0)


def test_any_number_of_threads_gives_the_same_bytes(monkeypatch):
    flat, offsets = ragged([np.random.default_rng(k).uniform(0, STOP, 60) for k in range(7)])
    for kind, make in KINDS.items():
        asked = options(kind, 0.3, 0.002) | {"start": 0.0, "stop": STOP, "n_surrogates": 3, "seed": 11}
        one = make(flat, offsets, **asked)
        with monkeypatch.context() as patched:
            patched.setattr(
                _surrogate_loops, "split_rows", lambda w, *, least: _threads.split_rows(w, least=1, threads=4)
            )
            assert make(flat, offsets, **asked).tobytes() == one.tobytes()
        assert make(flat, offsets, **{**asked, "seed": 12}).tobytes() != one.tobytes()


def together(rng, n_windows=80, width=0.025, rate=20.0, shared=True):
    """Two trains that know nothing of each other but rates, which jump at the edges of windows."""
    height = rng.uniform(0, 2, n_windows) if shared else np.ones(n_windows)
    counts = rng.poisson(rate * width * height, (2, n_windows))
    return [np.sort((np.repeat(np.arange(n_windows), c) + rng.uniform(size=c.sum())) * width) for c in counts]


def coincidences(flat, offsets, stop, reach=0.0025):
    """Pairs of spikes of the two units that are at most ``reach`` apart, in each row of ``flat``."""
    rows = np.arange(len(flat))[:, None] * (stop + 1)  # far from one another
    first, second = flat[:, : offsets[1]] + rows, (flat[:, offsets[1] :] + rows).ravel()
    near = np.searchsorted(second, first + reach, "right") - np.searchsorted(second, first - reach)
    return near.sum(axis=1)


@pytest.mark.parametrize(
    ("kind", "shared", "low", "high"),
    [("jitter", False, 0.03, 0.07), ("jitter", True, 0.03, 0.07), ("dither", False, 0.02, 0.07), ("shift", False, 0.03, 0.07),
     ("shuffle_intervals", False, 0.03, 0.07), ("dither", True, 0.075, 1.0), ("shift", True, 0.1, 1.0)],
)  # fmt: skip
def test_p_values_hold_their_level_where_the_null_does(kind, shared, low, high):
    """Also that jitter alone allows for rates that change together."""
    false = []
    for run in range(1000):
        rng = np.random.default_rng([run, 5])
        flat, offsets = ragged(together(rng, shared=shared))
        asked = options(kind, 0.025, 0.0) | {"start": 0.0, "stop": 2.0, "n_surrogates": 39, "seed": run}
        if kind == "shift":
            asked.pop("width")
        null = coincidences(KINDS[kind](flat, offsets, **asked), offsets, 2.0)
        own = coincidences(flat[None], offsets, 2.0)[0]
        p = (1 + (null > own).sum() + int(rng.uniform() * (1 + (null == own).sum()))) / 40  # ties broken by chance
        false.append(p <= 0.05)
    assert low <= np.mean(false) <= high


BAD = [
    ({"flat": [2.0, 1.0]}, "not sorted"),
    ({"flat": [np.nan, 1.0]}, "finite"),
    ({"offsets": [0, 3]}, "do not fit"),
    ({"stop": 0.0}, "start < stop"),
    ({"stop": 1.5}, "outside the stretch"),
    ({"n_surrogates": 0}, "n_surrogates"),
    ({"seed": -1}, "seed"),
    ({"seed": 0.5}, "seed"),
    ({"support": np.array([[0.0, 1.5], [1.7, 3.0]])}, None),
    ({"support": np.array([[0.0, 1.5], [2.5, 3.0]])}, "gaps of the support"),
    ({"support": np.array([[0.0, 2.5], [1.5, 3.0]])}, "support is rows"),
    ({"width": 0.0}, "width"),
    ({"refractory": -1.0}, "refractory"),
    ({"refractory": None}, "refractory"),
    ({"support": "whole"}, "support is rows"),
    ({"support": [[0.0, "end"]]}, "support is rows"),
]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (kind, change, message)
        for kind in KINDS
        for change, message in BAD
        if not {"width", "refractory"} & set(change) or set(change) <= set(options(kind, 0.1, 0.0))
    ],
)
def test_bad_input(kind, change, message):
    asked = {"flat": [1.0, 2.0], "offsets": [0, 2], "start": 0.0, "stop": 3.0} | options(kind, 0.1, 0.0) | change
    if message is None:
        assert KINDS[kind](asked.pop("flat"), asked.pop("offsets"), **asked).shape == (1, 2)
        return
    with pytest.raises(BraindecError, match=message):
        KINDS[kind](asked.pop("flat"), asked.pop("offsets"), **asked)
