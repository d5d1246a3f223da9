"""Twin of BCI Competition IV 2a: the GDF files and true labels that the reader ``bci_iv_2a`` describes.

Rhythms of 11 and 22 Hz over C4, C3, Cz and FCz are weaker while left hand, right hand, feet or tongue is imagined; EOG
channels carry blinks that leak into frontal channels; session E has other gains (electrodes were placed anew). Some
trials are marked as rejected, the first part of each file is an eye recording without trials. Truth: for a subject
"01/T" and "01/E" (trial,) the classes from 0, "depth".
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from braindec.files import written_whole
from braindec.loaders._twin_gdf import save_gdf
from braindec.loaders._twin_imagery import CLASSES, EEG, imagery_run
from braindec.loaders.twin import Twin, write_truth

__all__ = ["make"]

_NAMES = [
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
_SFREQ, _EYES, _LEAD, _TRIAL, _CUE = (
    250,
    8,
    3,
    8,
    2,
)  # Hz; s of the eye recording, before the first trial, of a trial, and to its cue


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 2,
    n_runs: int = 6,
    n_trials: int = 12,
    depth: float = 0.6,
    rhythm: float = 0.7,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_runs : int
        Subjects (9) and runs a session (6).
    n_trials : int
        Trials a run (48), a quarter of them of each class.
    depth, rhythm : float
        How far the rhythm falls, and how strong it is; see :mod:`braindec.loaders._twin_imagery`.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 214])
    truth: dict[str, np.ndarray] = {"depth": np.array(depth)}
    for number in range(1, n_subjects + 1):
        for session in "TE":
            gains = np.exp(0.15 * rng.normal(size=(len(EEG), 1)))
            parts, events, classes = [_eyes(rng)], [(0, 32766, 0), (0, 1072, _EYES * _SFREQ)], []
            for _ in range(n_runs):
                order = rng.permutation(np.arange(n_trials) % len(CLASSES))
                parts.append(_run(rng, order, gains, depth, rhythm))
                events += _events(rng, order, sum(p.shape[1] for p in parts[:-1]), session)
                classes.append(order)
            save_gdf(folder / f"A{number:02d}{session}.gdf", np.concatenate(parts, axis=1), _NAMES, _SFREQ, events)
            truth[f"{number:02d}/{session}"] = np.concatenate(classes)
            if session == "E":
                _save_labels(folder / "true_labels" / f"A{number:02d}E.mat", np.concatenate(classes) + 1)
    write_truth(folder, truth)
    settings = {"events": {"classes": ["left_hand", "right_hand"]}, "split": {"by": "session", "held_out": ["E"]}}
    about = {
        "seed": seed,
        "n_subjects": n_subjects,
        "n_runs": n_runs,
        "n_trials": n_trials,
        "depth": depth,
        "rhythm": rhythm,
    }
    return Twin(folder, "bci-iv-2a", "bci_iv_2a", "motor_imagery", settings=settings, about=about)


def _blinks(rng: np.random.Generator, n_times: int, n: int) -> np.ndarray:
    trace = np.zeros(n_times)
    width = np.hanning(_SFREQ // 4)
    for start in rng.integers(0, n_times - len(width), size=n):
        trace[start : start + len(width)] += 80e-6 * width
    return trace


def _eyes(rng: np.random.Generator) -> np.ndarray:
    n_times = _EYES * _SFREQ
    return _with_eog(
        rng, imagery_run(rng, np.zeros(0, int), np.zeros(0, int), n_times, sfreq=_SFREQ, depth=0.0, rhythm=1.0), 8
    )


def _with_eog(rng: np.random.Generator, eeg: np.ndarray, n_blinks: int) -> np.ndarray:
    trace = _blinks(rng, eeg.shape[1], n_blinks)
    frontal = np.array(
        [
            0.2 if name.startswith("F") and not name.startswith("FC") else 0.05 if name.startswith("FC") else 0.0
            for name in EEG
        ]
    )
    eog = np.stack([trace, 1.2 * trace, trace]) + 5e-6 * rng.normal(size=(3, eeg.shape[1]))
    return np.concatenate([eeg + frontal[:, None] * trace, eog])


def _run(rng: np.random.Generator, order: np.ndarray, gains: np.ndarray, depth: float, rhythm: float) -> np.ndarray:
    n_times = (_LEAD + _TRIAL * len(order)) * _SFREQ
    cue = (_LEAD + _CUE + _TRIAL * np.arange(len(order))) * _SFREQ
    return _with_eog(
        rng, gains * imagery_run(rng, order, cue, n_times, sfreq=_SFREQ, depth=depth, rhythm=rhythm), len(order) // 2
    )


def _events(rng: np.random.Generator, order: np.ndarray, first: int, session: str) -> list[tuple[int, int, int]]:
    events = [(first, 32766, 0)]
    for place, kind in enumerate(order.tolist()):
        begin = first + (_LEAD + _TRIAL * place) * _SFREQ
        events.append((begin, 768, _TRIAL * _SFREQ - _SFREQ))
        events += [(begin, 1023, _TRIAL * _SFREQ - _SFREQ)] if rng.uniform() < 0.05 else []
        events.append((begin + _CUE * _SFREQ, 783 if session == "E" else 769 + kind, 312))
    return events


def _save_labels(path: Path, classes: np.ndarray) -> None:
    import scipy.io

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"classlabel": classes[:, None].astype(np.uint8)})
    text = b"MATLAB 5.0 MAT-file, synthetic".ljust(116)  # scipy writes the time of day here
    with written_whole(path) as temporary:
        temporary.write_bytes(text + buffer.getvalue()[116:])
