"""EmbeddingScale: between embeddings in their own units and the unit spread that diffusion works on.

A component of a pipeline, so that a saved prior carries the mean and spread of the rows that it was trained on.
"""

from __future__ import annotations

import torch
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config

__all__ = ["EmbeddingScale"]


class EmbeddingScale(ModelMixin, ConfigMixin):
    """Mean and spread of image embeddings and of brain embeddings; neither is learned by gradients.

    Parameters
    ----------
    n : int
        Numbers of an image embedding, all tokens together.
    n_condition : int
        Numbers of a brain embedding.
    """

    @register_to_config
    def __init__(self, *, n: int, n_condition: int) -> None:
        super().__init__()
        self.mean, self.scale = _fixed(torch.zeros(n)), _fixed(torch.ones(n))
        self.condition_mean, self.condition_scale = _fixed(torch.zeros(n_condition)), _fixed(torch.ones(n_condition))

    def to_units(self, x: torch.Tensor) -> torch.Tensor:
        """Standardised image embeddings (batch, ...) -> in their own units."""
        return (x.flatten(1) * self.scale + self.mean).reshape(x.shape)

    def from_units(self, x: torch.Tensor) -> torch.Tensor:
        """Image embeddings (batch, ...) -> standardised."""
        return ((x.flatten(1) - self.mean) / self.scale).reshape(x.shape)

    def condition_from_units(self, x: torch.Tensor) -> torch.Tensor:
        """Brain embeddings (batch, ...) -> standardised."""
        return ((x.flatten(1) - self.condition_mean) / self.condition_scale).reshape(x.shape)


def _fixed(values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)
