"""One matrix a group of units: the same as each group alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.align.rsa.by_units import rdms_by_units
from braindec.align.rsa.rdm import compute_rdm
from braindec.errors import BraindecError
from braindec.types import Features


def features(tmp_path=None) -> Features:
    rng = np.random.default_rng(0)
    units = pd.DataFrame({"layer": [0, 1] * 10, "region": ["IFG"] * 8 + ["STG"] * 10 + [None] * 2})
    items = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(6)] * 2, "run": ["1"] * 6 + ["2"] * 6})
    made = Features(rng.standard_normal((12, 20)).astype(np.float32), items, units)
    return made if tmp_path is None else made.save(tmp_path / "f.h5")


def test_each_group_is_the_matrix_of_its_units(tmp_path):
    stored, plain = features(tmp_path), features().load()
    layers = rdms_by_units(stored, "layer", table={"model": "tiny"})
    assert list(layers.table.columns) == ["model", "layer", "n_units"] and list(layers.table.n_units) == [10, 10]
    assert np.allclose(layers.values[1], compute_rdm(plain[:, 1::2], conditions=stored.ids).values, atol=1e-10)
    both = rdms_by_units(
        stored, ["region", "layer"], measure="crossnobis", runs=stored.items["run"], noise=np.full(20, 4.0)
    )
    assert [tuple(r) for r in both.table[["region", "layer"]].to_numpy()] == [
        ("IFG", 0),
        ("IFG", 1),
        ("STG", 0),
        ("STG", 1),
    ]
    alone = compute_rdm(2 * plain[:, 8:18:2], measure="crossnobis", conditions=stored.ids, runs=stored.items["run"])
    assert np.allclose(both.values[2], alone.values, atol=1e-10)
    assert len(both.where(region="IFG")) == 2


@pytest.mark.parametrize(
    ("by", "options", "message"),
    [("lair", {}, "did you mean 'layer'"), ("layer", {"min_units": 11}, "layer 0 has 10 units"),
     ("layer", {"noise": np.eye(20)}, "precision of each unit")],
)  # fmt: skip
def test_what_cannot_be_grouped_is_one_clear_error(by, options, message):
    with pytest.raises(BraindecError, match=message):
        rdms_by_units(features(), by, measure="crossnobis" if "noise" in options else "correlation", **options)
