"""Inception-v3 of torchvision: features after its average pooling.

Source: Szegedy et al. 2016 (CVPR); layer and size (342 pixels) as in Scotti et al. 2023 (NeurIPS).
"""

from __future__ import annotations

from typing import Any

from braindec.evaluate._torchvision_network import TorchvisionNetwork

__all__ = ["Inception"]


class Inception(TorchvisionNetwork):
    """Layer "avgpool"."""

    name = "inception"
    model = "inception_v3"
    size = 342
    MODULES = {"avgpool": "avgpool"}
    spare = ("AuxLogits.",)

    def _built(self, torchvision: Any) -> Any:
        # published weights expect inputs of -1 to 1: transform_input makes them of ImageNet-normalised ones
        return torchvision.models.inception_v3(weights=None, aux_logits=False, transform_input=True, init_weights=False)
