from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from braindec.cache import Cache, fingerprint, hash_key
from braindec.errors import BraindecError
from braindec.files import remove_stale, write_text, written_whole


def test_made_once_and_found_again(tmp_path):
    cache, calls = Cache(tmp_path), []

    def make(file):
        calls.append(1)
        file.create_dataset("x", data=np.arange(4))

    first = cache.get("x", {"b": 1, "a": 2}, make)
    assert cache.get("x", {"a": 2, "b": 1}, make) == first and len(calls) == 1
    assert cache.get("x", {"a": 3, "b": 1}, make) != first and len(calls) == 2


def test_a_damaged_entry_is_made_again(tmp_path):
    cache = Cache(tmp_path)
    path = cache.get("x", {}, lambda file: file.create_dataset("x", data=np.zeros(1000)))
    path.write_bytes(path.read_bytes()[:500])
    again = cache.get("x", {}, lambda file: file.create_dataset("x", data=np.ones(1000)))
    with h5py.File(again) as file:
        assert file["x"][0] == 1


def test_nothing_is_left_when_making_fails(tmp_path):
    def fail(file):
        file.create_dataset("x", data=np.zeros(10))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path).get("x", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_message_and_keeps_what_was_there(tmp_path):
    target = tmp_path / "scores.csv"
    write_text(target, "old")

    with pytest.raises(BraindecError, match="the disk is full"), written_whole(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def _hammer(folder, queue):
    cache = Cache(folder)
    for number in range(20):
        path = cache.get(
            "shared", {"n": number}, lambda file, n=number: file.create_dataset("x", data=np.full(50_000, n))
        )
        with h5py.File(path) as file:
            if not (file["x"][...] == number).all():
                queue.put(number)


def test_two_processes_share_one_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_hammer, args=(str(tmp_path), queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert queue.empty()
    assert len(list(tmp_path.glob("*.h5"))) == 20 == len(list(tmp_path.iterdir()))


def test_files_of_a_killed_process_are_removed_and_others_kept(tmp_path):
    code = (
        "import os, signal, sys; from braindec.files import written_whole\n"
        "with written_whole(sys.argv[1]) as t:\n    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.txt")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    mine = tmp_path / f".y.txt.{os.uname().nodename}.{os.getpid()}.abc.tmp"
    mine.write_text("being written")
    assert len(remove_stale(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == [mine]


def test_fingerprint_follows_content_only(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * 100)
    b.write_bytes(b"x" * 100)
    os.utime(b, (1, 1))
    assert fingerprint(a) == fingerprint(b)
    b.write_bytes(b"y" * 100)
    assert fingerprint(a) != fingerprint(b)
    assert fingerprint(tmp_path) != fingerprint(a)
    with pytest.raises(BraindecError, match="there is no file"):
        fingerprint(tmp_path / "c")


def test_keys_ignore_order_and_know_types():
    assert hash_key({"a": 1, "b": [1, 2]}) == hash_key({"b": [1, 2], "a": 1})
    assert hash_key({"a": 1}) != hash_key({"a": "1"})
    assert hash_key({"a": np.float64(0.5)}) == hash_key({"a": 0.5})
