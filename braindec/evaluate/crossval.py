"""Cross-validation of a classifier: scores with chance, interval, permutation p and control rows.

A fresh clone is fitted in each fold. Labels are scored over all test rows; AUC compares rows of one fold only. The
p-value repeats the whole cross-validation, training included, on labels permuted as the design allows
(:mod:`braindec.evaluate._exchange`); decoders with ``null_decisions`` compute their features once for that.

Source: Ojala & Garriga 2010 (JMLR 11:1833), test 1, for permuting labels over the whole procedure; Combrisson & Jerbi
2015 (J Neurosci Methods 250:126) for what small samples need; Varoquaux 2018 (NeuroImage 180:68) for the width of
cross-validation intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.errors import BraindecError
from braindec.evaluate._exchange import Exchange, exchange_of
from braindec.evaluate._folds import Context, FoldScores, in_memory, interval, null_values, run_folds, value_of
from braindec.evaluate.metric import Metric, codes_of
from braindec.stats.binomial import binomial_threshold
from braindec.stats.permutation import permutation_p
from braindec.types import FitRecord, Split, Windows

_FEW = 20  # test rows of a class below which the note says so
_FEW_PERMUTATIONS = 99  # below which the note says what p can be

__all__ = ["CrossValidation", "cross_validate"]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What a cross-validation found.

    Parameters
    ----------
    scores : DataFrame
        One row a metric and row ("decoded" or a control): metric, version, row, value, chance, low, high, p, n, note.
    predictions : DataFrame
        One row a test row: window_id, fold, true, predicted and ``score_<class>`` for each class.
    confusion : array of int, shape (n_classes, n_classes)
        Rows are true, columns predicted classes.
    classes : array of shape (n_classes,)
    records : list of (Split, list of FitRecord)
        What was fitted on which rows, fold by fold.
    null : dict of str to array (n_permutations,)
        Scores of the decoder on permuted labels, by metric.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    confusion: np.ndarray
    classes: np.ndarray
    records: list[tuple[Split, list[FitRecord]]]
    null: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays for a Result: the null of each metric and the predictions."""
        columns = [c for c in self.predictions if c.startswith("score_")]
        table = self.predictions
        return {
            **{f"null/{name}": values for name, values in self.null.items()},
            **{
                f"predictions/{c}": table[c].astype(str).to_numpy(dtype=object)
                for c in ("window_id", "fold", "true", "predicted")
            },
            "predictions/scores": table[columns].to_numpy(),
            "predictions/classes": np.array([str(c) for c in self.classes], dtype=object),
        }

    def __repr__(self) -> str:
        found = self.scores[self.scores["row"] == "decoded"]
        text = ", ".join(f"{m} {v:.3f}" for m, v in zip(found["metric"], found["value"], strict=True))
        return f"<CrossValidation {len(self.records)} folds, {len(self.predictions)} test rows: {text}>"


def cross_validate(
    decoder: Any,
    windows: Windows,
    y: np.ndarray,
    splits: Sequence[Split],
    *,
    metrics: Sequence[str] = ("balanced_accuracy", "auc"),
    controls: Sequence[str] = ("label_shuffle", "noise_input", "time_only"),
    n_permutations: int = 200,
    n_bootstrap: int = 1000,
    seed: int = 0,
    keys: Mapping[str, Any] | None = None,
) -> CrossValidation:
    """Cross-validate a classifier of windows.

    Parameters
    ----------
    decoder : estimator
        Clonable; ``fit(windows, y)``, ``decision(windows) -> (n, n_classes)``, ``classes_``, ``fit_records_``;
        optionally ``null_decisions(train, Y, test)``.
    windows : Windows
        What is decoded.
    y : array of shape (n_windows,)
        Class of each window.
    splits : list of Split
        Folds, from :func:`braindec.evaluate.splits.split_by`.
    metrics, controls : sequence of str
        Files of ``evaluate/metrics`` and ``evaluate/controls``.
    n_permutations : int
        Labellings of the null; 0 gives no p-values. The smallest p is 1 / (n_permutations + 1).
    n_bootstrap : int
        Resamples of the intervals.
    seed : int
        Same seed, same numbers.
    keys : mapping, optional
        Columns put before each score, e.g. ``{"subject": "01"}``.

    Raises
    ------
    BraindecError
        If labels are missing or of one class, a training part lacks a class, the splits are of other windows, values
        are not finite, or a name is unknown.
    """
    y = np.asarray(y)
    classes, codes = _checked(windows, y, splits, n_permutations, n_bootstrap)
    measures = [_metric(name) for name in metrics]
    if not measures:
        raise BraindecError(
            "cross-validation needs at least one metric", allowed=", ".join(registry.names("evaluate.metrics"))
        )
    rows = {name: registry.get("evaluate.controls", name) for name in controls}
    exchange = exchange_of(windows, codes, splits)
    rng = np.random.default_rng([seed, 1])
    labellings = exchange.draw(codes, splits, n=n_permutations, rng=rng)
    near = in_memory(windows)
    context = Context(decoder, near, codes, classes, splits, labellings, seed, exchange.how)
    decoded = run_folds(context, near, label="folds")
    table, null = [], {}
    notes = _notes(codes, classes, splits, exchange, n_permutations)
    for metric in measures:
        found, null[metric.name] = _score(metric, decoded, context, exchange, n_bootstrap=n_bootstrap)
        found["note"] = "; ".join([found["note"], *notes, *_notes_of(metric, codes, splits)])
        table.append({**(keys or {}), "row": "decoded", **found})
    for name, control in rows.items():
        held = control(context, decoded)
        for metric in measures:
            found, _ = _score(metric, held, context, exchange, n_bootstrap=n_bootstrap)
            found["note"] = "; ".join(t for t in (held.note, found["note"]) if t)
            table.append({**(keys or {}), "row": name, **found})
    first = [*(keys or {}), "metric", "version", "row", "value", "chance", "low", "high", "p", "n", "note"]
    predictions, confusion = _predictions(windows, codes, classes, splits, decoded)
    records = list(zip(splits, decoded.records, strict=True))
    return CrossValidation(pd.DataFrame(table)[first], predictions, confusion, classes, records, null)


def _checked(
    windows: Windows, y: np.ndarray, splits: Sequence[Split], n_permutations: int, n_bootstrap: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and codes of labels that can be cross-validated."""
    if y.shape != (len(windows),):
        raise BraindecError(
            "cross-validation needs one label for each window", found=f"labels {y.shape}, {len(windows)} windows"
        )
    missing = np.array([v is None or v != v for v in y.tolist()])
    if missing.any():
        raise BraindecError(
            f"{int(missing.sum())} of {len(y)} labels are missing (NaN or None)",
            found=f"first: window {windows.ids[missing][0]}",
            fix="select the classes that you want to decode, or leave these windows out",
        )  # fmt: skip
    classes = np.unique(y)
    if len(classes) < 2:
        raise BraindecError(
            "there is one class only: nothing to decode", found=f"all {len(y)} windows are {classes[0]!r}",
            fix="choose events of at least two kinds, or another column of the events",
        )  # fmt: skip
    if len(classes) > len(y) / 2:
        raise BraindecError(
            f"{len(classes)} classes for {len(y)} windows: labels look like numbers or names, not classes",
            fix="choose a column with a few values; for embeddings and names use retrieval",
        )
    if not len(splits):
        raise BraindecError("cross-validation needs at least one split", fix="split_by(windows, 'run')")
    codes = codes_of(y, classes)
    for split in splits:
        if len(split.ids) != len(windows) or not np.array_equal(split.ids.astype(str), windows.ids.astype(str)):
            raise BraindecError(
                "the splits were made for other windows", found=f"{len(split.ids)} rows, {len(windows)} windows"
            )
        counts = np.bincount(codes[split.train], minlength=len(classes))
        if not counts.all():
            lacking = ", ".join(str(c) for c in classes[counts == 0])
            raise BraindecError(
                f"training part of {split.name or 'a fold'} has no window of class {lacking}",
                found=", ".join(f"{c}: {k}" for c, k in zip(classes, counts, strict=True)),
                fix="use fewer folds, split by something else, or leave that class out",
            )
    if n_permutations < 0 or n_bootstrap < 100:
        raise BraindecError(
            "statistics need n_permutations >= 0 and n_bootstrap >= 100", found=f"{n_permutations} and {n_bootstrap}"
        )
    return classes, codes


def _metric(name: str) -> Metric:
    metric = registry.get("evaluate.metrics", name)
    if metric.needs == "values":
        names = [n for n in registry.names("evaluate.metrics") if registry.get("evaluate.metrics", n).needs != "values"]
        raise BraindecError(f"{name} compares numbers, not classes", allowed=", ".join(names))
    return metric


def _score(
    metric: Metric, held: FoldScores, context: Context, exchange: Exchange, *, n_bootstrap: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Return one row of the table and the null behind its p."""
    codes, splits = context.codes, context.splits
    null = null_values(metric, held.null, context.labellings, splits) if held.null else np.empty(0)
    tested = np.concatenate([codes[s.test] for s in splits])
    chance = float(metric.chance(tested, np.arange(len(context.classes))))
    found = {
        "metric": metric.name,
        "version": metric.version,
        "chance": chance,
        "n": len(tested),
        "p": np.nan,
        "note": "",
    }
    if not held.scores:  # a row that is a null itself
        low, high = np.quantile(null, [0.025, 0.975]) if len(null) else (np.nan, np.nan)
        return {**found, "value": float(null.mean()) if len(null) else np.nan, "low": low, "high": high}, null
    value = value_of(metric, held.scores, codes, splits)
    rng = np.random.default_rng([context.seed, 2])
    ends, how = interval(metric, held.scores, codes, splits, exchange=exchange, n=n_bootstrap, rng=rng)
    low, high = max(metric.bounds[0], min(ends.low, value)), min(metric.bounds[1], max(ends.high, value))
    if len(null):
        sign = 1.0 if metric.higher_is_better else -1.0
        found["p"] = permutation_p(sign * value, sign * null)
    return {**found, "value": value, "low": low, "high": high, "note": how}, null


def _notes(
    codes: np.ndarray, classes: np.ndarray, splits: Sequence[Split], exchange: Exchange, n_permutations: int
) -> list[str]:
    """Return what a reader of the decoded row must know."""
    notes = []
    tested = np.bincount(np.concatenate([codes[s.test] for s in splits]), minlength=len(classes))
    if tested.min() < _FEW:
        k = int(tested.argmin())
        notes.append(f"few test rows: {tested[k]} of {classes[k]}")
    if n_permutations:
        orders = exchange.arrangements(codes)
        notes.append(exchange.how)
        if orders < np.log(n_permutations):
            notes.append(f"only {exp(orders):.0f} different label orders, so p cannot be below {1 / exp(orders):.2g}")
        elif n_permutations < _FEW_PERMUTATIONS:
            notes.append(f"p cannot be below {1 / (n_permutations + 1):.2g} (n_permutations={n_permutations})")
    else:
        notes.append("no permutations, no p")
    return notes


def _notes_of(metric: Metric, codes: np.ndarray, splits: Sequence[Split]) -> list[str]:
    """Return notes on one metric: folds that it cannot use, the score that independent guesses reach."""
    notes = []
    if metric.needs == "scores" and metric.name == "auc":
        single = [s.name or "?" for s in splits if len(np.unique(codes[s.test])) < 2]
        if single:
            notes.append(
                f"{len(single)} of {len(splits)} folds hold one class and form no pairs ({', '.join(single[:4])})"
            )
    if metric.name == "accuracy":
        tested = np.concatenate([codes[s.test] for s in splits])
        share = float(metric.chance(tested, np.unique(codes)))
        if 0 < share < 1:
            notes.append(
                f"independent guesses reach {binomial_threshold(len(tested), share) / len(tested):.3f} in 5 % of cases"
            )
    return notes


def _predictions(
    windows: Windows, codes: np.ndarray, classes: np.ndarray, splits: Sequence[Split], decoded: FoldScores
) -> tuple[pd.DataFrame, np.ndarray]:
    rows = np.concatenate([s.test for s in splits])
    scores = np.concatenate(decoded.scores)
    given = scores.argmax(axis=1)
    names = np.repeat([s.name or f"fold {i + 1}" for i, s in enumerate(splits)], [len(s.test) for s in splits])
    table = pd.DataFrame(
        {"window_id": windows.ids[rows], "fold": names, "true": classes[codes[rows]], "predicted": classes[given]}
    )
    for k, name in enumerate(classes):
        table[f"score_{name}"] = scores[:, k]
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (codes[rows], given), 1)
    return table, confusion
