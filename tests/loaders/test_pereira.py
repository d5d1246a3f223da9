"""Reader pereira: sentences, passages, topics, regions of both releases; and what is refused."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
import scipy.io

from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.splits import split_by
from braindec.loaders._matlab import texts
from braindec.loaders.readers import pereira
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("pereira", tmp_path_factory.mktemp("pereira") / "a", seed=2, n_subjects=2)


def cell(*items):
    out = np.empty((len(items), 1), dtype=object)
    for k, item in enumerate(items):
        out[k, 0] = item
    return out


def older(folder, n=6, voxels=5, **changes):
    """A file of the older release: 6 sentences of 3 passages on 2 topics."""
    rng = np.random.default_rng(0)
    content = {
        "examples": rng.standard_normal((n, voxels)),
        "keySentences": cell(*(f"Sentence {k}." for k in range(n))),
        "labelsPassageForEachSentence": np.repeat([1, 2, 3], n // 3)[None].astype(float),
        "keyPassages": cell("Apple", "Pear", "Hammer"),
        "labelsPassageCategory": np.array([[1], [1], [2]]),
        "keyPassageCategory": cell(cell("fruit"), cell("tool")).T,
        "meta": {
            "dimx": 4.0, "dimy": 5.0, "dimz": 6.0, "colToCoord": np.array([[1, 1, 1], [2, 1, 1], [3, 2, 2], [4, 5, 6], [1, 2, 3]])[:voxels],
            "roiMultimaskAAL": np.array([[0], [2], [1], [1], [0]])[:voxels], "roisAAL": cell("Precentral_L", "Insula_R"),
        },
        **changes,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / "examples_384sentences.mat", {k: v for k, v in content.items() if v is not None})
    return content


def test_sentences(twin):
    source = open_source("pereira2018", root=twin.root)
    assert source.subjects() == ["M08", "P01"]
    both, one = source.windows("P01"), source.windows("M08")
    assert both.shape == (627, twin.about["n_voxels"], 1) and len(one) == 384
    trials = both.trials
    assert trials["stimulus_id"].is_unique and trials["session"].value_counts().to_dict() == {
        "384sentences": 384,
        "243sentences": 243,
    }
    assert trials["concept_id"].nunique() == 96 + 72 and trials["topic"].nunique() == 24
    assert trials.groupby("concept_id")["topic"].nunique().max() == 1 and "repetition" not in trials
    assert trials["sentence"].str.endswith(".").all() and trials.loc[0, "passage"] == "passage 1"
    stored = scipy.io.loadmat(twin.root / "P01" / "data_243sentences.mat")
    np.testing.assert_array_equal(both.load()[384:, :, 0], stored["examples_passagesentences"])
    assert trials.loc[384, "sentence"] == texts(stored["keySentences"])[0]
    np.testing.assert_array_equal(both.channels[["i", "j", "k"]] + 1, stored["meta"]["colToCoord"][0, 0])
    assert pickle.loads(pickle.dumps(both)).load([3]).shape == (1, twin.about["n_voxels"], 1)
    assert [p.name for p in source.files("P01")] == ["data_384sentences.mat", "data_243sentences.mat"]


def test_whole_passages_are_held_out(twin):
    trials = pereira.load(twin.root, "M08").trials
    for split in split_by(trials, "concept_id", n_folds=6):
        held, kept = trials["concept_id"].iloc[split.test], trials["concept_id"].iloc[split.train]
        assert not set(held) & set(kept)


def test_regions(twin):
    named = pereira.load(twin.root, "M08", atlas="regions")
    truth = twin.truth()["region"]
    region = named.channels["region"].to_numpy()
    np.testing.assert_array_equal(region == "n/a", truth == 0)
    np.testing.assert_array_equal(region == "temporal", (truth & 2) > 0)  # the later region of two wins
    kept = pereira.load(twin.root, "M08", atlas="languageLH", inside=True)
    inside = pereira.load(twin.root, "M08", atlas="languageLH").channels["region"] == "LH_temporal"
    assert kept.n_channels == inside.sum() > 20
    np.testing.assert_array_equal(kept.load([7])[0], named.load([7])[0][inside.to_numpy()])
    with pytest.raises(BraindecError, match="no atlas 'languageLh'.*did you mean 'languageLH'"):
        pereira.load(twin.root, "M08", atlas="languageLh")
    with pytest.raises(BraindecError, match="inside needs an atlas"):
        pereira.load(twin.root, "M08", inside=True)


def test_older_release(tmp_path):
    content = older(tmp_path / "M02" / "M02")
    found = pereira.load(tmp_path, "M02", atlas="AAL")
    np.testing.assert_allclose(found.load()[:, :, 0], content["examples"], rtol=1e-6)
    assert found.trials["passage"].tolist() == ["Apple"] * 2 + ["Pear"] * 2 + ["Hammer"] * 2
    assert found.trials["topic"].tolist() == ["fruit"] * 4 + ["tool"] * 2
    assert found.channels["region"].tolist() == ["n/a", "Insula_R", "Precentral_L", "Precentral_L", "n/a"]
    assert found.recordings[0].info["grid"] == [4, 5, 6] and found.channels.loc[3, ["i", "j", "k"]].tolist() == [
        3,
        4,
        5,
    ]


def test_order_of_rows_follows_the_labels(tmp_path):
    older(tmp_path / "M02", labelsSentences=np.array([[6, 5, 4, 3, 2, 1]]).T)
    trials = pereira.load(tmp_path).trials
    assert trials["stimulus_id"].iloc[0] == "384sentences-006" and trials["passage"].iloc[0] == "Hammer"


def test_concepts(tmp_path):
    for kind in ("sentences", "pictures"):
        folder = tmp_path / "P01"
        older(
            folder,
            keyConcept=cell("ability", "bird", "art", "tree", "dog", "word"),
            labelsConcept=np.arange(1, 7)[None],
        )
        (folder / "examples_384sentences.mat").rename(folder / f"data_180concepts_{kind}.mat")
    found = pereira.load(tmp_path, "P01", experiment=["180concepts_sentences", "180concepts_pictures"])
    assert found.trials["concept_id"].iloc[:2].tolist() == ["ability", "bird"] and len(found) == 12
    assert found.trials["repetition"].tolist() == [1] * 6 + [2] * 6
    with pytest.raises(BraindecError, match="no experiment 'pictures'"):
        pereira.load(tmp_path, "P01", experiment="pictures")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": None}, "holds no responses"),
        ({"meta": None}, "does not say where its voxels are"),
        ({"meta": {"dimx": 4.0}}, "does not say where its voxels are"),
        ({"meta": {"colToCoord": np.ones((4, 3))}}, "colToCoord does not fit"),
        ({"meta": {"dimensions": [2, 2, 2], "colToCoord": np.full((5, 3), 3)}}, "outside their grid"),
        ({"keySentences": None}, "lacks keySentences"),
        ({"labelsSentences": np.ones((4, 1))}, "does not fit the examples"),
        ({"labelsPassageForEachSentence": np.array([[1, 1, 2, 2, 3, 9]])}, "numbers without a name"),
    ],
)
def test_bad_files(tmp_path, changes, message):
    older(tmp_path / "M02", **changes)
    with pytest.raises(BraindecError, match=message):
        pereira.load(tmp_path, "M02")


def test_bad_input(twin, tmp_path):
    with pytest.raises(BraindecError, match="no subject 'P1'.*did you mean 'P01'"):
        pereira.load(twin.root, "P1")
    with pytest.raises(BraindecError, match="which subject"):
        pereira.load(twin.root)
    with pytest.raises(BraindecError, match="holds no responses of Pereira"):
        pereira.load(tmp_path)
    shutil.copytree(twin.root / "P01", tmp_path / "P01")
    path = tmp_path / "P01" / "data_243sentences.mat"
    other = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    meta = {n: other["meta"][0, 0][n] for n in other["meta"].dtype.names}
    other["meta"] = {**meta, "colToCoord": meta["colToCoord"][:-1]}
    other["examples_passagesentences"] = other["examples_passagesentences"][:, :-1]
    scipy.io.savemat(path, other)
    with pytest.raises(BraindecError, match="differ in voxels"):
        pereira.load(tmp_path, "P01")
    assert len(pereira.load(tmp_path, "P01", experiment="243sentences")) == 243
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(UnreadableError, match="was cut short"):
        pereira.load(tmp_path, "P01")
    path.write_bytes(b"something else" * 20)
    with pytest.raises(UnreadableError, match="cannot be read as a MATLAB file"):
        pereira.load(tmp_path, "P01")
    path.write_bytes(b"")
    with pytest.raises(UnreadableError, match="empty"):
        pereira.load(tmp_path, "P01")
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n".rjust(392) + b"\x00" * 64)
    with pytest.raises(UnreadableError, match="7.3"):
        pereira.load(tmp_path, "P01")


def test_an_experiment_without_a_file_is_said_and_a_dead_link_refused(twin, tmp_path):
    root = shutil.copytree(twin.root, tmp_path / "copy")
    path = root / "P01" / "data_243sentences.mat"
    path.unlink()
    windows = pereira.load(root, "P01")
    assert windows.recordings[0].info["warnings"] == ["P01 has no file of 243sentences: left out"]
    path.symlink_to("annex/content")
    for ask in (pereira.load, pereira.files):
        with pytest.raises(UnreadableError, match="a link to a file that is not here"):
            ask(root, "P01")
