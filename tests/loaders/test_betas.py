"""Betas: the file of our own, signals of any layout against plain numpy, and the reader of described files."""

from __future__ import annotations

import pickle

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _betas_signal
from braindec.loaders._betas_signal import BetasSignal, JoinedSignal, Kept
from braindec.loaders.betas import open_betas, write_betas
from braindec.loaders.readers import betas as reader
from braindec.loaders.source import open_source
from braindec.types import Windows


def table(n, **columns):
    return pd.DataFrame({"stimulus_id": [str(i // 2) for i in range(n)], **columns})


def voxels(n):
    return pd.DataFrame({"name": [f"v{i}" for i in range(n)], "type": "voxel"})


@pytest.fixture
def rng():
    return np.random.default_rng(3)


# ---- the file of our own


@pytest.mark.parametrize("scale", [None, 500.0])
def test_what_is_written_is_read(tmp_path, rng, scale):
    values = rng.normal(size=(150, 1300)).astype(np.float32)  # more than two chunks each way
    sessions = ["a"] * 70 + ["b"] * 80
    path = write_betas(
        tmp_path / "x.h5", values, table(150, session=sessions), voxels(1300), info={"subject": "07"}, scale=scale
    )
    windows = open_betas(path)
    got = windows.load()[:, :, 0]
    tolerance = 0.0 if scale is None else 0.5 / scale + 1e-6
    assert np.abs(got - values).max() <= tolerance
    assert windows.shape == (150, 1300, 1) and len(windows.recordings) == 2 and windows.sfreq == 1.0
    assert windows.trials["session"].tolist() == sessions and set(windows.trials["subject"]) == {"07"}
    assert windows.trials["onset"].tolist() == [*range(70), *range(80)]
    assert windows.trials["repetition"].tolist() == [0, 1] * 75
    assert windows.recordings[1].info["session"] == "b" and windows.modality == "fmri"
    columns = rng.permutation(1300)[:40]
    block = windows.recordings[1].signal.read(columns, 5, 60)
    assert np.abs(block - values[75:130, columns].T).max() <= tolerance
    rows = rng.permutation(150)[:33]
    assert np.array_equal(windows.features(rows), got[rows])
    assert np.array_equal(pickle.loads(pickle.dumps(windows.recordings[0].signal)).read(), got[:70].T)


def test_files_of_other_voxels_are_not_joined(tmp_path, rng):
    paths = [write_betas(tmp_path / f"{n}.h5", rng.normal(size=(4, n)), table(4), voxels(n)) for n in (5, 6)]
    with pytest.raises(BraindecError, match=r"do not hold the same voxels(.|\n)*5 and 6"):
        open_betas(paths)


def test_int16_is_half_the_size_and_refuses_what_does_not_fit(tmp_path, rng):
    values = rng.normal(size=(128, 1024)).astype(np.float32)
    full = write_betas(tmp_path / "full.h5", values, table(128), voxels(1024))
    half = write_betas(tmp_path / "half.h5", values, table(128), voxels(1024), scale=300)
    assert half.stat().st_size < 0.7 * full.stat().st_size
    values[5, 7] = 200.0
    with pytest.raises(BraindecError, match=r"do not fit into int16(.|\n)*trial 5, voxel 7"):
        write_betas(tmp_path / "half.h5", values, table(128), voxels(1024), scale=300)
    assert np.abs(open_betas(half).load()).max() < 10  # the old file is as it was


@pytest.mark.parametrize("scale", [None, 300.0])
def test_nan_voxels_are_kept_marked_and_counted(tmp_path, rng, scale):
    values = rng.normal(size=(20, 30))
    values[3, 4], values[:, 9] = np.nan, np.nan
    windows = open_betas(write_betas(tmp_path / "x.h5", values, table(20), voxels(30), scale=scale))
    got = windows.load(check=False)[:, :, 0]
    assert np.array_equal(np.isnan(got), np.isnan(values)) and windows.n_channels == 30
    assert np.flatnonzero(windows.channels["status"] == "bad").tolist() == [4, 9]
    assert "2 of 30 voxels hold values that are not finite" in windows.recordings[0].info["warnings"][0]
    with pytest.raises(BraindecError, match="not finite"):
        windows.load()
    good = windows.recordings[0].select(good=True)
    assert np.isfinite(good.load()).all() and good.n_channels == 28


def test_anything_sliced_by_rows_is_written_in_blocks(tmp_path, rng, monkeypatch):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["b"] = rng.normal(size=(300, 50))
        write_betas(tmp_path / "x.h5", file["b"], table(300), voxels(50))
        assert np.allclose(open_betas(tmp_path / "x.h5").features(), file["b"][...], atol=1e-6)


def test_same_input_same_bytes(tmp_path, rng):
    values = rng.normal(size=(10, 6))
    paths = [
        write_betas(tmp_path / f"{i}.h5", values, table(10), voxels(6), info={"affine": np.eye(4)}) for i in range(2)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_shapes_that_do_not_fit(tmp_path, rng):
    with pytest.raises(BraindecError, match="one row a trial"):
        write_betas(tmp_path / "x.h5", rng.normal(size=(4, 5)), table(4), voxels(6))
    with pytest.raises(BraindecError, match="scale must be"):
        write_betas(tmp_path / "x.h5", rng.normal(size=(4, 5)), table(4), voxels(5), scale=0)
    assert not list(tmp_path.iterdir())


def test_other_and_damaged_files(tmp_path, rng):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(UnreadableError, match="does not hold betas"):
        open_betas(tmp_path / "other.h5")
    path = write_betas(tmp_path / "x.h5", rng.normal(size=(40, 50)), table(40), voxels(50))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BraindecError, match="cannot be opened as HDF5"):
        open_betas(path)


def test_stimuli_in_both_parts_are_said(tmp_path, rng):
    parts = ["train", "test"] * 5  # each stimulus once in each part
    path = write_betas(tmp_path / "x.h5", rng.normal(size=(10, 4)), table(10, part=parts), voxels(4))
    assert "5 stimuli stand in the training and in the test part" in open_betas(path).recordings[0].info["warnings"][0]


# ---- signals of any layout


def write(path, array, chunks):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, betas=array)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("betas", data=array, chunks=chunks)


@pytest.mark.parametrize("trial_axis", [0, 1, 3])
@pytest.mark.parametrize(
    "name, chunks",
    [("a.npy", None), ("a.npz", None), ("a.h5", None), ("b.h5", (3, 2, 4, 2)), ("c.h5", True), ("d.h5", "voxel")],
)
def test_signal_is_the_array(tmp_path, rng, trial_axis, name, chunks):
    grid, n = (5, 6, 7), 11
    array = rng.integers(-1000, 1000, size=(n, *grid)).astype(np.int16)
    places = rng.permutation(int(np.prod(grid)))[:60]
    expected = array.reshape(n, -1)[:, places].T / np.float32(300)
    stored = np.moveaxis(array, 0, trial_axis)
    shape = tuple(n if axis == trial_axis else 1 for axis in range(4)) if chunks == "voxel" else chunks
    write(tmp_path / name, stored, shape)
    signal = BetasSignal(tmp_path / name, trial_axis=trial_axis, voxels=places, divide_by=300)
    assert signal.shape == (60, n) and signal.finite
    assert np.array_equal(signal.read(), expected) and signal.read().dtype == np.float32
    for _ in range(5):
        rows, (a, b) = rng.permutation(60)[: rng.integers(1, 60)], sorted(rng.integers(0, n + 1, 2))
        assert np.array_equal(signal.read(rows, a, b), expected[rows, a:b])
    assert np.array_equal(signal.read(slice(4, 9), 2, 3), expected[4:9, 2:3])
    assert np.array_equal(pickle.loads(pickle.dumps(signal)).read(), expected)
    whole = BetasSignal(tmp_path / name, trial_axis=trial_axis)
    assert np.array_equal(whole.read(), array.reshape(n, -1).T.astype(np.float32))


class Watched:
    """A dataset that notes what is read from it."""

    def __init__(self, dataset):
        self.dataset, self.chunks, self.shape, self.dtype, self.boxes = (
            dataset,
            dataset.chunks,
            dataset.shape,
            dataset.dtype,
            [],
        )

    def __getitem__(self, key):
        self.boxes.append(key)
        return self.dataset[key]

    def chunk_counts(self):
        """How often each chunk was touched."""
        counts = np.zeros([-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True)], int)
        for box in self.boxes:
            counts[tuple(slice(s.start // c, -(-s.stop // c)) for s, c in zip(box, self.chunks, strict=True))] += 1
        return counts


@pytest.mark.parametrize("chunks", [(40, 1, 1, 1), (8, 3, 3, 3), (40, 1, 6, 7)])
def test_no_chunk_is_decoded_twice_and_none_without_need(tmp_path, rng, chunks):
    grid = (6, 8, 9)
    array = rng.integers(-9, 9, size=(40, *grid)).astype(np.int16)
    write(tmp_path / "a.h5", array, chunks)
    places = np.sort(rng.permutation(int(np.prod(grid)))[:100])
    signal = BetasSignal(tmp_path / "a.h5", voxels=places)
    watched = signal._open_source = Watched(signal._source())
    recording_windows = [rng.permutation(40)[:20] for _ in range(3)]
    for rows in recording_windows:  # windows in any order, three times
        for row in rows:
            assert np.array_equal(signal.read(slice(None), row, row + 1)[:, 0], array[row].reshape(-1)[places])
    counts = watched.chunk_counts()
    assert counts.max() == 1
    wanted = np.zeros((40, *grid), bool)
    wanted.reshape(40, -1)[:, places] = True
    edges = [np.arange(0, n, c) for n, c in zip(wanted.shape, chunks, strict=True)]
    needed = wanted
    for axis, edge in enumerate(edges):
        needed = np.logical_or.reduceat(needed, edge, axis=axis)
    assert not counts[~needed].any()


def test_a_selection_of_voxels_is_not_decoded_for_each_trial(tmp_path, rng):
    array = rng.integers(-9, 9, size=(40, 6, 8, 9)).astype(np.int16)
    write(tmp_path / "a.h5", array, (40, 1, 1, 1))
    signal = BetasSignal(tmp_path / "a.h5")
    watched = signal._open_source = Watched(signal._source())
    rows = np.arange(0, 432, 4)
    for trial in rng.permutation(40):
        assert np.array_equal(signal.read(rows, trial, trial + 1)[:, 0], array[trial].reshape(-1)[rows])
    assert watched.chunk_counts().max() == 1


def test_kept_bands_stay_within_their_limit(tmp_path, rng):
    array = rng.normal(size=(64, 200)).astype(np.float32)
    write(tmp_path / "a.h5", array, (8, 200))
    kept = Kept(limit=3 * 8 * 200 * 4)
    signal = BetasSignal(tmp_path / "a.h5", kept=kept)
    assert np.array_equal(signal.read(), array.T) and kept.size == 0, "what is used as a whole is not kept"
    for trial in rng.permutation(64):
        assert np.array_equal(signal.read(slice(None), trial, trial + 1)[:, 0], array[trial])
    assert 0 < kept.size <= kept.limit and len(kept._bands) == 3


def test_how_far_large_files_are_looked_through(tmp_path, rng):
    array = rng.normal(size=(30, 20)).astype(np.float32)
    array[0, 3], array[29, 5], array[10, 7] = np.nan, np.inf, np.nan
    write(tmp_path / "a.npy", array, None)
    write(tmp_path / "b.npy", array.T, None)
    rows, voxels_first = BetasSignal(tmp_path / "a.npy"), BetasSignal(tmp_path / "b.npy", trial_axis=1)
    for signal, limit, expected in (
        (rows, 10**6, [3, 5, 7]),
        (rows, 100, [3, 5]),
        (voxels_first, 10**6, [3, 5, 7]),
        (voxels_first, 100, []),
    ):
        found, looked = _betas_signal.nan_voxels([signal], limit=limit)
        assert found.tolist() == expected and looked == {3: "all", 2: "ends", 0: "nothing"}[len(expected)]


def test_long_runs_of_chunks_are_read_in_parts(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(_betas_signal, "_BLOCK", 500)
    array = rng.normal(size=(10, 400)).astype(np.float32)
    write(tmp_path / "a.h5", array, (10, 20))
    signal = BetasSignal(tmp_path / "a.h5")
    watched = signal._open_source = Watched(signal._source())
    rows = np.arange(0, 400, 3)
    assert np.array_equal(signal.read(rows), array[:, rows].T)
    assert watched.chunk_counts().max() == 1 and max(b[1].stop - b[1].start for b in watched.boxes) <= 40


def test_joined_signals(tmp_path, rng):
    parts = [rng.normal(size=(9, n)).astype(np.float32) for n in (4, 1, 7)]
    for i, part in enumerate(parts):
        np.save(tmp_path / f"{i}.npy", part)
    signal = JoinedSignal([BetasSignal(tmp_path / f"{i}.npy") for i in range(3)])
    whole = np.concatenate(parts, axis=1).T
    rows = rng.permutation(12)
    assert np.array_equal(signal.read(), whole) and np.array_equal(signal.read(rows, 3, 6), whole[rows, 3:6])
    np.save(tmp_path / "3.npy", np.zeros((8, 2)))
    with pytest.raises(BraindecError, match="different numbers of trials"):
        JoinedSignal([BetasSignal(tmp_path / f"{i}.npy") for i in (0, 3)])


def test_what_cannot_be_betas(tmp_path):
    np.save(tmp_path / "text.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}, 2], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    with pytest.raises(UnreadableError, match="no numbers"):
        BetasSignal(tmp_path / "text.npy")
    with pytest.raises(UnreadableError, match="cannot be read"):
        BetasSignal(tmp_path / "objects.npy")
    with pytest.raises(BraindecError, match=r"2 arrays: which one(.|\n)*a, b"):
        BetasSignal(tmp_path / "two.npz")
    with pytest.raises(BraindecError, match=r"no array 'aa'; did you mean 'a'"):
        BetasSignal(tmp_path / "two.npz", "aa")
    with pytest.raises(BraindecError, match=r"no file(.|\n)*did you mean 'text.npy'"):
        BetasSignal(tmp_path / "texts.npy")


# ---- the reader


def test_reader_opens_our_files(tmp_path, rng):
    values = rng.normal(size=(2, 3, 12, 5)).astype(np.float32)
    for i, subject in enumerate(("01", "02")):
        for j, session in enumerate(("a", "b", "c")):
            info = {"subject": subject, "session": session}
            path = tmp_path / f"sub-{subject}" / f"ses-{session}_betas.h5"
            write_betas(path, values[i, j], table(12, session=session), voxels(5), info=info)
    options = {"pattern": "sub-{subject}/ses-{session}_betas.h5"}
    source = open_source(root=tmp_path, reader="betas", options=options)
    assert source.subjects() == ["01", "02"] and len(source.files("02")) == 3
    windows = source.windows("02")
    assert isinstance(windows, Windows) and np.array_equal(windows.features(), values[1].reshape(36, 5))
    assert windows.trials["session"].tolist() == ["a"] * 12 + ["b"] * 12 + ["c"] * 12
    assert windows.trials["repetition"].tolist() == [r for n in range(3) for _ in range(6) for r in (2 * n, 2 * n + 1)]
    some = reader.load(tmp_path, "01", session=["c"], **options)
    assert np.array_equal(some.features(), values[0, 2])
    with pytest.raises(BraindecError, match="no session 'd'"):
        reader.load(tmp_path, "01", session=["c", "d"], **options)
    (tmp_path / "sub-01" / "ses-b_betas.h5").unlink()
    with pytest.raises(BraindecError, match="sessions b are missing"):
        reader.load(tmp_path, "01", session=["a", "b"], **options)
    one = tmp_path / "sub-02" / "ses-a_betas.h5"
    assert reader.subjects(one) == ["02"] and len(reader.load(one)) == 12


@pytest.mark.parametrize("axes", reader.AXES)
def test_reader_of_described_files(tmp_path, rng, axes):
    grid, n = (3, 4, 5), 8  # (x, y, z)
    volume = rng.integers(-500, 500, size=(n, *grid)).astype(np.int16)  # (trial, x, y, z)
    mask = rng.random(grid) < 0.4
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), np.diag([2, 2, 2, 1.0])), tmp_path / "mask.nii.gz")
    expected = np.stack([v.ravel(order="F")[mask.ravel(order="F")] for v in volume]) / 100.0  # x fastest
    flat = {
        "trial_voxel": (expected * 100).round().astype(np.int16),
        "voxel_trial": (expected.T * 100).round().astype(np.int16),
    }
    names = axes.split("_")
    stored = flat[axes] if axes in flat else volume.transpose([["trial", "x", "y", "z"].index(a) for a in names])
    np.save(tmp_path / "betas.npy", stored)
    pd.DataFrame({"image": [f"im{i}" for i in range(n)], "run": 1, "part": "train"}).to_csv(
        tmp_path / "t.csv", index=False
    )
    windows = reader.load(
        tmp_path / "betas.npy",
        axes=axes,
        divide_by=100,
        mask="mask.nii.gz",
        trials="t.csv",
        columns={"stimulus_id": "image"},
        space="T1w",
    )
    assert np.allclose(windows.features(), expected, atol=1e-6)
    ijk = windows.channels[["i", "j", "k"]].to_numpy()
    assert mask[tuple(ijk.T)].all() and len(ijk) == mask.sum()
    assert np.allclose(windows.channels[["x", "y", "z"]], ijk * 0.002)
    assert windows.recordings[0].info["grid"] == [3, 4, 5] and windows.trials["stimulus_id"][2] == "im2"


def test_reader_refuses_to_guess(tmp_path, rng):
    np.save(tmp_path / "b.npy", rng.integers(0, 9, size=(6, 4)).astype(np.int16))
    table(6).to_csv(tmp_path / "t.csv", index=False)
    table(5).to_csv(tmp_path / "short.csv", index=False)
    table(6).drop(columns="stimulus_id").assign(image="a").to_csv(tmp_path / "nameless.csv", index=False)
    path = tmp_path / "b.npy"
    with pytest.raises(BraindecError, match=r"what are its axes(.|\n)*trial_voxel"):
        reader.load(path)
    with pytest.raises(BraindecError, match=r"did you mean 'trial_voxel'"):
        reader.load(path, axes="trials_voxel")
    with pytest.raises(BraindecError, match=r"whole numbers \(int16\)(.|\n)*divide_by"):
        reader.load(path, axes="trial_voxel", trials="t.csv")
    with pytest.raises(BraindecError, match="what was shown in each trial"):
        reader.load(path, axes="trial_voxel", divide_by=300)
    with pytest.raises(BraindecError, match="6 betas, 5 rows"):
        reader.load(path, axes="trial_voxel", divide_by=300, trials="short.csv")
    with pytest.raises(BraindecError, match="no column stimulus_id"):
        reader.load(path, axes="trial_voxel", divide_by=300, trials="nameless.csv")
    with pytest.raises(BraindecError, match="does not have the axes"):
        reader.load(path, axes="trial_x_y_z", divide_by=300, trials="t.csv")
    with pytest.raises(BraindecError, match="must stay inside"):
        reader.load(path, axes="trial_voxel", divide_by=300, trials="../t.csv")


def test_mask_of_another_grid(tmp_path):
    np.save(tmp_path / "b.npy", np.zeros((6, 3, 4, 5), np.float32))
    table(6).to_csv(tmp_path / "t.csv", index=False)
    nib.save(nib.Nifti1Image(np.ones((5, 4, 3), np.uint8), np.eye(4)), tmp_path / "m.nii.gz")
    with pytest.raises(BraindecError, match=r"does not lie on the grid(.|\n)*\(5, 4, 3\)(.|\n)*\(3, 4, 5\)"):
        reader.load(tmp_path / "b.npy", axes="trial_x_y_z", mask="m.nii.gz", trials="t.csv")
    assert reader.load(tmp_path / "b.npy", axes="trial_z_y_x", mask="m.nii.gz", trials="t.csv").n_channels == 60
    with pytest.raises(BraindecError, match="which voxels"):
        reader.load(tmp_path / "b.npy", axes="trial_x_y_z", trials="t.csv")


def test_nan_voxels_of_described_files(tmp_path, rng):
    values = rng.normal(size=(6, 5)).astype(np.float32)
    values[2, 3] = np.inf
    np.save(tmp_path / "b.npy", values)
    table(6).to_csv(tmp_path / "t.csv", index=False)
    windows = reader.load(tmp_path / "b.npy", axes="trial_voxel", trials="t.csv")
    assert windows.channels["status"].tolist() == ["good"] * 3 + ["bad", "good"]
    assert "1 of 5 voxels" in windows.recordings[0].info["warnings"][0]


# ---- input that is not right


def test_tables_that_could_not_be_opened_again_are_not_written(tmp_path, rng):
    values = rng.normal(size=(4, 3))
    with pytest.raises(BraindecError, match="name of its own"):
        write_betas(tmp_path / "a.h5", values, table(4), voxels(3).assign(name="v"))
    with pytest.raises(BraindecError, match="window_id of its own"):
        write_betas(tmp_path / "a.h5", values, table(4, window_id="w"), voxels(3))
    with pytest.raises(BraindecError, match="real numbers"):
        write_betas(tmp_path / "a.h5", values.astype(complex), table(4), voxels(3))
    with pytest.raises(BraindecError, match="scale must be"):
        write_betas(tmp_path / "a.h5", values, table(4), voxels(3), scale="x")
    assert not list(tmp_path.iterdir())
    with pytest.raises(BraindecError, match="no file of betas"):
        open_betas([])


@pytest.mark.parametrize("part", ["trials", "channels", "nan_voxels", "betas"])
def test_a_file_that_lacks_a_part_says_so(tmp_path, rng, part):
    path = write_betas(tmp_path / "a.h5", rng.normal(size=(4, 3)), table(4), voxels(3))
    with h5py.File(path, "a") as file:
        del file[part]
    with pytest.raises(UnreadableError, match="not whole"):
        open_betas(path)


def test_trials_without_a_stimulus_repeat_nothing_and_are_counted(tmp_path, rng):
    trials = pd.DataFrame({"stimulus_id": [np.nan, "a", None, "a"], "part": "training"})
    opened = open_betas(write_betas(tmp_path / "a.h5", rng.normal(size=(4, 3)), trials, voxels(3)))
    assert opened.trials["stimulus_id"].tolist() == ["n/a", "a", "n/a", "a"]
    assert opened.trials["repetition"].tolist() == [0, 0, 0, 1]
    said = " ".join(opened.recordings[0].info["warnings"])
    assert "2 of 4 trials do not say their stimulus" in said and "no trial has the part train or test" in said


def described(tmp_path, rng, text="stimulus_id\na\nb\nc\nd\n", channels=None, dtype=np.float32, **options):
    np.save(tmp_path / "b.npy", (100 * rng.normal(size=(4, 3))).astype(dtype))
    (tmp_path / "t.tsv").write_bytes(text.encode())
    if channels is not None:
        channels.to_csv(tmp_path / "c.tsv", sep="\t", index=False)
        options["channels"] = "c.tsv"
    return reader.load(tmp_path / "b.npy", axes="trial_voxel", **{"trials": "t.tsv", **options})


@pytest.mark.parametrize("factor", [0, -300, float("nan"), float("inf"), "x"])
def test_a_scale_that_is_none_is_refused_and_never_taken_for_one(tmp_path, rng, factor):
    with pytest.raises(BraindecError, match="divide_by must be a positive number"):
        described(tmp_path, rng, dtype=np.int16, divide_by=factor)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "stimulus_id\trepetition\na\tone\nb\t1\nc\t1\nd\t1\n"}, "1 values of repetition are not numbers"),
        ({"text": "stimulus_id\tonset\na\tn/a\nb\t1\nc\t1\nd\t1\n"}, "no onset in 1 of 4 rows"),
        ({"columns": {"stimulus_id": "picture"}}, "no column 'picture'"),
        ({"columns": ["picture"]}, "columns must map"),
        ({"text": "stimulus_id\timage\na\t1\nb\t1\nc\t1\nd\t1\n", "columns": {"stimulus_id": "image"}}, "which one is meant"),
        ({"trials": 3}, "trials must be the path"),
        ({"channels": pd.DataFrame({"name": list("abc"), "x": [55.0, 0, 0]})}, "x is not in m"),
        ({"channels": pd.DataFrame({"name": list("abc"), "x": ["left", 0, 0]})}, "1 values of x are not numbers"),
        ({"channels": pd.DataFrame({"name": list("abc"), "i": [0.5, 0, 0]})}, "not whole numbers"),
    ],
)  # fmt: skip
def test_tables_and_options_that_are_not_right(tmp_path, rng, options, message):
    with pytest.raises(BraindecError, match=message):
        described(tmp_path, rng, **options)


def test_windows_line_ends_and_positions_that_are_not_known(tmp_path, rng):
    channels = pd.DataFrame({"name": list("abc"), "x": ["n/a", "0.01", "0.02"]})
    opened = described(tmp_path, rng, text="stimulus_id\r\n01\r\n1\r\né\r\nd\r\n", channels=channels)
    assert opened.trials["stimulus_id"].tolist() == ["01", "1", "é", "d"]
    assert np.isnan(opened.channels["x"].iloc[0]) and opened.channels["x"].iloc[2] == 0.02


def test_sessions_of_other_voxels_are_refused(tmp_path, rng):
    for session, n in (("1", 3), ("2", 2)):
        np.save(tmp_path / f"ses-{session}.npy", rng.normal(size=(2, n)))
    (tmp_path / "t.tsv").write_text("stimulus_id\na\nb\nc\nd\n", encoding="utf8")
    with pytest.raises(BraindecError, match="do not hold the same voxels"):
        reader.load(tmp_path, pattern="ses-{session}.npy", axes="trial_voxel", trials="t.tsv")


@pytest.mark.parametrize(
    ("name", "content"),
    [("b.npz", b"PK\x03\x04" + b"x" * 300), ("b.npz", b""), ("b.npy", b"\x93NUMPY\x01\x00\x10\x00{bad header     ")],
)
def test_archives_and_heads_that_are_damaged_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError, match="cannot be read"):
        reader.load(tmp_path / name, axes="trial_voxel", trials="t.tsv")


def test_a_group_is_no_dataset_and_a_file_no_folder(tmp_path, rng):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["session/betas"] = rng.normal(size=(4, 3))
    with pytest.raises(BraindecError, match="'session' is a group"):
        reader.load(tmp_path / "b.h5", axes="trial_voxel", trials="t.tsv", key="session")
    with pytest.raises(BraindecError, match="a pattern needs a folder"):
        reader.load(tmp_path / "b.h5", pattern="{subject}.h5")
