"""What every encoder shares: plain constructor settings, presets, the shape check, saving without pickle."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from braindec.errors import BraindecError
from braindec.weights import SavedModule

__all__ = ["Encoder", "at_least"]


class Encoder(SavedModule):
    """A map from windows (batch, channel, time) to vectors (batch, dim).

    Subclasses take keyword settings that are plain JSON values (kept in ``settings``), define ``forward`` and name
    their sizes in ``PRESETS``.

    Parameters
    ----------
    n_chans, n_times : int
        Channels and samples of a window.
    dim : int
        Length of the output: of an embedding, or the number of classes.

    Raises
    ------
    BraindecError
        If one of them is not a whole number of at least 1.
    """

    KIND: ClassVar[str] = "encoders"
    WORD: ClassVar[str] = "encoder"
    uses_subject: ClassVar[bool] = False

    def __init__(self, *, n_chans: int, n_times: int, dim: int) -> None:
        super().__init__()
        for name, value in (("n_chans", n_chans), ("n_times", n_times), ("dim", dim)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise BraindecError(
                    f"{name} of {type(self).__name__} must be a whole number of at least 1", found=repr(value)
                )
        self.n_chans, self.n_times, self.dim = int(n_chans), int(n_times), int(dim)

    @classmethod
    def from_preset(cls, preset: str, *, n_chans: int, n_times: int, dim: int, **changes: Any) -> Encoder:
        """Build an encoder of a named size.

        Parameters
        ----------
        preset : str
            A key of ``PRESETS``: "tiny" trains on two cores in a minute, "paper" has the published sizes.
        n_chans, n_times, dim : int
            As in the constructor.
        **changes
            Settings that differ from the preset.

        Raises
        ------
        BraindecError
            If there is no such preset or setting, or a size does not fit.
        """
        return cls(n_chans=n_chans, n_times=n_times, dim=dim, **cls.settings(preset, **changes))

    def __call__(self, x: torch.Tensor, **context: Any) -> torch.Tensor:
        """Check the shape of ``x`` and run ``forward``."""
        if x.ndim != 3 or tuple(x.shape[1:]) != (self.n_chans, self.n_times):
            raise BraindecError(
                f"{type(self).__name__} was built for windows of (channel, time) = ({self.n_chans}, {self.n_times})",
                found=f"an input of shape {tuple(x.shape)}", allowed=f"(batch, {self.n_chans}, {self.n_times})",
            )  # fmt: skip
        return super().__call__(x, **context)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, dim)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def constrain(self) -> None:
        """Put the weights back where they must be; the training loop calls it after each step. Nothing by default."""


def at_least(kind: str, n_times: int, minimum: int, why: str) -> None:
    """Raise when windows are too short for an encoder; the message has the minimum and where it comes from."""
    if n_times < minimum:
        raise BraindecError(
            f"windows of {n_times} samples are too short for {kind}", found=f"n_times={n_times}",
            allowed=f"at least {minimum} samples ({why})",
            fix="use longer windows or a higher sampling rate, a smaller preset, or shorter kernels (same names as settings)",
        )  # fmt: skip
