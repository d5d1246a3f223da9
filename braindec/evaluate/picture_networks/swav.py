"""SwAV: a ResNet-50 trained without labels; features after its average pooling.

The weights are those of the SwAV authors, converted to safetensors; names may begin with "module.", projection head and
prototypes are left out.

Source: Caron et al. 2020 (NeurIPS); layer and size (224 pixels) as in Scotti et al. 2023 (NeurIPS).
"""

from __future__ import annotations

from braindec.evaluate._torchvision_network import TorchvisionNetwork

__all__ = ["Swav"]


class Swav(TorchvisionNetwork):
    """Layer "avgpool"."""

    name = "swav"
    model = "resnet50"
    size = 224
    MODULES = {"avgpool": "avgpool"}
    spare = ("projection_head.", "prototypes.")
    without = ("fc.",)
