"""Many p-values: false discovery rate (Benjamini-Hochberg, Benjamini-Yekutieli) and Holm's family-wise correction.

Source: Benjamini & Hochberg 1995 (JRSS B 57:289); Benjamini & Yekutieli 2001 (Ann Stat 29:1165), for any dependence;
Holm 1979 (Scand J Stat 6:65). All return adjusted p-values: reject where the result is <= the level wanted.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError

__all__ = ["fdr_bh", "fdr_by", "holm"]


def fdr_bh(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Benjamini-Hochberg (independent or positively dependent tests); same shape.

    NaN stays NaN and is not counted as a test.
    """
    return _step_up(p, lambda m: 1.0)


def fdr_by(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Benjamini-Yekutieli (any dependence between the tests); same shape."""
    return _step_up(p, lambda m: float(np.sum(1.0 / np.arange(1, m + 1))))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Holm: any rejection at level a is false with probability a at most; same shape."""
    return _adjust(p, lambda s: np.maximum.accumulate(s * np.arange(len(s), 0, -1)))


def _step_up(p: np.ndarray, penalty) -> np.ndarray:
    def adjusted(s: np.ndarray) -> np.ndarray:
        scaled = s * penalty(len(s)) * len(s) / np.arange(1, len(s) + 1)
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _adjust(p, adjusted)


def _adjust(p: np.ndarray, adjusted) -> np.ndarray:
    p = np.asarray(p, dtype=float)
    out = np.full(p.size, np.nan)
    flat = p.reshape(-1)
    known = np.flatnonzero(~np.isnan(flat))
    values = flat[known]
    if len(values) and (values.min() < 0 or values.max() > 1):
        raise BraindecError("p-values lie between 0 and 1", found=f"{values.min():g} to {values.max():g}")
    if len(values):
        order = np.argsort(values, kind="stable")
        out[known[order]] = np.minimum(adjusted(values[order]), 1.0)
    return out.reshape(p.shape)
