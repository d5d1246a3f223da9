"""Weighted mid-ranks and rank ceilings: fast forms against their definitions, and against matrices that are written out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from braindec.kernels.rank_ceilings import rank_again, rank_again_numpy, rank_ceilings, rank_ceilings_numpy
from braindec.kernels.weighted_midranks import LANES, sort_pairs, weighted_midranks, weighted_midranks_numpy


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(4, 12), levels=st.integers(1, 30))
def test_fast_ranks_are_those_of_the_definition(seed, n, levels):
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(n, 1)
    values = rng.integers(0, levels, len(first)).astype(float)
    copies = rng.multinomial(n, np.full(n, 1 / n), size=LANES).T
    out = np.empty((len(values), LANES), dtype=np.float32)
    weighted_midranks(sort_pairs(values[None], n)[0], copies.astype(np.float32), out)
    for lane in range(LANES):
        drawn = copies[first, lane] * copies[second, lane]
        expected = weighted_midranks_numpy(values, copies[:, lane])
        np.testing.assert_array_equal(out[drawn > 0, lane], expected[drawn > 0])
        written_out = rankdata(np.repeat(values, drawn))  # every copy in a row of its own
        centred = np.repeat(expected, drawn) + (drawn.sum() + 1) / 2
        np.testing.assert_allclose(centred, written_out)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 300), scale=st.sampled_from([1, 40, 5_000, 3_000_000]))
def test_ranking_again_is_a_sort(seed, n, scale):
    rng = np.random.default_rng(seed)
    values = rng.integers(-scale, scale, n) / 2
    weights = rng.integers(1, 5, n).astype(np.float32)
    np.testing.assert_allclose(rank_again(values, weights), rank_again_numpy(values, weights))


def test_ceilings_follow_their_definition():
    rng = np.random.default_rng(3)
    weights = rng.integers(1, 4, 60).astype(np.float32)
    ranks = np.stack([rank_again_numpy(np.round(8 * rng.random(60)), weights) for _ in range(6)]).astype(np.float32)
    copies = rng.multinomial(6, np.full(6, 1 / 6), size=7).astype(float)
    copies[0] = [0, 0, 0, 0, 0, 6]  # a single subject
    how = {"copies": copies, "share": copies / 2, "subject": np.array([0, 0, 1, 1, 2, 3])}
    for ties in (False, True):
        fast, plain = (
            rank_ceilings(ranks, weights, ties=ties, **how),
            rank_ceilings_numpy(ranks, weights, ties=ties, **how),
        )
        np.testing.assert_allclose(fast, plain, atol=1e-7)
        assert np.isnan(fast[0, 0]) and np.isfinite(fast[0, 1])
