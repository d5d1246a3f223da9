"""Event types from event-related EEG, MEG or iEEG, one decoder a subject.

Windows around each event, a linear classifier with shrinkage (or a network), whole runs (or contiguous blocks) held
out, p-values by refitting on permuted labels, and control rows beside every score.
"""

from typing import Annotated

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, options_of
from braindec.decoders._make import make_decoder
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.results import SplitBy, Statistics, classification_result, group_scores
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import Channels, Epochs, Events, Steps, event_windows, overview, source_of, subject_units

CITATIONS = [
    {"key": "blankertz2011", "text": "Blankertz et al. (2011). Single-trial analysis and classification of ERP components: a "
     "tutorial. NeuroImage 56, 814-825.", "doi": "10.1016/j.neuroimage.2010.06.048"},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip


class Config(RecipeConfig):
    signal: Steps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs()
    split: SplitBy = SplitBy()
    classifier: Annotated[dict, options_of("decoders", needs="decision")] = {"name": "classifier"}
    statistics: Statistics = Statistics()


def units(config):
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return source_of(config.data).files(unit["subject"])


def windows_of(config, unit, cache):
    source = source_of(config.data)
    return event_windows(source, unit["subject"], events=config.events, epochs=config.epochs, steps=config.signal,
                         channels=config.channels, cache=cache)  # fmt: skip


def splits_of(config, windows):
    return split_by(windows, config.split.by, n_folds=config.split.n_folds, gap=config.split.gap)


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit erp_classification --cohort ...``."""
    windows, wide = windows_of(config, unit, Cache(default_folder()))
    return audit(wide, splits_of(config, windows), y=windows.trials[config.events.column].to_numpy())


def run(config, unit, work):
    windows, wide = windows_of(config, unit, work.cache)
    y = windows.trials[config.events.column].to_numpy()
    splits = splits_of(config, windows)
    decoder = make_decoder(config.classifier, seed=work.seed, folder=str(work.folder / "training"))
    scores = cross_validate(decoder, windows, y, splits, **config.statistics.model_dump(), seed=work.seed, keys=unit)
    card = audit(wide, splits, y=y, records=scores.records)
    return classification_result(
        scores, card, windows, y, overview=overview(windows, config.events.column, source_of(config.data))
    )


def summary(config, results):
    return group_scores(results, seed=config.seed)
