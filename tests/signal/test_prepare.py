from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from braindec.cache import Cache
from braindec.errors import BraindecError
from braindec.signal._source import files_of, source_key
from braindec.signal.prepare import check_steps, prepare
from braindec.signal.steps.filter import filter as filter_step
from braindec.signal.steps.zscore import zscore
from braindec.signal.windows import make_windows
from braindec.types import ArraySignal, HDF5Signal, Recording, Signal

STEPS = [{"filter": {"low": 1.0, "high": 20.0}}, "zscore"]
EVENTS = {"onset": [1.0, 2.0], "duration": 0.0, "trial_type": ["a", "b"]}


class SlowSignal(Signal):
    """A .npy file that is decoded on each read."""

    slow = True
    reads = 0

    def __init__(self, path, gain=1.0):
        self.path, self.gain = str(path), gain
        self.shape = np.load(path, mmap_mode="r").shape

    def read(self, channels=slice(None), start=0, stop=None):
        type(self).reads += 1
        return np.load(self.path)[channels, start:stop] * self.gain


@pytest.fixture
def on_disk(tmp_path, make_recording):
    """Return a function that puts a recording on disk as a slow source."""

    def put(name="x.npy", seed=0, **info):
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.random.default_rng(seed).normal(size=(3, 1000)).astype(np.float32))
        recording = make_recording(events=EVENTS, path=str(path), **info)
        return replace(recording, signal=SlowSignal(path))

    return put


def test_steps_are_applied_in_order(make_recording):
    recording = make_recording(events=EVENTS)
    (found,) = prepare(recording, STEPS)
    assert np.array_equal(found.load(), zscore(filter_step(recording, low=1.0, high=20.0)).load())
    assert [next(iter(s)) for s in found.info["steps"]] == ["filter", "zscore"]
    assert found.info["steps"][0]["filter"]["low"] == 1.0
    (other,) = prepare(recording, STEPS[::-1])
    assert not np.allclose(other.load(), found.load(), atol=1e-3)
    assert prepare([recording], []) == [recording]


def test_ways_to_name_a_step():
    same = [check_steps(s) for s in (["zscore"], [{"zscore": None}], [{"zscore": {}}], [("zscore", {})], "zscore")]
    assert all(plan == [("zscore", {})] for plan in same)
    assert check_steps({"resample": {"sfreq": 100}}) == [("resample", {"sfreq": 100.0})]
    assert check_steps([]) == []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["filtr"], "step 1: there is no step 'filtr'; did you mean 'filter'"),
        (["zscore", {"filter": {"hihg": 3}}], "step 2: filter has no option 'hihg'; did you mean 'high'"),
        ([{"resample": None}], "resample needs sfreq"),
        ([{"filter": {"low": "one"}}], "filter.low: Input should be a valid number"),
        ([{"filter": {"causal": "perhaps"}}], "filter.causal"),
        ([{"filter": [1, 20]}], "must be names with values"),
        ([{"filter": {}, "zscore": {}}], "is no step"),
        ([3], "is no step"),
        (["_blocks"], "there is no step"),
        (["../../os"], "there is no step"),
    ],
)
def test_steps_that_cannot_be(steps, message):
    with pytest.raises(BraindecError, match=message):
        check_steps(steps)


def test_all_wrong_steps_are_said_at_once():
    with pytest.raises(BraindecError, match="3 signal steps") as error:
        check_steps(["filtr", "zscore", {"resample": {"sfreqs": 1}}, {"notch": {"width": "x"}}])
    for part in ("step 1", "step 3", "step 4", "'filter'", "'sfreq'"):
        assert part in str(error.value)


def test_a_cached_recording_is_memory_mapped_equal_and_made_once(tmp_path, on_disk):
    recording, cache = on_disk(subject="01", run="02"), Cache(tmp_path / "cache")
    (plain,) = prepare(recording, STEPS)
    (first,) = prepare(recording, STEPS, cache=cache)
    made = SlowSignal.reads
    (second,) = prepare(recording, STEPS, cache=cache)
    assert SlowSignal.reads == made, "the source was read again"
    for found in (first, second):
        assert isinstance(found.signal, HDF5Signal) and isinstance(found.signal._source(), np.ndarray)
        assert not found.signal.slow and found.signal.dtype == np.float32
        assert np.array_equal(found.load(), plain.load())
        assert found.channels.equals(plain.channels)
        pd.testing.assert_frame_equal(found.events, plain.events, check_dtype=False)
        assert found.info == plain.info
    (path,) = (tmp_path / "cache").iterdir()
    assert path.name.startswith("sub-01_run-02_prepared-")
    assert np.array_equal(pickle.loads(pickle.dumps(second)).load(), plain.load())
    windows = make_windows(second, tmin=0, tmax=0.5)
    assert np.array_equal(windows.load(), make_windows(plain, tmin=0, tmax=0.5).load())


def test_the_key_follows_content_steps_and_tables_not_place(tmp_path, on_disk):
    cache, recording = Cache(tmp_path / "cache"), on_disk()

    def entries(changed=recording, steps=STEPS):
        prepare(changed, steps, cache=cache)
        return len(list((tmp_path / "cache").iterdir()))

    assert entries() == 1
    assert entries(steps=[{"filter": {"high": 20, "low": 1, "order": 4}}, {"zscore": {}}]) == 1  # the same, written out
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "data", moved)
    there = replace(
        recording, signal=SlowSignal(moved / "x.npy"), info={**recording.info, "path": str(moved / "x.npy")}
    )
    assert entries(there) == 1
    assert prepare(there, STEPS, cache=cache)[0].info["path"] == str(moved / "x.npy")
    assert entries(steps=[{"filter": {"low": 2.0, "high": 20.0}}, "zscore"]) == 2
    assert entries(steps=STEPS[::-1]) == 3
    assert entries(replace(recording, channels=recording.channels.assign(status=["bad", "good", "good"]))) == 4
    assert entries(recording.with_events(recording.events.assign(onset=[1.0, 3.0]))) == 5
    assert entries(replace(recording, sfreq=200.0)) == 6
    assert entries(replace(recording, signal=SlowSignal(recording.info["path"], gain=2.0))) == 7
    assert entries(recording.select(["c0", "c2"])) == 8
    assert entries(recording.select(tmin=1.0)) == 9
    np.save(recording.info["path"], np.ones((3, 1000), np.float32) * np.arange(1000, dtype=np.float32))
    assert entries() == 10


def test_memory_counts_by_its_samples(tmp_path, make_recording):
    a, b = make_recording(seed=0), make_recording(seed=1)
    assert source_key(a) == source_key(make_recording(seed=0)) != source_key(b)
    assert source_key(a.select(["c0", "c1"])) != source_key(a)
    cache = Cache(tmp_path)
    for recording in (a, b, a):
        (found,) = prepare(recording, ["zscore"], cache=cache)
        assert np.array_equal(found.load(), zscore(recording).load())
    assert len(list(tmp_path.iterdir())) == 2


def test_without_steps_only_slow_sources_are_kept(tmp_path, on_disk, make_recording):
    cache = Cache(tmp_path / "cache")
    memory = make_recording()
    assert prepare(memory, [], cache=cache) == [memory]
    (found,) = prepare(on_disk(), [], cache=cache)
    assert isinstance(found.signal, HDF5Signal) and np.array_equal(found.load(), on_disk().load())


def test_files_that_belong_together(tmp_path):
    for name in ("a_eeg.vhdr", "a_eeg.eeg", "a_eeg.vmrk", "a_eeg.json", "ab_eeg.eeg", "b_raw.fif", "b_raw-1.fif", "b_raw-2.fif",
                 "s_split-01_meg.fif", "s_split-02_meg.fif", "t[1].set", "t[1].fdt"):  # fmt: skip
        (tmp_path / name).write_text(name)
    names = lambda path: [p.name for p in files_of(tmp_path / path)]  # noqa: E731
    assert names("a_eeg.vhdr") == ["a_eeg.eeg", "a_eeg.json", "a_eeg.vhdr", "a_eeg.vmrk"]
    assert names("b_raw.fif") == ["b_raw-1.fif", "b_raw-2.fif", "b_raw.fif"]
    assert names("s_split-01_meg.fif") == ["s_split-01_meg.fif", "s_split-02_meg.fif"]
    assert names("t[1].set") == ["t[1].fdt", "t[1].set"]
    assert files_of(tmp_path) == [tmp_path]


def test_a_failing_step_leaves_nothing_behind(tmp_path, make_recording):
    data = np.zeros((2, 1000))
    data[0, 5] = np.nan
    with pytest.raises(BraindecError, match="not finite"):
        prepare(make_recording(data), STEPS, cache=Cache(tmp_path))
    assert list(tmp_path.iterdir()) == []


_WRITE = """
import resource, signal, sys
import numpy as np, pandas as pd
from braindec.cache import Cache
from braindec.errors import BraindecError
from braindec.signal.prepare import prepare
from braindec.types import Recording
if sys.argv[2] == "limit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
recording = Recording(np.random.default_rng(0).normal(size=(8, 100_000)), 100.0, pd.DataFrame({"name": list("abcdefgh")}))
try:
    prepare(recording, ["zscore"], cache=Cache(sys.argv[1]))
except BraindecError as error:
    print(error)
    sys.exit(3)
"""


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path):
    command = [sys.executable, "-c", _WRITE, str(tmp_path), "limit"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    assert "cannot write" in done.stdout and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_nothing_half_written_is_left(tmp_path):
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare to make a small disk")
    # a disk of 200 kB that only this command sees
    script = (
        'mount -t tmpfs -o size=200k tmpfs "$1" || exit 77; "$2" -c "$3" "$1" disk; code=$?; ls -A "$1"; exit $code'
    )
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, _WRITE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode in (1, 77) and "Traceback" not in done.stderr:
        pytest.skip(f"a small disk cannot be made here: {done.stderr.strip()}")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("the disk is full while writing") and "Traceback" not in done.stderr
    assert done.stdout.rstrip().endswith("finished work is kept"), "something was left on the disk"


def _prepare_all(folder, source, queue):
    recordings = [Recording.open(p) for p in sorted(os.path.join(source, f) for f in os.listdir(source))]
    for recording in recordings:
        (found,) = prepare(recording, STEPS, cache=Cache(folder))
        queue.put((recording.label, float(np.abs(found.load()).sum())))


def test_two_processes_use_one_cache(tmp_path, make_recording):
    for run in range(4):
        make_recording(seed=run, run=str(run)).save(tmp_path / "data" / f"{run}.h5")
    expected = {f"run-{k}": float(np.abs(prepare(make_recording(seed=k), STEPS)[0].load()).sum()) for k in range(4)}
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [
        context.Process(target=_prepare_all, args=(str(tmp_path / "cache"), str(tmp_path / "data"), queue))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    found = [queue.get(timeout=60) for _ in range(8)]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert all(total == pytest.approx(expected[label], rel=1e-6) for label, total in found)
    names = [p.name for p in (tmp_path / "cache").iterdir()]
    assert len(names) == 4 and all(n.endswith(".h5") and not n.startswith(".") for n in names)


def test_array_signals_stay_in_memory_without_a_cache(make_recording):
    assert isinstance(prepare(make_recording(), ["zscore"])[0].signal, ArraySignal)
