"""Recording: selection, events, completion of the channel table, saving and opening, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.types import Recording

RNG = np.random.default_rng(1)
DATA = RNG.standard_normal((4, 200)).astype(np.float32)


def _recording(**changes):
    parts = {
        "signal": DATA,
        "sfreq": 100.0,
        "channels": pd.DataFrame({"name": list("abcd"), "type": ["eeg", "eeg", "eog", "eeg"], "status": ["good", "bad", "good", "good"]}),
        "events": pd.DataFrame({"onset": [0.1, 0.5, 1.5], "duration": [0.0, 0.2, np.nan], "trial_type": ["x", "y", "x"], "extra": [1, 2, 3]}),
        "info": {"subject": "01", "run": "2", "line_freq": 50.0},
    }  # fmt: skip
    return Recording(**{**parts, **changes})


def test_the_channel_table_is_completed_and_info_has_every_key():
    recording = _recording(channels=pd.DataFrame({"name": list("abcd")}))
    assert list(recording.channels) == ["name", "type", "unit", "x", "y", "z", "region", "status"]
    assert recording.positions.shape == (4, 3) and np.isnan(recording.positions).all()
    assert recording.info["modality"] is None and recording.info["line_freq"] == 50.0
    assert (recording.n_channels, recording.n_times, recording.duration) == (4, 200, 2.0)


def test_labels():
    assert _recording().label == "sub-01_run-2"
    assert (
        _recording(info={"path": "/a/b/file.edf"}).label == "file.edf"
    )  # no folder: names of windows stay the same elsewhere
    assert _recording(info={}).label == "recording"


def test_select_channels_types_and_good():
    recording = _recording()
    assert recording.select(["d", "a"]).ch_names == ["d", "a"]
    np.testing.assert_array_equal(recording.select(["d", "a"]).load(), DATA[[3, 0]])
    assert recording.select(types="eeg", good=True).ch_names == ["a", "d"]
    assert recording.select(np.array([True, False, False, True])).ch_names == ["a", "d"]
    assert recording.select([2, 1]).ch_names == ["c", "b"]
    with pytest.raises(BraindecError, match="did you mean 'a'|has no channel 'e'"):
        recording.select(["e"])
    with pytest.raises(BraindecError, match="no channel is left"):
        recording.select(types="mag")


def test_select_a_span_shifts_events():
    part = _recording().select(tmin=0.3, tmax=1.2)
    np.testing.assert_array_equal(part.load(), DATA[:, 30:120])
    assert part.events["onset"].tolist() == pytest.approx([0.2]) and part.events["extra"].tolist() == [2]
    again = part.select(["b"], tmin=0.1)
    np.testing.assert_array_equal(again.load(), DATA[[1], 40:120])
    for span in ({"tmin": -0.1}, {"tmax": 2.5}, {"tmin": 1.0, "tmax": 1.0}):
        with pytest.raises(BraindecError, match="no span"):
            _recording().select(**span)


def test_saved_and_opened_it_is_the_same_and_pickles_small(tmp_path):
    recording = _recording()
    opened = recording.save(tmp_path / "r.h5")
    np.testing.assert_array_equal(opened.load(), DATA)
    pd.testing.assert_frame_equal(opened.channels, recording.channels)
    pd.testing.assert_frame_equal(opened.events, recording.events)
    assert opened.info == recording.info and opened.sfreq == recording.sfreq
    part = opened.select(["c", "a"], tmin=0.5)
    text = pickle.dumps(part)
    assert len(text) < 5_000
    np.testing.assert_array_equal(pickle.loads(text).load(), DATA[[2, 0], 50:])


def test_saving_needs_no_memory_for_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("braindec.types.storage._BLOCK", 100)  # 25 samples of 4 channels at once
    np.testing.assert_array_equal(_recording().save(tmp_path / "r.h5").load(), DATA)


def test_a_selection_in_memory_does_not_pickle():
    with pytest.raises(BraindecError, match="save it first"):
        pickle.dumps(_recording())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"sfreq": 0.0}, "sfreq must be a positive"),
        ({"sfreq": np.nan}, "sfreq must be a positive"),
        ({"channels": pd.DataFrame({"name": list("abc")})}, "one row"),
        ({"channels": pd.DataFrame({"label": list("abcd")})}, "one row"),
        ({"channels": pd.DataFrame({"name": list("abca")})}, "unique"),
        ({"events": pd.DataFrame({"onset": [1.0]})}, "onset and duration"),
        ({"signal": np.zeros((2, 3, 4))}, "channel, time"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, match):
    with pytest.raises(BraindecError, match=match):
        _recording(**changes)


def test_with_signal_and_events_keep_the_rest():
    recording = _recording().with_signal(DATA[:, :100] * 2, sfreq=50.0, warnings=["halved"])
    assert recording.sfreq == 50.0 and recording.info["warnings"] == ["halved"] and recording.info["subject"] == "01"
    assert len(recording.with_events(recording.events.iloc[:1]).events) == 1


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "r.h5"
    _recording().save(path)
    path.write_bytes(path.read_bytes()[:3000])
    from braindec.types.storage import open_recording

    with pytest.raises(BraindecError, match="cut short|damaged"):
        open_recording(path)
