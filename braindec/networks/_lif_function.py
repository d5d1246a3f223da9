"""Torch's side of the LIF layer: the step with a surrogate derivative, the step loop, and the fused scan for autograd."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from braindec.networks.surrogate import Surrogate

__all__ = ["Constants", "as_rule", "fixed", "fused_scan", "spike", "step", "step_loop"]


class Constants(NamedTuple):
    """What one scan needs: tensors of (neuron,) and settings."""

    decay: torch.Tensor
    threshold: torch.Tensor
    amount: torch.Tensor
    v_reset: float
    reset: str
    delay: bool
    detach: bool
    surrogate: Surrogate


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(x), None


def spike(x: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
    """Return 1 where ``x >= 0`` and 0 elsewhere, with the surrogate's derivative."""
    return _Spike.apply(x, surrogate)


def step(
    drive: torch.Tensor, v: torch.Tensor, s: torch.Tensor, constants: Constants
) -> tuple[torch.Tensor, torch.Tensor]:
    """One time step: the spikes and the potential that is carried on."""
    c = constants
    pull = s.detach() if c.detach else s
    u = c.decay * v + drive
    if c.delay:
        u = _reset(u, pull, c)
    s = spike(u - c.threshold, c.surrogate)
    return s, u if c.delay else _reset(u, s.detach() if c.detach else s, c)


def _reset(u: torch.Tensor, s: torch.Tensor, c: Constants) -> torch.Tensor:
    if c.reset == "soft":
        return u - c.amount * s
    return (1 - s) * u + s * c.v_reset if c.reset == "hard" else u


def step_loop(
    x: torch.Tensor, v: torch.Tensor, s: torch.Tensor, constants: Constants, *, keep_potential: bool
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Spikes and potentials (time, batch, neuron) and the last potential, one step after the other in torch."""
    spikes, potentials = [], []
    for drive in x:
        s, v = step(drive, v, s, constants)
        spikes.append(s)
        if keep_potential:
            potentials.append(v)
    return torch.stack(spikes), torch.stack(potentials) if keep_potential else None, v


class _FusedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, v: torch.Tensor, s: torch.Tensor, decay: torch.Tensor, threshold: torch.Tensor,
        amount: torch.Tensor, settings: Constants, keep_potential: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:  # fmt: skip
        from braindec.kernels.lif_scan import lif_scan

        x, v, s = x.contiguous(), v.contiguous(), s.contiguous()
        rule = as_rule(decay, threshold, amount, settings)
        scan = lif_scan(x.detach().numpy(), v.detach().numpy(), s.detach().numpy(), rule, keep_potential=keep_potential)
        ctx.set_materialize_grads(False)
        ctx.settings = settings
        spikes, charged, last = (torch.from_numpy(a) for a in (scan.spikes, scan.charged, scan.last))
        potential = charged if scan.potential is scan.charged else None
        if potential is None and scan.potential is not None:
            potential = torch.from_numpy(scan.potential)
        ctx.save_for_backward(x, v, s, decay, threshold, amount, spikes, charged)
        return spikes, potential, last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, g_spikes: torch.Tensor | None, g_potential: torch.Tensor | None, g_last: torch.Tensor | None
    ) -> tuple[Any, ...]:
        from braindec.kernels.lif_scan import Scan, SurrogateSlope, lif_scan_backward

        x, v, s, decay, threshold, amount, spikes, charged = ctx.saved_tensors
        settings, rule = ctx.settings, as_rule(decay, threshold, amount, ctx.settings)
        u = charged.detach().numpy()
        surrogate = SurrogateSlope(settings.surrogate.body, settings.surrogate.slope)
        needs = ctx.needs_input_grad
        given = {
            name: None if g is None else g.contiguous().numpy()
            for name, g in (("spikes", g_spikes), ("potential", g_potential), ("last", g_last))
        }
        found = lif_scan_backward(
            Scan(spikes.detach().numpy(), u, None, u[-1]), x.detach().numpy(), v.detach().numpy(), s.detach().numpy(),
            surrogate, rule, **given, detach=settings.detach, constants=any(needs[3:6]),
        )  # fmt: skip
        grads = [torch.from_numpy(g).to(x.dtype) if wanted else None for g, wanted in zip(found, needs)]
        return (*grads, None, None)


def as_rule(decay: torch.Tensor, threshold: torch.Tensor, amount: torch.Tensor, settings: Constants) -> Any:
    """Return the constants as the compiled scan takes them."""
    from braindec.kernels.lif_scan import LIFRule

    arrays = (a.detach().contiguous().numpy() for a in (decay, threshold, amount))
    return LIFRule(*arrays, v_reset=settings.v_reset, reset=settings.reset, delay=settings.delay)


def fused_scan(
    x: torch.Tensor, v: torch.Tensor, s: torch.Tensor, constants: Constants, *, keep_potential: bool
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """The same as :func:`step_loop` by one compiled scan forward and one backward, on the processor."""
    return _FusedScan.apply(x, v, s, *fixed(constants, x.shape[2]), keep_potential)


def fixed(constants: Constants, n: int) -> tuple[Any, ...]:
    """Return decay, threshold and amount with one value a neuron, and the settings without them."""
    c = constants
    arrays = (a.expand(n) for a in (c.decay, c.threshold, c.amount))
    return (*arrays, c._replace(decay=None, threshold=None, amount=None))  # type: ignore[arg-type]
