"""Finding: what one check of the audit says; Context: what it is given to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from braindec.evaluate._rows import Rows
from braindec.types import FitRecord, Split, Windows

LEVELS = ("skip", "pass", "warn", "fail")
CONTENT = ("stimulus_id", "concept_id")


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Parameters
    ----------
    check : str
        Name of the check (its file).
    level : str
        "pass", "warn", "fail", or "skip": it had nothing to look at, and says what it would need.
    message : str
        What was found, in numbers.
    evidence : dict
        Plain JSON.
    fix : str
        What to do.
    reference : str
        Who showed that it matters.
    """

    check: str
    level: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    fix: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level {self.level!r} is not one of {LEVELS}")
        object.__setattr__(self, "evidence", {str(k): plain(v) for k, v in self.evidence.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Context:
    """All that the checks may look at.

    Parameters
    ----------
    rows : Rows
        Trials with their recording and time.
    splits : list of Split
        The folds.
    y : array of str, shape (n_rows,), or None
        Class of each row, when classes are decoded.
    records : list of (Split or None, FitRecord)
        What fitted steps saw; None stands for "some fold".
    candidates, candidate_ids : array or None
        Vectors and names of a retrieval.
    claim : tuple of str
        Columns that are new in the test rows: "subject", "stimulus_id", "concept_id", "session".
    min_gap : float or None
        Time in s that must lie between training and test windows of one recording.
    n_permutations : int
    seed : int
    """

    rows: Rows
    splits: Sequence[Split]
    y: np.ndarray | None = None
    records: Sequence[tuple[Split | None, FitRecord]] = ()
    candidates: np.ndarray | None = None
    candidate_ids: np.ndarray | None = None
    claim: tuple[str, ...] = ()
    min_gap: float | None = None
    n_permutations: int = 999
    seed: int = 0

    @property
    def windows(self) -> Windows | None:
        """The windows, when the audit was given them."""
        return self.rows.windows

    @cached_property
    def code(self) -> np.ndarray | None:
        """Class of each row as a number, or None."""
        return None if self.y is None else np.unique(self.y, return_inverse=True)[1]

    def rng(self, name: str) -> np.random.Generator:
        """A generator of one check's own, so that checks do not depend on one another."""
        return np.random.default_rng([self.seed, *name.encode()])

    def claims(self, column: str) -> bool:
        """True when the test rows are said, or split, to be new in ``column``."""
        return column in self.claim or any(s.by == column for s in self.splits)

    def new_in_test(self, column: str) -> bool:
        """True when no fold has a value of ``column`` in both training and test."""
        values = self.rows.column(column)
        if values is None:
            return False
        code = pd.factorize(values)[0]
        return not any(np.isin(code[s.test], code[s.train]).any() for s in self.splits)


def plain(value: Any) -> Any:
    """Turn numpy values into plain JSON ones."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


def some(values: Sequence[Any] | np.ndarray, n: int = 4) -> str:
    """A few of the values as text, with how many there are beyond."""
    values = [str(v) for v in values]
    return ", ".join(values[:n]) + (f" and {len(values) - n} more" if len(values) > n else "")
