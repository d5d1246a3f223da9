"""Pictures of spikes: what is drawn is what was given, a part is said to be one, nonsense is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.coherence_spectrum import coherence_spectrum
from braindec.viz.correlogram import correlogram
from braindec.viz.correlogram_matrix import correlogram_matrix
from braindec.viz.interval_histogram import interval_histogram
from braindec.viz.psth import psth
from braindec.viz.raster import raster
from braindec.viz.rate_curve import rate_curve
from braindec.viz.tuning_curve import tuning_curve

RNG = np.random.default_rng(0)
T = np.arange(50) * 0.02


def words(figure):
    return " ".join(
        t.get_text()
        for a in figure.axes
        for t in [
            *a.texts,
            a.title,
            a.xaxis.label,
            a.yaxis.label,
            *(a.get_legend().get_texts() if a.get_legend() else []),
        ]
    )


def test_a_raster_groups_units_and_says_what_it_leaves_out():
    unit = RNG.integers(0, 6, 200)
    figure = raster(np.sort(RNG.uniform(0, 2, 200)), unit, groups=["E", "I", "E", "I", "E", "E"])
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert sorted(len(line.get_xdata()) for line in lines) == sorted(
        [np.isin(unit, [0, 2, 4, 5]).sum(), np.isin(unit, [1, 3]).sum()]
    )
    assert (
        set(lines[0].get_ydata()) == {0, 1, 2, 3} and set(lines[1].get_ydata()) == {4, 5} and "E (4)" in words(figure)
    )
    many = raster(np.sort(RNG.uniform(0, 1, 5000)), RNG.integers(0, 2000, 5000), groups=["E"] * 1600 + ["I"] * 400)
    assert "400 of 2,000 units" in words(many) and "I (400)" in words(many)
    drawn = {line.get_label()[0]: line.get_ydata() for line in many.axes[0].lines}
    assert len(set(drawn["I"].tolist())) == pytest.approx(80, abs=25)  # its share of lines
    long = raster(np.sort(RNG.uniform(0, 100, 60_000)), RNG.integers(0, 50, 60_000))
    assert "are drawn" in words(long) and sum(len(line.get_xdata()) for line in long.axes[0].lines) <= 30_001
    assert "I (3)" in words(raster([], [], groups=["I"] * 3))


def test_correlograms_colour_what_leaves_the_band():
    counts = np.full(21, 10.0)
    counts[10] = 40
    figure = correlogram(
        np.arange(-10, 11) * 1e-3,
        counts,
        expected=np.full(21, 10.0),
        low=np.full(21, 4.0),
        high=np.full(21, 18.0),
        first="a",
        second="b",
    )
    colours = [tuple(bar.get_facecolor()) for bar in figure.axes[0].patches]
    assert len(set(colours)) == 2 and colours.count(colours[10]) == 1 and "lag of b after a (ms)" in words(figure)


def test_intervals_have_area_one_and_ticks_no_holes():
    def area(figure):
        patch = figure.axes[0].patches[0].get_data()
        return (patch.values * np.diff(np.log10(patch.edges))).sum(), patch

    total, _ = area(interval_histogram(RNG.exponential(0.03, 2000)))
    assert total == pytest.approx(1)
    total, ticks = area(interval_histogram(np.maximum(RNG.poisson(12, 3000), 1) * 1e-3))
    assert np.allclose(ticks.edges % 1, 0.5)  # ms
    assert total == pytest.approx(1) and (ticks.values[(ticks.edges[:-1] > 7) & (ticks.edges[1:] < 17)] > 0).all()


def test_rates_and_tuning_and_psth_draw_each_series():
    figure = rate_curve(T, [T, 2 * T], low=[T - 1, T], high=[T + 1, 3 * T], labels=["a", "b"], events={"on": [0.1]})
    assert len(figure.axes[0].collections) == 2 and "rate (Hz)" in words(figure)
    assert "mean of 12" in words(rate_curve(T, RNG.random((12, 50))))
    figure = tuning_curve(
        [0, 90, 180, 270], [[1, 2, 3, 2]], low=[[0, 1, 2, 1]], high=[[2, 3, 4, 3]], p=[0.0001], labels=["u"]
    )
    assert "p < 0.001" in words(figure)
    figure = psth([0.1, 0.2, 0.5], [0, 1, 1], T, [T + 1, T + 2], conditions=["x", "y"], labels=["y", "x"])
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert [len(line.get_xdata()) for line in marks] == [2, 1] and "y (1 trials)" in words(figure)
    figure = coherence_spectrum(np.arange(1.0, 51), [0.5 * T, T], level=np.full(50, 0.2), significant=[T > 0.5, T < 0])
    assert (
        sum(line.get_marker() == "s" and len(line.get_xdata()) == (T > 0.5).sum() for line in figure.axes[0].lines) == 1
    )
    matrix = np.array([[0, 1, np.nan], [1, 0, -2], [np.nan, -2, 0.0]])
    rings = list(correlogram_matrix(matrix, marked=np.abs(matrix) > 1.5).axes[0].lines)
    assert len(rings[0].get_xdata()) == 2


@pytest.mark.parametrize(("call", "says"), [
    (lambda: raster([0.1], [0, 1]), "one length"), (lambda: raster([0.1], [0.5]), "whole numbers"), (lambda: raster([0.1], [3], groups=["a"]), "no group"),
    (lambda: raster([0.1], [0], limits=(1, 1)), "limits"), (lambda: rate_curve(T[::-1], T), "rising"), (lambda: rate_curve(T, T * np.nan), "finite"),
    (lambda: correlogram([0.0, -0.1], [1, 2]), "rise"), (lambda: correlogram_matrix([[0, 1], [2, 0]]), "symmetric"), (lambda: correlogram_matrix([[1.0]]), "square"),
    (lambda: interval_histogram([0.1, -0.1, 0.2]), "0 s or longer"), (lambda: interval_histogram([[0.1], [0.2, 0.3]]), "2 intervals"),
    (lambda: psth([0.1], [0], T, T, conditions=["a"], labels=["b"]), "no rate"), (lambda: tuning_curve(["a"], [1, 2]), "one length"),
    (lambda: coherence_spectrum([1, 2], [1, 2, 3]), "rising"),
])  # fmt: skip
def test_nonsense_is_refused(call, says):
    with pytest.raises(BraindecError, match=says):
        call()


def test_a_curve_of_one_point_is_seen():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = rate_curve([0.0], [[0.3]], low=[[0.2]], high=[[0.4]])
    (line,) = (line for line in figure.axes[0].lines if len(line.get_xdata()) == 1)
    assert line.get_marker() == "o" and np.diff(figure.axes[0].get_xlim())[0] > 0
