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
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion, gaussian_filter
from tqdm import tqdm

from braindec.loaders._twin_bold import BANDS, Planted, ar_noise, band_rows, courses, drift, plant, timed_features
from braindec.loaders._twin_confounds import nuisance
from braindec.loaders._twin_files import save_json, save_nifti, save_tsv
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

SPACE = "MNI152NLin2009cAsym"
_VOXEL = 12  # mm
_LEAD, _TAIL = 6.0, 10.0  # s without a stimulus at the start and the end of a run
_BASELINE = 8000.0
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
    space = brain(seed)
    truth: dict[str, np.ndarray] = {"mask": space["mask"], "affine": space["affine"], "region": space["region"]}
    root = folder / "derivatives" / "fmriprep"
    _describe(folder, root, tr)
    write_features(folder, features)
    for number in tqdm(range(n_subjects), desc="writing subjects", disable=None, leave=False):
        subject = f"{number + 1:02d}"
        rng = np.random.default_rng([seed, 1, number])
        shares = {b: _GAIN[number % 3] * s * rng.uniform(0.6, 1.0, len(s)) for b, s in space["shares"].items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(BANDS), shares, rng)
        constant = np.arange(len(space["region"])) == rng.choice(np.flatnonzero(space["region"] == 0))
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
             "n_voxels": int(space["mask"].sum()), "repeated": clips[-1], "bands": [b.name for b in BANDS]}  # fmt: skip
    return Twin(folder, "", "fmri", "voxelwise_encoding", {"derivatives": "derivatives/fmriprep"}, settings(), about)


def settings() -> dict[str, Any]:
    """Return the settings of the recipe: one band of features for each band of the twin."""
    path = "{root}/twin/features.h5"
    return {"bands": {b.name: {"kind": "features", "path": path, "units": {"band": b.name}} for b in BANDS}}


def brain(seed: int) -> dict[str, Any]:
    """Return the grid, the region of each voxel of the brain, and the share of variance of each band in it."""
    from nilearn.datasets import load_mni152_brain_mask

    image = load_mni152_brain_mask(resolution=_VOXEL)
    mask, affine = np.asarray(image.dataobj) > 0.5, np.asarray(image.affine, dtype=float)
    voxels = np.stack(np.unravel_index(np.flatnonzero(mask.ravel(order="F")), mask.shape, order="F"), axis=1)
    x, y, z = (voxels @ affine[:3, :3].T + affine[:3, 3]).T
    near = {  # 1 in the heart of a region, falling off within 15 mm of its border
        "visual": np.clip((-58 - y) / 15, 0, 1) * np.clip((32 - z) / 15, 0, 1),
        "language": np.clip((np.abs(x) - 36) / 15, 0, 1) * np.clip((8 - y) / 15, 0, 1) * np.clip((y + 78) / 15, 0, 1) * np.clip((22 - z) / 15, 0, 1),
    }  # fmt: skip
    shares = {"visual": 0.5 * near["visual"], "language": 0.4 * near["language"]}
    region = (shares["visual"] > 0) + 2 * (shares["language"] > 0)
    return {"mask": mask, "affine": affine, "region": region.astype(np.int16), "shares": shares, "voxels": voxels}


def _baseline(space: dict[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean signal of the voxels, and how motion and breathing show in them (most at the rim)."""
    mask, place = space["mask"], tuple(space["voxels"].T)
    anatomy = gaussian_filter(rng.standard_normal(mask.shape), 1.0)
    rim = np.where(mask & ~binary_erosion(mask), 0.6, 0.1)[place]
    n = len(rim)
    return {
        "mean": _BASELINE * (1 + 0.1 * (anatomy / anatomy.std())[place]),
        "rim": rim * rng.standard_normal((6, n)),
        "breath": 0.25 * rng.uniform(0.5, 1.5, n),
    }


def _run(
    signal: np.ndarray, planted: Planted, base: dict[str, np.ndarray], constant: np.ndarray, space: dict[str, Any], rng: np.random.Generator,
) -> tuple[np.ndarray, pd.DataFrame]:  # fmt: skip
    """Data of one run (n_volumes, n_voxels), int16, and its confounds; one unit of variance is one percent of signal."""
    n_volumes, n_voxels = signal.shape
    mask, place = space["mask"], tuple(space["voxels"].T)

    def smooth(white: np.ndarray) -> np.ndarray:
        volumes = np.zeros((len(white), *mask.shape))
        volumes[(slice(None), *place)] = white
        return gaussian_filter(volumes, (0, 0.5, 0.5, 0.5))[(slice(None), *place)]

    noise = planted.noise * ar_noise(n_volumes, n_voxels, rng, smooth=smooth)
    other = nuisance(n_volumes, rng)
    percent = signal + noise + drift(n_volumes, n_voxels, rng) + other.of(base["rim"], base["breath"])
    data = base["mean"] * (1 + percent / 100)
    data[:, constant] = np.round(base["mean"][constant])
    data = np.clip(np.round(data), 0, 32767)
    return data.astype(np.int16), other.table(data, rng)


def _write_run(
    folder: Path, root: Path, subject: str, stem: str, data: np.ndarray, table: pd.DataFrame, space: dict[str, Any], tr: float
) -> None:  # fmt: skip
    """Write the derivatives of one run and the sidecar of its raw image."""
    mask = space["mask"]
    volumes = np.zeros((*mask.shape, len(data)), dtype=np.int16)
    volumes[tuple(space["voxels"].T)] = data.T
    out = root / subject / "func"
    name = f"{stem}_space-{SPACE}_res-{_VOXEL}"
    save_nifti(out / f"{name}_desc-preproc_bold.nii.gz", volumes, space["affine"], tr=tr)
    save_json(
        out / f"{name}_desc-preproc_bold.json",
        {"RepetitionTime": tr, "TaskName": "clips", "SkullStripped": True, "Resolution": f"{_VOXEL} mm"},
    )
    save_nifti(out / f"{name}_desc-brain_mask.nii.gz", mask.astype(np.uint8), space["affine"])
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
