"""Twin ``pereira``: responses to sentences in the layout of Pereira et al. (2018), see the reader of the same name.

``<P01>/data_384sentences.mat`` and ``<P01>/data_243sentences.mat`` (the second subject did only the first experiment), with the
true numbers of sentences, passages and topics, and words of no meaning. Voxels are those of the MNI152 brain at 14 mm.

Planted: "semantic" drives temporal voxels, "surface" (length, frequency, ...) voxels around the auditory cortex, and "order"
(like "surface", r = 0.5) none. The sentences of a passage share 60 % of the variance of their features, and a third of the noise: when
sentences instead of passages are held out, features seem to explain that noise too. ``truth``: ``region`` (voxel: sum
of 1 surface, 2 semantic), ``mask``, ``affine`` and for each subject ``P01/signal_share``, ``P01/unique/<band>``, ``P01/weights``
(see :mod:`braindec.loaders._twin_bold`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.files import written_whole
from braindec.loaders._twin_bold import (
    BandOf,
    Planted,
    band_rows,
    encoding_settings,
    independent_features,
    plant,
    units_of,
)
from braindec.loaders._twin_brain import Brain, brain
from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.types import Features

__all__ = ["make"]

_BANDS = (BandOf("surface", 4, 0.0), BandOf("semantic", 12, 0.0), BandOf("order", 2, 0.0, follows="surface"))
_DRIVES = {"surface": ("auditory", 0.45), "semantic": ("temporal", 0.45)}
_EXPERIMENTS = {"384sentences": (96, 384), "243sentences": (72, 243)}  # passages, sentences
_TOPICS = 24
_SUBJECTS = ("P01", "M08", "M02", "M04")
_SHARED = 0.6  # of the variance of features: what sentences of a passage share
_PASSAGE_NOISE = 1 / 3
_SYLLABLES = ("ba", "do", "ki", "lu", "mo", "ne", "pi", "ra", "su", "ta")


def make(folder: Path, *, seed: int = 0, n_subjects: int = 2) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        Up to 4: "P01", "M08" (the first experiment only), "M02", "M04".
    """
    passages = {name: _passages(*sizes) for name, sizes in _EXPERIMENTS.items()}
    values = _features(passages, np.random.default_rng([seed, 0]))
    ids = [f"{name}-{k + 1:03d}" for name, of in passages.items() for k in range(len(of))]
    write_features(
        folder, Features(values.astype(np.float32), pd.DataFrame({"stimulus_id": ids}), units_of(_BANDS), {})
    )
    space = brain(_DRIVES, voxel=14)
    truth, rows = space.truth(), _rows(passages)
    words = {name: _words(of, np.random.default_rng([seed, 1, k])) for k, (name, of) in enumerate(passages.items())}
    for number, who in enumerate(tqdm(_SUBJECTS[:n_subjects], desc="writing subjects", disable=None, leave=False)):
        rng = np.random.default_rng([seed, 2, number])
        shares = {b: s * rng.uniform(0.6, 1.0, len(s)) for b, s in space.shares.items()}
        planted = plant(values, band_rows(_BANDS), shares, rng)
        truth |= planted.arrays(who)
        for name, of in passages.items():
            if who == "M08" and name != "384sentences":
                continue
            examples = _examples(values[rows[name]], of, planted, space, rng)
            _write(folder / who / f"data_{name}.mat", examples, of, words[name], space)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "experiments": list(passages), "n_voxels": len(space.voxels),
             "bands": [b.name for b in _BANDS]}  # fmt: skip
    settings = encoding_settings(_BANDS, delays=None, split={"by": "concept_id", "n_folds": 6})
    return Twin(folder, "pereira2018", "pereira", "voxelwise_encoding", {}, settings, about)


def _passages(n_passages: int, n_sentences: int) -> np.ndarray:
    """The passage of each sentence, from 0: as even as whole sentences allow."""
    return np.sort(np.arange(n_sentences) % n_passages)


def _rows(passages: Mapping[str, np.ndarray]) -> dict[str, slice]:
    ends = np.cumsum([len(of) for of in passages.values()])
    return {name: slice(int(end) - len(of), int(end)) for (name, of), end in zip(passages.items(), ends, strict=True)}


def _features(passages: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    parts = []
    for of in passages.values():
        shared = independent_features(int(of.max()) + 1, _BANDS, rng)[of]
        own = independent_features(len(of), _BANDS, rng)
        parts.append(np.sqrt(_SHARED) * shared + np.sqrt(1 - _SHARED) * own)
    values = np.concatenate(parts)
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _examples(
    values: np.ndarray, of: np.ndarray, planted: Planted, space: Brain, rng: np.random.Generator
) -> np.ndarray:  # fmt: skip
    """Responses (sentence, voxel): signal, noise that a passage shares, and noise of each sentence."""
    white = [space.smooth(rng.standard_normal((n, len(space.voxels)))) for n in (int(of.max()) + 1, len(of))]
    shared, own = (w / w.std() for w in white)
    noise = np.sqrt(_PASSAGE_NOISE) * shared[of] + np.sqrt(1 - _PASSAGE_NOISE) * own
    return (values @ planted.weights + planted.noise * noise).astype(np.float32)


def _words(of: np.ndarray, rng: np.random.Generator) -> dict[str, list[str]]:
    def sentence(n: int) -> str:
        made = " ".join("".join(rng.choice(_SYLLABLES, rng.integers(1, 4))) for _ in range(n))
        return made.capitalize() + "."

    n_passages = int(of.max()) + 1
    return {
        "keySentences": [sentence(int(rng.integers(5, 12))) for _ in of],
        "keyPassages": [f"passage {k + 1}" for k in range(n_passages)],
        "keyPassageCategory": [f"topic {k + 1}" for k in range(_TOPICS)],
    }


def _write(path: Path, examples: np.ndarray, of: np.ndarray, words: Mapping[str, Sequence[str]], space: Brain) -> None:
    n_passages = int(of.max()) + 1
    category = 1 + np.arange(n_passages) // (n_passages // _TOPICS)
    inside = [np.flatnonzero(share > 0) + 1 for share in space.shares.values()]
    left = space.voxels[:, 0] * space.affine[0, 0] + space.affine[0, 3] < 0
    language = np.flatnonzero(left & (space.shares["semantic"] > 0)) + 1
    meta = {
        "dimensions": np.array([space.mask.shape], dtype=float),
        "colToCoord": (space.voxels + 1).astype(float),
        "atlases": _cell(["languageLH", "regions"]),
        "rois": _cell([_cell(["LH_temporal"]).T, _cell(["around auditory", "temporal"]).T]),
        "roiColumns": _cell(
            [_cell([language[:, None].astype(float)]).T, _cell([i[:, None].astype(float) for i in inside]).T]
        ),
    }
    content = {
        "examples_passagesentences": examples,
        "keySentences": _cell(words["keySentences"]).T,
        "labelsSentences": np.arange(1, len(of) + 1)[:, None].astype(float),
        "labelsPassageForEachSentence": (of + 1)[:, None].astype(float),
        "keyPassages": _cell(words["keyPassages"]).T,
        "labelsPassageCategory": category[:, None].astype(float),
        "keyPassageCategory": _cell(words["keyPassageCategory"]),
        "meta": meta,
    }
    save_mat(path, content)


def _cell(items: Sequence[Any]) -> np.ndarray:
    """A cell array of one row."""
    out = np.empty((1, len(items)), dtype=object)
    for k, item in enumerate(items):
        out[0, k] = item
    return out


def save_mat(path: Path, content: Mapping[str, Any]) -> None:
    """Write a MATLAB file of version 5 whose header does not say when."""
    import scipy.io

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, dict(content), do_compression=True, oned_as="column")
    data = bytearray(buffer.getvalue())
    data[:116] = b"MATLAB 5.0 MAT-file, simulated".ljust(116)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        Path(temporary).write_bytes(bytes(data))
