"""A quantiser of vectors: unit vectors are replaced by the nearest of a list of codes, which follows them by moving averages.

Source: van den Oord, Vinyals & Kavukcuoglu 2017 (NeurIPS), "Neural discrete representation learning", appendix A.1 (moving
averages, straight-through gradient); Yu et al. 2022 (ICLR), "Vector-quantized image modeling", section 3.2 (unit vectors);
Zheng et al. 2024 (NeurIPS), "Du-IN", section 3.2 (sizes, decay, start by k-means).
Differs from the references in: codes that are hardly used can be moved to vectors of the batch (``revive``), and
vectors may pass unquantised for a while (``passing``), so that codes start at clusters of vectors that mean something; neither
is published.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from braindec.errors import BraindecError

_KMEANS = 10  # rounds

__all__ = ["Quantized", "VectorQuantizer", "code_usage", "moved_codes"]


class Quantized(NamedTuple):
    """What the quantiser gives.

    Parameters
    ----------
    values : Tensor of shape (..., width)
        Made of the codes; gradients go to the input as if it had not been quantised.
    loss : Tensor
        ``beta`` times the mean squared distance between unit vectors and their codes.
    index : LongTensor of shape (...)
        Number of each vector's code.
    """

    values: torch.Tensor
    loss: torch.Tensor
    index: torch.Tensor


class VectorQuantizer(nn.Module):
    """Linear, tanh, linear to unit vectors; the nearest code; normalisation and a linear map back.

    Codes move in training mode only, without gradients: see :func:`moved_codes`. They start at the cluster centres of the
    first batch. All randomness is from torch's global generator, so that a seeded run gives the same codes.

    Parameters
    ----------
    width : int
        Length of the vectors that come in and go out.
    n_codes, dim : int
        Number and length of the codes.
    decay : float
        Of the moving averages, 0 to 1.
    beta : float
        Weight of the loss.
    revive : float
        A code with fewer vectors a batch than this (moving average) moves to a random vector of the batch; 0 for never.

    Attributes
    ----------
    codes : Tensor of shape (n_codes, dim)
    counts : Tensor of shape (n_codes,)
        Vectors a batch, moving average.
    started : Tensor of shape (1,)
        1 after the start.
    passing : bool
        While it is True, vectors pass without being quantised, and codes stay where they are.

    Raises
    ------
    BraindecError
        If a size or rate cannot be used.
    """

    def __init__(
        self, width: int, *, n_codes: int = 2048, dim: int = 64, decay: float = 0.99, beta: float = 1.0, revive: float = 0.0
    ) -> None:  # fmt: skip
        super().__init__()
        if n_codes < 2 or dim < 1 or not 0 <= decay < 1 or beta < 0 or revive < 0:
            raise BraindecError(
                "a quantiser cannot be made so",
                found=f"n_codes={n_codes}, dim={dim}, decay={decay}, beta={beta}, revive={revive}",
                allowed="n_codes >= 2, dim >= 1, 0 <= decay < 1, beta >= 0, revive >= 0",
            )
        self.n_codes, self.decay, self.beta, self.revive = n_codes, decay, beta, revive
        self.passing = False
        self.to_code = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, dim))
        self.norm = nn.LayerNorm(dim)
        self.from_code = nn.Linear(dim, width)
        self.register_buffer("codes", F.normalize(torch.randn(n_codes, dim), dim=1))
        self.register_buffer("counts", torch.zeros(n_codes))
        self.register_buffer("started", torch.zeros(1))

    def forward(self, z: torch.Tensor) -> Quantized:
        """z (..., width) -> values (..., width), loss, index (...)."""
        unit = F.normalize(self.to_code(z), dim=-1)
        flat = unit.reshape(-1, unit.shape[-1])
        if self.passing:
            index = torch.zeros(z.shape[:-1], dtype=torch.int64, device=z.device)
            return Quantized(self.from_code(self.norm(unit)), unit.new_zeros(()), index)
        if self.training and not self.started.item():
            self.start(flat.detach())
        index = (flat.detach() @ self.codes.T).argmax(dim=1)  # unit vectors: the largest product is the nearest code
        nearest = self.codes[index].view_as(unit)
        loss = self.beta * F.mse_loss(unit, nearest)
        if self.training:
            self.follow(flat.detach(), index)
        straight = unit + (nearest - unit).detach()
        return Quantized(self.from_code(self.norm(straight)), loss, index.view(z.shape[:-1]))

    @torch.no_grad()
    def start(self, unit: torch.Tensor) -> None:
        """Put the codes at the centres of clusters of unit vectors (n, dim), by k-means on their angles."""
        n = len(unit)
        first = torch.randperm(n, device=unit.device)[: self.n_codes]
        more = torch.randint(
            n, (self.n_codes - len(first),), device=unit.device
        )  # with few vectors, some of them again
        codes = unit[torch.cat([first, more])].clone()
        codes[len(first) :] += 0.01 * torch.randn_like(codes[len(first) :])
        codes = F.normalize(codes, dim=1)
        for _ in range(_KMEANS):
            codes = moved_codes(codes, unit, (unit @ codes.T).argmax(dim=1), decay=0.0)
        self.codes.copy_(codes)
        self.counts.copy_(torch.bincount((unit @ codes.T).argmax(dim=1), minlength=self.n_codes))
        self.started.fill_(1)

    @torch.no_grad()
    def follow(self, unit: torch.Tensor, index: torch.Tensor) -> None:
        """Move codes and counts after a batch of unit vectors (n, dim) with codes ``index`` (n,)."""
        found = torch.bincount(index, minlength=self.n_codes).to(self.counts.dtype)
        self.counts.mul_(self.decay).add_(found, alpha=1 - self.decay)
        self.codes.copy_(moved_codes(self.codes, unit, index, decay=self.decay))
        dead = torch.nonzero(self.counts < self.revive).flatten()
        if len(dead):
            chosen = torch.randint(len(unit), (len(dead),), device=unit.device)
            self.codes[dead] = unit[chosen]
            self.counts[dead] = max(self.revive, float(len(unit)) / self.n_codes)


def moved_codes(codes: torch.Tensor, unit: torch.Tensor, index: torch.Tensor, *, decay: float) -> torch.Tensor:
    """Return the codes after one step of their moving average, as unit vectors.

    A code c whose vectors have the mean m becomes the direction of ``decay * c + (1 - decay) * m / |m|``; a code without
    vectors stays where it is.

    Parameters
    ----------
    codes : Tensor of shape (n_codes, dim)
    unit : Tensor of shape (n, dim)
    index : LongTensor of shape (n,)
        Code of each vector.
    decay : float
    """
    total = torch.zeros_like(codes).index_add_(0, index, unit)
    used = torch.bincount(index, minlength=len(codes)) > 0
    moved = F.normalize(decay * codes + (1 - decay) * F.normalize(total, dim=1), dim=1)
    return torch.where(used[:, None], moved, codes)


def code_usage(index: torch.Tensor, n_codes: int) -> tuple[float, float]:
    """Return (share of the codes that occur, perplexity: exp of the entropy of how often each occurs).

    A perplexity of ``n_codes`` means that all are used alike, 1 that a single one is used.
    """
    share = torch.bincount(index.flatten(), minlength=n_codes).double() / max(1, index.numel())
    used = share[share > 0]
    return len(used) / n_codes, float(torch.exp(-(used * used.log()).sum()))
