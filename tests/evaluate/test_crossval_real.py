"""Real recordings: the scores that fixed, usual settings reach, with their controls at chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.decoders.classifier import Classifier
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.signal.steps.filter import filter as band_pass
from braindec.types import Recording, Windows

mne = pytest.importorskip("mne")


def scores(decoder, windows, splits, *, metrics=("auc",), n_permutations=50, controls=("label_shuffle",)):
    y = windows.trials["trial_type"].to_numpy()
    cv = cross_validate(decoder, windows, y, splits, metrics=metrics, n_permutations=n_permutations, controls=controls)
    return cv.scores[cv.scores["metric"] == metrics[0]].set_index("row")


def runs_of_events(runs, length):
    """Windows of ``length`` s from each event of (recording, events) pairs."""
    index, trials = [], []
    for r, (recording, events) in enumerate(runs):
        first = np.round(events["onset"] * recording.sfreq).astype(int)
        inside = (first + round(length * recording.sfreq) <= recording.n_times).to_numpy()
        index += [(r, s) for s in first[inside]]
        trials.append(events[inside].assign(run=recording.info["run"]))
    recordings = tuple(r for r, _ in runs)
    return Windows(
        recordings, np.array(index), round(length * recordings[0].sfreq), pd.concat(trials, ignore_index=True)
    )


def muse(folder, subject):
    runs = []
    for path in sorted((folder / f"sub-{subject}").rglob("*_eeg.vhdr")):
        raw = mne.io.read_raw_brainvision(path, verbose="error")
        events = pd.read_csv(str(path).replace("_eeg.vhdr", "_events.tsv"), sep="\t")[
            ["onset", "duration", "trial_type"]
        ]
        channels = pd.DataFrame({"name": raw.ch_names, "type": "eeg", "unit": "V"})
        run = path.name.split("task-")[0] + path.name.split("run-")[1][:2]
        recording = Recording(raw.get_data(verbose="error").astype("float32"), raw.info["sfreq"], channels,
                              info={"subject": subject, "run": run})  # fmt: skip
        runs.append((band_pass(recording, low=1.0, high=20.0), events))
    return runs_of_events(runs, 0.8)


@pytest.mark.slow
def test_p300_with_a_headband_leave_one_run_out(shared):
    windows = muse(shared("muse-p300"), "01")
    assert windows.shape == (3089, 4, 205)
    found = scores(Classifier(bin_width=0.025), windows, split_by(windows, "run"),
                   controls=("label_shuffle", "noise_input", "time_only"))  # fmt: skip
    assert found.loc["decoded", "value"] >= 0.79
    assert abs(found.loc["label_shuffle", "value"] - 0.5) <= 0.03
    assert found.loc["decoded", "p"] == pytest.approx(1 / 51)
    for row in ("noise_input", "time_only"):
        assert found.loc[row, "low"] <= 0.5 <= found.loc[row, "high"], row


def test_a_subject_without_signal_is_reported_as_such(shared):
    windows = muse(shared("muse-p300"), "03")
    found = scores(Classifier(bin_width=0.025), windows, split_by(windows, "run"), n_permutations=20)
    assert 0.45 <= found.loc["decoded", "value"] <= 0.56
    assert found.loc["decoded", "low"] <= 0.5 <= found.loc["decoded", "high"]


def test_p300_of_brain_invaders_in_contiguous_blocks(shared):
    with np.load(shared("eeg_p300_bi2012_s01") / "subject_01_session_01.npz", allow_pickle=False) as file:
        data, stim = file["data"][:, :16].T, file["stim"]  # column 17 is minus the sum of the others
    channels = pd.DataFrame({"name": [f"eeg{i}" for i in range(16)], "type": "eeg", "unit": "uV"})
    recording = band_pass(
        Recording(np.ascontiguousarray(data), 128.0, channels, info={"run": "01"}), low=1.0, high=20.0
    )
    at = np.flatnonzero(stim)
    events = pd.DataFrame(
        {"onset": at / 128.0, "duration": 0.0, "trial_type": np.where(stim[at] == 2, "target", "nontarget")}
    )
    windows = runs_of_events([(recording, events)], 0.8)
    assert np.unique(windows.trials["trial_type"], return_counts=True)[1].tolist() == [640, 128]
    splits = split_by(windows, "time", n_folds=5, gap=1.0)
    tangent = scores(Classifier(features="xdawn_tangent"), windows, splits, n_permutations=5)
    assert tangent.loc["decoded", "value"] >= 0.88
    assert abs(tangent.loc["label_shuffle", "value"] - 0.5) <= 0.08
    assert scores(Classifier(bin_width=0.025), windows, splits).loc["decoded", "value"] >= 0.83


def test_related_and_unrelated_words_in_contiguous_blocks(shared):
    epochs = mne.read_epochs(shared("n400-words") / "subject04-epo.fif", verbose="error")
    windows = Windows.from_mne(epochs)
    windows = windows.with_trials(
        trial_type=np.where(epochs.events[:, 2] == epochs.event_id["related"], "related", "unrelated")
    )
    found = scores(Classifier("ridge", tmin=0.1, tmax=0.8), windows, split_by(windows, "time", n_folds=10))
    assert found.loc["decoded", "value"] >= 0.65
    assert found.loc["decoded", "high"] - found.loc["decoded", "low"] > 0.1  # 200 trials: wide, and said to be


@pytest.mark.parametrize("by", ["time", "block"])
def test_movement_directions_from_gradiometers(shared, by):
    folder = shared("meg_hand_movement_direction")
    X, y = np.load(folder / "X_train.npy", allow_pickle=False), np.load(folder / "y_train.npy", allow_pickle=False)
    trials = pd.DataFrame({"trial_type": y, "block": (np.arange(160) % 40) // 4})  # rows stand class by class
    windows = Windows.from_arrays(X, trials, sfreq=400.0, modality="meg")
    splits = split_by(windows, by, n_folds=10 if by == "time" else None)
    found = scores(Classifier(bin_width=0.05), windows, splits, metrics=("accuracy",))
    assert found.loc["decoded", "value"] >= 0.5
    assert abs(found.loc["label_shuffle", "value"] - 0.25) <= 0.03


def test_categories_of_haxby_leave_one_run_out(shared):
    nibabel = pytest.importorskip("nibabel")
    from scipy.signal import detrend

    folder = shared("haxby-slice")
    mask = nibabel.load(folder / "mask.nii.gz").get_fdata() > 0
    volumes = nibabel.load(folder / "bold.nii.gz").get_fdata()[mask].T  # (volume, voxel)
    label, run = np.loadtxt(folder / "attributes_literal.txt", dtype=str).T[:2]
    for r in np.unique(run):
        mine = detrend(volumes[run == r], axis=0)
        volumes[run == r] = mine / mine.std(axis=0)
    seen = label != "rest"
    trials = pd.DataFrame({"trial_type": label, "run": run, "onset": 2.5 * (np.arange(len(run)) % 121)})[seen]
    windows = Windows.from_arrays(volumes[seen][:, :, None].astype("float32"), trials, sfreq=0.4, modality="fmri")
    found = scores(Classifier(), windows, split_by(windows, "run"), metrics=("accuracy",))
    assert windows.shape == (864, 530, 1)
    assert found.loc["decoded", "value"] >= 0.62
    assert abs(found.loc["label_shuffle", "value"] - 0.125) <= 0.02
    assert "blocks of about 9 rows" in found.loc["decoded", "note"]
