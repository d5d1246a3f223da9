"""The time loop of a network: deliver the spikes that arrive, drive, update, remember who spiked.

One compiled function serves every network. Populations, projections, drives and recorders are rows of tables of integers
(columns: :mod:`braindec.kernels._network_tables`; addresses of arrays, sizes, steps), models and plasticity rules are addresses of compiled functions.

Order of a step: spikes that are due are added to the variables of their targets (projections in their order, spikes by
step and neuron), drives are added, recorders look, every population is integrated, its threshold tested, the neurons
that spiked are reset; then plasticity sees those spikes. Nothing is shared between threads inside a batch of as many
steps as the shortest delay has: each owns a range of the neurons of every population and what arrives there, so sums are
in the same order for any number of threads and no atomic operation is needed.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from braindec.kernels._memory import call_address, prefetch, view_like
from braindec.kernels._network_tables import (
    D_BINS,
    D_KEY,
    D_KIND,
    D_OFFSETS,
    D_ROW,
    D_STEPS,
    D_TABLE,
    D_TARGET,
    D_WIDTH,
    J_ARRIVE,
    J_CONTEXT,
    J_DELAY,
    J_DELAYS,
    J_EVERY,
    J_FIRED,
    J_INDPTR,
    J_KIND,
    J_PADDED,
    J_PERIOD,
    J_RING,
    J_ROW,
    J_SLOTS,
    J_SOURCE,
    J_SPLITS,
    J_TARGET,
    J_TARGETS,
    J_WEIGHTS,
    P_BLOCKS,
    P_CAP,
    P_CONSTANTS,
    P_COUNTS,
    P_FLAT,
    P_GIVEN,
    P_GIVEN_FIRST,
    P_KEY,
    P_LOOKED,
    P_N,
    P_RING,
    P_ROWS,
    P_SLOTS,
    P_UPDATE,
    R_EVERY,
    R_FROM,
    R_N,
    R_NEURONS,
    R_OUT,
    R_ROW,
    R_SAMPLES,
    R_TARGET,
    view_f64,
    view_i32,
    view_i64,
    view_u32,
)
from braindec.kernels._network_watch import CHECK, exploded, remember
from braindec.kernels.counter_random import hash32, step_key
from braindec.kernels.state_update import BLOCK

__all__ = ["run_loop", "run_loop_threads"]

AHEAD = 2  # rows that are fetched before they are needed
LINE = 64

_MASK32, _S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_INVERSE32 = 2.0**-32


@njit(no_cpython_wrapper=True)
def _add_constant(values, targets, first, last, weight):
    part = targets[first:last]
    for k in range(len(part)):
        values[np.uint32(part[k])] += weight


@njit(no_cpython_wrapper=True)
def _add_weights(values, targets, weights, first, last):
    part, size = targets[first:last], weights[first:last]
    for k in range(len(part)):
        values[np.uint32(part[k])] += size[k]


@njit(no_cpython_wrapper=True)
def _arrivals(pops, j, proj, t, part, parts, weight, like):
    """Add the spikes of one projection that are due at step ``t`` to the targets that belong to ``part``."""
    source, target = proj[j, J_SOURCE], proj[j, J_TARGET]
    rows, n_source = pops[target, P_ROWS], pops[source, P_N]
    if rows == 0:
        return
    flat = view_like(pops[target, P_FLAT], pops[target, P_BLOCKS] * rows * BLOCK, like)
    values = flat[proj[j, J_ROW] * BLOCK :]
    indptr = view_i64(proj[j, J_INDPTR], n_source + 1)
    targets = view_i32(proj[j, J_TARGETS], indptr[n_source])
    weights = view_like(proj[j, J_WEIGHTS], indptr[n_source], like)
    starts, ends = indptr[:-1], indptr[1:]
    if parts > 1:
        splits = view_i64(proj[j, J_SPLITS], (parts + 1) * n_source)
        starts, ends = splits[part * n_source : (part + 1) * n_source], splits[(part + 1) * n_source :]
    slots, cap = pops[source, P_SLOTS], pops[source, P_CAP]
    slot = (t - proj[j, J_DELAY]) % slots
    for other in range(parts):
        n = view_i32(pops[source, P_COUNTS], parts * slots)[other * slots + slot]
        spikes = view_i32(pops[source, P_RING], parts * slots * cap)[(other * slots + slot) * cap :]
        for k in range(n):
            if k + AHEAD < n:
                later = starts[np.uint32(spikes[k + AHEAD])]
                for line in range(4):
                    prefetch(targets, later + line * (LINE // 4))
            i = np.uint32(spikes[k])
            if proj[j, J_WEIGHTS] == 0:
                _add_constant(values, targets, starts[i], ends[i], weight)
            else:
                _add_weights(values, targets, weights, starts[i], ends[i])


@njit(no_cpython_wrapper=True)
def _spread(pops, j, proj, t, part, parts, weight, like):
    """The same where each synapse has its delay: into a ring of steps to come, whose present step is then added."""
    source, target = proj[j, J_SOURCE], proj[j, J_TARGET]
    rows, n_source, padded = pops[target, P_ROWS], pops[source, P_N], proj[j, J_PADDED]
    if rows == 0:
        return
    flat = view_like(pops[target, P_FLAT], pops[target, P_BLOCKS] * rows * BLOCK, like)
    indptr = view_i64(proj[j, J_INDPTR], n_source + 1)
    targets = view_i32(proj[j, J_TARGETS], indptr[n_source])
    delays = view_i32(proj[j, J_DELAYS], indptr[n_source])
    weights = view_like(proj[j, J_WEIGHTS], indptr[n_source], like)
    ring = view_like(proj[j, J_RING], proj[j, J_SLOTS] * padded, like)
    starts, ends = indptr[:-1], indptr[1:]
    if parts > 1:
        splits = view_i64(proj[j, J_SPLITS], (parts + 1) * n_source)
        starts, ends = splits[part * n_source : (part + 1) * n_source], splits[(part + 1) * n_source :]
    slots, cap, ahead = pops[source, P_SLOTS], pops[source, P_CAP], proj[j, J_SLOTS]
    emitted = t - proj[j, J_DELAY]
    slot = emitted % slots
    for other in range(parts):
        n = view_i32(pops[source, P_COUNTS], parts * slots)[other * slots + slot]
        spikes = view_i32(pops[source, P_RING], parts * slots * cap)[(other * slots + slot) * cap :]
        for k in range(n):
            i = np.uint32(spikes[k])
            for e in range(starts[i], ends[i]):
                at = (emitted + delays[e]) % ahead * padded + targets[e]
                ring[at] += weight if proj[j, J_WEIGHTS] == 0 else weights[e]
    present = ring[t % ahead * padded :]
    blocks = pops[target, P_BLOCKS]
    for b in range(blocks * part // parts, blocks * (part + 1) // parts):
        row = flat[(b * rows + proj[j, J_ROW]) * BLOCK : (b * rows + proj[j, J_ROW] + 1) * BLOCK]
        came = present[b * BLOCK : (b + 1) * BLOCK]
        for i in range(len(row)):
            row[i] += came[i]
            came[i] = 0


@njit(no_cpython_wrapper=True)
def _add_poisson(row, thresholds, first, low, high, weight):
    """Add ``weight`` times a Poisson number to each item of ``row``: how many thresholds lie below the random bits."""
    for i in range(len(row)):
        bits = hash32(np.uint32(first + i), low, high)
        k = np.int32(0)
        for m in range(len(thresholds)):
            k = np.int32(k + (np.int32(1) if bits > thresholds[m] else np.int32(0)))
        row[i] += weight * np.float32(k)


@njit(no_cpython_wrapper=True)
def _add_poisson_each(row, means, first, low, high, weight):
    """The same where each neuron has a mean of its own: inversion by summing probabilities."""
    for i in range(len(row)):
        bits = hash32(np.uint32(first + i), low, high)
        left = (np.float64(bits) + 0.5) * _INVERSE32
        p, k = np.exp(-means[i]), 0
        while left > p and k < 10000:
            left -= p
            k += 1
            p *= means[i] / k
            if p < 1e-18 and k > means[i]:
                break
        row[i] += weight * np.float32(k)


@njit(no_cpython_wrapper=True)
def _drive(pops, drives, k, t, part, parts, weight, like):
    target = drives[k, D_TARGET]
    rows, blocks = pops[target, P_ROWS], pops[target, P_BLOCKS]
    flat = view_like(pops[target, P_FLAT], blocks * rows * BLOCK, like)
    bin_now = min(t // drives[k, D_STEPS], drives[k, D_BINS] - 1) if drives[k, D_STEPS] > 0 else 0
    key = step_key(drives[k, D_KEY], t)
    low, high = np.uint32(key & _MASK32), np.uint32(key >> _S32)
    width = drives[k, D_WIDTH]
    for b in range(blocks * part // parts, blocks * (part + 1) // parts):
        start = (b * rows + drives[k, D_ROW]) * BLOCK
        row = flat[start : start + BLOCK]
        if drives[k, D_KIND] == 0:
            offsets = view_i64(drives[k, D_OFFSETS], drives[k, D_BINS] + 1)
            table = view_u32(drives[k, D_TABLE], offsets[drives[k, D_BINS]])
            _add_poisson(row, table[offsets[bin_now] : offsets[bin_now + 1]], b * BLOCK, low, high, weight)
        elif drives[k, D_KIND] == 1:
            means = view_f64(drives[k, D_TABLE], drives[k, D_BINS] * width)
            here = bin_now * width + b * BLOCK
            _add_poisson_each(row, means[here : here + BLOCK], b * BLOCK, low, high, weight)
        elif drives[k, D_STEPS] > 0 and t % drives[k, D_STEPS] == 0:
            values = view_like(drives[k, D_TABLE], drives[k, D_BINS] * width, like)
            here = bin_now * width + b * BLOCK
            row[:] = values[here : here + BLOCK]


@njit(no_cpython_wrapper=True)
def _record(pops, records, r, t, part, parts, like):
    target, every = records[r, R_TARGET], records[r, R_EVERY]
    sample = (t - records[r, R_FROM]) // every
    if t % every != 0 or sample < 0 or sample >= records[r, R_SAMPLES]:
        return
    rows, blocks = pops[target, P_ROWS], pops[target, P_BLOCKS]
    flat = view_like(pops[target, P_FLAT], blocks * rows * BLOCK, like)
    neurons = view_i32(records[r, R_NEURONS], records[r, R_N])
    out = view_like(records[r, R_OUT], records[r, R_N] * records[r, R_SAMPLES], like)
    low, high = blocks * part // parts * BLOCK, blocks * (part + 1) // parts * BLOCK
    for k in range(records[r, R_N]):
        i = neurons[k]
        if low <= i < high:
            at = (i // BLOCK * rows + records[r, R_ROW]) * BLOCK + i % BLOCK
            out[k * records[r, R_SAMPLES] + sample] = flat[at]


@njit(no_cpython_wrapper=True)
def _advance(pops, proj, weights, drives, drive_weights, records, part, parts, first, last, given_from, like):
    """Steps ``first`` to ``last`` (a batch) of the neurons that belong to ``part``."""
    for t in range(first, last):
        for j in range(len(proj)):
            if proj[j, J_KIND] == 0:
                _arrivals(pops, j, proj, t, part, parts, weights[j], like)
            elif proj[j, J_KIND] == 1:
                _spread(pops, j, proj, t, part, parts, weights[j], like)
            else:
                _plastic_arrivals(pops, proj, j, t)
        for k in range(len(drives)):
            _drive(pops, drives, k, t, part, parts, drive_weights[k], like)
        for r in range(len(records)):
            _record(pops, records, r, t, part, parts, like)
        for p in range(len(pops)):
            slots, cap, blocks = pops[p, P_SLOTS], pops[p, P_CAP], pops[p, P_BLOCKS]
            place = part * slots + t % slots
            counts = view_i32(pops[p, P_COUNTS], parts * slots)
            out = pops[p, P_RING] + 4 * place * cap
            low, high = blocks * part // parts, blocks * (part + 1) // parts
            if pops[p, P_UPDATE] == 0:
                counts[place] = _given(pops, p, t - given_from, low * BLOCK, high * BLOCK, out)
                continue
            key = np.int64(step_key(pops[p, P_KEY], t))
            n = pops[p, P_N]
            counts[place] = call_address(
                pops[p, P_UPDATE], pops[p, P_FLAT], pops[p, P_CONSTANTS], low, high, n, key, out
            )


@njit(no_cpython_wrapper=True)
def _given(pops, p, step, low, high, out):
    """Copy the given spikes of a step that belong to neurons ``low`` to ``high``."""
    first = view_i64(pops[p, P_GIVEN_FIRST], step + 2)
    given = view_i32(pops[p, P_GIVEN], first[step + 1])
    to = view_i32(out, pops[p, P_CAP])
    k = 0
    for e in range(first[step], first[step + 1]):
        if low <= given[e] < high:
            to[k] = given[e]
            k += 1
    return k


@njit(no_cpython_wrapper=True)
def _plastic_arrivals(pops, proj, j, t):
    source = proj[j, J_SOURCE]
    slots, cap = pops[source, P_SLOTS], pops[source, P_CAP]
    slot = (t - proj[j, J_DELAY]) % slots
    n = np.int64(view_i32(pops[source, P_COUNTS], slots)[slot])
    if n > 0:
        spikes = pops[source, P_RING] + 4 * slot * cap
        call_address(proj[j, J_ARRIVE], proj[j, J_CONTEXT], t, spikes, n, pops[proj[j, J_TARGET], P_FLAT], 0, 0)


@njit(no_cpython_wrapper=True)
def _plasticity(pops, proj, modulators, signs, t):
    """What spikes of step ``t`` do to the synapses onto their neurons, and to modulators."""
    for j in range(len(proj)):
        if proj[j, J_KIND] != 2:
            continue
        target = proj[j, J_TARGET]
        slots, cap = pops[target, P_SLOTS], pops[target, P_CAP]
        slot = t % slots
        n = np.int64(view_i32(pops[target, P_COUNTS], slots)[slot])
        if n > 0 and proj[j, J_FIRED] != 0:
            call_address(proj[j, J_FIRED], proj[j, J_CONTEXT], t, pops[target, P_RING] + 4 * slot * cap, n, 0, 0, 0)
    for m in range(len(modulators)):
        drive = 0.0
        for p in range(len(pops)):
            if signs[m, p] != 0:
                slots = pops[p, P_SLOTS]
                drive += signs[m, p] * view_i32(pops[p, P_COUNTS], slots)[t % slots]
        now = modulators[m, 0]
        modulators[m, 0] = now + modulators[m, 1] * (modulators[m, 2] * drive + modulators[m, 3] - now)


@njit(no_cpython_wrapper=True)
def _periods(proj, t):
    """What comes each period, before the spikes of the step."""
    for j in range(len(proj)):
        if proj[j, J_KIND] == 2 and proj[j, J_EVERY] > 0 and t > 0 and t % proj[j, J_EVERY] == 0:
            call_address(proj[j, J_PERIOD], proj[j, J_CONTEXT], t, 0, 0, 0, 0, 0)


@njit(cache=True, nogil=True)
def run_loop(pops, proj, weights, drives, drive_weights, records, modulators, signs, first, last, batch, given_from, like):  # fmt: skip
    """Run steps ``first`` to ``last`` on one thread; returns (the next step, the population that exploded or -1)."""
    t, plastic = first, False
    for j in range(len(proj)):
        plastic = plastic or proj[j, J_KIND] == 2
    if plastic or len(modulators) > 0:
        batch = 1
    while t < last:
        upto = min(t + batch, last)
        if plastic:
            _periods(proj, t)
        _advance(pops, proj, weights, drives, drive_weights, records, 0, 1, t, upto, given_from, like)
        if plastic or len(modulators) > 0:
            _plasticity(pops, proj, modulators, signs, t)
        full = remember(pops, t, upto, first, 1)
        t = upto
        if t - pops[0, P_LOOKED] >= CHECK or t == last:
            bad = exploded(pops, t, like)
            if bad >= 0:
                return t, bad
        if full:
            break
    return t, -1


@njit(cache=True, parallel=True)
def run_loop_threads(pops, proj, weights, drives, drive_weights, records, parts, first, last, batch, given_from, like):
    """The same on ``parts`` threads, without plasticity: they meet after each batch."""
    t = first
    while t < last:
        upto = min(t + batch, last)
        for part in prange(parts):
            _advance(pops, proj, weights, drives, drive_weights, records, part, parts, t, upto, given_from, like)
        full = remember(pops, t, upto, first, parts)
        t = upto
        if t - pops[0, P_LOOKED] >= CHECK or t == last:
            bad = exploded(pops, t, like)
            if bad >= 0:
                return t, bad
        if full:
            break
    return t, -1
