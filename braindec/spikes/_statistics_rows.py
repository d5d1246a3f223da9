"""Rows of a described recording: one row a neuron where there are few, shares of them where there are many."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq

from braindec.spikes.statistics import Described
from braindec.stats.auc import auc
from braindec.stats.binomial import clopper_pearson
from braindec.stats.bootstrap import bootstrap_interval

FEW = 6  # neurons that have rows of their own
ALPHA = 0.05

__all__ = ["ALPHA", "FEW", "condition_name", "neuron_name", "score_rows", "truth_rows"]


def score_rows(found: Described) -> pd.DataFrame:
    """Return the long table of a recording; rows named "decoded" are the data, others are conditions or controls."""
    few = found.spikes.n_units <= FEW
    rows = _ratio_rows(found) if few else []
    rows += _tuned_rows(found) if found.spikes.n_units > 1 else []
    rows += _field_rows(found) if few else _locked_rows(found)
    rows += _synchrony_rows(found)
    rows += _measure_rows(found, few)
    table = pd.DataFrame(rows)
    if "neuron" in table and found.spikes.n_units == 1:
        table = table.drop(columns="neuron")
    elif "neuron" in table:
        table["neuron"] = [neuron_name(n) for n in table["neuron"]]
    return table.assign(version="1")


def neuron_name(name: Any) -> Any:
    """A neuron's name for people: a bare number gets a word, so that no table takes it for a number."""
    text = str(name)
    return f"unit {text}" if re.fullmatch(r"[-+]?[\d.]+", text) else name


def condition_name(name: str) -> str:
    """A condition as a name of a row."""
    return str(name).replace(" ", "_")


def _ratio_rows(found: Described) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    several = found.spikes.n_units > 1
    tests = [found.tuning[r["window"]].tests.iloc[r["unit"]] for _, r in found.ratios.iterrows()]
    for k in np.argsort([t["p_family"] for t in tests], kind="stable") if several else range(len(tests)):
        r, test = found.ratios.iloc[k], tests[k]
        where = {"neuron": r["name"], **({"window": r["window"]} if r["window"] else {})}
        rows.append({"metric": "rate_ratio", "row": "decoded", "value": r["value"], "chance": 1.0, "low": r["low"], "high": r["high"], "p": test["p_family"] if several else r["p"],
                     "n": r["trials"], **where, "note": f"{found.order[1]} over {found.order[0]}, {r['second']:.1f} and {r['first']:.1f} Hz; p: trials or "
                     f"blocks of time exchanged{', the largest over neurons' if several else ''}, interval: bootstrap of them; d' {test['dprime']:.2f}, information {test['information']:.2f} bits a trial "
                     f"(bias taken away, p = {test['information_p']:.3f}); a Poisson process of constant rate would have {r['poisson_low']:.2f} to "
                     f"{r['poisson_high']:.2f}"})  # fmt: skip
        rows.append({"metric": "rate_ratio", "row": "label_shuffle", "value": r["null"], "chance": 1.0, "low": r["null_low"], "high": r["null_high"],
                     "p": np.nan, "n": r["trials"], **where, "note": "conditions exchanged: median and central 95 %"})  # fmt: skip
    if not rows:
        rows = _f_rows(found)
    return rows


def _f_rows(found: Described) -> list[dict[str, Any]]:
    """Several conditions: the share of the variance of counts between them."""
    rows = []
    for window, tuned in found.tuning.items():
        n, k = len(found.conditions), len(found.order)  # type: ignore[arg-type]
        where = {"window": window} if window else {}
        for _, t in tuned.tests.iterrows():
            value, null = (_explained(f, k, n) for f in (t["value"], tuned.null[:, t["unit"]]))
            ends = np.quantile(null, [0.025, 0.975])
            base = {"metric": "tuning_variance", "chance": float(null.mean()), "n": n, "neuron": t["name"], **where}
            rows.append({**base, "row": "decoded", "value": value, **_noncentral(t["value"], k, n), "p": t["p"],
                         "note": f"share of the variance of counts between {k} conditions; most spikes in {t['preferred']}; p: conditions exchanged; "
                         "interval: noncentral F"})  # fmt: skip
            rows.append({**base, "row": "label_shuffle", "value": float(null.mean()), "low": ends[0], "high": ends[1], "p": np.nan,
                         "note": "conditions exchanged between trials: mean and central 95 %"})  # fmt: skip
    return rows


def _explained(f: Any, k: int, n: int) -> Any:
    ratio = np.asarray(f, dtype=float) * (k - 1) / max(n - k, 1)
    return ratio / (1 + ratio)


def _noncentral(f: float, k: int, n: int) -> dict[str, float]:
    """95 % interval of the share of variance between k conditions of n trials."""

    def end(tail: float) -> float:
        if f <= 0 or stats.f.cdf(f, k - 1, n - k) < tail:
            return 0.0
        top = 10 * (f * k + 10)
        while stats.ncf.cdf(f, k - 1, n - k, top) > tail:
            top *= 2
        size = brentq(lambda lam: stats.ncf.cdf(f, k - 1, n - k, lam) - tail, 0.0, top)
        return float(size / (size + n))

    return {"low": end(0.975), "high": end(0.025)}


def _share(p: np.ndarray, chance: float = ALPHA) -> dict[str, Any]:
    k, n = int(np.sum(p <= ALPHA)), len(p)
    low, high = clopper_pearson(k, n)
    return {"value": k / n, "chance": chance, "low": low, "high": high, "n": n}


def _tuned_rows(found: Described) -> list[dict[str, Any]]:
    rows = []
    for window, tuned in found.tuning.items():
        every = np.concatenate([tuned.tests["value"].to_numpy()[None], tuned.null])
        shares = (every >= np.quantile(every, 1 - ALPHA, axis=0, method="higher")).mean(axis=1)
        p = float((1 + np.sum(shares[1:] >= shares[0])) / len(shares))
        where = {"window": window} if window else {}
        note = f"share of neurons whose counts tell {' and '.join(found.order)} apart (p ≤ {ALPHA:g} each); p: as many in exchanged trials"
        rows.append(
            {
                "metric": "tuned_units",
                "row": "decoded",
                **_share(tuned.tests["p"].to_numpy()),
                "p": p,
                **where,
                "note": note,
            }
        )
        low, high = np.quantile(shares[1:], [0.025, 0.975])
        rows.append({"metric": "tuned_units", "row": "label_shuffle", "value": float(shares[1:].mean()), "chance": ALPHA, "low": low, "high": high,
                     "p": np.nan, "n": len(tuned.tests), **where, "note": "conditions exchanged between trials: mean and central 95 %"})  # fmt: skip
    return rows


def _field_rows(found: Described) -> list[dict[str, Any]]:
    if found.coherence is None or found.coherence_jittered is None or found.consistency is None or found.trials is None:
        return []
    rows, n = [], found.trials.n_trials
    tables = (found.coherence.table, found.coherence_jittered.table, found.consistency.table)
    for (_, c), (_, j), (_, v) in zip(*(t.iterrows() for t in tables), strict=True):
        base = {"metric": "field_coherence", "neuron": c["name"], "chance": c["chance"], "n": n}
        rows.append({**base, "row": "decoded", "value": c["value"], "low": c["low"], "high": c["high"], "p": c["p"],
                     "note": f"largest over frequencies, at {c['frequency']:g} Hz, field at {np.degrees(c['phase']):+.0f}° when spikes come (0°: its peak); interval: "
                     "jackknife over trials; chance and p: largest with trials of the field exchanged"})  # fmt: skip
        rows.append({**base, "row": "label_shuffle", "value": c["chance"], "low": c["chance_low"], "high": c["chance_high"], "p": np.nan,
                     "note": "trials of the field exchanged: mean and central 95 % of the largest"})  # fmt: skip
        rows.append({**base, "row": "jittered_spikes", "value": j["value"], "low": j["low"], "high": j["high"], "p": j["p"], "chance": j["chance"],
                     "note": f"each spike moved by up to a time that undoes the rhythm; largest at {j['frequency']:g} Hz"})  # fmt: skip
        rows.append({"metric": "phase_consistency", "row": "decoded", "neuron": v["name"], "value": v["value"], "chance": 0.0, "low": v["low"], "high": v["high"],
                     "p": v["p"], "n": int(v["n"]), "note": f"mean cosine over pairs of spikes of different trials, at {v['frequency']:g} Hz: not biased by the "
                     "number of spikes; n: spikes; p: trials exchanged, largest over frequencies"})  # fmt: skip
    return rows


def _locked_rows(found: Described) -> list[dict[str, Any]]:
    if found.coherence is None or found.coherence_jittered is None:
        return []
    own, moved = found.coherence.table, found.coherence_jittered.table
    return [{"metric": "locked_units", "row": "decoded", **_share(own["p"].to_numpy()), "p": float(own["p_family"].min()),
             "note": "share of neurons coherent with the field (p ≤ 0.05 each, over frequencies); p: the largest over neurons and frequencies, trials exchanged"},
            {"metric": "locked_units", "row": "jittered_spikes", **_share(moved["p"].to_numpy()), "p": float(moved["p_family"].min()),
             "note": "spikes moved by up to a time that undoes the rhythm"}]  # fmt: skip


def _synchrony_rows(found: Described) -> list[dict[str, Any]]:
    """The pair that deviates most from jittered spikes, in standard deviations."""
    rows = []
    for name, one in (("decoded", found.synchrony), ("jittered_spikes", found.synchrony_jittered)):
        if one is None:
            continue
        top = one.table.iloc[int(one.table["z"].abs().to_numpy().argmax())]
        spread = (top["value"] - top["expected"]) / top["z"] if top["z"] else np.inf  # of the surrogates' counts
        error = 1.96 * np.sqrt(max(top["value"], 1.0)) / spread
        rows.append({"metric": "strongest_synchrony", "row": name, "value": abs(top["z"]), "chance": float(one.null.max(axis=1).mean()), "low": abs(top["z"]) - error,
                     "high": abs(top["z"]) + error, "p": float(one.table["p_family"].min()), "n": len(one.table),
                     "note": f"{top['first']} and {top['second']}: {top['value']:.0f} pairs of spikes at a lag of {1e3 * top['lag']:g} ms where {top['expected']:.1f} are "
                     "expected, in standard deviations of jittered spikes; p and chance: the largest over lags and pairs; interval: Poisson, of the number of pairs of "
                     "spikes; n: pairs" + ("" if name == "decoded" else "; all spikes were jittered once, then tested in the same way")})  # fmt: skip
    return rows


def _measure_rows(found: Described, few: bool) -> list[dict[str, Any]]:
    """Fano factor, CV and local variation, 1 for a Poisson process; rates by condition."""
    fano = found.fano.assign(metric="fano_factor")
    every = pd.concat([fano, found.intervals[found.intervals["metric"].isin(["cv", "lv"])]], ignore_index=True)
    notes = {"fano_factor": f"variance over mean of counts in {'trials, within conditions' if found.conditions is not None else 'trials' if found.trials is not None else 'windows'}"
             + ("; p: against a Poisson process of constant rate, exact" if few else ""), "cv": "of intervals: slow changes of rate raise it", "lv": "local variation: neighbouring intervals"}  # fmt: skip
    rows = []
    for metric, name in (("fano_factor", "fano_factor"), ("cv", "interval_cv"), ("lv", "local_variation")):
        mine = every[(every["metric"] == metric) & np.isfinite(every["value"])]
        base = {"metric": name, "chance": 1.0, "note": notes[metric]}
        if few:
            known = mine[np.isfinite(mine["low"])]
            rows += [{**base, "row": "decoded", "neuron": r["name"], **{k: r[k] for k in ("value", "low", "high", "n")}, "p": r.get("p", np.nan)}
                     for _, r in known.iterrows()]  # fmt: skip
        elif len(mine) > 1:
            values = mine["value"].to_numpy(dtype=float)
            low, high = bootstrap_interval(values, np.median, n=1000)
            rows.append({**base, "row": "decoded", "value": float(np.median(values)), "low": low, "high": high, "p": np.nan, "n": len(values),
                         "note": f"median over neurons ({values.min():.2f} to {values.max():.2f}); {notes[metric]}"})  # fmt: skip
        for _, r in found.by_condition.iterrows() if few and len(found.by_condition) and metric in ("cv", "lv") else []:
            if r["metric"] == metric and np.isfinite(r["value"]):
                rows.append(
                    {
                        **base,
                        "row": condition_name(r["condition"]),
                        "neuron": r["name"],
                        **{k: r[k] for k in ("value", "low", "high", "n")},
                    }
                )
    if few:
        rates = (
            found.by_condition[found.by_condition["metric"] == "rate"]
            if len(found.by_condition)
            else found.rates.assign(condition="all")
        )
        for _, r in rates.iterrows():
            known = np.isfinite(r["low"])  # blocks of silence, or too few of them, say nothing
            ends = (r["low"], r["high"]) if known else (r["poisson_low"], r["poisson_high"])
            said = "blocks of time" if known else "that of a Poisson process"
            rows.append({"metric": "rate", "row": condition_name(r["condition"]), "neuron": r["name"], "value": r["value"], "low": ends[0], "high": ends[1],
                         "n": r["n"], "note": f"Hz; interval: {said} (Poisson: {r['poisson_low']:.1f} to {r['poisson_high']:.1f}); n: spikes"})  # fmt: skip
    return rows


def truth_rows(found: Described, truth: pd.DataFrame) -> list[dict[str, Any]]:
    """How well the statistics tell what was planted from what was not: area under the curve, 0.5 by chance."""
    pieces: list[tuple[str, np.ndarray, np.ndarray]] = []
    if found.tuning:
        pieces.append(
            ("tuning", next(iter(found.tuning.values())).tests["value"].to_numpy(), truth["tuning"].to_numpy() != 1)
        )
    if found.coherence is not None:
        pieces.append(("locking to the field", found.coherence.table["value"].to_numpy(), truth["gain"].to_numpy() > 0))
    if found.synchrony is not None:
        pairs = found.synchrony.correlograms.pairs
        pieces.append(
            (
                "synchronous pair",
                found.synchrony.table["z"].abs().to_numpy(),
                truth["partner"].to_numpy()[pairs[:, 0]] == pairs[:, 1],
            )
        )
    lv = found.intervals[found.intervals["metric"] == "lv"]["value"].to_numpy()
    pieces.append(("regular intervals", -lv, truth["shape"].to_numpy() > 1))
    rows = []
    for name, score, planted in pieces:
        if planted.any() and not planted.all():
            found_again = auc(score, planted)
            rows.append({"metric": "auc_planted", "version": "1", "row": "decoded", **found_again._asdict(), "chance": 0.5,
                         "n": len(planted), "planted": name, "note": f"{int(planted.sum())} of {len(planted)} were planted"})  # fmt: skip
    return rows
