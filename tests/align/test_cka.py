"""Centred kernel alignment: published numbers, sums written out, noise, both ways of computing it, its test."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from braindec.align.cka import cka, cka_matrix, cka_test
from braindec.errors import BraindecError
from braindec.types import Features


def plain(X: np.ndarray, Y: np.ndarray, **options) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cka(X, Y, debiased=False, **options)


def related(n: int = 60, p: int = 12, q: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + 4
    return X, X @ rng.standard_normal((p, q)) + 2 * rng.standard_normal((n, q)) - 9


def hsic_written_out(K: np.ndarray, L: np.ndarray) -> float:
    """Theorem 2 of Song et al. 2012."""
    n = len(K)
    K, L = K * (1 - np.eye(n)), L * (1 - np.eye(n))
    one = np.ones(n)
    return (
        np.trace(K @ L) + (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ K @ L @ one)
    ) / (n * (n - 3))


def test_parity_with_published_numbers(shared):
    known = np.load(shared("cka.npz", kind="parity"))
    assert cka(known["A"], known["B"]) == pytest.approx(float(known["linear_cka_debiased"]), abs=1e-12)
    assert plain(known["A"], known["B"]) == pytest.approx(float(known["linear_cka_biased"]), abs=1e-12)


@pytest.mark.parametrize("shape", [(60, 12, 7), (9, 40, 50), (40, 90, 3)])
def test_equals_the_sums_of_the_definition_by_items_and_by_units(shape):
    X, Y = related(*shape)
    K, L = X @ X.T, Y @ Y.T
    want = hsic_written_out(K, L) / np.sqrt(hsic_written_out(K, K) * hsic_written_out(L, L))
    assert cka(X, Y) == pytest.approx(want, abs=1e-10)
    H = np.eye(len(X)) - 1 / len(X)
    inner = lambda A, B: np.trace(A @ H @ B @ H)  # noqa: E731
    assert plain(X, Y) == pytest.approx(inner(K, L) / np.sqrt(inner(K, K) * inner(L, L)), abs=1e-10)


def test_rbf_equals_its_definition():
    X, Y = related(30)

    def kernel(Z, width):
        distance = ((Z[:, None] - Z[None]) ** 2).sum(-1)
        return np.exp(-distance / (2 * width**2 * np.median(distance[np.triu_indices(len(Z), 1)])))

    for width in (0.5, 1.0):
        K, L = kernel(X, width), kernel(Y, width)
        want = hsic_written_out(K, L) / np.sqrt(hsic_written_out(K, K) * hsic_written_out(L, L))
        assert cka(X, Y, kernel="rbf", bandwidth=width) == pytest.approx(want, abs=1e-10)
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))  # a relation that no linear kernel sees
    assert abs(cka(X, X**2)) < 0.05 < 0.15 < cka(X, X**2, kernel="rbf", bandwidth=0.5)


@pytest.mark.parametrize(("n", "p", "q"), [(384, 4096, 1000), (200, 4096, 13_000), (52, 1600, 97)])
def test_noise_has_none(n, p, q):
    """The bound is on the mean over draws: with 52 items one draw scatters by 0.03, with 384 by 0.004."""
    n_draws = 2 if p * n > 800_000 else 3 if p * n > 500_000 else 60
    found = []
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        found.append(cka(rng.standard_normal((n, p), dtype=np.float32), rng.standard_normal((n, q), dtype=np.float32)))
    assert abs(np.mean(found)) < 0.02
    if n < 100:
        assert plain(rng.standard_normal((n, p)), rng.standard_normal((n, q))) > 0.7  # what is wrong with the other one


def test_invariances_and_the_ends_of_the_scale():
    X, Y = related()
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((12, 12)))[0]
    assert cka(X, X) == pytest.approx(1) and cka(X, 3 * X @ rotation + 100) == pytest.approx(1, abs=1e-9)
    assert cka(X, Y) == pytest.approx(cka(Y, X)) and 0.3 < cka(X, Y) < 1
    assert cka(X, Y) < plain(X, Y)


def test_features_are_joined_by_name_and_read_from_disk_in_blocks(tmp_path, monkeypatch):
    X, Y = (v.astype(np.float32) for v in related(n=50, p=200, q=150))
    names = np.array([f"s{i}" for i in range(50)])
    order = np.random.default_rng(2).permutation(50)
    one = Features.from_array(X, names).save(tmp_path / "x.h5")
    other = Features.from_array(Y[order], names[order]).save(tmp_path / "y.h5")
    monkeypatch.setattr("braindec.align._cka_sources._BLOCK", 50 * 64)
    assert cka(one, other) == pytest.approx(cka(X, Y), abs=1e-6)
    few, more = (v.astype(np.float32) for v in related(n=1100, p=5, q=4))
    ids = [f"s{i}" for i in range(1100)]
    stored = Features.from_array(few, ids).save(tmp_path / "z.h5")
    assert cka(stored, Features.from_array(more, ids)) == pytest.approx(cka(few, more), abs=1e-6)
    with pytest.raises(BraindecError, match="one only"):
        cka(one, other[:30])


def test_batches_and_equal_numbers_of_units_estimate_the_same():
    X, Y = related(n=400, p=40, q=8, seed=3)
    whole = cka(X, Y)
    assert np.mean([cka(X, Y, batch=50, seed=s) for s in range(5)]) == pytest.approx(whole, abs=0.03)
    assert cka(X, Y, equal_units=True, seed=1) == cka(X, Y, equal_units=8, seed=1) != cka(X, Y, equal_units=8, seed=2)
    rng = np.random.default_rng(0)
    wide = np.repeat(X[:, :8], 5, axis=1) + 0.01 * rng.standard_normal((400, 40))
    assert cka(wide, Y, equal_units=8) < cka(wide, Y) + 0.05
    with pytest.raises(BraindecError, match="not to be had"):
        cka(X, Y, equal_units=9)


def test_a_matrix_of_layers_equals_its_pairs():
    rng = np.random.default_rng(0)
    layers = {f"layer {i}": rng.standard_normal((25, 10 + i)) for i in range(3)}
    table = cka_matrix(layers)
    assert list(table.index) == list(table.columns) == list(layers)
    assert np.allclose(np.diagonal(table), 1) and np.allclose(table, table.T)
    assert table.loc["layer 0", "layer 2"] == pytest.approx(cka(layers["layer 0"], layers["layer 2"]), abs=1e-12)
    across = cka_matrix(layers, {"layer 0": rng.standard_normal((25, 6)), "other": layers["layer 1"]})
    assert across.shape == (3, 2) and across.loc["layer 1", "other"] == pytest.approx(1)


def test_permutation_p_values_hold_their_level_and_find_what_is_there():
    rng = np.random.default_rng(0)
    p = [
        cka_test(rng.standard_normal((20, 30)), rng.standard_normal((20, 8)), n_permutations=59, seed=s).p
        for s in range(400)
    ]
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07 and 0.45 < np.mean(p) < 0.55
    X, Y = related(40)
    found = cka_test(X, Y, n_permutations=199)
    assert found.p == pytest.approx(1 / 200) and found.value == pytest.approx(cka(X, Y)) and len(found.null) == 199


def test_permutations_within_groups_keep_what_groups_share():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), 8)
    offset = 3 * rng.standard_normal((6, 5))
    p = {None: [], "groups": []}
    for seed in range(60):
        X, Y = (offset[group] + np.random.default_rng(10 * seed + k).standard_normal((48, 5)) for k in range(2))
        p[None].append(cka_test(X, Y, n_permutations=39, seed=seed).p)
        p["groups"].append(cka_test(X, Y, n_permutations=39, groups=group, seed=seed).p)
    assert np.mean(np.array(p[None]) <= 0.05) > 0.95  # story means are alike
    assert np.mean(np.array(p["groups"]) <= 0.05) < 0.15  # beyond them nothing is


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X, Y: cka(X[:3], Y[:3]), "at least 4 items"),
        (lambda X, Y: cka(X[:30], Y), "same items"),
        (lambda X, Y: cka(X, Y, kernel="linar"), "did you mean 'linear'"),
        (lambda X, Y: cka(np.full_like(X, 0.1), Y), "items of X do not differ"),
        (lambda X, Y: cka(np.where(X > 6, np.nan, X), Y), "finite values"),
        (lambda X, Y: cka(X, Y, kernel="rbf", bandwidth=0), "positive"),
        (lambda X, Y: cka(X, Y, batch=3), "at least 4 items"),
        (lambda X, Y: cka_test(X, Y, groups=[1, 2]), "one group an item"),
        (lambda X, Y: cka_matrix({}), "none"),
    ],
)
def test_what_has_no_alignment_is_one_clear_error(make, message):
    with pytest.raises(BraindecError, match=message):
        make(*related())


def test_the_biased_estimate_comes_with_a_warning():
    with pytest.warns(UserWarning, match="near 1 for pure noise"):
        cka(*related(), debiased=False)
