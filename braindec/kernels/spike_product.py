"""Products of a matrix of spikes, which is mostly zeros, with dense weights: only what is not zero is added up.

Forward ``spikes @ weights`` adds a row of the weights for each spike; the gradient of the weights ``spikes.T @ grad`` adds
a row of the gradient. Sums go through the spikes in their order, so the bits do not depend on the number of threads.

Source: definition of the product of a sparse with a dense matrix (Gustavson 1978, ACM TOMS 4:250), compressed rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, njit

from braindec.errors import BraindecError
from braindec.kernels import _backend
from braindec.kernels._threads import in_parts

__all__ = [
    "Events", "events_of", "spike_product", "spike_product_numpy", "spike_product_transposed",
    "spike_product_transposed_numpy",
]  # fmt: skip

_WORTH_THREADS = 500_000_000  # products of single numbers below which a second thread costs more than it brings
_fast = njit(cache=True, nogil=True)


class Events(NamedTuple):
    """What is not zero in a matrix (rows, inputs): ``inputs[starts[r]:stops[r]]`` and ``values`` of row r."""

    starts: np.ndarray
    stops: np.ndarray
    inputs: np.ndarray
    values: np.ndarray
    n_inputs: int

    @property
    def n_events(self) -> int:
        """How many entries are not zero."""
        return int((self.stops - self.starts).sum())

    @property
    def density(self) -> float:
        """Share of the matrix that is not zero."""
        return self.n_events / max(1, len(self.starts) * self.n_inputs)


def events_of(spikes: np.ndarray, *, densest: float = 1.0, threads: int | None = None) -> Events | None:
    """Compress the rows of ``spikes`` (rows, inputs), float32 or float64; None if more than ``densest`` is not zero."""
    if spikes.ndim != 2 or spikes.dtype not in (np.float32, np.float64):
        raise BraindecError("spikes for a product have a wrong shape or type", found=f"{spikes.shape}, {spikes.dtype}",
                            allowed="(rows, inputs), float32 or float64")  # fmt: skip
    rows, limit = len(spikes), int(densest * spikes.size)
    starts, stops = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    n_parts = _threads(threads, spikes.size)
    edges = [rows * i // n_parts for i in range(n_parts + 1)]
    # Each part has room for all that is allowed (memory is taken when it is written), and one row more: the loop writes
    # each candidate before it decides whether to keep it.
    room = min(limit, -(-rows // n_parts) * spikes.shape[1]) + spikes.shape[1]
    inputs, values = np.empty(n_parts * room, np.int32), np.empty(n_parts * room, spikes.dtype)

    def part(first: int, stop: int) -> None:
        for i in range(first, stop):
            at = slice(edges[i], edges[i + 1])
            _compress(spikes[at], i * room, limit, starts[at], stops[at], inputs, values)

    in_parts(part, n_parts, threads=n_parts)
    events = Events(starts, stops, inputs, values, spikes.shape[1])
    return events if events.n_events <= limit else None


def spike_product_numpy(events: Events, weights: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """The definition: row by row, spike by spike."""
    rows = len(events.starts)
    out = np.zeros((rows, weights.shape[1]), weights.dtype)
    out += 0 if bias is None else bias
    for r in range(rows):
        for k in range(events.starts[r], events.stops[r]):
            out[r] += events.values[k] * weights[events.inputs[k]]
    return out


def spike_product_transposed_numpy(events: Events, grad: np.ndarray) -> np.ndarray:
    """The definition: row by row, spike by spike."""
    out = np.zeros((events.n_inputs, grad.shape[1]), grad.dtype)
    for r in range(len(grad)):
        for k in range(events.starts[r], events.stops[r]):
            out[events.inputs[k]] += events.values[k] * grad[r]
    return out


def spike_product(
    events: Events, weights: np.ndarray, bias: np.ndarray | None = None, *, threads: int | None = None,
    backend: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Return ``spikes @ weights + bias``, shape (rows, outputs).

    Parameters
    ----------
    events : Events
        Of :func:`events_of`.
    weights : array of shape (inputs, outputs)
        In the type of the spikes, C-contiguous.
    bias : array of shape (outputs,), optional
    threads : int, optional
        Numba's number of threads by default.
    backend : {"numpy", "numba"}, optional

    Raises
    ------
    BraindecError
        If the shapes or types do not fit.
    """
    _fits(events, weights, events.n_inputs, "weights")
    if bias is not None and np.shape(bias) != weights.shape[1:]:
        raise BraindecError("the bias of a product with spikes does not fit the weights", found=f"{np.shape(bias)}",
                            allowed=f"{weights.shape[1:]}")  # fmt: skip
    if _backend.choose(backend, has=("numpy", "numba"), kernel="spike_product") == "numpy":
        return spike_product_numpy(events, weights, bias)
    rows, n_out = len(events.starts), weights.shape[1]
    start = np.zeros(n_out, weights.dtype) if bias is None else np.ascontiguousarray(bias, weights.dtype)
    out = np.empty((rows, n_out), weights.dtype)
    in_parts(
        lambda a, b: _gather(events.starts[a:b], events.stops[a:b], events.inputs, events.values, weights, start, out[a:b]),
        rows, threads=_threads(threads, events.n_events * n_out),
    )  # fmt: skip
    return out


def spike_product_transposed(
    events: Events, grad: np.ndarray, *, threads: int | None = None, backend: str | None = None
) -> np.ndarray:
    """Return ``spikes.T @ grad``, shape (inputs, outputs); ``grad`` (rows, outputs), other parameters as above."""
    _fits(events, grad, len(events.starts), "gradient")
    if _backend.choose(backend, has=("numpy", "numba"), kernel="spike_product_transposed") == "numpy":
        return spike_product_transposed_numpy(events, grad)
    out = np.zeros((events.n_inputs, grad.shape[1]), grad.dtype)
    in_parts(
        lambda a, b: _scatter(events.starts, events.stops, events.inputs, events.values, grad, out, a, b), grad.shape[1],
        threads=_threads(threads, events.n_events * grad.shape[1]),
    )  # fmt: skip
    return out


def _threads(threads: int | None, work: int) -> int:
    return threads or (get_num_threads() if work > _WORTH_THREADS else 1)


def _fits(events: Events, dense: np.ndarray, rows: int, what: str) -> None:
    if dense.ndim != 2 or len(dense) != rows or dense.dtype != events.values.dtype:
        raise BraindecError(f"the {what} of a product with spikes do not fit them", found=f"{dense.shape}, {dense.dtype}",
                            allowed=f"({rows}, outputs), {events.values.dtype}")  # fmt: skip


@_fast
def _compress(spikes, begin, limit, starts, stops, inputs, values):  # type: ignore[no-untyped-def]
    k = np.uint64(begin)
    for r in range(len(spikes)):
        row = spikes[r]
        starts[r] = k
        for i in range(len(row)):
            inputs[k] = i
            values[k] = row[i]
            k += np.uint64(row[i] != 0)
        stops[r] = k
        if k - np.uint64(begin) > np.uint64(limit):  # too dense already
            return


@_fast
def _add_four(a, x, b, y, c, z, d, w, out):  # type: ignore[no-untyped-def]
    for j in range(len(out)):
        out[j] = out[j] + x * a[j] + y * b[j] + z * c[j] + w * d[j]


@_fast
def _add_one(a, x, out):  # type: ignore[no-untyped-def]
    for j in range(len(out)):
        out[j] += x * a[j]


@_fast
def _gather(starts, stops, inputs, values, weights, start, out):  # type: ignore[no-untyped-def]
    for r in range(len(out)):
        row = out[r]
        row[:] = start
        k, stop = starts[r], stops[r]
        while k + 4 <= stop:
            _add_four(weights[inputs[k]], values[k], weights[inputs[k + 1]], values[k + 1],
                      weights[inputs[k + 2]], values[k + 2], weights[inputs[k + 3]], values[k + 3], row)  # fmt: skip
            k += 4
        while k < stop:
            _add_one(weights[inputs[k]], values[k], row)
            k += 1


@_fast
def _scatter(starts, stops, inputs, values, grad, out, first, stop):  # type: ignore[no-untyped-def]
    for r in range(len(grad)):
        row = grad[r, first:stop]
        for k in range(starts[r], stops[r]):
            _add_one(row, values[k], out[inputs[k], first:stop])
