"""Reader hcp7t_movie: film runs on grayordinates, events of one's own or one a film; and what is refused."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import hcp7t_movie
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("hcp7t_movie", tmp_path_factory.mktemp("hcp") / "a", seed=2, n_subjects=2, n_volumes=130)


@pytest.fixture
def copy(twin, tmp_path):
    return shutil.copytree(twin.root, tmp_path / "copy")


def run_of(root, film="MOVIE1", way="AP"):
    return next((root / "100610" / "MNINonLinear" / "Results" / f"tfMRI_{film}_7T_{way}").glob("*.nii"))


def test_runs_without_events(twin):
    source = open_source("hcp7t-movie", root=twin.root)
    assert source.subjects() == ["100610", "102311"]
    runs = source.recordings("100610")
    assert [(r.info["run"], r.info["direction"]) for r in runs] == [
        ("MOVIE1", "AP"),
        ("MOVIE2", "PA"),
        ("MOVIE3", "PA"),
        ("MOVIE4", "AP"),
    ]
    assert [r.n_times for r in runs] == [130, 127, 124, 121] and all(
        r.sfreq == 1 and not r.info["warnings"] for r in runs
    )
    event = runs[1].events.iloc[0]
    assert (event["onset"], event["duration"], event["stimulus_id"]) == (0.0, 127.0, "MOVIE2") and len(
        runs[1].events
    ) == 1
    stored = np.asarray(nib.load(run_of(twin.root)).dataobj)
    np.testing.assert_array_equal(runs[0].load(), stored.T)
    assert (
        set(runs[0].channels["type"]) == {"grayordinate"}
        and runs[0].info["n_vertices"]["CIFTI_STRUCTURE_CORTEX_LEFT"] == 59292
    )


def test_events_of_ones_own(twin):
    runs = open_source("hcp7t-movie", root=twin.root, options=twin.options).recordings("100610")
    assert [r.events["stimulus_id"].tolist() for r in runs] == [[f"MOVIE{k}", "montage"] for k in (1, 2, 3, 4)]
    with pytest.raises(BraindecError, match="no table of events"):
        hcp7t_movie.load(twin.root, "100610", events="event/{task}.tsv")


def test_selection(twin):
    (late,) = hcp7t_movie.load(twin.root, "102311", task="MOVIE3", structures="cortex", drop_volumes=10)
    assert late.n_channels == 480 and late.n_times == 114
    assert late.events["onset"].iloc[0] == -10.0 and late.events["duration"].iloc[0] == 124.0
    assert [p.name for p in hcp7t_movie.files(twin.root, "102311", task="MOVIE3")] == [
        "tfMRI_MOVIE3_7T_PA_Atlas_1.6mm_MSMAll_hp2000_clean.dtseries.nii"
    ]


def test_other_tasks_are_left_alone(copy):
    folder = copy / "100610" / "MNINonLinear" / "Results" / "tfMRI_RETEXP_7T_AP"
    folder.mkdir()
    shutil.copy(run_of(copy), folder / run_of(copy).name.replace("MOVIE1", "RETEXP"))
    assert [r.info["task"] for r in hcp7t_movie.load(copy, "100610")] == ["MOVIE1", "MOVIE2", "MOVIE3", "MOVIE4"]
    run_of(copy, "MOVIE2", "PA").unlink()
    assert len(hcp7t_movie.load(copy, "100610")) == 3 and len(hcp7t_movie.load(copy, "102311")) == 4


def test_bad_input(copy, tmp_path):
    with pytest.raises(BraindecError, match="no film 'MOVIE5'.*did you mean"):
        hcp7t_movie.load(copy, "100610", task="MOVIE5")
    with pytest.raises(BraindecError, match="no subject '100611'"):
        hcp7t_movie.load(copy, "100611")
    with pytest.raises(BraindecError, match="no file of .* matches"):
        hcp7t_movie.load(copy, variant="Atlas_MSMAll_hp2000_clean")
    image = nib.load(run_of(copy))
    series, model = image.header.get_axis(0), image.header.get_axis(1)
    values = np.asarray(image.dataobj)
    path = run_of(copy, "MOVIE2", "PA")
    nib.save(nib.Cifti2Image(values[:, :500], (series, model[:500])), path)
    with pytest.raises(BraindecError, match="MOVIE2"):
        hcp7t_movie.load(copy, "100610")
    slower = nib.cifti2.SeriesAxis(0, 2.0, len(values))
    nib.save(nib.Cifti2Image(values, (slower, model)), path)
    with pytest.raises(BraindecError, match="differ in repetition time"):
        hcp7t_movie.load(copy, "100610")
    whole = run_of(copy).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableError):
        hcp7t_movie.load(copy, "100610")
