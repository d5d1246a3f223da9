"""Made-up speech: tables fit the sound, responses are what was planted, the same seed gives the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders._speech_brain import COMPONENTS, helmet, latents, make_brain, respond
from braindec.loaders._speech_sounds import CLASSES, PHONEMES, SOUND_RATE, class_of, phonemes_of, speak
from braindec.loaders.speech_events import EVENT_COLUMNS, sentence_id
from braindec.loaders.synthetic_speech import made_up_stories, made_up_story, speech_recordings


@pytest.fixture(scope="module")
def story():
    return made_up_story("tale", n_sentences=12, seed=5)


@pytest.fixture(scope="module")
def stories():
    return made_up_stories(2, n_sentences=12, seed=2)


def test_same_seed_same_bytes_and_another_name_another_story(story):
    again = made_up_story("tale", n_sentences=12, seed=5)
    assert again.sound.tobytes() == story.sound.tobytes() and again.words.equals(story.words)
    other = made_up_story("other", n_sentences=12, seed=5)
    assert set(other.words["sentence_id"]).isdisjoint(story.words["sentence_id"])


def test_tables_are_standard_and_fit_each_other(story):
    words, phonemes, sentences = story.words, story.phonemes, story.sentences
    assert list(words.columns) == list(EVENT_COLUMNS) == list(phonemes.columns) == list(sentences.columns)
    assert len(sentences) == 12 == words["sentence_id"].nunique()
    for row in sentences.itertuples():
        mine = words[words["sentence_id"] == row.sentence_id]
        assert row.text.strip(".").lower().split() == mine["text"].tolist() and sentence_id(row.text) == row.sentence_id
        assert mine["word_index"].tolist() == list(range(len(mine)))
        assert row.onset == mine["onset"].iloc[0]
        assert row.duration == pytest.approx(mine["onset"].iloc[-1] + mine["duration"].iloc[-1] - row.onset)
        assert 1.8 < row.duration < 5
    spoken = phonemes.groupby(["sentence_id", "word_index"], sort=False)
    assert np.allclose(spoken["duration"].sum().to_numpy(), words["duration"].to_numpy())
    assert np.allclose(spoken["onset"].min().to_numpy(), words["onset"].to_numpy())
    assert [p for w in words["text"] for p in phonemes_of(w)] == phonemes["text"].tolist()
    assert set(phonemes["text"]) <= set(PHONEMES) and {class_of(p) for p in phonemes["text"]} == set(CLASSES)


def test_sound_is_there_when_words_are_and_not_between(story):
    power = story.sound.astype(float) ** 2
    inside = np.zeros(len(power), dtype=bool)
    for row in story.words.itertuples():
        inside[round(row.onset * SOUND_RATE) : round((row.onset + row.duration) * SOUND_RATE)] = True
    pauses = ~inside
    assert story.sound.dtype == np.float32 and np.abs(story.sound).max() == pytest.approx(0.7, abs=1e-6)
    assert power[inside].mean() > 1e3 * power[pauses].mean()
    assert story.duration == len(story.sound) / 16000


def test_phonemes_are_told_apart_by_their_spectra():
    """Nearest mean of log spectra, trained on some sounds of each phoneme and tested on others: chance is 1 of 34."""
    rng = np.random.default_rng(0)
    names = list(PHONEMES) * 8
    length = round(0.12 * SOUND_RATE)
    starts = np.arange(len(names)) * 2 * length
    sound = speak(names, starts, np.full(len(names), length), 2 * length * len(names), rng)
    pieces = np.stack([sound[s : s + length] for s in starts])
    spectra = np.abs(np.fft.rfft(pieces, axis=1))[:, : 24 * 40].reshape(len(names), 24, 40).mean(axis=2)
    values = np.log(spectra + 1e-4)
    values = values.reshape(8, len(PHONEMES), 24)
    means, test = values[:6].mean(axis=0), values[6:]
    nearest = ((test[:, :, None] - means[None, None]) ** 2).sum(axis=3).argmin(axis=2)
    assert (nearest == np.arange(len(PHONEMES))).mean() > 0.7


def test_latent_features_follow_the_tables(story):
    found = latents(story.sound, story.words, story.phonemes)
    assert found.shape == (len(COMPONENTS), len(story.sound) // 160 + 1)
    assert np.allclose(found.mean(axis=1), 0, atol=1e-9) and np.allclose(found.std(axis=1), 1)
    for kind in CLASSES:
        course = found[COMPONENTS.index(kind)]
        at = story.phonemes[[class_of(p) == kind for p in story.phonemes["text"]]]["onset"]
        frames = np.unique(np.round(at * 100).astype(int))
        assert (np.flatnonzero(course > course.min() + 1e-9) == frames).all()


def test_the_response_is_the_planted_convolution(stories):
    recordings, truth = speech_recordings(stories, n_subjects=2, snr=1e6, sfreq=100, n_channels=12, seed=3)
    recording, story = recordings[1], stories[1]
    who, start = "01", truth.starts.query("subject == '01' and story == @story.name")["start"].iloc[0]
    features = truth.latents[story.name]
    courses = np.stack([np.convolve(f, t)[: features.shape[1]] for f, t in zip(features, truth.trfs[who], strict=True)])
    scale = np.std(np.concatenate([
        np.stack([np.convolve(f, t, mode="full") for f, t in zip(truth.latents[s.name], truth.trfs[who], strict=True)]) for s in stories
    ], axis=1), axis=1)  # fmt: skip
    planted = truth.topographies[who] @ truth.mixing[who] @ (courses / scale[:, None])
    first = round(start * 100)
    measured = recording.load()[:, first : first + planted.shape[1]]
    for a, b in zip(measured, planted, strict=True):
        assert np.corrcoef(a[:-5], b[: len(a) - 5])[0, 1] > 0.999
    assert recording.load()[:, :first].std() < 0.01 * measured.std()


def test_snr_is_what_was_asked(stories):
    loud, _ = speech_recordings(stories, n_subjects=1, snr=0.5, n_channels=20, seed=4)
    still, _ = speech_recordings(stories, n_subjects=1, snr=0.0, n_channels=20, seed=4)
    gained = np.concatenate([a.load() - b.load() for a, b in zip(loud, still, strict=True)], axis=1)
    noise = np.concatenate([b.load() for b in still], axis=1)
    spoken = (np.abs(gained) > 0).any(axis=0)
    ratio = gained[:, spoken].var(axis=1).mean() / noise.var(axis=1).mean()
    assert ratio == pytest.approx(0.5, rel=0.15)


def test_peaks_lie_between_50_and_250_ms():
    brain = make_brain(helmet(16), shared=0.2, rng=np.random.default_rng(0), common=np.random.default_rng(1))
    peaks = brain.lags[np.abs(brain.trfs).argmax(axis=1)]
    assert (peaks >= 0.045).all() and (peaks <= 0.255).all()
    impulse = np.zeros((len(COMPONENTS), 60))
    impulse[0, 10] = 1
    seen = respond({"click": impulse}, brain)["click"]
    assert np.allclose(seen[:, :10], 0, atol=1e-9), "nothing before the sound"


@pytest.mark.parametrize(("shared", "low", "high"), [(0.0, -0.3, 0.3), (1.0, 0.999, 1.0)])
def test_how_much_subjects_share(stories, shared, low, high):
    _, truth = speech_recordings(stories[:1], n_subjects=2, shared=shared, n_channels=16)
    one, two = (truth.mixing[w].ravel() for w in ("01", "02"))
    assert low <= np.corrcoef(one, two)[0, 1] <= high + 1e-9


def test_smooth_topographies():
    places = helmet(200)
    brain = make_brain(places, shared=0.2, rng=np.random.default_rng(3), common=np.random.default_rng(4))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    near = np.where(distance > 0, distance, np.inf).argmin(axis=1)
    neighbours = [np.corrcoef(t, t[near])[0, 1] for t in brain.topographies.T]
    assert np.min(neighbours) > 0.7


def test_sessions_play_the_same_stories_in_the_order_asked(stories):
    recordings, truth = speech_recordings([stories], n_subjects=2, n_sessions=2, n_channels=8, shuffle=True, seed=6)
    assert len(recordings) == 4 and [r.info["session"] for r in recordings] == ["0", "1", "0", "1"]
    heard = [set(r.events.query("trial_type == 'sentence'")["sentence_id"]) for r in recordings]
    assert all(h == heard[0] for h in heard)
    for recording in recordings:
        who, session = recording.info["subject"], recording.info["session"]
        events = recording.events
        starts = truth.starts[(truth.starts["subject"] == who) & (truth.starts["session"] == session)].set_index(
            "story"
        )["start"]
        words = events[events["trial_type"] == "word"]
        assert np.allclose(words["onset"], words["audio_onset"] + words["story"].map(starts))
        assert (events["onset"] + events["duration"]).max() < recording.duration
    assert not np.array_equal(recordings[0].load(), recordings[1].load()), "noise is new in each session"


def test_drift_moves_the_response_but_not_the_events():
    story = made_up_story("long", n_sentences=20, seed=1)
    true, _ = speech_recordings([story], n_subjects=1, snr=1e6, sfreq=100, n_channels=8, seed=1)
    slow, _ = speech_recordings([story], n_subjects=1, snr=1e6, sfreq=100, n_channels=8, seed=1, drift=0.004)
    assert true[0].events["onset"].equals(slow[0].events["onset"])
    at = round((true[0].events["onset"].iloc[0] + 0.8 * story.duration) * 100)
    one, two = true[0].load()[0], slow[0].load()[0]
    lags = np.arange(0, 60)
    match = [np.corrcoef(one[at : at + 800], two[at + k : at + k + 800])[0, 1] for k in lags]
    assert lags[int(np.argmax(match))] / 100 == pytest.approx(0.004 * (0.8 * story.duration + 4), abs=0.04)


def test_sensors_may_differ_and_units_are_si(stories):
    recordings, _ = speech_recordings(stories[:1], n_subjects=3, n_channels=20, sensors_differ=True, modality="eeg")
    assert len({tuple(r.ch_names) for r in recordings}) == 3 and all(r.n_channels == 18 for r in recordings)
    assert recordings[0].channels["unit"].eq("V").all() and 1e-6 < recordings[0].load().std() < 1e-4
    meg, _ = speech_recordings(stories[:1], n_subjects=1, n_channels=6)
    assert meg[0].channels["type"].eq("mag").all() and 1e-14 < meg[0].load().std() < 1e-12


def test_what_was_said_can_be_read_out_and_only_when_the_brain_listens():
    """A linear reader of one band's energy, fitted on three quarters: r well above 0 with a response, near 0 without."""
    story = made_up_story("tale", n_sentences=20, seed=7)
    scores = {}
    for snr in (0.1, 0.0):
        recordings, truth = speech_recordings([story], n_subjects=1, snr=snr, n_channels=30, seed=8)
        signal = recordings[0].load().T / recordings[0].load().std()
        at = (np.arange(len(signal)) / 50 - truth.starts["start"].iloc[0]) * 100
        target = np.interp(at, np.arange(truth.latents["tale"].shape[1]), truth.latents["tale"][0], left=0, right=0)
        design = np.concatenate([np.roll(signal, -lag, axis=0) for lag in range(0, 14, 2)], axis=1)
        cut = int(0.75 * len(signal))
        gram = design[:cut].T @ design[:cut] + 300 * np.eye(design.shape[1])
        guess = design[cut:-20] @ np.linalg.solve(gram, design[:cut].T @ target[:cut])
        scores[snr] = np.corrcoef(guess, target[cut:-20])[0, 1]
    assert scores[0.1] > 0.35 and abs(scores[0.0]) < 0.2


def test_given_sentences_are_spoken():
    one = made_up_story("a", texts=["The old dog ate the pie.", "A queen saw every ship!"])
    assert one.sentences["text"].tolist() == ["The old dog ate the pie.", "A queen saw every ship."]
    two = made_up_story("b", texts=["the OLD dog ate the pie"])
    assert two.words["sentence_id"].iloc[0] == one.words["sentence_id"].iloc[0]


def test_sound_files(tmp_path, story):
    from scipy.io import wavfile

    rate, data = wavfile.read(story.save_sound(tmp_path))
    assert rate == 16000 and data.dtype == np.int16 and np.allclose(data / 32767, story.sound, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modality": "fmri"}, "no modality"), ({"snr": -1.0}, "snr"), ({"shared": 2.0}, "shared"), ({"n_subjects": 0}, "n_subjects"),
        ({"n_channels": 2}, "n_channels"), ({"sfreq": 1.0}, "sfreq"), ({"drift": 0.5}, "drift"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(stories, change, said):
    with pytest.raises(BraindecError, match=said):
        speech_recordings(stories, **change)


def test_stories_that_make_no_sense(stories):
    with pytest.raises(BraindecError, match="names of their own"):
        speech_recordings([stories[0], stories[0]])
    with pytest.raises(BraindecError, match="5 to 17"):
        made_up_story(words_per_sentence=(2, 4))
    with pytest.raises(BraindecError, match="fewest, most"):
        made_up_story(words_per_sentence=7)
    with pytest.raises(BraindecError, match="texts are sentences"):
        made_up_story(texts=[])
    with pytest.raises(BraindecError, match="needs a sentence"):
        made_up_stories(3, n_sentences=2)
