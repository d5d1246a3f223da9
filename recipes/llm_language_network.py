"""The language network of a language model: localize it, take it away, compare it with a brain.

Units that respond more to sentences than to non-words are chosen on half of the stimuli and tried on the other half, taken
away while the model reads new sentences, and used to predict the language regions of a brain; as many random units of the
same layers, and networks with fresh weights, go through the same steps. By default the model is a small transformer whose
language units were planted and the brain follows them, so that the truth is known; the setting model.path takes any model.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.align._language_network import (
    answers,
    brain_rows,
    brain_texts,
    effect_rows,
    lesion_rows,
    network_panels,
    responsive,
    truth_rows,
)
from braindec.align.unit_sets import align_unit_sets
from braindec.config import RecipeConfig, Section
from braindec.llm.controls import matched_random_units
from braindec.llm.extract import extract
from braindec.llm.lesion import lesion, mean_surprisal
from braindec.llm.planted import next_class, planted_model, planted_nonwords, planted_sentences
from braindec.llm.scores.localizer import localize
from braindec.llm.source import ModelSource
from braindec.llm.tiny import untrained
from braindec.loaders.language_stimuli import make_localizer, read_localizer
from braindec.loaders.synthetic_language import language_brain
from braindec.types import Result

CITATIONS = [
    {"key": "alkhamissi2025", "text": "AlKhamissi, Tuckute, Bosselut & Schrimpf (2025). The LLM language network: A neuroscientific approach for identifying "
     "causally task-relevant units. NAACL 2025.", "doi": "10.18653/v1/2025.naacl-long.544"},
    {"key": "fedorenko2010", "text": "Fedorenko, Hsieh, Nieto-Castañón, Whitfield-Gabrieli & Kanwisher (2010). New method for fMRI investigations of language: "
     "defining ROIs functionally in individual subjects. Journal of Neurophysiology 104, 1177-1194.", "doi": "10.1152/jn.00032.2010"},
    {"key": "kriegeskorte2009", "text": "Kriegeskorte, Simmons, Bellgowan & Baker (2009). Circular analysis in systems neuroscience: the dangers of double "
     "dipping. Nature Neuroscience 12, 535-540.", "doi": "10.1038/nn.2303"},
]  # fmt: skip


class Model(ModelSource):
    planted: bool = True
    snr: float = Field(3.0, gt=0)


class Stimuli(Section):
    folder: str | None = None
    n: PositiveInt = 80
    n_held_out: PositiveInt = 40


class Localizer(Section):
    sites: list[str] = ["mlp_act"]
    layers: list[int] | None = None
    pool: Literal["last", "mean", "sum", "first"] = "last"
    absolute: bool = False
    percent: float = Field(10.0, gt=0, le=100)
    gate: float | None = 0.05
    match_tokens: bool = False


class LesionOptions(Section):
    n_sets: int = Field(40, ge=20)
    match: list[Literal["layer", "site", "mean", "variance"]] = ["layer", "site"]
    how: Literal["zero", "mean"] = "zero"


class Brain(Section):
    n_subjects: PositiveInt = 4
    n_texts: PositiveInt = 96
    snr: float = Field(1.0, ge=0)


class Config(RecipeConfig):
    model: Model = Model()
    stimuli: Stimuli = Stimuli()
    localizer: Localizer = Localizer()
    n_permutations: PositiveInt = 199
    lesion: LesionOptions = LesionOptions()
    n_untrained: NonNegativeInt = 5
    brain: Brain = Brain()


def is_planted(config):
    return config.model.planted and config.model.path is None and config.stimuli.folder is None


def units(config):
    return [
        {
            "model": "planted"
            if is_planted(config)
            else (config.model.path or f"tiny-{config.model.tiny}").rstrip("/").rsplit("/", 1)[-1]
        }
    ]


def inputs(config, unit):
    return [*config.model.files(), *([config.stimuli.folder] if config.stimuli.folder else [])]


def stimuli_of(config) -> tuple[pd.DataFrame, Sequence[str]]:
    """Texts of the localizer, and sentences that it does not hold."""
    n, more = config.stimuli.n, config.stimuli.n_held_out
    if is_planted(config):
        sentences = list(dict.fromkeys(planted_sentences(n + more, config.seed)))
        table = {"sentence": sentences[:n], "nonword": planted_nonwords(n, config.seed)}
        return pd.DataFrame(
            [(t, c) for c, texts in table.items() for t in texts], columns=["text", "condition"]
        ), sentences[n:]
    table = read_localizer(config.stimuli.folder) if config.stimuli.folder else make_localizer(n + more, config.seed)
    table = table.drop_duplicates("text")
    sentences = table[table["condition"] == "sentence"]
    later = sentences["text"].iloc[-min(more, len(sentences) // 3) :]
    return table[~table["text"].isin(later)].reset_index(drop=True), later.tolist()


def align(config, lm, found, truth, seed):
    """The chosen units against a brain whose language regions follow planted units; None without a truth."""
    if truth is None or not len(found.selection):
        return None
    texts = brain_texts(planted_sentences(config.brain.n_texts, seed + 1, n_words=16), seed=seed)
    drive = extract(lm, texts["text"].tolist(), units=truth["language"], pool="mean", ids=texts["stimulus_id"].tolist())
    brains, _ = language_brain(
        drive, driving_layer=2, n_subjects=config.brain.n_subjects, snr=config.brain.snr, stimuli=texts, seed=seed
    )
    every = extract(
        lm, texts["text"].tolist(), sites=config.localizer.sites, pool="mean", ids=texts["stimulus_id"].tolist()
    )
    how = {"n_surrogates": config.n_permutations, "n_random_sets": config.lesion.n_sets, "seed": seed}
    silent = matched_random_units(found.units, found.selection.rows, n_sets=5, avoid=responsive(found), rng=seed)
    others = {f"unselective-{k}": rows for k, rows in enumerate(silent)}
    return [(align_unit_sets(every, {"language units": found.chosen}, brain, **how),
             align_unit_sets(every, others, brain, **{**how, "n_surrogates": 0, "n_random_sets": 0})) for brain in brains]  # fmt: skip


def run(config, unit, work):
    truth = None
    table, later = stimuli_of(config)
    if is_planted(config):
        lm, truth = planted_model(seed=config.model.seed, snr=config.model.snr)
    else:
        lm = config.model.open(table["text"].tolist())
    how = config.localizer.model_dump()
    found = localize(lm, table, **how)
    fresh = [localize(untrained(lm, config.model.seed + 1 + k), table, **how) for k in range(config.n_untrained)]
    rows, null = effect_rows(found, fresh, absolute=how["absolute"], percent=how["percent"], gate=how["gate"],
                             n_permutations=config.n_permutations, n_sets=config.lesion.n_sets, seed=work.seed)  # fmt: skip
    lesions = {}
    if len(found.selection):
        values = found.features.load()
        described = found.units.assign(mean=values.mean(axis=0), variance=values.var(axis=0))
        sets = matched_random_units(
            described,
            found.selection.rows,
            n_sets=config.lesion.n_sets,
            match=config.lesion.match,
            overlap=True,
            rng=work.seed,
        )
        measures = {"surprisal_rise": lambda model: mean_surprisal(model, later)}
        if truth is not None:
            measures["class_errors_rise"] = lambda model: (
                1.0 - next_class(model, later).groupby("text")["correct"].mean().to_numpy(dtype=float)
            )
        means = values.mean(axis=0) if config.lesion.how == "mean" else None
        lesions = {
            k: lesion(lm, found.units, found.selection.rows, sets, m, how=config.lesion.how, means=means)
            for k, m in measures.items()
        }
    brains = align(config, lm, found, truth, work.seed)
    rows = [*rows, *lesion_rows(lesions, found, seed=work.seed), *brain_rows(brains), *truth_rows(found, truth)]
    panels, arrays, notes = network_panels(found, fresh, null, lesions, brains, truth)
    overview = {"model": lm.name, "weights": "planted by hand" if truth is not None else "loaded" if config.model.path else
                "trained briefly" if config.model.steps else "random (untrained): nothing here is language", "units": f"{len(found.units):,} ({', '.join(how['sites'])})",
                "texts of the localizer": {str(k): int(v) for k, v in found.stimuli["condition"].value_counts().items()}, "sentences for lesions": len(later),
                "chosen units": found.selection.note, "untrained networks": len(fresh)}  # fmt: skip
    made_by = {
        "overview": overview,
        "panels": panels,
        "answers": answers(rows),
        "notes": notes,
        "citations": [],
        "audit": {},
    }
    return Result(
        pd.DataFrame(rows), {k: np.asarray(v) for k, v in arrays.items()}, {k: v for k, v in made_by.items() if v}
    )
