"""Pictures of latents, communities and factors: what is drawn is what was given."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.community_matrix import community_matrix
from braindec.viz.factor_courses import factor_courses
from braindec.viz.latent_space import latent_space

ANGLE = np.linspace(-np.pi, np.pi, 50)


def test_clouds_of_different_size_and_ends_of_the_circle_alike():
    points = np.stack([np.cos(ANGLE), np.sin(ANGLE), 0 * ANGLE], axis=1)
    both = np.stack([points, np.where(np.arange(50)[:, None] < 30, points, np.nan)])
    figure = latent_space(both, np.stack([ANGLE, ANGLE]), names=["a", "b"], cyclic=True, label="angle (rad)")
    clouds = [ax.collections[0] for ax in figure.axes[:2]]
    assert [len(c.get_offsets()) for c in clouds] == [50, 30]
    colours = clouds[0].cmap(clouds[0].norm([-np.pi, np.pi]))
    np.testing.assert_allclose(colours[0], colours[1], atol=0.02)
    assert not np.allclose(clouds[0].cmap(clouds[0].norm(0.0)), colours[0], atol=0.2)
    assert figure.axes[-1].get_ylabel() == "angle (rad)"


def test_points_are_thinned_and_two_dimensions_stay_as_they_are():
    figure = latent_space(np.stack([ANGLE, ANGLE**2], 1), np.arange(50) % 3, classes=["x", "y", "z"], max_points=20)
    offsets = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert len(offsets) <= 20
    np.testing.assert_allclose(offsets[:, 1], offsets[:, 0] ** 2)
    for points, colour, options in ((np.zeros((5, 4)), np.zeros(5), {}), (np.zeros((5, 2)), np.zeros(4), {}),
                                    (np.zeros((5, 2)), np.full(5, 90.0), {"cyclic": True}), (np.full((5, 2), np.nan), np.zeros(5), {}),
                                    (np.zeros((5, 2)), np.full(5, 7), {"classes": ["a"]})):  # fmt: skip
        with pytest.raises(BraindecError):
            latent_space(points, colour, **options)


def test_a_community_matrix_is_sorted_and_framed():
    labels = np.array([1, 0, 1, 0, 0])
    a = (labels[:, None] == labels).astype(float) - np.eye(5)
    figure = community_matrix(a, labels, true=labels)
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    expected = np.zeros((5, 5))
    expected[:3, :3] = expected[3:, 3:] = 1
    assert np.array_equal(drawn, expected - np.eye(5))
    frames = [p for p in figure.axes[0].patches if not p.get_fill()]
    assert [(p.get_x(), p.get_width()) for p in frames] == [(-0.5, 3), (2.5, 2)]
    with pytest.raises(BraindecError, match="square"):
        community_matrix(a[:3], labels)


def test_courses_are_shares_of_their_largest():
    courses = np.array([[0.0, 2.0], [5.0, 1.0], [2.5, 0.0]])
    figure = factor_courses([1.0, 2.0, 3.0], courses, true=np.array([[0, np.nan], [1, np.nan], [1, np.nan]]))
    lines = figure.axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), [0, 1, 0.5])
    assert sum(len(line.get_xdata()) == 3 for line in lines) == 3
    with pytest.raises(BraindecError, match="not below 0"):
        factor_courses([1.0, 2.0, 3.0], -courses)
