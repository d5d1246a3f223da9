"""Parts of the recipe for spikes: which rows are held out, the course over time, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._rows import rows_of
from braindec.evaluate.audit import Audit
from braindec.evaluate.crossval import CrossValidation, cross_validate
from braindec.types import Split, Windows


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
