"""Spike counts from couplings and states, bin after bin, all trials together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.errors import BraindecError
from braindec.spikes._links import Link

__all__ = ["markov_chain", "simulate_counts"]


def markov_chain(transition: np.ndarray, start: np.ndarray, n_bins: int, rng: np.random.Generator) -> np.ndarray:
    """Return a path of states, int64 (n_bins,)."""
    chosen, steps, last = rng.random(n_bins), np.cumsum(transition, axis=1), len(transition) - 1
    states = np.empty(n_bins, dtype=np.int64)
    states[0] = min(int(np.searchsorted(np.cumsum(start), chosen[0], side="right")), last)
    for t in range(1, n_bins):
        states[t] = min(int(np.searchsorted(steps[states[t - 1]], chosen[t], side="right")), last)
    return states


def simulate_counts(
    states: Sequence[np.ndarray],
    filters: np.ndarray,
    bias: np.ndarray,
    link: Link,
    rng: np.random.Generator,
    *,
    most: int,
) -> list[np.ndarray]:
    """Return Poisson counts of each trial, int32 (n_units, n_bins).

    Parameters
    ----------
    states : sequence of array of int
        One path a trial.
    filters : array of shape (n_states, n_units, n_units, n_lags)
        [state, target, source, lag]: the first lag is the bin before.
    bias : array of shape (n_states, n_units)
    link : Link
    rng : Generator
    most : int
        Spikes in one bin that count as an explosion.

    Raises
    ------
    BraindecError
        If the activity explodes.
    """
    lengths, n_lags = [len(s) for s in states], filters.shape[3]
    path = np.zeros((len(states), max(lengths)), dtype=np.int64)
    for row, s in zip(path, states, strict=True):
        row[: len(s)] = s
    y = np.zeros((len(states), bias.shape[1], n_lags + path.shape[1]), dtype=np.int32)
    flat = np.ascontiguousarray(filters.transpose(0, 1, 3, 2).reshape(*bias.shape, -1))  # source runs fastest
    for t in range(path.shape[1]):
        past = y[:, :, t : t + n_lags][:, :, ::-1].transpose(0, 2, 1).reshape(len(states), -1).astype(float)
        eta = bias[path[:, t]]
        for s in np.unique(path[:, t]):
            mine = path[:, t] == s
            eta[mine] += past[mine] @ flat[s].T
        y[:, :, t + n_lags] = rng.poisson(np.minimum(link.mean(eta), 1e6))
        if y[:, :, t + n_lags].max() > most:
            raise BraindecError(
                "the simulated activity explodes", found=f"{y[:, :, t + n_lags].max()} spikes in bin {t}",
                fix="take weaker or fewer excitatory couplings, or link='sigmoid'",
            )  # fmt: skip
    return [trial[:, n_lags : n_lags + n] for trial, n in zip(y, lengths, strict=True)]
