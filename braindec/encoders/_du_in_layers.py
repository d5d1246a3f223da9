"""Parts of du_in: patches to tokens by convolutions, tokens back to patches, attention blocks, places in time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from braindec.errors import BraindecError

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}

__all__ = ["ACTIVATIONS", "Block", "PatchTokens", "TokenPatches", "blocks", "places"]


class PatchTokens(nn.Module):
    """Each patch of time to one token, by three convolutions that see this patch only.

    A convolution that saw neighbouring patches would tell a masked token's content to its neighbours.

    Parameters
    ----------
    n_in : int
        Channels that come in.
    filters : (int, int, int)
        Channels of the convolutions; a token has ``filters[2] * steps`` numbers.
    patch, steps : int
        Samples of a patch, and steps of time that the first convolution leaves of it.
    activation : str or None
        After each normalisation; none as published.
    """

    def __init__(
        self, n_in: int, filters: tuple[int, int, int], *, patch: int, steps: int, activation: str | None
    ) -> None:
        super().__init__()
        self.patch, self.width, stride = patch, filters[2] * steps, patch // steps
        layers: list[nn.Module] = []
        for k, n_out in enumerate(filters):
            first = k == 0
            layers.append(
                nn.Conv1d(n_in, n_out, 2 * stride - 1 if first else 3, stride=stride if first else 1, padding=stride - 1 if first else 1)
            )  # fmt: skip
            layers.append(nn.BatchNorm1d(n_out))
            layers += [ACTIVATIONS[activation]()] if activation else []
            n_in = n_out
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, token * patch) -> (batch, token, width)."""
        n = x.shape[2] // self.patch
        cut = x.unflatten(2, (n, self.patch)).transpose(1, 2).flatten(0, 1)  # (batch * token, channel, patch)
        return self.layers(cut).flatten(1).unflatten(0, (len(x), n))


class TokenPatches(nn.Module):
    """Each token to one patch of time, by three transposed convolutions: (batch, token, width) -> (batch, n_out, time)."""

    def __init__(
        self, n_out: int, filters: tuple[int, int, int], *, patch: int, steps: int, activation: str | None
    ) -> None:
        super().__init__()
        self.steps, stride = steps, patch // steps
        wide = filters[0]
        layers: list[nn.Module] = [nn.ConvTranspose1d(filters[2], wide, 3, padding=1)]
        layers += [ACTIVATIONS[activation]()] if activation else []
        layers.append(nn.ConvTranspose1d(wide, filters[1], 3, padding=1))
        layers += [ACTIVATIONS[activation]()] if activation else []
        layers.append(
            nn.ConvTranspose1d(
                filters[1], n_out, 2 * stride - 1, stride=stride, padding=stride - 1, output_padding=stride - 1
            )
        )
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens (batch, token, width) -> (batch, channel, token * patch)."""
        made = self.layers(tokens.flatten(0, 1).unflatten(1, (-1, self.steps)))  # (batch * token, channel, patch)
        return made.unflatten(0, tokens.shape[:2]).transpose(1, 2).flatten(2)


class Block(nn.Module):
    """Attention between tokens (batch, token, width) and two layers on each, normalised after each of the two.

    Queries and keys are normalised within each head.
    """

    def __init__(self, width: int, *, n_heads: int, d_head: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query, self.key, self.read = (nn.Linear(width, n_heads * d_head) for _ in range(3))
        self.norm_query, self.norm_key = nn.LayerNorm(d_head), nn.LayerNorm(d_head)
        self.out = nn.Linear(n_heads * d_head, width)
        self.wide, self.narrow = nn.Linear(width, d_ff), nn.Linear(d_ff, width)
        self.norm_attention, self.norm_wide = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, token, width) -> the same shape."""
        q, k, v = (f(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.read))
        rate = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(self.norm_query(q), self.norm_key(k), v, dropout_p=rate)
        x = self.norm_attention(x + self.out(seen.transpose(1, 2).flatten(2)))
        return self.norm_wide(x + self.narrow(F.dropout(F.gelu(self.wide(x)), self.dropout, self.training)))


def blocks(n: int, width: int, *, n_heads: int, d_head: int, d_ff: int, dropout: float) -> nn.Sequential:
    """Return ``n`` blocks; the first weights of deeper ones are smaller, by the square root of twice their number."""
    made = [Block(width, n_heads=n_heads, d_head=d_head, d_ff=d_ff, dropout=dropout) for _ in range(n)]
    with torch.no_grad():
        for number, block in enumerate(made, start=1):
            for layer in block.modules():
                if isinstance(layer, nn.Linear):
                    layer.weight.div_(math.sqrt(2 * number))
    return nn.Sequential(*made)


def places(n: int, width: int) -> torch.Tensor:
    """Return sines and cosines of the place in time, shape (n, width) (Vaswani et al. 2017, section 3.5)."""
    if width % 2:
        raise BraindecError("places in time need an even width", found=f"{width}", fix="change filters or steps")
    angle = torch.arange(n)[:, None] * torch.exp(-math.log(1e4) / width * torch.arange(0, width, 2))
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
