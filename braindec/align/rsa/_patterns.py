"""Patterns of conditions, checked: rows averaged within conditions (and runs), whitened, read in blocks of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from tqdm import tqdm

from braindec.align.rsa.measure import Measure
from braindec.errors import BraindecError
from braindec.types import Features

_BLOCK = 4_000_000  # numbers of float64 that are worked on at once: 32 MB

__all__ = ["Grouping", "Patterns", "gather", "group_rows", "refuse_flat", "whitener"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which rows make which pattern.

    Parameters
    ----------
    names : array of shape (n,)
        Conditions in order of first appearance.
    weights : sparse array of shape (n_runs * n, n_rows) or None
        Averages rows into patterns, run by run; None when each row is a pattern.
    present : array of bool, shape (n_runs, n)
        Which conditions a run holds.
    """

    names: np.ndarray
    weights: csr_array | None
    present: np.ndarray

    def average(self, rows: np.ndarray) -> np.ndarray:
        """Patterns (n_runs, n, units) of rows (n_rows, units); zeros where a run lacks a condition."""
        averaged = rows if self.weights is None else self.weights @ rows
        return averaged.reshape(*self.present.shape, -1)

    def complete_enough(self, measure: Measure) -> None:
        """Raise unless ``measure`` can work with the conditions that the runs hold."""
        present = self.present
        if measure.incomplete is None:
            run, condition = np.argwhere(~present)[0]
            raise BraindecError(
                f"{measure.name} needs every condition in every run",
                found=f"{int((~present).sum())} of {present.size} are missing, e.g. {self.names[condition]!r} in run {run + 1}",
                fix="leave these conditions or runs out, or use crossnobis, which takes runs that lack conditions",
            )
        together = present.T.astype(int) @ present
        if together.min() < 2:
            a, b = np.argwhere(together < 2)[0]
            raise BraindecError(
                f"{measure.name} needs two runs that hold both conditions of every pair",
                found=f"{self.names[a]!r} and {self.names[b]!r} share {together[a, b]}",
                fix="leave one of the two conditions out",
            )


@dataclass(frozen=True, eq=False)
class Patterns:
    """Rows of patterns on disk or in memory with what is done to them: averaging, centring, whitening."""

    source: Any
    n_rows: int
    n_units: int
    grouping: Grouping
    whitening: np.ndarray | None

    @property
    def names(self) -> np.ndarray:
        """Names of the conditions."""
        return self.grouping.names

    @property
    def n_runs(self) -> int:
        """Number of runs, 1 for measures without."""
        return len(self.grouping.present)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Averaged and whitened patterns of some units, shape (n_runs, n, stop - start), float64."""
        rows = np.asarray(_columns(self.source, start, stop), dtype=np.float64)
        if not np.isfinite(rows).all():
            row, unit = np.argwhere(~np.isfinite(rows))[0]
            raise BraindecError(
                "patterns hold values that are not finite", found=f"row {row}, unit {unit + start}: {rows[row, unit]}",
                fix="leave these units or rows out before computing dissimilarities",
            )  # fmt: skip
        patterns = self.grouping.average(rows)
        if self.whitening is None:
            return patterns
        if self.whitening.ndim == 1:
            return patterns * self.whitening[start:stop]
        return patterns @ self.whitening

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield patterns in blocks of units; all of them at once when a full noise matrix mixes units."""
        whole = self.whitening is not None and self.whitening.ndim == 2
        step = self.n_units if whole else max(64, _BLOCK // max(self.n_rows, len(self.names)))
        starts = range(0, self.n_units, step)
        for start in tqdm(starts, desc="units", leave=False, disable=None if len(starts) > 20 else True):
            yield self.read(start, min(start + step, self.n_units))

    def dissimilarities(self, measure: Measure) -> np.ndarray:
        """Return the full matrix of dissimilarities, shape (n, n)."""
        n, mean = len(self.names), 0.0
        if measure.centred:
            mean = sum(block.sum(axis=2) for block in self.blocks())[..., None] / self.n_units
        if not self.grouping.present.all():
            return self._incomplete(measure)
        kernel, largest = np.zeros((n, n)), np.zeros(n)
        for block in self.blocks():
            if measure.counts:
                _refuse_negative(block, self.names)
            if measure.centred:
                largest = np.maximum(largest, np.abs(block).max(axis=(0, 2)))
                block = block - mean
            kernel += measure.kernel(block if measure.runs else block[0])
        if measure.centred:
            refuse_flat(kernel, largest, self.n_units, self.names)
        return measure.distances(kernel, self.n_units)

    def _incomplete(self, measure: Measure) -> np.ndarray:
        self.grouping.complete_enough(measure)
        present = self.grouping.present
        assert measure.incomplete is not None
        total = sum(measure.incomplete(block, present) for block in self.blocks())
        return total / self.n_units


def gather(
    values: Any, *, measure: Measure, conditions: Sequence[Any] | None, runs: Sequence[Any] | None, noise: Any
) -> Patterns:
    """Check patterns and what is asked of them; nothing is read yet."""
    source = values.values if isinstance(values, Features) else np.asarray(values)
    if len(source.shape) != 2 or not source.shape[0] or not source.shape[1]:
        raise BraindecError("patterns are an array of (item, unit)", found=f"shape {tuple(source.shape)}")
    if isinstance(source, np.ndarray) and source.dtype.kind not in "fiub":
        raise BraindecError("patterns are real numbers", found=f"values of {source.dtype}")
    n_rows, n_units = source.shape
    if conditions is None:
        conditions = values.ids if isinstance(values, Features) else np.arange(n_rows)
    grouping = group_rows(conditions, runs if measure.runs else None, n_rows=n_rows, measure=measure)
    if noise is not None and not measure.noise:
        raise BraindecError(
            f"{measure.name} takes no noise precision", allowed="mahalanobis and crossnobis do",
            fix="leave noise away, or use one of these",
        )  # fmt: skip
    return Patterns(source, n_rows, n_units, grouping, whitener(noise, n_units))


def group_rows(conditions: Sequence[Any], runs: Sequence[Any] | None, *, n_rows: int, measure: Measure) -> Grouping:
    """Return which rows make which pattern of which run.

    Raises
    ------
    BraindecError
        If numbers do not fit, there are fewer than two conditions, or runs are needed and there are not two.
    """
    for what, given in (("condition", conditions), ("run", runs)):
        if given is not None and pd.isna(np.asarray(given, dtype=object)).any():
            raise BraindecError(f"some rows have no {what}", found=f"{int(pd.isna(np.asarray(given, dtype=object)).sum())} of {n_rows} rows",
                                fix="leave these rows out")  # fmt: skip
    labels = np.array([str(c) for c in conditions], dtype=object)
    if len(labels) != n_rows:
        raise BraindecError("each row needs one condition", found=f"{n_rows} rows, {len(labels)} conditions")
    code, names = pd.factorize(labels)
    n = len(names)
    if n < 2:
        raise BraindecError("dissimilarities need at least 2 conditions", found=f"{n}: {', '.join(map(str, names))}")
    run = np.zeros(n_rows, dtype=int)
    if measure.runs:
        if runs is None or len(runs) != n_rows:
            raise BraindecError(
                f"{measure.name} is cross-validated: it needs the run of each row",
                found="none" if runs is None else f"{len(runs)} runs for {n_rows} rows",
                fix="give runs=..., one label a row; noise must be independent between runs",
            )
        run, run_names = pd.factorize(np.array([str(r) for r in runs], dtype=object))
        if len(run_names) < 2:
            raise BraindecError(f"{measure.name} needs at least 2 runs", found=f"1: {run_names[0]}")
    n_runs = int(run.max()) + 1
    place = run * n + code
    counts = np.bincount(place, minlength=n_runs * n)
    if len(place) == len(counts) and np.array_equal(place, np.arange(len(place))):
        return Grouping(names, None, np.ones((n_runs, n), dtype=bool))
    weights = csr_array((1.0 / counts[place], (place, np.arange(n_rows))), shape=(n_runs * n, n_rows))
    return Grouping(names, weights, (counts > 0).reshape(n_runs, n))


def whitener(noise: Any, n_units: int) -> np.ndarray | None:
    """Return what patterns are multiplied with so that distances are under ``noise``: (units, units), (units,) or None.

    Parameters
    ----------
    noise : Noise, array of shape (n_units, n_units) or (n_units,), or None
        Precision of the noise.

    Raises
    ------
    BraindecError
        If its shape does not fit, or it is not symmetric and positive definite.
    """
    if noise is None:
        return None
    try:
        precision = np.asarray(getattr(noise, "precision", noise), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BraindecError("a noise precision is numbers", found=repr(noise)[:60]) from error
    if precision.shape not in ((n_units,), (n_units, n_units)):
        raise BraindecError(
            "the noise precision does not fit the patterns", found=f"shape {precision.shape}",
            allowed=f"({n_units}, {n_units}) or its diagonal ({n_units},)",
        )  # fmt: skip
    if not np.isfinite(precision).all():
        raise BraindecError("the noise precision holds values that are not finite")
    if precision.ndim == 1:
        if (precision <= 0).any():
            raise BraindecError("a noise precision is positive", found=f"smallest {precision.min():g}")
        return np.sqrt(precision)
    if not np.allclose(precision, precision.T, rtol=1e-6, atol=1e-9 * np.abs(precision).max()):
        raise BraindecError("a noise precision is symmetric", found="a matrix that differs from its transpose")
    try:
        return np.linalg.cholesky((precision + precision.T) / 2)
    except np.linalg.LinAlgError:
        raise BraindecError(
            "the noise precision is not positive definite",
            fix="shrink the covariance: braindec.align.rsa.noise with method='shrinkage_diag'",
        ) from None


def refuse_flat(kernel: np.ndarray, largest: np.ndarray, n_units: int, names: np.ndarray) -> None:
    """Raise when a pattern is the same over all units up to rounding: it has no correlation with anything."""
    flat = np.diagonal(kernel) <= n_units * (1e-13 * np.maximum(largest, 1e-300)) ** 2
    if flat.any():
        bad = [str(name) for name in names[flat][:5]]
        raise BraindecError(
            f"{int(flat.sum())} of {len(names)} patterns do not vary over units: correlation is not defined",
            found=f"condition {', '.join(map(repr, bad))}",
            fix="leave these conditions out, or use squared_euclidean",
        )


def _refuse_negative(block: np.ndarray, names: np.ndarray) -> None:
    if (block < 0).any():
        run, condition, _ = np.argwhere(block < 0)[0]
        raise BraindecError(
            "poisson dissimilarities are of counts or rates, which are not negative",
            found=f"condition {str(names[condition])!r}: {block[run, condition].min():g}",
        )


def _columns(source: Any, start: int, stop: int) -> np.ndarray:
    """Some units of all rows, of an array or of a signal (row, unit)."""
    return source[:, start:stop] if isinstance(source, np.ndarray) else source.read(slice(None), start, stop)
