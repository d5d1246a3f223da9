"""Twin of THINGS-fMRI (Hebart et al. 2023): the three files a subject of betas_csv that the reader ``things_fmri`` describes.

Training images are shown once, test images (other images of the same concepts) once in each session. Truth: ``latents`` (stimulus, 20) in the order of the features'
items, and for a subject "01/weights" (20, voxel), "01/area" (voxel,; 0 early, 1 mid, 2 high, 3 none).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.loaders.twins._images import AREAS, Brain, areas_in_order, ellipsoid, make_brain, make_stimuli
from braindec.types.storage import hdf5

__all__ = ["make"]

_AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
_N_RUNS = 3
_ROIS = {"V1": "early", "hV4": "mid", "lFFA": "high"}


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 3,
    n_sessions: int = 4,
    n_concepts: int = 60,
    n_images: int = 4,
    n_test: int = 15,
    n_voxels: int = 360,
    noise: float = 4.5,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_sessions : int
        Subjects 01, 02, ...; sessions of each (12 in the published data).
    n_concepts, n_images : int
        Training concepts, and images of each (720 and 12).
    n_test : int
        Test images, each shown once a session (100).
    n_voxels : int
        Voxels of the first subject; others have up to 20 % more or less.
    noise : float
        Standard deviation of a trial's noise.
    """
    import nibabel as nib

    folder, rng = Path(folder), np.random.default_rng([seed, 103])
    concept = np.concatenate([np.repeat(np.arange(n_concepts), n_images), np.arange(n_test) % n_concepts])
    stimuli = make_stimuli(rng, concept)
    names = [f"thing{c:03d}" for c in concept]
    n_train = n_concepts * n_images
    ids = [
        f"{name}_{k % n_images + 1 if k < n_train else n_images + 2 + k // n_concepts:02d}s"
        for k, name in enumerate(names)
    ]
    truth = {"latents": stimuli.latents, "concept": concept}
    for number in range(1, n_subjects + 1):
        label = f"{number:02d}"
        shown, sessions = _order(rng, n_train, n_test, n_sessions)
        size = n_voxels if number == 1 else round(n_voxels * rng.uniform(0.8, 1.2))
        brain = make_brain(rng, areas_in_order(size), noise=noise)
        betas = np.concatenate(
            [brain.respond(rng, stimuli.latents[shown[sessions == s]]) for s in range(1, n_sessions + 1)]
        )
        shape = (14, 14, 14)
        voxels = ellipsoid(shape, size)
        brain_mask = np.zeros(shape, np.uint8)
        brain_mask[tuple(voxels.T)] = 1
        (folder / "brainmasks").mkdir(parents=True, exist_ok=True)
        nib.save(
            nib.Nifti1Image(brain_mask, _AFFINE), folder / "brainmasks" / f"sub-{label}_space-T1w_brainmask.nii.gz"
        )
        _write(folder / "betas_csv", label, betas, brain, voxels)
        _write_stimuli(
            folder / "betas_csv", label, [ids[i] for i in shown], [names[i] for i in shown], shown >= n_train, sessions
        )
        truth |= {
            f"{label}/weights": brain.weights,
            f"{label}/area": np.array([list(AREAS).index(a) for a in brain.area]),
        }
    write_features(folder, stimuli.table(ids, names))
    write_truth(folder, truth)
    sizes = {"n_subjects": n_subjects, "n_sessions": n_sessions, "n_train": n_train, "n_test": n_test, "seed": seed}
    return Twin(folder, "things-fmri", "things_fmri", "fmri_image_retrieval", about=sizes)


def _order(rng: np.random.Generator, n_train: int, n_test: int, n_sessions: int) -> tuple[np.ndarray, np.ndarray]:
    """What is shown in each trial, and the session (from 1) of each."""
    train = np.array_split(rng.permutation(n_train), n_sessions)
    shown = [rng.permutation(np.concatenate([part, n_train + np.arange(n_test)])) for part in train]
    return np.concatenate(shown), np.repeat(np.arange(1, n_sessions + 1), [len(s) for s in shown])


def _write(folder: Path, label: str, betas: np.ndarray, brain: Brain, voxels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    n_voxels = betas.shape[1]
    with hdf5(folder / f"sub-{label}_ResponseData.h5", "w") as file:  # a fixed table of pandas: numbers by type
        group = file.create_group("ResponseData")
        group.attrs.update(pandas_type="frame", encoding="UTF-8", nblocks=2)
        group["axis1"] = np.arange(n_voxels)
        group["block0_values"] = betas.T.astype(np.float32)
        group["block1_items"] = np.array([b"voxel_id"])
        group["block1_values"] = np.arange(n_voxels)[:, None]
    snr = brain.ncsnr**2
    table = {"voxel_id": np.arange(n_voxels), "subject_id": int(label), "voxel_x": voxels[:, 0], "voxel_y": voxels[:, 1],
             "voxel_z": voxels[:, 2], "nc_singletrial": 100 * snr / (1 + snr), "nc_testset": 100 * snr / (snr + 1 / 4)}  # fmt: skip
    table |= {roi: (brain.area == area).astype(int) for roi, area in _ROIS.items()}
    pd.DataFrame(table).to_csv(folder / f"sub-{label}_VoxelMetadata.csv", index=False)


def _write_stimuli(
    folder: Path, label: str, ids: list[str], names: list[str], test: np.ndarray, sessions: np.ndarray
) -> None:
    place = pd.Series(sessions).groupby(sessions).cumcount().to_numpy()
    length = -(-(place.max() + 1) // _N_RUNS)
    table = {"trial_type": np.where(test, "test", "train"), "session": sessions, "run": place // length + 1, "subject_id": int(label),
             "trial_id": np.arange(len(ids)), "stimulus": [f"{i}.jpg" for i in ids], "concept": names}  # fmt: skip
    pd.DataFrame(table).to_csv(folder / f"sub-{label}_StimulusMetadata.csv", index=False)
