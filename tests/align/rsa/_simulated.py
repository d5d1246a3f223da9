"""Simulated geometries: random conditions, random subjects, models with and without anything in common with them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

from braindec.align.rsa.rdm import RDMs


def distances(patterns):
    return pdist(patterns, "sqeuclidean")


def rdms(values, **table):
    values = np.atleast_2d(values)
    n = round((1 + np.sqrt(1 + 8 * values.shape[1])) / 2)
    return RDMs(values, [f"c{i:03d}" for i in range(n)], pd.DataFrame(table) if table else None)


def brains(rng, n_conditions, n_subjects, *, n_features=20, own=1.0, noise=1.0, shared=None):
    """Return shared patterns and one matrix a subject: mixtures of what is shared, of their own, and noise."""
    shared = rng.standard_normal((n_conditions, n_features)) if shared is None else shared
    k, found = shared.shape[1], []
    for _ in range(n_subjects):
        mixed = shared @ (rng.standard_normal((k, k)) / np.sqrt(k))
        patterns = np.hstack([mixed, own * rng.standard_normal((n_conditions, k))])
        found.append(distances(patterns + noise * rng.standard_normal(patterns.shape)))
    return shared, np.array(found)


def subjects(values):
    return rdms(values, subject=[f"{s:02d}" for s in range(len(values))])
