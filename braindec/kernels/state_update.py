"""One time step of all neurons of a population: integrate, find who crosses the threshold, reset those.

A model is three scalar bodies, the same for the processor, a CUDA device and the numpy definition:

* ``integrate(x, c, u) -> x``: the variables of one neuron after a step (tuple ``x``, tuple of constants ``c``, and a
  random number ``u`` in [0, 1) where the model asks for one);
* ``spiked(x, c) -> bool``; ``reset(x, c) -> x`` for those that spiked.

Numbers in a body are constants of ``c``: a literal such as ``2.0`` is a float64 and would widen float32 arithmetic.

In memory a population is blocks of ``BLOCK`` neurons, and a block is one row a variable: distances are known when the
loop is compiled, so it becomes vector instructions; spikes are counted by block, and only blocks with one are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from braindec.kernels.counter_random import hash32, uniforms_numpy

__all__ = ["BLOCK", "Bodies", "from_blocks", "state_update", "state_update_numpy", "to_blocks", "update_address"]

BLOCK = 128
BELOW_ONE = 1.0 - 2.0**-24  # the float32 before 1
_MASK32 = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Bodies:
    """The scalar bodies of a model, and where its variables and constants stand.

    Parameters
    ----------
    integrate, spiked, reset : callable
        See the module.
    n_states : int
        Variables in ``x``.
    n_constants : int
        Items of ``c``.
    rows : tuple of int
        Constants that differ between neurons, in order: each has a row of its own after those of the variables.
    random : bool
        Whether ``integrate`` needs a random number.
    """

    integrate: Callable[..., Any]
    spiked: Callable[..., Any]
    reset: Callable[..., Any]
    n_states: int
    n_constants: int
    rows: tuple[int, ...] = ()
    random: bool = False

    @property
    def n_rows(self) -> int:
        """Rows of a block."""
        return self.n_states + len(self.rows)


def to_blocks(rows: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Lay out rows (n,) of a population as blocks, shape (n_blocks, n_rows, BLOCK); the last is padded with its last neuron."""
    n = len(rows[0])
    n_blocks = max(-(-n // BLOCK), 1)
    flat = _aligned(n_blocks * len(rows) * BLOCK, dtype).reshape(n_blocks, len(rows), BLOCK)
    for k, row in enumerate(rows):
        flat[:, k, :] = np.pad(np.asarray(row, dtype=dtype), (0, n_blocks * BLOCK - n), mode="edge").reshape(-1, BLOCK)
    return flat


def from_blocks(blocks: np.ndarray, row: int, n: int) -> np.ndarray:
    """Return one row as an array of shape (n,)."""
    return np.ascontiguousarray(blocks[:, row, :]).reshape(-1)[:n].copy()


def _aligned(size: int, dtype: Any) -> np.ndarray:
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + 64, dtype=np.uint8)
    shift = -raw.ctypes.data % 64
    return raw[shift : shift + size * item].view(dtype)


def state_update_numpy(bodies: Bodies, rows: np.ndarray, constants: np.ndarray, *, key: int = 0, step: int = 0) -> np.ndarray:  # fmt: skip
    """Definition: step every neuron, change ``rows`` of shape (n_rows, n) in place and return who spiked (int32).

    Parameters
    ----------
    rows : array of shape (n_rows, n)
        Variables, then constants that differ between neurons.
    constants : array of shape (n_constants,)
        The others; the places of those that differ are not read.
    key, step : int
        Random numbers depend on both.
    """
    dtype, n = rows.dtype, rows.shape[1]
    number = float if dtype == np.float64 else dtype.type
    shared = [number(c) for c in constants]
    bits = uniforms_numpy(n, key, step) if bodies.random else np.zeros(n, dtype=np.uint32)
    fired = []
    for i in range(n):
        c = list(shared)
        for k, place in enumerate(bodies.rows):
            c[place] = number(rows[bodies.n_states + k, i])
        wide = dtype == np.float64
        u = float(bits[i]) * 2.0**-32 if wide else min(number(float(bits[i] >> 1) * 2.0**-31), number(BELOW_ONE))
        x = bodies.integrate(tuple(number(v) for v in rows[: bodies.n_states, i]), tuple(c), u)
        if bodies.spiked(x, tuple(c)):
            fired.append(i)
            x = bodies.reset(x, tuple(c))
        rows[: bodies.n_states, i] = x
    return np.array(fired, dtype=np.int32)


@cache
def _compiled(bodies: Bodies, dtype: str) -> Any:
    """Return the cfunc that steps blocks of neurons, with the addresses of its arrays as arguments."""
    from numba import cfunc, njit, types

    from braindec.kernels._memory import compiled_view, rows_access

    integrate, spiked, reset = (
        njit(inline="always", error_model="numpy")(b) for b in (bodies.integrate, bodies.spiked, bodies.reset)
    )
    n_rows, n_states, random = bodies.n_rows, bodies.n_states, bodies.random
    places = tuple(
        bodies.rows.index(k) + n_states + bodies.n_constants if k in bodies.rows else k
        for k in range(bodies.n_constants)
    )
    view, ints = compiled_view(dtype), compiled_view("int32")
    load, store = rows_access(n_states, BLOCK)
    constants_of = _constants_access(places, bodies.n_constants, n_states)
    bits_to_unit = _unit_of(dtype)

    @njit(no_cpython_wrapper=True, error_model="numpy")  # a check of each division would undo the vectors
    def step_block(flat, start, shared, first, low, high):
        hits = np.int32(0)
        for i in range(BLOCK):
            c = constants_of(flat, start + i, shared)
            u = bits_to_unit(hash32(np.uint32(first + i), low, high)) if random else bits_to_unit(np.uint32(0))
            x = integrate(load(flat, start + i), c, u)
            store(flat, start + i, x)
            hits = np.int32(hits + (np.int32(1) if spiked(x, c) else np.int32(0)))
        return hits

    @njit(no_cpython_wrapper=True, error_model="numpy")  # a check of each division would undo the vectors
    def search_block(flat, start, shared, first, n, out, k):
        for i in range(BLOCK):
            x = load(flat, start + i)
            c = constants_of(flat, start + i, shared)
            if spiked(x, c):
                if first + i < n:
                    out[k] = np.int32(first + i)
                    k += 1
                store(flat, start + i, reset(x, c))
        return k

    def update(flat_at, constants_at, first_block, last_block, n, key, out_at):
        flat = view(flat_at, last_block * n_rows * BLOCK)
        shared = load_shared(view(constants_at, n_constants), 0)
        out = ints(out_at, n)
        low, high = np.uint32(np.uint64(key) & _MASK32), np.uint32(np.uint64(key) >> np.uint64(32))
        k = 0
        for b in range(first_block, last_block):
            start = b * n_rows * BLOCK
            if step_block(flat, start, shared, b * BLOCK, low, high) > 0:
                k = search_block(flat, start, shared, b * BLOCK, n, out, k)
        return k

    n_constants = bodies.n_constants
    load_shared, _ = rows_access(n_constants, 1)
    return cfunc(types.int64(*[types.int64] * 7), error_model="numpy")(update)


def _constants_access(places: tuple[int, ...], n_constants: int, n_states: int) -> Any:
    """Compiled ``get(flat, start, shared)``: constants of one neuron, from the shared tuple or from the rows of its block."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def get(typingctx: Any, flat: Any, start: Any, shared: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            items = []
            for place in places:
                if place < n_constants:
                    items.append(builder.extract_value(args[2], place))
                else:
                    at = builder.add(args[1], ir.Constant(ir.IntType(64), (place - n_constants) * BLOCK))
                    items.append(builder.load(builder.gep(data, [at])))
            return context.make_tuple(builder, signature.args[2], items)

        return shared(flat, types.int64, shared), make

    return get


def _unit_of(dtype: str) -> Any:
    """Compiled map of 32 random bits to [0, 1): in float32 small numbers keep 31 of them, so that rare events are as rare as asked."""
    from numba import njit

    if dtype == "float64":
        return njit(inline="always")(lambda bits: np.float64(bits) * np.float64(2.0**-32))
    small, top = np.float32(2.0**-31), np.float32(BELOW_ONE)

    def unit(bits):
        u = np.float32(np.float32(np.int32(bits >> np.uint32(1))) * small)
        return u if u < top else top

    return njit(inline="always")(unit)


def update_address(bodies: Bodies, dtype: str) -> int:
    """Return the address of the compiled update; it lives as long as the process."""
    return int(_compiled(bodies, dtype).address)


def state_update(
    bodies: Bodies, blocks: np.ndarray, constants: np.ndarray, n: int, *, key: int = 0, step: int = 0,
    backend: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Step every neuron of ``blocks`` (see :func:`to_blocks`) in place and return who spiked, int32.

    Parameters
    ----------
    bodies : Bodies
    blocks : array of float32 or float64, shape (n_blocks, n_rows, BLOCK)
    constants : array of shape (n_constants,)
    n : int
        Neurons; the last block is padded.
    key, step : int
        Random numbers depend on both.
    backend : {"numba", "numpy", "cuda"}, optional
    """
    from braindec.kernels._backend import choose
    from braindec.kernels.counter_random import step_key_numpy

    if choose(backend, kernel="state_update") == "numpy":
        rows = blocks.transpose(1, 0, 2).reshape(blocks.shape[1], -1)[:, :n].copy()
        fired = state_update_numpy(bodies, rows, constants, key=key, step=step)
        padded = to_blocks(list(rows), blocks.dtype)
        blocks[:] = padded
        return fired
    low, high = step_key_numpy(key, step)
    if backend == "cuda":
        from braindec.kernels._neurons_on_device import step_once

        return step_once(bodies, blocks, constants, n, low=low, high=high)
    out = np.empty(n, dtype=np.int32)
    shared = np.ascontiguousarray(constants, dtype=blocks.dtype)
    word = int(low) | (int(high) << 32)
    signed = word - (1 << 64) if word >> 63 else word
    count = _compiled(bodies, str(blocks.dtype)).ctypes(
        blocks.ctypes.data, shared.ctypes.data, 0, len(blocks), n, signed, out.ctypes.data
    )
    return out[:count].copy()
