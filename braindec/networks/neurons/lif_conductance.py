"""Leaky integrate-and-fire neuron with exponentially decaying conductances.

    capacitance v' = g_leak (v_rest - v) + g_e (e_excitatory - v) + g_i (e_inhibitory - v) + i

In a step the conductances are held and the potential is that of the exact solution (exponential Euler); then they decay
by ``exp(-dt / tau)``. Weights are conductances (S), all above zero: the receptor tells what they do.

Source: Vogels & Abbott 2005, J. Neurosci. 25, 10786; Brette et al. 2007, J. Comput. Neurosci. 23, 349, benchmark 1
(defaults); Hines 1984 (exponential Euler).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.kernels.fast_exp import fast_exp
from braindec.networks.neuron_model import TINY, NeuronModel, Receptor, refractory_steps

__all__ = ["lif_conductance"]


def integrate(x, c, u):
    """One step of exponential Euler."""
    v, g_e, g_i, wait = x
    e_leak, g_leak, e_e, e_i, rate, keep_e, keep_i, zero, one, _, v_reset, _, i, tiny = c
    total = g_leak + g_e + g_i
    aim = (g_leak * e_leak + g_e * e_e + g_i * e_i + i) / total
    free = aim + (v - aim) * fast_exp(-total * rate)
    held = wait > zero
    return (
        v_reset if held else free,
        g_e * keep_e + tiny - tiny,
        g_i * keep_i + tiny - tiny,
        wait - one if held else zero,
    )


def spiked(x, c):
    """Whether the potential is above threshold."""
    return x[0] > c[9]


def reset(x, c):
    """Back to the reset potential for the refractory time."""
    return (c[10], x[1], x[2], c[11])


def constants(p: Mapping[str, Any], dt: float) -> dict[str, Any]:
    """Constants of the bodies."""
    return {
        "v_rest": p["v_rest"],
        "g_leak": p["g_leak"],
        "e_excitatory": p["e_excitatory"],
        "e_inhibitory": p["e_inhibitory"],
        "rate": dt / np.asarray(p["capacitance"]),
        "keep_e": np.exp(-dt / np.asarray(p["tau_e"])),
        "keep_i": np.exp(-dt / np.asarray(p["tau_i"])),
        "zero": 0.0,
        "one": 1.0,
        "v_threshold": p["v_threshold"],
        "v_reset": p["v_reset"],
        "wait": refractory_steps(p["t_ref"], dt),
        "i": p["i"],
        "tiny": TINY,
    }


lif_conductance = NeuronModel(
    name="lif_conductance",
    params={"capacitance": 200e-12, "g_leak": 10e-9, "v_rest": -0.060, "v_reset": -0.060, "v_threshold": -0.050,
            "e_excitatory": 0.0, "e_inhibitory": -0.080, "tau_e": 0.005, "tau_i": 0.010, "t_ref": 0.005, "i": 0.0},
    states={"v": "v_rest", "g_e": 0.0, "g_i": 0.0, "refractory": 0.0},
    receptors={"excitatory": Receptor("g_e", source=1), "inhibitory": Receptor("g_i", source=-1)},
    constants=constants, integrate=integrate, spiked=spiked, reset=reset, current="i",
    above_zero=("capacitance", "g_leak"),
    times=lambda p: {"capacitance / g_leak": np.divide(p["capacitance"], p["g_leak"])},
)  # fmt: skip
