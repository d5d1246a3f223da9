"""Run a network: one compiled loop for every network.

Source of the order of a step: Brette et al. 2007, J. Comput. Neurosci. 23, 349 (clock-driven simulation); Morrison et al.
2005, Neural Computation 17, 1776 (batches of the shortest delay). Spikes carry the time at which their step begins.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.networks._machine import Machine, assemble
from braindec.networks._numbers import is_whole, numbers
from braindec.networks._tables import MAX_RATE
from braindec.networks.description import Network, Record
from braindec.types import Spikes

__all__ = ["Simulation", "run"]


@dataclass(eq=False)
class Simulation:
    """What a run gave.

    Attributes
    ----------
    spikes : Spikes
        Of the recorded populations; ``units`` has population, index (and x, y, z in m where positions are given).
    states : dict
        population -> variable -> (n_recorded, n_samples), SI.
    state_times : array of shape (n_samples,)
        s; a sample is taken after the spikes that are due have arrived, before the step is integrated.
    weights : dict
        projection -> last weights of a plastic projection (n_synapses,), in the order of :func:`connections`.
    weight_history : dict
        projection -> (n_samples, n_synapses), with ``weights_every``.
    weight_times : array of shape (n_samples,)
    modulators : dict
        projection -> last value of its modulator.
    final : Machine
        The state to go on from: ``run(..., start=simulation)``.
    notes : list of str
    stopped : str or None
        When and why the network was stopped before its time.
    seconds_of_cpu, seconds : float
        Processor time and wall time of the loop, without building and compiling.
    """

    network: Network
    start: float
    stop: float
    states: dict[str, dict[str, np.ndarray]]
    state_times: np.ndarray
    final: Machine
    notes: list[str] = field(default_factory=list)
    stopped: str | None = None
    seconds_of_cpu: float = 0.0
    seconds: float = 0.0
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    weight_history: dict[str, np.ndarray] = field(default_factory=dict)
    weight_times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    modulators: dict[str, float] = field(default_factory=dict)
    steps: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    neurons: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def spikes(self) -> Spikes:
        """Spikes of the recorded populations in the order of the network."""
        tables, steps, units, first = [], [], [], 0
        for population in self.network.populations:
            if population.name not in self.steps:
                continue
            table = pd.DataFrame({"population": population.name, "index": np.arange(population.n)})
            table["name"] = [f"{population.name}{i}" for i in range(population.n)]
            if population.positions is not None:
                table[["x", "y", "z"]] = np.asarray(population.positions, dtype=float)
            tables.append(table)
            steps.append(self.steps[population.name])
            units.append(self.neurons[population.name].astype(np.int32) + np.int32(first))
            first += population.n
        if not tables:
            raise BraindecError("no spikes were recorded", fix="Record(spikes=True)")
        all_steps, all_units = np.concatenate(steps), np.concatenate(units)
        order = np.argsort(all_steps, kind="stable")
        times = np.minimum(all_steps[order] * self.network.dt, self.stop)
        info = {"modality": "spikes", "network": self.network.name, "simulated": True}
        with warnings.catch_warnings():
            if self.stopped:  # it has been said why neurons fire as none does
                warnings.simplefilter("ignore", UserWarning)
            units_table = pd.concat(tables, ignore_index=True)
            return Spikes(times, all_units[order], units_table, self.start, self.stop, info=info)

    def rate(self, population: str) -> float:
        """Mean rate of a population in Hz."""
        n = self.network.population(population).n
        return len(self.steps[population]) / n / (self.stop - self.start)


def run(
    network: Network, seconds: float, *, seed: int = 0, dtype: str = "float32", record: Record | None = None,
    threads: int = 1, backend: str | None = None, start: Simulation | None = None,
) -> Simulation:  # fmt: skip
    """Simulate ``seconds`` of a network.

    Parameters
    ----------
    network : Network
    seconds : float
        Biological time, rounded to whole steps.
    seed : int
        Of synapses, starts and drives; the same seed gives the same spikes for any number of threads.
    dtype : {"float32", "float64"}
    record : Record, optional
    threads : int
        Threads of the loop; they pay from about 20,000 neurons. Networks with plasticity run on one.
    backend : {"numba", "numpy", "cuda"}, optional
        "numpy" is the definition, for small networks; "cuda" runs networks without plasticity on a device.
    start : Simulation, optional
        Go on from its end (same network and dtype); the spikes are those of one undisturbed run, bit for bit.

    Raises
    ------
    BraindecError
        If a name in ``record`` is not known, the dtype or backend is not there, or ``start`` is of another network.
    """
    from braindec.kernels._backend import choose

    chosen, record = choose(backend, kernel="run"), record or Record()
    if dtype not in ("float32", "float64"):
        raise BraindecError(f"dtype is {dtype!r}", allowed="'float32', 'float64'")
    for what, given, wanted in (
        ("network", network, Network),
        ("record", record, Record),
        ("start", start, Simulation),
    ):
        if given is not None and not isinstance(given, wanted):
            raise BraindecError(f"{what} of a run is a {wanted.__name__}", found=f"{given!r}"[:80])
    if not numbers(seconds, "seconds") > 0 or round(seconds / network.dt) < 1:
        raise BraindecError("a run needs time", found=f"{seconds} s, dt={network.dt} s")
    if not is_whole(seed):
        raise BraindecError("the seed of a run is a whole number", found=f"{seed!r}"[:80])
    if not is_whole(threads) or threads < 1:
        raise BraindecError("a run needs a thread", found=f"threads={threads}")
    machine, threads = _machine(network, int(seed), dtype, start), int(threads)
    keeper = _Keeper(machine, record, round(seconds / network.dt))
    if chosen == "numpy":
        from braindec.networks._definition import run_numpy

        return keeper.finish(*run_numpy(machine, keeper))
    if chosen == "cuda":
        from braindec.networks._on_device import run_cuda

        return keeper.finish(*run_cuda(machine, keeper))
    from braindec.networks._compiled import run_compiled

    return keeper.finish(*run_compiled(machine, keeper, threads))


def _machine(network: Network, seed: int, dtype: str, start: Simulation | None) -> Machine:
    if start is None:
        return assemble(network, seed, dtype)
    if start.network is not network:
        raise BraindecError("a run can only go on with the network that it began with")
    if start.final.dtype != dtype:
        raise BraindecError("a run goes on in its own dtype", found=dtype, allowed=start.final.dtype)
    if start.stopped:
        raise BraindecError("a network that was stopped cannot go on", found=start.stopped)
    old = start.final
    machine = copy.copy(old)
    machine.cells = [copy.copy(c) for c in old.cells]
    for cells in machine.cells:
        cells.blocks = cells.blocks.copy()
    machine.wires = [{k: v.copy() if k == "ring" else v for k, v in w.items()} for w in old.wires]
    machine.plastic = {j: p.copy() for j, p in old.plastic.items()}
    machine.modulators, machine.history = old.modulators.copy(), list(old.history)
    for j, plastic in machine.plastic.items():
        plastic.bind(machine, j)
    return machine


class _Keeper:
    """Buffers of what a run records."""

    def __init__(self, machine: Machine, record: Record, n_steps: int) -> None:
        network = machine.network
        self.machine, self.record = machine, record
        self.first, self.last = machine.step, machine.step + n_steps
        names = [p.name for p in network.populations]
        asked = names if record.spikes is True else [] if record.spikes is False else list(record.spikes)
        for name in [*asked, *record.states, *record.state_neurons]:
            network.population(name, "Record")
        self.recorded = [name in asked for name in names]
        self.logs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {n: [] for n in asked}
        self.every = max(round(record.state_every / network.dt), 1)
        begin = -(-self.first // self.every) * self.every
        self.sample_steps = np.arange(begin, self.last, self.every)
        self.states = [self._state(n, v) for n, variables in record.states.items() for v in variables]
        self.weight_steps: list[int] = []
        self.weight_copies: dict[str, list[np.ndarray]] = {}
        every = record.weights_every
        self.weights_every = None if every is None else max(round(every / network.dt), 1)
        self.notes: list[str] = []
        self.full = 0  # spikes that were the most, where they were

    def _state(self, name: str, variable: str) -> dict[str, Any]:
        population = self.machine.network.population(name)
        kind = population.kind
        if variable not in kind.states:
            raise BraindecError(
                f"Record: {name!r} has no variable {variable!r}{did_you_mean(variable, kind.states)}",
                allowed=", ".join(kind.states) or "none",
            )
        asked = np.atleast_1d(numbers(self.record.state_neurons.get(name, np.arange(population.n)), "Record: neurons"))
        strange = asked[(asked < 0) | (asked >= population.n) | (asked != np.floor(asked))]
        if len(strange):
            raise BraindecError(f"Record: {name!r} has no neuron {strange[0]:g}", allowed=f"0 to {population.n - 1}")
        neurons = asked.astype(np.int32)
        out = np.zeros((len(neurons), len(self.sample_steps)), dtype=self.machine.dtype)
        return {
            "population": name,
            "variable": variable,
            "neurons": neurons,
            "out": out,
            "unit": kind.unit.get(variable, 1.0),
        }

    def add_spikes(self, name: str, first: int, counts: np.ndarray, neurons: np.ndarray) -> None:
        """Keep the spikes of the steps from ``first`` on, ``counts`` of them in each."""
        if len(neurons):
            self.logs[name].append((np.repeat(np.arange(first, first + len(counts)), counts), neurons))

    def n_spikes(self) -> int:
        """Spikes that were kept."""
        return sum(len(n) for log in self.logs.values() for _, n in log)

    def copy_weights(self, step: int) -> None:
        """Keep the weights before a step."""
        self.weight_steps.append(step)
        for plastic in self.machine.plastic.values():
            self.weight_copies.setdefault(plastic.name, []).append(plastic.public_weights())

    def finish(self, cpu: float, wall: float, exploded: int) -> Simulation:
        """Return the simulation."""
        machine, network = self.machine, self.machine.network
        done = self.sample_steps < machine.step
        states: dict[str, dict[str, np.ndarray]] = {}
        for s in self.states:
            values = s["out"][:, done] if s["unit"] == 1.0 else s["out"][:, done] * s["out"].dtype.type(s["unit"])
            states.setdefault(s["population"], {})[s["variable"]] = values
        steps, neurons = {}, {}
        for name, log in self.logs.items():
            steps[name] = np.concatenate([s for s, _ in log]) if log else np.zeros(0, dtype=np.int64)
            neurons[name] = np.concatenate([n for _, n in log]) if log else np.zeros(0, dtype=np.int32)
        stopped = None if exploded < 0 else self._why(exploded)
        if self.full:
            at = f"{machine.step * network.dt:g} s"
            stopped = f"more than {self.full:,} spikes by {at}; record fewer populations to go on"
        plastic = machine.plastic.values()
        return Simulation(
            network, self.first * network.dt, machine.step * network.dt, states, self.sample_steps[done] * network.dt,
            machine, self.notes, stopped, cpu, wall, {p.name: p.public_weights() for p in plastic},
            {k: np.array(v) for k, v in self.weight_copies.items()}, np.array(self.weight_steps) * network.dt,
            {p.name: p.modulator_value() for p in plastic if p.modulator_row is not None}, steps, neurons,
        )  # fmt: skip

    def _why(self, which: int) -> str:
        cells, dt = self.machine.cells[which], self.machine.network.dt
        name, at = cells.population.name, self.machine.step * dt
        what = f"{min(MAX_RATE, 1 / dt):g} Hz a neuron or more"
        if not np.isfinite(cells.blocks).all():
            what = "a variable was not finite"
        return f"the population {name!r} exploded: {what} at {at:g} s; what came before is kept"
