"""The synapses from one area to another in the assembly calculus: rows drawn when their neuron first fires.

A row depends on the seed of its fibre and on its neuron alone, so the connectome does not depend on what was done before,
and a large area costs what its active neurons cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Fibre"]

TINY = 1e-150  # Oja's common factor of a neuron is folded into its weights before it gets smaller


@dataclass
class Fibre:
    """The synapses from one area to another.

    Parameters
    ----------
    seed : tuple of int
        Of the fibre; the neuron is added to it.
    n : int
        Neurons of the target.
    p : float
        Probability of a synapse.
    within : bool
        Whether source and target are one area: then no neuron has a synapse onto itself.
    """

    seed: tuple[int, ...]
    n: int
    p: float
    within: bool
    targets: dict[int, np.ndarray] = field(default_factory=dict)
    weights: dict[int, np.ndarray] = field(default_factory=dict)
    factor: np.ndarray | None = None  # Oja: a weight is factor[target] * weights; what a row starts with is `fresh`
    fresh: np.ndarray | None = None

    def row(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and weights of the synapses of one neuron."""
        if i not in self.targets:
            rng = np.random.default_rng((*self.seed, i))
            found = rng.choice(self.n, rng.binomial(self.n, self.p), replace=False, shuffle=False)
            found = found[found != i] if self.within else found
            self.targets[i] = found.astype(np.int32)
            self.weights[i] = np.ones(len(found)) if self.fresh is None else self.fresh[found].copy()
        return self.targets[i], self.weights[i]

    def drive(self, firing: np.ndarray) -> np.ndarray:
        """Return the summed input of every target neuron, shape (n,)."""
        rows = [self.row(int(i)) for i in firing]
        if not rows:
            return np.zeros(self.n)
        total = np.bincount(
            np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows]), minlength=self.n
        )
        return total if self.factor is None else total * self.factor

    def scale(self, firing: np.ndarray, onto: np.ndarray, by: float) -> None:
        """Multiply the weights from ``firing`` to ``onto``."""
        mask = np.zeros(self.n, dtype=bool)
        mask[onto] = True
        for i in firing:
            targets, weights = self.row(int(i))
            weights[mask[targets]] *= by

    def oja(self, firing: np.ndarray, onto: np.ndarray, beta: float, top: float) -> None:
        """Decay all weights onto ``onto`` and add to those from ``firing``."""
        if self.factor is None or self.fresh is None:
            self.factor, self.fresh = np.ones(self.n), np.ones(self.n)
        self.factor[onto] *= 1.0 - beta
        mask = np.zeros(self.n, dtype=bool)
        mask[onto] = True
        for i in firing:
            targets, weights = self.row(int(i))
            hit = mask[targets]
            weights[hit] += beta * top / self.factor[targets[hit]]
        if self.factor[onto].min(initial=1.0) < TINY:
            for targets, weights in zip(self.targets.values(), self.weights.values(), strict=True):
                weights *= self.factor[targets]
            self.fresh *= self.factor
            self.factor[:] = 1.0
