"""Work on all pairs of spike trains: shared among threads on the processor, one thread a pair on a CUDA device.

Every pair is computed by one thread from beginning to end, so a result does not depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from braindec.kernels._threads import run_parts, split_rows

__all__ = ["launch_pairs", "run_pairs", "time_slack"]

_LANES = 16_384  # CUDA threads at most; pairs beyond are done in further turns
_SCRATCH = 2**30  # bytes of scratch memory of all threads, at most
_BLOCK = 64  # CUDA threads a block


def run_pairs(run: Callable[[int, int], None], weights: np.ndarray, *, least: float) -> None:
    """Call ``run(first, last)``, which does the pairs (x, y > x) of rows ``first`` to ``last``, on several threads.

    Parameters
    ----------
    run : function
        Gives up the interpreter's lock.
    weights : array of shape (n_units, n_units)
        Work of each pair; what is not above the diagonal does not count.
    least : float
        Work below which a thread does not pay.
    """
    run_parts(run, split_rows(np.triu(weights, 1).sum(axis=1), least=least))


def launch_pairs(
    kernel: Any, arrays: tuple, numbers: tuple, out: np.ndarray, *, scratch: tuple[int, ...] = (), ordered: bool = False
) -> None:
    """Run a CUDA kernel over pairs i < j (``ordered``: all i, j) of ``len(out)`` units; its result comes into ``out``.

    Parameters
    ----------
    kernel : CUDA kernel
        Called as ``kernel(*arrays, *numbers, first, second, *scratch, out)``; its threads stride over the pairs.
    arrays, numbers : tuple
        Arguments that are copied to the device, and plain ones.
    out : array of shape (n_units, n_units)
        Filled at [i, j]; what the kernel does not write stays.
    scratch : tuple of int
        Rows of float64 arrays of shape (rows, n_threads) that threads may write in.
    ordered : bool
        Also pairs i > j and i = j.
    """
    everyone = np.indices(out.shape).reshape(2, -1)
    first, second = (a.astype(np.int32) for a in (everyone if ordered else np.triu_indices(len(out), 1)))
    if not len(first):
        return
    most = min(len(first), _LANES, max(_BLOCK, _SCRATCH // (8 * max(1, sum(scratch)))))
    blocks = -(-most // _BLOCK)
    lanes = [cuda.device_array((rows, blocks * _BLOCK), dtype=np.float64) for rows in scratch]
    there = [cuda.to_device(a) for a in arrays]
    result = cuda.to_device(out)
    kernel[blocks, _BLOCK](*there, *numbers, cuda.to_device(first), cuda.to_device(second), *lanes, result)
    result.copy_to_host(out)


def time_slack(start: float, stop: float) -> float:
    """Return what rounding may do to a difference of two times between ``start`` and ``stop``, in s.

    Differences that are equal in decimals, such as those of times on a grid of samples, then compare as equal wherever
    the recording begins.
    """
    return 4 * float(np.spacing(float(max(abs(start), abs(stop)))))
