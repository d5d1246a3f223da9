"""Band power against closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt

from braindec.errors import BraindecError
from braindec.signal.steps.band_power import band_power, log_power, narrow_powers
from braindec.types import Recording

SFREQ = 500.0


def recording(data, types="seeg"):
    channels = pd.DataFrame({"name": [f"A{k}" for k in range(len(data))], "type": types, "unit": "V"})
    return Recording(np.asarray(data, dtype=np.float32), SFREQ, channels)


def test_a_sine_has_the_power_of_its_amplitude():
    t = np.arange(2000) / SFREQ
    x = 3.0 * np.sin(2 * np.pi * 80 * t)
    found = log_power(x, SFREQ, low=70, high=90, width=20)
    np.testing.assert_allclose(found[500:1500], np.log(9.0), atol=0.02)
    causal = log_power(x, SFREQ, low=70, high=90, width=20, smooth=0.1, causal=True)
    np.testing.assert_allclose(causal[1000:], np.log(9.0), atol=0.05)
    assert log_power(np.sin(2 * np.pi * 30 * t), SFREQ, low=70, high=90)[1000] < -8


def test_against_filters_that_run_both_ways_and_hilbert():
    x = np.random.default_rng(0).normal(size=(3, 3000))
    for power, edges in zip(narrow_powers(x, SFREQ, low=70, high=150, width=40), ((70, 110), (110, 150)), strict=True):
        sos = butter(4, edges, btype="bandpass", fs=SFREQ, output="sos")
        theirs = np.abs(hilbert(sosfiltfilt(sos, x), axis=1)) ** 2
        inside = slice(600, 2400)
        assert np.abs(power - theirs)[:, inside].max() < 0.01 * theirs.max()


def test_bands_count_alike_and_logarithms_are_averaged():
    t = np.arange(4000) / SFREQ
    x = np.sin(2 * np.pi * 80 * t) + 0.1 * np.sin(2 * np.pi * 100 * t)
    both = log_power(x, SFREQ, low=70, high=110, width=20)[2000]
    single = [log_power(x, SFREQ, low=low, high=low + 20)[2000] for low in (70, 90)]
    assert both == pytest.approx(np.mean(single), abs=1e-6)


@pytest.mark.parametrize("smooth", [0.002, 0.1])
def test_causal_power_knows_nothing_of_later_samples(smooth):
    rng = np.random.default_rng(1)
    x = rng.normal(size=1000)
    other = x.copy()
    other[600:] += 5 * rng.normal(size=400)
    options = {"low": 70, "high": 150, "smooth": smooth}
    a, b = (log_power(v, SFREQ, causal=True, **options) for v in (x, other))
    np.testing.assert_allclose(a[:600], b[:600], atol=1e-9)
    assert np.abs(a[600:] - b[600:]).max() > 0.5
    a, b = (log_power(v, SFREQ, **options) for v in (x, other))
    assert np.abs(a[580:600] - b[580:600]).max() > 0.1, "the other one does"


def test_the_step():
    x = np.random.default_rng(0).normal(size=(3, 1500))
    x[1] = 0.0
    made = band_power(recording(x, types=["seeg", "seeg", "stim"]))
    assert made.info["band"] == [70.0, 150.0] and list(made.channels["unit"]) == ["a.u.", "a.u.", "V"]
    assert np.isfinite(made.load()).all() and made.channels["status"][1] == "bad"
    np.testing.assert_allclose(made.load()[2], x[2], atol=1e-6)
    plain = band_power(recording(x[:1]), log=False)
    np.testing.assert_allclose(np.log(plain.load()[0]), made.load()[0], atol=1e-3)
    assert plain.channels["unit"][0] == "V²"


def test_refusals():
    x = np.random.default_rng(0).normal(size=(1, 500))
    for options, message in (({"high": 260.0}, "below half"), ({"low": 150.0, "high": 70.0}, "band lies"), ({"width": 0}, "width"), ({"order": 0}, "order"),
                             ({"smooth": -1}, "smooth")):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            band_power(recording(x), **options)
    with pytest.raises(BraindecError, match="too short"):
        band_power(recording(x[:, :20]))
