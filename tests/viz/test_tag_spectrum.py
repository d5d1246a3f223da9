"""The spectrum picture: tags are named inside it, odd input is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from braindec.errors import BraindecError
from braindec.viz.tag_spectrum import tag_spectrum

F = np.arange(1, 17) / 8
GOOD = {
    "frequencies": F,
    "spectra": [1 / F, 1.2 / F],
    "rates": {"sentence": 1.0, "phrase": 2.0},
    "labels": ["sentence", "control"],
    "n": 20,
}


def test_it_is_drawn_and_names_stay_inside():
    figure = tag_spectrum(**GOOD, low=np.stack([0.8 / F, F * 0]), high=np.stack([1.2 / F, 2 / F]))
    FigureCanvasAgg(figure).print_png(io.BytesIO())
    ax = figure.axes[0]
    assert {t.get_text() for t in ax.texts} == {"sentence\n1 Hz", "phrase\n2 Hz"} and ax.get_yscale() == "log"
    box = figure.bbox
    for text in ax.texts:
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1
    assert not any("$" in label.get_text() for label in ax.get_yticklabels())
    assert len(tag_spectrum(F, 1 / F).axes[0].lines) == 1


@pytest.mark.parametrize(
    "change", [{"spectra": [1.0, 2.0]}, {"spectra": -1 / F}, {"frequencies": F[::-1]}, {"rates": {"word": 4.0}}, {"labels": ["a"]}, {"spectra": 0 * F},
               {"low": [1.0], "high": [2.0]}],
)  # fmt: skip
def test_odd_input_is_refused(change):
    with pytest.raises(BraindecError):
        tag_spectrum(**{**GOOD, **change})
