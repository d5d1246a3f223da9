"""Links of HMM-GLMs: expected spikes in a bin as a function of the linear predictor, with derivative and inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from braindec.errors import BraindecError, did_you_mean

__all__ = ["Link", "link_named"]


@dataclass(frozen=True)
class Link:
    """``mean`` of the linear predictor, ``slope`` of the mean from (predictor, mean), and the ``inverse`` of the mean."""

    name: str
    mean: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray]
    inverse: Callable[[float], float]


def _softplus(eta: np.ndarray) -> np.ndarray:
    return np.maximum(eta, 0) + np.log1p(np.exp(-np.abs(eta)))


_LINKS = {
    "exp": Link("exp", lambda eta: np.exp(np.minimum(eta, 30.0)), lambda eta, mu: mu, lambda m: float(np.log(m))),
    # 1 - exp(-softplus(eta)) is the logistic function of eta
    "softplus": Link("softplus", _softplus, lambda eta, mu: -np.expm1(-mu), lambda m: float(np.log(np.expm1(m)))),
    "sigmoid": Link("sigmoid", expit, lambda eta, mu: mu * (1 - mu), lambda m: float(logit(m))),
}


def link_named(name: str) -> Link:
    """Return a link by name.

    Raises
    ------
    BraindecError
        If there is no such link.
    """
    if name not in _LINKS:
        raise BraindecError(f"there is no link {name!r}{did_you_mean(name, _LINKS)}", allowed=", ".join(_LINKS))
    return _LINKS[name]
