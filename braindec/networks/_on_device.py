"""A run on a CUDA device: a plain loop over steps that launches the kernels of propagation, drives and neurons.

For networks of any model without plasticity, with one delay a projection. Drives: Poisson of one rate, currents.
Spikes are those of the processor up to the rounding of sums, whose order a device does not keep.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.kernels._neurons_on_device import THREADS, finite_on_device, neurons_on_device, poisson_on_device
from braindec.kernels.counter_random import step_key_numpy
from braindec.kernels.propagation import MAX_GRID, deliver_on_device
from braindec.kernels.propagation import THREADS as A_SPIKE
from braindec.kernels.state_update import BLOCK
from braindec.networks._tables import which_exploded

__all__ = ["run_cuda"]

FLUSH = 64  # steps between two looks at the log of spikes


def run_cuda(machine: Any, keeper: Any) -> tuple[float, float, int]:
    """Step ``machine`` to ``keeper.last`` on the device; returns as :func:`braindec.networks._definition.run_numpy`."""
    from numba import cuda

    _check(machine)
    network = machine.network
    places = {p.name: k for k, p in enumerate(network.populations)}
    cells = [_Cells(machine, k) for k in range(len(machine.cells))]
    wires = [_wires(machine, j, places, cuda) for j in range(len(machine.wires))]
    deliver, poisson = deliver_on_device(), poisson_on_device()
    tables = [cuda.to_device(d["table"]) if d["kind"] == 0 else None for d in machine.drives]
    cpu, wall = time.process_time(), time.perf_counter()
    samples = {int(t): k for k, t in enumerate(keeper.sample_steps)}
    exploded = -1
    while machine.step < keeper.last and exploded < 0:
        t = machine.step
        for w in wires:
            source, target = cells[w["source"]], cells[w["target"]]
            deliver[w["grid"], A_SPIKE](w["offsets"], w["targets"], w["weights"], w["one"], w["constant"], source.out,
                                        source.counts, (t - w["delay"]) % source.slots, target.flat, w["shift"])  # fmt: skip
        for drive, table in zip(machine.drives, tables, strict=True):
            _drive(drive, table, cells[places[drive["target"]]], t, poisson)
        if t in samples:
            for s in keeper.states:
                s["out"][:, samples[t]] = cells[places[s["population"]]].variable(s["variable"])[s["neurons"]]
        for c in cells:
            c.step(t)
        machine.step += 1
        if machine.step % FLUSH == 0 or machine.step == keeper.last:
            machine.watched = [
                (spikes + c.flush(keeper, keeper.recorded[k]), looked)
                for k, (c, (spikes, looked)) in enumerate(zip(cells, machine.watched, strict=True))
            ]
            exploded = which_exploded(machine, [c.finite() for c in cells])
    cuda.synchronize()
    for k, c in enumerate(cells):
        c.finish(machine, k)
    return time.process_time() - cpu, time.perf_counter() - wall, exploded


def _check(machine: Any) -> None:
    for made, projection in zip(machine.synapses, machine.network.projections, strict=True):
        if projection.plasticity is not None or np.ndim(made.delay_steps):
            raise BraindecError(
                f"backend='cuda' runs projections with one delay and no plasticity, and {projection.name!r} is another",
                fix="backend='numba'",
            )
    for drive in machine.drives:
        if drive["kind"] == 1 or (drive["kind"] == 0 and drive["steps"]):
            raise BraindecError(
                f"backend='cuda' runs Poisson drives of one constant rate, and that of {drive['target']!r} is another",
                fix="backend='numba', or a poisson population",
            )


class _Cells:
    """One population on the device."""

    def __init__(self, machine: Any, k: int) -> None:
        from numba import cuda

        self.cuda, self.cells, self.n = cuda, machine.cells[k], machine.cells[k].population.n
        self.kind, self.n_rows = self.cells.population.kind, self.cells.n_rows
        self.slots = len(machine.history[k][0]) + 2
        lists, counts = np.zeros((self.slots, self.n), dtype=np.int32), np.zeros(self.slots, dtype=np.int32)
        lengths, neurons = machine.history[k]
        for back, piece in enumerate(np.split(neurons, np.cumsum(lengths)[:-1])):
            slot = (machine.step - len(lengths) + back) % self.slots
            lists[slot, : len(piece)], counts[slot] = piece, len(piece)
        self.out, self.counts = cuda.to_device(lists), cuda.to_device(counts)
        self.zero = cuda.to_device(np.zeros(1, dtype=np.int32))
        self.flat = cuda.to_device(np.ascontiguousarray(self.cells.blocks.ravel()))
        self.shared = tuple(self.cells.blocks.dtype.type(c) for c in self.cells.constants)
        self.log = cuda.to_device(np.zeros((min(FLUSH * self.n, 1 << 26), 2), dtype=np.int32))
        self.log_count = cuda.to_device(np.zeros(1, dtype=np.int32))
        self.given: list[np.ndarray] = []
        if self.cells.given is None:
            self.kernel = neurons_on_device(self.kind.bodies(self.cells.rows), machine.dtype == "float64")

    def step(self, t: int) -> None:
        """Step every neuron; a population whose spikes are given copies those of the step."""
        slot = t % self.slots
        if self.cells.given is not None:
            steps, neurons = self.cells.given
            part = np.ascontiguousarray(neurons[np.searchsorted(steps, t) : np.searchsorted(steps, t + 1)])
            if len(part):
                self.out[slot, : len(part)].copy_to_device(part)
            self.counts[slot : slot + 1].copy_to_device(np.array([len(part)], dtype=np.int32))
            self.given += [np.stack([np.full(len(part), t), part], axis=1)]
            return
        self.counts[slot : slot + 1].copy_to_device(self.zero)
        low, high = step_key_numpy(self.cells.key, t)
        self.kernel[-(-self.n // THREADS), THREADS](self.flat, self.shared, self.n, low, high, self.out, self.counts, slot,
                                                    self.log, self.log_count, t)  # fmt: skip

    def variable(self, name: str) -> np.ndarray:
        """One variable of all neurons."""
        blocks = self.flat.copy_to_host().reshape(self.cells.blocks.shape)
        return blocks[:, self.kind.row_of(name), :].reshape(-1)[: self.n]

    def finite(self) -> bool:
        """Whether all variables are finite."""
        if self.cells.given is not None:
            return True
        flag = self.cuda.to_device(np.zeros(1, dtype=np.int32))
        finite_on_device()[-(-self.n // THREADS), THREADS](self.flat, self.n, self.n_rows, flag)
        return int(flag.copy_to_host()[0]) == 0

    def flush(self, keeper: Any, recorded: bool) -> int:
        """Hand the spikes since the last flush to the keeper, in order; returns their number."""
        if self.cells.given is not None:
            found = np.concatenate([np.zeros((0, 2), dtype=np.int64), *self.given])
            self.given = []
        else:
            n = int(self.log_count.copy_to_host()[0])
            if n > len(self.log):
                raise BraindecError(
                    f"the population {self.cells.population.name!r} fires too much for its log on the device"
                )
            found = self.log[:n].copy_to_host() if n else np.zeros((0, 2), dtype=np.int64)
            self.log_count.copy_to_device(np.zeros(1, dtype=np.int32))
        if recorded and len(found):
            found = found[np.lexsort((found[:, 1], found[:, 0]))]
            first = int(found[0, 0])
            counts = np.bincount(found[:, 0] - first)
            keeper.add_spikes(self.cells.population.name, first, counts, found[:, 1].astype(np.int32))
        return len(found)

    def finish(self, machine: Any, k: int) -> None:
        """Copy variables and the spikes that are on their way back to the machine."""
        self.cells.blocks[:] = self.flat.copy_to_host().reshape(self.cells.blocks.shape)
        out, counts = self.out.copy_to_host(), self.counts.copy_to_host()
        steps = [
            (machine.step - len(machine.history[k][0]) + b) % self.slots for b in range(len(machine.history[k][0]))
        ]
        pieces = [np.sort(out[s, : counts[s]]) for s in steps]
        machine.history[k] = (
            np.array([len(p) for p in pieces], dtype=np.int32),
            np.concatenate(pieces).astype(np.int32),
        )


def _wires(machine: Any, j: int, places: dict[str, int], cuda: Any) -> dict[str, Any]:
    projection, made, wires = machine.network.projections[j], machine.synapses[j], machine.wires[j]
    kind = machine.network.population(projection.target).kind
    row = kind.row_of(kind.receptors[machine.network.receptor_of(projection)].state)
    real = np.dtype(machine.dtype).type
    constant = not len(wires["weights"])
    size = np.zeros(1, dtype=machine.dtype) if constant else wires["weights"]
    n = machine.network.population(projection.source).n
    return {"source": places[projection.source], "target": places[projection.target], "offsets": cuda.to_device(made.offsets),
            "targets": cuda.to_device(wires["targets"]), "weights": cuda.to_device(size), "one": real(wires["constant"][0]),
            "constant": constant, "delay": int(made.delay_steps), "shift": row * BLOCK, "grid": min(n, MAX_GRID)}  # fmt: skip


def _drive(drive: dict[str, Any], table: Any, cells: _Cells, t: int, poisson: Any) -> None:
    if drive["kind"] == 0:
        low, high = step_key_numpy(drive["key"], t)
        weight = cells.cells.blocks.dtype.type(drive["weight"])
        n_used = int(drive["offsets"][1])
        poisson[-(-cells.n // THREADS), THREADS](cells.flat, cells.n, cells.n_rows, drive["row"], table[:n_used], low, high, weight)  # fmt: skip
    elif drive["steps"] and t % drive["steps"] == 0:
        values = drive["table"][min(t // drive["steps"], drive["n_bins"] - 1)]
        blocks = cells.flat.copy_to_host().reshape(cells.cells.blocks.shape)
        blocks[:, drive["row"], :] = values.reshape(-1, BLOCK)
        cells.flat.copy_to_device(blocks.ravel())
