"""Inhibitory plasticity that brings the rate of the postsynaptic neuron to a target and balances excitation.

Both spikes potentiate by the other side's trace; each presynaptic spike depresses by ``alpha = 2 rho tau``:
``dw = eta (y - alpha)`` at a presynaptic, ``dw = eta x`` at a postsynaptic spike, in fractions of ``w_max``. Without
correlation ``<dw>`` per second is ``2 eta tau r_pre (r_post - rho)``: inhibition grows while the neuron fires faster than
``rho``, and falls while it fires slower.

Source: Vogels, Sprekeler, Zenke, Clopath & Gerstner 2011, Science 334, methods in the supplement.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.plasticity_rule import PlasticityRule, Trace

__all__ = ["vogels_inhibitory"]


def _on_pre(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    tau, eta, rho, _w_min, w_max = p
    return w + eta * w_max * (y[0] - 2.0 * rho * tau)


def _on_post(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    _tau, eta, _rho, _w_min, w_max = p
    return w + eta * w_max * x[0]


vogels_inhibitory = PlasticityRule(
    name="vogels_inhibitory",
    params={"tau_trace": 20e-3, "eta": 1e-3, "rho": 5.0, "w_min": 0.0, "w_max": 1.0},
    pre_traces=(Trace("tau_trace"),),
    post_traces=(Trace("tau_trace"),),
    on_pre=_on_pre,
    on_post=_on_post,
    notes="rho is the target rate in Hz; eta is a fraction of w_max",
)
