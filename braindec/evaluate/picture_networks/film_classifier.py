"""Any classifier of films of transformers on disk (VideoMAE and its like): class probabilities of whole clips.

Source: Tong et al. 2022 (NeurIPS, "VideoMAE"), as in Chen, Qing & Zhou 2023 for n-way identification of clips.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._torchvision_network import IMAGENET, as_input
from braindec.evaluate._transformers_network import open_model, picture_settings
from braindec.evaluate.picture_network import PictureNetwork

__all__ = ["FilmClassifier"]


class FilmClassifier(PictureNetwork):
    """Class probabilities of films; frames are taken evenly to the number that the model wants (repeated where there are fewer).

    Parameters
    ----------
    weights : path
        A folder with config.json and model.safetensors.
    device : str
    batch : int
        Films at a time.
    """

    name = "film_classifier"
    layers = ("classes",)
    probabilities = True
    films = True

    def __init__(self, *, weights: str | Path, device: str = "cpu", batch: int = 4) -> None:
        self.device, self.batch = device, batch
        what = "the network 'film_classifier'"
        self._model = open_model("AutoModelForVideoClassification", weights, what=what, device=device)
        self._settings = picture_settings(weights, self._model.config, mean=IMAGENET[0], std=IMAGENET[1])
        self.n_frames = int(getattr(self._model.config, "num_frames", 16))

    def describe(self, pictures: np.ndarray, layer: str) -> np.ndarray:
        """Return probabilities (n, classes) of films (n, frame, height, width, channel)."""
        import torch

        if pictures.ndim != 5:
            raise BraindecError("film_classifier needs films", found=f"shape {pictures.shape}", fix='use "classifier"')
        n, n_frames = pictures.shape[:2]
        kept = np.linspace(0, n_frames - 1, self.n_frames).round().astype(int)
        frames = pictures[:, kept].reshape(n * self.n_frames, *pictures.shape[2:])
        with torch.inference_mode():
            inputs = as_input(frames, **self._settings).to(self.device)
            logits = self._model(pixel_values=inputs.reshape(n, self.n_frames, *inputs.shape[1:])).logits
        return logits.float().softmax(dim=1).cpu().numpy()
