"""Can the class be decoded before the stimulus comes?

What is there before onset cannot be evoked by the stimulus: blocks, drift, a fixed order, the response to the trial
before, or a filter that smears backwards. A ridge classifier on the means of up to four bins before onset is scored
with the folds that were given, against labels permuted within recordings (refitted, exactly).

Source: the locust data of Pouzat & Laurent (odours in blocks: 43 % before the odour, chance 20 %); Li et al. 2021,
TPAMI; van Driel et al. 2021 (J Neurosci Methods) on filters.
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.finding import Context, Finding
from braindec.stats.permutation import permutation_p, permute_within
from braindec.types import Windows

__all__ = ["check"]
_REFERENCE = "Li et al. 2021, TPAMI; van Driel et al. 2021, J Neurosci Methods"
_GUARD = 0.05  # s before onset that are not used, where acausal filters smear
_ROWS, _CHANNELS, _BINS = 1500, 256, 4
_ALPHA, _PERMUTATIONS = 0.005, 299
_SMALL, _LARGE = 0.05, 0.2


def check(context: Context) -> Finding:
    """Score the classifier on what lies before onset."""
    windows, code = context.windows, context.code
    if windows is None:
        return Finding("pre_onset", "skip", "needs Windows: a table holds no signal")
    if code is None or len(np.unique(code)) < 2:
        return Finding("pre_onset", "skip", "no classes are decoded (y, or trial_type with several values)")
    before = np.flatnonzero(windows.times < -_GUARD)
    if not len(before):
        before = np.flatnonzero(windows.times < -1e-9)
    if not len(before):
        return Finding("pre_onset", "skip", f"windows begin at {windows.tmin:g} s: nothing lies before onset",
                       fix="make windows with tmin=-0.2 once, for this check")  # fmt: skip
    rng = context.rng("pre_onset")
    kept = np.arange(len(code)) if len(code) <= _ROWS else np.sort(rng.choice(len(code), _ROWS, replace=False))
    features = _features(windows, kept, before, rng)
    fine = np.isfinite(features).all(axis=1)
    kept, features = kept[fine], features[fine]
    place = np.full(len(code), -1)
    place[kept] = np.arange(len(kept))
    folds = [(place[s.train], place[s.test]) for s in context.splits]
    folds = [(a[a >= 0], b[b >= 0]) for a, b in folds]
    label = np.unique(code[kept], return_inverse=True)[1]
    folds = [(a, b) for a, b in folds if len(b) and len(np.unique(label[a])) == label.max() + 1]
    if len(kept) < 20 or not folds:
        return Finding("pre_onset", "skip", "no fold has every class in training", {"n": len(kept)})
    observed, null = _score(features, label, folds, context.rows.recording[kept], rng)
    p, chance = float(permutation_p(observed, null)), float(null.mean())
    excess = (observed - chance) / max(1 - chance, 1e-9)
    span = f"{windows.times[before[0]]:.3g} to {windows.times[before[-1]]:.3g} s"
    evidence = {"balanced_accuracy": observed, "chance": chance, "p": p, "n": len(kept), "null_high": float(np.quantile(null, 0.975)),
                "span_s": [windows.times[before[0]], windows.times[before[-1]]]}  # fmt: skip
    message = (
        f"before onset ({span}) the class is decoded at {100 * observed:.1f} % (chance {100 * chance:.1f} %, p {p:.3g})"
    )
    if p <= _ALPHA and excess >= _SMALL:
        fix = (
            "find out why: blocks of one class, a fixed order, overlapping responses, or an acausal filter; report this "
            "score beside the decoding score"
        )
        return Finding("pre_onset", "fail" if excess >= _LARGE else "warn", message, evidence, fix, _REFERENCE)
    return Finding("pre_onset", "pass", message, evidence)


def _features(windows: Windows, kept: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of bins before onset, shape (n_rows, n_channels * n_bins), each column scaled to unit variance."""
    n = windows.n_channels
    channels = np.arange(n) if n <= _CHANNELS else np.sort(rng.choice(n, _CHANNELS, replace=False))
    bins = np.array_split(before, min(_BINS, len(before)))
    out = np.empty((len(kept), len(channels), len(bins)))
    step = max(1, 20_000_000 // (n * windows.n_times))
    for start in range(0, len(kept), step):
        block = windows.load(kept[start : start + step], check=False)[:, channels]  # (window, channel, time)
        for b, samples in enumerate(bins):
            out[start : start + step, :, b] = block[:, :, samples].mean(axis=2)
    flat = out.reshape(len(kept), -1)
    flat = flat - np.nanmean(flat, axis=0)
    scale = np.nanstd(flat, axis=0)
    return flat[:, scale > 0] / scale[scale > 0]


def _score(
    features: np.ndarray, label: np.ndarray, folds: list, recording: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Balanced accuracy of ridge classification, and of the same with labels permuted within recordings.

    Predictions are linear in the one-hot labels, so a fold is solved once for all permutations.
    """
    n_classes = label.max() + 1
    labels = np.stack([label, *(permute_within(label, recording, rng) for _ in range(_PERMUTATIONS))])
    gram = features @ features.T
    penalty = 0.1 * np.trace(gram) / len(gram)
    right = np.zeros((len(labels), n_classes))
    total = np.zeros((len(labels), n_classes))
    for train, test in folds:
        hat = np.linalg.solve(gram[np.ix_(train, train)] + penalty * np.eye(len(train)), gram[np.ix_(train, test)]).T
        for i in range(0, len(labels), 100):
            part = slice(i, i + 100)
            hot = np.eye(n_classes)[labels[part][:, train]]  # (permutation, train, class)
            share = hot.mean(axis=1, keepdims=True)
            scores = np.matmul(hat, hot - share) / np.maximum(
                share, 1e-9
            )  # posterior over prior: classes count equally
            truth = np.eye(n_classes)[labels[part][:, test]]
            hit = scores.argmax(axis=2) == labels[part][:, test]
            right[part] += (truth * hit[:, :, None]).sum(axis=1)
            total[part] += truth.sum(axis=1)
    accuracy = (right / np.maximum(total, 1)).mean(axis=1)
    return float(accuracy[0]), accuracy[1:]
