"""All statistics of one recording that fit what it has: conditions, trials, several units, a field.

Each part is a function of its own in this package; here stands what follows from what, so that a recipe, or a person, gets the
usual first look with one call: ``describe(spikes, conditions=..., field=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.spikes._observed import checked_spikes
from braindec.spikes.aligned import Aligned, Labels, aligned
from braindec.spikes.correlograms import Significance, correlogram_significance
from braindec.spikes.field_coherence import FieldCoherence, spike_field_coherence
from braindec.spikes.intervals import interval_statistics
from braindec.spikes.phase_consistency import PhaseConsistency, phase_consistency
from braindec.spikes.quality import unit_quality
from braindec.spikes.rates import mean_rate, rate_ratio
from braindec.spikes.spike_triggered import TriggeredAverage, spike_triggered_average
from braindec.spikes.surrogates import surrogate_trains
from braindec.spikes.tuning import Tuning, tuning
from braindec.spikes.variability import fano
from braindec.types import Spikes

__all__ = ["Described", "FieldOptions", "SynchronyOptions", "describe", "jittered"]


@dataclass(frozen=True)
class SynchronyOptions:
    """How synchrony is looked for; see :func:`braindec.spikes.correlograms.correlogram_significance`.

    Spikes of a unit at most ``bursts`` s apart are moved together; 0 moves each by itself.
    """

    width: float = 0.001
    max_lag: float = 0.01
    window: float = 0.01
    bursts: float = 0.005
    n_surrogates: int = 499


@dataclass(frozen=True)
class FieldOptions:
    """How a field is looked at; frequencies and half bandwidth in Hz, jitter and reach in s."""

    half_bandwidth: float | None = 3.0
    fmax: float = 100.0
    frequencies: Sequence[float] = tuple(np.arange(6.0, 81.0, 2.0))
    jitter: float = 0.1
    reach: float = 0.1


@dataclass(frozen=True)
class Described:
    """What :func:`describe` found; parts that the recording has nothing for are empty or None.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    trials : Aligned or None
        Spikes around the events.
    conditions : array of str or None
        Condition of each trial.
    order : list of str
        The conditions, in the order in which they are compared.
    quality, rates, intervals, fano : DataFrame
        One row a unit (and metric).
    by_condition : DataFrame
        Rates, CV and local variation of each unit in each condition.
    tuning : dict of str to Tuning
        By window.
    windows : dict of str to (float, float)
        The parts of the trials in which conditions were compared.
    ratios : DataFrame
        Rate of the second condition over the first, by unit and window; empty unless there are two conditions.
    synchrony, synchrony_jittered : Significance or None
        Of the data, and of a recording whose spikes were jittered once.
    coherence, coherence_jittered, consistency, average
        Spikes and field.
    """

    spikes: Spikes
    trials: Aligned | None
    conditions: np.ndarray | None
    order: list[str]
    quality: pd.DataFrame
    rates: pd.DataFrame
    intervals: pd.DataFrame
    fano: pd.DataFrame
    by_condition: pd.DataFrame = field(default_factory=pd.DataFrame)
    tuning: Mapping[str, Tuning] = field(default_factory=dict)
    windows: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    ratios: pd.DataFrame = field(default_factory=pd.DataFrame)
    synchrony: Significance | None = None
    synchrony_jittered: Significance | None = None
    coherence: FieldCoherence | None = None
    coherence_jittered: FieldCoherence | None = None
    consistency: PhaseConsistency | None = None
    average: TriggeredAverage | None = None


def describe(
    spikes: Spikes, *, tmin: float | None = None, tmax: float | None = None, windows: Mapping[str, tuple[float, float]] | None = None,
    conditions: Labels | None = None, order: Sequence[str] | None = None, field: np.ndarray | None = None, sfreq: float | None = None,
    fano_window: float = 1.0, synchrony: SynchronyOptions | None = None, fields: FieldOptions | None = None,
    n_permutations: int = 499, n_bootstrap: int = 500, seed: int = 0,
) -> Described:  # fmt: skip
    """Return the usual statistics of a recording.

    Parameters
    ----------
    spikes : Spikes
        The recording; its ``events`` are the trials when ``tmin`` and ``tmax`` are given.
    tmin, tmax : float, optional
        Window of the trials, s.
    windows : dict of str to (float, float), optional
        Parts of it in which conditions are compared; the whole by default.
    conditions : str or sequence, optional
        Column of the events, or a label each.
    order : sequence of str, optional
        Conditions in the order in which they are compared; sorted by default.
    field : array of shape (n_events, n_times), optional
        Field in the trials' window at ``sfreq`` Hz.
    sfreq : float, optional
        Needed with a field.
    fano_window : float
        Windows of the Fano factor where there are no trials, s.
    synchrony, fields : options
    n_permutations, n_bootstrap : int
    seed : int
        Source of chance.
    """
    checked_spikes(spikes, "describe")
    trials = (
        None
        if tmin is None or tmax is None
        else aligned(spikes, spikes.events.assign(row=np.arange(len(spikes.events))), tmin=tmin, tmax=tmax)
    )
    if trials is None and (conditions is not None or field is not None):
        raise BraindecError("conditions and fields belong to trials", fix="give tmin and tmax (s)")
    labels, names = _conditions(trials, conditions, order)
    many: dict[str, Any] = {"n_bootstrap": max(100, n_bootstrap), "seed": seed}
    spread = fano(spikes, window=fano_window, seed=seed) if trials is None else fano(trials, by=labels, seed=seed)
    found = Described(spikes, trials, labels, names, unit_quality(spikes), mean_rate(spikes, **many),
                      interval_statistics(spikes, refractory=0.0), spread)  # fmt: skip
    if labels is not None and trials is not None:
        found = _compared(found, windows or {"": (trials.tmin, trials.tmax)}, n_permutations, seed)
    if spikes.n_units > 1 and synchrony is not None:
        found = _synchronous(found, synchrony, seed)
    if field is not None and trials is not None:
        found = _locked(found, np.asarray(field), sfreq, fields or FieldOptions(), n_permutations, seed)
    return found


def jittered(spikes: Spikes, *, width: float, kind: str = "jitter", seed: int = 0) -> Spikes:
    """Return the recording with its spikes moved once: a control that has the same rates and no fine timing."""
    flat = next(iter(surrogate_trains(spikes, kind=kind, width=width, n=1, seed=seed)))
    offsets = spikes.trains()[1]
    unit = np.repeat(np.arange(spikes.n_units, dtype=np.int32), np.diff(offsets))
    times = np.asarray(flat)
    order = np.argsort(times, kind="stable")
    return replace(spikes, times=times[order], unit=unit[order])


def _conditions(
    trials: Aligned | None, conditions: Labels | None, order: Sequence[str] | None
) -> tuple[np.ndarray | None, list[str]]:
    if trials is None or conditions is None:
        return None, []
    if isinstance(conditions, str):
        labels = trials.column(conditions).astype(str)
    else:
        labels = np.asarray(conditions)[trials.trials["row"]].astype(str)
    names = sorted(set(labels.tolist())) if order is None else [str(o) for o in order]
    if set(names) != set(labels.tolist()) or len(names) != len(set(names)):
        raise BraindecError(
            "the order must name each condition once",
            found=str(names)[:120],
            allowed=str(sorted(set(labels.tolist())))[:120],
        )
    return labels, names


def _compared(
    found: Described, windows: Mapping[str, tuple[float, float]], n_permutations: int, seed: int
) -> Described:
    trials, labels, order = found.trials, found.conditions, found.order
    assert trials is not None and labels is not None
    tuned = {
        name: tuning(trials, labels, window=(w[0], w[1]), n_permutations=n_permutations, seed=seed)
        for name, w in windows.items()
    }
    ratios = []
    for name, w in windows.items() if len(order) == 2 else []:
        counts = trials.between(*w).counts()[:, :, 0]
        for u in range(trials.n_units):
            one, two = (counts[labels == o, u] for o in order)
            if one.sum() and two.sum() and min(len(one), len(two)) > 1:
                row = rate_ratio(one, two, seconds=(w[1] - w[0], w[1] - w[0]), seed=seed)
                ratios.append(
                    {"unit": u, "name": str(trials.units["name"].iloc[u]), "window": name, "trials": len(labels), **row}
                )
    return replace(
        found, tuning=tuned, windows=windows, ratios=pd.DataFrame(ratios), by_condition=_by_condition(found, seed)
    )


def _by_condition(found: Described, seed: int) -> pd.DataFrame:
    """Rates and interval statistics of each condition, from the trials of it alone."""
    trials, parts = found.trials, []
    assert trials is not None
    for name in found.order:
        onset = np.sort(trials.trials["onset"].to_numpy()[found.conditions == name])
        pieces = np.stack([onset + trials.tmin, onset + trials.tmax], axis=1)
        if (pieces[1:, 0] < pieces[:-1, 1] - 1e-9).any():
            return pd.DataFrame()  # windows overlap: the same spikes would count twice
        pieces[1:, 0] = np.maximum(pieces[1:, 0], pieces[:-1, 1])
        own = found.spikes.restrict(pieces)
        parts.append(mean_rate(own, seed=seed).assign(metric="rate", condition=name))
        parts.append(interval_statistics(own, refractory=0.0).assign(condition=name))
    return pd.concat(parts, ignore_index=True)


def _synchronous(found: Described, options: SynchronyOptions, seed: int) -> Described:
    how: dict[str, Any] = {"width": options.width, "max_lag": options.max_lag, "window": options.window}
    if options.bursts:
        how |= {"surrogate": "patterns", "bursts": options.bursts}
    own = correlogram_significance(found.spikes, **how, n_surrogates=options.n_surrogates, seed=seed)
    moved = jittered(found.spikes, width=options.window, seed=seed + 1)
    control = correlogram_significance(moved, **how, n_surrogates=min(options.n_surrogates, 199), seed=seed + 2)
    return replace(found, synchrony=own, synchrony_jittered=control)


def _locked(
    found: Described, field: np.ndarray, sfreq: float | None, options: FieldOptions, n_permutations: int, seed: int
) -> Described:
    trials = found.trials
    assert trials is not None
    if sfreq is None:
        raise BraindecError("a field needs its sampling frequency", fix="give sfreq (Hz)")
    if len(field) != len(found.spikes.events):
        raise BraindecError(
            "the field needs a row for each event", found=f"{len(field)} rows, {len(found.spikes.events)} events"
        )
    field = field[trials.trials["row"]]
    how: dict[str, Any] = {"sfreq": sfreq, "n_permutations": n_permutations, "seed": seed}
    wide: dict[str, Any] = {"half_bandwidth": options.half_bandwidth, "fmax": options.fmax}
    moved = aligned(
        jittered(found.spikes, width=options.jitter, kind="dither", seed=seed + 3),
        trials.trials,
        tmin=trials.tmin,
        tmax=trials.tmax,
    )
    return replace(found, coherence=spike_field_coherence(trials, field, **wide, **how), coherence_jittered=spike_field_coherence(moved, field, **wide, **how),
                   consistency=phase_consistency(trials, field, frequencies=options.frequencies, **how),
                   average=spike_triggered_average(trials, field, reach=options.reach, **how))  # fmt: skip
