"""Pictures of hidden states: what is drawn is what was given, and wrong input is refused."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.coupling_matrix import coupling_matrix
from braindec.viz.state_posterior import state_posterior


def test_posterior_is_stacked_to_one_with_strips_above():
    p = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    figure = state_posterior(p, [0.0, 0.1, 0.2], true=[1, 0, 0], path=[1, 1, 0], labels=["up", "down"], title="A trial")
    strips, main = figure.axes[:2], figure.axes[2]
    np.testing.assert_array_equal(strips[0].collections[0].get_array().ravel(), [1, 0, 0])
    np.testing.assert_array_equal(strips[1].collections[0].get_array().ravel(), [1, 1, 0])
    tops = [np.max([v.vertices[:, 1].max() for v in c.get_paths()]) for c in main.collections]
    assert tops[1] == 1.0 and tops[0] == 1.0 and main.get_ylim() == (0, 1)
    assert [t.get_text() for t in strips[0].get_legend().get_texts()] == ["up", "down"]
    assert len(state_posterior(p).axes) == 1


def test_couplings_have_one_range_about_zero():
    rng = np.random.default_rng(0)
    found, true = rng.normal(size=(3, 4, 4)), rng.integers(-1, 2, size=(3, 4, 4))
    figure = coupling_matrix(found, true=true)
    images = [a.images[0] for a in figure.axes if a.images]
    assert len(images) == 6
    for image, matrix in zip(images, [*found, *true], strict=True):
        np.testing.assert_allclose(image.get_array(), matrix)
    assert images[0].get_clim() == (-np.abs(found).max(), np.abs(found).max())
    assert len([a for a in coupling_matrix(found[0]).axes if a.images]) == 1


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: state_posterior(np.ones((3, 2))), "add to 1"),
        (lambda: state_posterior(np.full((3, 2), 0.5), [0, 0, 1]), "rise"),
        (lambda: state_posterior(np.full((3, 2), 0.5), true=[0, 1, 2]), "no column"),
        (lambda: coupling_matrix(np.ones((2, 3))), "same units"),
        (lambda: coupling_matrix(np.ones((2, 3, 3)), true=np.ones((3, 3))), "another shape"),
        (lambda: coupling_matrix(np.full((2, 2), np.nan)), "not finite"),
    ],
)
def test_wrong_input_is_one_clear_error(draw, said):
    with pytest.raises(BraindecError, match=said):
        draw()
