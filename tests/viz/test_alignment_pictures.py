"""Pictures of an alignment: numbers are drawn where they belong, and bad input is refused."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.alignment_matrix import alignment_matrix
from braindec.viz.layer_alignment import layer_alignment


def test_matrix_writes_scores_stars_and_ceilings():
    figure = alignment_matrix(
        [[0.31, np.nan], [-0.02, 0.5]],
        ["a", "b"],
        ["IFG", "V1"],
        stars=[[2, 0], [0, 1]],
        ceiling=[0.6, np.nan],
        label="r",
    )
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.texts] == ["0.31**", "−0.02", "0.50*"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["IFG\n(ceiling 0.60)", "V1"]
    assert ax.images[0].get_array().shape == (2, 2)


def test_layers_are_lines_with_controls_behind_them():
    rng = np.random.default_rng(0)
    values = rng.random((4, 6))
    figure = layer_alignment(values, [f"{k} resid" for k in range(6)], regions=list("abcd"), low=values - 0.1, high=values + 0.1, untrained_low=values * 0.1,
                             untrained_high=values * 0.2, nuisance=np.full(4, 0.1), null_high=np.full(4, 0.05), ceiling=np.full(4, 0.9),
                             chosen=np.eye(6)[:4])  # fmt: skip
    drawn = [ax for ax in figure.axes if ax.axison]
    assert len(drawn) == 4 and [ax.get_title(loc="left") for ax in drawn] == list("abcd")
    for k, ax in enumerate(drawn):
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        np.testing.assert_allclose(lines["layer"], values[k])
        assert np.asarray(lines["nuisance alone"]) == pytest.approx(0.1)
    assert {"noise ceiling", "untrained (range)"} <= {t.get_text() for t in figure.legends[0].get_texts()}
    assert layer_alignment([0.1, 0.2], ["0", "1"]).axes


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: alignment_matrix([[np.nan]], ["a"], ["b"]), "no score is finite"),
        (lambda: alignment_matrix([[0.1]], ["a", "b"], ["b"]), "must have"),
        (lambda: alignment_matrix([[0.1]], ["a"], ["b"], stars=[[1, 2]]), "stars"),
        (lambda: layer_alignment([[0.1, 0.2]], ["0", "1"], low=[[0.0]]), "low must have"),
        (lambda: layer_alignment([[np.nan]], ["0"]), "no score is finite"),
    ],
)
def test_bad_input(draw, words):
    with pytest.raises(BraindecError, match=words):
        draw()
