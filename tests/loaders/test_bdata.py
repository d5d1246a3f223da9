"""Reader ``bdata`` on the twin of Generic Object Decoding, and on small files in the older and newer forms."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import bdata as reader
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin(
        "god", tmp_path_factory.mktemp("god") / "t", n_concepts=8, n_images=3, n_test=4, n_repeats=3, n_voxels=40
    )


@pytest.fixture
def source(twin):
    return open_source("god", root=twin.root)


def test_values_parts_and_ids(twin, source):
    assert source.subjects() == ["1", "2", "3"]
    windows = source.windows("1")
    with h5py.File(twin.root / "Subject1.h5") as file:
        keys = [k.decode() for k in file["metadata/key"][...]]
        value, data = file["metadata/value"][...], file["dataset"][...]
    voxels = value[keys.index("ROI_VC")] == 1
    kind = data[:, value[keys.index("DataType")] == 1].ravel()
    label = data[:, value[keys.index("stimulus_id")] == 1].ravel()
    assert np.allclose(windows.features(), data[kind < 3][:, voxels].astype(np.float32))
    assert windows.trials["part"].tolist() == ["train"] * 24 + ["test"] * 12
    first = f"{label[0]:.6f}".split(".")
    assert windows.trials["stimulus_id"][0] == f"n{int(first[0]):08d}_{int(first[1])}"
    assert set(windows.trials["stimulus_id"]) <= set(twin.features.ids)
    train, test = (windows.trials[windows.trials["part"] == p] for p in ("train", "test"))
    assert set(train["concept_id"]).isdisjoint(test["concept_id"])
    assert train["repetition"].max() == 0 and test["repetition"].max() == 2
    assert set(train["run"]) == {"train-1", "train-2"} and set(test["run"]) == {"test-1"}
    xyz = np.stack([value[keys.index(f"voxel_{a}")][voxels] for a in "xyz"], axis=1)
    assert np.allclose(windows.channels[["x", "y", "z"]], xyz / 1000)


def test_regions_are_named_by_the_smallest(twin, source):
    windows = source.windows("1")
    area = twin.truth()["1/area"]
    named = {0: "V1", 1: "LOC", 2: "FFA", 3: "VC"}
    assert windows.channels["region"].tolist() == [named[a] for a in area]
    some = reader.load(twin.root, "1", mask=["ROI_V1", "ROI_FFA"])
    assert some.n_channels == np.isin(area, [0, 2]).sum() and set(some.channels["region"]) == {"V1", "FFA"}


def test_imagery_is_opened_when_asked_for(twin):
    windows = reader.load(twin.root, "1", form="imagenet", parts=["test", "imagery"])
    counts = windows.trials["part"].value_counts()
    assert counts.to_dict() == {"test": 12, "imagery": 8}
    imagery = windows.trials.query("part == 'imagery'")
    assert set(imagery["stimulus_id"]) == set(windows.trials.query("part == 'test'")["stimulus_id"])
    assert imagery["repetition"].tolist() == [0] * 4 + [1] * 4


def write(path, *, old=False, vmap=None, drop=()):
    rng = np.random.default_rng(0)
    columns = {"DataType": np.array([1.0, 1, 2]), "Run": np.array([1.0, 2, 1]), "Label": np.array([7.0, 8, 9])}
    n = 4 + len(columns)
    rows = {"VoxelData": np.r_[np.ones(4), np.full(3, np.nan)], "ROI_A": np.r_[1, 1, 0, 0, np.full(3, np.nan)]}
    rows |= {name: np.where(np.arange(n) == 4 + i, 1.0, np.nan) for i, name in enumerate(columns)}
    rows = {k: v for k, v in rows.items() if k not in drop}
    data, meta = ("dataSet", "metaData") if old else ("dataset", "metadata")
    values = np.column_stack([rng.normal(size=(3, 4)), *columns.values()])
    with h5py.File(path, "w") as file:
        file[data] = values
        file[f"{meta}/key"] = list(rows)
        file[f"{meta}/value"] = np.array(list(rows.values()))
        for number, name in (vmap or {}).items():
            file[f"vmap/Label/{number}"] = name
    return values


@pytest.mark.parametrize("old", [False, True])
def test_both_spellings_and_names_of_stimuli(tmp_path, old):
    values = write(tmp_path / "S1.h5", old=old, vmap={"7.0": "cat", "8.0": "dog", "9.0": "owl"})
    windows = reader.load(tmp_path, "1", pattern="S{subject}.h5")
    assert np.allclose(windows.features(), values[:, :4], atol=1e-6)
    assert windows.trials["stimulus_id"].tolist() == ["cat", "dog", "owl"]
    write(tmp_path / "S1.h5", old=old)
    assert reader.load(tmp_path, "1", pattern="S{subject}.h5").trials["stimulus_id"].tolist() == ["7", "8", "9"]


def test_bad_input(tmp_path, twin):
    with pytest.raises(BraindecError, match=r"no key 'ROI_V2'"):
        reader.load(twin.root, "1", mask="ROI_V2")
    with pytest.raises(BraindecError, match="no file or folder"):
        reader.load(twin.root, "9")
    with pytest.raises(BraindecError, match="parts: 'tests' is unknown"):
        reader.load(twin.root, "1", parts=["tests"])
    with pytest.raises(BraindecError, match="form 'image' is unknown"):
        reader.load(twin.root, "1", form="image")
    write(tmp_path / "S1.h5", drop=("Label",))
    with pytest.raises(BraindecError, match="which key is the stimulus"):
        reader.load(tmp_path, "1", pattern="S{subject}.h5")
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UnreadableError, match=r"no BData file(.|\n)*\['x'\]"):
        reader.load(tmp_path, "1", pattern="S{subject}.h5")
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["dataset"], file["metadata/key"], file["metadata/value"] = np.zeros((3, 4)), ["a"], np.zeros((1, 5))
    with pytest.raises(UnreadableError, match="metadata do not fit"):
        reader.load(tmp_path, "1", pattern="S{subject}.h5")


def test_nan_voxels(tmp_path):
    write(tmp_path / "S1.h5")
    with h5py.File(tmp_path / "S1.h5", "r+") as file:
        file["dataset"][1, 2] = np.nan
    windows = reader.load(tmp_path, "1", pattern="S{subject}.h5")
    assert windows.channels["status"].tolist() == ["good", "good", "bad", "good"]
    assert "1 of 4 voxels" in windows.recordings[0].info["warnings"][0]


def test_numbers_of_images():
    assert reader._imagenet(1443537.022563) == "n01443537_22563"
    assert reader._imagenet(1518878.000007) == "n01518878_7"
    assert reader._imagenet(1518878.0) == "n01518878"


@pytest.mark.parametrize(
    ("key", "form"), [("DataType", "number"), ("stimulus_id", "number"), ("stimulus_id", "imagenet")]
)
def test_labels_that_are_not_known_are_refused(twin, tmp_path, key, form):
    path = tmp_path / "Subject1.h5"
    path.write_bytes((twin.root / "Subject1.h5").read_bytes())
    with h5py.File(path, "a") as file:
        data, meta = (
            next(n for n in names if n in file) for names in (("dataset", "dataSet"), ("metadata", "metaData"))
        )
        keys = [k.decode() for k in file[meta]["key"][...]]
        column = int(np.flatnonzero(file[meta]["value"][keys.index(key)] == 1)[0])
        values = file[data][:, column]
        values[:2] = np.nan
        file[data][:, column] = values
    with pytest.raises(UnreadableError, match=f"{key} is not known in 2 of"):
        reader.load(tmp_path, "1", form=form)


def test_other_shapes_and_one_part_by_name(twin, tmp_path):
    assert set(reader.load(twin.root, "1", parts="test").trials["part"]) == {"test"}
    path = tmp_path / "Subject1.h5"
    path.write_bytes((twin.root / "Subject1.h5").read_bytes())
    with h5py.File(path, "a") as file:
        data = next(n for n in ("dataset", "dataSet") if n in file)
        del file[data]
        file[data] = np.zeros(4)
    with pytest.raises(UnreadableError, match="no BData file"):
        reader.load(tmp_path, "1")
