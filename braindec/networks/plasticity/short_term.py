"""Short-term depression and facilitation: resources that a spike uses up, and a release probability that it raises.

At a spike ``u = u e^(-dt / tau_facilitation)``, then ``u += use (1 - u)``; ``r = 1 - (1 - r) e^(-dt / tau_recovery)``; the
weight that arrives is ``w u r``, and ``r`` becomes ``r (1 - u)``. The first spike of a rested synapse arrives as ``use w``.

Source: Tsodyks, Pawelzik & Markram 1998, Neural Computation 10, the iterative form for a train of spikes.
"""

from __future__ import annotations

import math
from typing import Any

from braindec.networks.plasticity_rule import PlasticityRule

__all__ = ["short_term"]


def _transmit(u: Any, r: Any, dt: Any, p: Any) -> Any:
    tau_facilitation, tau_recovery, use = p
    kept = u * math.exp(-dt / tau_facilitation) if tau_facilitation > 0 else 0.0
    u = kept + use * (1.0 - kept)
    r = 1.0 - (1.0 - r) * math.exp(-dt / tau_recovery) if tau_recovery > 0 else 1.0
    return u, r * (1.0 - u), u * r


short_term = PlasticityRule(
    name="short_term",
    params={"tau_facilitation": 0.0, "tau_recovery": 0.8, "use": 0.5},
    transmit=_transmit,
    transmit_start=(0.0, 1.0),
    shares=("use",),
    notes="defaults depress; tau_facilitation 1.0, tau_recovery 0.13, use 0.03 facilitate",
)
