"""The language-network recipe: the planted truth comes out, and a model with random weights is called what it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.types import Result

SMALL = (
    "stimuli.n=40",
    "stimuli.n_held_out=16",
    "lesion.n_sets=20",
    "n_permutations=19",
    "n_untrained=2",
    "brain.n_subjects=2",
)


def go(tmp_path, *settings: str) -> tuple[pd.DataFrame, Result]:
    run(load_recipe("llm_language_network"), cohort=None, overrides=[*SMALL, *settings], only=None, jobs=1, scheduler=None, out=tmp_path / "out",
        cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    found = Result.open(next((tmp_path / "out" / "units").iterdir()))
    return found.scores, found


def row(scores: pd.DataFrame, metric: str, name: str = "decoded", region: str | None = None) -> pd.Series:
    kept = scores[(scores["metric"] == metric) & (scores["row"] == name)]
    return kept[kept["region"] == region].iloc[0] if region else kept.iloc[0]


@pytest.mark.slow
def test_the_planted_network_is_found_needed_and_predicts_language_regions(tmp_path):
    scores, found = go(tmp_path)
    effect = row(scores, "held_out_effect")
    assert effect["value"] > 1 and effect["low"] > 0.5 and effect["p"] == 1 / 20
    assert (
        row(scores, "held_out_effect", "random_units")["high"] < 0.3
        and row(scores, "held_out_effect", "untrained_network")["value"] < 0.5
    )
    assert row(scores, "split_half_r")["value"] > 0.6 and row(scores, "planted_auc")["value"] > 0.95
    for metric in ("surprisal_rise", "class_errors_rise"):
        lost, random = row(scores, metric), row(scores, metric, "random_units")
        assert lost["p"] == pytest.approx(1 / 21) and lost["low"] > 0.5
        assert random["high"] < 0.2 * lost["value"]  # sets may hold a tenth of the language units
    for region in ("IFG", "AntTemp", "PostTemp"):
        chosen = row(scores, "brain_r", region=region)
        assert (
            chosen["value"] > 0.5
            and chosen["value"] > row(scores, "brain_r", "unselective_units", region)["high"] + 0.2
        )
    assert abs(row(scores, "brain_r", region="V1")["value"]) < 0.2
    assert {p["draw"] for p in found.made_by["panels"]} == {"layer_units", "null_histogram", "roi_bars"}
    assert any("language units were planted" in note for note in found.made_by["notes"])
    assert len(found.arrays["units/t"]) == 1536 and np.isfinite(found.arrays["units/t"]).all()


@pytest.mark.slow
def test_a_model_with_random_weights_is_called_so_and_has_no_network(tmp_path):
    scores, found = go(tmp_path, "model.planted=false", "model.n_layers=2", "model.n_units=32")
    assert found.made_by["overview"]["weights"].startswith("random (untrained)")
    assert any("tokens a sentence" in note for note in found.made_by["notes"])
    untrained, own = row(scores, "held_out_effect", "untrained_network"), row(scores, "held_out_effect")
    assert abs(own["value"] - untrained["value"]) < 1
    assert not (scores["metric"] == "brain_r").any()


@pytest.mark.slow
def test_the_published_stimuli_go_through_the_recipe(tmp_path, shared):
    folder = shared("language-stimuli") / "langloc"
    scores, found = go(
        tmp_path,
        "model.n_layers=2",
        "model.n_units=32",
        f"stimuli.folder={folder}",
        "localizer.absolute=true",
        "localizer.sites=[resid_post]",
    )
    assert np.isfinite(row(scores, "split_half_r")["value"]) and any(
        "none truncated" in note for note in found.made_by["notes"]
    )
    assert found.made_by["overview"]["sentences for lesions"] == 16
