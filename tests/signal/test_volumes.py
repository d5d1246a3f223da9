from __future__ import annotations

import pickle

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.volumes import MeanSignal, volume_windows
from braindec.signal.windows import make_windows
from braindec.types import ArraySignal

TR = 2.5


@pytest.fixture
def run(make_recording):
    """Volume v of voxel c has the value 100 c + v; blocks of three volumes."""
    data = (np.arange(20) + 100 * np.arange(3)[:, None]).astype(np.float32)
    events = {
        "onset": [0.0, 5.0, 12.5, 25.0],
        "duration": [5.0, 7.5, 7.5, 7.5],
        "trial_type": ["rest", "face", "house", "face"],
    }
    return make_recording(data, sfreq=1 / TR, events=events, types="voxel", subject="1", run="01", modality="fmri")


def test_every_volume_of_a_block_is_a_window(run):
    w = volume_windows(run, select=["face", "house"])
    assert w.shape == (9, 3, 1)
    assert w.index[:, 1].tolist() == [2, 3, 4, 5, 6, 7, 10, 11, 12]
    assert list(w.trials["trial_type"]) == ["face"] * 3 + ["house"] * 3 + ["face"] * 3
    assert np.array_equal(w.load()[:, 1, 0], 100 + w.index[:, 1])
    assert list(w.trials["onset"][:2]) == [5.0, 7.5] and list(w.trials["event_onset"][:2]) == [5.0, 5.0]
    assert list(w.trials["event_index"]) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert (w.trials["run"] == "01").all() and (w.trials["duration"] == TR).all()
    assert len(set(w.ids)) == 9


@pytest.mark.parametrize(("delay", "shift"), [(0.0, 0), (2.5, 1), (5.0, 2), (4.0, 2), (3.0, 1)])
def test_the_label_is_that_of_delay_seconds_before_the_middle_of_the_volume(run, delay, shift):
    w = volume_windows(run, select=["house"], delay=delay)
    assert w.index[:, 1].tolist() == [5 + shift, 6 + shift, 7 + shift]
    for volume in w.index[:, 1]:
        assert 12.5 <= (volume + 0.5) * TR - delay < 20.0


def test_rows_of_single_volumes_give_the_same_as_blocks(run):
    labels = [
        "rest",
        "rest",
        "face",
        "face",
        "face",
        "house",
        "house",
        "house",
        "rest",
        "rest",
        "face",
        "face",
        "face",
    ] + ["rest"] * 7
    rows = {"onset": np.arange(20) * TR, "duration": TR, "trial_type": labels}
    single = run.with_events(run.events.iloc[:0].reindex(range(20)).assign(**rows))
    for options in ({}, {"delay": 5.0}, {"average": True}, {"average": True, "delay": 2.5}):
        a = volume_windows(run, select=["face", "house"], **options)
        b = volume_windows(single, select=["face", "house"], **options)
        assert np.array_equal(a.load(), b.load()) and list(a.trials["trial_type"]) == list(b.trials["trial_type"])


def test_block_averages_are_lazy_and_right(run):
    w = volume_windows(run, select=["face", "house"], average=True, delay=5.0)
    assert w.shape == (3, 3, 1)
    assert np.allclose(w.load()[:, 0, 0], [5, 8, 13])  # middles of volumes 4-6, 7-9, 12-14
    assert np.allclose(w.load([2, 0])[:, 2, 0], [213, 205])
    assert list(w.trials["onset"]) == [10.0, 17.5, 30.0] and list(w.trials["duration"]) == [7.5] * 3
    assert isinstance(w.recordings[0].signal, MeanSignal)


def test_mean_signal_equals_numpy_for_any_channels_and_spans(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(4, 30)).astype(np.float32)
    np.save(tmp_path / "x.npy", data)
    lengths = rng.integers(1, 5, 30)
    lengths[-5:] = 1
    signal = MeanSignal(ArraySignal(np.load(tmp_path / "x.npy", mmap_mode="r")), lengths)
    expected = np.stack([data[:, t : t + n].mean(axis=1) for t, n in enumerate(lengths)], axis=1)
    assert np.allclose(signal.read(), expected, atol=1e-6)
    assert np.allclose(signal.read(np.array([2, 0]), 7, 11), expected[[2, 0], 7:11], atol=1e-6)
    assert signal.read(slice(None), 5, 5).shape == (4, 0)
    again = pickle.loads(pickle.dumps(signal))
    assert np.allclose(again.read(), expected, atol=1e-6)


def test_short_events_take_the_volume_that_holds_them(run):
    brief = run.with_events(run.events.assign(duration=[0.0, np.nan, 0.1, 0.0]))
    w = volume_windows(brief, delay=5.0)
    assert w.index[:, 1].tolist() == [2, 4, 7, 12]
    assert volume_windows(brief, delay=6.0).index[:, 1].tolist() == [2, 4, 7, 12]
    w = volume_windows(brief, delay=5.0, duration=5.0, average=True)
    assert np.allclose(w.load()[:, 0, 0], [2.5, 4.5, 7.5, 12.5])


def test_onsets_that_are_rounded_in_the_file_do_not_shift(run):
    rounded = run.with_events(run.events.assign(onset=run.events["onset"] + [1e-7, -1e-7, 1e-7, -1e-7]))
    assert np.array_equal(volume_windows(rounded).index, volume_windows(run).index)


def test_what_leaves_the_run_and_what_is_claimed_twice_is_said(run):
    late = run.with_events(run.events.assign(onset=[0.0, 5.0, 12.5, 45.0]))
    w = volume_windows(late, delay=5.0)
    assert w.index[:, 1].max() < 20
    assert "3 labelled volumes lie outside the run" in w.info["dropped"][0]
    assert "1 blocks leave the run" in volume_windows(late, delay=5.0, average=True).info["dropped"][0]
    crossing = run.with_events(run.events.assign(duration=[7.5, 7.5, 7.5, 7.5]))
    w = volume_windows(crossing)
    assert 2 not in w.index[:, 1] and "1 volumes belong to two events" in w.info["dropped"][0]


def test_several_runs_and_the_errors_of_labels(run, make_recording):
    other = make_recording(run.load() + 1, sfreq=1 / TR, events=run.events, types="voxel", subject="1", run="02")
    w = volume_windows([run, other], select=["face"])
    assert len(w) == 12 and sorted(set(w.trials["run"])) == ["01", "02"]
    with pytest.raises(BraindecError, match="did you mean 'face'"):
        volume_windows([run, other], select=["fase"])
    with pytest.raises(BraindecError, match="no column 'labels'"):
        volume_windows(run, column="labels")
    with pytest.raises(BraindecError, match="no volume is left"):
        volume_windows(run, delay=1000.0)


def test_make_windows_serves_fmri_too(run):
    w = make_windows(run, tmin=5.0, tmax=10.0, select=["face"])
    assert w.shape == (2, 3, 2) and w.load()[0, 0].tolist() == [4, 5]


def test_haxby_labels_against_the_file(shared, make_recording):
    import nibabel as nib

    folder = shared("haxby-slice")
    rows = [line.split() for line in (folder / "attributes_literal.txt").read_text().splitlines() if line.strip()]
    labels, runs = np.array([r[0] for r in rows]), np.array([int(r[1]) for r in rows])
    mask = nib.load(folder / "mask.nii.gz").get_fdata() > 0
    bold = (
        nib.load(folder / "bold.nii.gz").get_fdata()[mask.reshape(mask.shape[:3])].astype(np.float32)
    )  # (voxel, volume)
    recordings = []
    for number in np.unique(runs):
        volumes = np.flatnonzero(runs == number)
        table = {"onset": np.arange(len(volumes)) * TR, "duration": TR, "trial_type": labels[volumes]}
        recordings.append(
            make_recording(bold[:, volumes], sfreq=1 / TR, events=table, types="voxel", subject="1", run=str(number))
        )
    names = sorted(set(labels) - {"rest"})
    w = volume_windows(recordings, select=names)
    kept = labels != "rest"
    assert len(w) == kept.sum() == 864 and list(w.trials["trial_type"]) == list(labels[kept])
    assert np.array_equal(w.load()[:, :, 0], bold[:, kept].T)
    blocks = volume_windows(recordings, select=names, average=True)
    assert len(blocks) == 96 and set(blocks.trials["duration"]) == {9 * TR}
