"""LIF neurons that drive one another: the product with the recurrent weights stands inside the loop over time.

    drive of step t = x_t + W s_{t-1}, then the step of networks.lif_layer

The fused backend compiles the step, and takes the gradient of W from one product over all steps at the end.

Source: Neftci, Mostafa & Zenke 2019 (IEEE Signal Processing Magazine 36:51), equations 3-5.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.networks._lif_function import Constants, as_rule, fixed, step
from braindec.networks.lif_layer import LIF, LIFOutput, LIFState, check_drive
from braindec.stats.asked import number

__all__ = ["RecurrentLIF"]


class RecurrentLIF(LIF):
    """A layer of LIF neurons with weights from each to each.

    Parameters
    ----------
    n_neurons : int
    spread : float
        The recurrent weights begin with standard deviation ``spread / sqrt(n_neurons)``.
    generator : torch.Generator, optional
        Of the first weights; torch's own by default.
    **settings
        As for :class:`~braindec.networks.lif_layer.LIF`.

    Raises
    ------
    BraindecError
        If a value is out of its range or a name unknown.
    """

    def __init__(
        self, n_neurons: int, *, spread: float = 0.3, generator: torch.Generator | None = None, **settings: Any
    ) -> None:
        if isinstance(n_neurons, bool) or not isinstance(n_neurons, int) or n_neurons < 1:
            raise BraindecError("n_neurons of RecurrentLIF must be a whole number of at least 1", found=repr(n_neurons))
        number(spread, "spread of RecurrentLIF", least=0)
        super().__init__(**settings)
        self.weight = nn.Parameter(torch.randn(n_neurons, n_neurons, generator=generator) * spread / n_neurons**0.5)

    def forward(self, x: torch.Tensor, state: LIFState | None = None, *, keep_potential: bool = False) -> LIFOutput:
        """Run all steps of ``x`` (time, batch, neuron); parameters and result as for the LIF layer."""
        check_drive(x, type(self).__name__)
        if x.shape[2] != len(self.weight):
            raise BraindecError("another number of neurons comes into RecurrentLIF than it has",
                                found=f"{x.shape[2]}", allowed=f"{len(self.weight)}")  # fmt: skip
        x = x.transpose(0, 1) if self.batch_first else x
        constants = self.constants(x)
        state = self.checked_state(state, x)
        weight = self.weight.to(x.dtype)
        if self.decay_input:
            weight = (1 - constants.decay.reshape(-1, 1)) * weight
        run = _fused if self._fused(x) else _loop
        spikes, potential, last = run(self.scaled(x, constants.decay), *state, weight, constants)
        if not torch.isfinite(last.detach().sum()):
            self._explain(x, last)
        final = LIFState(last, spikes[-1])
        if self.batch_first:
            spikes, potential = spikes.transpose(0, 1), potential.transpose(0, 1)
        return LIFOutput(spikes, final, potential if keep_potential else None)


def _loop(
    x: torch.Tensor, v: torch.Tensor, s: torch.Tensor, weight: torch.Tensor, constants: Constants
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    spikes, potentials = [], []
    for drive in x:
        s, v = step(torch.addmm(drive, s, weight.t()), v, s, constants)
        spikes.append(s), potentials.append(v)
    return torch.stack(spikes), torch.stack(potentials), v


def _fused(
    x: torch.Tensor, v: torch.Tensor, s: torch.Tensor, weight: torch.Tensor, constants: Constants
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    spikes, potential = _FusedRecurrence.apply(x, v, s, weight, *fixed(constants, x.shape[2]))
    return spikes, potential, potential[-1]


class _FusedRecurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, v: torch.Tensor, s: torch.Tensor, weight: torch.Tensor, decay: torch.Tensor,
        threshold: torch.Tensor, amount: torch.Tensor, settings: Constants,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        from braindec.kernels.lif_scan import lif_scan

        rule = as_rule(decay, threshold, amount, settings)
        drive, spikes, charged, potential = (torch.empty_like(x, memory_format=torch.contiguous_format) for _ in "1234")
        v_now, s_now, across = v.contiguous(), s.contiguous(), weight.t()
        for t in range(len(x)):
            torch.addmm(x[t], s_now, across, out=drive[t])
            scan = lif_scan(drive[t : t + 1].numpy(), v_now.numpy(), s_now.numpy(), rule)
            for whole, row in ((spikes, scan.spikes[0]), (charged, scan.charged[0]), (potential, scan.last)):
                whole[t] = torch.from_numpy(row)
            v_now, s_now = potential[t], spikes[t]
        ctx.set_materialize_grads(False)
        ctx.settings = settings
        ctx.save_for_backward(v, s, weight, decay, threshold, amount, drive, spikes, charged, potential)
        return spikes, potential

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g_spikes: torch.Tensor | None, g_potential: torch.Tensor | None) -> tuple[Any, ...]:
        from braindec.kernels.lif_scan import Scan, SurrogateSlope, lif_scan_backward

        v, s, weight, decay, threshold, amount, *traces = ctx.saved_tensors
        drive, spikes, charged, potential = (trace.detach() for trace in traces)
        rule = as_rule(decay, threshold, amount, ctx.settings)
        surrogate = SurrogateSlope(ctx.settings.surrogate.body, ctx.settings.surrogate.slope)
        wanted = any(ctx.needs_input_grad[4:7])
        g_drive, g_v, g_s, sums = torch.empty_like(drive), torch.zeros_like(v), torch.zeros_like(s), [0.0, 0.0, 0.0]
        v, s = v.detach().contiguous(), s.detach().contiguous()
        for t in range(len(drive) - 1, -1, -1):
            if g_spikes is not None:
                g_s = g_s + g_spikes[t]
            if g_potential is not None:
                g_v = g_v + g_potential[t]
            before = (potential[t - 1], spikes[t - 1]) if t else (v, s)
            one = slice(t, t + 1)
            found = lif_scan_backward(
                Scan(spikes[one].numpy(), charged[one].numpy(), None, potential[t].numpy()), drive[one].numpy(),
                *(part.numpy() for part in before), surrogate, rule, spikes=g_s[None].numpy(), last=g_v.numpy(),
                detach=ctx.settings.detach, constants=wanted,
            )  # fmt: skip
            g_drive[t] = torch.from_numpy(found.x[0])
            g_v = torch.from_numpy(found.v0)
            g_s = torch.addmm(torch.from_numpy(found.s0), g_drive[t], weight.detach())
            sums = [a + b for a, b in zip(sums, found[3:])]
        g_weight = g_drive.flatten(0, 1).t() @ torch.cat([s[None], spikes[:-1]]).flatten(0, 1)
        constants = [torch.from_numpy(part).to(drive.dtype) if wanted else None for part in sums]
        return (g_drive, g_v, g_s, g_weight, *constants, None)
