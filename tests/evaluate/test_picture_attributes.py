"""Attributes read from pictures: known squares and discs, places in pixels, what is refused."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.picture_attributes import AttributeReader
from braindec.types import Pictures


def drawn(n, seed):
    """Dark discs and bright squares of two colours at random places, (n, 16, 16, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    values, table = np.full((n, 16, 16, 3), 0.2), {"form": [], "hue": [], "x": [], "y": []}
    for i in range(n):
        cx, cy = rng.uniform(5, 11, 2)
        disc, red = rng.random(2) < 0.5
        inside = (np.hypot(x - cx, y - cy) < 3) if disc else (np.maximum(abs(x - cx), abs(y - cy)) < 2.7)
        values[i][inside] = (0.9, 0.1, 0.1) if red else (0.1, 0.2, 0.9)
        for k, v in zip(table, ("disc" if disc else "square", "red" if red else "blue", cx, cy), strict=True):
            table[k].append(v)
    return Pictures.from_arrays(values, [f"s{seed}-{i}" for i in range(n)], **table)


@pytest.fixture(scope="module")
def reader():
    return AttributeReader(drawn(500, 0), ["form", "hue", "x", "y"])


def test_what_was_drawn_is_read(reader):
    new = drawn(100, 1)
    assert np.mean(reader.read(new.load(), "form") == new.items["form"]) > 0.9
    assert np.mean(reader.read(new.load(), "hue") == new.items["hue"]) > 0.98
    assert np.corrcoef(reader.read(new.load(), "x"), new.items["x"])[0, 1] > 0.98
    assert min(reader.accuracy.values()) > 0.85


def test_metrics_have_one_value_an_item_and_fall_with_the_distance(reader):
    new = drawn(60, 2).load()
    hue, place = reader.metric("hue"), reader.metric("x", "y")
    assert hue.__name__ == "hue"
    np.testing.assert_array_equal(hue(new, new), 1)
    np.testing.assert_allclose(place(new, new), 0, atol=1e-9)
    assert set(hue(new, new[::-1])) == {0.0, 1.0}
    one, two = (place(np.roll(new, k, axis=2), new).mean() for k in (1, 2))
    assert two < one < 0


def test_what_is_wrong_is_said(reader):
    with pytest.raises(BraindecError, match="no column 'shape'"):
        AttributeReader(drawn(20, 0), ["shape"])
    with pytest.raises(BraindecError, match="columns of numbers"):
        reader.metric("hue", "x")
    films = Pictures.from_arrays(np.zeros((4, 2, 8, 8, 1)), list("abcd"), form=list("aabb"))
    with pytest.raises(BraindecError, match="still"):
        AttributeReader(films, ["form"])
