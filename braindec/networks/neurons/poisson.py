"""Poisson neurons: in each step a spike with probability ``rate dt``, independent of everything.

``rate`` (Hz) is a number, (n,), or with ``bin_width`` (s) a table (n_bins, 1) or (n_bins, n) whose last bin goes on. The
random numbers are hashes of seed, neuron and step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.networks.neuron_model import NeuronModel

__all__ = ["poisson"]


def integrate(x, c, u):
    """Draw."""
    p, zero, one = c
    return (one if u < p else zero,)


def spiked(x, c):
    """Whether the draw was a spike."""
    return x[0] > c[1]


def reset(x, c):
    """Nothing is left of a spike."""
    return (c[1],)


def constants(p: Mapping[str, Any], dt: float) -> dict[str, Any]:
    """Probability of a spike in a step.

    Raises
    ------
    BraindecError
        If a rate is below zero, or too high for the step.
    """
    chance = np.asarray(p["rate"], dtype=float) * dt
    if not chance.size:
        raise BraindecError("Poisson neurons have a table of rates without bins", found=f"shape {chance.shape}")
    if not np.isfinite(chance).all() or chance.min() < 0 or chance.max() > 0.5:
        raise BraindecError(
            "Poisson neurons have a rate that does not fit the time step",
            found=f"{chance.min() / dt:g} to {chance.max() / dt:g} Hz, dt={dt:g} s",
            allowed=f"0 to {0.5 / dt:g} Hz",
        )
    return {"p": chance[()], "zero": 0.0, "one": 1.0}


poisson = NeuronModel(
    name="poisson",
    params={"rate": 10.0, "bin_width": None},
    states={"fired": 0.0},
    receptors={},
    constants=constants,
    integrate=integrate,
    spiked=spiked,
    reset=reset,
    random=True,
)
