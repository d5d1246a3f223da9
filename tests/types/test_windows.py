"""Windows: load equals direct slicing in any order over several recordings; joins, subsets, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.types import ArraySignal, Recording, Windows

N_CHANNELS, N_TIMES = 3, 12


class SlowSignal(ArraySignal):
    """Counts its reads, as a file that is decoded each time."""

    slow = True

    def __init__(self, array):
        super().__init__(array)
        self.reads = []

    def read(self, channels=slice(None), start=0, stop=None):
        self.reads.append((start, stop))
        return super().read(channels, start, stop)


def _made(lengths=(60, 100, 45), *, slow=False, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((N_CHANNELS, n)).astype(np.float32) for n in lengths]
    names = pd.DataFrame({"name": list("abc")})
    recordings = [
        Recording(SlowSignal(a) if slow else a, 100.0, names, info={"subject": "01", "run": str(i)})
        for i, a in enumerate(arrays)
    ]
    index = np.array([(r, s) for r, n in enumerate(lengths) for s in range(0, n - N_TIMES + 1, 7)])
    index = index[rng.permutation(len(index))]
    trials = pd.DataFrame({"trial_type": ["x" if s % 2 else "y" for _, s in index]})
    return arrays, Windows(tuple(recordings), index, N_TIMES, trials, tmin=-0.05)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(0, 21), max_size=40), slow=st.booleans())
def test_load_equals_slicing_in_any_order(rows, slow):
    arrays, windows = _made(slow=slow)
    rows = [r % len(windows) for r in rows]
    got = windows.load(np.array(rows, dtype=int))
    assert got.dtype == np.float32 and got.shape == (len(rows), N_CHANNELS, N_TIMES)
    for block, row in zip(got, rows, strict=True):
        number, start = windows.index[row]
        np.testing.assert_array_equal(block, arrays[number][:, start : start + N_TIMES])


def test_slow_sources_are_read_in_few_pieces_but_not_in_huge_ones(monkeypatch):
    _, windows = _made((2000,), slow=True)
    expected = windows.load()
    signal = windows.recordings[0].signal
    assert len(signal.reads) == 1  # windows every 7 samples, 12 long: one read
    monkeypatch.setattr("braindec.types.windows._BLOCK", N_CHANNELS * 100)
    signal.reads.clear()
    np.testing.assert_array_equal(windows.load(), expected)
    assert max(b - a for a, b in signal.reads) <= 100 and len(signal.reads) < len(windows) / 5
    signal.reads.clear()
    far = windows[np.argsort(windows.index[:, 1])][[0, len(windows) - 1]]
    far.load()
    assert len(signal.reads) == 2  # far apart: nothing between them is read


def test_subsets_are_lazy_and_compose():
    _, windows = _made()
    everything = windows.load()
    mask = (windows.trials["trial_type"] == "x").to_numpy()
    for rows in (slice(2, 9, 3), mask, np.array([5, 1, 1]), -1, [3]):
        np.testing.assert_array_equal(
            windows[rows].load(), np.atleast_3d(everything[rows]).reshape(-1, N_CHANNELS, N_TIMES)
        )
    np.testing.assert_array_equal(windows[[9, 4, 2]][[2, 0]].load(), everything[[2, 9]])
    assert windows[mask].trials["trial_type"].unique().tolist() == ["x"]
    assert len(windows[[]]) == 0 and windows[[]].load().shape == (0, N_CHANNELS, N_TIMES)


def test_ids_are_stable_under_subsets_and_name_the_run():
    _, windows = _made()
    assert len(set(windows.ids)) == len(windows)
    assert windows[[3, 1]].ids.tolist() == windows.ids[[3, 1]].tolist()
    number, start = windows.index[0]
    assert windows.ids[0] == f"sub-01_run-{number}@{start}"
    twins = Windows((windows.recordings[0], windows.recordings[0]), [[0, 0], [1, 0]], 5, pd.DataFrame(index=range(2)))
    assert len(set(twins.ids)) == 2


def test_out_is_filled_and_checked():
    _, windows = _made()
    out = np.empty((3, N_CHANNELS, N_TIMES), np.float32)
    assert windows.load([1, 2, 3], out=out) is out
    np.testing.assert_array_equal(out, windows.load([1, 2, 3]))
    with pytest.raises(BraindecError, match="out does not fit"):
        windows.load([1, 2], out=out)


def test_times_shape_and_features():
    _, windows = _made()
    np.testing.assert_allclose(windows.times, -0.05 + np.arange(N_TIMES) / 100)
    assert windows.shape == (len(windows), N_CHANNELS, N_TIMES)
    np.testing.assert_array_equal(windows.features([2])[0], windows.load([2]).ravel())


def test_nan_is_named_and_not_passed_on():
    arrays, windows = _made()
    arrays[1][2, 30] = np.nan
    with pytest.raises(BraindecError, match="channels c"):
        windows.load()
    assert np.isnan(windows.load(check=False)).sum() >= 1
    arrays[1][2, 30] = np.inf
    with pytest.raises(BraindecError, match="not finite"):
        windows.load()


def test_large_finite_values_are_not_taken_for_infinite():
    x = np.full((2, 1, 4), 1e30, np.float32)  # their square is infinite in float32
    np.testing.assert_array_equal(Windows.from_arrays(x, {"trial_type": ["a", "b"]}, sfreq=10.0).load(), x)


def test_concat_reads_the_same_and_refuses_what_differs():
    _, first = _made(seed=1)
    _, second = _made((50, 50), seed=2)
    both = Windows.concat([first, second])
    np.testing.assert_array_equal(both.load(), np.concatenate([first.load(), second.load()]))
    assert len(both.recordings) == 5
    assert len(set(both.ids)) == len(both)  # sub-01_run-0@7 is in both, of other recordings
    assert Windows.concat([first[[2]], first[[2]]]).ids.tolist() == [first.ids[2]] * 2  # the same window keeps its name
    with pytest.raises(BraindecError, match="no windows"):
        Windows.concat([first[[]]])
    other = Windows.from_arrays(
        np.zeros((2, 3, N_TIMES)), {"trial_type": ["x", "y"]}, sfreq=50.0, channels=list("abc"), tmin=-0.05
    )
    with pytest.raises(BraindecError, match="sampling frequencies differ"):
        Windows.concat([first, other])
    longer = Windows.from_arrays(
        np.zeros((2, 3, 9)), {"trial_type": ["x", "y"]}, sfreq=100.0, channels=list("abc"), tmin=-0.05
    )
    with pytest.raises(BraindecError):
        Windows.concat([first, longer])
    renamed = Windows.from_arrays(
        np.zeros((2, 3, N_TIMES)), {"trial_type": ["x", "y"]}, sfreq=100.0, channels=list("abd"), tmin=-0.05
    )
    with pytest.raises(BraindecError, match=r"only in the first: \['c'\]"):
        Windows.concat([first, renamed])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_from_arrays_gives_the_array_back(dtype):
    x = (np.random.default_rng(0).standard_normal((6, 4, 10)) * 100).astype(dtype)
    windows = Windows.from_arrays(
        x, {"trial_type": list("aabbab"), "run": list("111222")}, sfreq=100.0, subject="07", modality="eeg"
    )
    np.testing.assert_array_equal(windows.load([5, 0, 0]), x[[5, 0, 0]].astype(np.float32))
    assert windows.trials["subject"].tolist() == ["07"] * 6 and windows.ch_names == ["ch000", "ch001", "ch002", "ch003"]
    assert windows.modality == "eeg"


@pytest.mark.parametrize(
    ("x", "trials", "match"),
    [
        (np.zeros((3, 4)), {"trial_type": list("abc")}, "window, channel, time"),
        (np.zeros((3, 4, 5)), {"trial_type": list("ab")}, "differ in number"),
        (np.zeros((3, 4, 5), complex), {"trial_type": list("abc")}, "real numbers"),
        (np.zeros((3, 4, 5), dtype="U1"), {"trial_type": list("abc")}, "real numbers"),
    ],
)
def test_from_arrays_refuses(x, trials, match):
    with pytest.raises(BraindecError, match=match):
        Windows.from_arrays(x, trials, sfreq=10.0)


def test_a_map_stays_on_disk_and_pickles_as_its_path(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 8, 100)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    windows = Windows.from_arrays(np.load(tmp_path / "x.npy", mmap_mode="r"), {"trial_type": ["a"] * 50}, sfreq=100.0)
    text = pickle.dumps(windows[[7, 3]])
    assert len(text) < 20_000 < x.nbytes
    np.testing.assert_array_equal(pickle.loads(text).load(), x[[7, 3]])


def test_windows_outside_and_unknown_recordings_are_refused():
    recording = Recording(np.zeros((2, 50)), 10.0, pd.DataFrame({"name": ["a", "b"]}))
    for index in ([[0, 41]], [[0, -1]]):
        with pytest.raises(BraindecError, match="leave their recording"):
            Windows((recording,), index, 10, pd.DataFrame(index=range(1)))
    with pytest.raises(BraindecError, match="not there"):
        Windows((recording,), [[1, 0]], 10, pd.DataFrame(index=range(1)))
    with pytest.raises(BraindecError, match="differ in number"):
        Windows((recording,), [[0, 0]], 10, pd.DataFrame(index=range(2)))
    with pytest.raises(BraindecError, match="at least one recording"):
        Windows((), np.zeros((0, 2)), 10, pd.DataFrame())


def test_channels_in_another_order_are_refused():
    a = Recording(np.zeros((2, 50)), 10.0, pd.DataFrame({"name": ["a", "b"]}))
    b = Recording(np.zeros((2, 50)), 10.0, pd.DataFrame({"name": ["b", "a"]}))
    with pytest.raises(BraindecError, match="another order"):
        Windows((a, b), [[0, 0]], 10, pd.DataFrame(index=range(1)))


def test_with_trials_adds_columns_and_keeps_ids():
    _, windows = _made()
    more = windows.with_trials(stimulus_id=np.arange(len(windows)).astype(str))
    assert (
        more.ids.tolist() == windows.ids.tolist()
        and "stimulus_id" in more.trials
        and "stimulus_id" not in windows.trials
    )


def test_a_saved_recording_knows_whether_it_is_finite(tmp_path):
    """Windows of a file that was found finite when it was written are not looked through again; others are."""
    channels = pd.DataFrame({"name": ["a", "b"]})
    clean = Recording(np.ones((2, 50), np.float32), 10.0, channels).save(tmp_path / "clean.h5")
    data = np.ones((2, 50))
    data[1, 30] = np.nan
    spoilt = Recording(data, 10.0, channels).save(tmp_path / "spoilt.h5")
    assert clean.signal.finite and clean.select(["b"]).signal.finite and not spoilt.signal.finite
    assert pickle.loads(pickle.dumps(clean)).signal.finite
    index, trials = np.array([[0, 0], [0, 25]]), pd.DataFrame({"trial_type": ["x", "y"]})
    assert Windows((clean,), index, 20, trials).load().shape == (2, 2, 20)
    with pytest.raises(BraindecError, match="not finite"):
        Windows((spoilt,), index, 20, trials).load()
