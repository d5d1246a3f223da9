"""Spike counts of a population whose couplings switch with a hidden state: the truth that HMM-GLMs are checked against.

In state ``s`` unit ``i`` has ``f(b_i + sum_j W^s_ij sum_l phi_l y_j(t - l))`` expected spikes in bin ``t``. The states
follow a Markov chain; each connection is, state by state, absent, excitatory or inhibitory, with one strength.

Source: the generative model of the one-hot HMM-GLM (Li et al. 2024, arXiv:2310.15263); equations only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError
from braindec.spikes._links import link_named
from braindec.spikes._simulate import markov_chain, simulate_counts
from braindec.spikes.bases import Basis, exponential
from braindec.stats.asked import number, whole

__all__ = ["PlantedStates", "planted_states"]

_MOST = 20  # spikes in a bin


@dataclass(frozen=True, eq=False)
class PlantedStates:
    """Simulated trials and how they were made.

    Parameters
    ----------
    counts : list of array of int, shape (n_units, n_bins)
        One a trial.
    states : list of array of int, shape (n_bins,)
        The state in each bin.
    sign : array of shape (n_states, n_units, n_units)
        -1, 0 or 1: how the unit of a column acts on the unit of a row.
    weights : array of shape (n_states, n_units, n_units)
        Of the coupling.
    bias : array of shape (n_units,)
    transition : array of shape (n_states, n_states)
    basis : Basis
        The one function of the coupling.
    link : str
    """

    counts: list[np.ndarray]
    states: list[np.ndarray]
    sign: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    transition: np.ndarray
    basis: Basis
    link: str


def planted_states(
    *,
    n_states: int = 3,
    n_units: int = 10,
    n_trials: int = 20,
    n_bins: int = 1000,
    stay: float = 0.99,
    sparsity: float = 0.2,
    excitatory: float = 0.5,
    strength: float = 2.0,
    rate: float = 10.0,
    width: float = 0.02,
    tau: float = 0.03,
    link: str = "sigmoid",
    switching: bool = True,
    rng: np.random.Generator | int = 0,
) -> PlantedStates:
    """Simulate trials with known states and couplings.

    Parameters
    ----------
    n_states, n_units, n_trials, n_bins : int
    stay : float
        Probability that a state goes on into the next bin; the other states are equally likely to come next.
    sparsity : float
        Share of connections that are there in each state.
    excitatory : float
        Share of them that excite.
    strength : float
        Mean weight; each connection has its own, between 0.75 and 1.25 of it, the same in all states.
    rate : float
        Of each unit without input, Hz.
    width, tau : float
        Bin width and time constant of the coupling, s; it reaches five bins back.
    link : {"softplus", "exp", "sigmoid"}
    switching : bool
        False plants the mean coupling of all states in every state: states that no spike shows.
    rng : Generator or int

    Raises
    ------
    BraindecError
        If the activity explodes (more than 20 spikes in a bin).
    """
    n_states, n_units = whole(n_states, "n_states", least=1), whole(n_units, "n_units", least=1)
    rng = np.random.default_rng(rng)
    f = link_named(link)
    basis = exponential(tau, width=number(width, "width", least=0, ends=False, unit="s"), duration=5 * width)
    there = rng.random((n_states, n_units, n_units)) < number(sparsity, "sparsity", least=0, most=1)
    sign = there * np.where(rng.random(there.shape) < number(excitatory, "excitatory", least=0, most=1), 1, -1)
    size = strength * rng.uniform(0.75, 1.25, size=(n_units, n_units))
    weights = sign * size
    if not switching:
        weights = np.broadcast_to(weights.mean(axis=0), weights.shape).copy()
    mean = number(rate, "rate", least=0, ends=False, unit="Hz") * width
    if link == "sigmoid" and mean >= 1:
        raise BraindecError(
            "the link 'sigmoid' allows less than one spike a bin",
            found=f"{mean:g}",
            fix="take a lower rate, narrower bins, or link='softplus'",
        )
    bias = np.full(n_units, f.inverse(mean))
    stay = 1.0 if n_states == 1 else number(stay, "stay", least=0, most=1)
    transition = np.full((n_states, n_states), (1 - stay) / max(n_states - 1, 1))
    np.fill_diagonal(transition, stay)
    even = np.full(n_states, 1 / n_states)
    n_bins, n_trials = whole(n_bins, "n_bins", least=1), whole(n_trials, "n_trials", least=1)
    states = [markov_chain(transition, even, n_bins, rng) for _ in range(n_trials)]
    filters = weights[:, :, :, None] * basis.values[:, 0]
    counts = simulate_counts(states, filters, np.repeat(bias[None], n_states, axis=0), f, rng, most=_MOST)
    return PlantedStates(counts, states, sign, weights, bias, transition, basis, link)
