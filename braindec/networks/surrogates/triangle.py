"""Triangle (piecewise linear): ``k max(0, 1 - k |x|)``, an area of 1.

Source: Bellec et al. 2018 (NeurIPS, "Long short-term memory and learning-to-learn"), equation 5; Esser et al. 2016
(PNAS 113:11441). Differs in: the height is k, so that the area under the triangle is 1 for every slope.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.surrogate import Surrogate

__all__ = ["triangle"]


def _derivative(x: Any, k: Any, one: Any, exp: Any) -> Any:
    left = one - k * abs(x)
    return k * (left + abs(left)) / (one + one)


triangle = Surrogate("triangle", _derivative, 1.0, "Bellec et al. 2018")
