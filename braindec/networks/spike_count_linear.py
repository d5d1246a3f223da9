"""A linear layer fed by spike counts, which is the same as one with its input quantised to eight bits.

Each input is held for 127 steps before thresholds 1/2, 3/2, ... 253/2 (in units of the largest input over 127) and sends a
spike of its sign in every step whose threshold it reaches. The number of its spikes is ``sign(x) floor(|x| / scale + 1/2)``:
symmetric quantisation of the whole tensor to [-127, 127]. A product with counts is a sum over spikes, one a step.

Source: Tang et al. 2024 (arXiv 2410.14687, "BrainTransformers: SNN-LLM"), the neurons before and after each linear layer.
Differs from the reference in: counts are computed at once (:meth:`SpikeCountLinear.spike_trains` has the steps).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from braindec.errors import BraindecError
from braindec.stats.asked import whole

__all__ = ["SpikeCountLinear", "quantise_counts", "spike_trains"]


def quantise_counts(x: torch.Tensor, *, n_steps: int = 127) -> tuple[torch.Tensor, torch.Tensor]:
    """Return signed spike counts in the shape of ``x``, and the scale with which they stand for it.

    Raises
    ------
    BraindecError
        If ``x`` is not finite or ``n_steps`` no whole number of at least 1.
    """
    whole(n_steps, "n_steps", least=1)
    largest = x.detach().abs().amax() if x.numel() else x.new_zeros(())
    if not bool(torch.isfinite(largest)):
        raise BraindecError("spike counts need finite inputs", found="NaN or infinite values")
    scale = largest / n_steps
    scale = torch.where(
        scale > 0, scale, torch.ones_like(scale)
    )  # 0 also where the smallest numbers end: nothing is sent
    return x.sign() * (x.abs() / scale + 0.5).floor(), scale


def spike_trains(x: torch.Tensor, *, n_steps: int = 127) -> torch.Tensor:
    """Return the spikes themselves, -1, 0 or 1, shape ``(n_steps, *x.shape)``; their sum over steps is the count."""
    _, scale = quantise_counts(x, n_steps=n_steps)
    thresholds = torch.arange(n_steps, dtype=x.dtype, device=x.device).reshape(-1, *[1] * x.ndim)
    # Counted like the quantiser rounds (floor of x + 1/2), so that both fall on the same side of a tie.
    return x.sign() * ((x.abs() / scale + 0.5).floor() > thresholds)


class SpikeCountLinear(nn.Linear):
    """``scale * (counts @ weight.T) + bias`` with counts of :func:`quantise_counts`.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    n_steps : int
        Steps for which an input is held: 127 are eight bits.
    quantise_weights : bool
        Whether the weights are quantised likewise, so that the product is one of whole numbers.

    Raises
    ------
    BraindecError
        If ``n_steps`` is below 1.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, n_steps: int = 127,
        quantise_weights: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias=bias)
        self.n_steps, self.quantise_weights = whole(n_steps, "n_steps", least=1), bool(quantise_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in_features) -> (..., out_features); gradients pass straight through the quantiser."""
        if not x.ndim or x.shape[-1] != self.in_features:
            raise BraindecError("another number of inputs comes into a SpikeCountLinear than it has",
                                found=f"shape {tuple(x.shape)}", allowed=f"{self.in_features} on the last axis")  # fmt: skip
        counts, scale = self._straight(x)
        if not self.quantise_weights:
            return functional.linear(counts, self.weight) * scale + (0 if self.bias is None else self.bias)
        weights, weight_scale = self._straight(self.weight)
        out = functional.linear(counts, weights) * (scale * weight_scale)
        return out if self.bias is None else out + self.bias

    def _straight(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        counts, scale = quantise_counts(x, n_steps=self.n_steps)
        exact = x / scale
        return exact + (counts - exact).detach() if x.requires_grad else counts, scale

    def spikes_per_input(self, x: torch.Tensor) -> float:
        """Return the mean number of spikes that an input sends: what the product costs on hardware that counts spikes."""
        counts, _ = quantise_counts(x, n_steps=self.n_steps)
        return float(counts.abs().mean())
