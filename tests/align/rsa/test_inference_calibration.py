"""Levels and coverage with random conditions and random subjects. Bands are 3 to 7 % widened by what so few runs can tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindec.align.rsa.bootstrap import bootstrap_rsa, t_interval, t_test
from braindec.align.rsa.partial import partial_rsa
from braindec.align.rsa.partition import variance_partition

pytestmark = pytest.mark.slow


def holds(rejected, *, low=0.02, high=0.08):
    """The share is not outside 2 to 8 % by more than chance (99.9 %)."""
    n, k = len(rejected), int(np.sum(rejected))
    return stats.binom.cdf(k, n, low) > 0.0005 and stats.binom.sf(k - 1, n, high) > 0.0005


def covers(inside):
    n, k = len(inside), int(np.sum(inside))
    return stats.binom.cdf(k, n, 0.92) > 0.0005


def scores_of(simulated, what, n_conditions, n_subjects, *, comparator="pearson", kind="two-factor", runs=300, seed=1):
    """p-values, scores and intervals of simulated studies."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(runs):
        shared, data = simulated.brains(rng, n_conditions, n_subjects)
        if what == "none":
            models = simulated.distances(rng.standard_normal(shared.shape))[None]
        else:  # two models that are equally good
            models = np.stack([simulated.distances(shared + 0.7 * rng.standard_normal(shared.shape)) for _ in range(2)])
        one = bootstrap_rsa(models, data, comparator=comparator, kind=kind, method="components")
        v = one.variances()
        if what == "none":
            p = t_test(one.scores[0], v.models[0], v.dof_models[0], two_sided=False)
        else:
            p = t_test(one.scores[0] - one.scores[1], v.differences[0, 1], v.dof_differences[0, 1], two_sided=True)
        found.append([p, one.scores[0], *t_interval(one.scores[0], v.models[0], v.dof_models[0])])
    return np.array(found)


@pytest.mark.parametrize(
    ("comparator", "n_conditions", "n_subjects"),
    [("pearson", 12, 5), ("pearson", 30, 10), ("corr_cov", 20, 8), ("rho_a", 16, 6)],
)
def test_models_against_zero(simulated, comparator, n_conditions, n_subjects):
    found = scores_of(simulated, "none", n_conditions, n_subjects, comparator=comparator)
    assert holds(found[:, 0] < 0.05), np.mean(found[:, 0] < 0.05)


@pytest.mark.parametrize(
    ("comparator", "n_conditions", "n_subjects"),
    [("pearson", 12, 5), ("pearson", 30, 10), ("corr_cov", 20, 8), ("rho_a", 16, 6)],
)
def test_equal_models_and_coverage(simulated, comparator, n_conditions, n_subjects):
    found = scores_of(simulated, "equal", n_conditions, n_subjects, comparator=comparator)
    assert holds(found[:, 0] < 0.05), np.mean(found[:, 0] < 0.05)
    truth = found[:, 1].mean()
    assert covers((found[:, 2] <= truth) & (truth <= found[:, 3]))


def test_as_good_as_the_ceiling(simulated):
    """A model that is what the lower ceiling is, the mean of as many other subjects: never called worse too often."""
    rng, rejected = np.random.default_rng(6), []
    for _ in range(250):
        shared, data = simulated.brains(rng, 20, 6)
        _, others = simulated.brains(rng, 20, 5, shared=shared)
        one = bootstrap_rsa(others.mean(axis=0)[None], data, comparator="pearson", method="components")
        v = one.variances()
        rejected.append(
            t_test(one.scores[0] - one.ceilings[0], v.to_ceiling[0, 0], v.dof_to_ceiling[0, 0], two_sided=True) < 0.05
        )
    assert 0.0 < np.mean(rejected) <= 0.06


def test_new_conditions_for_the_same_subjects(simulated):
    assert holds(scores_of(simulated, "none", 24, 3, kind="conditions")[:, 0] < 0.05)


def test_new_subjects_with_the_same_conditions(simulated):
    """Subjects whose geometries have nothing in common: for these conditions their mean similarity to a model is 0."""
    rng, rejected = np.random.default_rng(2), []
    for _ in range(400):
        data = np.stack([simulated.distances(rng.standard_normal((10, 6))) for _ in range(8)])
        model = simulated.distances(rng.standard_normal((10, 6)))[None]
        one = bootstrap_rsa(model, data, comparator="pearson", kind="subjects", method="components")
        v = one.variances()
        rejected.append(t_test(one.scores[0], v.models[0], v.dof_models[0], two_sided=False) < 0.05)
    assert holds(rejected)


def test_the_bootstrap_is_conservative(simulated):
    """What the literature does rejects too rarely with few conditions: said in the notes, and why it is not the default."""
    rng, rejected = np.random.default_rng(3), []
    for _ in range(150):
        shared, data = simulated.brains(rng, 12, 5)
        models = simulated.distances(rng.standard_normal(shared.shape))[None]
        one = bootstrap_rsa(models, data, comparator="pearson", n=200, rng=rng)
        v = one.variances()
        rejected.append(t_test(one.scores[0], v.models[0], v.dof_models[0], two_sided=False) < 0.05)
    assert np.mean(rejected) <= 0.05


def confounded(simulated, rng, n_conditions, n_subjects):
    """Data and a model that share a length and a place, and nothing else."""
    common = 1.3 * rng.standard_normal((n_conditions, 2))
    own = rng.standard_normal((n_conditions, 8))
    data = [simulated.distances(np.hstack([common, own @ rng.standard_normal((8, 8)) / 3, rng.standard_normal((n_conditions, 6))]))
            for _ in range(n_subjects)]  # fmt: skip
    model = simulated.distances(np.hstack([0.8 * common, 0.6 * rng.standard_normal((n_conditions, 6))]))
    confounds = [simulated.distances(common[:, i : i + 1]) for i in range(2)]
    return (
        simulated.rdms([model], model=["m"]),
        simulated.subjects(np.array(data)),
        simulated.rdms(confounds, model=["length", "place"]),
    )


def test_partial_rsa(simulated):
    rng = np.random.default_rng(4)
    found = [partial_rsa(*confounded(simulated, rng, 20, 7), permutations=99, seed=i).iloc[0] for i in range(300)]
    assert holds([f["p"] <= 0.05 for f in found]) and holds([f["p_population"] < 0.05 for f in found])
    truth = np.mean([f["value"] for f in found])
    assert covers([f["low"] <= truth <= f["high"] for f in found])
    assert np.mean([f["raw"] for f in found]) > 0.3


def test_partition(simulated):
    rng, rows = np.random.default_rng(5), []
    for i in range(250):
        shared, a = rng.standard_normal((20, 6)), rng.standard_normal((20, 4))
        data = [
            simulated.distances(
                np.hstack([shared @ rng.standard_normal((6, 6)) / 2.5, 0.7 * a, rng.standard_normal((20, 6))])
            )
            for _ in range(7)
        ]
        models = [
            simulated.distances(np.hstack([shared, 0.3 * a])),
            simulated.distances(np.hstack([0.7 * shared, rng.standard_normal((20, 4))])),
        ]
        found = variance_partition(
            simulated.rdms(models, model=["a", "b"]), simulated.subjects(np.array(data)), permutations=99, seed=i
        )
        rows.append(found[["value", "low", "high", "p", "p_population"]].to_numpy(dtype=float))
    rows = np.array(rows)  # (study, part, column); part 1 is what b adds, which is nothing
    assert holds(rows[:, 1, 3] <= 0.05, low=0.01) and holds(rows[:, 1, 4] < 0.05, low=0.01)
    truth = rows[:, :, 0].mean(axis=0)
    truth[1] = 0.0
    for part in (0, 1, 3):
        assert covers((rows[:, part, 1] <= truth[part]) & (truth[part] <= rows[:, part, 2])), part
