"""Trials of an HMM-GLM: counts one after the other with the design of couplings, stretches that start anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.spikes.bases import Basis, _counts, convolve
from braindec.types import Recording, Spikes, Windows

__all__ = ["Trials", "as_counts", "make_trials"]


@dataclass(frozen=True, eq=False)
class Trials:
    """Counts and designs of all trials.

    Parameters
    ----------
    y : array of shape (n_bins, n_units)
    X : array of shape (n_bins, n_units * n_functions)
        Counts before each bin, convolved with the basis; a column of ones last where each state has its own bias.
    Z : array of shape (n_bins, n_shared)
        Columns whose weights all states share: the constant, covariates.
    offsets : array of int64, shape (n_trials + 1,)
        Where trials begin.
    """

    y: np.ndarray
    X: np.ndarray
    Z: np.ndarray
    offsets: np.ndarray

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Return what belongs to each trial of an array with one row a bin."""
        return np.split(values, self.offsets[1:-1])


def as_counts(trials: Any, width: float | None = None) -> list[np.ndarray]:
    """Return counts of each trial, (n_units, n_bins): from arrays, Recordings or Windows of counts, or Spikes in bins of ``width`` s.

    Each interval of the support of Spikes is a trial.

    Raises
    ------
    BraindecError
        If trials differ in units, hold no bins, or Spikes come without ``width``.
    """
    if isinstance(trials, Windows):
        found = list(trials.load().astype(np.float64))
    elif isinstance(trials, Spikes) or (len(trials) and isinstance(trials[0], Spikes)):
        if width is None:
            raise BraindecError("spike times need a bin width", fix="give width=0.02 (s), say")
        every = [trials] if isinstance(trials, Spikes) else list(trials)
        pieces = [s.restrict([interval]) for s in every for interval in s.support.tolist()]
        found = [p.counts(width).load().astype(np.float64) for p in pieces if p.duration >= width]
    else:
        every = [trials] if isinstance(trials, Recording) else trials
        found = [t.load() if isinstance(t, Recording) else np.asarray(t) for t in every]
    if not found:
        raise BraindecError("there are no trials", found="none")
    for i, t in enumerate(found):
        if t.dtype.kind not in "biuf":
            raise BraindecError("trials are counts (n_units, n_bins)", found=f"trial {i}: {t.dtype}", allowed="numbers")
        if t.ndim != 2 or t.shape[0] != found[0].shape[0]:
            raise BraindecError(
                "trials are counts (n_units, n_bins) of the same units", found=f"trial {i}: shape {t.shape}",
                allowed="the same number of units in each",
            )  # fmt: skip
        _counts(t)
    return [t.astype(np.float64) for t in found]


def make_trials(
    counts: Sequence[np.ndarray], basis: Basis, *, covariates: Any = None, state_bias: bool = False
) -> Trials:
    """Return counts with their designs; ``covariates``: one array (n_covariates, n_bins) a trial."""
    offsets = np.append(0, np.cumsum([c.shape[1] for c in counts])).astype(np.int64)
    joined = np.concatenate(counts, axis=1)
    X = convolve(joined, basis, offsets=offsets).reshape(joined.shape[1], -1)
    ones = np.ones((len(X), 1))
    more = np.zeros((len(X), 0))
    if covariates is not None:
        fits = len(covariates) == len(counts) and all(
            np.ndim(v) == 2 and np.shape(v)[1] == c.shape[1] for v, c in zip(covariates, counts, strict=False)
        )
        if not fits:
            raise BraindecError("covariates must be one array (n_covariates, n_bins) for each trial")
        values = [np.asarray(v) for v in covariates]
        if len({len(v) for v in values}) > 1 or not all(
            v.dtype.kind in "biuf" and np.isfinite(v).all() for v in values
        ):
            raise BraindecError(
                "covariates are finite numbers, as many in each trial",
                found=", ".join(f"{v.shape} {v.dtype}" for v in values[:4]),
            )
        more = np.concatenate(values, axis=1).T.astype(float)
    if state_bias:
        return Trials(np.ascontiguousarray(joined.T), np.hstack([X, ones]), more, offsets)
    return Trials(np.ascontiguousarray(joined.T), X, np.hstack([more, ones]), offsets)
