"""What a surrogate gradient is: the derivative that stands in for that of the Heaviside step in the backward pass.

Forward, a spike is ``1 where x >= 0, else 0`` with ``x`` the potential minus the threshold; backward, the derivative is
the surrogate's. One scalar body serves torch, NumPy and Numba, so that all three compute the same numbers.

Source: Neftci, Mostafa & Zenke 2019 (IEEE Signal Processing Magazine 36:51), section "Surrogate gradient learning".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from braindec import registry
from braindec.errors import BraindecError

__all__ = ["Surrogate", "resolve"]


@dataclass(frozen=True)
class Surrogate:
    """One surrogate derivative.

    Parameters
    ----------
    name : str
        As in the registry.
    body : callable
        ``body(x, k, one, exp)``: derivative at ``x`` (potential minus threshold) with slope ``k``; ``one`` is 1 in the
        type of ``x`` (so that Numba stays in float32) and ``exp`` the exponential function of the caller. Only
        arithmetic, ``abs``, comparisons and ``exp``: it is called with numbers, arrays and tensors.
    slope : float
        Steepness, in units of one over the potential.
    source : str
        Where it is from.
    """

    name: str
    body: Callable[..., Any]
    slope: float
    source: str = ""

    def __post_init__(self) -> None:
        k = self.slope
        if isinstance(k, bool) or not isinstance(k, (int, float)) or not math.isfinite(k) or k <= 0:
            raise BraindecError(
                f"the slope of the surrogate {self.name!r} is not a positive number", found=repr(k), allowed="> 0"
            )

    def with_slope(self, slope: float) -> Surrogate:
        """Return the same surrogate with another slope."""
        return replace(self, slope=slope)

    def derivative(self, x: Any) -> Any:
        """Return the derivative at ``x`` (a tensor, an array or a number), in the type of ``x``."""
        if hasattr(x, "exp"):  # a tensor
            return self.body(x, self.slope, 1.0, type(x).exp)
        import numpy as np

        values = np.asarray(x)
        one = values.dtype.type(1) if values.dtype.kind == "f" else np.float64(1)
        return self.body(values, one * self.slope, one, np.exp)


def resolve(surrogate: str | Surrogate) -> Surrogate:
    """Return a surrogate given by name, or as such.

    Raises
    ------
    BraindecError
        If there is no such surrogate; the message has the nearest name.
    """
    if isinstance(surrogate, Surrogate):
        return surrogate
    return registry.get("networks.surrogates", surrogate)
