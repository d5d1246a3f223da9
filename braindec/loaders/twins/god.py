"""Twin of Generic Object Decoding (Horikawa & Kamitani 2017): BData files as the reader ``bdata`` describes them.

Categories of training and test are disjoint; training images are shown once, test images several times, and imagined ones stand
at the end (half the signal, semantic latents only). Truth: ``latents`` (stimulus, 20) in the order of the features' items, and
for a subject "1/weights" (20, voxel), "1/area" (voxel,; 0 early, 1 mid, 2 high, 3 none).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.loaders.twins._images import AREAS, N_LATENTS, areas_in_order, make_brain, make_stimuli
from braindec.types.storage import hdf5

__all__ = ["make"]

_ROIS = {"ROI_V1": ("early",), "ROI_LOC": ("mid",), "ROI_FFA": ("high",), "ROI_LVC": ("early", "mid"),
         "ROI_HVC": ("mid", "high"), "ROI_VC": tuple(AREAS)}  # fmt: skip
_PER_RUN = 20


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 3,
    n_concepts: int = 45,
    n_images: int = 5,
    n_test: int = 15,
    n_repeats: int = 6,
    n_voxels: int = 320,
    noise: float = 4.5,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects : int
        Files Subject1.h5, Subject2.h5, ...
    n_concepts, n_images : int
        Training categories, and images of each.
    n_test, n_repeats : int
        Test images (each of a category of its own) and how often each is shown; imagery twice.
    n_voxels : int
        Voxels of the first subject; others have up to 20 % more or less.
    noise : float
        Standard deviation of a trial's noise.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 102])
    concept = np.concatenate([np.repeat(np.arange(n_concepts), n_images), n_concepts + np.arange(n_test)])
    stimuli = make_stimuli(rng, concept)
    synsets = np.sort(rng.choice(np.arange(1_440_764, 15_075_141), n_concepts + n_test, replace=False))
    images = rng.choice(np.arange(1, 99_999), len(concept), replace=False)
    n_train = n_concepts * n_images
    test = np.arange(n_train, len(concept))
    order = [rng.permutation(n_train), np.concatenate([rng.permutation(test) for _ in range(n_repeats)]),
             np.concatenate([rng.permutation(test) for _ in range(2)])]  # fmt: skip
    shown, kind = np.concatenate(order), np.repeat([1.0, 2.0, 3.0], [len(o) for o in order])
    run = np.concatenate([np.arange(len(o)) // _PER_RUN + 1.0 for o in order])
    label = synsets[concept[shown]] + images[shown] / 1e6
    truth = {"latents": stimuli.latents, "concept": concept}
    for number in range(1, n_subjects + 1):
        size = n_voxels if number == 1 else round(n_voxels * rng.uniform(0.8, 1.2))
        brain = make_brain(rng, areas_in_order(size), noise=noise)
        latents = stimuli.latents[shown].copy()
        latents[kind == 3] *= np.repeat([0.0, 0.5], N_LATENTS)  # what is imagined has no low-level part
        betas = brain.respond(rng, latents, drift=0.0)
        xyz = rng.integers(-60, 60, size=(3, size)) * 3.0
        _write(
            folder / f"Subject{number}.h5", betas, xyz, brain.area, {"DataType": kind, "Run": run, "stimulus_id": label}
        )
        truth |= {
            f"{number}/weights": brain.weights,
            f"{number}/area": np.array([list(AREAS).index(a) for a in brain.area]),
        }
    ids = [f"n{synsets[c]:08d}_{i}" for c, i in zip(concept, images, strict=True)]
    write_features(folder, stimuli.table(ids, [i.split("_")[0] for i in ids]))
    write_truth(folder, truth)
    sizes = {"n_subjects": n_subjects, "n_train": n_train, "n_test": n_test, "n_repeats": n_repeats, "seed": seed}
    return Twin(folder, "god", "bdata", "fmri_image_retrieval", about=sizes)


def _write(path: Path, betas: np.ndarray, xyz: np.ndarray, area: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    n_voxels, n = betas.shape[1], betas.shape[1] + len(columns)
    voxel = np.arange(n) < n_voxels
    rows = {"VoxelData": np.where(voxel, 1.0, np.nan)}
    for place, name in enumerate(columns):
        rows[name] = np.where(np.arange(n) == n_voxels + place, 1.0, np.nan)
    for axis, values in zip("xyz", xyz, strict=True):
        rows[f"voxel_{axis}"] = np.r_[values, np.full(len(columns), np.nan)]
    for name, areas in _ROIS.items():
        rows[name] = np.r_[np.isin(area, areas).astype(float), np.full(len(columns), np.nan)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with hdf5(path, "w") as file:
        file["dataset"] = np.column_stack([betas, *columns.values()])
        file["metadata/key"] = np.array(list(rows), dtype="S16")
        file["metadata/description"] = np.array([f"1 = {name}" for name in rows], dtype="S32")
        file["metadata/value"] = np.array(list(rows.values()))
