"""Parts of recipes that decode continuous variables: signals and targets side by side, the audit, panels and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate.audit import Audit, audit
from braindec.evaluate.results import group_scores
from braindec.evaluate.series import SeriesDecoding, decode_series
from braindec.ridge.folds import contiguous_folds
from braindec.signal.prepare import prepare
from braindec.types import Recording, Result, Split

if TYPE_CHECKING:
    from braindec.cache import Cache

_SHOWN = 200.0  # s of a decoded trace on the page
_SHORT = 60.0  # s, in which no score of slow signals is a finding
_NO_SIGNAL = ("misc", "stim", "eog", "ecg", "emg", "resp", "bio")


@dataclass(frozen=True, eq=False)
class SeriesData:
    """Signals and targets of one subject, all runs one after another.

    Parameters
    ----------
    signals : array of shape (n, n_signals)
    targets : array of shape (n, n_targets)
    sfreq : float
    runs : array of str, shape (n,)
    times : array of shape (n,)
        s from the beginning of the run.
    overview : dict
    warnings, citations : list
    """

    signals: np.ndarray
    targets: np.ndarray
    sfreq: float
    runs: np.ndarray
    times: np.ndarray
    overview: dict[str, Any]
    warnings: list[str]
    citations: list[dict[str, str]]


def series_data(
    recordings: Sequence[Recording],
    targets: Sequence[str],
    *,
    steps: Sequence[Any] = (),
    types: Sequence[str] | None = None,
    threshold: Mapping[str, float] | None = None,
    card: Any = None,
    cache: Cache | None = None,
) -> SeriesData:
    """Read signals and targets of a subject.

    Parameters
    ----------
    recordings : sequence of Recording
        Runs; they share channels and sampling frequency.
    targets : sequence of str
        Channels by name; all other data channels are signals.
    steps : sequence
        Signal steps (see :func:`braindec.signal.prepare.prepare`) for the signals only. Where they change the sampling
        frequency, targets are averaged around each new sample.
    types : sequence of str, optional
        Types of channels that are signals; by default all but misc, stim, eog, ecg, emg, resp and bio.
    threshold : mapping of str to float, optional
        Targets that are asked as yes or no: above the value or not.
    card : Card, optional
        Cited on the page.
    cache : Cache, optional

    Raises
    ------
    BraindecError
        If a target is not there, runs differ, or no signal is left.
    """
    first = recordings[0]
    for recording in recordings:
        _check_targets(recording, targets)
        if recording.ch_names != first.ch_names or recording.sfreq != first.sfreq:
            raise BraindecError(
                "recordings of a subject differ in channels or rate", found=f"{first.label} and {recording.label}"
            )
    strange = [name for name in threshold or {} if name not in targets]
    if strange:
        raise BraindecError(f"there is no target {strange[0]!r}{did_you_mean(strange[0], targets)}", allowed=", ".join(targets))  # fmt: skip
    kinds = first.channels["type"]
    keep = (~kinds.isin(_NO_SIGNAL) if types is None else kinds.isin(list(types))) & ~first.channels["name"].isin(
        targets
    )
    if not keep.any():
        raise BraindecError(
            f"{first.label} has no signals beside the targets", found=f"channel types {kinds.value_counts().to_dict()}",
            fix="say the type of the signals (reader option ch_type, or types), or name other types here",
        )  # fmt: skip
    signals = prepare([r.select(keep.to_numpy()) for r in recordings], list(steps), cache=cache)
    sfreq = float(signals[0].sfreq)
    wanted = [
        _at(r.select(list(targets)).signal.read(), r.sfreq, sfreq, s.n_times)
        for r, s in zip(recordings, signals, strict=True)
    ]
    values = np.concatenate(wanted)
    for name, value in (threshold or {}).items():
        column = list(targets).index(name)
        values[:, column] = values[:, column] > value
    cited = (
        [{"key": card.name, "text": card.citation, "doi": card.doi or ""}] if card is not None and card.citation else []
    )
    lengths = [s.n_times for s in signals]
    about = {
        "modality": first.info.get("modality") or "not said",
        "signals": signals[0].n_channels,
        "targets": ", ".join(targets),
        "samples": sum(lengths),
        "sampling frequency (Hz)": round(sfreq, 4),
        "length (s)": round(sum(r.duration for r in recordings), 1),
        "runs": len(recordings),
    }
    said = list(dict.fromkeys(t for r in signals for t in r.info.get("warnings") or []))
    return SeriesData(
        np.concatenate([s.signal.read().astype(np.float64).T for s in signals]), values, sfreq,
        np.repeat([str(k) for k in range(len(lengths))], lengths), np.concatenate([np.arange(n) / sfreq for n in lengths]), about, said, cited,
    )  # fmt: skip


def _check_targets(recording: Recording, targets: Sequence[str]) -> None:
    for target in targets:
        if target not in recording.ch_names:
            known = recording.channels["name"][recording.channels["type"] == "misc"].tolist() or recording.ch_names
            raise BraindecError(
                f"{recording.label} has no channel {target!r}{did_you_mean(target, known)}", allowed=", ".join(known[:20]),
                fix="add it beside the signal, e.g. with the option extra of the reader arrays",
            )  # fmt: skip


def _at(values: np.ndarray, sfreq: float, new: float, n_times: int) -> np.ndarray:
    """Targets (target, time) at another rate, (time, target): the mean over each new sample's length around it."""
    values = np.asarray(values, dtype=np.float64)
    if abs(new - sfreq) <= 1e-9 * sfreq and values.shape[1] == n_times:
        return values.T
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    place = np.arange(values.shape[1] + 1.0)
    centre, half = np.arange(n_times) * sfreq / new + 0.5, max(sfreq / new, 1.0) / 2
    low, high = np.clip(centre - half, 0, values.shape[1] - 1), np.clip(centre + half, 1, values.shape[1])
    sums = [np.interp(high, place, row) - np.interp(low, place, row) for row in total]
    return (np.array(sums) / (high - low)).T


def series_card(data: SeriesData, how: Any) -> Audit:
    """Audit the folds: every sample is a row of one sample's length."""
    ids = np.arange(len(data.times)).astype(str)
    code = np.unique(data.runs, return_inverse=True)[1]
    folds = contiguous_folds(len(ids), how.n_folds, runs=code, buffer=int(np.ceil(how.gap * data.sfreq)))
    splits = [
        Split(a, [], b, by="time", ids=ids, name=f"block {k + 1} of {len(folds)}", gap=how.gap)
        for k, (a, b) in enumerate(folds)
    ]
    trials = pd.DataFrame({"window_id": ids, "onset": data.times, "duration": 1 / data.sfreq, "run": data.runs})
    reach = (max(how.delays) - min(how.delays) + 1) / data.sfreq
    return audit(trials, splits, min_gap=reach, checks=["time_adjacency", "small_n", "test_selection"])


def series_panels(
    found: SeriesDecoding, data: SeriesData, how: Any
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]], list[str], list[str]]:
    """Return arrays, panels, sentences for the top of the page and notes."""
    start = float(data.times[0]) if len(set(data.runs)) == 1 else 0.0  # several runs are drawn one after the other
    arrays: dict[str, np.ndarray] = {"series/times": start + np.arange(len(data.times)) / data.sfreq}
    arrays["series/edges"] = start + np.array([test[0] for _, test in found.folds[1:]]) / data.sfreq
    shown = f"The first {_SHOWN:g} s; every" if len(data.times) / data.sfreq > _SHOWN else "Every"
    panels: list[dict[str, Any]] = []
    said: list[str] = []
    decoded = found.scores[found.scores["row"] == "decoded"].set_index(["target", "metric"])["value"]
    for column, name in enumerate(found.names):
        arrays |= {f"series/{name}/true": found.true[:, column], f"series/{name}/decoded": found.predicted[:, column]}
        words = name.replace("_", " ")
        panels.append({"draw": "decoded_trace", "title": f"{words}: what happened and what was decoded", "args": {
            "times": "@series/times", "true": f"@series/{name}/true", "decoded": f"@series/{name}/decoded", "edges": "@series/edges",
            "label": words, "seconds": _SHOWN},
            "caption": f"{shown} point was predicted by a decoder that was trained on other blocks of time."})  # fmt: skip
        if (name, "r2") in decoded:
            r, r2 = decoded[name, "pearson"], decoded[name, "r2"]
            more = " (it correlates, but scale or offset are wrong)" if r > 0.3 and r2 < 0 else ""
            said.append(f"{words} r = {r:.2f}, R² = {r2:.2f}{more}")
        else:
            said.append(f"{words} AUC = {decoded[name, 'auc']:.2f}")
    first = next(iter(found.null), None)
    if first is not None and len(found.null[first]):
        target, metric = first.rsplit("/", 1)
        arrays["series/null"] = found.null[first]
        panels.append({"draw": "null_histogram", "title": f"{target.replace('_', ' ')} against itself turned around in time", "args": {
            "observed": float(decoded[target, metric]), "null": "@series/null", "label": "Pearson r" if metric == "pearson" else "AUC",
            "kind": "turned in time"},
            "caption": f"The whole cross-validation was repeated on {len(found.null[first])} targets turned around within the run: what two slow "
            "series share by accident."})  # fmt: skip
    notes = []
    if min(how.delays) < 0:
        notes.append(
            f"Signals up to {-min(how.delays) / data.sfreq:.2g} s after a moment are used to decode it: this is reading, not prediction."
        )
    return arrays, panels, ["; ".join(said) + "."], notes


def decode_continuous(data: SeriesData, how: Any, statistics: Any, *, seed: int, keys: Mapping[str, Any]) -> Result:
    """Cross-validate a ridge decoder of each target and make the page's parts.

    Parameters
    ----------
    data : SeriesData
    how : Section
        targets, delays, n_folds, gap, block.
    statistics : Section
        n_permutations, n_bootstrap, controls.
    seed : int
    keys : mapping
        The unit.
    """
    found = decode_series(
        data.signals, data.targets, names=how.targets, sfreq=data.sfreq, runs=data.runs, delays=how.delays, n_folds=how.n_folds,
        gap=how.gap, block=how.block, n_shifts=statistics.n_permutations, controls=statistics.controls,
        n_bootstrap=statistics.n_bootstrap, seed=seed, keys=keys,
    )  # fmt: skip
    arrays, panels, answers, notes = series_panels(found, data, how)
    seconds = len(data.times) / data.sfreq
    if seconds < _SHORT:
        answers.append(
            f"What was decoded lasts {seconds:.0f} s and holds few independent stretches: a check that everything runs, not a finding."
        )
    card = series_card(data, how)
    made_by = {"overview": data.overview, "audit": card.to_dict(), "panels": panels, "notes": notes, "answers": answers,
               "warnings": data.warnings, "citations": data.citations}  # fmt: skip
    return Result(found.scores, arrays, made_by)


def group_targets(results: Sequence[Result], targets: Sequence[str], *, seed: int) -> Result | None:
    """Return means over subjects of each target, where there are several subjects."""
    parts = []
    for target in targets:
        each = [Result(r.scores[r.scores["target"] == target].drop(columns="target")) for r in results]
        found = group_scores(each, seed=seed)
        if found is not None:
            most = np.where(found.scores["metric"] == "auc", np.inf, 1.0)  # AUC is held to 0 to 1 already
            least = np.where(found.scores["metric"] == "pearson", -1.0, -np.inf)
            ends = {"low": np.maximum(found.scores["low"], least), "high": np.minimum(found.scores["high"], most)}
            parts.append(found.scores.assign(target=target, **ends))
    return Result(pd.concat(parts, ignore_index=True)) if parts else None
