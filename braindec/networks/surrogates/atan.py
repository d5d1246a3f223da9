"""Arctangent: the derivative of ``arctan(pi/2 k x) / pi + 1/2``.

Source: Fang et al. 2021 (ICCV, "Incorporating learnable membrane time constant"), equation 12 and appendix; k = 2.
"""

from __future__ import annotations

import math
from typing import Any

from braindec.networks.surrogate import Surrogate

__all__ = ["atan"]

_HALF_PI = math.pi / 2


def _derivative(x: Any, k: Any, one: Any, exp: Any) -> Any:
    scaled = one * _HALF_PI * k * x
    return k / (one + one) / (one + scaled * scaled)


atan = Surrogate("atan", _derivative, 2.0, "Fang et al. 2021")
