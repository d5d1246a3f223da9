"""Pictures of heads and layers: what is drawn where, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from braindec.errors import BraindecError
from braindec.viz.head_matrix import head_matrix
from braindec.viz.layer_curves import layer_curves

VALUES = np.array([[0.1, 0.9, 0.2], [0.3, 0.1, np.nan]])


def test_heads_that_are_marked_are_framed_and_missing_ones_hatched():
    marked = VALUES > 0.5
    figure = head_matrix(VALUES, marked=marked, mark="induction", chance=0.2, label="attention", title="Heads")
    ax = figure.axes[0]
    frames = [p for p in ax.patches if isinstance(p, Rectangle)]
    assert [round(p.get_x() + 0.46) for p in frames if not p.get_hatch()] == [1]
    assert [(p.get_x(), p.get_y()) for p in frames if p.get_hatch()] == [(1.5, 0.5)]
    assert "induction, 1 of 5" in ax.get_xlabel() and "0.2" in figure.axes[1].get_ylabel()
    assert sorted(t.get_text() for t in ax.texts) == ["0.10", "0.10", "0.20", "0.30", "0.90"]


def test_many_heads_keep_readable_ticks():
    ax = head_matrix(np.random.default_rng(0).random((40, 64))).axes[0]
    assert len(ax.get_xticks()) <= 20 and len(ax.get_yticks()) <= 20 and not ax.texts


def test_lines_bands_and_controls():
    values = np.array([[0.1, 0.4, 0.3], [0.2, np.nan, 0.1]])
    figure = layer_curves(
        values, names=["a", "b"], low=values - 0.1, high=values + 0.1, controls=np.zeros((4, 3)), chance=0.05, title="t"
    )
    ax = figure.axes[0]
    assert len(ax.lines) == 4 + 2 + 1 and len(ax.collections) == 2
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "untrained",
        "95 % interval",
        "a",
        "b",
        "chance (0.05)",
    ]
    assert all(float(t).is_integer() for t in ax.get_xticks())
    assert layer_curves([1.0, 10.0], log=True).axes[0].get_yscale() == "log"


@pytest.mark.parametrize("call", [
    lambda: head_matrix(np.full((2, 2), np.nan)), lambda: head_matrix([0.1, 0.2]), lambda: head_matrix(VALUES, marked=[True]),
    lambda: head_matrix(VALUES, layers=[1]), lambda: layer_curves([np.nan, np.nan]), lambda: layer_curves([0.0, 1.0], log=True),
    lambda: layer_curves([0.0, 1.0], names=["a", "b"]), lambda: layer_curves([0.0, 1.0], low=[0.0], high=[1.0]),
    lambda: layer_curves([0.0, 1.0], controls=np.zeros((2, 3))), lambda: layer_curves([0.0, 1.0], layers=[1]),
])  # fmt: skip
def test_odd_input_is_refused(call):
    with pytest.raises(BraindecError):
        call()
