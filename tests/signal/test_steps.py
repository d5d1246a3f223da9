from __future__ import annotations

import mne
import numpy as np
import pytest
import scipy.signal

from braindec import registry
from braindec.errors import BraindecError
from braindec.signal.steps.clamp import clamp
from braindec.signal.steps.crop import crop
from braindec.signal.steps.detrend import detrend
from braindec.signal.steps.drop_redundant import drop_redundant
from braindec.signal.steps.filter import filter as filter_step
from braindec.signal.steps.filter import reach
from braindec.signal.steps.notch import notch
from braindec.signal.steps.pick import pick
from braindec.signal.steps.reference import neighbours, reference
from braindec.signal.steps.resample import resample
from braindec.signal.steps.scale import scale
from braindec.signal.steps.zscore import zscore

OPTIONS = {"filter": {"low": 1.0, "high": 20.0}, "resample": {"sfreq": 50.0}, "notch": {"freqs": 30.0}, "clamp": {"limit": 1.0},
           "scale": {"factor": 1e6}, "crop": {"tmin": 0.5}, "band_power": {"low": 20.0, "high": 40.0}, "bins": {"width": 0.1}}  # fmt: skip
COMPUTING = [
    "band_power",
    "bins",
    "clamp",
    "detrend",
    "drop_redundant",
    "filter",
    "notch",
    "reference",
    "resample",
    "scale",
    "zscore",
]
EVENTS = {"onset": [1.0, 2.125], "duration": 0.0, "trial_type": ["a", "b"], "sample": [100, 212]}


def sines(freqs, sfreq, seconds=20.0):
    t = np.arange(round(sfreq * seconds)) / sfreq
    return np.sin(2 * np.pi * np.atleast_1d(freqs)[:, None] * t + 0.3)


def gain(out, freqs, sfreq):
    """Amplitude of each channel at its own frequency, edges left out (least squares on sine and cosine)."""
    t = np.arange(out.shape[1]) / sfreq
    inside = (t > 4) & (t < t[-1] - 4)
    found = []
    for x, f in zip(out, np.atleast_1d(freqs), strict=True):
        basis = np.stack([np.sin(2 * np.pi * f * t[inside]), np.cos(2 * np.pi * f * t[inside])], axis=1)
        found.append(np.linalg.norm(np.linalg.lstsq(basis, x[inside], rcond=None)[0]))
    return np.array(found)


def run_step(name, recording):
    return registry.get("signal.steps", name)(recording, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", registry.names("signal.steps"))
def test_every_step_keeps_channels_events_and_info_and_leaves_its_input(name, make_recording):
    recording = make_recording(n_channels=4, events=EVENTS, subject="01", extra={"a": 1})
    before = recording.load().copy()
    found = run_step(name, recording)
    assert np.array_equal(recording.load(), before)
    assert found.ch_names == recording.ch_names
    assert found.info["subject"] == "01" and found.info["extra"] == {"a": 1}
    assert list(found.events["trial_type"]) == ["a", "b"]
    shift = 0.5 if name == "crop" else 0.0
    assert np.allclose(found.events["onset"], np.array([1.0, 2.125]) - shift)
    assert np.isfinite(found.load()).all()


@pytest.mark.parametrize("name", COMPUTING)
def test_channels_that_are_not_finite_are_named(name, make_recording):
    data = np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32)
    data[1, 250] = np.nan
    data[3, 10] = np.inf
    with pytest.raises(BraindecError, match="2 of 4 channels hold values that are not finite") as error:
        run_step(name, make_recording(data, subject="07"))
    assert "c1, c3; the first in c1 at 2.500 s" in str(error.value) and "sub-07" in str(error.value)


@pytest.mark.parametrize("name", [n for n in COMPUTING if n != "drop_redundant"])
def test_flat_channels_are_marked_bad_with_a_warning(name, make_recording):
    data = np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32)
    data[2] = 0.1
    found = run_step(name, make_recording(data, warnings=["old"]))
    assert list(found.channels["status"]) == ["good", "good", "bad", "good"]
    assert found.info["warnings"] == ["old", "1 flat channels marked bad: c2"]
    assert np.isfinite(found.load()).all()
    again = run_step(name, found)
    assert again.info["warnings"] == found.info["warnings"], "said once"
    assert pick(found).ch_names == ["c0", "c1", "c3"]


@pytest.mark.parametrize("name", [n for n in COMPUTING if n not in ("resample", "drop_redundant", "bins")])
def test_trigger_channels_are_carried_along(name, make_recording):
    data = np.random.default_rng(0).normal(size=(4, 1000)).astype(np.float32)
    data[3] = 0
    data[3, 500:510] = 7
    recording = make_recording(data, types=["eeg", "eeg", "eeg", "stim"])
    assert np.array_equal(run_step(name, recording).load()[3], data[3])
    data[3] = 0
    assert (run_step(name, make_recording(data, types=["eeg"] * 3 + ["stim"])).channels["status"] == "good").all()


@pytest.mark.parametrize(
    "name", ["filter", "resample", "detrend", "zscore", "notch", "scale", "reference", "drop_redundant"]
)
def test_blocks_do_not_change_the_result(name, make_recording, monkeypatch):
    from braindec.signal.steps import _blocks

    data = np.random.default_rng(0).normal(size=(7, 1000)).astype(np.float32)
    recording = make_recording(data, types=["eeg"] * 3 + ["stim"] + ["eeg"] * 3)
    whole = run_step(name, recording).load()
    for budget in (8 * 1000, 8 * 2500):  # one channel, two channels at a time
        monkeypatch.setattr(_blocks, "_BUDGET", budget)
        assert np.allclose(run_step(name, recording).load(), whole, atol=1e-6)


# filter -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["iir", "fir"])
@pytest.mark.parametrize("causal", [False, True])
def test_filter_passes_its_band_and_stops_the_rest(make_recording, method, causal):
    freqs = [0.1, 5.0, 8.0, 10.0, 60.0, 110.0]
    recording = make_recording(sines(freqs, 250.0, 40.0), sfreq=250.0)
    out = filter_step(recording, low=2.0, high=20.0, method=method, causal=causal)
    amplitude = gain(out.load(), freqs, 250.0)
    assert (np.abs(amplitude[1:4] - 1) < 0.03).all()
    assert (amplitude[[0, 4, 5]] < 0.01).all()
    assert out.info["highpass"] == 2.0 and out.info["lowpass"] == 20.0


def test_butterworth_gain_is_the_closed_form(make_recording):
    freqs = np.array([2.0, 5.0, 10.0, 14.0, 20.0])
    both = gain(filter_step(make_recording(sines(freqs, 500.0), sfreq=500.0), high=10.0, order=3).load(), freqs, 500.0)
    once = gain(
        filter_step(make_recording(sines(freqs, 500.0), sfreq=500.0), high=10.0, order=3, causal=True).load(),
        freqs,
        500.0,
    )
    warped = np.tan(np.pi * freqs / 500) / np.tan(np.pi * 10 / 500)
    power = 1 / (1 + warped**6)
    assert np.allclose(both, power, atol=2e-3)
    assert np.allclose(once, np.sqrt(power), atol=2e-3)


def test_without_causal_there_is_no_shift_in_time(make_recording):
    pulse = np.zeros((1, 1001))
    pulse[0, 500] = 1
    for method in ("iir", "fir"):
        out = filter_step(make_recording(pulse), low=1.0, high=20.0, method=method).load()[0]
        assert out.argmax() == 500
        assert np.allclose(out[500:700], out[500:300:-1], atol=1e-5)


@pytest.mark.parametrize("method", ["iir", "fir"])
def test_causal_uses_no_later_sample_near_the_beginning(make_recording, method):
    """Padding by a mirror image would bring what comes later in front of the first sample."""
    x = np.random.default_rng(5).standard_normal((1, 1500))
    other = x.copy()
    other[:, 40:] += 5.0
    a, b = (
        filter_step(make_recording(v), low=1.0, high=20.0, causal=True, method=method).load()[0] for v in (x, other)
    )
    np.testing.assert_allclose(a[:40], b[:40], atol=1e-6)
    assert abs(a[41:60] - b[41:60]).max() > 0.01


@pytest.mark.parametrize("method", ["iir", "fir"])
def test_causal_uses_no_later_sample(make_recording, method):
    quiet = np.random.default_rng(0).normal(size=(1, 2000))
    loud = quiet.copy()
    loud[0, 1200:] += 100
    a, b = (
        filter_step(make_recording(x), low=1.0, high=20.0, causal=True, method=method).load()[0] for x in (quiet, loud)
    )
    assert np.allclose(a[:1200], b[:1200], atol=1e-9 if method == "iir" else 1e-4)
    assert np.abs(a[1200:] - b[1200:]).max() > 1
    pulse = np.zeros((1, 1000))
    pulse[0, 400] = 1
    out = filter_step(make_recording(pulse), low=1.0, high=20.0, causal=True).load()[0]
    assert (out[:400] == 0).all() and out[400] != 0


def test_edges_of_the_run_do_not_ring(make_recording):
    drift = np.stack([np.full(2000, 5.0) + 1e-6 * np.arange(2000), np.linspace(-3, 8, 2000)])
    for causal, allowed in ((False, 0.05), (True, 0.3)):
        out = filter_step(make_recording(drift), low=0.5, high=20.0, causal=causal).load()
        assert np.abs(out).max() < allowed


def test_filter_agrees_with_scipy_in_the_middle(make_recording):
    data = np.random.default_rng(0).normal(size=(2, 4000))
    out = filter_step(make_recording(data), low=1.0, high=30.0).load()
    sos = scipy.signal.butter(4, [1.0, 30.0], "bandpass", fs=100.0, output="sos")
    expected = scipy.signal.sosfiltfilt(sos, data, axis=1)
    assert np.allclose(out[:, 500:-500], expected[:, 500:-500], atol=1e-4)


def test_a_large_offset_costs_no_digits(make_recording):
    small = sines([10.0], 256.0)[0] * 1e-6
    data = np.stack([small, small + 0.2])
    out = filter_step(make_recording(data, sfreq=256.0), low=1.0, high=40.0).load()
    assert np.abs(out[0] - out[1])[1000:-1000].max() < 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "needs an edge"), ({"low": 60.0}, "not below half"), ({"high": 50.0}, "half of it is 50 Hz"), ({"low": 20.0, "high": 10.0}, "must rise"),
     ({"low": -1.0}, "positive"), ({"low": float("nan")}, "positive"), ({"low": 1.0, "method": "irr"}, "did you mean 'iir'"),
     ({"low": 1.0, "order": 0}, "order"), ({"low": 0.01, "method": "fir"}, "longer than the run")],
)  # fmt: skip
def test_filters_that_cannot_be(make_recording, options, message):
    with pytest.raises(BraindecError, match=message):
        filter_step(make_recording(), **options)


def test_a_run_too_short_to_filter(make_recording):
    with pytest.raises(BraindecError, match="too short"):
        filter_step(make_recording(n_times=10), low=1.0, high=20.0)
    out = filter_step(make_recording(n_times=500), low=0.1, high=20.0)  # 5 s against a period of 10 s
    assert "three periods of 0.1 Hz" in out.info["warnings"][-1]


def test_reach_is_how_far_a_sample_is_smeared():
    sos = scipy.signal.butter(4, [1.0, 20.0], "bandpass", fs=100.0, output="sos")
    pulse = np.zeros(4000)
    pulse[2000] = 1
    out = np.abs(scipy.signal.sosfiltfilt(sos, pulse))
    seconds = reach(100.0, low=1.0, high=20.0)
    far = np.abs(np.arange(4000) - 2000) > seconds * 100
    assert out[far].max() < 0.005 * out.max() and 1 < seconds < 10


# resample -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"), [(1000.0, 250.0), (256.0, 100.0), (100.0, 250.0), (600.615, 200.0), (512.0, 128.0)]
)
def test_resampled_sines_are_the_sines(make_recording, old, new):
    nyquist = min(old, new) / 2
    freqs = np.array([1.0, 0.3 * nyquist, 0.8 * nyquist])
    recording = make_recording(sines(freqs, old), sfreq=old, events=EVENTS)
    out = resample(recording, sfreq=new)
    data = out.load()
    t = np.arange(data.shape[1]) / new
    expected = np.sin(2 * np.pi * freqs[:, None] * t + 0.3)
    inside = (t > 2) & (t < t[-1] - 2)
    assert np.abs(data - expected)[:, inside].max() < 3e-3
    assert out.sfreq == new and abs(out.duration - recording.duration) <= 1 / new
    assert list(out.events["onset"]) == [1.0, 2.125] and "sample" not in out.events


def test_nothing_folds_back(make_recording):
    freqs = np.array([51.0, 60.0, 77.0, 120.0, 240.0])  # above half of 100 Hz
    out = resample(make_recording(sines(freqs, 1000.0), sfreq=1000.0), sfreq=100.0).load()
    assert np.abs(out[:, 200:-200]).max() < 2e-4  # 80 dB down, and rounding
    assert out.shape[1] == 2000


def test_a_pulse_stays_in_its_place(make_recording):
    pulse = np.zeros((1, 4000))
    pulse[0, 2000] = 1
    assert resample(make_recording(pulse, sfreq=1000.0), sfreq=250.0).load()[0].argmax() == 500


def test_an_offset_makes_no_edge(make_recording):
    out = resample(make_recording(np.full((1, 4000), 3.0) + np.linspace(0, 1, 4000), sfreq=1000.0), sfreq=250.0).load()[
        0
    ]
    assert np.abs(out - np.linspace(3, 4, 1000)).max() < 0.01


def test_triggers_keep_their_codes(make_recording):
    data = np.zeros((2, 1000))
    data[0] = np.random.default_rng(0).normal(size=1000)
    data[1, 300:340] = 5
    out = resample(make_recording(data, types=["eeg", "stim"]), sfreq=40.0).load()[1]
    assert set(np.unique(out)) == {0, 5} and np.flatnonzero(out).tolist() == list(range(120, 136))


def test_frequencies_that_cannot_be(make_recording):
    recording = make_recording()
    assert resample(recording, sfreq=100.0) is recording
    for sfreq in (0, -5, np.nan, "x"):
        with pytest.raises(BraindecError, match="positive"):
            resample(recording, sfreq=sfreq)
    with pytest.raises(BraindecError, match="cannot be resampled"):
        resample(recording, sfreq=0.0001)


# notch --------------------------------------------------------------------------------------------------------------------


def test_notch_removes_the_mains_and_nothing_else(make_recording):
    freqs = [10.0, 46.0, 50.0, 54.0, 100.0, 90.0]
    out = notch(make_recording(sines(freqs, 500.0), sfreq=500.0, line_freq=50), freqs=[50.0, 100.0]).load()
    amplitude = gain(out, freqs, 500.0)
    assert (amplitude[[2, 4]] < 0.01).all() and (amplitude[[0, 1, 3, 5]] > 0.97).all()


def test_notch_knows_the_mains_of_the_recording(make_recording):
    freqs = [60.0, 120.0, 180.0, 240.0, 30.0]
    out = notch(make_recording(sines(freqs, 500.0), sfreq=500.0, line_freq=60.0)).load()
    amplitude = gain(out, freqs, 500.0)
    assert (amplitude[:4] < 0.01).all() and amplitude[4] > 0.99
    for unknown in (None, "n/a"):
        with pytest.raises(BraindecError, match="mains is not known"):
            notch(make_recording(line_freq=unknown))
    with pytest.raises(BraindecError, match="not below half"):
        notch(make_recording(), freqs=[50.0])
    with pytest.raises(BraindecError, match="does not fit"):
        notch(make_recording(), freqs=0.5)
    with pytest.raises(BraindecError, match="empty"):
        notch(make_recording(), freqs=[])


# reference ----------------------------------------------------------------------------------------------------------------


def test_average_reference_against_mne_with_a_bad_channel(make_recording):
    data = np.random.default_rng(0).normal(size=(6, 500))
    recording = make_recording(
        data, status=["good", "good", "bad", "good", "good", "good"], types=["eeg"] * 5 + ["eog"]
    )
    out = reference(recording).load()
    raw = mne.io.RawArray(
        data.copy(), mne.create_info(recording.ch_names, 100.0, ["eeg"] * 5 + ["eog"]), verbose="ERROR"
    )
    raw.info["bads"] = ["c2"]
    theirs = raw.set_eeg_reference("average", verbose="ERROR").get_data()
    good = [0, 1, 3, 4, 5]
    assert np.allclose(out[good], theirs[good], atol=1e-6)
    assert np.allclose(out[[0, 1, 3, 4]].sum(axis=0), 0, atol=1e-5)
    assert np.allclose(out[2], data[2] - data[[0, 1, 3, 4]].mean(axis=0), atol=1e-6)
    assert reference(recording).info["reference"] == "average"


def test_named_reference(make_recording):
    data = np.random.default_rng(0).normal(size=(4, 500))
    recording = make_recording(data, names=["Cz", "M1", "M2", "Pz"])
    out = reference(recording, kind=["M1", "M2"])
    assert np.allclose(out.load(), data - data[1:3].mean(axis=0), atol=1e-6)
    single = reference(recording, kind=["M1"])
    assert single.ch_names == ["Cz", "M2", "Pz"]
    assert np.allclose(single.load()[0], data[0] - data[1], atol=1e-6)
    with pytest.raises(BraindecError, match="did you mean 'M1'"):
        reference(recording, kind=["M11"])
    with pytest.raises(BraindecError, match="marked bad"):
        reference(
            make_recording(data, names=["Cz", "M1", "M2", "Pz"], status=["good", "bad", "good", "good"]), kind=["M1"]
        )


def test_bipolar_by_name_with_midpoints_and_bad_contacts(make_recording):
    names = ["LA1", "LA2", "LA3", "LB10", "LB9", "LA'1", "LA'2", "ECG", "LC1"]
    data = np.random.default_rng(0).normal(size=(9, 300)).astype(np.float32)
    recording = make_recording(data, names=names, types=["seeg"] * 7 + ["ecg", "seeg"])
    recording.channels[["x", "y", "z"]] = np.arange(27).reshape(9, 3) / 100
    recording.channels["region"] = ["hip", "hip", "ctx"] + ["n/a"] * 6
    out = reference(recording, kind="bipolar")
    assert out.ch_names == ["LA1-LA2", "LA2-LA3", "LB9-LB10", "LA'1-LA'2", "ECG"]
    assert np.allclose(out.load()[:4], data[[0, 1, 4, 5]] - data[[1, 2, 3, 6]], atol=1e-6)
    assert np.array_equal(out.load()[4], data[7])
    assert np.allclose(out.positions[0], [0.015, 0.025, 0.035])
    assert list(out.channels["region"][:2]) == ["hip", "hip/ctx"]
    assert list(out.channels["type"]) == ["seeg"] * 4 + ["ecg"] and out.channels["anode"][2] == "LB9"
    bad = make_recording(data, names=names, types=["seeg"] * 7 + ["ecg", "seeg"], status=["good", "bad"] + ["good"] * 7)
    out = reference(bad, kind="bipolar")
    assert out.ch_names == ["LB9-LB10", "LA'1-LA'2", "ECG"]
    assert "LA2" in out.info["warnings"][-1]


def test_bipolar_by_pairs(make_recording):
    data = np.random.default_rng(0).normal(size=(4, 300))
    recording = make_recording(data, names=["a", "b", "c", "d"], types="ecog")
    out = reference(recording, kind="bipolar", pairs=[["a", "c"], ["d", "b"]])
    assert out.ch_names == ["a-c", "d-b"] and np.allclose(out.load(), data[[0, 3]] - data[[2, 1]], atol=1e-6)
    for options, message in (
        ({"kind": "bipolar"}, "no two good electrodes"),
        ({"kind": "bipolar", "pairs": [["a", "e"]]}, "no channel 'e'"),
        ({"kind": "bipolar", "pairs": ["ab"]}, "two names"),
        ({"kind": "bipolar", "pairs": [["a", "b"], ["a", "b"]]}, "twice"),
        ({"kind": "bipolr"}, "did you mean 'bipolar'"),
        ({"kind": ["a"], "pairs": [["a", "b"]]}, "pairs are for bipolar"),
    ):
        with pytest.raises(BraindecError, match=message):
            reference(recording, **options)
    with pytest.raises(BraindecError, match="no electrodes"):
        reference(make_recording(types="mag"))
    with pytest.raises(BraindecError, match="two good electrodes"):
        reference(make_recording(status=["good", "bad", "bad"]))


def test_a_dead_contact_makes_its_pairs_bad(make_recording):
    data = np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32)
    data[2] = 0
    out = reference(make_recording(data, names=["A1", "A2", "A3"], types="seeg"), kind="bipolar")
    assert list(out.channels["status"]) == ["good", "bad"]


def test_neighbours():
    assert neighbours(["A1", "A2", "A4", "B02", "B01", "Cz", "A10", "A9"]) == [
        ("A1", "A2"),
        ("A9", "A10"),
        ("B01", "B02"),
    ]
    assert neighbours(["EEG A1-Ref", "EEG A2-Ref", "A1"]) == [("EEG A1-Ref", "EEG A2-Ref")]


# the rest -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 3])
def test_detrend_removes_what_a_fit_would(make_recording, order):
    rng = np.random.default_rng(0)
    t = np.arange(1000)
    noise = rng.normal(size=(2, 1000))
    trend = np.stack([5 + 0.03 * t, 1e3 - 1e-5 * t**2])
    out = detrend(make_recording(noise + trend), order=order).load()
    for row, x in zip(out, noise + trend, strict=True):
        assert np.allclose(row, x - np.polynomial.Polynomial.fit(t, x, order)(t), atol=1e-3)
    for bad in (-1, 1.5, 99):
        with pytest.raises(BraindecError, match="order of detrend"):
            detrend(make_recording(), order=bad)
    with pytest.raises(BraindecError, match="too few"):
        detrend(make_recording(n_times=2), order=3)


def test_zscore_is_per_channel_over_the_run(make_recording):
    data = np.random.default_rng(0).normal(size=(2, 5000)) * np.array([[3.0], [1e-6]]) + np.array([[1e4], [0.1]])
    out = zscore(make_recording(data))
    assert np.allclose(out.load().mean(axis=1), 0, atol=1e-4) and np.allclose(out.load().std(axis=1), 1, atol=1e-4)
    assert (out.channels["unit"] == "a.u.").all()
    flat = zscore(make_recording(np.stack([np.full(100, 0.1), np.arange(100.0)])))
    assert (flat.load()[0] == 0).all()


def test_scale_and_clamp(make_recording):
    data = np.array([[1.0, -2.0, 3.0]] * 2)
    data[1] *= 10
    out = scale(make_recording(data), factor=2.0, unit="uV")
    assert np.array_equal(out.load(), 2 * data) and (out.channels["unit"] == "uV").all()
    assert clamp(make_recording(data), limit=2.5).load().tolist() == [[1, -2, 2.5], [2.5, -2.5, 2.5]]
    for call in (lambda: scale(make_recording(), factor=0), lambda: clamp(make_recording(), limit=-1)):
        with pytest.raises(BraindecError):
            call()


def test_pick_and_crop_are_lazy(make_recording):
    recording = make_recording(types=["eeg", "eog", "eeg"], status=["good", "good", "bad"], events=EVENTS)
    assert pick(recording).ch_names == ["c0", "c1"]
    assert pick(recording, types="eeg", good=False).ch_names == ["c0", "c2"]
    assert pick(recording, channels=["c1", "c0"]).ch_names == ["c1", "c0"]
    with pytest.raises(BraindecError, match="no channel is left"):
        pick(recording, types="mag")
    out = crop(recording, tmin=2.0, tmax=5.0)
    assert np.array_equal(out.load(), recording.load()[:, 200:500])
    assert list(out.events["trial_type"]) == ["b"] and out.events["onset"][0] == pytest.approx(0.125)
    assert "sample" not in out.events
    with pytest.raises(BraindecError, match="no span"):
        crop(recording, tmin=5.0, tmax=50.0)


def test_redundant_channels_are_found(make_recording):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(6, 3000)).astype(np.float32) * 1e-5 + np.float32(1e-3)
    data[3] = -data[[0, 1, 2, 4, 5]].mean(axis=0)
    out = drop_redundant(make_recording(data))
    assert out.ch_names == ["c0", "c1", "c2", "c3", "c4"]  # the last of the dependent ones goes
    assert "c5" in out.info["warnings"][-1]
    copied = np.concatenate([data[:2], 3 * data[:1], data[4:5]])
    assert drop_redundant(make_recording(copied)).ch_names == ["c0", "c1", "c3"]
    independent = make_recording(data[[0, 1, 2, 4]])
    assert drop_redundant(independent) is independent
    averaged = reference(make_recording(data[[0, 1, 2, 4]]))
    assert len(drop_redundant(averaged).ch_names) == 3
    with pytest.raises(BraindecError, match="cannot tell"):
        drop_redundant(make_recording(n_channels=20, n_times=10))


def test_the_rebuilt_reference_of_a_real_recording_is_found(shared, make_recording):
    with np.load(shared("eeg_p300_bi2012_s01") / "subject_01_session_01.npz") as file:
        data = file["data"].T  # (17, time): the last is minus the mean of the others
    assert drop_redundant(make_recording(data, sfreq=128.0)).ch_names == [f"c{i}" for i in range(16)]
    assert drop_redundant(make_recording(data[:16], sfreq=128.0)).n_channels == 16
