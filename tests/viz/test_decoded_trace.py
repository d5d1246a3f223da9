"""A decoded trace shows what it is given: both lines, blocks in turn, and refuses what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.decoded_trace import decoded_trace

TIMES = np.arange(200) / 2.0
TRUE = np.sin(TIMES)


def test_lines_and_blocks():
    figure = decoded_trace(TIMES, TRUE, 0.5 * TRUE, edges=[25.0, 50.0, 75.0], label="velocity", seconds=60.0)
    (ax,) = figure.axes
    true, decoded = (line for line in ax.lines if len(line.get_xdata()) > 2)
    np.testing.assert_allclose(true.get_ydata(), TRUE[TIMES <= 60])
    np.testing.assert_allclose(decoded.get_ydata(), 0.5 * TRUE[TIMES <= 60])
    assert ax.get_ylabel() == "velocity" and len(ax.patches) == 1  # the second block; the fourth begins after 60 s
    assert ax.get_title(loc="left") == "r = 1.00, R² = 0.75"  # of the whole series


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decoded": TRUE[:-1]}, "one length"),
        ({"times": TIMES[::-1]}, "must rise"),
        ({"true": np.full(200, np.nan)}, "true"),
    ],
)
def test_what_does_not_fit(change, said):
    with pytest.raises(BraindecError, match=said):
        decoded_trace(**{"times": TIMES, "true": TRUE, "decoded": TRUE, **change})
