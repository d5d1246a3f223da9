"""What a page about a liquid shows: rows of branching parameters, sentences, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindec.networks.branching import Branching
from braindec.networks.liquid import PAIRS, Liquid, Steered
from braindec.networks.spike_patterns import SpikeTrials
from braindec.stats.fdr import fdr_bh

__all__ = ["branching_rows", "liquid_answers", "liquid_panels"]

FITS = 0.8  # share of the slopes that must be explained for a branching parameter to mean something
NEAR = 0.1  # branching parameters per 4 ms that are called one
HELD = "without astrocyte"
_OTHERS = {
    "over_before_steering": "the liquid before steering",
    "over_without_astrocyte": "plasticity without the astrocyte",
    "over_no_recurrence": "the same neurons without synapses on one another",
    "over_input_counts": "the input's spike counts",
    "over_input_times": "the input in time bins",
}


def branching_rows(found: Mapping[str, Branching]) -> list[dict[str, Any]]:
    """Return one row of scores for each liquid: its branching parameter, NaN with the reason where its activity has none."""
    rows = []
    for name, b in found.items():
        fits = b.explained >= FITS
        note = f"per 4 ms, multistep regression; an exponential explains {max(b.explained, 0.0):.0%} of the slopes"
        note += "" if fits else ": activity bursts or has no correlation, no branching parameter"
        m, low, high = (b.m, b.low, b.high) if fits else (np.nan,) * 3
        rows.append({"metric": "branching", "version": 1, "row": name, "value": m, "chance": np.nan, "low": low, "high": high,
                     "p": np.nan, "n": np.nan, "note": note})  # fmt: skip
    return rows


def liquid_answers(leads: Sequence[Mapping[str, Any]], found: Mapping[str, Branching]) -> list[dict[str, str]]:
    """Return the sentences for the top of the page, joined over liquids by the report.

    A read-out is better or worse than another where p, corrected over the comparisons of the liquid (false discovery rate), is 0.05 or less.
    """
    says = []
    for row, q in zip(leads, fdr_bh(np.array([float(r["p"]) for r in leads])), strict=True):
        word = "not told apart from" if q > 0.05 else "better than" if row["value"] > 0 else "worse than"
        says.append({"about": "The steered liquid's read-out", "says": f"is {word}", "item": _OTHERS[row["row"]]})
    if "steered" in found:
        says.append({"about": "The steered liquid under steady input", "says": "is", "item": _edge(found["steered"])})
    ends = [b for name, b in found.items() if name.startswith("steered") and b.explained >= FITS]
    if len(ends) == 2:
        close = abs(ends[0].m - ends[1].m) < NEAR
        item = "one branching parameter" if close else "different branching parameters"
        says.append({"about": "Steering from strong and from weak synapses", "says": "ends at", "item": item})
    return says


def _edge(b: Branching) -> str:
    """Where a branching parameter and its interval lie, in words."""
    if not b.explained >= FITS:
        return "bursting or without correlation: it has no branching parameter"
    if b.high < 1:
        return "short of the edge: a disturbance dies out (branching parameter below 1)"
    return (
        "at the edge within the error of measurement" if b.low <= 1 else "beyond the edge (branching parameter above 1)"
    )


def liquid_panels(
    liquid: Liquid, runs: Mapping[str, Steered], trials: SpikeTrials, gap: float
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return pictures and their arrays: the liquid in a few trials, branching and rates while it is steered, its weights.

    The first of ``runs`` is the liquid that is shown; one called :data:`HELD` has no branching parameter and is left out there.
    """
    first, steered = next(iter(runs.values())), [r for name, r in runs.items() if name != HELD]
    few = trials[: min(4, len(trials))]
    stream, onsets, stop = few.stream(gap=gap, start=gap)
    spikes = liquid.play(stream, stop, weights=first.weights)
    fits = np.array([[b.explained >= FITS for b in r.branching] for r in steered])
    arrays = {
        "raster/times": spikes.times,
        "raster/unit": spikes.unit,
        "raster/groups": spikes.units["population"].astype(str).to_numpy(dtype=object),
        "raster/onsets": onsets,
        "steering/time": first.time,
        "steering/middle": (first.time[1:] + first.time[:-1]) / 2,
        "steering/rate": np.array([r.rate for r in runs.values()]),
        "weights/before": _sizes(first.start),
    }
    for key in ("m", "low", "high"):
        arrays[f"steering/{key}"] = np.where(fits, [[getattr(b, key) for b in r.branching] for r in steered], np.nan)
    for name, r in runs.items():
        arrays[f"weights/{name}"] = _sizes(r.weights)
    panels = [
        {"draw": "raster", "title": f"The steered liquid in {len(few)} trials",
         "args": {"times": "@raster/times", "unit": "@raster/unit", "groups": "@raster/groups", "events": "@raster/onsets", "ylabel": "neuron"},
         "caption": "Excitatory (E) and inhibitory (I) neurons; upright lines: onsets of trials."},
        {"draw": "rate_curve", "title": "Branching parameter while the liquid is steered",
         "args": {"times": "@steering/time", "values": "@steering/m", "low": "@steering/low", "high": "@steering/high", "reference": 1.0,
                  "labels": [name for name in runs if name != HELD], "ylabel": "branching parameter", "unit": "per 4 ms",
                  "xlabel": "time of plasticity (s)"},
         "caption": "Multistep regression, weights held for the measurement; 95 % bands; dashed: activity neither dies nor grows. Left "
                    "out where activity bursts or has no correlation."},
        {"draw": "rate_curve", "title": "Rate of the liquid while it is steered",
         "args": {"times": "@steering/middle", "values": "@steering/rate", "labels": list(runs), "xlabel": "time of plasticity (s)"},
         "caption": "Without the astrocyte depression does not answer to activity."},
        {"draw": "weight_histogram", "title": "Weights within the liquid",
         "args": {"weights": {n: f"@weights/{n}" for n in ("before", *runs)}, "unit": "mV", "limits": [0.0, 1e3 * liquid.weight_max],
                  "xlabel": "size of the weight"},
         "caption": "What a spike adds to the membrane potential; excitatory and inhibitory synapses together."},
    ]  # fmt: skip
    return [p for p in panels if fits.any() or p["args"].get("values") != "@steering/m"], arrays


def _sizes(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sizes of all weights, mV."""
    return 1e3 * np.abs(np.concatenate([weights[pair] for pair in PAIRS]))
