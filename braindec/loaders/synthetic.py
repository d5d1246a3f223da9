"""A synthetic cohort with known truth: subjects who watch images, written as a real BIDS data set (EEG or fMRI).

Everything a study has is there: pictures, their embeddings computed from pixels, events, runs, artefacts, subjects who
differ, and the truth: which channels (or voxels), when, how strong. The same seed gives the same bytes.

EEG: BrainVision files with a standard montage. Training and test images are shown in separate runs (01 train, 02 test,
03 train, 04 test in the preset "demo"), share no concept, and come in random order; ``part`` says which is which.
fMRI: NIfTI in MNI space, images of one category a block, and an fMRIPrep-like derivative with mask and confounds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec import cache
from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._synthetic_folder import VERSION, make_folder, read_marker
from braindec.loaders._synthetic_presets import PRESETS, parameters
from braindec.loaders._synthetic_windows import synthetic_features, synthetic_windows
from braindec.types import Features
from braindec.types.storage import hdf5

__all__ = [
    "PRESETS",
    "Cohort",
    "Truth",
    "default_folder",
    "make_cohort",
    "open_cohort",
    "synthetic_features",
    "synthetic_windows",
]


@dataclass(frozen=True, eq=False)
class Truth:
    """What was planted.

    Attributes
    ----------
    info : dict
        In words and numbers: ``description``, and for each subject under ``subjects`` its gain, SNR, components, ...
    arrays : dict of array
        EEG: ``directions`` (n_components, n_units), ``drives`` (n_stimuli, n_components); for each subject
        ``sub-01/leadfield`` (n_chans, n_components) in V a unit of drive, ``sub-01/courses`` (n_components, n_times),
        ``sub-01/times`` (s), ``sub-01/evoked`` (n_chans, n_times), the response that all images share, V.
        fMRI: ``mask`` and ``roi`` (x, y, z), ``affine``; ``sub-01/patterns`` (n_categories, n_voxels of the mask).
    """

    info: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def subject(self, subject: str) -> dict[str, Any]:
        """Return the description and the arrays of one subject, without the prefix of their names.

        Raises
        ------
        BraindecError
            If there is no such subject.
        """
        known = self.info["subjects"]
        if subject not in known:
            raise BraindecError(
                f"there is no subject {subject!r}{did_you_mean(subject, known)}", allowed=", ".join(known)
            )
        prefix = f"sub-{subject}/"
        return {**known[subject], **{k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}}


@dataclass(frozen=True, eq=False)
class Cohort:
    """A synthetic cohort on disk.

    Attributes
    ----------
    root : Path
        The BIDS folder.
    parameters : dict
        Everything that decides its bytes: modality, seed and the settings of the preset.
    """

    root: Path
    parameters: Mapping[str, Any] = field(repr=False)

    @property
    def modality(self) -> str:
        """Either "eeg" or "fmri"."""
        return self.parameters["modality"]

    @property
    def subjects(self) -> list[str]:
        """Labels without ``sub-``."""
        return [f"{i + 1:02d}" for i in range(self.parameters["n_subjects"])]

    @cached_property
    def stimuli(self) -> pd.DataFrame:
        """One row an image: stimulus_id, concept_id, path (relative to ``root``), part ("train" or "test")."""
        return pd.read_csv(self.root / "stimuli" / "stimuli.tsv", sep="\t", dtype=str, keep_default_na=False)

    @cached_property
    def features(self) -> Features:
        """Embeddings of the images, standardised over training images."""
        return Features.open(self.root / "stimuli" / "features.h5")

    @cached_property
    def truth(self) -> Truth:
        """What was planted."""
        folder = self.root / "derivatives" / "truth"
        arrays: dict[str, np.ndarray] = {}
        with hdf5(folder / "truth.h5", "r") as file:
            file.visititems(lambda name, item: arrays.__setitem__(name, item[...]) if hasattr(item, "shape") else None)
        return Truth(json.loads((folder / "truth.json").read_text(encoding="utf8")), arrays)

    def picture(self, stimulus_id: str) -> Path:
        """Return the path of an image.

        Raises
        ------
        BraindecError
            If there is no such image.
        """
        rows = self.stimuli.loc[self.stimuli["stimulus_id"] == stimulus_id, "path"]
        if not len(rows):
            raise BraindecError(
                f"there is no image {stimulus_id!r}{did_you_mean(stimulus_id, self.stimuli['stimulus_id'])}"
            )
        return self.root / rows.iloc[0]


def default_folder(
    *, modality: str = "eeg", preset: str = "demo", n_subjects: int | None = None, seed: int = 0, **changes: Any
) -> Path:
    """Return where the cohort with these settings is kept: ``$BRAINDEC_CACHE`` or ``~/.cache/braindec``, below ``synthetic``."""
    _, settings = parameters(modality, preset, seed, n_subjects, changes)
    return (
        cache.default_folder() / "synthetic" / f"{modality}-{preset}-{cache.hash_key({'version': VERSION, **settings})}"
    )


def make_cohort(
    folder: str | Path | None = None,
    *,
    modality: str = "eeg",
    preset: str = "demo",
    n_subjects: int | None = None,
    seed: int = 0,
    **changes: Any,
) -> Cohort:
    """Write a synthetic cohort, or open it when the folder holds the same one already.

    Parameters
    ----------
    folder : str or Path, optional
        Not there yet, empty, or the same cohort; :func:`default_folder` by default.
    modality : str
        "eeg" or "fmri".
    preset : str
        "tiny" (seconds, for tests), "demo", or "paper-like" (the size of a published study).
    n_subjects : int, optional
        The preset's number by default. Subjects do not depend on how many there are.
    seed : int
        Same seed, same bytes.
    **changes
        Any setting of the preset (see ``PRESETS``), e.g. ``strength=0`` for a cohort without signal.

    Raises
    ------
    BraindecError
        If a setting is unknown or the folder holds anything else; nothing is ever overwritten.

    Notes
    -----
    The folder appears whole or not at all: it is written beside its place and renamed.
    """
    chosen, settings = parameters(modality, preset, seed, n_subjects, changes)
    folder = (
        Path(folder)
        if folder is not None
        else default_folder(modality=modality, preset=preset, n_subjects=n_subjects, seed=seed, **changes)
    )
    make_folder(folder.absolute(), settings, lambda root: _write(root, modality, chosen, seed))
    return open_cohort(folder)


def open_cohort(folder: str | Path, *, verify: bool = False) -> Cohort:
    """Open a cohort that :func:`make_cohort` wrote; ``verify`` compares the sha256 of every file.

    Raises
    ------
    BraindecError
        If there is none, or files are missing or changed.
    """
    root = Path(folder).absolute()
    return Cohort(root, read_marker(root, verify=verify)["parameters"])


def _write(root: Path, modality: str, preset: Any, seed: int) -> None:
    from braindec.loaders import _synthetic_stimuli as stimulus

    stimuli, features = stimulus.write_stimuli(root, modality, preset, seed)
    with tqdm(total=preset.n_subjects, desc=f"synthetic {modality}", unit="subject", disable=None) as bar:
        if modality == "eeg":
            from braindec.loaders._synthetic_eeg import write_subjects as write_eeg

            truth = write_eeg(root, stimuli, features, preset, seed, done=bar.update)
        else:
            from braindec.loaders._synthetic_fmri import write_subjects as write_fmri

            truth = write_fmri(root, stimuli, preset, seed, done=bar.update)
    stimulus.write_description(root, modality, preset.n_subjects)
    _write_truth(root / "derivatives" / "truth", *truth)


def _write_truth(folder: Path, arrays: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with hdf5(folder / "truth.h5", "w") as file:
        for name in sorted(arrays):
            file.create_dataset(name, data=np.asarray(arrays[name], dtype=np.float32), track_times=False)
    (folder / "truth.json").write_text(json.dumps(info, indent=1) + "\n")
    described = {
        "Name": "What was planted",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "braindec"}],
    }
    (folder / "dataset_description.json").write_text(json.dumps(described, indent=1) + "\n")
