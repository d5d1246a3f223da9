"""Grids of decoded pictures and bars of controls: what is drawn where, and odd input."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.control_bars import control_bars
from braindec.viz.picture_grid import picture_grid

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_cell_holds_its_picture(channels):
    pictures = RNG.random((3, 4, 5, 6, channels))
    figure = picture_grid(
        pictures,
        ["stimulus", "decoded", "ridge"],
        labels=list("abcd"),
        scores=[0.9, 0.5, np.nan, -0.2],
        metric="pixcorr",
    )
    cells = np.array(figure.axes).reshape(3, 4)
    for r in range(3):
        for k in range(4):
            shown = np.asarray(cells[r, k].images[0].get_array())
            np.testing.assert_allclose(shown, pictures[r, k] if channels == 3 else pictures[r, k, :, :, 0])
    assert [c.get_title(loc="center") for c in cells[0]] == ["a\n0.90", "b\n0.50", "c", "d\n−0.20"]
    assert [c.get_ylabel() for c in cells[:, 0]] == ["stimulus", "decoded", "ridge"]


def test_frames_of_films_stand_side_by_side():
    films = RNG.integers(0, 256, (2, 2, 3, 24, 24, 1)).astype(np.uint8)
    figure = picture_grid(films)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert shown.shape == (24, 3 * 24 + 2)
    np.testing.assert_allclose(shown[:, 25:49] * 255, films[0, 0, 1, :, :, 0])
    assert (shown[:, 24] == 1).all()


def test_nulls_are_shaded_and_the_best_is_marked():
    rows = ["decoded", "ridge", "shuffled_brain", "prior_only"]
    values = [[0.9, 0.2], [0.95, 0.1], [0.4, 0.6], [0.5, 0.5]]
    figure = control_bars(
        rows,
        ["two_way", "mse"],
        values,
        better=[True, False],
        low=np.array(values) - 0.05,
        high=np.array(values) + 0.05,
        chance=np.full((4, 2), 0.5),
    )
    first, second = figure.axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["decoded", "shuffled brain", "prior only", "ridge"]
    for pane, best in ((first, 0.5), (second, 0.5)):
        lines = [line.get_xdata()[0] for line in pane.lines if len(set(np.asarray(line.get_xdata(), float))) == 1]
        assert best in lines
    assert [round(p.get_width(), 3) for p in first.patches if p.get_height() < 0.7] == [0.9, 0.4, 0.5, 0.95]
    assert second.get_xlabel() == "lower is better"


def test_missing_scores_leave_their_bar_out():
    figure = control_bars(["decoded", "prior_only", "ridge"], ["ssim"], [[0.5], [np.nan], [-0.1]])
    assert len([p for p in figure.axes[0].patches if p.get_height() < 0.7]) == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda: picture_grid(np.zeros((2, 3, 4, 4))),
        lambda: picture_grid(np.full((2, 3, 4, 4, 1), 2.0)),
        lambda: picture_grid(np.zeros((2, 3, 4, 4, 1)), ["one"]),
        lambda: picture_grid(np.zeros((2, 3, 4, 4, 1)), scores=[1.0]),
        lambda: control_bars(["ridge"], ["a"], [[1.0]]),
        lambda: control_bars(["decoded"], ["a", "b"], [[1.0]]),
        lambda: control_bars(["decoded"], ["a"], [[1.0]], low=[[1.0, 2.0]], high=[[1.0, 2.0]]),
        lambda: control_bars(["decoded"], ["a"], [[1.0]], better=[True, False]),
    ],
)
def test_odd_input_is_refused(draw):
    with pytest.raises(BraindecError):
        draw()
