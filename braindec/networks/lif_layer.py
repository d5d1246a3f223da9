"""Leaky integrate-and-fire neurons as a torch layer that is trained through surrogate gradients.

One step, with drive ``x``, potential ``v`` and spike ``s`` of the step before, decay ``d`` and threshold ``h``::

    u = d v + x                                  decay_input=False
    u = v_rest + d (v - v_rest) + (1 - d) x      decay_input=True, or v_rest != 0 (then with x instead of (1 - d) x)
    s = 1 where u >= h, else 0
    v = u - h s  ("soft"),   v_reset where s = 1  ("hard"),   u  ("none")

With ``reset_delay=True`` the spike of one step resets the potential of the next, after decay and drive; ``v`` is then the
potential that met the threshold. Settings of well-known libraries::

    spikingjelly LIFNode(tau)   decay=1 - 1/tau, decay_input=True, reset="hard", surrogate="sigmoid"
    snntorch Leaky(beta)        decay=beta, reset="soft", reset_delay=True, detach_reset=True, surrogate="fast_sigmoid"
    Re-Loss soft reset          see networks.membrane_rectifier

Source: Neftci, Mostafa & Zenke 2019 (IEEE Signal Processing Magazine 36:51); learned decay: Fang et al. 2021 (ICCV).
Differs from the reference in: a spike where the potential *equals* the threshold; a learned decay is the sigmoid and a
learned threshold the exponential of its parameter, so that both stay where they must.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import torch
from torch import nn

from braindec.errors import BraindecError, did_you_mean
from braindec.networks._lif_function import Constants, fused_scan, step_loop
from braindec.networks.surrogate import Surrogate, resolve

__all__ = ["LIF", "LIFOutput", "LIFState", "LeakyIntegrator", "check_drive", "spike_sparsity"]

BACKENDS = ("auto", "fused", "torch")
RESETS = ("soft", "hard", "none")


class LIFState(NamedTuple):
    """What goes from one step to the next: potential and spikes, each (batch, neuron)."""

    potential: torch.Tensor
    spikes: torch.Tensor

    def detach(self) -> LIFState:
        """Return the state without its history: for truncated backpropagation through time."""
        return LIFState(self.potential.detach(), self.spikes.detach())


class LIFOutput(NamedTuple):
    """Spikes (time, batch, neuron), the state after the last step, and potentials where they were asked for."""

    spikes: torch.Tensor
    state: LIFState
    potential: torch.Tensor | None = None


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons.

    Parameters
    ----------
    decay : float or sequence of float
        What is left of the potential after one step, in (0, 1]: ``exp(-dt / tau)``; one number or one a neuron.
    threshold : float or sequence of float
        Above 0.
    reset : {"soft", "hard", "none"}
        Subtract, put to ``v_reset``, or nothing.
    reset_delay : bool
        Whether a spike resets one step later.
    reset_by : float, optional
        What a soft reset subtracts; the threshold by default.
    v_reset, v_rest : float
        Potential after a hard reset, and without drive.
    decay_input : bool
        Whether the drive is multiplied by ``1 - decay``.
    detach_reset : bool
        Whether the gradient leaves out the path through the spike that resets.
    surrogate : str or Surrogate
        Name from ``networks.surrogates``, or one with a slope of your own.
    learn_decay, learn_threshold : bool
        Whether they are parameters.
    batch_first : bool
        Whether input and output are (batch, time, neuron) instead of (time, batch, neuron).
    backend : {"auto", "fused", "torch"}
        "fused" is one compiled scan on the processor, "torch" a loop over steps on any device; "auto" takes the fused
        one for float32 and float64 on the processor.

    Raises
    ------
    BraindecError
        If a value is out of its range or a name unknown.
    """

    def __init__(
        self, *, decay: float | Sequence[float] = 0.9, threshold: float | Sequence[float] = 1.0, reset: str = "soft",
        reset_delay: bool = False, reset_by: float | None = None, v_reset: float = 0.0, v_rest: float = 0.0,
        decay_input: bool = False, detach_reset: bool = False, surrogate: str | Surrogate = "fast_sigmoid",
        learn_decay: bool = False, learn_threshold: bool = False, batch_first: bool = False, backend: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__()
        _known("reset", reset, RESETS), _known("backend", backend, BACKENDS)
        d, h = _values("decay", decay), _values("threshold", threshold)
        top = "(0, 1)" if learn_decay else "(0, 1]"
        if bool((d <= 0).any() or (d > 1).any()) or (learn_decay and bool((d == 1).any())):
            raise BraindecError("the decay of a LIF layer is out of its range", found=repr(decay), allowed=top,
                                fix="decay = exp(-dt / tau)")  # fmt: skip
        if decay_input and bool((d == 1).any()):
            raise BraindecError("with decay 1 and decay_input the drive is multiplied by 0: nothing ever happens",
                                found=repr(decay), allowed="(0, 1)")  # fmt: skip
        if bool((h <= 0).any()):
            raise BraindecError("the threshold of a LIF layer must be above 0", found=repr(threshold))
        for name, value in (("v_reset", v_reset), ("v_rest", v_rest), ("reset_by", reset_by)):
            if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
                raise BraindecError(f"{name} of a LIF layer must be a finite number", found=repr(value))
        self.reset, self.reset_delay, self.v_reset, self.v_rest = (
            reset,
            bool(reset_delay),
            float(v_reset),
            float(v_rest),
        )
        self.reset_by = None if reset_by is None else float(reset_by)
        self.decay_input, self.detach_reset, self.batch_first = bool(decay_input), bool(detach_reset), bool(batch_first)
        self.surrogate, self.backend = resolve(surrogate), backend
        self.learn_decay, self.learn_threshold = bool(learn_decay), bool(learn_threshold)
        usual = torch.get_default_dtype()
        # Fixed values stay in float64, so that a float64 input meets them unrounded.
        _put(self, "_decay", torch.logit(d).to(usual) if learn_decay else d, learned=learn_decay)
        _put(self, "_threshold", h.log().to(usual) if learn_threshold else h, learned=learn_threshold)

    @property
    def decay(self) -> torch.Tensor:
        """Factor of the potential in one step, in (0, 1]."""
        return self._decay.sigmoid() if self.learn_decay else self._decay

    @property
    def threshold(self) -> torch.Tensor:
        """Potential that fires."""
        return self._threshold.exp() if self.learn_threshold else self._threshold

    def initial_state(self, like: torch.Tensor) -> LIFState:
        """Return the resting state for a batch of drives ``like`` (batch, neuron)."""
        return LIFState(torch.full_like(like, self.v_rest).detach(), torch.zeros_like(like).detach())

    def forward(self, x: torch.Tensor, state: LIFState | None = None, *, keep_potential: bool = False) -> LIFOutput:
        """Run all steps of ``x``.

        Parameters
        ----------
        x : tensor of shape (time, batch, neuron), or (batch, time, neuron) with ``batch_first``
            Drive.
        state : LIFState, optional
            Where to go on from: the state that the call before gave. At rest by default.
        keep_potential : bool
            Whether the potentials of all steps are wanted.

        Raises
        ------
        BraindecError
            If the shapes do not fit, the drive is not finite, or the backend cannot run it.
        """
        # NaN stays in a potential to the last step, so looking at that one is enough; but a hard reset ends an infinite one.
        check_drive(x, type(self).__name__, finite=self.reset == "hard")
        given, x = x, x.transpose(0, 1) if self.batch_first else x
        constants = self.constants(x)
        state = self.checked_state(state, x)
        x = self.scaled(x, constants.decay)
        run = fused_scan if self._fused(x) else step_loop
        spikes, potential, last = run(x, state.potential, state.spikes, constants, keep_potential=keep_potential)
        if not torch.isfinite(last.detach().sum()):
            self._explain(given, last)
        final = LIFState(last, spikes[-1])
        if self.batch_first:
            spikes, potential = spikes.transpose(0, 1), None if potential is None else potential.transpose(0, 1)
        return LIFOutput(spikes, final, potential)

    def _explain(self, x: torch.Tensor, last: torch.Tensor) -> None:
        """Raise for potentials that are not finite: the input's fault, or that of a parameter."""
        check_drive(x, type(self).__name__)
        if not bool(torch.isfinite(last.detach()).all()):
            raise BraindecError(
                f"potentials of {type(self).__name__} became NaN or infinite with a finite input",
                found=f"decay {float(self.decay.detach().min()):g} to {float(self.decay.detach().max()):g}, "
                      f"thresholds {float(self.threshold.detach().min()):g} to {float(self.threshold.detach().max()):g}",
                fix="look at the first state, and lower the learning rate if decay or threshold are learned",
            )  # fmt: skip

    def constants(self, x: torch.Tensor) -> Constants:
        """Return decay, threshold and settings in the type of ``x`` (..., neuron)."""
        decay, threshold = (value.to(x.device, x.dtype) for value in (self.decay, self.threshold))
        for name, value in (("decay", decay), ("threshold", threshold)):
            if value.ndim and len(value) != x.shape[-1]:
                raise BraindecError(
                    f"the LIF layer has one {name} a neuron, and another number of neurons comes in",
                    found=f"{len(value)} values, {x.shape[-1]} neurons",
                )  # fmt: skip
        amount = threshold if self.reset_by is None else torch.as_tensor(self.reset_by, dtype=x.dtype, device=x.device)
        return Constants(decay, threshold, amount, self.v_reset, self.reset,
                         self.reset_delay, self.detach_reset, self.surrogate)  # fmt: skip

    def scaled(self, x: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
        """Return what is added to ``decay * v`` in each step."""
        x = (1 - decay) * x if self.decay_input else x
        return x + (1 - decay) * self.v_rest if self.v_rest else x

    def checked_state(self, state: LIFState | None, x: torch.Tensor) -> LIFState:
        """Return the state to go on from for ``x`` (time, batch, neuron), in its type; that at rest for None."""
        if state is None:
            return self.initial_state(x[0])
        if not isinstance(state, LIFState) or any(part.shape != x.shape[1:] for part in state):
            shapes = [tuple(part.shape) for part in state] if isinstance(state, LIFState) else ""
            raise BraindecError(
                "the state that the LIF layer should go on from does not fit its input",
                found=f"{type(state).__name__} {shapes}".strip(),
                allowed=f"a LIFState of two tensors (batch, neuron) = {tuple(x.shape[1:])}",
            )  # fmt: skip
        return LIFState(*(part.to(x.device, x.dtype) for part in state))

    def _fused(self, x: torch.Tensor) -> bool:
        able = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
        if self.backend == "fused" and not able:
            raise BraindecError(
                "the fused LIF scan runs on the processor, in float32 and float64", found=f"{x.dtype} on {x.device}",
                fix="take backend='torch' (or 'auto')",
            )  # fmt: skip
        return able and self.backend != "torch"

    def extra_repr(self) -> str:
        """Settings in the printed form."""
        delay = ", one step later" if self.reset_delay else ""
        shape = "" if self._decay.ndim == 0 else f", neurons={len(self._decay)}"
        return f"reset={self.reset}{delay}, surrogate={self.surrogate.name}({self.surrogate.slope:g}){shape}"


class LeakyIntegrator(nn.Module):
    """A read-out that integrates and never fires: ``v = decay v + (1 - decay) x``.

    Parameters
    ----------
    decay, learn_decay, batch_first, backend
        As for :class:`LIF`.
    """

    def __init__(
        self, *, decay: float | Sequence[float] = 0.95, learn_decay: bool = False, batch_first: bool = False,
        backend: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__()
        self.neurons = LIF(decay=decay, reset="none", decay_input=True, learn_decay=learn_decay, detach_reset=True,
                           batch_first=batch_first, backend=backend)  # fmt: skip

    def forward(self, x: torch.Tensor, state: LIFState | None = None) -> tuple[torch.Tensor, LIFState]:
        """Return the potentials of all steps, in the shape of ``x``, and the state to go on from."""
        out = self.neurons(x, state, keep_potential=True)
        return out.potential, out.state


def spike_sparsity(spikes: torch.Tensor | Sequence[torch.Tensor]) -> float:
    """Return the share of zeros in spikes (or any activations) of one layer or of several together, in [0, 1]."""
    parts = [spikes] if isinstance(spikes, torch.Tensor) else list(spikes)
    total = sum(part.numel() for part in parts)
    if not total:
        raise BraindecError("there are no spikes to look at", found="nothing, or empty tensors")
    return 1.0 - sum(int(torch.count_nonzero(part)) for part in parts) / total


def check_drive(x: torch.Tensor, kind: str, *, finite: bool = True) -> None:
    """Raise unless ``x`` is a (finite) floating-point tensor with three axes, none empty."""
    if not isinstance(x, torch.Tensor) or x.ndim != 3 or not x.is_floating_point() or 0 in x.shape:
        found = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise BraindecError(
            f"the input of {kind} has a wrong shape or type", found=found,
            allowed="a floating-point tensor (time, batch, neuron), or (batch, time, neuron) with batch_first=True",
        )  # fmt: skip
    if finite and not torch.isfinite(x.detach().sum()) and not bool(torch.isfinite(x.detach()).all()):
        bad = int((~torch.isfinite(x.detach())).sum())
        raise BraindecError(
            f"the input of {kind} holds NaN or infinite values", found=f"{bad} of {x.numel()}",
            fix="look at what comes before: the data, or weights that ran away (lower the learning rate)",
        )  # fmt: skip


def _values(name: str, value: float | Sequence[float]) -> torch.Tensor:
    try:
        found = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise BraindecError(f"{name} of a LIF layer must be a number or one a neuron", found=repr(value)) from error
    if found.ndim > 1 or not found.numel() or not bool(torch.isfinite(found).all()):
        raise BraindecError(f"{name} of a LIF layer must be a finite number or one a neuron", found=repr(value))
    return found


def _put(module: nn.Module, name: str, value: torch.Tensor, *, learned: bool) -> None:
    if learned:
        module.register_parameter(name, nn.Parameter(value))
    else:
        module.register_buffer(name, value)


def _known(what: str, name: str, allowed: Sequence[str]) -> None:
    if name not in allowed:
        raise BraindecError(
            f"a LIF layer has no {what} {name!r}{did_you_mean(str(name), allowed)}", allowed=", ".join(allowed)
        )
