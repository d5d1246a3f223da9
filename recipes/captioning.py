"""What was seen, in words: an embedding is read from each response, and a captioner puts it into words (BrainCaptioning).

The captioner never sees a recording, so every sentence looks good; what counts is whether it says more of the stimulus than
captions made of shuffled, noise or mean recordings, of no recording at all, or a caption of another stimulus of the category.
By default subjects look at drawn scenes, seen by fMRI or EEG, and the nearest training image lends its caption.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders.caption import CaptionDecoder, captions_of
from braindec.decoders.controls import control_rows
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.control_report import report_parts
from braindec.evaluate.official import official_or_content_split
from braindec.evaluate.results import group_scores, retrieval_result
from braindec.evaluate.sentence_vectors import open_sentences
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
    {"key": "ferrante2023", "text": "Ferrante, Ozcelik, Boccato, VanRullen & Toschi (2023). Brain captioning: Decoding human brain activity into images "
     "and text. arXiv 2305.11560."},
    {"key": "vedantam2015", "text": "Vedantam, Zitnick & Parikh (2015). CIDEr: Consensus-based image description evaluation. CVPR."},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip


class Synthetic(Section):
    modality: Literal["fmri", "eeg"] = "fmri"
    n_subjects: PositiveInt = 2
    n_train: PositiveInt = 640
    n_test: PositiveInt = 64
    noise: float = Field(1.0, ge=0)
    seed: int = 0


class Content(Section):
    column: str | None = "part"
    by: str = "stimulus_id"
    test: float = Field(0.2, gt=0, lt=1)


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    features: str | None = None
    captions: str | None = None
    references: list[str] = Field(["caption", "caption_2", "caption_3"], min_length=1)
    signal: Steps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs()
    split: Content = Content()
    decoder: Annotated[dict, options_of(CaptionDecoder)] = {}
    sentences: str = "tfidf"
    metrics: list[str] = Field(["sentence_cosine", "cider", "bleu", "meteor", "rouge"], min_length=1)
    seeds: PositiveInt = 3
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 1000


def cohort_of(config):
    """The drawn scenes and their viewers when no recordings are named, else None."""
    if config.data.dataset or config.data.root:
        return None
    options = config.synthetic.model_dump()
    return scene_cohort(options.pop("modality"), size=16, **options)


def units(config):
    cohort = cohort_of(config)
    if cohort is None:
        return subject_units(config.data, config.select.subjects)
    return units_of(cohort.subjects, config.select.subjects)


def inputs(config, unit):
    files = [] if cohort_of(config) else source_of(config.data).files(unit["subject"])
    return [*files, *(f for f in (config.features, config.captions) if f)]


def load(config, unit, cache=None):
    """Trials, embeddings of the stimuli, and their table with captions."""
    cohort = cohort_of(config)
    if cohort is not None:
        return cohort.windows(unit["subject"]), cohort.features, cohort.pictures, None
    if config.features is None:
        raise BraindecError("which embeddings? Those of the images are needed", fix="features=FILE (see load_features)")
    source = source_of(config.data)
    windows = source.windows(unit["subject"])
    if windows is None or config.epochs.tmax is not None:
        windows, _ = event_windows(source, unit["subject"], events=config.events, epochs=config.epochs, steps=config.signal,
                                   channels=config.channels, cache=cache)  # fmt: skip
    pictures = load_pictures(config.captions or source, stimulus_ids=windows.trials["stimulus_id"].unique())
    return windows, load_features(config.features), pictures, source


def split_of(config, windows):
    wanted = config.split
    return official_or_content_split(windows, wanted.column, by=wanted.by, test=wanted.test, seed=config.seed)


def design(config, unit):
    """Audit the design before anything is fitted."""
    windows, *_ = load(config, unit)
    return audit(windows, [split_of(config, windows)], claim="stimulus_id")


def run(config, unit, work):
    windows, features, pictures, source = load(config, unit, work.cache)
    split = split_of(config, windows)
    train, test = windows[split.train], windows[split.test]
    references = [name for name in config.references if name in pictures.items]
    if not references:
        raise BraindecError("the stimuli have no captions", found=f"columns {', '.join(map(str, pictures.items.columns))}",
                            fix=f"give a table with one of {', '.join(config.references)}, or references=[COLUMN]")  # fmt: skip
    options = {"column": references[0], "seed": work.seed, **config.decoder}
    hidden = np.isin(features.ids, test.trials["stimulus_id"].astype(str).unique())
    known = features[np.flatnonzero(~hidden)]  # extra=True teaches from all of these: never from what is tested
    decoder = CaptionDecoder(**options).fit(train, pictures, known)
    decoder.save(work.folder / "model")
    nearest = None
    if type(decoder.captioner_).__name__ != "NearestCaption":
        nearest = CaptionDecoder(**{**options, "captioner": {"name": "nearest"}}).fit(train, pictures, known)

    def truth(ids):
        columns = [captions_of(pictures, ids, name) for name in references]
        return [list(texts) for texts in zip(*columns, strict=True)]

    rows = control_rows(
        decoder, train, test, None, features, truth=truth, nearest=nearest, seeds=config.seeds, seed=work.seed
    )
    report = rows.report(
        metrics=config.metrics,
        network=sentence_network(config, captions_of(pictures, train.trials["stimulus_id"].unique(), references[0])),
        n_permutations=config.n_permutations,
        n_bootstrap=config.n_bootstrap,
        seed=work.seed,
        keys=unit,
    )
    parts = report_parts(report, rows.made, rows.true, by=config.metrics[0])
    card = audit(windows, [split], records=[(split, decoder.fit_records_)], claim="stimulus_id")
    facts = overview(windows, "part" if "part" in windows.trials else config.split.by, source)
    panels = [text_panel(parts.arrays, list(rows.made)), *parts.panels]
    result = retrieval_result(parts.scores, card, parts.arrays, panels, overview=facts)
    result.made_by["audit"]["findings"] += [f.to_dict() for f in parts.findings]
    result.made_by["answers"] = parts.sentences
    return result


def sentence_network(config, training_captions):
    """What sentence_cosine is computed on; words count by how rare the training captions have them."""
    if config.sentences == "tfidf":
        return open_sentences({"name": "tfidf", "collection": training_captions})
    return open_sentences(
        "hashing" if config.sentences == "hashing" else {"name": "transformers", "weights": config.sentences}
    )


def text_panel(arrays, rows):
    shown = [r for r in ("decoded", "shuffled_brain", "prior_only", "category_oracle", "true_features") if r in rows]
    texts = arrays["control/texts"]
    arrays["control/cells"] = texts[[0, *(1 + rows.index(r) for r in shown)]]
    return {"draw": "text_table", "title": "Shown and said, from the best caption to the worst", "caption": "Best, middle and worst by the first "
            "metric and items in between: nothing is chosen by looks.",
            "args": {"cells": "@control/cells", "columns": ["shown", *(r.replace("_", " ") for r in shown)]}}  # fmt: skip


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
