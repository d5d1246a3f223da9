"""The fMRI of the synthetic cohort: category patterns in known regions, written as BIDS and as an fMRIPrep-like derivative.

A voxel of a region follows ``baseline (1 + percent / 100)``, where percent is the stimulus course convolved with a
double-gamma response (Friston et al. 1998: peak at 6 s, undershoot at 16 s, ratio 1/6) times (a response to any image
+ the voxel's response to this category), plus autocorrelated smooth noise, a breathing-like global signal, slow drift
and head motion that shows at the rim of the brain. Regions "VT left" and "VT right" carry categories; "EV" (early
visual) responds to any image alike; all other voxels respond to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.signal import lfilter
from scipy.special import gammaln

from braindec.errors import BraindecError
from braindec.loaders._synthetic_presets import FMRIPreset

REGIONS = {
    "VT left": (1, (-38.0, -56.0, -15.0), 13.0),
    "VT right": (2, (38.0, -56.0, -15.0), 13.0),
    "EV": (3, (0.0, -92.0, -2.0), 13.0),
}
SPACE = "MNI152NLin2009cAsym"
_GAINS = (1.0, 1.2, 0.55)  # the third subject is weak
_PATTERN = 0.5  # percent signal change: standard deviation of the category patterns over voxels
_VISUAL = 1.0  # percent signal change to any image
_NOISE = 1.1  # percent: standard deviation of the noise
_RHO = 0.45  # autocorrelation of the noise from one volume to the next
_STEP = 0.1  # s: grid on which the response is convolved
_BASELINE = 8000.0


@dataclass(frozen=True)
class Space:
    """The voxel grid: ``mask`` (x, y, z) of brain, ``roi`` (x, y, z) with the numbers of REGIONS, ``affine`` in mm."""

    mask: np.ndarray
    roi: np.ndarray
    affine: np.ndarray


def hrf(times: np.ndarray) -> np.ndarray:
    """Double-gamma response, peak 1, at ``times`` in s after a brief event; 0 before it."""
    t = np.maximum(times, 1e-9)
    rise, dip = (np.exp((a - 1) * np.log(t) - t - gammaln(a)) for a in (6.0, 16.0))
    shape = np.where(times > 0, rise - dip / 6, 0.0)
    return shape / 0.1754423  # the peak of the difference, reached at 5.0 s


def make_space(preset: FMRIPreset) -> Space:
    """Cut a slab out of the MNI brain mask and mark the regions in it.

    Raises
    ------
    BraindecError
        If a region lies outside the slab.
    """
    from nilearn.datasets import load_mni152_brain_mask

    image = load_mni152_brain_mask(resolution=preset.voxel)
    affine = image.affine.copy()
    mask = image.get_fdata() > 0.5
    for axis, (low, high) in enumerate(preset.bounds):
        world = affine[axis, 3] + affine[axis, axis] * np.arange(mask.shape[axis])
        keep = np.flatnonzero((world >= low) & (world <= high))
        if not len(keep):
            raise BraindecError("the bounds hold no voxel", found=f"{low} to {high} mm along axis {axis}")
        mask = mask.take(keep, axis=axis)
        affine[axis, 3] = world[keep[0]]
    places = np.moveaxis(np.indices(mask.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    roi = np.zeros(mask.shape, np.int16)
    for name, (number, centre, radius) in REGIONS.items():
        inside = mask & (np.linalg.norm(places - np.array(centre), axis=-1) <= radius)
        if not inside.any():
            raise BraindecError(f"the region {name} lies outside the bounds", found=f"centre {centre} mm")
        roi[inside] = number
    return Space(mask, roi, affine)


def design(stimuli: pd.DataFrame, preset: FMRIPreset, seed: int, index: int) -> list[pd.DataFrame]:
    """Return the events of each run: one row an image, blocks of one category in an order drawn for each run."""
    rng = np.random.default_rng([seed, 4, index])
    pools = {c: part["stimulus_id"].to_numpy() for c, part in stimuli.groupby("concept_id", sort=False)}
    seen: dict[str, int] = {}
    runs = []
    for _ in range(preset.runs):
        rows, onset, block = [], 8.0, 0
        for _ in range(preset.blocks_per_category):
            for category in rng.permutation(list(pools)):
                block += 1
                for stimulus in _pick(pools[category], preset.images_per_block, rng):
                    seen[stimulus] = seen.get(stimulus, 0) + 1
                    rows.append((onset, stimulus, category, seen[stimulus], block))
                    onset += preset.image_duration
                onset += preset.tr * int(
                    rng.integers(round(preset.rest[0] / preset.tr), round(preset.rest[1] / preset.tr) + 1)
                )
        table = pd.DataFrame(rows, columns=["onset", "stimulus_id", "concept_id", "repetition", "block"])
        table.insert(1, "duration", preset.image_duration)
        runs.append(table)
    return runs


def _pick(pool: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    rounds = -(-n // len(pool))
    return np.concatenate([rng.permutation(pool) for _ in range(rounds)])[:n]


def regressors(events: pd.DataFrame, categories: list[str], n_volumes: int, tr: float) -> np.ndarray:
    """Return each category's stimulus course convolved with the response, shape (n_volumes, n_categories).

    Scaled so that a long block reaches about 1.
    """
    n = round(n_volumes * tr / _STEP)
    boxes = np.zeros((len(categories), n))
    for onset, duration, category in zip(events["onset"], events["duration"], events["concept_id"], strict=True):
        boxes[categories.index(category), round(onset / _STEP) : round((onset + duration) / _STEP)] = 1
    kernel = hrf(np.arange(0, 32, _STEP))
    kernel /= kernel.sum()
    course = np.stack([np.convolve(b, kernel)[:n] for b in boxes])
    return course[:, np.round(np.arange(n_volumes) * tr / _STEP).astype(int)].T


def motion(n_volumes: int, rng: np.random.Generator) -> np.ndarray:
    """Six rigid-body parameters (mm, rad): a slow wander with a few sudden moves, shape (n_volumes, 6)."""
    wander = np.cumsum(rng.normal(0, 1, (n_volumes, 6)), axis=0) * 0.008
    for at in rng.integers(5, n_volumes - 5, rng.poisson(n_volumes / 80)):
        wander[at:] += rng.normal(0, 0.08, 6)
    return wander * np.array([1, 1, 1, 1 / 50, 1 / 50, 1 / 50])


def framewise_displacement(parameters: np.ndarray) -> np.ndarray:
    """Power et al. 2012: sum of absolute changes, rotations on a sphere of 50 mm; NaN in the first volume."""
    change = np.abs(np.diff(parameters, axis=0)) * np.array([1, 1, 1, 50, 50, 50])
    return np.concatenate([[np.nan], change.sum(axis=1)])


def simulate_run(
    space: Space,
    course: np.ndarray,
    patterns: np.ndarray,
    baseline: np.ndarray,
    rim: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return one run (x, y, z, volume), int16, and its confounds.

    Parameters
    ----------
    course : array of shape (n_volumes, n_categories)
        From :func:`regressors`.
    patterns : array of shape (n_categories, n_voxels)
        Percent signal change in the voxels of the mask.
    baseline : array of shape (x, y, z)
        Mean signal.
    rim : array of shape (n_voxels, 6)
        Percent signal change of each voxel for a unit of each motion parameter.
    """
    n_volumes, inside = len(course), space.mask
    percent = course @ patterns  # (volume, voxel)
    smooth = np.stack([gaussian_filter(v, 0.6)[inside] for v in rng.standard_normal((n_volumes, *inside.shape))])
    noise = lfilter([np.sqrt(1 - _RHO**2)], [1, -_RHO], smooth / smooth.std(), axis=0)
    breath = lfilter([0.4], [1, -0.8], rng.standard_normal(n_volumes))
    time = np.linspace(0, 1, n_volumes)
    drifts = np.stack([np.cos(np.pi * k * time) for k in range(1, 4)]) / np.array([1, 2, 3])[:, None]
    weights = rng.normal(0, 0.5, (inside.sum(), 3)) + rng.normal(0, 0.6, 3)
    moved = motion(n_volumes, rng)
    percent = (
        percent + _NOISE * noise + 0.35 * breath[:, None] + (weights @ drifts).T + (moved - moved.mean(axis=0)) @ rim.T
    )
    data = baseline[..., None] * np.ones(n_volumes)
    data[inside] = baseline[inside][:, None] * (1 + percent.T / 100)
    data[~inside] += 25 * rng.standard_normal((int((~inside).sum()), n_volumes))
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    confounds = pd.DataFrame(moved, columns=names)
    confounds.insert(0, "framewise_displacement", framewise_displacement(moved))
    confounds.insert(0, "global_signal", data[inside].mean(axis=0))
    confounds["cosine00"], confounds["cosine01"] = drifts[0], drifts[1] * 2
    return np.clip(np.round(data), 0, 32767).astype(np.int16), confounds


def write_subjects(
    root: Path, stimuli: pd.DataFrame, preset: FMRIPreset, seed: int, *, done: Callable[[], object]
) -> tuple[dict[str, np.ndarray], dict]:
    """Write all subjects; return the arrays and the description of what was planted."""
    space = make_space(preset)
    categories = list(dict.fromkeys(stimuli["concept_id"]))
    arrays: dict[str, np.ndarray] = {"mask": space.mask, "roi": space.roi, "affine": space.affine}
    subjects = {}
    for index in range(preset.n_subjects):
        subject = f"{index + 1:02d}"
        patterns, subjects[subject] = _write_subject(root, index, stimuli, categories, space, preset, seed)
        arrays[f"sub-{subject}/patterns"] = patterns
        done()
    _write_derivative_root(root, space)
    info = {
        "description": "percent signal change = regressors (category course convolved with a double-gamma response) @ patterns + noise; "
        "patterns are 0 outside the regions, equal for all categories in EV, different in VT left and VT right.",
        "regions": {name: number for name, (number, _, _) in REGIONS.items()}, "informative": ["VT left", "VT right"],
        "categories": categories, "tr_s": preset.tr, "subjects": subjects,
    }  # fmt: skip
    return arrays, info


def _write_subject(
    root: Path, index: int, stimuli: pd.DataFrame, categories: list[str], space: Space, preset: FMRIPreset, seed: int
) -> tuple[np.ndarray, dict]:
    rng = np.random.default_rng([seed, 5, index])
    gain = preset.strength * _GAINS[index % len(_GAINS)]
    inside, region = space.mask, space.roi[space.mask]
    informative = np.isin(region, (1, 2))
    patterns = np.zeros((len(categories), int(inside.sum())))
    patterns[:, region > 0] = _VISUAL * rng.uniform(0.5, 1.5, int((region > 0).sum()))
    patterns[:, informative] += gain * _PATTERN * rng.standard_normal((len(categories), int(informative.sum())))
    anatomy = gaussian_filter(rng.standard_normal(inside.shape), 1.0)
    baseline = np.where(inside, _BASELINE * (1 + 0.12 * anatomy / anatomy.std()), 150.0)
    rim = np.where(inside & ~binary_erosion(inside), 1.0, 0.15)[inside][:, None]
    rim = rim * rng.normal(0, 1, (int(inside.sum()), 6)) * np.array([3, 3, 3, 120, 120, 120])
    subject = f"{index + 1:02d}"
    for number, events in enumerate(design(stimuli, preset, seed, index), start=1):
        n_volumes = int(np.ceil((events["onset"].iloc[-1] + preset.image_duration + 12.0) / preset.tr))
        course = regressors(events, categories, n_volumes, preset.tr)
        data, confounds = simulate_run(
            space, course, patterns, baseline, rim, np.random.default_rng([seed, 6, index, number])
        )
        _write_run(root, subject, f"{number:02d}", data, confounds, events, stimuli, space, preset)
    info = {"gain": gain, "noise_percent": _NOISE, "pattern_percent": gain * _PATTERN,
            "snr_db": float(20 * np.log10(gain * _PATTERN / _NOISE)) if gain > 0 else None}  # fmt: skip
    return patterns, info


def _write_run(
    root: Path, subject: str, run: str, data: np.ndarray, confounds: pd.DataFrame, events: pd.DataFrame, stimuli: pd.DataFrame,
    space: Space, preset: FMRIPreset,
) -> None:  # fmt: skip
    name = f"sub-{subject}_task-images_run-{run}"
    raw, derived = root / f"sub-{subject}" / "func", root / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"
    sidecar = {"RepetitionTime": preset.tr, "TaskName": "images"}
    _save(data, space.affine, raw / f"{name}_bold.nii.gz", tr=preset.tr)
    _json(raw / f"{name}_bold.json", {**sidecar, "Manufacturer": "n/a", "EchoTime": 0.03, "FlipAngle": 75})
    path = stimuli.set_index("stimulus_id")["path"].str.removeprefix("stimuli/")
    table = pd.DataFrame({
        "onset": [f"{t:.3f}" for t in events["onset"]], "duration": [f"{d:g}" for d in events["duration"]], "trial_type": events["concept_id"],
        "stimulus_id": events["stimulus_id"], "concept_id": events["concept_id"], "repetition": events["repetition"],
        "block": events["block"], "stim_file": path[events["stimulus_id"]].to_numpy(),
    })  # fmt: skip
    table.to_csv(raw / f"{name}_events.tsv", sep="\t", index=False, lineterminator="\n")
    stem = derived / f"{name}_space-{SPACE}"
    _save(data, space.affine, derived / f"{stem.name}_desc-preproc_bold.nii.gz", tr=preset.tr)
    _json(derived / f"{stem.name}_desc-preproc_bold.json", {**sidecar, "SkullStripped": False})
    _save(space.mask.astype(np.uint8), space.affine, derived / f"{stem.name}_desc-brain_mask.nii.gz")
    confounds.to_csv(
        derived / f"{name}_desc-confounds_timeseries.tsv",
        sep="\t",
        index=False,
        na_rep="n/a",
        float_format="%.6g",
        lineterminator="\n",
    )


def _write_derivative_root(root: Path, space: Space) -> None:
    described = {
        "Name": "fMRIPrep-like outputs (simulated)",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "braindec"}],
    }
    _json(root / "derivatives" / "fmriprep" / "dataset_description.json", described)
    _json(
        root / "task-images_bold.json",
        {"TaskName": "images", "TaskDescription": "Simulated: blocks of images of one category"},
    )
    _save(space.roi, space.affine, root / "derivatives" / "truth" / "regions.nii.gz")


def _save(data: np.ndarray, affine: np.ndarray, path: Path, *, tr: float | None = None) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, affine)
    image.set_sform(affine, code=4)  # 4: MNI152 space
    image.set_qform(affine, code=4)
    image.header.set_xyzt_units("mm", "sec")
    if tr is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    nibabel.save(image, path)


def _json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
