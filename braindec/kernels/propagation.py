"""Deliver spikes: add to every target of every neuron that spiked the weight of the synapse between them.

The compiled loop of networks (:mod:`braindec.kernels.network_loop`) holds the same two loops over rows together with
delays and prefetching; this is the kernel by itself, and its CUDA version: a block of threads a spike, a thread a synapse,
and atomic additions, whose order differs from run to run (sums in floating point differ by rounding).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose

__all__ = ["PTX_SIGNATURES", "deliver_on_device", "propagation", "propagation_numpy"]

THREADS = 64
MAX_GRID = 4096


def propagation(
    offsets: np.ndarray, targets: np.ndarray, weights: float | np.ndarray, spikes: np.ndarray, values: np.ndarray,
    *, backend: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Add the weights of the synapses of ``spikes`` to ``values`` in place and return it.

    Parameters
    ----------
    offsets : array of int64, shape (n_source + 1,)
        Synapses of neuron ``i`` are ``offsets[i]`` to ``offsets[i + 1]``.
    targets : array of int32, shape (n_synapses,)
    weights : float or array of shape (n_synapses,)
        One for all costs no memory.
    spikes : array of int32
        Neurons that spiked.
    values : array of float32 or float64, shape (n_target,)
    backend : {"numba", "numpy", "cuda"}, optional

    Raises
    ------
    BraindecError
        If a neuron or a target is out of range.
    """
    name = choose(backend, kernel="propagation")
    spikes, targets = np.asarray(spikes, dtype=np.int32), np.asarray(targets, dtype=np.int32)
    offsets = np.asarray(offsets, dtype=np.int64)
    for what, found, n in (("a spike", spikes, len(offsets) - 1), ("a target", targets, len(values))):
        if len(found) and (found.min() < 0 or found.max() >= n):
            raise BraindecError(f"propagation: {what} is out of range", found=str(found.max()), allowed=f"0 to {n - 1}")
    if name == "numpy":
        return propagation_numpy(offsets, targets, weights, spikes, values)
    constant = np.ndim(weights) == 0
    size = np.zeros(1, dtype=values.dtype) if constant else np.asarray(weights, dtype=values.dtype)
    one = values.dtype.type(weights if constant else 0)
    if name == "numba":
        _deliver(offsets, targets, size, one, constant, spikes, values)
        return values
    on_device = cuda.to_device(values)
    counts = np.array([len(spikes)], dtype=np.int32)
    if len(spikes):
        deliver_on_device()[min(len(spikes), MAX_GRID), THREADS](
            offsets, targets, size, one, constant, spikes.reshape(1, -1), counts, 0, on_device, 0
        )
    values[:] = on_device.copy_to_host()
    return values


def propagation_numpy(
    offsets: np.ndarray, targets: np.ndarray, weights: float | np.ndarray, spikes: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Definition: add, spike by spike in their order, synapse by synapse."""
    every = np.broadcast_to(np.asarray(weights, dtype=values.dtype), targets.shape)
    for i in spikes:
        part = slice(offsets[i], offsets[i + 1])
        np.add.at(values, targets[part], every[part])
    return values


@njit(cache=True, nogil=True)
def _deliver(offsets, targets, weights, one, constant, spikes, values):
    for k in range(len(spikes)):
        i = np.uint32(spikes[k])
        for e in range(offsets[i], offsets[i + np.uint32(1)]):
            values[np.uint32(targets[e])] += one if constant else weights[e]


def _deliver_body(offsets, targets, weights, one, constant, spikes, counts, slot, values, shift):
    s = cuda.blockIdx.x
    while s < counts[slot]:
        i = spikes[slot, s]
        e = offsets[i] + cuda.threadIdx.x
        while e < offsets[i + 1]:
            cuda.atomic.add(values, targets[e] + shift, one if constant else weights[e])
            e += cuda.blockDim.x
        s += cuda.gridDim.x


@cache
def deliver_on_device() -> Any:
    """Return the CUDA kernel: spikes of one slot (row) to ``values[targets + shift]``."""
    return cuda.jit(_deliver_body)


def PTX_SIGNATURES() -> dict[Any, Any]:
    """Return the CUDA kernel and the types of its arguments."""
    from numba import boolean, float32, int32, int64

    return {
        deliver_on_device(): (int64[::1], int32[::1], float32[::1], float32, boolean, int32[:, ::1], int32[::1], int64,
                              float32[::1], int64)
    }  # fmt: skip
