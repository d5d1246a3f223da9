"""Twin ``event_related``: pictures in rapid succession, a BIDS folder with derivatives of fMRIPrep, planted betas and responses.

Layout: as the twin ``fmriprep``: ``sub-XX/func/*_events.tsv`` (onset, duration, trial_type, stimulus_id), ``*_bold.json``;
``derivatives/fmriprep/sub-XX/func/*_space-MNI152NLin2009cAsym_res-12_desc-{preproc_bold,brain_mask}.nii.gz`` and
``*_desc-confounds_timeseries.tsv``. The grid is the MNI152 brain at 12 mm (about 1,100 voxels). Trials follow one another
every ``isi`` s (4 s, so that responses overlap), with a sixth of the places left blank. The pictures come in two sets; each
run of the first half of the runs shows the first set once, the others the second set, so that both halves of the runs have
repetitions of their own.

Planted: in the back of the brain each voxel answers to each picture with an amplitude of its own (percent of its mean at the
peak of the response to one picture), through one member of the library of responses (:mod:`braindec.signal.glm.hrf_library`):
its time to peak grows from back to front, it is wide in the right hemisphere, and its undershoot is strong above. The whole
brain shares a few courses of global noise that stand in no table of confounds, slow drift, head motion and breathing (which
do), and has autoregressive noise. One voxel is constant.

``truth``: ``mask`` (x, y, z), ``affine`` (mm), ``active`` (voxel, bool), ``hrf_index`` (voxel), and for each subject
``sub-XX/betas`` (stimulus, voxel; stimulus ``pic-001`` is row 0), ``sub-XX/constant`` (voxel, bool),
``sub-XX/global/run-YY`` (volume, course). Voxels are in the order of the reader (Fortran order of the grid).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion
from scipy.signal import lfilter
from tqdm import tqdm

from braindec.loaders._twin_bold import ar_noise, drift
from braindec.loaders._twin_confounds import nuisance
from braindec.loaders._twin_files import save_json, save_nifti, save_tsv
from braindec.loaders.twin import Twin, write_truth
from braindec.signal.glm.design import trial_regressors
from braindec.signal.glm.hrf_library import DISPERSIONS, RATIOS, TIMES_TO_PEAK, hrf_library

__all__ = ["make"]

SPACE = "MNI152NLin2009cAsym"
_VOXEL = 12  # mm
_LEAD, _TAIL, _DURATION = 6.0, 18.0, 2.0  # s before the first and after the last trial; of a picture
_BLANK = 1 / 6  # of the places of trials
_BASELINE = 8000.0
_MEAN, _SPREAD = 0.8, 0.8  # percent: common response, and how it differs between pictures
_NOISE, _GLOBAL = 0.3, 0.3  # percent


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_stimuli: int = 60, n_repeats: int = 3, n_global: int = 3,
    isi: float = 4.0, tr: float = 1.5, noise: float = 1.0,
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        "01", "02", ...
    n_stimuli : int
        Pictures; half of them are shown in the first half of the runs.
    n_repeats : int
        How often each is shown, once a run: there are twice as many runs.
    n_global : int
        Courses of global noise.
    isi : float
        s from one trial to the next.
    tr : float
        s.
    noise : float
        Factor of all noise but drift and motion.
    """
    space = brain()
    library = hrf_library()
    index = _responses(space["voxels"] @ space["affine"][:3, :3].T + space["affine"][:3, 3])
    truth: dict[str, np.ndarray] = {"mask": space["mask"], "affine": space["affine"], "active": space["active"],
                                    "hrf_index": index}  # fmt: skip
    root = folder / "derivatives" / "fmriprep"
    _describe(folder, root, tr)
    half = n_stimuli // 2
    for number in tqdm(range(n_subjects), desc="writing subjects", disable=None, leave=False):
        subject, rng = f"{number + 1:02d}", np.random.default_rng([seed, 1, number])
        n_voxels = len(space["active"])
        betas = (
            _MEAN * rng.uniform(0.5, 1.5, n_voxels) + _SPREAD * rng.standard_normal((n_stimuli, n_voxels))
        ) * space["active"]
        constant = np.arange(n_voxels) == rng.choice(np.flatnonzero(~space["active"]))
        base = _baseline(space, n_global, rng)
        truth |= {f"sub-{subject}/betas": betas, f"sub-{subject}/constant": constant}
        for run in range(1, 2 * n_repeats + 1):
            draw = np.random.default_rng([seed, 2, number, run])
            shown = np.arange(half) if run <= n_repeats else np.arange(half, n_stimuli)
            events, onsets, n_volumes = _events(draw.permutation(shown), isi, tr, draw)
            signal = np.zeros((n_volumes, n_voxels))
            times = np.arange(n_volumes) * tr
            courses = trial_regressors(onsets, np.full(len(onsets), _DURATION), library.values, times=times)
            own = betas[events["stimulus_id"].str[4:].astype(int).to_numpy() - 1]
            for h in np.unique(index[space["active"]]):
                mine = space["active"] & (index == h)
                signal[:, mine] = courses[h] @ own[:, mine]
            shared = lfilter([0.8], [1, -0.6], draw.standard_normal((n_volumes, n_global)), axis=0)
            truth[f"sub-{subject}/global/run-{run:02d}"] = shared
            percent = signal + noise * (
                _NOISE * ar_noise(n_volumes, n_voxels, draw) + _GLOBAL * shared @ base["global"]
            )
            data, table = _volumes(percent, base, constant, draw)
            stem = f"sub-{subject}_task-pictures_run-{run:02d}"
            _write_run(folder, root, f"sub-{subject}", stem, data, table, space, tr)
            save_tsv(folder / f"sub-{subject}" / "func" / f"{stem}_events.tsv", events)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "n_runs": 2 * n_repeats, "n_stimuli": n_stimuli, "n_repeats": n_repeats,
             "isi": isi, "tr": tr, "n_voxels": len(index), "n_active": int(space["active"].sum()), "n_global": n_global}  # fmt: skip
    return Twin(folder, "", "fmri", "single_trial_betas", {"derivatives": "derivatives/fmriprep"}, {}, about)


def brain() -> dict[str, Any]:
    """Return the grid, its voxels, and which of them answer to pictures (the back of the brain)."""
    from nilearn.datasets import load_mni152_brain_mask

    image = load_mni152_brain_mask(resolution=_VOXEL)
    mask, affine = np.asarray(image.dataobj) > 0.5, np.asarray(image.affine, dtype=float)
    voxels = np.stack(np.unravel_index(np.flatnonzero(mask.ravel(order="F")), mask.shape, order="F"), axis=1)
    y = (voxels @ affine[:3, :3].T + affine[:3, 3])[:, 1]
    return {"mask": mask, "affine": affine, "voxels": voxels, "active": y < -48}


def _responses(places: np.ndarray) -> np.ndarray:
    """Member of the library of each voxel, from its place in mm (x to the right, y to the front, z up)."""
    x, y, z = places.T
    peak = np.clip(((y + 108) / 60 * len(TIMES_TO_PEAK)).astype(int), 0, len(TIMES_TO_PEAK) - 1)
    return (peak * len(DISPERSIONS) + (x > 0)) * len(RATIOS) + (z > 10)


def _events(order: np.ndarray, isi: float, tr: float, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray, int]:
    n = len(order)
    n_places = n + round(n * _BLANK / (1 - _BLANK))
    places = np.sort(rng.choice(n_places, n, replace=False))
    onsets = _LEAD + isi * places
    n_volumes = int(np.ceil((_LEAD + isi * n_places + _TAIL) / tr))
    table = pd.DataFrame({"onset": onsets, "duration": _DURATION, "trial_type": "picture",
                          "stimulus_id": [f"pic-{k + 1:03d}" for k in order]})  # fmt: skip
    return table, onsets, n_volumes


def _baseline(space: dict[str, Any], n_global: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean signal of the voxels, and how motion, breathing and global noise show in them."""
    mask, place = space["mask"], tuple(space["voxels"].T)
    n = len(space["voxels"])
    rim = np.where(mask & ~binary_erosion(mask), 0.5, 0.1)[place]
    return {
        "mean": _BASELINE * rng.uniform(0.8, 1.2, n), "rim": rim * rng.standard_normal((6, n)),
        "breath": 0.2 * rng.uniform(0.5, 1.5, n), "global": rng.normal(0.0, 1.0, (n_global, n)),
    }  # fmt: skip


def _volumes(
    percent: np.ndarray, base: dict[str, np.ndarray], constant: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, pd.DataFrame]:
    """Data of one run (n_volumes, n_voxels), int16, and its confounds."""
    other = nuisance(len(percent), rng)
    percent = percent + drift(len(percent), percent.shape[1], rng) + other.of(base["rim"], base["breath"])
    data = base["mean"] * (1 + percent / 100)
    data[:, constant] = base["mean"][constant]
    data = np.clip(np.round(data), 0, 32767)
    return data.astype(np.int16), other.table(data, rng)


def _write_run(
    folder: Path, root: Path, subject: str, stem: str, data: np.ndarray, table: pd.DataFrame, space: dict[str, Any], tr: float
) -> None:  # fmt: skip
    mask = space["mask"]
    volumes = np.zeros((*mask.shape, len(data)), dtype=np.int16)
    volumes[tuple(space["voxels"].T)] = data.T
    out, name = root / subject / "func", f"{stem}_space-{SPACE}_res-{_VOXEL}"
    sidecar = {"RepetitionTime": tr, "TaskName": "pictures"}
    save_nifti(out / f"{name}_desc-preproc_bold.nii.gz", volumes, space["affine"], tr=tr)
    save_json(out / f"{name}_desc-preproc_bold.json", {**sidecar, "SkullStripped": True, "Resolution": f"{_VOXEL} mm"})
    save_nifti(out / f"{name}_desc-brain_mask.nii.gz", mask.astype(np.uint8), space["affine"])
    save_tsv(out / f"{stem}_desc-confounds_timeseries.tsv", table)
    save_json(folder / subject / "func" / f"{stem}_bold.json", sidecar)


def _describe(folder: Path, root: Path, tr: float) -> None:
    named = {"Name": "Pictures in rapid succession (simulated)", "BIDSVersion": "1.9.0"}
    save_json(folder / "dataset_description.json", {**named, "DatasetType": "raw"})
    derived = {"Name": "fMRIPrep outputs (simulated)", "BIDSVersion": "1.9.0", "DatasetType": "derivative",
               "GeneratedBy": [{"Name": "braindec"}]}  # fmt: skip
    save_json(root / "dataset_description.json", derived)
    save_json(folder / "task-pictures_bold.json", {"TaskName": "pictures", "RepetitionTime": tr})
