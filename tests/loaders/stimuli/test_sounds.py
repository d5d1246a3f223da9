"""Features of sounds against closed forms: tones in mel bands, modulated tones, clicks, ramps; nothing across blocks."""

import numpy as np
import pytest
from scipy.signal import stft

from braindec.errors import BraindecError
from braindec.loaders.stimuli.envelope import _erb, envelope
from braindec.loaders.stimuli.log_mel import log_mel, mel_filters
from braindec.loaders.stimuli.onsets import onsets
from braindec.loaders.synthetic_speech import made_up_story

RATE = 16000.0
T = np.arange(2 * 16000) / RATE


def tone(frequency, level=1.0):
    return (level * np.sin(2 * np.pi * frequency * T)).astype(np.float32), RATE


@pytest.mark.parametrize("n_mels", [40, 80, 120])
@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_a_tone_lands_in_its_band(n_mels, scale):
    for frequency in (120.0, 440.0, 1000.0, 2500.0, 7000.0):
        found = log_mel(tone(frequency), n_mels=n_mels, scale=scale)
        centres = found.channels["frequency"].to_numpy()
        nearest = np.argmin(np.abs(centres - frequency))
        wide = centres[nearest + 1] - centres[nearest - 1] > 2 * RATE / 512  # wider than what a frame can tell apart
        assert abs(np.argmax(found.load()[:, 100]) - nearest) <= (0 if wide else 1)
        assert np.all(np.diff(centres) > 0)


def test_ten_times_the_amplitude_is_the_logarithm_of_a_hundred_more():
    quiet, loud = (log_mel(tone(1000.0, level), eps=1e-12).load()[:, 50:150] for level in (0.05, 0.5))
    sounding = quiet > -10
    assert sounding.any(axis=0).all()
    np.testing.assert_allclose((loud - quiet)[sounding], np.log(100.0), atol=1e-3)


def test_bands_of_noise_have_the_power_of_the_noise_times_their_triangles():
    noise = np.random.default_rng(0).normal(0, 0.3, size=20 * 16000).astype(np.float32)
    found = np.exp(log_mel((noise, RATE), n_mels=20, eps=1e-12).load()).mean(axis=1)
    filters, _ = mel_filters(20, n_fft=512, sfreq=RATE)
    expected = filters.sum(axis=1) * 512 / (2 * (filters.shape[1] - 1)) * 0.3**2  # E|X|^2 = var * sum of window^2
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_a_mel_spectrogram_equals_one_of_another_transform():
    sound = made_up_story(n_sentences=1).sound
    filters, _ = mel_filters(40, n_fft=512, sfreq=RATE)
    assert filters.shape[1] == 257  # wide bands: nothing is padded
    _, _, transform = stft(sound.astype(float), RATE, "hann", nperseg=512, noverlap=352, boundary="zeros", padded=True)
    scale = np.hanning(513)[:-1].sum() ** 2 / np.square(np.hanning(513)[:-1]).sum()
    expected = np.log(1e-5 + filters @ np.square(np.abs(transform)) * scale)
    found = log_mel((sound, RATE), n_mels=40).load()
    n = min(found.shape[1], expected.shape[1]) - 2
    np.testing.assert_allclose(found[:, :n], expected[:, :n], atol=1e-3)


def test_triangles_of_mel():
    for scale in ("htk", "slaney"):
        filters, centres = mel_filters(80, n_fft=512, sfreq=RATE, scale=scale)
        frequencies = np.linspace(0, RATE / 2, filters.shape[1])
        inside = (frequencies >= centres[0]) & (frequencies <= centres[-1])
        np.testing.assert_allclose(filters.sum(axis=0)[inside], 1.0, atol=1e-9)  # they overlap by half
        assert filters.any(axis=1).all()
        area, _ = mel_filters(80, n_fft=2**14, sfreq=RATE, scale=scale, norm="slaney")
        np.testing.assert_allclose(area.sum(axis=1) * RATE / 2 / (area.shape[1] - 1), 1.0, rtol=0.03)
    _, centres = mel_filters(1, n_fft=512, sfreq=RATE, fmin=0.0, fmax=8000.0)
    assert centres[0] == pytest.approx(700 * (np.sqrt(1 + 8000 / 700) - 1))  # half of a logarithm
    _, centres = mel_filters(1, n_fft=512, sfreq=RATE, fmin=1000.0, fmax=6400.0, scale="slaney")
    assert centres[0] == pytest.approx(np.sqrt(1000 * 6400))  # 27 steps of a logarithm
    filters, _ = mel_filters(120, n_fft=512, sfreq=RATE)
    assert len(filters) == 120 and filters.any(axis=1).all()


@pytest.mark.parametrize("kind", ["hilbert", "gammatone"])
def test_the_envelope_of_a_modulated_tone(kind):
    slow = 1 + 0.5 * np.cos(2 * np.pi * 4 * T)
    found = envelope((slow * np.sin(2 * np.pi * 1000 * T), RATE), kind=kind).load()[0]
    t = np.arange(len(found)) / 100
    expected = 1 + 0.5 * np.cos(2 * np.pi * 4 * t)
    inner = slice(20, -20)
    assert np.corrcoef(found[inner], expected[inner])[0, 1] > 0.9999  # no delay
    if kind == "hilbert":
        np.testing.assert_allclose(found[inner], expected[inner], atol=1e-3)
        raised = envelope((slow * np.sin(2 * np.pi * 1000 * T), RATE), power=0.6).load()[0]
        np.testing.assert_allclose(raised[inner], expected[inner] ** 0.6, atol=1e-3)


def test_the_gammatone_at_the_frequency_of_a_tone_has_its_amplitude():
    found = envelope(tone(1000.0, 0.7), kind="gammatone", n_bands=1, fmin=1000.0, fmax=1000.0).load()[0]
    np.testing.assert_allclose(found[30:-30], 0.7, rtol=5e-3)
    assert _erb(1000.0) == pytest.approx(132.64, abs=0.01)
    away = envelope(tone(3000.0, 0.7), kind="gammatone", n_bands=1, fmin=1000.0, fmax=1000.0).load()[0]
    assert away[50] < 0.01


@pytest.mark.parametrize("kind", ["hilbert", "gammatone"])
def test_a_click_is_when_it_is(kind):
    click = np.zeros(16000)
    click[8000] = 1.0
    assert np.argmax(envelope((click, RATE), kind=kind, sfreq=200.0).load()[0]) == 100


def test_the_lowpass_removes_what_is_fast():
    fast = (1 + 0.9 * np.cos(2 * np.pi * 40 * T)) * np.sin(2 * np.pi * 2000 * T)
    slow = envelope((fast, RATE), lowpass=10.0).load()[0][30:-30]
    assert np.ptp(slow) < 0.01 and slow.mean() == pytest.approx(1.0, abs=0.01)
    assert np.ptp(envelope((fast, RATE), lowpass=45.0).load()[0][30:-30]) > 1.4


def test_onsets_are_the_rises_of_the_envelope():
    ramp = np.clip(T / 2, 0, 0.5) - np.clip(
        T - 1.0, 0, 0.5
    )  # up until 1 s by 0.5 a second, then down by 1 a second, then 0
    found = onsets((ramp * np.sin(2 * np.pi * 2000 * T), RATE)).load()[0]
    np.testing.assert_allclose(found[10:90], 0.5, atol=5e-3)
    np.testing.assert_allclose(found[110:140], 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "options"),
    [(log_mel, {}), (envelope, {}), (envelope, {"kind": "gammatone", "n_bands": 4}), (onsets, {}), (onsets, {"kind": "gammatone", "n_bands": 4})],
)  # fmt: skip
def test_changing_the_sound_of_another_block_changes_nothing(function, options):
    sound = made_up_story(n_sentences=2, seed=1).sound[: 5 * 16000]
    other = sound.copy()
    other[round(2.345 * 16000) :] = np.random.default_rng(0).normal(size=len(sound) - round(2.345 * 16000))
    blocks, edge = [(0.0, 2.345), (2.345, 5.0)], round(2.345 * 100)
    a, b = (function((s, RATE), blocks=blocks, **options).load() for s in (sound, other))
    np.testing.assert_array_equal(a[:, :edge], b[:, :edge])
    assert np.abs(a[:, edge:] - b[:, edge:]).max() > 0.1
    a, b = (function((s, RATE), **options).load() for s in (sound, other))
    assert np.abs(a[:, :edge] - b[:, :edge]).max() > 1e-3  # without blocks it leaks


def test_low_rates_leave_no_sound_out():
    sound = np.zeros(2 * 16000, dtype=np.float32)
    sound[6900:7000] = np.random.default_rng(0).normal(size=100)  # between two samples of 5 Hz
    assert log_mel((sound, RATE), sfreq=5.0).load().max() > np.log(1e-5) + 3


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [(log_mel, {"scale": "htc"}, "did you mean 'htk'"), (log_mel, {"fmax": 9000.0}, "no room"), (log_mel, {"n_mels": 0}, "n_mels"),
     (log_mel, {"norm": "area"}, "norm"), (envelope, {"kind": "hilber"}, "did you mean 'hilbert'"), (envelope, {"power": 0.0}, "power"),
     (envelope, {"lowpass": 60.0}, "lowpass"), (envelope, {"kind": "gammatone", "fmax": 9000.0}, "no room"), (onsets, {"sfreq": -1.0}, "sfreq")],
)  # fmt: skip
def test_options_that_make_no_sense(function, options, said):
    with pytest.raises(BraindecError, match=said):
        function(tone(440.0), **options)
