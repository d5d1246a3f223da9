"""Audit on real recordings with known traps; each is skipped where the recordings are not at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braindec.evaluate.audit import audit
from braindec.evaluate.splits import split_by
from braindec.types import Recording, Split, Windows


def folds_over_trials(n, n_folds=5) -> list[Split]:
    """What a plain cross-validation over trials does."""
    return [Split(np.setdiff1d(np.arange(n), np.arange(k, n, n_folds)), [], np.arange(k, n, n_folds), "trial",
                  np.arange(n).astype(str)) for k in range(n_folds)]  # fmt: skip


def locust(folder: Path) -> Windows:
    """Spike counts of 10 units in bins of 0.5 s, 10 s before to 14 s after the odour comes; one block an odour."""
    counts, trials = [], []
    for block, odour in enumerate(["C3H_1", "Citral", "Mint_1", "Octanol_1", "Vanilla_1"]):
        times = [np.loadtxt(folder / f"locust20010214_{odour}_tetB_u{u}.txt") / 15_000 for u in range(1, 11)]
        n = int(max(t.max() for t in times) // 30) + 1
        edges = np.arange(0, 24.1, 0.5)
        for k in range(n):
            counts.append([np.histogram(t - 30 * k, edges)[0] for t in times])
            trials.append({"trial_type": odour, "onset": 2000.0 * block + 30 * k + 10, "duration": 1.0})
    table = pd.DataFrame(trials).assign(window_id=lambda t: np.arange(len(t)).astype(str))
    return Windows.from_arrays(
        np.array(counts, dtype=np.float32), table, sfreq=2.0, tmin=-10.0, modality="spikes", subject="01"
    )


def test_locust_odours_are_decodable_before_onset(shared):
    windows = locust(shared("spikes_locust_odours"))
    found = audit(windows, folds_over_trials(len(windows)))
    before = found.of("pre_onset")[0]
    assert before.level == "fail" and before.evidence["balanced_accuracy"] > 0.35 and before.evidence["p"] < 0.01
    blocks = found.of("block_design")[0]
    assert blocks.level == "fail" and blocks.evidence["neighbour_agreement"] > 0.95
    assert found.level == "fail"


def muse(folder: Path, subject: str, session: str, run: str, *, name: str | None = None) -> Windows:
    """One run of the P300 data, read plainly (float32, multiplexed, 0.1 uV), band of 1 to 20 Hz."""
    from scipy.signal import butter, sosfiltfilt

    stem = folder / f"sub-{subject}/ses-{session}/eeg/sub-{subject}_ses-{session}_task-p300_run-{run}"
    data = np.fromfile(f"{stem}_eeg.eeg", dtype="<f4").reshape(-1, 4).T * 1e-7
    data = sosfiltfilt(butter(4, [1, 20], "bandpass", fs=256, output="sos"), data, axis=1).astype(np.float32)
    events = pd.read_csv(f"{stem}_events.tsv", sep="\t")
    start = np.round((events.onset - 0.1) * 256).astype(int)
    kept = (start >= 0) & (start + 230 <= data.shape[1])
    info = {"subject": subject, "session": name or session, "run": run, "modality": "eeg"}
    channels = pd.DataFrame({"name": ["TP9", "AF7", "AF8", "TP10"], "type": "eeg", "unit": "V"})
    trials = events[kept].assign(subject=subject, session=name or session, run=run)
    return Windows(
        (Recording(data, 256.0, channels, info=info),), np.c_[np.zeros(kept.sum(), int), start[kept]], 230, trials, -0.1
    )


def test_a_run_stored_under_two_sessions(shared):
    folder = shared("muse-p300")
    runs = [muse(folder, "01", "01", r) for r in ("01", "02", "03")]
    clean = Windows.concat(runs)
    assert audit(clean, split_by(clean, "run"), checks=["duplicate_recordings"]).level == "pass"
    doubled = Windows.concat([*runs, muse(folder, "01", "01", "02", name="02")])
    found = audit(doubled, split_by(doubled, "run"), checks=["duplicate_recordings"]).findings[0]
    assert found.level == "fail"
    assert found.evidence["sources"] == [["sub-01_ses-01_run-02", "sub-01_ses-02_run-02"]]


def test_clean_real_runs_pass(shared):
    """Whole runs left out of the oddball data: nothing to complain of (windows overlap inside a run only)."""
    folder = shared("muse-p300")
    windows = Windows.concat([muse(folder, "01", "01", r) for r in ("01", "02", "03", "04")])
    found = audit(windows, split_by(windows, "run"))
    assert not found.at("fail"), found
    assert {f.check for f in found.at("warn")} <= {"pre_onset"}  # responses to the picture before reach into the window
    # the same windows in blocks without a gap share samples
    found = audit(windows, split_by(windows, "time", n_folds=7))
    assert found.of("time_adjacency")[0].level == "fail"
    assert audit(windows, split_by(windows, "time", n_folds=7, gap=1.0)).of("time_adjacency")[0].level == "pass"


def bi2012(folder: Path, n_channels: int) -> Windows:
    stored = np.load(folder / "subject_01_session_01.npz", allow_pickle=False)
    names = ["F7", "F3", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "O2", "ref"]
    channels = pd.DataFrame({"name": names[:n_channels], "type": "eeg", "unit": "V"})
    recording = Recording(
        stored["data"].T[:n_channels].astype(np.float32) * 1e-6, 128.0, channels, info={"subject": "01", "run": "1"}
    )
    onset = np.flatnonzero(stored["stim"])
    onset = onset[onset + 128 <= recording.n_times]
    trials = pd.DataFrame({"onset": onset / 128, "duration": 0.1, "trial_type": stored["stim"][onset].astype(str)})
    return Windows((recording,), np.c_[np.zeros(len(onset), int), onset], 128, trials)


@pytest.mark.parametrize(("n_channels", "level"), [(17, "warn"), (16, "pass")])
def test_rebuilt_reference_is_named(shared, n_channels, level):
    windows = bi2012(shared("eeg_p300_bi2012_s01"), n_channels)
    finding = audit(windows, split_by(windows, "time", n_folds=5, gap=1.0), checks=["rank_deficient"]).findings[0]
    assert finding.level == level
    if level == "warn":
        assert finding.evidence["channels"] == ["ref"] and finding.evidence["rank"] == 16


def test_haxby_blocks_inside_runs_pass_when_runs_are_left_out(shared):
    """Eight categories in blocks of nine volumes, dealt anew in each run: leave-one-run-out is the right design."""
    labels = np.array((shared("haxby-slice") / "attributes_literal.txt").read_text().split()).reshape(-1, 2)
    table = pd.DataFrame(
        {"trial_type": labels[:, 0], "run": labels[:, 1], "onset": np.tile(np.arange(121) * 2.5, 12), "duration": 2.5}
    )
    table = table[table.trial_type != "rest"].reset_index(drop=True)
    assert audit(table, split_by(table, "run")).level == "pass"
    found = audit(table, folds_over_trials(len(table)))
    assert found.of("block_design")[0].level == "fail" and found.of("time_adjacency")[0].level == "warn"
