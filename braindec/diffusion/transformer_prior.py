"""TransformerPrior: from brain tokens to the image tokens that a generator expects, by a transformer that predicts x0.

Source: Scotti et al. 2023 (NeurIPS, MindEye, section 3.3) and Scotti et al. 2024 (ICML, MindEye2, section 3.2), after the
prior of Ramesh et al. 2022 (arXiv 2204.06125, section 2.2); rotary positions, Su et al. 2021; bins of distances, Raffel et
al. 2020; one head of keys and values for all, Shazeer 2019; gated perceptrons, Shazeer 2020; cosine attention, Henry et al.
2020.
The papers give depth, width, heads, tokens and timesteps. The rest (one key and value head with a learned "nothing" token,
cosine attention of scale 16, gain-only layer normalisation before and after attention, SwiGLU four times as wide, a perceptron
of the time twice as wide with two hidden layers, 32 rotary dimensions, 32 bins of distance up to 128, no biases in the
transformer, a last linear map) is from memory of the implementation that both used. It gives the MindEye2 prior 259,865,200
learned numbers, which is the count (from memory too) that its training log prints; for MindEye 56,055,168.
Differs from the reference in: bins of distance tell places before from places after; the "nothing" token has no distance;
embeddings whose length is not the width pass through linear maps.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.diffusion._prior_parts import (
    distance_bins,
    fitted_shape,
    preset_settings,
    rotary_angles,
    rotated,
    time_features,
)
from braindec.errors import BraindecError

__all__ = ["TransformerPrior"]


class TransformerPrior(ModelMixin, ConfigMixin):
    """Predict clean image tokens (batch, n_tokens, token_dim) of noised ones, the time and brain tokens.

    The sequence is [brain tokens, time, noised image tokens + learned positions]; every token sees every other.

    Parameters
    ----------
    dim, depth, dim_head, heads : int
        Width, layers, and attention heads.
    n_tokens : int
        Image tokens; 1 for a single embedding.
    token_dim : int, optional
        Length of an image token; ``dim`` by default. Another length passes through linear maps.
    n_condition, condition_dim : int, optional
        Brain tokens and their length; as the image tokens by default.
    widening : int
        Hidden units of the perceptrons, in units of ``dim``.
    dropout : float
        Of attention and perceptrons.
    rotary_dim : int
        Dimensions of a head that are turned by the place (at most ``dim_head``).
    n_bins, furthest : int
        Bins of the distance of two places, and the distance beyond which all are alike.
    attention_scale : float
        Of the cosine between query and key.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"dim": 64, "depth": 2, "dim_head": 16, "heads": 4},
        "base": {"dim": 384, "depth": 4, "dim_head": 48, "heads": 8},
        "paper": {"dim": 1664, "depth": 6, "dim_head": 52, "heads": 32, "n_tokens": 256, "token_dim": 1664},
        "paper:mindeye": {"dim": 768, "depth": 6, "dim_head": 64, "heads": 12, "n_tokens": 257, "token_dim": 768},
        "paper:mindeye2": {"dim": 1664, "depth": 6, "dim_head": 52, "heads": 32, "n_tokens": 256, "token_dim": 1664},
    }
    prediction_type = "sample"
    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self, *, dim: int = 64, depth: int = 2, dim_head: int = 16, heads: int = 4, n_tokens: int = 1,
        token_dim: int | None = None, n_condition: int | None = None, condition_dim: int | None = None, widening: int = 4,
        dropout: float = 0.0, rotary_dim: int = 32, n_bins: int = 32, furthest: int = 128, attention_scale: float = 16.0,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = {"dim": dim, "depth": depth, "dim_head": dim_head, "heads": heads, "n_tokens": n_tokens}
        wrong = {k: v for k, v in sizes.items() if not isinstance(v, int) or v < 1}
        if wrong or n_bins < 4 or min(rotary_dim, dim_head) % 2:
            raise BraindecError(
                "the transformer prior cannot be built so", found=str(wrong or {"n_bins": n_bins, "rotary_dim": rotary_dim}),
                allowed="whole numbers of at least 1; n_bins of at least 4; an even rotary_dim and dim_head",
            )  # fmt: skip
        self.sample_shape = (n_tokens, token_dim or dim)
        self.condition_shape = (n_condition or n_tokens, condition_dim or self.sample_shape[1])
        given, wanted = self.sample_shape[1], self.condition_shape[1]
        self.sample_in = nn.Identity() if given == dim else nn.Linear(given, dim)
        self.condition_in = nn.Identity() if wanted == dim else nn.Linear(wanted, dim)
        hidden = 2 * dim
        self.time = nn.Sequential(
            nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, dim)
        )
        self.positions = nn.Parameter(torch.randn(n_tokens, dim) * dim**-0.5)
        self.null_condition = nn.Parameter(torch.randn(self.condition_shape[0], dim))
        self.null_sample = nn.Parameter(torch.randn(n_tokens, dim))
        self.bias = nn.Embedding(n_bins, heads)
        self.layers = nn.ModuleList(
            PriorLayer(dim, dim_head, heads, widening, dropout, attention_scale) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.sample_out = nn.Identity() if given == dim else nn.Linear(dim, given)
        self.gradient_checkpointing = False

    @classmethod
    def from_preset(cls, preset: str, **changes: Any) -> TransformerPrior:
        """Build a prior of a named size: "tiny", "base", "paper:mindeye", "paper:mindeye2" ("paper")."""
        return cls(**preset_settings(cls, cls.PRESETS, preset, changes))

    def forward(
        self, sample: torch.Tensor, timestep: Any, condition: torch.Tensor | None = None, *, drop: torch.Tensor | None = None,
        drop_sample: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Return the clean tokens that are expected, of the shape of ``sample``.

        Parameters
        ----------
        sample : Tensor of shape (batch, n_tokens, token_dim), or (batch, n_tokens * token_dim)
            Noised image tokens.
        timestep : int or Tensor of shape (batch,)
        condition : Tensor of shape (batch, n_condition, condition_dim) or flat, optional
            Brain tokens; without them all rows get "nothing".
        drop, drop_sample : bool Tensor of shape (batch,), optional
            Rows whose brain tokens, or noised image tokens, are replaced by "nothing" (training).
        """
        x = self.sample_in(fitted_shape(sample, self.sample_shape, "the sample"))
        n = len(x)
        nothing = self.null_condition.to(x.dtype).expand(n, -1, -1)
        brain = nothing
        if condition is not None:
            brain = self.condition_in(fitted_shape(condition, self.condition_shape, "the condition"))
            brain = brain if drop is None else torch.where(drop[:, None, None], nothing, brain)
        if drop_sample is not None:
            x = torch.where(drop_sample[:, None, None], self.null_sample.to(x.dtype), x)
        steps = torch.as_tensor(timestep, device=x.device).expand(n)
        time = self.time(time_features(steps, self.config.dim).to(x.dtype))[:, None]
        h = torch.cat([brain, time, x + self.positions], dim=1)
        c = self.config
        angles = rotary_angles(h.shape[1], min(c.rotary_dim, c.dim_head), device=h.device)
        bias = self.bias(distance_bins(h.shape[1], c.n_bins, c.furthest, device=h.device)).permute(2, 0, 1).to(h.dtype)
        for layer in self.layers:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                h = self._gradient_checkpointing_func(layer, h, angles, bias)
            else:
                h = layer(h, angles, bias)
        return self.sample_out(self.out(self.norm(h[:, -self.sample_shape[0] :]))).reshape(sample.shape)


class PriorLayer(nn.Module):
    """Attention and a gated perceptron, both residual, (batch, token, dim) -> the same."""

    def __init__(self, dim: int, dim_head: int, heads: int, widening: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.heads, self.scale, self.dropout = heads, scale, dropout
        self.norm, self.norm_out = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.query = nn.Linear(dim, heads * dim_head, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim_head, bias=False)
        self.nothing = nn.Parameter(torch.randn(2, dim_head))
        self.out = nn.Linear(heads * dim_head, dim, bias=False)
        self.norm_wide = nn.LayerNorm(dim, bias=False)
        self.wide = nn.Linear(dim, 2 * widening * dim, bias=False)
        self.narrow = nn.Linear(widening * dim, dim, bias=False)

    def forward(self, x: torch.Tensor, angles: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """x (batch, token, dim), angles (token, pair), bias (head, token, token) -> (batch, token, dim)."""
        x = x + self.attend(self.norm(x), angles, bias)
        value, gate = self.wide(self.norm_wide(x)).chunk(2, dim=-1)
        return x + self.narrow(F.dropout(value * F.silu(gate), self.dropout, self.training))

    def attend(self, x: torch.Tensor, angles: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """What each token takes from the others and from the "nothing" token."""
        q = rotated(
            self.query(x).unflatten(2, (self.heads, -1)).transpose(1, 2), angles
        )  # (batch, head, token, dim_head)
        k, v = self.key_value(x).chunk(2, dim=-1)
        k = torch.cat([self.nothing[0].expand(len(x), 1, -1), rotated(k, angles)], dim=1)
        v = torch.cat([self.nothing[1].expand(len(x), 1, -1), v], dim=1)
        k, v = (t[:, None].expand(-1, self.heads, -1, -1) for t in (F.normalize(k, dim=-1), v))
        rate = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(
            F.normalize(q, dim=-1), k, v, attn_mask=F.pad(bias, (1, 0)), dropout_p=rate, scale=self.scale
        )
        return self.norm_out(self.out(seen.transpose(1, 2).flatten(2)))
