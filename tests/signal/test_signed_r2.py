"""Signed r-squared: the formula as published, its meaning as a correlation, and what it does when nothing varies."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.signed_r2 import best_r2, signed_r2


def published(q, r):
    """The formula with raw sums."""
    n1, n2 = len(q), len(r)
    g = (q.sum() + r.sum()) ** 2 / (n1 + n2)
    return (q.sum() ** 2 / n1 + r.sum() ** 2 / n2 - g) / ((q**2).sum() + (r**2).sum() - g)


def test_it_is_the_published_formula_and_a_squared_correlation():
    rng = np.random.default_rng(0)
    rows, member = rng.normal(3.0, 2.0, size=(25, 4, 3)), rng.random(25) < 0.4
    rows[member, 1, 2] += 4.0
    found = signed_r2(rows, member)
    assert found.shape == (4, 3)
    for i, j in np.ndindex(4, 3):
        assert abs(found[i, j]) == pytest.approx(published(rows[member, i, j], rows[~member, i, j]), rel=1e-9)
        r = np.corrcoef(rows[:, i, j], member)[0, 1]
        assert found[i, j] == pytest.approx(np.sign(r) * r**2, rel=1e-9)
    assert found[1, 2] > 0.1
    np.testing.assert_allclose(signed_r2(rows, ~member), -found, atol=1e-12)


def test_large_offsets_and_constants():
    rows = np.column_stack([np.full(10, 5.0), 1e8 + np.arange(10.0)])
    found = signed_r2(rows, np.arange(10) < 5)
    assert found[0] == 0 and found[1] == pytest.approx(-(np.corrcoef(np.arange(10), np.arange(10) < 5)[0, 1] ** 2))


def test_several_classes_take_the_best_against_the_rest():
    rng = np.random.default_rng(1)
    codes = np.arange(60) % 3
    rows = rng.normal(size=(60, 3))
    rows[codes == 2, 1] += 3.0
    found = best_r2(rows, codes, 3)
    np.testing.assert_allclose(found, np.max([np.abs(signed_r2(rows, codes == k)) for k in range(3)], axis=0))
    assert found.argmax() == 1
    two = best_r2(rows[:40], codes[:40] > 0, 2)
    np.testing.assert_allclose(two, np.abs(signed_r2(rows[:40], codes[:40] > 0)))


def test_refusals():
    with pytest.raises(BraindecError, match="two classes"):
        signed_r2(np.zeros((3, 2)), np.ones(3, dtype=bool))
    with pytest.raises(BraindecError, match="one class for each row"):
        signed_r2(np.zeros((3, 2)), np.ones(4, dtype=bool))
