"""CLIP: the image embedding of a vision tower on disk (transformers' CLIPVisionModelWithProjection).

Pictures are scaled whole to the model's size (bilinear, antialias), not cropped: what is at the border was shown too.

Source: Radford et al. 2021 (ICML); ViT-L/14 image embedding as in Scotti et al. 2023 (NeurIPS).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.evaluate._torchvision_network import as_input
from braindec.evaluate._transformers_network import open_model, picture_settings
from braindec.evaluate.picture_network import PictureNetwork

__all__ = ["Clip"]

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Clip(PictureNetwork):
    """CLIP's vision tower.

    Parameters
    ----------
    weights : path
        A folder with config.json and model.safetensors, of a CLIP model or of its vision tower.
    layer : str
        The default layer: "embedding" (projected, as compared with texts) or "tokens" (last hidden states of all patches).
    device : str
    batch : int
    """

    name = "clip"

    def __init__(self, *, weights: str | Path, layer: str = "embedding", device: str = "cpu", batch: int = 32) -> None:
        self.layers = ("embedding", "tokens")
        first = self.checked_layer(layer)
        self.layers = (first, *(n for n in self.layers if n != first))
        self.device, self.batch = device, batch
        self._model = open_model("CLIPVisionModelWithProjection", weights, what="the network 'clip'", device=device)
        self._settings = picture_settings(weights, self._model.config, mean=MEAN, std=STD)
        self._settings["size"] = self._model.config.image_size

    def describe(self, pictures: np.ndarray, layer: str) -> np.ndarray:
        """Return embeddings, or tokens in a row."""
        import torch

        with torch.inference_mode():
            found = self._model(pixel_values=as_input(pictures, **self._settings).to(self.device))
        values = found.image_embeds if layer == "embedding" else found.last_hidden_state
        return values.float().cpu().numpy().reshape(len(pictures), -1)
