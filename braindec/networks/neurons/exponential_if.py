"""Exponential integrate-and-fire neuron with exponentially decaying synaptic currents.

    capacitance v' = -g_leak (v - v_rest) + g_leak delta_t exp((v - v_t) / delta_t) + i_e + i_i + i

Forward Euler; a spike is a ``v`` above ``v_peak``, then ``v = v_reset`` until ``t_ref`` after the spike. Weights are
currents (A). The exponential is taken at ``v_peak`` at most.

Source: Fourcaud-Trocme, Hansel, van Vreeswijk & Brunel 2003, J. Neurosci. 23, 11628, equation 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.kernels.fast_exp import fast_exp
from braindec.networks.neuron_model import TINY, NeuronModel, Receptor, refractory_steps

__all__ = ["exponential_if"]


def integrate(x, c, u):
    """One step of forward Euler."""
    v, i_e, i_i, wait = x
    rest, g_leak, v_t, per_delta, upstroke, rate, keep_e, keep_i, zero, one, v_peak, v_reset, _, i, tiny = c
    top = v if v < v_peak else v_peak
    free = v + rate * (upstroke * fast_exp((top - v_t) * per_delta) - g_leak * (v - rest) + i_e + i_i + i)
    held = wait > zero
    return (
        v_reset if held else free,
        i_e * keep_e + tiny - tiny,
        i_i * keep_i + tiny - tiny,
        wait - one if held else zero,
    )


def spiked(x, c):
    """Whether the potential is above the peak."""
    return x[0] > c[10]


def reset(x, c):
    """Back to the reset potential for the refractory time."""
    return (c[11], x[1], x[2], c[12])


def constants(p: Mapping[str, Any], dt: float) -> dict[str, Any]:
    """Constants of the bodies."""
    return {
        "v_rest": p["v_rest"],
        "g_leak": p["g_leak"],
        "v_t": p["v_t"],
        "per_delta": np.divide(1.0, p["delta_t"]),
        "upstroke": np.multiply(p["g_leak"], p["delta_t"]),
        "rate": dt / np.asarray(p["capacitance"]),
        "keep_e": np.exp(-dt / np.asarray(p["tau_e"])),
        "keep_i": np.exp(-dt / np.asarray(p["tau_i"])),
        "zero": 0.0,
        "one": 1.0,
        "v_peak": p["v_peak"],
        "v_reset": p["v_reset"],
        "wait": refractory_steps(p["t_ref"], dt),
        "i": p["i"],
        "tiny": TINY,
    }


exponential_if = NeuronModel(
    name="exponential_if",
    params={"capacitance": 200e-12, "g_leak": 20e-9, "v_rest": -0.065, "v_t": -0.0599, "delta_t": 3.48e-3, "v_peak": -0.030,
            "v_reset": -0.068, "t_ref": 0.0017, "tau_e": 0.005, "tau_i": 0.010, "i": 0.0},
    states={"v": "v_rest", "i_e": 0.0, "i_i": 0.0, "refractory": 0.0},
    receptors={"excitatory": Receptor("i_e", sign=1), "inhibitory": Receptor("i_i", sign=-1)},
    constants=constants, integrate=integrate, spiked=spiked, reset=reset, current="i",
    above_zero=("capacitance", "g_leak", "delta_t"),
    times=lambda p: {"capacitance / g_leak": np.divide(p["capacitance"], p["g_leak"])},
)  # fmt: skip
