"""Reader algonauts2025: episode parts, films seen twice, parcels and transcripts; and what is refused."""

from __future__ import annotations

import shutil

import h5py
import nibabel as nib
import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import algonauts2025
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("algonauts") / "a"
    return make_twin("algonauts2025", folder, seed=2, n_subjects=2, n_episodes=3, n_volumes=50, n_parcels=40)


@pytest.fixture
def copy(twin, tmp_path):
    return shutil.copytree(twin.root, tmp_path / "copy")


def series(root, task):
    return next((root / "fmri" / "sub-01" / "func").glob(f"*task-{task}_*.h5"))


def test_parts(twin):
    source = open_source("algonauts2025", root=twin.root)
    assert source.subjects() == ["01", "02"]
    runs = source.recordings("01")
    ids = [r.events["stimulus_id"].iloc[0] for r in runs]
    assert ids == ["s01e01a", "s01e01b", "s01e02a", "bourne01", "figures01", "figures01"]
    assert [r.info["run"] for r in runs][-2:] == ["figures01-1", "figures01-2"] and runs[2].info["session"] == "002"
    assert all(abs(1 / r.sfreq - 1.49) < 1e-12 for r in runs) and set(runs[0].channels["type"]) == {"parcel"}
    assert runs[0].events["onset"].iloc[0] == 0 and runs[0].n_times == 50
    assert runs[0].events["duration"].iloc[0] == pytest.approx(47 * 1.49)  # rows of the transcript
    with h5py.File(series(twin.root, "movie10")) as file:
        np.testing.assert_array_equal(runs[-1].load(), file["ses-004_task-figures01_run-2"][:].T)
    assert runs[-1].events["repetition"].iloc[0] == 2 and runs[0].info["space"] == "MNI152NLin2009cAsym"
    assert all(p.exists() for p in source.files("01")) and any("transcripts" in str(p) for p in source.files("01"))


def test_selection(twin):
    assert len(algonauts2025.load(twin.root, "01", task="movie10")) == 3
    assert [r.info["run"] for r in algonauts2025.load(twin.root, "02", stimulus="s01e01*")] == ["s01e01a", "s01e01b"]
    assert len(algonauts2025.load(twin.root / "fmri", "02", session="002")) == 2
    assert algonauts2025.subjects(twin.root, task="friends") == ["01", "02"]


def test_parcels_lie_where_the_atlas_says(twin):
    run = algonauts2025.load(twin.root, "01", stimulus="s01e01a")[0]
    image = nib.load(next((twin.root / "fmri" / "sub-01" / "atlas").glob("*.nii.gz")))
    labels = np.asarray(image.dataobj)
    for row in (0, 17, 39):
        centre = np.argwhere(labels == row + 1).mean(axis=0) @ image.affine[:3, :3].T + image.affine[:3, 3]
        np.testing.assert_allclose(run.positions[row] * 1000, centre, atol=1e-6)
    assert run.channels["label"].tolist() == list(range(1, 41)) and run.info["grid"] == list(labels.shape)


def test_names_of_parcels(copy):
    (copy / "names.tsv").write_text("index\tname\n" + "".join(f"{k}\tVis_{k}\n" for k in range(1, 41)))
    run = algonauts2025.load(copy, "01", stimulus="s01e01a", atlas_labels="names.tsv")[0]
    assert run.ch_names[:2] == ["Vis_1", "Vis_2"] and list(run.channels["region"])[:1] == ["Vis_1"]
    shutil.rmtree(copy / "fmri" / "sub-01" / "atlas")
    run = algonauts2025.load(copy, "01", stimulus="s01e01a", atlas_labels="names.tsv")[0]
    assert run.ch_names[:2] == ["Vis_1", "Vis_2"] and np.isnan(run.positions).all()
    assert any("no place" in w for w in run.info["warnings"])
    with pytest.raises(BraindecError, match="stay inside"):
        algonauts2025.load(copy, "01", atlas_labels="../names.tsv")


def test_without_transcripts_a_film_lasts_the_run(copy):
    shutil.rmtree(copy / "stimuli")
    run = algonauts2025.load(copy, "01", stimulus="bourne01")[0]
    assert run.events["duration"].iloc[0] == pytest.approx(run.duration)
    assert any("no transcript" in w for w in run.info["warnings"])


def test_bad_input(copy, tmp_path):
    with pytest.raises(BraindecError, match="no stimulus 's01e1a'.*did you mean"):
        algonauts2025.load(copy, "01", stimulus="s01e1a")
    with pytest.raises(BraindecError, match="no task 'friend'.*did you mean 'friends'"):
        algonauts2025.load(copy, "01", task="friend")
    with pytest.raises(BraindecError, match="no session"):
        algonauts2025.load(copy, "01", session="099")
    with pytest.raises(BraindecError, match="no subject"):
        algonauts2025.load(copy, "04")
    with pytest.raises(BraindecError, match="repetition time"):
        algonauts2025.load(copy, tr=1490)
    with pytest.raises(BraindecError, match="holds no time series of the Algonauts"):
        algonauts2025.load(tmp_path)
    with h5py.File(series(copy, "friends"), "a") as file:
        file["ses-009_task-s02e01a"] = np.zeros((20, 39), np.float32)
    with pytest.raises(BraindecError, match="differ in parcels") as found:
        algonauts2025.load(copy, "01", task="friends")
    assert "40 and 39" in str(found.value)
    with pytest.raises(BraindecError, match="parcellation of sub-01 is not that") as found:
        algonauts2025.load(copy, "01", stimulus="s02e01a")
    with h5py.File(series(copy, "friends"), "a") as file:
        file["whatever"] = np.zeros((20, 40), np.float32)
    with pytest.raises(UnreadableError, match="no episode part"):
        algonauts2025.load(copy, "01")
    series(copy, "friends").write_bytes(b"")
    with pytest.raises(UnreadableError, match="empty"):
        algonauts2025.load(copy, "01")


def transcript(root):
    return next((root / "stimuli" / "transcripts" / "friends").glob("*/friends_s01e01a.tsv"))


@pytest.mark.parametrize("content", [b"", b"text_per_tr\n", b"text_per_tr\nhello\n"])
def test_a_transcript_that_was_cut_short_never_ends_the_film(copy, content):
    transcript(copy).write_bytes(content)
    with pytest.raises(BraindecError, match="the transcript of s01e01a does not cover the film"):
        algonauts2025.load(copy, "01")


def test_a_transcript_that_is_no_text_and_a_parcellation_that_ends_early(copy):
    path = transcript(copy)
    whole = path.read_bytes()
    path.write_bytes(whole + "é".encode("latin-1"))
    with pytest.raises(UnreadableError, match="cannot be read as a table"):
        algonauts2025.load(copy, "01")
    path.write_bytes(whole)
    atlas = next((copy / "fmri" / "sub-01" / "atlas").glob("*_parcellation.nii.gz"))
    atlas.write_bytes(atlas.read_bytes()[:-40])
    with pytest.raises(UnreadableError, match="cannot be read"):
        algonauts2025.load(copy, "01")
