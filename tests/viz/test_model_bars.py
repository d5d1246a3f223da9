"""Bars of models: heights, band, marks between models that differ."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.model_bars import model_bars


def test_what_is_drawn():
    p = np.ones((4, 4))
    p[0, 1] = p[1, 0] = p[2, 3] = p[3, 2] = 0.01
    figure = model_bars([0.4, 0.1, 0.3, 0.05], ["a", "b", "c", "d"], low=[0.3, 0, 0.2, 0], high=[0.5, 0.2, 0.4, 0.1], ceiling=(0.5, 0.6), p=[0.01, 0.5, 0.04, 0.9],
                        differences=p, controls=["d"], points=np.full((3, 4), 0.2))  # fmt: skip
    ax = figure.axes[0]
    assert [patch.get_height() for patch in ax.patches if patch.get_width() == pytest.approx(0.68)] == [
        0.4,
        0.1,
        0.3,
        0.05,
    ]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a *", "b", "c *", "d"]
    marks = [line for line in ax.lines if len(line.get_xdata()) == 4]
    assert {(m.get_xdata()[0], m.get_xdata()[2]) for m in marks} == {(0, 1), (2, 3)}
    assert len({m.get_ydata()[1] for m in marks}) == 1  # they do not cross: one level
    assert {"noise ceiling", "model", "control"} <= {t.get_text() for t in ax.get_legend().get_texts()}


def test_many_differences_are_counted():
    n = 8
    figure = model_bars(np.linspace(0, 1, n), [f"model {i}" for i in range(n)], differences=np.full((n, n), 0.001))
    assert any("16 more pairs differ" in t.get_text() for t in figure.axes[0].texts)


def test_shapes_are_checked():
    with pytest.raises(BraindecError, match="differences"):
        model_bars([1.0, 2.0], ["a", "b"], differences=np.ones((3, 3)))
    with pytest.raises(BraindecError, match="one column a model"):
        model_bars([1.0, 2.0], ["a", "b"], points=np.ones((3, 3)))
