"""Measure: a dissimilarity with a name and a version, as a sum over units and what is made of it; one a file of ``rdms``.

Every measure here is a function of one n x n matrix that adds up over units (a Gram matrix of some kind). So the same
two functions serve one matrix of 20,000 units read in blocks, thousands of searchlight spheres and every time point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Measure", "squared_distances"]


@dataclass(frozen=True)
class Measure:
    """A dissimilarity of patterns.

    Parameters
    ----------
    name, version : str
        The version changes when numbers would.
    describe : str
        One line for the reader.
    unit : str
        What a cell is, e.g. "1 - r".
    kernel : callable
        ``kernel(patterns) -> (..., n, n)``, a sum over units. ``patterns`` is (..., n, units), or
        (run, ..., n, units) with ``runs``; float64.
    distances : callable
        ``distances(kernel, n_units) -> (..., n, n)`` dissimilarities; only cells above the diagonal are used.
    runs : bool
        Cross-validated: patterns of independent runs are needed.
    noise : bool
        May be given a noise precision; patterns are whitened with it before ``kernel``.
    centred : bool
        The mean over units of each pattern is taken away before ``kernel``.
    counts : bool
        Patterns must not be negative.
    incomplete : callable, optional
        ``incomplete(patterns, present) -> (n, n)``: the dissimilarities divided by nothing (as if one unit) when
        conditions are missing in some runs; ``present`` is bool (run, n). Without it such data are refused.
    """

    name: str
    version: str
    describe: str
    unit: str
    kernel: Callable[[np.ndarray], np.ndarray]
    distances: Callable[[np.ndarray, int], np.ndarray]
    runs: bool = False
    noise: bool = False
    centred: bool = False
    counts: bool = False
    incomplete: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def squared_distances(kernel: np.ndarray, n_units: int) -> np.ndarray:
    """Return ``(k_ii + k_jj - k_ij - k_ji) / n_units``: a squared distance per unit, of any kernel (..., n, n)."""
    diagonal = np.diagonal(kernel, axis1=-2, axis2=-1)
    return (diagonal[..., :, None] + diagonal[..., None, :] - kernel - kernel.swapaxes(-1, -2)) / n_units
