"""From a replay to what a report shows: rows of scores, panels, sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import CrossValidation, cross_validate
from braindec.evaluate.finding import LEVELS
from braindec.evaluate.information_rate import information_rate
from braindec.online.drift import by_run, compare, score, score_interval, score_p, trend
from braindec.online.pipeline import Pipeline
from braindec.online.replay import Replay
from braindec.online.selections import Selections
from braindec.online.series import SeriesReplay
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows
from braindec.types import Recording, Split, Windows

ONCE = "trained once"
WAYS = {"run": "retrained each run", "session": "retrained each session", "labels": "adapting", "reward": "adapting by reward"}  # fmt: skip
_TOLD = {"labels": "the true class is told after each decision", "reward": "right or wrong is told after each decision"}
NOT_LIVE = "zero phase, not live"

__all__ = ["NOT_LIVE", "ONCE", "WAYS", "decoded_rows", "drift_rows", "rate_rows", "replay_panels", "said_of", "selection_panel",
           "series_replay_audit", "series_replay_parts", "zero_phase_windows"]  # fmt: skip


def metric_name(metric: str) -> str:
    """Return the name of a metric for people."""
    return "AUC" if metric == "auc" else metric.replace("_", " ")


def zero_phase_windows(recordings: Sequence[Recording], steps: Sequence[Any], live: Windows, **cut: Any) -> Windows:
    """Return the windows of ``live`` cut from signals filtered without phase shift: what an offline study would decode.

    Raises
    ------
    BraindecError
        If a live step has no such twin, or other events are left.
    """
    made = prepare(recordings, Pipeline(steps).offline())
    windows = make_windows(made, **cut)
    span = f"{live.n_times} samples"
    if abs(windows.sfreq - live.sfreq) > 1e-6 or windows.n_times < live.n_times:
        raise BraindecError("the twin without phase shift has another rate", found=f"{windows.sfreq:g} Hz, {span}")
    key = {tuple(k): i for i, k in enumerate(windows.index.tolist())}
    offset = round(live.tmin * live.sfreq) - round(windows.tmin * windows.sfreq)
    rows = [key.get((r, s - offset)) for r, s in live.index.tolist()]
    if None in rows:
        raise BraindecError("windows of the twin without phase shift are not those of the replay")
    kept = windows[np.array(rows)]
    moved = Windows(kept.recordings, kept.index + np.array([0, offset]), live.n_times, kept.trials, live.tmin)
    return moved.with_trials(window_id=live.ids)


def decoded_rows(
    static: Replay, ways: Mapping[str, Replay], decoder: Any, *, column: str, statistics: Mapping[str, Any], zero_phase: Windows | None,
    seed: int, keys: Mapping[str, Any],
) -> tuple[CrossValidation, pd.DataFrame, float]:  # fmt: skip
    """Return the offline check of the static decoder, all rows of scores, and how far live and offline scores differ.

    The decoded row is the replay's. Its p and controls are of the same decoder on the same causal windows offline, whose
    scores are equal unless samples were lost.
    """
    y = static.windows.trials[column].to_numpy()
    cv = cross_validate(decoder, static.windows, y, static.splits, **statistics, seed=seed, keys=keys)
    table, tested = cv.scores.copy(), static.decided
    offline = cv.predictions.set_index("window_id")[[f"score_{c}" for c in static.classes]]
    apart = np.abs(offline.loc[tested["window_id"]].to_numpy() - static.scores).max(initial=0.0)
    same = apart < 1e-6 and len(tested) == len(offline)
    rows = [table]
    for metric in statistics["metrics"]:
        chance = float(table.loc[table["metric"] == metric, "chance"].iloc[0])
        version = str(table.loc[table["metric"] == metric, "version"].iloc[0])
        mine = (table["metric"] == metric) & (table["row"] == "decoded")
        about = {**keys, "metric": metric, "version": version, "chance": chance, "p": np.nan}
        if not same:
            low, high, how = score_interval(static, metric, seed=seed)
            lost = len(static.decisions) - len(tested)
            kept = table[mine].assign(row="no samples lost", p=np.nan)
            note = f"{int((tested['lost'] > 0).sum())} windows with held samples, {lost} not decided; {how}; decisions kept, labels exchanged"
            p = score_p(static, y, metric, n_permutations=statistics["n_permutations"], seed=seed)
            table.loc[mine, ["value", "low", "high", "p", "n", "note"]] = [
                score(static, metric),
                low,
                high,
                p,
                len(tested),
                note,
            ]
            rows.append(kept)
        for name, found in ways.items():
            low, high, how = score_interval(found, metric, seed=seed)
            rows.append(pd.DataFrame([{**about, "row": name, "value": score(found, metric), "low": low, "high": high,
                                       "n": len(found.decided), "note": "; ".join([*([_TOLD[found.learn]] if found.learn in _TOLD else []), how])}]))  # fmt: skip
    if zero_phase is not None:
        splits = [Split(s.train, [], s.test, by=s.by, ids=zero_phase.ids, name=s.name) for s in static.splits]
        apart_cv = cross_validate(
            decoder,
            zero_phase,
            y,
            splits,
            metrics=statistics["metrics"],
            controls=(),
            n_permutations=0,
            seed=seed,
            keys=keys,
        )
        rows.append(
            apart_cv.scores.assign(
                row=NOT_LIVE, note="filters run both ways, as an offline study would: they use what has not come yet"
            )
        )
    return cv, pd.concat(rows, ignore_index=True), float(apart)


def drift_rows(
    static: Replay, ways: Mapping[str, Replay], metric: str, *, seed: int, keys: Mapping[str, Any]
) -> tuple[pd.DataFrame, list[str]]:
    """Return rows of the trend over runs and of the lead over the decoder that was trained once, and sentences."""
    rows, said = [], []
    runs = by_run(static, metric, n_bootstrap=0)
    if len(runs) >= 3:
        for name, found in {ONCE: static, **ways}.items():
            values = by_run(found, metric, n_bootstrap=0)["value"].to_numpy()
            found_trend = trend(values, rng=np.random.default_rng([seed, 12]))
            note = f"change a run over {len(values)} runs; runs put in every other order, two-sided, p of at least {found_trend.floor:.2g}"
            rows.append({**keys, "metric": "trend_a_run", "version": "1", "row": name, "value": found_trend.slope, "chance": 0.0,
                         "p": found_trend.p, "n": len(values), "note": note})  # fmt: skip
        first = rows[0]
        word = "falls" if first["value"] < 0 else "rises"
        sure = f"{word} by {abs(first['value']):.3f} a run" if first["p"] <= 0.05 else "shows no reliable trend"
        said.append(f"Trained once, {metric_name(metric)} {sure} over {len(runs)} runs ({_p(first['p'])}).")
    if len(runs) >= 2:
        for name, found in ways.items():
            gain = compare(found, static, metric, seed=seed)
            floor = 2.0 ** (1 - gain.n) if gain.n <= 14 else 0.0
            note = f"mean over {gain.n} runs of this minus trained once; signs of runs flipped, two-sided, p of at least {floor:.2g}"
            rows.append({**keys, "metric": f"{metric}_difference", "version": "1", "row": name, "value": gain.value, "chance": 0.0,
                         "low": gain.low, "high": gain.high, "p": gain.p, "n": gain.n, "note": note})  # fmt: skip
            call = "more" if gain.value > 0 else "less"
            sure = (
                ""
                if gain.p <= 0.05 and (gain.low > 0 or gain.high < 0)
                else f", which {gain.n} runs do not show to be reliable"
            )
            said.append(
                f"{name.capitalize()}: {abs(gain.value):.3f} {call} in {metric_name(metric)} than trained once ({_p(gain.p)}{sure})."
            )
    return pd.DataFrame(rows), said


def rate_rows(static: Replay, *, n_permutations: int, seed: int, keys: Mapping[str, Any]) -> pd.DataFrame:
    """Return rows of the information rate of single decisions, with the true time from one to the next."""
    table = static.decided
    runs = [c for c in ("session", "run") if c in table] or ["block"]
    onset = static.decisions.groupby(runs, sort=False)["onset"]
    steps = onset.apply(lambda o: float(np.median(np.diff(np.sort(o.to_numpy(dtype=float))))) if len(o) > 1 else 0.0)
    span = float((onset.max() - onset.min() + steps).sum())
    home = table[runs].astype(str).agg("-".join, axis=1)
    rows = information_rate(
        table["true"],
        table["predicted"],
        seconds=span / len(table),
        groups=home,
        n_permutations=n_permutations,
        seed=seed,
    )
    return rows.drop(columns="bits").assign(row="decoded", **keys)


def replay_panels(
    static: Replay, ways: Mapping[str, Replay], metric: str, *, last: float
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Return arrays and panels of the course over runs and of latency; ``last`` is the last sample of a window, s after its event."""
    chance = float(registry.get("evaluate.metrics", metric).chance(static.decided["true"].to_numpy(), static.classes))
    tables = {name: by_run(found, metric) for name, found in {ONCE: static, **ways}.items()}
    first = tables[ONCE]
    arrays = {f"course/{k}": np.stack([t[k].to_numpy() for t in tables.values()]) for k in ("value", "low", "high")}
    arrays["course/session"] = first["session"].astype(str).to_numpy(dtype=object)
    arrays["course/run"] = first["run"].astype(str).to_numpy(dtype=object)
    table = static.decided
    arrays |= {"latency/wait": table["wait_s"].to_numpy(), "latency/compute": table["compute_s"].to_numpy()}
    course = {"draw": "replay_course", "title": "Run by run, as it would have gone live",
              "caption": "Every decision was made when its window was complete, by a decoder that had seen earlier data only.",
              "args": {"values": "@course/value", "low": "@course/low", "high": "@course/high", "labels": list(tables),
                       "runs": "@course/run", "chance": chance, "ylabel": metric_name(metric)}}  # fmt: skip
    if first["session"].notna().all():
        course["args"]["sessions"] = "@course/session"
    late = {"draw": "latency", "title": "How long a decision takes",
            "caption": f"Left: from the event to the decision, the end of the last chunk included. Right: measured computing time on this "
            f"machine, no part of any score. The live filters add {1000 * static.delay:.0f} ms: what the decoder sees is so much older.",
            "args": {"wait": "@latency/wait", "compute": "@latency/compute", "window_end": last}}  # fmt: skip
    return arrays, [course, late]


def selection_panel(found: Selections) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays and the panel of evidence over repeats."""
    arrays = {f"evidence/{k}": getattr(found, k) for k in ("repeats", "accuracy", "low", "high", "bits")}
    args = {**{k: f"@evidence/{k}" for k in ("repeats", "accuracy", "low", "high", "bits")}, "chance": 1 / found.n_items, "n": found.n,
            "early": [float(v) for v in found.early]}  # fmt: skip
    return arrays, {"draw": "evidence_curve", "title": "Evidence over repeats", "args": args,
                    "caption": "Log odds of single flashes added up for each choice. The diamond stops as soon as one choice is "
                    f"sure enough (posterior {min(found.threshold, 1.0):.3g}, chosen on training runs). Band: exact 95 % interval."}  # fmt: skip


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def said_of(static: Replay, *, apart: float, zero_phase: pd.DataFrame | None, metric: str) -> list[str]:
    """Return sentences for the top of the page: what made it live, how late decisions come, what offline filters would add."""
    table = static.decided
    wait = 1000 * float(np.median(table["wait_s"] + 0.0))
    said = [
        "Played as if live: every decision was made from samples that had come by then, "
        + (
            "and decoding the same windows offline gives the same scores."
            if apart < 1e-6
            else "where some were lost on the way and held."
        ),
        f"A decision comes {wait:.0f} ms after the event (median over {len(table):,}, without the time of computing).",
    ]
    if zero_phase is not None and len(zero_phase):
        value = float(zero_phase["value"].iloc[0])
        said.append(
            f"With filters run both ways, which no live system can do, {metric_name(metric)} would be {value:.3f} instead of {score(static, metric):.3f}."
        )
    return said


def series_replay_parts(
    found: SeriesReplay, duration: float
) -> tuple[pd.DataFrame, dict[str, np.ndarray], list[dict[str, Any]], list[str]]:
    """Return rows, arrays, panels and sentences of a continuous replay."""
    rows, arrays, panels, said = [], {"replay/times": found.times}, [], []
    length = found.times[-1] - found.times[0]
    for k, name in enumerate(found.targets):
        note = (
            f"trained on the first {found.trained_until:.3g} s, played {length:.3g} s; so short a stretch has no interval and no p of its own: "
            "see the cross-validated rows"
        )
        for metric, value in (("pearson", found.r(k)), ("r2", found.r2(k))):
            rows.append({"target": name, "metric": metric, "version": "1", "row": "replay", "value": value, "chance": 0.0, "n": len(found.times),
                         "note": note})  # fmt: skip
        arrays |= {f"replay/{name}/true": found.true[:, k], f"replay/{name}/decoded": found.predicted[:, k]}
        words = name.replace("_", " ")
        panels.append({"draw": "decoded_trace", "title": f"{words}: played as if live",
                       "args": {"times": "@replay/times", "true": f"@replay/{name}/true", "decoded": f"@replay/{name}/decoded", "label": words},
                       "caption": f"A decoder of the first {found.trained_until:.3g} s, fed chunk by chunk. Features lag behind the signal by "
                       f"{1000 * found.delay:.0f} ms; a chunk takes {1000 * float(np.median(found.compute)):.1f} ms to compute (median)."})  # fmt: skip
        said.append(
            f"Trained on the first {found.trained_until:.0f} of {duration:.0f} s and played on the last {length:.0f} s: {words} r = {found.r(k):.2f}, "
            f"R² = {found.r2(k):.2f}."
        )
    return pd.DataFrame(rows), arrays, panels, said


def series_replay_audit(
    recording: Recording, pipeline: Pipeline, found: SeriesReplay, how: Any, folds: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the audit of the folds with what the played part adds: live steps tested by impulse, training before it."""
    made = pipeline.run(recording.select(pipeline.channels_in["name"].tolist()))
    reach = max(how.delays)
    last = np.arange(reach, made.n_times)
    trials = pd.DataFrame({"onset": last / made.sfreq, "duration": 0.0, "decided": last / made.sfreq})
    index = np.stack([np.zeros(len(last), dtype=np.int64), last - reach], axis=1)
    windows = Windows((made,), index, reach + 1, trials, -reach / made.sfreq)
    train, test = (
        np.flatnonzero(m) for m in (trials["onset"] < found.trained_until, trials["onset"] >= found.times[0] - 1e-9)
    )
    split = Split(train, [], test, by="time", ids=windows.ids, name="the played part", gap=how.gap)
    card = audit(windows, [split], claim="live", min_gap=reach / made.sfreq, checks=["causal_steps", "time_adjacency"])
    findings = [*folds["findings"], *card.to_dict()["findings"]]
    level = max((f["level"] for f in findings if f["level"] != "skip"), key=LEVELS.index, default="pass")
    return {"level": level, "counts": {k: sum(f["level"] == k for f in findings) for k in LEVELS}, "findings": findings}
