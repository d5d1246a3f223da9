"""Oja's rule for spikes: Hebbian growth with a decay that keeps the norm of a neuron's weights.

In rates Oja's rule is ``dw/dt = eta (x y - y^2 w)``. Here a postsynaptic spike stands for ``y``, and the traces divided by
their time constants are the rates of the two neurons: ``dv = eta (x / (tau_plus rate) - y / (tau_minus rate) v)`` with
``v = w / w_unit`` and rates in units of ``rate``. Where the neuron fires at ``g sum(v x)`` the weights turn to the first
principal component of the second moments of the inputs' rates and ``|v|`` becomes ``1 / sqrt(g)``.

Source: Oja 1982, Journal of Mathematical Biology 15, equation 3.
Differs from the reference in: spikes instead of rates; the product of the rates is taken at postsynaptic spikes.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.plasticity_rule import PlasticityRule, Trace

__all__ = ["oja"]


def _on_post(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    tau_plus, tau_minus, eta, rate, w_unit, _w_min, _w_max = p
    return w + eta * (w_unit * x[0] / (tau_plus * rate) - w * y[0] / (tau_minus * rate))


oja = PlasticityRule(
    name="oja",
    params={
        "tau_plus": 20e-3,
        "tau_minus": 20e-3,
        "eta": 1e-3,
        "rate": 10.0,
        "w_unit": 1.0,
        "w_min": 0.0,
        "w_max": 10.0,
    },
    pre_traces=(Trace("tau_plus"),),
    post_traces=(Trace("tau_minus"),),
    on_post=_on_post,
    positive=("rate",),
    notes="rate (Hz) and w_unit are the units in which rates and weights are near 1",
)
