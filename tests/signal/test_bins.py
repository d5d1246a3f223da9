"""Means over bins of time, alone and after band power: closed forms, time, causality."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.steps.band_power import band_power
from braindec.signal.steps.bins import bins
from braindec.types import Recording

SFREQ = 1000.0
T = np.arange(4000) / SFREQ


def recording(*rows, **kwargs):
    channels = pd.DataFrame({"name": [f"E{i}" for i in range(len(rows))], "type": "ecog", "unit": "V"})
    return Recording(np.array(rows), SFREQ, channels, **kwargs)


def sine(frequency, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * T)


def test_a_bin_is_the_mean_of_its_samples():
    ramp = np.arange(4000.0)
    found = bins(recording(ramp), width=0.1)
    assert found.sfreq == 10 and found.n_times == 40
    np.testing.assert_allclose(found.signal.read()[0], 100 * np.arange(40) + 49.5)
    past = bins(recording(ramp), width=0.1, causal=True).signal.read()[0]
    np.testing.assert_allclose(past[1:], 100 * np.arange(1, 40) - 49.5)  # samples 1 to 100 for the bin at sample 100
    assert past[0] == past[1]


@pytest.mark.parametrize("causal", [False, True])
def test_a_sine_in_the_band_has_its_power_in_every_bin(causal):
    powers = bins(band_power(recording(sine(100, 2.0), sine(100, 0.5), sine(20)), low=90, high=110, causal=causal), width=0.1, causal=causal)  # fmt: skip
    middle = powers.signal.read()[:, 5:-5]
    assert middle[:2].std(axis=1).max() < 0.05
    np.testing.assert_allclose(middle[0] - middle[1], np.log(16), atol=0.01)
    assert middle[2].max() < middle[1].min() - 8


def test_causal_power_in_bins_knows_nothing_of_later_samples():
    rng = np.random.default_rng(1)
    before = rng.standard_normal(4000)
    after = before.copy()
    after[2050:] = 100 * rng.standard_normal(1950)  # from 2.050 s on

    def run(x, causal):
        return bins(band_power(recording(x), causal=causal), width=0.1, causal=causal).signal.read()[0]

    a, b = run(before, True), run(after, True)
    np.testing.assert_allclose(a[:21], b[:21], rtol=1e-6)  # times 0 to 2.0 s
    assert (a[21:] != b[21:]).all()
    c, d = run(before, False), run(after, False)
    assert abs(c[20] - d[20]) > 0.1, "the other one looks ahead: what this test would catch"


def test_events_keep_their_time():
    events = pd.DataFrame({"onset": [1.23], "duration": [0.0], "sample": [1230]})
    found = bins(recording(sine(100), events=events), width=0.05)
    assert found.events["onset"].tolist() == [1.23] and "sample" not in found.events


@pytest.mark.parametrize(("width", "message"), [(3.0, "less than two"), (0.0001, "longer width"), (-1.0, "width")])
def test_refusals(width, message):
    with pytest.raises(BraindecError, match=message):
        bins(recording(sine(100)), width=width)
