"""Two-factor bootstrap of RSA beside rsatoolbox, in processor time, in one run.

``python tests/benchmarks/bench_rsa.py [--conditions 200] [--resamples 1000]``. What is included on both sides: all three
bootstraps (subjects and conditions, subjects, conditions), every model and subject, both noise ceilings in every resample.
rsatoolbox is run with a few resamples and scaled up, as its time grows with their number. Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np

from braindec.align.rsa.bootstrap import bootstrap_rsa

THEIRS = {"cosine": ("cosine", 10), "pearson": ("corr", 10), "corr_cov": ("corr_cov", 2), "rho_a": ("rho-a", 3)}


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def rsatoolbox_seconds(models: np.ndarray, data: np.ndarray, method: str, n: int) -> float:
    """Processor seconds of one resample in rsatoolbox; NaN where it fails."""
    from rsatoolbox.inference import eval_dual_bootstrap
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    fixed = [ModelFixed(f"m{i}", m) for i, m in enumerate(models)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (
                seconds(
                    lambda: eval_dual_bootstrap(fixed, RDMs(data), method=method, N=n, n_cv=1, use_correction=False)
                )
                / n
            )
    except Exception as error:
        print(f"  rsatoolbox, {method}: {type(error).__name__}: {str(error)[:90]}")
        return float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("models", 10), ("subjects", 20), ("conditions", 200), ("resamples", 1000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--without-reference", action="store_true")
    wanted = parser.parse_args()
    rng = np.random.default_rng(0)
    n_pairs = wanted.conditions * (wanted.conditions - 1) // 2
    models, data = rng.random((wanted.models, n_pairs)), rng.random((wanted.subjects, n_pairs))
    print(
        f"{wanted.models} models, {wanted.subjects} subjects, {wanted.conditions} conditions, {wanted.resamples} resamples; processor seconds"
    )
    print(f"{'comparator':12s}{'resamples':>12s}{'components':>12s}{'rsatoolbox (scaled up)':>26s}{'ratio':>8s}")
    for name, (method, few) in THEIRS.items():
        bootstrap_rsa(models[:, :45], data[:, :45], comparator=name, n=8)  # compile
        mine = seconds(lambda name=name: bootstrap_rsa(models, data, comparator=name, n=wanted.resamples).variances())
        exact = seconds(lambda name=name: bootstrap_rsa(models, data, comparator=name, method="components").variances())
        theirs = (
            np.nan if wanted.without_reference else wanted.resamples * rsatoolbox_seconds(models, data, method, few)
        )
        print(f"{name:12s}{mine:12.2f}{exact:12.2f}{f'{theirs:.0f} (from {few})':>26s}{theirs / mine:8.0f}")


if __name__ == "__main__":
    main()
