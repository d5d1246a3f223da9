"""Noise ceilings: published numbers, the definition written out, and what bounds are for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from braindec import registry
from braindec.align.rsa.ceilings import noise_ceiling
from braindec.align.rsa.compare import comparator_of, compare
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError

REFERENCE = {"corr": "pearson"}


def subjects(k: int = 8, noise: float = 1.0, seed: int = 0, n: int = 10) -> tuple[RDMs, RDMs]:
    """Matrices of subjects around one truth, and that truth as a model."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n * (n - 1) // 2)
    data = truth * rng.uniform(0.5, 3, (k, 1)) + noise * 0.3 * rng.standard_normal((k, len(truth))) + 1.0
    return RDMs(data, range(n)), RDMs(truth[None] + 1.0, range(n))


def test_parity_with_published_ceilings(shared):
    known = np.load(shared("rsa_inference.npz", kind="parity"))
    data = RDMs(known["data"], range(20))
    for key in ("cosine", "corr", "spearman", "rho_a", "tau_a", "corr_cov", "cosine_cov"):
        ceiling = noise_ceiling(data, comparator=REFERENCE.get(key, key))
        assert np.abs(np.array(list(ceiling)) - known[f"nc_{key}"]).max() <= 1e-8, key


@pytest.mark.parametrize("name", registry.names("align.rsa.comparators"))
def test_bounds_equal_comparisons_with_pooled_matrices(name):
    data, _ = subjects()
    comparator = comparator_of(name)
    ceiling = noise_ceiling(data, comparator=name)
    pooled = comparator.pooled(data.values)
    assert np.allclose(ceiling.upper_each, comparator.compare(pooled, data.values)[0], atol=1e-10)
    for i in range(len(data)):
        others = comparator.pooled(np.delete(data.values, i, axis=0))
        assert ceiling.lower_each[i] == pytest.approx(comparator.compare(others, data.values[i])[0, 0], abs=1e-8)
    lower, upper = ceiling
    assert lower == pytest.approx(ceiling.lower_each.mean()) and upper == pytest.approx(ceiling.upper_each.mean())
    assert lower < upper and ceiling.comparator == name and "all other subjects" in ceiling.name


def test_the_pool_of_each_comparator_is_its_best_matrix():
    """Scaling, z-scoring or ranking before the mean does not do worse than the plain mean or any one subject."""
    data, _ = subjects(noise=2.0)
    for name in ("cosine", "pearson", "spearman"):
        comparator = comparator_of(name)
        best = noise_ceiling(data, comparator=name).upper
        plain = comparator.compare(data.values.mean(axis=0), data.values).mean()
        assert best >= plain - 1e-3 and best > comparator.compare(data.values, data.values).mean()
    ranks = comparator_of("spearman").pool(data.values)
    assert np.array_equal(ranks, rankdata(data.values, axis=1))


def test_the_truth_lies_between_the_bounds_and_noise_has_a_ceiling_below_zero_too():
    inside = 0
    for seed in range(20):
        data, truth = subjects(seed=seed)
        lower, upper = noise_ceiling(data, comparator="pearson")
        inside += lower <= compare(truth, data, comparator="pearson").mean() <= upper
    assert inside >= 19
    rng = np.random.default_rng(0)
    lower = [
        noise_ceiling(RDMs(rng.standard_normal((4, 45)), range(10)), comparator="pearson").lower for _ in range(50)
    ]
    assert min(lower) < 0 and abs(np.mean(lower)) < 0.05  # not clamped at zero


def test_one_subject_and_gaps_are_refused():
    data, _ = subjects()
    with pytest.raises(BraindecError, match="at least 2 subjects"):
        noise_ceiling(data[0])
    holes = data.values.copy()
    holes[2, 5] = np.nan
    with pytest.raises(BraindecError, match="lack cells"):
        noise_ceiling(RDMs(holes, data.conditions), comparator="pearson")
    with pytest.warns(UserWarning, match="44 of 45"):
        lower, upper = noise_ceiling(RDMs(holes, data.conditions), comparator="pearson", missing="pairwise")
    assert lower < upper
