"""Dissimilarities of many small sets of patterns at once: spheres of a searchlight, time points of a recording."""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.measure import Measure
from braindec.align.rsa.rdm import square_to_cells

__all__ = ["batched_cells"]


def batched_cells(patterns: np.ndarray, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of each set of patterns, and which patterns do not vary.

    Parameters
    ----------
    patterns : array of shape (batch, n, units), or (run, batch, n, units) for cross-validated measures
        float64; overwritten by centred measures.
    measure : Measure

    Returns
    -------
    cells : array of shape (batch, n_pairs)
        NaN for sets that hold a flat pattern.
    flat : array of bool, shape (batch, n)
        Patterns without variance over units, for centred measures; else all False.
    """
    batch, n, n_units = patterns.shape[-3:]
    flat = np.zeros((batch, n), dtype=bool)
    if measure.centred:
        mean = patterns.mean(axis=-1, keepdims=True)
        patterns -= mean
        norm = np.einsum("...u,...u->...", patterns, patterns)
        flat = norm <= n_units * (1e-13 * np.maximum(np.abs(mean[..., 0]), 1e-300)) ** 2
        flat = flat.any(axis=0) if flat.ndim == 3 else flat
    with np.errstate(divide="ignore", invalid="ignore"):
        cells = square_to_cells(measure.distances(measure.kernel(patterns), n_units))
    cells[flat.any(axis=1)] = np.nan
    return cells, flat
