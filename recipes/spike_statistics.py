"""What do these neurons do: rates, irregularity, tuning, synchrony, and what they have to do with a field.

Each statistic has its interval, and a p-value from a null that keeps what is not asked about: trials exchanged for tuning and
for locking to a field, spikes jittered in windows for synchrony, multinomial counts for variability. Beside the data stand
exchanged trials and jittered spikes, tested in the same way. Without data a recording is made up of which everything is known.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field as Bounded
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from braindec.config import Data, RecipeConfig, Section
from braindec.errors import BraindecError
from braindec.loaders import _arrays
from braindec.loaders.cohort import source_of, subject_units
from braindec.spikes._statistics_panels import panels_of
from braindec.spikes._statistics_rows import score_rows, truth_rows
from braindec.spikes._statistics_text import answers, notes, overview
from braindec.spikes.conditions import in_blocks, laid_out
from braindec.spikes.planted_recording import planted_recording
from braindec.spikes.statistics import FieldOptions, SynchronyOptions, describe
from braindec.types import Result, Spikes

CITATIONS = [
    {"key": "amarasingham2012", "text": "Amarasingham, Harrison, Hatsopoulos & Geman (2012). Conditional modeling and the jitter method of spike resampling. "
     "Journal of Neurophysiology 107, 517-531.", "doi": "10.1152/jn.00633.2011"},
    {"key": "vinck2010", "text": "Vinck, van Wingerden, Womelsdorf, Fries & Pennartz (2010). The pairwise phase consistency: a bias-free measure of rhythmic "
     "neuronal synchronization. NeuroImage 51, 112-122.", "doi": "10.1016/j.neuroimage.2010.01.073"},
    {"key": "shinomoto2003", "text": "Shinomoto, Shima & Tanji (2003). Differences in spiking patterns among cortical neurons. Neural Computation 15, 2823-2842.",
     "doi": "10.1162/089976603322518759"},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip


class Planted(Section):
    n_units: int = Bounded(12, ge=6)
    n_trials: int = Bounded(120, ge=10)
    tuning: PositiveFloat = 2.0
    gain: NonNegativeFloat = 0.4
    shape: PositiveFloat = 4.0
    shared: NonNegativeFloat = 1.0


class Conditions(Section):
    """``parts``: options of the reader for each condition, where each is an array of its own; ``blocks``: s, cuts long events into trials."""

    column: str | None = "trial_type"
    order: list[str] | None = None
    parts: dict[str, dict[str, Any]] = {}
    blocks: PositiveFloat | None = None


class Trials(Section):
    tmin: float = 0.0
    tmax: float = 1.0
    windows: dict[str, tuple[float, float]] = {}


class Field(Section):
    """``array``: file:variable of (trial, time) beside the data, whose first sample is at ``trials.tmin``."""

    array: str | None = None
    sfreq: PositiveFloat | None = None
    unit: str = "a.u."
    half_bandwidth: PositiveFloat = 3.0
    fmax: PositiveFloat = 100.0
    jitter: PositiveFloat = 0.1


class Synchrony(Section):
    width: PositiveFloat = 0.001
    max_lag: PositiveFloat = 0.01
    window: PositiveFloat = 0.01
    bursts: NonNegativeFloat = 0.005
    n_surrogates: PositiveInt = 499


class Config(RecipeConfig):
    planted: Planted = Planted()
    conditions: Conditions = Conditions()
    trials: Trials | None = Trials()
    field: Field = Field()
    synchrony: Synchrony | None = Synchrony()
    fano_window: PositiveFloat = 1.0
    n_permutations: PositiveInt = 499
    n_bootstrap: PositiveInt = 500


def is_planted(config):
    return config.data.dataset is None and config.data.root is None


def sources(config):
    """The source of each condition, or of all of them."""
    parts = config.conditions.parts or {"": {}}
    return {
        name: source_of(Data(**{**config.data.model_dump(), "options": {**config.data.options, **more}}))
        for name, more in parts.items()
    }


def units(config):
    if is_planted(config):
        return [{"recording": "made-up"}]
    first = next(iter(sources(config).values()))
    return subject_units(
        Data(dataset=config.data.dataset, root=str(first.root), reader=first.reader, options=dict(first.options)),
        config.select.subjects,
    )


def inputs(config, unit):
    if is_planted(config):
        return []
    found = [p for s in sources(config).values() for p in s.files(unit["subject"])]
    if config.field.array:
        found.append(folder_of(config) / config.field.array.partition(":")[0])
    return list(dict.fromkeys(found))


def folder_of(config) -> Path:
    root = next(iter(sources(config).values())).root
    return root if root.is_dir() else root.parent


def one_recording(source, subject) -> Spikes:
    found = source.load(subject)
    found = found if isinstance(found, list) else [found]
    if len(found) != 1 or not isinstance(found[0], Spikes):
        raise BraindecError("spike statistics need one recording of spikes a subject", found=repr(found)[:200],
                            fix="choose one: data.options run=..., session=...; leave bin_width out")  # fmt: skip
    return found[0]


def load(config, unit):
    """The recording, with one event a trial."""
    found = {name: one_recording(s, unit["subject"]) for name, s in sources(config).items()}
    spikes = laid_out(found) if config.conditions.parts else next(iter(found.values()))
    return spikes if config.conditions.blocks is None else in_blocks(spikes, length=config.conditions.blocks)


def field_of(config, made, events):
    """The field in trials, (trial, time), and its sampling frequency."""
    if made is not None:
        first = np.round((events["onset"].to_numpy() + config.trials.tmin) * made.sfreq).astype(int)
        return made.field[
            first[:, None] + np.arange(round((config.trials.tmax - config.trials.tmin) * made.sfreq))
        ], made.sfreq
    if config.field.array is None:
        return None, None
    if config.field.sfreq is None:
        raise BraindecError("a field needs its sampling frequency", fix="field.sfreq: ... (Hz)")
    return np.asarray(_arrays.read(config.field.array, folder_of(config)), dtype=float), config.field.sfreq


def run(config, unit, work):
    planted = is_planted(config)
    made = planted_recording(**config.planted.model_dump(), seed=work.seed) if planted else None
    spikes = made.spikes if planted else load(config, unit)
    window = (
        {}
        if config.trials is None or not len(spikes.events)
        else {"tmin": config.trials.tmin, "tmax": config.trials.tmax, "windows": config.trials.windows or None}
    )
    column = config.conditions.column
    compared = column if window and column in spikes.events and spikes.events[column].nunique() > 1 else None
    field, sfreq = field_of(config, made, spikes.events) if window else (None, None)
    options = FieldOptions(
        half_bandwidth=config.field.half_bandwidth, fmax=config.field.fmax, jitter=config.field.jitter
    )
    found = describe(spikes, **window, conditions=compared, order=config.conditions.order if compared else None, field=field, sfreq=sfreq,
                     fano_window=config.fano_window, synchrony=SynchronyOptions(**config.synchrony.model_dump()) if config.synchrony else None, fields=options,
                     n_permutations=config.n_permutations, n_bootstrap=config.n_bootstrap, seed=work.seed)  # fmt: skip
    rows = score_rows(found)
    if planted:
        rows = pd.concat([rows, pd.DataFrame(truth_rows(found, made.truth))], ignore_index=True)
    panels, arrays = panels_of(found, unit=config.field.unit, stretches=bool(config.conditions.blocks))
    made_by = {"overview": overview(found), "panels": panels, "answers": answers(found, made.truth if planted else None), "notes":
               notes(found, **({"jitter": config.synchrony.window, "bursts": config.synchrony.bursts} if config.synchrony else {"jitter": 0.0}), blocks=config.conditions.blocks, made=made), "warnings": list(spikes.info.get("warnings") or [])}  # fmt: skip
    if config.trials is not None and not window:
        made_by["notes"].append("The recording has no events: nothing was done by trials.")
    return Result(rows, arrays, made_by)
