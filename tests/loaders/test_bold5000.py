"""Reader ``bold5000`` on its twin, regions and volumes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import bold5000 as reader
from braindec.loaders.twin import make_twin

SMALL = {"n_subjects": 2, "n_sessions": 2, "n_images": 60, "n_repeated": 6, "n_repeats": 4, "n_voxels": 50}


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("bold5000", tmp_path_factory.mktemp("b") / "t", **SMALL)


@pytest.fixture
def volumes(tmp_path):
    return make_twin("bold5000", tmp_path / "v", form="volumes", **SMALL)


def lines(twin, subject):
    base = twin.root / "BOLD5000_Stimuli" / "Stimuli_Presentation_Lists" / subject
    return [(p.parent.name[-1], line) for p in sorted(base.glob("*/*.txt")) for line in p.read_text().splitlines()]


def test_regions_and_order(twin):
    windows = reader.load(twin.root, "CSI1")
    shown = lines(twin, "CSI1")
    assert windows.shape == (78, 50, 1) and len(windows.recordings) == 2
    assert windows.trials["session"].tolist() == [s for s, _ in shown]
    assert windows.trials["stimulus_id"].tolist() == [n.removeprefix("rep_") for _, n in shown]
    assert any(n.startswith("rep_") for _, n in shown)
    base = twin.root / "BOLD5000_GLMsingle_ROI_betas" / "py"
    regions = list(dict.fromkeys(windows.channels["region"]))
    assert regions == list(reader.ROIS)
    expected = [np.load(base / f"CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{r}.npy") for r in regions]
    assert np.allclose(windows.features(), np.concatenate(expected, axis=1), atol=1e-6)
    assert [int((windows.channels["region"] == r).sum()) for r in regions] == [e.shape[1] for e in expected]


def test_parts_sources_and_repetitions(twin):
    trials = reader.load(twin.root, "CSI2").trials
    counts = trials["stimulus_id"].value_counts()
    test = trials[trials["part"] == "test"]
    assert set(counts[counts == 4].index) == set(test["stimulus_id"]) and len(test) == 24
    assert test.groupby("stimulus_id")["repetition"].apply(sorted).tolist() == [[0, 1, 2, 3]] * 6
    assert set(trials["source"]) == {"imagenet", "coco", "scene"}
    one = trials[trials["source"] == "imagenet"].iloc[0]
    assert one["concept_id"] == one["stimulus_id"].split("_")[0] and one["concept_id"].startswith("n0")
    assert set(trials[trials["source"] == "coco"]["concept_id"]) == {"n/a"}
    assert trials[trials["source"] == "scene"]["concept_id"].str.fullmatch("scene[a-z]").all()


def test_some_regions(twin):
    assert set(reader.load(twin.root, "CSI1", rois=["LOC", "RHPPA"]).channels["region"]) == {"LHLOC", "RHLOC", "RHPPA"}
    with pytest.raises(BraindecError, match=r"no region LHLOK; did you mean 'LHLOC'"):
        reader.load(twin.root, "CSI1", rois=["LHLOK"])
    with pytest.raises(BraindecError, match="no region at all"):
        reader.load(twin.root, "CSI4")
    with pytest.raises(BraindecError, match="betas 'E' is unknown"):
        reader.load(twin.root, "CSI1", betas="E")


def test_volumes_hold_the_same_trials(twin, volumes):
    windows = reader.load(volumes.root, "CSI1", form="volumes")
    assert windows.trials.drop(columns="window_id").equals(
        reader.load(twin.root, "CSI1").trials.drop(columns="window_id")
    )
    mask = nib.load(volumes.root / "CSI1_brainmask.nii.gz").get_fdata() > 0
    parts = [
        nib.load(volumes.root / f"CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-{n:02d}.nii.gz").get_fdata()
        for n in (1, 2)
    ]
    ijk = tuple(windows.channels[["i", "j", "k"]].to_numpy().T)
    assert mask[ijk].all() and mask.sum() == windows.n_channels
    assert np.allclose(windows.features(), np.concatenate([p[ijk].T for p in parts]), atol=1e-5)
    second = reader.load(volumes.root, "CSI1", form="volumes", session=2)
    assert np.array_equal(second.features(), windows.features(windows.trials["session"] == "2"))
    assert set(second.trials["session"]) == {"2"}


def test_bad_volumes(volumes):
    with pytest.raises(BraindecError, match=r"1 sessions are missing: ses-05"):
        reader.load(volumes.root, "CSI1", form="volumes", session=[1, 5])
    path = volumes.root / "CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-02.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., :-1], image.affine), path)
    with pytest.raises(BraindecError, match="77 betas but 78 images"):
        reader.load(volumes.root, "CSI1", form="volumes")
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), volumes.root / "small.nii.gz")
    with pytest.raises(BraindecError, match="does not lie on the grid"):
        reader.load(volumes.root, "CSI1", form="volumes", mask="small.nii.gz")


def test_one_list_for_all_sessions(tmp_path):
    twin = make_twin("bold5000", tmp_path / "t", **SMALL)
    expected = reader.load(twin.root, "CSI1").trials
    names = expected["stimulus_id"].tolist()
    for path in (twin.root / "BOLD5000_Stimuli" / "Stimuli_Presentation_Lists" / "CSI1").glob("*/*.txt"):
        path.unlink()
    with pytest.raises(BraindecError, match="order of the trials of CSI1 is not known"):
        reader.load(twin.root, "CSI1")
    (twin.root / "CSI1_imgnames.txt").write_text("\n".join(names) + "\n")
    trials = reader.load(twin.root, "CSI1").trials
    assert trials["stimulus_id"].tolist() == names and set(trials["session"]) == {"n/a"} and "run" not in trials
    (twin.root / "BOLD5000_Stimuli/Scene_Stimuli/repeated_stimuli_113_list.txt").unlink()
    with pytest.raises(BraindecError, match="repeated_stimuli_113_list.txt"):
        reader.load(twin.root, "CSI1")


@pytest.mark.parametrize("twin_form", ["regions", "volumes"])
def test_files_are_those_that_are_read(tmp_path, twin_form):
    twin = make_twin("bold5000", tmp_path / "t", form=twin_form, **SMALL)
    paths = reader.files(twin.root, "CSI2", **twin.options)
    assert all(p.is_file() for p in paths) and len(paths) == len(set(paths))
    assert reader.subjects(twin.root, **twin.options) == ["CSI1", "CSI2"]


# ---- input that is not right


@pytest.fixture
def copy(tmp_path):
    return make_twin("bold5000", tmp_path / "c", **SMALL)


def test_a_region_without_a_file_is_said(copy):
    next(copy.root.rglob("CSI1_*RHLOC.npy")).unlink()
    said = reader.load(copy.root, "CSI1").recordings[0].info["warnings"]
    assert said == ["CSI1: 1 of 10 regions have no file: RHLOC"]
    with pytest.raises(BraindecError, match="no region RHLOC"):
        reader.load(copy.root, "CSI1", rois=["LOC"])


def test_whole_numbers_are_no_percent(copy):
    path = next(copy.root.rglob("CSI1_*RHLOC.npy"))
    np.save(path, (100 * np.load(path)).astype(np.int16))
    with pytest.raises(UnreadableError, match="whole numbers"):
        reader.load(copy.root, "CSI1")


@pytest.mark.parametrize("name", ["CSI_sess01_run01.txt", "repeated_stimuli_113_list.txt"])
def test_lists_that_are_no_text_are_named(copy, name):
    path = sorted(copy.root.rglob(name))[0]
    path.write_bytes("é.jpg".encode("latin-1"))
    with pytest.raises(UnreadableError, match=f"{name} is not a list of images"):
        reader.load(copy.root, "CSI1")
