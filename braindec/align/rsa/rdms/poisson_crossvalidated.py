"""Cross-validated Poisson dissimilarity: differences of rates in all runs but one times differences of log rates in
the run left out, mean over units and runs; 0 in expectation for conditions that do not differ.

Source: Schütt et al. 2023 (eLife 12:e82566), appendix on Poisson dissimilarities.
Differs from the reference in: the mean over all left-out runs is returned; rsatoolbox 0.3.2 returns the last one's.
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.measure import Measure, squared_distances
from braindec.align.rsa.rdms.poisson import regularised

__all__ = ["poisson_crossvalidated"]


def _kernel(patterns: np.ndarray) -> np.ndarray:
    m = len(patterns)
    total, kernel = patterns.sum(axis=0), 0.0
    for run in patterns:
        kernel = kernel + regularised((total - run) / (m - 1)) @ np.log(regularised(run)).swapaxes(-1, -2)
    return kernel / m


poisson_crossvalidated = Measure("poisson_crossvalidated", "1", "cross-validated divergence of Poisson rates",
                                 "nats, both ways", _kernel, squared_distances, runs=True, counts=True)  # fmt: skip
