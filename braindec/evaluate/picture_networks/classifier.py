"""Any image classifier of transformers on disk: class probabilities, for n-way identification.

MinD-Vis and MinD-Video took a ViT trained on ImageNet; any folder that AutoModelForImageClassification opens will do.

Source: Dosovitskiy et al. 2021 (ICLR), vision transformers as classifiers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.evaluate._torchvision_network import as_input
from braindec.evaluate._transformers_network import open_model, picture_settings
from braindec.evaluate.picture_network import PictureNetwork

__all__ = ["Classifier"]


class Classifier(PictureNetwork):
    """Class probabilities.

    Parameters
    ----------
    weights : path
        A folder with config.json and model.safetensors (and preprocessor_config.json, else mean and deviation are .5).
    device : str
    batch : int
    """

    name = "classifier"
    layers = ("classes",)
    probabilities = True

    def __init__(self, *, weights: str | Path, device: str = "cpu", batch: int = 32) -> None:
        self.device, self.batch = device, batch
        self._model = open_model(
            "AutoModelForImageClassification", weights, what="the network 'classifier'", device=device
        )
        self._settings = picture_settings(weights, self._model.config, mean=(0.5,) * 3, std=(0.5,) * 3)
        self.classes = tuple(str(v) for _, v in sorted(self._model.config.id2label.items()))

    def describe(self, pictures: np.ndarray, layer: str) -> np.ndarray:
        """Return probabilities (n, classes)."""
        import torch

        with torch.inference_mode():
            logits = self._model(pixel_values=as_input(pictures, **self._settings).to(self.device)).logits
        return logits.float().softmax(dim=1).cpu().numpy()
