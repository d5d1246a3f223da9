"""The front door: one table of scores, ceilings, tests and differences, and its messages."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.align.rsa.inference import infer
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError
from braindec.types import Result


@pytest.fixture(scope="module")
def world(simulated):
    rng = np.random.default_rng(0)
    shared, first = simulated.brains(rng, 24, 6)
    _, second = simulated.brains(rng, 24, 6)
    models = simulated.rdms([simulated.distances(shared), simulated.distances(shared + 2 * rng.standard_normal(shared.shape)),
                             simulated.distances(rng.standard_normal((24, 5)))], model=["true", "noisy", "none"])  # fmt: skip
    table = pd.DataFrame({"subject": [f"{s}" for s in range(6)] * 2, "region": ["A"] * 6 + ["B"] * 6})
    return models, RDMs(np.concatenate([first, second]), models.conditions, table)


@pytest.fixture(scope="module")
def found(world):
    return infer(*world, comparator="pearson", permutations=300)


def test_the_table(found, world):
    scores = found.decoded.set_index(["region", "model"])
    assert scores.loc[("A", "true"), "p_max"] <= 0.01 and scores.loc[("A", "true"), "low"] > 0.1
    assert scores.loc[("B", "true"), "p"] > 0.05 and scores.loc[("A", "none"), "p_population"] > 0.05
    assert (scores["p_max"] >= scores["p"]).all() and (scores["q"] >= scores["p"]).all()
    assert scores.loc[("A", "true"), "p_subjects"] == pytest.approx(1 / 64)
    rows = found.scores[found.scores["region"] == "A"].groupby("row")["value"].mean()
    assert rows["noise_ceiling_lower"] < rows["noise_ceiling_upper"] and abs(rows["label_shuffle"]) < 0.05
    Result(found.scores)  # a decoded score has chance, interval and n


def test_differences(found):
    rows = found.differences[found.differences["region"] == "A"].set_index(["model", "other"])
    assert rows.loc[("true", "none"), "p_holm"] < 0.05 and rows.loc[("true", "noisy"), "value"] > 0
    assert (found.differences["q"] >= found.differences["p"] - 1e-12).all()


def test_conditions_in_another_order_change_nothing(world, found):
    models, data = world
    turned = data.subset(list(reversed(models.conditions)))
    again = infer(models, turned, comparator="pearson", permutations=300)
    np.testing.assert_allclose(again.decoded["value"], found.decoded["value"])
    pd.testing.assert_frame_equal(again.scores, found.scores)


def test_components_and_bootstrap_tell_alike(world):
    models, data = world
    one = data.where(region="A")
    exact, drawn = (
        infer(models, one, comparator="rho_a", method=m, n=400, permutations=0).decoded
        for m in ("components", "bootstrap")
    )
    ratio = drawn["variance"] / exact["variance"]
    assert ratio.between(0.6, 3).all() and (exact["p"] == exact["p_population"]).all()


def test_cosine_has_no_zero(world):
    models, data = world
    found = infer(models, data.where(region="A"), comparator="cosine", permutations=100)
    assert (found.decoded["chance"] > 0.5).all() and found.decoded["p_population"].isna().all()
    assert any("not 0" in note for note in found.notes)


def test_one_subject_and_another_comparator(world):
    models, data = world
    found = infer(models, data.where(region="A", subject="0"), comparator="pearson", permutations=50)
    assert (
        any("not for new subjects" in n for n in found.notes) and not found.scores["row"].str.startswith("noise").any()
    )
    slow = infer(models, data.where(region="A"), comparator="kendall_tau_b", n=4, permutations=0)
    assert any("components are not known" in n for n in slow.notes)


def test_groups_of_conditions(world):
    models, data = world
    found = infer(
        models,
        data.where(region="A"),
        comparator="pearson",
        permutations=50,
        condition_groups=np.repeat(np.arange(8), 3),
    )
    one = next(iter(found.bootstraps.values()))
    assert one.n_conditions == 8 and found.decoded["low"].lt(found.decoded["value"]).all()


def test_messages(world):
    models, data = world
    broken = data.values.copy()
    broken[2, 5] = np.nan
    with pytest.raises(BraindecError, match="every cell of the data"):
        infer(models, RDMs(broken, data.conditions, data.table))
    with pytest.raises(BraindecError, match="two models have one name"):
        infer(RDMs(models.values, models.conditions, pd.DataFrame({"model": ["a", "a", "b"]})), data)
    with pytest.raises(BraindecError, match="no column 'area'"):
        infer(models, data, by=["area"])
    with pytest.raises(BraindecError, match="at least 5"):
        few = list(models.conditions[:4])
        infer(models.subset(few), data.subset(few), comparator="pearson")
    with pytest.raises(BraindecError, match="same conditions"):
        infer(models.subset(list(models.conditions[:20])), data)
