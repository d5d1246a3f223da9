"""The recipe on its made-up model and brain, and on given matrices: what was planted is found, controls are where they must be."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.cache import Cache
from braindec.engine.recipe import Work, load_recipe
from braindec.errors import BraindecError

QUICK = [
    "synthetic.n_stories=14",
    "synthetic.n_subjects=4",
    "n_untrained=1",
    "statistics.n_bootstrap=6",
    "statistics.n_permutations=60",
    "model.steps=0",
]


def go(folder, *words, cohort=None):
    recipe = load_recipe("llm_brain_rsa")
    config = recipe.config(cohort, list(words))
    return recipe.run(config, recipe.units(config)[0], Work(folder / "unit", Cache(folder / "cache"), 0))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return go(tmp_path_factory.mktemp("rsa"), *QUICK)


def value(result, row, region, metric="corr_cov", column="value"):
    s = result.scores
    return s[(s["metric"] == metric) & (s["row"] == row) & (s["region"] == region)][column].item()


def test_what_was_planted_is_found(result):
    for region in ("IFG", "AntTemp", "PostTemp"):
        assert value(result, "decoded", region) > 0.4
        layers = {k: value(result, f"layer {k}", region) for k in range(4)}
        assert max(layers, key=layers.get) == 2  # the layer that drives it
        assert value(result, "layer 2", region, column="p_max") <= 0.05
        assert value(result, "decoded", region, "partial_linear") > 0.3 and "layer 2" in value(
            result, "decoded", region, "partial_linear", "note"
        )


def test_controls(result):
    assert abs(value(result, "decoded", "V1")) < 0.2 and value(result, "passage", "V1") > 0.4
    assert value(result, "length", "A1") > value(result, "decoded", "A1") + 0.2
    assert value(result, "decoded", "A1", "partial_linear", "p") > 0.05
    assert value(result, "over length", "IFG", "corr_cov_difference") > 0.2
    assert value(result, "noise_ceiling_lower", "IFG") < value(result, "noise_ceiling_upper", "IFG")
    assert abs(value(result, "label_shuffle", "IFG")) < 0.1
    draws = [p["draw"] for p in result.made_by["panels"]]
    assert draws == ["roi_bars", *["model_bars"] * 5, "roi_bars"]
    assert any("truth known" in n for n in result.made_by["notes"])


def test_given_matrices(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINDEC_DATA", str(shared("images92").parent))
    found = go(tmp_path, "statistics.n_permutations=60", cohort="images92")
    rows = found.scores[(found.scores["row"] == "decoded") & (found.scores["metric"] == "corr_cov")].set_index("model")[
        "value"
    ]
    assert rows["animacy"] > rows["V1"] and len(rows) == 8
    assert {"partial_linear", "explained_variance"} <= set(found.scores["metric"])
    assert np.isfinite(found.arrays["bars/hIT/ceiling"]).all()


def test_messages(tmp_path):
    with pytest.raises(BraindecError, match="cannot be found"):
        go(tmp_path, "rdms.data=gone.mat", "rdms.models=gone.mat")
    (tmp_path / "d.npy").write_bytes(b"")
    with pytest.raises(BraindecError, match="models too"):
        go(tmp_path, f"rdms.data={tmp_path / 'd.npy'}")


def test_one_subject_is_warned_of_and_wrong_settings_are_one_error(tmp_path):
    few = ["synthetic.n_stories=8", "synthetic.n_subjects=1", "n_untrained=1", "statistics.n_bootstrap=4", "statistics.n_permutations=20", "model.steps=0"]  # fmt: skip
    assert any("not for new subjects" in text for text in go(tmp_path, *few).made_by["warnings"])
    with pytest.raises(BraindecError, match="no column 'concept_di'; did you mean 'concept_id'"):
        go(tmp_path, *few, "groups=concept_di")
