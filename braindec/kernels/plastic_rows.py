"""What spikes do to the synapses of a plastic projection, compiled for the bodies of one rule.

Traces are lazy: a value and the step it is of, brought up to date by a table of decays when it is read. Presynaptic spikes
walk the rows of their synapses, postsynaptic ones the columns (numbers of synapses by target). A presynaptic spike counts
when it arrives. Order: the weight as it stands is transmitted, ``on_pre`` runs, the weight is clipped, traces are stepped.
The same as :func:`braindec.kernels.stdp.apply_to_trains` of the arrival times, up to rounding.

Source: Morrison, Diesmann & Gerstner 2008, Biological Cybernetics 98, 459, section 4 (event-driven traces).
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from braindec.errors import BraindecError
from braindec.kernels.state_update import BLOCK

__all__ = ["CONTEXT", "RuleCode", "columns", "decay_table", "rule_addresses"]

# what a compiled function of a projection gets: addresses and sizes
CONTEXT = {"indptr": 0, "targets": 1, "weights": 2, "n_source": 3, "n_target": 4, "rows": 5, "row": 6, "columns": 7,
           "edges": 8, "sources": 9, "x": 10, "x_step": 11, "y": 12, "y_step": 13, "x_decay": 14, "y_decay": 15, "x_size": 16,
           "y_size": 17, "numbers": 18, "bounds": 19, "modulator": 20, "u": 21, "u_step": 22, "n_edges": 23, "x_add": 24,
           "y_add": 25, "blocks": 26}  # fmt: skip
MAX_TABLE = 1 << 22
AHEAD = 8


class RuleCode(NamedTuple):
    """What the compiled code of a rule depends on: bodies and numbers of parameters and traces."""

    on_pre: Any
    on_post: Any
    on_period: Any
    transmit: Any
    n_numbers: int
    x_nearest: tuple[bool, ...]
    y_nearest: tuple[bool, ...]


def decay_table(taus: list[float], dt: float, dtype: Any) -> np.ndarray:
    """Return decays after 0, 1, 2, ... steps, shape (size, n_traces); the last row is 0 (below 1e-18).

    Raises
    ------
    BraindecError
        If a time constant is too long for the step.
    """
    if not taus:
        return np.zeros((1, 0), dtype=dtype)
    size = int(42 * max(taus) / dt) + 2
    if size > MAX_TABLE:
        raise BraindecError(
            "a trace is too slow for the time step", found=f"tau={max(taus):g} s, dt={dt:g} s",
            allowed=f"tau up to {MAX_TABLE / 42 * dt:.3g} s",
        )  # fmt: skip
    table = np.exp(-np.arange(size)[:, None] * dt / np.asarray(taus)[None, :])
    table[-1] = 0.0
    return np.ascontiguousarray(table.astype(dtype))


def columns(indptr: np.ndarray, targets: np.ndarray, n_target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the column of each target begins, and the numbers and sources of its synapses."""
    order = np.argsort(targets, kind="stable").astype(np.int64)
    begin = np.zeros(n_target + 1, dtype=np.int64)
    np.cumsum(np.bincount(targets, minlength=n_target), out=begin[1:])
    owner = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    return begin, order, owner[order]


@cache
def rule_addresses(code: RuleCode, dtype: str) -> tuple[int, int, int]:
    """Return the addresses of the compiled ``arrive``, ``fired`` and ``period`` of a rule; 0 where it has none."""
    parts = _parts(code, dtype)
    arrive = _arrive(code, dtype, parts)
    fired = _fired(code, dtype, parts) if code.on_post is not None or code.y_nearest else None
    period = _period(code, dtype, parts) if code.on_period is not None else None
    _KEPT.append((arrive, fired, period))
    return tuple(0 if f is None else int(f.address) for f in (arrive, fired, period))  # type: ignore[return-value]


_KEPT: list[Any] = []  # compiled functions live as long as their addresses are cached


def _parts(code: RuleCode, dtype: str) -> dict[str, Any]:
    """Compiled access to the context, the traces and the parameters."""
    from numba import njit, types

    from braindec.kernels._memory import compiled_view, rows_access, scaled_access

    view, words, steps, wide = (compiled_view(d) for d in (dtype, "int64", "int32", "float64"))
    n_x, n_y = len(code.x_nearest), len(code.y_nearest)
    load_x, load_y = (scaled_access(n) if n else None for n in (n_x, n_y))
    n_numbers = code.n_numbers
    load_p = rows_access(n_numbers, 1)[0] if n_numbers else None
    number = getattr(np, dtype)

    def tuple_of(load, n, empty):
        if not n:
            return njit(inline="always")(lambda values, i, decay, gap, size: empty)

        def get(values, i, decay, gap, size):
            return load(values, i * n, 1, decay, (gap if gap < size else size - 1) * n, 1)

        return njit(inline="always")(get)

    empty = ()

    def params_of(ctx):
        return load_p(view(ctx[18], n_numbers), 0)

    if load_p is None:
        params_of = lambda ctx: empty  # noqa: E731

    def modulator_of(ctx):
        return number(wide(ctx[20], 1)[0]) if ctx[20] != 0 else number(1.0)

    def stepper(nearest):
        flags = np.array(nearest, dtype=np.bool_)
        n = len(nearest)

        def step(values, at_step, i, t, decay, size, add):
            gap = t - at_step[i]
            gap = gap if gap < size else size - 1
            for k in range(n):
                kept = values[i * n + k] * decay[gap * n + k]
                values[i * n + k] = add[k] if flags[k] else kept + add[k]
            at_step[i] = t

        return njit(step)

    return {"view": view, "words": words, "steps": steps, "x": tuple_of(load_x, n_x, empty), "y": tuple_of(load_y, n_y, empty),
            "p": njit(inline="always")(params_of), "m": njit(inline="always")(modulator_of), "step_x": stepper(code.x_nearest),
            "step_y": stepper(code.y_nearest), "n_x": n_x, "n_y": n_y, "signature": types.int64(*[types.int64] * 7),
            "number": number, "jit": partial(njit, error_model="numpy")}  # fmt: skip


def _arrive(code: RuleCode, dtype: str, parts: dict[str, Any]) -> Any:
    from numba import cfunc

    from braindec.kernels._memory import prefetch

    view, words, steps, jit, number = (parts[k] for k in ("view", "words", "steps", "jit", "number"))
    get_x, get_y, get_p, get_m, step_x = (parts[k] for k in ("x", "y", "p", "m", "step_x"))
    n_x, n_y = parts["n_x"], parts["n_y"]
    on_pre = jit(inline="always")(code.on_pre) if code.on_pre is not None else None
    transmit = jit(code.transmit) if code.transmit is not None else None
    changes, transmits, traced = on_pre is not None, transmit is not None, n_x > 0

    def plain(values, targets, weights, factor, rows):
        for e in range(len(targets)):
            i = np.uint32(targets[e])
            values[(i >> np.uint32(7)) * np.uint32(rows * BLOCK) + (i & np.uint32(BLOCK - 1))] += weights[e] * factor

    def changing(values, targets, weights, factor, rows, x, y, y_step, y_decay, y_size, t, m, p, low, high):
        for e in range(len(targets)):
            i, w = np.uint32(targets[e]), weights[e]
            values[(i >> np.uint32(7)) * np.uint32(rows * BLOCK) + (i & np.uint32(BLOCK - 1))] += w * factor
            new = number(on_pre(w, x, get_y(y, np.int64(i), y_decay, t - y_step[i], y_size), m, p))
            new = low if new < low else new
            weights[e] = high if new > high else new

    plain = jit(plain)
    changing = jit(changing) if changes else None

    def arrive(at, t, spikes_at, n, flat_at, _unused, _unused_too):
        ctx = words(at, 27)
        n_source, n_target, n_edges, rows = ctx[3], ctx[4], ctx[23], ctx[5]
        indptr, targets, weights = words(ctx[0], n_source + 1), steps(ctx[1], n_edges), view(ctx[2], n_edges)
        values = view(flat_at, ctx[26] * rows * BLOCK)[ctx[6] * BLOCK :]
        xs, x_step, x_decay = view(ctx[10], n_source * n_x), steps(ctx[11], n_source), view(ctx[14], ctx[16] * n_x)
        ys, y_step, y_decay = view(ctx[12], n_target * n_y), steps(ctx[13], n_target), view(ctx[15], ctx[17] * n_y)
        bounds, x_add = view(ctx[19], 4), view(ctx[24], n_x)
        low, high, scale, dt = bounds[0], bounds[1], bounds[2], bounds[3]
        p, m, spikes = get_p(ctx), get_m(ctx), steps(spikes_at, n)
        for k in range(n):
            j = np.int64(spikes[k])
            if k + 1 < n:
                later = indptr[spikes[k + 1]]
                for line in range(4):
                    prefetch(targets, later + line * 16)
                    prefetch(weights, later + line * 16)
            first, last = indptr[j], indptr[j + 1]
            factor = scale
            if transmits:
                us, u_step = view(ctx[21], 2 * n_source), steps(ctx[22], n_source)
                u, r, share = transmit(us[2 * j], us[2 * j + 1], (t - u_step[j]) * dt, p)
                us[2 * j], us[2 * j + 1], u_step[j] = u, r, t
                factor = number(scale * share)
            if changes:
                x = get_x(xs, j, x_decay, t - x_step[j], ctx[16])
                changing(values, targets[first:last], weights[first:last], factor, rows, x, ys, y_step, y_decay,
                         ctx[17], t, m, p, low, high)  # fmt: skip
            else:
                plain(values, targets[first:last], weights[first:last], factor, rows)
            if traced:
                step_x(xs, x_step, j, t, x_decay, ctx[16], x_add)
        return 0

    return cfunc(parts["signature"], error_model="numpy")(arrive)


def _fired(code: RuleCode, dtype: str, parts: dict[str, Any]) -> Any:
    from numba import cfunc

    from braindec.kernels._memory import prefetch

    view, words, steps, jit, number = (parts[k] for k in ("view", "words", "steps", "jit", "number"))
    get_x, get_y, get_p, get_m, step_y = (parts[k] for k in ("x", "y", "p", "m", "step_y"))
    n_x, n_y = parts["n_x"], parts["n_y"]
    on_post = jit(inline="always")(code.on_post) if code.on_post is not None else None
    changes, traced = on_post is not None, n_y > 0

    def fired(at, t, spikes_at, n, _a, _b, _c):
        ctx = words(at, 27)
        n_source, n_target, n_edges = ctx[3], ctx[4], ctx[23]
        weights, begin = view(ctx[2], n_edges), words(ctx[7], n_target + 1)
        edges, sources = words(ctx[8], n_edges), steps(ctx[9], n_edges)
        xs, x_step, x_decay = view(ctx[10], n_source * n_x), steps(ctx[11], n_source), view(ctx[14], ctx[16] * n_x)
        ys, y_step, y_decay = view(ctx[12], n_target * n_y), steps(ctx[13], n_target), view(ctx[15], ctx[17] * n_y)
        bounds, y_add = view(ctx[19], 4), view(ctx[25], n_y)
        low, high = bounds[0], bounds[1]
        p, m, spikes = get_p(ctx), get_m(ctx), steps(spikes_at, n)
        for k in range(n):
            i = np.int64(spikes[k])
            if changes:
                y = get_y(ys, i, y_decay, t - y_step[i], ctx[17])
                last = begin[i + 1]
                for c in range(begin[i], last):
                    if c + AHEAD < last:
                        prefetch(weights, edges[c + AHEAD])
                    e, j = np.uint64(edges[c]), np.int64(sources[c])
                    x = get_x(xs, j, x_decay, t - x_step[np.uint32(j)], ctx[16])
                    new = number(on_post(weights[e], x, y, m, p))
                    new = low if new < low else new
                    weights[e] = high if new > high else new
            if traced:
                step_y(ys, y_step, i, t, y_decay, ctx[17], y_add)
        return 0

    return cfunc(parts["signature"], error_model="numpy")(fired)


def _period(code: RuleCode, dtype: str, parts: dict[str, Any]) -> Any:
    from numba import cfunc

    view, words, steps, jit, number = (parts[k] for k in ("view", "words", "steps", "jit", "number"))
    get_x, get_y, get_p, get_m = (parts[k] for k in ("x", "y", "p", "m"))
    n_x, n_y = parts["n_x"], parts["n_y"]
    on_period = jit(inline="always")(code.on_period)

    def period(at, t, _s, _n, _a, _b, _c):
        ctx = words(at, 27)
        n_source, n_target, n_edges = ctx[3], ctx[4], ctx[23]
        indptr, targets, weights = words(ctx[0], n_source + 1), steps(ctx[1], n_edges), view(ctx[2], n_edges)
        xs, x_step, x_decay = view(ctx[10], n_source * n_x), steps(ctx[11], n_source), view(ctx[14], ctx[16] * n_x)
        ys, y_step, y_decay = view(ctx[12], n_target * n_y), steps(ctx[13], n_target), view(ctx[15], ctx[17] * n_y)
        bounds, p, m = view(ctx[19], 4), get_p(ctx), get_m(ctx)
        for j in range(n_source):
            x = get_x(xs, j, x_decay, t - x_step[j], ctx[16])
            for e in range(indptr[j], indptr[j + 1]):
                i = np.int64(targets[e])
                y = get_y(ys, i, y_decay, t - y_step[i], ctx[17])
                new = number(on_period(weights[e], x, y, m, p))
                new = bounds[0] if new < bounds[0] else new
                weights[e] = bounds[1] if new > bounds[1] else new
        return 0

    return cfunc(parts["signature"], error_model="numpy")(period)
