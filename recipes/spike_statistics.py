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
from braindec.spikes._statistics_rows import answers, score_rows, truth_rows
from braindec.spikes.planted_recording import planted_recording
from braindec.spikes.statistics import FieldOptions, SynchronyOptions, describe
from braindec.spikes.variability import windows_of
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
    n_surrogates: PositiveInt = 499


class Config(RecipeConfig):
    planted: Planted = Planted()
    conditions: Conditions = Conditions()
    trials: Trials | None = Trials()
    field: Field = Field()
    synchrony: Synchrony = Synchrony()
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
    length = config.conditions.blocks
    if length is None:
        return spikes
    pieces = [
        (w, e)
        for e in spikes.events.to_dict("records")
        for w in windows_of(spikes.restrict([[e["onset"], e["onset"] + e["duration"]]]), window=length)[:, 0]
    ]
    events = pd.DataFrame([{**e, "onset": w, "duration": length} for w, e in pieces])
    return Spikes(
        spikes.times, spikes.unit, spikes.units, spikes.start, spikes.stop, events, spikes.info, spikes.support
    )


def laid_out(parts, pause=1.0) -> Spikes:
    """Recordings of the same neurons one after another, nothing observed between them; one event each."""
    times, unit, support, events, at = [], [], [], [], 0.0
    for name, part in parts.items():
        times.append(part.times - part.start + at)
        unit.append(part.unit)
        support.append(part.support - part.start + at)
        events.append({"onset": at, "duration": part.stop - part.start, "trial_type": name})
        at += part.stop - part.start + pause
    first = next(iter(parts.values()))
    if len({p.n_units for p in parts.values()}) > 1:
        raise BraindecError("the conditions have other neurons", found=str({k: p.n_units for k, p in parts.items()}))
    return Spikes(
        np.concatenate(times),
        np.concatenate(unit),
        first.units,
        0.0,
        at - pause,
        pd.DataFrame(events),
        first.info,
        np.concatenate(support),
    )


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
        if config.trials is None
        else {"tmin": config.trials.tmin, "tmax": config.trials.tmax, "windows": config.trials.windows or None}
    )
    column = config.conditions.column
    compared = (
        column
        if config.trials is not None and column in spikes.events and spikes.events[column].nunique() > 1
        else None
    )
    field, sfreq = field_of(config, made, spikes.events) if config.trials is not None else (None, None)
    options = FieldOptions(
        half_bandwidth=config.field.half_bandwidth, fmax=config.field.fmax, jitter=config.field.jitter
    )
    found = describe(spikes, **window, conditions=compared, order=config.conditions.order if compared else None, field=field, sfreq=sfreq,
                     fano_window=config.fano_window, synchrony=SynchronyOptions(**config.synchrony.model_dump()), fields=options,
                     n_permutations=config.n_permutations, n_bootstrap=config.n_bootstrap, seed=work.seed)  # fmt: skip
    rows = score_rows(found)
    if planted:
        rows = pd.concat([rows, pd.DataFrame(truth_rows(found, made.truth, seed=work.seed))], ignore_index=True)
    panels, arrays = panels_of(found, unit=config.field.unit)
    return Result(rows, arrays, {"overview": overview(found, compared), "panels": panels, "answers": answers(found, made.truth if planted else None),
                                 "notes": notes(config, found, made), "warnings": list(spikes.info.get("warnings") or [])})  # fmt: skip


def overview(found, compared):
    spikes = found.spikes
    told = {"neurons": spikes.n_units, "spikes": f"{len(spikes.times):,}", "observed (s)": round(spikes.duration, 3), "stretches": len(spikes.support),
            "rates (Hz)": f"{found.rates['value'].min():.1f} to {found.rates['value'].max():.1f}" if spikes.n_units > 1 else f"{found.rates['value'].iloc[0]:.1f}",
            "intervals below 1.5 ms": f"{found.quality['violations'].sum():,}"}  # fmt: skip
    if found.trials is not None:
        told["trials"] = f"{found.trials.n_trials:,}" + (
            f" ({len(found.trials.dropped)} left out, not observed as a whole)" if len(found.trials.dropped) else ""
        )
    if compared:
        told["conditions"] = {c: int((found.conditions == c).sum()) for c in found.order}
    return told


def notes(config, found, made):
    said = [f"{r['name']}: {r['note']}." for _, r in found.quality.iterrows() if r["note"]]
    if config.conditions.blocks and found.trials is not None:
        said.append(f"Long stretches were cut into blocks of {config.conditions.blocks:g} s; blocks are exchanged and resampled as trials are. Where the rate wanders "
                    "more slowly than that, p-values are too small: compare with longer blocks.")  # fmt: skip
    if found.synchrony is not None:
        said.append(
            f"Synchrony is what jitter in windows of {1e3 * config.synchrony.window:g} ms takes away: rates that change together more slowly explain none of it."
        )
    if found.coherence is not None:
        said.append(
            "Exchanging trials keeps what is locked to the onset of trials; coherence beyond it is locking trial by trial."
        )
    if made is not None:
        said.append(f"The recording is made up: {(made.truth['tuning'] != 1).sum()} neurons are tuned, {(made.truth['gain'] > 0).sum()} follow a rhythm of "
                    f"{made.rhythm:g} Hz, {(made.truth['shape'] > 1).sum()} have regular intervals (local variation {made.truth['lv'].min():.2f}), and two share "
                    f"{config.planted.shared:g} spikes a second.")  # fmt: skip
    return said
