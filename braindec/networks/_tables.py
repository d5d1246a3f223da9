"""The tables of addresses that one call of the compiled loop reads, and what is kept of them between two runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from braindec.kernels._network_tables import DRIVE, POP, PROJ
from braindec.kernels._network_watch import CHECK, spikes_allowed
from braindec.kernels.state_update import BLOCK
from braindec.networks._machine import Cells, Machine

__all__ = ["MAX_RATE", "Tables", "remember", "tabulate", "which_exploded"]

MAX_RATE = 1000.0  # Hz of a whole population: it has exploded


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
        if not finite[k] or (
            fires and machine.watched[k][0] >= spikes_allowed.py_func(cells.population.n, steps, limit)
        ):
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
