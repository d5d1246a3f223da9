"""The recipe of balanced networks at a small size: rows, controls and pictures."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError


@pytest.fixture(scope="module")
def recipe():
    import importlib.util

    from braindec import registry

    spec = importlib.util.spec_from_file_location(
        "balanced_network", registry.file("recipes", ".py", "balanced_network")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Work:
    seed = 3


def test_small_networks_have_rows_controls_and_pictures(recipe):
    points = [{"name": "mine", "g": 5.0, "eta": 2.0}, {"name": "other", "g": 3.0, "eta": 2.0}]
    config = recipe.Config(
        n_seeds=3, warm_up=0.1, n_shifts=9, cuba={"n": 1000, "seconds": 0.4},
        brunel={"n_excitatory": 800, "weight": 5e-4, "seconds": 0.2, "points": points},
    )  # fmt: skip
    assert recipe.units(config) == [{"network": "brunel"}, {"network": "cuba"}]
    for unit in recipe.units(config):
        result = recipe.run(config, unit, Work())
        scores = result.scores
        assert {"decoded", "network", "unconnected", "shifted_trains"} <= set(scores["row"])
        depth = scores[scores["metric"] == "synchrony_depth"]
        decoded, shifted = (depth[depth["row"] == r]["value"].to_numpy() for r in ("decoded", "shifted_trains"))
        assert (decoded > shifted).all() and (depth["p"].dropna() == 0.1).all()
        assert len(result.made_by["answers"]) == len(decoded)
        assert {p["draw"] for p in result.made_by["panels"]} == {"raster", "rate_curve", "interval_histogram"}
        assert all(np.size(a) for a in result.arrays.values())
    assert "Hz a neuron" in result.made_by["answers"][0]
    with pytest.raises(BraindecError, match="did you mean 'SI fast'"):
        recipe.points_of(recipe.Config(brunel={"points": ["SI fst"]}), "brunel")
