"""Units of a language model against brain responses to sentences: encoding, RSA and CKA, each with its controls.

The layers of a model (a local folder, or a tiny one built on the spot) are compared with the responses of every subject:
betas of sentences of any data set whose trials have their text, timed runs with a table of words, or synthetic subjects whose
voxels follow units of one layer. Whole passages are held out; layers are chosen on training folds; position, length and pace,
neighbourhood in time, untrained networks, random units and surrogates stand beside every score.
"""

from functools import lru_cache
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.align.alignment import align_units, timed_items, words_of_runs
from braindec.align.report import report
from braindec.align.unit_sets import align_unit_sets, top_by_brain
from braindec.config import RecipeConfig, Section
from braindec.errors import BraindecError
from braindec.evaluate.results import group_scores
from braindec.llm.extract import extract
from braindec.llm.source import ModelSource
from braindec.loaders.cohort import Steps, source_of, subject_units
from braindec.loaders.language_stimuli import make_stories
from braindec.loaders.synthetic_language import language_brain

CITATIONS = [
    {"key": "feghhi2024", "text": "Feghhi, Hadidi, Song, Blank & Kao (2024). What are large language models mapping to in the brain? A case against "
     "over-reliance on brain scores. arXiv:2406.01538.", "doi": "10.48550/arXiv.2406.01538"},
    {"key": "schrimpf2021", "text": "Schrimpf et al. (2021). The neural architecture of language: Integrative modeling converges on predictive processing. "
     "PNAS 118, e2105646118.", "doi": "10.1073/pnas.2105646118"},
    {"key": "murphy2024", "text": "Murphy, Zylberberg & Fyshe (2024). Correcting biased centered kernel alignment measures in biological and artificial neural "
     "networks. arXiv:2405.01012.", "doi": "10.48550/arXiv.2405.01012"},
]  # fmt: skip


class Synthetic(Section):
    """Made-up subjects: ``driving_layer`` is the layer whose units drive the language regions."""

    n_subjects: PositiveInt = 2
    n_stories: PositiveInt = 24
    n_voxels: PositiveInt = 16
    n_repetitions: PositiveInt = 2
    driving_layer: NonNegativeInt = 2
    snr: float = Field(1.0, ge=0)
    seed: int = 0


class Words(Section):
    """Timed runs: ``lags`` (s) of the delayed features; words are read with ``context`` words before them."""

    lags: list[float] = [2.0, 4.0, 6.0, 8.0]
    context: NonNegativeInt | None = 32


class Config(RecipeConfig):
    model: ModelSource = ModelSource(steps=40)
    sites: list[str] = ["resid_post"]
    pool: Literal["last", "mean", "sum", "first"] = "last"
    text: str | None = None
    synthetic: Synthetic = Synthetic()
    signal: Steps = []
    words: Words = Words()
    scores: list[Literal["encoding", "rsa", "cka"]] = Field(["encoding", "rsa", "cka"], min_length=1)
    split: str = "auto"
    n_folds: int = Field(5, ge=2)
    regions: str | None = None
    n_untrained: NonNegativeInt = 5
    n_surrogates: NonNegativeInt = 200
    n_random_sets: NonNegativeInt = 20
    top_units: NonNegativeInt = 16


def is_synthetic(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if is_synthetic(config):
        wanted = [f"{k + 1:02d}" for k in range(config.synthetic.n_subjects)]
        kept = config.select.subjects if config.select.subjects is not None else wanted
        if unknown := [s for s in kept if s not in wanted]:
            raise BraindecError(f"there is no subject {unknown[0]!r}", allowed=", ".join(wanted))
        return [{"subject": s} for s in kept]
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [*config.model.files(), *([] if is_synthetic(config) else source_of(config.data).files(unit["subject"]))]


@lru_cache(maxsize=2)
def networks(model, texts, n_untrained):
    """The model and its untrained copies, once for all subjects."""
    lm = model.open(list(texts))
    return lm, list(model.untrained(n_untrained, list(texts), like=lm))


def read_units(config, texts, ids):
    """Units of the model and of untrained networks for the texts."""
    lm, fresh = networks(config.model, tuple(texts), config.n_untrained)
    made = [extract(one, list(texts), sites=config.sites, pool=config.pool, ids=list(ids)) for one in (lm, *fresh)]
    return lm.name, made[0], made[1:]


def text_column(config, trials):
    """The column of the trials that holds the sentences."""
    found = [config.text] if config.text else [c for c in ("text", "sentence") if c in trials]
    if not found or found[0] not in trials:
        raise BraindecError("the trials do not hold the text of their stimuli", found=", ".join(map(str, trials)),
                            fix="text: COLUMN")  # fmt: skip
    return found[0]


def load(config, unit):
    """The responses of a subject, the units of the model, those of untrained networks, the name of the model, notes."""
    if is_synthetic(config):
        wanted = config.synthetic
        stories = make_stories(wanted.n_stories, wanted.seed)
        name, features, fresh = read_units(config, stories["text"], stories["stimulus_id"])
        brains, truth = language_brain(features, driving_layer=wanted.driving_layer, n_subjects=wanted.n_subjects, n_voxels=wanted.n_voxels,
                                       n_repetitions=wanted.n_repetitions, snr=wanted.snr, stimuli=stories, seed=wanted.seed)  # fmt: skip
        said = ", ".join(f"{region} by layer {layer}" for region, layer in truth.driving_layer.items())
        notes = [
            f"Synthetic subjects, truth known: driven {said}; A1 follows length and place, V1 holds noise that drifts in time."
        ]
        return brains[int(unit["subject"]) - 1], features, fresh, name, notes
    source = source_of(config.data)
    trials = source.windows(unit["subject"])
    if trials is not None:
        table = trials.trials.drop_duplicates("stimulus_id")
        name, features, fresh = read_units(config, table[text_column(config, table)], table["stimulus_id"])
        return trials, features, fresh, name, []
    runs = source.recordings(unit["subject"])
    words = words_of_runs(runs)
    lm, others = networks(config.model, tuple(words.attrs["texts"].values()), config.n_untrained)
    made = [extract(one, words, sites=config.sites, pool="word", context=config.words.context) for one in (lm, *others)]
    brain, volumes = timed_items(runs, made, lags=config.words.lags, steps=config.signal)
    return (
        brain,
        volumes[0],
        volumes[1:],
        lm.name,
        [f"Words were brought to volumes and delayed by {', '.join(f'{d:g}' for d in config.words.lags)} s."],
    )


def run(config, unit, work):
    brain, features, fresh, name, notes = load(config, unit)
    timed = getattr(brain, "kind", "items") == "time"
    scores = ["encoding"] if timed else config.scores
    how = {"split": config.split, "n_folds": config.n_folds, "regions": config.regions, "n_surrogates": config.n_surrogates,
           "n_random_sets": config.n_random_sets, "seed": work.seed, "keys": unit}  # fmt: skip
    found = align_units({name: features}, brain, scores=scores, untrained=fresh, **how)
    sets = None
    if config.top_units and not timed:
        sets = align_unit_sets(features, {f"top {config.top_units}": top_by_brain(config.top_units)}, brain, **how)
    return report(found, sets=sets, citations=CITATIONS, notes=notes)


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
