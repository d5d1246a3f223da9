"""Parts of the recipe for spikes: which rows are held out, the course over time, continuous variables, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._rows import rows_of
from braindec.evaluate.audit import Audit, audit
from braindec.evaluate.crossval import CrossValidation, cross_validate
from braindec.evaluate.series import SeriesDecoding
from braindec.ridge.folds import contiguous_folds
from braindec.types import Split, Windows

_SHOWN = 200.0  # s of a decoded trace on the page


def fixed_split(windows: Windows, by: str, held_out: Sequence[str]) -> Split:
    """Return the split that tests the rows whose ``by`` is one of ``held_out`` and trains on all others."""
    trials = windows.trials
    if by not in trials:
        raise BraindecError(
            f"the events have no column {by!r}{did_you_mean(by, trials.columns)}",
            allowed=", ".join(map(str, trials.columns)),
        )
    values = trials[by].astype(str).to_numpy()
    unknown = [v for v in held_out if v not in set(values)]
    if unknown:
        raise BraindecError(
            f"no event has {by} = {unknown[0]!r}{did_you_mean(unknown[0], set(values))}",
            allowed=", ".join(sorted(set(values))[:20]),
        )
    test = np.isin(values, list(held_out))
    return Split(
        np.flatnonzero(~test), [], np.flatnonzero(test), by=by, ids=windows.ids, name=f"{by}: {', '.join(held_out)}"
    )


def in_blocks(windows: Windows, column: str, n: int) -> Windows:
    """Number the windows of each class in ``n`` contiguous blocks of time: the column ``block``, to split by."""
    rows = rows_of(windows)
    labels = windows.trials[column].to_numpy()
    block = np.zeros(len(windows), dtype=int)
    for label in pd.unique(labels):
        mine = rows.order[labels[rows.order] == label]
        if len(mine) < n:
            raise BraindecError(
                f"{n} blocks of class {label} need as many windows", found=f"{len(mine)}", fix="use fewer blocks"
            )
        block[mine] = np.arange(len(mine)) * n // len(mine)
    return windows.with_trials(block=[f"block {b + 1}" for b in block])


def at_least_two_blocks(windows: Windows, y: np.ndarray) -> bool:
    """False when every class was recorded in one stretch of its own: class and time of recording are then one thing."""
    rows = rows_of(windows)
    code, home = np.unique(y, return_inverse=True)[1][rows.order], rows.recording[rows.order]
    stretches = 1 + int(np.sum((np.diff(code) != 0) | (np.diff(home) != 0)))
    return stretches > len(np.unique(y))


def course_of(
    decoder: Any, wide: Windows, y: np.ndarray, splits: Sequence[Split], course: Any, *, n_bootstrap: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return balanced accuracy of the same decoder in a sliding window, and the panel that shows it."""
    stop = wide.tmin + wide.n_times / wide.sfreq
    width = max(1, round(course.width * wide.sfreq)) / wide.sfreq
    step = max(1, round(course.step * wide.sfreq)) / wide.sfreq
    starts = wide.tmin + step * np.arange(int(np.floor((stop - wide.tmin - width) / step + 1e-6)) + 1)
    rows = []
    for start in starts:
        part = wide.crop(start, start + width)
        found = cross_validate(decoder, part, y, splits, metrics=["balanced_accuracy"], controls=(), n_permutations=0,
                               n_bootstrap=n_bootstrap, seed=seed).scores.iloc[0]  # fmt: skip
        rows.append([start + width / 2, found["value"], found["low"], found["high"], found["chance"]])
    table = np.array(rows, dtype=float)
    arrays = {f"course/{k}": table[:, i] for i, k in enumerate(("times", "value", "low", "high"))}
    args = {
        "times": "@course/times",
        "values": "@course/value",
        "chance": float(table[0, 4]),
        "ylabel": "balanced accuracy",
        "n": len(y),
    }
    caption = f"The same decoder on windows of {width:g} s, at their middle. What is above chance before 0 is no response to the event."
    if np.all(
        table[:, 3] - table[:, 2] > 0.999
    ):  # too few independent blocks: the interval is everything and says nothing
        arrays = {k: arrays[k] for k in ("course/times", "course/value")}
        caption += " There are too few independent blocks for an interval."
    else:
        args |= {"low": "@course/low", "high": "@course/high"}
        caption += " Band: 95 % interval."
    panel = {"draw": "timecourse", "title": "Decoding over time", "args": args, "caption": caption}
    return arrays, panel


def label_notes(card: Audit, scores: CrossValidation, *, testable: bool) -> tuple[list[str], list[str]]:
    """Return notes for the reader, and sentences for the top of the page."""
    notes, answers = [], []
    for finding in card.of("pre_onset"):
        if finding.level in ("warn", "fail"):
            share, chance = 100 * finding.evidence["balanced_accuracy"], 100 * finding.evidence["chance"]
            answers.append(
                f"Before the event the same labels are decoded at {share:.0f} % (chance {chance:.0f} %): what is decoded after it "
                "is not the response alone."
            )
    if not testable:
        answers.append(
            "Each class was recorded in one stretch of its own, so that no permutation of labels can tell the class from the time "
            "of recording: there is no p."
        )
    single = scores.scores[scores.scores["row"] == "decoded"]
    if len(scores.records) == 1 and len(single):
        notes.append(f"One fixed test part of {int(single['n'].iloc[0])} windows; the interval is over these windows.")
    return notes, answers


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


def series_data(source: Any, subject: str, targets: Sequence[str]) -> SeriesData:
    """Read the signals (all channels whose type is not "misc") and the targets (channels by name) of a subject."""
    recordings = source.recordings(subject)
    first = recordings[0]
    for recording in recordings:
        for target in targets:
            if target not in recording.ch_names:
                known = recording.channels["name"][recording.channels["type"] == "misc"].tolist()
                raise BraindecError(f"{recording.label} has no channel {target!r}{did_you_mean(target, known)}", allowed=", ".join(known[:20]) or "no misc channel",
                                    fix="add it beside the signal, e.g. with the option extra of the reader arrays")  # fmt: skip
        if recording.ch_names != first.ch_names or recording.sfreq != first.sfreq:
            raise BraindecError(
                "recordings of a subject differ in channels or rate", found=f"{first.label} and {recording.label}"
            )
    keep = ((first.channels["type"] != "misc") & ~first.channels["name"].isin(list(targets))).to_numpy()
    if not keep.any():
        raise BraindecError(f"{first.label} has no signals beside the targets", found=f"{first.n_channels} channels of type misc",
                            fix="say the type of the signals: ch_type: unit")  # fmt: skip
    names = list(first.ch_names)
    blocks = [r.signal.read().astype(np.float64).T for r in recordings]
    card = source.card
    cited = (
        [{"key": card.name, "text": card.citation, "doi": card.doi or ""}] if card is not None and card.citation else []
    )
    said = list(dict.fromkeys(t for r in recordings for t in r.info.get("warnings") or []))
    about = {
        "modality": first.info.get("modality") or "not said",
        "signals": int(keep.sum()),
        "targets": ", ".join(targets),
        "samples": sum(len(b) for b in blocks),
        "sampling frequency (Hz)": round(first.sfreq, 4),
        "length (s)": round(sum(r.duration for r in recordings), 1),
        "runs": len(recordings),
    }
    return SeriesData(
        np.concatenate([b[:, keep] for b in blocks]), np.concatenate([b[:, [names.index(t) for t in targets]] for b in blocks]),
        float(first.sfreq), np.repeat([str(k) for k in range(len(blocks))], [len(b) for b in blocks]),
        np.concatenate([np.arange(len(b)) / first.sfreq for b in blocks]), about, said, cited,
    )  # fmt: skip


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
    arrays: dict[str, np.ndarray] = {"series/times": np.arange(len(data.times)) / data.sfreq}
    arrays["series/edges"] = np.array([test[0] for _, test in found.folds[1:]]) / data.sfreq
    panels: list[dict[str, Any]] = []
    said: list[str] = []
    decoded = found.scores[found.scores["row"] == "decoded"].set_index(["target", "metric"])["value"]
    for column, name in enumerate(found.names):
        arrays |= {f"series/{name}/true": found.true[:, column], f"series/{name}/decoded": found.predicted[:, column]}
        words = name.replace("_", " ")
        panels.append({"draw": "decoded_trace", "title": f"{words}: what happened and what was decoded", "args": {
            "times": "@series/times", "true": f"@series/{name}/true", "decoded": f"@series/{name}/decoded", "edges": "@series/edges",
            "label": words, "seconds": _SHOWN},
            "caption": f"The first {_SHOWN:g} s; every point was predicted by a decoder that was trained on other blocks of time."})  # fmt: skip
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
