"""Brains that see drawn scenes, in memory and with known truth: fMRI and EEG of one subject, and a cohort of several.

Every attribute of a scene is in the signal of some region (fMRI) or at some time (EEG), weakly enough that single trials
are read well above chance but not perfectly: place, shape, colour and, in films, direction of motion. One region of the
fMRI carries nothing. The same seed gives the same bytes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _scene_eeg, _scene_fmri
from braindec.loaders._scene_trials import plan
from braindec.loaders.scenes import check_scenes, check_seed, scene_features, scene_pictures
from braindec.types import Features, Pictures, Windows

__all__ = ["SceneCohort", "scene_cohort", "scene_eeg", "scene_fmri"]


def scene_fmri(
    pictures: Pictures, *, n_voxels: int = 400, noise: float = 1.0, seed: int = 0, subject: str = "01", repetitions: int = 1,
    runs: int = 8, stimulus_ids: Sequence[Any] | None = None,
) -> Windows:  # fmt: skip
    """Return the betas of one subject, one sample a trial.

    Parameters
    ----------
    pictures : Pictures
        Of :func:`braindec.loaders.scenes.scene_pictures`; responses are standardised over all of them, so draw training
        and test scenes together.
    n_voxels : int
        In regions V1 (contrast and luminance in receptive fields), V4 (hue), LOC (shape), MT (direction; films only)
        and control (noise alone), see ``channels.region``.
    noise : float
        1 by default; 0 is a brain without noise.
    seed, subject
        Decide the voxels; two subjects share no voxel.
    repetitions, runs : int
        How often each scene is shown, and over how many runs.
    stimulus_ids : sequence, optional
        The scenes that are shown; all by default.

    Returns
    -------
    Windows of shape (n_trials, n_voxels, 1)
        In random order; trials hold subject, session, run, onset, repetition, stimulus_id, concept_id, shape, colour, x, y,
        motion, ... ``info["truth"]`` has arrays: ``response`` (picture, voxel) without noise, in the order of
        ``pictures``, ``noise_sd`` and ``noise_ceiling`` (voxel,; the correlation of a single trial with the truth),
        ``region``, ``rf_x``, ``rf_y``, ``rf_size`` (V1, -1 to 1), ``hue`` (V4), ``shape_tuning`` (LOC), ``direction``
        (MT, degrees).

    Raises
    ------
    BraindecError
        If the pictures are no drawn scenes, or a number makes no sense.
    """
    check_scenes(pictures)
    check_seed(seed)
    trials = plan(pictures, subject=subject, repetitions=repetitions, runs=runs, seed=seed, stimulus_ids=stimulus_ids)
    return _scene_fmri.respond(pictures, trials, n_voxels=n_voxels, noise=noise, seed=seed, subject=subject)


def scene_eeg(
    pictures: Pictures, *, noise: float = 1.0, seed: int = 0, subject: str = "01", repetitions: int = 1, runs: int = 8,
    stimulus_ids: Sequence[Any] | None = None, channels: Sequence[str] | None = None, sfreq: float = 100.0, tmin: float = -0.1,
    tmax: float = 0.6,
) -> Windows:  # fmt: skip
    """Return the EEG of one subject around each scene, in V, cut from continuous runs.

    Parameters
    ----------
    pictures : Pictures
        Of :func:`braindec.loaders.scenes.scene_pictures`; drives are standardised over all of them, so draw training and
        test scenes together.
    noise : float
        Scale of the ongoing activity (1/f, alpha, sensors); 1 by default.
    seed, subject
        Decide the head; subjects share what drives the sources, not the topographies.
    repetitions, runs, stimulus_ids
        See :func:`scene_fmri`.
    channels : sequence of str, optional
        Names of the 10-05 system; 32 by default, against linked mastoids.
    sfreq, tmin, tmax : float
        Hz; s from onset (``tmax`` not included).

    Returns
    -------
    Windows of shape (n_trials, n_channels, n_times)
        ``info["truth"]`` has arrays: ``attribute``, ``name``, ``latency`` (s) and ``position`` (m) of each source,
        ``topographies`` (channel, source; V a unit of drive), ``courses`` (source, time) over ``times``, ``drives`` (picture,
        source), ``evoked`` (channel, time), ``noise_sd`` (channel,; V).

    Raises
    ------
    BraindecError
        If the pictures are no drawn scenes, a channel is unknown, or a number makes no sense.
    """
    check_scenes(pictures)
    check_seed(seed)
    trials = plan(pictures, subject=subject, repetitions=repetitions, runs=runs, seed=seed, stimulus_ids=stimulus_ids)
    given = list(channels) if channels is not None else None
    return _scene_eeg.respond(
        pictures, trials, noise=noise, seed=seed, subject=subject, channels=given, sfreq=sfreq, tmin=tmin, tmax=tmax
    )


@dataclass(frozen=True, eq=False)
class SceneCohort:
    """Several subjects who look at the same drawn scenes; nothing is on disk, everything comes from the seed again.

    Attributes
    ----------
    modality : str
        "fmri" or "eeg".
    subjects : list of str
        "01", "02", ...
    pictures : Pictures
        All scenes; ``items.part`` is "train" or "test".
    features : Features
        What was drawn, see :func:`braindec.loaders.scenes.scene_features`; items have ``part`` too.
    settings : dict
        What the cohort was made with.
    """

    modality: str
    subjects: list[str]
    pictures: Pictures
    features: Features
    settings: Mapping[str, Any] = field(repr=False)

    def windows(self, subject: str) -> Windows:
        """Return the trials of a subject, training and test in separate runs; ``trials.part`` says which.

        ``info["truth"]`` is what was planted, see :func:`scene_fmri` and :func:`scene_eeg`.

        Raises
        ------
        BraindecError
            If there is no such subject.
        """
        if str(subject) not in self.subjects:
            raise BraindecError(f"there is no subject {str(subject)!r}{did_you_mean(str(subject), self.subjects)}",
                                allowed=", ".join(self.subjects))  # fmt: skip
        settings, subject = self.settings, str(subject)
        noise = settings["noise"] * _NOISES[self.subjects.index(subject) % len(_NOISES)]
        trials = self._trials(subject)
        kind = _scene_fmri if self.modality == "fmri" else _scene_eeg
        return kind.respond(
            self.pictures, trials, noise=noise, seed=settings["seed"], subject=subject, **settings["signal"]
        )

    def _trials(self, subject: str) -> pd.DataFrame:
        """Training and test runs in turn."""
        settings, part = self.settings, self.pictures.items["part"].to_numpy()
        tables = []
        for name, first in (("train", 1), ("test", 501)):
            table = plan(self.pictures, subject=subject, repetitions=settings[f"{name}_repetitions"], runs=settings[f"{name}_runs"],
                         seed=settings["seed"], stimulus_ids=self.pictures.ids[part == name], first_run=first)  # fmt: skip
            step = table["run"].astype(int) - first  # the k-th run of its kind
            tables.append(table.assign(place=(step + 0.5) / settings[f"{name}_runs"]))
        trials = pd.concat(tables, ignore_index=True).sort_values("place", kind="stable", ignore_index=True)
        runs = {
            key: f"{k:02d}"
            for k, key in enumerate(dict.fromkeys(zip(trials["part"], trials["place"], strict=True)), start=1)
        }
        trials["run"] = [runs[key] for key in zip(trials["part"], trials["place"], strict=True)]
        return trials.drop(columns="place")


_NOISES = (1.0, 0.85, 1.2)  # of the subjects in turn: the third one is noisy


def scene_cohort(
    modality: str = "fmri", *, n_subjects: int = 2, n_train: int = 640, n_test: int = 64, size: int = 16, film: bool = False,
    seed: int = 0, noise: float = 1.0, train_repetitions: int = 1, test_repetitions: int = 4, train_runs: int = 8, test_runs: int = 2,
    signal: Mapping[str, Any] | None = None, **scenes: Any,
) -> SceneCohort:  # fmt: skip
    """Make a cohort of subjects who look at drawn scenes.

    Parameters
    ----------
    modality : {"fmri", "eeg"}
        The same seed gives the same scenes for both.
    n_subjects : int
        Subjects do not depend on how many there are.
    n_train, n_test : int
        Scenes; training and test scenes show the same categories, no scene is in both. Each part is balanced by itself.
    size, film, **scenes
        See :func:`braindec.loaders.scenes.scene_pictures`.
    seed : int
        Same seed, same bytes.
    noise : float
        1 by default; subjects have 1, .85 and 1.2 times that in turn.
    train_repetitions, test_repetitions : int
        How often each scene is shown. A test scene comes in every test run when ``test_runs`` divides the number.
    train_runs, test_runs : int
        Runs of each part, in turn.
    signal : dict, optional
        fMRI: n_voxels (400). EEG: channels, sfreq (100 Hz), tmin (-0.1 s), tmax (0.6 s).

    Raises
    ------
    BraindecError
        If the modality or an option is unknown, or a number makes no sense.

    Examples
    --------
    >>> cohort = scene_cohort("fmri", n_train=64, n_test=16, n_subjects=1)
    >>> windows = cohort.windows("01")
    >>> windows.trials["part"].value_counts().to_dict()
    {'train': 64, 'test': 64}
    """
    known: dict[str, dict[str, Any]] = {
        "fmri": {"n_voxels": 400},
        "eeg": {"channels": None, "sfreq": 100.0, "tmin": -0.1, "tmax": 0.6},
    }
    if modality not in known:
        raise BraindecError(f"there is no cohort of {modality!r} that sees scenes{did_you_mean(modality, known)}",
                            allowed=", ".join(known))  # fmt: skip
    if signal is not None and not isinstance(signal, Mapping):
        raise BraindecError(
            "signal holds options of the recording", found=repr(signal), allowed=", ".join(known[modality])
        )
    given = dict(signal or {})
    for name in given:
        if name not in known[modality]:
            raise BraindecError(f"{modality} of scenes has no option {name!r}{did_you_mean(name, known[modality])}",
                                allowed=", ".join(known[modality]))  # fmt: skip
    drawn = [
        n for n in inspect.signature(scene_pictures).parameters if n not in ("n", "size", "seed", "film", "prefix")
    ]
    for name in scenes:
        if name not in drawn:
            raise BraindecError(f"scenes have no option {name!r}{did_you_mean(name, drawn)}", allowed=", ".join(drawn))
    check_seed(seed)
    counts = (n_subjects, n_train, n_test, train_repetitions, test_repetitions, train_runs, test_runs)
    if not all(isinstance(k, (int, np.integer)) for k in counts) or min(counts) < 1 or n_subjects > 99:
        raise BraindecError(
            "a cohort needs sensible numbers",
            found=f"{n_subjects} subjects, {n_train} + {n_test} scenes, shown {train_repetitions} and {test_repetitions} times",
            allowed="whole numbers: 1 or more of each, 99 subjects at most",
        )
    parts = [
        scene_pictures(n, size=size, seed=2 * seed + k, film=film, prefix=name, **scenes)
        for k, (name, n) in enumerate((("train", n_train), ("test", n_test)))
    ]
    items = pd.concat(
        [p.items.assign(part=n) for p, n in zip(parts, ("train", "test"), strict=True)], ignore_index=True
    )
    values = np.concatenate([p.values for p in parts])
    pictures = Pictures(values, items, parts[0].frame_rate, {**parts[0].info, "seed": seed})
    settings = {"seed": seed, "noise": noise, "train_repetitions": train_repetitions, "test_repetitions": test_repetitions,
                "train_runs": train_runs, "test_runs": test_runs, "signal": {**known[modality], **given}}  # fmt: skip
    subjects = [f"{k + 1:02d}" for k in range(n_subjects)]
    return SceneCohort(modality, subjects, pictures, scene_features(pictures), settings)
