"""The stimuli folder and the texts of a synthetic BIDS data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.loaders._synthetic_features import embed, picture_features
from braindec.loaders._synthetic_images import Concept, draw_concepts, redress, render
from braindec.loaders._synthetic_shapes import SHAPES
from braindec.types import Features


def list_stimuli(modality: str, preset: Any, seed: int) -> list[tuple[Concept, dict[str, str]]]:
    """Decide what is shown: each image's concept and its row of ``stimuli.tsv``.

    EEG: training concepts with several exemplars, test concepts with one each. fMRI: a concept is a shape, its
    exemplars differ in everything else, and all of them are training images.
    """
    rng = np.random.default_rng([seed, 0])
    if modality == "fmri":
        if preset.categories > len(SHAPES):
            raise BraindecError("too many categories", found=str(preset.categories), allowed=f"1 to {len(SHAPES)}")
        shapes = [str(s) for s in rng.permutation(list(SHAPES))[: preset.categories]]
        plain = [Concept(s, "plain", "red", "sky") for s in shapes]
        return [(redress(c, rng), _row(c.shape, k, "train")) for c in plain for k in range(1, preset.exemplars + 1)]
    concepts = draw_concepts(preset.train_concepts + preset.test_concepts, rng)
    order = rng.permutation(len(concepts))
    test = set(order[: preset.test_concepts].tolist())
    listed = []
    for i, concept in enumerate(concepts):
        part, n = ("test", 1) if i in test else ("train", preset.train_exemplars)
        listed += [(concept, _row(concept.name, k, part)) for k in range(1, n + 1)]
    return listed


def _row(concept_id: str, number: int, part: str) -> dict[str, str]:
    name = f"{concept_id}_{number:02d}"
    return {"stimulus_id": name, "concept_id": concept_id, "path": f"stimuli/{concept_id}/{name}.png", "part": part}


def write_stimuli(root: Path, modality: str, preset: Any, seed: int) -> tuple[pd.DataFrame, Features]:
    """Draw and write all pictures, their table and their features."""
    listed = list_stimuli(modality, preset, seed)
    stimuli = pd.DataFrame([row for _, row in listed])
    pictures = np.empty((len(listed), preset.picture_size, preset.picture_size, 3), np.uint8)
    for i, (concept, row) in enumerate(tqdm(listed, desc="pictures", unit="picture", disable=None)):
        pictures[i] = render(concept, np.random.default_rng([seed, 1, i]), size=preset.picture_size)
        path = root / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[i]).save(path, compress_level=4)
    stimuli.to_csv(root / "stimuli" / "stimuli.tsv", sep="\t", index=False, lineterminator="\n")
    raw = np.concatenate([picture_features(pictures[k : k + 64]) for k in range(0, len(pictures), 64)])
    return stimuli, embed(raw, stimuli, n_units=preset.n_units).save(root / "stimuli" / "features.h5")


def write_description(root: Path, modality: str, n_subjects: int) -> None:
    """Write dataset_description.json, README and (if no writer made it) participants.tsv."""
    name = f"Synthetic {modality} of people who watch drawn images"
    described = {"Name": name, "BIDSVersion": "1.9.0", "DatasetType": "raw", "License": "CC0", "Authors": ["The braindec developers"],
                 "GeneratedBy": [{"Name": "braindec", "Description": "simulated, no person was recorded"}]}  # fmt: skip
    (root / "dataset_description.json").write_text(json.dumps(described, indent=1) + "\n")
    (root / "README").write_text(
        f"{name}\n\nSimulated by braindec (braindec.loaders.synthetic); nobody was recorded. Pictures and their embeddings are\n"
        "in stimuli/, what was planted is in derivatives/truth/.\n"
    )
    if not (root / "participants.tsv").exists():
        rows = "".join(f"sub-{i + 1:02d}\tn/a\tn/a\n" for i in range(n_subjects))
        (root / "participants.tsv").write_text("participant_id\tage\tsex\n" + rows)
