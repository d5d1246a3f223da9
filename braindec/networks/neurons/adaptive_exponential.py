"""Adaptive exponential integrate-and-fire neuron with exponentially decaying conductances::

    capacitance v' = -g_leak (v - v_rest) + g_leak delta_t exp((v - v_t) / delta_t) - w + i
                     + g_e (e_excitatory - v) + g_i (e_inhibitory - v)
    tau_w w' = a (v - v_rest) - w

Forward Euler: the upstroke of a spike needs a ``dt`` of some hundredths of a millisecond. A spike is a ``v`` above
``v_peak``; then ``v = v_reset`` until ``t_ref`` after the spike, and ``w`` grows by ``b``. The exponential is taken at
``v_peak`` at most. Weights are conductances (S), all above zero.

Source: Brette & Gerstner 2005, J. Neurophysiol. 94, 3637, equations 2 and 3, and their parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.kernels.fast_exp import fast_exp
from braindec.networks.neuron_model import TINY, NeuronModel, Receptor, refractory_steps

__all__ = ["adaptive_exponential"]


def integrate(x, c, u):
    """One step of forward Euler."""
    v, w, g_e, g_i, wait = x
    rest, g_leak, v_t, per_delta, upstroke, rate, a, rate_w = c[:8]
    e_e, e_i, keep_e, keep_i, zero, one, v_peak, v_reset, _, _, i, tiny = c[8:]
    top = v if v < v_peak else v_peak
    current = upstroke * fast_exp((top - v_t) * per_delta) - g_leak * (v - rest) - w + i
    free = v + rate * (current + g_e * (e_e - v) + g_i * (e_i - v))
    held = wait > zero
    adapted = w + rate_w * (a * (v - rest) - w) + tiny - tiny
    return (
        v_reset if held else free,
        adapted,
        g_e * keep_e + tiny - tiny,
        g_i * keep_i + tiny - tiny,
        wait - one if held else zero,
    )


def spiked(x, c):
    """Whether the potential is above the peak."""
    return x[0] > c[14]


def reset(x, c):
    """Back to the reset potential for the refractory time; more adaptation."""
    return (c[15], x[1] + c[17], x[2], x[3], c[16])


def constants(p: Mapping[str, Any], dt: float) -> dict[str, Any]:
    """Constants of the bodies."""
    return {
        "v_rest": p["v_rest"],
        "g_leak": p["g_leak"],
        "v_t": p["v_t"],
        "per_delta": np.divide(1.0, p["delta_t"]),
        "upstroke": np.multiply(p["g_leak"], p["delta_t"]),
        "rate": dt / np.asarray(p["capacitance"]),
        "a": p["a"],
        "rate_w": dt / np.asarray(p["tau_w"]),
        "e_excitatory": p["e_excitatory"],
        "e_inhibitory": p["e_inhibitory"],
        "keep_e": np.exp(-dt / np.asarray(p["tau_e"])),
        "keep_i": np.exp(-dt / np.asarray(p["tau_i"])),
        "zero": 0.0,
        "one": 1.0,
        "v_peak": p["v_peak"],
        "v_reset": p["v_reset"],
        "wait": refractory_steps(p["t_ref"], dt),
        "b": p["b"],
        "i": p["i"],
        "tiny": TINY,
    }


adaptive_exponential = NeuronModel(
    name="adaptive_exponential",
    params={"capacitance": 281e-12, "g_leak": 30e-9, "v_rest": -0.0706, "v_t": -0.0504, "delta_t": 2e-3, "tau_w": 0.144,
            "a": 4e-9, "b": 80.5e-12, "v_peak": 0.0, "v_reset": -0.0706, "t_ref": 0.0, "e_excitatory": 0.0,
            "e_inhibitory": -0.080, "tau_e": 0.005, "tau_i": 0.010, "i": 0.0},
    states={"v": "v_rest", "w": 0.0, "g_e": 0.0, "g_i": 0.0, "refractory": 0.0},
    receptors={"excitatory": Receptor("g_e", source=1), "inhibitory": Receptor("g_i", source=-1)},
    constants=constants, integrate=integrate, spiked=spiked, reset=reset, current="i",
    above_zero=("capacitance", "g_leak", "delta_t"),
    times=lambda p: {"capacitance / g_leak": np.divide(p["capacitance"], p["g_leak"])},
)  # fmt: skip
