"""Izhikevich's two-variable neuron.

    v' = 0.04 v^2 + 5 v + 140 - u + i,    u' = a (b v - u)      (v in mV, time in ms)

Forward Euler; a spike is a ``v`` of ``v_peak`` or more, then ``v = v_reset`` and ``u += d``. Public values are SI: ``v``,
``v_reset``, ``v_peak`` and weights (jumps of ``v``) in V; ``u``, ``i`` and ``d`` in V/s, which are the published numbers
(mV/ms); ``a`` and ``b`` as published (per ms). Types: ``TYPES``.

Source: Izhikevich 2003, IEEE Trans. Neural Networks 14, 1569.
Differs from the reference in: steps of ``dt`` for both variables (there 0.5 ms for v and 1 ms for u).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.networks.neuron_model import NeuronModel, Receptor

__all__ = ["izhikevich", "TYPES"]

TYPES = {
    "regular_spiking": {"a": 0.02, "b": 0.2, "v_reset": -0.065, "d": 8.0},
    "intrinsically_bursting": {"a": 0.02, "b": 0.2, "v_reset": -0.055, "d": 4.0},
    "chattering": {"a": 0.02, "b": 0.2, "v_reset": -0.050, "d": 2.0},
    "fast_spiking": {"a": 0.1, "b": 0.2, "v_reset": -0.065, "d": 2.0},
    "low_threshold_spiking": {"a": 0.02, "b": 0.25, "v_reset": -0.065, "d": 2.0},
}


def integrate(x, c, u):
    """One step of forward Euler."""
    v, recovery = x
    dt, square, line, base, a, b, _, _, _, i = c
    return (v + dt * (square * (v * v) + line * v + (base + i) - recovery), recovery + dt * (a * (b * v - recovery)))


def spiked(x, c):
    """Whether the potential is at the peak."""
    return x[0] >= c[6]


def reset(x, c):
    """Back to the reset potential; more recovery."""
    return (c[7], x[1] + c[8])


def constants(p: Mapping[str, Any], dt: float) -> dict[str, Any]:
    """Constants of the bodies, in mV and ms."""
    return {
        "dt": dt * 1e3,
        "square": 0.04,
        "line": 5.0,
        "base": 140.0,
        "a": p["a"],
        "b": p["b"],
        "v_peak": 1e3 * p["v_peak"],
        "v_reset": 1e3 * p["v_reset"],
        "d": p["d"],
        "i": p["i"],
    }


izhikevich = NeuronModel(
    name="izhikevich",
    params={"a": 0.02, "b": 0.2, "v_reset": -0.065, "d": 8.0, "v_peak": 0.030, "i": 0.0, "v_start": -0.065, "u_start": -13.0},
    states={"v": "v_start", "u": "u_start"},
    receptors={"excitatory": Receptor("v", sign=1), "inhibitory": Receptor("v", sign=-1)},
    constants=constants, integrate=integrate, spiked=spiked, reset=reset, current="i",
    unit={"v": 1e-3, "weight": 1e-3},
    times=lambda p: {"1 / a": 1e-3 / np.maximum(np.abs(p["a"]), 1e-12)},
)  # fmt: skip
