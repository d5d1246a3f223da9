"""Brennan & Hale 2019: FieldTrip structs of both MATLAB formats; when segments began follows from the words that were kept."""

from __future__ import annotations

import re
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._speech_matlab import read_plain, save_mat
from braindec.loaders._twin_speech import montage_layout, stories_of
from braindec.loaders.readers import brennan
from braindec.loaders.source import open_source
from braindec.loaders.synthetic_speech import speech_recordings
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_twin("brennan", tmp_path_factory.mktemp("speech") / "brennan", seed=5, n_segments=3, n_sentences=6).root


@pytest.fixture
def copy(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy"


def rewrite(root, change, name="S01"):
    """Write proc of a subject again with another trl."""
    proc = read_plain(root / "proc" / f"{name}.mat", "proc")
    cells = {}
    for key in ("varnames", "refchannels"):
        cells[key] = np.array(proc[key] if isinstance(proc[key], list) else [proc[key]], dtype=object)[:, None]
    save_mat(root / "proc" / f"{name}.mat", {"proc": {**proc, **cells, "trl": change(proc["trl"].copy())}})


def planted():
    """The simulation again, from the same seed."""
    channels = [str(k) for k in range(1, 62) if k != 29]
    stories = stories_of([f"DownTheRabbitHoleFinal_SoundFile{k}" for k in (1, 2, 3)], n_sentences=6, seed=5)
    return stories, *speech_recordings(
        [stories], n_subjects=2, modality="eeg", sfreq=100.0, seed=5, layout=montage_layout("easycap-M10", channels)
    )


def test_all_words_are_where_they_were_heard(root):
    source = open_source("brennan2019", root=root)
    stories, recordings, truth = planted()
    assert source.subjects() == ["S01", "S03"] and len(source.audio()) == 3
    for who, number, simulated in zip(source.subjects(), ("01", "02"), recordings, strict=True):
        mine = truth.starts[truth.starts["subject"] == number]
        recording = source.recordings(who)[0]
        assert np.allclose(recording.load(), simulated.load(), rtol=1e-4, atol=1e-12)
        starts = mine.set_index("story")["start"]
        for story in stories:
            words = recording.events[
                recording.events["audio"].eq(story.audio) & recording.events["trial_type"].eq("word")
            ]
            assert words["text"].tolist() == story.words["text"].tolist(), "those that were not kept too"
            assert np.allclose(words["audio_onset"], story.words["onset"], atol=2e-6)
            assert np.allclose(words["onset"], starts[story.name] + story.words["onset"], atol=0.006), (
                "within half a sample of 100 Hz"
            )
            assert words["sentence_id"].tolist() == story.words["sentence_id"].tolist()
    assert {"Order", "Length", "Position"} <= set(recording.events.columns)


def test_channels(root):
    recording = brennan.load(root, "S01")[0]
    assert recording.n_channels == 60 and "29" not in recording.ch_names and recording.channels["unit"].eq("V").all()
    assert recording.channels.loc[recording.channels["status"] == "bad", "name"].tolist() == ["7"]
    assert np.isfinite(recording.positions).all()
    everything = brennan.load(root, "S01", sensors=None)[0]
    assert everything.channels["type"].value_counts().to_dict() == {"eeg": 60, "eog": 1, "misc": 1}
    heard = everything.load()[everything.ch_names.index("AUD")]
    words = everything.events[everything.events["trial_type"] == "word"]
    inside = np.concatenate(
        [np.arange(round(w.onset * 100), round((w.onset + w.duration) * 100)) for w in words.itertuples()]
    )
    assert heard[inside].mean() > 5 * np.delete(heard, inside).mean(), "the recorded sound fits the words"


def test_version_73_is_read_alike(copy):
    before = brennan.load(copy, "S01")[0]
    raw = read_plain(copy / "S01.mat", "raw")
    with h5py.File(copy / "S01.mat", "w", userblock_size=512) as file:
        group, refs = file.create_group("raw"), file.create_group("#refs#")

        def text(name, value):
            data = refs.create_dataset(name, data=np.array([[ord(c)] for c in value], dtype=np.uint16))
            data.attrs["MATLAB_class"] = np.bytes_("char")
            return data.ref

        label = np.array([[text(f"l{k}", name) for k, name in enumerate(raw["label"])]], dtype=h5py.ref_dtype)
        group.create_dataset("label", data=label).attrs["MATLAB_class"] = np.bytes_("cell")
        trial = refs.create_dataset("t", data=np.asarray(raw["trial"][0]).T)
        trial.attrs["MATLAB_class"] = np.bytes_("single")
        cell = group.create_dataset("trial", data=np.array([[trial.ref]], dtype=h5py.ref_dtype))
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        group.create_dataset("fsample", data=[[100.0]]).attrs["MATLAB_class"] = np.bytes_("double")
    after = brennan.load(copy, "S01")[0]
    assert (
        after.ch_names == before.ch_names
        and np.array_equal(after.load(), before.load())
        and after.events.equals(before.events)
    )


def test_who_was_used(copy):
    shutil.copy(copy / "S01.mat", copy / "S02.mat")
    shutil.copy(copy / "proc/S01.mat", copy / "proc/S02.mat")
    assert brennan.subjects(copy) == ["S01", "S03"] and brennan.subjects(copy, which="all") == ["S01", "S02", "S03"]
    with pytest.raises(
        BraindecError, match=r"no subject 'S02'(.|\n)*left out of the analysis by the authors: which=all"
    ):
        brennan.load(copy, "S02")
    with pytest.raises(BraindecError, match="which='some'"):
        brennan.load(copy, which="some")
    assert len(brennan.USED) == 33


def test_segments_that_are_numbered_one_too_low(copy):
    """The first trigger is missing: the words stand beside those of the segment before."""
    truth = brennan.load(copy, "S01")[0].events
    for name in ("S01.mat", "proc/S01.mat"):
        shutil.move(copy / name, copy / name.replace("S01", "S26"))
    words = pd.read_csv(copy / "AliceChapterOne-EEG.csv")
    first = words.groupby("Segment")["onset"].first()

    def lower(trl):
        trl = trl[trl[:, 3] > 1]
        trl[:, 3] -= 1
        begins = trl[:, 0].copy()
        for number in np.unique(trl[:, 3]):
            mine = trl[:, 3] == number
            own = words[words["Segment"] == number]["onset"].to_numpy()
            trl[mine, 4] = np.resize(own, mine.sum())  # times of another segment's words
            trl[np.flatnonzero(mine)[0], 4] = first[number + 1]
        trl[:, 0] = begins
        return trl

    rewrite(copy, lower, "S26")
    recording = brennan.load(copy, "S26")[0]
    got, wanted = (
        e[e["trial_type"].eq("word") & ~e["audio"].str.endswith("File1.wav")] for e in (recording.events, truth)
    )
    assert got["text"].tolist() == wanted["text"].tolist() and np.allclose(got["onset"], wanted["onset"], atol=0.011)
    assert any("numbered one too low" in w for w in recording.info["warnings"])


def test_words_that_disagree_are_said(copy):
    def push(trl):
        trl[2, 0] += 30
        return trl

    rewrite(copy, push)
    recording = brennan.load(copy, "S01")[0]
    assert any(re.search(r"differ by up to (29|30)\d ms", w) for w in recording.info["warnings"])


def test_a_sound_that_began_before_the_recording(copy):
    rewrite(copy, lambda trl: np.column_stack([trl[:, 0] - 400, trl[:, 1:]]))
    recording = brennan.load(copy, "S01")[0]
    assert recording.events["onset"].min() >= 0 and any(
        "began before the recording" in w for w in recording.info["warnings"]
    )


def test_what_is_wrong_is_said(copy):
    rewrite(copy, lambda trl: np.column_stack([trl[:, 0] + 9000, trl[:, 1:]]))
    with pytest.raises(BraindecError, match=r"sub-S01.*beyond the recording"):
        brennan.load(copy, "S01")
    (copy / "proc/S01.mat").unlink()
    with pytest.raises(UnreadableError, match=r"S01: when words were said is not known.*proc"):
        brennan.load(copy, "S01")
    (copy / "audio/DownTheRabbitHoleFinal_SoundFile2.wav").unlink()
    with pytest.raises(BraindecError, match=r"not there: DownTheRabbitHoleFinal_SoundFile2.wav"):
        brennan.load(copy, "S03")
    scipy.io.savemat(copy / "S03.mat", {"raw": {"label": "a", "fsample": 100.0}})
    with pytest.raises(UnreadableError, match="raw has no field trial"):
        brennan.load(copy, "S03")
    scipy.io.savemat(copy / "S03.mat", {"data": 1.0})
    with pytest.raises(UnreadableError, match="no variable 'raw'"):
        brennan.load(copy, "S03")
    table = pd.read_csv(copy / "AliceChapterOne-EEG.csv").rename(columns={"Sentence": "sentences"})
    table.to_csv(copy / "AliceChapterOne-EEG.csv", index=False)
    with pytest.raises(UnreadableError, match="no column 'Sentence'"):
        brennan.load(copy, "S03")
    (copy / "AliceChapterOne-EEG.csv").unlink()
    with pytest.raises(UnreadableError, match="no AliceChapterOne-EEG.csv"):
        brennan.load(copy, "S03")
