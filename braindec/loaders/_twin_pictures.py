"""Pictures for the twins of image data sets: drawn from the latents that the responses were made from.

A picture is ``sigmoid(sum_k latent_k pattern_k)`` with twenty fixed coloured patterns: waves for the low-level latents, blobs for
the semantic ones. Whoever decodes the latents can draw the picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindec.types import Features
from braindec.types.storage import hdf5

_SIDE = 32


def has_pictures(root: Path) -> bool:
    """Whether the folder is a twin whose stimuli have latents."""
    path = root / "twin" / "truth.h5"
    if not path.is_file():
        return False
    with hdf5(path, "r") as file:
        return "latents" in file and file["latents"].ndim == 2


def draw(root: Path, size: tuple[int, int] | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table of the stimuli and their pictures, uint8 (n, height, width, 3); 32 pixels a side by default."""
    with hdf5(root / "twin" / "truth.h5", "r") as file:
        latents = np.asarray(file["latents"][()], dtype=float)
    items = Features.open(root / "twin" / "features.h5").items
    height, width = size or (_SIDE, _SIDE)
    drawn = np.tensordot(latents, _patterns(latents.shape[1], height, width), axes=1)
    return items, np.round(255 / (1 + np.exp(-drawn))).astype(np.uint8)


def _patterns(n: int, height: int, width: int) -> np.ndarray:
    """Fixed patterns (latent, height, width, 3): waves first, blobs after."""
    rng = np.random.default_rng(20)
    y, x = np.meshgrid(
        2 * (np.arange(height) + 0.5) / height - 1, 2 * (np.arange(width) + 0.5) / width - 1, indexing="ij"
    )
    patterns = np.empty((n, height, width, 3))
    for k in range(n):
        colour = rng.normal(size=3)
        colour /= np.linalg.norm(colour)
        angle, phase, frequency = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.4)
        cx, cy, spread = rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7), rng.uniform(0.2, 0.4)
        wave = 0.7 * np.cos(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        blob = 1.6 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread**2))
        patterns[k] = (wave if k < n // 2 else blob)[..., None] * colour
    return patterns
