"""What single pictures show, against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from braindec.viz._head import flat, on_a_head, one_each, sphere_of
from braindec.viz._style import BLUE, GREEN, SERIES, diverging, limits, p_text, sequential
from braindec.viz.confusion import confusion
from braindec.viz.event_raster import event_raster
from braindec.viz.null_histogram import null_histogram
from braindec.viz.retrieval_examples import retrieval_examples
from braindec.viz.roc import curve
from braindec.viz.subject_scores import subject_scores
from braindec.viz.topomap_times import _moments, topomap_times
from braindec.viz.training_curves import training_curves
from braindec.viz.voxel_map import voxel_map, voxel_size


def cap(n: int, rng: np.random.Generator, centre=(0.0, 0.0, 0.0), radius: float = 0.09) -> np.ndarray:
    """Sensors on the upper part of a sphere."""
    angle, down = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.05, 1.6, n)
    return np.array(centre) + radius * np.stack(
        [np.sin(down) * np.cos(angle), np.sin(down) * np.sin(angle), np.cos(down)], axis=1
    )


def test_confusion_writes_shares_of_rows_and_counts():
    figure = confusion([[30, 10], [5, 15]], ["face", "house"])
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["75 %\n30", "25 %\n10", "25 %\n5", "75 %\n15"]
    assert "n = 60" in figure.axes[0].get_ylabel()


def test_confusion_of_a_class_that_never_occurred_is_zero_not_nan():
    texts = [t.get_text() for t in confusion([[0, 0], [2, 6]]).axes[0].texts]
    assert texts[:2] == ["0 %\n0", "0 %\n0"]


def test_confusion_of_many_classes_has_no_text():
    assert not confusion(np.eye(30)).axes[0].texts


def test_subject_scores_puts_points_chance_and_the_group_where_they_belong():
    ax = subject_scores(
        ["a", "b", "c"], [0.8, 0.5, 0.6], chance=0.5, above=[True, False, True], group=[0.63, 0.5, 0.75]
    ).axes[0]
    filled, open_, mean = (c.get_offsets() for c in ax.collections if len(c.get_offsets()) and hasattr(c, "get_sizes"))
    assert np.allclose(filled, [[0, 0.8], [2, 0.6]]) and np.allclose(open_, [[1, 0.5]])
    assert mean[0, 1] == pytest.approx(0.63)
    assert any(np.allclose(line.get_ydata(), 0.5) for line in ax.lines)


def test_subject_scores_of_a_hundred_units_does_not_write_all_names():
    labels = (
        subject_scores([f"sub-{i:03d}" for i in range(100)], np.linspace(0.4, 0.9, 100), chance=0.5)
        .axes[0]
        .get_xticklabels()
    )
    assert 15 < len(labels) < 40


def test_retrieval_examples_frames_the_true_ones_only():
    hit = np.array([[False, True, False], [False, False, False]])
    figure = retrieval_examples(np.zeros((2, 4, 4, 3)), np.zeros((2, 3, 4, 4)), hit, rank=[2, 9.5], n_candidates=200)
    framed = [
        [
            bool(a.patches) and to_rgb(a.patches[0].get_edgecolor()) == to_rgb(GREEN)
            for a in figure.axes[r * 5 + 2 : r * 5 + 5]
        ]
        for r in (0, 1)
    ]
    assert framed == hit.tolist()
    assert figure.axes[5].get_ylabel() == "rank 9.5\nof 200"


def test_null_histogram_computes_p_when_it_is_not_given():
    null = np.arange(99) / 100
    words = [t.get_text() for t in null_histogram(0.95, null).axes[0].get_legend().get_texts()]
    assert "observed 0.950, p = 0.050" in words  # (1 + 4) / (1 + 99)


def test_training_curves_of_steps():
    figure = training_curves({"step": [10, 20, 30], "train_loss": [3.0, 2.0, 1.0], "best_step": [20]})
    (ax,) = figure.axes
    assert ax.get_xlabel() == "step" and list(ax.lines[0].get_xdata()) == [10, 20, 30]
    assert any("kept: step 20" in t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_training_curves_understands_a_history():
    ax = training_curves({"train_loss": [3, 2, 1], "val_loss": [3, 2, 2.5], "best_epoch": 2}).axes[0]
    assert np.allclose(ax.lines[0].get_ydata(), [3, 2, 1]) and np.allclose(ax.lines[1].get_ydata(), [3, 2, 2.5])
    assert "kept: epoch 2" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_roc_curve_has_the_area_of_the_rank_statistic_also_with_ties():
    rng = np.random.default_rng(1)
    scores, truth = rng.integers(0, 6, 300).astype(float), rng.random(300) < 0.3
    hits, alarms = curve(scores, truth)
    greater = (scores[truth][:, None] > scores[~truth]).mean() + 0.5 * (scores[truth][:, None] == scores[~truth]).mean()
    assert np.trapezoid(hits, alarms) == pytest.approx(greater)
    assert hits[0] == alarms[0] == 0 and hits[-1] == alarms[-1] == 1


def test_event_raster_draws_each_event_once():
    ax = event_raster([1.0, 2.0, 3.0, 5.0], ["a", "b", "a", "b"], ["1", "1", "2", "2"]).axes[0]
    assert sum(len(c.get_segments()) for c in ax.collections) == 4


def test_a_sphere_is_found_and_a_plane_is_none():
    rng = np.random.default_rng(2)
    centre, radius, error = sphere_of(cap(40, rng, (0.01, -0.02, 0.04), 0.095))
    assert np.allclose(centre, [0.01, -0.02, 0.04], atol=1e-9) and radius == pytest.approx(0.095) and error < 1e-9
    assert sphere_of(np.c_[rng.random((10, 2)), np.zeros(10)])[2] == float("inf")


def test_smooth_maps_are_for_enough_sensors_on_a_head_only():
    rng = np.random.default_rng(3)
    assert on_a_head(cap(32, rng))
    assert not on_a_head(cap(6, rng))
    assert not on_a_head(1000 * cap(32, rng))  # millimetres taken for metres
    assert not on_a_head(np.r_[np.full((2, 3), np.nan), cap(11, rng)])


def test_the_flat_head_has_its_nose_up_and_the_left_on_the_left():
    base = cap(30, np.random.default_rng(4))
    named = 0.09 * np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])  # top, nose, left ear, back
    top, nose, left, back = flat(np.r_[named, base])[:4]
    assert np.allclose(top, 0, atol=1e-6)
    assert (
        np.allclose(nose, [0, 1], atol=1e-6)
        and np.allclose(left, [-1, 0], atol=1e-6)
        and np.allclose(back, [0, -1], atol=1e-6)
    )


def test_sensors_of_one_place_are_averaged():
    places = np.array([[0, 0, 0.1], [0.05, 0, 0.08], [0, 0, 0.1]])
    values, kept = one_each(np.array([[1.0, 2.0], [5.0, 6.0], [3.0, 4.0]]), places)
    order = np.argsort(kept[:, 0])
    assert np.allclose(values[order], [[2, 3], [5, 6]])


def test_maps_are_taken_at_the_peak_in_even_steps():
    values = np.zeros((3, 50))
    values[1, 33] = 4
    chosen = _moments(values, np.arange(50) / 50, None, 5)
    assert 33 in chosen and len(chosen) == 5 and len(set(np.diff(chosen))) == 1
    assert list(_moments(values, np.arange(50) / 50, [0.1, 0.9], 5)) == [5, 45]


def test_topomaps_without_positions_show_the_course_only():
    figure = topomap_times(np.ones((4, 10)), np.full((4, 3), np.nan), np.arange(10) / 10)
    drawn = [a for a in figure.axes if a.axison]
    assert len(drawn) == 1 and "4 without position" in drawn[0].get_xlabel()


@pytest.mark.parametrize("step", [(0.003, 0.003, 0.003), (0.0035, 0.00375, 0.004)])
def test_the_size_of_voxels_is_found(step):
    grid = np.stack(
        np.meshgrid(*[np.arange(n) * s for n, s in zip((9, 8, 5), step, strict=True)], indexing="ij"), -1
    ).reshape(-1, 3)
    assert np.allclose(voxel_size(grid), step)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    assert np.allclose(voxel_size(grid @ turn.T), min(step), rtol=0.02)
    assert np.allclose(voxel_size(grid[:1]), 1e-3)


def test_a_voxel_lies_in_its_slice_row_and_column():
    grid = np.stack(np.meshgrid(*[np.arange(n) * 0.003 for n in (5, 6, 3)], indexing="ij"), -1).reshape(-1, 3)
    values = np.zeros(len(grid))
    values[np.flatnonzero((grid == [0.006, 0.012, 0.003]).all(axis=1))] = 2.0
    figure = voxel_map(values, grid)
    images = [a.images[-1].get_array() for a in figure.axes if a.images]
    hot = [np.argwhere(np.asarray(image) == 2.0).tolist() for image in images]
    assert hot == [[], [[4, 2]], []]  # rows go to the front (y), columns to the right (x)
    assert [a.get_title() for a in figure.axes[:3]] == ["z = 0 mm", "z = 3 mm", "z = 6 mm"]


def test_the_strongest_slices_are_kept_in_order():
    grid = np.stack(np.meshgrid(range(3), range(3), range(12), indexing="ij"), -1).reshape(-1, 3) * 0.002
    values = np.where(np.isin(np.round(grid[:, 2] / 0.002), [2, 9]), -1.0, 0.1)
    titles = [a.get_title() for a in voxel_map(values, grid, n_slices=2).axes[:2]]
    assert titles == ["z = 4 mm", "z = 18 mm"]


def test_signed_values_get_a_scale_that_is_symmetric_about_zero():
    assert limits(np.array([-1.0, 3.0]))[1:] == (-3.0, 3.0)
    assert limits(np.array([0.5, 3.0]))[1:] == (0.5, 3.0)
    assert limits(np.array([0.0, 0.0]))[1:] == (-0.5, 0.5)


def lightness(colour) -> float:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16)


def test_amounts_get_darker_step_by_step_and_signs_mirror():
    steps = [lightness(sequential()(v)) for v in np.linspace(0, 1, 40)]
    assert (np.diff(steps) < 0).all()
    ends = diverging()(0.0), diverging()(1.0)
    assert lightness(diverging()(0.5)) > 98 and abs(lightness(ends[0]) - lightness(ends[1])) < 12


def test_series_can_be_told_apart_without_red_green_vision():
    """Machado, Oliveira & Fernandes (2009): deuteranopia, severity 1, in linear RGB."""
    matrix = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    colours = np.array([to_rgb(c) for c in SERIES[:4]])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4) @ matrix.T
    seen = np.clip(linear, 0, 1) ** (1 / 2.2)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(4, 1)]
    assert distances.min() > 0.15 and BLUE == SERIES[0]


def test_p_values_as_text():
    assert [p_text(p) for p in (None, np.nan, 0.0004, 0.0123, 0.5)] == ["", "", "p < 0.001", "p = 0.012", "p = 0.50"]
