"""Pictures that need no download, and voxels that see them: handwritten digits of scikit-learn, and a linear brain.

Source: digits, Alpaydin & Kaynak 1998 (UCI), as shipped with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders.scenes import check_seed
from braindec.types import Pictures, Recording, Windows
from braindec.types.signals import StackedSignal

__all__ = ["digit_pictures", "pixel_voxels"]


def digit_pictures() -> Pictures:
    """Return 1,797 handwritten digits, (n, 8, 8, 1) float32 of 0 to 1; ``concept_id`` is the digit."""
    from sklearn.datasets import load_digits

    found = load_digits()
    values = (found.images / 16).astype(np.float32)[..., None]
    items = pd.DataFrame({
        "stimulus_id": [f"digit-{i:04d}" for i in range(len(values))], "concept_id": [str(k) for k in found.target],
    })  # fmt: skip
    return Pictures(values, items, info={"dataset": "sklearn digits"})


def pixel_voxels(
    pictures: Pictures,
    *,
    n_voxels: int = 300,
    noise: float = 1.0,
    stimulus_ids: Sequence[Any] | None = None,
    repetitions: int = 1,
    seed: int = 0,
) -> Windows:
    """Return responses of voxels that each weigh all pixels at random, one sample a trial.

    Parameters
    ----------
    pictures : Pictures
    n_voxels : int
    noise : float
        Standard deviation of the noise of one trial, in units of the standard deviation of the response to pictures;
        0 is a brain without noise.
    stimulus_ids : sequence, optional
        What is shown, in order; all pictures by default.
    repetitions : int
        How often each is shown.
    seed : int
        The weights depend on the seed alone, the noise on the seed and the order.
    """
    check_seed(seed)
    whole = all(isinstance(k, (int, np.integer)) and k >= 1 for k in (n_voxels, repetitions))
    if not whole or not isinstance(noise, Real) or not 0 <= noise < np.inf:
        raise BraindecError(
            "voxels that see pixels need sensible numbers",
            found=f"n_voxels={n_voxels}, noise={noise}, repetitions={repetitions}",
            allowed="whole numbers n_voxels >= 1 and repetitions >= 1, noise >= 0",
        )
    shown = np.tile(np.asarray(pictures.ids if stimulus_ids is None else stimulus_ids, dtype=object), repetitions)
    pixels = pictures.load().reshape(len(pictures), -1)
    weights = np.random.default_rng([seed, 61]).normal(size=(pixels.shape[1], n_voxels)).astype(np.float32)
    clean = (pixels - pixels.mean(axis=0)) @ weights
    spread = clean.std(axis=0)
    if not (spread > 1e-6).all():
        raise BraindecError(
            "pictures that are all alike tell voxels nothing",
            found=f"{len(pictures)} pictures",
            fix="give pictures that differ",
        )
    clean /= spread
    rows = pictures.rows_of(shown)
    signal = clean[rows] + noise * np.random.default_rng([seed, 62]).normal(size=(len(rows), n_voxels))
    trials = pictures.items.iloc[rows].reset_index(drop=True)
    trials = trials.assign(
        subject="01", session="n/a", run="n/a", repetition=np.repeat(np.arange(repetitions), len(shown) // repetitions)
    )
    channels = pd.DataFrame({"name": [f"voxel-{i:04d}" for i in range(n_voxels)], "type": "voxel", "unit": "a.u."})
    info = {"dataset": "synthetic pixel voxels", "subject": "01", "modality": "fmri"}
    recording = Recording(StackedSignal(signal.astype(np.float32)[:, :, None]), 1.0, channels, info=info)
    index = np.stack([np.zeros(len(rows), np.int64), np.arange(len(rows))], axis=1)
    return Windows((recording,), index, 1, trials)
