"""Distances and synchrony of spike trains beside plain numpy, elephant and PySpike in one run; results are compared first.

Bars on two cores, wall time in double precision:

- Victor-Purpura, 100 trains of 500 spikes, every cost: at most 0.5 s;
- van Rossum, 100 trains of 500 spikes: at most 0.06 s;
- spike time tiling, 200 units of 6,000 spikes, dt 5 ms: at most 1.6 s;
- ISI distance, 100 trains of 500 spikes: at least 4 times as fast as PySpike; SPIKE distance and synchronisation faster.

Peers that are not installed are left out. Those that take long get a part of the pairs, stated in their line, and their
time is multiplied up by the number of pairs. Medians of some runs; ``cpu`` is processor time over all threads.

    NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=1 python tests/benchmarks/bench_spike_distances.py [--repeats 5] [--scale 1.0]
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from braindec.kernels.isi_distance import isi_distance, isi_distance_numpy
from braindec.kernels.spike_distance import spike_distance, spike_distance_numpy
from braindec.kernels.spike_synchrony import spike_synchrony, spike_synchrony_numpy
from braindec.kernels.sttc import sttc, sttc_numpy
from braindec.kernels.van_rossum import van_rossum, van_rossum_numpy
from braindec.kernels.victor_purpura import victor_purpura, victor_purpura_numpy

RNG = np.random.default_rng(0)
SECONDS = 20.0


def ragged(trains: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains]))


def poisson(n_units: int, n_spikes: int, seconds: float) -> list[np.ndarray]:
    return [np.sort(RNG.uniform(0, seconds, RNG.poisson(n_spikes))) for _ in range(n_units)]


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Median wall and processor seconds of some calls after a first one, and the result."""
    found, wall, cpu = call() if repeats > 1 else None, [], []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        found = call()
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
    return float(np.median(wall)), float(np.median(cpu)), found


class Report:
    """Lines of one measure: ours, then every peer with its ratio; a peer's result must be ours."""

    def __init__(self, what: str, ours: Callable[[], np.ndarray], repeats: int, bar: float | None = None) -> None:
        self.repeats = repeats
        self.wall, cpu, self.result = timed(ours, repeats)
        judged = "" if bar is None else f"   bar {bar:g} s: {'met' if self.wall <= bar else 'MISSED'}"
        print(f"{what:58s} {self.wall:8.4f} s  cpu {cpu:8.4f} s{judged}", flush=True)

    def peer(
        self, name: str, call: Callable[[], np.ndarray], *, part: int | None = None, tolerance: float = 1e-8
    ) -> None:
        """Time ``call``, which works on all units or on the first ``part``."""
        n = len(self.result)
        times = 1.0 if part is None else n * (n - 1) / (part * (part - 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wall, _, found = timed(call, 1 if part else min(self.repeats, 3))
        off = np.abs(found - self.result[: len(found), : len(found)])[np.triu_indices(len(found), 1)].max()
        said = "" if off < tolerance else f"   DIFFERS by {off:.1e}"
        extent = "" if part is None else f" ({part} units, times {times:.0f})"
        print(f"    {name + extent:54s} {wall * times:8.4f} s  ratio {wall * times / self.wall:9.1f}{said}", flush=True)


def of_elephant(trains: list[np.ndarray], seconds: float) -> list[Any]:
    import neo
    import quantities as pq

    return [neo.SpikeTrain(t * pq.s, t_stop=seconds * pq.s) for t in trains]


def few(trains: list[np.ndarray], part: int) -> tuple[np.ndarray, np.ndarray]:
    return ragged(trains[:part])


def metrics(trains: list[np.ndarray], repeats: int) -> None:
    flat, offsets = ragged(trains)
    for cost in (1e-6, 1.0, 10.0, 100.0, 1000.0):
        what = f"Victor-Purpura, {len(trains)} x 500, cost {cost:g} / s"
        report = Report(what, lambda q=cost: victor_purpura(flat, offsets, cost=q), repeats, 0.5)
        if cost != 10.0:
            continue
        report.peer("plain numpy", lambda: victor_purpura_numpy(*few(trains, 3), cost=10.0), part=3)
        if find_spec("elephant"):
            import quantities as pq
            from elephant.spike_train_dissimilarity import victor_purpura_distance

            theirs = of_elephant(trains[:6], SECONDS)
            report.peer("elephant", lambda t=theirs: victor_purpura_distance(t, 10.0 / pq.s), part=6)
    report = Report(
        f"van Rossum, {len(trains)} x 500, tau 50 ms", lambda: van_rossum(flat, offsets, tau=0.05), repeats, 0.06
    )
    report.peer("plain numpy", lambda: van_rossum_numpy(*few(trains, 15), tau=0.05), part=15)
    if find_spec("elephant"):
        import quantities as pq
        from elephant.spike_train_dissimilarity import van_rossum_distance

        theirs = of_elephant(trains, SECONDS)
        report.peer("elephant", lambda: van_rossum_distance(theirs, 0.05 * pq.s), tolerance=1e-6)


def profiles(trains: list[np.ndarray], repeats: int) -> None:
    flat, offsets = ragged(trains)
    pairs = (("ISI distance", isi_distance, isi_distance_numpy, "isi_distance_matrix"),
             ("SPIKE distance", spike_distance, spike_distance_numpy, "spike_distance_matrix"),
             ("SPIKE-synchronisation", spike_synchrony, spike_synchrony_numpy, "spike_sync_matrix"))  # fmt: skip
    for name, ours, definition, theirs in pairs:
        report = Report(
            f"{name}, {len(trains)} x 500", lambda f=ours: f(flat, offsets, start=0.0, stop=SECONDS), repeats
        )
        report.peer("plain numpy", lambda f=definition: f(*few(trains, 15), start=0.0, stop=SECONDS), part=15)
        if find_spec("pyspike"):
            import pyspike

            made = [pyspike.SpikeTrain(t, [0.0, SECONDS]) for t in trains]
            report.peer("PySpike", lambda name=theirs, m=made: getattr(pyspike, name)(m))


def tiling(n_units: int, repeats: int) -> None:
    trains = poisson(n_units, 6000, 600.0)
    flat, offsets = ragged(trains)
    asked = {"start": 0.0, "stop": 600.0, "dt": 0.005}
    report = Report(f"STTC, {n_units} x 6,000, dt 5 ms", lambda: sttc(flat, offsets, **asked), repeats, 1.6)
    report.peer("plain numpy", lambda: sttc_numpy(*few(trains, 3), **asked), part=3)
    if find_spec("elephant"):
        import quantities as pq
        from elephant.spike_train_correlation import spike_time_tiling_coefficient

        pair = of_elephant(trains[:2], 600.0)

        def theirs() -> np.ndarray:
            value = spike_time_tiling_coefficient(*pair, dt=0.005 * pq.s)
            return np.array([[1.0, value], [value, 1.0]])

        report.peer("elephant (its window grows with t: not the same)", theirs, part=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the units")
    asked = parser.parse_args()
    print(
        f"load {os.getloadavg()[0]:.1f} before the run, {os.cpu_count()} processors: bars of wall time need a quiet machine"
    )
    trains = poisson(max(16, int(100 * asked.scale)), 500, SECONDS)
    metrics(trains, asked.repeats)
    profiles(trains, asked.repeats)
    tiling(max(4, int(200 * asked.scale)), asked.repeats)


if __name__ == "__main__":
    main()
