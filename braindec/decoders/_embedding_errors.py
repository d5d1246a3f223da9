"""How predicted embeddings differ from true ones, measured on rows that the decoder was not fitted on.

Source: noise on the embedding of a generator that is driven by a prediction, Ramesh et al. 2022 (arXiv 2204.06125, unCLIP).
Differs from the reference in: the noise is not white, see :class:`EmbeddingErrors`.
"""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["EmbeddingErrors"]


class EmbeddingErrors:
    """A prediction is ``keep * embedding + residual``: the share of each dimension that is kept, and residuals as they came.

    Residuals are kept whole, so that dimensions go wrong together as they did.

    Parameters
    ----------
    keep : array of shape (dim,)
        0 to 1.
    residuals : array of shape (n, dim)
    """

    def __init__(self, keep: np.ndarray, residuals: np.ndarray) -> None:
        self.keep, self.residuals = np.asarray(keep, np.float32), np.asarray(residuals, np.float32)

    @classmethod
    def measured(cls, predicted: np.ndarray, true: np.ndarray) -> EmbeddingErrors:
        """Measure them on standardised embeddings (n, dim) and predictions of rows that the decoder was not fitted on."""
        p, t = predicted - predicted.mean(axis=0), true - true.mean(axis=0)
        spread = (t**2).mean(axis=0)
        keep = np.clip((p * t).mean(axis=0) / np.where(spread > 1e-12, spread, 1.0), 0.0, 1.0)
        return cls(keep, p - keep * t)

    def blur(self, true: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return embeddings at random levels with the level as a last column, (batch, dim + 1); half are at level 1."""
        n = len(true)
        level = torch.rand(n, generator=generator).mul(2).clamp(max=1.0)[:, None].to(true.device)
        rows = torch.randint(len(self.residuals), (n,), generator=generator)
        keep, residual = torch.from_numpy(self.keep).to(true), torch.from_numpy(self.residuals)[rows].to(true)
        return torch.cat([(1 - level * (1 - keep)) * true + level * residual, level], dim=1)
