"""Parcels against plain numpy, an SVD, and simulated truth; what is left out is counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.parcels import parcellate
from braindec.types import Recording, Signal

RNG = np.random.default_rng(0)
NAMES = {3: "V1", 7: "V2", 400: "FFA"}
LABELS = RNG.choice([0, 3, 7, 400], size=60)
X = RNG.standard_normal((60, 40)).astype(np.float32) + 100 * RNG.uniform(1, 2, (60, 1)).astype(np.float32)


class Slow(Signal):
    """A signal that counts how it is read, as one that decodes a file."""

    slow = True

    def __init__(self, array):
        self.array, self.shape, self.reads = array, array.shape, []

    def read(self, channels=slice(None), start=0, stop=None):
        block = self.array[channels, start:stop]
        self.reads.append(block.shape)
        return block


def recording(x=X, **channels) -> Recording:
    table = pd.DataFrame({"name": [f"v{i}" for i in range(len(x))], "type": "voxel", "unit": "a.u.", **channels})
    table[["x", "y", "z"]] = np.arange(3 * len(x)).reshape(-1, 3) / 1000
    events = pd.DataFrame({"onset": [2.0], "duration": [1.0], "trial_type": ["face"]})
    info = {"subject": "01", "space": "T1w", "grid": [3, 4, 5], "affine": np.eye(4).tolist()}
    return Recording(x if isinstance(x, Signal) else np.asarray(x), 0.5, table, events, info)


@pytest.mark.parametrize(("average", "function"), [("mean", np.mean), ("median", np.median)])
def test_averages_are_those_of_numpy(average, function):
    made = parcellate(recording(), LABELS, NAMES, average=average)
    expected = np.stack([function(X[LABELS == k].astype(float), axis=0) for k in NAMES])
    np.testing.assert_allclose(made.load(), expected, rtol=1e-5)
    assert made.ch_names == ["V1", "V2", "FFA"] and set(made.channels["type"]) == {"parcel"}
    assert made.sfreq == 0.5 and made.events["trial_type"].tolist() == ["face"] and made.info["space"] == "T1w"
    for k, row in zip(NAMES, made.channels.itertuples(), strict=True):
        assert (row.label, row.region, row.n_channels, row.coverage) == (k, NAMES[k], (LABELS == k).sum(), 1.0)
        np.testing.assert_allclose([row.x, row.y, row.z], recording().positions[LABELS == k].mean(axis=0))


@pytest.mark.parametrize("n", [4, 70])
def test_the_first_eigenvariate_is_that_of_an_svd(n):
    course = np.sin(np.arange(40) / 3)
    x = (RNG.uniform(0.5, 2, (n, 1)) * course + 0.1 * RNG.standard_normal((n, 40)) + 50).astype(np.float32)
    made = parcellate(recording(x), np.ones(n, int), {1: "a"}, average="first_eigenvariate").load()[0]
    centred = x.astype(float) - x.astype(float).mean(axis=1, keepdims=True)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    expected = s[0] * vt[0] / np.sqrt(n)
    np.testing.assert_allclose(made, expected * np.sign(expected @ made), atol=2e-4)
    assert np.corrcoef(made, course)[0, 1] > 0.99  # the sign is that of the mean, not turned around
    assert made.std() == pytest.approx(np.sqrt((s[0] ** 2) / n / 40), rel=1e-3)


def test_the_eigenvariate_of_like_voxels_is_their_mean():
    course = RNG.standard_normal(30)
    made = parcellate(
        recording(np.tile(course, (5, 1))), np.ones(5, int), {1: "a"}, average="first_eigenvariate"
    ).load()
    np.testing.assert_allclose(made[0], course - course.mean(), atol=1e-5)


@pytest.mark.parametrize("average", ["mean", "median", "first_eigenvariate"])
def test_parts_are_those_of_the_whole_and_nothing_is_read_early(average):
    source = Slow(X)
    made = parcellate(recording(source), LABELS, NAMES, average=average)
    assert sum(np.prod(s) for s in source.reads) == 2 * len(X)  # the first and the last sample
    whole = made.load()
    np.testing.assert_array_equal(made.signal.read(np.array([2, 0]), 5, 11), whole[[2, 0], 5:11])
    np.testing.assert_array_equal(made.select(["V2"], tmin=10, tmax=30).load(), whole[[1], 5:15])
    assert made.signal.read(slice(None), 3, 3).shape == (3, 0)


def test_voxels_without_numbers_are_left_out_and_counted():
    x = X.copy()
    bad = np.flatnonzero(LABELS == 3)[:4]
    x[bad[:2]], x[bad[2:], 17] = np.nan, np.inf
    made = parcellate(recording(x), LABELS, NAMES)
    good = np.setdiff1d(np.flatnonzero(LABELS == 3), bad)
    np.testing.assert_allclose(made.load()[0], X[good].astype(float).mean(axis=0), rtol=1e-5)
    assert made.channels["n_missing"].tolist() == [4, 0, 0] and np.isfinite(made.load()).all()
    assert f"4 of {(LABELS > 0).sum()} channels in parcels hold no numbers" in made.info["warnings"][0]
    assert made.channels["coverage"][0] == pytest.approx(len(good) / (len(good) + 4))


def test_a_slow_source_that_turns_nan_in_between_is_an_error():
    x = X.copy()
    x[np.flatnonzero(LABELS == 7)[0], 20] = np.nan
    made = parcellate(recording(Slow(x)), LABELS, NAMES)
    assert np.isfinite(made.signal.read(slice(None), 0, 20)).all()
    with pytest.raises(BraindecError, match="become NaN within the run"):
        made.load()


def test_empty_and_thin_parcels_are_dropped_and_counted():
    x = X.copy()
    x[LABELS == 7] = np.nan
    made = parcellate(recording(x), LABELS, {**NAMES, 9: "nowhere"}, sizes={3: 1000, 7: 10, 400: 10}, min_coverage=0.5)
    assert made.ch_names == ["FFA"]
    text = " | ".join(made.info["warnings"])
    assert "2 of 4 parcels have no channel and are left out: nowhere, V2" in text
    assert "1 parcels are covered by less than 50 % and are left out: V1" in text
    with pytest.raises(BraindecError, match="no parcel is left"):
        parcellate(recording(np.full_like(X, np.nan)), LABELS, NAMES)


def test_structures_and_repeated_names():
    structure = np.where(np.arange(60) < 30, "CORTEX_LEFT", "CORTEX_RIGHT")
    made = parcellate(recording(structure=structure), np.where(np.arange(60) < 30, 1, 2), {1: "V1", 2: "V1"})
    assert made.ch_names == ["V1-1", "V1-2"] and made.channels["region"].tolist() == ["V1", "V1"]
    assert made.channels["structure"].tolist() == ["CORTEX_LEFT", "CORTEX_RIGHT"]
    assert "grid" not in made.info and "affine" not in made.info


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (LABELS[:5], {}, "one whole number a channel"),
        (LABELS * 1.0, {}, "one whole number a channel"),
        (np.where(LABELS == 3, 5, LABELS), {}, r"without a name: \[5\]"),
        (LABELS * 0, {}, "no channel has a label"),
        (LABELS, {"average": "meen"}, "did you mean 'mean'"),
        (LABELS, {"min_coverage": 50}, "0 to 1"),
    ],
)
def test_odd_requests_are_refused(labels, options, words):
    with pytest.raises(BraindecError, match=words):
        parcellate(recording(), labels, NAMES, **options)


def test_parcels_of_a_real_run(shared):
    from braindec.loaders.source import open_source

    source = open_source("haxby-slice", data_home=shared("haxby-slice").parent)
    run = source.recordings("01")[0]
    keys = np.where(run.channels["x"] < 0, 1, 2)
    made = parcellate(run, keys, {1: "left", 2: "right"})
    np.testing.assert_allclose(made.load()[0], run.load()[keys == 1].mean(axis=0), rtol=1e-5)
    assert made.channels["x"][0] < 0 < made.channels["x"][1]
    saved = made.signal.path
    assert saved is not None and "bold" in saved  # lazy: it pickles as path and selection
    import pickle

    again = pickle.loads(pickle.dumps(made.signal))
    np.testing.assert_array_equal(again.read(), made.load())


@pytest.mark.parametrize(
    ("labels", "names", "options", "words"),
    [
        (1, ["n/a", "a"], {}, "names must say the name of each label"),
        (1, {"1": "a"}, {}, "names must say the name of each label"),
        (-1, {-1: "a"}, {}, "labels must be 0"),
        (1, {1: "a"}, {"min_coverage": "half"}, "min_coverage is a share"),
    ],
)
def test_names_and_labels_of_another_kind_are_refused(labels, names, options, words):
    made = recording()
    with pytest.raises(BraindecError, match=words):
        parcellate(made, np.full(made.n_channels, labels), names, **options)
