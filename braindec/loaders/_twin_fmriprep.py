"""Runs of a simulated scanner, written as fMRIPrep would have written them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion, gaussian_filter

from braindec.loaders._twin_bold import Planted, ar_noise, drift
from braindec.loaders._twin_brain import Brain
from braindec.loaders._twin_confounds import nuisance
from braindec.loaders._twin_files import save_json, save_nifti, save_tsv

__all__ = ["SPACE", "Head", "describe", "head", "simulate", "write_prepared"]

SPACE = "MNI152NLin2009cAsym"
_BASELINE = 8000.0


@dataclass(frozen=True)
class Head:
    """How a subject looks in the scanner.

    Parameters
    ----------
    mean : array of shape (n_voxels,)
        Mean signal.
    rim : array of shape (6, n_voxels)
        How much of each motion parameter shows in a voxel, percent a mm (most at the rim of the brain).
    breath : array of shape (n_voxels,)
        How much breathing shows, percent.
    constant : array of shape (n_voxels,), bool
        Voxels whose signal never changes.
    """

    mean: np.ndarray
    rim: np.ndarray
    breath: np.ndarray
    constant: np.ndarray


def head(space: Brain, rng: np.random.Generator) -> Head:
    """Draw a subject; one voxel outside all regions is constant."""
    mask, place = space.mask, space.places
    anatomy = gaussian_filter(rng.standard_normal(mask.shape), 1.0)
    rim, n = np.where(mask & ~binary_erosion(mask), 0.6, 0.1)[place], len(space.voxels)
    constant = np.arange(n) == rng.choice(np.flatnonzero(space.region == 0))
    mean = np.round(_BASELINE * (1 + 0.1 * (anatomy / anatomy.std())[place]))
    return Head(mean, rim * rng.standard_normal((6, n)), 0.25 * rng.uniform(0.5, 1.5, n), constant)


def simulate(
    signal: np.ndarray, planted: Planted, who: Head, space: Brain, rng: np.random.Generator
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the data of one run (n_volumes, n_voxels), int16, and its confounds.

    Parameters
    ----------
    signal : array of shape (n_volumes, n_voxels)
        Response without noise; 1 is one percent of the mean signal.
    """
    n_volumes, n_voxels = signal.shape
    noise = planted.noise * ar_noise(n_volumes, n_voxels, rng, smooth=space.smooth)
    other = nuisance(n_volumes, rng)
    percent = signal + noise + drift(n_volumes, n_voxels, rng) + other.of(who.rim, who.breath)
    data = who.mean * (1 + percent / 100)
    data[:, who.constant] = who.mean[who.constant]
    data = np.clip(np.round(data), 0, 32767)
    return data.astype(np.int16), other.table(data, rng)


def write_prepared(
    folder: Path, run: str, data: np.ndarray, table: pd.DataFrame, space: Brain, *, tr: float, task: str, resolution: str, confounds: str = "timeseries",
) -> None:  # fmt: skip
    """Write image, mask, sidecars and confounds of one run; ``run`` is "sub-01_task-clips_run-01" and the like."""
    out = folder / "derivatives" / "fmriprep" / run.split("_")[0] / "func"
    stem = f"{run}_space-{SPACE}_res-{resolution}"
    side = {"RepetitionTime": tr, "TaskName": task}
    save_nifti(out / f"{stem}_desc-preproc_bold.nii.gz", space.volumes(data), space.affine, tr=tr)
    save_json(out / f"{stem}_desc-preproc_bold.json", {**side, "SkullStripped": True})
    save_nifti(out / f"{stem}_desc-brain_mask.nii.gz", space.mask.astype(np.uint8), space.affine)
    save_tsv(out / f"{run}_desc-confounds_{confounds}.tsv", table)
    save_json(folder / run.split("_")[0] / "func" / f"{run}_bold.json", side)


def describe(folder: Path, name: str) -> None:
    """Write the descriptions of the raw data and of the derivatives."""
    named = {"Name": name, "BIDSVersion": "1.9.0"}
    save_json(folder / "dataset_description.json", {**named, "DatasetType": "raw"})
    derived = {"DatasetType": "derivative", "GeneratedBy": [{"Name": "braindec"}], "Name": f"{name}: fMRIPrep outputs"}
    save_json(folder / "derivatives" / "fmriprep" / "dataset_description.json", {**named, **derived})
