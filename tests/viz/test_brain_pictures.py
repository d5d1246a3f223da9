"""Pictures of brains: which colour is drawn where, against values put at known places."""

from __future__ import annotations

import time

import numpy as np
import pytest
from matplotlib.collections import EllipseCollection, PathCollection

from braindec.errors import BraindecError
from braindec.viz._brain import bundled, colours, metres
from braindec.viz._render import render
from braindec.viz.glass_brain import glass_brain
from braindec.viz.surface_map import _gifti, project_to_surface, surface_map
from braindec.viz.voxel_map import voxel_map

VIEWS = {"sagittal": (1, 2), "coronal": (0, 2), "axial": (0, 1)}


def block(shape=(5, 6, 4), step=(0.004, 0.003, 0.005), corner=(-0.02, -0.06, 0.01)) -> np.ndarray:
    """Voxels of a regular grid, shape (n, 3) in m."""
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1).reshape(-1, 3) * step + corner


def cells(figure) -> dict:
    return {a.get_title(loc="center"): a for a in figure.axes if a.get_title(loc="center")}


def cube() -> tuple[np.ndarray, np.ndarray]:
    """A cube of two triangles a side, corners at -1 and 1."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    sides = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    return corners, np.array([t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))])


# glass brain


def test_each_cell_of_a_glass_brain_is_the_largest_absolute_value_behind_it_with_its_sign():
    positions, shape = block(), (5, 6, 4)
    values = np.random.default_rng(0).standard_normal(len(positions))
    cube_of_values = values.reshape(shape)
    drawn = cells(glass_brain(values, positions))
    for view, through in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        strongest = np.take_along_axis(
            cube_of_values, np.abs(cube_of_values).argmax(axis=through, keepdims=True), through
        )
        (image,) = drawn[view].images
        assert np.allclose(np.asarray(image.get_array()), strongest.squeeze(through).T)
        right, up = VIEWS[view]
        half = np.array([0.004, 0.003, 0.005]) / 2
        low, high = 1000 * (positions.min(axis=0) - half), 1000 * (positions.max(axis=0) + half)
        assert np.allclose(image.get_extent(), [low[right], high[right], low[up], high[up]])


def test_a_voxel_of_the_left_occipital_pole_is_drawn_left_and_behind():
    positions = block((20, 25, 20), (0.006, 0.006, 0.006), (-0.06, -0.1, -0.05))
    values = np.zeros(len(positions))
    pole = np.abs(positions - [-0.012, -0.1, 0.004]).sum(axis=1).argmin()
    values[pole] = 1.0
    for view, (right, up) in VIEWS.items():
        (image,) = cells(glass_brain(values, positions))[view].images
        row, column = np.unravel_index(np.asarray(image.get_array()).argmax(), image.get_array().shape)
        left, end, bottom, top = image.get_extent()
        assert left + (column + 0.5) * 6 == pytest.approx(1000 * positions[pole, right])
        assert bottom + (row + 0.5) * 6 == pytest.approx(1000 * positions[pole, up])
        assert end > left and top > bottom  # the right side of the brain is on the right


def test_values_that_are_nan_or_below_the_threshold_are_not_drawn_and_all_are_counted():
    positions = block()
    values = np.full(len(positions), 0.1)
    values[:20], values[20] = np.nan, 0.5
    figure = glass_brain(values, positions, threshold=0.2, label="r", unit="a.u.")
    (image,) = cells(figure)["axial"].images
    assert np.isfinite(np.asarray(image.get_array())).sum() == 1 and image.norm.vmax == 0.5
    words = figure.axes[-1].get_ylabel()
    assert "r (a.u.)" in words and f"n = {len(values) - 20}" in words and "1 at |r| ≥ 0.2" in words


def test_a_threshold_above_all_values_leaves_an_empty_brain():
    figure = glass_brain(np.full(120, 0.1), block(), threshold=0.9)
    assert not any(a.images for a in cells(figure).values()) and "0 at" in figure.axes[-1].get_ylabel()


def test_electrodes_are_discs_with_the_strongest_on_top():
    rng = np.random.default_rng(1)
    positions = rng.uniform(-0.05, 0.05, (40, 3))
    positions[4] = np.nan
    values = rng.standard_normal(40)
    figure = glass_brain(values, positions)
    for view, axes in VIEWS.items():
        ax = cells(figure)[view]
        (discs,) = (c for c in ax.collections if isinstance(c, EllipseCollection))
        kept = np.flatnonzero(np.isfinite(positions[:, 0]))
        order = kept[np.argsort(np.abs(values[kept]))]
        assert np.allclose(discs.get_offsets(), 1000 * positions[order][:, list(axes)]) and not ax.images
        assert np.allclose(discs.get_array(), values[order])
    assert "1 without position" in figure.axes[-1].get_ylabel()


def test_a_turned_grid_is_drawn_as_discs_under_the_outlines():
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    positions = block((12, 12, 8), (0.004, 0.004, 0.004)) @ turn.T
    ax = cells(glass_brain(np.arange(len(positions)), positions))["axial"]
    discs, lines = (
        next(c for c in ax.collections if isinstance(c, kind)) for kind in (EllipseCollection, PathCollection)
    )
    assert not ax.images and len(discs.get_offsets()) == len(positions) and discs.zorder < lines.zorder


def test_the_outlines_enclose_the_bundled_cortex():
    cortex = np.concatenate([_gifti(f"pial_{side}")[0] for side in ("left", "right")])
    figure = glass_brain(np.ones(120), block())
    for view, axes in VIEWS.items():
        ax = cells(figure)[view]
        (lines,) = (c for c in ax.collections if isinstance(c, PathCollection))
        points = np.concatenate([path.vertices for path in lines.get_paths()])
        own = cortex[:, list(axes)]
        beyond = np.concatenate([points.max(axis=0) - own.max(axis=0), own.min(axis=0) - points.min(axis=0)])
        beyond = np.delete(beyond, 3) if view != "axial" else beyond  # below the cortex lies the brain stem
        assert beyond.min() > -3 and beyond.max() < 10  # mm
        assert ax.get_xlim()[0] < points[:, 0].min() and ax.get_ylim()[1] > points[:, 1].max()


def test_a_glass_brain_of_two_million_cubic_millimetres_is_fast():
    positions = block((70, 80, 60), (0.002, 0.002, 0.002), (-0.07, -0.1, -0.05))
    values = np.random.default_rng(2).uniform(size=len(positions))
    start = time.perf_counter()
    glass_brain(values, positions)
    assert time.perf_counter() - start < 3


# colours


def test_colours_begin_at_zero_for_amounts_and_are_symmetric_for_signed_values():
    amounts, signed = colours(np.array([0.2, 0.5, np.nan])), colours(np.array([-0.1, 0.5]))
    assert (amounts.norm.vmin, amounts.norm.vmax) == (0, 0.5) and (signed.norm.vmin, signed.norm.vmax) == (-0.5, 0.5)
    lightness = amounts.to_rgba(np.linspace(0, 0.5, 50))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) < 0).all()
    ends = signed.to_rgba([-0.5, 0.0, 0.5])
    assert ends[0, 2] > ends[0, 0] and ends[2, 0] > ends[2, 2] and np.ptp(ends[1, :3]) < 0.03  # blue, grey, orange
    assert (colours(np.zeros(3)).norm.vmin, colours(np.zeros(3)).norm.vmax) == (0, 1)


def test_positions_in_millimetres_are_refused_with_the_way_out():
    with pytest.raises(BraindecError, match="1000"):
        metres([[10.0, -60.0, 4.0]], 1)


def test_a_file_that_nilearn_has_not_is_told():
    with pytest.raises(BraindecError, match="nothing.json"):
        bundled("plotting", "nothing.json")


# surface


def test_a_cube_shows_the_side_that_is_turned_to_the_viewer():
    corners, faces = cube()
    left, right = (render(corners, faces, side=side, pixel=0.05) for side in (-1, 1))
    assert set(np.unique(left.vertex)) == {-1, 0, 1, 2, 3} and set(np.unique(right.vertex)) == {-1, 4, 5, 6, 7}
    area = (right.vertex >= 0).sum() * 0.05**2
    assert area == pytest.approx(4, rel=0.06)


def test_pixels_take_the_nearest_vertex_and_the_front_looks_to_the_side_it_should():
    corners, faces = cube()
    for side in (-1, 1):
        seen = render(corners, faces, side=side, pixel=0.02)
        rows, columns = np.nonzero(seen.vertex >= 0)
        across = seen.extent[0] + (columns + 0.5) * 0.02
        up = seen.extent[2] + (rows + 0.5) * 0.02
        own = corners[seen.vertex[rows, columns]]
        clear = (np.abs(across) > 0.6) & (np.abs(up) > 0.6)  # near a corner it is that corner
        assert (np.sign(across) == side * own[:, 1])[clear].all() and (np.sign(up) == own[:, 2])[clear].all()


def test_a_sphere_seen_from_one_side_faces_the_viewer_in_its_middle():
    coordinates, faces = _gifti("sphere_left")
    seen = render(coordinates, faces, side=-1, pixel=1.0)
    there = seen.vertex >= 0
    rows, columns = np.indices(there.shape)
    away = np.hypot(seen.extent[0] + columns + 0.5, seen.extent[2] + rows + 0.5)
    assert there[away < 98].all() and not there[away > 101].any()
    inside = away < 95
    assert np.allclose(seen.facing[inside], np.sqrt(1 - (away[inside] / 100) ** 2), atol=0.05)
    assert (coordinates[seen.vertex[inside], 0] < 0).all()


def test_values_colour_the_views_they_belong_to_and_nan_is_grey():
    corners, faces = cube()
    values = np.where(corners[:, 0] < 0, 1.0, np.nan)  # the outer side of a left hemisphere
    figure = surface_map(values, mesh={"left": (corners, faces)})
    lateral, medial = (cells(figure)[f"left, {view}"].images[0].get_array() for view in ("lateral", "medial"))
    seen = lateral[..., 3] > 0
    assert (lateral[seen][:, 2] - lateral[seen][:, 0] > 0.2).all()  # dark blue, the end of the amounts
    assert np.ptp(medial[medial[..., 3] > 0][:, :3], axis=1).max() < 0.1
    assert "n = 4 of 8 vertices" in figure.axes[-1].get_ylabel()


def test_both_hemispheres_give_four_views_in_the_order_of_a_brain_cut_open():
    figure = surface_map(np.ones(10242), np.full(10242, np.nan), threshold=0.5)
    assert list(cells(figure)) == ["left, lateral", "left, medial", "right, medial", "right, lateral"]
    assert "10,242 of 20,484" in figure.axes[-1].get_ylabel() and "10,242 at" in figure.axes[-1].get_ylabel()


def test_a_surface_map_takes_less_than_three_seconds():
    values = np.random.default_rng(3).standard_normal(10242)
    start = time.perf_counter()
    surface_map(values, values)
    assert time.perf_counter() - start < 3


def test_the_place_of_each_voxel_comes_back_at_the_vertices():
    positions = block((47, 60, 46), (0.003, 0.003, 0.003), (-0.069, -0.108, -0.051))
    for k in range(3):
        for side, found in zip(("left", "right"), project_to_surface(positions[:, k], positions), strict=True):
            middle = (_gifti(f"white_{side}")[0] + _gifti(f"pial_{side}")[0])[:, k] / 2000
            assert np.abs(found - middle).max() <= 0.0015 + 1e-9  # half a voxel


def test_vertices_without_a_voxel_near_them_are_nan():
    positions = block((23, 60, 46), (0.003, 0.003, 0.003), (-0.069, -0.108, -0.051))  # the left half
    left, right = project_to_surface(np.ones(len(positions)), positions)
    assert np.isfinite(left).mean() > 0.95
    middle = (_gifti("white_right")[0] + _gifti("pial_right")[0]) / 2000
    assert np.isnan(right[middle[:, 0] > 0.003]).all()
    wider = project_to_surface(np.ones(len(positions)), positions, distance=0.02)[1]
    assert np.isfinite(wider).sum() > np.isfinite(right).sum()


def test_voxels_that_are_nan_stay_nan_and_voxels_elsewhere_are_refused():
    positions = block((47, 60, 46), (0.003, 0.003, 0.003), (-0.069, -0.108, -0.051))
    values = np.where(positions[:, 2] > 0.02, np.nan, 1.0)
    left, _ = project_to_surface(values, positions)
    middle = (_gifti("white_left")[0] + _gifti("pial_left")[0])[:, 2] / 2000
    assert np.isnan(left[middle > 0.022]).all() and np.isfinite(left[middle < 0.018]).all()
    with pytest.raises(BraindecError, match="within 3 mm"):
        project_to_surface(np.ones(len(positions)), positions + [0.4, 0, 0])
    with pytest.raises(BraindecError, match="fsaverage5"):
        project_to_surface(values, positions, mesh="fsLR")


# slices


def test_a_slice_names_its_sides_or_the_indices():
    positions = block((4, 5, 3), (0.001, 0.001, 0.001), (0.04, 0.01, 0.0))
    brain, index = (voxel_map(np.arange(60.0), positions, axes=axes) for axes in ("brain", "indices"))
    assert list(cells(brain)) == ["z = 0 mm", "z = 1 mm", "z = 2 mm"]
    assert list(cells(index)) == ["k = 0", "k = 1", "k = 2"]
    first = brain.axes[0], index.axes[0]
    assert [a.get_xlabel() for a in first] == ["left – right", "i (voxels)"]
    assert [a.get_ylabel() for a in first] == ["back – front", "j (voxels)"]


def test_indices_keep_their_step_where_every_second_one_is_missing():
    at = np.stack(np.meshgrid([40, 42, 44], [10, 12, 14], [3], indexing="ij"), -1).reshape(-1, 3) * 0.001
    figure = voxel_map(np.ones(9), at, axes="indices")
    assert np.isfinite(np.asarray(cells(figure)["k = 3"].images[1].get_array())).sum() == 9
    assert cells(figure)["k = 3"].images[1].get_array().shape == (5, 5)


def test_a_map_of_amounts_begins_at_zero_and_says_how_many_slices_it_left_out():
    positions = block((4, 4, 12), (0.003, 0.003, 0.003), (0, 0, -0.006))
    figure = voxel_map(np.linspace(0.2, 0.4, len(positions)), positions, n_slices=6)
    image = next(iter(cells(figure).values())).images[1]
    assert (image.norm.vmin, image.norm.vmax) == (0, 0.4)
    assert "6 of 12 slices" in figure.axes[-1].get_ylabel() and "-0" not in "".join(cells(figure))
