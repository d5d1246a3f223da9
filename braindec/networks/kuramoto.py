"""Artificial Kuramoto oscillators: groups of channels are unit vectors that rotate and pull at one another.

Each oscillator ``x_i`` is a unit vector of ``n`` numbers. A step of size ``gamma``::

    y = c + J x
    x <- normalise(x + gamma * (Omega x + y - <y, x> x))

``Omega`` turns neighbouring pairs of its numbers at their natural frequency, ``J`` is what oscillators send one another
(a convolution, or attention) and ``c`` is the stimulus. With ``Omega = 0``, symmetric ``J`` and small steps
``-sum <x, c + J x / 2>`` falls; the energy ``-sum <x, y>`` that is reported counts the coupling twice and mostly falls. For ``n = 2`` it is the Kuramoto model: the angle follows
``dtheta_i = omega_i + sum_j J_ij sin(theta_j - theta_i)``, whatever the sign that ``Omega`` is given.

Source: Miyato, Löwe, Geiger & Welling 2025, Artificial Kuramoto oscillatory neurons (ICLR), equations 1 to 5.
"""

from __future__ import annotations

import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.stats.asked import number, whole

__all__ = ["KuramotoLayer", "oscillator_energy", "oscillator_step", "unit_oscillators"]


def unit_oscillators(x: torch.Tensor, n: int) -> torch.Tensor:
    """Scale each group of ``n`` channels of (batch, channel, ...) to length 1; a group of zeros stays as it is."""
    return nn.functional.normalize(_groups(x, n), dim=2).flatten(1, 2)


def oscillator_step(
    x: torch.Tensor, pull: torch.Tensor, omega: torch.Tensor | None, *, n: int, gamma: float = 1.0
) -> torch.Tensor:
    """Advance oscillators by one step.

    Parameters
    ----------
    x, pull : tensor of shape (batch, channel, ...)
        Unit oscillators (groups of ``n`` channels) and ``y = c + J x``.
    omega : tensor of shape (channel / 2,), optional
        Natural frequency of each pair of neighbouring channels.
    n : int
        Numbers an oscillator; even with ``omega``.
    gamma : float
        Step size.
    """
    at, towards = _groups(x, n), _groups(pull, n)
    change = (towards - (at * towards).sum(dim=2, keepdim=True) * at).flatten(1, 2)
    if omega is not None:
        change = change + _turn(x, omega)
    return unit_oscillators(x + gamma * change, n)


def oscillator_energy(x: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
    """Return ``-sum <x, y>`` of each item of the batch."""
    return -(x * pull).flatten(1).sum(dim=1)


class KuramotoLayer(nn.Module):
    """Oscillators on a grid, coupled by a convolution, advanced by a fixed number of steps.

    Parameters
    ----------
    n_channels : int
        Channels, ``n`` to an oscillator.
    n : int
        Numbers an oscillator.
    n_steps : int
        Steps.
    gamma : float
        Step size.
    kernel_size : int
        Side of the convolution; 1 couples the oscillators of one place only. Odd.
    rotate : bool
        Whether natural frequencies are learned (n even).
    stimulus_norm : bool
        Whether the stimulus is normalised in groups of channels first.
    """

    def __init__(
        self, n_channels: int, *, n: int = 4, n_steps: int = 8, gamma: float = 1.0, kernel_size: int = 1,
        rotate: bool = True, stimulus_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value in (("n_channels", n_channels), ("n", n), ("n_steps", n_steps), ("kernel_size", kernel_size)):
            whole(value, f"{name} of a KuramotoLayer", least=1)
        number(gamma, "gamma of a KuramotoLayer", least=0, ends=False)
        if n < 2 or n_channels % n or (rotate and n % 2):
            raise BraindecError(
                "oscillators are groups of n >= 2 channels, an even n if they rotate",
                found=f"{n_channels} channels, n = {n}",
            )
        if kernel_size % 2 == 0:
            raise BraindecError("kernel_size of a KuramotoLayer is odd", found=str(kernel_size))
        self.n, self.n_steps, self.gamma = n, n_steps, gamma
        self.coupling = nn.Conv2d(n_channels, n_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.omega = nn.Parameter(torch.full((n_channels // 2,), 0.1)) if rotate else None
        self.norm = nn.GroupNorm(n_channels // n, n_channels) if stimulus_norm else nn.Identity()

    def forward(self, x: torch.Tensor, stimulus: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Oscillators and stimulus (batch, channel, height, width) -> states after each step, and energies before each.

        Returns
        -------
        states : tensor of shape (n_steps, batch, channel, height, width)
        energies : tensor of shape (n_steps, batch)
        """
        if x.ndim != 4 or x.shape != stimulus.shape or x.shape[1] != self.coupling.in_channels:
            raise BraindecError(
                "oscillators and stimulus have the shape (batch, channel, height, width)",
                found=f"{tuple(x.shape)} and {tuple(stimulus.shape)}",
                allowed=f"{self.coupling.in_channels} channels",
            )
        stimulus, x = self.norm(stimulus), unit_oscillators(x, self.n)
        states, energies = [], []
        for _ in range(self.n_steps):
            pull = stimulus + self.coupling(x)
            energies.append(oscillator_energy(x, pull))
            x = oscillator_step(x, pull, self.omega, n=self.n, gamma=self.gamma)
            states.append(x)
        if not bool(torch.isfinite(x.detach()).all()):
            raise BraindecError(
                "oscillators became NaN or infinite", fix="look at the stimulus, and at weights that ran away"
            )
        return torch.stack(states), torch.stack(energies)


def _groups(x: torch.Tensor, n: int) -> torch.Tensor:
    """(batch, channel, ...) -> (batch, oscillator, n, ...)."""
    if x.ndim < 2 or n < 1 or x.shape[1] % n:
        raise BraindecError(f"oscillators are groups of {n} channels", found=f"shape {tuple(x.shape)}")
    return x.unflatten(1, (-1, n))


def _turn(x: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
    if x.shape[1] != 2 * omega.numel():
        raise BraindecError("each pair of channels has one natural frequency", found=f"{omega.numel()} of them",
                            allowed=f"{x.shape[1]} / 2")  # fmt: skip
    pair = _groups(x, 2)
    omega = omega.reshape(1, -1, *[1] * (x.ndim - 2))
    return torch.stack((omega * pair[:, :, 1], -omega * pair[:, :, 0]), dim=2).flatten(1, 2)
