"""Running a decoder over folds, and turning the scores of all folds into a value, a null and an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.evaluate._exchange import Exchange
from braindec.evaluate.metric import Metric
from braindec.stats.binomial import clopper_pearson
from braindec.stats.bootstrap import Interval, bootstrap_weights, interval_of
from braindec.types import FitRecord, Split, Windows

_FEWEST_CLUSTERS = 5
_IN_MEMORY = 2**29  # bytes of windows that are read once instead of in every fold

__all__ = ["Context", "FoldScores", "in_memory", "interval", "null_values", "run_folds", "value_of"]


@dataclass(frozen=True, eq=False)
class Context:
    """What a control row may look at: the same decoder, windows, labels, splits and permutations as the decoded row.

    Parameters
    ----------
    decoder : estimator
        Not fitted; cloned in each fold.
    windows : Windows
        All windows.
    codes : array of int, shape (n_windows,)
        Place of each label in ``classes``.
    classes : array of shape (n_classes,)
    splits : list of Split
    labellings : array of int, shape (n_permutations, n_windows)
        Permuted codes.
    seed : int
    how : str
        How labels were permuted.
    """

    decoder: Any
    windows: Windows
    codes: np.ndarray
    classes: np.ndarray
    splits: Sequence[Split]
    labellings: np.ndarray
    seed: int
    how: str


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Class scores of the test rows of each fold, with the real labels and with permuted ones.

    Parameters
    ----------
    scores : list of array (n_test, n_classes)
    null : list of array (n_permutations, n_test, n_classes)
    records : list of list of FitRecord
    note : str
    """

    scores: list[np.ndarray]
    null: list[np.ndarray]
    records: list[list[FitRecord]] = field(default_factory=list)
    note: str = ""


def in_memory(windows: Windows) -> Windows:
    """Read windows that are small enough once, so that folds do not read them again."""
    if 4 * np.prod(windows.shape) > _IN_MEMORY:
        return windows
    info = windows.recordings[0].info
    return Windows.from_arrays(
        windows.load(), windows.trials, sfreq=windows.sfreq, channels=windows.channels, tmin=windows.tmin,
        modality=info.get("modality"), dataset=info.get("dataset"),
    )  # fmt: skip


def run_folds(context: Context, windows: Windows, *, label: str) -> FoldScores:
    """Fit a clone in each fold and score its test rows; then again for every permuted labelling.

    Raises
    ------
    BraindecError
        If a decoder lacks a method, or its scores are not finite.
    """
    from sklearn.base import clone

    out, names = FoldScores([], []), context.classes
    for split in tqdm(context.splits, desc=label, disable=None, leave=False):
        decoder = clone(context.decoder)
        train, test = windows[split.train], windows[split.test]
        decoder.fit(train, names[context.codes[split.train]])
        out.scores.append(_aligned(decoder, test, names, split))
        out.records.append(list(getattr(decoder, "fit_records_", [])))
        labellings = context.labellings[:, split.train]
        if not len(labellings):
            null = np.empty((0, len(split.test), len(names)))
        elif hasattr(decoder, "null_decisions"):
            null = np.asarray(decoder.null_decisions(train, labellings, test))  # codes order classes as names do
        else:
            refits = (clone(context.decoder).fit(train, names[codes]) for codes in tqdm(
                labellings, desc=f"{label}, permutations", disable=None, leave=False))  # fmt: skip
            null = np.stack([_aligned(refit, test, names, split) for refit in refits])
        if not np.isfinite(null).all():
            raise BraindecError(f"scores of permuted labels are not finite in {split.name or 'a fold'}")
        out.null.append(null)
    return out


def _aligned(decoder: Any, test: Windows, classes: np.ndarray, split: Split) -> np.ndarray:
    scores = np.asarray(decoder.decision(test), dtype=float)
    if list(decoder.classes_) != list(classes) or scores.shape != (len(test), len(classes)):
        raise BraindecError(
            f"the decoder's scores do not fit in {split.name or 'a fold'}",
            found=f"shape {scores.shape}, classes {list(decoder.classes_)}", allowed=f"({len(test)}, {len(classes)})",
        )  # fmt: skip
    if not np.isfinite(scores).all():
        raise BraindecError(f"the decoder gives scores that are not finite in {split.name or 'a fold'}",
                            fix="scale the windows, use more regularisation, or look for NaN in them")  # fmt: skip
    return scores


def value_of(metric: Metric, scores: Sequence[np.ndarray], codes: np.ndarray, splits: Sequence[Split]) -> float:
    """Return the metric over all folds."""
    above, below = _sums(metric, scores, [codes[s.test] for s in splits])
    return float(metric.combine(above, below))


def null_values(
    metric: Metric, null: Sequence[np.ndarray], labellings: np.ndarray, splits: Sequence[Split]
) -> np.ndarray:
    """Return the metric of each permuted labelling over all folds, shape (n_permutations,)."""
    if not len(labellings):
        return np.empty(0)
    above, below = _sums(metric, null, [labellings[:, s.test] for s in splits])
    return np.asarray(metric.combine(above, below))


def interval(
    metric: Metric, scores: Sequence[np.ndarray], codes: np.ndarray, splits: Sequence[Split], *, exchange: Exchange,
    n: int, rng: np.random.Generator
) -> tuple[Interval, str]:  # fmt: skip
    """Return a bootstrap interval of a score over folds and how it was made.

    With 5 runs (or blocks of a split by time) or more, whole runs are resampled; with fewer, the exchangeable units
    (trials, or blocks of a blocked design) within each class. Intervals are widened for few units. Decoders are not
    trained again, so what is covered is the score of these decoders on new rows of the same kind; training sets that
    overlap make the true uncertainty larger (simulated: 0.87 to 0.94 of the intervals hold the true score at chance with
    4 to 10 runs of 16 trials, 0.95 with an effect), which is why a call of "above chance" needs the p-value too. A perfect score leaves nothing to resample: its interval is the
    exact one of as many hits as the smallest class has exchangeable units.
    """
    tested = np.concatenate([s.test for s in splits])
    rows, place = np.unique(tested, return_inverse=True)
    clusters, units = exchange.clusters[rows], exchange.units[rows]
    fewest = min(len(np.unique(units[codes[rows] == k])) for k in np.unique(codes[rows]))
    if len(np.unique(clusters)) >= _FEWEST_CLUSTERS:
        weights = bootstrap_weights(clusters, None, n=n, rng=rng)
        n_units, how = len(np.unique(clusters)), f"interval over {exchange.where}s"
    else:
        weights = bootstrap_weights(units, codes[rows], n=n, rng=rng)
        n_units = fewest
        how = "trials" if len(np.unique(units)) == len(rows) else "blocks"
        how = f"interval over {how} of these {exchange.where}s" if clusters.any() else f"interval over {how}"
        if n_units < 2:
            return Interval(*metric.bounds), "a class has one independent block only: the interval is everything"
    weights = weights[:, place]
    edges = np.cumsum([0, *(len(s.test) for s in splits)])
    above, below = _sums(metric, scores, [codes[s.test] for s in splits],
                         [weights[:, a:b] for a, b in pairwise(edges)])  # fmt: skip
    defined = (below > 0).any(axis=1)
    draws = metric.combine(above[defined], below[defined])
    if metric.bounds == (0.0, 1.0) and np.ptp(draws) < 1e-9 and abs(draws[0] - 0.5) > 0.5 - 1e-9:
        return Interval(*clopper_pearson(round(draws[0]) * fewest, fewest)), f"exact interval of {fewest} alike"
    return interval_of(draws, n_units=n_units), how


def _sums(metric: Metric, scores: Sequence[np.ndarray], codes: Sequence[np.ndarray], weights: Any = None) -> Any:
    above: Any = 0.0
    below: Any = 0.0
    for fold, (score, true) in enumerate(zip(scores, codes, strict=True)):
        given = score if metric.needs == "scores" else score.argmax(axis=-1)
        a, b = metric.sums(true, given, score.shape[-1], None if weights is None else weights[fold])
        above, below = above + a, below + b
    return above, below
