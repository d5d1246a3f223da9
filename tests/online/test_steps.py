"""Live steps: any chunking gives the same, equal to independent whole-signal references, and nothing comes out early."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, iirfilter, sosfilt, sosfilt_zi

from braindec import registry
from braindec.errors import BraindecError
from braindec.online.pipeline import Pipeline, assert_causal, check_live_steps
from braindec.signal.prepare import prepare
from braindec.types import ArraySignal, Recording

SFREQ = 200.0
CHANNELS = pd.DataFrame({"name": ["A1", "A2", "A3", "A4"], "type": "eeg", "unit": "V"})
CASES = {
    "filter": [{"filter": {"low": 1.0, "high": 20.0, "causal": True}}],
    "fir": [{"filter": {"low": 4.0, "high": 40.0, "causal": True, "method": "fir"}}],
    "notch": [{"notch": {"freqs": [50.0], "width": 3.0}}],
    "reference": [{"reference": {"kind": "bipolar"}}],
    "pick": [{"pick": {"channels": ["A3", "A1"]}}],
    "scale": [{"scale": {"factor": 1e6}}],
    "clamp": [{"clamp": {"limit": 1.5e-5}}],
    "decimate": [{"decimate": {"sfreq": 50.0}}],
    "running_scale": [{"running_scale": {"tau": 2.0}}],
    "band_power": [{"band_power": {"bands": {"alpha": [8, 13], "gamma": [30, 80]}, "width": 0.1, "sfreq": 40.0}}],
    "rms": [{"band_power": {"bands": {"alpha": [8, 13]}, "scale": "rms"}}],
    "chain": [{"filter": {"low": 1.0, "high": 30.0, "causal": True}}, "reference", {"decimate": {"sfreq": 100.0}}, {"running_scale": {}}],
}  # fmt: skip


def recording(n: int = 1200, seed: int = 0) -> Recording:
    rng = np.random.default_rng(seed)
    return Recording(ArraySignal(1e-5 * rng.standard_normal((4, n)) + 1e-4), SFREQ, CHANNELS, info={"modality": "eeg"})


def test_every_live_step_is_tried():
    tried = {next(iter(s)) if isinstance(s, dict) else s for steps in CASES.values() for s in steps} | {"fitted_scale"}
    assert tried == set(registry.names("online.steps"))


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 1200), max_size=40))
def test_any_chunks_give_the_whole(name, cuts):
    run = recording()
    pipeline = Pipeline(CASES[name])
    whole = pipeline.run(run).load()
    signal, edges = run.load(), [0, *sorted(cuts), run.n_times]  # the same place twice is an empty chunk
    pipeline.open(run.sfreq, run.channels)
    pieces = np.concatenate([pipeline.push(signal[:, a:b]) for a, b in pairwise(edges)], axis=1)
    assert pieces.shape == whole.shape
    assert np.abs(pieces - whole).max() <= 1e-9 * np.abs(whole).max()


@pytest.mark.parametrize("name", CASES)
def test_no_step_lets_an_impulse_out_before_it_comes(name):
    assert assert_causal(CASES[name], sfreq=SFREQ, channels=CHANNELS) == 0.0


def test_filter_is_scipys_and_that_of_the_offline_step():
    run = recording()
    sos = butter(4, [1.0, 20.0], "bandpass", fs=SFREQ, output="sos")
    signal = run.load()
    expected = sosfilt(sos, signal, axis=1, zi=sosfilt_zi(sos)[:, None, :] * signal[:, :1])[0]
    found = Pipeline(CASES["filter"]).run(run).load()
    assert np.allclose(found, expected, atol=1e-18)
    offline = prepare([run], CASES["filter"])[0].load()  # float32
    assert np.abs(found - offline).max() < 1e-6 * np.abs(found).max()


def test_fir_is_a_plain_convolution():
    import mne

    run = recording()
    taps = mne.filter.create_filter(None, SFREQ, 4.0, 40.0, phase="minimum", verbose="ERROR")
    signal = run.load()
    padded = np.concatenate([np.repeat(signal[:, :1], len(taps) - 1, axis=1), signal], axis=1)
    expected = np.stack([np.convolve(row, taps, mode="valid") for row in padded])
    assert np.allclose(Pipeline(CASES["fir"]).run(run).load(), expected, atol=1e-16)


def test_notch_takes_out_what_it_names_and_leaves_the_rest():
    t = np.arange(4000) / SFREQ
    run = Recording(ArraySignal(np.stack([np.sin(2 * np.pi * f * t) for f in (50, 12, 30, 70)])), SFREQ, CHANNELS)
    found = Pipeline(CASES["notch"]).run(run).load()[:, 2000:]
    assert found[0].std() < 0.01 and np.all(np.abs(found[1:].std(axis=1) - np.sqrt(0.5)) < 0.02)
    sos = iirfilter(2, [48.5, 51.5], btype="bandstop", fs=SFREQ, output="sos")
    assert np.allclose(found[0], sosfilt(sos, run.load()[0])[2000:], atol=1e-9)


def test_decimate_keeps_time_and_removes_what_would_fold():
    t = np.arange(4000) / SFREQ
    low, high = np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * 45 * t)  # 45 Hz would become 5 Hz at 50 Hz
    run = Recording(ArraySignal(np.stack([low, high, low + high, np.ones_like(t)])), SFREQ, CHANNELS)
    made = Pipeline(CASES["decimate"]).run(run)
    found = made.load()[:, 200:]
    assert made.sfreq == 50.0 and made.n_times == 1000
    assert abs(found[0].std() - np.sqrt(0.5)) < 0.01 and found[1].std() < 1e-3 and np.allclose(found[3], 1.0, atol=1e-9)
    assert np.allclose(found[2], found[0], atol=2e-3)


def test_running_scale_is_the_recursion_written_out():
    run = recording(300)
    keep = np.exp(-1 / (2.0 * SFREQ))
    x = run.load()
    mean, square, expected = x[:, 0].copy(), np.zeros(4), []
    for n in range(300):
        mean = keep * mean + (1 - keep) * x[:, n]
        centre = x[:, n] - mean
        square = keep * square + (1 - keep) * centre**2
        spread = np.sqrt(square / (1 - keep ** (n + 1)))
        expected.append(np.divide(centre, spread, out=np.zeros(4), where=spread > 0))
    assert np.allclose(Pipeline(CASES["running_scale"]).run(run).load(), np.array(expected).T, atol=1e-9)


def test_band_power_of_a_sine_is_half_its_squared_amplitude():
    t = np.arange(4000) / SFREQ
    run = Recording(ArraySignal(np.tile(3e-6 * np.sin(2 * np.pi * 10.3 * t), (4, 1))), SFREQ, CHANNELS)
    found = Pipeline(CASES["band_power"]).run(run)
    assert list(found.channels["name"])[:2] == ["A1 alpha", "A2 alpha"] and found.n_channels == 8
    alpha, gamma = found.load()[0, 400:], found.load()[4, 400:]
    assert abs(alpha.mean() - np.log10(4.5e-12)) < 0.02 and gamma.max() < alpha.min() - 4


def test_fitted_scale_learns_from_training_runs_only():
    train, test = recording(seed=1), recording(seed=2)
    pipeline = Pipeline(["reference", "fitted_scale"]).fit([train], ids=["a", "b"])
    before = Pipeline(["reference"])
    a, b = before.run(train).load(), before.run(test).load()
    expected = (b - a.mean(axis=1, keepdims=True)) / a.std(axis=1, keepdims=True)
    assert np.allclose(pipeline.run(test).load(), expected) and list(pipeline.fit_records_[0].ids) == ["a", "b"]
    assert pipeline.lead(test) == 0.0
    with pytest.raises(BraindecError, match="was not fitted"):
        Pipeline(["fitted_scale"]).run(test)


def test_group_delay_is_that_of_a_burst():
    t = np.arange(2000) / SFREQ
    pipeline = Pipeline([{"filter": {"low": 5.0, "high": 15.0, "causal": True}}])
    burst = np.exp(-0.5 * ((t - 5) / 0.3) ** 2) * np.sin(2 * np.pi * 9 * t)
    made = pipeline.run(Recording(ArraySignal(np.tile(burst, (4, 1))), SFREQ, CHANNELS)).load()[0]
    power = made**2
    assert abs((t @ power / power.sum() - 5) - pipeline.delay) < 0.01


@pytest.mark.parametrize(("steps", "words"), [
    ([{"filter": {"low": 1.0, "high": 20.0}}], "have not come yet"),
    ([{"filter": {"low": 1.0, "high": 20.0, "causal": False}}], "have not come yet"),
    (["zscore"], "not possible live"),
    ([{"detrend": {"order": 1}}], "not possible live"),
    ([{"resample": {"sfreq": 50.0}}], "not possible live"),
    (["runing_scale"], "running_scale"),
    ([{"filter": {"lo": 1.0}}], "no option 'lo'"),
    ([{"filter": {"low": 20.0, "high": 1.0, "causal": True}}], "must rise"),
    ([{"band_power": {"bands": {}}}], "needs a band"),
    ([3], "is no step"),
])  # fmt: skip
def test_steps_that_cannot_run_live_are_refused(steps, words):
    with pytest.raises(BraindecError, match=words):
        check_live_steps(steps)


@pytest.mark.parametrize(("steps", "words"), [
    ([{"decimate": {"sfreq": 77.0}}], "whole fraction"),
    ([{"filter": {"high": 120.0, "causal": True}}], "half the sampling frequency"),
    ([{"band_power": {"bands": {"high": [70, 150]}}}], "half the sampling frequency"),
])  # fmt: skip
def test_steps_that_do_not_fit_the_stream_are_refused(steps, words):
    with pytest.raises(BraindecError, match=words):
        Pipeline(steps).run(recording())


@pytest.mark.parametrize("steps", [
    [{"filter": {"low": 1.0, "high": 20.0}}], ["zscore"], [{"detrend": {"order": 1}}], [{"notch": {"freqs": 50.0}}], [{"resample": {"sfreq": 100.0}}],
])  # fmt: skip
def test_the_impulse_finds_out_what_looks_ahead(steps):
    with pytest.raises(BraindecError, match="have not come yet"):
        assert_causal(lambda r: prepare([r], steps)[0], sfreq=SFREQ, channels=CHANNELS)
    reversed_in_time = lambda r: r.with_signal(r.load()[:, ::-1].copy())  # noqa: E731
    with pytest.raises(BraindecError, match="before it comes"):
        assert_causal(reversed_in_time, sfreq=SFREQ)
    assert (
        assert_causal(lambda r: prepare([r], [{"filter": {"low": 1.0, "causal": True}}, "reference"])[0], sfreq=SFREQ)
        == 0.0
    )


def test_a_lead_is_measured_in_seconds():
    def early(r: Recording) -> Recording:
        return r.with_signal(np.concatenate([r.load()[:, 10:], r.load()[:, -1:].repeat(10, 1)], axis=1))

    assert assert_causal(early, sfreq=SFREQ, refuse=False) == pytest.approx(10 / SFREQ)


def test_values_that_are_not_finite_are_named():
    run = recording(100)
    bad = run.load().copy()
    bad[2, 40] = np.nan
    with pytest.raises(BraindecError, match="1 channels"):
        Pipeline(CASES["filter"]).run(run.with_signal(bad))
    with pytest.raises(BraindecError, match="does not fit"):
        Pipeline(CASES["filter"]).open(SFREQ, CHANNELS).push(np.zeros((3, 5)))
