"""ResponseModel: from pictures to the responses of voxels, channels or units, differentiable: what guides, and what judges.

Features of a fixed (or trained) network, standardised, and a linear readout that was fitted by ridge regression.

Source: encoding models as in Naselaris et al. 2011 (NeuroImage 56:400); as a guide of a generator, Luo et al. 2023 (NeurIPS,
BrainDiVE, section 3.1).
Differs from the references in: the readout is solved in closed form, with a penalty for each target.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.diffusion.picture_features import make_network
from braindec.errors import BraindecError

__all__ = ["ResponseModel"]

_BLOCK = 256


class ResponseModel(ModelMixin, ConfigMixin):
    """Predict standardised responses to pictures.

    Parameters
    ----------
    network : str
        A name of :data:`braindec.diffusion.picture_features.NETWORKS`.
    n_targets : int
        Voxels, channels or units.
    size : (int, int)
        Height and width of the pictures.
    channels : int
        Of the pictures.
    options : dict, optional
        Of the network.
    """

    @register_to_config
    def __init__(
        self, *, network: str, n_targets: int, size: tuple[int, int], channels: int, options: dict[str, Any] | None = None
    ) -> None:  # fmt: skip
        super().__init__()
        self.body = make_network(network, channels=channels, **(options or {}))
        with torch.no_grad():
            n_units = self.body(torch.full((1, channels, *size), 0.5)).shape[1]
        self.register_buffer("centre", torch.zeros(n_units))
        self.register_buffer("spread", torch.ones(n_units))
        self.readout = nn.Linear(n_units, n_targets)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Standardised features (n, n_units) of pictures (n, channel, height, width) of 0 to 1; gradients pass."""
        wanted = (self.config.channels, *self.config.size)
        if tuple(images.shape[1:]) != wanted:
            raise BraindecError(
                "pictures do not fit the encoding model", found=f"shape {tuple(images.shape)}",
                allowed="(n, " + ", ".join(map(str, wanted)) + ")",
            )  # fmt: skip
        return (self.body(images) - self.centre) / self.spread

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Predicted responses (n, n_targets), in standard deviations of the training responses; gradients pass."""
        return self.readout(self.features(images))

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """Predicted responses (n, n_targets) to pictures (n, height, width, channel) of 0 to 1, float32."""
        with torch.no_grad():
            return _in_blocks(self, pictures)

    def describe(self, pictures: np.ndarray) -> np.ndarray:
        """Standardised features (n, n_units) of pictures (n, height, width, channel), float32."""
        with torch.no_grad():
            return _in_blocks(self.features, pictures)

    @torch.no_grad()
    def standardise(self, pictures: np.ndarray) -> None:
        """Take mean and spread of the features from training pictures (n, height, width, channel)."""
        self.centre.zero_()
        self.spread.fill_(1.0)
        values = self.describe(pictures).astype(np.float64)
        spread = values.std(axis=0)
        spread = np.where(spread > 1e-4 * max(spread.max(), 1e-12), spread, np.inf)  # what never changes says nothing
        self.centre.copy_(torch.from_numpy(values.mean(axis=0)))
        self.spread.copy_(torch.from_numpy(spread))

    @torch.no_grad()
    def set_readout(self, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Set the linear readout: coef (n_units, n_targets), intercept (n_targets,); targets without a fit predict 0."""
        self.readout.weight.copy_(torch.from_numpy(np.nan_to_num(np.asarray(coef, dtype=np.float32)).T))
        self.readout.bias.copy_(torch.from_numpy(np.nan_to_num(np.asarray(intercept, dtype=np.float32))))

    def fingerprint(self) -> str:
        """A hash of everything that a prediction depends on: two models with one fingerprint are one model."""
        digest = hashlib.sha256(self.architecture().encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def architecture(self) -> str:
        """The kind of features, without their weights: two models of one architecture err alike."""
        options = {k: v for k, v in (self.config.options or {}).items() if k not in ("seed", "vision")}
        return f"{self.config.network} {json.dumps(options, sort_keys=True)}"


def _in_blocks(function: Any, pictures: np.ndarray) -> np.ndarray:
    pictures = np.asarray(pictures, dtype=np.float32)
    if pictures.ndim != 4:
        raise BraindecError("pictures are (n, height, width, channel)", found=f"shape {pictures.shape}")
    x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    parts = [function(x[i : i + _BLOCK]).float().numpy() for i in range(0, len(x), _BLOCK)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
