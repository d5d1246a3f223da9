"""Places of sensors on a page."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.layout import flat_positions
from braindec.signal.spherical_head import montage_info


def sphere(angle, around, radius=0.09, centre=(0.0, 0.0, 0.04)):
    """Points at an angle from the top, turned ``around`` from the right towards the front, degrees."""
    angle, around = np.radians(angle), np.radians(around)
    rays = np.stack([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.cos(angle)], axis=-1)
    return radius * rays + np.array(centre)


def test_distance_from_the_top_is_the_angle():
    angle = np.array([0.0, 30.0, 60.0, 90.0, 90.0, 90.0, 90.0, 120.0])
    around = np.array([0.0, 0.0, 0.0, 0.0, 90.0, 180.0, 270.0, 90.0])
    flat = flat_positions(sphere(angle, around))
    # x spans -90..90 degrees, y spans -90..120
    expected_x = (angle * np.cos(np.radians(around)) + 90) / 180
    expected_y = (angle * np.sin(np.radians(around)) + 90) / 210
    np.testing.assert_allclose(flat, np.stack([expected_x, expected_y], axis=1), atol=1e-9)


def test_neither_size_nor_place_of_the_head_matters():
    rng = np.random.default_rng(0)
    points = sphere(rng.uniform(0, 110, 30), rng.uniform(0, 360, 30))
    np.testing.assert_allclose(flat_positions(points), flat_positions(1.3 * points + [0.01, -0.02, 0.03]), atol=1e-8)


def test_names_of_the_ten_twenty_system_lie_where_they_are_drawn():
    names = ["Fp1", "Fp2", "F7", "F8", "C3", "Cz", "C4", "O1", "O2", "Pz"]
    info = montage_info(names, 100.0)
    flat = dict(zip(names, flat_positions(np.array([c["loc"][:3] for c in info["chs"]])), strict=True))
    assert (
        flat["C3"][0] < flat["Cz"][0] < flat["C4"][0] and flat["O1"][1] < flat["Pz"][1] < flat["Cz"][1] < flat["Fp1"][1]
    )
    assert abs(flat["C3"][1] - flat["C4"][1]) < 0.05 and abs(flat["Cz"][0] - 0.5) < 0.05


def test_unknown_places_stay_unknown_and_do_not_move_the_others():
    points = sphere(np.linspace(0, 90, 12), np.linspace(0, 330, 12))
    more = np.concatenate([points, np.full((2, 3), np.nan)])
    flat = flat_positions(more)
    np.testing.assert_allclose(flat[:12], flat_positions(points))
    assert np.isnan(flat[12:]).all()
    assert np.nanmin(flat) == 0 and np.nanmax(flat) == 1


def test_sensors_without_positions_are_refused():
    with pytest.raises(BraindecError, match="0 of 4 are known"):
        flat_positions(np.full((4, 3), np.nan))
