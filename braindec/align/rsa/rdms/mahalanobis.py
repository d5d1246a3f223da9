"""Squared Mahalanobis distance of two patterns under a noise precision, divided by the number of units.

Without ``noise`` it is the squared Euclidean distance. It is biased upwards by noise: crossnobis is not.
Source: Walther et al. 2016 (NeuroImage 137:188), equation 6.
"""

from __future__ import annotations

from dataclasses import replace

from braindec.align.rsa.rdms.squared_euclidean import squared_euclidean

__all__ = ["mahalanobis"]

mahalanobis = replace(
    squared_euclidean, name="mahalanobis", describe="mean squared difference of noise-whitened patterns", noise=True,
    unit="noise variances",
)  # fmt: skip
