"""Decode spikes and calcium traces.

Labels: spike counts in bins around each event, a linear classifier with shrinkage, runs, blocks or the file's own split
held out, p-values by refitting on permuted labels, and a course of decoding over time that begins before the event.
Continuous variables (series): ridge with delays on contiguous folds with a gap, p-values from targets turned around in
time, R2 beside r. Without data a made-up population of direction-tuned neurons is decoded and compared with an ideal
observer that knows every rate.
"""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._make import make_decoder
from braindec.decoders._series_decoding import decode_continuous, group_targets, series_card, series_data
from braindec.decoders._spike_decoding import (
    at_least_two_blocks,
    course_of,
    fixed_split,
    in_blocks,
    label_notes,
)
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.results import SplitBy, Statistics, classification_result, group_scores
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import Epochs, Events, overview, source_of, subject_units
from braindec.loaders.synthetic_spikes import tuned_population
from braindec.signal.spike_windows import spike_windows
from braindec.types import Result, Spikes, Windows

CITATIONS = [
    {"key": "harris2021", "text": "Harris (2021). Nonsense correlations in neuroscience. bioRxiv 2020.11.29.402719.", "doi": "10.1101/2020.11.29.402719"},
    {"key": "glaser2020", "text": "Glaser, Benjamin, Chowdhury, Perich, Miller & Kording (2020). Machine learning for neural decoding. eNeuro 7(4).",
     "doi": "10.1523/ENEURO.0506-19.2020"},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip


class Simulated(Section):
    n_units: PositiveInt = 40
    n_trials: PositiveInt = 240
    n_directions: int = Field(8, ge=2)
    gain: NonNegativeFloat = 8.0


class Window(Epochs):
    tmax: float = 0.5
    before: NonNegativeFloat = 0.2


class Counts(Section):
    width: PositiveFloat = 0.1
    scale: Literal["count", "sqrt", "rate"] = "sqrt"


class Held(SplitBy):
    held_out: list[str] | None = None
    blocks: Annotated[int, Field(ge=2)] | None = None


class Course(Section):
    step: PositiveFloat = 0.1
    width: PositiveFloat = 0.2


class Series(Section):
    targets: list[str] = Field(min_length=1)
    delays: list[int] = [-2, -1, 0, 1, 2]
    n_folds: int = Field(5, ge=2)
    gap: NonNegativeFloat = 10.0
    block: PositiveFloat = 20.0


class Config(RecipeConfig):
    simulated: Simulated = Simulated()
    events: Events = Events()
    epochs: Window = Window()
    counts: Counts = Counts()
    split: Held = Held()
    classifier: Annotated[dict, options_of("decoders", needs="decision")] = {"name": "classifier"}
    time_course: Course | None = Course()
    statistics: Statistics = Statistics()
    series: Series | None = None


def is_simulated(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if is_simulated(config):
        if config.series is not None:
            raise BraindecError(
                "the made-up population has no continuous variable",
                fix="--cohort calcium_celegans_wholebrain, or data.root=...",
            )
        return [{"subject": "simulated"}]
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [] if is_simulated(config) else source_of(config.data).files(unit["subject"])


def population(config):
    return tuned_population(**config.simulated.model_dump(), seed=config.seed)


def windows_of(config, unit):
    """Windows that are decoded, and the same with what came before the event."""
    source = None if is_simulated(config) else source_of(config.data)
    loaded = [population(config).spikes] if source is None else source.load(unit["subject"])
    span, events = config.epochs, config.events
    if isinstance(loaded, Windows):
        wide = loaded
    else:
        several = [loaded] if isinstance(loaded, Spikes) else list(loaded)
        if not all(isinstance(s, Spikes) for s in several):
            raise BraindecError(
                "labels are decoded from spikes",
                found=repr(several[0]),
                fix="set series.targets for recordings, or use erp_classification",
            )
        before = np.ceil(round(span.before / config.counts.width, 6)) * config.counts.width
        wide = spike_windows(several, width=config.counts.width, tmin=min(span.tmin, -before), tmax=span.tmax, column=events.column,
                             select=events.classes, rename=events.rename or None, scale=config.counts.scale)  # fmt: skip
    if config.split.blocks:
        wide = in_blocks(wide, events.column, config.split.blocks)
    return wide.crop(span.tmin, span.tmax), wide, source


def splits_of(config, windows):
    if config.split.held_out:
        return [fixed_split(windows, config.split.by, config.split.held_out)]
    by = "block" if config.split.blocks else config.split.by
    return split_by(windows, by, n_folds=config.split.n_folds, gap=config.split.gap)


def design(config, unit):
    """Audit the design before anything is fitted."""
    if config.series is not None:
        source = source_of(config.data)
        data = series_data(source.recordings(unit["subject"]), config.series.targets, card=source.card)
        return series_card(data, config.series)
    windows, wide, _ = windows_of(config, unit)
    return audit(wide, splits_of(config, windows), y=windows.trials[config.events.column].to_numpy())


def run(config, unit, work):
    return run_series(config, unit, work) if config.series is not None else run_labels(config, unit, work)


def run_labels(config, unit, work):
    windows, wide, source = windows_of(config, unit)
    y = windows.trials[config.events.column].to_numpy()
    splits = splits_of(config, windows)
    decoder = make_decoder(config.classifier, seed=work.seed, folder=str(work.folder / "training"))
    statistics = config.statistics.model_dump()
    testable = at_least_two_blocks(windows, y)
    if not testable:
        statistics["n_permutations"] = 0
        statistics["controls"] = [c for c in statistics["controls"] if c != "label_shuffle"]
    scores = cross_validate(decoder, windows, y, splits, **statistics, seed=work.seed, keys=unit)
    card = audit(wide, splits, y=y, records=scores.records)
    result = classification_result(scores, card, windows, y, overview=overview(windows, config.events.column, source))
    notes, answers = label_notes(card, scores, testable=testable)
    table, arrays, panels = result.scores, dict(result.arrays), list(result.made_by["panels"])
    if config.time_course is not None:
        course, panel = course_of(
            decoder, wide, y, splits, config.time_course, n_bootstrap=config.statistics.n_bootstrap, seed=work.seed
        )
        arrays.update(course)
        panels.insert(0, panel)
    if source is None:
        truth = population(config)
        ideal = {"metric": "accuracy", "version": "1", "row": "ideal observer", "value": truth.ideal_accuracy(seed=work.seed), "n": len(y),
                 "chance": 1 / len(truth.rates), "note": "an observer who knows the rate of every neuron, by simulation"}  # fmt: skip
        table = pd.concat([table, pd.DataFrame([{**unit, **ideal}])], ignore_index=True)
        reached = scores.scores.query("row == 'decoded' and metric == 'accuracy'")["value"]
        answers.append(
            f"The neurons are made up: an ideal observer that knows every rate is right in {100 * ideal['value']:.0f} % of trials"
            + (f", the decoder in {100 * float(reached.iloc[0]):.0f} %." if len(reached) else ".")
        )
    return Result(table, arrays, {**result.made_by, "panels": panels, "notes": notes, "answers": answers})


def run_series(config, unit, work):
    source = source_of(config.data)
    data = series_data(source.recordings(unit["subject"]), config.series.targets, card=source.card)
    return decode_continuous(data, config.series, config.statistics, seed=work.seed, keys=unit)


def summary(config, results):
    if config.series is None:
        return group_scores(results, seed=config.seed)
    return group_targets(results, config.series.targets, seed=config.seed)
