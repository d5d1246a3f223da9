"""Batches of windows from disk: braindec against lazy ``mne.Epochs``, in one run on one machine.

64 windows of 64 channels x 1 s at 1 kHz, from a recording of ten minutes, as float32 in memory. Both sides read the same
samples of the same events, in the same orders and in turn; results are compared first. Medians, their ratio, and the ratio
of the best times (which other work on the machine disturbs less) are printed.

    python tests/benchmarks/bench_windows.py [--minutes 10] [--repeats 15] [--folder DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

N_CHANNELS, SFREQ, N_BATCH = 64, 1000.0, 64


def make_files(folder: Path, minutes: float) -> tuple[Path, Path, np.ndarray]:
    """Write noise as FIF (float32) and BrainVision; return both paths and the samples of the events."""
    import mne

    rng = np.random.default_rng(0)
    n_times = round(minutes * 60 * SFREQ)
    names = [f"E{i:02d}" for i in range(N_CHANNELS)]
    data = (rng.standard_normal((N_CHANNELS, n_times), dtype=np.float32) * 1e-5).astype(np.float64)
    raw = mne.io.RawArray(data, mne.create_info(names, SFREQ, "eeg"), copy=None, verbose="ERROR")
    raw.save(folder / "noise_raw.fif", fmt="single", overwrite=True, verbose="ERROR")
    with contextlib.redirect_stdout(io.StringIO()):
        mne.export.export_raw(folder / "noise.vhdr", raw, fmt="brainvision", overwrite=True, verbose="ERROR")
    samples = np.arange(1000, n_times - 2000, 900)
    return folder / "noise_raw.fif", folder / "noise.vhdr", samples


def timed(call: Callable[[np.ndarray], np.ndarray], batches: list[np.ndarray]) -> list[float]:
    """Milliseconds of each batch."""
    found = []
    for rows in batches:
        start = time.perf_counter()
        call(rows)
        found.append(1e3 * (time.perf_counter() - start))
    return found


def braindec_windows(path: Path, samples: np.ndarray, cache_folder: Path | None):
    """Return Windows on the file itself, or on its prepared copy in the cache."""
    import mne

    from braindec.cache import Cache
    from braindec.signal.prepare import prepare
    from braindec.signal.windows import make_windows
    from braindec.types import Recording

    events = pd.DataFrame({"onset": samples / SFREQ, "duration": 0.0, "trial_type": "x"})
    recording = Recording.from_mne(mne.io.read_raw(path, preload=False, verbose="ERROR")).with_events(events)
    if cache_folder is not None:
        (recording,) = prepare(recording, [], cache=Cache(cache_folder))
    return make_windows(recording, tmin=0.0, tmax=1.0)


def mne_epochs(path: Path, samples: np.ndarray):
    """Return lazy ``mne.Epochs`` of the same windows."""
    import mne

    raw = mne.io.read_raw(path, preload=False, verbose="ERROR")
    codes = np.stack([samples, np.zeros_like(samples), np.ones_like(samples)], axis=1)
    return mne.Epochs(
        raw, codes, tmin=0.0, tmax=1.0 - 1 / SFREQ, baseline=None, preload=False, proj=False, verbose="ERROR"
    )


def orders(n_windows: int, repeats: int) -> dict[str, list[np.ndarray]]:
    """Batches of rows: shuffled over the whole recording, shuffled within a neighbourhood, and in order of time."""
    rng = np.random.default_rng(1)
    starts = rng.integers(0, n_windows - N_BATCH, repeats)
    return {
        "shuffled": [rng.choice(n_windows, N_BATCH, replace=False) for _ in range(repeats)],
        "shuffled, sorted": [np.sort(rng.choice(n_windows, N_BATCH, replace=False)) for _ in range(repeats)],
        "in order": [np.arange(s, s + N_BATCH) for s in starts],
    }


def compare(folder: Path, minutes: float, repeats: int) -> dict[str, tuple[float, float]]:
    """Print the table; return for each row the ratio of medians and of best times."""
    fif, vhdr, samples = make_files(folder, minutes)
    prepared = braindec_windows(fif, samples, folder / "cache")
    buffer = np.empty((N_BATCH, N_CHANNELS, round(SFREQ)), dtype=np.float32)
    sides = {
        "FIF": mne_epochs(fif, samples), "BrainVision": mne_epochs(vhdr, samples),
        "prepared": prepared, "BrainVision direct": braindec_windows(vhdr, samples, None),
        "FIF direct": braindec_windows(fif, samples, None),
    }  # fmt: skip
    check = np.array([5, 300, 2])
    expected = sides["FIF"][check].get_data(copy=False, verbose="ERROR").astype(np.float32)
    for name in ("prepared", "FIF direct", "BrainVision direct"):
        assert np.allclose(sides[name].load(check), expected, atol=1e-7, rtol=1e-4), name

    def from_mne(name: str) -> Callable:
        return lambda rows: sides[name][rows].get_data(copy=False, verbose="ERROR").astype(np.float32)

    def from_braindec(name: str) -> Callable:
        return lambda rows: sides[name].load(rows)

    rows = [("prepared cache", from_braindec("prepared"), "FIF", from_mne("FIF")),
            ("prepared cache, out=", lambda r: prepared.load(r, out=buffer), "FIF", from_mne("FIF")),
            ("FIF direct", from_braindec("FIF direct"), "FIF", from_mne("FIF")),
            ("prepared cache", from_braindec("prepared"), "BrainVision", from_mne("BrainVision")),
            ("BrainVision direct", from_braindec("BrainVision direct"), "BrainVision", from_mne("BrainVision"))]  # fmt: skip
    print(
        f"{N_BATCH} windows x {N_CHANNELS} channels x 1 s at {SFREQ:g} Hz, {minutes:g} min, {repeats} batches, median (ms)"
    )
    print(f"{'order':<18}{'braindec from':<24}{'ms':>8}   {'mne.Epochs from':<16}{'ms':>8}{'ratio':>8}{'best':>8}")
    ratios = {}
    for order, batches in orders(len(samples), repeats).items():
        for ours, load, theirs, epochs in rows:
            timed(load, batches[:1])  # both are warm: the file is in the page cache
            timed(epochs, batches[:1])
            mine, other = [], []
            for batch in batches:  # in turn, so that other work on the machine meets both
                mine += timed(load, [batch])
                other += timed(epochs, [batch])
            a, b = float(np.median(mine)), float(np.median(other))
            best = min(other) / min(mine)
            ratios[f"{order}: {ours} against {theirs}"] = b / a, best
            print(f"{order:<18}{ours:<24}{a:>8.2f}   {theirs:<16}{b:>8.1f}{b / a:>8.1f}{best:>8.1f}")
    return ratios


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ratios = compare(Path(folder), options.minutes, options.repeats)
    asked = [v for k, v in ratios.items() if k.endswith("prepared cache against FIF")]
    medians, best = (min(v[k] for v in asked) for k in (0, 1))
    print(
        f"prepared cache against lazy mne.Epochs on FIF, worst order: {medians:.1f} x (medians), {best:.1f} x (best); asked: 8 x"
    )


if __name__ == "__main__":
    main()
