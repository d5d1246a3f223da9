"""Counting kernels beside elephant, pynapple and plain numpy in one run; results are compared first where they can be.

200 units fire at 10 Hz for 600 s. Bars on 2 cores:

- correlograms of all 19,900 pairs, +-50 ms in bins of 1 ms: at most 0.5 s;
- counts in bins of 5 ms: some ms, as long as it takes to touch their 96 MB for the first time.

Medians of wall seconds are printed, with processor seconds (of all threads) beside them, which other work on the machine
disturbs less. Peers that are slow get a part of the pairs or units, stated in their line, and their time is multiplied
up. Peers that are not installed are left out.

    NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=1 python tests/benchmarks/bench_spike_counts.py [--scale 1.0] [--repeats 5]
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from braindec.kernels.binning import bin_spikes
from braindec.kernels.correlogram import correlogram
from braindec.kernels.exponential_traces import exponential_traces
from braindec.kernels.psth import psth
from braindec.kernels.spike_surrogates import dither, jitter, shuffle_intervals

WIDTH, MAX_LAG = 1e-3, 0.05


def measured(call: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Median wall seconds and processor seconds of some calls, and what the last one returned."""
    walls, cpus, found = [], [], None
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return float(np.median(walls)), float(np.median(cpus)), found


def line(name: str, seconds: float, cpu: float, ours: tuple[float, float] | None = None, note: str = "") -> None:
    ratio = f"{seconds / ours[0]:10.1f} x wall {cpu / ours[1]:10.1f} x processor" if ours else ""
    print(f"  {name:34s}{1e3 * seconds:12.1f} ms ({1e3 * cpu:.1f} ms processor){ratio}  {note}", flush=True)


def installed(name: str) -> Any:
    """Return a module, or None."""
    try:
        return __import__(name, fromlist=["x"])
    except ImportError:
        return None


def data(n_units: int, seconds: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Times on a grid of 0.01 ms, off the edges of bins, so that all rules about ties agree."""
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.integers(0, int(seconds * 1e5), rng.poisson(rate * seconds))) / 1e5 for _ in range(n_units)]
    return np.concatenate(trains), np.cumsum([0] + [len(t) for t in trains])


def split(flat: np.ndarray, offsets: np.ndarray, n: int) -> list[np.ndarray]:
    return [flat[offsets[k] : offsets[k + 1]] for k in range(n)]


def correlograms(flat: np.ndarray, offsets: np.ndarray, seconds: float, repeats: int) -> None:
    n_units = len(offsets) - 1
    n_pairs = n_units * (n_units - 1) // 2
    print(f"correlograms, {n_units} units, {n_pairs} pairs, +-{1e3 * MAX_LAG:g} ms in bins of {1e3 * WIDTH:g} ms")
    asked = {"width": WIDTH, "max_lag": MAX_LAG, "tick": 1e-5}
    correlogram(flat, offsets, **asked)
    wall, cpu, found = measured(lambda: correlogram(flat, offsets, **asked), repeats)
    line("braindec, all pairs, both halves", wall, cpu, note="(bar: 500 ms)")
    pairs = np.stack(np.triu_indices(n_units, 1), axis=1)[:: max(1, n_pairs // 100)]
    part = n_pairs / len(pairs)
    loop, loop_cpu, theirs = measured(lambda: correlogram(flat, offsets, pairs=pairs, backend="numpy", **asked), 1)
    assert np.array_equal(theirs, found[pairs[:, 0], pairs[:, 1]])
    line("numpy, a loop over pairs", loop * part, loop_cpu * part, (wall, cpu), f"({len(pairs)} pairs x {part:.0f})")
    if nap := installed("pynapple"):
        few = min(n_units, 30)
        group = nap.TsGroup({k: nap.Ts(t) for k, t in enumerate(split(flat, offsets, few))})
        part = n_pairs / (few * (few - 1) / 2)
        nap.compute_crosscorrelogram(group[[0, 1]], WIDTH, MAX_LAG)
        peer, peer_cpu, _ = measured(lambda: nap.compute_crosscorrelogram(group, WIDTH, MAX_LAG), 1)
        line("pynapple", peer * part, peer_cpu * part, (wall, cpu), f"({few} units x {part:.0f})")
    if installed("elephant"):
        import neo
        import quantities as pq
        from elephant.conversion import BinnedSpikeTrain
        from elephant.spike_train_correlation import cross_correlation_histogram

        trains = [neo.SpikeTrain(t, t_stop=seconds, units="s") for t in split(flat, offsets, 2)]

        def one_pair() -> Any:
            a, b = (BinnedSpikeTrain(t, bin_size=1 * pq.ms, t_stop=seconds * pq.s) for t in trains)
            return cross_correlation_histogram(a, b, window=(-50, 50))

        one_pair()
        peer, peer_cpu, _ = measured(one_pair, 3)
        line("elephant", peer * n_pairs, peer_cpu * n_pairs, (wall, cpu), f"(1 pair x {n_pairs})")


def counts(flat: np.ndarray, offsets: np.ndarray, seconds: float, repeats: int) -> None:
    n_units, n_bins = len(offsets) - 1, round(seconds / 0.005)
    print(f"counts, {n_units} units x {n_bins} bins")
    asked = {"start": 0.0, "width": 0.005, "n_bins": n_bins}
    bin_spikes(flat, offsets, **asked)
    wall, cpu, found = measured(lambda: bin_spikes(flat, offsets, **asked), repeats)
    line("braindec", wall, cpu)
    trains = split(flat, offsets, n_units)
    edges = 0.005 * np.arange(n_bins + 1) - 1e-9
    loop, loop_cpu, theirs = measured(lambda: np.stack([np.histogram(t, edges)[0] for t in trains]), 1)
    assert np.array_equal(theirs, found)
    line("numpy, histogram of each unit", loop, loop_cpu, (wall, cpu))
    peer, peer_cpu, theirs = measured(lambda: bin_spikes(flat, offsets, backend="numpy", **asked), 1)
    line("numpy, bincount of all", peer, peer_cpu, (wall, cpu))
    if nap := installed("pynapple"):
        group = nap.TsGroup({k: nap.Ts(t) for k, t in enumerate(trains)})
        epoch = nap.IntervalSet(0, seconds)
        group.count(0.005, epoch)
        peer, peer_cpu, _ = measured(lambda: group.count(0.005, epoch), 1)
        line("pynapple", peer, peer_cpu, (wall, cpu))
    if installed("elephant"):
        import neo
        import quantities as pq
        from elephant.conversion import BinnedSpikeTrain

        lists = [neo.SpikeTrain(t, t_stop=seconds, units="s") for t in trains]
        peer, peer_cpu, theirs = measured(lambda: BinnedSpikeTrain(lists, bin_size=5 * pq.ms).to_array(), 1)
        assert np.array_equal(theirs, found)
        line("elephant", peer, peer_cpu, (wall, cpu))


def around_events(flat: np.ndarray, offsets: np.ndarray, seconds: float, repeats: int) -> None:
    events = np.sort(np.random.default_rng(1).uniform(1, seconds - 1, 500))
    print(f"around {len(events)} events, 150 bins of 10 ms")
    asked = {"tmin": -0.5, "width": 0.01, "n_bins": 150}
    psth(flat, offsets, events, **asked)
    wall, cpu, found = measured(lambda: psth(flat, offsets, events, **asked), repeats)
    line("braindec", wall, cpu)
    edges = 0.01 * np.arange(151) - 0.5 - 1e-9

    def loop() -> np.ndarray:
        return np.stack([
            np.histogram(np.concatenate([t[np.searchsorted(t, e - 0.6) : np.searchsorted(t, e + 1.1)] - e for e in events]), edges)[0]
            for t in split(flat, offsets, len(offsets) - 1)
        ])  # fmt: skip

    peer, peer_cpu, theirs = measured(loop, 1)
    assert abs(int(theirs.sum()) - int(found.sum())) <= 2
    line("numpy, loop over units and events", peer, peer_cpu, (wall, cpu))


def surrogates(flat: np.ndarray, offsets: np.ndarray, seconds: float, repeats: int) -> None:
    train, one = flat[: offsets[1]], [0, int(offsets[1])]
    print(f"100 surrogates of {len(train)} spikes, 20 ms")
    neo, module = installed("neo"), installed("elephant.spike_train_surrogates")
    for make, refractory in ((jitter, 0.0), (dither, 0.0), (dither, 0.004), (shuffle_intervals, 0.0)):
        asked = {"start": 0.0, "stop": seconds, "n_surrogates": 100, "refractory": refractory}
        asked |= {} if make is shuffle_intervals else {"width": 0.02}
        make(train, one, **asked)
        wall, cpu, _ = measured(lambda: make(train, one, **asked), repeats)  # noqa: B023
        name = make.__name__ + (" with 4 ms kept" if refractory else "")
        line(f"braindec {name}", wall, cpu)
        if make is not jitter:
            continue
        rng = np.random.default_rng(0)
        left = 0.02 * np.floor(train / 0.02)
        peer, peer_cpu, _ = measured(lambda: np.sort(left + 0.02 * rng.random((100, len(train))), axis=1), 1)  # noqa: B023
        line(f"numpy {name}", peer, peer_cpu, (wall, cpu))
        if neo and module:
            import quantities as pq

            spikes = neo.SpikeTrain(train, t_stop=seconds, units="s")
            peer, peer_cpu, _ = measured(lambda: module.jitter_spikes(spikes, bin_size=20 * pq.ms, n_surrogates=100), 1)  # noqa: B023
            line(f"elephant {name}", peer, peer_cpu, (wall, cpu))


def traces(flat: np.ndarray, offsets: np.ndarray, seconds: float, repeats: int) -> None:
    n = round(seconds * 100)
    print(f"exponential traces, {len(offsets) - 1} units at {n} times, tau 20 ms")
    asked = {"tau": 0.02, "start": 0.0, "sfreq": 100.0, "n_samples": n}
    exponential_traces(flat, offsets, **asked)
    wall, cpu, _ = measured(lambda: exponential_traces(flat, offsets, **asked), repeats)
    line("braindec", wall, cpu)
    from scipy.signal import lfilter

    binned = {"start": 0.0, "width": 0.01, "n_bins": n}
    decay = np.exp(-0.01 / 0.02)
    peer, peer_cpu, _ = measured(lambda: lfilter([1.0], [1.0, -decay], bin_spikes(flat, offsets, **binned)), 1)
    line("scipy, lfilter of counts (coarser)", peer, peer_cpu, (wall, cpu))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the units")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # elephant says of each train how many spikes lay on edges
    flat, offsets = data(max(2, int(200 * options.scale)), options.seconds, 10.0)
    import numba

    print(f"{len(flat)} spikes, {numba.config.NUMBA_NUM_THREADS} threads, medians of {options.repeats}", flush=True)
    for part in (correlograms, counts, around_events, surrogates, traces):
        part(flat, offsets, options.seconds, options.repeats)


if __name__ == "__main__":
    main()
