"""Neurons whose spikes are given: recorded, or made by something else.

``spikes`` is a :class:`braindec.types.Spikes`, or ``times`` (s) and ``neurons`` are arrays. A time is rounded to its step.
"""

from __future__ import annotations

import numpy as np

from braindec.networks.neuron_model import NeuronModel

__all__ = ["recorded"]


def constants(p, dt):
    """None are needed."""
    return {}


recorded = NeuronModel(
    name="recorded",
    params={"times": np.zeros(0), "neurons": np.zeros(0, dtype=np.int32), "spikes": None},
    states={},
    receptors={},
    constants=constants,
    free=("times", "neurons", "spikes"),
)
