"""Plastic projections of a machine: weights as magnitudes, traces, and what the compiled rule is pointed to."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.kernels.plastic_rows import CONTEXT, RuleCode, columns, decay_table, rule_addresses
from braindec.networks.plasticity_rule import PlasticityRule

__all__ = ["Plastic", "add_plasticity"]


class Plastic:
    """The state of one plastic projection.

    Attributes
    ----------
    weights : array of shape (n_synapses,)
        Magnitudes, SI.
    x, y : array of shape (n, n_traces)
        Traces as of ``x_step``, ``y_step``.
    """

    def __init__(self, machine: Any, j: int) -> None:
        projection, made = machine.network.projections[j], machine.synapses[j]
        rule: PlasticityRule = projection.plasticity
        rule.check_step(machine.network.dt)
        self.name, self.rule, self.dtype, self.dt = projection.name, rule, machine.dtype, machine.network.dt
        values = np.broadcast_to(np.asarray(made.weights, dtype=float), (made.n,))
        self.sign = _one_sign(values, projection.name)
        self.weights = np.ascontiguousarray(np.abs(values).astype(self.dtype))
        low, high = (float(rule.params.get(k, d)) for k, d in (("w_min", 0.0), ("w_max", np.inf)))
        outside = (self.weights < low * (1 - 1e-6)) | (self.weights > high * (1 + 1e-6))
        if outside.any() and (rule.on_pre or rule.on_post or rule.on_period):
            raise BraindecError(
                f"the projection {projection.name!r} starts with weights outside the bounds of {rule.name!r}",
                found=f"{self.weights[outside][0]:g}",
                allowed=f"{low:g} to {high:g} (w_min, w_max; magnitudes)",
            )
        unit = machine.network.population(projection.target).kind.unit.get("weight", 1.0)
        self.bounds = np.array([low, high, self.sign / unit, self.dt], dtype=self.dtype)
        self.numbers = np.array(rule.numbers, dtype=self.dtype)
        n_source, n_target = (machine.network.population(p).n for p in (projection.source, projection.target))
        self.x, self.y = (np.zeros((n, len(t)), dtype=self.dtype) for n, t in ((n_source, rule.pre_traces), (n_target, rule.post_traces)))  # fmt: skip
        self.x_step, self.y_step = np.zeros(n_source, dtype=np.int32), np.zeros(n_target, dtype=np.int32)
        u, r = (rule.number(v) for v in rule.transmit_start)
        self.u = np.tile(np.array([u, r], dtype=self.dtype), (n_source, 1))
        self.u_step = np.full(n_source, -(2**30), dtype=np.int32)  # long ago: rested
        self.decays = [
            decay_table([rule.number(t.tau) for t in traces], self.dt, self.dtype)
            for traces in (rule.pre_traces, rule.post_traces)
        ]
        self.adds = [
            np.array([rule.number(t.add) for t in traces], dtype=self.dtype)
            for traces in (rule.pre_traces, rule.post_traces)
        ]
        self.wires = (made.offsets, made.targets)
        self.columns = columns(made.offsets, made.targets, n_target) if rule.on_post else (np.zeros(1, np.int64),) * 3
        self.every = max(round(rule.number("period") / self.dt), 1) if rule.on_period else 0
        self.modulator_row: int | None = None
        self.modulators: np.ndarray | None = None
        self.context = np.zeros(len(CONTEXT), dtype=np.int64)

    def bind(self, machine: Any, j: int) -> None:
        """Point the compiled code to the arrays of this state."""
        projection = machine.network.projections[j]
        cells = next(c for c in machine.cells if c.population.name == projection.target)
        kind = cells.population.kind
        receptor = kind.receptors[machine.network.receptor_of(projection)]
        self.modulators = machine.modulators
        at = 0 if self.modulator_row is None else machine.modulators.ctypes.data + 8 * 4 * self.modulator_row
        where = {"indptr": self.wires[0], "targets": self.wires[1], "weights": self.weights, "columns": self.columns[0],
                 "edges": self.columns[1], "sources": self.columns[2], "x": self.x, "x_step": self.x_step, "y": self.y,
                 "y_step": self.y_step, "x_decay": self.decays[0], "y_decay": self.decays[1], "numbers": self.numbers,
                 "bounds": self.bounds, "u": self.u, "u_step": self.u_step, "x_add": self.adds[0], "y_add": self.adds[1]}  # fmt: skip
        sizes = {"n_source": len(self.x), "n_target": len(self.y), "rows": cells.n_rows, "row": kind.row_of(receptor.state),
                 "x_size": len(self.decays[0]), "y_size": len(self.decays[1]), "modulator": at, "n_edges": len(self.weights),
                 "blocks": len(cells.blocks)}  # fmt: skip
        for name, value in {**{k: a.ctypes.data for k, a in where.items()}, **sizes}.items():
            self.context[CONTEXT[name]] = value

    def table_row(self) -> dict[str, int]:
        """Columns of the table of projections."""
        rule = self.rule
        code = RuleCode(rule.on_pre, rule.on_post, rule.on_period, rule.transmit, len(self.numbers),
                        tuple(t.nearest for t in rule.pre_traces), tuple(t.nearest for t in rule.post_traces))  # fmt: skip
        arrive, fired, period = rule_addresses(code, self.dtype)
        return {"kind": 2, "arrive": arrive, "fired": fired, "period": period, "context": self.context.ctypes.data, "every": self.every}  # fmt: skip

    def public_weights(self) -> np.ndarray:
        """Weights with their sign, SI, in the order of :func:`braindec.networks.build.connections`."""
        return self.weights * self.weights.dtype.type(self.sign)

    def modulator_value(self) -> float:
        """The modulator now; 1 without one."""
        return 1.0 if self.modulator_row is None else float(self.modulators[self.modulator_row, 0])

    def copy(self) -> Plastic:
        """Return a state of its own arrays."""
        other = object.__new__(Plastic)
        other.__dict__.update(self.__dict__)
        for name in ("weights", "x", "y", "x_step", "y_step", "u", "u_step", "context"):
            setattr(other, name, getattr(self, name).copy())
        return other


def add_plasticity(machine: Any) -> None:
    """Give a machine the state of its plastic projections and of their modulators."""
    names = [p.name for p in machine.network.populations]
    rows, signs = [], []
    for j, projection in enumerate(machine.network.projections):
        if projection.plasticity is None:
            continue
        plastic = machine.plastic[j] = Plastic(machine, j)
        modulator = projection.plasticity.modulator
        if modulator is not None:
            rule = projection.plasticity
            tau, gain, baseline = (rule.number(v) for v in (modulator.tau, modulator.gain, modulator.baseline))
            plastic.modulator_row = len(rows)
            rows.append([baseline, machine.network.dt / tau, gain, baseline])
            signs.append(_signs(machine, projection, modulator, names))
    if rows:
        machine.modulators, machine.signs = np.array(rows, dtype=np.float64), np.array(signs, dtype=np.int64)
    for j, plastic in machine.plastic.items():
        plastic.bind(machine, j)


def _signs(machine: Any, projection: Any, modulator: Any, names: list[str]) -> list[int]:
    """1 for populations whose spikes raise a modulator, -1 for those that lower it."""
    found = [0] * len(names)
    for key, sign in ((modulator.plus, 1), (modulator.minus, -1)):
        for name in str(projection.plasticity.params.get(key, "")).split(","):
            if name.strip():
                machine.network.population(name.strip(), f"the modulator of {projection.name!r}")
                found[names.index(name.strip())] = sign
    return found


def _one_sign(values: np.ndarray, name: str) -> int:
    if np.any(values > 0) and np.any(values < 0):
        raise BraindecError(
            f"the plastic projection {name!r} has weights of both signs", fix="make one projection for each sign"
        )
    return -1 if np.any(values < 0) else 1
