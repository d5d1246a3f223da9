"""Leaky integrate-and-fire neuron whose potential jumps at every arriving spike, integrated exactly.

    tau_m v' = v_rest - v + i

An arriving spike adds its weight (V) to ``v``; what arrives in the refractory time is lost. A spike is a ``v`` above
``v_threshold``; then ``v = v_reset`` until ``t_ref`` after the spike.

Source: Brunel 2000, J. Comput. Neurosci. 8, 183, equation 1 (defaults: his network, potentials from rest).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.networks.neuron_model import TINY, NeuronModel, Receptor, refractory_steps

__all__ = ["lif_delta"]


def integrate(x, c, u):
    """One step of the exact solution."""
    v, wait = x
    rest, keep, zero, one, _, v_reset, _, i, tiny = c
    held = wait > zero
    return (v_reset if held else rest + i + ((v - rest - i) * keep + tiny - tiny), wait - one if held else zero)


def spiked(x, c):
    """Whether the potential is above threshold."""
    return x[0] > c[4]


def reset(x, c):
    """Back to the reset potential for the refractory time."""
    return (c[5], c[6])


def constants(p: Mapping[str, Any], dt: float) -> dict[str, Any]:
    """Constants of the bodies."""
    return {
        "v_rest": p["v_rest"],
        "keep": np.exp(-dt / np.asarray(p["tau_m"])),
        "zero": 0.0,
        "one": 1.0,
        "v_threshold": p["v_threshold"],
        "v_reset": p["v_reset"],
        "wait": refractory_steps(p["t_ref"], dt),
        "i": p["i"],
        "tiny": TINY,
    }


lif_delta = NeuronModel(
    name="lif_delta",
    params={"v_rest": 0.0, "v_reset": 0.0, "v_threshold": 0.020, "tau_m": 0.020, "t_ref": 0.002, "i": 0.0},
    states={"v": "v_rest", "refractory": 0.0},
    receptors={"excitatory": Receptor("v", sign=1), "inhibitory": Receptor("v", sign=-1)},
    constants=constants,
    integrate=integrate,
    spiked=spiked,
    reset=reset,
    current="i",
)
