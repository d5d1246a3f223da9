"""The stages of du_in before classification: an autoencoder with a quantiser, and prediction of the codes of hidden tokens.

Source: Zheng et al. 2024 (NeurIPS), "Du-IN", sections 3.2 (Du-IN VQ-VAE) and 3.3 (Du-IN MAE).
Differs from the reference in: both stages train the same encoder object, so that the second goes on from the first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders._du_in_layers import TokenPatches, blocks, places
from braindec.encoders._subjects import by_subject
from braindec.encoders._vector_quantizer import VectorQuantizer
from braindec.encoders.du_in import DuIN

__all__ = ["Autoencoder", "CodeGuesses", "MaskedCodes", "Reconstruction"]


class Reconstruction(NamedTuple):
    """What :class:`Autoencoder` gives: values (batch, channel, time), the quantiser's loss, codes (batch, token)."""

    values: torch.Tensor
    loss: torch.Tensor
    index: torch.Tensor
    sizes: torch.Tensor


class Autoencoder(nn.Module):
    """Windows to tokens, tokens to codes, codes to tokens, tokens to windows; each subject has its own last linear map.

    Parameters
    ----------
    encoder : DuIN
        Trained in place; its head is not used.
    """

    def __init__(self, encoder: DuIN) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = VectorQuantizer(encoder.width, **encoder.quantizer)
        self.blocks = blocks(encoder.n_layers_decoder, encoder.width, **encoder.attention)
        self.patches = TokenPatches(encoder.n_mixed, encoder.filters, patch=encoder.patch, steps=encoder.steps,
                                    activation=encoder.activation)  # fmt: skip
        self.subject_layers = nn.ModuleList(nn.Linear(encoder.n_mixed, size) for size in encoder.sizes)
        self.register_buffer("sizes", torch.tensor(encoder.sizes), persistent=False)

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor | None = None) -> Reconstruction:
        """x (batch, channel, time) -> its reconstruction; channels that a subject does not have are 0."""
        found = self.quantizer(self.encoder.attend(self.encoder.tokens(x, subject)))
        tokens = found.values
        mixed = self.patches(self.blocks(tokens + places(tokens.shape[1], tokens.shape[2]).to(tokens)))
        mixed = mixed[:, :, : x.shape[2]]
        codes = self.encoder.codes(x, subject)
        made = by_subject(codes, lambda number, rows: self._unmixed(mixed[rows], number, x.shape[1]))
        return Reconstruction(made, found.loss, found.index, self.sizes[codes])

    @torch.no_grad()
    def code_index(self, x: torch.Tensor, subject: torch.Tensor | None = None) -> torch.Tensor:
        """Codes of windows, (batch, token); call it in evaluation mode."""
        return self.quantizer(self.encoder.attend(self.encoder.tokens(x, subject))).index

    def _unmixed(self, mixed: torch.Tensor, number: int, n_chans: int) -> torch.Tensor:
        layer = self.subject_layers[number]
        made = F.conv1d(mixed, layer.weight[:, :, None], layer.bias)
        return F.pad(made, (0, 0, 0, n_chans - made.shape[1]))


class CodeGuesses(NamedTuple):
    """What :class:`MaskedCodes` gives.

    Parameters
    ----------
    logits : Tensor of shape (batch, token, n_codes)
        Of each token, made while it was hidden.
    """

    logits: torch.Tensor


class MaskedCodes(nn.Module):
    """Hide tokens and guess their codes from the others; the tokens of the mask, and then all others.

    Parameters
    ----------
    encoder : DuIN
        Trained in place; its head is not used.
    """

    def __init__(self, encoder: DuIN) -> None:
        super().__init__()
        self.encoder = encoder
        self.hidden = nn.Parameter(0.02 * torch.randn(encoder.width))
        self.guess = nn.Linear(encoder.width, encoder.quantizer["n_codes"])

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor, subject: torch.Tensor | None = None) -> CodeGuesses:
        """x (batch, channel, time), mask (batch, token) of bool -> logits of every token, each made while it was hidden."""
        tokens = self.encoder.tokens(x, subject)
        both = torch.cat([mask, ~mask])  # (2 * batch, token): each token is hidden in one of the two
        seen = torch.where(both[:, :, None], self.hidden.to(tokens), tokens.repeat(2, 1, 1))
        first, second = self.encoder.attend(seen).chunk(2)
        return CodeGuesses(self.guess(torch.where(mask[:, :, None], first, second)))
