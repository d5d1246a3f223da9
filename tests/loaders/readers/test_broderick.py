"""Broderick 2018: runs in V with places on the head, words of tables of one's own or of Stimuli/Text, nothing guessed."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import scipy.io

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._twin_speech import stories_of
from braindec.loaders.readers import broderick
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_twin("broderick", tmp_path_factory.mktemp("speech") / "broderick", seed=4, n_runs=2, n_sentences=4).root


@pytest.fixture
def copy(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy"


def test_runs_with_their_words(root):
    source = open_source("broderick2018", root=root, options={"words": "words"})
    assert source.subjects() == ["1", "2"] and set(source.audio()) == {"audio1.wav", "audio2.wav"}
    stories = stories_of(["audio1", "audio2"], n_sentences=4, seed=4)
    for recording, story in zip(source.recordings("1"), stories, strict=True):
        events = recording.events
        words = events[events["trial_type"] == "word"]
        assert words["text"].tolist() == story.words["text"].tolist()
        assert np.allclose(words["onset"], story.words["onset"], atol=2e-6) and np.allclose(
            words["onset"], words["audio_onset"]
        )
        assert words["sentence_id"].tolist() == story.words["sentence_id"].tolist()
        assert events.query("trial_type == 'sound'")["onset"].tolist() == [0.0]
    assert len(source.files("1")) == 4


def test_samples_are_in_volt_and_channels_on_the_head(root):
    recording = broderick.load(root, "1", run="2", words=None)[0]
    raw = scipy.io.loadmat(root / "EEG/Subject1/Subject1_Run2.mat")
    assert np.allclose(recording.load(), 1e-6 * raw["eegData"].T, rtol=1e-5) and recording.sfreq == 128
    assert recording.ch_names[:2] == ["A1", "A2"] and recording.ch_names[-1] == "D32" and recording.n_channels == 128
    assert np.isfinite(recording.positions).all()
    part = recording.signal.read(np.array([3]), 10, 20)
    assert np.allclose(part, 1e-6 * raw["eegData"].T[[3], 10:20], rtol=1e-5)


def test_mastoids(root):
    raw = scipy.io.loadmat(root / "EEG/Subject1/Subject1_Run1.mat")
    kept = broderick.load(root, "1", run="1", words=None, mastoids="keep")[0]
    assert kept.ch_names[-2:] == ["M1", "M2"] and kept.channels["type"].iloc[-1] == "misc"
    assert np.allclose(kept.load()[-2:], 1e-6 * raw["mastoids"].T, rtol=1e-5)
    against = broderick.load(root, "1", run="1", words=None, mastoids="reference")[0]
    expected = 1e-6 * (raw["eegData"] - raw["mastoids"].mean(axis=1, keepdims=True)).T
    assert np.allclose(against.load(), expected, atol=1e-10)
    with pytest.raises(BraindecError, match="mastoids='drpo' is unknown; did you mean 'drop'"):
        broderick.load(root, "1", mastoids="drpo")


def test_words_of_the_archive(copy):
    table = pd.read_csv(copy / "words/Run1.csv")
    (copy / "Stimuli/Text").mkdir()
    content = {
        "wordVec": np.array(table["word"], dtype=object)[:, None],
        "onset_time": table["onset"],
        "offset_time": table["offset"],
    }
    scipy.io.savemat(copy / "Stimuli/Text/Run1.mat", content)
    events = broderick.load(copy, "1", run="1")[0].events
    words = events[events["trial_type"] == "word"]
    assert words["text"].tolist() == table["word"].tolist() and np.allclose(words["onset"], table["onset"])
    assert words["sentence"].drop_duplicates().tolist() == [
        s.lower().strip(".") for s in table["sentence"].drop_duplicates()
    ], "pauses end them"
    scipy.io.savemat(copy / "Stimuli/Text/Run1.mat", {**content, "onset_time": table["onset"][:-1]})
    with pytest.raises(UnreadableError, match="words and times differ in number"):
        broderick.load(copy, "1", run="1")


def test_without_an_alignment_nothing_is_guessed(root):
    with pytest.raises(BraindecError, match=r"run 1: when each word was said is not known(.|\n)*words=null"):
        broderick.load(root, "1")
    assert broderick.load(root, "1", run="1", words=None)[0].events["trial_type"].tolist() == ["sound"]


def test_without_sounds(copy):
    shutil.rmtree(copy / "Stimuli/Audio")
    recording = broderick.load(copy, "1", run="1", words="words")[0]
    assert any("no sounds are here" in w for w in recording.info["warnings"])
    with pytest.raises(BraindecError, match="envelopes only"):
        broderick.audio(copy)


def test_what_is_wrong_is_said(copy):
    with pytest.raises(BraindecError, match="no run '7'"):
        broderick.load(copy, "1", run="7")
    with pytest.raises(BraindecError, match="no subject '9'"):
        broderick.load(copy, "9")
    with pytest.raises(BraindecError, match="holds no folder EEG"):
        broderick.subjects(copy / "words")
    table = pd.read_csv(copy / "words/Run1.csv")
    table.assign(onset=table["onset"] * 128, offset=table["offset"] * 128).to_csv(copy / "words/Run1.csv", index=False)
    with pytest.raises(
        BraindecError, match=r"sub-1_task-listening_run-1.*beyond the recording(.|\n)*samples at 128 Hz"
    ):
        broderick.load(copy, "1", run="1", words="words")
    path = copy / "EEG/Subject1/Subject1_Run1.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UnreadableError, match="cut short"):
        broderick.load(copy, "1", run="1", words=None)
    scipy.io.savemat(path, {"eegData": np.zeros((100, 64)), "fs": 128.0})
    with pytest.raises(UnreadableError, match=r"eegData has the shape \(100, 64\)"):
        broderick.load(copy, "1", run="1", words=None)
    scipy.io.savemat(path, {"eegdata": np.zeros((100, 128)), "fs": 128.0})
    with pytest.raises(UnreadableError, match="no variable eegData; did you mean 'eegdata'"):
        broderick.load(copy, "1", run="1", words=None)
