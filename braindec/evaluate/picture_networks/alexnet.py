"""AlexNet of torchvision: convolutional features after its second ("features.4") and fifth ("features.11") layer.

Source: Krizhevsky, Sutskever & Hinton 2012; layers and size (256 pixels) as in Scotti et al. 2023 (NeurIPS).
"""

from __future__ import annotations

from braindec.evaluate._torchvision_network import TorchvisionNetwork

__all__ = ["AlexNet"]


class AlexNet(TorchvisionNetwork):
    """Layers "features.11" (AlexNet(5) of tables, the default), "features.4" (AlexNet(2)), and the other rectified ones."""

    name = "alexnet"
    model = "alexnet"
    size = 256
    MODULES = {f"features.{i}": f"features.{i}" for i in (11, 4, 1, 7, 9)}
    map_layers = ("features.1", "features.4", "features.7", "features.9", "features.11")
