"""Straight-through (rectangle): ``k where |x| <= 1 / (2 k), else 0``; with k = 1 and the threshold 1/2 it is 1 on [0, 1].

Source: Wu et al. 2018 (Frontiers in Neuroscience 12:331), equation 24 with a = 1 / k; Bengio et al. 2013 (arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any

from braindec.networks.surrogate import Surrogate

__all__ = ["straight_through"]


def _derivative(x: Any, k: Any, one: Any, exp: Any) -> Any:
    return k * one * (k * (abs(x) + abs(x)) <= one)


straight_through = Surrogate("straight_through", _derivative, 1.0, "Wu et al. 2018")
