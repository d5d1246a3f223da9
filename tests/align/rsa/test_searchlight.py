"""Searchlight: against a loop over centres, a planted region, and what is left out."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from braindec.align.rsa.compare import compare
from braindec.align.rsa.rdm import RDMs, compute_rdm
from braindec.align.rsa.searchlight import Neighbours, coordinates_of, searchlight, searchlight_rdms, spheres
from braindec.errors import BraindecError
from braindec.types import Features, Recording


def ball(side: int) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    middle = (side - 1) / 2
    return grid[((grid - middle) ** 2).sum(axis=1) <= (middle + 0.3) ** 2]


def data(n: int = 8, side: int = 7, n_runs: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    places = ball(side)
    X = rng.standard_normal((n * n_runs, len(places))) + 2.0
    return X, places, np.tile([f"c{i}" for i in range(n)], n_runs), np.repeat(np.arange(n_runs), n)


def random_models(n: int, k: int = 3) -> RDMs:
    return RDMs(np.random.default_rng(7).random((k, n * (n - 1) // 2)), [f"c{i}" for i in range(n)])


def test_spheres_hold_the_voxels_within_the_radius():
    places = ball(7)
    neighbours = spheres(places, radius=2.0)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert len(neighbours) == len(places) and neighbours.counts.max() == 33
    for centre in range(0, len(places), 17):
        units = neighbours.indices[neighbours.starts[centre] : neighbours.starts[centre + 1]]
        assert set(units) == set(np.flatnonzero(distance[centre] <= 2.0))
    some = spheres(places, radius=2.0, centres=[5, 100])
    assert np.array_equal(some.counts, neighbours.counts[[5, 100]])


def test_places_come_from_the_channels_table():
    places = ball(3)
    table = pd.DataFrame(places, columns=list("ijk")).assign(
        name=[f"v{i}" for i in range(len(places))], type="misc", unit="a.u."
    )
    recording = Recording(np.zeros((len(places), 4), dtype=np.float32), 0.5, table)
    assert np.array_equal(coordinates_of(recording), places)
    assert np.array_equal(spheres(recording, radius=1.0).counts, spheres(places, radius=1.0).counts)
    metres = table.drop(columns=list("ijk")).assign(x=places[:, 0] * 0.003, y=0.0, z=0.0)
    assert coordinates_of(metres)[:, 0].max() == pytest.approx(0.006)
    with pytest.raises(BraindecError, match="place of every voxel"):
        coordinates_of(metres.drop(columns="x"))


@pytest.mark.parametrize("measure", ["correlation", "squared_euclidean", "crossnobis", "poisson"])
@pytest.mark.parametrize("comparator", ["cosine", "spearman", "corr_cov", "tau_a"])
def test_maps_equal_a_loop_over_centres(measure, comparator):
    X, places, condition, run = data(side=5)
    X = np.abs(X) if measure == "poisson" else X
    runs = run if measure == "crossnobis" else None
    neighbours = spheres(places, radius=1.5)
    models = random_models(8)
    found = searchlight(
        X, models.subset(models.conditions[::-1]), neighbours=neighbours, measure=measure, comparator=comparator,
        conditions=condition, runs=runs,
    )  # fmt: skip
    for centre in range(0, len(places), 5):
        units = neighbours.indices[neighbours.starts[centre] : neighbours.starts[centre + 1]]
        rdm = compute_rdm(X[:, units], measure=measure, conditions=condition, runs=runs)
        assert np.allclose(found.values[:, centre], compare(models, rdm, comparator=comparator)[:, 0], atol=1e-10)


def test_the_precision_of_each_voxel_weighs_it():
    X, places, condition, run = data()
    precision = np.random.default_rng(1).uniform(0.2, 5, len(places))
    neighbours = Neighbours.from_lists([range(20), range(30, 45)])
    cells = dict(
        zip(
            *next(
                searchlight_rdms(
                    X, neighbours=neighbours, measure="crossnobis", conditions=condition, runs=run, noise=precision
                )
            ),
            strict=True,
        )
    )
    want = compute_rdm(X[:, 30:45], measure="crossnobis", conditions=condition, runs=run, noise=precision[30:45])
    assert np.allclose(cells[1], want.values[0], atol=1e-12)
    with pytest.raises(BraindecError, match="mixes units of different spheres"):
        searchlight(X, random_models(8), neighbours=neighbours, measure="crossnobis", conditions=condition, runs=run,
                    noise=np.eye(len(places)))  # fmt: skip


def test_a_planted_region_is_found():
    X, places, condition, _ = data(n=12, side=9, n_runs=2)
    rng = np.random.default_rng(3)
    code = rng.standard_normal((12, 6))
    region = np.linalg.norm(places - np.array([2, 4, 4]), axis=1) <= 2
    X[:, region] += 2 * (code @ rng.standard_normal((6, region.sum())))[np.tile(np.arange(12), 2)]
    model = RDMs(compute_rdm(code, measure="squared_euclidean").values, [f"c{i}" for i in range(12)])
    found = searchlight(
        X, model, neighbours=spheres(places, radius=2.0), comparator="spearman", conditions=condition,
    ).values[0]  # fmt: skip
    far = np.linalg.norm(places - np.array([2, 4, 4]), axis=1) > 5
    assert found[np.flatnonzero(region)].mean() > 0.4 and abs(found[far].mean()) < 0.1
    assert np.linalg.norm(places[np.argmax(found)] - np.array([2, 4, 4])) <= 3


def test_small_and_empty_centres_are_nan_and_counted():
    X, places, condition, _ = data(side=5)
    X[:, 10:30] = 0.1  # voxels outside the brain: every pattern is flat
    lists = [[0, 1, 2], range(12, 24), range(30, 45), range(5, 20)]
    found = searchlight(
        X, random_models(8), neighbours=Neighbours.from_lists(lists, centres=[3, 2, 40, 9]), conditions=condition
    )
    assert np.isnan(found.values[:, :2]).all() and np.isfinite(found.values[:, 2:]).all()
    assert found.notes[0].startswith("1 of 4 centres have fewer than 5") and found.notes[1].startswith("1 centres")
    whole = found.on_units(len(places))
    assert np.array_equal(whole[:, 40], found.values[:, 2]) and np.isfinite(whole).sum() == 6


def test_features_on_disk_give_the_same_map(tmp_path):
    X, places, condition, _ = data(side=5, n_runs=1)
    features = Features.from_array(X.astype(np.float32), condition).save(tmp_path / "f.h5")
    neighbours = spheres(places, radius=1.5)
    one = searchlight(features, random_models(8), neighbours=neighbours)
    other = searchlight(X.astype(np.float32), random_models(8), neighbours=neighbours, conditions=condition)
    assert np.array_equal(one.values, other.values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": random_models(7)}, "same conditions"),
        ({"neighbours": Neighbours.from_lists([[0, 1, 2, 3, 4, 500]])}, "units that the patterns lack"),
        ({"min_units": 300}, "no centre has 300 units"),
        ({"measure": "crossnobis"}, "needs the run"),
        ({"comparator": "cosin"}, "did you mean"),
    ],
)
def test_what_cannot_be_searched_is_one_clear_error(change, message):
    X, places, condition, _ = data(side=5)
    arguments = {
        "models": random_models(8),
        "neighbours": spheres(places, radius=1.5),
        "conditions": condition,
        **change,
    }
    with pytest.raises(BraindecError, match=message):
        searchlight(X, arguments.pop("models"), **arguments)
    with pytest.raises(BraindecError, match="positive"):
        spheres(places, radius=0)


def test_a_whole_brain_takes_under_two_seconds():
    grid = np.stack(np.meshgrid(*[np.arange(32)] * 3, indexing="ij"), -1).reshape(-1, 3)
    places = grid[((grid - 15.5) ** 2).sum(axis=1) < 13.9**2]
    X = np.random.default_rng(0).standard_normal((60, len(places)), dtype=np.float32)
    models = RDMs(np.random.default_rng(1).random((2, 1770)), range(60))
    began = time.process_time()
    found = searchlight(X, models, neighbours=spheres(places, radius=2.8))
    assert len(places) > 11_000 and np.isfinite(found.values).all() and time.process_time() - began < 2.0
