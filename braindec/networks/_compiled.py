"""A run by the compiled loop, in chunks between which its logs of spikes are emptied."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from braindec.kernels._network_tables import POP, RECORD
from braindec.kernels.network_loop import run_loop, run_loop_threads
from braindec.networks._machine import Machine
from braindec.networks._tables import Tables, remember, tabulate

__all__ = ["run_compiled"]

CHUNK = 100_000  # steps of one call of the loop at most
MAX_SPIKES = 500_000_000


def run_compiled(machine: Machine, keeper: Any, threads: int) -> tuple[float, float, int]:
    """Step ``machine`` to ``keeper.last``; returns as :func:`braindec.networks._definition.run_numpy`."""
    parts, batch = _parts(machine, keeper, threads)
    tables = tabulate(machine, parts, batch)
    _add_given(machine, keeper, tables)
    records = _records(keeper, tables)
    cpu = wall = 0.0
    exploded = -1
    while machine.step < keeper.last and exploded < 0:
        upto = min(keeper.last, machine.step + CHUNK)
        if keeper.weights_every is not None and machine.plastic:
            if machine.step % keeper.weights_every == 0:
                keeper.copy_weights(machine.step)
            upto = min(upto, (machine.step // keeper.weights_every + 1) * keeper.weights_every)
        first = machine.step
        logs = _set_logs(keeper, tables, upto - first, batch)
        c0, w0 = time.process_time(), time.perf_counter()
        machine.step, exploded = _call(machine, keeper, tables, records, parts, first, upto, batch)
        cpu, wall = cpu + time.process_time() - c0, wall + time.perf_counter() - w0
        _take_logs(machine, keeper, tables, logs, first)
        if keeper.n_spikes() > MAX_SPIKES:
            keeper.full = MAX_SPIKES
            break
    remember(machine, tables)
    return cpu, wall, exploded


def _parts(machine: Machine, keeper: Any, threads: int) -> tuple[int, int]:
    """Threads and steps of a batch."""
    delays = [int(np.min(s.delay_steps)) for s in machine.synapses if s.n]
    batch = min([64, *delays])
    if threads > 1 and machine.plastic:
        keeper.notes.append("networks with plasticity run on one thread")
        return 1, 1
    return threads, batch


def _call(
    machine: Machine,
    keeper: Any,
    tables: Tables,
    records: np.ndarray,
    parts: int,
    first: int,
    upto: int,
    batch: int,
) -> tuple[int, int]:
    like = np.zeros(1, dtype=machine.dtype)
    shared = (tables.pops, tables.proj, tables.weights, tables.drives, tables.drive_weights, records)
    if parts == 1:
        t, bad = run_loop(*shared, machine.modulators, machine.signs, first, upto, batch, keeper.first, like)
    else:
        t, bad = run_loop_threads(*shared, parts, first, upto, batch, keeper.first, like)
    return int(t), int(bad)


def _add_given(machine: Machine, keeper: Any, tables: Tables) -> None:
    for k, cells in enumerate(machine.cells):
        if cells.given is None:
            continue
        steps, neurons = cells.given
        first = np.searchsorted(steps, np.arange(keeper.first, keeper.last + 2)).astype(np.int64)
        tables.kept += [first, neurons]
        tables.pops[k, POP["given_first"]] = first.ctypes.data
        tables.pops[k, POP["given"]] = neurons.ctypes.data


def _records(keeper: Any, tables: Tables) -> np.ndarray:
    places = {p.name: k for k, p in enumerate(keeper.machine.network.populations)}
    rows = np.zeros((len(keeper.states), len(RECORD)), dtype=np.int64)
    begin = int(keeper.sample_steps[0]) if len(keeper.sample_steps) else 0
    for r, s in enumerate(keeper.states):
        population = keeper.machine.network.population(s["population"])
        row = {"target": places[s["population"]], "row": population.kind.row_of(s["variable"]),
               "neurons": s["neurons"].ctypes.data, "n": len(s["neurons"]), "out": s["out"].ctypes.data,
               "samples": s["out"].shape[1], "every": keeper.every, "from": begin}  # fmt: skip
        for name, value in row.items():
            rows[r, RECORD[name]] = value
    return rows


def _set_logs(keeper: Any, tables: Tables, n_steps: int, batch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    logs = []
    for k, cells in enumerate(keeper.machine.cells):
        n = cells.population.n
        size = max(4 * batch * n, 1 << 18) if keeper.recorded[k] else 0
        log = np.empty(size, dtype=np.int32)
        counts = np.zeros(n_steps if keeper.recorded[k] else 0, dtype=np.int32)
        logs.append((log, counts))
        for name, value in (("record", keeper.recorded[k]), ("log", log.ctypes.data), ("log_size", size), ("log_used", 0),
                            ("log_counts", counts.ctypes.data)):  # fmt: skip
            tables.pops[k, POP[name]] = value
    return logs


def _take_logs(
    machine: Machine, keeper: Any, tables: Tables, logs: list[tuple[np.ndarray, np.ndarray]], first: int
) -> None:
    for k, population in enumerate(machine.network.populations):
        if keeper.recorded[k]:
            used = int(tables.pops[k, POP["log_used"]])
            log, counts = logs[k]
            keeper.add_spikes(population.name, first, counts[: machine.step - first], log[:used].copy())
