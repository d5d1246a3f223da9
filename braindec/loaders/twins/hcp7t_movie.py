"""Twin ``hcp7t_movie``: film runs in the layout of the HCP at 7 T (see the reader), on few grayordinates.

``<subject>/MNINonLinear/Results/tfMRI_MOVIE1_7T_AP/tfMRI_MOVIE1_7T_AP_Atlas_1.6mm_MSMAll_hp2000_clean.dtseries.nii`` and three
more, TR 1 s. Places of vertices and voxels are made up (59,292 vertices a hemisphere, a grid of 1.6 mm). Unlike the HCP's
folder it holds tables of events, ``events/{task}.tsv``: the film's own part and the clip "montage", which ends each run.

Planted: "visual" drives the first third of the vertices of each hemisphere, "language" the second, "motion" (of the film)
nothing; the thalamus holds noise. ``truth``: ``region`` (grayordinate: 0 none, 1 visual, 2 language) and for each subject
``100610/signal_share``, ``100610/unique/<band>``, ``100610/weights`` (see :mod:`braindec.loaders._twin_bold`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._cifti_made_up import made_up_model
from braindec.loaders._cifti_write import make_image, save_image
from braindec.loaders._twin_bold import (
    BANDS,
    ar_noise,
    band_rows,
    courses,
    drift,
    encoding_settings,
    plant,
    timed_features,
)
from braindec.loaders._twin_files import save_tsv
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

_SUBJECTS = ("100610", "102311", "102816", "104416")
_RUNS = {"MOVIE1": "AP", "MOVIE2": "PA", "MOVIE3": "PA", "MOVIE4": "AP"}
_VARIANT = "Atlas_1.6mm_MSMAll_hp2000_clean"
_TR = 1.0
_REST = 10.0  # s before each clip and at the end
_MONTAGE = 60.0  # s
_MODEL = {
    "n_vertices": 59292, "cortex": {"CORTEX_LEFT": 240, "CORTEX_RIGHT": 240}, "voxels": {"THALAMUS_LEFT": 30, "THALAMUS_RIGHT": 30},
    "grid": (113, 136, 113),
    "affine": np.array([[-1.6, 0, 0, 90.0], [0, 1.6, 0, -126.0], [0, 0, 1.6, -72.0], [0, 0, 0, 1.0]]),
}  # fmt: skip


def make(folder: Path, *, seed: int = 0, n_subjects: int = 2, n_volumes: int = 260) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        Up to 4.
    n_volumes : int
        Volumes of a run; runs differ by up to 9.
    """
    rows = {film: n_volumes - 3 * k for k, film in enumerate(_RUNS)}
    own = {film: n * _TR - 3 * _REST - _MONTAGE for film, n in rows.items()}
    features = timed_features({**own, "montage": _MONTAGE}, BANDS, step=0.5, rng=np.random.default_rng([seed, 0]))
    course = {}
    for film, n in rows.items():
        later = 2 * _REST + own[film]
        course[film] = sum(
            courses(features, s, onset=t, n_volumes=n, tr=_TR) for s, t in ((film, _REST), ("montage", later))
        )
        table = [(_REST, own[film], "clip", film), (later, _MONTAGE, "clip", "montage")]
        save_tsv(
            folder / "events" / f"{film}.tsv",
            pd.DataFrame(table, columns=["onset", "duration", "trial_type", "stimulus_id"]),
        )
    write_features(folder, features)
    model = made_up_model(seed, **_MODEL)
    region = np.concatenate([np.repeat([1, 2, 0], 80), np.repeat([1, 2, 0], 80), np.zeros(60, int)])
    truth: dict[str, np.ndarray] = {"region": region}
    for number, who in enumerate(tqdm(_SUBJECTS[:n_subjects], desc="writing subjects", disable=None, leave=False)):
        rng = np.random.default_rng([seed, 1, number])
        shares = {"visual": 0.5 * (region == 1), "language": 0.4 * (region == 2)}
        shares = {b: s * rng.uniform(0.5, 1.0, len(region)) for b, s in shares.items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(BANDS), shares, rng)
        truth |= planted.arrays(who)
        for k, (film, way) in enumerate(_RUNS.items()):
            draw, n = np.random.default_rng([seed, 2, number, k]), rows[film]
            found = course[film] @ planted.weights + planted.noise * ar_noise(n, len(region), draw)
            data = 10000 + 100 * (found + drift(n, len(region), draw, amount=0.2))
            name = f"tfMRI_{film}_7T_{way}"
            path = folder / who / "MNINonLinear" / "Results" / name / f"{name}_{_VARIANT}.dtseries.nii"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(make_image(data.astype(np.float32), model, step=_TR), path)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "films": list(_RUNS), "repeated": "montage", "tr": _TR, "n_grayordinates": model.size,
             "bands": [b.name for b in BANDS]}  # fmt: skip
    settings = encoding_settings(BANDS, delays=(2, 3, 4, 5, 6, 7, 8), signal=[{"detrend": {"order": 3}}])
    return Twin(
        folder, "hcp7t-movie", "hcp7t_movie", "voxelwise_encoding", {"events": "events/{task}.tsv"}, settings, about
    )
