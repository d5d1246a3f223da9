"""Spike-timing-dependent plasticity whose depression is the state of an astrocyte that watches the whole network.

A postsynaptic spike potentiates by ``a_plus x``, a presynaptic one depresses by ``m y``, in fractions of ``w_unit``; ``m``
is the astrocyte: ``tau_astrocyte m' = gain (spikes of the liquid - spikes of the input) + baseline - m``. While the liquid
amplifies its input depression grows, while it damps it potentiation wins: activity is steered to where one spike causes one.

The rule acts on magnitudes, so inhibitory synapses change by the same amounts with their sign turned, as published.

Source: Ivanov & Michmizos 2021, NeurIPS 34 (NALSM), the astrocyte-modulated rule.
Differs from the reference in: traces see a spike after the bodies of that spike have run (theirs decay by one step first).
"""

from __future__ import annotations

from typing import Any

from braindec.networks.plasticity_rule import Modulator, PlasticityRule, Trace

__all__ = ["astrocyte_stdp"]


def _on_pre(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    w_unit = p[7]
    return w - m * w_unit * y[0]


def _on_post(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    a_plus, w_unit = p[3], p[7]
    return w + a_plus * w_unit * x[0]


astrocyte_stdp = PlasticityRule(
    name="astrocyte_stdp",
    params={
        "tau_plus": 10e-3,
        "tau_minus": 10e-3,
        "add": 0.1,
        "a_plus": 0.15,
        "tau_astrocyte": 0.1,
        "gain": 0.015,
        "baseline": 0.15,
        "w_unit": 1.0,
        "w_min": 0.0,
        "w_max": 3.0,
        "plus": "",
        "minus": "",
    },
    pre_traces=(Trace("tau_plus", add="add"),),
    post_traces=(Trace("tau_minus", add="add"),),
    on_pre=_on_pre,
    on_post=_on_post,
    modulator=Modulator(tau="tau_astrocyte", gain="gain", baseline="baseline"),
    notes="plus and minus name the populations of the liquid and of its input, separated by commas",
)
