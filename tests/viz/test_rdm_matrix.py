"""Pictures of dissimilarity matrices: cells where they belong, groups together, missing cells apart."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.rdm_matrix import rdm_matrix

CELLS = np.arange(1.0, 7.0)


def shown(figure) -> np.ndarray:
    return figure.axes[0].images[0].get_array().filled(np.nan)


def test_cells_stand_where_they_belong_from_either_form():
    square = np.array([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0]], dtype=float)
    for given in (CELLS, CELLS[None], square, square[None]):
        found = shown(rdm_matrix(given))
        assert np.array_equal(np.nan_to_num(found), square) and np.isnan(np.diagonal(found)).all()


def test_conditions_are_sorted_into_groups():
    figure = rdm_matrix(CELLS, list("abcd"), groups=["x", "y", "x", "y"])
    assert shown(figure)[0, 1] == 2 and shown(figure)[2, 3] == 5  # a with c, b with d
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["x", "y"]


def test_ranks_ignore_the_size_of_cells_and_missing_cells_stay_missing():
    cells = np.array([[1.0, 2.0, 3.0, np.nan, 100.0, 2.0]])
    found = shown(rdm_matrix(cells, ranks=True))
    assert found[0, 1] == 0 and found[1, 3] == 1 and found[0, 2] == found[2, 3] == pytest.approx(0.375)
    assert np.isnan(found[1, 2])


def test_every_matrix_has_its_name_and_one_scale():
    figure = rdm_matrix(np.stack([CELLS, 2 * CELLS, 3 * CELLS]), names=["one", "two", "three"])
    images = [a for a in figure.axes if a.images]
    assert [a.get_title(loc="left") or a.get_title() for a in images[:3]] == ["one", "two", "three"]
    assert len({a.images[0].get_clim() for a in images[:3]}) == 1
    own = rdm_matrix(np.stack([CELLS, 2 * CELLS]), one_scale=False)
    assert len({a.images[0].get_clim() for a in own.axes[:2]}) == 2


@pytest.mark.parametrize(
    "arguments",
    [{"rdms": np.ones(5)}, {"rdms": np.full(6, np.nan)}, {"rdms": CELLS, "conditions": ["a"]}, {"rdms": CELLS, "groups": ["a"]},
     {"rdms": np.ones((2, 3, 4))}, {"rdms": CELLS, "names": ["a", "b"]}],
)  # fmt: skip
def test_what_is_no_matrix_is_refused(arguments):
    with pytest.raises(BraindecError):
        rdm_matrix(**arguments)
