"""Conditioner: from an embedding or tokens to what a denoiser listens to, with a learned "nothing" for free guidance.

Source: classifier-free guidance, Ho & Salimans 2022 (arXiv 2207.12598); tokens for cross-attention beside a vector that is
added to the time embedding ("double conditioning"), Chen et al. 2023 (CVPR, MinD-Vis, section 3.3).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.errors import BraindecError

__all__ = ["Conditioner"]


class Conditioner(ModelMixin, ConfigMixin):
    """Map a condition (batch, dim) or (batch, n_given, dim) to tokens (batch, n_tokens, width) and a vector.

    Parameters
    ----------
    dim : int
        Length of an embedding or of each token that is given.
    width : int
        Of the tokens for cross-attention (``cross_attention_dim`` of the denoiser).
    n_given : int, optional
        Tokens that are given; None for one embedding.
    n_tokens : int
        Tokens made of one embedding; tokens that are given keep their number.
    vector : int, optional
        Length of the vector for the time embedding (``projection_class_embeddings_input_dim`` of a denoiser with
        ``class_embed_type="projection"``); None for none.
    identity : bool
        Pass tokens on as they are: for denoisers that were trained with them (``dim`` must be ``width``).
    """

    @register_to_config
    def __init__(
        self, *, dim: int, width: int, n_given: int | None = None, n_tokens: int = 4, vector: int | None = None,
        identity: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = {"dim": dim, "width": width, "n_given": n_given, "n_tokens": n_tokens, "vector": vector}
        wrong = {k: v for k, v in sizes.items() if v is not None and (not isinstance(v, (int, np.integer)) or v < 1)}
        if wrong:
            raise BraindecError(
                "the conditioner cannot be built so", found=str(wrong), allowed="whole numbers of at least 1"
            )
        if identity and (dim != width or n_given is None):
            raise BraindecError(
                "tokens can only be passed on as they are when they have the denoiser's width",
                found=f"dim {dim}, width {width}, {'no' if n_given is None else n_given} tokens",
            )
        n = n_tokens if n_given is None else n_given
        self.null = nn.Parameter(0.02 * torch.randn(n, width) if not identity else torch.zeros(n, width))
        self.tokens = nn.Identity() if identity else nn.Linear(dim, width if n_given is not None else n * width)
        self.norm = nn.Identity() if identity else nn.LayerNorm(width)
        self.pooled = None if vector is None else nn.Linear(dim, vector)
        self.null_vector = None if vector is None else nn.Parameter(torch.zeros(vector))

    def forward(
        self, condition: torch.Tensor, drop: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return tokens (batch, n_tokens, width) and the vector (batch, vector) or None.

        Parameters
        ----------
        condition : Tensor of shape (batch, dim) or (batch, n_given, dim)
        drop : bool Tensor of shape (batch,), optional
            Rows that get "nothing" instead (training with classifier-free guidance).

        Raises
        ------
        BraindecError
            If the shape is not what this was built for.
        """
        wanted = (self.config.dim,) if self.config.n_given is None else (self.config.n_given, self.config.dim)
        if tuple(condition.shape[1:]) != wanted:
            raise BraindecError(
                "the embeddings do not fit the model", found=f"shape {tuple(condition.shape)}",
                allowed="(n, " + ", ".join(map(str, wanted)) + ")",
                fix="predict the embedding that the model was trained on, or train a model for yours (pretrained=None)",
            )  # fmt: skip
        n, width = self.null.shape
        tokens = self.norm(self.tokens(condition).reshape(len(condition), n, width))
        pooled = condition if condition.ndim == 2 else condition.mean(dim=1)
        vector = None if self.pooled is None else self.pooled(pooled)
        if drop is not None:
            tokens = torch.where(drop[:, None, None], self.null.to(tokens.dtype), tokens)
            vector = None if vector is None else torch.where(drop[:, None], self.null_vector.to(vector.dtype), vector)
        return tokens, vector

    def nothing(self, n: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return tokens and vector of "nothing" for ``n`` items."""
        vector = None if self.null_vector is None else self.null_vector.expand(n, -1)
        return self.null.expand(n, -1, -1), vector
