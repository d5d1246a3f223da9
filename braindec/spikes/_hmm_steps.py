"""Steps of EM for HMM-GLMs: likelihoods of bins in states, scores and Fisher information, Newton steps, first guesses.

The weights of a unit are those of the shared columns and those of each state's columns, one after the other. A Fisher
information has blocks only within a state and between a state and what is shared; all units' are made by one product of
matrices from products of pairs of columns. Rows with less than 1e-8 probability in a state are left out of its sums.
"""

from __future__ import annotations

import itertools
import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from braindec.errors import BraindecError
from braindec.spikes._hmm_trials import Trials
from braindec.spikes._links import Link

__all__ = ["Weights", "bin_likelihood", "expected", "first_guess", "newton_step", "sums"]

_ROWS = 4096
_LEAST = 1e-8
_FLOOR = 1e-12  # expected spikes in a bin


class Weights(NamedTuple):
    """``state`` (n_states, n_columns, n_units) and ``shared`` (n_shared, n_units)."""

    state: np.ndarray
    shared: np.ndarray


class Sums(NamedTuple):
    """Of the expected log-likelihood of each unit: gradient (n_units, n_weights) and information (n_units, n_weights, n_weights)."""

    gradient: np.ndarray
    information: np.ndarray


def bin_likelihood(trials: Trials, weights: Weights, link: Link) -> np.ndarray:
    """Return the log-likelihood of each bin in each state, (n_bins, n_states), constants included."""
    found = np.empty((len(trials.y), len(weights.state)))
    for first in range(0, len(trials.y), _ROWS):
        rows = slice(first, first + _ROWS)
        y, X = trials.y[rows], trials.X[rows]
        shared = trials.Z[rows] @ weights.shared
        for s, w in enumerate(weights.state):
            mu = np.maximum(link.mean(X @ w + shared), _FLOOR)
            found[rows, s] = np.einsum("tn,tn->t", y, np.log(mu)) - mu.sum(axis=1)
    return found - gammaln(trials.y + 1).sum(axis=1)[:, None]


def expected(trials: Trials, weights: Weights, link: Link, posterior: np.ndarray) -> np.ndarray:
    """Return each unit's expected log-likelihood without constants, (n_units,)."""
    total = np.zeros(trials.y.shape[1])
    for s, w in enumerate(weights.state):
        for rows, p in _rows_of(posterior[:, s]):
            y = trials.y[rows]
            mu = np.maximum(link.mean(trials.X[rows] @ w + trials.Z[rows] @ weights.shared), _FLOOR)
            total += p @ (y * np.log(mu) - mu)
    return total


def sums(trials: Trials, weights: Weights, link: Link, posterior: np.ndarray) -> Sums:
    """Return gradients and Fisher informations of the expected log-likelihood at ``weights``."""
    n_states, n_columns, n_units = weights.state.shape
    q = len(weights.shared)
    size = q + n_states * n_columns
    gradient, information = np.zeros((n_units, size)), np.zeros((n_units, size, size))
    i, j = np.triu_indices(q + n_columns)
    most = max(256, min(_ROWS, (1 << 20) // len(i)))
    room = np.empty((most, len(i)))  # products of pairs of columns
    for s, w in enumerate(weights.state):
        own = np.append(np.arange(q), q + s * n_columns + np.arange(n_columns))
        packed, slope_sum = np.zeros((n_units, len(i))), np.zeros((n_units, q + n_columns))
        for rows, p in _rows_of(posterior[:, s], most):
            C = np.hstack([trials.Z[rows], trials.X[rows]])
            eta = C @ np.vstack([weights.shared, w])
            mu = np.maximum(link.mean(eta), _FLOOR)
            slope = link.slope(eta, mu)
            ratio = p[:, None] * slope / mu
            slope_sum += (ratio * (trials.y[rows] - mu)).T @ C
            begin = 0
            for a in range(C.shape[1]):
                end = begin + C.shape[1] - a
                np.multiply(C[:, a : a + 1], C[:, a:], out=room[: len(C), begin:end])
                begin = end
            packed += (ratio * slope).T @ room[: len(C)]
        block = np.zeros((n_units, q + n_columns, q + n_columns))
        block[:, i, j] = packed
        block[:, j, i] = packed
        gradient[:, own] += slope_sum
        information[:, own[:, None], own] += block
    return Sums(gradient, information)


def newton_step(
    trials: Trials, weights: Weights, link: Link, posterior: np.ndarray, penalty: np.ndarray
) -> tuple[Weights, float]:
    """Take one step of Fisher scoring that no unit's penalised expected likelihood suffers from.

    Parameters
    ----------
    penalty : array of shape (n_weights, n_weights)
        Of a unit's weights: half of ``w' penalty w`` is taken away.

    Returns
    -------
    weights, gain
    """
    found = sums(trials, weights, link, posterior)
    flat = flatten(weights)
    gradient = found.gradient - flat @ penalty
    move = np.linalg.solve(found.information + penalty, gradient[:, :, None])[:, :, 0]
    before = expected(trials, weights, link, posterior) - 0.5 * np.einsum("nw,wv,nv->n", flat, penalty, flat)
    size = np.ones(len(flat))
    for _ in range(20):
        new = flat + size[:, None] * move
        made = unflatten(new, weights)
        after = expected(trials, made, link, posterior) - 0.5 * np.einsum("nw,wv,nv->n", new, penalty, new)
        worse = after < before - 1e-10 * np.abs(before)
        if not worse.any():
            return made, float((after - before).sum())
        size = np.where(worse, size / 2, size)
    keep = np.where(worse[:, None], flat, new)
    return unflatten(keep, weights), float(np.where(worse, 0.0, after - before).sum())


def flatten(weights: Weights) -> np.ndarray:
    """Return (n_units, n_weights): shared, then state by state."""
    return np.concatenate([weights.shared, *weights.state], axis=0).T.copy()


def unflatten(flat: np.ndarray, like: Weights) -> Weights:
    """Undo :func:`flatten`."""
    q, (n_states, n_columns, n_units) = len(like.shared), like.state.shape
    return Weights(flat.T[q:].reshape(n_states, n_columns, n_units).copy(), flat.T[:q].copy())


def first_guess(
    trials: Trials, plain: Weights, link: Link, n_states: int, *, window: int, rng: np.random.Generator
) -> np.ndarray:
    """Return first probabilities of states, (n_bins, n_states): stretches whose scores point in one direction.

    ``plain`` is a model of one state. Where a coupling is stronger than it says the score of its weight is above 0 on
    average: stretches of ``window`` bins are grouped by k-means of the leading components of their scores.
    """
    from scipy.cluster.vq import kmeans2

    edges = np.unique(
        np.concatenate(
            [
                np.append(np.arange(a, b, window), b)
                for a, b in zip(trials.offsets[:-1], trials.offsets[1:], strict=True)
            ]
        )
    )
    eta = trials.X @ plain.state[0] + trials.Z @ plain.shared
    mu = np.maximum(link.mean(eta), _FLOOR)
    score = link.slope(eta, mu) * (trials.y - mu) / mu
    parts = np.array([(trials.X[a:b].T @ score[a:b]).ravel() for a, b in itertools.pairwise(edges)])
    parts /= np.sqrt(np.diff(edges))[:, None]
    parts = (parts - parts.mean(axis=0)) / (parts.std(axis=0) + 1e-12)
    if len(parts) < n_states:
        raise BraindecError(
            f"the trials are too short to look for {n_states} states", found=f"{len(parts)} stretches of {window} bins",
            fix="take fewer states or longer trials",
        )  # fmt: skip
    n = min(n_states + 3, *parts.shape)
    values, vectors = (
        np.linalg.eigh(parts @ parts.T) if len(parts) < parts.shape[1] else np.linalg.eigh(parts.T @ parts)
    )
    leading = (
        vectors[:, -n:] * np.sqrt(np.maximum(values[-n:], 0))
        if len(parts) < parts.shape[1]
        else parts @ vectors[:, -n:]
    )
    if len(np.unique(leading, axis=0)) < n_states:  # no scores to go by
        label = rng.permutation(np.arange(len(parts)) % n_states)
    else:
        with warnings.catch_warnings():  # an empty cluster is a state that starts without stretches
            warnings.simplefilter("ignore", UserWarning)
            label = kmeans2(leading, n_states, minit="++", seed=rng, iter=30)[1]
    found = np.full((len(trials.y), n_states), 0.1 / n_states)
    found[np.arange(len(found)), np.repeat(label, np.diff(edges))] += 0.9
    return found


def _rows_of(p: np.ndarray, block: int = _ROWS):  # type: ignore[no-untyped-def]
    """Blocks of rows with a probability worth counting, and those probabilities."""
    rows = np.flatnonzero(p > _LEAST)
    for first in range(0, len(rows), block):
        part = rows[first : first + block]
        if part[-1] - part[0] == len(part) - 1:
            part = slice(int(part[0]), int(part[-1]) + 1)
        yield part, p[part]
