"""Clusters of stimuli by what is in them: a column to split by, so that whole clusters are new in the test.

Held-out pictures that resemble training pictures are identified by a decoder that only recalls what it knows. Clusters are found
in features of the stimuli alone; no recording has a part in them.

Source: Shirakawa et al. 2024 (arXiv 2405.10078), test sets of held-out clusters (40 of them); k-means, Lloyd 1982, with the start
of Arthur & Vassilvitskii 2007.
Differs from the reference in: features of any kind, scaled to length 1 (cosine), instead of one perceptual distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Features, Pictures, Windows

__all__ = ["cluster_stimuli", "with_clusters"]

_BLOCK = 512


def cluster_stimuli(
    stimuli: Features | Pictures | np.ndarray,
    *,
    ids: Sequence[Any] | None = None,
    n_clusters: int = 40,
    network: Any = "gabor",
    scale: str = "cosine",
    seed: int = 0,
) -> pd.DataFrame:
    """Return the cluster of each stimulus.

    Parameters
    ----------
    stimuli : Features, Pictures or array of shape (n, units)
        Embeddings; pictures are described by ``network``.
    ids : sequence of shape (n,), optional
        Names of the rows of an array.
    n_clusters : int
    network : name, mapping or callable
        See :func:`braindec.evaluate.picture_network.open_network`.
    scale : {"cosine", "standard", "none"}
        Vectors around their mean scaled to length 1; units scaled to standard deviation 1; as they are.
    seed : int
        Of the starts (10 of them, the best is taken).

    Returns
    -------
    DataFrame
        stimulus_id, cluster ("cluster-00", ..., the largest first), distance to the centre.

    Raises
    ------
    BraindecError
        If recordings are given, an array has no ids, a stimulus stands twice, or there are fewer stimuli than clusters.
    """
    from sklearn.cluster import KMeans

    vectors, names = _vectors(stimuli, ids, network)
    if len(set(names)) < len(names):
        raise BraindecError(
            "a stimulus stands twice among those to be clustered", found=f"{len(names) - len(set(names))}"
        )
    if not 2 <= n_clusters <= len(names):
        raise BraindecError(
            "n_clusters: how many clusters of stimuli", found=repr(n_clusters), allowed=f"2 to {len(names)}"
        )
    if not np.isfinite(vectors).all():
        raise BraindecError(
            "features of the stimuli are not finite", found=f"{int((~np.isfinite(vectors)).any(axis=1).sum())} stimuli"
        )
    place = np.argsort(names, kind="stable")  # the order in which stimuli are given changes nothing
    scaled, names = _scaled(vectors[place], scale), [names[k] for k in place]
    n_different = len(np.unique(scaled, axis=0))
    if n_different < n_clusters:
        raise BraindecError(
            "there are fewer different stimuli than clusters",
            found=f"{n_different} and {n_clusters}",
            fix="fewer clusters",
        )
    found = KMeans(n_clusters, n_init=10, random_state=seed).fit(scaled)
    order = np.lexsort((np.arange(n_clusters), -np.bincount(found.labels_, minlength=n_clusters)))
    number = np.argsort(order)
    width = max(2, len(str(n_clusters - 1)))
    far = np.linalg.norm(scaled - found.cluster_centers_[found.labels_], axis=1)
    table = pd.DataFrame({
        "stimulus_id": names, "cluster": [f"cluster-{number[k]:0{width}d}" for k in found.labels_], "distance": far,
    })  # fmt: skip
    return table.iloc[np.argsort(place)].reset_index(drop=True)


def with_clusters(windows: Windows, clusters: pd.DataFrame, *, column: str = "cluster") -> Windows:
    """Return windows with the cluster of each trial's stimulus as a column, for ``split_by(windows, "cluster", n_folds=...)``.

    Raises
    ------
    BraindecError
        If the trials have no stimulus_id, or a stimulus has no cluster.
    """
    if "stimulus_id" not in windows.trials:
        raise BraindecError("clusters are joined on stimulus_id, which the trials do not have")
    table = dict(zip(clusters["stimulus_id"].astype(str), clusters["cluster"], strict=True))
    shown = windows.trials["stimulus_id"].astype(str)
    missing = sorted(set(shown) - set(table))
    if missing:
        raise BraindecError(
            f"{len(missing)} stimuli have no cluster",
            found=", ".join(missing[:5]),
            fix="cluster all stimuli, training and test",
        )
    return windows.with_trials(**{column: shown.map(table).to_numpy(dtype=object)})


def _vectors(stimuli: Any, ids: Sequence[Any] | None, network: Any) -> tuple[np.ndarray, list[str]]:
    if isinstance(stimuli, Windows):
        raise BraindecError(
            "clusters are of stimuli, not of recordings",
            found="Windows",
            fix="give Features or Pictures of the stimuli",
        )
    if isinstance(stimuli, Features):
        return stimuli.load().astype(np.float64), [str(i) for i in stimuli.ids]
    if isinstance(stimuli, Pictures):
        from braindec.evaluate.picture_network import features_of, open_network

        describe = open_network(network, metric="clusters")
        parts = [features_of(describe, stimuli.load(slice(i, i + _BLOCK))) for i in range(0, len(stimuli), _BLOCK)]
        return np.concatenate(parts).astype(np.float64), [str(i) for i in stimuli.ids]
    vectors = np.asarray(stimuli, dtype=np.float64)
    if ids is None or vectors.ndim != 2 or len(ids) != len(vectors):
        raise BraindecError(
            "an array of features (stimulus, unit) needs one id a row",
            found=f"shape {vectors.shape}, {0 if ids is None else len(ids)} ids",
        )
    return vectors, [str(i) for i in ids]


def _scaled(vectors: np.ndarray, scale: str) -> np.ndarray:
    if scale == "none":
        return vectors
    centred = vectors - vectors.mean(axis=0)
    if scale == "standard":
        spread = centred.std(axis=0)
        return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    if scale != "cosine":
        raise BraindecError(f"unknown scale {scale!r}", allowed="cosine, standard, none")
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
