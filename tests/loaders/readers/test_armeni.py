"""Armeni 2022: words and phonemes of numbered sections, sounds of a session, stretches between pauses."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders._twin_speech import stories_of
from braindec.loaders.readers import armeni
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin

NAMES = ["01_1", "01_2", "02_1", "02_2"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_twin("armeni", tmp_path_factory.mktemp("speech") / "armeni", seed=3, n_sentences=8).root


@pytest.fixture
def copy(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy"


def path_of(root):
    return root / "sub-001/ses-001/meg/sub-001_ses-001_task-compr_events.tsv"


def test_words_and_phonemes_of_each_section(root):
    source = open_source("armeni2022", root=root)
    stories = {f"{s.name}.wav": s for s in stories_of(NAMES, n_sentences=8, seed=3)}
    assert source.subjects() == ["001", "002"] and set(source.audio()) == set(stories)
    recordings = source.recordings("001")
    assert [r.info["session"] for r in recordings] == ["001", "002"]
    for recording in recordings:
        for name, mine in recording.events.groupby("audio"):
            begin = mine.query("trial_type == 'sound'")["onset"].iloc[0]
            for kind, truth in (("word", stories[name].words), ("phoneme", stories[name].phonemes)):
                got = mine[mine["trial_type"] == kind]
                assert got["text"].tolist() == truth["text"].tolist()
                assert np.allclose(got["audio_onset"], truth["onset"], atol=6e-4)
                assert np.allclose(got["onset"], begin + truth["onset"], atol=2e-6)
                assert got["sentence_id"].tolist() == truth["sentence_id"].tolist(), "sentences end with a pause here"
                assert got["word_index"].tolist() == truth["word_index"].tolist()


def test_pauses_decide_on_sentences(root):
    usual = armeni.load(root, "001", session="001")[0].events
    long = armeni.load(root, "001", session="001", pause=5.0)[0].events
    assert usual.query("trial_type == 'sentence'")["sentence_id"].nunique() == 4
    assert long.query("trial_type == 'sentence'")["sentence_id"].nunique() == 2, "one a section"
    assert "sp" not in set(usual["text"])


def test_sections_without_a_row_of_their_own_begin_with_their_first_word(copy):
    path = path_of(copy)
    table = pd.read_csv(path, sep="\t")
    table[table["type"] != "wav_onset"].to_csv(path, sep="\t", index=False, na_rep="n/a")
    words = armeni.load(copy, "001", session="001")[0].events.query("trial_type == 'word'")
    assert np.allclose(words.groupby("audio")["audio_onset"].min(), 0)


def test_what_is_wrong_is_said(copy):
    path = path_of(copy)
    table = pd.read_csv(path, sep="\t")
    table.assign(onset=table["onset"] + 500).to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(BraindecError, match=r"sub-001_ses-001.*beyond the recording"):
        armeni.load(copy, "001", session="001")
    table[~table["type"].str.startswith("word")].to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(BraindecError, match="has no words"):
        armeni.load(copy, "001", session="001")
    table.drop(columns="type").to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(BraindecError, match="no column type"):
        armeni.load(copy, "001", session="001")
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    (copy / "stimuli/01_2.wav").unlink()
    with pytest.raises(BraindecError, match="not there: 01_2.wav"):
        armeni.load(copy, "001", session="001")


def test_repeated_sentences_are_said(tmp_path):
    twin = make_twin("armeni", tmp_path / "leak", seed=3, n_subjects=1, n_sentences=8, leak=True)
    recordings = armeni.load(twin.root)
    assert all(
        any("2 of its sentences are heard in other recordings" in w for w in r.info["warnings"]) for r in recordings
    )
