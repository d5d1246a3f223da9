"""Delta activation: a layer passes on what has changed since the step before, in whole steps of a quantiser.

    y_t = Q(x_t) - Q(x_{t-1}),   Q(x) = step * round(x / step),   Q(x_{-1}) = 0

What varies slowly gives mostly zeros; a linear map of y is summed up over time downstream and then equals that map of Q(x).
An L1 penalty on y trains for fewer changes.

Source: Yousefzadeh & Sifalakis 2021 (arXiv 2107.07305, "Training for temporal sparsity in deep neural networks"); gradient
of a learned step: Esser et al. 2020 (ICLR, learned step size quantisation), equation 3.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from braindec.errors import BraindecError
from braindec.networks.lif_layer import check_drive, spike_sparsity
from braindec.networks.spike_linear import SpikeLinear

__all__ = ["DeltaActivation", "DeltaLinear"]


class DeltaActivation(nn.Module):
    """Changes of a quantised signal.

    Parameters
    ----------
    step : float
        Width of one level, in units of the input; at most half of it is lost.
    learn_step : bool
        Whether the step is a parameter.

    Raises
    ------
    BraindecError
        If the step is not a number above 0.
    """

    def __init__(self, *, step: float = 0.1, learn_step: bool = False) -> None:
        super().__init__()
        if isinstance(step, bool) or not isinstance(step, (int, float)) or not 0 < step < math.inf:
            raise BraindecError("the step of a DeltaActivation must be a number above 0", found=repr(step))
        self.learn_step = bool(learn_step)
        if self.learn_step:
            self.log_step = nn.Parameter(torch.tensor(math.log(step)))
        else:
            self.register_buffer("_step", torch.tensor(float(step), dtype=torch.float64))

    @property
    def step(self) -> torch.Tensor:
        """Width of one level."""
        return self.log_step.exp() if self.learn_step else self._step

    def quantise(self, x: torch.Tensor) -> torch.Tensor:
        """Return the nearest level; the gradient passes straight through."""
        step = self.step.to(x.device, x.dtype)
        scaled = x / step
        return step * (scaled + (scaled.round() - scaled).detach())

    def forward(self, x: torch.Tensor, last: torch.Tensor | None = None) -> torch.Tensor:
        """Changes, in the shape of ``x`` (time, batch, neuron); ``last`` (batch, neuron) is the level to go on from.

        Raises
        ------
        BraindecError
            If the shapes do not fit, or the input is not finite.
        """
        check_drive(x, type(self).__name__)
        if last is not None and last.shape != x.shape[1:]:
            raise BraindecError("the level that a DeltaActivation should go on from does not fit its input",
                                found=f"{tuple(last.shape)}", allowed=f"{tuple(x.shape[1:])}")  # fmt: skip
        levels = self.quantise(x)
        first = levels[:1] if last is None else levels[:1] - last
        # The last bits of a difference of equal levels must be zero, or nothing is saved.
        return torch.cat([first, levels[1:] - levels[:-1]])

    @staticmethod
    def penalty(changes: torch.Tensor) -> torch.Tensor:
        """Mean absolute change: add a multiple of it to the loss."""
        return changes.abs().mean()

    @staticmethod
    def sparsity(changes: torch.Tensor) -> float:
        """Share of the changes that are zero: products that need not be computed."""
        return spike_sparsity(changes)


class DeltaLinear(nn.Module):
    """A linear layer that multiplies changes only, and sums up what they bring.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    step : float
        Of the quantiser.
    learn_step : bool
    backend : {"auto", "events", "torch"}
        Of the product, as for :class:`~braindec.networks.spike_linear.SpikeLinear`.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, step: float = 0.1, learn_step: bool = False,
        backend: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__()
        self.delta = DeltaActivation(step=step, learn_step=learn_step)
        self.linear = SpikeLinear(in_features, out_features, bias=bias, backend=backend)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (time, batch, in) -> outputs (time, batch, out), and the changes (time, batch, in) for penalty and sparsity."""
        changes = self.delta(x)
        plain = self.linear.bias
        products = self.linear.without_bias(changes)
        out = products.cumsum(dim=0)
        return (out if plain is None else out + plain), changes

    def dense(self, x: torch.Tensor) -> torch.Tensor:
        """Return what an ordinary linear layer with these weights gives for ``x``, without quantiser."""
        return functional.linear(x, self.linear.weight, self.linear.bias)
