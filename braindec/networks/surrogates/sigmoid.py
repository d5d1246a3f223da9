"""Logistic sigmoid: the derivative of ``1 / (1 + exp(-k x))``.

Source: Zenke & Vogels 2021 (Neural Computation 33:899), section 2.2; k = 4 makes the derivative 1 at the threshold.
"""

from __future__ import annotations

from typing import Any

from braindec.networks.surrogate import Surrogate

__all__ = ["sigmoid"]


def _derivative(x: Any, k: Any, one: Any, exp: Any) -> Any:
    small = exp(-k * abs(x))  # of |x|: the derivative is even, and this cannot overflow
    return k * small / ((one + small) * (one + small))


sigmoid = Surrogate("sigmoid", _derivative, 4.0, "Zenke & Vogels 2021")
