"""Twin ``fedorenko2016``: electrodes over 52 sentences of 8 words, in the netCDF layout of brain-score (see the reader ``brainscore``).

``assy_Fedorenko2016_language.nc`` with the true numbers: 416 words, 97 electrodes of 5 subjects (47, 8, 9, 15 and 18); sentences of
the package's own grammar. "semantic" drives every second electrode, "surface" every third, "order" (like "surface", r = 0.5) none. The words
of a sentence share 60 % of the variance of their features and a third of the noise: hold out whole sentences.
``truth``: for each subject ``1/signal_share``, ``1/unique/<band>``, ``1/weights`` (see :mod:`braindec.loaders._twin_bold`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindec.loaders._language_words import sentence
from braindec.loaders._netcdf import Assembly, write_assembly
from braindec.loaders._twin_bold import encoding_settings
from braindec.loaders._twin_sentences import BANDS, grouped_features, respond, sentence_features
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

_ELECTRODES = (47, 8, 9, 15, 18)
_SENTENCES, _WORDS = 52, 8


def make(folder: Path, *, seed: int = 0, n_subjects: int = 5) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        Up to 5.
    """
    rng = np.random.default_rng([seed, 0])
    words = [word for _ in range(_SENTENCES) for word, _ in sentence(rng, n_words=_WORDS)]
    of = np.repeat(np.arange(_SENTENCES), _WORDS)
    values = grouped_features(of, rng)
    write_features(folder, sentence_features(values, [str(k) for k in range(len(of))]))
    parts, truth = [], {}
    for number, n in enumerate(_ELECTRODES[:n_subjects]):
        own = np.random.default_rng([seed, 1, number])
        places = np.arange(n)
        shares = {"semantic": np.where(places % 2 == 0, own.uniform(0.15, 0.35, n), 0.0),
                  "surface": np.where(places % 3 == 0, own.uniform(0.1, 0.25, n), 0.0)}  # fmt: skip
        response, planted = respond(values, of, shares, own)
        parts.append(response)
        truth |= planted.arrays(str(number + 1))
    subject = np.repeat(np.arange(n_subjects) + 1, _ELECTRODES[:n_subjects])
    shown = pd.DataFrame({"stimulus_id": np.arange(len(of)), "stimulus": [w.upper() for w in words], "word": [w.upper() for w in words],
                          "word_num": np.tile(np.arange(_WORDS), _SENTENCES), "sentence_id": of})  # fmt: skip
    neuroids = pd.DataFrame(
        {"electrode": np.arange(len(subject)), "neuroid_id": np.arange(len(subject)), "subject_UID": subject}
    )
    assembly = Assembly(
        np.concatenate(parts, axis=1), ("presentation", "neuroid"), {"presentation": shown, "neuroid": neuroids}
    )
    write_assembly(folder / "assy_Fedorenko2016_language.nc", assembly)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "bands": [b.name for b in BANDS]}
    settings = encoding_settings(BANDS, delays=None, split={"by": "concept_id", "n_folds": 6})
    return Twin(folder, "fedorenko2016", "brainscore", "voxelwise_encoding", {}, settings, about)
