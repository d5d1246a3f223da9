"""The picture of unit scores by layer: what is drawn and marked, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.layer_units import layer_units

LAYERS = np.repeat([0, 1, 2], 50)
VALUES = np.random.default_rng(0).normal(size=150)
CHOSEN = VALUES > 1.5


def test_every_unit_is_drawn_and_shares_are_those_of_layers():
    figure = layer_units(VALUES, LAYERS, selected=CHOSEN, halves=np.stack([VALUES, -VALUES]), title="Units")
    strips, shares, halves = figure.axes
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in strips.collections])
    np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(VALUES))
    assert set(np.round(drawn[:, 0]).astype(int)) == {0, 1, 2}
    np.testing.assert_allclose([p.get_height() for p in shares.patches], [CHOSEN[LAYERS == k].mean() for k in range(3)])
    assert sum(len(c.get_offsets()) for c in halves.collections) == 150
    assert strips.get_title(loc="left") == "Units" and "odd" in halves.get_xlabel()


def test_missing_values_are_counted_and_nothing_selected_is_no_error():
    figure = layer_units(np.where(np.arange(150) < 7, np.nan, VALUES), LAYERS, selected=np.zeros(150, bool))
    assert "7 units without a value" in figure.axes[0].get_xlabel() and len(figure.axes) == 2
    assert len(layer_units(VALUES, LAYERS).axes) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": LAYERS[:3]}, {"values": np.full(150, np.nan)}, {"selected": [True]}, {"halves": VALUES[None]}, {"values": ["a"] * 150},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(BraindecError):
        layer_units(**{"values": VALUES, "layers": LAYERS, **wrong})
