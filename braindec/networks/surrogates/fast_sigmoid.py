"""Fast sigmoid: the derivative of ``x / (1 + k |x|)``, which is 1 at the threshold.

Source: Zenke & Ganguli 2018 (Neural Computation 30:1514, SuperSpike), equation 8; k = 25 as widely used.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.surrogate import Surrogate

__all__ = ["fast_sigmoid"]


def _derivative(x: Any, k: Any, one: Any, exp: Any) -> Any:
    root = one + k * abs(x)
    return one / (root * root)


fast_sigmoid = Surrogate("fast_sigmoid", _derivative, 25.0, "Zenke & Ganguli 2018")
