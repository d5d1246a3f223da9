"""EfficientNet-B1 of torchvision: features after its average pooling.

Source: Tan & Le 2019 (ICML); layer and size (255 pixels) as in Scotti et al. 2023 (NeurIPS).
"""

from __future__ import annotations

from braindec.evaluate._torchvision_network import TorchvisionNetwork

__all__ = ["EfficientNet"]


class EfficientNet(TorchvisionNetwork):
    """Layer "avgpool"."""

    name = "efficientnet"
    model = "efficientnet_b1"
    size = 255
    MODULES = {"avgpool": "avgpool"}
