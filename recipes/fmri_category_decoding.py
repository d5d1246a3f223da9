"""Categories from fMRI volumes or blocks, one decoder a subject.

Voxel (or parcel) patterns, detrended and z-scored within each run, a linear classifier with shrinkage, p-values by
refitting on permuted labels, and control rows beside every score. Without data it makes and runs the built-in
synthetic cohort.
"""

from typing import Annotated

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._make import make_decoder
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.results import SplitBy, Statistics, classification_result, group_scores
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import Events, Steps, Volumes, label_windows, overview, source_of, subject_units
from braindec.loaders.synthetic import make_cohort

CITATIONS = [
    {"key": "haxby2001", "text": "Haxby et al. (2001). Distributed and overlapping representations of faces and objects "
     "in ventral temporal cortex. Science 293, 2425-2430.", "doi": "10.1126/science.1063736"},
]  # fmt: skip


class Synthetic(Section):
    preset: str = "demo"
    n_subjects: int = 3
    seed: int = 0


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    signal: Steps = []
    events: Events = Events()
    volumes: Volumes = Volumes()
    split: SplitBy = SplitBy()
    classifier: Annotated[dict, options_of("decoders", needs="decision")] = {"name": "classifier"}
    statistics: Statistics = Statistics()


def data_of(config):
    """The recordings that are named, or those of the synthetic cohort."""
    if config.data.dataset or config.data.root:
        return config.data
    cohort = make_cohort(modality="fmri", **config.synthetic.model_dump())
    return config.data.model_copy(update={"root": str(cohort.root / "derivatives/fmriprep"), "reader": "fmri"})


def units(config):
    return subject_units(data_of(config), config.select.subjects)


def inputs(config, unit):
    return source_of(data_of(config)).files(unit["subject"])


def windows_of(config, unit, cache):
    source = source_of(data_of(config))
    return label_windows(
        source, unit["subject"], events=config.events, volumes=config.volumes, steps=config.signal, cache=cache
    )


def splits_of(config, windows):
    return split_by(windows, config.split.by, n_folds=config.split.n_folds, gap=config.split.gap)


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit fmri_category_decoding --cohort ...``."""
    windows = windows_of(config, unit, Cache(default_folder()))
    return audit(windows, splits_of(config, windows), y=windows.trials[config.events.column].to_numpy())


def run(config, unit, work):
    windows = windows_of(config, unit, work.cache)
    y = windows.trials[config.events.column].to_numpy()
    splits = splits_of(config, windows)
    decoder = make_decoder(config.classifier, seed=work.seed, folder=str(work.folder / "training"))
    scores = cross_validate(decoder, windows, y, splits, **config.statistics.model_dump(), seed=work.seed, keys=unit)
    card = audit(windows, splits, y=y, records=scores.records)
    return classification_result(
        scores, card, windows, y, overview=overview(windows, config.events.column, source_of(data_of(config)))
    )


def summary(config, results):
    return group_scores(results, seed=config.seed)
