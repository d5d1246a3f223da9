"""Twin of BCI IV 2a as MOABB exports it (BNCI2014_001): arrays for the reader ``moabb``, or a BIDS folder for the reader ``bids``.

Sessions "0train" and "1test", runs "0" to "5"; the rhythms are those of :mod:`braindec.loaders._twin_imagery`. Truth:
for a subject "1/classes" (trial,) from 0, in order of session and run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindec.loaders._brainvision import save_brainvision
from braindec.loaders._twin_files import save_json, save_tsv
from braindec.loaders._twin_imagery import CLASSES, EEG, imagery_run
from braindec.loaders.twin import Twin, write_truth

__all__ = ["make"]

_SFREQ, _LEAD, _TRIAL, _LENGTH = 250, 2, 6, 4  # Hz; s before the first cue, between cues, and of a window
_SESSIONS = ("0train", "1test")


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 2,
    n_runs: int = 4,
    n_trials: int = 16,
    depth: float = 0.6,
    rhythm: float = 0.7,
    form: str = "arrays",
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_runs, n_trials : int
        Subjects (9), runs a session (6), trials a run (48).
    depth, rhythm : float
        How far the rhythm falls, and how strong it is.
    form : {"arrays", "bids"}
        X.npy, y.npy and metadata.csv; or sub-1/ses-0train/eeg/... (BrainVision here, EDF in MOABB).
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 215])
    truth: dict[str, np.ndarray] = {}
    cut, rows = [], []
    for number in range(1, n_subjects + 1):
        classes = []
        for session in _SESSIONS:
            gains = np.exp(0.15 * rng.normal(size=(len(EEG), 1)))
            for run in range(n_runs):
                order = rng.permutation(np.arange(n_trials) % len(CLASSES))
                cue = (_LEAD + _TRIAL * np.arange(n_trials)) * _SFREQ
                n_times = (_LEAD + _TRIAL * n_trials) * _SFREQ
                data = gains * imagery_run(rng, order, cue, n_times, sfreq=_SFREQ, depth=depth, rhythm=rhythm)
                classes.append(order)
                if form == "bids":
                    _write_bids(folder, str(number), session, str(run), data, cue, order)
                    continue
                cut.append(np.stack([data[:, c : c + _LENGTH * _SFREQ] for c in cue]) * 1e6)
                rows += [(number, session, run, CLASSES[k]) for k in order]
        truth[f"{number}/classes"] = np.concatenate(classes)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "n_runs": n_runs, "n_trials": n_trials, "form": form}
    settings = {"split": {"by": "session", "held_out": ["1test"]}, "events": {"classes": ["left_hand", "right_hand"]}}
    if form == "bids":
        save_json(
            folder / "dataset_description.json",
            {"Name": "BNCI2014-001", "BIDSVersion": "1.9.0", "DatasetType": "derivative"},
        )
        return Twin(
            folder, "", "bids", "motor_imagery", {"datatype": "eeg", "montage": "standard_1005"}, settings, about
        )
    np.save(folder / "X.npy", np.concatenate(cut).astype(np.float32), allow_pickle=False)
    np.save(folder / "y.npy", np.array([r[3] for r in rows]), allow_pickle=False)
    table = pd.DataFrame([r[:3] for r in rows], columns=["subject", "session", "run"])
    table.to_csv(folder / "metadata.csv", index=False, lineterminator="\n")
    return Twin(folder, "bci-iv-2a-moabb", "moabb", "motor_imagery", settings=settings, about=about)


def _write_bids(
    folder: Path, subject: str, session: str, run: str, data: np.ndarray, cue: np.ndarray, order: np.ndarray
) -> None:
    name = f"sub-{subject}_ses-{session}_task-imagery_run-{run}"
    out = folder / f"sub-{subject}" / f"ses-{session}" / "eeg"
    names = [CLASSES[k] for k in order]
    save_brainvision(out / f"{name}_eeg.vhdr", data, EEG, _SFREQ, list(zip(cue.tolist(), names, strict=True)))
    save_json(
        out / f"{name}_eeg.json",
        {"TaskName": "imagery", "SamplingFrequency": _SFREQ, "PowerLineFrequency": 50, "EEGReference": "n/a"},
    )
    save_tsv(out / f"{name}_channels.tsv", pd.DataFrame({"name": EEG, "type": "EEG", "units": "µV", "status": "good"}))
    save_tsv(
        out / f"{name}_events.tsv",
        pd.DataFrame({"onset": cue / _SFREQ, "duration": float(_LENGTH), "trial_type": names}),
    )
