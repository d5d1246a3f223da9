"""Decode what changes continuously (force, speed, sound level, movement or rest) from EEG, MEG or intracranial signals.

Signals through steps (band power, for example), ridge with delays, contiguous blocks of time held out with a gap, p-values
from targets that were turned around in time, R² beside r, AUC for targets of yes and no.
"""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section
from braindec.decoders._series_decoding import decode_continuous, group_targets, series_card, series_data
from braindec.loaders.cohort import Steps, source_of, subject_units, units_of
from braindec.loaders.synthetic_force import force_recording

CITATIONS = [
    {"key": "harris2021", "text": "Harris (2021). Nonsense correlations in neuroscience. bioRxiv 2020.11.29.402719.", "doi": "10.1101/2020.11.29.402719"},
    {"key": "schalk2007", "text": "Schalk et al. (2007). Decoding two-dimensional movement trajectories using electrocorticographic signals "
     "in humans. Journal of Neural Engineering 4, 264-275.", "doi": "10.1088/1741-2560/4/3/012"},
]  # fmt: skip


class Simulated(Section):
    n_subjects: PositiveInt = 1
    duration: PositiveFloat = 120.0
    n_channels: int = Field(8, ge=2)
    gain: NonNegativeFloat = 1.0


class Series(Section):
    targets: list[str] = Field(min_length=1)
    threshold: dict[str, float] = {}
    delays: list[int] = Field([0], min_length=1)
    n_folds: int = Field(5, ge=2)
    gap: NonNegativeFloat = 2.0
    block: PositiveFloat = 10.0

    @model_validator(mode="after")
    def _targets_once(self):
        strange = [name for name in self.threshold if name not in self.targets]
        if strange:
            raise ValueError(f"there is no target {strange[0]!r} for a threshold (targets: {', '.join(self.targets)})")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"a target stands twice: {', '.join(self.targets)}")
        return self


class Statistics(Section):
    n_permutations: int = Field(199, ge=0)
    n_bootstrap: PositiveInt = 1000
    controls: list[Literal["label_shuffle", "noise_input", "time_only"]] = ["label_shuffle", "noise_input", "time_only"]


class Config(RecipeConfig):
    simulated: Simulated = Simulated()
    signal: Steps = []
    types: list[str] | None = None
    series: Series = Series(targets=["force"])
    statistics: Statistics = Statistics()


def is_simulated(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if is_simulated(config):
        return units_of([f"{k + 1:02d}" for k in range(config.simulated.n_subjects)], config.select.subjects)
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [] if is_simulated(config) else source_of(config.data).files(unit["subject"])


def data_of(config, unit, cache):
    how, card = config.series, None
    if is_simulated(config):
        size = config.simulated
        recordings = [force_recording(unit["subject"], duration=size.duration, n_channels=size.n_channels, gain=size.gain, seed=config.seed)[0]]  # fmt: skip
    else:
        source = source_of(config.data)
        recordings, card = source.recordings(unit["subject"]), source.card
    return series_data(recordings, how.targets, steps=config.signal, types=config.types, threshold=how.threshold, card=card, cache=cache)  # fmt: skip


def design(config, unit):
    """Audit the folds before anything is fitted."""
    return series_card(data_of(config, unit, Cache(default_folder())), config.series)


def run(config, unit, work):
    data = data_of(config, unit, work.cache)
    return decode_continuous(data, config.series, config.statistics, seed=work.seed, keys=unit)


def summary(config, results):
    return group_targets(results, config.series.targets, seed=config.seed)
