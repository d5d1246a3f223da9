"""Brain Treebank: words where the triggers put them, electrodes as they are labelled, planted responses found, and what does not fit refused."""

from __future__ import annotations

import json
import pickle
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._treebank import nonverbal_stretches, sample_of
from braindec.loaders.source import open_source
from braindec.loaders.speech_events import EVENT_COLUMNS, sentence_id
from braindec.loaders.twin import make_twin
from braindec.signal.windows import make_windows


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("braintreebank", tmp_path_factory.mktemp("treebank") / "twin", n_subjects=2)


def open_it(twin, root=None, **options):
    return open_source("braintreebank", root=root or twin.root, options={**twin.options, **options})


def test_words_stand_where_the_triggers_put_them(twin):
    truth = twin.truth()
    for recording in open_it(twin).recordings("1"):
        words = recording.events.query("trial_type == 'word'")
        planted = truth[f"1/{recording.info['session']}/onset"]
        assert len(words) == len(planted) and np.abs(words["onset"] * recording.sfreq - planted).max() < 1.5
        assert list(recording.events.columns[: len(EVENT_COLUMNS)]) == list(EVENT_COLUMNS)
        assert all(sentence_id(s) == i for s, i in zip(words["sentence"], words["sentence_id"], strict=True))
        assert (words["word_index"] == words["idx_in_sentence"]).all() and set(words["story"]) == {
            recording.info["story"]
        }
        assert {"rms", "pos", "gpt2_surprisal", "is_onset"} <= set(words)


def test_triggers_place_times_around_a_pause():
    timings = pd.DataFrame(
        {"movie_time": [0.0, 1.0, 1.4, 1.4, 2.0], "index": [10.0, 110, 150, 550, 610]}
    )  # 4 s of pause at 1.4 s
    found = sample_of(np.array([0.0, 0.3, 1.1, 1.39, 1.4, 1.41, 1.9, 2.5]), timings, 100.0)
    assert np.allclose(found, [10, 40, 120, 149, 550, 551, 600, 660])


def test_electrodes_are_as_they_are_labelled(twin):
    recording = open_it(twin).recordings("1")[0]
    channels = recording.channels.set_index("name")
    assert (
        "LT1a2" in channels.index
        and "LT2b1" in channels.index
        and not any("*" in n or "#" in n for n in channels.index)
    )
    assert channels.loc["LF3c4", "status"] == "bad" and (channels["status"] == "bad").sum() == 1
    assert channels.loc["DC1", "type"] == "stim" and channels.loc["LT2b3", "region"] == "ctx-lh-middletemporal"
    with h5py.File(twin.root / "sub_1_trial000.h5") as file:
        assert len(file["data"]) == len(channels) + 1  # the last has no label
        assert np.array_equal(
            recording.signal.read(np.array([5, 2]), 100, 220),
            np.stack([file["data/electrode_5"][100:220], file["data/electrode_2"][100:220]]),
        )
    assert (
        recording.signal.shape[0] == len(channels)
        and pickle.loads(pickle.dumps(recording)).n_times == recording.n_times
    )
    assert np.isnan(recording.positions).all() and any("origin" in w for w in recording.info["warnings"])


def test_units_and_positions_only_when_they_are_said(twin):
    plain, scaled = (
        open_it(twin).recordings("1")[0],
        open_it(twin, unit="uV", origin=[128, 128, 128]).recordings("1")[0],
    )
    assert np.allclose(scaled.signal.read(slice(0, 2), 0, 50), 1e-6 * plain.signal.read(slice(0, 2), 0, 50))
    assert set(scaled.channels.loc[scaled.channels["type"] == "seeg", "unit"]) == {"V"} and set(
        plain.channels["unit"]
    ) == {"n/a"}
    row = scaled.channels.iloc[0]
    assert (
        np.allclose(scaled.positions[0], (128 - np.array([row["L"], row["P"], row["I"]])) / 1000)
        and scaled.info["space"]
    )
    with pytest.raises(BraindecError, match="unknown unit"):
        open_it(twin, unit="T").load("1")


def test_the_planted_electrodes_follow_volume_and_part_of_speech(twin):
    truth = twin.truth()
    windows = make_windows(open_it(twin).recordings("1"), tmin=0.1, tmax=0.3, select=["word"])
    level = windows.load()[:, :13].mean(axis=2)
    loud = windows.trials["rms"].to_numpy(float)
    volume = np.array([abs(np.corrcoef(loud, level[:, k])[0, 1]) for k in range(13)])
    kind = windows.trials["pos"].to_numpy()
    speech = np.array(
        [abs(level[kind == "VERB", k].mean() - level[kind == "NOUN", k].mean()) / level[:, k].std() for k in range(13)]
    )
    for found, planted in ((volume, truth["1/volume"][:13]), (speech, truth["1/part_of_speech"][:13])):
        assert found[planted].min() > found[~planted].max()


def test_stretches_without_words(twin):
    with_them, without = open_it(twin).recordings("1")[0], open_it(twin, nonverbal=False).recordings("1")[0]
    words, silent = (with_them.events.query(f"trial_type == '{k}'") for k in ("word", "nonverbal"))
    assert len(silent) > 10 and set(without.events["trial_type"]) == {"word"} and len(without.events) == len(words)
    start, stop = words["onset"].to_numpy(), (words["onset"] + words["duration"]).to_numpy()
    for onset in silent["onset"]:
        assert ((start >= onset + 3.0 - 1e-6) | (stop <= onset - 2.0 + 1e-6)).all()
    one = pd.DataFrame({"onset": [0.0, 10.0], "duration": [1.0, 1.0]})
    assert nonverbal_stretches(one, "film")["onset"].tolist() == [3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0]


def test_a_wrong_sampling_frequency_is_refused(twin):
    with pytest.raises(BraindecError, match="does not fit a sampling frequency of 2048 Hz") as error:
        open_source("braintreebank", root=twin.root).load("1")
    assert "256.0 samples" in str(error.value)
    assert open_it(twin, sfreq={"default": 2048.0, 1: 256.0}).recordings("1")[0].sfreq == 256.0


def test_words_beyond_the_recording(twin, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(twin.root, root)
    for path in root.glob("sub_1_trial*.h5"):
        with h5py.File(path, "r+") as file:
            short = {name: item[: 256 * 60] for name, item in file["data"].items()}
            del file["data"]
            for name, values in short.items():
                file[f"data/{name}"] = values
    recording = open_it(twin, root=root).recordings("1")[0]
    assert any("lie outside the recording" in w for w in recording.info["warnings"])
    assert (recording.events["onset"] + recording.events["duration"]).max() <= 60.0
    path = root / "subject_timings" / "sub_1_trial000_timings.csv"
    timings = pd.read_csv(path)
    timings.assign(index=timings["index"] + 256 * 1000).to_csv(path, index=False)
    with pytest.raises(BraindecError, match="no word of film-a lies in the recording"):
        open_it(twin, root=root, session="trial000").load("1")
    timings.iloc[:1].to_csv(path, index=False)
    with pytest.raises(UnreadableError, match="1 triggers"):
        open_it(twin, root=root, session="trial000").load("1")


def test_words_without_a_time_or_after_the_last_trigger(twin, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(twin.root, root)
    path = root / "transcripts" / "film-a" / "features.csv"
    table = pd.read_csv(path, index_col=0)
    table.loc[3, "start"] = np.nan
    table.loc[len(table)] = {**table.iloc[-1], "start": 1e5, "end": 1e5 + 1}
    table.to_csv(path)
    recording = open_it(twin, root=root).recordings("1")[0]
    said = " ".join(recording.info["warnings"])
    assert (
        f"1 of {len(table)} words have no time" in said
        and f"1 of {len(table)} words come after the last trigger" in said
    )
    assert (recording.events["trial_type"] == "word").sum() == len(table) - 2


def test_what_is_missing_is_named(twin, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(twin.root, root)
    with pytest.raises(BraindecError, match="no recording trial007"):
        open_it(twin, root=root, session="trial007").load("1")
    (root / "corrupted_elec.json").unlink()
    shutil.rmtree(root / "localization")
    recording = open_it(twin, root=root).recordings("1")[0]
    assert (
        len([w for w in recording.info["warnings"] if "is not here" in w]) == 2
        and (recording.channels["status"] == "good").all()
    )
    path = root / "electrode_labels" / "sub_1" / "electrode_labels.json"
    path.write_text(json.dumps([f"A{k}" for k in range(40)]))
    with pytest.raises(UnreadableError, match="data/electrode_0 to data/electrode_39"):
        open_it(twin, root=root).load("1")
    path.write_text("{]")
    with pytest.raises(UnreadableError, match="cannot be read as JSON"):
        open_it(twin, root=root).load("1")
    (root / "subject_metadata" / "sub_2_trial000_metadata.json").write_text('{"filename": "../../etc"}')
    with pytest.raises(BraindecError, match="must stay inside"):
        open_it(twin, root=root).load("2")
    with pytest.raises(BraindecError, match="holds no recording"):
        open_source("braintreebank", root=tmp_path).subjects()


def test_electrodes_that_hold_no_numbers_are_refused(twin, tmp_path):
    shutil.copytree(twin.root, tmp_path / "copy")
    with h5py.File(tmp_path / "copy" / "sub_1_trial000.h5", "r+") as file:
        n = len(file["data/electrode_3"])
        del file["data/electrode_3"]
        file["data/electrode_3"] = np.full(n, b"x")
    with pytest.raises(UnreadableError, match="electrode_3 holds no real numbers"):
        open_it(twin, root=tmp_path / "copy").recordings("1")
