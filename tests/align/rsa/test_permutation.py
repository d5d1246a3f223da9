"""Permuted condition labels: rows and columns together, within strata, in blocks; the largest of many scores."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa.compare import comparator_of
from braindec.align.rsa.permutation import condition_orders, permutation_test, permuted_cells
from braindec.align.rsa.rdm import cells_to_square, square_to_cells
from braindec.errors import BraindecError


def test_rows_and_columns_move_together():
    rng = np.random.default_rng(0)
    cells, order = rng.random((2, 15)), rng.permutation(6)
    square = cells_to_square(cells)
    np.testing.assert_array_equal(permuted_cells(cells, order), square_to_cells(square[:, order][:, :, order]))


@pytest.mark.parametrize("name", ["cosine", "pearson", "rho_a", "corr_cov", "tau_a"])
def test_p_is_that_of_the_definition(name):
    rng = np.random.default_rng(1)
    models, data = rng.random((2, 28)), [rng.random((3, 28)) for _ in range(2)]
    data[0][:] += models[0]
    orders = condition_orders(8, n=30, rng=2)
    found = permutation_test(models, data, comparator=name, orders=orders)
    null = np.array(
        [[comparator_of(name).compare(permuted_cells(models, o), d).mean(axis=1) for d in data] for o in orders]
    )
    null = null.transpose(0, 2, 1)
    observed = np.stack([comparator_of(name).compare(models, d).mean(axis=1) for d in data], axis=1)
    np.testing.assert_allclose(found.observed, observed, atol=1e-12)
    np.testing.assert_allclose(found.p, (1 + (null >= observed - 1e-12).sum(axis=0)) / 31)
    np.testing.assert_allclose(found.chance, null.mean(axis=0), atol=1e-12)
    assert (found.p_max >= found.p - 1e-12).all() and found.floor == pytest.approx(1 / 31)


def test_strata_and_blocks():
    strata = np.array(["a"] * 6 + ["b"] * 6)
    for order in condition_orders(12, n=20, rng=0, strata=strata):
        assert set(order[:6]) == set(range(6))
    blocks = np.repeat(np.arange(6), 2)
    for order in condition_orders(12, n=20, rng=0, blocks=blocks):
        assert (order[1::2] == order[::2] + 1).all() and (order[::2] % 2 == 0).all()


def test_too_few_orders_are_refused():
    with pytest.raises(BraindecError, match="too few different orders"):
        condition_orders(3, n=10, rng=0)
    with pytest.raises(BraindecError, match="too few different orders"):
        condition_orders(12, n=10, rng=0, blocks=np.repeat([0, 1, 2], 4))
    with pytest.raises(BraindecError, match="several strata"):
        condition_orders(8, n=10, rng=0, blocks=[0] * 4 + [1] * 4, strata=list("aabbaabb"))


def test_level_and_family(simulated):
    """Single scores at 5 %, and the smallest of all corrected ones too."""
    rng, single, family = np.random.default_rng(3), [], []
    for i in range(200):
        _, data = simulated.brains(rng, 12, 3)
        models = np.stack([simulated.distances(rng.standard_normal((12, 5))) for _ in range(4)])
        found = permutation_test(
            models, [data, data[:2] + data[1:]], comparator="pearson", orders=condition_orders(12, n=99, rng=i)
        )
        single.append(found.p[0, 0] <= 0.05)
        family.append(found.p_max.min() <= 0.05)
    assert 0.01 <= np.mean(single) <= 0.09 and 0.01 <= np.mean(family) <= 0.09
