"""Pictures of a described recording: which are drawn, of which neurons, and the arrays behind them."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.spikes._observed import joined
from braindec.spikes._statistics_rows import ALPHA, FEW
from braindec.spikes.intervals import interspike_intervals
from braindec.spikes.psth import psth
from braindec.spikes.rates import smoothed_rate
from braindec.spikes.statistics import Described
from braindec.types import Spikes

__all__ = ["panels_of"]


def panels_of(
    found: Described, *, shown: float = 5.0, width: float = 0.05, unit: str = "a.u.", stretches: bool = False
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the panels of the page and their arrays.

    Parameters
    ----------
    found : Described
        The recording.
    shown : float
        Seconds of the raster.
    width : float
        Bins of the PSTH, s.
    unit : str
        Of the field.
    stretches : bool
        Whether trials are blocks of long stretches, whose beginnings mean nothing: rates are then drawn over the whole of them.
    """
    arrays: dict[str, np.ndarray] = {}
    panels: list[dict[str, Any]] = []
    if found.trials is not None and found.conditions is not None:
        panels = _stretches(found, arrays) if stretches else _trials(found, arrays, width)
    panels = [
        *panels,
        *_tuning(found, arrays),
        *_synchrony(found, arrays),
        *_field(found, arrays, unit),
        *_intervals(found, arrays),
    ]
    return [*_raster(found, arrays, shown), *panels], arrays


def _raster(found: Described, arrays: dict[str, np.ndarray], shown: float) -> list[dict[str, Any]]:
    spikes = found.spikes
    if spikes.n_units < 2:
        return []
    keep = spikes.times < spikes.start + shown
    arrays["raster/times"], arrays["raster/unit"] = spikes.times[keep], spikes.unit[keep]
    args: dict[str, Any] = {"times": "@raster/times", "unit": "@raster/unit", "limits": [spikes.start, spikes.start + shown],
                            "groups": ["neurons"] * spikes.n_units if spikes.n_units > 24 else None, "names": _names(found)}  # fmt: skip
    if "onset" in spikes.events and "trial_type" in spikes.events and len(spikes.events):
        args["events"] = {str(k): v["onset"].tolist()[:200] for k, v in spikes.events.groupby("trial_type")}
    args = {k: v for k, v in args.items() if v is not None}
    return [
        {
            "draw": "raster",
            "title": f"Spikes, the first {shown:g} s",
            "args": args,
            "caption": "Upright lines: onsets of trials.",
        }
    ]


def _best(found: Described) -> int:
    """The neuron with the strongest tuning, or the most spikes."""
    for tuned in found.tuning.values():
        return int(tuned.tests["value"].to_numpy().argmax())
    return int(np.bincount(found.spikes.unit, minlength=found.spikes.n_units).argmax())


def _trials(found: Described, arrays: dict[str, np.ndarray], width: float) -> list[dict[str, Any]]:
    trials, u = found.trials, _best(found)
    assert trials is not None and found.conditions is not None
    if trials.tmax - trials.tmin < 4 * width:
        return []
    curve = psth(trials, width=width, by=found.conditions)
    place = [curve.conditions.index(o) for o in found.order]
    mine = trials.unit == u
    arrays |= {"psth/spikes": trials.times[mine], "psth/trial": trials.trial[mine], "psth/times": curve.times, "psth/rates": curve.values[place, u],
               "psth/low": curve.low[place, u], "psth/high": curve.high[place, u]}  # fmt: skip
    if len(found.order) > 7 or not np.isfinite(arrays["psth/low"]).all():
        return []
    name = f" of {_names(found)[u]}" if found.spikes.n_units > 1 else ""
    return [{"draw": "psth", "title": f"Trials{name}",
             "args": {"spikes": "@psth/spikes", "trial": "@psth/trial", "times": "@psth/times", "rates": "@psth/rates", "low": "@psth/low", "high": "@psth/high",
                      "conditions": found.conditions.tolist(), "labels": found.order},
             "caption": f"Rates in bins of {1e3 * width:g} ms with 95 % intervals over trials" + (": the neuron with the strongest tuning." if name else ".")}]  # fmt: skip


def _parts(found: Described) -> dict[str, Spikes]:
    """The recording in the trials of each condition alone."""
    trials = found.trials
    if trials is None or found.conditions is None or not len(found.by_condition):
        return {}
    parts = {}
    for name in found.order:
        onset = np.sort(trials.trials["onset"].to_numpy()[found.conditions == name])
        pieces = np.stack([onset + trials.tmin, onset + trials.tmax], axis=1)
        pieces[1:, 0] = np.maximum(pieces[1:, 0], pieces[:-1, 1])
        parts[name] = found.spikes.restrict(joined(pieces))
    return parts


def _stretches(found: Described, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    parts, u, sigma = _parts(found), _best(found), 1.0
    if not parts or len(parts) > 7:
        return []
    curves = [smoothed_rate(part.select([u]), sigma=sigma, width=0.1) for part in parts.values()]
    n = max(len(c.times) for c in curves)
    values = np.full((len(curves), n), np.nan)
    for row, curve in zip(values, curves, strict=True):
        row[: len(curve.times)] = curve.values[0]
    arrays |= {"stretches/times": 0.1 * (np.arange(n) + 0.5), "stretches/rates": values}
    name = f" of {_names(found)[u]}" if found.spikes.n_units > 1 else ""
    return [{"draw": "rate_curve", "title": f"Rate over time{name}", "args": {"times": "@stretches/times", "values": "@stretches/rates", "labels": found.order,
             "xlabel": "time since the condition began (s)"}, "caption": f"Gaussian kernel, standard deviation {sigma:g} s, edges corrected."}]  # fmt: skip


def _tuning(found: Described, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    panels = []
    for k, (window, tuned) in enumerate(found.tuning.items()):
        order = np.argsort(-tuned.tests["value"].to_numpy(), kind="stable")
        rows = order[: min(4, len(order))]
        table = tuned.rates.set_index(["unit", "condition"])
        for column in ("value", "low", "high"):
            arrays[f"tuning{k}/{column}"] = np.array(
                [[table.loc[(u, c), column] for c in found.order] for u in rows.tolist()]
            )
        args: dict[str, Any] = {"conditions": found.order, "values": f"@tuning{k}/value", "low": f"@tuning{k}/low", "high": f"@tuning{k}/high",
                                "p": tuned.tests["p_family"].to_numpy()[rows].tolist()}  # fmt: skip
        if found.spikes.n_units > 1:
            args["labels"] = [_names(found)[u] for u in rows]
        elif found.trials is not None and found.conditions is not None:
            part = found.trials if not window else found.trials.between(*found.windows[window])
            counts = part.counts()[:, 0, 0] / (part.tmax - part.tmin)
            args["points"] = [counts[found.conditions == c].tolist() for c in found.order]
        more = (
            f": the {len(rows)} neurons with the strongest tuning; p after correction over neurons"
            if found.spikes.n_units > 1
            else ""
        )
        panels.append({"draw": "tuning_curve", "title": f"Rate by condition{', ' + window if window else ''}", "args": args,
                       "caption": f"Means with 95 % intervals over trials{more}" + ("; grey: single trials or blocks." if "points" in args else ".")})  # fmt: skip
    return panels


def _synchrony(found: Described, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    if found.synchrony is None:
        return []
    own, n = found.synchrony, found.spikes.n_units
    i, j = own.correlograms.pairs.T
    matrix, marked = np.full((n, n), np.nan), np.zeros((n, n))
    matrix[i, j] = matrix[j, i] = own.table["z"]
    marked[i, j] = marked[j, i] = own.table["p_family"] <= ALPHA
    top = int(own.table["z"].abs().to_numpy().argmax())
    arrays |= {"synchrony/z": matrix, "synchrony/marked": marked, "synchrony/lags": own.correlograms.lags, "synchrony/counts": own.correlograms.values[top],
               "synchrony/expected": own.expected[top], "synchrony/low": own.low[top], "synchrony/high": own.high[top]}  # fmt: skip
    pair = own.table.iloc[top]
    return [{"draw": "correlogram_matrix", "title": "Synchrony of all pairs", "args": {"values": "@synchrony/z", "marked": "@synchrony/marked", "names": _names(found)},
             "caption": "Largest deviation from jittered spikes over lags, in standard deviations. Rings: p ≤ 0.05 after correction over lags and pairs."},
            {"draw": "correlogram", "title": "The strongest pair",
             "args": {"lags": "@synchrony/lags", "values": "@synchrony/counts", "expected": "@synchrony/expected", "low": "@synchrony/low", "high": "@synchrony/high",
                      "first": str(pair["first"]), "second": str(pair["second"])},
             "caption": "Bars outside of the grey band are coloured: 95 % of jittered recordings stay inside it at all lags."}]  # fmt: skip


def _field(found: Described, arrays: dict[str, np.ndarray], unit: str) -> list[dict[str, Any]]:
    if found.coherence is None or found.consistency is None or found.average is None:
        return []
    own, moved = found.coherence, found.coherence_jittered
    rows = np.argsort(-own.table["value"].to_numpy(), kind="stable")[:3]
    names = [_names(found)[u] for u in rows]
    values, labels = [*own.values[rows]], list(names) if found.spikes.n_units > 1 else ["spikes"]
    if moved is not None:
        values.append(moved.values[rows[0]])
        labels.append(f"{names[0]}, jittered" if found.spikes.n_units > 1 else "jittered spikes")
    arrays |= {"field/frequencies": own.frequencies, "field/coherence": np.array(values), "field/level": own.level[rows[0]],
               "field/ppc_frequencies": found.consistency.frequencies, "field/ppc": np.nan_to_num(found.consistency.values[rows]),
               "field/lags": found.average.lags, "field/average": found.average.values[rows[:1]], "field/low": found.average.low[rows[:1]],
               "field/high": found.average.high[rows[:1]]}  # fmt: skip
    strongest = " The neurons with the most." if found.spikes.n_units > 1 else ""
    return [{"draw": "coherence_spectrum", "title": "Coherence of spikes and field", "args": {"frequencies": "@field/frequencies", "values": "@field/coherence",
             "level": "@field/level", "labels": labels}, "caption": f"Multitaper, half bandwidth {own.half_bandwidth:g} Hz. Grey: 95 % of exchanged trials, each "
             f"frequency by itself.{strongest}"},
            {"draw": "coherence_spectrum", "title": "Pairwise phase consistency", "args": {"frequencies": "@field/ppc_frequencies", "values": "@field/ppc",
             "ylabel": "mean cosine", **({"labels": names} if found.spikes.n_units > 1 else {})}, "caption": "Does not depend on the number of spikes; pairs of "
             "different trials."},
            {"draw": "rate_curve", "title": "Field around spikes", "args": {"times": "@field/lags", "values": "@field/average", "low": "@field/low",
             "high": "@field/high", "unit": unit, "ylabel": "field", "xlabel": "time from spike (s)", "labels": [names[0] if found.spikes.n_units > 1 else "mean field"],
             "events": [0.0]}, "caption": "Band: 95 % of exchanged trials stay inside it at all lags."}]  # fmt: skip


def _intervals(found: Described, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    lengths = interspike_intervals(found.spikes)
    parts = _parts(found) if found.spikes.n_units == 1 else {}
    if 1 < len(parts) <= 7:
        pick = {name: interspike_intervals(part)[0].lengths for name, part in parts.items()}
        title = "Intervals between spikes by condition"
    elif found.spikes.n_units <= FEW:
        pick = {_names(found)[u]: lengths[u].lengths for u in range(found.spikes.n_units)}
        title = "Intervals between spikes"
    else:
        lv = found.intervals[found.intervals["metric"] == "lv"]["value"].to_numpy()
        ends = [int(np.nanargmin(lv)), int(np.nanargmax(lv))]
        pick = {f"{_names(found)[u]}, LV {lv[u]:.2f}": lengths[u].lengths for u in dict.fromkeys(ends)}
        title = "Intervals of the most and the least regular neuron"
    pick = {k: v[v > 0] for k, v in pick.items() if (v > 0).sum() > 20}
    if not pick:
        return []
    labels = list(pick) if len(pick) > 1 or found.spikes.n_units > 1 else None
    args: dict[str, Any] = {"intervals": [v.tolist() for v in pick.values()], "refractory": 0.002}
    return [{"draw": "interval_histogram", "title": title, "args": {**args, **({"labels": labels} if labels else {})},
             "caption": "None goes across a gap in what was observed. Dashed upright line: 2 ms, where a neuron is refractory."}]  # fmt: skip


def _names(found: Described) -> list[str]:
    return found.spikes.units["name"].astype(str).tolist()
