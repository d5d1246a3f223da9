"""Scores of heads and neurons: the CMR fit and partners between networks, against plain loops, in one run on one machine.

Both sides get the same numbers and their results are compared first. CPU time of one thread (``process_time``) is
printed, the best of several repeats, so that other work on the machine does not count.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_heads.py [--heads 144] [--loop-heads 4] [--units 768] [--tokens 8192]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from braindec.llm.scores._cmr_fit import fit_cmr
from braindec.llm.scores._cmr_model import CMRGrid, cmr_grid
from braindec.llm.scores.universal import as_block, best_partners


def cpu(call: Callable[[], object], repeats: int) -> float:
    """Return the least CPU seconds of ``call``."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def loop_fit(attention: np.ndarray, grid: CMRGrid) -> np.ndarray:
    """Distances head by head and cell by cell, as one would write it down."""
    found = []
    for row in attention:
        shifted, best = row - row.min(), np.inf
        for curve in grid.crp.reshape(-1, grid.crp.shape[-1]):
            curve = curve - curve.min()
            if curve.max() > 0:
                best = min(best, np.mean((curve / curve.max() * shifted.max() - shifted) ** 2) / np.var(shifted))
        found.append(best)
    return np.array(found)


def loop_partners(a: np.ndarray, layers: list[np.ndarray]) -> np.ndarray:
    """Largest correlation of each unit, one pair of units at a time."""
    best = np.full(a.shape[1], -np.inf)
    for other in layers:
        for i in range(a.shape[1]):
            for j in range(other.shape[1]):
                best[i] = max(best[i], np.corrcoef(a[:, i], other[:, j])[0, 1])
    return best


def bench_cmr(n_heads: int, n_loop: int, repeats: int) -> None:
    """Print the time of the fit of a head."""
    rng = np.random.default_rng(0)
    grid = cmr_grid()
    attention = rng.standard_normal((n_heads, 11)).cumsum(axis=1)
    np.testing.assert_allclose(
        fit_cmr(attention[:n_loop], grid).distance, loop_fit(attention[:n_loop], grid), atol=1e-10
    )
    ours = 1e3 * cpu(lambda: fit_cmr(attention, grid), repeats) / n_heads
    loop = 1e3 * cpu(lambda: loop_fit(attention[:n_loop], grid), 1) / n_loop
    made = 1e3 * cpu(cmr_grid, repeats)
    print(f"CMR, {grid.crp[..., 0].size:,} cells, {n_heads} heads: {ours:.3f} ms a head (asked: 0.5), loop {loop:.1f} ms, {loop / ours:.0f} x; "
          f"the grid itself {made:.0f} ms, once")  # fmt: skip


def bench_partners(n_units: int, n_tokens: int, n_layers: int, repeats: int) -> None:
    """Print the time of partners of one layer in all layers of another network, with and without the rotated baseline."""
    rng = np.random.default_rng(1)
    a = rng.standard_normal((n_tokens, n_units)).astype(np.float32)
    layers = [rng.standard_normal((n_tokens, n_units)).astype(np.float32) for _ in range(n_layers)]
    few, tokens = 8, min(n_tokens, 2000)
    small = [layer[:tokens, :few] for layer in layers]
    blocks = {k: as_block(v, n_rotations=0) for k, v in enumerate(small)}
    np.testing.assert_allclose(
        best_partners(a[:tokens, :few], blocks).best, loop_partners(a[:tokens, :few], small), atol=1e-10
    )
    for rotations in (0, 1):
        total = cpu(
            lambda r=rotations: best_partners(
                a, {k: as_block(v, seed=(0, k), n_rotations=r) for k, v in enumerate(layers)}
            ),
            repeats,
        )
        name = "with rotated baseline" if rotations else "partners only"
        print(
            f"universal, {n_units} units x {n_layers} layers of {n_units}, {n_tokens:,} tokens, {name}: {total:.2f} s"
        )
    one = cpu(lambda: np.corrcoef(a[:, 0], layers[0][:, 0]), 20)
    print(f"  loop over pairs (extrapolated from one pair): {one * n_layers * n_units**2:.0f} s")


def main() -> None:
    """Read the options and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--heads", type=int, default=144)
    parser.add_argument("--loop-heads", type=int, default=4)
    parser.add_argument("--units", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    bench_cmr(options.heads, options.loop_heads, options.repeats)
    bench_partners(options.units, options.tokens, options.layers, options.repeats)


if __name__ == "__main__":
    main()
