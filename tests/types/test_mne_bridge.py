"""To and from mne: names, types, positions, coils, bad channels, events, metadata; laziness; pickling; damage."""

from __future__ import annotations

import datetime
import pickle

import mne
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.types import ArraySignal, Recording, Windows
from braindec.types.mne_signals import MneSignal


@pytest.fixture
def raw():
    """A raw with a template montage, two trigger types, a bad channel, extras and a measurement date."""
    rng = np.random.default_rng(0)
    info = mne.create_info(
        ["Fz", "Cz", "Pz", "Oz", "EOG", "STI"], 200.0, ["eeg"] * 4 + ["eog", "stim"], verbose="ERROR"
    )
    made = mne.io.RawArray(rng.standard_normal((6, 2000)) * 1e-6, info, verbose="ERROR")
    made.set_montage("spherical_1020", verbose="ERROR")
    made.info["bads"], made.info["line_freq"] = ["Pz"], 50.0
    made.set_meas_date(datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC))
    extras = [{"stimulus_id": "dog", "loudness": 2.5}, {"stimulus_id": "cat", "loudness": None}]
    made.set_annotations(mne.Annotations([1.0, 3.25], [0.0, 0.5], ["image/a", "image/b"], extras=extras))
    return made


@pytest.fixture
def raw_file(raw, tmp_path):
    """The same in a FIF file that starts at sample 300."""
    path = tmp_path / "a_raw.fif"
    raw.copy().crop(1.5).save(path, verbose="ERROR")
    return path


def _same_sensors(one, two):
    assert one["ch_names"] == two["ch_names"] and one["bads"] == two["bads"]
    assert one.get_channel_types() == two.get_channel_types()
    for a, b in zip(one["chs"], two["chs"], strict=True):
        place_a, place_b = (np.where(np.isfinite(c["loc"][:12]), c["loc"][:12], 0.0) for c in (a, b))
        np.testing.assert_allclose(place_a, place_b, err_msg=a["ch_name"])
        assert (int(a["coil_type"]), int(a["coord_frame"])) == (int(b["coil_type"]), int(b["coord_frame"])), a[
            "ch_name"
        ]


def test_recording_holds_what_the_raw_says(raw):
    recording = Recording.from_mne(raw, subject="01", dataset="made")
    np.testing.assert_array_equal(recording.load(), raw.get_data())
    assert (
        recording.info["modality"] == "eeg"
        and recording.info["line_freq"] == 50.0
        and recording.info["subject"] == "01"
    )
    assert recording.channels.set_index("name")["status"].to_dict()["Pz"] == "bad"
    assert recording.channels["unit"].tolist() == ["V"] * 5 + ["n/a"]
    places = raw.get_montage().get_positions()["ch_pos"]
    np.testing.assert_allclose(recording.positions[:4], [places[n] for n in ("Fz", "Cz", "Pz", "Oz")], atol=1e-9)
    assert np.isnan(recording.positions[4:]).all()
    assert recording.events["onset"].tolist() == [1.0, 3.25] and recording.events["trial_type"].tolist() == [
        "image/a",
        "image/b",
    ]
    assert recording.events["stimulus_id"].tolist() == ["dog", "cat"] and recording.events["loudness"][0] == 2.5


def test_raw_round_trip(raw):
    back = Recording.from_mne(raw).to_mne()
    np.testing.assert_array_equal(back.get_data(), raw.get_data())
    _same_sensors(raw.info, back.info)
    assert back.info["line_freq"] == 50.0 and back.info["meas_date"] == raw.info["meas_date"]
    np.testing.assert_allclose(back.annotations.onset, raw.annotations.onset)
    np.testing.assert_allclose(back.annotations.duration, raw.annotations.duration)
    assert list(back.annotations.description) == list(raw.annotations.description)
    assert dict(back.annotations.extras[0]) == {"stimulus_id": "dog", "loudness": 2.5}
    first, second = raw.get_montage().get_positions(), back.get_montage().get_positions()
    for point in ("nasion", "lpa", "rpa"):
        np.testing.assert_allclose(first[point], second[point], atol=1e-9)


def test_onsets_count_from_the_first_sample_of_a_cropped_file(raw, raw_file):
    opened = mne.io.read_raw_fif(raw_file, verbose="ERROR")
    assert opened.first_samp == 300
    recording = Recording.from_mne(opened)
    assert recording.events["onset"].tolist() == pytest.approx([1.75])  # 3.25 - 1.5; the first one was cut off
    events, _ = mne.events_from_annotations(opened, verbose="ERROR")
    np.testing.assert_array_equal(np.round(recording.events["onset"] * 200), events[:, 0] - opened.first_samp)


def test_a_raw_that_is_not_loaded_stays_on_disk_and_pickles_as_a_path(raw, raw_file):
    opened = mne.io.read_raw_fif(raw_file, verbose="ERROR")
    recording = Recording.from_mne(opened)
    assert isinstance(recording.signal, MneSignal) and not opened.preload
    data = opened.get_data()
    part = recording.select(["Oz", "Fz"], tmin=1.0, tmax=3.0)
    np.testing.assert_array_equal(part.load(), data[[3, 0], 200:600])
    assert part.signal.slow
    text = pickle.dumps(part)
    assert len(text) < 10_000
    np.testing.assert_array_equal(pickle.loads(text).load(), data[[3, 0], 200:600])
    assert isinstance(
        Recording.from_mne(mne.io.read_raw_fif(raw_file, preload=True, verbose="ERROR")).signal, ArraySignal
    )


def test_reads_of_a_file_equal_slicing(raw, raw_file):
    opened = mne.io.read_raw_fif(raw_file, verbose="ERROR")
    signal, data = MneSignal(opened), opened.get_data()
    for rows in (slice(None), slice(1, 3), np.array([5, 0, 5]), np.array([2])):
        for span in ((0, None), (17, 401), (1699, 1700), (8, 8)):
            np.testing.assert_array_equal(signal.read(rows, *span), data[rows, span[0] : span[1]])


def test_a_cropped_and_reordered_raw_is_found_again_in_its_file(raw_file):
    opened = mne.io.read_raw_fif(raw_file, verbose="ERROR").pick(["Oz", "Fz"]).crop(2.0, 4.0)
    recording = pickle.loads(pickle.dumps(Recording.from_mne(opened)))
    np.testing.assert_array_equal(recording.load(), opened.get_data())
    assert recording.ch_names == opened.ch_names


def test_a_file_that_changed_is_refused(raw, raw_file):
    recording = Recording.from_mne(mne.io.read_raw_fif(raw_file, verbose="ERROR"))
    text = pickle.dumps(recording)
    raw.copy().pick(["Fz"]).save(raw_file, overwrite=True, verbose="ERROR")
    with pytest.raises(BraindecError, match="not what it was"):
        pickle.loads(text).load()


def test_positions_that_were_changed_win(raw):
    recording = Recording.from_mne(raw)
    channels = recording.channels.copy()
    channels.loc[1, ["x", "y", "z"]] = [0.01, 0.02, 0.1]
    from dataclasses import replace

    back = replace(recording, channels=channels).to_mne()
    np.testing.assert_allclose(back.info["chs"][1]["loc"][:3], [0.01, 0.02, 0.1])


def test_channels_that_mne_does_not_know_become_misc():
    table = pd.DataFrame({"name": ["v1", "v2"], "type": "voxel", "x": [0.01, 0.02], "y": 0.0, "z": 0.03})
    recording = Recording(np.ones((2, 10)), 0.5, table, info={"modality": "fmri"})
    back = recording.to_mne()
    assert back.get_channel_types() == ["misc", "misc"] and back.info["sfreq"] == 0.5
    np.testing.assert_allclose(back.info["chs"][1]["loc"][:3], [0.02, 0.0, 0.03])


@pytest.mark.parametrize(
    "name",
    ["formats/SSS/141027_cropped_90Hz_raw.fif", "formats/CTF/somMDYO-18av.ds", "formats/KIT/test.sqd", "eeglab-sample/eeglab_data.set",
     "formats/SNIRF/NIRx/NIRSport2/1.0.3/2021-05-05_001.snirf", "formats_small/test.edf"],
)  # fmt: skip
def test_real_sensors_come_back(shared, name):
    raw = mne.io.read_raw(shared(name), verbose="ERROR")
    recording = Recording.from_mne(raw)
    back = recording.to_mne()
    np.testing.assert_array_equal(back.get_data(), raw.get_data())
    _same_sensors(raw.info, back.info)
    if raw.info["dev_head_t"] is not None:
        np.testing.assert_allclose(back.info["dev_head_t"]["trans"], raw.info["dev_head_t"]["trans"])
    np.testing.assert_allclose(back.annotations.onset, raw.annotations.onset - raw.first_time)


def test_an_edf_with_several_rates_reads_the_same_in_pieces(shared):
    path = shared("formats/EDF/test_reduced.edf")
    recording = Recording.from_mne(mne.io.read_raw_edf(path, verbose="ERROR"))
    whole = mne.io.read_raw_edf(path, preload=True, verbose="ERROR").get_data()
    np.testing.assert_array_equal(recording.signal.read(slice(None), 700, 1000), whole[:, 700:1000])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).signal.read(slice(None), 5, 9), whole[:, 5:9])


def _epochs(raw):
    events = np.array([[300, 0, 2], [700, 0, 1], [1100, 0, 2], [1500, 0, 1]])
    metadata = pd.DataFrame({"word": ["a", "b", "c", "d"], "surprise": [0.1, 0.2, np.nan, 0.4]})
    return mne.Epochs(raw, events, {"image/dog": 1, "image/cat": 2}, -0.1, 0.4, baseline=None, preload=True, metadata=metadata,
                      verbose="ERROR")  # fmt: skip


def test_epochs_round_trip(raw):
    epochs = _epochs(raw)
    windows = Windows.from_mne(epochs, subject="01", run="3", event_sfreq=200.0)
    np.testing.assert_array_equal(windows.load([3, 0]), epochs.get_data()[[3, 0]].astype(np.float32))
    assert windows.trials["trial_type"].tolist() == ["image/cat", "image/dog", "image/cat", "image/dog"]
    assert windows.trials["onset"].tolist() == [1.5, 3.5, 5.5, 7.5] and windows.trials["word"].tolist() == list("abcd")
    assert windows.trials["subject"].tolist() == ["01"] * 4 and windows.tmin == pytest.approx(-0.1)
    np.testing.assert_allclose(windows.times, epochs.times, atol=1e-12)
    back = windows.to_mne()
    np.testing.assert_allclose(back.get_data(), epochs.get_data(), rtol=1e-6)
    np.testing.assert_array_equal(back.events[:, 0], epochs.events[:, 0])
    assert [next(k for k, v in back.event_id.items() if v == c) for c in back.events[:, 2]] == windows.trials[
        "trial_type"
    ].tolist()
    assert back.metadata["word"].tolist() == list("abcd") and len(back["image/dog"]) == 2
    _same_sensors(epochs.info, back.info)
    again = Windows.from_mne(back)
    np.testing.assert_array_equal(again.load(), windows.load())
    assert again.ids.tolist() == windows.ids.tolist()


def test_without_event_sfreq_no_onset_is_invented(raw):
    windows = Windows.from_mne(_epochs(raw))
    assert "onset" not in windows.trials and windows.trials["sample"].tolist() == [300, 700, 1100, 1500]


def test_windows_of_any_rows_to_mne():
    x = np.random.default_rng(0).standard_normal((5, 3, 20))
    windows = Windows.from_arrays(x, {"trial_type": list("abcab"), "onset": [1.0, 1.0, 2.0, 3.0, 4.0]}, sfreq=100.0)
    back = windows.to_mne([4, 1])  # onsets that stand twice would be refused by mne
    np.testing.assert_allclose(back.get_data(), x[[4, 1]], rtol=1e-6)
    assert len(windows.to_mne()) == 5


def test_a_trial_type_column_of_the_metadata_is_kept_beside_the_event_names(raw):
    epochs = _epochs(raw)
    epochs.metadata["trial_type"] = list("wxyz")
    trials = Windows.from_mne(epochs).trials
    assert trials["trial_type"][0] == "image/cat" and trials["metadata_trial_type"].tolist() == list("wxyz")
