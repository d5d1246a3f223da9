"""Compiled loops of the LIF scan: a tile of columns at a time, rows of a tile as vector loops.

Each row helper reads and writes few arrays, so that the compiler's checks for overlap stay few and the loop vectorises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.np.numpy_support import from_dtype

__all__ = ["derivative_rows", "scan_backward", "scan_forward"]

_fast = njit(cache=True, nogil=True)


@_fast
def _charge(x, v, decay, u):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        u[i] = decay[i] * v[i] + x[i]


@_fast
def _fire(u, threshold, s):  # type: ignore[no-untyped-def]
    one, zero = u.dtype.type(1), u.dtype.type(0)
    for i in range(len(u)):
        s[i] = one if u[i] >= threshold[i] else zero


@_fast
def _subtract(u, s, amount, v):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        v[i] = u[i] - amount[i] * s[i]


@_fast
def _put_back(u, s, v_reset, v):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        v[i] = v_reset if s[i] > 0 else u[i]


@_fast
def _copy(a, b):  # type: ignore[no-untyped-def]
    for i in range(len(a)):
        b[i] = a[i]


@_fast
def _repeat(values, out):  # type: ignore[no-untyped-def]
    n = len(values)
    for i in range(len(out)):
        out[i] = values[i % n]


@_fast
def scan_forward(
    x, spikes, charged, potential, v0, s0, last, decay, threshold, amount, v_reset, reset, delay, first, stop, rows
):  # type: ignore[no-untyped-def]
    """Scan the tiles [first, stop) of (time, column) arrays; ``potential`` may be empty: not kept."""
    n_steps, n_columns = x.shape
    size = rows * len(decay)
    for tile in range(first, stop):
        lo, hi = tile * size, min(n_columns, (tile + 1) * size)
        d, h, a, v = (np.empty(hi - lo, x.dtype), np.empty(hi - lo, x.dtype), np.empty(hi - lo, x.dtype),
                      np.empty(hi - lo, x.dtype))  # fmt: skip
        _repeat(decay, d)
        _repeat(threshold, h)
        _repeat(amount, a)
        _copy(v0[lo:hi], v)
        for t in range(n_steps):
            u, s = charged[t, lo:hi], spikes[t, lo:hi]
            _charge(x[t, lo:hi], v, d, u)
            if delay and reset != 0:
                before = spikes[t - 1, lo:hi] if t > 0 else s0[lo:hi]
                if reset == 1:
                    _subtract(u, before, a, u)
                else:
                    _put_back(u, before, v_reset, u)
            _fire(u, h, s)
            if delay or reset == 0:
                _copy(u, v)
            elif reset == 1:
                _subtract(u, s, a, v)
            else:
                _put_back(u, s, v_reset, v)
            if len(potential) > 0:
                _copy(v, potential[t, lo:hi])
        _copy(v, last[lo:hi])


@_fast
def _add(a, b):  # type: ignore[no-untyped-def]
    for i in range(len(a)):
        b[i] += a[i]


@_fast
def _sum(a, b, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = a[i] + b[i]


@_fast
def _less_product(start, a, b, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = start[i] - a[i] * b[i]


@_fast
def _pulled(start, v_reset, u, g, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = start[i] + (v_reset - u[i]) * g[i]


@_fast
def _plus_product(a, b, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += a[i] * b[i]


@_fast
def _silent(s, g):  # type: ignore[no-untyped-def]
    zero = g.dtype.type(0)
    for i in range(len(g)):
        g[i] = zero if s[i] > 0 else g[i]


@_fast
def _hand_on(g, d, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = g[i]
        g[i] = d[i] * g[i]


@_fast
def _zero(out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = 0


@_fast
def _minus_products_wide(a, b, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] -= np.float64(a[i]) * np.float64(b[i])


@_fast
def _plus_products_wide(a, b, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += np.float64(a[i]) * np.float64(b[i])


@_fast
def _fold(wide, sums):  # type: ignore[no-untyped-def]
    n = len(sums)
    for i in range(len(wide)):
        sums[i % n] += wide[i]


def _scan_backward(
    x, spikes, charged, g_spikes, g_potential, v0, s0, out, g_v0, g_s0, sums,
    decay, threshold, amount, v_reset, reset, delay, detach, first, stop, rows, slope, one, derivative,
):  # type: ignore[no-untyped-def]  # fmt: skip
    n_steps, n_columns = x.shape
    size = rows * len(decay)
    late, kind = delay and reset != 0, x.dtype
    for tile in range(first, stop):
        lo, hi = tile * size, min(n_columns, (tile + 1) * size)
        width = hi - lo
        d, h, a, buffer, old, f, nothing, wide = (
            np.empty(width, kind), np.empty(width, kind), np.empty(width, kind), np.empty(width, kind),
            np.empty(width, kind), np.empty(width, kind), np.zeros(width, kind), np.zeros((3, width if len(sums) > 0 else 0)),
        )  # fmt: skip
        _repeat(decay, d)
        _repeat(threshold, h)
        _repeat(amount, a)
        g, later = g_v0[lo:hi], g_s0[lo:hi]
        for t in range(n_steps - 1, -1, -1):
            u, s = charged[t, lo:hi], spikes[t, lo:hi]
            derivative(u, h, slope, one, f)
            s_before = spikes[t - 1, lo:hi] if t > 0 else s0[lo:hi]
            if len(g_potential) > 0:
                _add(g_potential[t, lo:hi], g)
            given = g_spikes[t, lo:hi] if len(g_spikes) > 0 else nothing
            g_s = given
            if late:
                g_s = buffer
                _sum(given, later, g_s)
            elif reset == 1:
                if not detach:
                    g_s = buffer
                    _less_product(given, a, g, g_s)
                if len(sums) > 0:
                    _minus_products_wide(s, g, wide[2])
            elif reset == 2:
                if not detach:
                    g_s = buffer
                    _pulled(given, v_reset, u, g, g_s)
                _silent(s, g)
            _plus_product(g_s, f, g)
            if len(sums) > 0:
                _minus_products_wide(g_s, f, wide[1])
            if len(sums) > 0 or (late and reset == 2):  # the potential at the beginning of the step
                if t == 0:
                    _copy(v0[lo:hi], old)
                elif delay or reset == 0:
                    _copy(charged[t - 1, lo:hi], old)
                elif reset == 1:
                    _subtract(charged[t - 1, lo:hi], s_before, a, old)
                else:
                    _put_back(charged[t - 1, lo:hi], s_before, v_reset, old)
            if late:
                _zero(later)
                if reset == 1:
                    if not detach:
                        _less_product(nothing, a, g, later)
                    if len(sums) > 0:
                        _minus_products_wide(s_before, g, wide[2])
                else:
                    if not detach:
                        _charge(x[t, lo:hi], old, d, buffer)
                        _pulled(nothing, v_reset, buffer, g, later)
                    _silent(s_before, g)
            if len(sums) > 0:
                _plus_products_wide(g, old, wide[0])
            _hand_on(g, d, out[t, lo:hi])
        if len(sums) > 0:
            for which in range(3):
                _fold(wide[which], sums[tile, which])


@cache
def scan_backward(kind: str) -> Any:
    """Return the backward scan of tiles [first, stop) for float32 or float64, compiled once and kept on disk.

    Empty ``g_spikes``, ``g_potential`` mean zero, empty ``sums`` not wanted. ``g_v0`` holds the gradient in the last
    potential when it begins, and that in the first when it ends. ``derivative`` is a function of :func:`derivative_rows`,
    called through its address once a row, so that the scan is not compiled anew for each surrogate.
    """
    number = from_dtype(np.dtype(kind))
    row, table, size = types.Array(number, 1, "C"), types.Array(number, 2, "C"), types.int64
    signature = types.void(
        table, table, table, table, table, row, row, table, row, row, types.Array(types.float64, 3, "C"),
        row, row, row, number, size, types.boolean, types.boolean, size, size, size, number, number, _derivative_type(kind),
    )  # fmt: skip
    return njit(signature, cache=True, nogil=True)(_scan_backward)


@cache
def derivative_rows(body: Callable[..., Any], kind: str) -> Any:
    """Return ``fill(u, threshold, k, one, out)`` that writes ``body(u - threshold, k, one, exp)`` into ``out``."""
    derivative, exp = njit(inline="always")(body), math.exp

    def fill(u, threshold, k, one, out):  # type: ignore[no-untyped-def]
        for i in range(len(out)):
            out[i] = derivative(u[i] - threshold[i], k, one, exp)

    return njit(_derivative_type(kind).signature, nogil=True)(fill)


def _derivative_type(kind: str) -> Any:
    number = from_dtype(np.dtype(kind))
    row = types.Array(number, 1, "C")
    return types.FunctionType(types.void(row, row, number, number, row))
