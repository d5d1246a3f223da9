"""Twin ``lebel``: stories in the layout of LeBel et al. (ds003020), see the reader of the same name.

``derivative/preprocessed_data/<UTS01>/<story>.hf5`` (``data``; the last story also ``individual_repeats``),
``derivative/TextGrids/<story>.TextGrid`` (words of no meaning), ``derivative/respdict.json`` and
``derivative/pycortex-db/<UTS01>/transforms/<UTS01>_auto/mask_thick.nii.gz`` on a grid of 14 mm.

Planted: "acoustic" drives voxels around the auditory cortex, "semantic" temporal ones, "rate" (like "acoustic", r = 0.5)
none. ``truth``: ``mask``, ``affine``, ``region`` (sum of 1 acoustic, 2 semantic) and for each subject
``UTS01/signal_share``, ``UTS01/unique/<band>``, ``UTS01/weights`` (see :mod:`braindec.loaders._twin_bold`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from braindec.files import write_text
from braindec.loaders._twin_bold import (
    STORY_BANDS,
    Planted,
    ar_noise,
    band_rows,
    courses,
    encoding_settings,
    plant,
    timed_features,
)
from braindec.loaders._twin_brain import Brain, brain
from braindec.loaders._twin_files import save_nifti
from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.types.storage import hdf5

__all__ = ["make"]

_NAMES = ("adollshouse", "buck", "eyespy", "hangtime", "inamoment", "legacy", "naked", "souls")
_TEST = "wheretheressmoke"
_TR, _SOUND, _CUT = 2.0, 10.0, 10  # s, s, volumes cut at either end
_DRIVES = {"acoustic": ("auditory", 0.45), "semantic": ("temporal", 0.4)}
_SYLLABLES = ("ba", "do", "ki", "lu", "mo", "ne", "pi", "ra", "su", "ta")


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_stories: int = 5, n_repeats: int = 3, n_volumes: int = 130
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        "UTS01", "UTS02", ...
    n_stories : int
        Up to 9, the repeated one included.
    n_repeats : int
        How often the last story was heard.
    n_volumes : int
        Volumes in the file of a story (the scan had 20 more); stories differ by up to 8.
    """
    stories = [*_NAMES[: n_stories - 1], _TEST]
    rows = {s: n_volumes + 2 * (k % 5) for k, s in enumerate(stories)}
    seconds = {s: (n + 2 * _CUT) * _TR - 2 * _SOUND for s, n in rows.items()}
    features = timed_features(seconds, STORY_BANDS, step=0.5, rng=np.random.default_rng([seed, 0]))
    course = {s: _course(features, s, n) for s, n in rows.items()}
    space, root = brain(_DRIVES, voxel=14), folder / "derivative"
    truth = space.truth()
    write_features(folder, features)
    write_text(_made(root / "respdict.json"), json.dumps({s: n + 2 * _CUT for s, n in rows.items()}))
    for k, (story, length) in enumerate(seconds.items()):
        write_text(
            _made(root / "TextGrids" / f"{story}.TextGrid"), _textgrid(length, np.random.default_rng([seed, 1, k]))
        )
    for number in tqdm(range(n_subjects), desc="writing subjects", disable=None, leave=False):
        who, rng = f"UTS{number + 1:02d}", np.random.default_rng([seed, 2, number])
        shares = {b: s * rng.uniform(0.6, 1.0, len(s)) for b, s in space.shares.items()}
        planted = plant(np.concatenate(list(course.values())), band_rows(STORY_BANDS), shares, rng)
        truth |= planted.arrays(who)
        save_nifti(
            root / "pycortex-db" / who / "transforms" / f"{who}_auto" / "mask_thick.nii.gz", space.mask.astype(np.uint8), space.affine
        )  # fmt: skip
        for k, story in enumerate(stories):
            draw = np.random.default_rng([seed, 3, number, k])
            times = n_repeats if story == _TEST else 1
            heard = [_response(course[story], planted, space, draw) for _ in range(times)]
            _write(_made(root / "preprocessed_data" / who / f"{story}.hf5"), heard)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "stories": stories, "repeated": _TEST, "n_repeats": n_repeats, "tr": _TR,
             "n_voxels": len(space.voxels), "bands": [b.name for b in STORY_BANDS]}  # fmt: skip
    return Twin(folder, "lebel-ds003020", "lebel", "voxelwise_encoding", {}, encoding_settings(STORY_BANDS), about)


def _course(features, story: str, n: int) -> np.ndarray:
    """Convolved features of the volumes that are in the file."""
    whole = courses(features, story, onset=_SOUND, n_volumes=n + 2 * _CUT, tr=_TR)
    return whole[_CUT : _CUT + n]


def _response(course: np.ndarray, planted: Planted, space: Brain, rng: np.random.Generator) -> np.ndarray:
    """One hearing, (volume, voxel), z-scored."""
    found = course @ planted.weights
    found = found + planted.noise * ar_noise(len(course), len(space.voxels), rng, smooth=space.smooth)
    return ((found - found.mean(axis=0)) / found.std(axis=0)).astype(np.float32)


def _write(path: Path, heard: Sequence[np.ndarray]) -> None:
    with hdf5(path, "w") as file:
        file.create_dataset("data", data=np.mean(heard, axis=0, dtype=np.float32))
        if len(heard) > 1:
            file.create_dataset("individual_repeats", data=np.stack(heard))


def _textgrid(seconds: float, rng: np.random.Generator) -> str:
    """Words of random syllables, end to end, in Praat's long format."""
    edges = np.concatenate([[0.0], np.cumsum(rng.uniform(0.15, 0.6, int(seconds / 0.35)))])
    edges = np.round(np.append(edges[edges < seconds - 0.2], seconds), 4)
    words = ["".join(rng.choice(_SYLLABLES, rng.integers(1, 4))) for _ in edges[1:]]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {seconds:g}", "tiers? <exists>",
             "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"', '        name = "word"', "        xmin = 0",
             f"        xmax = {seconds:g}", f"        intervals: size = {len(words)}"]  # fmt: skip
    for k, word in enumerate(words):
        lines += [f"        intervals [{k + 1}]:", f"            xmin = {edges[k]:g}", f"            xmax = {edges[k + 1]:g}", f'            text = "{word}"']  # fmt: skip
    return "\n".join(lines) + "\n"


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
