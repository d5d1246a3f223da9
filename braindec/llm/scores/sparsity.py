"""Sparsity of units over tokens (lifetime) and of layers over units (population).

Reads "texts". ``sparsity`` is the lifetime sparseness after Treves & Rolls, scaled so that 0 is equal activity at all
tokens and 1 is activity at one token; ``sparsity_hoyer`` is Hoyer's measure on the same scale; ``sparsity_population`` the
mean sparseness over the units of the layer and site at one token (the same for all its units). All use absolute values; a
unit that is always 0 has NaN.
Source: Treves & Rolls 1991 (Network 2:371); Vinje & Gallant 2000 (Science 287:1273) for the scale; Hoyer 2004 (JMLR 5:1457).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._tokens import TokenSample, per_unit

__all__ = ["sparsity", "hoyer", "treves_rolls"]

_CHUNK = 4096  # tokens at a time in float64


def treves_rolls(first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """Return ``(1 - mean^2 / mean square) / (1 - 1 / n)`` from sums of absolute values and of squares of n values."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (1 - np.square(first) / (n * second)) / (1 - 1 / n)


def hoyer(first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """Return ``(sqrt(n) - l1 / l2) / (sqrt(n) - 1)`` from sums of absolute values and of squares of n values."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.sqrt(n) - first / np.sqrt(second)) / (np.sqrt(n) - 1)


def _sums(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return sums of absolute values and squares over tokens (unit,), and the mean sparseness of tokens."""
    first, second, population, seen = np.zeros(values.shape[1]), np.zeros(values.shape[1]), 0.0, 0
    for start in range(0, len(values), _CHUNK):
        size = np.abs(values[start : start + _CHUNK].astype(float))
        first += size.sum(axis=0)
        second += np.square(size).sum(axis=0)
        each = treves_rolls(size.sum(axis=1), np.square(size).sum(axis=1), size.shape[1])
        population += np.nansum(each)
        seen += int(np.isfinite(each).sum())
    return first, second, population / seen if seen else np.nan


def _table(probe: Probe) -> pd.DataFrame:
    def measure(sample: TokenSample, layer: int, site: str, values: np.ndarray) -> Mapping[str, object]:
        first, second, population = _sums(values)
        n = len(values)
        return {"sparsity": treves_rolls(first, second, n), "sparsity_hoyer": hoyer(first, second, n),
                "sparsity_population": population}  # fmt: skip

    return per_unit(probe, measure)


sparsity = UnitScore(
    name="sparsity", version="1", level="unit", needs=("texts",), function=_table,
    describe="lifetime sparseness over tokens", source="Treves & Rolls 1991; Vinje & Gallant 2000",
)  # fmt: skip
