"""What short-term plasticity multiplies the weight by at every presynaptic spike, for trains that are given.

A rule with ``transmit`` (``braindec.networks.plasticity_rule``) has a state (u, r) of the presynaptic neuron; the numpy
version calls the body spike after spike, the compiled one does the same, one thread a train on CUDA.

Source: Tsodyks, Pawelzik & Markram 1998, Neural Computation 10 (the recursion from spike to spike).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numba import cuda, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._trains import check_trains

__all__ = ["PTX_SIGNATURES", "transmit_factors", "transmit_factors_numpy"]

THREADS = 64  # a block on CUDA


def transmit_factors(rule: Any, pre_times: Any, *, backend: str | None = None) -> np.ndarray:
    """Return the factor of each presynaptic spike, shape (n_spikes,).

    Parameters
    ----------
    rule : PlasticityRule
        With ``transmit``; its state at time 0 is ``transmit_start``.
    pre_times : array of shape (n_spikes,), or (flat, offsets)
        Spike times in s of one neuron, or of many as ragged trains.
    backend : {"numba", "numpy", "cuda"}, optional

    Raises
    ------
    BraindecError
        If the rule has no ``transmit``, or times are unsorted, not finite or before 0.
    """
    if isinstance(rule, str):
        raise BraindecError(
            f"a rule is needed, not its name {rule!r}", fix=f'registry.get("networks.plasticity", "{rule}")'
        )
    if rule.transmit is None:
        raise BraindecError(f"the plasticity rule {rule.name!r} has no short-term plasticity", fix="take 'short_term'")
    flat, offsets = pre_times if isinstance(pre_times, tuple) else (pre_times, np.array([0, np.size(pre_times)]))
    flat, offsets = check_trains(flat, offsets)
    if len(flat) and flat.min() < 0:
        raise BraindecError("a presynaptic spike lies before time 0", found=f"{flat.min():g} s")
    u, r = (rule.number(v) for v in rule.transmit_start)
    chosen = choose(backend, kernel="transmit_factors")
    if chosen == "numpy":
        return transmit_factors_numpy(rule, flat, offsets)
    factors, n = np.zeros(len(flat)), len(offsets) - 1
    if chosen == "numba":
        _numba_run(rule.transmit)(flat, offsets, u, r, rule.numbers, factors)
    else:
        _cuda_run(rule.transmit)[-(-n // THREADS), THREADS](flat, offsets, u, r, rule.numbers, factors)
    return factors


def transmit_factors_numpy(rule: Any, flat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The definition: the body called spike after spike."""
    factors = np.zeros(len(flat))
    for begin, end in pairwise(offsets):
        (u, r), before = (rule.number(v) for v in rule.transmit_start), 0.0
        for at in range(begin, end):
            u, r, factors[at] = rule.transmit(u, r, flat[at] - before, rule.numbers)
            before = flat[at]
    return factors


def _make_walk(jit: Callable[..., Any], transmit: Any) -> Any:
    body = jit(transmit)

    @jit
    def walk(flat, begin, end, u, r, p, factors):  # type: ignore[no-untyped-def]
        before = 0.0
        for at in range(begin, end):
            u, r, factor = body(u, r, flat[at] - before, p)
            factors[at] = factor
            before = flat[at]

    return walk


@cache
def _numba_run(transmit: Any) -> Any:
    walk = _make_walk(njit, transmit)

    @njit(nogil=True)
    def run(flat, offsets, u, r, p, factors):  # type: ignore[no-untyped-def]
        for i in range(len(offsets) - 1):
            walk(flat, offsets[i], offsets[i + 1], u, r, p, factors)

    return run


def _cuda_function(transmit: Any) -> Any:
    """Return the Python function of the CUDA kernel: one thread, one train."""
    walk = _make_walk(cuda.jit(device=True), transmit)

    def run(flat, offsets, u, r, p, factors):  # type: ignore[no-untyped-def]
        i = cuda.grid(1)
        if i < len(offsets) - 1:
            walk(flat, offsets[i], offsets[i + 1], u, r, p, factors)

    return run


@cache
def _cuda_run(transmit: Any) -> Any:
    return cuda.jit(_cuda_function(transmit))


def PTX_SIGNATURES() -> dict[Any, Any]:
    """Return the CUDA kernel of one rule and the types of its arguments."""
    from numba import float64, int64, types

    from braindec import registry

    rule = registry.get("networks.plasticity", "short_term")
    numbers = types.UniTuple(float64, len(rule.numbers))
    return {_cuda_run(rule.transmit): (float64[::1], int64[::1], float64, float64, numbers, float64[::1])}
