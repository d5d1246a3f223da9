"""Twin ``narratives``: spoken stories in the layout of Narratives (ds002345) with its derivatives of fMRIPrep.

``sub-001/func/sub-001_task-pieman_run-1_events.tsv`` (onset, duration, trial_type music or story, stim_file),
``derivatives/fmriprep/sub-001/func/*_space-MNI152NLin2009cAsym_res-native_desc-{preproc_bold,brain_mask}.nii.gz`` and
``*_desc-confounds_regressors.tsv``, on a grid of 14 mm. TR 1.5 s. "pieman" is heard twice (run-1, run-2).

Planted: "acoustic" drives voxels around the auditory cortex, "semantic" temporal ones, "rate" (like "acoustic", r = 0.5)
none. Features have the times of the audio file, music included. ``truth``: ``mask``, ``affine``, ``region`` (sum of 1
acoustic, 2 semantic) and for each subject ``sub-001/signal_share``, ``sub-001/unique/<band>``, ``sub-001/weights`` (see
:mod:`braindec.loaders._twin_bold`) and ``sub-001/constant``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._twin_bold import STORY_BANDS, band_rows, courses, encoding_settings, plant, timed_features
from braindec.loaders._twin_brain import brain
from braindec.loaders._twin_files import save_tsv
from braindec.loaders._twin_fmriprep import describe, head, simulate, write_prepared
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

_TR = 1.5
_STORIES = {  # onset and length of the music, start of the story in the run, s
    "pieman": (0.0, 13.0, 15.0), "tunnel": (None, None, 3.0), "lucy": (None, None, 2.0),
    "prettymouth": (0.0, 18.0, 21.0), "bronx": (None, None, 12.0),
}  # fmt: skip
_AFTER = 12.0  # s of rest after the story
_DRIVES = {"acoustic": ("auditory", 0.45), "semantic": ("temporal", 0.4)}


def make(folder: Path, *, seed: int = 0, n_subjects: int = 2, n_stories: int = 5, n_volumes: int = 130) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        "001", "002", ...
    n_stories : int
        Up to 5; the first is heard twice.
    n_volumes : int
        Volumes of a run; runs differ by up to 8.
    """
    stories = list(_STORIES)[:n_stories]
    rows = {s: n_volumes + 2 * k for k, s in enumerate(stories)}
    starts = {s: _STORIES[s][2] if _STORIES[s][0] is None else _STORIES[s][0] for s in stories}
    seconds = {s: rows[s] * _TR - _AFTER - starts[s] for s in stories}
    features = timed_features(seconds, STORY_BANDS, step=0.5, rng=np.random.default_rng([seed, 0]))
    course = {s: courses(features, s, onset=starts[s], n_volumes=rows[s], tr=_TR) for s in stories}
    space = brain(_DRIVES, voxel=14)
    truth = space.truth()
    describe(folder, "Narratives (simulated)")
    write_features(folder, features)
    heard = [(s, run) for s in stories for run in (("1", "2") if s == stories[0] else (None,))]
    for number in tqdm(range(n_subjects), desc="writing subjects", disable=None, leave=False):
        subject = f"sub-{number + 1:03d}"
        rng = np.random.default_rng([seed, 1, number])
        shares = {b: s * rng.uniform(0.6, 1.0, len(s)) for b, s in space.shares.items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(STORY_BANDS), shares, rng)
        who = head(space, rng)
        truth |= {**planted.arrays(subject), f"{subject}/constant": who.constant}
        for k, (story, run) in enumerate(heard):
            name = f"{subject}_task-{story}" + (f"_run-{run}" if run else "")
            data, table = simulate(
                course[story] @ planted.weights, planted, who, space, np.random.default_rng([seed, 2, number, k])
            )
            write_prepared(
                folder, name, data, table, space, tr=_TR, task=story, resolution="native", confounds="regressors"
            )
            save_tsv(folder / subject / "func" / f"{name}_events.tsv", _events(story, rows[story] * _TR - _AFTER))
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "stories": stories, "repeated": stories[0], "tr": _TR,
             "n_voxels": len(space.voxels), "bands": [b.name for b in STORY_BANDS]}  # fmt: skip
    settings = encoding_settings(STORY_BANDS, delays=(1.5, 3.0, 4.5, 6.0, 7.5), signal=[{"detrend": {"order": 3}}])
    return Twin(folder, "narratives", "narratives", "voxelwise_encoding", {"confounds": "motion6"}, settings, about)


def _events(story: str, end: float) -> pd.DataFrame:
    music, length, start = _STORIES[story]
    table = [] if music is None else [(music, length, "music")]
    table.append((start, end - start, "story"))
    return pd.DataFrame(table, columns=["onset", "duration", "trial_type"]).assign(stim_file=f"{story}_audio.wav")
