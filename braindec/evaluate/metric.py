"""Metric: a score with a name, a version and a chance level; each file of ``evaluate/metrics`` holds one.

Metrics of labels and class scores are ratios of sums, one ratio a class, averaged over classes: accuracy, balanced
accuracy, F1 and AUC all are. Sums add up over folds, so a score over folds is the pooled one for labels, and the
mean over folds weighted by the number of pairs for AUC, whose scores are compared within a fold only. Weights on the
rows turn the same sums into bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError

Counts = Callable[..., tuple[np.ndarray, np.ndarray]]

__all__ = ["Metric"]


@dataclass(frozen=True)
class Metric:
    """A versioned score.

    Parameters
    ----------
    name, version : str
        The version changes when numbers would.
    needs : {"labels", "scores", "values"}
        What is compared with the truth: predicted labels; a score for each class, shape (n, n_classes) (or (n,) for
        the second of two classes); or real numbers, shape (n,) or (n, n_outputs).
    chance : callable
        ``chance(y_true, classes) -> float``: what a decoder without information gets.
    describe : str
        One line for the report.
    counts : callable, optional
        ``counts(codes, prediction, n_classes, weights) -> (above, below)``, both (..., n_parts): the metric is the
        mean over parts of above / below. ``codes`` and ``weights`` (..., n), predicted codes (..., n) or scores
        (..., n, n_classes); leading axes are batches. Of "labels" and "scores".
    values : callable, optional
        ``values(y_true, prediction) -> float`` of "values", both (n, n_outputs).
    higher_is_better : bool
    bounds : (float, float)
        Smallest and largest possible value.
    """

    name: str
    version: str
    needs: str
    chance: Callable[[np.ndarray, np.ndarray], float]
    describe: str = ""
    counts: Counts | None = None
    values: Callable[[np.ndarray, np.ndarray], float] | None = None
    higher_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)

    def function(self, y_true: Any, prediction: Any, *, classes: Sequence[Any] | None = None) -> float:
        """Return the score.

        Parameters
        ----------
        y_true : array of shape (n,) or (n, n_outputs)
            Labels, or numbers for "values".
        prediction : array
            See ``needs``.
        classes : sequence, optional
            Order of the columns of the scores; the sorted labels of ``y_true`` by default.

        Raises
        ------
        BraindecError
            If shapes differ, something is not finite, a label is unknown, or the score is not defined (one class).
        """
        if self.values is not None:
            return float(self.values(*_numbers(self.name, y_true, prediction)))
        y_true = np.asarray(y_true)
        _no_missing(self.name, y_true)
        names = np.unique(y_true) if classes is None else np.asarray(classes)
        codes = codes_of(y_true, names, what=f"{self.name}: y_true")
        if self.needs == "labels":
            predicted = np.asarray(prediction)
            if predicted.shape != y_true.shape:
                raise BraindecError(
                    f"{self.name} compares two lists of labels", found=f"{y_true.shape} and {predicted.shape}"
                )
            if classes is None:
                names = np.unique(np.concatenate([y_true, predicted]))
                codes = codes_of(y_true, names, what=f"{self.name}: y_true")
            given = codes_of(predicted, names, what=f"{self.name}: prediction")
        else:
            given = _class_scores(self.name, prediction, len(y_true), len(names))
        return float(self.combine(*self.sums(codes, given, len(names))))

    __call__ = function

    def sums(
        self, codes: np.ndarray, prediction: np.ndarray, n_classes: int, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums above and below the line; see ``counts``."""
        if self.counts is None:
            raise BraindecError(
                f"{self.name} compares numbers, not classes", allowed="metrics of labels or of class scores"
            )
        return self.counts(codes, prediction, n_classes, weights)

    def combine(self, above: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Return the mean over parts (last axis) of above / below; parts without rows are left out.

        Raises
        ------
        BraindecError
            If no part is defined.
        """
        defined = below > 0
        if not defined.any(axis=-1).all():
            raise BraindecError(
                f"{self.name} is not defined here", found="one class only" if self.needs == "scores" else "no rows",
                fix="test on parts that hold every class, or use balanced_accuracy, which needs no pairs",
            )  # fmt: skip
        ratio = np.where(defined, above, 0.0) / np.where(defined, below, 1.0)
        return ratio.sum(axis=-1) / defined.sum(axis=-1)


def codes_of(labels: np.ndarray, classes: np.ndarray, *, what: str = "labels") -> np.ndarray:
    """Return the place of each label among ``classes``.

    Raises
    ------
    BraindecError
        If a label is not among them.
    """
    place = {c: i for i, c in enumerate(np.asarray(classes).tolist())}
    values = np.asarray(labels).tolist()
    unknown = sorted({str(v) for v in values if v not in place})
    if unknown:
        raise BraindecError(
            f"{what} holds labels that are no class", found=", ".join(unknown[:8]), allowed=", ".join(map(str, place))
        )
    return np.array([place[v] for v in values], dtype=np.int64)


def weighted(member: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Sum a mask (..., n) over its last axis, with weights if there are any."""
    return member.sum(axis=-1).astype(float) if weights is None else np.sum(member * weights, axis=-1, dtype=float)


def per_class(codes: np.ndarray, n_classes: int) -> list[np.ndarray]:
    """Return the mask of each class."""
    return [codes == k for k in range(n_classes)]


def _no_missing(name: str, y: np.ndarray) -> None:
    if y.ndim != 1 or not len(y):
        raise BraindecError(f"{name} needs one label a row", found=f"shape {y.shape}")
    missing = [v is None or v != v for v in y.tolist()]
    if any(missing):
        raise BraindecError(f"{name}: {sum(missing)} of {len(y)} labels are missing (NaN or None)")


def _class_scores(name: str, prediction: Any, n: int, n_classes: int) -> np.ndarray:
    scores = np.asarray(prediction, dtype=float)
    if scores.ndim == 1 and n_classes == 2:
        scores = np.stack([-scores / 2, scores / 2], axis=1)
    if scores.shape != (n, n_classes):
        raise BraindecError(
            f"{name} needs a score for each row and class", found=f"shape {scores.shape}", allowed=f"({n}, {n_classes})",
            fix="name all classes with classes=..., in the order of the columns",
        )  # fmt: skip
    if not np.isfinite(scores).all():
        raise BraindecError(
            f"{name}: {int((~np.isfinite(scores)).any(axis=1).sum())} of {n} rows have scores that are not finite"
        )
    return scores


def _numbers(name: str, y_true: Any, prediction: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(v, dtype=float) for v in (y_true, prediction))
    if a.shape != b.shape or a.ndim not in (1, 2) or len(a) < 2:
        raise BraindecError(
            f"{name} compares two arrays (n, outputs) of at least 2 rows", found=f"{a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BraindecError(f"{name} needs finite numbers", found="NaN or infinite values")
    return a.reshape(len(a), -1), b.reshape(len(b), -1)
