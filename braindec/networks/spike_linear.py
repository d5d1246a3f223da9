"""A linear layer whose input is spikes: products with zeros are left out, forward and in the gradient of the weights.

The same numbers as ``torch.nn.Linear`` up to rounding, with any values in the input; the gradient of the input is dense.

Source: the sparse product of kernels.spike_product; the gradients of a linear map.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import whole

__all__ = ["SpikeLinear"]

BACKENDS = ("auto", "events", "torch")
_DENSEST, _NARROWEST = 0.25, 64  # measured: above this share of spikes, or with fewer outputs, the dense product wins


class SpikeLinear(nn.Linear):
    """``spikes @ weight.T + bias`` over the last axis.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    backend : {"auto", "events", "torch"}
        "events" adds up rows of the weights for what is not zero (processor, float32 and float64), "torch" is the dense
        product; "auto" takes the first where it can run and at most a quarter of the input is not zero.

    Raises
    ------
    BraindecError
        If there is no such backend, or the one asked for cannot run.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, backend: str = "auto") -> None:
        (
            whole(in_features, "in_features of a SpikeLinear", least=1),
            whole(out_features, "out_features of a SpikeLinear", least=1),
        )
        super().__init__(in_features, out_features, bias=bias)
        if backend not in BACKENDS:
            raise BraindecError(
                f"a SpikeLinear has no backend {backend!r}{did_you_mean(str(backend), BACKENDS)}",
                allowed=", ".join(BACKENDS),
            )
        self.backend = backend

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Spikes (..., in_features) -> (..., out_features)."""
        return self._product(spikes, self.bias)

    def without_bias(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return the product alone."""
        return self._product(spikes, None)

    def _product(self, spikes: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        known = isinstance(spikes, torch.Tensor)
        if not known or not spikes.ndim or spikes.shape[-1] != self.in_features:
            raise BraindecError("another number of inputs comes into a SpikeLinear than it has",
                                found=f"shape {tuple(spikes.shape)}" if known else type(spikes).__name__,
                                allowed=f"{self.in_features} inputs on the last axis")  # fmt: skip
        able = spikes.device.type == "cpu" and spikes.dtype in (torch.float32, torch.float64)
        able = able and self.weight.dtype == spikes.dtype and spikes.numel() > 0
        if self.backend == "events" and not able:
            raise BraindecError(
                "the product with events runs on the processor, in float32 and float64, weights like spikes",
                found=f"spikes {spikes.dtype} on {spikes.device}, weights {self.weight.dtype}",
                fix="take backend='torch' (or 'auto')",
            )  # fmt: skip
        if self.backend == "torch" or not able or (self.backend == "auto" and self.out_features < _NARROWEST):
            return functional.linear(spikes, self.weight, bias)
        from braindec.kernels.spike_product import events_of

        rows = spikes.detach().reshape(-1, self.in_features).contiguous().numpy()
        events = events_of(rows, densest=_DENSEST if self.backend == "auto" else 1.0)
        if events is None:
            return functional.linear(spikes, self.weight, bias)
        return _EventProduct.apply(spikes, self.weight, bias, events)


class _EventProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, spikes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, events: Any
    ) -> torch.Tensor:
        from braindec.kernels.spike_product import spike_product

        across = weight.detach().t().contiguous().numpy()
        out = spike_product(events, across, None if bias is None else bias.detach().numpy())
        ctx.save_for_backward(weight)
        ctx.events = events
        return torch.from_numpy(out).reshape(*spikes.shape[:-1], len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        from braindec.kernels.spike_product import spike_product_transposed

        (weight,) = ctx.saved_tensors
        rows = grad.reshape(-1, len(weight)).contiguous()
        g_spikes = (grad @ weight) if ctx.needs_input_grad[0] else None
        g_weight = None
        if ctx.needs_input_grad[1]:
            g_weight = torch.from_numpy(spike_product_transposed(ctx.events, rows.numpy())).t()
        return g_spikes, g_weight, rows.sum(dim=0) if ctx.needs_input_grad[2] else None, None
