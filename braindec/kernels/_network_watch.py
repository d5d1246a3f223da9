"""What the time loop of a network does after each batch of steps: logs of spikes, and whether a population has exploded."""

from __future__ import annotations

import numpy as np
from numba import njit

from braindec.kernels._memory import view_like
from braindec.kernels._network_tables import (
    P_BLOCKS,
    P_CAP,
    P_COUNTS,
    P_FLAT,
    P_LIMIT,
    P_LOG,
    P_LOG_COUNTS,
    P_LOG_SIZE,
    P_LOG_USED,
    P_LOOKED,
    P_N,
    P_RECORD,
    P_RING,
    P_ROWS,
    P_SINCE,
    P_SLOTS,
    P_UPDATE,
    view_i32,
)
from braindec.kernels.state_update import BLOCK

__all__ = ["CHECK", "exploded", "remember", "spikes_allowed"]

CHECK = 100  # steps between two looks whether a network has exploded


@njit(no_cpython_wrapper=True)
def remember(pops, first, last, chunk, parts):
    """Append the spikes of a batch to the logs of their populations; True where a log could not take another batch."""
    full = False
    for p in range(len(pops)):
        slots, cap = pops[p, P_SLOTS], pops[p, P_CAP]
        counts = view_i32(pops[p, P_COUNTS], parts * slots)
        ring = view_i32(pops[p, P_RING], parts * slots * cap)
        log = view_i32(pops[p, P_LOG], pops[p, P_LOG_SIZE])
        log_counts = view_i32(pops[p, P_LOG_COUNTS], last - chunk)
        used = pops[p, P_LOG_USED]
        for t in range(first, last):
            total = 0
            for part in range(parts):
                place = part * slots + t % slots
                n = counts[place]
                if pops[p, P_RECORD]:
                    log[used : used + n] = ring[place * cap : place * cap + n]
                    used += n
                total += n
            if pops[p, P_RECORD]:
                log_counts[t - chunk] = total
            pops[p, P_SINCE] += total
        pops[p, P_LOG_USED] = used
        full = full or (pops[p, P_RECORD] and used + (last - first) * pops[p, P_N] > pops[p, P_LOG_SIZE])
    return full


@njit(no_cpython_wrapper=True)
def exploded(pops, t, like):
    """Return the population that has exploded before step ``t``, or -1: a variable is not finite, or it fires too much.

    Spikes are counted over ``CHECK`` steps or more, however short the calls of the loop are.
    """
    steps = t - pops[0, P_LOOKED]
    for p in range(len(pops)):
        rows, n = pops[p, P_ROWS], pops[p, P_N]
        if pops[p, P_UPDATE] == 0:
            continue
        flat = view_like(pops[p, P_FLAT], pops[p, P_BLOCKS] * rows * BLOCK, like)
        for b in range(pops[p, P_BLOCKS]):
            for r in range(rows):
                start = (b * rows + r) * BLOCK
                if not _finite(flat[start : start + min(BLOCK, n - b * BLOCK)]):
                    return p
        if steps >= CHECK and pops[p, P_LIMIT] > 0 and pops[p, P_SINCE] >= spikes_allowed(n, steps, pops[p, P_LIMIT]):
            return p
    if steps >= CHECK:
        for p in range(len(pops)):
            pops[p, P_SINCE], pops[p, P_LOOKED] = 0, t
    return -1


@njit(inline="always")
def spikes_allowed(n, steps, limit):
    """Spikes of ``n`` neurons in some steps with which they have exploded: ten each more than ``limit`` in CHECK steps, or all."""
    return min(limit * steps // CHECK + 10 * n, steps * n)


@njit(no_cpython_wrapper=True)
def _finite(values):
    bad = np.int32(0)
    for i in range(len(values)):
        difference = values[i] - values[i]  # 0 unless infinite or not a number
        bad = np.int32(bad + (np.int32(0) if difference == difference else np.int32(1)))
    return bad == 0
