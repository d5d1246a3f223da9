"""LPIPS-like distance: squared difference of unit-length feature vectors, place by place, summed over layers of a network.

Without learned weights every feature weighs the same and the sum of squared differences over features is taken as it is: this
is not the published LPIPS, whose weights (one a channel and layer, learned from human judgements) can be given.

Source: Zhang, Isola, Efros, Shechtman & Wang 2018 (CVPR), equation 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["lpips"]

SMALL = 1e-10


def _lpips(
    made: np.ndarray,
    true: np.ndarray,
    *,
    network: Any,
    layers: Sequence[str] | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    if not hasattr(network, "maps"):
        raise BraindecError(
            "lpips needs a network with feature maps", found=getattr(network, "__name__", type(network).__name__),
            fix="use gabor, random_conv or alexnet, or an object with maps(pictures, layers)",
        )  # fmt: skip
    if made.ndim == 5:
        n, frames = made.shape[:2]
        flat = (v.reshape(n * frames, *v.shape[2:]) for v in (made, true))
        return _lpips(*flat, network=network, layers=layers, weights=weights).reshape(n, frames).mean(axis=1)
    names = tuple(getattr(network, "map_layers", network.layers[:1]) if layers is None else layers)
    for name in names:
        network.checked_layer(name)
    if weights is not None and set(weights) != set(names):
        raise BraindecError("lpips needs weights of each layer", found=", ".join(weights), allowed=", ".join(names))
    total = np.zeros(len(made))
    batch = getattr(network, "batch", 64)
    for start in range(0, len(made), batch):
        part = slice(start, start + batch)
        for name, a, b in zip(names, network.maps(made[part], names), network.maps(true[part], names)):
            total[part] += _layer(a, b, None if weights is None else np.asarray(weights[name], dtype=float), name)
    return total


def _layer(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None, name: str) -> np.ndarray:
    a, b = (v / (np.sqrt((v.astype(np.float64) ** 2).sum(axis=-1, keepdims=True)) + SMALL) for v in (a, b))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BraindecError(f"lpips: layer {name!r} gave values that are not finite")
    if weights is not None and (
        weights.shape != (a.shape[-1],) or not np.isfinite(weights).all() or (weights < 0).any()
    ):
        raise BraindecError(
            f"lpips: layer {name!r} needs one weight a feature, none negative",
            found=f"shape {weights.shape}", allowed=f"({a.shape[-1]},)",
        )  # fmt: skip
    squared = (a - b) ** 2
    return (squared if weights is None else squared * weights).sum(axis=-1).reshape(len(a), -1).mean(axis=1)


lpips = PictureMetric(
    name="lpips",
    versions={"strict": _lpips},
    describe="distance of unit-length feature vectors, place by place, summed over layers of a network; lower is better",
    about={"strict": "equal weights unless learned ones are given: not the published LPIPS without them"},
    higher_is_better=False,
    needs=("network",),
    bounds=(0.0, float("inf")),
)
