"""A network laid out in memory: blocks of variables, rows of synapses, drives; its tables are made by ``_tables``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from braindec.errors import BraindecError
from braindec.kernels.counter_random import key_of, poisson_thresholds
from braindec.kernels.state_update import BLOCK, to_blocks, update_address
from braindec.networks._numbers import numbers
from braindec.networks.build import Synapses, build, initial_rows
from braindec.networks.description import CurrentDrive, Network, PoissonDrive, Population
from braindec.types import Spikes

__all__ = ["Cells", "Machine", "assemble"]


@dataclass(eq=False)
class Cells:
    """One population in memory."""

    population: Population
    blocks: np.ndarray  # (n_blocks, n_rows, BLOCK)
    constants: np.ndarray
    update: int
    key: int
    rows: tuple[int, ...]  # constants that have a row
    given: tuple[np.ndarray, np.ndarray] | None = None  # steps and neurons of given spikes

    @property
    def n_rows(self) -> int:
        """Rows of a block."""
        return self.blocks.shape[1]


@dataclass(eq=False)
class Machine:
    """Everything a run reads and writes; ``step`` is the next one."""

    network: Network
    seed: int
    dtype: str
    cells: list[Cells]
    synapses: list[Synapses]
    wires: list[dict[str, np.ndarray]]
    drives: list[dict[str, Any]]
    plastic: dict[int, Any] = field(default_factory=dict)
    modulators: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    signs: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), dtype=np.int64))
    history: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    watched: list[tuple[int, int]] = field(default_factory=list)  # spikes since the last look at a population, its step
    step: int = 0


def assemble(network: Network, seed: int, dtype: str) -> Machine:
    """Build synapses and lay out populations and drives."""
    timed = _scheduled(network)
    cells = [
        _cells(network, p, number, seed, dtype, timed.get(p.name, {})) for number, p in enumerate(network.populations)
    ]
    places = {p.name: k for k, p in enumerate(network.populations)}
    synapses = [build(network, k, seed) for k in range(len(network.projections))]
    wires = []
    for projection, made in zip(network.projections, synapses, strict=True):
        wires.append(_wires(made, cells[places[projection.target]], dtype, projection.plasticity is not None))
    drives = [_drive(network, d, k, seed, cells[places[d.target]], dtype) for k, d in enumerate(network.drives)]
    for name, constants in timed.items():
        drives += [_schedule(cells[places[name]], c, table, network.dt, width, dtype) for c, (table, width) in constants.items()]  # fmt: skip
    longest = [_longest_delay(network, p.name, synapses) for p in network.populations]
    history = [(np.zeros(d, dtype=np.int32), np.zeros(0, dtype=np.int32)) for d in longest]
    machine = Machine(network, seed, dtype, cells, synapses, wires, [d for d in drives if d], history=history,
                      watched=[(0, 0)] * len(cells))  # fmt: skip
    _add_plasticity(machine)
    return machine


def _add_plasticity(machine: Machine) -> None:
    if any(p.plasticity is not None for p in machine.network.projections):
        from braindec.networks._plastic import add_plasticity

        add_plasticity(machine)


def _longest_delay(network: Network, name: str, synapses: list[Synapses]) -> int:
    mine = [int(np.min(s.delay_steps)) for p, s in zip(network.projections, synapses, strict=True) if p.source == name and s.n]  # fmt: skip
    return max([1, *mine])


def _scheduled(network: Network) -> dict[str, dict[str, tuple[np.ndarray, float]]]:
    """Constants that are set while the network runs: population -> constant -> (table (n_bins, n or 1), width of a bin)."""
    found: dict[str, dict[str, tuple[np.ndarray, float]]] = {}
    for drive in network.drives:
        if isinstance(drive, CurrentDrive):
            kind = network.population(drive.target).kind
            table = np.atleast_2d(np.asarray(drive.current, dtype=float))
            base = np.asarray(network.population(drive.target).values.get(kind.current, 0.0), dtype=float)
            scale = kind.unit.get(kind.current, 1.0)
            found.setdefault(drive.target, {})[kind.current] = ((table + base) / scale, drive.bin_width or 0.0)
    for population in network.populations:
        for name, value in population.kind.constants(population.values, network.dt).items():
            if np.ndim(value) == 2:
                width = population.values.get("bin_width")
                if not width:
                    raise BraindecError(f"{population.name!r}: values by time need the parameter bin_width in s")
                if value.shape[1] not in (1, population.n):
                    raise BraindecError(f"{population.name!r}: values by time have another shape", found=str(value.shape),
                                        allowed=f"(n_bins, 1) or (n_bins, {population.n})")  # fmt: skip
                found.setdefault(population.name, {})[name] = (value, float(width))
    return found


def _cells(
    network: Network, population: Population, number: int, seed: int, dtype: str, timed: Mapping[str, Any]
) -> Cells:
    kind, key = population.kind, key_of(seed, 0xCE11, number)
    if kind.integrate is None:
        empty = np.zeros((max(-(-population.n // BLOCK), 1), 0, BLOCK), dtype=dtype)
        return Cells(population, empty, np.zeros(0, dtype=dtype), 0, key, (), given=given_spikes(network, population))
    values = kind.constants(population.values, network.dt)
    names = list(values)
    rows = tuple(k for k, c in enumerate(names) if c in timed or np.ndim(values[c]) > 0)
    start = initial_rows(population, seed, number)
    columns = [start[s] / kind.unit.get(s, 1.0) for s in kind.states]
    for k in rows:
        first = timed[names[k]][0][0] if names[k] in timed else values[names[k]]
        columns.append(np.broadcast_to(np.asarray(first, dtype=float), (population.n,)))
    shared = np.array([0.0 if k in rows else float(values[c]) for k, c in enumerate(names)])
    blocks = to_blocks(columns, dtype)
    return Cells(population, blocks, shared.astype(dtype), update_address(kind.bodies(rows), dtype), key, rows)


def given_spikes(network: Network, population: Population) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and neurons of the spikes of a population whose spikes are given, in order."""
    values = population.values
    where = f"the population {population.name!r}"
    if values.get("spikes") is not None:
        if not isinstance(values["spikes"], Spikes):
            raise BraindecError(f"{where}: spikes are given as Spikes", found=f"{values['spikes']!r}"[:80], fix="or as times and neurons")  # fmt: skip
        times, neurons = values["spikes"].times, values["spikes"].unit
    else:
        times, neurons = (numbers(values[k], f"{where}: {k}", finite=False) for k in ("times", "neurons"))
    if times.shape != neurons.shape or times.ndim != 1:
        raise BraindecError(
            f"{where}: spike times and neurons differ in number", found=f"{times.shape} and {neurons.shape}"
        )
    if not np.isfinite(times).all() or np.any(times < 0):
        raise BraindecError(f"{where}: spike times are finite and not negative, in s")
    strange = neurons[(neurons < 0) | (neurons >= population.n) | (neurons != np.floor(neurons))]
    if len(strange):
        raise BraindecError(f"{where}: a spike names neuron {strange[0]:g}", allowed=f"0 to {population.n - 1}")
    steps = np.round(times / network.dt).astype(np.int64)
    order = np.lexsort((neurons, steps))
    steps, neurons = steps[order], neurons[order].astype(np.int32)
    double = (np.diff(steps) == 0) & (np.diff(neurons) == 0)
    if double.any():
        raise BraindecError(
            f"{where}: {int(double.sum())} spikes share a neuron and a time step",
            found=f"the first at {steps[1:][double][0] * network.dt:g} s",
            fix="take a smaller dt, or Spikes.without_duplicates()",
        )
    return steps, neurons


def _wires(made: Synapses, cells: Cells, dtype: str, plastic: bool) -> dict[str, np.ndarray]:
    """Arrays of one projection as the loop reads them."""
    found = {"indptr": made.offsets, "targets": made.targets}
    constant = np.ndim(made.weights) == 0
    scale = weight_unit(cells.population, made)
    found["constant"] = np.array([float(made.weights) / scale if constant else 0.0])
    found["weights"] = np.zeros(0, dtype=dtype) if constant else (np.asarray(made.weights) / scale).astype(dtype)
    if np.ndim(made.delay_steps):
        found["delays"] = made.delay_steps
    elif not plastic:
        found["targets"] = _placed(made.targets, cells.n_rows)
    return found


def weight_unit(population: Population, made: Any) -> float:
    """SI value of one internal unit of weights onto a population."""
    return population.kind.unit.get("weight", 1.0)


@njit(cache=True, nogil=True)
def _placed(targets, n_rows):
    """Where the targets stand in blocks of ``n_rows`` rows."""
    found = np.empty_like(targets)
    for e in range(len(targets)):
        found[e] = targets[e] // BLOCK * (n_rows * BLOCK) + targets[e] % BLOCK
    return found


def _drive(network: Network, drive: Any, k: int, seed: int, cells: Cells, dtype: str) -> dict[str, Any]:
    if not isinstance(drive, PoissonDrive):
        return {}
    kind, population = cells.population.kind, cells.population
    receptor = kind.receptors[network.receptor_of(drive)]
    means = np.atleast_2d(np.asarray(drive.rate, dtype=float)) * drive.n_synapses * network.dt
    steps = 0 if drive.bin_width is None else max(round(drive.bin_width / network.dt), 1)
    shared = means.shape[1] == 1 or population.n == 1
    weight = drive.weight / kind.unit.get("weight", 1.0)
    found = {"target": population.name, "row": kind.row_of(receptor.state), "key": key_of(seed, 0xD21E, k), "steps": steps,
             "n_bins": len(means), "weight": weight, "kind": 0, "width": 1}  # fmt: skip
    if shared and means.max(initial=0.0) <= 200:
        tables = [poisson_thresholds(float(m)) for m in means[:, 0]]
        offsets = np.concatenate([[0], np.cumsum([len(t) for t in tables])]).astype(np.int64)
        return {**found, "table": np.concatenate([*tables, np.zeros(1, np.uint32)]), "offsets": offsets}
    if means.max(initial=0.0) > 500:
        raise BraindecError(
            f"a drive of {population.name!r} sends {means.max():.4g} spikes a step to a neuron",
            allowed="500 or fewer",
            fix="is the rate in Hz? else take a current",
        )
    padded = _padded(means, len(cells.blocks) * BLOCK)
    return {**found, "kind": 1, "table": padded, "offsets": np.zeros(1, np.int64), "width": padded.shape[1]}


def _schedule(cells: Cells, constant: str, table: np.ndarray, dt: float, width: float, dtype: str) -> dict[str, Any]:
    names = list(cells.population.kind.constants(cells.population.values, dt))
    row = len(cells.population.kind.states) + cells.rows.index(names.index(constant))
    padded = _padded(table, len(cells.blocks) * BLOCK).astype(dtype)
    steps = max(round(width / dt), 1) if width else 0
    return {"target": cells.population.name, "row": row, "key": 0, "steps": steps, "n_bins": len(padded), "weight": 0.0,
            "kind": 2, "table": padded, "offsets": np.zeros(1, np.int64), "width": padded.shape[1]}  # fmt: skip


def _padded(table: np.ndarray, width: int) -> np.ndarray:
    full = np.broadcast_to(table, (len(table), width)) if table.shape[1] == 1 else table
    return np.ascontiguousarray(np.pad(full, ((0, 0), (0, width - full.shape[1])), mode="edge"))
