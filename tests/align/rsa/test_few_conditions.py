"""Tests hold their level with one subject, few conditions, and conditions that come in groups."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa.bootstrap import bootstrap_rsa, t_test
from braindec.align.rsa.inference import infer
from braindec.align.rsa.models import Select
from braindec.align.rsa.partial import partial_rsa

CODES = np.repeat(np.arange(6), 4)


def passages(rng, k):
    """Patterns that are alike within a passage."""
    return 0.6 * rng.standard_normal((24, k)) + rng.standard_normal((6, k))[CODES]


def test_one_subject_and_ten_conditions(simulated):
    model, difference = [], []
    for seed in range(150):
        rng = np.random.default_rng([31, seed])
        models = np.stack([simulated.distances(rng.standard_normal((10, 12))) for _ in range(2)])
        found = bootstrap_rsa(
            models, simulated.brains(rng, 10, 1)[1], comparator="pearson", kind="conditions", method="components"
        )
        v = found.variances()
        assert (v.models > 0).all()
        model.append(t_test(found.scores, v.models, v.dof_models, two_sided=False)[0])
        difference.append(
            t_test(found.scores[:1] - found.scores[1:], v.differences[0, 1:], v.dof_differences[0, 1:], two_sided=True)[
                0
            ]
        )
    assert (
        np.mean(np.array(model) <= 0.05) < 0.09 and np.mean(np.array(difference) <= 0.05) < 0.09
    )  # components: 0.15, 0.25


def test_partial_scores_of_one_subject(simulated):
    p = []
    for seed in range(60):
        rng = np.random.default_rng([32, seed])
        made = [simulated.rdms(simulated.distances(rng.standard_normal((10, 12))), model=[name]) for name in ("m", "c")]
        data = simulated.subjects(simulated.brains(rng, 10, 1)[1])
        p.append(partial_rsa(*(made[0], data, made[1]), permutations=0)["p_population"].iloc[0])
    assert np.mean(np.array(p) <= 0.05) < 0.12


def test_what_conditions_of_one_group_share_is_chance(simulated):
    population = []
    for seed in range(40):
        rng = np.random.default_rng([33, seed])
        model = simulated.rdms(simulated.distances(passages(rng, 12)), model=["m"])
        data = simulated.subjects(simulated.brains(rng, 24, 4, shared=passages(rng, 10), own=0.5)[1])
        found = infer(model, data, comparator="pearson", condition_groups=CODES, permutations=99, seed=seed)
        row = found.decoded.iloc[0]
        population.append(row["p_population"])
        assert row["p_subjects"] >= row["p"]
        assert found.decoded["chance"].iloc[0] == pytest.approx(found.scores.set_index("row")["value"]["label_shuffle"])
    assert np.mean(np.array(population) <= 0.05) <= 0.15  # against 0: 0.5 and more
    assert any("alike in models and data" in note for note in found.notes)


def test_a_fitted_model_knows_more_than_the_groups(simulated):
    codes = np.repeat(np.arange(9), 4)

    def made(rng, k):
        return 0.6 * rng.standard_normal((36, k)) + rng.standard_normal((9, k))[codes]

    small, p = [], []
    for seed in range(4):
        rng = np.random.default_rng([34, seed])
        shared, cells = simulated.brains(rng, 36, 4, shared=made(rng, 10), own=0.5)
        data, blind = simulated.subjects(cells), [simulated.distances(made(rng, 12)) for _ in range(3)]
        families = [Select("blind", np.stack(blind)), Select("true", np.stack([*blind, simulated.distances(shared)]))]
        found = infer(families, data, comparator="pearson", condition_groups=codes, n=12, seed=seed).decoded
        assert found["value"].gt(0.05).all() and found["chance"].iloc[0] > 0.05
        small.append(found["p"].iloc[0] <= 0.05)
        p.append(found["p"].iloc[1])
    assert sum(small) <= 2 and np.median(p) <= 0.05  # against 0 all are small
