"""Leaky integrate-and-fire neuron with exponentially decaying synaptic drives, integrated exactly.

    tau_m v' = v_rest - v + g_e + g_i + i,    tau_e g_e' = -g_e,    tau_i g_i' = -g_i

Everything is in volt: ``g_e`` and ``g_i`` are synaptic drives (resistance times current), jumped by the weights of
arriving spikes; ``i`` is a constant or given drive. A spike is a ``v`` above ``v_threshold``; then ``v = v_reset``, and
``v`` stays there until ``t_ref`` after the spike, so that no interval is shorter than ``t_ref``.

Source: Rotter & Diesmann 1999, Biological Cybernetics 81, 381 (exact integration); Vogels & Abbott 2005, J. Neurosci. 25,
10786 (the values by default are their network's).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.networks.neuron_model import TINY, NeuronModel, Receptor, propagator, refractory_steps

__all__ = ["lif"]


def integrate(x, c, u):
    """One step with the propagators of the exact solution."""
    v, g_e, g_i, wait = x
    rest, p_v, p_e, p_i, keep_e, keep_i, zero, one, _, v_reset, _, i, tiny = c
    free = rest + i + ((v - rest - i) * p_v + g_e * p_e + g_i * p_i + tiny) - tiny
    held = wait > zero
    return (
        v_reset if held else free,
        g_e * keep_e + tiny - tiny,
        g_i * keep_i + tiny - tiny,
        wait - one if held else zero,
    )


def spiked(x, c):
    """Whether the potential is above threshold."""
    return x[0] > c[8]


def reset(x, c):
    """Back to the reset potential for the refractory time."""
    return (c[9], x[1], x[2], c[10])


def constants(p: Mapping[str, Any], dt: float) -> dict[str, Any]:
    """Propagators of one step."""
    return {
        "v_rest": p["v_rest"],
        "p_v": np.exp(-dt / np.asarray(p["tau_m"])),
        "p_e": propagator(p["tau_e"], p["tau_m"], dt),
        "p_i": propagator(p["tau_i"], p["tau_m"], dt),
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


lif = NeuronModel(
    name="lif",
    params={"v_rest": -0.049, "v_reset": -0.060, "v_threshold": -0.050, "tau_m": 0.020, "tau_e": 0.005, "tau_i": 0.010,
            "t_ref": 0.005, "i": 0.0},
    states={"v": "v_rest", "g_e": 0.0, "g_i": 0.0, "refractory": 0.0},
    receptors={"excitatory": Receptor("g_e", sign=1), "inhibitory": Receptor("g_i", sign=-1)},
    constants=constants, integrate=integrate, spiked=spiked, reset=reset, current="i",
)  # fmt: skip
