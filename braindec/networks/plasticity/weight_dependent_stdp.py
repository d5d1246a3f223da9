"""Spike-timing-dependent plasticity whose changes depend on the weight: from additive (mu 0) to multiplicative (mu 1).

With ``v = w / w_max``: at a postsynaptic spike ``dv = eta (1 - v)^mu_plus x``, at a presynaptic spike
``dv = -eta alpha v^mu_minus y``; ``x`` and ``y`` are the traces of all earlier spikes of the other side.

Source: Gütig, Aharonov, Rotter & Sompolinsky 2003, Journal of Neuroscience 23, the non-linear temporally asymmetric rule.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.plasticity_rule import PlasticityRule, Trace

__all__ = ["weight_dependent_stdp"]


def _on_pre(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    _tau_plus, _tau_minus, eta, alpha, _mu_plus, mu_minus, _w_min, w_max = p
    v = w / w_max if w > 0.0 else 0.0
    return w - eta * alpha * w_max * v**mu_minus * y[0]


def _on_post(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    _tau_plus, _tau_minus, eta, _alpha, mu_plus, _mu_minus, _w_min, w_max = p
    room = 1.0 - w / w_max if w < w_max else 0.0
    return w + eta * w_max * room**mu_plus * x[0]


weight_dependent_stdp = PlasticityRule(
    name="weight_dependent_stdp",
    params={
        "tau_plus": 20e-3,
        "tau_minus": 20e-3,
        "eta": 0.005,
        "alpha": 1.05,
        "mu_plus": 0.02,
        "mu_minus": 0.02,
        "w_min": 0.0,
        "w_max": 1.0,
    },
    pre_traces=(Trace("tau_plus"),),
    post_traces=(Trace("tau_minus"),),
    on_pre=_on_pre,
    on_post=_on_post,
    notes="eta is a fraction of w_max; mu_plus = mu_minus = 0 is additive, 1 multiplicative",
)
