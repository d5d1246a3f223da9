"""Partial RSA and variance partitioning: closed forms, additive truth, sums of parts."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa.partial import partial_rsa
from braindec.align.rsa.partition import variance_partition
from braindec.errors import BraindecError


@pytest.fixture(scope="module")
def world(simulated):
    """Two models that share a part; data that follow both, and a confound."""
    rng, n = np.random.default_rng(0), 30
    a, b, c, length = (rng.standard_normal((n, 4)) for _ in range(4))
    one, two = simulated.distances(np.hstack([a, c])), simulated.distances(np.hstack([b, c]))
    confound = simulated.distances(2 * length[:, :1])
    data = np.stack(
        [
            simulated.distances(np.hstack([a, b, c, 2 * length[:, :1], 0.7 * rng.standard_normal((n, 8))]))
            for _ in range(6)
        ]
    )
    models = simulated.rdms(
        [one, two, simulated.distances(np.hstack([rng.standard_normal((n, 4)), 2 * length[:, :1]]))],
        model=["one", "two", "only length"],
    )
    return models, simulated.subjects(data), simulated.rdms([confound], model=["length"])


def test_partial_correlation_is_that_of_residuals(world):
    models, data, confounds = world
    found = partial_rsa(models, data, confounds, permutations=50)
    design = np.column_stack([np.ones(models.n_pairs), confounds.values[0]])

    def rest(row):
        return row - design @ np.linalg.lstsq(design, row, rcond=None)[0]

    for name, row in zip(models.table["model"], models.values, strict=True):
        expected = np.mean([np.corrcoef(rest(row), rest(d))[0, 1] for d in data.values])
        assert found.set_index("model").loc[name, "value"] == pytest.approx(expected, abs=1e-10)


def test_a_confound_is_taken_away(world):
    found = partial_rsa(*world, permutations=200).set_index("model")
    assert found.loc["only length", "raw"] > 0.2 and abs(found.loc["only length", "value"]) < 0.15
    assert found.loc["only length", "p"] > 0.01 and found.loc["only length", "p_population"] > 0.01
    assert found.loc["one", "p"] == pytest.approx(1 / 201) and found.loc["one", "low"] > 0.1
    assert found.loc["one", "note"] == "given length"


def test_rank_form_and_groups(world):
    models, data, confounds = world
    found = partial_rsa(
        models, data, confounds, form="rank", permutations=50, condition_groups=np.repeat(np.arange(10), 3)
    )
    assert found["metric"].unique().tolist() == ["partial_rank"] and found["low"].lt(found["high"]).all()


def test_a_model_that_is_a_confound_is_refused(world, simulated):
    models, data, confounds = world
    copy = simulated.rdms(2 * confounds.values + 1, model=["copy"])
    with pytest.raises(BraindecError, match="determined by the confounds"):
        partial_rsa(copy, data, confounds, permutations=0)
    twice = simulated.rdms(np.vstack([models.values[:1], 3 * models.values[:1]]), model=["x", "y"])
    with pytest.raises(BraindecError, match="determined by the confounds"):
        variance_partition(twice, data, permutations=0)


def test_parts_add_up(world):
    models, data, _ = world
    found = variance_partition(models, data, permutations=99)
    parts, total = found[found["part"] != "total"], found[found["part"] == "total"].iloc[0]
    assert len(found) == 8
    assert parts["raw"].sum() == pytest.approx(total["raw"]) and parts["value"].sum() == pytest.approx(total["value"])
    mean = np.mean(
        [(d - d.mean()) / d.std() for d in data.values], axis=0
    )  # regression of the mean of standardised matrices
    design = np.column_stack([np.ones(models.n_pairs), models.values.T])
    fit = design @ np.linalg.lstsq(design, mean, rcond=None)[0]
    assert total["raw"] == pytest.approx(np.mean(fit**2))
    shared = found[found["sets"] == "one + two"].iloc[0]
    assert shared["low"] > 0 and total["p"] == pytest.approx(0.01)


def test_sets_and_their_names(world):
    models, data, _ = world
    found = variance_partition(
        models, data, sets={"both": ["one", "two"], "length": ["only length"]}, permutations=99
    ).set_index(["part", "sets"])
    assert found.loc[("unique", "both"), "p"] == pytest.approx(0.01) and np.isnan(
        found.loc[("unique", "both"), "p_population"]
    )
    with pytest.raises(BraindecError, match="did you mean 'one'"):
        variance_partition(models, data, sets={"x": ["ones"]})
    with pytest.raises(BraindecError, match="share no model"):
        variance_partition(models, data, sets={"x": ["one"], "y": ["one", "two"]})


def test_what_adds_nothing_has_no_variance(simulated):
    rng, unique, raw = np.random.default_rng(1), [], []
    for _ in range(40):
        shared, data = simulated.brains(rng, 20, 5, n_features=6)
        models = simulated.rdms(
            [simulated.distances(shared), simulated.distances(rng.standard_normal((20, 4)))], model=["true", "nothing"]
        )
        row = variance_partition(models, simulated.subjects(data), permutations=0).iloc[1]
        unique.append(row["value"])
        raw.append(row["raw"])
    assert abs(np.mean(unique)) < 0.001 < np.mean(raw)  # the bias is taken away
