"""Words from depth electrodes: region-wise tokens trained without labels first, beside a linear decoder of high gamma.

Windows around each word, channels chosen on training windows, du_in in three stages, a network from scratch, few labels, a
linear decoder of high-gamma power for each region and number of channels, a whole run held out, and control rows.
Without data, made-up people read 61 made-up words; which contacts carry words is known.
"""

from typing import Annotated

import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, name_in, options_of
from braindec.decoders._channel_selection import select_channels
from braindec.decoders._make import make_decoder
from braindec.decoders._word_networks import network_rows
from braindec.decoders._word_report import word_result
from braindec.decoders._word_rows import (
    audit_with_unlabelled,
    channel_auc,
    few_labels,
    linear_rows,
    paper_split,
    region_rows,
    stretches,
)
from braindec.decoders.high_gamma import power_windows
from braindec.evaluate.audit import audit
from braindec.evaluate.results import SplitBy, group_scores
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import Epochs, Events, Steps, event_windows, overview, source_of, subject_units, units_of
from braindec.loaders.synthetic_word_reading import synthetic_word_reading
from braindec.signal.prepare import prepare
from braindec.signal.regions import region_groups
from braindec.signal.windows import make_windows

CITATIONS = [
    {"key": "zheng2024", "text": "Zheng et al. (2024). Du-IN: Discrete units-guided mask modeling for decoding speech from intracranial neural "
     "signals. NeurIPS 37.", "doi": "10.48550/arXiv.2405.11459"},
    {"key": "bouchard2013", "text": "Bouchard, Mesgarani, Johnson & Chang (2013). Functional organization of human sensorimotor cortex for speech "
     "articulation. Nature 495, 327-332.", "doi": "10.1038/nature11911"},
    {"key": "golland2003", "text": "Golland & Fischl (2003). Permutation tests for classification: towards statistical significance in image-based "
     "studies. IPMI, 330-341.", "doi": "10.1007/978-3-540-45087-0_28"},
]  # fmt: skip


class Simulated(Section):
    n_subjects: PositiveInt = 4
    n_words: int = Field(61, ge=2)
    n_runs: int = Field(4, ge=2)
    n_repetitions: PositiveInt = 2
    n_speech_runs: int = Field(2, ge=0)
    speech_duration: PositiveFloat = 90.0
    slow: NonNegativeFloat = 2.0
    high_gamma: NonNegativeFloat = 1.0
    shared_syllables: bool = True


class Window(Epochs):
    tmax: float = 1.1


class ChannelChoice(Section):
    n: PositiveInt = 10
    counts: list[PositiveInt] = [1, 3, 5, 20]


class Regions(Section):
    atlas: str = "destrieux"
    min_channels: PositiveInt = 3


class Tests(Section):
    controls: list[Annotated[str, name_in("evaluate.controls")]] = ["label_shuffle", "noise_input", "time_only"]
    n_permutations: int = Field(100, ge=0)
    n_bootstrap: int = Field(1000, ge=100)


class Config(RecipeConfig):
    simulated: Simulated = Simulated()
    signal: Steps = []
    events: Events = Events(column="text")
    epochs: Window = Window()
    split: SplitBy = SplitBy()
    channels: ChannelChoice = ChannelChoice()
    regions: Regions | None = Regions()
    decoder: Annotated[dict, options_of("decoders", needs="decision")] = {"name": "du_in"}
    few_labels: float = Field(0.34, gt=0, le=1)
    statistics: Tests = Tests()


def is_simulated(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if is_simulated(config):
        return units_of([f"{k + 1:02d}" for k in range(config.simulated.n_subjects)], config.select.subjects)
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [] if is_simulated(config) else source_of(config.data).files(unit["subject"])


def load(config, unit, cache):
    """Windows of words, the same with what came before them, stretches without labels, and the contacts that carry words."""
    span = config.epochs
    if not is_simulated(config):
        windows, wide = event_windows(
            source_of(config.data), unit["subject"], events=config.events, epochs=span, steps=config.signal, cache=cache
        )
        return windows, wide, None, None
    subject = unit["subject"]
    made = synthetic_word_reading(**config.simulated.model_dump(), only=[subject], seed=config.seed)
    reading, speech = (prepare(part[subject], config.signal) for part in (made.reading, made.speech))
    wide = make_windows(reading, tmin=min(span.tmin, 0.0) - 0.2, tmax=span.tmax, column=config.events.column)
    unlabelled = (
        stretches(speech, span.tmax - span.tmin, step=(span.tmax - span.tmin) / 2, tmin=span.tmin) if speech else None
    )
    return wide.crop(span.tmin, span.tmax), wide, unlabelled, made.truth.informative(subject)


def split_of(config, windows, y):
    """The last part held out: one fold is decoded, so that a network is trained once."""
    if config.split.by == "paper":
        return paper_split(windows, y, seed=config.seed)
    return split_by(windows, config.split.by, n_folds=config.split.n_folds, gap=config.split.gap)[-1]


def design(config, unit):
    """Audit the design before anything is fitted."""
    windows, wide, _, _ = load(config, unit, Cache(default_folder()))
    y = windows.trials[config.events.column].to_numpy()
    return audit(wide, [split_of(config, windows, y)], y=y)


def run(config, unit, work):
    windows, wide, unlabelled, planted = load(config, unit, work.cache)
    y = windows.trials[config.events.column].to_numpy()
    split, chosen = split_of(config, windows, y), config.statistics
    how = {"n_permutations": chosen.n_permutations, "n_bootstrap": chosen.n_bootstrap, "seed": work.seed, "keys": unit}
    choice = select_channels(windows[split.train], y[split.train], n_channels=config.channels.n, seed=work.seed)
    choice.check(split)
    few = few_labels(y, split.train, config.few_labels, seed=work.seed)
    note = f"{len(few)} of {len(split.train)} training labels, as many of each word"
    folder = (
        None if config.decoder.get("preset", "tiny") == "tiny" else str(work.folder / "training")
    )  # a minute needs no checkpoints
    networks = network_rows(
        lambda **options: make_decoder({**config.decoder, **options}, channels=choice, seed=work.seed), windows, y, split,
        unlabelled=unlabelled, few=few, note=note, rng=work.rng("label_shuffle"), folder=folder, **how,
    )  # fmt: skip
    power = power_windows(windows)
    linear, records = linear_rows(
        power, y, split, choice, few=few, counts=config.channels.counts, controls=chosen.controls, note=note, **how
    )
    tables, groups = [networks.table.iloc[:1], linear, networks.table.iloc[1:]], None
    if config.regions is not None:
        groups = region_groups(windows, config.regions.atlas, min_channels=config.regions.min_channels)
        tables.append(region_rows(power, y, split, groups, **how))
    if planted:
        tables.append(pd.DataFrame([channel_auc(choice, planted, keys=unit)]))
    card = audit_with_unlabelled(wide, windows, split, y, [*networks.records, *records], unlabelled)
    facts = overview(windows, config.events.column, None if is_simulated(config) else source_of(config.data))
    return word_result(
        pd.concat(tables, ignore_index=True), card, facts, choice=choice, groups=groups, history=networks.history,
        codes=networks.codes, split=split, planted=planted,
    )  # fmt: skip


def summary(config, results):
    return group_scores(results, seed=config.seed)
