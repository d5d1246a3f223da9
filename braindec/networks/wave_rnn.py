"""A recurrent network in which activity travels as waves, and keeps the recent past in its places.

    h_t = relu(conv_circular(h_{t-1}; kernel) + V x_t + b)

The kernel begins as a shift by one place and V feeds the first place only, so that at first an input walks round the ring,
one place a step: place n holds the input of n steps ago. Training may change all of that.

Source: Keller, Muller, Sejnowski & Welling 2024 (ICLR, "Traveling waves encode the recent past and enhance sequence
learning"), section 3.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from braindec.errors import BraindecError
from braindec.networks.lif_layer import check_drive
from braindec.stats.asked import number, whole

__all__ = ["WaveRNN"]


class WaveRNN(nn.Module):
    """The recurrent layer.

    Parameters
    ----------
    n_inputs : int
    n_places : int
        Places on the ring: how many steps a wave travels until it meets itself.
    n_channels : int
        Waves side by side, mixed by the kernel.
    width : int
        Of the kernel; an odd number.
    spread : float
        Standard deviation of the first weights from the input, at the first place.
    batch_first : bool
        Whether the input is (batch, time, input) instead of (time, batch, input).
    generator : torch.Generator, optional
        Of the first weights.

    Raises
    ------
    BraindecError
        If a size is wrong.
    """

    def __init__(
        self, n_inputs: int, n_places: int, *, n_channels: int = 1, width: int = 3, spread: float = 1.0,
        batch_first: bool = False, generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value in (("n_inputs", n_inputs), ("n_places", n_places), ("n_channels", n_channels)):
            whole(value, f"{name} of a WaveRNN", least=1)
        number(spread, "spread of a WaveRNN", least=0)
        if width not in range(3, n_places + 1, 2):
            raise BraindecError("the kernel of a WaveRNN has a wrong width", found=repr(width),
                                allowed=f"an odd number from 3 to the number of places, {n_places}")  # fmt: skip
        self.n_channels, self.n_places, self.width, self.batch_first = n_channels, n_places, width, bool(batch_first)
        kernel = torch.zeros(n_channels, n_channels, width)
        kernel[range(n_channels), range(n_channels), width // 2 - 1] = 1  # each place takes from the one before
        inputs = torch.zeros(n_channels, n_places, n_inputs)
        inputs[:, 0] = torch.randn(n_channels, n_inputs, generator=generator) * spread
        self.kernel, self.inputs = nn.Parameter(kernel), nn.Parameter(inputs)
        self.bias = nn.Parameter(torch.zeros(n_channels, 1))

    def forward(self, x: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Run all steps.

        Parameters
        ----------
        x : tensor of shape (time, batch, input)
        state : tensor of shape (batch, channel, place), optional
            Activity to go on from; zero by default.

        Returns
        -------
        tensor of shape (time, batch, channel, place), tensor of shape (batch, channel, place)
            Activity of all steps and of the last.

        Raises
        ------
        BraindecError
            If shapes do not fit, or the input is not finite.
        """
        check_drive(x, type(self).__name__)
        x = x.transpose(0, 1) if self.batch_first else x
        shape = (x.shape[1], self.n_channels, self.n_places)
        if x.shape[2] != self.inputs.shape[2]:
            raise BraindecError("another number of inputs comes into the WaveRNN than it has",
                                found=f"{x.shape[2]}", allowed=f"{self.inputs.shape[2]}")  # fmt: skip
        if state is not None and state.shape != shape:
            raise BraindecError("the activity that the WaveRNN should go on from does not fit its input",
                                found=f"{tuple(state.shape)}", allowed=f"{shape}")  # fmt: skip
        h = x.new_zeros(shape) if state is None else state
        drive = functional.linear(x, self.inputs.flatten(0, 1)).unflatten(2, shape[1:]) + self.bias
        side, found = self.width // 2, []
        for step in drive:
            around = functional.pad(h, (side, side), mode="circular")
            h = functional.relu(functional.conv1d(around, self.kernel) + step)
            found.append(h)
        if not torch.isfinite(h.detach().sum()) and not bool(torch.isfinite(h.detach()).all()):  # it spreads, and stays
            raise BraindecError("activity of the WaveRNN became NaN or infinite",
                                fix="look at the first state, and lower the learning rate")  # fmt: skip
        out = torch.stack(found)
        return (out.transpose(0, 1) if self.batch_first else out), h
