"""Power in a band: closed forms, time, causality."""

import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, sosfreqz

from braindec.errors import BraindecError
from braindec.signal.steps.band_power import band_power
from braindec.types import Recording

SFREQ = 1000.0
T = np.arange(4000) / SFREQ


def recording(*rows, **kwargs):
    channels = pd.DataFrame({"name": [f"E{i}" for i in range(len(rows))], "type": "ecog", "unit": "V"})
    return Recording(np.array(rows), SFREQ, channels, **kwargs)


def sine(frequency, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * T)


@pytest.mark.parametrize("causal", [False, True])
def test_a_sine_in_the_band_has_the_power_of_a_sine(causal):
    found = band_power(recording(sine(100, 2.0), sine(100, 0.5), sine(20)), width=0.1, causal=causal)
    assert found.sfreq == 10 and found.n_times == 40 and list(found.channels["unit"]) == ["a.u."] * 3
    middle = found.signal.read()[:, 5:-5]
    np.testing.assert_allclose(middle[:2], np.log([[2.0], [0.125]]) * np.ones((2, 30)), atol=0.01)
    assert middle[2].max() < np.log(0.5) - 10  # 20 Hz is out of the band
    plain = band_power(recording(sine(100, 2.0)), width=0.1, log=False)
    np.testing.assert_allclose(plain.signal.read()[0, 5:-5], 2.0, rtol=0.01)
    assert plain.channels["unit"].iloc[0] == "V²"


def test_white_noise_has_the_share_of_power_of_the_band():
    noise = np.random.default_rng(0).standard_normal((1, 200_000))
    channels = pd.DataFrame({"name": ["E"], "type": "ecog", "unit": "V"})
    found = band_power(Recording(noise, SFREQ, channels), low=50, high=150, width=1.0, log=False)
    _, response = sosfreqz(butter(4, [50, 150], btype="band", fs=SFREQ, output="sos"), worN=20_000, fs=SFREQ)
    expected = np.mean(np.abs(response) ** 4)  # run both ways; power
    assert 0.15 < expected < 0.2 and found.signal.read().mean() == pytest.approx(expected, rel=0.01)


def test_a_burst_lies_in_its_bin():
    burst = sine(100) * ((T >= 2.0) & (T < 2.1))
    found = band_power(recording(burst), width=0.1, log=False).signal.read()[0]
    assert found.argmax() == 20 and found[20] > 5 * np.delete(found, [19, 20, 21]).max()


def test_causal_power_knows_nothing_of_later_samples():
    rng = np.random.default_rng(1)
    before = rng.standard_normal(4000)
    after = before.copy()
    after[2050:] = 100 * rng.standard_normal(1950)  # 2.050 s
    a, b = (band_power(recording(x), width=0.1, causal=True).signal.read()[0] for x in (before, after))
    np.testing.assert_array_equal(a[:21], b[:21])  # times 0 to 2.0 s
    assert (a[21:] != b[21:]).all()
    c, d = (band_power(recording(x), width=0.1).signal.read()[0] for x in (before, after))
    assert c[20] != d[20], "the other one looks ahead: what this test would catch"


def test_events_keep_their_time():
    events = pd.DataFrame({"onset": [1.23], "duration": [0.0], "sample": [1230]})
    found = band_power(recording(sine(100), events=events), width=0.05)
    assert found.events["onset"].tolist() == [1.23] and "sample" not in found.events


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"high": 600.0}, "not below half"),
        ({"low": 120.0, "high": 100.0}, "low < high"),
        ({"width": 3.0}, "less than two"),
        ({"width": 0.0001}, "longer width"),
        ({"order": 0}, "order 1 to 12"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(BraindecError, match=message):
        band_power(recording(sine(100)), **options)
