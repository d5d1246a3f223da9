"""Features of stimuli from responses: linear prediction of pixels or embeddings in held-out stimuli.

The predicted description of each held-out stimulus is compared with the true one: correlation, and pairwise
identification among all stimuli and among those of its class. Beside it stand a decoder that knows nothing but the class,
and one that was taught shuffled pairs.
"""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._make import make_decoder
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.identification import evaluate_identification
from braindec.evaluate.results import SplitBy, group_scores, retrieval_result
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import Epochs, Events, Steps, event_windows, overview, source_of, subject_units
from braindec.loaders.features import load_features
from braindec.loaders.images import image_features
from braindec.types import Features

CITATIONS = [
    {"key": "vangerven2010", "text": "van Gerven, de Lange & Heskes (2010). Neural decoding with hierarchical generative models. Neural "
     "Computation 22, 3127-3142.", "doi": "10.1162/NECO_a_00047"},
]  # fmt: skip


class Target(Section):
    """What is predicted: ``path`` of a file of features, or the pictures of the data set by ``describe`` on a ``grid``."""

    path: str | None = None
    describe: Literal["pixels", "gist", "hog", "colour", "all"] = "pixels"
    grid: int = Field(4, ge=1)


class Config(RecipeConfig):
    target: Target = Target()
    signal: Steps = []
    events: Events = Events()
    epochs: Epochs = Epochs()
    split: SplitBy = SplitBy(by="stimulus_id", n_folds=10)
    within: str | None = "concept_id"
    decoder: Annotated[dict, options_of("decoders", needs="describe")] = {"name": "ridge", "scaler": "standard_scaler"}
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 2000


def units(config):
    if not (config.data.dataset or config.data.root):
        raise BraindecError(
            "which recordings? This recipe has no synthetic data of its own",
            fix="--cohort fmri_digits69_images, or data.root=...",
        )
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [*source_of(config.data).files(unit["subject"]), *([config.target.path] if config.target.path else [])]


def load(config, unit, cache):
    """Windows, the features to predict, and the pictures where the data hold them."""
    source, wanted = source_of(config.data), config.target
    windows = source.windows(unit["subject"])
    if windows is None or windows.n_times > 1 or config.epochs.tmax is not None:
        windows, _ = event_windows(
            source, unit["subject"], events=config.events, epochs=config.epochs, steps=config.signal, cache=cache
        )
    if wanted.path:
        return source, windows, load_features(wanted.path), None
    ids, pictures = source.pictures()
    return source, windows, image_features(pictures, wanted.describe, grid=wanted.grid, stimulus_ids=ids), pictures


def splits_of(config, windows):
    return split_by(windows, config.split.by, n_folds=config.split.n_folds, gap=config.split.gap)


def design(config, unit):
    """Audit the design before anything is fitted."""
    _, windows, _, _ = load(config, unit, Cache(default_folder()))
    return audit(windows, splits_of(config, windows), claim="stimulus_id")


def run(config, unit, work):
    source, windows, features, pictures = load(config, unit, work.cache)
    splits, shown = splits_of(config, windows), windows.trials["stimulus_id"].to_numpy()
    decoder = make_decoder(config.decoder, seed=work.seed, folder=str(work.folder / "training"))
    true, fold = features.of(shown), np.full(len(windows), -1)
    classes = windows.trials[config.within].astype(str).to_numpy() if config.within in windows.trials else None
    records = []
    for number, split in enumerate(splits):
        fold[split.test] = number
    tested = np.flatnonzero(fold >= 0)

    def predicted(features, kept=None):
        out = np.zeros(true.shape, dtype=np.float32)
        for split in splits:
            decoder.fit(windows[split.train], features)
            out[split.test] = decoder.describe(windows[split.test])
            if kept is not None:
                kept.append((split, decoder.fit_records_))
        return out

    def scored(values, row):
        within = None if classes is None else classes[tested]
        return evaluate_identification(values[tested], true[tested], items=shown[tested], within=within, exchange=fold[tested], row=row, keys=unit,
                                       n_permutations=config.n_permutations, n_bootstrap=config.n_bootstrap, seed=work.seed)  # fmt: skip

    values = predicted(features, records)
    mixed = features.items.assign(stimulus_id=work.rng("label_shuffle").permutation(features.ids))
    tables = [
        scored(values, "decoded"),
        scored(predicted(Features(features.values, mixed, features.units)), "label_shuffle"),
    ]
    if classes is not None:
        tables.append(scored(class_means(true, classes, splits), "class known"))
    card = audit(windows, splits, records=records, claim="stimulus_id")
    arrays, panels = {}, []
    if pictures is not None and config.target.describe == "pixels":
        panels = picture_panels(values, true, tested, config.target.grid, arrays)
    return retrieval_result(
        pd.concat(tables, ignore_index=True), card, arrays, panels, overview=facts_of(windows, source)
    )


def facts_of(windows, source):
    """Facts of the data; betas have one value a trial, so there is no window in time to tell of."""
    facts = overview(windows, "trial_type", source)
    return {k: v for k, v in facts.items() if windows.n_times > 1 or k not in ("sampling frequency (Hz)", "window (s)")}


def class_means(true, classes, splits):
    """What a decoder predicts that knows the class and nothing else: the mean of its training stimuli."""
    out = np.zeros_like(true)
    for split in splits:
        for row in split.test:
            same = split.train[classes[split.train] == classes[row]]
            out[row] = true[same if len(same) else split.train].mean(axis=0)
    return out


def picture_panels(values, true, tested, grid, arrays, n=12):
    """Pictures that were shown above those that were read, evenly from the best to the worst."""

    def centred(x):
        return x - x.mean(axis=1, keepdims=True)

    a, b = centred(values[tested]), centred(true[tested])
    r = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12)
    rows = tested[np.argsort(-r, kind="stable")[np.linspace(0, len(r) - 1, min(n, len(r))).round().astype(int)]]
    side = 4 * grid
    for name, pixels in (("shown", true), ("read", values)):
        arrays[f"pictures/{name}"] = np.clip(
            pixels[rows].reshape(len(rows), side, side, *([3] if pixels.shape[1] > side**2 else [])), 0, 1
        )
    arrays["pictures/r"] = np.sort(r)[::-1][np.linspace(0, len(r) - 1, len(rows)).round().astype(int)]
    return [{"draw": "image_rows", "title": "What was shown, and what was read", "caption": "Held-out stimuli, evenly from the best to the "
             "worst; below each its correlation.", "args": {"rows": ["@pictures/shown", "@pictures/read"], "names": ["shown", "read"],
             "notes": "@pictures/r"}}]  # fmt: skip


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
