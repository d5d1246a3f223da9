"""Categories from fMRI volumes or blocks, one decoder a subject.

Voxel (or parcel) patterns, detrended and z-scored within each run, a linear classifier with shrinkage, p-values by
refitting on permuted labels, and control rows beside every score.
"""

from typing import Annotated

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, options_of
from braindec.decoders._make import make_decoder
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.results import SplitBy, Statistics, classification_result, group_scores
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import Events, Steps, Volumes, label_windows, overview, source_of, subject_units

CITATIONS = [
    {"key": "haxby2001", "text": "Haxby et al. (2001). Distributed and overlapping representations of faces and objects "
     "in ventral temporal cortex. Science 293, 2425-2430.", "doi": "10.1126/science.1063736"},
]  # fmt: skip


class Config(RecipeConfig):
    signal: Steps = []
    events: Events = Events()
    volumes: Volumes = Volumes()
    split: SplitBy = SplitBy()
    classifier: Annotated[dict, options_of("decoders", needs="decision")] = {"name": "classifier"}
    statistics: Statistics = Statistics()


def units(config):
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return source_of(config.data).files(unit["subject"])


def windows_of(config, unit, cache):
    source = source_of(config.data)
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
        scores, card, windows, y, overview=overview(windows, config.events.column, source_of(config.data))
    )


def summary(config, results):
    return group_scores(results, seed=config.seed)
