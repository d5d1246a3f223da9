"""Milliseconds a neuron of frequency tagging, against the published procedure (own re-implementation of its definition).

The published procedure: for each neuron by itself, 1,000 random orders of the time points of its mean series, a Fourier
transform of each, the magnitude at the bin of sentences against their 95th percentile, then the same for phrases. Ours: all
of tag_arrays (coefficients, power, signal-to-noise, coherence, 1,000 label permutations of trials against a control, false
discovery rate, largest statistic) for both rates. CPU time of one BLAS thread, median of several runs, in turns.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from tqdm import tqdm

from braindec.align._hftp import order_test
from braindec.stats.tagging import tag_arrays

RATES = {"sentence": 1.0, "phrase": 2.0}


def published(series: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Which neurons (columns of (time, neuron)) pass, for each rate: one neuron, one order at a time."""
    n_times = len(series)
    grid = np.fft.rfftfreq(n_times, 0.25)
    passed = np.zeros((len(RATES), series.shape[1]), dtype=bool)
    for r, rate in enumerate(RATES.values()):
        bin_ = int(np.abs(grid - rate).argmin())
        for u in range(series.shape[1]):
            real = np.abs(np.fft.rfft(series[:, u]))[bin_]
            null = [np.abs(np.fft.rfft(rng.permutation(series[:, u])))[bin_] for _ in range(n)]
            passed[r, u] = real > np.percentile(null, 95)
    return passed


def clock(work, *arguments) -> tuple[float, object]:
    began = time.process_time()
    result = work(*arguments)
    return time.process_time() - began, result


def main(n_units: int = 4096, n_slow: int = 16, repeats: int = 3) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((20, 32, n_units)).astype(np.float32) for _ in range(2))
    series = rng.standard_normal((200, n_units))
    times: dict[str, list[float]] = {
        "published": [],
        "its null as one product": [],
        "label permutation": [],
        "T2circ": [],
    }
    for _ in tqdm(range(repeats), disable=None):
        slow, passed = clock(published, series[:, :n_slow], 1000, rng)
        times["published"].append(slow / n_slow)
        quick, p = clock(lambda: [order_test(series, k, n_permutations=1000, rng=1) for k in (50, 100)])
        times["its null as one product"].append(quick / n_units)
        times["label permutation"].append(clock(lambda: tag_arrays(x, sfreq=4.0, rates=RATES, control=y))[0] / n_units)
        times["T2circ"].append(clock(lambda: tag_arrays(x, sfreq=4.0, rates=RATES, test="t2circ"))[0] / n_units)
    agree = np.mean(passed == (np.array(p)[:, :n_slow] < 0.05))
    first = np.median(times["published"])
    for name, seconds in times.items():
        own = np.median(seconds)
        print(f"tagging, {name:24s} {1e3 * own:8.4f} ms a neuron (CPU), {first / own:7.0f} x")
    print(f"decisions of the published procedure and of its null as one product agree: {agree:.1%} of {2 * n_slow}")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
