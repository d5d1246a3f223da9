"""The one-hot prior of HMM-GLMs: each connection is absent, excitatory or inhibitory, state by state, with one strength.

A weight is ``a S`` with ``a`` in {-1, 0, 1} of the state and ``S >= 0`` of the connection. The expected log-likelihood
is replaced by its second-order expansion, in which the mean over ``a`` has a closed form; probabilities of ``a``,
strengths and shared weights are then improved one after the other (coordinate ascent of the evidence lower bound). The
prior of each connection, shared by the states, is learned.

Source: the model of Li et al. 2024 (ICLR; arXiv:2310.15263), equations only; Blei, Kucukelbir & McAuliffe 2017 (JASA 112:859) for
coordinate ascent. Differs from the reference in: expectations in closed form where it draws from a Gumbel-softmax
and follows gradients, so that nothing is random and no learning rate is needed; strengths are kept at 0 or above by
projection instead of a softplus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.spikes._hmm_steps import Sums, Weights, flatten

__all__ = ["OneHot", "improve", "prune", "start_from"]

_WEIGHT_OF_PRIOR = 2.0  # states that the prior common to all connections counts as, in the prior of one


@dataclass(eq=False)
class OneHot:
    """What is believed of the structure.

    Parameters
    ----------
    p : array of shape (3, n_states, n_sources, n_units)
        Probability that a connection inhibits, is absent, excites.
    strength : array of shape (n_columns, n_units)
        0 or more; columns of one source stand side by side.
    n_functions : int
        Columns a source.
    n_free : int
        Columns behind those of the sources, whose weights are free (the bias of a state).
    """

    p: np.ndarray
    strength: np.ndarray
    n_functions: int
    n_free: int = 0

    @property
    def mean(self) -> np.ndarray:
        """Expected sign of each column, (n_states, n_columns, n_units)."""
        return np.repeat(self.p[2] - self.p[0], self.n_functions, axis=1)

    def weights(self, free: np.ndarray, *, hard: bool = False) -> np.ndarray:
        """Return weights of the states, (n_states, n_columns + n_free, n_units); ``hard`` takes the likeliest structure."""
        sign = np.repeat(self.p.argmax(axis=0) - 1.0, self.n_functions, axis=1) if hard else self.mean
        return np.concatenate([sign * self.strength, free], axis=1)


def start_from(weights: Weights, n_functions: int, n_free: int) -> OneHot:
    """Return a structure that weights without one suggest: strength by the largest over states, type by sign and size."""
    n_columns = weights.state.shape[1] - n_free
    w = weights.state[:, :n_columns]
    strength = np.sqrt((w**2).mean(axis=0)) + 0.5 * np.abs(w).max(axis=0)
    n_states, _, n_units = w.shape
    by_source = w.reshape(n_states, -1, n_functions, n_units).sum(axis=2)
    size = strength.reshape(-1, n_functions, n_units).sum(axis=1) + 1e-12
    ratio = np.clip(by_source / size, -1, 1)
    p = np.stack([np.maximum(-ratio, 0), 1 - np.abs(ratio), np.maximum(ratio, 0)]) * 0.9 + 0.1 / 3
    return OneHot(p, strength, n_functions, n_free)


def improve(
    found: OneHot, sums: Sums, at: Weights, *, ridge: float, n_sweeps: int = 10, learn_structure: bool = True
) -> tuple[OneHot, np.ndarray, np.ndarray]:
    """Improve structure, strengths and shared weights on the expansion at the weights ``at``.

    Returns
    -------
    one_hot : OneHot
    free : array of shape (n_states, n_free, n_units)
    shared : array of shape (n_shared, n_units)
    """
    q, (n_states, width, n_units) = len(at.shared), at.state.shape
    n_columns, f = width - found.n_free, found.n_functions
    H = sums.information
    linear = sums.gradient + np.einsum("nij,nj->ni", H, flatten(at))
    p, strength = found.p.copy(), found.strength.copy()
    free, shared = at.state[:, n_columns:].copy(), at.shared.copy()
    place = [q + s * width for s in range(n_states)]
    loose = np.concatenate([np.arange(q), *(b + n_columns + np.arange(found.n_free) for b in place)])
    prior = _prior(p)
    for _ in range(n_sweeps):
        sign = np.repeat(p[2] - p[0], f, axis=1)
        full = _stacked(sign * strength, free, shared)  # (n_units, n_weights)
        if learn_structure:
            prior = _prior(p)
            for s, b in enumerate(place):
                rest = linear[:, b : b + n_columns] - np.einsum("nij,nj->ni", H[:, b : b + n_columns], full)
                for j in range(n_columns // f):
                    own = slice(j * f, (j + 1) * f)
                    S = strength[own].T  # (n_units, f)
                    block = H[:, b + j * f : b + (j + 1) * f, b + j * f : b + (j + 1) * f]
                    HS = np.einsum("nij,nj->ni", block, S)
                    size = np.einsum("ni,ni->n", S, HS)
                    old = p[2, s, j] - p[0, s, j]
                    pull = np.einsum("ni,ni->n", S, rest[:, own]) + old * size
                    score = np.log(prior[:, j]) + np.stack([-pull - size / 2, np.zeros(n_units), pull - size / 2])
                    p[:, s, j] = np.exp(score - np.logaddexp.reduce(score, axis=0))
                    change = (p[2, s, j] - p[0, s, j] - old)[:, None] * S
                    rest -= np.einsum("nij,nj->ni", H[:, b : b + n_columns, b + j * f : b + (j + 1) * f], change)
            sign = np.repeat(p[2] - p[0], f, axis=1)
        strength = _strengths(
            strength, sign, np.repeat(p[2] + p[0], f, axis=1), H, linear, free, shared, place, f, ridge
        )
        full = _stacked(sign * strength, free, shared)
        rest = linear[:, loose] - np.einsum("nij,nj->ni", H[:, loose], full)
        block = (
            H[:, loose[:, None], loose]
            + 1e-9 * np.eye(len(loose)) * np.einsum("nii->n", H[:, loose[:, None], loose])[:, None, None]
        )
        full[:, loose] += np.linalg.solve(block, rest[:, :, None])[:, :, 0]
        shared = full[:, :q].T.copy()
        free = np.stack([full[:, b + n_columns : b + width].T for b in place])
    return OneHot(p, strength, f, found.n_free), free, shared


def prune(found: OneHot, sums: Sums, at: Weights) -> OneHot:
    """Return the structure without connections that are not worth their strength, in all states together.

    A connection explains ``S' M S / 2`` of the log-likelihood (``M``: its information, summed over states) and pays Occam's
    factor, half the log-determinant of ``1 + M v``, with ``v`` the mean square of the strengths that are in use (Laplace).
    Without this a connection that is absent everywhere is given a small strength and whatever signs fit the noise.
    """
    q, (n_states, width, n_units), f = len(at.shared), at.state.shape, found.n_functions
    n_sources = found.p.shape[2]
    active = found.p[0] + found.p[2]
    share = np.repeat(active.max(axis=0), f, axis=0)
    v = float((share * found.strength**2).sum() / max(share.sum(), 1e-12))
    p = found.p.copy()
    for j in range(n_sources):
        M = np.zeros((n_units, f, f))
        for s in range(n_states):
            b = q + s * width + j * f
            M += active[s, j][:, None, None] * sums.information[:, b : b + f, b : b + f]
        S = found.strength[j * f : (j + 1) * f].T
        explained = np.einsum("ni,nij,nj->n", S, M, S) / 2
        cost = np.linalg.slogdet(np.eye(f) + v * M)[1] / 2
        p[:, :, j, explained < cost] = np.array([0.0, 1.0, 0.0])[:, None, None]
    return OneHot(p, found.strength, f, found.n_free)


def _prior(p: np.ndarray) -> np.ndarray:
    """Prior of each connection, (3, n_sources, n_units): its own share over states, drawn to the share over connections."""
    n_states = p.shape[1]
    common = p.mean(axis=(1, 2, 3))[:, None, None]
    return (p.sum(axis=1) + _WEIGHT_OF_PRIOR * common + 1e-3) / (n_states + _WEIGHT_OF_PRIOR + 3e-3)


def _strengths(strength, sign, square, H, linear, free, shared, place, f, ridge):  # type: ignore[no-untyped-def]
    """Strengths >= 0 by coordinate ascent: they see the mean product of signs."""
    n_columns, n_units = strength.shape
    M = np.zeros((n_units, n_columns, n_columns))
    r = np.zeros((n_units, n_columns))
    nothing = np.zeros_like(sign)
    others = _stacked(nothing, free, shared)
    same = np.kron(np.eye(n_columns // f), np.ones((f, f)))
    for s, b in enumerate(place):
        block = H[:, b : b + n_columns, b : b + n_columns]
        m, m2 = sign[s].T, square[s].T
        product = np.where(same > 0, m2[:, :, None], m[:, :, None] * m[:, None, :])
        M += block * product
        r += m * (linear[:, b : b + n_columns] - np.einsum("nij,nj->ni", H[:, b : b + n_columns], others))
    new = strength.T.copy()
    for _ in range(5):
        for j in range(n_columns):
            rest = r[:, j] - np.einsum("nj,nj->n", M[:, j], new) + M[:, j, j] * new[:, j]
            new[:, j] = np.maximum(rest / (M[:, j, j] + ridge), 0.0)
    return new.T.copy()


def _stacked(state: np.ndarray, free: np.ndarray, shared: np.ndarray) -> np.ndarray:
    return flatten(Weights(np.concatenate([state, free], axis=1), shared))
