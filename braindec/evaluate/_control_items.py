"""The items of a control report: which stimulus each trial is of, its category, its fold, and the training items beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._control_pairs import as_unit
from braindec.types import Pictures

__all__ = ["Items", "training_parts"]

_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Items:
    """Trials and their stimuli.

    Parameters
    ----------
    ids : array of str, shape (n,)
        The stimulus of each trial.
    code : array of int, shape (n,)
        The same as a number.
    first : array of int, shape (n_items,)
        A trial of each stimulus.
    labels : array of str, shape (n,), or None
        Category of each trial's stimulus.
    folds : array of str, shape (n,), or None
        Trials are exchanged within a fold.
    """

    ids: np.ndarray
    code: np.ndarray
    first: np.ndarray
    labels: np.ndarray | None
    folds: np.ndarray | None

    @classmethod
    def of(cls, ids: Sequence[Any], labels: Sequence[Any] | None, folds: Sequence[Any] | None, *, n: int) -> Items:
        """Check and number them.

        Raises
        ------
        BraindecError
            If numbers differ, there is one stimulus only, or a stimulus has two categories.
        """
        names = {"ids": _strings(ids), "labels": _strings(labels), "exchange": _strings(folds)}
        for what, values in names.items():
            if values is not None and values.shape != (n,):
                raise BraindecError(
                    f"{what} must have one entry an item", found=f"shape {values.shape}", allowed=f"({n},)"
                )
        _, first, code = np.unique(names["ids"], return_index=True, return_inverse=True)
        code = code.reshape(-1)
        if len(first) < 2:
            raise BraindecError(
                "a control report needs at least two stimuli", found=f"{n} trials of {len(first)} stimulus"
            )
        own = names["labels"]
        if own is not None and not np.array_equal(own[first][code], own):
            bad = names["ids"][np.flatnonzero(own[first][code] != own)[0]]
            raise BraindecError("a stimulus belongs to one category", found=f"{bad!r} has two labels")
        return cls(names["ids"], code, first, own, names["exchange"])

    @property
    def n(self) -> int:
        """Trials."""
        return len(self.code)

    @property
    def n_items(self) -> int:
        """Stimuli."""
        return len(self.first)

    @property
    def repeated(self) -> bool:
        """True where a stimulus has several trials."""
        return self.n_items < self.n

    @property
    def labels_of_items(self) -> np.ndarray | None:
        """Category of each stimulus, shape (n_items,)."""
        return None if self.labels is None else self.labels[self.first]

    def groups(self, *, within: bool) -> np.ndarray | None:
        """Group of each stimulus inside which it may be exchanged (fold, and category if ``within``), or None for all."""
        parts = []
        if self.folds is not None:
            folds = np.unique(self.folds, return_inverse=True)[1].reshape(-1)
            own = folds[self.first]
            if np.array_equal(own[self.code], folds):  # a stimulus of several folds is exchanged among all
                parts.append(own)
        if within and self.labels is not None:
            parts.append(np.unique(self.labels[self.first], return_inverse=True)[1].reshape(-1))
        if not parts:
            return None
        return np.unique(np.stack(parts), axis=1, return_inverse=True)[1].reshape(-1)

    def mean_training(self, train: Any, true: np.ndarray) -> np.ndarray:
        """Return the mean training picture for every trial, shape (1, n, ...), that of its fold where there are folds."""
        out = np.empty((1, *true.shape), dtype=np.float32)
        for rows, part in training_parts(train, self.folds, shape=true.shape[1:]):
            total = np.zeros(true.shape[1:])
            for start in range(0, len(part), _BLOCK):
                total += load(part, slice(start, start + _BLOCK)).sum(axis=0, dtype=np.float64)
            out[0, rows] = total / len(part)
        return out


def training_parts(train: Any, folds: np.ndarray | None, *, shape: tuple[int, ...]) -> list[tuple[np.ndarray, Any]]:
    """Return (trials, training items) of each fold; one entry for all trials without folds.

    Raises
    ------
    BraindecError
        If a fold has no training items, or their size is not that of the test items.
    """
    if isinstance(train, Mapping):
        if folds is None:
            raise BraindecError("training items by fold need the fold of each trial", fix="exchange=fold of each trial")
        missing = sorted(set(folds) - {str(k) for k in train})
        if missing:
            raise BraindecError(
                f"there are no training items of the fold {missing[0]!r}", found=", ".join(map(str, train))
            )
        parts = [(np.flatnonzero(folds == str(k)), part) for k, part in train.items() if (folds == str(k)).any()]
    else:
        parts = [(slice(None), train)]
    for _, part in parts:
        if tuple(part.shape[1:]) != tuple(shape) or not len(part):
            raise BraindecError(
                "training items and test items differ in size or mode", found=f"{tuple(part.shape)} and {tuple(shape)}"
            )
    return parts  # type: ignore[return-value]


def load(part: Any, rows: Any) -> np.ndarray:
    """Read rows of training items as floats of 0 to 1."""
    return part.load(np.arange(len(part))[rows]) if isinstance(part, Pictures) else as_unit(np.asarray(part[rows]))


def _strings(values: Sequence[Any] | None) -> np.ndarray | None:
    return None if values is None else np.array([str(v) for v in values], dtype=object).astype(str)
