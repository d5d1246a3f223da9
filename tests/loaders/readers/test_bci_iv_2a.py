"""BCI IV 2a: GDF files of the twin, their runs, cues and true labels; imagined movements are decoded from session T to E."""

from __future__ import annotations

import shutil

import mne
import numpy as np
import pytest
import scipy.io

from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.official import official_split
from braindec.loaders._twin_gdf import save_gdf
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows

NAMES = np.array(["left_hand", "right_hand", "feet", "tongue"])


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("bci_iv_2a", tmp_path_factory.mktemp("bci") / "twin", n_subjects=1, n_runs=4)


def open_it(twin, **options):
    return open_source("bci-iv-2a", root=twin.root, options=options)


def test_gdf_is_what_mne_reads(tmp_path):
    rng = np.random.default_rng(0)
    data = 1e-4 * rng.normal(size=(3, 750))
    save_gdf(tmp_path / "a.gdf", data, ["Fz", "Cz", "Cz"], 250, [(0, 32766, 0), (123, 769, 50), (600, 1023, 10)])
    raw = mne.io.read_raw_gdf(tmp_path / "a.gdf", verbose="ERROR")
    assert np.abs(raw.get_data() - data).max() < 1e-3 / 32767 and raw.info["sfreq"] == 250
    assert raw.annotations.description.tolist() == ["32766", "769", "1023"] and np.allclose(
        raw.annotations.onset * 250, [0, 123, 600]
    )
    assert np.allclose(raw.annotations.duration[1:] * 250, [50, 10])
    with pytest.raises(ValueError, match="whole number of seconds"):
        save_gdf(tmp_path / "b.gdf", data[:, :700], ["a", "b", "c"], 250, [(0, 1, 0)])


def test_runs_cues_and_labels(twin):
    recordings, truth = open_it(twin).recordings("01"), twin.truth()
    assert [(r.info["session"], r.info["run"]) for r in recordings] == [(s, str(k)) for s in "TE" for k in range(1, 5)]
    for session, part in (("T", "train"), ("E", "test")):
        mine = [r for r in recordings if r.info["session"] == session]
        found = np.concatenate([r.events["trial_type"] for r in mine])
        assert np.array_equal(found, NAMES[truth[f"01/{session}"]])
        assert all(set(r.events["part"]) == {part} for r in mine)
    first = recordings[0]
    assert np.allclose(first.events["onset"], 3 + 2 + 8 * np.arange(12)) and first.duration == pytest.approx(99.0)
    assert (first.channels["type"] == "eeg").sum() == 22 and (first.channels["type"] == "eog").sum() == 3
    assert first.ch_names[:3] == ["Fz", "FC3", "FC1"] and first.ch_names[7] == "C3" and first.ch_names[21] == "POz"
    assert set(first.channels["unit"]) == {"V"} and 5e-6 < first.load()[:22].std() < 5e-5
    eeg = (first.channels["type"] == "eeg").to_numpy()
    assert np.isfinite(first.positions[eeg]).all() and first.positions[7, 0] < -0.03 < 0.03 < first.positions[11, 0]


def test_runs_are_cut_where_they_begin(twin):
    whole = mne.io.read_raw_gdf(twin.root / "A01T.gdf", verbose="ERROR")
    begin = np.round(whole.annotations.onset[whole.annotations.description == "32766"] * 250).astype(int)
    assert len(begin) == 5  # one eye recording, four runs
    second = open_it(twin).recordings("01")[1]
    assert np.allclose(second.load()[:, :500], whole.get_data(start=begin[2], stop=begin[2] + 500), atol=1e-9)


def test_rejected_trials(twin):
    kept, dropped = (
        sum(len(r.events) for r in open_it(twin, rejected=how).recordings("01")) for how in ("keep", "drop")
    )
    marked = sum(int(r.events["rejected"].sum()) for r in open_it(twin).recordings("01"))
    raw = [mne.io.read_raw_gdf(twin.root / f"A01{s}.gdf", verbose="ERROR") for s in "TE"]
    assert marked == sum((r.annotations.description == "1023").sum() for r in raw) > 0
    assert kept == 96 and dropped == 96 - marked


def test_left_and_right_are_decoded_in_the_other_session(twin):
    recordings = prepare(open_it(twin).recordings("01"), [{"filter": {"low": 8.0, "high": 14.0}}], cache=None)
    windows = make_windows(recordings, tmin=0.5, tmax=3.5, select=["left_hand", "right_hand"])
    split = official_split(windows, "part", validation_by="run", validation=0.0)
    power = np.log(windows.load().var(axis=2))
    names = windows.ch_names
    difference = power[:, names.index("C3")] - power[:, names.index("C4")]  # the rhythm falls on the other side
    threshold = np.median(difference[split.train])
    right = (difference < threshold) == (windows.trials["trial_type"] == "right_hand").to_numpy()
    assert right[split.test].mean() > 0.75


def test_labels_that_are_missing_or_do_not_fit(twin, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(twin.root, root)
    labels = root / "true_labels" / "A01E.mat"
    scipy.io.savemat(labels, {"classlabel": np.ones((7, 1))})
    with pytest.raises(BraindecError, match="does not fit"):
        open_source("bci-iv-2a", root=root).load("01")
    scipy.io.savemat(labels, {"other": np.ones((7, 1))})
    with pytest.raises(UnreadableError, match="no variable classlabel"):
        open_source("bci-iv-2a", root=root).load("01")
    labels.unlink()
    only = open_source("bci-iv-2a", root=root).recordings("01")
    assert {r.info["session"] for r in only} == {"T"} and any("A01E.mat" in w for w in only[0].info["warnings"])
    with pytest.raises(BraindecError, match="true labels"):
        open_source("bci-iv-2a", root=root, options={"session": "E"}).load("01")
    with pytest.raises(BraindecError, match="rejected is keep or drop"):
        open_it(twin, rejected="maybe").load("01")
    with pytest.raises(BraindecError, match="no session 'X'"):
        open_it(twin, session="X").load("01")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(BraindecError, match="holds no session"):
        open_source("bci-iv-2a", root=tmp_path).subjects()
    data = np.zeros((25, 500))
    save_gdf(tmp_path / "A03T.gdf", data, ["EEG"] * 25, 250, [(0, 768, 10), (100, 769, 10)])
    with pytest.raises(UnreadableError, match="other channels"):
        open_source("bci-iv-2a", root=tmp_path).load("03")
    names = [
        "EEG-Fz",
        *["EEG"] * 6,
        "EEG-C3",
        "EEG",
        "EEG-Cz",
        "EEG",
        "EEG-C4",
        *["EEG"] * 7,
        "EEG-Pz",
        "EEG",
        "EEG",
        "EOG-left",
        "EOG-central",
        "EOG-right",
    ]
    save_gdf(tmp_path / "A03T.gdf", data, names, 250, [(0, 768, 10)])
    with pytest.raises(UnreadableError, match="no cue"):
        open_source("bci-iv-2a", root=tmp_path).load("03")
