"""A network laid out for the compiled loop: blocks of variables, rows of synapses, and the tables that point to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from braindec.errors import BraindecError
from braindec.kernels.counter_random import key_of, poisson_thresholds
from braindec.kernels._network_tables import DRIVE, POP, PROJ
from braindec.kernels._network_watch import CHECK, spikes_allowed
from braindec.kernels.state_update import BLOCK, to_blocks, update_address
from braindec.networks._numbers import numbers
from braindec.networks.build import Synapses, build, initial_rows
from braindec.networks.description import CurrentDrive, Network, PoissonDrive, Population
from braindec.types import Spikes

__all__ = ["Machine", "assemble"]

MAX_RATE = 1000.0  # Hz of a whole population: it has exploded


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


@dataclass(eq=False)
class Tables:
    """Tables of one run, and the arrays that their addresses point to."""

    pops: np.ndarray
    proj: np.ndarray
    weights: np.ndarray
    drives: np.ndarray
    drive_weights: np.ndarray
    rings: list[np.ndarray]
    counts: list[np.ndarray]
    kept: list[Any] = field(default_factory=list)


def tabulate(machine: Machine, parts: int, batch: int) -> Tables:
    """Write the tables for ``parts`` threads and batches of ``batch`` steps."""
    network, places = machine.network, {p.name: k for k, p in enumerate(machine.network.populations)}
    like = np.zeros(1, dtype=machine.dtype)
    pops = np.zeros((len(machine.cells), len(POP)), dtype=np.int64)
    rings, counts = [], []
    for k, cells in enumerate(machine.cells):
        n, n_blocks = cells.population.n, len(cells.blocks)
        slots = len(machine.history[k][0]) + batch + 1
        cap = max(min(n, (n_blocks * (q + 1) // parts - n_blocks * q // parts) * BLOCK) for q in range(parts))
        ring, count = np.empty((parts, slots, cap), dtype=np.int32), np.zeros((parts, slots), dtype=np.int32)
        _restore(machine, k, ring, count, parts)
        rings.append(ring)
        counts.append(count)
        since, looked = machine.watched[k]
        row = {"n": n, "rows": cells.n_rows, "flat": cells.blocks.ctypes.data, "constants": cells.constants.ctypes.data,
               "update": cells.update, "key": cells.key, "ring": ring.ctypes.data, "counts": count.ctypes.data, "cap": cap,
               "slots": slots, "blocks": n_blocks, "limit": spike_limit(cells, network.dt), "since": since, "looked": looked}  # fmt: skip
        for name, value in row.items():
            pops[k, POP[name]] = value
    proj = np.zeros((len(machine.wires), len(PROJ)), dtype=np.int64)
    weights = np.zeros(len(machine.wires), dtype=machine.dtype)
    kept: list[Any] = [like]
    for j, wires in enumerate(machine.wires):
        row = _projection_row(machine, j, wires, places, parts, kept)
        weights[j] = wires["constant"][0]
        for name, value in row.items():
            proj[j, PROJ[name]] = value
    drives = np.zeros((len(machine.drives), len(DRIVE)), dtype=np.int64)
    for k, drive in enumerate(machine.drives):
        row = {"kind": drive["kind"], "target": places[drive["target"]], "row": drive["row"], "table": drive["table"].ctypes.data,
               "width": drive["width"], "n_bins": drive["n_bins"], "bin_steps": drive["steps"], "key": drive["key"],
               "offsets": drive["offsets"].ctypes.data}  # fmt: skip
        for name, value in row.items():
            drives[k, DRIVE[name]] = value
    drive_weights = np.array([d["weight"] for d in machine.drives], dtype=machine.dtype)
    return Tables(pops, proj, weights, drives, drive_weights, rings, counts, kept)


def _projection_row(
    machine: Machine, j: int, wires: dict[str, np.ndarray], places: dict[str, int], parts: int, kept: list[Any]
) -> dict[str, int]:
    projection, made = machine.network.projections[j], machine.synapses[j]
    target = machine.cells[places[projection.target]]
    kind = target.population.kind
    receptor = kind.receptors[machine.network.receptor_of(projection)]
    row = {"kind": 0, "source": places[projection.source], "target": places[projection.target], "row": kind.row_of(receptor.state),
           "delay": int(np.min(made.delay_steps)) if made.n else 1, "indptr": wires["indptr"].ctypes.data,
           "targets": wires["targets"].ctypes.data, "weights": wires["weights"].ctypes.data if len(wires["weights"]) else 0,
           "padded": len(target.blocks) * BLOCK}  # fmt: skip
    if "delays" in wires:
        slots = int(made.delay_steps.max()) + 2
        ring = wires.setdefault("ring", np.zeros((slots, row["padded"]), dtype=machine.dtype))
        row |= {"kind": 1, "delays": wires["delays"].ctypes.data, "ring": ring.ctypes.data, "slots": slots}
    if j in machine.plastic:
        row |= machine.plastic[j].table_row()
    if parts > 1:
        bounds = [len(target.blocks) * q // parts * BLOCK for q in range(parts + 1)]
        if row["kind"] == 0:
            bounds = [b * target.n_rows for b in bounds]
        splits = _splits(wires["indptr"], wires["targets"], np.array(bounds, dtype=np.int64))
        kept.append(splits)
        row["splits"] = splits.ctypes.data
    return row


@njit(cache=True, nogil=True)
def _splits(indptr, targets, bounds):
    """Where the part of each thread begins in each row; rows are in rising order."""
    n, parts = len(indptr) - 1, len(bounds) - 1
    found = np.empty((parts + 1, n), dtype=np.int64)
    for i in range(n):
        e = indptr[i]
        for q in range(parts):
            while e < indptr[i + 1] and targets[e] < bounds[q]:
                e += 1
            found[q, i] = e
        found[parts, i] = indptr[i + 1]
    return found


def _restore(machine: Machine, k: int, ring: np.ndarray, count: np.ndarray, parts: int) -> None:
    """Write the spikes of the last steps into the ring."""
    lengths, neurons = machine.history[k]
    n_blocks, slots, at = len(machine.cells[k].blocks), ring.shape[1], 0
    for back, length in enumerate(lengths):
        step = machine.step - len(lengths) + back
        mine = neurons[at : at + length]
        at += length
        for q in range(parts):
            low, high = n_blocks * q // parts * BLOCK, n_blocks * (q + 1) // parts * BLOCK
            part = mine[(mine >= low) & (mine < high)]
            ring[q, step % slots, : len(part)] = part
            count[q, step % slots] = len(part)


def spike_limit(cells: Cells, dt: float) -> int:
    """Spikes in ``CHECK`` steps that are too many; 0 for sources, which fire as they are told."""
    return max(int(MAX_RATE * dt * CHECK * cells.population.n), 1) if cells.population.kind.receptors else 0


def which_exploded(machine: Machine, finite: list[bool]) -> int:
    """Return the population that has exploded before ``machine.step``, or -1: what the compiled loop asks.

    Parameters
    ----------
    machine : Machine
        ``watched`` has the spikes of each population since the last look; the look is noted there.
    finite : list of bool
        Whether the variables of each population are.
    """
    steps = machine.step - machine.watched[0][1]
    for k, cells in enumerate(machine.cells):
        limit = spike_limit(cells, machine.network.dt)
        fires = steps >= CHECK and limit > 0
        if not finite[k] or (fires and machine.watched[k][0] >= spikes_allowed.py_func(cells.population.n, steps, limit)):
            return k
    if steps >= CHECK:
        machine.watched = [(0, machine.step)] * len(machine.cells)
    return -1


def remember(machine: Machine, tables: Tables) -> None:
    """Keep the spikes that have not reached all their targets, and what was counted since the last look."""
    machine.watched = [(int(row[POP["since"]]), int(row[POP["looked"]])) for row in tables.pops]
    for k, (lengths, _) in enumerate(machine.history):
        slots, parts = tables.rings[k].shape[1], tables.rings[k].shape[0]
        found, sizes = [], []
        for back in range(len(lengths)):
            step = machine.step - len(lengths) + back
            pieces = [tables.rings[k][q, step % slots, : tables.counts[k][q, step % slots]] for q in range(parts)]
            found += pieces
            sizes.append(sum(len(p) for p in pieces))
        machine.history[k] = (np.array(sizes, dtype=np.int32), np.concatenate(found).astype(np.int32))
