"""Geometry of a language model's layers against the geometry of brain regions: RSA with ceilings, controls and inference.

Dissimilarities of sentences in each layer of a model (a local folder, or a tiny one built on the spot) are compared with those
in each region of all subjects. The layer is chosen on training sentences and subjects; length, place, letters and untrained
networks are scored on the same held-out parts and taken away by partial RSA. Without data, synthetic subjects follow one
layer; files of matrices (MATLAB, HDF5, NumPy) can be given instead of a model and recordings.
"""

from typing import Literal

import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.align.rsa.inference import infer
from braindec.align.rsa.language import model_rdms, nuisance_rdms, region_rdms
from braindec.align.rsa.models import Fixed, Select
from braindec.align.rsa.partial import partial_rsa
from braindec.align.rsa.partition import variance_partition
from braindec.align.rsa.read_rdms import find_rdms, read_rdms
from braindec.align.rsa.results import given_result, language_result
from braindec.config import RecipeConfig, Section
from braindec.errors import BraindecError, did_you_mean
from braindec.llm.extract import extract
from braindec.llm.source import ModelSource
from braindec.loaders.cohort import source_of, subject_units
from braindec.loaders.language_stimuli import make_stories
from braindec.loaders.synthetic_language import language_brain

CITATIONS = [
    {"key": "kriegeskorte2008", "text": "Kriegeskorte, Mur & Bandettini (2008). Representational similarity analysis: connecting the branches of "
     "systems neuroscience. Frontiers in Systems Neuroscience 2, 4.", "doi": "10.3389/neuro.06.004.2008"},
    {"key": "schuett2023", "text": "Schütt, Kipnis, Diedrichsen & Kriegeskorte (2023). Statistical inference on representational geometries. "
     "eLife 12, e82566.", "doi": "10.7554/eLife.82566"},
    {"key": "nili2014", "text": "Nili et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology 10, e1003553.",
     "doi": "10.1371/journal.pcbi.1003553"},
]  # fmt: skip


class Synthetic(Section):
    """Made-up subjects: ``driving_layer`` is the layer whose units drive the language regions."""

    n_subjects: PositiveInt = 6
    n_stories: PositiveInt = 20
    n_voxels: PositiveInt = 32
    n_driving_units: PositiveInt = 48
    driving_layer: NonNegativeInt = 2
    snr: float = Field(1.0, ge=0)
    seed: int = 0


class Matrices(Section):
    """Files of matrices; ``fields`` and ``model_columns`` name the parts of their names, ``nuisance`` the models that others are
    controlled for."""

    data: str | None = None
    models: str | None = None
    fields: list[str] = ["subject"]
    model_columns: list[str] = ["model"]
    nuisance: list[str] = []
    partition: list[str] = []


class Statistics(Section):
    comparator: str = "corr_cov"
    n_bootstrap: PositiveInt = 60
    n_permutations: PositiveInt = 500


class Config(RecipeConfig):
    model: ModelSource = ModelSource(steps=40)
    sites: list[str] = ["mlp_out"]
    pool: Literal["last", "mean", "sum", "first"] = "last"
    text: str | None = None
    synthetic: Synthetic = Synthetic()
    rdms: Matrices = Matrices()
    measure: str = "correlation"
    standardise: bool = True
    regions: str = "region"
    groups: str = "concept_id"
    n_untrained: NonNegativeInt = 5
    statistics: Statistics = Statistics()


def units(config):
    if config.rdms.data:
        return [{"cohort": config.data.dataset or find_rdms(config.rdms.data).stem}]
    return [{"cohort": config.data.dataset or ("data" if config.data.root else "synthetic")}]


def inputs(config, unit):
    if config.rdms.data:
        return [find_rdms(p) for p in (config.rdms.data, config.rdms.models) if p]
    if unit["cohort"] == "synthetic":
        return config.model.files()
    source = source_of(config.data)
    return [
        *config.model.files(),
        *(f for s in subject_units(config.data, config.select.subjects) for f in source.files(s["subject"])),
    ]


def from_files(config, work):
    wanted, how = config.rdms, config.statistics
    if not wanted.models:
        raise BraindecError("files of matrices need those of models too", fix="rdms.models=FILE")
    data, models = read_rdms(wanted.data, fields=wanted.fields), read_rdms(wanted.models, fields=wanted.model_columns)
    found = infer(
        models, data, comparator=how.comparator, permutations=how.n_permutations, n=how.n_bootstrap, seed=work.seed
    )
    partial = (
        partial_rsa(models, data, models.where(model=wanted.nuisance), permutations=how.n_permutations, seed=work.seed)
        if wanted.nuisance
        else None
    )
    parts = (
        variance_partition(models.where(model=wanted.partition), data, permutations=how.n_permutations, seed=work.seed)
        if wanted.partition
        else None
    )
    return given_result(
        found, models, data, partial=partial, parts=parts, controls=wanted.nuisance, citations=CITATIONS
    )


def brains_of(config):
    """The items, the brains of all subjects, and what is known about them."""
    if config.data.dataset or config.data.root:
        source = source_of(config.data)
        brains = [source.windows(u["subject"]) for u in subject_units(config.data, config.select.subjects)]
        if any(b is None for b in brains):
            raise BraindecError(
                "RSA of sentences needs one response a sentence",
                found="continuous runs",
                fix="recipe llm_brain_encoding reads them",
            )
        items = brains[0].trials.drop_duplicates("stimulus_id").reset_index(drop=True)
        found = [config.text] if config.text else [c for c in ("text", "sentence") if c in items]
        if not found or found[0] not in items:
            raise BraindecError(
                "the trials do not hold the text of their stimuli", found=", ".join(map(str, items)), fix="text: COLUMN"
            )
        return items, (lambda features: (brains, [])), found[0]
    wanted = config.synthetic
    stories = make_stories(wanted.n_stories, wanted.seed)

    def make(features):
        brains, truth = language_brain(features, driving_layer=wanted.driving_layer, n_driving_units=wanted.n_driving_units, n_subjects=wanted.n_subjects, n_voxels=wanted.n_voxels,
                                       snr=wanted.snr, stimuli=stories, seed=wanted.seed)  # fmt: skip
        said = ", ".join(f"{r} by layer {k}" for r, k in truth.driving_layer.items())
        return brains, [
            f"Synthetic subjects, truth known: driven {said}; A1 follows length and place, V1 holds noise that drifts in time."
        ]

    return stories, make, "text"


def groups_of(config, items, conditions):
    """What belongs together, one label a condition, and what to tell; None where the items do not say."""
    if config.groups in items:
        return items.set_index("stimulus_id").loc[list(conditions), config.groups].tolist(), []
    if config.groups != Config.model_fields["groups"].default:
        raise BraindecError(f"groups: the sentences have no column {config.groups!r}{did_you_mean(config.groups, map(str, items))}",
                            allowed=", ".join(map(str, items)))  # fmt: skip
    return None, [f"The sentences have no column {config.groups}: each is drawn and permuted by itself, as if none belonged together. If passages "
                  "were read one after the other, intervals are too narrow and p-values too small: name their column (groups: COLUMN)."]  # fmt: skip


def run(config, unit, work):
    if config.rdms.data:
        return from_files(config, work)
    how = config.statistics
    items, make, column = brains_of(config)
    texts = items[column].astype(str).tolist()
    lm = config.model.open(texts)
    networks = [lm, *config.model.untrained(config.n_untrained, texts, like=lm)]
    features = [
        extract(one, texts, sites=config.sites, pool=config.pool, ids=items["stimulus_id"].tolist()) for one in networks
    ]
    brains, notes = make(features[0])
    data = region_rdms(brains, items["stimulus_id"], column=config.regions, measure=config.measure)
    groups, said = groups_of(config, items, data.conditions)
    layers = [
        model_rdms(f, measure=config.measure, conditions=data.conditions, standardise=config.standardise)
        for f in features
    ]
    nuisance = nuisance_rdms(items, column, data.conditions, group=config.groups if groups else None)
    families = [Select.of("chosen layer", layers[0])]
    families += [Select.of(f"untrained {k + 1}", fresh) for k, fresh in enumerate(layers[1:])]
    families += [Fixed(name, values) for name, values in zip(nuisance.table["model"], nuisance.values, strict=True)]
    chosen = infer(
        families, data, comparator=how.comparator, n=how.n_bootstrap, condition_groups=groups, seed=work.seed
    )
    every = infer(layers[0], data, comparator=how.comparator, n=how.n_bootstrap,
                  permutations=how.n_permutations, condition_groups=groups, seed=work.seed)  # fmt: skip
    beyond = partial_rsa(
        layers[0], data, nuisance, permutations=how.n_permutations, condition_groups=groups, seed=work.seed
    )
    overview = {"model": lm.name, "sentences": len(items), "groups of sentences": pd.Series(groups).nunique() if groups else "none",
                "subjects": len(brains), "regions": data.table["region"].nunique(), "dissimilarity": config.measure}  # fmt: skip
    return language_result(chosen, every, beyond, overview=overview, notes=[*notes, *said], citations=CITATIONS)
