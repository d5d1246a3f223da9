"""Dissimilarity matrices beside rsatoolbox 0.3.2 in one run, in processor time; results are compared first.

Bars on one core:

- correlation matrix of 1,000 conditions x 20,000 units: at most 1 s;
- shrunk precision of 400 residuals x 3,000 units: at most 2 s;
- searchlight of 11,000 centres x 60 conditions, matrices and comparison with a model: at most 2 s.

Where rsatoolbox is slow it gets a part of the work, stated in its line, and its time is multiplied up: by the number of
units or centres, which its work is proportional to, or (precision) by the square of the number of units, which is less
than what it really takes.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/benchmarks/bench_rdm.py [--scale 1.0] [--repeats 2]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import rsatoolbox
from rsatoolbox.util.searchlight import evaluate_models_searchlight, get_searchlight_RDMs

from braindec.align.rsa.noise import noise_from_residuals
from braindec.align.rsa.rdm import RDMs, compute_rdm
from braindec.align.rsa.searchlight import searchlight, spheres

RNG = np.random.default_rng(0)


def measured(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least processor seconds of some calls, and what the last one returned."""
    seconds, found = [], None
    for _ in range(repeats):
        began = time.process_time()
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            found = call()
        seconds.append(time.process_time() - began)
    return min(seconds), found


def line(what: str, ours: float, theirs: float, *, part: str = "", difference: float) -> None:
    print(f"  {what:58s} braindec {ours:6.2f} s   rsatoolbox {theirs:7.2f} s{part}   ratio {theirs / ours:6.1f}   "
          f"largest difference {difference:.1e}", flush=True)  # fmt: skip


def dataset(values: np.ndarray, **descriptors: np.ndarray) -> rsatoolbox.data.Dataset:
    return rsatoolbox.data.Dataset(values, obs_descriptors=descriptors)


def correlation(scale: float, repeats: int) -> None:
    n, p, part = int(1000 * scale), int(20_000 * scale), 5
    X = RNG.standard_normal((n, p), dtype=np.float32)
    few = X[:, : p // part].astype(np.float64)
    slow, theirs = measured(
        lambda: rsatoolbox.rdm.calc_rdm(dataset(few, c=np.arange(n)), method="correlation"), repeats
    )
    difference = np.abs(compute_rdm(few).values - theirs.dissimilarities).max()
    ours, _ = measured(lambda: compute_rdm(X), repeats)
    line(
        f"correlation, {n} conditions x {p} units",
        ours,
        part * slow,
        part=f" ({p // part} units x {part})",
        difference=difference,
    )


def crossnobis(scale: float, repeats: int) -> None:
    n, p = int(1000 * scale), int(5000 * scale)
    X = RNG.standard_normal((2 * n, p))
    condition, run = np.tile(np.arange(n), 2), np.repeat([0, 1], n)
    slow, theirs = measured(
        lambda: rsatoolbox.rdm.calc_rdm(
            dataset(X, c=condition, r=run), method="crossnobis", descriptor="c", cv_descriptor="r"
        ),
        repeats,
    )
    ours, found = measured(lambda: compute_rdm(X, measure="crossnobis", conditions=condition, runs=run), repeats)
    difference = np.abs(found.values - theirs.dissimilarities).max()
    line(f"crossnobis, {n} conditions x 2 runs x {p} units", ours, slow, difference=difference)


def precision(scale: float, repeats: int) -> None:
    n, p, part = 400, int(3000 * scale), 4
    X = RNG.standard_normal((n, p)) * np.linspace(1, 3, p)
    few = X[:, : p // part]
    slow, theirs = measured(lambda: rsatoolbox.data.noise.prec_from_residuals(few.copy(), method="shrinkage_diag"), 1)
    difference = np.abs(noise_from_residuals(few).precision - theirs).max()
    ours, _ = measured(lambda: noise_from_residuals(X).precision, repeats)
    line(f"shrunk precision, {n} residuals x {p} units", ours, part**2 * slow,
         part=f" ({p // part} units x {part**2})", difference=difference)  # fmt: skip


def spotlight(scale: float, repeats: int) -> None:
    n, part = 60, 10
    side = max(9, round(32 * scale ** (1 / 3)))
    middle = (side - 1) / 2
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    places = grid[((grid - middle) ** 2).sum(axis=1) < (0.868 * side / 2) ** 2]
    X = RNG.standard_normal((n, len(places)))
    model = RDMs(RNG.random((1, n * (n - 1) // 2)), range(n), measure="correlation")
    ours, found = measured(lambda: searchlight(X, model, neighbours=spheres(places, radius=3.0)), repeats)
    neighbours = spheres(places, radius=3.0)
    some = np.arange(0, len(places), part)
    lists = [neighbours.indices[neighbours.starts[c] : neighbours.starts[c + 1]] for c in some]
    fixed = rsatoolbox.model.ModelFixed("model", model.values[0])

    def reference() -> list:
        rdms = get_searchlight_RDMs(X, some, lists, np.arange(n), method="correlation", verbose=False)
        return evaluate_models_searchlight(rdms, fixed, rsatoolbox.inference.eval_fixed, method="cosine", n_jobs=1)

    slow, theirs = measured(reference, 1)
    difference = np.abs(np.array([r.evaluations.ravel()[0] for r in theirs]) - found.values[0, some]).max()
    line(f"searchlight, {len(places)} centres x {n} conditions, one model", ours, slow * len(places) / len(some),
         part=f" ({len(some)} centres x {part})", difference=difference)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of conditions, units and side of the brain")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    print(f"dissimilarity matrices, processor seconds, scale {options.scale:g}", flush=True)
    for part in (correlation, crossnobis, precision, spotlight):
        part(options.scale, options.repeats)


if __name__ == "__main__":
    main()
