"""Synaptic scaling: all weights of a neuron grow while it fires slower than a target and shrink while it fires faster.

Every ``period`` s ``w`` changes by ``eta w (1 - r / target)``, where ``r`` is the postsynaptic trace divided by its time
constant: the rate of the last ``tau_rate`` s. The factor is one for all synapses of a neuron, so their ratios stay.

Source: van Rossum, Bi & Turrigiano 2000, Journal of Neuroscience 20, activity-dependent scaling (their proportional term); Turrigiano
et al. 1998, Nature 391.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.plasticity_rule import PlasticityRule, Trace

__all__ = ["homeostatic"]


def _on_period(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    tau_rate, _period, eta, target, _w_min, _w_max = p
    return w * (1.0 + eta * (1.0 - y[0] / (tau_rate * target)))


homeostatic = PlasticityRule(
    name="homeostatic",
    params={"tau_rate": 1.0, "period": 0.1, "eta": 0.01, "target": 5.0, "w_min": 0.0, "w_max": 1.0},
    post_traces=(Trace("tau_rate"),),
    on_period=_on_period,
    positive=("target",),
    notes="target is the rate in Hz; the trace starts at zero, so weights grow in the first tau_rate s whatever the rate",
)
