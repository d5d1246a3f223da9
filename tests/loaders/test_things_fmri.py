"""Reader ``things_fmri`` on its twin."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import things_fmri as reader
from braindec.loaders.twin import make_twin

SMALL = {"n_subjects": 2, "n_sessions": 3, "n_concepts": 12, "n_images": 3, "n_test": 5, "n_voxels": 60}


@pytest.fixture
def twin(tmp_path):
    return make_twin("things_fmri", tmp_path / "t", **SMALL)


def test_values_and_trials(twin):
    windows = reader.load(twin.root, "01")
    with h5py.File(twin.root / "betas_csv" / "sub-01_ResponseData.h5") as file:
        expected = file["ResponseData/block0_values"][...].T
    assert np.array_equal(windows.features(), expected) and windows.shape == (51, 60, 1)
    stimuli = pd.read_csv(twin.root / "betas_csv" / "sub-01_StimulusMetadata.csv")
    trials = windows.trials
    assert (trials["stimulus_id"] + ".jpg").tolist() == stimuli["stimulus"].tolist()
    assert trials["part"].tolist() == stimuli["trial_type"].tolist()
    assert trials["session"].tolist() == stimuli["session"].astype(str).tolist() and len(windows.recordings) == 3
    test, train = (trials[trials["part"] == p] for p in ("test", "train"))
    assert test.groupby("stimulus_id")["repetition"].apply(sorted).tolist() == [[0, 1, 2]] * 5
    assert not train["stimulus_id"].duplicated().any()
    assert set(test["stimulus_id"]).isdisjoint(train["stimulus_id"]) and set(test["concept_id"]) <= set(
        train["concept_id"]
    )
    assert "warnings" not in windows.recordings[0].info


def test_regions_ceilings_and_positions(twin):
    area = twin.truth()["01/area"]
    channels = reader.load(twin.root, "01").channels
    assert channels["region"].tolist() == [{0: "V1", 1: "hV4", 2: "lFFA", 3: "n/a"}[a] for a in area]
    voxels = pd.read_csv(twin.root / "betas_csv" / "sub-01_VoxelMetadata.csv")
    assert np.allclose(channels["nc_testset"], voxels["nc_testset"]) and (channels["i"] == voxels["voxel_x"]).all()
    assert np.allclose(channels[["x", "y", "z"]], voxels[["voxel_x", "voxel_y", "voxel_z"]] * 0.002)
    some = reader.load(twin.root, "01", mask=["V1", "lFFA"])
    assert some.n_channels == np.isin(area, [0, 2]).sum()
    assert np.array_equal(some.features(), reader.load(twin.root, "01").features()[:, np.isin(area, [0, 2])])
    (twin.root / "brainmasks" / "sub-01_space-T1w_brainmask.nii.gz").unlink()
    assert reader.load(twin.root, "01").channels["x"].isna().all()


def test_files(twin):
    for root in (twin.root, twin.root / "betas_csv"):
        assert reader.subjects(root) == ["01", "02"]
        paths = reader.files(root, "02")
        assert len(paths) == 4 and all(p.is_file() for p in paths)


def rewrite(twin, **blocks):
    with h5py.File(twin.root / "betas_csv" / "sub-01_ResponseData.h5", "w") as file:
        for name, values in blocks.items():
            file[f"df/{name}"] = values


def test_voxel_id_stored_among_the_responses(twin):
    expected = reader.load(twin.root, "01").features()
    rewrite(twin, block0_values=np.column_stack([np.arange(60.0), expected.T]))
    assert np.array_equal(reader.load(twin.root, "01").features(), expected)


def test_bad_input(twin):
    with pytest.raises(BraindecError, match=r"no region 'lFFB'; did you mean 'lFFA'"):
        reader.load(twin.root, "01", mask="lFFB")
    with pytest.raises(BraindecError, match=r"no file or folder(.|\n)*sub-03"):
        reader.load(twin.root, "03")
    rewrite(twin, block0_values=np.zeros((60, 40)))
    with pytest.raises(UnreadableError, match=r"no block of 60 voxels x 51 trials(.|\n)*\(60, 40\)"):
        reader.load(twin.root, "01")
    path = twin.root / "betas_csv" / "sub-02_StimulusMetadata.csv"
    pd.read_csv(path).drop(columns="trial_type").to_csv(path, index=False)
    with pytest.raises(UnreadableError, match="no column trial_type"):
        reader.load(twin.root, "02")
    path.write_text("")
    with pytest.raises(UnreadableError, match="cannot be read"):
        reader.load(twin.root, "02")


def test_nan_voxels_and_concepts_of_older_tables(twin):
    with h5py.File(twin.root / "betas_csv" / "sub-01_ResponseData.h5", "r+") as file:
        file["ResponseData/block0_values"][7, 20] = np.nan
    path = twin.root / "betas_csv" / "sub-01_StimulusMetadata.csv"
    table = pd.read_csv(path)
    table.drop(columns="concept").to_csv(path, index=False)
    windows = reader.load(twin.root, "01")
    assert np.flatnonzero(windows.channels["status"] == "bad").tolist() == [7]
    assert "1 of 60 voxels" in windows.recordings[0].info["warnings"][0]
    assert windows.trials["concept_id"].tolist() == table["concept"].tolist()


# ---- input that is not right


def table(twin, part):
    return twin.root / "betas_csv" / f"sub-01_{part}Metadata.csv"


def test_one_trial_too_many_is_never_taken_for_the_numbers_of_voxels(twin):
    path = table(twin, "Stimulus")
    pd.read_csv(path)[1:].to_csv(path, index=False)
    with pytest.raises(UnreadableError, match="has no block of"):
        reader.load(twin.root, "01")


def test_tables_that_are_not_right(twin):
    voxels, stimuli = pd.read_csv(table(twin, "Voxel")), pd.read_csv(table(twin, "Stimulus"))
    with pytest.raises(BraindecError, match="'nc_testset' is no region"):
        reader.load(twin.root, "01", mask="nc_testset")
    voxels.assign(voxel_x=np.nan).to_csv(table(twin, "Voxel"), index=False)
    with pytest.raises(BraindecError, match="must be indices"):
        reader.load(twin.root, "01")
    voxels.to_csv(table(twin, "Voxel"), index=False)
    stimuli.assign(stimulus=[None, *stimuli["stimulus"][1:]]).to_csv(table(twin, "Stimulus"), index=False)
    with pytest.raises(BraindecError, match="no stimulus in 1 of"):
        reader.load(twin.root, "01")
    table(twin, "Stimulus").unlink()
    table(twin, "Stimulus").mkdir()
    with pytest.raises(UnreadableError, match="cannot be read as a table"):
        reader.load(twin.root, "01")
