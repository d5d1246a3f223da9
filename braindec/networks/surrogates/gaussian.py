"""Gaussian: ``k / sqrt(2 pi) exp(-(k x)^2 / 2)``, the density of a normal with standard deviation 1 / k.

Source: Yin, Corradi & Bohte 2021 (Nature Machine Intelligence 3:905), methods; k = 2 (standard deviation 0.5).
"""

from __future__ import annotations

import math
from typing import Any

from braindec.networks.surrogate import Surrogate

__all__ = ["gaussian"]

_HEIGHT = 1 / math.sqrt(2 * math.pi)


def _derivative(x: Any, k: Any, one: Any, exp: Any) -> Any:
    scaled = k * x
    return one * _HEIGHT * k * exp(-scaled * scaled / (one + one))


gaussian = Surrogate("gaussian", _derivative, 2.0, "Yin, Corradi & Bohte 2021")
