"""Poisson dissimilarity: the symmetrised Kullback-Leibler divergence of independent Poisson rates, mean over units.

Rates are shrunk a little towards 1, ``(rate + 0.1) / 1.1``, so that a count of 0 has a logarithm: a gamma prior of
mean 1 with the weight of 0.1 observations.
Source: Schütt et al. 2023 (eLife 12:e82566), appendix on Poisson dissimilarities; the divergence of two Poisson
distributions of rates a and b, both ways, is ``(a - b) (log a - log b)``.
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.measure import Measure, squared_distances

__all__ = ["poisson", "regularised"]

_RATE, _WEIGHT = 1.0, 0.1


def regularised(rates: np.ndarray) -> np.ndarray:
    """Rates drawn towards the prior."""
    return (rates + _RATE * _WEIGHT) / (1.0 + _WEIGHT)


def _kernel(patterns: np.ndarray) -> np.ndarray:
    rates = regularised(patterns)
    return rates @ np.log(rates).swapaxes(-1, -2)


poisson = Measure("poisson", "1", "symmetrised divergence of Poisson rates", "nats, both ways", _kernel,
                  squared_distances, counts=True)  # fmt: skip
