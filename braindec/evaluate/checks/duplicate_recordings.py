"""Does the same piece of signal stand under two names?

Each window is centred, scaled and projected on 32 fixed random directions; windows whose projections agree hold the
same signal, whatever gain or offset was applied. Real files have it: one run stored under two sessions raised the
leave-one-run-out AUC from 0.60 to 0.67.

Source: Brookshire et al. 2024 (Front Neurosci) on what shared data do to a score.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from braindec.evaluate.finding import Context, Finding, some
from braindec.types import Windows

__all__ = ["check"]
_ROWS, _SAMPLES, _FEATURES = 2000, 100_000_000, 200_000
_DIRECTIONS, _CLOSE = 32, 1e-3


def check(context: Context) -> Finding:
    """Look for windows that hold the same signal."""
    windows = context.windows
    if windows is None:
        return Finding("duplicate_recordings", "skip", "needs Windows: a table holds no signal")
    if windows.n_channels * windows.n_times < 16:
        return Finding("duplicate_recordings", "skip", "windows of fewer than 16 values may be alike by chance")
    kept = _sample(context)
    sketch, real = _sketch(windows, kept, np.random.default_rng(0))
    kept, sketch = kept[real], sketch[real]
    if len(kept) < 2:
        return Finding("duplicate_recordings", "skip", "the windows are constant")
    pairs = cKDTree(sketch).query_pairs(_CLOSE, output_type="ndarray")
    evidence = {"n_compared": len(kept), "n_pairs": len(pairs)}
    if not len(pairs):
        return Finding("duplicate_recordings", "pass", f"{len(kept)} windows compared, all different", evidence)
    a, b = kept[pairs[:, 0]], kept[pairs[:, 1]]
    crossing = np.zeros(len(a), dtype=bool)
    for split in context.splits:
        part = np.zeros(len(context.rows), dtype=int)
        part[split.train], part[split.test] = 1, 2
        crossing |= part[a] * part[b] == 2
    labels = {r: _label(context, r) for r in np.unique(np.r_[a, b])}
    sources = sorted({tuple(sorted((labels[i], labels[j]))) for i, j in zip(a, b, strict=True)})
    evidence |= {"n_crossing": int(crossing.sum()), "sources": [list(s) for s in sources[:5]],
                 "examples": [[context.rows.ids[i], context.rows.ids[j]] for i, j in zip(a[:3], b[:3], strict=True)]}  # fmt: skip
    said = some([f"{x} and {y}" if x != y else f"{x} twice" for x, y in sources], 3)
    message = f"{len(np.unique(np.r_[a, b]))} of {len(kept)} windows hold the same signal as another one: {said}"
    fix = "leave one of them out"
    if crossing.any():
        message += f"; {int(crossing.sum())} pairs are split between training and test"
        return Finding("duplicate_recordings", "fail", message, evidence, fix, "Brookshire et al. 2024, Front Neurosci")
    return Finding("duplicate_recordings", "warn", message, evidence, fix, "Brookshire et al. 2024, Front Neurosci")


def _sample(context: Context) -> np.ndarray:
    """Rows to compare: the first ones of each recording in order of time, so that twins are sampled alike."""
    windows, order = context.windows, context.rows.order
    most = max(20, min(_ROWS, _SAMPLES // (windows.n_channels * windows.n_times)))
    if len(order) <= most:
        return order
    recording = context.rows.recording[order]
    first = np.searchsorted(recording, recording)
    each = max(2, most // len(np.unique(recording)))
    return order[np.arange(len(order)) - first < each]


def _sketch(windows: Windows, kept: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Projections (n_rows, 32) of the scaled windows, and which rows hold enough to be compared."""
    n = windows.n_channels * windows.n_times
    chosen = np.arange(n) if n <= _FEATURES else np.sort(rng.choice(n, _FEATURES, replace=False))
    direction = rng.normal(size=(len(chosen), _DIRECTIONS)).astype(np.float32) / np.sqrt(len(chosen))
    sketch, real = np.zeros((len(kept), _DIRECTIONS)), np.zeros(len(kept), dtype=bool)
    step = max(1, 10_000_000 // n)
    for start in range(0, len(kept), step):
        block = windows.load(kept[start : start + step], check=False).reshape(-1, n)[:, chosen].astype(np.float64)
        block -= block.mean(axis=1, keepdims=True)
        spread = block.std(axis=1, keepdims=True)
        varied = (np.abs(block) > 0.1 * spread).sum(axis=1) >= 8  # empty and nearly empty windows are alike by chance
        real[start : start + step] = np.isfinite(spread[:, 0]) & (spread[:, 0] > 0) & varied
        scaled = np.nan_to_num(block / np.where(spread > 0, spread, 1))
        sketch[start : start + step] = scaled @ direction
    return sketch, real


def _label(context: Context, row: int) -> str:
    """Name of the recording of a row, from the trials."""
    parts = [f"{short}-{context.rows.trials[c].iloc[row]}" for c, short in (("subject", "sub"), ("session", "ses"), ("run", "run"))
             if c in context.rows.trials]  # fmt: skip
    return "_".join(parts) or context.windows.recordings[context.windows.index[row, 0]].label
