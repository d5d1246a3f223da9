"""The atlas recipe on small networks: one table, rows against untrained networks, a control, pictures that can be drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.engine import run
from braindec.llm._atlas import _difference, compare_networks, network_value
from braindec.llm.unit_table import UnitTable
from braindec.report import write_report
from braindec.types import Result

SMALL = ["model.steps=20", "model.n_layers=2", "model.n_units=16", "model.n_heads=2", "n_trained=2", "n_untrained=3", "stimuli.n_stories=10",
         "scores=[logit_lens, ngram, induction, cmr, copying, universal, vocabulary, dead]"]  # fmt: skip


def tables(values, *, score="ngram"):
    """One table a network: 40 units with the given mean."""
    about = pd.DataFrame({"score": [score], "level": ["unit"], "status": ["done"]})
    rows = {"layer": np.repeat([0, 1], 20), "site": "mlp_act", "index": np.tile(np.arange(20), 2)}
    spread = np.tile([-1.0, 1.0], 20)
    return [UnitTable(pd.DataFrame({"model": f"m{k}", **rows, score: v + spread}), about) for k, v in enumerate(values)]


def test_networks_are_compared_with_networks():
    from scipy import stats

    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 1.0, 3), rng.normal(0.0, 1.0, 5)
    found = compare_networks(tables(a), tables(b), ["ngram"]).set_index("row")
    assert found.loc["decoded", "p"] == pytest.approx(stats.ttest_ind(a, b, alternative="greater").pvalue)
    assert (found.loc["decoded", "value"], found.loc["decoded", "chance"]) == pytest.approx((a.mean(), b.mean()))
    between = stats.ttest_ind(a, b).confidence_interval()
    assert found.loc["decoded", "low"] - b.mean() == pytest.approx(between.low)
    alone = compare_networks(tables(a[:1]), tables(b), ["ngram"]).set_index(
        "row"
    )  # one network, against what others vary by
    expected = stats.t.sf((a[0] - b.mean()) / (b.std(ddof=1) * np.sqrt(1 + 1 / 5)), 4)
    assert alone.loc["decoded", "p"] == pytest.approx(expected)
    assert compare_networks(tables(a), [], ["ngram"]).empty


@pytest.mark.parametrize(("n_trained", "n_untrained", "two_sided"), [(3, 5, False), (1, 5, False), (1, 4, True)])
def test_the_comparison_holds_its_level(n_trained, n_untrained, two_sided):
    rng = np.random.default_rng(1)
    p = [_difference(rng.normal(size=n_trained), rng.normal(size=n_untrained), two_sided)["p"] for _ in range(2000)]
    assert 0.03 < np.mean(np.array(p) <= 0.05) < 0.07


@pytest.mark.slow
def test_the_recipe_runs_and_draws(tmp_path):
    run(
        "llm_unit_atlas",
        overrides=SMALL,
        out=tmp_path / "out",
        cache=tmp_path / "cache",
        debug=True,
        tell=lambda _: None,
    )
    (unit,) = (tmp_path / "out" / "units").iterdir()
    result = Result.open(unit)
    rows = result.scores.set_index(["metric", "row"])
    assert rows.index[0] == ("logit_lens", "decoded") and rows.loc[("logit_lens", "decoded"), "p"] < 0.05
    assert ("logit_lens", "untrained") in rows.index
    table = UnitTable.open(next(unit.glob("work-*/units.h5")))
    assert set(table.scores) == {
        "logit_lens",
        "ngram",
        "induction",
        "cmr",
        "copying",
        "universal",
        "vocabulary",
        "dead",
    }
    assert network_value(table, "dead")[1] == len(table.level("unit"))
    csv = UnitTable.open(next(unit.glob("work-*/units.csv")))
    np.testing.assert_allclose(csv.level("head")["induction"], table.level("head")["induction"], rtol=1e-5)
    assert write_report(tmp_path / "out").stat().st_size > 20_000
    for panel in result.made_by["panels"]:
        args = {
            k: result.arrays[v[1:]] if isinstance(v, str) and v.startswith("@") else v for k, v in panel["args"].items()
        }
        assert registry.get("viz", panel["draw"])(**args).axes
