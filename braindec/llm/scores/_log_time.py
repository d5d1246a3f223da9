"""Scales of numbers (linear, or logarithmic about a reference) fitted on half of the items and tried on the other half."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from braindec.errors import BraindecError

__all__ = ["Fits", "fit_distances", "fit_units", "log_scale", "numbered", "references_of"]

_FEWEST = 12


class Fits(NamedTuple):
    """Held-out fits; shapes (n,) for units, numbers for a layer.

    ``linear`` and ``log``: correlation (layer) or explained variance (units) in the half that was not fitted, mean of both ways;
    ``reference``: mean of what both halves chose.
    """

    linear: np.ndarray
    log: np.ndarray
    reference: np.ndarray


def log_scale(values: np.ndarray, reference: float | np.ndarray) -> np.ndarray:
    """``sign(v - r) log(1 + |v - r|)``: even steps near the reference, smaller and smaller ones away from it."""
    gap = np.asarray(values, dtype=np.float64) - reference
    return np.sign(gap) * np.log1p(np.abs(gap))


def references_of(values: np.ndarray, n: int = 41) -> np.ndarray:
    """Candidates of the reference: evenly over the span of the values, and 0 where all of them are above it."""
    grid = np.linspace(values.min(), values.max(), n)
    return np.append(grid, 0.0) if values.min() > 0 else grid


def numbered(stimuli: object) -> pd.DataFrame:
    """Check texts with a number each (columns text and value).

    Raises
    ------
    BraindecError
        If columns are missing, numbers are not finite or repeat, or there are too few.
    """
    if not isinstance(stimuli, pd.DataFrame) or not {"text", "value"} <= set(stimuli):
        raise BraindecError("years or numbers are a table with the columns text and value",
                            found=", ".join(map(str, getattr(stimuli, "columns", []))) or type(stimuli).__name__)  # fmt: skip
    values = pd.to_numeric(stimuli["value"], errors="coerce")
    if not np.isfinite(values).all() or values.duplicated().any() or len(values) < _FEWEST:
        raise BraindecError("the probe of numbers needs different, finite values", found=f"{len(values)}, of which "
                            f"{int(values.duplicated().sum())} repeat", allowed=f"{_FEWEST} or more")  # fmt: skip
    text = stimuli["text"]
    if text.duplicated().any() or not text.map(lambda t: isinstance(t, str) and bool(t.strip())).all():
        raise BraindecError("every number has a text of its own", found=f"{int(text.duplicated().sum())} texts that repeat, of {len(text)}",
                            fix="one row a number, with a text that says it")  # fmt: skip
    return stimuli.assign(value=values.astype(float)).sort_values("value", kind="stable").reset_index(drop=True)


def fit_distances(distances: np.ndarray, values: np.ndarray, references: np.ndarray) -> Fits:
    """Correlate distances of items with differences of their numbers on both scales.

    Parameters
    ----------
    distances : array of shape (n, n)
    values : array of shape (n,)
        In rising order: every second item is a half.
    references : array of shape (n_references,)
    """
    linear, log, chosen = [], [], []
    halves = [np.arange(h, len(values), 2) for h in (0, 1)]
    pairs = [np.triu_indices(len(h), 1) for h in halves]
    observed = [distances[np.ix_(h, h)][p] for h, p in zip(halves, pairs, strict=True)]
    scales = [log_scale(values[h][:, None], references) for h in halves]  # (item, reference)
    by_log = [np.abs(s[p[0]] - s[p[1]]) for s, p in zip(scales, pairs, strict=True)]
    fits = [_correlations(b, o) for b, o in zip(by_log, observed, strict=True)]
    for fitted, tried in ((0, 1), (1, 0)):
        best = int(np.argmax(fits[fitted]))
        a, b = pairs[tried]
        own = values[halves[tried]]
        linear.append(_correlations(np.abs(own[a] - own[b])[:, None], observed[tried])[0])
        log.append(fits[tried][best])
        chosen.append(references[best])
    return Fits(np.mean(linear), np.mean(log), np.mean(chosen))


def fit_units(activations: np.ndarray, values: np.ndarray, references: np.ndarray) -> Fits:
    """Explain each unit by the number on both scales: line and reference from one half, explained variance in the other.

    Parameters
    ----------
    activations : array of shape (n, n_units)
    values : array of shape (n,)
        In rising order.
    references : array of shape (n_references,)

    Returns
    -------
    Fits
        Explained variance against the mean of the fitted half; below 0 where the line is worse than that mean, never
        clipped; NaN where a unit never changes.
    """
    activations = np.asarray(activations, dtype=np.float64)
    n_units = activations.shape[1]
    scores = np.zeros((2, 2, n_units))
    chosen = np.zeros((2, n_units))
    for fitted in (0, 1):
        train, test = np.arange(fitted, len(values), 2), np.arange(1 - fitted, len(values), 2)
        mean = activations[train].mean(axis=0)
        x, y = activations[train] - mean, activations[test] - mean
        total = (y**2).sum(axis=0)
        scales = np.column_stack([values, log_scale(values[:, None], references)])  # linear first
        centre = scales[train].mean(axis=0)
        a, b = scales[train] - centre, scales[test] - centre
        power = (a**2).sum(axis=0)
        slope = (a.T @ x) / power[:, None]  # (scale, unit)
        explained = slope**2 * power[:, None]
        best = 1 + explained[1:].argmax(axis=0)
        for k, which in enumerate((np.zeros(n_units, int), best)):
            residual = y - b[:, which] * slope[which, np.arange(n_units)]
            scores[k, fitted] = 1 - np.divide(
                (residual**2).sum(axis=0), total, out=np.full(n_units, np.nan), where=total > 0
            )
        chosen[fitted] = references[best - 1]
    return Fits(scores[0].mean(axis=0), scores[1].mean(axis=0), chosen.mean(axis=0))


def _correlations(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pearson correlation of each column with ``values``; 0 where either is constant."""
    x, y = columns - columns.mean(axis=0), values - values.mean()
    size = np.sqrt((x**2).sum(axis=0) * (y @ y))
    return np.divide(x.T @ y, size, out=np.zeros(columns.shape[1]), where=size > 0)
