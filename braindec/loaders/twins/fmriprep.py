"""Twin ``fmriprep``: film clips in a BIDS folder with derivatives of fMRIPrep; bands of features drive known regions.

Layout: ``sub-XX/func/*_events.tsv`` (onset, duration, trial_type, stimulus_id) and ``*_bold.json`` (the raw images are left
out), ``derivatives/fmriprep/sub-XX/func/*_space-MNI152NLin2009cAsym_res-12_desc-{preproc_bold,brain_mask}.nii.gz`` and
``*_desc-confounds_timeseries.tsv``. The grid is the MNI152 brain at 12 mm (about 1,100 voxels). Each run shows one clip;
the last clip is shown in the last ``n_repeats`` runs. With ``surfaces`` there are also ``*_hemi-L_space-fsaverage5_bold.func.gii``
and ``*_space-fsLR_den-91k_bold.dtseries.nii`` (see :mod:`braindec.loaders._twin_surfaces`), for the readers gifti and cifti.

Planted: the band "visual" drives occipital voxels, "language" temporal ones, both drive a strip between them, and "motion"
(of the stimulus) drives nothing, though its columns resemble four of "visual" (r = 0.5), so that by itself it predicts what
"visual" drives. Elsewhere there is noise; one voxel in each subject is constant.

``truth``: ``mask`` (x, y, z), ``affine`` (mm), ``region`` (voxel: 0 none, 1 visual, 2 language, 3 both), and for each subject
``sub-XX/signal_share``, ``sub-XX/unique/<band>`` and ``sub-XX/weights`` (see :mod:`braindec.loaders._twin_bold`) and
``sub-XX/constant`` (voxel, bool). Voxels are in the order of the reader (Fortran order of the grid). With ``surfaces`` also
``surface/region`` and ``sub-XX/surface/...`` (left vertices, right vertices, voxels of the thalamus).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._twin_bold import BANDS, band_rows, courses, encoding_settings, plant, timed_features
from braindec.loaders._twin_brain import brain
from braindec.loaders._twin_files import save_tsv
from braindec.loaders._twin_fmriprep import describe, head, simulate, write_prepared
from braindec.loaders._twin_surfaces import plant_surface, surface_region, write_surfaces
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

_VOXEL = 12  # mm
_LEAD, _TAIL = 6.0, 10.0  # s without a stimulus at the start and the end of a run
_DRIVES = {"visual": ("occipital", 0.5), "language": ("temporal", 0.4)}
_GAIN = (1.0, 1.25, 0.5)  # of the shares; the third subject is weak


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_stimuli: int = 5, n_repeats: int = 3, n_volumes: int = 120, tr: float = 2.0,
    surfaces: bool = False,
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
    surfaces : bool
        Write runs on surfaces and grayordinates too.
    """
    clips = [f"clip-{k + 1:02d}" for k in range(n_stimuli)]
    shown = [*clips[:-1], *[clips[-1]] * n_repeats]
    length = n_volumes * tr - _LEAD - _TAIL
    features = timed_features(dict.fromkeys(clips, length), BANDS, step=tr / 4, rng=np.random.default_rng([seed, 0]))
    course = {c: courses(features, c, onset=_LEAD, n_volumes=n_volumes, tr=tr) for c in clips}
    space = brain(_DRIVES, voxel=_VOXEL)
    truth = space.truth()
    describe(folder, "Film clips (simulated)")
    write_features(folder, features)
    for number in tqdm(range(n_subjects), desc="writing subjects", disable=None, leave=False):
        subject = f"sub-{number + 1:02d}"
        rng = np.random.default_rng([seed, 1, number])
        shares = {b: _GAIN[number % 3] * s * rng.uniform(0.6, 1.0, len(s)) for b, s in space.shares.items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(BANDS), shares, rng)
        who = head(space, rng)
        truth |= {**planted.arrays(subject), f"{subject}/constant": who.constant}
        for run, clip in enumerate(shown, start=1):
            draw, name = np.random.default_rng([seed, 2, number, run]), f"{subject}_task-clips_run-{run:02d}"
            data, table = simulate(course[clip] @ planted.weights, planted, who, space, draw)
            write_prepared(folder, name, data, table, space, tr=tr, task="clips", resolution=str(_VOXEL))
            row = {"onset": _LEAD, "duration": length, "trial_type": "clip", "stimulus_id": clip}
            save_tsv(folder / subject / "func" / f"{name}_events.tsv", pd.DataFrame([row]))
        if surfaces:
            truth |= _surfaces(folder, subject, shown, course, [seed, 3, number], tr)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "n_runs": len(shown), "n_volumes": n_volumes, "tr": tr,
             "n_voxels": len(space.voxels), "repeated": clips[-1], "bands": [b.name for b in BANDS]}  # fmt: skip
    options = {"derivatives": "derivatives/fmriprep", "confounds": "motion6"}
    settings = encoding_settings(BANDS, signal=[{"detrend": {"order": 3}}])
    return Twin(folder, "", "fmri", "voxelwise_encoding", options, settings, about)


def _surfaces(
    folder: Path, subject: str, shown: list[str], course: dict[str, np.ndarray], seed: list[int], tr: float
) -> dict[str, np.ndarray]:
    drives = [(band, share) for band, (_, share) in _DRIVES.items()]
    planted = plant_surface(
        np.concatenate(list(course.values())), band_rows(BANDS), drives, np.random.default_rng(seed)
    )
    for run, clip in enumerate(shown, start=1):
        name, draw = f"{subject}_task-clips_run-{run:02d}", np.random.default_rng([*seed, run])
        write_surfaces(folder, name, course[clip] @ planted.weights, planted, tr=tr, seed=seed[0], rng=draw)
    return {**planted.arrays(f"{subject}/surface"), "surface/region": surface_region()}
