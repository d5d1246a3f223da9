"""What a plasticity rule is: traces of the two neurons and what a spike of either does to the weight.

A rule is a file in ``networks/plasticity``. Its bodies are plain scalar functions that Numba can compile; the engine
calls them, and so do the numpy definition and the CUDA version.

Traces are zero at first, decay exponentially with their time constant, and are stepped *after* the bodies of the same
spike have run: a body sees every trace as it was just before that spike. Where both neurons spike in one time step the
presynaptic spike is dealt with first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from braindec.errors import BraindecError, did_you_mean

__all__ = ["Modulator", "PlasticityRule", "Trace"]


@dataclass(frozen=True)
class Trace:
    """An exponential trace of one side's spikes.

    Parameters
    ----------
    tau : str
        Name of the parameter with the time constant, s.
    add : float or str
        What a spike adds: a number or the name of a parameter.
    nearest : bool
        Whether a spike sets the trace to ``add`` (nearest neighbours) instead of adding (all to all).
    """

    tau: str
    add: float | str = 1.0
    nearest: bool = False


@dataclass(frozen=True)
class Modulator:
    """A scalar of the whole projection, driven by the activity of populations: ``tau m' = gain (plus - minus) + baseline - m``.

    Parameters
    ----------
    tau, gain, baseline : str
        Names of the parameters (s, dimensionless, dimensionless).
    plus, minus : str
        Parameters that hold names of populations, separated by commas, whose spikes of a step are counted.
    """

    tau: str
    gain: str
    baseline: str
    plus: str = "plus"
    minus: str = "minus"


@dataclass(frozen=True)
class PlasticityRule:
    """One rule with its parameters.

    Parameters
    ----------
    name : str
        As in the registry.
    params : dict
        Parameters and their values, SI units; time constants are called ``tau_...``. ``w_min`` and ``w_max`` bound the
        weight (magnitudes; the sign belongs to the projection).
    pre_traces, post_traces : tuple of Trace
        Traces of the presynaptic and of the postsynaptic neuron.
    on_pre, on_post : callable, optional
        ``body(w, x, y, m, p) -> w`` at a spike of that side: weight, tuple of presynaptic traces, tuple of
        postsynaptic traces, modulator (1.0 without one), tuple of parameters in the order of ``params`` (numbers only).
        The engine clips the result to [w_min, w_max].
    on_period : callable, optional
        ``body(w, x, y, m, p) -> w`` for every synapse each ``params["period"]`` s.
    transmit : callable, optional
        Short-term plasticity: ``body(u, r, dt, p) -> (u, r, factor)`` at a presynaptic spike ``dt`` s after the one
        before; the weight that arrives is multiplied by ``factor``. ``u``, ``r`` belong to the presynaptic neuron.
    transmit_start : tuple of float or str
        ``(u, r)`` before the first spike.
    modulator : Modulator, optional
    """

    name: str
    params: Mapping[str, Any]
    pre_traces: tuple[Trace, ...] = ()
    post_traces: tuple[Trace, ...] = ()
    on_pre: Callable[..., Any] | None = None
    on_post: Callable[..., Any] | None = None
    on_period: Callable[..., Any] | None = None
    transmit: Callable[..., Any] | None = None
    transmit_start: tuple[float | str, float | str] = (0.0, 1.0)
    modulator: Modulator | None = None
    notes: str = field(default="", compare=False)

    def with_params(self, **changes: Any) -> PlasticityRule:
        """Return the rule with other values of some parameters.

        Raises
        ------
        BraindecError
            If the rule has no such parameter.
        """
        for name in changes:
            if name not in self.params:
                raise BraindecError(
                    f"the plasticity rule {self.name!r} has no parameter {name!r}{did_you_mean(name, self.params)}",
                    allowed=", ".join(self.params),
                )
        return replace(self, params={**self.params, **changes})

    def number(self, value: float | str) -> float:
        """Return a number that is given as such or by the name of a parameter."""
        return float(self.params[value] if isinstance(value, str) else value)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters that are numbers, in their order: what the bodies get as ``p``."""
        return tuple(float(v) for v in self.params.values() if not isinstance(v, str))
