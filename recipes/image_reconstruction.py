"""Pictures from EEG, MEG or fMRI: what was seen is drawn again, beside everything that could have drawn it without a brain.

The first decoder is put beside rows that know nothing of the item (a shuffled, a noise and a mean recording, the prior alone,
the mean training picture) and beside references: ridge, the nearest training picture, a picture of the same category, and the
true features. Further decoders stand beside it, and the row "chosen" is the one that validation rows prefer. Without a cohort
it makes drawn scenes and a brain that sees them, or handwritten digits.
"""

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._reconstruction import (
    ControlRows,
    extra_digits,
    fold_sentences,
    picture_components,
    reconstruct_fold,
)
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.cluster_split import cluster_stimuli, with_clusters
from braindec.evaluate.control_report import report_parts
from braindec.evaluate.official import official_split
from braindec.evaluate.picture_attributes import AttributeReader
from braindec.evaluate.results import group_scores, retrieval_result
from braindec.evaluate.splits import content_split, split_by
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
from braindec.loaders.scenes import scene_pictures
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.loaders.synthetic_scenes import scene_cohort
from braindec.types import Split

CITATIONS = [
    {"key": "chen2023", "text": "Chen et al. (2023). Seeing beyond the brain: Conditional diffusion model with sparse masked modeling for vision decoding. "
     "CVPR (MinD-Vis)."},
    {"key": "scotti2024", "text": "Scotti et al. (2024). MindEye2: Shared-subject models enable fMRI-to-image with 1 hour of data. ICML."},
    {"key": "shirakawa2024", "text": "Shirakawa et al. (2024). Spurious reconstruction from brain activity. arXiv 2405.10078."},
]  # fmt: skip

Decoder = Annotated[dict, options_of("decoders", needs="reconstruct")]


class Synthetic(Section):
    """Drawn ``scenes`` seen by fMRI or EEG, or handwritten ``digits`` seen by voxels that weigh pixels."""

    stimuli: Literal["scenes", "digits"] = "scenes"
    modality: Literal["fmri", "eeg"] = "fmri"
    n_subjects: PositiveInt = 2
    n_train: PositiveInt = 640
    n_test: PositiveInt = 64
    size: PositiveInt = 16
    radius: tuple[float, float] | None = (0.2, 0.25)
    noise: float = Field(1.0, ge=0)
    n_voxels: PositiveInt = 300
    seed: int = 0


class PictureOptions(Section):
    """Where the pictures are (those of the data by default), at which size and mode they are read, and what describes them."""

    folder: str | None = None
    size: PositiveInt | None = None
    mode: Literal["colour", "grey"] | None = None
    features: str | None = None
    components: PositiveInt = 32
    extra_digits: list[int] = []


class Parts(Section):
    """``by``: the official column ``part``, stimulus_id, concept_id, cluster, or any column; one split, or ``n_folds``."""

    by: str = "part"
    n_folds: Annotated[int, Field(ge=2)] | None = None
    n_clusters: PositiveInt = 20
    test: float = Field(0.2, gt=0, lt=1)
    validation: float = Field(0.15, ge=0, lt=1)
    refit: bool = False


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    pictures: PictureOptions = PictureOptions()
    signal: Steps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs()
    split: Parts = Parts()
    average_repetitions: bool = True
    decoders: Annotated[list[Decoder], Field(min_length=1)] = [{"name": "conditioned"}]
    rows: list[str] | None = None
    seeds: PositiveInt = 3
    network: str = "gabor"
    metrics: list[str] | None = None
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 1000


def is_synthetic(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if not is_synthetic(config):
        return subject_units(config.data, config.select.subjects)
    own = [k for k in ("folder", "size", "mode", "features") if getattr(config.pictures, k) is not None]
    if own:
        raise BraindecError(
            f"pictures.{own[0]} belongs to recordings of your own, and none are named",
            fix="data.root=... or --cohort FILE",
        )
    n = 1 if config.synthetic.stimuli == "digits" else config.synthetic.n_subjects
    known = [f"{k + 1:02d}" for k in range(n)]
    return units_of(known, config.select.subjects)


def inputs(config, unit):
    extra = [config.pictures.features] if config.pictures.features else []
    return extra if is_synthetic(config) else [*source_of(config.data).files(unit["subject"]), *extra]


def load(config, unit, cache):
    """Windows, pictures, features where the data have some, a table of attributes to read, and the source."""
    made, wanted = config.synthetic, config.pictures
    if is_synthetic(config) and made.stimuli == "digits":
        pictures = digit_pictures()
        windows = pixel_voxels(pictures, n_voxels=made.n_voxels, noise=made.noise, seed=made.seed)
        part = np.where(np.arange(len(windows)) < len(windows) - 300, "train", "test")
        return windows.with_trials(part=part), pictures, None, None
    if is_synthetic(config):
        cohort = scene_cohort(made.modality, n_subjects=made.n_subjects, n_train=made.n_train, n_test=made.n_test, size=made.size,
                              noise=made.noise, seed=made.seed, radius=made.radius)  # fmt: skip
        return cohort.windows(unit["subject"]), cohort.pictures, cohort.features, None
    source = source_of(config.data)
    windows = source.windows(unit["subject"])
    if windows is None or windows.n_times > 1 or config.epochs.tmax is not None or config.events != Events():
        windows, _ = event_windows(source, unit["subject"], events=config.events, epochs=config.epochs, steps=config.signal,
                                   channels=config.channels, cache=cache)  # fmt: skip
    pictures = load_pictures(source, size=wanted.size, mode=wanted.mode, folder=wanted.folder)
    return windows, pictures, load_features(wanted.features) if wanted.features else None, source


def splits_of(config, windows, pictures):
    """Folds with validation rows taken by content out of the training rows."""
    wanted, seed = config.split, config.seed
    if wanted.by == "part":
        return windows, [
            official_split(windows, "part", validation_by="stimulus_id", validation=wanted.validation, seed=seed)
        ]
    if wanted.by == "cluster":
        windows = with_clusters(windows, cluster_stimuli(pictures, n_clusters=wanted.n_clusters, seed=seed))
    if wanted.n_folds is None:
        return windows, [content_split(windows, wanted.by, test=wanted.test, validation=wanted.validation, seed=seed)]
    return windows, [with_validation(s, windows, wanted.validation, seed) for s in split_by(windows, wanted.by, n_folds=wanted.n_folds)]  # fmt: skip


def with_validation(split, windows, share, seed):
    if not share:
        return split
    inside = content_split(windows[split.train], "stimulus_id", test=share, validation=0.0, seed=seed)
    return Split(
        split.train[inside.train], split.train[inside.test], split.test, by=split.by, ids=split.ids, name=split.name
    )


def claims(config):
    return "concept_id" if config.split.by == "concept_id" else "stimulus_id"


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit image_reconstruction``."""
    windows, pictures, _, _ = load(config, unit, Cache(default_folder()))
    windows, splits = splits_of(config, windows, pictures)
    return audit(windows, splits, claim=claims(config))


def run(config, unit, work):
    windows, pictures, given, source = load(config, unit, work.cache)
    windows, splits = splits_of(config, windows, pictures)
    extra = extra_digits(pictures, config.pictures.extra_digits) if config.pictures.extra_digits else None
    folds = {}
    for number, split in enumerate(splits):
        shown = windows.trials["stimulus_id"].iloc[split.train].tolist()
        features = given if given is not None else picture_components(pictures, shown, n=config.pictures.components, more=extra)  # fmt: skip
        folds[f"{number + 1:02d}"] = reconstruct_fold(
            decoders_of(config, windows), windows, split, pictures, features, refit=config.split.refit, average=config.average_repetitions,
            seeds=config.seeds, rows=config.rows, network=config.network, seed=work.seed, extra={"extra_pictures": extra},
            folder=work.folder / "model" if len(splits) == 1 else None,
        )  # fmt: skip
    rows = ControlRows.concat({k: f.rows for k, f in folds.items()}) if len(folds) > 1 else folds["01"].rows
    metrics, notes = metrics_of(config, pictures)
    found = rows.report(metrics=metrics, network=config.network, n_permutations=config.n_permutations, n_bootstrap=config.n_bootstrap,
                        seed=work.seed, keys=unit)  # fmt: skip
    parts = report_parts(found, rows.made, rows.true)
    card = audit(windows, splits, records=[(s, f.records) for s, f in zip(splits, folds.values(), strict=True)], claim=claims(config))  # fmt: skip
    told = overview(windows, "part" if "part" in windows.trials else "concept_id", source)
    told |= {"pictures": repr(pictures).strip("<>"), "decoder": config.decoders[0]["name"], "test items": len(rows.ids)}
    result = retrieval_result(parts.scores, card, parts.arrays, parts.panels, overview=told, notes=notes)
    return finished(result, parts, folds, found, config, extra)


def decoders_of(config, windows):
    """The decoders; ridge as embedder whitens channels where windows have several samples, unless the settings say otherwise."""
    decoders = [dict(d) for d in config.decoders]
    for d in decoders:
        if (d.get("embedder") or {}).get("name") == "ridge" and windows.n_times > 1:
            d["embedder"] = {"noise_normalise": True, **d["embedder"]}
    return decoders


def metrics_of(config, pictures):
    """Metrics of the report; of drawn scenes also whether shape, colour and place can be read from what was made."""
    if not is_synthetic(config) or config.synthetic.stimuli != "scenes":
        return config.metrics, []
    asked = list(config.metrics or ["two_way", "within_category", "pixcorr", "ssim"])
    more = scene_pictures(
        1500,
        size=config.synthetic.size,
        radius=config.synthetic.radius,
        seed=10_007 + config.synthetic.seed,
        prefix="reader",
    )
    reader = AttributeReader(more, ["shape", "colour", "x", "y"])
    place = reader.metric("x", "y")
    place.__name__ = "place"
    said = ", ".join(f"{k} {v:.2f}" for k, v in reader.accuracy.items())
    note = f"Shape, colour and place are read from pictures by classifiers trained on 1,500 further scenes (held-out scores: {said}); " \
           "place is minus the distance in standard deviations."  # fmt: skip
    return [*asked, reader.metric("shape"), reader.metric("colour"), place], [note]


def finished(result, parts, folds, report, config, extra):
    """Add findings, sentences, training curves and the choice of the decoder."""
    sentences, table = fold_sentences(folds, report, config.decoders)
    made_by: dict[str, Any] = dict(result.made_by)
    made_by["answers"] = [*sentences, *parts.sentences]
    card = dict(made_by["audit"])
    card["findings"] = [*card.get("findings", []), *(f.to_dict() for f in parts.findings)]
    made_by["audit"] = card
    notes = list(made_by["notes"])
    if extra is not None:
        notes.append(f"{len(extra)} further pictures without recordings taught the prior: digits {config.pictures.extra_digits} of scikit-learn.")  # fmt: skip
    history = getattr(next(iter(folds.values())).decoders[config.decoders[0]["name"]], "history_", {})
    arrays, panels = dict(result.arrays), list(made_by["panels"])
    if len(table):
        arrays |= {
            "choice/decoder": table["decoder"].to_numpy(dtype=object),
            "choice/value": table["value"].to_numpy(float),
        }
    if history:
        arrays |= {f"training/{k}": np.asarray(v) for k, v in history.items()}
        panels.append({"draw": "training_curves", "title": "Training of the denoiser", "caption": "Loss on training rows; no validation or test row "
                       "is seen.", "args": {"history": {k: f"@training/{k}" for k in history}}})  # fmt: skip
    return type(result)(pd.DataFrame(result.scores), arrays, {**made_by, "notes": notes, "panels": panels})


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
