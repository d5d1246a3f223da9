"""CUDA kernels of neurons: one thread a neuron; who spiked goes to a list through an atomic counter.

The bodies are those of the processor. The list is not in order, which changes nothing but the order of later sums.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from braindec.kernels.counter_random import hash32
from braindec.kernels.state_update import BELOW_ONE, BLOCK, Bodies

__all__ = ["PTX_SIGNATURES", "finite_on_device", "neurons_on_device", "poisson_on_device", "step_once"]

THREADS = 128


def _access(n_rows: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Load and store the variables of one neuron; written out, since a device knows no tuples of unknown length."""

    def load1(f, a):
        return (f[a],)

    def load2(f, a):
        return (f[a], f[a + BLOCK])

    def load3(f, a):
        return (f[a], f[a + BLOCK], f[a + 2 * BLOCK])

    def load4(f, a):
        return (f[a], f[a + BLOCK], f[a + 2 * BLOCK], f[a + 3 * BLOCK])

    def load5(f, a):
        return (f[a], f[a + BLOCK], f[a + 2 * BLOCK], f[a + 3 * BLOCK], f[a + 4 * BLOCK])

    def load6(f, a):
        return (f[a], f[a + BLOCK], f[a + 2 * BLOCK], f[a + 3 * BLOCK], f[a + 4 * BLOCK], f[a + 5 * BLOCK])

    def store(f, a, x):
        for k in range(n_rows):
            f[a + k * BLOCK] = x[k]

    return (load1, load2, load3, load4, load5, load6)[n_rows - 1], store


def _with_row(place: int, row: int, inner: Callable[..., Any] | None) -> Callable[..., Any]:
    """Put the value of a row of the block in the place of one constant."""
    after = place + 1
    before = inner

    if before is None:

        def first(c, f, a):
            return c[:place] + (f[a + row * BLOCK],) + c[after:]  # noqa: RUF005 (Numba needs sums of tuples)

        return first

    def more(c, f, a):
        one = before(c, f, a)
        return one[:place] + (f[a + row * BLOCK],) + one[after:]  # noqa: RUF005

    return more


@cache
def neurons_on_device(bodies: Bodies, wide: bool = False) -> Any:
    """Return the CUDA kernel ``(flat, c, n, low, high, out, counts, slot, log, log_count, step)`` of a model.

    ``wide``: in float64, whose random numbers have 32 bits instead of 31.
    """
    load, store = (cuda.jit(device=True)(f) for f in _access(bodies.n_states))
    integrate, spiked, reset = (cuda.jit(device=True)(f) for f in (bodies.integrate, bodies.spiked, bodies.reset))
    bits_of = cuda.jit(device=True)(hash32.py_func)
    n_rows, random, has_rows = bodies.n_rows, bodies.random, bool(bodies.rows)
    built = None
    for k, place in enumerate(bodies.rows):
        built = cuda.jit(device=True)(_with_row(place, bodies.n_states + k, built))
    constants, number, top = built, np.float64 if wide else np.float32, np.float32(BELOW_ONE)

    def kernel(flat, c, n, low, high, out, counts, slot, log, log_count, step):
        i = cuda.grid(1)
        if i < n:
            at = i // BLOCK * (n_rows * BLOCK) + i % BLOCK
            own = constants(c, flat, at) if has_rows else c
            u = number(0)
            if random:
                bits = bits_of(np.uint32(i), low, high)
                if wide:
                    u = number(np.float64(bits) * 2.0**-32)
                else:
                    u = number(np.float64(bits >> np.uint32(1)) * 2.0**-31)
                    u = u if u < top else top
            x = integrate(load(flat, at), own, u)
            if spiked(x, own):
                out[slot, cuda.atomic.add(counts, slot, 1)] = i
                k = cuda.atomic.add(log_count, 0, 1)
                if k < log.shape[0]:
                    log[k, 0] = step
                    log[k, 1] = i
                x = reset(x, own)
            store(flat, at, x)

    return cuda.jit(kernel)


@cache
def poisson_on_device() -> Any:
    """Return the CUDA kernel that adds Poisson numbers of one mean to a row of a population."""
    bits_of = cuda.jit(device=True)(hash32.py_func)

    def kernel(flat, n, n_rows, row, thresholds, low, high, weight):
        i = cuda.grid(1)
        if i < n:
            bits = bits_of(np.uint32(i), low, high)
            number = 0
            for k in range(thresholds.shape[0]):
                if bits > thresholds[k]:
                    number += 1
            flat[i // BLOCK * (n_rows * BLOCK) + row * BLOCK + i % BLOCK] += weight * number

    return cuda.jit(kernel)


@cache
def finite_on_device() -> Any:
    """Return the CUDA kernel that sets ``flag[0]`` to 1 if a variable of the first ``n`` neurons is not finite."""

    def kernel(flat, n, n_rows, flag):
        i = cuda.grid(1)
        if i < n:
            at = i // BLOCK * (n_rows * BLOCK) + i % BLOCK
            for row in range(n_rows):
                value = flat[at + row * BLOCK]
                if not value - value == 0:
                    flag[0] = 1

    return cuda.jit(kernel)


def step_once(bodies: Bodies, blocks: np.ndarray, constants: np.ndarray, n: int, *, low: Any, high: Any) -> np.ndarray:
    """Step a population once on the device; who spiked, in order."""
    flat, counts = cuda.to_device(blocks.ravel()), cuda.to_device(np.zeros(1, dtype=np.int32))
    out, log = cuda.to_device(np.zeros((1, n), dtype=np.int32)), cuda.to_device(np.zeros((n, 2), dtype=np.int32))
    shared = tuple(blocks.dtype.type(c) for c in constants)
    log_count = cuda.to_device(np.zeros(1, dtype=np.int32))
    neurons_on_device(bodies, blocks.dtype == np.float64)[-(-n // THREADS), THREADS](
        flat, shared, n, low, high, out, counts, 0, log, log_count, 0
    )
    blocks[:] = flat.copy_to_host().reshape(blocks.shape)
    return np.sort(out.copy_to_host()[0, : counts.copy_to_host()[0]])


def PTX_SIGNATURES() -> dict[Any, Any]:
    """Return the kernels of some models and the types of their arguments."""
    from numba import float32, float64, int32, int64, types, uint32

    from braindec import registry

    found = {}
    for name, rows, real in (
        ("lif", (), float32),
        ("lif", (11,), float64),
        ("adaptive_exponential", (), float32),
        ("poisson", (0,), float32),
    ):
        bodies = registry.get("networks.neurons", name).bodies(rows)
        constants = types.UniTuple(real, bodies.n_constants)
        found[neurons_on_device(bodies, real is float64)] = (real[::1], constants, int64, uint32, uint32, int32[:, ::1], int32[::1], int64,
                                            int32[:, ::1], int32[::1], int64)  # fmt: skip
    found[poisson_on_device()] = (float32[::1], int64, int64, int64, uint32[::1], uint32, uint32, float32)
    found[finite_on_device()] = (float32[::1], int64, int64, int32[::1])
    return found
