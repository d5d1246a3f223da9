"""Fitting HMM-GLMs: the model of one state, restarts, expectation maximization, the one-hot structure.

Each function takes the estimator for its settings (``n_states``, ``prior``, ``link``, ``tol``, ...) and changes nothing
in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from braindec.kernels.forward_backward import Smoothed, forward_backward
from braindec.spikes import _one_hot
from braindec.spikes._hmm_steps import Weights, bin_likelihood, first_guess, newton_step, sums
from braindec.spikes._hmm_trials import Trials
from braindec.spikes._links import link_named

if TYPE_CHECKING:
    from braindec.spikes.hmm_glm import HMMGLM

__all__ = ["State", "fit_plain", "fit_structure", "fit_switching"]

_WINDOWS = (50, 100, 25)  # bins of the stretches that first guesses are made from, in turn
_SCREEN = 8  # iterations that restarts are compared after
_PSEUDO = 1.0  # transitions of each kind, and first bins in each state, that are taken as seen


class State(NamedTuple):
    """Where a fit stands: weights, transition and first probabilities, objective of each iteration."""

    weights: Weights
    transition: np.ndarray
    start: np.ndarray
    history: list[float]


def fit_plain(model: HMMGLM, made: Trials) -> Weights:
    """Fit the model of one state, to convergence."""
    link, n_units = link_named(model.link), made.y.shape[1]
    state, shared = np.zeros((1, made.X.shape[1], n_units)), np.zeros((made.Z.shape[1], n_units))
    (state[0] if model.state_bias else shared)[-1] = [link.inverse(m) for m in made.y.mean(axis=0)]
    weights, penalty = Weights(state, shared), _penalty(model, made, 1)
    for _ in range(50):
        weights, gain = newton_step(made, weights, link, np.ones((len(made.y), 1)), penalty)
        if gain < 1e-6:
            break
    return weights


def fit_switching(model: HMMGLM, made: Trials, plain: Weights) -> tuple[State, list[float]]:
    """Fit from several first guesses; the best after some iterations goes on.

    Returns
    -------
    state : State
    tried : list of float
        Objective of each first guess after those iterations.
    """
    rng, n, link = np.random.default_rng(model.seed), model.n_states, link_named(model.link)
    n_first = model.max_iter if model.n_restarts == 1 else min(_SCREEN, model.max_iter)
    transition = np.full((n, n), 0.02 / (n - 1))
    np.fill_diagonal(transition, 0.98)
    states = []
    for r in tqdm(range(model.n_restarts), desc="restarts", disable=None, leave=False):
        window = max(5, min(_WINDOWS[r % len(_WINDOWS)], int(np.diff(made.offsets).max()) // 2))
        posterior = first_guess(made, plain, link, n, window=window, rng=rng)
        weights = Weights(np.repeat(plain.state, n, axis=0), plain.shared)
        for _ in range(2):
            weights, _ = newton_step(made, weights, link, posterior, _penalty(model, made, n))
        states.append(_em(model, made, State(weights, transition, np.full(n, 1 / n), []), n_first))
    tried = [s.history[-1] for s in states]
    best = states[int(np.argmax(tried))]
    return _em(model, made, best, model.max_iter - n_first), tried


def fit_structure(model: HMMGLM, made: Trials, state: State, n_functions: int) -> tuple[State, np.ndarray, list[float]]:
    """Fit with the one-hot prior, from couplings without a structure; the likeliest structure in the end.

    Returns
    -------
    state : State
    structure : array of shape (3, n_states, n_units, n_units)
        Probabilities that a connection (target, source) inhibits, is absent, excites.
    history : list of float
        Log-likelihood at the expected couplings of each iteration; what the iterations raise is a bound, so it may fall.
    """
    weights, transition, start, before = state
    link, n_free, history = link_named(model.link), int(model.state_bias), []
    known = _one_hot.start_from(weights, n_functions, n_free)
    free, shared, last = weights.state[:, weights.state.shape[1] - n_free :], weights.shared, -np.inf
    for _ in tqdm(range(model.max_iter), desc="structure", disable=None, leave=False):
        at = Weights(known.weights(free), shared)
        found = forward_backward(bin_likelihood(made, at, link), transition, start, offsets=made.offsets)
        history.append(float(found.log_likelihood.sum()))
        if abs(history[-1] - last) < model.tol * made.y.sum():
            break
        last = history[-1]
        transition, start = _chain(found, made.offsets)
        known, free, shared = _one_hot.improve(known, sums(made, at, link, found.posterior), at, ridge=model.ridge)
    known = _one_hot.prune(known, sums(made, at, link, found.posterior), at)
    structure = known.p.transpose(0, 1, 3, 2)
    known.p = np.eye(3)[known.p.argmax(axis=0)].transpose(3, 0, 1, 2)
    for _ in range(5):  # strengths and biases of the likeliest structure
        at = Weights(known.weights(free), shared)
        found = forward_backward(bin_likelihood(made, at, link), transition, start, offsets=made.offsets)
        transition, start = _chain(found, made.offsets)
        known, free, shared = _one_hot.improve(
            known, sums(made, at, link, found.posterior), at, ridge=model.ridge, learn_structure=False
        )
    return State(Weights(known.weights(free), shared), transition, start, before), structure, history


def _em(model: HMMGLM, made: Trials, state: State, n_iter: int) -> State:
    """Alternate probabilities of states and one Newton step of the weights until the gain is small."""
    weights, transition, start, history = state
    link, penalty, history = link_named(model.link), _penalty(model, made, model.n_states), list(history)
    for _ in tqdm(range(n_iter), desc="EM", disable=None, leave=False):
        found = forward_backward(bin_likelihood(made, weights, link), transition, start, offsets=made.offsets)
        joined = np.concatenate([weights.shared, *weights.state], axis=0)
        value = found.log_likelihood.sum() - 0.5 * (joined * (penalty @ joined)).sum()
        value += _PSEUDO * (np.log(transition).sum() + np.log(start).sum())
        history.append(float(value))
        if len(history) > 2 and history[-1] - history[-2] < model.tol * made.y.sum():
            break
        transition, start = _chain(found, made.offsets)
        weights, _ = newton_step(made, weights, link, found.posterior, penalty)
    return State(weights, transition, start, history)


def _penalty(model: HMMGLM, made: Trials, n_states: int) -> np.ndarray:
    """Precision of all weights of a unit: ridge, and the Gaussian prior around the mean over states."""
    q, columns = made.Z.shape[1], made.X.shape[1]
    bound = np.ones(columns)
    bound[columns - model.state_bias :] = 0
    between = np.zeros((n_states, n_states))
    if model.prior == "gaussian":
        between = (np.eye(n_states) - 1 / n_states) / model.prior_scale**2
    found = np.zeros((q + n_states * columns,) * 2)
    found[q:, q:] = np.kron(between + model.ridge * np.eye(n_states), np.diag(bound))
    return found + 1e-9 * np.eye(len(found))


def _chain(found: Smoothed, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transition and first probabilities that maximise the expected log-likelihood, with pseudo-counts."""
    pairs = found.pairs.sum(axis=0) + _PSEUDO
    first = found.posterior[offsets[:-1]].sum(axis=0) + _PSEUDO
    return pairs / pairs.sum(axis=1, keepdims=True), first / first.sum()
