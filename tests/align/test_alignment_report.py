"""One page of an alignment: every row and control is there, in the form that the report judges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.align.alignment import align_units
from braindec.align.report import report
from braindec.align.unit_sets import align_unit_sets, top_by_brain
from braindec.report.judge import row_kind
from braindec.types import Features, Result


@pytest.fixture(scope="module")
def page():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"stimulus_id": [f"s{k}" for k in range(80)], "passage": np.repeat(np.arange(20), 4).astype(str)}
    )
    units = pd.DataFrame({"layer": np.repeat([0, 1], 8), "site": "mlp_out", "index": np.tile(np.arange(8), 2)})

    def network(seed):
        return Features(np.random.default_rng(seed).normal(size=(80, 16)).astype(np.float32), table, units)

    first, second = network(1), network(2)
    Y = np.concatenate(
        [first.load()[:, 8:] @ rng.normal(size=(8, 6)) + rng.normal(size=(80, 6)), rng.normal(size=(80, 6))], axis=1
    )
    brain = Features(Y.astype(np.float32), table, pd.DataFrame({"region": np.repeat(["language", "noise"], 6)}))
    found = align_units({"first": first, "second": second}, brain, n_surrogates=80, n_random_sets=3, keys={"subject": "01"},
                        untrained={"first": [network(9)], "second": []})  # fmt: skip
    sets = align_unit_sets(
        first, {"top 4": top_by_brain(4)}, brain, n_surrogates=20, n_random_sets=3, keys={"subject": "01"}
    )
    return found, report(found, sets=sets, overview={"what": "test"}, notes=["a note"])


def test_scores_hold_every_row(page):
    found, result = page
    scores = result.scores
    assert {"pearson", "added_r2", "rsa", "rsa_partial", "cka", "cka_partial", "pearson_units"} <= set(scores["metric"])
    assert {"decoded", "layer 1 mlp_out", "best_layer", "oasm", "nuisance", "refit_null", "random_units"} <= set(
        scores["row"]
    )
    mine = scores[(scores["metric"] == "pearson") & (scores["region"] == "language") & (scores["model"] == "second")]
    assert {"oasm", "nuisance"} <= set(mine["row"])  # rows that no model enters stand beside each
    assert row_kind("oasm") == "control" and row_kind("untrained_mean") == "reference"
    first = scores.iloc[0]
    assert first["metric"] == "pearson" and first["row"] == "decoded" and first["subject"] == "01"
    assert found.value(metric="pearson", row="decoded", region="language", model="first") == pytest.approx(
        scores[
            (scores["metric"] == "pearson")
            & (scores["row"] == "decoded")
            & (scores["region"] == "language")
            & (scores["model"] == "first")
        ]["value"].iloc[0]
    )


def test_pictures_can_be_drawn_from_the_saved_result(page, tmp_path):
    again = Result.open(page[1].save(tmp_path))
    drawn = set()
    for panel in again.made_by["panels"]:
        args = {
            k: again.arrays[v[1:]] if isinstance(v, str) and v.startswith("@") else v for k, v in panel["args"].items()
        }
        assert registry.get("viz", panel["draw"])(**args).axes
        drawn.add(panel["draw"])
    assert {"alignment_matrix", "layer_alignment", "roi_bars", "null_histogram"} <= drawn


def test_reader_is_told_what_may_be_said(page):
    found, result = page
    notes = " ".join(result.made_by["notes"])
    assert {a["says"] for a in result.made_by["answers"]} >= {"not above chance in"}
    assert "a note" in notes and "Held out: 5 folds by passage" in notes
    levels = {f["check"]: f["level"] for f in result.made_by["audit"]["findings"]}
    assert levels["shuffled_split"] == "pass" and levels["untrained"] == "warn" and levels["random_units"] == "warn"
    call = found.calls.set_index(["metric", "model", "region"])["call"]
    assert call["pearson", "first", "language"] == "language" and call["pearson", "second", "noise"] == "none"
