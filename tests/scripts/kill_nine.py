"""Kill a run of several subjects with SIGKILL at random moments, start it again, and compare scores.csv byte for byte.

    python tests/scripts/kill_nine.py [--times 10] [--seed 0] [--folder DIR] -- RECIPE [key=value ...]

An undisturbed run gives the expected bytes. A second run in another folder is killed (the whole process group) after
random times and started again by the same command until it has been killed the asked number of times; then it is left
to finish. A run that finishes before its kill is compared at once and a fresh folder is begun.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def command(out: Path, cache: Path, words: list[str]) -> list[str]:
    return [sys.executable, "-m", "braindec", "run", *words, "--out", str(out), "--cache", str(cache), "--no-report"]


def start(out: Path, cache: Path, words: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        command(out, cache, words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run failed with exit code {process.returncode}:\n{errors.decode()}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    arguments = parser.parse_args(argv)
    words = [w for w in arguments.words if w != "--"]
    folder = arguments.folder or Path(tempfile.mkdtemp())
    rng = random.Random(arguments.seed)

    began = time.monotonic()
    finish(start(folder / "undisturbed", folder / "cache-0", words))
    whole = time.monotonic() - began
    expected = (folder / "undisturbed/scores.csv").read_bytes()
    print(f"undisturbed: {whole:.1f} s, {len(expected)} bytes of scores", flush=True)

    killed = round_ = 0
    while True:
        out, cache = folder / f"disturbed-{round_}", folder / f"cache-{round_ + 1}"
        while True:
            process = start(out, cache, words)
            if killed >= arguments.times:
                finish(process)
                break
            moment = rng.uniform(0.05, 0.8) * whole
            try:
                process.wait(timeout=moment)
                finish(process)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                killed += 1
                done = len(list(out.glob("units/*/status.json")))
                print(f"kill {killed} after {moment:.2f} s, {done} units finished", flush=True)
        if (out / "scores.csv").read_bytes() != expected:
            print(f"DIFFERENT: {out / 'scores.csv'} and {folder / 'undisturbed/scores.csv'}")
            return 1
        left = list(out.rglob("*.tmp"))
        if left:
            print(f"LEFT BEHIND: {left}")
            return 1
        if killed >= arguments.times:
            print(f"killed {killed} times, {round_ + 1} runs compared: the same scores, byte for byte")
            return 0
        round_ += 1


if __name__ == "__main__":
    raise SystemExit(main())
