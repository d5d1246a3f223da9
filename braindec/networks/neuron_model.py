"""What a neuron model is: parameters, variables, receptors, and three scalar bodies that are compiled for each backend.

A model is a file in ``networks/neurons``. Parameters are SI; so are the variables that are recorded. What the bodies
compute with (``constants``) follows from parameters and time step, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.kernels.state_update import Bodies

__all__ = ["TINY", "NeuronModel", "Receptor", "propagator", "refractory_steps"]

# ``x + tiny - tiny`` is x itself unless x is nearly 0: what decays ends at 0 and not among subnormal numbers, with which
# processors are many times slower
TINY = 1e-30


@dataclass(frozen=True)
class Receptor:
    """What arriving spikes change.

    Parameters
    ----------
    state : str
        The variable that the weight is added to.
    sign : {1, -1, 0}
        Sign of the weights that belong here: above zero, below zero, or either.
    source : {1, -1, 0}
        Sign of the neurons that project here, where their weights do not tell it (conductances are all positive).
    """

    state: str
    sign: int = 0
    source: int = 0


@dataclass(frozen=True)
class NeuronModel:
    """A model of one neuron.

    Parameters
    ----------
    name : str
        As in the registry.
    params : dict
        Names and default values, SI; time constants are called ``tau_...``.
    states : dict
        Variables in their order, and where they start: a number or the name of a parameter.
    receptors : dict of str to Receptor
        Names of receptors; the first is taken where none is asked for and the model has one.
    constants : callable
        ``constants(params, dt) -> dict``: what the bodies get as the tuple ``c``, in order; numbers, or arrays of one
        number a neuron.
    integrate, spiked, reset : callable
        See :mod:`braindec.kernels.state_update`; without ``integrate`` the population has no variables and its spikes
        are given.
    current : str, optional
        The constant that a :class:`CurrentDrive` sets.
    unit : dict
        SI value of one internal unit, by variable, where a model computes in others; weights of receptors too.
    random : bool
        Whether ``integrate`` takes a random number.
    above_zero : tuple of str
        Parameters that must be above 0, besides the time constants.
    free : tuple of str
        Parameters that are no numbers of neurons (spike times, recorded spikes).
    times : callable, optional
        ``times(params) -> dict`` of time constants (s) that are no parameters themselves.
    """

    name: str
    params: Mapping[str, Any]
    states: Mapping[str, float | str]
    receptors: Mapping[str, Receptor]
    constants: Callable[[Mapping[str, Any], float], dict[str, Any]]
    integrate: Callable[..., Any] | None = None
    spiked: Callable[..., Any] | None = None
    reset: Callable[..., Any] | None = None
    current: str | None = None
    unit: Mapping[str, float] = field(default_factory=dict)
    random: bool = False
    above_zero: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    times: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None

    def __hash__(self) -> int:
        return hash(self.name)

    def check(self, params: Mapping[str, Any], where: str) -> None:
        """Raise if ``params`` has a name that the model has not."""
        for name in params:
            if name not in self.params:
                raise BraindecError(
                    f"{where}: the neuron model {self.name!r} has no parameter {name!r}{did_you_mean(name, self.params)}",
                    allowed=", ".join(self.params) or "none",
                )

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters, those of ``params`` instead of the defaults."""
        return {**self.params, **params}

    def bodies(self, rows: tuple[int, ...]) -> Bodies:
        """Return the bodies with the constants ``rows`` differing between neurons."""
        dt = 1e-4
        n_constants = len(self.constants(self.params, dt))
        return Bodies(
            self.integrate, self.spiked, self.reset, len(self.states), n_constants, rows=rows, random=self.random
        )

    def row_of(self, state: str) -> int:
        """Return the row of a variable."""
        return list(self.states).index(state)


def propagator(tau_s: Any, tau_m: Any, dt: float) -> Any:
    """Return how much of an exponential synaptic drive reaches the potential in one step.

    ``tau_s / (tau_s - tau_m) (exp(-dt / tau_s) - exp(-dt / tau_m))``; where the time constants are equal its limit.

    Source: Rotter & Diesmann 1999, section 3.2 (with a drive in volt instead of a current).
    """
    s, m = np.asarray(tau_s, dtype=float), np.asarray(tau_m, dtype=float)
    gap = s - m
    same = np.abs(gap) < 1e-9 * m
    far = s / np.where(same, 1.0, gap) * np.exp(-dt / m) * np.expm1(dt / m - dt / s)
    return np.where(same, dt / m * np.exp(-dt / m), far)[()]


def refractory_steps(t_ref: Any, dt: float) -> Any:
    """Return for how many steps after a spike the potential is held: the one at ``t_ref`` is free again."""
    return np.maximum(np.round(np.asarray(t_ref, dtype=float) / dt) - 1, 0)[()]
