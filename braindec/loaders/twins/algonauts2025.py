"""Twin ``algonauts2025``: a series and a film in parcels, in the layout of the Algonauts 2025 challenge (see the reader).

``fmri/sub-01/func/*_task-friends_*_bold.h5`` and ``*_task-movie10_*_bold.h5`` (the film "figures01" was seen twice),
``fmri/sub-01/atlas/*_parcellation.nii.gz`` and ``stimuli/transcripts``. There are 300 parcels by default instead of 1,000,
on a grid of 8 mm.

Planted: "visual" drives occipital parcels, "language" temporal ones, "motion" (of the film) none. ``truth``: ``region``
(parcel: sum of 1 visual, 2 language) and for each subject ``sub-01/signal_share``, ``sub-01/unique/<band>``,
``sub-01/weights`` (see :mod:`braindec.loaders._twin_bold`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._twin_bold import (
    BANDS,
    Planted,
    ar_noise,
    band_rows,
    courses,
    encoding_settings,
    plant,
    timed_features,
)
from braindec.loaders._twin_brain import brain, shares_at
from braindec.loaders._twin_files import save_nifti, save_tsv
from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.types.storage import hdf5

__all__ = ["make"]

_TR = 1.49
_TAIL = 3  # volumes after the end of the film
_SUBJECTS = ("01", "02", "03", "05")
_SERIES = "space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net"
_DRIVES = {"visual": ("occipital", 0.5), "language": ("temporal", 0.45)}


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_episodes: int = 5, n_volumes: int = 140, n_parcels: int = 300
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        Up to 4: "01", "02", "03", "05".
    n_episodes : int
        Episode parts of the series; the film of two parts, the first of which is seen twice, comes on top.
    n_volumes : int
        Volumes a part; parts differ by up to 8.
    n_parcels : int
        Parcels.
    """
    episodes = [f"s01e{1 + k // 2:02d}{'ab'[k % 2]}" for k in range(n_episodes)]
    films = ["figures01", "bourne01"]
    rows = {s: n_volumes + 2 * (k % 5) for k, s in enumerate([*episodes, *films])}
    seconds = {s: (n - _TAIL) * _TR for s, n in rows.items()}
    features = timed_features(seconds, BANDS, step=_TR / 2, rng=np.random.default_rng([seed, 0]))
    course = {s: courses(features, s, onset=0.0, n_volumes=n, tr=_TR) for s, n in rows.items()}
    atlas, affine, centres = parcels(n_parcels, np.random.default_rng([seed, 1]))
    write_features(folder, features)
    for stimulus, n in rows.items():
        _write_transcript(folder, stimulus, n - _TAIL, "friends" if stimulus in episodes else "movie10")
    shares = shares_at(centres, _DRIVES)
    truth = {"region": ((shares["visual"] > 0) + 2 * (shares["language"] > 0)).astype(np.int16)}
    for number, subject in enumerate(tqdm(_SUBJECTS[:n_subjects], desc="writing subjects", disable=None, leave=False)):
        rng = np.random.default_rng([seed, 2, number])
        mine = {b: s * rng.uniform(0.6, 1.0, n_parcels) for b, s in shares.items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(BANDS), mine, rng)
        truth |= planted.arrays(f"sub-{subject}")
        base = folder / "fmri" / f"sub-{subject}"
        save_nifti(base / "atlas" / f"sub-{subject}_{_SERIES}_desc-dseg_parcellation.nii.gz", atlas, affine)
        seen = {f"ses-{1 + k // 2:03d}_task-{s}": s for k, s in enumerate(episodes)}
        _write(base, f"task-friends_{_SERIES}_desc-s123456", seen, course, planted, rng)
        again = {"ses-001_task-bourne01": "bourne01", "ses-002_task-figures01_run-1": "figures01", "ses-004_task-figures01_run-2": "figures01"}  # fmt: skip
        _write(base, f"task-movie10_{_SERIES}", again, course, planted, rng)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "stimuli": [*episodes, *films], "repeated": "figures01", "tr": _TR,
             "n_parcels": n_parcels, "bands": [b.name for b in BANDS]}  # fmt: skip
    settings = encoding_settings(BANDS, delays=(2 * _TR, 3 * _TR, 4 * _TR, 5 * _TR, 6 * _TR))
    return Twin(folder, "algonauts2025", "algonauts2025", "voxelwise_encoding", {}, settings, about)


def parcels(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the brain into ``n`` compact pieces: labels (x, y, z), affine in mm, and their centres (n, 3) in mm."""
    from scipy.spatial import cKDTree

    space = brain({}, voxel=8)
    places = space.voxels @ space.affine[:3, :3].T + space.affine[:3, 3]
    centres = places[rng.choice(len(places), n, replace=False)]
    for _ in range(
        6
    ):  # Lloyd's algorithm: pieces of similar size; none ends empty, since each centre is a voxel at first
        nearest = cKDTree(centres).query(places)[1]
        counts = np.maximum(np.bincount(nearest, minlength=n), 1)
        sums = np.stack([np.bincount(nearest, places[:, k], minlength=n) for k in range(3)], axis=1)
        kept = np.bincount(nearest, minlength=n)[:, None] > 0
        centres = np.where(kept, sums / counts[:, None], centres)
    order = np.lexsort((centres[:, 1], centres[:, 0] > 0))  # the left half first
    rank = np.empty(n, int)
    rank[order] = np.arange(n)
    labels = np.zeros(space.mask.shape, dtype=np.int16)
    labels[space.places] = rank[nearest] + 1
    return labels, space.affine, centres[order]


def _write(
    base: Path, name: str, seen: dict[str, str], course: dict[str, np.ndarray], planted: Planted, rng: np.random.Generator
) -> None:  # fmt: skip
    path = base / "func" / f"{base.name}_{name}_bold.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with hdf5(path, "w") as file:
        for key, stimulus in seen.items():
            x = course[stimulus]
            found = x @ planted.weights + planted.noise * ar_noise(len(x), len(planted.noise), rng)
            file.create_dataset(key, data=((found - found.mean(axis=0)) / found.std(axis=0)).astype(np.float32))


def _write_transcript(folder: Path, stimulus: str, n_rows: int, task: str) -> None:
    below = f"s{int(stimulus[1:3])}" if task == "friends" else stimulus.rstrip("0123456789")
    text = ["well" if k % 3 == 0 else None for k in range(n_rows)]
    onsets = [f"[{_TR * k + 0.2:.2f}]" if t else "[]" for k, t in enumerate(text)]
    table = {"text_per_tr": text, "words_per_tr": [f"['{t}']" if t else "[]" for t in text], "onsets_per_tr": onsets,
             "durations_per_tr": ["[0.3]" if t else "[]" for t in text]}  # fmt: skip
    save_tsv(folder / "stimuli" / "transcripts" / task / below / f"{task}_{stimulus}.tsv", pd.DataFrame(table))
