"""EGRU: a gated recurrent unit whose units speak only when their state crosses a threshold.

Each unit has a state ``c``. It sends ``y = c`` in the steps in which ``c`` exceeds its threshold and nothing (zero) in
all others; what it sent is taken off the state, and the other units hear only what is sent::

    z = sigmoid(W_z x + b_z + R_z y)        r = sigmoid(W_r x + b_r + R_r y)
    g = tanh(W_g x + b_g + r * (R_g y))     c' = z c + (1 - z) g
    e = [c' > threshold]                    y = e c'            c = c' - e threshold

The step ``e`` has the surrogate gradient ``height * max(0, 1 - width |c' - threshold|)``.

Source: Subramoney, Nazeer, Schöne, Mayr & Kappel 2023, Efficient recurrent architectures through activity sparsity and
sparse back-propagation through time (ICLR), equations 1 to 4 and appendix.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.networks.lif_layer import check_drive
from braindec.stats.asked import number, whole

__all__ = ["EGRU", "EGRUState", "event"]


class EGRUState(NamedTuple):
    """State between steps: ``y`` (what was sent), ``c`` (state), ``trace`` (faded mean of what was sent), each (batch, unit)."""

    y: torch.Tensor
    c: torch.Tensor
    trace: torch.Tensor


class _Event(torch.autograd.Function):
    @staticmethod
    def forward(ctx, over, height, width):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(over)
        ctx.height, ctx.width = height, width
        return (over > 0).to(over.dtype)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (over,) = ctx.saved_tensors
        return grad * ctx.height * torch.clamp(1 - ctx.width * over.abs(), min=0), None, None


def event(over: torch.Tensor, *, height: float = 0.7, width: float = 1.0) -> torch.Tensor:
    """Return 1 where ``over`` > 0, with the gradient ``height * max(0, 1 - width * |over|)``."""
    return _Event.apply(over, height, width)


class EGRU(nn.Module):
    """One layer of event-based gated recurrent units.

    Parameters
    ----------
    n_inputs, n_units : int
        Sizes.
    threshold : float
        Mean of the thresholds at the start: each unit draws its own from Beta(a, 3) with ``a = 3 m / (1 - m)``; they are
        learned.
    height, width : float
        Surrogate gradient.
    trace : float
        What remains of the faded mean of events after a step; a smooth output for read-outs.
    drop_connect : float
        Share of recurrent weights that are left out, anew for each sequence, in training.
    zoneout : float
        Share of states that stay as they were, in training.
    """

    def __init__(
        self, n_inputs: int, n_units: int, *, threshold: float = 0.3, height: float = 0.7, width: float = 1.0,
        trace: float = 0.9, drop_connect: float = 0.0, zoneout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value in (("threshold", threshold), ("trace", trace)):
            number(value, f"{name} of EGRU", least=0, most=1, ends=False)
        for name, value in (("drop_connect", drop_connect), ("zoneout", zoneout)):
            if number(value, f"{name} of EGRU", least=0, most=1) == 1:
                raise BraindecError(f"{name} of EGRU is a share below 1", found=str(value))
        for name, value in (("height", height), ("width", width)):
            number(value, f"{name} of the surrogate gradient of EGRU", least=0)
        self.n_inputs = whole(n_inputs, "n_inputs of EGRU", least=1)
        self.n_units = whole(n_units, "n_units of EGRU", least=1)
        self.height, self.width, self.fade, self.drop_connect, self.zoneout = (
            height,
            width,
            trace,
            drop_connect,
            zoneout,
        )
        self.kernel = nn.Parameter(torch.empty(n_inputs, 3 * n_units))  # columns: z, r, g
        self.recurrent = nn.Parameter(torch.empty(n_units, 3 * n_units))
        self.bias = nn.Parameter(torch.zeros(3 * n_units))
        self.recurrent_bias = nn.Parameter(torch.zeros(3 * n_units))
        self.threshold = nn.Parameter(torch.empty(n_units))
        if not self.threshold.is_meta:  # torch cannot draw from Beta there
            shape = torch.full((n_units,), 3 * threshold / (1 - threshold))
            self.threshold.data = torch.distributions.Beta(shape, 3.0).sample()
        for weight in (self.kernel, self.recurrent):
            nn.init.xavier_normal_(weight)

    def start(self, batch: int) -> EGRUState:
        """Return the state of silence for ``batch`` sequences."""
        zero = self.kernel.new_zeros(batch, self.n_units)
        return EGRUState(zero, zero, zero)

    def forward(self, x: torch.Tensor, state: EGRUState | None = None) -> tuple[torch.Tensor, torch.Tensor, EGRUState]:
        """x (batch, time, n_inputs) -> events (batch, time, n_units), their traces (same shape), the state to go on from.

        Raises
        ------
        BraindecError
            If shapes do not fit, or the input or what comes of it is not finite.
        """
        if not isinstance(x, torch.Tensor) or x.ndim != 3 or x.shape[2] != self.n_inputs or not x.is_floating_point():
            raise BraindecError(
                "EGRU reads numbers of (batch, time, input)", allowed=f"(batch, time, {self.n_inputs})",
                found=f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__,
            )  # fmt: skip
        check_drive(x, type(self).__name__)
        y, c, trace = self._checked_state(state, len(x))
        recurrent = nn.functional.dropout(self.recurrent, self.drop_connect, self.training)
        driven = x @ self.kernel + self.bias  # all steps at once
        events, traces = [], []
        for t in range(x.shape[1]):
            heard = y @ recurrent + self.recurrent_bias
            (xz, xr, xg), (hz, hr, hg) = driven[:, t].chunk(3, dim=1), heard.chunk(3, dim=1)
            z, r = torch.sigmoid(xz + hz), torch.sigmoid(xr + hr)
            new = z * c + (1 - z) * torch.tanh(xg + r * hg)
            if self.training and self.zoneout:
                new = torch.where(torch.rand_like(new) < self.zoneout, c, new)
            e = event(new - self.threshold, height=self.height, width=self.width)
            y, c = e * new, new - e * self.threshold
            trace = self.fade * trace + (1 - self.fade) * y
            events.append(y)
            traces.append(trace)
        if not torch.isfinite(c.detach().sum()) and not bool(torch.isfinite(c.detach()).all()):  # NaN stays in a state
            raise BraindecError("states of EGRU became NaN or infinite with a finite input",
                                fix="look at the first state, and lower the learning rate")  # fmt: skip
        return torch.stack(events, dim=1), torch.stack(traces, dim=1), EGRUState(y, c, trace)

    def _checked_state(self, state: EGRUState | None, batch: int) -> EGRUState:
        if state is None:
            return self.start(batch)
        if not isinstance(state, EGRUState) or any(part.shape != (batch, self.n_units) for part in state):
            raise BraindecError("the state that EGRU should go on from does not fit its input", found=type(state).__name__,
                                allowed=f"an EGRUState of three tensors (batch, unit) = {(batch, self.n_units)}")  # fmt: skip
        return state

    def constrain(self) -> None:
        """Keep thresholds in [0, 1]."""
        with torch.no_grad():
            self.threshold.clamp_(0.0, 1.0)
