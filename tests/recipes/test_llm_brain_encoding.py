"""The recipe on a synthetic subject: the layer that drives the language regions, and what the page says of the others."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.twin import make_twin

ROOT = Path(__file__).resolve().parents[2]


def recipe():
    spec = importlib.util.spec_from_file_location("llm_brain_encoding", ROOT / "recipes" / "llm_brain_encoding.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_driving_layer_of_a_synthetic_subject():
    module = recipe()
    config = module.Config(sites=["mlp_out"], n_untrained=2, n_surrogates=40, n_random_sets=2, top_units=0, scores=["encoding"],
                           model={"steps": 4}, synthetic={"n_subjects": 1, "n_voxels": 8})  # fmt: skip
    assert module.units(config) == [{"subject": "01"}] and module.inputs(config, {"subject": "01"}) == []
    result = module.run(config, {"subject": "01"}, SimpleNamespace(seed=0, folder=None))
    scores = result.scores[result.scores["metric"] == "pearson"].set_index(["region", "row"])["value"]
    for region in ("IFG", "AntTemp", "PostTemp"):
        layers = [scores[region, f"layer {k} mlp_out"] for k in range(4)]
        assert scores[region, "decoded"] > scores[region, "untrained_mean"] and max(layers) == pytest.approx(
            layers[2], abs=0.03
        )
    assert scores["A1", "nuisance"] > scores["A1", "decoded"]
    assert abs(scores["V1", "decoded"]) < 0.25
    notes = " ".join(result.made_by["notes"])
    assert "driven IFG by layer 2" in notes and "averaged: 96 items" in notes
    assert np.isfinite(scores["IFG", "ceiling"])
    with pytest.raises(BraindecError, match="no subject"):
        module.units(module.Config(select={"subjects": ["07"]}))


def test_pereira_twin_asks_what_belongs_together(tmp_path):
    twin = make_twin("pereira", tmp_path / "pereira", n_subjects=1)
    module = recipe()
    plain = module.Config(data=twin.data, model={"steps": 0, "n_layers": 1, "n_units": 16, "n_heads": 2}, n_untrained=1, n_surrogates=0, n_random_sets=0,
                          top_units=0, scores=["encoding"])  # fmt: skip
    unit = module.units(plain)[0]
    work = SimpleNamespace(seed=0, folder=None)
    with pytest.raises(BraindecError, match="Several columns") as error:
        module.run(plain, unit, work)
    assert 'split="concept_id"' in str(error.value)


@pytest.mark.slow
def test_pereira_twin_runs_from_end_to_end(tmp_path):
    twin = make_twin("pereira", tmp_path / "pereira", n_subjects=1)
    module = recipe()
    plain = module.Config(data=twin.data, model={"steps": 0, "n_layers": 1, "n_units": 16, "n_heads": 2}, n_untrained=1, n_surrogates=0, n_random_sets=0,
                          top_units=0, scores=["encoding"])  # fmt: skip
    unit, work = module.units(plain)[0], SimpleNamespace(seed=0, folder=None)
    result = module.run(plain.model_copy(update={"split": "concept_id"}), unit, work)
    row = result.scores.iloc[0]
    assert row["row"] == "decoded" and row["n"] == 627 and abs(row["value"]) < 0.05
    assert result.made_by["overview"]["held out"] == "5 folds by concept_id"
