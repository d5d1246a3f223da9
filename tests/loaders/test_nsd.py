"""Reader ``nsd`` on its twin, and on a design that is written down by hand."""

from __future__ import annotations

import h5py
import nibabel as nib
import numpy as np
import pytest
import scipy.io

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import nsd as reader
from braindec.loaders.twin import make_twin

SMALL = {"n_subjects": 2, "n_sessions": 3, "n_trials": 12, "n_voxels": 60, "n_shared": 3}


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("nsd", tmp_path_factory.mktemp("nsd") / "t", **SMALL)


@pytest.fixture
def copy(tmp_path, twin):
    """A twin of its own, to damage."""
    return make_twin("nsd", tmp_path / "t", **SMALL)


def base(twin, subject="01"):
    return twin.root / "nsddata_betas" / "ppdata" / f"subj{subject}" / "func1pt8mm" / "betas_fithrf_GLMdenoise_RR"


def load(twin, subject="01", **options):
    return reader.load(twin.root, subject, **{**twin.options, **options})


def test_values_are_those_of_the_file_over_300(twin):
    windows = load(twin)
    mask = nib.load(twin.root / "nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz").get_fdata() > 0
    for number in (1, 2, 3):
        with h5py.File(base(twin) / f"betas_session{number:02d}.hdf5") as file:
            stored = file["betas"][...]
        expected = stored.transpose(0, 3, 2, 1).reshape(12, -1, order="C")  # (trial, x, y, z)
        expected = np.stack(
            [v.reshape(mask.shape).ravel(order="F")[mask.ravel(order="F")] for v in expected]
        ) / np.float32(300)
        rows = np.flatnonzero(windows.trials["session"] == str(number))
        assert np.array_equal(windows.features(rows), expected)
    assert len(windows.recordings) == 3 and windows.shape == (36, 60, 1)
    ijk = windows.channels[["i", "j", "k"]].to_numpy()
    assert mask[tuple(ijk.T)].all()
    affine = np.array(windows.recordings[0].info["affine"])
    assert np.allclose(windows.channels[["x", "y", "z"]], (ijk @ affine[:3, :3].T + affine[:3, 3]) / 1000)


def test_trials_follow_the_design(twin):
    design = scipy.io.loadmat(twin.root / "nsddata/experiments/nsd/nsd_expdesign.mat")
    for subject in ("01", "02"):
        trials = load(twin, subject).trials
        order = design["masterordering"].ravel().astype(int)
        expected = [int(design["subjectim"][int(subject) - 1, place - 1]) for place in order]
        assert trials["stimulus_id"].astype(int).tolist() == expected
        assert trials["image_row"].tolist() == [n - 1 for n in expected]
        assert ((trials["part"] == "test") == trials["stimulus_id"].astype(int).isin(design["sharedix"].ravel())).all()
        seen: dict[int, int] = {}
        for number, repetition in zip(expected, trials["repetition"], strict=True):
            assert repetition == seen.get(number, 0)
            seen[number] = repetition + 1
        assert set(seen.values()) == {3}
        assert trials["run"].tolist() == [r for _ in range(3) for r in "112233445566"]
    assert set(load(twin, "01").trials.query("part == 'train'").stimulus_id).isdisjoint(
        load(twin, "02").trials.query("part == 'train'").stimulus_id
    )


def test_a_later_session_alone_keeps_its_place_in_the_design(twin):
    whole, alone = load(twin).trials, load(twin, session=[3]).trials
    expected = whole[whole["session"] == "3"].reset_index(drop=True)
    for column in ("stimulus_id", "repetition", "onset", "run", "part"):
        assert alone[column].tolist() == expected[column].tolist()
    assert alone["repetition"].max() == 2


def test_regions_and_ceilings(twin):
    channels = load(twin, rois=["streams", "prf-visualrois"]).channels
    truth = twin.truth()
    named = {0: "early", 1: "midventral", 2: "ventral", 3: "n/a"}
    assert channels["region"].tolist() == [named[a] for a in truth["subj01/area"]]
    assert ((channels["prf-visualrois"] == "V1v") == (truth["subj01/area"] == 0)).all()
    assert np.allclose(channels["ncsnr"], truth["subj01/ncsnr"], rtol=1e-6)
    assert "ncsnr" not in load(twin, ncsnr=False).channels
    early = load(twin, mask="prf-visualrois")
    assert early.n_channels == (truth["subj01/area"] == 0).sum()
    assert load(twin, mask="brain").n_channels == np.prod(early.recordings[0].info["grid"])


def test_old_protocol_ends_with_session_37(tmp_path):
    twin = make_twin("nsd", tmp_path / "t", n_subjects=1, n_sessions=39, n_trials=6, n_voxels=12, n_shared=6)
    new, old = load(twin), load(twin, protocol="old")
    assert len(new) == 39 * 6 and len(old) == 37 * 6
    assert old.trials["session"].astype(int).max() == 37
    assert set(old.trials.query("part == 'test'").stimulus_id) <= set(new.trials.query("part == 'test'").stimulus_id)


def test_files_are_those_that_are_read(twin):
    options = {**twin.options, "rois": ["streams"]}
    paths = reader.files(twin.root, "02", **options)
    assert all(p.is_file() for p in paths) and len(paths) == len(set(paths)) == 3 + 1 + 2 + 1 + 1
    assert reader.subjects(twin.root, **options) == ["01", "02"]


def test_missing_sessions_are_named(copy):
    (base(copy) / "betas_session02.hdf5").unlink()
    with pytest.raises(BraindecError, match=r"1 sessions are missing: betas_session02.hdf5(.|\n)*sessions 1, 3"):
        load(copy, session=[1, 2, 3])
    windows = load(copy)
    assert "sessions 2 are not there" in windows.recordings[0].info["warnings"][0]
    assert windows.trials["session"].unique().tolist() == ["1", "3"]
    design = copy.root / "nsddata/experiments/nsd/nsd_expdesign.mat"
    whole = reader.design_trials(design, 1, [1, 2, 3], 12)
    assert windows.trials["stimulus_id"].tolist() == whole["stimulus_id"][whole["session"] != "2"].tolist()


def test_bad_input(copy):
    with pytest.raises(BraindecError, match=r"no mask(.|\n)*did you mean 'nsdgeneral'"):
        load(copy, mask="nsdgenerl")
    with pytest.raises(BraindecError, match=r"protocol 'newest'"):
        load(copy, protocol="newest")
    with pytest.raises(BraindecError, match=r"no folder(.|\n)*did you mean 'betas_fithrf_GLMdenoise_RR'"):
        load(copy, betas="betas_fithrf_GLMdenoise")
    with pytest.raises(BraindecError, match=r"holds 12 trials(.|\n)*750"):
        reader.load(copy.root, "01")
    with pytest.raises(BraindecError, match="stay inside"):
        load(copy, mask="../../secret")
    with pytest.raises(BraindecError, match="session must be whole numbers"):
        load(copy, session="first")
    with pytest.raises(BraindecError, match="one subject at a time"):
        reader.load(copy.root)
    other = copy.root / "nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.int16), np.eye(4)), other)
    with pytest.raises(BraindecError, match=r"does not lie on the grid(.|\n)*\(3, 4, 5\)"):
        load(copy, ncsnr=False)


def test_design_shorter_than_the_sessions(copy):
    path = copy.root / "nsddata/experiments/nsd/nsd_expdesign.mat"
    design = scipy.io.loadmat(path)
    kept = {k: v for k, v in design.items() if not k.startswith("_")}
    scipy.io.savemat(path, {**kept, "masterordering": kept["masterordering"][:, :30]})
    with pytest.raises(BraindecError, match=r"shorter than the sessions(.|\n)*30 trials, session 3 ends at trial 36"):
        load(copy)
    assert len(load(copy, session=[1, 2])) == 24
    del kept["sharedix"]
    scipy.io.savemat(path, kept)
    with pytest.raises(UnreadableError, match="has no sharedix"):
        load(copy)
    path.write_bytes(b"not a file of MATLAB")
    with pytest.raises(UnreadableError, match="cannot be read"):
        load(copy)


def test_runs_of_the_published_pattern():
    """12 runs a session; 63 trials in odd and 62 in even ones make 750."""
    pattern = np.zeros((40, 12, 75), np.uint8)
    for run in range(12):
        pattern[:, run, 3 : 3 + (63 if run % 2 == 0 else 62)] = 1
    runs = reader._runs(pattern, 750)
    assert len(runs) == 30_000
    first = runs[:750]
    assert [int((first == r).sum()) for r in range(1, 13)] == [63, 62] * 6 and (np.diff(first) >= 0).all()
    assert reader._runs(pattern[:, :, :40], 750) is None


def test_spans():
    assert reader._spans([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("masterordering", lambda v: v * 0, "does not hold numbers from 1"),
        ("subjectim", lambda v: v * np.nan, "does not hold numbers from 1"),
        ("masterordering", lambda v: "text", "does not hold numbers from 1"),
        ("masterordering", lambda v: v + 10**6, "names images that subjectim does not have"),
    ],
)
def test_a_design_that_points_nowhere_is_refused(copy, name, change, message):
    path = copy.root / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat"
    found = {k: v for k, v in scipy.io.loadmat(path).items() if k[0] != "_"}
    scipy.io.savemat(path, {**found, name: change(found[name].astype(float))})
    with pytest.raises(BraindecError, match=message):
        load(copy)


def test_options_of_another_kind(twin):
    with pytest.raises(BraindecError, match="session must be whole numbers"):
        load(twin, session=1.5)
    with pytest.raises(BraindecError, match="there is no subject 'x'"):
        load(twin, "x")
    with pytest.raises(BraindecError, match="no number of trials"):
        load(twin, trials_per_session="all")
    with pytest.raises(BraindecError, match="there is no mask"):
        load(twin, mask=3)
    assert "streams" in load(twin, rois="streams").channels
    assert reader.files(twin.root, "01", **{**twin.options, "rois": "streams"})


def test_masks_and_colour_tables_that_are_damaged_are_named(copy):
    mask = next((copy.root / "nsddata" / "ppdata" / "subj01").rglob("nsdgeneral.nii.gz"))
    whole = mask.read_bytes()
    mask.write_bytes(whole[:-30])
    with pytest.raises(UnreadableError, match="nsdgeneral.nii.gz cannot be read"):
        load(copy)
    mask.write_bytes(whole)
    table = next((copy.root / "nsddata" / "freesurfer" / "subj01").rglob("streams.mgz.ctab"))
    table.write_bytes("1 é 0 0 0 0".encode("latin-1"))
    with pytest.raises(UnreadableError, match="no colour table"):
        load(copy, rois=["streams"])
