"""Spiking networks: processor time of one second of activity, and of building the synapses.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_networks.py            (all but the largest)
    python tests/benchmarks/bench_networks.py --all

Medians of several runs on one thread, without building and compiling. Measured elsewhere on this kind of machine with the
same networks (0.1 ms steps, spikes recorded; float64 unless said): CUBA 4,000: Brian2 C++ 0.074 (float32 0.059), NEST 0.45
to 1.34, GeNN on a processor 0.345; 20,000: 0.40, 2.6 to 7.8, 1.74; 100,000: Brian2 2.55; with STDP 4,000: Brian2 0.124;
Brunel with 15.6 million synapses: Brian2 10.3, NEST 20.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from braindec import registry
from braindec.networks.build import connections
from braindec.networks.published import brunel, coba, cuba
from braindec.networks.simulate import run

GOALS = {"cuba 4,000": (0.03, 0.04), "cuba 20,000": (0.15, np.nan), "cuba 100,000": (0.9, np.nan), "cuba 4,000, STDP": (0.05, np.nan),
         "brunel 12,500": (1.2, np.nan)}  # fmt: skip


def plain(network, seconds, seed):
    """A plain numpy loop of the CUBA network: dense vectors, one gather a spike; returns seconds of processor."""
    wires = connections(network, seed)
    sizes = [p.n for p in network.populations]
    n = sum(sizes)
    first = dict(zip((p.name for p in network.populations), np.cumsum([0, *sizes])))
    rows = [[] for _ in range(n)]
    for projection in network.projections:
        made = wires[projection.name]
        for i in range(len(made.offsets) - 1):
            rows[first[projection.source] + i].append(
                made.targets[made.offsets[i] : made.offsets[i + 1]] + first[projection.target]
            )
    rows = [np.concatenate(r) for r in rows]
    p = network.populations[0].kind.constants(network.populations[0].values, network.dt)
    v, g_e, g_i, wait = np.random.default_rng(seed).uniform(-0.06, -0.05, n), np.zeros(n), np.zeros(n), np.zeros(n)
    start, count = time.process_time(), 0
    for _ in range(round(seconds / network.dt)):
        v = np.where(
            wait > 0, p["v_reset"], p["v_rest"] + (v - p["v_rest"]) * p["p_v"] + g_e * p["p_e"] + g_i * p["p_i"]
        )
        g_e *= p["keep_e"]
        g_i *= p["keep_i"]
        wait = np.maximum(wait - 1, 0)
        fired = np.flatnonzero(v > p["v_threshold"])
        for i in fired:
            if i < sizes[0]:
                np.add.at(g_e, rows[i], 1.62e-3)
            else:
                np.add.at(g_i, rows[i], -9e-3)
        v[fired], wait[fired], count = p["v_reset"], p["wait"], count + len(fired)
    return time.process_time() - start, count


def measure(name, network, *, seconds=1.0, repeats=5, threads=1):
    """Print the median for both widths beside the goal."""
    found = {}
    for dtype in ("float32", "float64"):
        run(network, 20 * network.dt, seed=1, dtype=dtype, threads=threads)  # compiles
        runs = [run(network, seconds, seed=1, dtype=dtype, threads=threads) for _ in range(repeats)]
        found[dtype] = np.median([(r.seconds_of_cpu if threads == 1 else r.seconds) / seconds for r in runs])
        rate = sum(len(s) for s in runs[0].steps.values()) / sum(p.n for p in network.populations) / seconds
    goal = GOALS.get(name, (np.nan, np.nan))
    what = "processor" if threads == 1 else f"wall, {threads} threads"
    print(f"{name:28s} {what:16s} float32 {found['float32']:.4f} s (goal {goal[0]:.3g})  float64 {found['float64']:.4f} s (goal {goal[1]:.3g})  {rate:.2f} Hz", flush=True)  # fmt: skip
    return found


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="100,000 neurons too, and two threads (on a quiet machine)")
    options = parser.parse_args()
    stdp = registry.get("networks.plasticity", "pair_stdp").with_params(w_max=3.24e-3)
    ours = measure("cuba 4,000", cuba())
    cost, count = plain(cuba(), 0.2, 1)
    print(f"{'cuba 4,000':28s} plain numpy loop: {cost / 0.2:.3f} s, {count / 4000 / 0.2:.2f} Hz: {cost / 0.2 / ours['float64']:.0f} times as long", flush=True)  # fmt: skip
    measure("cuba 4,000, STDP", cuba(plasticity=stdp))
    measure("coba 4,000", coba())
    measure("cuba 20,000", cuba(20_000), repeats=3)
    for _ in range(2):
        start = time.process_time()
        made = connections(brunel(), 1)
        cost = time.process_time() - start
    print(f"building {sum(s.n for s in made.values()):,} synapses: {cost:.2f} s (goal 1.5)", flush=True)
    del made
    measure("brunel 12,500", brunel(v_reset=0.0), repeats=3)
    if options.all:
        measure("cuba 100,000", cuba(100_000), repeats=3)
        for n in (20_000, 100_000):
            measure(f"cuba {n:,}, delay 1.5 ms", cuba(n, delay=1.5e-3), repeats=3)
            measure(f"cuba {n:,}, delay 1.5 ms", cuba(n, delay=1.5e-3), repeats=3, threads=2)


if __name__ == "__main__":
    main()
