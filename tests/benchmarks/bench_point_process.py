"""Point-process models beside scikit-learn and plain numpy in one run; results are compared first.

- A Poisson GLM of 60,000 bins and 200 columns, against scikit-learn's newton-cholesky.
- GLMs of 20 coupled units, 60,000 bins, 101 columns each, one by one and together; the test of all 380 couplings.
- Forward-backward of 50 sequences x 2,000 bins, 5 states, against its numpy definition.
- HMM-GLMs of 5 states, 20 units, 50 trials x 2,000 bins, each prior.

Medians of processor seconds, which other work on the machine disturbs less than wall time.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_point_process.py [--repeats 3] [--skip-hmm]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import PoissonRegressor

from braindec.kernels.forward_backward import forward_backward
from braindec.spikes.bases import raised_cosine
from braindec.spikes.glm import PoissonGLM
from braindec.spikes.hmm_glm import HMMGLM
from braindec.spikes.planted_states import planted_states
from braindec.spikes.population_glm import PopulationGLM
from braindec.spikes.states import match_states


def measured(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median processor seconds of some calls, and what the last one returned."""
    cpus, found = [], None
    for _ in range(repeats):
        cpu = time.process_time()
        found = call()
        cpus.append(time.process_time() - cpu)
    return float(np.median(cpus)), found


def line(name: str, seconds: float, note: str = "") -> None:
    print(f"  {name:44s}{seconds:10.3f} s  {note}", flush=True)


def glm(repeats: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 200))
    y = rng.poisson(np.exp(X @ rng.normal(size=200) * 0.03 - 2))
    ours, mine = measured(lambda: PoissonGLM().fit(X, y), repeats)
    theirs, other = measured(lambda: PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-8).fit(X, y), repeats)
    difference = np.abs(mine.coef_ - other.coef_).max()
    line("Poisson GLM, 60,000 x 200", ours, f"largest difference to scikit-learn {difference:.1e}")
    line("  scikit-learn, newton-cholesky", theirs, f"{theirs / ours:.1f} x")
    counts = rng.poisson(0.1, size=(20, 60_000))
    basis = raised_cosine(5, duration=0.1, width=0.005)
    together, model = measured(lambda: PopulationGLM(history=basis, coupling=basis).fit([counts]), repeats)
    X = model._data[0][:, :-1]
    one_by_one, _ = measured(lambda: [PoissonGLM().fit(X, c) for c in counts], 1)
    line("20 units together, 60,000 x 101", together)
    line("  one by one", one_by_one, f"{one_by_one / together:.1f} x")
    line("test of 380 couplings", measured(model.coupling_test, 1)[0])


def chains(repeats: int) -> None:
    rng = np.random.default_rng(0)
    values, offsets = rng.normal(size=(100_000, 5)), np.arange(0, 100_001, 2000)
    a = np.full((5, 5), 0.005) + 0.975 * np.eye(5)
    forward_backward(values, a, offsets=offsets)
    ours, mine = measured(lambda: forward_backward(values, a, offsets=offsets), repeats)
    theirs, other = measured(lambda: forward_backward(values, a, offsets=offsets, backend="numpy"), 1)
    difference = np.abs(mine.posterior - other.posterior).max()
    line("forward-backward, 100,000 bins, 5 states", ours, f"largest difference {difference:.1e}")
    line("  numpy, by logarithms", theirs, f"{theirs / ours:.0f} x")


def hidden_states() -> None:
    planted = planted_states(n_states=5, n_units=20, n_trials=50, n_bins=2000, strength=1.5)
    for prior in ("none", "gaussian", "one_hot"):
        seconds, model = measured(lambda p=prior: HMMGLM(5, prior=p, link="sigmoid").fit(planted.counts), 1)
        accuracy = match_states(planted.states, model.viterbi(planted.counts), 5).accuracy
        line(f"HMM-GLM, 3 restarts, prior {prior}", seconds, f"states found in {accuracy:.1%} of bins")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-hmm", action="store_true")
    chosen = parser.parse_args()
    glm(chosen.repeats)
    chains(chosen.repeats)
    if not chosen.skip_hmm:
        hidden_states()


if __name__ == "__main__":
    main()
