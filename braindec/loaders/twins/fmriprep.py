"""Twin ``fmriprep``: film clips in a BIDS folder with derivatives of fMRIPrep; bands of features drive known regions.

Layout: ``sub-XX/func/*_events.tsv`` (onset, duration, trial_type, stimulus_id) and ``*_bold.json`` (the raw images are left
out), ``derivatives/fmriprep/sub-XX/func/*_space-MNI152NLin2009cAsym_res-12_desc-{preproc_bold,brain_mask}.nii.gz`` and
``*_desc-confounds_timeseries.tsv``. The grid is the MNI152 brain at 12 mm (about 1,100 voxels). Each run shows one clip;
the last clip is shown in the last ``n_repeats`` runs.

Planted: the band "visual" drives occipital voxels, "language" temporal ones, both drive a strip between them, and "motion"
(of the stimulus) drives nothing, though its columns resemble four of "visual" (r = 0.5), so that by itself it predicts what
"visual" drives. Elsewhere there is noise; one voxel in each subject is constant.

``truth``: ``mask`` (x, y, z), ``affine`` (mm), ``region`` (voxel: 0 none, 1 visual, 2 language, 3 both), and for each subject
``sub-XX/signal_share``, ``sub-XX/unique/<band>`` and ``sub-XX/weights`` (see :mod:`braindec.loaders._twin_bold`) and
``sub-XX/constant`` (voxel, bool). Voxels are in the order of the reader (Fortran order of the grid).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion, gaussian_filter
from tqdm import tqdm

from braindec.loaders._twin_bold import (
    BANDS,
    Planted,
    ar_noise,
    band_rows,
    courses,
    drift,
    encoding_settings,
    plant,
    timed_features,
)
from braindec.loaders._twin_brain import Brain, brain
from braindec.loaders._twin_confounds import nuisance
from braindec.loaders._twin_files import save_json, save_nifti, save_tsv
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

SPACE = "MNI152NLin2009cAsym"
_VOXEL = 12  # mm
_LEAD, _TAIL = 6.0, 10.0  # s without a stimulus at the start and the end of a run
_BASELINE = 8000.0
_DRIVES = {"visual": ("occipital", 0.5), "language": ("temporal", 0.4)}
_GAIN = (1.0, 1.25, 0.5)  # of the shares; the third subject is weak


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_stimuli: int = 5, n_repeats: int = 3, n_volumes: int = 120, tr: float = 2.0,
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        "01", "02", ...
    n_stimuli : int
        Distinct clips; the last one is shown ``n_repeats`` times.
    n_repeats : int
        Runs that show the last clip.
    n_volumes : int
        Volumes of a run.
    tr : float
        s.
    """
    clips = [f"clip-{k + 1:02d}" for k in range(n_stimuli)]
    shown = [*clips[:-1], *[clips[-1]] * n_repeats]
    length = n_volumes * tr - _LEAD - _TAIL
    features = timed_features(dict.fromkeys(clips, length), BANDS, step=tr / 4, rng=np.random.default_rng([seed, 0]))
    course = {c: courses(features, c, onset=_LEAD, n_volumes=n_volumes, tr=tr) for c in clips}
    space = brain(_DRIVES, voxel=_VOXEL)
    truth = space.truth()
    root = folder / "derivatives" / "fmriprep"
    _describe(folder, root, tr)
    write_features(folder, features)
    for number in tqdm(range(n_subjects), desc="writing subjects", disable=None, leave=False):
        subject = f"{number + 1:02d}"
        rng = np.random.default_rng([seed, 1, number])
        shares = {b: _GAIN[number % 3] * s * rng.uniform(0.6, 1.0, len(s)) for b, s in space.shares.items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(BANDS), shares, rng)
        constant = np.arange(len(space.voxels)) == rng.choice(np.flatnonzero(space.region == 0))
        truth |= {**planted.arrays(f"sub-{subject}"), f"sub-{subject}/constant": constant}
        base = _baseline(space, rng)
        for run, clip in enumerate(shown, start=1):
            draw = np.random.default_rng([seed, 2, number, run])
            data, table = _run(course[clip] @ planted.weights, planted, base, constant, space, draw)
            stem = f"sub-{subject}_task-clips_run-{run:02d}"
            _write_run(folder, root, f"sub-{subject}", stem, data, table, space, tr)
            row = {"onset": _LEAD, "duration": length, "trial_type": "clip", "stimulus_id": clip}
            save_tsv(folder / f"sub-{subject}" / "func" / f"{stem}_events.tsv", pd.DataFrame([row]))
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "n_runs": len(shown), "n_volumes": n_volumes, "tr": tr,
             "n_voxels": len(space.voxels), "repeated": clips[-1], "bands": [b.name for b in BANDS]}  # fmt: skip
    options = {"derivatives": "derivatives/fmriprep", "confounds": "motion6"}
    settings = encoding_settings(BANDS, signal=[{"detrend": {"order": 3}}])
    return Twin(folder, "", "fmri", "voxelwise_encoding", options, settings, about)


def _baseline(space: Brain, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean signal of the voxels, and how motion and breathing show in them (most at the rim)."""
    mask, place = space.mask, space.places
    anatomy = gaussian_filter(rng.standard_normal(mask.shape), 1.0)
    rim = np.where(mask & ~binary_erosion(mask), 0.6, 0.1)[place]
    n = len(rim)
    return {
        "mean": _BASELINE * (1 + 0.1 * (anatomy / anatomy.std())[place]),
        "rim": rim * rng.standard_normal((6, n)),
        "breath": 0.25 * rng.uniform(0.5, 1.5, n),
    }


def _run(
    signal: np.ndarray, planted: Planted, base: dict[str, np.ndarray], constant: np.ndarray, space: Brain, rng: np.random.Generator,
) -> tuple[np.ndarray, pd.DataFrame]:  # fmt: skip
    """Data of one run (n_volumes, n_voxels), int16, and its confounds; one unit of variance is one percent of signal."""
    n_volumes, n_voxels = signal.shape
    noise = planted.noise * ar_noise(n_volumes, n_voxels, rng, smooth=space.smooth)
    other = nuisance(n_volumes, rng)
    percent = signal + noise + drift(n_volumes, n_voxels, rng) + other.of(base["rim"], base["breath"])
    data = base["mean"] * (1 + percent / 100)
    data[:, constant] = np.round(base["mean"][constant])
    data = np.clip(np.round(data), 0, 32767)
    return data.astype(np.int16), other.table(data, rng)


def _write_run(
    folder: Path, root: Path, subject: str, stem: str, data: np.ndarray, table: pd.DataFrame, space: Brain, tr: float
) -> None:  # fmt: skip
    """Write the derivatives of one run and the sidecar of its raw image."""
    out = root / subject / "func"
    name = f"{stem}_space-{SPACE}_res-{_VOXEL}"
    save_nifti(out / f"{name}_desc-preproc_bold.nii.gz", space.volumes(data), space.affine, tr=tr)
    save_json(
        out / f"{name}_desc-preproc_bold.json",
        {"RepetitionTime": tr, "TaskName": "clips", "SkullStripped": True, "Resolution": f"{_VOXEL} mm"},
    )
    save_nifti(out / f"{name}_desc-brain_mask.nii.gz", space.mask.astype(np.uint8), space.affine)
    save_tsv(out / f"{stem}_desc-confounds_timeseries.tsv", table)
    save_json(folder / subject / "func" / f"{stem}_bold.json", {"RepetitionTime": tr, "TaskName": "clips"})


def _describe(folder: Path, root: Path, tr: float) -> None:
    named = {"Name": "Film clips (simulated)", "BIDSVersion": "1.9.0"}
    save_json(folder / "dataset_description.json", {**named, "DatasetType": "raw"})
    derived = {
        **named,
        "Name": "fMRIPrep outputs (simulated)",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "braindec"}],
    }
    save_json(root / "dataset_description.json", derived)
    save_json(folder / "task-clips_bold.json", {"TaskName": "clips", "RepetitionTime": tr})
