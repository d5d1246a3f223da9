"""MOUS: words of TextGrids are put where each sound was played, in an order of its own for each subject."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders.readers import mous
from braindec.loaders.source import open_source
from braindec.loaders.speech_events import EVENT_COLUMNS, sentence_id
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_twin("mous", tmp_path_factory.mktemp("speech") / "mous", seed=2, n_sentences=6, n_lists=2).root


@pytest.fixture
def copy(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy"


def test_each_sound_is_a_sentence_in_another_order_for_each_subject(root):
    source = open_source("mous", root=root)
    one, two = (source.recordings(s)[0].events for s in source.subjects())
    order = [e.query("trial_type == 'sound'")["audio"].tolist() for e in (one, two)]
    assert order[0] != order[1] and sorted(order[0]) == sorted(order[1]) and len(order[0]) == 6
    assert list(one.columns[: len(EVENT_COLUMNS)]) == list(EVENT_COLUMNS)
    ids = [e.query("trial_type == 'sentence'").set_index("audio")["sentence_id"].to_dict() for e in (one, two)]
    assert ids[0] == ids[1], "the same sentence has the same id in every subject"
    assert set(source.audio()) >= set(order[0])


def test_words_are_those_of_the_text_at_the_time_of_the_sound(root):
    texts = dict(line.split(" ", 1) for line in (root / "stimuli/stimuli.txt").read_text().splitlines())
    events = mous.load(root, "A2002")[0].events
    raw = pd.read_csv(root / "sub-A2002/meg/sub-A2002_task-auditory_events.tsv", sep="\t")
    for row in raw[raw["type"] == "Sound"].itertuples():
        number = int(row.value.split()[-1].removesuffix(".wav"))
        mine = events[events["audio"] == f"EQ_Ramp_Int2_Int1LPF{number:03d}.wav"]
        if not len(mine):
            assert number > 6  # a word list
            continue
        words = mine[mine["trial_type"] == "word"]
        assert words["text"].tolist() == texts[str(number)].lower().strip(".").split()
        assert (
            set(words["sentence_id"]) == {sentence_id(texts[str(number)])}
            and words["sentence"].iloc[0] == texts[str(number)]
        )
        assert np.allclose(words["onset"] - words["audio_onset"], row.onset, atol=1e-5)
        assert words["word_index"].tolist() == list(range(len(words)))
        phonemes = mine[mine["trial_type"] == "phoneme"]
        assert phonemes["word_index"].drop_duplicates().tolist() == list(range(len(words)))


def test_word_lists_on_request(root):
    both = mous.load(root, "A2002", condition=None)[0].events
    lists = mous.load(root, "A2002", condition="word_list")[0].events
    assert both.query("trial_type == 'sound'")["condition"].value_counts().to_dict() == {"sentence": 6, "word_list": 2}
    assert len(lists.query("trial_type == 'sound'")) == 2
    with pytest.raises(BraindecError, match="no sounds of condition 'lists'"):
        mous.load(root, "A2002", condition="lists")


def test_without_an_alignment(copy):
    shutil.rmtree(copy / "derivatives")
    with pytest.raises(BraindecError, match=r"when each word was said is not known.*(\n.*)*words=null"):
        mous.load(copy, "A2002")
    events = mous.load(copy, "A2002", words=None)[0].events
    assert set(events["trial_type"]) == {"sound", "sentence"}
    sentences = events[events["trial_type"] == "sentence"]
    assert sentences["sentence_id"].tolist() == [sentence_id(t) for t in sentences["text"]]


def test_an_alignment_of_ones_own_and_one_that_is_not_whole(copy, tmp_path):
    shutil.move(copy / "derivatives/phonemes", tmp_path / "grids")
    assert "word" in set(mous.load(copy, "A2002", words=str(tmp_path / "grids"))[0].events["trial_type"])
    (tmp_path / "grids/EQ_Ramp_Int2_Int1LPF003.TextGrid").unlink()
    with pytest.raises(BraindecError, match="1 of 6 sounds have no TextGrid"):
        mous.load(copy, "A2002", words=str(tmp_path / "grids"))


def test_a_sound_that_is_missing_and_words_beyond_the_end(copy):
    (copy / "stimuli/audio_files/EQ_Ramp_Int2_Int1LPF002.wav").unlink()
    with pytest.raises(BraindecError, match="events name a sound that is not there: EQ_Ramp_Int2_Int1LPF002.wav"):
        mous.load(copy, "A2002")
    shutil.rmtree(copy / "stimuli/audio_files")
    path = copy / "sub-A2002/meg/sub-A2002_task-auditory_events.tsv"
    table = pd.read_csv(path, sep="\t")
    table.assign(onset=1000 * table["onset"]).to_csv(path, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(BraindecError, match=r"beyond the recording(.|\n)*look like ms"):
        mous.load(copy, "A2002")


def test_a_sentence_that_two_sounds_say(tmp_path):
    twin = make_twin("mous", tmp_path / "leak", seed=2, n_subjects=1, n_sentences=6, n_lists=0, leak=True)
    events = mous.load(twin.root)[0].events
    sentences = events[events["trial_type"] == "sentence"]
    assert len(sentences) == 6 and sentences["sentence_id"].nunique() == 4
