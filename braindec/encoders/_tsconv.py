"""Temporal-spatial convolution of NICE and ATM, in the plain order and re-ordered: the same output, several times faster.

Plain order: Conv2d(1 -> k, (1, 25)), AvgPool((1, 51), stride 5), BatchNorm, ELU, Conv2d(k -> k, (channels, 1)), BatchNorm,
ELU, Dropout, Conv2d(k -> m, 1). The convolution is evaluated at every sample, and then 51 of its values are averaged.

Both are linear, so they commute: a moving average of 51 samples first (one cumulative sum), then the convolution at
every fifth sample only. The mean and variance that batch normalisation needs follow from the mean and covariance of the
25-sample patches (25 x 25 numbers), because a linear map of patches has mean w'm and variance w'Cw; normalisation is then
a change of the weights and no pass over the large array is needed. What is left are two matrix products and one ELU.

Source: Song et al. 2024 (ICLR), "Decoding natural images from EEG for object recognition", section 3 (TSConv).
Differs from the reference in: the order of the operations (not the result).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders._base import at_least
from braindec.errors import BraindecError

__all__ = ["TSConv"]


class TSConv(nn.Module):
    """Temporal-spatial convolution, (batch, channel, time) -> (batch, n_out * n_steps).

    Parameters
    ----------
    n_chans, n_times : int
        Channels and samples of the input.
    n_filters : int
        Temporal and spatial filters.
    n_out : int
        Filters of the last 1 x 1 convolution.
    kernel, pool, stride : int
        Samples of the temporal filter, of the average, and between averages.
    dropout : float
        Before the last convolution.
    order : str
        "fast" or "plain": the same numbers to rounding; the plain order is kept for comparison.

    Raises
    ------
    BraindecError
        If the windows are shorter than ``kernel + pool - 1`` samples.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        n_filters: int = 40,
        n_out: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.5,
        order: str = "fast",
    ) -> None:
        super().__init__()
        if order not in ("fast", "plain"):
            raise BraindecError(f"there is no order {order!r}", allowed="fast, plain")
        at_least("a temporal-spatial convolution", n_times, kernel + pool - 1, f"kernel {kernel} + pool {pool} - 1")
        self.kernel, self.pool, self.stride, self.order = kernel, pool, stride, order
        self.n_steps = (n_times - kernel + 1 - pool) // stride + 1
        self.n_features = n_out * self.n_steps
        self.temporal = nn.Conv2d(1, n_filters, (1, kernel))
        self.norm_temporal = nn.BatchNorm2d(n_filters)
        self.spatial = nn.Conv2d(n_filters, n_filters, (n_chans, 1))
        self.norm_spatial = nn.BatchNorm2d(n_filters)
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Conv2d(n_filters, n_out, (1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, n_out * n_steps), filters first."""
        h = self._fast(x) if self.order == "fast" else self._plain(x)  # (batch, filter, 1, step)
        h = self.dropout(F.elu(self.norm_spatial(h)))
        return self.mix(h).flatten(1)

    def _plain(self, x: torch.Tensor) -> torch.Tensor:
        h = F.avg_pool2d(self.temporal(x.unsqueeze(1)), (1, self.pool), (1, self.stride))
        return self.spatial(F.elu(self.norm_temporal(h)))

    def _fast(self, x: torch.Tensor) -> torch.Tensor:
        batch, n_chans, _ = x.shape
        shift = x.mean().detach()  # a common offset must not cost digits of the covariance
        smooth = moving_average(x - shift, self.pool)  # (batch, channel, time - pool + 1)
        patches = smooth.unfold(2, self.kernel, self.stride)  # (batch, channel, step, kernel), a view
        patches = patches.transpose(1, 2).reshape(-1, self.kernel)  # (batch * step * channel, kernel)
        weight, bias = self._normalised(patches, shift)
        h = F.elu(torch.addmm(bias, patches, weight.T))  # (batch * step * channel, filter)
        h = h.view(batch * self.n_steps, n_chans * self.temporal.out_channels)
        kernel = self.spatial.weight[..., 0].permute(0, 2, 1).flatten(1)  # (filter out, channel * filter in)
        h = torch.addmm(self.spatial.bias, h, kernel.T)  # (batch * step, filter)
        return h.view(batch, self.n_steps, 1, -1).permute(0, 3, 2, 1)

    def _normalised(self, patches: torch.Tensor, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return temporal weights (filter, kernel) and bias (filter,) with batch normalisation worked in."""
        norm = self.norm_temporal
        w = self.temporal.weight.flatten(1)  # (filter, kernel)
        offset = self.temporal.bias + shift * w.sum(1)  # what a bias and the removed shift add to each output
        if norm.training:
            n = len(patches)
            mean_patch = patches.mean(0)
            covariance = patches.T @ patches / n - torch.outer(mean_patch, mean_patch)
            mean, variance = w @ mean_patch, ((w @ covariance) * w).sum(1)
            self._update_running(mean + offset, variance * (n / max(n - 1, 1)))
        else:
            mean, variance = norm.running_mean - offset, norm.running_var
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        none = 0.0 * self.temporal.bias  # batch normalisation removes it: its gradient is 0, and not missing
        return w * scale[:, None], norm.bias - mean * scale + none

    @torch.no_grad()
    def _update_running(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        norm = self.norm_temporal
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance, norm.momentum)


def moving_average(x: torch.Tensor, width: int) -> torch.Tensor:
    """Mean of ``width`` neighbours along the last axis, (..., time) -> (..., time - width + 1).

    One cumulative sum in float64 (float32 where the device has no float64), so that nothing is lost to cancellation.
    """
    exact = x.float() if x.device.type == "mps" else x.double()
    total = F.pad(exact.cumsum(-1), (1, 0))
    return ((total[..., width:] - total[..., :-width]) / width).to(x.dtype)
