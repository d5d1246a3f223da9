"""Paired tests of rows: both scores of an item may change places when neither row knows more than the other.

The difference of two rows at one item is as likely to have one sign as the other when the rows are equally good, so signs are
flipped at random; trials of one stimulus keep their sign together. Against the best of several controls, p is the largest of
the p-values against each (intersection-union), which needs no further correction for having chosen the best.

Source: Fisher 1935 (The Design of Experiments, section 21) for the paired randomisation test; Berger 1982 (Technometrics
24:295) for intersection-union tests; Phipson & Smyth 2010 (SAGMB 9:39) for the observed value counting as one of the flips.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from braindec.stats.bootstrap import interval_of

_EXACT = 12  # up to so many items every combination of signs is tried
_SLACK = 1e-12

__all__ = ["Flips", "interval"]


class Flips:
    """Random signs, the same for every comparison.

    Parameters
    ----------
    code : array of int, shape (n_rows,)
        The stimulus of each trial; its trials flip together.
    n : int
        Random flips; up to 12 stimuli all are tried instead.
    rng : numpy.random.Generator
    """

    def __init__(self, code: np.ndarray, *, n: int, rng: np.random.Generator) -> None:
        self.code, self.n_items = code, int(code.max()) + 1
        self.exact = self.n_items <= _EXACT
        if self.exact:
            self.signs = np.array(list(product((1.0, -1.0), repeat=self.n_items)), dtype=np.float32)
        else:
            self.signs = rng.choice(np.array([1.0, -1.0], dtype=np.float32), size=(n, self.n_items))

    def p(self, differences: np.ndarray, *, two_sided: bool = False) -> float:
        """Return p for the mean difference being above 0 (or, ``two_sided``, other than 0); NaN without any flips.

        Parameters
        ----------
        differences : array of shape (n_rows,)
            One row minus another; what is not finite is left out.
        """
        null, observed, scale = self.null(differences)
        if not len(null):
            return float("nan")
        if two_sided:
            null, observed = np.abs(null), abs(observed)
        count = int((null >= observed - _SLACK - 1e-6 * scale).sum())
        return count / len(null) if self.exact else (count + 1) / (len(null) + 1)

    def null(self, differences: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Return the mean difference under each flip, the observed one, and the largest that could be."""
        kept = np.isfinite(differences)
        sums = np.bincount(self.code[kept], differences[kept], self.n_items) / max(1, int(kept.sum()))
        return self.signs @ sums.astype(np.float32), float(sums.sum()), float(np.abs(sums).sum())


def interval(values: np.ndarray, code: np.ndarray, *, n: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean over stimuli (whose trials are drawn together).

    Parameters
    ----------
    values : array of shape (n_rows,)
        What is not finite is left out.
    code : array of int, shape (n_rows,)
    n : int
        Resamples.
    rng : numpy.random.Generator
    """
    kept = np.isfinite(values)
    items, own = np.unique(code[kept], return_inverse=True)
    if len(items) < 2:
        return float("nan"), float("nan")
    sums, counts = np.bincount(own, values[kept]), np.bincount(own).astype(float)
    picks = rng.integers(0, len(items), size=(n, len(items)))
    draws = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    return tuple(interval_of(draws, n_units=len(items)))
