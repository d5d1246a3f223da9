"""UNetPrior: from a brain embedding to an image embedding, by a perceptron in the form of a U that predicts the noise.

Source: Li et al. 2024 (NeurIPS, ATM, section 2.3 and appendix): widths 1024, 512, 256, 128, 64, time embedding 512, condition
1024, DDPM with a loss on the noise, condition dropped in 10 %, 50 steps, guidance 5.
The papers give these sizes; that each level adds a projection of the condition and a two-layer perceptron of the time, then
applies Linear, LayerNorm and SiLU, and that the way up adds the level it returns to, is from memory of the published code.
That gives 9,675,648 learned numbers at the published size.
Differs from the reference in: the condition is dropped for single rows, not for whole batches; smaller presets have a way around the
layer normalisation (``through``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.diffusion._prior_parts import fitted_shape, preset_settings, time_features
from braindec.errors import BraindecError

__all__ = ["UNetPrior"]


class UNetPrior(ModelMixin, ConfigMixin):
    """Predict the noise in an embedding (batch, dim), given the time and a condition (batch, condition_dim).

    Parameters
    ----------
    dim : int
        Length of the image embedding.
    condition_dim : int, optional
        Length of the brain embedding; ``dim`` by default.
    widths : sequence of int
        Of the levels, on the way down.
    time_dim : int
        Of the features of the time.
    dropout : float
    through : bool
        Add the noised embedding, weighed by a learned function of the time, to the output. Layer normalisation forgets its
        length, which matters the more the shorter an embedding is; not in the paper.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"widths": (256, 128, 64), "time_dim": 64, "through": True},
        "base": {"widths": (512, 256, 128, 64), "time_dim": 256, "through": True},
        "paper": {"dim": 1024, "condition_dim": 1024, "widths": (1024, 512, 256, 128, 64), "time_dim": 512},
        "paper:atm": {"dim": 1024, "condition_dim": 1024, "widths": (1024, 512, 256, 128, 64), "time_dim": 512},
    }
    prediction_type = "epsilon"

    @register_to_config
    def __init__(
        self, *, dim: int = 64, condition_dim: int | None = None, widths: Sequence[int] = (256, 128, 64), time_dim: int = 64,
        dropout: float = 0.0, through: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = [dim, time_dim, *(widths if isinstance(widths, Sequence) else [widths])]
        whole = all(isinstance(k, int) and k >= 1 for k in sizes)
        if not whole or len(sizes) < 4 or not 0 <= dropout < 1:
            raise BraindecError(
                "the prior in the form of a U needs two levels or more",
                found=f"widths {widths}, dim {dim}, time {time_dim}, dropout {dropout}",
                allowed="whole numbers of at least 1, 0 <= dropout < 1",
            )
        widths = list(widths)
        self.sample_shape, self.condition_shape = (dim,), (condition_dim or dim,)
        self.first = nn.Sequential(nn.Linear(dim, widths[0]), nn.LayerNorm(widths[0]), nn.SiLU())
        steps = [*pairwise(widths), *pairwise(reversed(widths))]
        self.levels = nn.ModuleList(Level(a, b, self.condition_shape[0], time_dim, dropout) for a, b in steps)
        self.last = nn.Linear(widths[0], dim)
        self.around = (
            nn.Sequential(nn.Linear(time_dim, time_dim), nn.SiLU(), nn.Linear(time_dim, 1)) if through else None
        )

    @classmethod
    def from_preset(cls, preset: str, **changes: Any) -> UNetPrior:
        """Build a prior of a named size: "tiny", "base", "paper:atm" ("paper")."""
        return cls(**preset_settings(cls, cls.PRESETS, preset, changes))

    def forward(
        self,
        sample: torch.Tensor,
        timestep: Any,
        condition: torch.Tensor | None = None,
        *,
        drop: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the noise that is expected, of the shape of ``sample``.

        Parameters
        ----------
        sample : Tensor of shape (batch, dim)
        timestep : int or Tensor of shape (batch,)
        condition : Tensor of shape (batch, condition_dim), optional
        drop : bool Tensor of shape (batch,), optional
            Rows without their condition (training).
        """
        x = fitted_shape(sample, self.sample_shape, "the sample")
        steps = torch.as_tensor(timestep, device=x.device).expand(len(x))
        time = time_features(steps, self.config.time_dim).to(x.dtype)
        given = None if condition is None else fitted_shape(condition, self.condition_shape, "the condition")
        h, passed = self.first(x), []
        half = len(self.levels) // 2
        for level in self.levels[:half]:
            passed.append(h)
            h = level(h, time, given, drop)
        for level in self.levels[half:]:
            h = level(h, time, given, drop) + passed.pop()
        out = self.last(h)
        return (out if self.around is None else out + self.around(time) * x).reshape(sample.shape)


class Level(nn.Module):
    """Add time and condition, then map to the next width."""

    def __init__(self, width: int, following: int, condition_dim: int, time_dim: int, dropout: float) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(time_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(condition_dim, width)
        self.body = nn.Sequential(nn.Linear(width, following), nn.LayerNorm(following), nn.SiLU(), nn.Dropout(dropout))

    def forward(
        self, x: torch.Tensor, time: torch.Tensor, condition: torch.Tensor | None, drop: torch.Tensor | None
    ) -> torch.Tensor:
        """x (batch, width) -> (batch, following)."""
        x = x + self.time(time)
        if condition is not None:
            added = self.condition(condition)
            x = x + (added if drop is None else added.masked_fill(drop[:, None], 0.0))
        return self.body(x)
