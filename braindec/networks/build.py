"""From rules to synapses: rows of targets by source, weights, delays in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from braindec.errors import BraindecError
from braindec.kernels.counter_random import key_of
from braindec.networks._checks import check_signs
from braindec.networks.description import Network, Normal, Projection, Uniform

__all__ = ["Synapses", "build", "connections"]


@dataclass(frozen=True, eq=False)
class Synapses:
    """The synapses of one projection by source (compressed rows).

    Parameters
    ----------
    offsets : array of int64, shape (n_source + 1,)
        Synapses of source ``i`` are ``offsets[i]`` to ``offsets[i + 1]``.
    targets : array of int32, shape (n_synapses,)
        In rising order within a row.
    weights : float or array of float64, shape (n_synapses,)
        One number where all are equal.
    delay_steps : int or array of int32, shape (n_synapses,)
        In steps of ``dt``.
    dt : float
        s.
    """

    offsets: np.ndarray
    targets: np.ndarray
    weights: float | np.ndarray
    delay_steps: int | np.ndarray
    dt: float

    @property
    def n(self) -> int:
        """Number of synapses."""
        return int(self.offsets[-1])

    @property
    def sources(self) -> np.ndarray:
        """Source of each synapse, int32."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))

    @property
    def delays(self) -> np.ndarray:
        """Delay of each synapse in s."""
        return np.broadcast_to(np.asarray(self.delay_steps) * self.dt, (self.n,))

    def matrix(self) -> Any:
        """The weights as a scipy sparse array, rows = sources; two synapses of one pair are summed."""
        from scipy import sparse

        values = np.broadcast_to(np.asarray(self.weights, dtype=float), (self.n,))
        n_target = int(self.targets.max()) + 1 if self.n else 0
        return sparse.coo_array((values, (self.sources, self.targets)), (len(self.offsets) - 1, n_target)).tocsr()


def connections(network: Network, seed: int) -> dict[str, Synapses]:
    """Build the synapses of each projection by name; the same seed gives the same synapses.

    Raises
    ------
    BraindecError
        If weights or delays have another number than synapses, or drawn weights the wrong sign.
    """
    return {p.name: build(network, k, seed) for k, p in enumerate(network.projections)}


def build(network: Network, k: int, seed: int) -> Synapses:
    """Build the synapses of projection ``k``."""
    projection = network.projections[k]
    source, target = network.population(projection.source), network.population(projection.target)
    key = key_of(seed, 0x5EED, k)
    autapses = projection.autapses or projection.source != projection.target
    wiring = projection.rule.connect(source, target, key=key, autapses=autapses)
    if not _is_sound(wiring.indptr, wiring.targets, target.n) or len(wiring.indptr) != source.n + 1:
        raise BraindecError(
            f"the rule {type(projection.rule).__name__} made synapses that do not fit their populations"
        )
    rng = np.random.default_rng([seed & 0xFFFFFFFF, 0x5EED, k])
    weights = _weights(network, projection, wiring, rng)
    return Synapses(wiring.indptr, wiring.targets, weights, _delays(network, projection, len(wiring.targets), rng), network.dt)  # fmt: skip


@njit(cache=True, nogil=True)
def _is_sound(indptr, targets, n_target):
    for i in range(len(indptr) - 1):
        before = np.int32(-1)
        for e in range(indptr[i], indptr[i + 1]):
            if targets[e] < max(before, np.int32(0)) or targets[e] >= n_target:
                return False
            before = targets[e]
    return indptr[-1] == len(targets)


def _weights(network: Network, projection: Projection, wiring: Any, rng: np.random.Generator) -> float | np.ndarray:
    n, weight = len(wiring.targets), projection.weight
    if isinstance(weight, (Normal, Uniform)):
        values = _draw(weight, n, rng, _wanted_sign(network, projection))
    elif np.size(weight) == 1 and np.ndim(weight) == 0:
        if wiring.weights is None:
            return float(weight)
        values = np.full(n, float(weight))
    else:
        values = np.asarray(weight, dtype=float).ravel()
        if values.size != n:
            raise BraindecError(
                f"the projection {projection.name!r} has {values.size} weights for {n} synapses",
                fix="one weight, or one a synapse in the order of connections(network, seed)",
            )
    if wiring.weights is not None:
        values = values * wiring.weights
    check_signs(network, projection, network.receptor_of(projection), values)
    return np.ascontiguousarray(values)


def _wanted_sign(network: Network, projection: Projection) -> int:
    """The sign that drawn weights must have; 0 where both are allowed."""
    kind = network.population(projection.target).kind.receptors[network.receptor_of(projection)]
    if kind.source:
        return 1
    return {"excitatory": 1, "inhibitory": -1, None: 0}[network.population(projection.source).sign]


def _draw(what: Normal | Uniform, n: int, rng: np.random.Generator, sign: int, least: float = 0.0) -> np.ndarray:
    """Draw; of a normal distribution again those of the other sign, or nearer to 0 than ``least``."""
    if isinstance(what, Uniform):
        return rng.uniform(what.low, what.high, n)
    values = rng.normal(what.mean, what.sd, n)
    for _ in range(1000):
        bad = np.flatnonzero(values * sign < least)
        if not len(bad):
            return values
        values[bad] = rng.normal(what.mean, what.sd, len(bad))
    raise BraindecError(
        "numbers of the wanted sign are too rare to be drawn", found=f"Normal({what.mean}, {what.sd})",
        allowed=f"{least:g} or more" if least else None,
    )  # fmt: skip


def _delays(network: Network, projection: Projection, n: int, rng: np.random.Generator) -> int | np.ndarray:
    delay = network.dt if projection.delay is None else projection.delay
    if isinstance(delay, (Normal, Uniform)):
        values = _draw(delay, n, rng, 1, least=network.dt)
    elif np.ndim(delay) == 0:
        return max(round(float(delay) / network.dt), 1)
    else:
        values = np.asarray(delay, dtype=float).ravel()
        if values.size != n:
            raise BraindecError(f"the projection {projection.name!r} has {values.size} delays for {n} synapses")
    steps = np.maximum(np.round(values / network.dt), 1).astype(np.int32)
    if len(steps) and (steps == steps[0]).all():
        return int(steps[0])
    return steps


def initial_rows(population: Any, seed: int, number: int) -> Mapping[str, np.ndarray]:
    """Return where each variable of each neuron starts, name -> (n,), SI."""
    rng = np.random.default_rng([seed & 0xFFFFFFFF, 0x1417, number])
    kind, values, found = population.kind, population.values, {}
    for name, default in kind.states.items():
        start = population.initial.get(name, values[default] if isinstance(default, str) else default)
        if isinstance(start, (Normal, Uniform)):
            found[name] = _draw(start, population.n, rng, 0)
        elif isinstance(start, tuple) and len(start) == 2:
            found[name] = rng.uniform(start[0], start[1], population.n)
        else:
            found[name] = np.broadcast_to(np.asarray(start, dtype=float), (population.n,)).copy()
    return found
