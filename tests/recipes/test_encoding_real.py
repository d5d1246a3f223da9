"""The encoding and decoding recipes on real recordings: one slice of Haxby et al. 2001, and handwritten digits."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.types import Result


@pytest.fixture
def results(shared, tmp_path, monkeypatch):
    def go(recipe: str, cohort: str, *settings: str) -> tuple[pd.DataFrame, Result]:
        data = shared(load_recipe(recipe).config(cohort, []).data.dataset).parent
        monkeypatch.setitem(os.environ, "BRAINDEC_DATA", str(data))
        out = tmp_path / "out"
        run(load_recipe(recipe), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None, out=out,
            cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
        found = Result.open(out / "units" / "subject-01")
        return found.scores, found

    return go


def row(scores: pd.DataFrame, metric: str, region: str, name: str = "decoded", band: str | None = None) -> pd.Series:
    kept = scores[(scores["metric"] == metric) & (scores["region"] == region) & (scores["row"] == name)]
    return kept[kept["band"] == band].iloc[0] if band else kept.iloc[0]


@pytest.mark.slow
def test_categories_and_motion_drive_one_slice(results):
    scores, found = results(
        "voxelwise_encoding", "haxby-slice-encoding", "statistics.n_surrogates=39", "encoder.n_draws=10"
    )
    chosen, null = row(scores, "pearson", "reliable"), row(scores, "pearson", "reliable", "refit_null")
    assert chosen["value"] > 0.4 > 0.05 > null["high"] and chosen["p"] == 1 / 40
    assert chosen["low"] > null["high"]
    unique = row(scores, "unique_r2", "reliable", band="category")
    assert unique["low"] > 0.1 and unique["value"] > row(scores, "unique_r2", "reliable", band="motion")["value"]
    by_voxel, ceiling = found.arrays["unique_r2/category"], found.arrays["ceiling"]
    assert np.corrcoef(by_voxel, ceiling)[0, 1] > 0.8  # what categories explain lies where responses repeat
    assert {p["draw"] for p in found.made_by["panels"]} >= {
        "voxel_map",
        "score_ceiling",
        "roi_bars",
        "band_shares",
        "null_histogram",
    }


@pytest.mark.slow
def test_pictures_of_digits_drive_the_visual_areas(results):
    scores, found = results(
        "voxelwise_encoding", "fmri_digits69_images", "statistics.n_surrogates=39", "statistics.unique=false"
    )
    for area in ("V1", "V2", "V3"):
        got, null = row(scores, "pearson", area), row(scores, "pearson", area, "refit_null")
        assert got["value"] > 0.15 and got["p"] == 1 / 40 and got["low"] > null["high"]
    assert not np.isfinite(found.arrays["ceiling"]).any()  # every picture is shown once
    assert "map/indices" in found.arrays  # the file says nothing of millimetres


def test_pixels_of_digits_are_read(results):
    scores, _ = results("feature_decoding", "fmri_digits69_pixels", "n_permutations=99")
    value = scores.set_index(["metric", "row"])["value"]
    assert value["item_correlation", "decoded"] >= 0.70
    assert value["identification_within", "decoded"] >= 0.78
    assert abs(value["identification_within", "class known"] - 0.5) < 0.06
    p = scores.set_index(["metric", "row"])["p"]
    assert p["identification_within", "decoded"] == 0.01 and p["identification_within", "label_shuffle"] > 0.05
