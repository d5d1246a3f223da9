"""Series of features: other rates against closed forms, stretches that cover a stimulus, nothing across blocks."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders.stimulus_series import make_series, n_samples, stretches, to_rate
from braindec.types import Segments


def series(values, sfreq):
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    return make_series(
        values, sfreq, [f"u{k}" for k in range(len(values))], feature="made up", stimulus="a.wav", settings={}
    )


def test_rates_of_a_ramp_equal_closed_forms():
    ramp = series(np.arange(1000.0), 100.0)  # the value at t is 100 t
    for sfreq in (30.0, 50.0, 100.0, 240.0):
        t = np.arange(n_samples(10.0, sfreq)) / sfreq
        np.testing.assert_allclose(to_rate(ramp, sfreq, method="linear").load()[0], np.minimum(100 * t, 999), atol=1e-3)
        nearest = to_rate(ramp, sfreq).load()[0]
        assert np.abs(nearest - 100 * t).max() <= 0.5 + 1e-6 or sfreq > 100
        assert set(nearest) <= set(np.arange(1000.0))
    halves = to_rate(ramp, 50.0, method="mean").load()[0]
    np.testing.assert_allclose(halves, np.arange(500) * 2 + 0.5)


@pytest.mark.parametrize("sfreq", [3.0, 7.0, 12.5, 100.0, 130.0])
def test_averages_keep_the_integral(sfreq):
    values = np.random.default_rng(0).normal(size=(3, 400))
    new = to_rate(series(values, 100.0), sfreq, method="mean")
    widths = np.minimum(1 / sfreq, 4.0 - np.arange(new.n_times) / sfreq)
    np.testing.assert_allclose((new.load() * widths).sum(axis=1), values.sum(axis=1) / 100, atol=1e-4)
    # one sample by hand: from 2 / sfreq to 3 / sfreq of a function that is constant between the old samples
    fine = np.repeat(values, 1000, axis=1)
    by_hand = fine[:, round(2 / sfreq * 1e5) : round(3 / sfreq * 1e5)].mean(axis=1)
    np.testing.assert_allclose(new.load()[:, 2], by_hand, atol=2e-3)


@pytest.mark.parametrize("method", ["nearest", "linear", "mean"])
def test_rates_change_within_blocks(method):
    values = np.random.default_rng(1).normal(size=(2, 300))
    other = values.copy()
    other[:, 137:] += 5.0
    blocks = [(0.0, 1.37), (1.37, 3.0)]
    a, b = (to_rate(series(v, 100.0), 33.0, method=method, blocks=blocks).load() for v in (values, other))
    edge = round(1.37 * 33.0)
    np.testing.assert_array_equal(a[:, :edge], b[:, :edge])
    np.testing.assert_allclose(b[:, edge:] - a[:, edge:], 5.0, atol=1e-5)


def test_stretches_cover_the_stimulus_with_every_sample_once():
    rng = np.random.default_rng(0)
    for _ in range(50):
        edges = np.sort(rng.uniform(0, 20, size=2 * rng.integers(1, 5)))
        sfreq = float(rng.choice([7.0, 50.0, 120.0]))
        parts = stretches(edges.reshape(-1, 2), 20.0, sfreq=sfreq)
        assert parts[0].first == 0 and all(a.last == b.first for a, b in pairwise(parts))
        assert {e for p in parts for e in (p.start, p.stop)} <= {0.0, 20.0, *edges}
        assert parts[-1].last == n_samples(20.0, sfreq) == 20 * sfreq


def test_a_segment_of_a_block_begins_with_the_samples_of_that_block():
    sfreq, blocks = 50.0, [(0.0, 3.333), (3.333, 6.667), (6.667, 10.0)]
    parts = stretches(blocks, 10.0, sfreq=sfreq)
    marks = np.concatenate([np.full(p.last - p.first, k) for k, p in enumerate(parts)])
    items = pd.DataFrame({"stimulus_id": ["a", "b", "c"], "audio": "s", "start": [b[0] for b in blocks]})
    pieces = Segments.cut({"s": series(marks, sfreq)}, items, duration=3.0).load()
    np.testing.assert_array_equal(pieces, np.broadcast_to(np.arange(3)[:, None, None], pieces.shape))


def test_what_cannot_be_done_is_refused():
    one = series(np.arange(10.0), 10.0)
    with pytest.raises(BraindecError, match="did you mean 'nearest'"):
        to_rate(one, 5.0, method="neares")
    with pytest.raises(BraindecError, match="sfreq"):
        to_rate(one, 0.0)
    with pytest.raises(BraindecError, match="not finite"):
        series([1.0, np.nan], 10.0)
    with pytest.raises(BraindecError, match="start and stop"):
        stretches(pd.DataFrame({"begin": [0.0]}), 1.0, sfreq=10.0)
