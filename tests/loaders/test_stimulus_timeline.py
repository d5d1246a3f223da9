"""Features of sounds on the time of a recording: right samples at right times, drift followed, refusals."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.stimuli.log_mel import log_mel
from braindec.loaders.stimulus_series import make_series
from braindec.loaders.stimulus_timeline import on_recording
from braindec.loaders.synthetic_speech import made_up_stories, speech_recordings
from braindec.signal.clock import align_clock, sound_clocks


def ramp(name, seconds, sfreq=50.0):
    values = np.arange(round(seconds * sfreq)) / sfreq  # the value is the time in the sound
    return make_series(
        np.stack([values, -values]), sfreq, ["time", "minus"], feature="ramp", stimulus=name, settings={}
    )


@pytest.fixture(scope="module")
def heard():
    stories = made_up_stories(2, n_sentences=4)
    recordings, truth = speech_recordings([stories], n_subjects=1, sfreq=100.0, shuffle=True, n_channels=4)
    return stories, recordings[0], truth


def test_each_sample_has_the_feature_of_its_moment(heard):
    stories, recording, truth = heard
    series = {s.audio: ramp(s.audio, s.duration) for s in stories}
    found = on_recording(series, recording, method="linear", fill=-5.0)
    assert (
        found.n_times == recording.n_times
        and found.info["subject"] == "01"
        and len(found.events) == len(recording.events)
    )
    t = np.arange(recording.n_times) / 100
    expected = np.full(recording.n_times, -5.0)
    for start, story in zip(truth.starts["start"], truth.starts["story"], strict=True):
        length = series[f"{story}.wav"].duration
        inside = (t >= start - 1e-9) & (t < start + length - 1e-9)
        expected[inside] = np.minimum(t[inside] - start, length - 0.02)
    np.testing.assert_allclose(found.load()[0], expected, atol=1e-5)
    words = recording.events[recording.events["trial_type"] == "word"]
    at = np.round(words["onset"].to_numpy() * 100).astype(int)
    np.testing.assert_allclose(found.load()[0, at], words["audio_onset"], atol=0.006)


def test_without_rows_of_sounds_the_words_say_when(heard):
    stories, recording, _ = heard
    series = {s.audio: log_mel(s, sfreq=100.0, n_mels=10) for s in stories}
    bare = recording.with_events(recording.events[recording.events["trial_type"] == "word"])
    a, b = (on_recording(series, r, fill="least") for r in (recording, bare))
    np.testing.assert_array_equal(a.load(), b.load())
    assert [p["stimulus"] for p in a.info["played"]] == [name for name, _ in sound_clocks(bare)]
    assert a.load()[:, 0] == pytest.approx(np.min([s.load().min(axis=1) for s in series.values()], axis=0))


def test_drift_is_followed_and_refused_beyond_the_limit(heard):
    stories, recording, _ = heard
    series = {s.audio: ramp(s.audio, s.duration, 1000.0) for s in stories}
    words = recording.events[recording.events["trial_type"] == "word"]
    for drift in (150e-6, 2000e-6):
        slow = recording.with_events(words.assign(onset=words["onset"] * (1 + drift)))
        if drift > 200e-6:
            with pytest.raises(BraindecError, match=r"sub-01.*wav: the clocks .* drift apart"):
                on_recording(series, slow)
            continue
        for _, clock in sound_clocks(slow):
            assert clock.drift_ppm == pytest.approx(150.0, abs=1.0) and clock.jitter < 1e-6
        found, last = on_recording(series, slow, method="linear", sfreq=1000.0), slow.events.iloc[-1]
        assert found.load()[0, round(last["onset"] * 1000)] == pytest.approx(last["audio_onset"], abs=1e-3)
        measured = [(n, c) for n, c in sound_clocks(slow)]
        again = on_recording(series, recording, method="linear", sfreq=1000.0, clocks=measured)
        np.testing.assert_array_equal(again.load(), found.load())


def test_a_sound_that_is_played_twice_stands_twice(heard):
    stories, recording, _ = heard
    words = stories[0].words
    twice = np.r_[words["audio_onset"] + 3, words["audio_onset"] + 3 + stories[0].duration]
    events = words.loc[[*words.index, *words.index]].assign(onset=twice)
    found = sound_clocks(recording.with_events(events))
    assert [name for name, _ in found] == [stories[0].audio] * 2
    np.testing.assert_allclose([c.offset for _, c in found], [3.0, 3.0 + stories[0].duration], atol=1e-9)


def test_refusals(heard):
    stories, recording, _ = heard
    series = {s.audio: ramp(s.audio, s.duration) for s in stories}
    with pytest.raises(BraindecError, match="no series of features for 'story-"):
        on_recording({"story1.wav": ramp("a", 1.0)}, recording)
    with pytest.raises(BraindecError, match="differ in their units"):
        on_recording({**series, stories[0].audio: log_mel(stories[0], n_mels=3)}, recording)
    a = np.arange(10.0)
    clock, late = (align_clock(a, a + offset, paired=True) for offset in (3.0, 1e6))
    name = stories[0].audio
    with pytest.raises(BraindecError, match="overlap"):
        on_recording(series, recording, clocks=[(name, clock), (name, clock)])
    with pytest.raises(BraindecError, match="nothing is played"):
        on_recording(series, recording, clocks=[(name, late)])
    with pytest.raises(BraindecError, match="did you mean 'linear'"):
        on_recording(series, recording, method="liner")
    with pytest.raises(BraindecError, match="needs the column audio"):
        sound_clocks(recording.with_events(recording.events[["onset", "duration"]]))
