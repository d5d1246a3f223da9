"""Images from EEG, MEG or iEEG: windows to image embeddings, held-out images retrieved by name.

An encoder is trained with a contrastive loss to meet the embedding of the image that was shown; the closed-form ridge
decoder stands beside it. Test images are of concepts that were never trained on. Control rows: shuffled pairs, noise
input, time only, and an untrained encoder. Without a cohort it makes and runs the built-in synthetic one.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec import registry
from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, options_of
from braindec.evaluate.audit import audit
from braindec.evaluate.controls.noise_input import noise_windows
from braindec.evaluate.controls.time_only import time_features
from braindec.evaluate.official import official_or_content_split
from braindec.evaluate.results import class_difference, group_scores, retrieval_panels, retrieval_result
from braindec.evaluate.retrieval import evaluate_retrieval
from braindec.loaders.cohort import Channels, Epochs, Events, Steps, event_windows, overview, source_of, subject_units
from braindec.loaders.features import load_features
from braindec.loaders.synthetic import default_folder as synthetic_folder
from braindec.loaders.synthetic import make_cohort, open_cohort
from braindec.types import Features, Windows

Decoder = Annotated[dict, options_of("decoders", needs="embed")]


CITATIONS = [
    {"key": "song2024", "text": "Song et al. (2024). Decoding natural images from EEG for object recognition. ICLR (NICE)."},
    {"key": "defossez2023", "text": "Défossez et al. (2023). Decoding speech perception from non-invasive brain recordings. "
     "Nature Machine Intelligence 5, 1097-1107.", "doi": "10.1038/s42256-023-00714-5"},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip


class Synthetic(Section):
    preset: str = "demo"
    n_subjects: int = 3
    seed: int = 0


class Content(Section):
    column: str | None = "part"
    by: str = "concept_id"
    test: float = Field(0.2, gt=0, lt=1)
    validation: float = Field(0.15, ge=0, lt=1)


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    features: str | None = None
    pictures: str | None = None
    signal: Steps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs(tmax=0.8)
    split: Content = Content()
    decoder: Decoder = {}
    baseline: Decoder = {}
    controls: list[Literal["label_shuffle", "noise_input", "time_only", "untrained"]] = []
    topk: list[PositiveInt] = Field([1, 5], min_length=1)
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 2000


def cohort_of(config):
    """The synthetic cohort when no recordings are named, else None."""
    if config.data.dataset or config.data.root:
        return None
    options = config.synthetic.model_dump()
    return make_cohort(synthetic_folder(**options), **options)


def data_of(config):
    cohort = cohort_of(config)
    if cohort is None:
        return config.data
    return config.data.model_copy(update={"root": str(cohort.root), "reader": "bids"})


def units(config):
    return subject_units(data_of(config), config.select.subjects)


def inputs(config, unit):
    data = data_of(config)
    extra = [config.features] if config.features else []
    return [*source_of(data).files(unit["subject"]), *extra]


def load(config, unit, cache):
    data = data_of(config)
    windows, _ = event_windows(source_of(data), unit["subject"], events=config.events, epochs=config.epochs,
                            steps=config.signal, channels=config.channels, cache=cache)  # fmt: skip
    cohort = None if config.data.dataset or config.data.root else open_cohort(data.root)
    features = load_features(config.features) if cohort is None else cohort.features
    split = config.split
    parts = official_or_content_split(
        windows, split.column, by=split.by, test=split.test, validation=split.validation, seed=config.seed
    )
    return windows, features, parts, cohort


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit eeg_image_retrieval``."""
    windows, features, split, _ = load(config, unit, Cache(default_folder()))
    candidates = candidates_of(windows, features, split)
    return audit(windows, [split], candidates=candidates, claim=config.split.by)


def candidates_of(windows, features, split):
    """The declared candidates: every image that stands in the test part, once."""
    return features[features.rows_of(pd.unique(windows.trials["stimulus_id"].iloc[split.test]))]


def decoder_of(options, folder, seed):
    options = dict(options)
    kind = registry.get("decoders", options.pop("name"))
    return kind(**options, seed=seed, folder=str(folder)) if folder else kind(**options)


def run(config, unit, work):
    windows, features, split, cohort = load(config, unit, work.cache)
    test = windows[split.test]
    candidates = candidates_of(windows, features, split)
    shown = test.trials["stimulus_id"].to_numpy()
    statistics = {"true_ids": shown, "topk": config.topk, "n_permutations": config.n_permutations,
                  "n_bootstrap": config.n_bootstrap, "seed": work.seed, "keys": unit}  # fmt: skip

    def fitted(name, options, windows, features):
        folder = work.folder / name if options["name"] == "contrastive" else None
        decoder = decoder_of(options, folder, work.seed)
        return decoder.fit(windows[split.train], features, validation=windows[split.validation])

    def scored(decoder, windows, **options):
        return evaluate_retrieval(
            decoder.embed(windows[split.test]), decoder.project(candidates), **statistics, **options
        )

    decoder = fitted("decoded", config.decoder, windows, features)
    found = scored(decoder, windows)
    decoder.save(work.folder / "model")
    ridge = fitted("baseline", config.baseline, windows, features)
    tables = [found.scores, scored(decoder, windows, direction="image_to_brain").scores]
    tables.append(scored(ridge, windows, row="ridge baseline").scores)
    for name in config.controls:
        options, seen, targets = control(name, config, windows, features, work)
        tables.append(scored(fitted(name, options, seen, targets), seen, row=name).scores)

    card = audit(
        windows, [split], records=[(split, decoder.fit_records_)], candidates=candidates, claim=config.split.by
    )
    arrays = {f"training/{k}": np.asarray(v) for k, v in decoder.history_.items()}
    panels = retrieval_panels(found, arrays)
    panels += example_panels(decoder, test, candidates, shown, pictures_of(config, cohort), arrays)
    difference, panel = class_difference(test, shown)
    if panel is not None:
        arrays.update(difference)
        panels.append({**panel, "title": "Where and when responses differ between the test images"})
    panels.append({"draw": "training_curves", "title": "Training", "caption": "Early stopping on validation images, whose concepts "
                   "are in neither the training nor the test part.", "args": {"history": {k: f"@training/{k}" for k in decoder.history_}}})  # fmt: skip
    return retrieval_result(
        pd.concat(tables, ignore_index=True),
        card,
        arrays,
        panels,
        overview=overview(windows, "part", source_of(data_of(config))),
        notes=found.notes,
    )


def control(name, config, windows, features, work):
    """What each control row leaves in: the decoder's options, the windows it sees, and the features it is taught."""
    if name == "label_shuffle":
        items = features.items.assign(stimulus_id=work.rng(name).permutation(features.ids))
        return config.decoder, windows, Features(features.values, items, features.units)
    if name == "noise_input":
        return config.decoder, noise_windows(windows, seed=work.seed), features
    if name == "time_only":
        times = time_features(windows)[0].astype("float32")[:, :, None]  # (window, feature, 1)
        return (
            {"name": "ridge", "scaler": "standard_scaler"},
            Windows.from_arrays(times, windows.trials, sfreq=windows.sfreq),
            features,
        )
    return {**config.decoder, "epochs": 0}, windows, features  # untrained


def pictures_of(config, cohort):
    """How to find the picture of a stimulus: in the synthetic cohort, or in a folder of files named by stimulus_id."""
    if cohort is not None:
        return cohort.picture
    if config.pictures is None:
        return None
    table = {
        p.stem: p for p in sorted(Path(config.pictures).rglob("*")) if p.suffix.lower() in (".png", ".jpg", ".jpeg")
    }
    return table.get


def example_panels(decoder, test, candidates, shown, picture, arrays, n_examples=8, n_best=5):
    """Averaged test trials of some images: what was shown, and the best candidates as pictures."""
    items = pd.unique(shown)
    if picture is None or any(picture(item) is None for item in items):
        return []
    embedded = decoder.embed(test)
    means = np.stack([embedded[shown == item].mean(axis=0) for item in items])
    best = evaluate_retrieval(
        means, decoder.project(candidates), true_ids=items, topk=(1,), n_permutations=0, n_bootstrap=10
    )
    spread = np.linspace(0, len(items) - 1, min(n_examples, len(items))).round().astype(int)
    order = np.argsort(best.ranks, kind="stable")[spread]  # every rank, not the best ones only
    names = best.top(n_best)[order]
    seen = {
        n: np.asarray(Image.open(picture(n)).convert("RGB").resize((96, 96))) for n in {*items[order], *names.ravel()}
    }
    arrays["examples/shown"] = np.stack([seen[n] for n in items[order]])
    arrays["examples/retrieved"] = np.stack([[seen[n] for n in row] for row in names])
    arrays["examples/hit"] = names == items[order][:, None]
    arrays["examples/rank"] = best.ranks[order]
    return [{"draw": "retrieval_examples", "title": "Examples, from the best to the worst rank",
             "caption": "Left: the image that was shown (trials averaged). Right: the best candidates; the true one is framed. "
             "Examples are spread evenly over all ranks.",
             "args": {"shown": "@examples/shown", "retrieved": "@examples/retrieved", "hit": "@examples/hit",
                      "rank": "@examples/rank", "n_candidates": len(best.candidate_ids)}}]  # fmt: skip


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
