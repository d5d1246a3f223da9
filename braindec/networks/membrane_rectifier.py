"""Soft reset and membrane-potential rectifier: potentials are pulled to 0 and 1 before they become a spike.

With the potential in units of the reset (``V``), the rectifier is

    phi(u) = u^(1/3)                                        u > 1
           = tanh(3 (u - 1/2)) / (2 tanh(3/2)) + 1/2        0 <= u <= 1
           = 1 - (1 - u)^(1/3)                              u < 0

and a spike is ``phi(u) > 1/2`` with a straight-through gradient of 1 for ``phi`` in [0, 1]. The rectifier rises everywhere
and keeps 0, 1/2 and 1 in their places, so it changes no spike: it narrows the gap between potential and spike (the
information that the step loses) and shapes the gradient, which is ``phi'(u)`` on [0, 1] and 0 elsewhere. The neuron is
therefore the LIF layer with the threshold V / 2, a soft reset by V, and this surrogate.

Source: Guo et al. 2022 (ECCV, "Reducing information loss for spiking neural networks"), soft reset and
rectifier. The formulas are those of the published code.
Differs from the reference in: a spike where ``phi(u) >= 1/2``.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from braindec.errors import BraindecError
from braindec.networks.lif_layer import LIF
from braindec.networks.surrogate import Surrogate

__all__ = ["RECTIFIED", "RectifiedLIF", "rectifier_loss", "rectify"]

_EDGE = math.tanh(1.5)


def rectify(u: torch.Tensor) -> torch.Tensor:
    """Return ``phi(u)``, differentiable; ``u`` in units of the reset."""
    middle = torch.tanh(3 * (u - 0.5)) / (2 * _EDGE) + 0.5
    # Clamped inside the roots: the branch that is not taken must not give the gradient 0 * inf.
    above = u.clamp(min=1.0).pow(1 / 3)
    below = 1 - (1 - u.clamp(max=0.0)).pow(1 / 3)
    return torch.where(u > 1, above, torch.where(u < 0, below, middle))


def rectifier_loss(u: torch.Tensor) -> torch.Tensor:
    """Mean squared distance between rectified potential and spike: the information that the step loses."""
    phi = rectify(u)
    return (phi - (phi.detach() >= 0.5).to(phi.dtype)).square().mean()


def _derivative(x: Any, k: Any, one: Any, exp: Any) -> Any:
    """Slope ``phi'(u)`` at ``x = u - 1/2`` where ``0 <= u <= 1``; ``k`` is one over the reset."""
    two = one + one
    small = exp(-two * (two + one) * k * abs(x))
    hyperbolic = (two * two) * small / ((one + small) * (one + small))  # sech^2(3 k x)
    return one * (1.5 / _EDGE) * k * hyperbolic * (k * abs(x) <= one / two)


RECTIFIED = Surrogate("membrane_rectifier", _derivative, 1.0, "Guo et al. 2022")


class RectifiedLIF(LIF):
    """LIF neurons with soft reset and membrane-potential rectifier.

    Parameters
    ----------
    decay : float or sequence of float
        0.25 in the paper.
    reset_by : float
        V: what a spike subtracts; a neuron fires at half of it.
    **settings
        Others of :class:`~braindec.networks.lif_layer.LIF`, but for reset, threshold and surrogate.

    Raises
    ------
    BraindecError
        If a value is out of its range, or one of the three is given.
    """

    def __init__(self, *, decay: Any = 0.25, reset_by: float = 1.0, **settings: Any) -> None:
        for name in ("reset", "threshold", "surrogate", "learn_threshold"):
            if name in settings:
                raise BraindecError(f"a RectifiedLIF has its own {name}", found=f"{name}={settings[name]!r}",
                                    fix="leave it out, or take LIF(surrogate=RECTIFIED, ...)")  # fmt: skip
        if not reset_by > 0:
            raise BraindecError("reset_by of a RectifiedLIF must be above 0", found=repr(reset_by))
        super().__init__(decay=decay, threshold=reset_by / 2, reset="soft", reset_by=reset_by,
                         surrogate=RECTIFIED.with_slope(1.0 / reset_by), **settings)  # fmt: skip
