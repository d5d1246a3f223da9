"""The ridge engine beside himalaya in one run: plain cross-validation, banded random search, memory-mapped responses.

Each measurement is a process of its own (peak memory is that of the process, data included). Bars on 2 cores:

- plain, 3000 x 1024 -> 20,000 targets, 10 penalties, 5 folds: at least 2 times faster than the fastest of himalaya's
  back ends, at most 1.2 GB;
- banded, 1800 x 2 bands of 1250 -> 10,000 targets, 20 draws: at least 4 times faster a draw, held-out r not lower;
- 10,000 trials x 40,000 targets from a memory-mapped file in at most 4 GB.

``--scale 0.1`` takes a tenth of the targets; ``--threads 1`` makes processor time comparable on a busy machine, where
waiting threads count as work.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ALPHAS = np.logspace(0, 5, 10)
BAND = 1250


def plain_data(folder: Path, t: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3500, 1024), dtype=np.float32)
    Y = X @ (rng.standard_normal((1024, t), dtype=np.float32) * (0.04 * rng.random(t, dtype=np.float32)))
    save(folder, X, Y + rng.standard_normal(Y.shape, dtype=np.float32), 3000)


def banded_data(folder: Path, t: int) -> None:
    """Targets between the two bands, with signal from none to as much as the noise."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((2400, 2 * BAND), dtype=np.float32)
    share, signal = rng.beta(0.5, 0.5, t), rng.gamma(1.0, 0.25, t)
    scale = np.sqrt(np.stack([share, 1 - share]) * signal / BAND).astype(np.float32)
    W = rng.standard_normal((2, BAND, t), dtype=np.float32) * scale[:, None]
    Y = X @ W.reshape(2 * BAND, t)
    save(folder, X, Y + rng.standard_normal(Y.shape, dtype=np.float32), 1800)


def mapped_data(folder: Path, t: int) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((10_000, 1000), dtype=np.float32)
    np.save(folder / "X.npy", X)
    Y = np.lib.format.open_memmap(folder / "Y.npy", mode="w+", dtype=np.float32, shape=(10_000, t))
    for a in range(0, t, 2000):
        b = min(a + 2000, t)
        W = rng.standard_normal((1000, b - a), dtype=np.float32) * 0.01
        Y[:, a:b] = X @ W + rng.standard_normal((10_000, b - a), dtype=np.float32)
    Y.flush()


def save(folder: Path, X: np.ndarray, Y: np.ndarray, n: int) -> None:
    for name, values in {"X": X[:n], "Y": Y[:n], "X_test": X[n:], "Y_test": Y[n:]}.items():
        np.save(folder / f"{name}.npy", values)


def ours(job: dict, X: np.ndarray, Y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from braindec.ridge import contiguous_folds, fit_banded, fit_ridge

    options = {"alphas": ALPHAS, "folds": contiguous_folds(len(X), 5), "backend": job["backend"]}
    if job["kind"] == "banded":
        X, mean = X - X.mean(axis=0), X.mean(axis=0)  # as for himalaya
        fit = fit_banded(
            X, Y, bands={"one": slice(0, BAND), "two": slice(BAND, 2 * BAND)}, gammas=weights(job["draws"]),
            halving=job["halving"], fit_intercept=False, **options,
        )  # fmt: skip
        return lambda new: fit.predict(new - mean)
    return fit_ridge(X, Y, **options).predict


def himalaya(job: dict, X: np.ndarray, Y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from himalaya.backend import set_backend

    backend = set_backend(job["backend"])
    from himalaya.kernel_ridge import KernelRidgeCV, MultipleKernelRidgeCV
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import KFold

    batch = job.get("batch")
    if job["kind"] == "plain":
        model = (KernelRidgeCV if job.get("kernel") else RidgeCV)(
            alphas=ALPHAS, cv=KFold(5), fit_intercept=True, solver_params={"n_targets_batch": batch}
        )
        model.fit(X, Y)
        return lambda X: backend.to_numpy(model.predict(X))
    X, mean = X - X.mean(axis=0), X.mean(axis=0)  # no intercept: half the work is left out for it
    kernels = np.stack([X[:, :BAND] @ X[:, :BAND].T, X[:, BAND:] @ X[:, BAND:].T])
    model = MultipleKernelRidgeCV(
        kernels="precomputed", solver="random_search", cv=KFold(5), random_state=0,
        solver_params={"n_iter": weights(job["draws"]), "alphas": ALPHAS, "n_targets_batch": batch,
                       "n_targets_batch_refit": batch, "progress_bar": False},
    )  # fmt: skip
    model.fit(kernels, Y)

    def predict(new: np.ndarray) -> np.ndarray:
        new = new - mean
        parts = [new[:, :BAND] @ X[:, :BAND].T, new[:, BAND:] @ X[:, BAND:].T]
        return backend.to_numpy(model.predict(np.stack(parts)))

    return predict


def weights(draws: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    gammas = np.stack([rng.dirichlet(np.full(2, (0.1, 1.0)[k % 2])) for k in range(draws)])
    gammas[0] = 0.5
    return np.clip(gammas, 1e-9, None) / np.clip(gammas, 1e-9, None).sum(axis=1, keepdims=True)


def work(job: dict) -> None:
    """Run one measurement in this process and print it."""
    from braindec.ridge import pearson

    folder = Path(job["folder"])
    X = np.load(folder / "X.npy")
    Y = np.load(folder / "Y.npy", mmap_mode="r" if job["kind"] == "mapped" else None)
    wall, cpu = time.perf_counter(), time.process_time()
    predict = (himalaya if job["who"] == "himalaya" else ours)(job, X, Y)
    found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    found["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if (folder / "X_test.npy").exists():
        found["r"] = float(np.nanmean(pearson(np.load(folder / "Y_test.npy"), predict(np.load(folder / "X_test.npy")))))
    print(json.dumps(found))


def measure(threads: int, repeats: int, **job: object) -> dict:
    """Best of some runs of a job, each in its own process."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    runs = []
    for _ in range(repeats):
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        runs.append(json.loads(out.splitlines()[-1]))
    best = {key: min(run[key] for run in runs) for key in runs[0]}
    label = " ".join(
        {"batch": f"batch {value}", "halving": "halving" if value else "all draws"}.get(key, str(value))
        for key, value in job.items()
        if key not in ("kind", "folder", "draws")
    )
    r = f", held-out r {best['r']:.5f}" if "r" in best else ""
    print(
        f"  {job['kind']:7s} {label:32s} {best['wall']:7.1f} s, processor {best['cpu']:7.1f} s, "
        f"peak {best['rss']:5.2f} GB{r}",
        flush=True,
    )
    return best


def compare(kind: str, jobs: list[dict], own: list[dict], options: argparse.Namespace, folder: Path) -> None:
    draws = {"draws": options.draws} if kind == "banded" else {}
    run = {"folder": str(folder), "kind": kind, **draws}
    theirs = [measure(options.threads, options.repeats, who="himalaya", **job, **run) for job in jobs]
    for job in own:
        best = measure(options.threads, options.repeats, who="braindec", **job, **run)
        ratio = {key: min(one[key] for one in theirs) / best[key] for key in ("wall", "cpu")}
        print(f"    -> {ratio['wall']:.1f} times faster than the fastest, {ratio['cpu']:.1f} times in processor time; "
              f"r {best['r'] - max(one['r'] for one in theirs):+.5f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("plain", "banded", "mapped"), nargs="*")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    if options.job:
        return work(json.loads(options.job))
    sizes = {"plain": (plain_data, 20_000), "banded": (banded_data, 10_000), "mapped": (mapped_data, 40_000)}
    for kind, (make, t) in sizes.items():
        if options.only and kind not in options.only:
            continue
        t = max(200, int(t * options.scale))
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), t)
            print(f"ridge {kind}: {t} targets, {options.threads} threads", flush=True)
            if kind == "plain":
                theirs = [{"backend": "numpy"}, {"backend": "torch"}, {"backend": "torch", "batch": 2500}]
                compare(kind, theirs, [{"backend": "numpy"}, {"backend": "torch"}], options, Path(folder))
            elif kind == "banded":
                theirs = [{"backend": "torch", "batch": 1000}, {"backend": "torch", "batch": 2500}]
                own = [{"backend": "numpy", "halving": True}, {"backend": "numpy", "halving": False}]
                compare(kind, theirs, own, options, Path(folder))
            else:
                measure(options.threads, 1, who="braindec", kind=kind, backend="numpy", folder=folder)


if __name__ == "__main__":
    main()
