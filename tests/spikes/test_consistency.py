"""Consistency of embeddings: high for linear views of one latent, no more than the null for unrelated ones."""

import numpy as np
import pytest
from scipy.signal import lfilter

from braindec.errors import BraindecError
from braindec.spikes.consistency import consistency, consistency_table, label_bins


def slow(n, dim, rng, keep=0.95):
    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.standard_normal((n, dim)), axis=0)


def test_linear_views_of_one_latent_agree():
    rng = np.random.default_rng(0)
    latent = slow(2000, 3, rng)
    a = latent @ rng.standard_normal((3, 3)) + 5
    b = latent @ rng.standard_normal((3, 6))
    assert consistency(a, b, n_shifts=0).r2 > 1 - 1e-6
    noisy = consistency(a, b + 0.7 * b.std() * rng.standard_normal(b.shape), n_shifts=39)
    assert 0.4 < noisy.r2 < 0.95 and noisy.p == pytest.approx(1 / 40)
    assert noisy.forward > noisy.backward  # the noise cannot be predicted


def test_r2_is_that_of_held_out_time():
    """Random dimensions, as many as a fifth of the samples, map onto anything they are fitted to, and onto nothing else."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 60)), rng.standard_normal((300, 3))
    own = np.linalg.lstsq(np.column_stack([a, np.ones(300)]), b, rcond=None)[0]
    flattering = 1 - ((b - np.column_stack([a, np.ones(300)]) @ own) ** 2).sum() / ((b - b.mean(0)) ** 2).sum()
    assert flattering > 0.15
    assert consistency(a, b, n_shifts=0, gap=2).forward < 0.05


def test_the_null_is_calibrated_for_slow_unrelated_embeddings():
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        p.append(consistency(slow(400, 2, rng), slow(400, 2, rng), n_shifts=19, n_folds=3, rng=seed).p)
    assert np.mean(np.array(p) <= 0.1) < 0.22 and 0.35 < np.mean(p) < 0.65


def test_sessions_of_other_length_are_compared_over_a_label():
    rng = np.random.default_rng(1)
    angles = [np.cumsum(0.15 * rng.standard_normal(n)) for n in (3000, 2500)]
    maps = rng.standard_normal((2, 2, 4))
    views = [
        np.stack([np.cos(a), np.sin(a)], 1) @ m + rng.standard_normal((len(a), 4))
        for a, m in zip(angles, maps, strict=True)
    ]
    found = consistency(*views, labels=tuple(angles), circular=True, n_shifts=39, n_folds=3)
    assert found.r2 > 0.8 and found.p == pytest.approx(1 / 40) and found.null.max() < found.r2
    unrelated = consistency(
        views[0], rng.standard_normal((2500, 4)), labels=tuple(angles), circular=True, n_shifts=39, n_folds=3
    )
    assert unrelated.r2 < 0.2 and unrelated.p > 0.02


def test_table_and_bins():
    rng = np.random.default_rng(2)
    latent = slow(600, 2, rng)
    named = {"a": latent, "b": latent @ rng.standard_normal((2, 2)), "noise": slow(600, 2, rng)}
    table = consistency_table(named, n_shifts=0, n_folds=3).set_index(["first", "second"])["r2"]
    assert table["a", "b"] > 0.99 and table["a", "noise"] < 0.6 and len(table) == 3
    one, two = label_bins((np.array(["x", "y"]), np.array(["y", "z"])))
    assert one.tolist() == [0, 1] and two.tolist() == [1, 2]
    around = label_bins((np.array([-np.pi + 0.01, 0.01, np.pi - 0.01]),), bins=4, circular=True)[0]
    assert around.tolist() == [2, 0, 1]
    grid = label_bins((rng.random((500, 2)),), bins=16)[0]
    assert len(np.unique(grid)) == 16 and np.bincount(grid).min() > 10


def test_wrong_input_is_refused():
    x = np.random.default_rng(0).standard_normal((200, 2))
    with pytest.raises(BraindecError, match="need labels"):
        consistency(x, x[:150])
    with pytest.raises(BraindecError, match="not finite"):
        consistency(np.where(x > 2, np.nan, x), x)
    with pytest.raises(BraindecError, match="too few samples"):
        consistency(x[:30], x[:30])
    with pytest.raises(BraindecError, match="does not vary"):
        consistency(np.ones((200, 2)), x)
    with pytest.raises(BraindecError, match="too few label bins"):
        consistency(x, x, labels=(np.arange(200.0), np.arange(200.0)), bins=100, n_shifts=0)
