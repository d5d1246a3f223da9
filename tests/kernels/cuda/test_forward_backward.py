"""CUDA versions of forward-backward and Viterbi, one thread a sequence, against the definitions."""

import numpy as np
import pytest

from braindec.kernels.forward_backward import forward_backward, viterbi


@pytest.mark.parametrize("zeros", [False, True])
def test_equals_the_definition(zeros):
    rng = np.random.default_rng(0)
    a = rng.dirichlet(np.ones(3), size=3)
    if zeros:
        a[0] = [0.5, 0.5, 0.0]
    values, offsets = rng.normal(scale=2, size=(24, 3)), np.array([0, 9, 10, 24])
    one, two = (forward_backward(values, a, offsets=offsets, backend=b) for b in ("numpy", "cuda"))
    for x, y in zip(one, two, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-10)
    np.testing.assert_array_equal(*(viterbi(values, a, offsets=offsets, backend=b) for b in ("numpy", "cuda")))
