"""Films from fMRI, EEG or MEG: what was seen is drawn again as a film that moves, beside everything that could do so without a brain.

The first decoder stands beside the rows of control of every decoder of pictures, and beside two that only films have: the first
decoded frame standing still, and the same decoder given test recordings in which the voxels of motion were exchanged between
trials. A decoder that reads motion loses the direction in that row, and keeps the looks. Without a cohort it makes drawn scenes
that move and an fMRI that sees them.
"""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._film_rows import film_rows, motion_channels, motion_sentences
from braindec.decoders._reconstruction import average_repetitions, reconstruct_fold
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.control_report import report_parts
from braindec.evaluate.official import official_split
from braindec.evaluate.results import group_scores, retrieval_result
from braindec.evaluate.splits import content_split
from braindec.loaders.cohort import (
    Channels,
    Epochs,
    Events,
    Steps,
    event_windows,
    overview,
    source_of,
    subject_units,
    units_of,
)
from braindec.loaders.features import load_features
from braindec.loaders.pictures import load_pictures
from braindec.loaders.synthetic_scenes import scene_cohort

CITATIONS = [
    {"key": "chen2023film", "text": "Chen, Qing & Zhou (2023). Cinematic mindscapes: High-quality video reconstruction from brain activity. NeurIPS "
     "(MinD-Video)."},
    {"key": "lu2025", "text": "Lu et al. (2025). Animate your thoughts: Reconstruction of dynamic natural vision from human brain activity. ICLR "
     "(Mind-Animator)."},
    {"key": "sun2024", "text": "Sun et al. (2024). NeuroCine: Decoding vivid video sequences from human brain activities. arXiv 2402.01590."},
    {"key": "yeung2024", "text": "Yeung et al. (2024). Neural representations of dynamic visual stimuli. arXiv 2406.02659."},
]  # fmt: skip

Decoder = Annotated[dict, options_of("decoders", needs="reconstruct")]


class Synthetic(Section):
    """Drawn scenes that move, and the fMRI (or EEG) of subjects who see them."""

    modality: str = "fmri"
    n_subjects: PositiveInt = 1
    n_train: PositiveInt = 720
    n_test: PositiveInt = 64
    size: PositiveInt = 8
    n_frames: Annotated[int, Field(ge=2)] = 4
    speed: float = Field(0.8, gt=0)
    radius: tuple[float, float] = (0.17, 0.2)
    shapes: PositiveInt = 2
    colours: PositiveInt = 3
    noise: float = Field(0.6, ge=0)
    n_voxels: PositiveInt = 300
    seed: int = 0


class FilmOptions(Section):
    """Where the films are (those of the data by default), their size, what describes them, and which parts of that are used."""

    folder: str | None = None
    size: PositiveInt | None = None
    features: str | None = None
    components: list[str] | None = None


class Motion(Section):
    """The voxels that are exchanged between trials: those whose ``column`` of the channels' table is one of ``regions``."""

    column: str = "region"
    regions: list[str] = ["MT"]


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    pictures: FilmOptions = FilmOptions()
    motion: Motion = Motion()
    signal: Steps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs()
    split_by: str = "part"
    test: float = Field(0.2, gt=0, lt=1)
    average_repetitions: bool = True
    decoders: Annotated[list[Decoder], Field(min_length=1)] = [{"name": "mind_animator"}]
    rows: list[str] | None = None
    seeds: PositiveInt = 5
    network: str = "pixels"
    metrics: Annotated[list[str], Field(min_length=1)] = [
        "two_way",
        "motion_direction",
        "pixcorr",
        "frame_ssim",
        "end_point_error",
    ]
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 1000


def is_synthetic(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if not is_synthetic(config):
        return subject_units(config.data, config.select.subjects)
    known = [f"{k + 1:02d}" for k in range(config.synthetic.n_subjects)]
    return units_of(known, config.select.subjects)


def inputs(config, unit):
    extra = [config.pictures.features] if config.pictures.features else []
    return extra if is_synthetic(config) else [*source_of(config.data).files(unit["subject"]), *extra]


def load(config, unit, cache):
    """Windows, films, features, and the source."""
    made = config.synthetic
    if is_synthetic(config):
        signal = {"n_voxels": made.n_voxels} if made.modality == "fmri" else {}
        cohort = scene_cohort(
            made.modality, n_subjects=made.n_subjects, n_train=made.n_train, n_test=made.n_test, size=made.size, film=True, noise=made.noise,
            seed=made.seed, signal=signal, n_frames=made.n_frames, speed=made.speed, radius=made.radius, shapes=made.shapes,
            colours=made.colours,
        )  # fmt: skip
        return cohort.windows(unit["subject"]), cohort.pictures, cohort.features, None
    source = source_of(config.data)
    windows = source.windows(unit["subject"])
    if windows is None or windows.n_times > 1 or config.epochs.tmax is not None or config.events != Events():
        windows, _ = event_windows(source, unit["subject"], events=config.events, epochs=config.epochs, steps=config.signal,
                                   channels=config.channels, cache=cache)  # fmt: skip
    pictures = load_pictures(source, size=config.pictures.size, folder=config.pictures.folder)
    if not pictures.is_film:
        raise BraindecError(
            "these data show still pictures", found=repr(pictures), fix="braindec run image_reconstruction"
        )
    if not config.pictures.features:
        return windows, pictures, None, source
    return windows, pictures, load_features(config.pictures.features), source


def split_of(config, windows):
    if config.split_by == "part":
        return official_split(windows, "part", validation_by="stimulus_id", validation=0.0, seed=config.seed)
    return content_split(windows, config.split_by, test=config.test, validation=0.0, seed=config.seed)


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit video_reconstruction``."""
    windows, _, _, _ = load(config, unit, Cache(default_folder()))
    return audit(windows, [split_of(config, windows)], claim="stimulus_id")


def run(config, unit, work):
    windows, pictures, features, source = load(config, unit, work.cache)
    split = split_of(config, windows)
    if features is not None and config.pictures.components:
        features = only(features, config.pictures.components)
    fold = reconstruct_fold(
        config.decoders, windows, split, pictures, features, average=config.average_repetitions, seeds=config.seeds, rows=config.rows,
        network=config.network, seed=work.seed, folder=work.folder / "model",
    )  # fmt: skip
    test = windows[split.test]
    test = average_repetitions(test) if config.average_repetitions else test
    channels, notes = moving(config, test)
    first = next(iter(fold.decoders.values()))
    rows = film_rows(fold.rows, first, test, channels=channels, seeds=config.seeds, seed=work.seed)
    found = rows.report(metrics=config.metrics, network=config.network, n_permutations=config.n_permutations, n_bootstrap=config.n_bootstrap,
                        seed=work.seed, keys=unit)  # fmt: skip
    parts = report_parts(
        found, rows.made, rows.true, n_frames=pictures.shape[1], title="Frames shown, decoded and controls"
    )
    card = audit(windows, [split], records=[(split, fold.records)], claim="stimulus_id")
    told = overview(windows, "part" if "part" in windows.trials else "concept_id", source)
    told |= {"films": repr(pictures).strip("<>"), "decoder": config.decoders[0]["name"], "test items": len(rows.ids)}
    result = retrieval_result(parts.scores, card, parts.arrays, parts.panels, overview=told, notes=notes)
    return finished(
        result, parts, found, [n for n in list(fold.decoders)[1:] if n in rows.made], getattr(first, "history_", {})
    )


def only(features, components):
    """Features of some components, e.g. what is seen but not how it moves."""
    kept = features.units["component"].isin(components).to_numpy()
    if not kept.any():
        raise BraindecError("no feature is of these components", found=", ".join(components),
                            allowed=", ".join(features.units["component"].unique()))  # fmt: skip
    return replace(features, values=features.load()[:, kept], units=features.units[kept].reset_index(drop=True))


def moving(config, windows):
    """Channels that code motion, or None with the reason."""
    if config.motion.column not in windows.channels:
        return None, [f"The channels have no column {config.motion.column!r}, so no motion voxels were exchanged."]
    try:
        return motion_channels(windows, config.motion.column, config.motion.regions), []
    except BraindecError as error:
        return None, [f"No motion voxels were exchanged: {error}"]


def finished(result, parts, report, others, history):
    """Add findings, sentences on motion and training curves."""
    made_by: dict[str, Any] = dict(result.made_by)
    made_by["answers"] = [*motion_sentences(report.scores, others=others), *parts.sentences]
    card = dict(made_by["audit"])
    card["findings"] = [*card.get("findings", []), *(f.to_dict() for f in parts.findings)]
    made_by["audit"] = card
    arrays, panels = dict(result.arrays), list(made_by["panels"])
    if history:
        arrays |= {f"training/{k}": np.asarray(v) for k, v in history.items()}
        panels.append({"draw": "training_curves", "title": "Training of the denoiser", "caption": "Loss on training rows; no test row is seen.",
                       "args": {"history": {k: f"@training/{k}" for k in history}}})  # fmt: skip
    return type(result)(pd.DataFrame(result.scores), arrays, {**made_by, "panels": panels})


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
