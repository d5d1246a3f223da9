"""Frequency tagging of language-model units and of a brain, with one test, its controls, and a comparison of the two.

Trials are texts of sentences that are used once; a unit or channel is tagged where its response at the rate of sentences or
phrases differs from a matched control. Shares of tagged units stand beside those of untrained networks. Without data, the
model is one whose tagged units were planted, and the brain is made-up sEEG with planted channels.
"""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from braindec import __version__
from braindec.align._tag_results import (
    answers,
    auc_row,
    channel_rows,
    panels,
    shares,
    similarity_rows,
    unit_notes,
    unit_rows,
)
from braindec.align.tagging import spectra_similarity, tag
from braindec.cache import fingerprint
from braindec.config import RecipeConfig, Section
from braindec.evaluate.results import group_scores
from braindec.llm.extract import extract
from braindec.llm.planted import planted_model, planted_sentences
from braindec.llm.source import ModelSource
from braindec.llm.tag_stimuli import sharing_note, tag_conditions, tag_words, token_sharing
from braindec.llm.tiny import untrained
from braindec.loaders.cohort import Channels, Epochs, Events, Steps, event_windows, source_of, subject_units
from braindec.loaders.language_stimuli import make_tagged_corpus, read_corpus
from braindec.loaders.synthetic_language import tagged_seeg
from braindec.stats.tagging import Design
from braindec.types import Features, Result
from braindec.types.storage import hdf5

CITATIONS = [
    {"key": "ding2016", "text": "Ding, Melloni, Zhang, Tian & Poeppel (2016). Cortical tracking of hierarchical linguistic structures in "
     "connected speech. Nature Neuroscience 19, 158-164.", "doi": "10.1038/nn.4186"},
    {"key": "frank2018", "text": "Frank & Yang (2018). Lexical representation explains cortical entrainment during speech comprehension. "
     "PLoS ONE 13, e0197304.", "doi": "10.1371/journal.pone.0197304"},
    {"key": "victor1991", "text": "Victor & Mast (1991). A new statistic for steady-state evoked potentials. Electroencephalography and Clinical "
     "Neurophysiology 78, 378-388.", "doi": "10.1016/0013-4694(91)90099-P"},
]  # fmt: skip


class Stimuli(Section):
    corpus: str | None = None
    unit: Literal["word", "character"] = "word"
    n: PositiveInt = 432
    levels: Annotated[dict[str, PositiveInt], Field(min_length=2)] = {"word": 1, "phrase": 2, "sentence": 4}
    n_sentences: PositiveInt = 9
    unit_rate: FiniteFloat = 4.0
    drop: int = 1
    controls: Annotated[list[str], Field(min_length=1)] = [
        "slot_shuffle",
        "within_sentence_shuffle",
        "phrase_shuffle",
        "nonsense",
    ]


class Units(Section):
    planted: bool = True
    sites: list[str] = ["mlp_act"]
    layers: list[int] | None = None
    n_untrained: NonNegativeInt = 5


class Brain(Section):
    condition: str = "sentence"
    control: str = "random"
    like: dict[str, str] = {"sentence": "sentence", "phrase_shuffle": "phrase", "nonsense": "random"}
    blocks: str | None = "run"
    n_subjects: PositiveInt = 2
    n_channels: PositiveInt = 36
    snr: FiniteFloat = 0.5


class Config(RecipeConfig):
    model: ModelSource = ModelSource()
    stimuli: Stimuli = Stimuli()
    units: Units = Units()
    brain: Brain = Brain()
    signal: Steps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs()
    n_permutations: PositiveInt = 1000


def has_data(config):
    return bool(config.data.dataset or config.data.root)


def units(config):
    if has_data(config):
        return subject_units(config.data, config.select.subjects)
    subjects = [f"{s + 1:02d}" for s in range(config.brain.n_subjects)]
    return [{"subject": s} for s in subjects if config.select.subjects is None or s in config.select.subjects]


def inputs(config, unit):
    brain = source_of(config.data).files(unit["subject"]) if has_data(config) else []
    return [*brain, *config.model.files(), *([config.stimuli.corpus] if config.stimuli.corpus else [])]


def model_of(config, design):
    """The model, its sentences, and what was planted in it (None for any other model)."""
    said = config.stimuli
    planted = config.units.planted and config.model.path is None and said.corpus is None and design.sentence in (4, 6)
    if said.corpus:
        sentences = read_corpus(said.corpus, unit=said.unit)
    elif planted:
        texts = planted_sentences(
            2 * said.n, config.seed, n_words=design.sentence, words_per_sentence=design.sentence, whole=True
        )
        sentences = [text.split() for text in dict.fromkeys(texts)][: said.n]
    else:
        sentences = make_tagged_corpus(said.n, design.sentence, config.seed)
    if planted:
        return *planted_model(words_per_sentence=design.sentence, seed=config.model.seed), sentences
    return config.model.open([" ".join(s) if said.unit == "word" else "".join(s) for s in sentences]), None, sentences


def features_of(config, lm, name, conditions, work):
    """Units of one model over all conditions, read once for all subjects."""
    plain, files = config.model_dump(mode="json"), config.model.files()
    key = {"network": name, "version": __version__, "files": [fingerprint(f) for f in files], "seed": config.seed,
           "texts": [c.texts for c in conditions.values()], **{k: plain[k] for k in ("model", "units")}}  # fmt: skip

    def make(file):
        work.folder.mkdir(parents=True, exist_ok=True)
        path = work.folder / f"{name}.h5"
        extract(
            lm(),
            tag_words(conditions),
            pool="word",
            sites=tuple(config.units.sites),
            layers=config.units.layers,
            path=path,
        )
        with hdf5(path, "r") as source:
            for part in source:
                source.copy(part, file)
            file.attrs.update(source.attrs)
        path.unlink()

    return Features.open(work.cache.get(f"tagged-{name}", key, make))


def tags_of(config, features, conditions, design):
    """Tags of units against each control."""
    return {c: tag(features, rates=design, condition="sentence", control=c, n_permutations=config.n_permutations, seed=config.seed)
            for c in conditions if c != "sentence"}  # fmt: skip


def windows_of(config, unit, design, cache):
    """Trials of a subject, and what was planted (None for recordings)."""
    if has_data(config):
        epochs = (
            config.epochs
            if config.epochs.tmax is not None
            else Epochs(tmin=config.epochs.tmin, tmax=config.epochs.tmin + design.duration)
        )
        return event_windows(source_of(config.data), unit["subject"], events=config.events, epochs=epochs, steps=config.signal,
                             channels=config.channels, cache=cache)[0], None  # fmt: skip
    made, truth = tagged_seeg(
        design,
        n_subjects=config.brain.n_subjects,
        n_channels=config.brain.n_channels,
        snr=config.brain.snr,
        seed=config.seed,
    )
    return made[int(unit["subject"]) - 1], truth


def run(config, unit, work):
    said = config.stimuli
    design = Design(said.levels, n_sentences=said.n_sentences, unit_rate=said.unit_rate, drop=said.drop)
    lm, truth, sentences = model_of(config, design)
    conditions = tag_conditions(sentences, design, controls=said.controls, unit=said.unit, seed=config.seed)
    features = features_of(config, lambda: lm, "model", conditions, work)
    found = tags_of(config, features, conditions, design)
    nulls, plain = {c: [] for c in found}, None
    for k in range(config.units.n_untrained):  # each network reads texts dealt anew, as another experiment would
        other = tag_conditions(sentences, design, controls=said.controls, unit=said.unit, seed=config.seed + 1 + k)
        values = features_of(config, lambda k=k: untrained(lm, config.seed + 1 + k), f"untrained-{k + 1}", other, work)
        plain = values if plain is None else plain
        for control, tagging in tags_of(config, values, other, design).items():
            nulls[control].append(shares(tagging))
    windows, planted = windows_of(config, unit, design, work.cache)
    brain = config.brain
    channels = tag(windows, rates=design, condition=brain.condition, control=brain.control, by=config.events.column, blocks=brain.blocks,
                   n_permutations=config.n_permutations, seed=work.seed)  # fmt: skip
    rows = [*channel_rows(channels, brain.control), *unit_rows(found, nulls)]
    headline = next(iter(found))
    order = list(found)[
        min(1, len(found) - 1)
    ]  # planted units follow the order of word classes: a control that breaks it
    masks = {}
    for rate in sorted(channels.rates, key=channels.rates.get):
        if planted is not None:
            there = planted.tagged(unit["subject"], rate) & (rate not in planted.conditions[brain.control])
            masks |= {rate: there} if there.any() else {}
            rows.append(
                auc_row("channels", rate, channels.of(rate)["statistic"].to_numpy(), there, f"against {brain.control}")
            )
        if truth is not None and rate in found[order].rates and f"tagged_{rate}" in truth:
            keys = ["layer", "site", "index"]
            there = pd.MultiIndex.from_frame(features.units[keys]).isin(
                pd.MultiIndex.from_frame(truth[f"tagged_{rate}"][keys])
            )
            rows.append(
                auc_row("units", rate, found[order].of(rate)["statistic"].to_numpy(), there, f"against {order}")
            )
    like, similarity = {a: b for a, b in brain.like.items() if a in conditions}, None
    if len(like) > 1 and "region" in channels.units and config.events.column == "trial_type":
        options = {"design": design, "conditions": like, "seed": work.seed}
        similarity = spectra_similarity(features, windows, **options)
        whole = np.zeros(len(features.units), dtype=int)
        together = [
            None if f is None else spectra_similarity(f, windows, **options, layer=whole) for f in (features, plain)
        ]
        rows += similarity_rows(*together)
    made, arrays = panels(
        found, channels, similarity, condition=brain.condition, control=brain.control, top=2 * design.unit_rate
    )
    notes = [*(f"Units: {n}" for n in found[headline].notes), *(f"Channels: {n}" for n in channels.notes if n not in found[headline].notes),
             *(f"Similarity: {n}" for n in (similarity.notes if similarity else []))]  # fmt: skip
    notes = [*unit_notes(headline), *notes]
    notes = [*sharing_note(token_sharing(lm.tokenizer, tag_words(conditions))), *notes]
    overview = {"model": lm.name, "units": f"{len(features.units):,} ({', '.join(config.units.sites)})", "untrained networks": config.units.n_untrained,
                "trials of text": {name.replace("_", " "): len(c) for name, c in conditions.items()}, "trial": f"{design.n_sentences} sentences of {design.sentence} "
                f"{said.unit}s, {design.drop} dropped", "trials of the brain": {str(k): int(v) for k, v in windows.trials[config.events.column].value_counts().sort_index().items()},
                "channels": windows.n_channels, "sampling frequency (Hz)": windows.sfreq}  # fmt: skip
    kept = [r for r in rows if r is not None]
    told = answers(kept, channels, masks, brain.control, order if truth is not None else None)
    made_by = {"overview": overview, "panels": made, "answers": told, "notes": notes, "citations": []}
    return Result(pd.DataFrame(kept), {**channels.arrays(), **arrays}, made_by)


def summary(config, results):
    return group_scores(results, seed=config.seed)
