"""Betas as Windows: one Recording a session, names of trials, and what is said of voxels without a beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.signal._trials import join_trials
from braindec.signal.glm._runs import Run
from braindec.types import Recording, Windows

__all__ = ["as_windows", "count_bad", "trial_ids"]


def trial_ids(runs: Sequence[Run]) -> list[np.ndarray]:
    """Return names of the trials of each run, the same in ``fit`` and ``betas``."""
    labels = [run.label for run in runs]
    names = [label if labels.count(label) == 1 else f"{label}#{k}" for k, label in enumerate(labels)]
    return [np.array([f"{name}_trial-{k:03d}" for k in run.trials["event_index"]], dtype=object)
            for name, run in zip(names, runs, strict=True)]  # fmt: skip


def count_bad(bad: Sequence[Mapping[str, np.ndarray]]) -> list[str]:
    """Say how many voxels have no beta in one run or more, and why."""
    said = []
    for reason in dict.fromkeys(r for run in bad for r in run):
        n = int(np.logical_or.reduce([run[reason] for run in bad if reason in run]).sum())
        if n:
            said.append(f"{n} of {len(bad[0][reason])} voxels have no beta (NaN) in one run or more: {reason}")
    return said


def as_windows(
    runs: Sequence[Run], values: np.ndarray, bad: Sequence[Mapping[str, np.ndarray]], info: Mapping[str, Any], *,
    used: Sequence[str], left_out: int,
) -> Windows:  # fmt: skip
    """Return betas (n_trials, n_voxels), runs in order, as windows of one sample.

    Parameters
    ----------
    used : sequence of str
        Labels of the training runs.
    left_out : int
        How many runs ``fit`` left out; then ``trials.part`` says "train" or "test" where the events do not.
    """
    tables = []
    for run, names in zip(runs, trial_ids(runs), strict=True):
        own = run.label in used
        table = run.trials.assign(used_in_fit=own, window_id=names)
        if left_out and "part" not in table:
            table["part"] = "train" if own else "test"
        tables.append(table)
    missing = np.logical_or.reduce([m for run in bad for m in run.values()])
    counts = {r: int(np.logical_or.reduce([run[r] for run in bad]).sum()) for r in bad[0]}
    recordings, index, first = [], [], 0
    for members in _sessions(runs):
        n = sum(len(run.trials) for run in members)
        source = members[0].recording
        status = np.where(missing, "bad", source.channels["status"].to_numpy(dtype=object))
        channels = source.channels.assign(
            unit="%" if info["scale"] == "percent" else source.channels["unit"], status=status
        )
        about = {
            **source.info,
            "run": None,
            "path": None,
            **info,
            "warnings": _warnings(members, info),
            "nan_voxels": counts,
        }
        index += [(len(recordings), k) for k in range(n)]
        recordings.append(Recording(values[first : first + n].T, 1.0, channels, info=about))
        first += n
    trials = join_trials(tables)
    return Windows(tuple(recordings), np.array(index), 1, trials, info={**info, "nan_voxels": counts})


def _sessions(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that stand together and share subject and session."""
    found: list[list[Run]] = []
    for run in runs:
        key = [run.recording.info.get(k) for k in ("subject", "session")]
        if found and [found[-1][0].recording.info.get(k) for k in ("subject", "session")] == key:
            found[-1].append(run)
        else:
            found.append([run])
    return found


def _warnings(members: Sequence[Run], info: Mapping[str, Any]) -> list[str]:
    texts = [text for run in members for text in run.recording.info.get("warnings") or []]
    return list(pd.unique(pd.Series([*texts, *info["notes"]], dtype=object)))
