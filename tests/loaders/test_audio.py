"""Sounds: every kind of WAV, other formats through soundfile, resampling without aliases, cutting, refusals."""

import builtins
import struct

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from braindec.errors import BraindecError, MissingExtraError, UnreadableError
from braindec.loaders.audio import as_sound, audio_info, cut_at_blocks, load_audio
from braindec.loaders.synthetic_speech import made_up_story

RATE = 8000
T = np.arange(RATE) / RATE
SINE = 0.5 * np.sin(2 * np.pi * 440 * T)


def write_24_bit(path, values, rate):
    whole = np.round(values * (2**23 - 1)).astype("<i4")
    data = whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, 3 * rate, 3, 24, b"data", len(data))  # fmt: skip
    path.write_bytes(head + data)


@pytest.mark.parametrize(("kind", "step"), [("uint8", 1 / 128), ("int16", 2**-15), ("int24", 2**-23), ("int32", 2**-24), ("float32", 2**-24), ("float64", 2**-24)])  # fmt: skip
def test_every_kind_of_wav_gives_the_same_sound(tmp_path, kind, step):
    path = tmp_path / "a.wav"
    if kind == "int24":
        write_24_bit(path, SINE, RATE)
    elif kind.startswith("float"):
        wavfile.write(path, RATE, SINE.astype(kind))
    else:
        scaled = SINE * 127 + 128 if kind == "uint8" else SINE * np.iinfo(kind).max
        wavfile.write(path, RATE, np.round(scaled).astype(kind))
    samples, rate = load_audio(path, sfreq=None)
    assert samples.dtype == np.float32 and rate == RATE
    np.testing.assert_allclose(samples, SINE, atol=1.2 * step)
    info = audio_info(path)
    assert (info.sfreq, info.n_samples, info.n_channels, info.duration) == (RATE, RATE, 1, 1.0)


def test_channels_are_averaged_or_kept(tmp_path):
    both = np.stack([SINE, -0.5 * SINE], axis=1).astype(np.float32)
    wavfile.write(tmp_path / "a.wav", RATE, both)
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav", sfreq=None)[0], 0.25 * SINE, atol=1e-6)
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav", sfreq=None, mono=False)[0], both.T)
    assert audio_info(tmp_path / "a.wav").n_channels == 2


def test_resampling_keeps_what_fits_and_removes_what_would_fold_back(tmp_path):
    t = np.arange(44100) / 44100
    low, high = np.sin(2 * np.pi * 1000 * t), np.sin(2 * np.pi * 10000 * t)  # 10 kHz would fold back to 6 kHz
    for course, gain in ((low, 1.0), (high, 0.0)):
        wavfile.write(tmp_path / "a.wav", 44100, (0.5 * course).astype(np.float32))
        samples, rate = load_audio(tmp_path / "a.wav")
        assert rate == 16000.0 and len(samples) == 16000
        expected = gain * 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
        np.testing.assert_allclose(samples[400:-400], expected[400:-400], atol=5e-4)


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3"])
def test_other_formats_through_soundfile(tmp_path, ending):
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.tile(SINE, 2), RATE)
    samples, rate = load_audio(path, sfreq=None)
    assert rate == RATE and abs(len(samples) - 2 * RATE) < 0.2 * RATE
    spectrum = np.abs(np.fft.rfft(samples[1000:9000]))
    assert np.argmax(spectrum) * RATE / 8000 == 440
    assert audio_info(path).sfreq == RATE


def test_without_soundfile_the_line_that_installs_it_is_said(tmp_path, monkeypatch):
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "soundfile":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    for function in (load_audio, audio_info):
        with pytest.raises(MissingExtraError, match=r"pip install 'braindec\[audio\]'"):
            function(tmp_path / "a.flac")


def test_damaged_sounds_are_refused(tmp_path):
    whole = tmp_path / "whole.wav"
    wavfile.write(whole, RATE, (SINE * 3e4).astype(np.int16))
    raw, cut = whole.read_bytes(), tmp_path / "cut.wav"
    for n in (0, 3, 10, 20, 30, 40, 44, 50, 1000, len(raw) - 2):
        cut.write_bytes(raw[:n])
        with pytest.raises(UnreadableError, match=r"cut\.wav"):
            load_audio(cut)
    rng = np.random.default_rng(0)
    for _ in range(60):  # any other damage is a clear error, or a sound
        bytes_ = bytearray(raw[:2000])
        for at in rng.integers(0, 60, size=4):
            bytes_[at] = rng.integers(256)
        cut.write_bytes(bytes(bytes_))
        try:
            assert np.isfinite(load_audio(cut, sfreq=None)[0]).all()
        except BraindecError as error:
            assert "cut.wav" in str(error)
    wavfile.write(cut, RATE, np.zeros(0, dtype=np.int16))
    with pytest.raises(UnreadableError):
        load_audio(cut)
    wavfile.write(cut, RATE, np.array([0, np.nan, 1], dtype=np.float32))
    with pytest.raises(UnreadableError, match="1 of 3 are NaN"):
        load_audio(cut)


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UnreadableError, match=r"\.txt"):
        load_audio(tmp_path / "a.txt")
    with pytest.raises(BraindecError, match="no file"):
        load_audio(tmp_path / "b.wav")
    with pytest.raises(UnreadableError, match="folder"):
        load_audio(tmp_path)
    pytest.importorskip("soundfile")
    (tmp_path / "a.flac").write_bytes(b"not flac")
    for function in (load_audio, audio_info):
        with pytest.raises(UnreadableError, match="cannot be read"):
            function(tmp_path / "a.flac")
        with pytest.raises(UnreadableError, match=r"\.txt"):
            function(tmp_path / "a.txt")
    for wrong in (3, np.zeros(5), (np.zeros((2, 5)), 100.0), (np.zeros(0), 100.0), (np.array([np.nan, 1.0]), 100.0), (np.zeros(9, int), 100.0), (np.zeros(9), 0.0)):  # fmt: skip
        with pytest.raises(BraindecError):
            as_sound(wrong)


def test_a_story_a_pair_and_a_file_are_one_sound(tmp_path):
    story = made_up_story(n_sentences=1)
    path = story.save_sound(tmp_path)
    for source in (story, (story.sound, story.sfreq), path):
        sound = as_sound(source)
        np.testing.assert_allclose(sound.samples, story.sound, atol=2**-14)
    assert as_sound(story).name == as_sound(path).name == story.audio
    assert as_sound((story.sound, 16000.0)).content == as_sound((story.sound.copy(), 16000.0)).content
    assert as_sound((story.sound + 0.01, 16000.0)).content != as_sound(story).content


def test_pieces_of_a_cut_sound_are_the_sound():
    samples = np.random.default_rng(0).normal(size=1003)
    pieces = cut_at_blocks(samples, [(2.0, 3.5), (5.0, 8.0), (3.5, 4.0)], sfreq=100.0)
    assert [start for start, _ in pieces] == [0.0, 2.0, 3.5, 4.0, 5.0, 8.0]
    np.testing.assert_array_equal(np.concatenate([p for _, p in pieces]), samples)
    assert [len(p) for _, p in pieces] == [200, 150, 50, 100, 300, 203]
    assert len(cut_at_blocks(samples, None, sfreq=100.0)) == 1
    table = pd.DataFrame({"audio": ["a", "b"], "start": [1.0, 2.0], "stop": [2.0, 9.0]})
    assert [s for s, _ in cut_at_blocks(samples, table, sfreq=100.0, name="a")] == [0.0, 1.0, 2.0]
    for blocks, said in (([(1, 3), (2, 4)], "overlap"), ([(3, 3)], "later stop"), ([(-1, 2)], "leave"), ([(5, 11)], "leave"), ([1, 2], "pairs")):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            cut_at_blocks(samples, blocks, sfreq=100.0)
    with pytest.raises(BraindecError, match="no blocks of 'c'"):
        cut_at_blocks(samples, table, sfreq=100.0, name="c")
