"""Pair-based spike-timing-dependent plasticity: exponential windows, every pair counts, changes do not depend on the weight.

``dw = +a_plus w_max exp(-lag / tau_plus)`` for a presynaptic spike ``lag`` s before a postsynaptic one,
``-a_minus w_max exp(lag / tau_minus)`` for one after it. Spikes of one time step count as presynaptic first.

Source: Song, Miller & Abbott 2000, Nature Neuroscience 3 (their window, with all pairs).
"""

from __future__ import annotations

from typing import Any

from braindec.networks.plasticity_rule import PlasticityRule, Trace

__all__ = ["pair_stdp"]


def _on_pre(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    _tau_plus, _tau_minus, _a_plus, a_minus, _w_min, w_max = p
    return w - a_minus * w_max * y[0]


def _on_post(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    _tau_plus, _tau_minus, a_plus, _a_minus, _w_min, w_max = p
    return w + a_plus * w_max * x[0]


pair_stdp = PlasticityRule(
    name="pair_stdp",
    params={"tau_plus": 20e-3, "tau_minus": 20e-3, "a_plus": 0.01, "a_minus": 0.0105, "w_min": 0.0, "w_max": 1.0},
    pre_traces=(Trace("tau_plus"),),
    post_traces=(Trace("tau_minus"),),
    on_pre=_on_pre,
    on_post=_on_post,
    notes="a_plus and a_minus are fractions of w_max",
)
