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
from braindec.stats.asked import number

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

    ``plus`` and ``minus`` are counts of spikes in a step: a spike moves ``m`` by ``gain dt / tau``, so a gain goes with a ``dt``.

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
    positive : tuple of str
        Parameters above 0, beside the time constants of traces and modulator and the period, which are so anyway.
    shares : tuple of str
        Parameters from 0 to 1.

    Raises
    ------
    BraindecError
        If a parameter is missing, no finite number (``w_max`` may be infinite) or out of its range.
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
    positive: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    notes: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        steady = {t.tau for t in (*self.pre_traces, *self.post_traces)} | set(self.positive)
        steady |= {self.modulator.tau} if self.modulator else set()
        steady |= {"period"} if self.on_period else set()
        named = [t.add for t in (*self.pre_traces, *self.post_traces) if isinstance(t.add, str)]
        for name in (*steady, *named, *self.shares):
            if name not in self.params:
                raise BraindecError(f"the plasticity rule {self.name!r} needs a parameter {name!r}", found=", ".join(self.params))  # fmt: skip
        for name, value in self.params.items():
            if isinstance(value, str):
                continue
            what = f"{name} of the plasticity rule {self.name!r}"
            if name == "w_max" and value == float("inf"):
                continue
            if name in self.shares:
                number(value, what, least=0, most=1)
            elif name in steady:
                number(value, what, least=0, ends=False)
            else:
                number(value, what, **({"least": 0} if name.startswith("tau_") else {}))
        if self.params.get("w_min", 0.0) > self.params.get("w_max", float("inf")):
            raise BraindecError(
                f"w_min of the plasticity rule {self.name!r} lies above w_max",
                found=f"{self.params['w_min']:g} and {self.params['w_max']:g}",
            )

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
            if isinstance(changes[name], str) != isinstance(self.params[name], str):
                kind = "names of populations" if isinstance(self.params[name], str) else "a number"
                raise BraindecError(f"{name} of the plasticity rule {self.name!r} is {kind}", found=repr(changes[name]))
        return replace(self, params={**self.params, **changes})

    def number(self, value: float | str) -> float:
        """Return a number that is given as such or by the name of a parameter."""
        return float(self.params[value] if isinstance(value, str) else value)

    def check_step(self, dt: float) -> None:
        """Raise if a time constant of a trace or of the modulator, or the period, is shorter than a step of ``dt`` s."""
        names = [t.tau for t in (*self.pre_traces, *self.post_traces)]
        names += [self.modulator.tau] if self.modulator else []
        names += ["period"] if self.on_period else []
        for name in names:
            if self.params[name] < dt * (1 - 1e-9):
                raise BraindecError(
                    f"dt is larger than {name} of {self.name}",
                    found=f"dt {dt:g} s, {name} {self.params[name]:g} s",
                    fix="take a smaller dt; both are in s",
                )

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters that are numbers, in their order: what the bodies get as ``p``."""
        return tuple(float(v) for v in self.params.values() if not isinstance(v, str))
