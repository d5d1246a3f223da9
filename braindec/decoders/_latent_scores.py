"""Parts of the recipe of latents: fits in contiguous folds, what is read from them, consistency, controls, rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.evaluate.audit import Audit, audit
from braindec.ridge.folds import contiguous_folds
from braindec.spikes.consistency import consistency
from braindec.spikes.read_out import ReadOut, Score, angular_error, read_out, scored
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p
from braindec.types import Split

__all__ = [
    "LatentData",
    "LatentFits",
    "audited",
    "consistency_row",
    "fit_latents",
    "goodness_rows",
    "read_rows",
    "turned",
]

READ = {"linear": "linear read-out", "neighbours": "nearest neighbours"}


@dataclass(frozen=True, eq=False)
class LatentData:
    """Sessions that are embedded.

    Parameters
    ----------
    signals : list of array (unit, time)
    labels : list of array (time, n_columns) of float, or (time,) of classes; empty without labels
        Angles as cosine and sine.
    shown : list of array (time,)
        What points are coloured by: an angle, the first column, or codes.
    sfreq : float
        Samples a second.
    names : list of str
        Of the sessions.
    label : str
        What the labels are called.
    circular : bool
    classes : list of str or None
    """

    signals: list[np.ndarray]
    labels: list[np.ndarray]
    shown: list[np.ndarray]
    sfreq: float
    names: list[str]
    label: str = "label"
    circular: bool = False
    classes: list[str] | None = None

    def replaced(
        self, *, signals: list[np.ndarray] | None = None, labels: list[np.ndarray] | None = None
    ) -> LatentData:
        """Return the same with other signals or labels."""
        return LatentData(self.signals if signals is None else signals, self.labels if labels is None else labels, self.shown,
                          self.sfreq, self.names, self.label, self.circular, self.classes)  # fmt: skip


@dataclass(eq=False)
class LatentFits:
    """Embeddings of one model: one a fold and session, of all its samples, fitted to the fold's training rows.

    Parameters
    ----------
    latents : list of list of array (time, dim)
        [fold][session].
    folds : list of list of (train_rows, test_rows)
        [session][fold].
    models : list of estimator
        One a fold.
    """

    latents: list[list[np.ndarray]]
    folds: list[list[tuple[np.ndarray, np.ndarray]]]
    models: list[Any] = field(default_factory=list)

    def of(self, session: int) -> list[np.ndarray]:
        """The latents of one session, one a fold."""
        return [fold[session] for fold in self.latents]

    def held(self, session: int, fold: int) -> np.ndarray:
        """The latents of one held-out block."""
        return self.latents[fold][session][self.folds[session][fold][1]]


def folds_of(data: LatentData, n_folds: int, gap: int) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return contiguous folds of each session."""
    return [contiguous_folds(s.shape[1], n_folds, buffer=gap) for s in data.signals]


def fit_latents(model: Any, data: LatentData, *, n_folds: int, gap: int, name: str = "latents") -> LatentFits:
    """Fit a clone of ``model`` to the training rows of all sessions in each fold."""
    folds = folds_of(data, n_folds, gap)
    out = LatentFits([], folds)
    labels = data.labels or None
    for k in tqdm(range(n_folds), desc=name, disable=None, leave=False):
        fitted = clone(model).fit(data.signals, labels, rows=[f[k][0] for f in folds])
        out.latents.append(fitted.transform(data.signals))
        out.models.append(fitted)
    return out


def audited(data: LatentData, *, n_folds: int, gap: int, reach: int, fits: Sequence[LatentFits] = ()) -> Audit:
    """Audit the folds: every sample is a row; windows reach over ``reach`` samples; what was fitted saw training rows."""
    lengths = [s.shape[1] for s in data.signals]
    first = np.cumsum([0, *lengths])
    ids = np.concatenate([[f"{s}:{i}" for i in range(n)] for s, n in enumerate(lengths)]).astype(object)
    onset = np.concatenate([np.arange(n) / data.sfreq for n in lengths])
    trials = pd.DataFrame(
        {"window_id": ids, "onset": onset, "duration": 1 / data.sfreq, "run": np.repeat(data.names, lengths)}
    )
    folds = folds_of(data, n_folds, gap)
    splits = []
    for k in range(n_folds):
        train, test = (np.concatenate([first[s] + f[k][part] for s, f in enumerate(folds)]) for part in (0, 1))
        splits.append(
            Split(
                train,
                np.zeros(0, dtype=int),
                test,
                by="time",
                ids=ids,
                name=f"block {k + 1} of {n_folds}",
                gap=gap / data.sfreq,
            )
        )
    records = [(splits[k], model.fit_records_) for found in fits for k, model in enumerate(found.models)]
    return audit(trials, splits, records=records, min_gap=reach / data.sfreq,
                 checks=["time_adjacency", "small_n", "test_selection", *["fit_scope"] * bool(records)])  # fmt: skip


def turned(labels: Sequence[np.ndarray], gap: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return labels turned around in time, by more than ``gap`` and a quarter of the session."""
    out = []
    for values in labels:
        least = min(max(gap + 1, len(values) // 4), len(values) // 2)
        out.append(np.roll(values, int(rng.integers(least, len(values) - least + 1)), axis=0))
    return out


def read_rows(
    fits: LatentFits, data: LatentData, *, model: str, row: str, how: Sequence[str], gap: int, n_shifts: int, n_bootstrap: int,
    metrics: Sequence[str], seed: int, note: str = "",
) -> tuple[list[dict[str, Any]], dict[str, list[ReadOut]], dict[str, Score]]:  # fmt: skip
    """Return rows of scores of one model, its predictions and its first score, by read-out."""
    rows: list[dict[str, Any]] = []
    predictions: dict[str, list[ReadOut]] = {}
    first: dict[str, Score] = {}
    for way in how:
        found = [
            read_out(fits.of(s), data.labels[s], folds=fits.folds[s], how=way, gap=gap)
            for s in range(len(data.signals))
        ]
        predictions[way] = found
        for metric in metrics:
            score = scored(found, metric=metric, gap=gap, block=max(2, 5 * gap), n_shifts=n_shifts, n_bootstrap=n_bootstrap,
                           rng=np.random.default_rng([seed, 21]))  # fmt: skip
            first.setdefault(way, score)
            said = [note] if note else []
            if data.circular and metric == metrics[0]:
                error = np.median([angular_error(f.true, f.predicted) for f in found])
                said.append(f"median error {error:.0f} degrees")
            said.append(
                f"contiguous held-out time, labels turned around {n_shifts} times" if n_shifts else "no shifts, no p"
            )
            rows.append({"metric": metric, "version": "1", "model": model, "read_out": READ[way], "row": row, "value": score.value,
                         "chance": score.chance, "low": score.low, "high": score.high, "p": score.p, "n": score.n,
                         "note": "; ".join(said)})  # fmt: skip
    return rows, predictions, first


def goodness_rows(fits: LatentFits, data: LatentData, *, model: str, n_shifts: int) -> list[dict[str, Any]]:
    """Return how many bits a contrastive embedding says about its positives in held-out time, mean over folds and sessions."""
    values, nulls, most = [], [], np.inf
    for k, fitted in enumerate(fits.models):
        for s in range(len(data.signals)):
            labels = data.labels[s] if data.labels else None
            found = fitted.goodness(data.signals[s], labels, rows=fits.folds[s][k][1], n_shifts=n_shifts, session=s)
            values.append(found.bits)
            nulls.append(found.null)
            most = min(most, found.most)
    null = np.mean(nulls, axis=0)
    low, high = bootstrap_interval(np.array(values), rng=0) if len(values) > 1 else (np.nan, np.nan)
    value = float(np.mean(values))
    return [{"metric": "goodness", "version": "1", "model": model, "row": "decoded", "value": value, "chance": 0.0, "low": low,
             "high": high, "p": permutation_p(value, null), "n": len(values),
             "note": f"InfoNCE in bits on held-out time, at most {most:.1f}; mean of the null {null.mean():.2f}"}]  # fmt: skip


def consistency_row(
    fits: LatentFits, data: LatentData, *, model: str, row: str, bins: int, gap: int, n_shifts: int, seed: int
) -> dict[str, Any] | None:
    """Return how consistent sessions are, on held-out time only: all pairs of sessions, mean over outer folds."""
    values, nulls, n = [], [], 0
    n_sessions, n_folds = len(data.signals), len(fits.latents)
    for a in range(n_sessions):
        for b in range(a + 1, n_sessions):
            for k in range(n_folds):
                rows = [fits.folds[s][k][1] for s in (a, b)]
                labels = tuple(
                    data.shown[s][r] if data.circular else data.labels[s][r] for s, r in zip((a, b), rows, strict=True)
                )
                try:
                    found = consistency(fits.held(a, k), fits.held(b, k), labels=labels, bins=bins, circular=data.circular, n_folds=3,
                                        gap=gap, n_shifts=n_shifts, rng=np.random.default_rng([seed, 31, k]))  # fmt: skip
                except BraindecError:  # a block in which too few labels occur
                    continue
                values.append(found.r2)
                nulls.append(found.null)
                n += found.n
    if not values:
        return None
    null, value = np.mean(nulls, axis=0), float(np.mean(values))
    low, high = bootstrap_interval(np.array(values), rng=0) if len(values) > 1 else (np.nan, np.nan)
    return {"metric": "consistency", "version": "1", "model": model, "row": row, "value": value, "chance": 0.0, "low": low,
            "high": min(high, 1.0), "p": permutation_p(value, null) if len(null) else np.nan, "n": n,
            "note": "R² of linear maps between sessions over bins of the label, fitted and scored on different time, both held out; "
            f"labels turned around: {null.mean():.2f} on average"}  # fmt: skip
