"""Clusters of stimuli: found again where they were planted, and used to split by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.cluster_split import cluster_stimuli, with_clusters
from braindec.evaluate.splits import split_by
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Features, Windows


def planted(n=60, k=4, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, k, n)
    return 5 * rng.normal(size=(k, 8))[label] + 0.3 * rng.normal(size=(n, 8)), label


@pytest.mark.parametrize("scale", ["cosine", "standard", "none"])
def test_planted_clusters_are_found(scale):
    vectors, label = planted()
    found = cluster_stimuli(vectors, ids=[f"s{i}" for i in range(60)], n_clusters=4, scale=scale)
    pairs = set(zip(found["cluster"], label, strict=True))
    assert len(pairs) == 4 and found["cluster"].value_counts().index[0] == "cluster-00"
    again = cluster_stimuli(vectors, ids=[f"s{i}" for i in range(60)], n_clusters=4, scale=scale)
    assert found.equals(again)


def test_no_cluster_is_in_training_and_test():
    pictures = digit_pictures()[np.arange(120)]
    windows = pixel_voxels(pictures, n_voxels=10, repetitions=2)
    clusters = cluster_stimuli(pictures, n_clusters=6, network=lambda p: p.reshape(len(p), -1))
    clustered = with_clusters(windows, clusters)
    table = dict(zip(clusters["stimulus_id"], clusters["cluster"], strict=True))
    assert (clustered.trials["cluster"] == clustered.trials["stimulus_id"].map(table)).all()
    splits = split_by(clustered, "cluster", n_folds=3)
    for split in splits:
        here, there = (set(clustered.trials["cluster"].iloc[rows]) for rows in (split.train, split.test))
        assert not here & there
    assert sum(len(s.test) for s in splits) == len(windows)


def test_features_and_pictures_are_clustered_alike():
    pictures = digit_pictures()[np.arange(80)]
    features = Features(pictures.load().reshape(80, -1), pictures.items)
    by_pictures = cluster_stimuli(pictures, n_clusters=5, network=lambda p: p.reshape(len(p), -1))
    assert by_pictures.equals(cluster_stimuli(features, n_clusters=5))


def test_odd_input_is_refused():
    vectors, _ = planted(20)
    ids = [str(i) for i in range(20)]
    windows = Windows.from_arrays(np.zeros((3, 2, 4), "float32"), pd.DataFrame({"stimulus_id": list("abc")}), sfreq=1.0)
    for given, options, says in (
        (windows, {}, "not of recordings"), (vectors, {}, "one id a row"), (vectors, {"ids": ["a"] * 20}, "twice"),
        (vectors, {"ids": ids, "n_clusters": 21}, "2 to 20"), (np.ones((20, 3)), {"ids": ids, "n_clusters": 2}, "fewer different"),
        (vectors * np.nan, {"ids": ids, "n_clusters": 2}, "not finite"), (vectors, {"ids": ids, "n_clusters": 2, "scale": "z"}, "cosine"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=says):
            cluster_stimuli(given, **options)
    with pytest.raises(BraindecError, match="no cluster"):
        with_clusters(windows, cluster_stimuli(vectors, ids=ids, n_clusters=2))


def test_the_order_of_stimuli_changes_nothing():
    rng = np.random.default_rng(0)
    vectors, names, order = rng.normal(size=(60, 8)), [f"s{i:02d}" for i in range(60)], rng.permutation(60)
    one = cluster_stimuli(vectors, ids=names, n_clusters=10)
    two = cluster_stimuli(vectors[order], ids=[names[k] for k in order], n_clusters=10)
    assert list(one["stimulus_id"]) == names
    assert (one["cluster"].to_numpy()[order] == two["cluster"].to_numpy()).all()
