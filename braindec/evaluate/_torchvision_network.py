"""A torchvision model with weights on disk as a network that describes pictures: features of named layers.

The weights are a safetensors file with torchvision's parameter names. torchvision itself publishes pickles: convert one once,
where you trust it (the message of the error has the line), then no code can hide in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._local_weights import need_torchvision, read_state
from braindec.evaluate._made_and_true import resized
from braindec.evaluate.picture_network import PictureNetwork

__all__ = ["TorchvisionNetwork", "as_input"]

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def as_input(pictures: np.ndarray, *, size: int | tuple[int, int], mean: Any, std: Any) -> Any:
    """Return a torch tensor (n, 3, size, size): grey repeated, scaled (bilinear, antialias), less the mean, over the deviation."""
    import torch

    pictures = np.asarray(pictures, dtype=np.float32)
    if pictures.shape[-1] == 1:
        pictures = np.repeat(pictures, 3, axis=-1)
    scaled = (resized(pictures, size) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, -1, 1), dtype=np.float32))


class TorchvisionNetwork(PictureNetwork):
    """Base of torchvision networks.

    Parameters
    ----------
    weights : path
        A safetensors file with the parameters under torchvision's names.
    layer : str, optional
        The default layer.
    device : str
        Where torch computes.
    batch : int

    Attributes
    ----------
    model : str
        torchvision's name.
    size : int
        Side that pictures are scaled to.
    MODULES : mapping of layer to module
        Names of torchvision's modules; "classes" is the output of the whole model as probabilities.
    """

    model: ClassVar[str]
    size: ClassVar[int]
    MODULES: ClassVar[Mapping[str, str]]
    map_layers: tuple[str, ...] = ()
    spare: ClassVar[tuple[str, ...]] = ()
    """Beginnings of parameter names that a file may have and the model need not."""
    without: ClassVar[tuple[str, ...]] = ()
    """Beginnings of parameter names that the model has and a file need not."""

    def __init__(self, *, weights: str | Path, layer: str | None = None, device: str = "cpu", batch: int = 32) -> None:
        names = (*self.MODULES, "classes") if not self.without else tuple(self.MODULES)
        self.layers = names
        first = self.checked_layer(layer)
        self.layers = (first, *(n for n in names if n != first))
        self.probabilities, self.device, self.batch = first == "classes", device, batch
        state = read_state(weights, what=f"the network {self.name!r}")
        torchvision = need_torchvision(f"the network {self.name!r}")
        self._network = self._built(torchvision)
        self._fill(state, weights)
        self._network.to(device).eval().requires_grad_(False)

    def _built(self, torchvision: Any) -> Any:
        return getattr(torchvision.models, self.model)(weights=None)

    def _fill(self, state: Mapping[str, Any], path: str | Path) -> None:
        state = {k.removeprefix("module."): v for k, v in state.items()}
        state = {k: v for k, v in state.items() if not k.startswith(self.spare or ("\0",))}
        own = self._network.state_dict()
        needed = {k for k in own if not k.startswith(self.without or ("\0",)) and not k.endswith("num_batches_tracked")}
        missing, unknown = sorted(needed - set(state)), sorted(set(state) - set(own))
        wrong = [k for k in needed & set(state) if own[k].shape != state[k].shape]
        if missing or unknown or wrong:
            raise BraindecError(
                f"the weights do not belong to torchvision's {self.model}",
                found=f"{path}: {len(missing)} parameters missing ({', '.join(missing[:2])}), {len(unknown)} unknown "
                f"({', '.join(unknown[:2])}), {len(wrong)} of another shape ({', '.join(wrong[:2])})",
                allowed=f"the {len(own)} names of torchvision.models.{self.model}(weights=None).state_dict()",
            )  # fmt: skip
        self._network.load_state_dict({**own, **{k: v for k, v in state.items() if k in own}})

    def describe(self, pictures: np.ndarray, layer: str) -> np.ndarray:
        """Return flattened features of a layer, or class probabilities."""
        import torch

        with torch.inference_mode():
            inputs = as_input(pictures, size=self.size, mean=IMAGENET[0], std=IMAGENET[1]).to(self.device)
            if layer == "classes":
                return self._network(inputs).float().softmax(dim=1).cpu().numpy()
        return self._seen(pictures, (layer,))[0].reshape(len(pictures), -1)

    def maps(self, pictures: np.ndarray, layers: tuple[str, ...]) -> list[np.ndarray]:
        """Return feature maps (n, height, width, features)."""
        found = self._seen(pictures, layers)
        flat = [name for name, values in zip(layers, found) if values.ndim != 4]
        if flat:
            raise BraindecError(f"the layer {flat[0]!r} of {self.name} has no maps", allowed=", ".join(self.map_layers))
        return [np.moveaxis(values, 1, -1) for values in found]

    def _seen(self, pictures: np.ndarray, layers: tuple[str, ...]) -> list[np.ndarray]:
        import torch

        seen: dict[str, np.ndarray] = {}
        modules = dict(self._network.named_modules())

        def keep(name: str) -> Any:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                seen[name] = output.detach().float().cpu().numpy().copy()  # a later layer may write in place

            return hook

        hooks = [modules[self.MODULES[name]].register_forward_hook(keep(name)) for name in layers]
        try:
            with torch.inference_mode():
                self._network(as_input(pictures, size=self.size, mean=IMAGENET[0], std=IMAGENET[1]).to(self.device))
        finally:
            for hook in hooks:
                hook.remove()
        return [seen[name] for name in layers]
