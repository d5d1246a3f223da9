"""A cohort's folder is whole or not there; nothing that is there is overwritten."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from braindec.errors import BraindecError
from braindec.loaders._synthetic_folder import MARKER, make_folder, read_marker
from braindec.loaders.synthetic import make_cohort, open_cohort

PARAMETERS = {"modality": "eeg", "seed": 0, "list": [1, 2]}


def write(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "b.txt").write_text("hello")


def test_written_once_then_reused(tmp_path):
    calls = []

    def counted(root):
        calls.append(root)
        write(root)

    assert make_folder(tmp_path / "c", PARAMETERS, counted)
    assert not make_folder(tmp_path / "c", PARAMETERS, counted)
    assert len(calls) == 1 and [p.name for p in tmp_path.iterdir()] == ["c"]
    assert read_marker(tmp_path / "c", verify=True)["parameters"] == PARAMETERS


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "c").mkdir()
    assert make_folder(tmp_path / "c", PARAMETERS, write)
    assert (tmp_path / "c" / "a" / "b.txt").read_text() == "hello"


def test_other_things_are_never_touched(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("mine")
    with pytest.raises(BraindecError, match=r"holds other things(?s:.)*thesis\.txt"):
        make_folder(tmp_path / "c", PARAMETERS, write)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BraindecError, match="holds other things"):
        make_folder(tmp_path / "file", PARAMETERS, write)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["c", "file", "thesis.txt"]


def test_other_parameters_are_named(tmp_path):
    make_folder(tmp_path / "c", PARAMETERS, write)
    with pytest.raises(BraindecError, match="seed is 0, asked 5"):
        make_folder(tmp_path / "c", {**PARAMETERS, "seed": 5}, write)


def test_an_interruption_leaves_nothing(tmp_path):
    def interrupted(root):
        write(root)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_folder(tmp_path / "c", PARAMETERS, interrupted)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said(tmp_path):
    def full(root):
        raise OSError(28, "No space left on device")

    with pytest.raises(BraindecError, match="disk is full"):
        make_folder(tmp_path / "c", PARAMETERS, full)
    assert not list(tmp_path.iterdir())


def test_another_process_that_was_faster_wins(tmp_path):
    def slow(root):
        write(root)
        make_folder(tmp_path / "c", PARAMETERS, write)  # meanwhile

    assert not make_folder(tmp_path / "c", PARAMETERS, slow)
    assert [p.name for p in tmp_path.iterdir()] == ["c"] and read_marker(tmp_path / "c")


def test_damage_is_found(tmp_path):
    folder = tmp_path / "c"
    make_folder(folder, PARAMETERS, write)
    (folder / "a" / "b.txt").write_text("hallo")  # same size
    assert read_marker(folder)
    with pytest.raises(BraindecError, match=r"1 files(?s:.)*a/b\.txt"):
        read_marker(folder, verify=True)
    (folder / "a" / "b.txt").write_text("hell")
    with pytest.raises(BraindecError, match="missing or changed"):
        make_folder(folder, PARAMETERS, write)
    (folder / MARKER).write_text('{"kind": 3')
    with pytest.raises(BraindecError, match="is damaged"):
        read_marker(folder)
    (folder / MARKER).write_text('{"kind": "other", "files": {}}')
    with pytest.raises(BraindecError, match="is not a synthetic cohort"):
        read_marker(folder)
    with pytest.raises(BraindecError, match="there is no synthetic cohort"):
        open_cohort(tmp_path / "nowhere")


def test_left_overs_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = (tmp_path / f".c.{socket.gethostname()}.{pid}.00000000.part" for pid in (ended.pid, os.getpid()))
    dead.mkdir()
    alive.mkdir()
    make_folder(tmp_path / "c", PARAMETERS, write)
    assert not dead.exists() and alive.exists()


def test_killed_while_writing_then_made_again(tmp_path):
    code = f"from braindec.loaders.synthetic import make_cohort; make_cohort({str(tmp_path / 'c')!r}, preset='tiny')"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".c.*.part/stimuli/*/*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "c").exists() and list(tmp_path.glob(".c.*.part"))
    make_cohort(tmp_path / "c", modality="fmri", preset="tiny", n_subjects=1, runs=1)  # any cohort: the left-over goes
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    open_cohort(tmp_path / "c", verify=True)
