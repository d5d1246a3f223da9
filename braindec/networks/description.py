"""A network as plain data: populations, projections, drives, checked when it is made.

What needs its synapses or its given spikes is checked when those are laid out.

All numbers are SI. A spike of step k (time ``k dt``) reaches its targets at ``k dt + delay``, before they are integrated;
the delay is at least one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from braindec import registry
from braindec.errors import BraindecError, did_you_mean
from braindec.networks._numbers import is_whole, numbers
from braindec.networks.connection_rule import ConnectionRule, as_rule
from braindec.networks.neuron_model import NeuronModel
from braindec.networks.plasticity_rule import PlasticityRule
from braindec.stats.asked import number

__all__ = ["CurrentDrive", "Network", "Normal", "PoissonDrive", "Population", "Projection", "Record", "Uniform"]

_SIGNS = {"excitatory": 1, "inhibitory": -1, None: 0}


@dataclass(frozen=True)
class Normal:
    """Normally distributed numbers; where a sign is wanted, those of the other are drawn again."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if numbers([self.mean, self.sd], f"{self}")[1] < 0:
            raise BraindecError("a standard deviation is not below zero", found=f"{self}")


@dataclass(frozen=True)
class Uniform:
    """Numbers between ``low`` and ``high``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = numbers([self.low, self.high], f"{self}")
        if low > high:
            raise BraindecError("the lower end is above the upper one", found=f"{self}")


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind.

    Parameters
    ----------
    name : str
    n : int
        Number of neurons.
    model : str
        Name of a neuron model (``registry.names("networks.neurons")``).
    params : dict
        Parameters that differ from the model's defaults: numbers, or arrays of one number a neuron.
    initial : dict
        Where variables start: a number, ``(low, high)`` or Uniform, Normal, or an array of shape (n,).
    positions : array of shape (n, 3), optional
        Places in m.
    sign : {"excitatory", "inhibitory"}, optional
        Which weights its synapses may have.

    Raises
    ------
    BraindecError
        If the model, a parameter or a variable is not known, or a shape is wrong.
    """

    name: str
    n: int
    model: str = "lif"
    params: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, Any] = field(default_factory=dict)
    positions: Any = None
    sign: Literal["excitatory", "inhibitory"] | None = None

    def __post_init__(self) -> None:
        where = f"the population {self.name!r}"
        if not isinstance(self.name, str):
            raise BraindecError("the name of a population is a text", found=f"{self.name!r}")
        if not is_whole(self.n) or self.n < 1:
            raise BraindecError(f"{where} needs neurons", found=f"n={self.n!r}", allowed="1, 2, 3, ...")
        object.__setattr__(self, "n", int(self.n))
        if self.sign not in tuple(_SIGNS):
            raise BraindecError(f"{where}: sign {self.sign!r}{did_you_mean(str(self.sign), ['excitatory', 'inhibitory'])}",
                                allowed="'excitatory', 'inhibitory', None")  # fmt: skip
        kind = self.kind
        for what in ("params", "initial"):
            if not isinstance(getattr(self, what), Mapping):
                raise BraindecError(f"{where}: {what} are a dict", found=f"{getattr(self, what)!r}"[:80])
        kind.check(self.params, where)
        checked = {name: _param(where, name, value, self.n, kind) for name, value in self.params.items()}
        object.__setattr__(self, "params", checked)
        for name, value in self.initial.items():
            if name not in kind.states:
                raise BraindecError(
                    f"{where}: the model {self.model!r} has no variable {name!r}{did_you_mean(name, kind.states)}",
                    allowed=", ".join(kind.states) or "none",
                )
            _check_initial(where, name, value, self.n)
        if self.positions is not None and numbers(self.positions, f"{where}: positions").shape != (self.n, 3):
            raise BraindecError(
                f"{where}: positions have another shape",
                found=str(np.shape(self.positions)),
                allowed=f"({self.n}, 3), in m",
            )

    @property
    def kind(self) -> NeuronModel:
        """The neuron model."""
        return registry.get("networks.neurons", self.model)

    @property
    def values(self) -> dict[str, Any]:
        """All parameters with their values."""
        return self.kind.values(self.params)


def _param(where: str, name: str, value: Any, n: int, kind: NeuronModel) -> Any:
    """Return a parameter of a population; a list is made an array."""
    if name in kind.free or (value is None and kind.params[name] is None):
        return value  # checked where they are used
    array = numbers(value, f"{where}: {name!r}")
    if array.ndim == 1 and array.shape != (n,):
        raise BraindecError(f"{where}: {name!r} has {array.size} values for {n} neurons")
    if name.startswith("tau") and np.any(array <= 0):
        raise BraindecError(f"{where}: {name!r} is a time constant, above 0 s", found=f"{value}")
    if name in kind.above_zero and np.any(array <= 0):
        raise BraindecError(f"{where}: {name!r} is above 0", found=f"{value}")
    if name == "t_ref" and np.any(array < 0):
        raise BraindecError(f"{where}: {name!r} is a time, 0 s or more", found=f"{value}")
    return array if array.ndim else value


def _check_initial(where: str, name: str, value: Any, n: int) -> None:
    if isinstance(value, (Normal, Uniform)):
        return
    if isinstance(value, tuple) and len(value) == 2:
        Uniform(*value)
        return
    array = numbers(value, f"{where}: the start of {name!r}")
    if array.shape not in ((), (n,)):
        raise BraindecError(
            f"{where}: {name!r} starts with {array.size} values for {n} neurons", found=f"{array.shape}"
        )


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population to another.

    Parameters
    ----------
    source, target : str
        Names of populations.
    rule : ConnectionRule, str or dict
        Which neurons are connected: an object of ``braindec.networks.rules``, a name, or ``{"name": ..., parameter: ...}``.
    weight : float, array, Normal or Uniform
        Of each synapse, in the unit of the receptor (V for those that jump a voltage, S, A); an array has one number a
        synapse in the order of :func:`connections`. With a matrix it multiplies the entries.
    delay : float, Uniform, Normal or array
        s; at least the network's ``dt``. None: one step.
    receptor : str, optional
        Of the target's model; without it the one that the sign of the source or of the weight belongs to.
    plasticity : PlasticityRule, optional
    autapses : bool
        Whether a neuron may reach itself.
    name : str, optional
        For results; ``"source->target"`` without it.
    """

    source: str
    target: str
    rule: Any
    weight: Any = 1.0
    delay: Any = None
    receptor: str | None = None
    plasticity: PlasticityRule | None = None
    autapses: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", as_rule(self.rule))
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        if isinstance(self.plasticity, str):
            object.__setattr__(self, "plasticity", registry.get("networks.plasticity", self.plasticity))
        if not isinstance(self.plasticity, (PlasticityRule, type(None))):
            raise BraindecError(f"the projection {self.name!r}: plasticity is a rule or its name", found=f"{self.plasticity!r}"[:80],
                                allowed=", ".join(registry.names("networks.plasticity")))  # fmt: skip


@dataclass(frozen=True, eq=False)
class PoissonDrive:
    """Independent Poisson spikes onto each neuron of a population.

    Parameters
    ----------
    target : str
    rate : float or array
        Hz of one synapse: a number, (n,), or with ``bin_width`` (n_bins, 1) or (n_bins, n); the last bin goes on.
    weight : float
        As of a projection.
    n_synapses : int
        Synapses of each neuron; their spikes are summed.
    receptor : str, optional
    bin_width : float, optional
        s of each row of ``rate``.
    """

    target: str
    rate: Any
    weight: float
    n_synapses: int = 1
    receptor: str | None = None
    bin_width: float | None = None


@dataclass(frozen=True, eq=False)
class CurrentDrive:
    """A given drive of each neuron, in the unit of the model's constant ``current``.

    Parameters
    ----------
    target : str
    current : float or array
        A number, (n,), or with ``bin_width`` (n_bins, 1) or (n_bins, n); the last bin goes on.
    bin_width : float, optional
        s of each row.
    """

    target: str
    current: Any
    bin_width: float | None = None


@dataclass(frozen=True)
class Record:
    """What a run keeps.

    Parameters
    ----------
    spikes : bool or sequence of str
        All populations, none, or some by name.
    states : dict of str to sequence of str
        Variables by population.
    state_every : float
        s between two samples.
    state_neurons : dict of str to sequence of int
        Which neurons; without an entry all of the population.
    weights_every : float, optional
        s between two copies of the weights of plastic projections; without it the last weights only.
    """

    spikes: bool | Sequence[str] = True
    states: Mapping[str, Sequence[str]] = field(default_factory=dict)
    state_every: float = 1e-3
    state_neurons: Mapping[str, Sequence[int]] = field(default_factory=dict)
    weights_every: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.spikes, str):
            object.__setattr__(self, "spikes", (self.spikes,))
        states = {name: (v,) if isinstance(v, str) else tuple(v) for name, v in self.states.items()}
        object.__setattr__(self, "states", states)
        for what in ("state_every", "weights_every"):
            if (value := getattr(self, what)) is not None:
                number(value, f"Record: {what}", least=0, ends=False, unit="s")


@dataclass(frozen=True, eq=False)
class Network:
    """Populations, projections and drives with the time step.

    Raises
    ------
    BraindecError
        If a name is not known or used twice, a time step is longer than a time constant, a delay shorter than a step,
        weights have the wrong sign for their population, or a rule does not fit.
    """

    populations: Sequence[Population]
    projections: Sequence[Projection] = ()
    drives: Sequence[PoissonDrive | CurrentDrive] = ()
    dt: float = 1e-4
    name: str = ""

    def __post_init__(self) -> None:
        kinds = {"populations": (Population,), "projections": (Projection,), "drives": (PoissonDrive, CurrentDrive)}
        for part, wanted in kinds.items():
            given = getattr(self, part)
            items = tuple(given) if isinstance(given, Iterable) else (given,)
            strange = [item for item in items if not isinstance(item, wanted)]
            if strange or not isinstance(given, Iterable):
                names = " or ".join(k.__name__ for k in wanted)
                raise BraindecError(
                    f"{part} of a network are a list of {names}", found=f"{(strange or items)[0]!r}"[:80]
                )
            object.__setattr__(self, part, items)
        from braindec.networks._checks import check_network

        check_network(self)

    def population(self, name: str, where: str = "") -> Population:
        """Return a population by name."""
        table = {p.name: p for p in self.populations}
        if name not in table:
            raise BraindecError(
                f"{where + ': ' if where else ''}there is no population {name!r}{did_you_mean(name, table)}",
                allowed=", ".join(table),
            )
        return table[name]

    def receptor_of(self, part: Projection | PoissonDrive) -> str:
        """Return the receptor of a projection or drive: the one asked for, or the one that its sign belongs to."""
        from braindec.networks._checks import receptor_of

        return receptor_of(self, part)


def sign_of(population: Population) -> int:
    """1, -1, or 0 where a population has no sign."""
    return _SIGNS[population.sign]


def rule_of(projection: Projection) -> ConnectionRule:
    """The connection rule of a projection."""
    return projection.rule
