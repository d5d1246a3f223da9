"""Pictures of regions and of many voxels: heights of bars, counts of cells, quantiles, against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from braindec.viz.band_shares import band_shares
from braindec.viz.ladder import ladder
from braindec.viz.roi_bars import roi_bars
from braindec.viz.score_ceiling import score_ceiling

NAMES = ["V1v", "V2v", "hV4", "FFA-1", "left IFG orbitalis (LH)"]


def bars(container) -> np.ndarray:
    """(bar, 4): left, bottom, width, height."""
    return np.array([[p.get_x(), p.get_y(), p.get_width(), p.get_height()] for p in container])


def texts_inside(figure) -> bool:
    """Whether every text of the figure lies inside it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox
    words = [
        t for ax in figure.axes for t in (*ax.get_xticklabels(), *ax.texts, ax.title, ax.yaxis.label, ax.xaxis.label)
    ]
    boxes = [t.get_window_extent() for t in words if t.get_text() and t.get_visible()]
    return all(b.x0 >= -1 and b.y0 >= -1 and b.x1 <= whole.x1 + 1 and b.y1 <= whole.y1 + 1 for b in boxes)


def test_bars_stand_on_chance_side_by_side_and_a_region_without_value_says_so():
    values = np.array([[0.3, 0.7, np.nan], [0.6, 0.4, 0.9]])
    ax = roi_bars(values, ["a", "b", "c"], series=["x", "y"], chance=0.5).axes[0]
    first, second = (bars(c) for c in ax.containers)
    assert np.allclose(first[:, 1] + first[:, 3], [0.3, 0.7]) and np.allclose(second[:, 1] + second[:, 3], values[1])
    assert np.allclose(first[:, 1], 0.5) and (first[:, 0] + first[:, 2] <= second[:2, 0] + 1e-9).all()
    assert [t.get_text() for t in ax.texts] == ["no value"]
    assert round(ax.texts[0].xy[0]) == 2
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["chance", "x", "y"]


def test_intervals_points_and_ceilings_are_where_they_were_put():
    values, points = np.array([0.2, 0.3]), np.array([[0.1, 0.2], [0.3, np.nan]])
    ax = roi_bars(values, ["a", "b"], low=[0.1, np.nan], high=[0.3, 0.5], points=points, ceiling=[0.6, np.nan]).axes[0]
    lines = [c for c in ax.collections if hasattr(c, "get_segments")]
    ends = np.concatenate([s for c in lines for s in c.get_segments()])
    assert [0.0, 0.1] in ends.tolist() and [0.0, 0.3] in ends.tolist() and 0.5 not in ends[:, 1]
    assert np.allclose(bars(ax.containers[0])[:, 3], 0.6) and len(ax.containers[0]) == 1
    dots = next(c for c in ax.collections if len(c.get_offsets()) == 4)
    heights = np.ma.filled(dots.get_offsets()[:, 1].astype(float), np.nan)
    assert np.allclose(np.sort(heights[np.isfinite(heights)]), [0.1, 0.2, 0.3])


@pytest.mark.parametrize("n_series", [1, 6])
def test_no_name_is_cut_off_even_with_fourteen_regions(n_series):
    names = [f"left inferior frontal gyrus {i}" for i in range(14)]
    figure = roi_bars(
        np.full((n_series, 14), 0.2), names, series=[f"a long series {i}" for i in range(n_series)], title="T"
    )
    assert texts_inside(figure) and texts_inside(band_shares(np.full((3, 14), 0.1), names, list("abc")))
    turned = figure.axes[0].get_xticklabels()
    assert all(t.get_rotation() == 40 for t in turned)


def test_short_names_stay_level():
    assert all(t.get_rotation() == 0 for t in roi_bars([0.1, 0.2], ["V1", "V2"]).axes[0].get_xticklabels())


def test_shares_are_stacked_away_from_zero_and_their_sum_is_marked():
    shares = np.array([[0.2, 0.1, np.nan], [0.1, -0.05, np.nan], [-0.02, -0.03, np.nan]])
    ax = band_shares(shares, ["a", "b", "c"], ["x", "y", "z"]).axes[0]
    stacks = [c for c in ax.containers if hasattr(c, "patches")]
    made = np.array([bars(c)[:, [1, 3]] for c in stacks])  # (band and sign, region, bottom and height)
    assert np.allclose(made[..., 1].sum(axis=0), np.nansum(shares, axis=0))
    ups, downs = made[::2], made[1::2]
    assert np.allclose(ups[1, 0], [0.2, 0.1]) and np.allclose(downs[2, 1], [-0.05, -0.03])
    assert np.allclose((ups[..., 0] + ups[..., 1]).max(axis=0), [0.3, 0.1, 0])
    marks = next(line for line in ax.lines if line.get_marker() == "D")
    assert np.allclose(marks.get_ydata(), [0.28, 0.02]) and np.allclose(marks.get_xdata(), [0, 1])
    assert [t.get_text() for t in ax.texts] == ["no value"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["x", "y", "z", "sum"]


def test_cells_count_voxels_at_the_root_of_their_ceiling():
    ceiling, score = np.array([0.25, 0.25, 0.81, np.nan, -0.1, 0.5]), np.array([0.3, 0.3, 0.8, 0.1, 0.0, np.nan])
    figure = score_ceiling(score, ceiling, label="r")
    mesh = max((c for c in figure.axes[0].collections if c.get_array() is not None), key=lambda c: c.get_array().size)
    counts = np.ma.filled(mesh.get_array(), 0).reshape(60, 60)
    assert counts.sum() == 4 and counts.max() == 2
    x, y = np.asarray(mesh.get_coordinates()).transpose(2, 0, 1)
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    assert x[row, column] <= 0.5 <= x[row, column + 1] and y[row, column] <= 0.3 <= y[row + 1, column]
    words = "\n".join(t.get_text() for t in figure.axes[0].texts)
    assert "n = 4 voxels" in words and "1 without score" in words and "1 without ceiling" in words
    assert "1 with a ceiling of 0 or below" in words
    identity = figure.axes[0].lines[0].get_xydata()
    assert np.allclose(identity[:, 0], identity[:, 1]) and identity[-1, 0] >= 0.9


def test_voxels_that_are_not_chosen_are_grey():
    rng = np.random.default_rng(0)
    ceiling = rng.uniform(0.01, 0.9, 500)
    figure = score_ceiling(rng.uniform(0, 0.5, 500), ceiling, chosen=ceiling > 0.5)
    others, chosen = (c for c in figure.axes[0].collections if c.get_array() is not None)
    assert np.ma.filled(others.get_array(), 0).sum() == (ceiling <= 0.5).sum()
    assert np.ma.filled(chosen.get_array(), 0).sum() == (ceiling > 0.5).sum()
    assert np.ptp(others.cmap(0.9)[:3]) < 0.1 < np.ptp(chosen.cmap(0.9)[:3])
    assert others.norm is chosen.norm and "chosen" in figure.axes[-1].get_ylabel()


def test_a_ladder_joins_medians_and_counts_what_is_left():
    rng = np.random.default_rng(1)
    values = rng.normal([[0.1], [0.2], [0.25]], 0.1, (3, 801))
    values[0, :100] = np.nan
    medians = np.nanmedian(values, axis=1)
    ax = ladder(values, ["A on/off", "B fitted response", "C"], low=medians - 0.01, high=medians + 0.02).axes[0]
    line = next(x for x in ax.lines if len(x.get_xdata()) == 3)
    assert np.allclose(line.get_ydata(), medians)
    assert ax.get_xticklabels()[0].get_text() == "A on/off\nn = 701" and "n = 801" in ax.get_xticklabels()[2].get_text()
    ends = np.concatenate([s for c in ax.collections if hasattr(c, "get_segments") for s in c.get_segments()])
    for i in range(3):
        for expected in (*np.nanpercentile(values[i], [25, 75]), medians[i] - 0.01, medians[i] + 0.02):
            assert np.isclose(ends, [i, expected]).all(axis=1).any() or np.isclose(ends[:, 1], expected).any()


def test_a_violin_is_widest_where_values_are_most_and_a_constant_step_is_a_line():
    values = np.stack([np.random.default_rng(2).normal(0.4, 0.05, 3000), np.full(3000, 0.3)])
    ax = ladder(values, ["normal", "constant"]).axes[0]
    shape = next(c for c in ax.collections if len(c.get_paths()) == 1 and len(c.get_paths()[0].vertices) > 50)
    vertices = shape.get_paths()[0].vertices
    assert vertices[vertices[:, 0].argmax(), 1] == pytest.approx(0.4, abs=0.02)
    assert vertices[:, 0].max() == pytest.approx(0.4) and vertices[:, 0].min() == pytest.approx(-0.4)
    assert texts_inside(ladder(values, ["a model with a rather long name", "b"], title="A title"))
