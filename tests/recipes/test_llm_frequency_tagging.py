"""The recipe on its made-up model and brain: what was planted is found, controls are where they must be; and on recordings."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.cache import Cache
from braindec.engine.recipe import Work, load_recipe
from braindec.errors import BraindecError
from braindec.loaders.twin import make_twin

QUICK = ["stimuli.n=216", "units.n_untrained=2", "brain.n_channels=24", "brain.n_subjects=1", "n_permutations=200"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagging")

    def go(*words):
        recipe = load_recipe("llm_frequency_tagging")
        config = recipe.config(None, [*QUICK, *words])
        unit = recipe.units(config)[0]
        return recipe.run(config, unit, Work(folder / "unit", Cache(folder / "cache"), 0))

    return go


@pytest.fixture(scope="module")
def result(run):
    return run("brain.snr=1.0")


def value(result, metric, row, region, band, column="value"):
    s = result.scores
    return s[(s["metric"] == metric) & (s["row"] == row) & (s["region"] == region) & (s["band"] == band)][column].item()


def test_what_was_planted_is_found(result):
    for what in ("channels", "units"):
        for rate in ("sentence", "phrase"):
            assert value(result, "auc_planted", "decoded", what, rate) > 0.9
    assert value(result, "tagged_channels", "decoded", "all channels", "sentence") > 0.2
    assert value(result, "tagged_channels", "decoded", "all channels", "sentence", "p") <= 0.05
    assert value(result, "tagged_channels", "decoded", "Hippocampus", "sentence", "p") > 0.05


def test_controls_are_told_apart(result):
    for rate in ("sentence", "phrase"):
        assert value(result, "tagged_units", "untrained", "units", rate) < 0.12  # two networks
        assert value(result, "tagged_units", "against within_sentence_shuffle", "units", rate) > 0.08
    assert value(result, "tagged_units", "untrained against within_sentence_shuffle", "units", "sentence") > 0.15
    assert {"A1", "MTG"} <= set(result.scores.loc[result.scores["metric"] == "spectra_rho", "region"])
    assert [p["draw"] for p in result.made_by["panels"]] == [
        "tag_spectrum",
        "tag_spectrum",
        "roi_bars",
        "roi_bars",
        "roi_bars",
        "roi_bars",
    ]
    assert any("label" in n.lower() and "permuted" in n for n in result.made_by["notes"])


def test_recordings_and_another_model(run, tmp_path):
    twin = make_twin("tagged_seeg", tmp_path / "twin", n_subjects=1)
    found = run(f"data.root={twin.data['root']}", "data.reader=bids", "data.options={datatype: ieeg}", "units.planted=false", "units.n_untrained=0",
                "stimuli.n=108", "stimuli.controls=[slot_shuffle]")  # fmt: skip
    assert value(found, "tagged_channels", "decoded", "all channels", "sentence") > 0.15
    assert "auc_planted" not in set(found.scores["metric"]) and np.isfinite(found.scores["low"]).all()


def test_too_few_sentences_are_told(run):
    with pytest.raises(BraindecError, match="two disjoint halves"):
        run("stimuli.n=20")
