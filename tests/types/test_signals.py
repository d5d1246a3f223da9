"""Signals: what is read equals slicing the array, in memory, mapped, in HDF5 and through selections; pickling."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.types import ArraySignal, HDF5Signal, SelectedSignal, StackedSignal

DATA = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)
ROWS = [slice(None), slice(1, 4), np.array([3, 0, 3]), np.array([4]), np.array([True, False, True, False, False])]
SPANS = [(0, None), (3, 17), (39, 40), (5, 5)]


def _signals(folder):
    np.save(folder / "a.npy", DATA)
    with h5py.File(folder / "a.h5", "w") as file:
        file["signal"] = DATA
        file.create_dataset("chunked", data=DATA, chunks=(2, 8), compression="gzip")
    stacked = DATA.reshape(5, 8, 5).swapaxes(0, 1)  # (window, channel, time), 8 windows of 5 samples
    np.save(folder / "w.npy", stacked)
    return {
        "array": ArraySignal(DATA),
        "memmap": ArraySignal(np.load(folder / "a.npy", mmap_mode="r")),
        "fortran": ArraySignal(np.asfortranarray(DATA)),
        "hdf5": HDF5Signal(folder / "a.h5"),
        "chunked": HDF5Signal(folder / "a.h5", "chunked"),
        "stacked": StackedSignal(stacked),
        "stacked memmap": StackedSignal(np.load(folder / "w.npy", mmap_mode="r")),
        "selected": SelectedSignal(ArraySignal(np.pad(DATA, ((2, 1), (7, 3)))), np.arange(2, 7), 7, 47),
        "selected chunked": SelectedSignal(HDF5Signal(folder / "a.h5", "chunked"), np.arange(5), 0, 40),
    }


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("span", SPANS, ids=str)
def test_read_equals_slicing(tmp_path, rows, span):
    for name, signal in _signals(tmp_path).items():
        expected = DATA[rows, span[0] : span[1]]
        np.testing.assert_array_equal(signal.read(rows, *span), expected, err_msg=name)
        assert signal.shape == (5, 40), name


def test_indexing_is_numpy_indexing(tmp_path):
    for name, signal in _signals(tmp_path).items():
        for key in [
            2,
            (slice(None), slice(3, 30, 4)),
            (1, slice(-5, None)),
            (slice(0, 2), 7),
            ([2, 0], slice(9, 2, -1)),
            (-1, -1),
        ]:
            np.testing.assert_array_equal(signal[key], DATA[key], err_msg=f"{name} {key}")
        np.testing.assert_array_equal(np.asarray(signal), DATA)
        assert len(signal) == 5


def test_files_pickle_as_paths_and_memory_is_refused(tmp_path):
    for name, signal in _signals(tmp_path).items():
        if name in ("array", "fortran", "stacked", "selected"):
            with pytest.raises(BraindecError, match="save it first"):
                pickle.dumps(signal)
            continue
        text = pickle.dumps(signal)
        assert len(text) < 700, name  # a path and a selection, not 800 bytes of data
        np.testing.assert_array_equal(pickle.loads(text).read(), DATA, err_msg=name)


def test_a_view_of_a_map_is_not_taken_for_the_whole_map(tmp_path):
    np.save(tmp_path / "a.npy", DATA)
    part = np.load(tmp_path / "a.npy", mmap_mode="r")[:, 10:20]
    signal = ArraySignal(part)
    np.testing.assert_array_equal(signal.read(), DATA[:, 10:20])
    with pytest.raises(BraindecError):
        pickle.dumps(signal)


def test_selection_of_a_selection_stays_one_step_deep():
    signal = SelectedSignal(SelectedSignal(ArraySignal(DATA), np.array([4, 2, 0]), 5, 35), np.array([2, 0]), 3, 20)
    assert isinstance(signal.source, ArraySignal)
    np.testing.assert_array_equal(signal.read(), DATA[[0, 4], 8:25])
    np.testing.assert_array_equal(signal.read(np.array([1]), 2, 99), DATA[[4], 10:25])


def test_a_selection_of_a_slow_signal_is_slow():
    class Slow(ArraySignal):
        slow = True

    assert SelectedSignal(Slow(DATA), np.arange(2), 0, 10).slow
    assert not SelectedSignal(ArraySignal(DATA), np.arange(2), 0, 10).slow


def test_bad_arrays_and_files(tmp_path):
    with pytest.raises(BraindecError, match=r"\(channel, time\)"):
        ArraySignal(np.zeros((2, 3, 4)))
    with pytest.raises(BraindecError, match="no file"):
        HDF5Signal(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(BraindecError, match="cannot be opened as HDF5"):
        HDF5Signal(tmp_path / "text.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = DATA
        file["flat"] = DATA[0]
    with pytest.raises(BraindecError, match="no dataset 'signal'"):
        HDF5Signal(tmp_path / "a.h5")
    with pytest.raises(BraindecError, match="not a signal"):
        HDF5Signal(tmp_path / "a.h5", "flat")
