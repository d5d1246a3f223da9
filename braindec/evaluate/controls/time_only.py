"""Time only: a small decoder that sees when a window was and how long its event lasted, never the signal.

If it finds the class, the design gives the class away (blocks, fixed orders, durations), and a decoder of slow drift
would find it too. Features: onset, place in the run, duration, gap to the window before, and smooth bumps over onset
and place so that a class may come and go; a shrinkage discriminant reads them.

Source: Li et al. 2021 (TPAMI, "The perils and pitfalls of block design for EEG classification experiments").
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.evaluate._exchange import is_sorted
from braindec.evaluate._folds import Context, FoldScores
from braindec.evaluate._rows import rows_of
from braindec.stats.discriminant import TotalScatter, discriminant, log_posterior, null_scores
from braindec.types import Windows

_BUMPS = 12

__all__ = ["time_only", "time_features"]


def time_only(context: Context, decoded: FoldScores) -> FoldScores:
    """Run the same folds on times and durations."""
    if is_sorted(rows_of(context.windows), context.codes):
        return FoldScores([], [], note="not run: rows are sorted by class and have no onset, so their time is unknown")
    features, seen = time_features(context.windows)
    n_classes = len(context.classes)
    labellings = np.concatenate([context.codes[None], context.labellings])
    out = FoldScores([], [], note=f"sees {seen}")
    for split in context.splits:
        train, test = features[split.train], features[split.test]
        width = train.std(axis=0)
        width = np.where(width > 1e-12, width, 1.0)
        scores = null_scores(
            discriminant, TotalScatter(train / width), labellings[:, split.train], test / width, n_classes
        )
        scores = log_posterior(scores)
        out.scores.append(scores[0])
        out.null.append(scores[1:])
    return out


def time_features(windows: Windows) -> tuple[np.ndarray, str]:
    """Return signal-blind features, shape (n_windows, n_features), and what they are made of."""
    rows = rows_of(windows)
    n = len(rows)
    place, gap = np.empty(n), np.zeros(n)
    for recording in np.unique(rows.recording):
        mine = rows.order[rows.recording[rows.order] == recording]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
        if rows.timed and len(mine) > 1:
            between = np.diff(rows.start[mine])
            gap[mine] = np.r_[np.median(between), between]
    columns, seen = [place[:, None], _bumps(place)], ["place in the run"]
    if rows.timed:
        onset = (rows.start - rows.start.min()) / max(float(np.ptp(rows.start)), 1e-9)
        columns += [onset[:, None], _bumps(onset), np.log(np.maximum(gap, 1e-3))[:, None]]
        seen += ["onset", "gap to the window before"]
    duration = rows.column("duration")
    if duration is not None:
        seconds = np.nan_to_num(pd.to_numeric(windows.trials["duration"], errors="coerce").to_numpy(dtype=float))
        if np.ptp(seconds) > 0:
            columns.append(seconds[:, None])
            seen.append("duration")
    return np.concatenate(columns, axis=1), ", ".join(seen)


def _bumps(x: np.ndarray) -> np.ndarray:
    """Gaussian bumps over 0 to 1, shape (n, 12)."""
    centres = np.linspace(0, 1, _BUMPS)
    return np.exp(-0.5 * ((x[:, None] - centres) * (_BUMPS - 1) / 0.75) ** 2)
