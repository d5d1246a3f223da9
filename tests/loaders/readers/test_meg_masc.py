"""MEG-MASC: dictionaries as text become speech events; what is wrong is said; both sessions tell the same stories."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders._twin_speech import stories_of
from braindec.loaders.readers import meg_masc
from braindec.loaders.source import open_source
from braindec.loaders.speech_events import EVENT_COLUMNS
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_twin("meg_masc", tmp_path_factory.mktemp("speech") / "masc", seed=1, n_sentences=8, n_channels=12).root


@pytest.fixture
def copy(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy"


def table_of(root, session=0, task=0):
    path = root / f"sub-01/ses-{session}/meg/sub-01_ses-{session}_task-{task}_events.tsv"
    return path, pd.read_csv(path, sep="\t", encoding="utf-8-sig")


def save(path, table):
    table.to_csv(path, sep="\t", index=False, encoding="utf-8-sig")


def test_events_are_those_that_were_planted(root):
    recordings = meg_masc.load(root, "01")
    assert [(r.info["session"], r.info["task"]) for r in recordings] == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    stories = {
        s.name: s
        for s in stories_of([f"{n}_{k}" for n in ("lw1", "cable_spool_fort") for k in (0, 1)], n_sentences=8, seed=1)
    }
    for recording in recordings:
        events = recording.events
        assert list(events.columns[: len(EVENT_COLUMNS)]) == list(EVENT_COLUMNS)
        for name in events["audio"].unique():
            story, mine = stories[name.removesuffix(".wav")], events[events["audio"] == name]
            begin = mine.query("trial_type == 'sound'")["onset"].iloc[0]
            for kind, truth in (("word", story.words), ("phoneme", story.phonemes), ("sentence", story.sentences)):
                got = mine[mine["trial_type"] == kind]
                assert np.allclose(got["onset"], begin + truth["onset"], atol=2e-6), kind
                assert np.allclose(got["audio_onset"], truth["onset"], atol=2e-6), kind
                assert np.allclose(got["duration"], truth["duration"], atol=4e-6), kind
                assert got["sentence_id"].tolist() == truth["sentence_id"].tolist(), kind
                assert got["word_index"].tolist() == truth["word_index"].tolist(), kind
            assert mine.query("trial_type == 'phoneme'")["text"].str.upper().tolist() == story.phonemes["text"].tolist()
            assert mine.query("trial_type == 'word'")["text"].tolist() == story.words["text"].tolist()


def test_sounds_have_the_names_that_events_give(root):
    source = open_source("gwilliams-meg-masc", root=root)
    assert source.subjects() == ["01", "02"]
    sounds = source.audio()
    named = {n for r in source.recordings("01") for n in r.events["audio"]}
    assert named == set(sounds) and all(p.is_file() for p in sounds.values())
    assert all(p.exists() for p in source.files("01"))


def test_repeats_across_sessions_are_said(root):
    recordings = meg_masc.load(root, "01")
    assert all(any("split by content" in w for w in r.info["warnings"]) for r in recordings)
    alone = meg_masc.load(root, "01", session="0")
    assert not any("split by content" in w for r in alone for w in r.info["warnings"])


def test_options(root):
    assert "phoneme" not in set(
        meg_masc.load(root, "01", session="0", task="1", phonemes=False)[0].events["trial_type"]
    )
    with pytest.raises(BraindecError, match="no words of condition 'word_list'"):
        meg_masc.load(root, "01", condition="word_list")
    with pytest.raises(BraindecError, match="no option 'conditon'"):
        meg_masc.files(root, conditon=None)


def test_word_lists_are_left_out_unless_asked_for(copy):
    path, table = table_of(copy)
    words = table["trial_type"].str.contains("'sequence_id': 1.0")
    table["trial_type"] = table["trial_type"].where(
        ~words, table["trial_type"].str.replace("'sentence'", "'word_list'")
    )
    save(path, table)
    kept = meg_masc.load(copy, "01", session="0", task="0")[0].events
    everything = meg_masc.load(copy, "01", session="0", task="0", condition=None)[0].events
    lists = everything[everything["condition"].eq("word_list")]
    assert {"word", "phoneme", "sentence"} == set(lists["trial_type"])
    assert len(kept) + len(lists) == len(everything) and not set(lists["sentence_id"]) & set(kept["sentence_id"])


def test_time_in_the_sound_is_found_where_it_is_not_written(copy):
    path, table = table_of(copy)
    before = meg_masc.load(copy, "01", session="0", task="0")[0].events
    table["trial_type"] = table["trial_type"].str.replace(r"'start': [\d.]+, ", "", regex=True)
    save(path, table)
    after = meg_masc.load(copy, "01", session="0", task="0")[0].events
    assert np.allclose(before["audio_onset"], after["audio_onset"], atol=5e-6)


@pytest.mark.parametrize(
    "text", ["__import__('os').system('true')", "{'kind': 'word', 'word': open('x')}", "[1, 2]", "Word"]
)
def test_what_is_no_literal_is_refused_and_not_run(copy, text):
    path, table = table_of(copy)
    table.loc[5, "trial_type"] = text
    save(path, table)
    with pytest.raises(BraindecError, match=r"ses-0_task-0.*row 6.*no dictionary"):
        meg_masc.load(copy, "01", session="0", task="0")


def test_words_beyond_the_recording(copy):
    path, table = table_of(copy)
    table["onset"] += 60
    save(path, table)
    with pytest.raises(BraindecError, match=r"ses-0_task-0.*lie beyond the recording"):
        meg_masc.load(copy, "01", session="0", task="0")


def test_a_sound_that_is_missing(copy):
    (copy / "stimuli/audio/lw1_1.wav").unlink()
    with pytest.raises(BraindecError, match=r"events name a sound that is not there: lw1_1.wav"):
        meg_masc.load(copy, "01", task="0")
    shutil.rmtree(copy / "stimuli")
    assert any("no sounds are here" in w for w in meg_masc.load(copy, "01", task="0")[0].info["warnings"])
    with pytest.raises(BraindecError, match="no sounds here"):
        meg_masc.audio(copy)


def test_events_that_say_nothing_of_speech(copy):
    path, table = table_of(copy)
    save(path, table.assign(trial_type="{'kind': 'word'}"))
    with pytest.raises(BraindecError, match="says nothing of sound"):
        meg_masc.load(copy, "01", session="0", task="0")
    path.unlink()
    with pytest.raises(BraindecError, match="no events of speech"):
        meg_masc.load(copy, "01", session="0", task="0")


def test_the_folder_is_bids_for_others_too(root):
    mne_bids = pytest.importorskip("mne_bids")
    path = mne_bids.BIDSPath(subject="01", session="0", task="0", datatype="meg", root=root)
    raw = mne_bids.read_raw_bids(path, verbose="ERROR")
    mine = meg_masc.load(root, "01", session="0", task="0")[0]
    assert np.allclose(raw.get_data(picks="meg"), mine.load()) and raw.info["sfreq"] == mine.sfreq
    assert raw.get_channel_types(unique=True) == ["mag"]
