"""The definition of a run: the same steps as the compiled loop in plain numpy, for small networks and for tests.

Sums are in the same order as in the compiled loop, so spikes and variables are equal bit for bit in float64 (with
plasticity up to rounding: here every trace decays in every step).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from braindec.kernels.counter_random import uniforms_numpy
from braindec.kernels.state_update import BLOCK, state_update_numpy, to_blocks
from braindec.networks._tables import which_exploded

__all__ = ["run_numpy"]


def run_numpy(machine: Any, keeper: Any) -> tuple[float, float, int]:
    """Step ``machine`` to ``keeper.last`` and return seconds of processor, seconds, and which population exploded or -1."""
    network = machine.network
    places = {p.name: k for k, p in enumerate(network.populations)}
    rows = [
        c.blocks.transpose(1, 0, 2).reshape(c.n_rows, len(c.blocks) * BLOCK)[:, : c.population.n].copy()
        for c in machine.cells
    ]
    past: list[dict[int, np.ndarray]] = [_past(machine, k) for k in range(len(machine.cells))]
    rules = {j: _Rule(machine, j) for j in machine.plastic}
    cpu, wall, exploded = time.process_time(), time.perf_counter(), -1
    while machine.step < keeper.last and exploded < 0:
        t = machine.step
        if keeper.weights_every is not None and machine.plastic and t % keeper.weights_every == 0:
            keeper.copy_weights(t)
        for rule in rules.values():
            rule.begin(t)
        for j, projection in enumerate(network.projections):
            target = places[projection.target]
            _deliver(machine, j, past[places[projection.source]], rows[target], t, rules.get(j))
        for drive in machine.drives:
            _drive(drive, rows[places[drive["target"]]], t)
        if t in keeper.sample_steps:
            for s in keeper.states:
                k = places[s["population"]]
                row = machine.cells[k].population.kind.row_of(s["variable"])
                s["out"][:, int(np.searchsorted(keeper.sample_steps, t))] = rows[k][row, s["neurons"]]
        now = [_step(cells, rows[k], t) for k, cells in enumerate(machine.cells)]
        for k, fired in enumerate(now):
            past[k][t] = fired
            past[k].pop(t - 1 - max(len(machine.history[k][0]), *_longest(machine), 1), None)
            if keeper.recorded[k]:
                keeper.add_spikes(machine.cells[k].population.name, t, np.array([len(fired)]), fired)
        for j, rule in rules.items():
            rule.fired(now[places[network.projections[j].target]])
        for m in range(len(machine.modulators)):
            value, rate, gain, baseline = machine.modulators[m]
            drive = float(sum(s * len(f) for s, f in zip(machine.signs[m], now, strict=True)))
            machine.modulators[m, 0] = value + rate * (gain * drive + baseline - value)
        machine.step += 1
        machine.watched = [(s + len(f), looked) for (s, looked), f in zip(machine.watched, now, strict=True)]
        exploded = which_exploded(machine, [bool(np.isfinite(r).all()) for r in rows])
    for k, cells in enumerate(machine.cells):
        if cells.n_rows:
            cells.blocks[:] = to_blocks(list(rows[k]), machine.dtype)
        lengths = [len(past[k].get(machine.step - len(machine.history[k][0]) + b, ())) for b in range(len(machine.history[k][0]))]  # fmt: skip
        kept = [past[k].get(machine.step - len(lengths) + b, np.zeros(0, np.int32)) for b in range(len(lengths))]
        machine.history[k] = (np.array(lengths, dtype=np.int32), np.concatenate(kept).astype(np.int32))
    for rule in rules.values():
        rule.finish(machine.step)
    return time.process_time() - cpu, time.perf_counter() - wall, exploded


def _past(machine: Any, k: int) -> dict[int, np.ndarray]:
    lengths, neurons = machine.history[k]
    pieces = np.split(neurons, np.cumsum(lengths)[:-1])
    return {machine.step - len(lengths) + b: piece for b, piece in enumerate(pieces)}


def _longest(machine: Any) -> list[int]:
    return [int(np.max(s.delay_steps)) for s in machine.synapses if s.n]


def _deliver(machine: Any, j: int, past: dict[int, np.ndarray], rows: np.ndarray, t: int, rule: Any) -> None:
    """Add what arrives at step ``t``, spike by spike in order."""
    projection, made, wires = machine.network.projections[j], machine.synapses[j], machine.wires[j]
    cells = next(c for c in machine.cells if c.population.name == projection.target)
    kind = cells.population.kind
    row = rows[kind.row_of(kind.receptors[machine.network.receptor_of(projection)].state)]
    weights = wires["weights"] if len(wires["weights"]) else np.full(made.n, wires["constant"][0], dtype=row.dtype)
    delay = int(np.min(made.delay_steps)) if made.n else 1
    spikes = past.get(t - delay, np.zeros(0, dtype=np.int32))
    if "delays" in wires:
        ring = wires.setdefault(
            "ring", np.zeros((int(made.delay_steps.max()) + 2, len(cells.blocks) * BLOCK), row.dtype)
        )
        for i in spikes:
            part = slice(made.offsets[i], made.offsets[i + 1])
            slots = (t - delay + made.delay_steps[part]) % len(ring)
            np.add.at(ring, (slots, made.targets[part]), weights[part])
        row += ring[t % len(ring), : len(row)]
        ring[t % len(ring)] = 0
        return
    for i in spikes:
        part = slice(made.offsets[i], made.offsets[i + 1])
        if rule is None:
            np.add.at(row, made.targets[part], weights[part])
        else:
            np.add.at(row, made.targets[part], rule.arrives(int(i), part, made.targets[part], t))


def _drive(drive: dict[str, Any], rows: np.ndarray, t: int) -> None:
    row, steps = rows[drive["row"]], drive["steps"]
    now = min(t // steps, drive["n_bins"] - 1) if steps else 0
    if drive["kind"] == 2:
        if steps and t % steps == 0:
            row[:] = drive["table"][now, : len(row)]
        return
    bits = uniforms_numpy(len(row), drive["key"], t)
    if drive["kind"] == 0:
        table = drive["table"][drive["offsets"][now] : drive["offsets"][now + 1]]
        number = (bits[:, None] > table[None, :]).sum(axis=1)
    else:
        number = np.array([_invert(b, m) for b, m in zip(bits.tolist(), drive["table"][now].tolist(), strict=False)])
    row += row.dtype.type(drive["weight"]) * number.astype(row.dtype)


def _invert(bits: int, mean: float) -> int:
    left, p, k = (bits + 0.5) * 2.0**-32, float(np.exp(-mean)), 0
    while left > p and k < 10000:
        left -= p
        k += 1
        p *= mean / k
        if p < 1e-18 and k > mean:
            break
    return k


def _step(cells: Any, rows: np.ndarray, t: int) -> np.ndarray:
    if cells.given is not None:
        steps, neurons = cells.given
        return neurons[np.searchsorted(steps, t) : np.searchsorted(steps, t + 1)]
    bodies = cells.population.kind.bodies(cells.rows)
    return state_update_numpy(bodies, rows, cells.constants, key=cells.key, step=t)


class _Rule:
    """Plasticity of one projection with traces that decay in every step."""

    def __init__(self, machine: Any, j: int) -> None:
        self.machine, self.plastic, self.made = machine, machine.plastic[j], machine.synapses[j]
        rule = self.rule = self.plastic.rule
        dt = machine.network.dt
        self.decay = [
            np.exp(-dt / np.array([rule.number(t.tau) for t in s])) for s in (rule.pre_traces, rule.post_traces)
        ]
        self.p = tuple(float(v) for v in self.plastic.numbers)
        start, p = machine.step, self.plastic
        self.x = p.x * np.stack([d ** (start - p.x_step) for d in self.decay[0]], 1) if p.x.size else p.x
        self.y = p.y * np.stack([d ** (start - p.y_step) for d in self.decay[1]], 1) if p.y.size else p.y
        self.sources = self.made.sources
        self.first = True

    @property
    def m(self) -> float:
        """The modulator."""
        return self.plastic.modulator_value()

    def begin(self, t: int) -> None:
        """Decay by one step, and do what comes each period."""
        if not self.first:
            self.x, self.y = self.x * self.decay[0], self.y * self.decay[1]
        self.first = False
        if self.rule.on_period and t > 0 and t % self.plastic.every == 0:
            for e in range(self.made.n):
                x, y = tuple(self.x[self.sources[e]]), tuple(self.y[self.made.targets[e]])
                self._set(e, self.rule.on_period(self.plastic.weights[e], x, y, self.m, self.p))

    def arrives(self, i: int, part: slice, targets: np.ndarray, t: int) -> np.ndarray:
        """A presynaptic spike: return what it adds to its targets, then change weights and traces."""
        p, factor = self.plastic, self.plastic.bounds[2]
        if self.rule.transmit:
            u, r = (float(v) for v in p.u[i])
            u, r, share = self.rule.transmit(u, r, float(t - p.u_step[i]) * self.machine.network.dt, self.p)
            p.u[i], p.u_step[i], factor = (u, r), t, p.bounds.dtype.type(factor * share)
        sent = p.weights[part] * factor
        if self.rule.on_pre:
            x = tuple(self.x[i])
            for e, j in zip(range(part.start, part.stop), targets.tolist(), strict=True):
                self._set(e, self.rule.on_pre(p.weights[e], x, tuple(self.y[j]), self.m, self.p))
        for k, trace in enumerate(self.rule.pre_traces):
            self.x[i, k] = p.adds[0][k] if trace.nearest else self.x[i, k] + p.adds[0][k]
        return sent

    def fired(self, neurons: np.ndarray) -> None:
        """Postsynaptic spikes."""
        for i in neurons.tolist():
            if self.rule.on_post:
                y = tuple(self.y[i])
                for e in np.flatnonzero(self.made.targets == i).tolist():
                    x = tuple(self.x[self.sources[e]])
                    self._set(e, self.rule.on_post(self.plastic.weights[e], x, y, self.m, self.p))
            for k, trace in enumerate(self.rule.post_traces):
                self.y[i, k] = self.plastic.adds[1][k] if trace.nearest else self.y[i, k] + self.plastic.adds[1][k]

    def finish(self, step: int) -> None:
        """Hand the traces, as of the last step, to the machine."""
        self.plastic.x[:], self.plastic.y[:] = self.x, self.y
        self.plastic.x_step[:] = self.plastic.y_step[:] = step - 1

    def _set(self, e: int, value: float) -> None:
        low, high = self.plastic.bounds[:2]
        self.plastic.weights[e] = min(max(value, low), high)
