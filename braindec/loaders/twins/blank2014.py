"""Twin ``blank2014``: 12 functional regions of 5 subjects who hear 8 stories, in the netCDF layout of brain-score.

``assy_Blank2014_fROI.nc``: pieces of 2 s (5 words, the BOLD of 4 s later) of 8 stories with the names of the real ones, and 60 neuroids;
stories are of the package's own grammar and shorter than the real ones. "semantic" drives all regions, most in the left hemisphere, "surface"
the temporal ones, "order" (like "surface", r = 0.5) none. The pieces of a story share features and noise: hold out
whole stories. ``truth``: for each subject ``061/signal_share``, ``061/unique/<band>``, ``061/weights``.
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

_STORIES = ("Aqua", "Boar", "Elvis", "HighSchool", "KingOfBirds", "MatchstickSeller", "MrSticky", "Tulips")
_SUBJECTS = ("061", "085", "088", "090", "098")
_PLACES = ("PostTemp", "AntTemp", "IFG", "IFGorb", "MFG", "AngG")
_PIECE = 5  # words of a piece


def make(folder: Path, *, seed: int = 0, n_subjects: int = 5, n_pieces: int = 60) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_subjects : int
        Up to 5.
    n_pieces : int
        Pieces of a story.
    """
    rng = np.random.default_rng([seed, 0])
    shown = pd.concat([_story(name, n_pieces, rng) for name in _STORIES], ignore_index=True)
    of = np.repeat(np.arange(len(_STORIES)), n_pieces)
    values = grouped_features(of, rng)
    write_features(folder, sentence_features(values, shown["stimulus_id"].tolist()))
    areas = [
        f"{k + 1:02d}_{side}_{name}" for k, (side, name) in enumerate((s, n) for s in ("LH", "RH") for n in _PLACES)
    ]
    left = np.array(["_LH_" in a for a in areas])
    temporal = np.array(["Temp" in a for a in areas])
    parts, truth = [], {}
    for number, who in enumerate(_SUBJECTS[:n_subjects]):
        own = np.random.default_rng([seed, 1, number])
        shares = {
            "semantic": np.where(left, 0.3, 0.1) * own.uniform(0.6, 1.0, len(areas)),
            "surface": np.where(temporal, 0.2, 0.0),
        }
        response, planted = respond(values, of, shares, own)
        parts.append(response)
        truth |= planted.arrays(who)
    subject = np.repeat(_SUBJECTS[:n_subjects], len(areas))
    area = np.tile(areas, n_subjects)
    names = [f"{s}.{a}" for s, a in zip(subject, area, strict=True)]
    neuroids = pd.DataFrame({"fROI_area": area, "subject_id": subject, "neuroid_id": names})
    # the packaged file stands in the order of stimulus_id, not of time
    order = np.argsort(shown["stimulus_id"].to_numpy(dtype=str), kind="stable")
    tables = {"presentation": shown.iloc[order].reset_index(drop=True), "neuroid": neuroids}
    assembly = Assembly(np.concatenate(parts, axis=1)[order], ("presentation", "neuroid"), tables)
    write_assembly(folder / "assy_Blank2014_fROI.nc", assembly)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "n_pieces": n_pieces, "bands": [b.name for b in BANDS]}
    settings = encoding_settings(BANDS, delays=None, split={"by": "concept_id"})
    return Twin(folder, "blank2014", "brainscore", "voxelwise_encoding", {}, settings, about)


def _story(name: str, n_pieces: int, rng: np.random.Generator) -> pd.DataFrame:
    """Pieces of equally many words that run across the ends of sentences, as those of 2 s do."""
    words: list[tuple[str, int]] = []
    number = 0
    while len(words) < n_pieces * _PIECE:
        made = [word for word, _ in sentence(rng, n_words=int(rng.integers(6, 15)))]
        made[0], made[-1] = made[0].capitalize(), f"{made[-1]}."
        words += [(word, number) for word in made]
        number += 1
    rows, parts = [], {}
    for k in range(n_pieces):
        piece = words[k * _PIECE : (k + 1) * _PIECE]
        last = piece[-1][1]
        part = parts[last] = parts.get(last, -1) + 1
        text = " ".join(word for word, _ in piece) + " "
        plain = text.strip().lower().replace(".", "")
        rows.append((f"{name}.{last}.{part}", name, last, part, 2.0 * k + 4.0, text, text, plain))
    columns = ["stimulus_id", "story", "sentence_number_in_story", "part_number_in_sentence", "timepoint_value", "stimulus",
               "stimulus_sentence", "meta_sentence"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
