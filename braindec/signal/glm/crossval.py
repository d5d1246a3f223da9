"""Variance of held-out runs that a design explains, from normal equations only: HRFs and numbers of noise regressors.

The design of a run has one column for all trials together (ON-OFF) and one for each condition that occurs in two runs or
more, whose weights are deviations from the common response, shrunk by a penalty of the energy of one trial. A held-out
run r is predicted with weights of the other runs:

    explained_r = 2 b'A_r - b'G_r b,    b = (sum_{s != r} G_s + P)^-1 sum_{s != r} A_s,

with G = X'X and A = X'Y of each run (nuisance taken out), so data are read once. R2 = sum explained / sum of squares.

Source: Kay et al. 2013 (Frontiers in Neuroscience 7:247): leave-one-run-out R2 of condition weights.
Differs from the reference in: conditions share a mean response and are shrunk to it, which helps with two or three
repeats; with no repeated condition it is the cross-validated R2 of the ON-OFF model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve

__all__ = ["Conditions", "explained", "repeated_conditions"]

MAX_CONDITIONS = 256  # conditions that have a column of their own; the most repeated ones


class Conditions:
    """Which trials of which run show which repeated condition.

    Parameters
    ----------
    labels : list of array of object, shape (n_trials,)
        Condition of each trial of each run; None where there is none.
    """

    def __init__(self, labels: Sequence[np.ndarray]) -> None:
        pairs = pd.DataFrame(
            {"run": np.repeat(np.arange(len(labels)), [len(x) for x in labels]), "label": np.concatenate(labels)}
        ).dropna()
        n_runs = pairs.groupby("label")["run"].nunique()
        self.n_trials = int(pairs["label"].isin(n_runs[n_runs >= 2].index).sum())
        repeated = n_runs[n_runs >= 2].sort_values(ascending=False, kind="stable")
        self.n_conditions = len(repeated)
        place = {label: k for k, label in enumerate(repeated.index)}
        self.codes = [np.array([place.get(x, -1) for x in run], dtype=int) for run in labels]

    def __bool__(self) -> bool:
        return self.n_conditions > 0

    def columns(self, run: int, *, conditions: bool = True) -> np.ndarray:
        """Which trials make which column: (n_trials, 1 + n_conditions), the first column being all trials."""
        codes = self.codes[run]
        n = min(self.n_conditions, MAX_CONDITIONS) if conditions else 0
        found = np.zeros((len(codes), 1 + n))
        found[:, 0] = 1.0
        shown = np.flatnonzero((codes >= 0) & (codes < n))
        found[shown, 1 + codes[shown]] = 1.0
        return found


def repeated_conditions(labels: Sequence[np.ndarray]) -> str | None:
    """Say why there are no repeated conditions over runs, or None when there are."""
    if len(labels) < 2:
        return "there is only one training run"
    if Conditions(labels):
        return None
    within = pd.Series(np.concatenate(labels)).dropna()
    if within.duplicated().any():
        return "conditions are repeated within runs only: none occurs in two training runs"
    return "no condition is repeated"


def explained(
    grams: np.ndarray,
    moments: np.ndarray,
    *,
    energy: float,
    target_grams: np.ndarray | None = None,
    target_moments: np.ndarray | None = None,
) -> np.ndarray:
    """Return the sum of squares of held-out runs that weights of the other runs explain, shape (n_voxels,).

    Parameters
    ----------
    grams : array of shape (n_runs, n_columns, n_columns)
        X'X of each run, the first column being all trials together.
    moments : array of shape (n_runs, n_columns, n_voxels)
        X'Y of each run.
    energy : float
        Penalty of each condition's weight: the energy of the column of one trial.
    target_grams, target_moments : arrays of the same shapes, optional
        Those of the runs as they are predicted (before noise regressors), when they differ.
    """
    target_grams = grams if target_grams is None else target_grams
    target_moments = moments if target_moments is None else target_moments
    penalty = np.full(grams.shape[1], energy)
    penalty[0] = 1e-8 * energy
    all_grams, all_moments = grams.sum(axis=0) + np.diag(penalty), moments.sum(axis=0)
    total = np.zeros(moments.shape[2])
    for run in range(len(grams)):
        weights = cho_solve(cho_factor(all_grams - grams[run], lower=True), all_moments - moments[run])
        total += (weights * (2 * target_moments[run] - target_grams[run] @ weights)).sum(axis=0)
    return total
