"""Features from every kind of file."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.features import load_features
from braindec.types import Features

VALUES = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
IDS = ["a/1", "a/2", "b/1", "b/2", "c"]


def written(kind, folder):
    path = folder / f"f.{kind}"
    if kind == "h5":
        Features.from_array(VALUES, IDS).save(path)
    elif kind == "npz":
        np.savez(path, values=VALUES, stimulus_id=np.array(IDS), concept_id=np.array(list("aabbc")))
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["values"], file["stimulus_id"], file["concept_id"] = VALUES, IDS, list("aabbc")
    else:
        table = pd.DataFrame(VALUES, columns=["u0", "u1", "u2"]).assign(stimulus_id=IDS, concept_id=list("aabbc"))
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["h5", "npz", "hdf5", "csv", "tsv"])
def test_every_kind_gives_the_same_features(kind, tmp_path):
    found = load_features(written(kind, tmp_path))
    assert list(found.ids) == IDS
    np.testing.assert_allclose(found.load(), VALUES, rtol=1e-6)
    np.testing.assert_allclose(found.of(["c", "a/2"]), VALUES[[4, 1]], rtol=1e-6)
    if kind != "h5":
        assert list(found.items["concept_id"]) == list("aabbc")


def test_ids_stay_text(tmp_path):
    (tmp_path / "f.csv").write_text("stimulus_id,x\n001,1.5\n002,2.5\n")
    assert list(load_features(tmp_path / "f.csv").ids) == ["001", "002"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("id,x\n1,2\n", "no column stimulus_id"),
        ("stimulus_id,x\na,1\na,2\n", "stand twice"),
        ("stimulus_id,word\na,b\n", "no numeric column"),
        ("stimulus_id,x\na,\nb,1\n", "not finite"),
        ("", "empty"),
        ("stimulus_id,x\n,1\n", "have no stimulus_id"),
    ],
)
def test_tables_that_do_not_fit(text, said, tmp_path):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(BraindecError, match=said):
        load_features(tmp_path / "f.csv")


@pytest.mark.parametrize(
    "arrays, said",
    [
        ({"values": VALUES}, "no array 'stimulus_id'"),
        ({"value": VALUES, "stimulus_id": IDS}, "did you mean 'value'"),
        ({"values": VALUES, "stimulus_id": IDS[:3]}, "differ in number"),
        ({"values": VALUES[0], "stimulus_id": IDS[:3]}, "item, unit"),
    ],
)
def test_archives_that_do_not_fit(arrays, said, tmp_path):
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(BraindecError, match=said):
        load_features(tmp_path / "f.npz")


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "f.npz", values=VALUES, stimulus_id=np.array([["a"], ["b", "c"], [], [], []], dtype=object))
    with pytest.raises(UnreadableError, match="not unpickled"):
        load_features(tmp_path / "f.npz")


def test_damaged_and_unknown_files(tmp_path):
    whole = written("h5", tmp_path).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[:200])
    (tmp_path / "f.txt").write_text("a")
    for name, said in (("cut.h5", "HDF5"), ("f.txt", "cannot be read as features"), ("none.csv", "there is no file")):
        with pytest.raises(BraindecError, match=said):
            load_features(tmp_path / name)
