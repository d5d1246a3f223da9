"""What the twins of image data sets share: stimuli with low-level and semantic latents, and voxels that respond to them.

Stimulus i has latents z_i = (low, high): low-level ones are the image's own, semantic ones are those of its concept plus the
image's own. Features are two bands of 24 units, each a random rotation of (latents of the band, tanh of random
projections of them): the brain is linear in the features, while decoding the features has a part that is not linear
and the same for every subject.

A voxel v of subject s responds with ``b = mean_v + drift_{session,v} + z_i W_s[:, v] + noise``; ``W_s`` is drawn anew for each
subject (nothing but the latents is shared), with the gains of the voxel's area: early voxels carry the low band,
higher ones the semantic band, some carry nothing. Noise is independent plus a few fluctuations that all voxels share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.types import Features

N_LATENTS = 10  # a band
N_UNITS = 24  # a band
AREAS = {
    "early": (1.0, 0.15),
    "mid": (0.65, 0.65),
    "high": (0.15, 1.0),
    "none": (0.0, 0.0),
}  # gains of the low and high band
SHARES = {"early": 0.35, "mid": 0.2, "high": 0.35, "none": 0.1}


@dataclass(frozen=True)
class Stimuli:
    """Stimuli: ``latents`` (stimulus, 20), ``features`` (stimulus, 48), ``concept`` (stimulus,) numbers."""

    latents: np.ndarray
    features: np.ndarray
    concept: np.ndarray

    def table(
        self, ids: Sequence[str], concepts: Sequence[str] | None = None, rows: np.ndarray | None = None
    ) -> Features:
        """Features of the stimuli (or of ``rows``), named."""
        rows = np.arange(len(self.latents)) if rows is None else rows
        names = [f"concept-{c:03d}" for c in self.concept[rows]] if concepts is None else list(concepts)
        items = pd.DataFrame({"stimulus_id": list(ids), "concept_id": names})
        units = pd.DataFrame({"index": range(2 * N_UNITS), "component": ["low"] * N_UNITS + ["high"] * N_UNITS})
        return Features(
            self.features[rows], items, units, {"model": "synthetic", "bands": {"low": N_UNITS, "high": N_UNITS}}
        )


def make_stimuli(rng: np.random.Generator, concept: np.ndarray) -> Stimuli:
    """Draw stimuli of given concepts; ``concept`` (stimulus,) whole numbers."""
    concept = np.asarray(concept, dtype=np.int64)
    n = len(concept)
    centres = rng.normal(size=(int(concept.max()) + 1, N_LATENTS))
    low = rng.normal(size=(n, N_LATENTS))
    high = 0.8 * centres[concept] + 0.6 * rng.normal(size=(n, N_LATENTS))
    features = np.concatenate([_expand(rng, low), _expand(rng, high)], axis=1)
    return Stimuli(np.concatenate([low, high], axis=1), features.astype(np.float32), concept)


def _expand(rng: np.random.Generator, latents: np.ndarray) -> np.ndarray:
    """(stimulus, latent) -> (stimulus, unit): a rotation of the latents and of tanh of projections of them."""
    extra = N_UNITS - latents.shape[1]
    bent = np.tanh(1.5 * latents @ rng.normal(size=(latents.shape[1], extra)) / np.sqrt(latents.shape[1]))
    rotation = np.linalg.qr(rng.normal(size=(N_UNITS, N_UNITS)))[0]
    return np.concatenate([latents, bent], axis=1) @ rotation


@dataclass(frozen=True)
class Brain:
    """Voxels of one subject: ``weights`` (latent, voxel), ``area`` (voxel,), ``mean`` (voxel,), ``noise`` sd (voxel,), ``shared`` (source, voxel)."""

    weights: np.ndarray
    area: np.ndarray
    mean: np.ndarray
    noise: np.ndarray
    shared: np.ndarray

    def respond(self, rng: np.random.Generator, latents: np.ndarray, *, drift: float = 0.3) -> np.ndarray:
        """Betas of one session, shape (trial, voxel), in percent signal change."""
        n, n_voxels = len(latents), self.weights.shape[1]
        noise = rng.normal(size=(n, n_voxels)) * self.noise + rng.normal(size=(n, len(self.shared))) @ self.shared
        return self.mean + drift * rng.normal(size=n_voxels) + latents @ self.weights + noise

    @property
    def ncsnr(self) -> np.ndarray:
        """Standard deviation of the signal over that of the noise, a voxel."""
        return np.linalg.norm(self.weights, axis=0) / np.sqrt(self.noise**2 + (self.shared**2).sum(axis=0))


def make_brain(rng: np.random.Generator, area: np.ndarray, *, noise: float = 2.5) -> Brain:
    """Draw the voxels of one subject; ``area`` (voxel,) names of :data:`AREAS`."""
    n = len(area)
    gains = np.array([AREAS[a] for a in area]).T  # (band, voxel)
    weights = rng.normal(size=(2 * N_LATENTS, n)) * np.repeat(gains, N_LATENTS, axis=0) / np.sqrt(N_LATENTS)
    level = noise * rng.uniform(0.7, 1.4, n)
    shared = 0.3 * noise * rng.normal(size=(3, n)) / np.sqrt(3)
    return Brain(weights, np.asarray(area, dtype=object), 0.8 + 0.4 * rng.normal(size=n), level, shared)


def areas_in_order(n: int) -> np.ndarray:
    """Names of the areas of ``n`` voxels: early first, then mid, high and voxels that respond to nothing."""
    edges = np.round(np.cumsum(list(SHARES.values())) * n).astype(int)
    return np.array(list(SHARES), dtype=object)[
        np.searchsorted(edges, np.arange(n), side="right").clip(max=len(SHARES) - 1)
    ]


def ellipsoid(shape: tuple[int, int, int], n: int) -> np.ndarray:
    """The ``n`` voxels nearest to the middle of a grid, from back (low j) to front, shape (n, 3)."""
    ijk = np.stack(np.unravel_index(np.arange(int(np.prod(shape))), shape, order="F"), axis=1)
    scaled = (ijk - (np.array(shape) - 1) / 2) / (np.array(shape) / 2)
    near = np.argsort((scaled**2).sum(axis=1), kind="stable")[:n]
    chosen = ijk[near]
    return chosen[np.lexsort((chosen[:, 0], chosen[:, 2], chosen[:, 1]))]


def order_of(rng: np.random.Generator, n_images: int, n_trials: int, repeats: int = 3) -> np.ndarray:
    """An order of ``n_trials`` in which each of ``n_images`` comes ``repeats`` times, never twice in a row."""
    order = rng.permutation(np.tile(np.arange(n_images), repeats))
    for _ in range(100):
        same = np.flatnonzero(order[1:] == order[:-1]) + 1
        if not len(same):
            break
        for place in same:
            other = int(rng.integers(len(order)))
            order[[place, other]] = order[[other, place]]
    return order[:n_trials]
