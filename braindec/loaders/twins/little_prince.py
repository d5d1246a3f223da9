"""Twin ``little_prince``: an audiobook in 9 sections in the layout of ds003643, preprocessed, on a grid of 14 mm.

``derivatives/sub-EN057/func/sub-EN057_task-lppEN_run-15_space-MNIColin27_desc-preproc_bold.nii.gz`` (9 runs from a number of its own for
each subject), ``annotation/EN/lppEN_word_information.csv`` (words of the package's own grammar). TR 2 s. The first
section is not heard again, so there are no repetitions.

Planted: "acoustic" drives voxels around the auditory cortex, "semantic" temporal ones, "rate" (like "acoustic", r = 0.5) none. ``truth``: ``mask``,
``affine``, ``region`` (sum of 1 acoustic, 2 semantic) and for each subject ``sub-EN057/signal_share``, ``sub-EN057/unique/<band>``,
``sub-EN057/weights`` (see :mod:`braindec.loaders._twin_bold`) and ``sub-EN057/constant``. The mask that the reader computes may differ from
``mask`` at the rim.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._language_words import sentence
from braindec.loaders._twin_bold import STORY_BANDS, band_rows, courses, encoding_settings, plant, timed_features
from braindec.loaders._twin_brain import brain
from braindec.loaders._twin_files import save_json, save_nifti
from braindec.loaders._twin_fmriprep import head, simulate
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

_TR = 2.0
_AFTER = 8.0  # s after the sound
_FIRST_RUN = {"EN057": 15, "EN058": 16, "EN059": 15}
_DRIVES = {"acoustic": ("auditory", 0.45), "semantic": ("temporal", 0.4)}
_SECTIONS = [f"lppEN-{k}" for k in range(1, 10)]


def make(folder: Path, *, seed: int = 0, n_subjects: int = 2, n_volumes: int = 60) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        Up to 3: "EN057", "EN058", "EN059".
    n_volumes : int
        Volumes of a section; sections differ by up to 8.
    """
    rows = {s: n_volumes + k for k, s in enumerate(_SECTIONS)}
    seconds = {s: rows[s] * _TR - _AFTER for s in _SECTIONS}
    features = timed_features(seconds, STORY_BANDS, step=0.5, rng=np.random.default_rng([seed, 0]))
    course = {s: courses(features, s, onset=0.0, n_volumes=rows[s], tr=_TR) for s in _SECTIONS}
    space = brain(_DRIVES, voxel=14)
    truth = space.truth()
    save_json(folder / "dataset_description.json", {"Name": "The Little Prince (simulated)", "BIDSVersion": "1.9.0"})
    described = {
        "Name": "preprocessed (simulated)",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "braindec"}],
    }
    save_json(folder / "derivatives" / "dataset_description.json", described)
    _words(folder, seconds, np.random.default_rng([seed, 3]))
    write_features(folder, features)
    for number, who in enumerate(
        tqdm(list(_FIRST_RUN)[:n_subjects], desc="writing subjects", disable=None, leave=False)
    ):
        subject = f"sub-{who}"
        rng = np.random.default_rng([seed, 1, number])
        shares = {b: s * rng.uniform(0.6, 1.0, len(s)) for b, s in space.shares.items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(STORY_BANDS), shares, rng)
        person = head(space, rng)
        truth |= {**planted.arrays(subject), f"{subject}/constant": person.constant}
        for k, section in enumerate(_SECTIONS):
            own = np.random.default_rng([seed, 2, number, k])
            data, _ = simulate(course[section] @ planted.weights, planted, person, space, own)
            name = f"{subject}_task-lppEN_run-{_FIRST_RUN[who] + k}_space-MNIColin27_desc-preproc_bold"
            out = folder / "derivatives" / subject / "func" / name
            save_nifti(out.with_name(f"{name}.nii.gz"), space.volumes(data), space.affine, tr=_TR)
            save_json(out.with_name(f"{name}.json"), {"RepetitionTime": _TR, "TaskName": "lppEN"})
        (folder / subject).mkdir(exist_ok=True)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "sections": _SECTIONS, "tr": _TR, "n_voxels": len(space.voxels),
             "bands": [b.name for b in STORY_BANDS]}  # fmt: skip
    settings = encoding_settings(STORY_BANDS, delays=(2.0, 4.0, 6.0, 8.0), signal=[{"detrend": {"order": 3}}])
    return Twin(folder, "little-prince", "little_prince", "voxelwise_encoding", {}, settings, about)


def _words(folder: Path, seconds: dict[str, float], rng: np.random.Generator) -> None:
    """Words at 0.4 s each, from the start of each section to the end of its sound."""
    rows = []
    for section, (_, end) in enumerate(seconds.items(), start=1):
        onset = 0.2
        while onset < end - 8:
            for word, kind in sentence(rng, n_words=int(rng.integers(6, 14))):
                rows.append((word, round(onset, 3), round(onset + 0.35, 3), kind, section))
                onset += 0.4
            onset += 0.6
    path = folder / "annotation" / "EN" / "lppEN_word_information.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows, columns=["word", "onset", "offset", "pos", "section"]).to_csv(
        path, index=False, lineterminator="\n"
    )
