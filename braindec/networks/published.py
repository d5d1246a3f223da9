"""Published networks as data: CUBA and COBA (Vogels & Abbott 2005; benchmarks of Brette et al. 2007), and Brunel's (2000)."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.networks.description import Network, Normal, PoissonDrive, Population, Projection
from braindec.networks.plasticity_rule import PlasticityRule
from braindec.networks.rules.fixed_in_degree import FixedInDegree
from braindec.networks.rules.fixed_probability import FixedProbability

__all__ = ["REGIMES", "brunel", "coba", "cuba"]

# rates and 22 Hz as public replications of the paper quote them, 180 Hz from memory
_TABLE = "Brunel 2000, table 1 (his simulations), quoted at second hand"
# Brunel 2000, figure 8: points of the plane, what he calls them, and rates of table 1 in Hz
REGIMES: dict[str, dict[str, Any]] = {
    "SI fast": {"g": 6.0, "eta": 4.0, "regime": "SI", "rate": 60.7, "population_frequency": 180.0, "source": _TABLE,
                "says": "fast oscillation of the global activity, neurons firing irregularly"},
    "SI slow": {"g": 4.5, "eta": 0.9, "regime": "SI", "rate": 5.5, "population_frequency": 22.0, "source": _TABLE,
                "says": "slow oscillation of the global activity, neurons firing irregularly at very low rates"},
    "SR": {"g": 3.0, "eta": 2.0, "regime": "SR", "says": "almost fully synchronised network, neurons firing regularly"},
    "AI": {"g": 5.0, "eta": 2.0, "regime": "AI", "rate": 37.7, "source": _TABLE,
           "says": "stationary global activity, neurons firing irregularly"},
}  # fmt: skip


def cuba(
    n: int = 4000, *, in_degree: int = 80, delay: float | None = None, dt: float = 1e-4,
    plasticity: PlasticityRule | None = None, connected: bool = True,
) -> Network:  # fmt: skip
    """Return the current-based network that keeps itself active: 80 % excitatory, ``in_degree`` synapses a neuron on average.

    Parameters
    ----------
    n : int
        Neurons.
    in_degree : int
        Mean number of synapses onto a neuron; 80 is the published 2 % of 4,000.
    delay : float, optional
        s; one step without it, as published.
    plasticity : PlasticityRule, optional
        Of the excitatory synapses.
    connected : bool
        False leaves out all synapses: a control.
    """
    weights = {"excitatory": 1.62e-3, "inhibitory": -9e-3}
    return _balanced("lif", "cuba", n, in_degree, weights, delay, dt, plasticity, connected)


def coba(
    n: int = 4000, *, in_degree: int = 80, delay: float | None = None, dt: float = 1e-4,
    plasticity: PlasticityRule | None = None, connected: bool = True,
) -> Network:  # fmt: skip
    """Return the conductance-based network that keeps itself active; parameters as of :func:`cuba`."""
    weights = {"excitatory": 6e-9, "inhibitory": 67e-9}
    return _balanced("lif_conductance", "coba", n, in_degree, weights, delay, dt, plasticity, connected)


def _balanced(
    model: str, name: str, n: int, in_degree: int, weights: dict[str, float], delay: float | None, dt: float,
    plasticity: PlasticityRule | None, connected: bool,
) -> Network:  # fmt: skip
    n_e = round(0.8 * n)
    initial: dict[str, Any] = {"v": (-0.060, -0.050)}
    if model == "lif_conductance":  # the benchmark's start; from others activity dies out
        initial = {"v": Normal(-0.065, 0.005), "g_e": Normal(40e-9, 15e-9), "g_i": Normal(200e-9, 120e-9)}
    populations = [
        Population("E", n_e, model=model, initial=initial, sign="excitatory"),
        Population("I", n - n_e, model=model, initial=initial, sign="inhibitory"),
    ]
    p = min(in_degree / n, 1.0)
    projections = [
        Projection(a.name, b.name, FixedProbability(p), weight=weights[a.sign], delay=delay,
                   plasticity=plasticity if a.name == "E" else None)
        for a in populations for b in populations
    ]  # fmt: skip
    return Network(populations, projections if connected else (), dt=dt, name=name)


def brunel(
    g: float = 5.0, eta: float = 2.0, *, n_excitatory: int = 10_000, epsilon: float = 0.1, weight: float = 1e-4,
    delay: float = 1.5e-3, v_reset: float = 0.010, dt: float = 1e-4, connected: bool = True,
) -> Network:  # fmt: skip
    """Return Brunel's sparse network of excitatory and inhibitory neurons (model A).

    Parameters
    ----------
    g : float
        Inhibitory weight over excitatory weight.
    eta : float
        External rate over the rate that brings a neuron to threshold without recurrent input.
    n_excitatory : int
        A quarter as many are inhibitory.
    epsilon : float
        In-degree over population size: 0.1.
    weight : float
        J, V.
    delay : float
        s.
    v_reset : float
        V; 0.010 as published (some simulators' examples take 0, which fires less).
    connected : bool
        False leaves out the recurrent synapses: a control.
    """
    n_e, n_i = n_excitatory, n_excitatory // 4
    k_e, k_i = round(epsilon * n_e), round(epsilon * n_i)
    threshold, tau = 0.020, 0.020
    rate = eta * threshold / (weight * k_e * tau)  # of each of k_e external synapses
    populations = [
        Population("E", n_e, model="lif_delta", sign="excitatory", params={"v_reset": v_reset}),
        Population("I", n_i, model="lif_delta", sign="inhibitory", params={"v_reset": v_reset}),
    ]
    projections = [
        Projection(s, t, FixedInDegree(k), weight=w, delay=delay)
        for s, k, w in (("E", k_e, weight), ("I", k_i, -g * weight))
        for t in ("E", "I")
    ]
    drives = [PoissonDrive(t, rate=rate, weight=weight, n_synapses=k_e) for t in ("E", "I")]
    name = f"brunel g={np.round(g, 3):g} eta={np.round(eta, 3):g}"
    return Network(populations, projections if connected else (), drives, dt=dt, name=name)
