"""Dissimilarities of a real recording: object categories in half a slice of ventral temporal cortex, 12 runs."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa.compare import compare
from braindec.align.rsa.noise import noise_from_repeats
from braindec.align.rsa.rdm import compute_rdm
from braindec.align.rsa.searchlight import searchlight, spheres
from braindec.loaders.readers import fmri
from braindec.signal.prepare import prepare
from braindec.signal.volumes import volume_windows
from braindec.stats.permutation import permute_within


@pytest.fixture(scope="module")
def blocks(shared):
    files = {"bold": "bold.nii.gz", "mask": "mask.nii.gz", "labels": "attributes_literal.txt"}
    runs = fmri.load(shared("haxby-slice"), label_columns=["trial_type", "run"], **files)
    runs = prepare(runs, [{"detrend": {"order": 1}}, "zscore"], cache=None)
    names = sorted(set(runs[0].events["trial_type"]) - {"rest"})
    return volume_windows(runs, select=names, average=True, delay=5.0)


def test_the_geometry_of_categories_is_the_same_in_both_halves_and_none_when_labels_are_shuffled(blocks):
    X, condition, run = blocks.load()[:, :, 0], blocks.trials["trial_type"].to_numpy(), blocks.trials["run"].to_numpy()
    noise = noise_from_repeats(X, condition, runs=run)
    first = np.isin(run, np.unique(run)[::2])

    def rdm(rows, labels=condition):
        return compute_rdm(X[rows], measure="crossnobis", conditions=labels[rows], runs=run[rows], noise=noise)

    assert compare(rdm(first), rdm(~first), comparator="pearson")[0, 0] > 0.9
    found = rdm(slice(None)).square()[0]
    house = list(rdm(slice(None)).conditions).index("house")
    assert found[house].sum() / 7 > 1.2 * found.sum() / 56  # houses differ most from everything else here
    rng = np.random.default_rng(0)
    null = [rdm(slice(None), permute_within(condition, run, rng)).values.mean() for _ in range(20)]
    assert abs(np.mean(null)) < 0.01 and max(null) < 0.1 < found.sum() / 56


def test_a_searchlight_finds_where_the_geometry_repeats(blocks):
    X, condition, run = blocks.load()[:, :, 0], blocks.trials["trial_type"].to_numpy(), blocks.trials["run"].to_numpy()
    first = np.isin(run, np.unique(run)[::2])
    model = compute_rdm(X[first], measure="crossnobis", conditions=condition[first], runs=run[first])
    options = {"neighbours": spheres(blocks.channels, radius=2.0), "measure": "crossnobis", "comparator": "spearman"}
    found = searchlight(X[~first], model, conditions=condition[~first], runs=run[~first], **options)
    assert found.notes == ["1 of 530 centres have fewer than 5 units and are left out"]
    shuffled = permute_within(condition[~first], run[~first], np.random.default_rng(1))
    null = searchlight(X[~first], model, conditions=shuffled, runs=run[~first], **options)
    assert np.nanmean(found.values) > np.nanmean(null.values) + 0.05
    assert np.nanpercentile(found.values, 99) > 0.5
