"""A convolutional network with random weights, drawn from a seed: no download, the same on every machine.

Three layers of 3 x 3 convolutions with rectification and pooling by two; random filters keep much of what pictures differ in,
so it serves for tests and as a second opinion beside ``gabor``. It has classes too (``layer="classes"``): random ones, for
tests of n-way identification.

Source: random convolutional features as in Jarrett, Kavukcuoglu, Ranzato & LeCun 2009 (ICCV).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from braindec.errors import BraindecError
from braindec.evaluate.picture_network import PictureNetwork

__all__ = ["RandomConv"]


class RandomConv(PictureNetwork):
    """Random convolutions.

    Parameters
    ----------
    n_filters : int
        Of the first layer; each further one has twice as many.
    n_classes : int
        Of the layer "classes".
    seed : int
    layer : str
        The default layer: "conv-3", "conv-2", "conv-1" or "classes".
    """

    name = "random_conv"

    def __init__(self, *, n_filters: int = 16, n_classes: int = 100, seed: int = 0, layer: str = "conv-3") -> None:
        names = ("conv-3", "conv-2", "conv-1", "classes")
        if layer not in names or n_filters < 1 or n_classes < 2:
            raise BraindecError(
                "random_conv needs a layer, filters and classes", found=f"layer={layer!r}, n_filters={n_filters}, n_classes={n_classes}",
                allowed=f"layer one of {', '.join(names)}; n_filters >= 1; n_classes >= 2",
            )  # fmt: skip
        self.n_filters, self.n_classes, self.seed = n_filters, n_classes, seed
        self.layers = (layer, *(n for n in names if n != layer))
        self.map_layers = ("conv-1", "conv-2", "conv-3")
        self.probabilities = layer == "classes"

    def describe(self, pictures: np.ndarray, layer: str) -> np.ndarray:
        """Return flattened maps of a layer, or class probabilities."""
        if layer != "classes":
            return self.maps(pictures, (layer,))[0]
        pooled = self.maps(pictures, ("conv-3",))[0].mean(axis=(1, 2))
        weights = np.random.default_rng([self.seed, 99]).standard_normal((pooled.shape[1], self.n_classes))
        logits = (pooled / (np.linalg.norm(pooled, axis=1, keepdims=True) + 1e-12)) @ weights
        odds = np.exp(3 * (logits - logits.max(axis=1, keepdims=True)))
        return odds / odds.sum(axis=1, keepdims=True)

    def maps(self, pictures: np.ndarray, layers: tuple[str, ...]) -> list[np.ndarray]:
        """Return maps (n, height, width, filters); each layer halves height and width, down to one."""
        values, found = np.asarray(pictures, dtype=np.float32) - 0.5, {}
        for depth in (1, 2, 3):
            shape = (3, 3, values.shape[-1], self.n_filters * 2 ** (depth - 1))
            rng = np.random.default_rng([self.seed, depth, shape[2]])
            weights = rng.standard_normal(shape).astype(np.float32) * np.sqrt(2 / (9 * shape[2]))
            padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
            seen = sliding_window_view(padded, (3, 3), axis=(1, 2))  # (n, height, width, channel, 3, 3)
            values = _halved(np.maximum(np.tensordot(seen, weights, axes=([4, 5, 3], [0, 1, 2])), 0))
            found[f"conv-{depth}"] = values
        return [found[self.checked_layer(layer)] for layer in layers]


def _halved(values: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        if (size := values.shape[axis] // 2) > 0:
            pairs = np.moveaxis(values, axis, 0)[: 2 * size]
            values = np.moveaxis((pairs[::2] + pairs[1::2]) / 2, 0, axis)
    return values
