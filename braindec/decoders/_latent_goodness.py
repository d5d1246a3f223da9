"""How much an embedding says about which sample is the positive: InfoNCE in bits.

Source: van den Oord et al. 2018 (arXiv:1807.03748, section 2.3) for the bound of mutual information.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from braindec.decoders._latent_training import LatentContrast

__all__ = ["Goodness", "bits", "drawn"]


class Goodness(NamedTuple):
    """How much an embedding says about which sample is the positive, bits; at most ``most``, log2 of the candidates."""

    bits: float
    most: float
    null: np.ndarray
    p: float


def drawn(
    loss: LatentContrast, n: int, labels: torch.Tensor | None, *, lag: int, batch: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of ``n`` and one positive of each: near in time, or drawn by how alike the labels are."""
    anchor = rng.choice(n, size=batch, replace=False)
    if labels is None:
        step = rng.integers(1, lag + 1, size=batch) * rng.choice([-1, 1], size=batch)
        return anchor, np.clip(anchor + step, 0, n - 1)
    weight = loss.alike(labels[anchor], labels).numpy()
    weight[np.arange(batch), anchor] = 0
    some = weight.sum(axis=1) > 1e-9
    anchor, sums = anchor[some], weight[some].cumsum(axis=1)
    u = rng.random(len(anchor)) * sums[:, -1]
    return anchor, np.minimum((sums < u[:, None]).sum(axis=1), n - 1)


def bits(loss: LatentContrast, z: torch.Tensor, draws: Sequence[tuple[np.ndarray, np.ndarray]], shift: int) -> float:
    """Return mean bits over draws, with positives ``shift`` samples later, around the end."""
    total = []
    for anchor, positive in draws:
        if len(anchor) > 1:
            scores = loss.scores(z[anchor], z[(positive + shift) % len(z)])
            entropy = nn.functional.cross_entropy(scores, torch.arange(len(anchor)))
            total.append((math.log(len(anchor)) - float(entropy)) / math.log(2))
    return float(np.mean(total)) if total else 0.0
