"""Non-negative factors: planted ones are found, the error never rises, held-out entries tell how many there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import NMF

from braindec.errors import BraindecError
from braindec.spikes.nonnegative_factors import NonnegativeFactors, choose_rank, core_consistency, match_factors


def planted(shape=(40, 12, 8), rank=3, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    factors = [rng.random((n, rank)) ** 3 for n in shape]
    letters = "ijkl"[: len(shape)]
    x = np.einsum(",".join(f"{c}r" for c in letters) + "->" + letters, *factors)
    return x + noise * x.std() * rng.random(x.shape), factors


@pytest.mark.parametrize("method", ["hals", "multiplicative"])
def test_planted_factors_are_recovered(method):
    x, factors = planted(noise=0.1)
    model = NonnegativeFactors(3, method=method, n_starts=3, n_iterations=500).fit(x)
    match = match_factors(factors, model.factors_)
    assert match.cosine.min() > 0.95 and sorted(match.order) == [0, 1, 2]
    assert all((f >= 0).all() for f in model.factors_)
    np.testing.assert_allclose([np.linalg.norm(f, axis=0) for f in model.factors_], 1)
    assert ((x - model.reconstruct()) ** 2).sum() / (x**2).sum() == pytest.approx(model.errors_[-1])
    assert model.errors_[-1] == model.starts_.min()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), rank=st.integers(1, 4), method=st.sampled_from(["hals", "multiplicative"]), masked=st.booleans(),
       shape=st.sampled_from([(6, 5), (5, 4, 3), (4, 3, 3, 2)]))  # fmt: skip
def test_the_error_never_rises(seed, rank, method, masked, shape):
    rng = np.random.default_rng(seed)
    x = rng.random(shape)
    seen = rng.random(shape) < 0.9
    for mode in range(len(shape)):  # something is seen of every row
        seen |= np.indices(shape).sum(axis=0) % shape[mode] == 0
    model = NonnegativeFactors(rank, method=method, n_starts=1, n_iterations=40, tolerance=0.0, seed=seed)
    model.fit(x, seen=seen if masked else None)
    assert (np.diff(model.errors_) <= 1e-12).all()


def test_two_modes_are_as_good_as_sklearn():
    x = np.random.default_rng(0).random((30, 20))
    own = NonnegativeFactors(4, n_starts=5, n_iterations=1000, tolerance=1e-9).fit(x)
    other = NMF(4, init="nndsvda", max_iter=2000, tol=1e-8).fit(x)
    assert own.errors_[-1] < 1.02 * other.reconstruction_err_**2 / (x**2).sum()


def test_held_out_entries_choose_the_rank_and_are_never_looked_at():
    x, _ = planted(noise=0.5, shape=(30, 10, 6))
    table = choose_rank(x, [1, 2, 3, 4], n_starts=2, n_iterations=100).set_index("rank")
    assert table["held_out"].idxmax() >= 3 and table.loc[3, "held_out"] > 0.8 > table.loc[2, "held_out"]
    assert table["chosen"].sum() == 1 and table["explained"].is_monotonic_increasing
    assert table.loc[3, "core_consistency"] > 90
    noise = choose_rank(np.random.default_rng(0).random((20, 10, 5)), [1, 2, 3], n_starts=1, n_iterations=50)
    assert noise.loc[noise["chosen"], "rank"].item() == 1
    seen = np.random.default_rng(1).random(x.shape) > 0.2
    a = NonnegativeFactors(3, n_starts=1).fit(x, seen=seen).reconstruct()
    b = NonnegativeFactors(3, n_starts=1).fit(np.where(seen, x, np.nan), seen=seen).reconstruct()
    assert np.array_equal(a, b) and np.corrcoef(a[~seen], x[~seen])[0, 1] > 0.9


def test_core_consistency_falls_with_too_many_factors():
    x, _ = planted(noise=0.05)
    values = [core_consistency(x, NonnegativeFactors(r, n_starts=3).fit(x)) for r in (3, 5)]
    assert values[0] > 95 > values[1]


def test_wrong_input_is_refused():
    x, _ = planted()
    for bad, message in (
        (-x, "not below 0"),
        (x[:, 0, 0], "2 modes"),
        (0 * x, "0 everywhere"),
        (np.where(x > 0.5, np.nan, x), "finite"),
    ):
        with pytest.raises(BraindecError, match=message):
            NonnegativeFactors(2).fit(bad)
    seen = np.ones(x.shape, dtype=bool)
    seen[3] = False
    with pytest.raises(BraindecError, match="row 3 of mode 0"):
        NonnegativeFactors(2).fit(x, seen=seen)
    with pytest.raises(BraindecError, match="hals"):
        NonnegativeFactors(2, method="als").fit(x)
    with pytest.raises(BraindecError, match="not fitted"):
        NonnegativeFactors(2).reconstruct()
