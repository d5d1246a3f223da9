"""Split: which rows train, validate and test; and the record of the rows that a fitted step saw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError


def hash_ids(ids: Iterable[object]) -> str:
    """Return a hash (16 hex digits) of a set of row names; order and repetition do not matter."""
    digest = hashlib.sha256()
    for name in sorted({str(i) for i in ids}):
        digest.update(name.encode() + b"\n")
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Split:
    """Rows for training, validation and test of one set of windows.

    Parameters
    ----------
    train, validation, test : array of int
        Row numbers into the windows (or items) that were split. The split owns the test rows: nothing is fitted
        on them.
    by : str
        The key that the rows were split by ("run", "stimulus_id", "time", ...).
    ids : array of str, shape (n_rows,)
        Stable names of all rows (``windows.ids``).
    name : str
        Which fold ("run-03", "fold 2 of 5").
    gap : float
        Rows closer in time than this (s) to a test row were left out of training.

    Raises
    ------
    BraindecError
        If parts overlap or a part is empty.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    by: str
    ids: np.ndarray
    name: str = ""
    gap: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", np.asarray(self.ids, dtype=object))
        for part in ("train", "validation", "test"):
            rows = np.unique(np.asarray(getattr(self, part), dtype=np.int64))
            if len(rows) and (rows[0] < 0 or rows[-1] >= len(self.ids)):
                raise BraindecError(
                    f"{part} rows of the split are outside the windows", found=f"{rows[0]} to {rows[-1]}"
                )
            object.__setattr__(self, part, rows)
        if not len(self.train) or not len(self.test):
            raise BraindecError(
                f"the split by {self.by!r} leaves a part empty",
                found=f"{len(self.train)} training and {len(self.test)} test rows",
            )
        for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")):
            both = np.intersect1d(getattr(self, a), getattr(self, b))
            if len(both):
                raise BraindecError(f"{a} and {b} share {len(both)} rows", found=f"first: {self.ids[both[0]]}")

    @property
    def hash(self) -> str:
        """A hash of the rows of every part."""
        parts = [hash_ids(self.ids[getattr(self, p)]) for p in ("train", "validation", "test")]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        n = f"{len(self.train)} train, {len(self.validation)} validation, {len(self.test)} test"
        return f"<Split by {self.by}{' ' + self.name if self.name else ''}: {n}>"


@dataclass(frozen=True, eq=False)
class FitRecord:
    """What a stateful step saw when it was fitted; every fitted step keeps one as ``fitted_on_``.

    Parameters
    ----------
    step : str
        Name of the step, e.g. "RobustScaler".
    ids : array of str
        Names of the rows it saw (``windows.ids[rows]``).
    purpose : str
        "fit", or "selection" for rows that chose something (early stopping, hyper-parameters, channels).
    """

    step: str
    ids: np.ndarray
    purpose: str = "fit"

    @property
    def hash(self) -> str:
        """A hash of the rows."""
        return hash_ids(self.ids)

    @staticmethod
    def of(step: object, ids: Sequence[object] | np.ndarray | None, *, purpose: str = "fit") -> FitRecord:
        """Make the record of ``step`` (an object or a name); no ids gives an empty record, which the audit flags."""
        name = step if isinstance(step, str) else type(step).__name__
        return FitRecord(name, np.asarray([] if ids is None else [str(i) for i in ids], dtype=object), purpose)

    def __repr__(self) -> str:
        return f"<FitRecord {self.step}: {self.purpose} on {len(self.ids)} rows, {self.hash}>"
