"""Reader lebel: stories, repeats, voxels in the mask's order, words; and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil

import h5py
import nibabel as nib
import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._series_signal import SeriesSignal
from braindec.loaders._textgrid import read_textgrid, textgrid_seconds
from braindec.loaders.readers import lebel
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("lebel", tmp_path_factory.mktemp("lebel") / "a", seed=2, n_subjects=2, n_stories=3, n_volumes=60)


@pytest.fixture
def copy(twin, tmp_path):
    return shutil.copytree(twin.root, tmp_path / "copy")


def responses(root, who, story):
    return root / "derivative" / "preprocessed_data" / who / f"{story}.hf5"


def test_stories(twin):
    source = open_source("lebel-ds003020", root=twin.root)
    assert source.subjects() == ["UTS01", "UTS02"]
    runs = source.recordings("UTS01")
    assert [r.info["run"] for r in runs] == ["adollshouse", "buck", *(f"wheretheressmoke-{k}" for k in (1, 2, 3))]
    assert [r.events["stimulus_id"].iloc[0] for r in runs] == ["adollshouse", "buck", *["wheretheressmoke"] * 3]
    first = runs[0]
    assert first.sfreq == 0.5 and first.n_times == 60 and set(first.channels["type"]) == {"voxel"}
    assert first.events["onset"].iloc[0] == -10.0  # row 0 is 20 s into the scan, the sound began 10 s into it
    assert first.events["duration"].iloc[0] == 60 * 2 + 2 * 20 - 2 * 10 and not first.info["warnings"]
    with h5py.File(responses(twin.root, "UTS01", "wheretheressmoke")) as file:
        np.testing.assert_array_equal(runs[3].load(), file["individual_repeats"][1].T)
        np.testing.assert_array_equal(
            runs[2].signal[[5, 2, 5], 10:13], file["individual_repeats"][0, 10:13][:, [5, 2, 5]].T
        )
    assert runs[4].events["repetition"].iloc[0] == 3
    assert set(source.files("UTS01")) >= {
        responses(twin.root, "UTS01", "buck"),
        twin.root / "derivative" / "respdict.json",
    }


def test_mean_of_repeats_and_one_story(twin):
    (mean,) = lebel.load(twin.root, "UTS02", story="wheretheressmoke", repeats="mean")
    each = lebel.load(twin.root, "UTS02", story="wheretheressmoke")
    np.testing.assert_allclose(mean.load(), np.mean([r.load() for r in each], axis=0), atol=1e-6)
    assert mean.info["run"] == "wheretheressmoke"


def test_voxels_are_those_of_the_mask_in_its_order(twin):
    (run,) = lebel.load(twin.root, "UTS01", story="buck")
    image = nib.load(twin.root / "derivative/pycortex-db/UTS01/transforms/UTS01_auto/mask_thick.nii.gz")
    k, j, i = np.nonzero(np.asarray(image.dataobj).T)  # pycortex: the transposed array, last index fastest
    np.testing.assert_array_equal(run.channels[["i", "j", "k"]].to_numpy(), np.stack([i, j, k], axis=1))
    mm = run.channels[["i", "j", "k"]].to_numpy() @ image.affine[:3, :3].T + image.affine[:3, 3]
    np.testing.assert_allclose(run.positions * 1000, mm)
    assert run.info["grid"] == list(image.shape) and np.allclose(run.info["affine"], image.affine)


def test_any_folder_of_the_tree_will_do(twin):
    for root in (twin.root, twin.root / "derivative", twin.root / "derivative" / "preprocessed_data"):
        assert len(lebel.load(root, "UTS01", story="buck")) == 1
    again = pickle.loads(pickle.dumps(lebel.load(twin.root, "UTS01", story="buck")[0]))
    assert again.load().shape == again.signal.shape


def test_words(twin):
    (run,) = lebel.load(twin.root, "UTS01", story="buck", words=True)
    words = run.events[run.events["trial_type"] == "word"]
    table = read_textgrid(twin.root / "derivative" / "TextGrids" / "buck.TextGrid")
    assert len(words) == len(table) > 100 and list(words["word"]) == list(table["text"])
    np.testing.assert_allclose(words["onset"], table["onset"] - 10.0)
    assert words["stimulus_id"].isna().all()


def test_without_mask_and_textgrid(copy):
    shutil.rmtree(copy / "derivative" / "pycortex-db")
    shutil.rmtree(copy / "derivative" / "TextGrids")
    (run,) = lebel.load(copy, "UTS01", story="buck")
    assert (run.channels[["i", "j", "k"]] == -1).all().all() and np.isnan(run.positions).all()
    assert run.events["onset"].iloc[0] + run.events["duration"].iloc[0] == run.duration
    assert any("no place" in w for w in run.info["warnings"]) and any("no TextGrid" in w for w in run.info["warnings"])
    with pytest.raises(BraindecError, match="no TextGrid"):
        lebel.load(copy, "UTS01", story="buck", words=True)


def test_a_wrong_cut_is_said(twin):
    (run,) = lebel.load(twin.root, "UTS01", story="buck", cut_start=5)
    assert any("respdict.json" in w and "cut_start" in w for w in run.info["warnings"])


def test_bad_input(copy, tmp_path):
    with pytest.raises(BraindecError, match="no story 'bucc'.*did you mean 'buck'"):
        lebel.load(copy, "UTS01", story="bucc")
    with pytest.raises(BraindecError, match="no subject 'UTS1'.*did you mean"):
        lebel.load(copy, "UTS1")
    with pytest.raises(BraindecError, match="tr must be a repetition time"):
        lebel.load(copy, tr=2000)
    with pytest.raises(BraindecError, match="repeats"):
        lebel.load(copy, repeats="all")
    with pytest.raises(BraindecError, match="no preprocessed responses"):
        lebel.load(tmp_path / "copy" / "twin")
    with h5py.File(responses(copy, "UTS01", "buck"), "w") as file:
        file["data"] = np.zeros((62, 11), np.float32)
    with pytest.raises(BraindecError, match="differ in voxels: adollshouse and buck") as found:
        lebel.load(copy, "UTS01")
    assert "and 11 voxels" in str(found.value)
    with h5py.File(responses(copy, "UTS01", "buck"), "w") as file:
        file["resp"] = np.zeros((62, 11), np.float32)
    with pytest.raises(UnreadableError, match="does not hold the responses"):
        lebel.load(copy, "UTS01")
    responses(copy, "UTS01", "buck").write_bytes(b"not hdf5 at all")
    with pytest.raises(BraindecError, match="cannot be opened as HDF5"):
        lebel.load(copy, "UTS01")
    responses(copy, "UTS01", "buck").unlink()
    responses(copy, "UTS01", "buck").symlink_to("../../.git/annex/objects/aa/bb/missing")
    with pytest.raises(UnreadableError, match="datalad get"):
        lebel.load(copy, "UTS01")
    (copy / "derivative" / "respdict.json").write_text(json.dumps([1, 2]))
    with pytest.raises(UnreadableError, match="not a table of lengths"):
        lebel.load(copy, "UTS02", story="buck")


def test_series_reads_any_part(tmp_path):
    values = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float64)
    path = tmp_path / "a.hf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, chunks=(7, 9), compression="gzip")
    signal = SeriesSignal(path, "data")
    for rows in (slice(None), slice(3, 30, 4), np.array([39, 0, 17]), np.array([4, 4, 2])):
        np.testing.assert_allclose(signal.read(rows, 5, 22), values[5:22].T[rows], rtol=1e-6)
    other = tmp_path / "b.hf5"
    with h5py.File(other, "w") as file:
        both = values[None] * np.array([1, 2])[:, None, None]
        file.create_dataset("packed", data=both, chunks=(1, 7, 9), compression="gzip")
        file["plain"] = both
    for name in ("packed", "plain"):
        signal = SeriesSignal(other, name, repetition=1)
        for rows in (slice(None), np.array([9]), np.array([4, 4, 2])):
            np.testing.assert_allclose(signal.read(rows, 5, 22), 2 * values[5:22].T[rows], rtol=1e-6)
    with pytest.raises(BraindecError, match="no dataset 'dta'"):
        SeriesSignal(path, "dta")
    with pytest.raises(BraindecError, match="is not \\(repetition"):
        SeriesSignal(path, "data", repetition=0)


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "word"
        xmin = 0
        xmax = 2.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.75
            text = "say ""3"" 4.5"
        intervals [2]:
            xmin = 0.75
            xmax = 2.5
            text = ""
    item [2]:
        class = "TextTier"
        name = "clicks 2"
        xmin = 0
        xmax = 2.5
        points: size = 1
        points [1]:
            number = 1.25
            mark = "x"
"""
SHORT = """File type = "ooTextFile"
"TextGrid"

0
2.5
<exists>
1
"IntervalTier"
"word"
0
2.5
1
0
2.5
"ünter"
"""


def test_textgrids(tmp_path):
    (tmp_path / "long.TextGrid").write_text(LONG, encoding="utf8")
    table = read_textgrid(tmp_path / "long.TextGrid")
    assert table["text"].tolist() == ['say "3" 4.5', "", "x"] and table["tier"].tolist() == ["word", "word", "clicks 2"]
    assert table["onset"].tolist() == [0, 0.75, 1.25] and table["duration"].tolist() == [0.75, 1.75, 0]
    (tmp_path / "short.TextGrid").write_text(SHORT, encoding="utf-16")
    short = read_textgrid(tmp_path / "short.TextGrid")
    assert short["text"].tolist() == ["ünter"] and textgrid_seconds(tmp_path / "short.TextGrid") == 2.5
    (tmp_path / "cut.TextGrid").write_text(LONG[:400])
    with pytest.raises(UnreadableError, match="cannot be read as a TextGrid"):
        read_textgrid(tmp_path / "cut.TextGrid")
    (tmp_path / "no.TextGrid").write_text("hello")
    with pytest.raises(UnreadableError, match="is not a TextGrid"):
        read_textgrid(tmp_path / "no.TextGrid")


def test_a_mask_that_ends_early_is_named(copy):
    mask = next((copy / "derivative" / "pycortex-db" / "UTS01").rglob("mask_thick.nii.gz"))
    mask.write_bytes(mask.read_bytes()[:-30])
    with pytest.raises(UnreadableError, match="mask_thick.nii.gz cannot be read"):
        lebel.load(copy, "UTS01")
