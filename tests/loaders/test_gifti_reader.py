"""The reader for GIFTI runs and GIFTI labels: files written by nibabel, both name orders, hemispheres, and refusals."""

from __future__ import annotations

import gzip
import json
import pickle

import nibabel as nib
import numpy as np
import pytest
from nibabel import gifti as ng

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders._detect import detect
from braindec.loaders.inspect import inspect
from braindec.loaders.readers import fmri, gifti
from braindec.loaders.surfaces import join, open_surface, read_surface, read_surface_labels, side_of
from braindec.signal._source import source_key

N, TR, LEFT, RIGHT = 20, 2.0, 50, 46


def data(seed, n_vertices, n=N):
    return np.random.default_rng(seed).normal(50, 5, size=(n_vertices, n)).astype(np.float32)


def write(path, values, *, side=None, step=None, encoding="GIFTI_ENCODING_B64GZ", endian=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [
        ng.GiftiDataArray(v, intent="NIFTI_INTENT_TIME_SERIES", encoding=encoding, datatype="NIFTI_TYPE_FLOAT32",
                          endian=endian or "little", meta={} if step is None else {"TimeStep": str(step)})
        for v in values.T
    ]  # fmt: skip
    meta = {} if side is None else {"AnatomicalStructurePrimary": side}
    nib.save(ng.GiftiImage(darrays=arrays, meta=ng.GiftiMetaData(meta)), path)
    return path


def label_gifti(path, keys, names, *, side=None):
    table = ng.GiftiLabelTable()
    for key, name in names.items():
        label = ng.GiftiLabel(key, 0.5, 0.5, 0.5, 1)
        label.label = name
        table.labels.append(label)
    array = ng.GiftiDataArray(np.asarray(keys, np.int32), intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32")
    meta = {} if side is None else {"AnatomicalStructurePrimary": side}
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(ng.GiftiImage(darrays=[array], labeltable=table, meta=ng.GiftiMetaData(meta)), path)
    return path


@pytest.fixture(params=["hemi-{h}_space-fsaverage5", "space-fsaverage5_hemi-{h}"])
def study(request, tmp_path):
    """Derivatives beside raw data; new and old order of the entities."""
    root = tmp_path / "study"
    for r in ("1", "2"):
        for h, n in (("L", LEFT), ("R", RIGHT)):
            name = f"sub-01_task-look_run-{r}_{request.param.format(h=h)}_bold.func.gii"
            path = root / "derivatives/fmriprep/sub-01/func" / name
            write(path, data(int(r) * 10 + (h == "R"), n))
            path.with_name(name.replace(".func.gii", ".json")).write_text(json.dumps({"RepetitionTime": TR}))
        raw = root / f"sub-01/func/sub-01_task-look_run-{r}_events.tsv"
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.write_text("onset\tduration\ttrial_type\n4\t2\tface\n")
    return root


def of(study):
    return study / "derivatives/fmriprep"


def truth(run):
    return np.concatenate([data(run * 10, LEFT), data(run * 10 + 1, RIGHT)])


def test_both_hemispheres_are_joined_left_first(study):
    runs = gifti.load(of(study))
    assert [r.label for r in runs] == ["sub-01_task-look_run-1", "sub-01_task-look_run-2"]
    run = runs[1]
    np.testing.assert_array_equal(run.load(), truth(2))
    assert set(run.channels["type"]) == {"vertex"} and run.sfreq == 0.5
    np.testing.assert_array_equal(run.channels["vertex"], [*range(LEFT), *range(RIGHT)])
    assert list(run.channels["structure"].value_counts().sort_index()) == [LEFT, RIGHT]
    assert run.info["space"] == "fsaverage5" and list(run.info["n_vertices"].values()) == [LEFT, RIGHT]
    assert list(run.events["trial_type"]) == ["face"] and not run.info["warnings"]
    again = pickle.loads(pickle.dumps(run))
    np.testing.assert_array_equal(again.signal[np.array([95, 3]), 4:7], truth(2)[[95, 3], 4:7])
    endings = [p.name.split(".", 1)[1] for p in gifti.files(of(study))]
    assert {e: endings.count(e) for e in endings} == {"func.gii": 4, "json": 4, "tsv": 2}


def test_one_hemisphere_and_a_missing_one(study):
    run = gifti.load(of(study), run="1", hemisphere="R", drop_volumes=3)[0]
    np.testing.assert_array_equal(run.load(), data(11, RIGHT)[:, 3:])
    assert list(run.events["onset"]) == [4 - 3 * TR]
    next(of(study).rglob("*run-1*hemi-R*.gii")).unlink()
    with pytest.raises(BraindecError, match="does not have both hemispheres"):
        gifti.load(of(study))
    assert gifti.load(of(study), run="1", hemisphere="L")[0].n_channels == LEFT


def test_one_file_finds_the_other_beside_it(study):
    path = next(of(study).rglob("*run-2*hemi-R*.func.gii"))
    assert detect(path) == "gifti"
    np.testing.assert_array_equal(load(path).load(), truth(2))
    with pytest.raises(UnreadableError, match="use the reader gifti"):
        fmri.load(path)
    assert detect(of(study)) == "gifti" and len(inspect(of(study)).table) == 2


def test_the_right_file_counts_in_the_key_of_the_cache(study):
    first = source_key(gifti.load(of(study), run="1")[0])
    path = next(of(study).rglob("*run-1*hemi-R*.func.gii"))
    write(path, data(99, RIGHT))
    assert source_key(gifti.load(of(study), run="1")[0]) != first


def test_runs_that_differ_give_one_error(study):
    path = next(of(study).rglob("*run-2*hemi-L*.func.gii"))
    write(path, data(1, LEFT + 2))
    with pytest.raises(BraindecError, match="CORTEX_LEFT: a surface of 50 against 52 vertices"):
        gifti.load(of(study))
    write(path, data(1, LEFT, N - 1))
    with pytest.raises(BraindecError, match=r"the hemispheres differ in length(.|\n)*L 19, R 20"):
        gifti.load(of(study))
    write(path, data(1, LEFT))
    for side in of(study).rglob("*run-2*.json"):
        side.write_text(json.dumps({"RepetitionTime": 1.0}))
    with pytest.raises(BraindecError, match="differ in repetition time"):
        gifti.load(of(study))


def test_the_medial_wall_is_left_out_and_counted(study):
    for r, bad in (("1", [0, 7]), ("2", [7, 9])):
        values = data(int(r) * 10, LEFT)
        values[bad] = np.nan
        write(next(of(study).rglob(f"*run-{r}*hemi-L*.func.gii")), values)
    runs = gifti.load(of(study))
    kept = np.setdiff1d(np.arange(LEFT + RIGHT), [0, 7, 9])
    assert runs[0].ch_names == runs[1].ch_names and runs[0].n_channels == LEFT + RIGHT - 3
    np.testing.assert_array_equal(runs[0].load(), truth(1)[kept])
    assert np.isfinite(runs[1].load()).all()
    assert any("3 of 96 vertices hold no numbers" in w for w in runs[0].info["warnings"])


def test_parcels_of_labels_that_both_hemispheres_share(study, tmp_path):
    """FreeSurfer's aparc has one table for both hemispheres; the parcels are not one."""
    names = {0: "unknown", 1: "bankssts", 2: "cuneus"}
    left, right = np.arange(LEFT) % 3, (np.arange(RIGHT) + 1) % 3
    label_gifti(study / "lh.aparc.label.gii", left, names)
    label_gifti(study / "rh.aparc.label.gii", right, names)
    options = {"derivatives": "derivatives/fmriprep", "labels": ["lh.aparc.label.gii", "rh.aparc.label.gii"]}
    run = gifti.load(study, **options)[0]
    assert run.ch_names == ["L_bankssts", "L_cuneus", "R_bankssts", "R_cuneus"]
    both, exact = truth(1).astype(float), []
    for rows, keys in ((slice(0, LEFT), left), (slice(LEFT, None), right)):
        exact += [both[rows][keys == k].mean(axis=0) for k in (1, 2)]
    np.testing.assert_allclose(run.load(), exact, rtol=1e-6)
    np.testing.assert_allclose(run.signal.read(np.array([3, 0]), 2, 4), np.array(exact)[[3, 0], 2:4], rtol=1e-6)
    named = gifti.load(study, derivatives="derivatives/fmriprep", regions=options["labels"])[0]
    assert list(named.channels["region"][:3]) == ["n/a", "L_bankssts", "L_cuneus"]
    small = label_gifti(tmp_path / "lh.small.label.gii", left[:-1], names)
    with pytest.raises(BraindecError, match="CORTEX_LEFT: a surface of 49 against 50 vertices"):
        gifti.load(study, derivatives="derivatives/fmriprep", labels=[str(small), "rh.aparc.label.gii"])


def test_keys_stay_when_the_hemispheres_use_others(tmp_path):
    """HCP-MMP1 names L_V1 and R_V1 and uses the keys 1 ... 180 twice, or 181 ... 360 on the left."""
    left = label_gifti(tmp_path / "a.L.label.gii", [181, 181, 182], {0: "???", 181: "L_V1", 182: "L_V2"})
    right = label_gifti(tmp_path / "a.R.label.gii", [1, 2, 2], {0: "???", 1: "R_V1", 2: "R_V2"})
    labels = read_surface_labels([right, left])
    assert list(labels.keys) == [181, 181, 182, 1, 2, 2] and labels.keys.dtype == np.int32
    assert list(labels.parcels()["name"]) == ["R_V1", "R_V2", "L_V1", "L_V2"]
    twice = label_gifti(tmp_path / "b.L.label.gii", [1, 1, 2], {0: "???", 1: "L_V1", 2: "L_V2"})
    moved = read_surface_labels([twice, right])
    assert sorted(moved.parcels()["name"]) == ["L_V1", "L_V2", "R_V1", "R_V2"]
    assert list(moved.keys[:3]) == [1, 1, 2] and len(set(moved.keys)) == 4
    assert "2 parcels (L_V1, L_V2)" in repr(load(twice))


@pytest.mark.parametrize(
    ("step", "sidecar", "expected"),
    [(2000.0, None, 2.0), (0.72, None, 0.72), (2000.0, 2.0, 2.0), (2.0, 2.0, 2.0), (None, 1.5, 1.5), (0.0, 1.5, 1.5)],
)
def test_the_time_step_is_taken_when_it_can_mean_one_thing(tmp_path, step, sidecar, expected):
    for h in "LR":
        path = write(tmp_path / f"sub-01_task-x_hemi-{h}_bold.func.gii", data(1, 9), step=step)
        if sidecar:
            path.with_name(path.name.replace(".func.gii", ".json")).write_text(json.dumps({"RepetitionTime": sidecar}))
    assert 1 / gifti.load(path)[0].sfreq == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "sidecar", "said"),
    [
        (2000.0, 1.5, "2 s in the header, 1.5 s in the _bold.json"), (30.0, None, "TimeStep of 30 that may be s or ms"),
        (None, None, "no TimeStep in the file, no RepetitionTime"),
    ],
)  # fmt: skip
def test_the_time_step_is_never_guessed(tmp_path, step, sidecar, said):
    for h in "LR":
        path = write(tmp_path / f"sub-01_task-x_hemi-{h}_bold.func.gii", data(1, 9), step=step)
        if sidecar:
            path.with_name(path.name.replace(".func.gii", ".json")).write_text(json.dumps({"RepetitionTime": sidecar}))
    with pytest.raises(BraindecError, match=said):
        gifti.load(path)


@pytest.mark.parametrize("encoding", ["GIFTI_ENCODING_ASCII", "GIFTI_ENCODING_B64BIN", "GIFTI_ENCODING_B64GZ"])
@pytest.mark.parametrize("zipped", [False, True])
def test_encodings_and_gzip(tmp_path, encoding, zipped):
    values = np.round(data(3, 12, 4))
    path = write(tmp_path / "a.L.func.gii", values, encoding=encoding)
    if zipped:
        packed = path.with_name("a.L.func.gii.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    head, whole = open_surface(path), read_surface(path)
    assert (head.n_vertices, head.n_maps, head.hemisphere, head.values) == (12, 4, "L", None)
    np.testing.assert_array_equal(whole.values, values)


def test_left_and_right_come_from_file_or_name_and_must_agree(tmp_path):
    by_content = write(tmp_path / "noname.func.gii", data(1, 5), side="CortexRight")
    assert open_surface(by_content).hemisphere == "R"
    with pytest.raises(BraindecError, match="left or right"):
        open_surface(write(tmp_path / "nothing.func.gii", data(1, 5)))
    with pytest.raises(BraindecError, match="its name says CORTEX_LEFT, its content CortexRight"):
        open_surface(write(tmp_path / "x_hemi-L_bold.func.gii", data(1, 5), side="CortexRight"))
    with pytest.raises(BraindecError, match="one hemisphere stands twice"):
        join([open_surface(by_content), open_surface(by_content)])
    assert side_of("sub-r01_task-L_run-1_hemi-R_space-fsaverage5_bold.func.gii")[0] == "R"
    assert side_of("lh.thickness.shape.gii") == ("L", "*.thickness.shape.gii")
    assert side_of("sub-01_task-rest_bold.func.gii")[0] is None


def test_damaged_files_and_meshes_are_refused(tmp_path, study):
    path = next(of(study).rglob("*run-2*hemi-R*.func.gii"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableError, match="was cut short"):
        gifti.load(of(study))
    path.write_bytes(whole[:200])
    with pytest.raises(UnreadableError, match="cannot be read as GIFTI"):
        gifti.load(of(study))
    path.write_bytes(b"")
    with pytest.raises(UnreadableError, match="is empty"):
        gifti.load(of(study))
    mesh = ng.GiftiImage(
        darrays=[
            ng.GiftiDataArray(np.eye(3, dtype=np.float32), intent="NIFTI_INTENT_POINTSET"),
            ng.GiftiDataArray(np.array([[0, 1, 2]], np.int32), intent="NIFTI_INTENT_TRIANGLE"),
        ]
    )
    nib.save(mesh, tmp_path / "lh.white.gii")
    with pytest.raises(UnreadableError, match="is a mesh"):
        open_surface(tmp_path / "lh.white.gii")


def test_patterns_for_names_that_are_not_bids(tmp_path):
    for s in ("A", "B"):
        for h, n in (("L", 6), ("R", 7)):
            write(tmp_path / s / f"rest1.{h}.func.gii", data(ord(s), n))
    runs = gifti.load(tmp_path, "B", bold="{subject}/{run}.*.func.gii", tr=1.0)
    assert runs[0].info["run"] == "rest1" and runs[0].n_channels == 13
    assert gifti.subjects(tmp_path, bold="{subject}/{run}.*.func.gii") == ["A", "B"]


def test_real_surface_data_are_read_as_nilearn_reads_them():
    """Sulcal depth of fsaverage5, which nilearn carries: written by FreeSurfer and gzipped."""
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_data

    from braindec.loaders.brain_maps import read_map

    files = fetch_surf_fsaverage("fsaverage5")
    (values,) = read_map(files["sulc_left"]).maps.values()
    assert values.shape == (20484,)
    np.testing.assert_array_equal(values[:10242], load_surf_data(files["sulc_left"]))
    np.testing.assert_array_equal(values[10242:], load_surf_data(files["sulc_right"]))
    with pytest.raises(UnreadableError, match="is a mesh"):
        load(files["pial_left"])


def test_labels_of_one_hemisphere_leave_the_other_out_and_say_so(study):
    label_gifti(study / "lh.one.label.gii", np.ones(LEFT, int), {0: "unknown", 1: "all"})
    run = gifti.load(study, derivatives="derivatives/fmriprep", labels="lh.one.label.gii")[0]
    assert run.n_channels == 1
    assert f"{RIGHT} of {LEFT + RIGHT} places lie in no parcel and are left out" in run.info["warnings"]
    with pytest.raises(BraindecError, match="must be paths of label files"):
        gifti.load(study, derivatives="derivatives/fmriprep", labels=3)
