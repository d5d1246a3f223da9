"""Networks that describe pictures: ``network(pictures, layer=None) -> (n, units)``, opened by name or given as a function.

Each file of ``evaluate/picture_networks`` holds one class; ``open_network("gabor")`` or
``open_network({"name": "clip", "weights": "/folder"})`` makes one. Any function of pictures (n, height, width, channel) of 0
to 1 that returns (n, units) does as well.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from braindec import registry
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._made_and_true import BATCH, resized

__all__ = ["PictureNetwork", "Remembered", "features_of", "open_network", "probabilities_of"]

KIND = "evaluate.picture_networks"


class PictureNetwork:
    """Base of networks that describe pictures.

    Subclasses name their ``layers`` (the first is the default), and define ``maps`` (feature maps of layers), ``describe`` or
    both.

    Attributes
    ----------
    name : str
    layers : tuple of str
        Names of layers, the default first.
    batch : int
        Pictures computed at a time.
    probabilities : bool
        True if the (default) output is one probability a class.
    films : bool
        True if the network takes whole films (n, frame, height, width, channel).
    """

    name: ClassVar[str] = "network"
    layers: tuple[str, ...] = ("output",)
    batch: int = 64
    probabilities: bool = False
    films: bool = False

    def __call__(self, pictures: np.ndarray, *, layer: str | None = None) -> np.ndarray:
        """Return one description a picture, float (n, units).

        Raises
        ------
        BraindecError
            If there is no such layer.
        """
        name = self.checked_layer(layer)
        parts = [self.describe(pictures[i : i + self.batch], name) for i in range(0, len(pictures), self.batch)]
        return np.concatenate([np.asarray(p).reshape(len(p), -1) for p in parts])

    def describe(self, pictures: np.ndarray, layer: str) -> np.ndarray:
        """Return the description of one batch in one layer; its flattened feature maps unless a class says otherwise."""
        return self.maps(pictures, (layer,))[0]

    def maps(self, pictures: np.ndarray, layers: tuple[str, ...]) -> list[np.ndarray]:
        """Return feature maps (n, height, width, features) of layers."""
        raise BraindecError(f"the network {self.name!r} gives no feature maps", fix="use gabor, random_conv or alexnet")

    def checked_layer(self, layer: str | None) -> str:
        """Return the layer's name, the default for None."""
        if layer is None:
            return self.layers[0]
        if layer not in self.layers:
            raise BraindecError(
                f"the network {self.name!r} has no layer {layer!r}{did_you_mean(layer, self.layers)}",
                allowed=", ".join(self.layers),
            )
        return layer


class Remembered:
    """A network that keeps what it answered: the truth is described once for all rows, seeds and metrics.

    Parameters
    ----------
    network : callable, name or mapping
        See :func:`open_network`.
    keep : int
        How many answers are kept, the newest.
    """

    def __init__(self, network: Any, *, keep: int = 64) -> None:
        self.network, self.keep = open_network(network), keep
        self._kept: dict[tuple[str, str | None], np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "network":
            raise AttributeError(name)
        return getattr(self.network, name)

    def __call__(self, pictures: np.ndarray, *, layer: str | None = None) -> np.ndarray:
        """Return the network's answer, from memory if these very pictures were seen before."""
        pictures = np.ascontiguousarray(pictures)
        digest = hashlib.sha256(repr((pictures.shape, pictures.dtype.str)).encode())
        digest.update(pictures.data)
        key = digest.hexdigest(), layer
        if key not in self._kept:
            self._kept[key] = _answer(self.network, pictures, layer)
            while len(self._kept) > self.keep:
                self._kept.pop(next(iter(self._kept)))
        return self._kept[key]


def open_network(network: Any, *, metric: str = "this") -> Callable[..., np.ndarray]:
    """Return a network: by name, by a mapping with ``name`` and options, or the function that was given.

    Raises
    ------
    BraindecError
        If there is none, no such name, or no such option.
    """
    if network is None:
        raise BraindecError(
            f"{metric} needs a network that describes pictures", allowed=", ".join(registry.names(KIND)),
            fix='give network="gabor" (built in), {"name": "clip", "weights": "folder"}, or a function of pictures',
        )  # fmt: skip
    if isinstance(network, (str, Mapping)):
        options = dict(network) if isinstance(network, Mapping) else {"name": network}
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise BraindecError("a network is described by its name and options", found=f"{dict(network)}")
        made = registry.get(KIND, name)
        allowed = list(inspect.signature(made).parameters)
        unknown = [o for o in options if o not in allowed]
        if unknown:
            raise BraindecError(
                f"the network {name!r} has no option {unknown[0]!r}{did_you_mean(unknown[0], allowed)}",
                allowed=", ".join(allowed) or "none",
            )
        return made(**options)
    if not callable(network):
        raise BraindecError(
            "a network is a name, a mapping or a function of pictures", found=f"{type(network).__name__}"
        )
    return network


def features_of(
    network: Any, pictures: np.ndarray, *, layer: str | None = None, resize: int | None = None
) -> np.ndarray:
    """Return descriptions (n, units) of pictures, or of films: those of all frames one after the other.

    ``resize`` scales pictures to that many pixels a side first, some at a time.

    Raises
    ------
    BraindecError
        If the network's answer is not (n, units) or not finite.
    """
    if pictures.ndim == 5 and not getattr(network, "films", False):
        frames = features_of(network, pictures.reshape(-1, *pictures.shape[2:]), layer=layer, resize=resize)
        return frames.reshape(len(pictures), -1)
    if resize is None or pictures.ndim == 5:
        return _answer(network, pictures, layer)
    parts = (resized(pictures[i : i + BATCH], resize) for i in range(0, len(pictures), BATCH))
    return np.concatenate([_answer(network, part, layer) for part in parts])


def probabilities_of(network: Any, pictures: np.ndarray) -> np.ndarray:
    """Return class scores (n, classes): the network's answer, of films the mean over frames.

    Raises
    ------
    BraindecError
        If there are fewer than two classes.
    """
    if pictures.ndim == 5 and not getattr(network, "films", False):
        frames = probabilities_of(network, pictures.reshape(-1, *pictures.shape[2:]))
        return frames.reshape(*pictures.shape[:2], -1).mean(axis=1)
    if getattr(network, "probabilities", True) is False:
        raise BraindecError(
            f"n-way identification needs a classifier, and {network.name!r} describes pictures without naming classes",
            fix='give {"name": "random_conv", "layer": "classes"} (a try-out), "classifier" with local weights, or a function',
        )
    scores = _answer(network, pictures, None)
    if scores.shape[1] < 2:
        raise BraindecError("n-way identification needs a network that gives one number a class", found="one number")
    return scores


def _answer(network: Any, pictures: np.ndarray, layer: str | None) -> np.ndarray:
    features = np.asarray(network(pictures) if layer is None else network(pictures, layer=layer))
    name = getattr(network, "name", getattr(network, "__name__", type(network).__name__))
    if features.ndim < 2 or len(features) != len(pictures):
        raise BraindecError(
            f"the network {name!r} must return one row of units a picture",
            found=f"shape {features.shape} for {len(pictures)} pictures",
        )
    features = features.reshape(len(features), -1)
    lost = ~np.isfinite(features).all(axis=1)
    if lost.any():
        raise BraindecError(
            f"the network {name!r} gave values that are not finite", found=f"{int(lost.sum())} of {len(lost)} pictures",
            fix="check its weights and the size of pictures that it expects",
        )  # fmt: skip
    return features
