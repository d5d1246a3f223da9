"""Ridge: one linear map of the window, averaged in time bins, in closed form; the baseline that others must beat.

Source: Hoerl & Kennard 1970 (Technometrics); the penalty is chosen by exact leave-one-group-out (see
:mod:`braindec.ridge.leave_group_out`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.ridge.leave_group_out import RidgeFit, solve_ridge

__all__ = ["Ridge", "bin_weights"]


class Ridge(Encoder):
    """Linear map of time-binned windows, (batch, channel, time) -> (batch, dim).

    :meth:`fit` sets the weights in closed form; like any encoder it can be trained by gradients too.

    Parameters
    ----------
    n_chans, n_times, dim : int
        Channels, samples, and number of outputs.
    n_bins : int, optional
        Time is averaged in this many bins of (nearly) equal length; every sample counts by itself by default.

    Raises
    ------
    BraindecError
        If there are more bins than samples.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {}, "base": {}, "paper": {}}

    def __init__(self, *, n_chans: int, n_times: int, dim: int, n_bins: int | None = None) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        self.n_bins = self.n_times if n_bins is None else n_bins
        if not 1 <= self.n_bins <= self.n_times:
            raise BraindecError(
                f"windows of {n_times} samples cannot be averaged in {n_bins} bins",
                allowed=f"n_bins from 1 to {n_times}",
            )
        self.map = nn.Linear(self.n_chans * self.n_bins, self.dim)
        self.register_buffer("bins", torch.from_numpy(bin_weights(self.n_times, self.n_bins)), persistent=False)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, dim)."""
        return self.map(self.columns(x))

    def columns(self, x: torch.Tensor) -> torch.Tensor:
        """Average in time bins: x (batch, channel, time) -> (batch, channel * bin)."""
        return (x if self.n_bins == self.n_times else x @ self.bins).flatten(1)

    @torch.no_grad()
    def fit(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        *,
        alpha: float | str | np.ndarray = "auto",
        groups: np.ndarray | None = None,
        per_target: bool = False,
    ) -> RidgeFit:
        """Set the weights in closed form.

        Parameters
        ----------
        X : array of shape (n, n_chans, n_times), or (n, n_chans * n_bins) when it is binned already
        Y : array of shape (n, dim)
        alpha, groups, per_target
            As in :func:`~braindec.ridge.leave_group_out.solve_ridge`.

        Returns
        -------
        RidgeFit
            The penalty that was chosen, and the error of each that was tried.
        """
        if X.ndim == 3:
            X = self.columns(torch.from_numpy(np.ascontiguousarray(X, dtype=np.float32))).numpy()
        if X.ndim != 2 or X.shape[1] != self.map.in_features or np.shape(Y)[1:] != (self.dim,):
            raise BraindecError(
                "the data do not fit the ridge encoder", found=f"X {np.shape(X)}, Y {np.shape(Y)}",
                allowed=f"X (n, {self.n_chans}, {self.n_times}) or (n, {self.map.in_features}), Y (n, {self.dim})",
            )  # fmt: skip
        found = solve_ridge(X, np.asarray(Y), alpha=alpha, groups=groups, per_target=per_target)
        self.map.weight.copy_(torch.from_numpy(found.coef.T.copy()))
        self.map.bias.copy_(torch.from_numpy(found.intercept))
        return found


def bin_weights(n_times: int, n_bins: int) -> np.ndarray:
    """Weights (n_times, n_bins) that average samples in bins whose lengths differ by at most one; float32."""
    bin_of = np.arange(n_times) * n_bins // n_times
    weights = (bin_of[:, None] == np.arange(n_bins)).astype(np.float32)
    return weights / weights.sum(axis=0)
