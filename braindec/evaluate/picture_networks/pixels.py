"""Pixels: the picture is its own description."""

from __future__ import annotations

import numpy as np

from braindec.evaluate.picture_network import PictureNetwork

__all__ = ["Pixels"]


class Pixels(PictureNetwork):
    """All pixels and channels, in rows."""

    name = "pixels"
    layers = ("pixels",)

    def maps(self, pictures: np.ndarray, layers: tuple[str, ...]) -> list[np.ndarray]:
        """Return the pictures."""
        return [pictures for _ in layers]
