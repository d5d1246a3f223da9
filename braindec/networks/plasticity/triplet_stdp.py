"""Triplet rule: pairs and triplets of spikes, so that plasticity depends on the frequency of pairings as in cortex.

At a postsynaptic spike ``dw = +r1 (a2_plus + a3_plus o2)``, at a presynaptic spike ``dw = -o1 (a2_minus + a3_minus r2)``,
in fractions of ``w_max``; r1, r2 are fast and slow traces of presynaptic, o1, o2 of postsynaptic spikes, each as it was
just before the spike.

Source: Pfister & Gerstner 2006, Journal of Neuroscience 26, equations 2 to 4; defaults are table 4, visual cortex, all to
all, full model.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.plasticity_rule import PlasticityRule, Trace

__all__ = ["triplet_stdp"]


def _on_pre(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    a2_minus, a3_minus, w_max = p[6], p[7], p[9]
    return w - w_max * y[0] * (a2_minus + a3_minus * x[1])


def _on_post(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    a2_plus, a3_plus, w_max = p[4], p[5], p[9]
    return w + w_max * x[0] * (a2_plus + a3_plus * y[1])


triplet_stdp = PlasticityRule(
    name="triplet_stdp",
    params={
        "tau_plus": 16.8e-3,
        "tau_minus": 33.7e-3,
        "tau_x": 101e-3,
        "tau_y": 125e-3,
        "a2_plus": 5e-10,
        "a3_plus": 6.2e-3,
        "a2_minus": 7e-3,
        "a3_minus": 2.3e-4,
        "w_min": 0.0,
        "w_max": 1.0,
    },
    pre_traces=(Trace("tau_plus"), Trace("tau_x")),
    post_traces=(Trace("tau_minus"), Trace("tau_y")),
    on_pre=_on_pre,
    on_post=_on_post,
    notes="amplitudes are fractions of w_max",
)
