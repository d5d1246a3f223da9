"""Forward-backward and Viterbi: public values, enumeration of every path, no underflow, the same by every version."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.forward_backward import forward_backward, viterbi


def model(rng, n_bins, n_states, *, zeros=False):
    a = rng.dirichlet(np.ones(n_states), size=n_states)
    if zeros and n_states > 1:
        a[0, 1] = 0.0
        a /= a.sum(axis=1, keepdims=True)
    return rng.normal(scale=2, size=(n_bins, n_states)), a, rng.dirichlet(np.ones(n_states))


def enumerated(values, a, start):
    """Everything by summing over all paths."""
    n_bins, n = values.shape
    paths = np.array(list(product(range(n), repeat=n_bins)))
    with np.errstate(divide="ignore"):
        log_p = np.log(start)[paths[:, 0]] + values[np.arange(n_bins), paths].sum(axis=1)
        log_p += np.log(a)[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    total = np.logaddexp.reduce(log_p)
    p = np.exp(log_p - total)
    posterior = np.array([[p[paths[:, t] == k].sum() for k in range(n)] for t in range(n_bins)])
    pairs = np.array(
        [[sum(p @ ((paths[:, t] == j) & (paths[:, t + 1] == k)) for t in range(n_bins - 1)) for k in range(n)]
         for j in range(n)]
    )  # fmt: skip
    return total, posterior, pairs, paths[log_p.argmax()]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_equals_the_published_code(shared, backend):
    stored = np.load(shared("models.npz", kind="parity"))
    found = forward_backward(stored["hmm_logE"], stored["hmm_A"], backend=backend)
    np.testing.assert_allclose(found.posterior, stored["hmm_gamma"], atol=1e-9)
    np.testing.assert_allclose(found.pairs[0], stored["hmm_xi"].sum(axis=0), atol=1e-9)
    np.testing.assert_array_equal(viterbi(stored["hmm_logE"], stored["hmm_A"], backend=backend), stored["hmm_viterbi"])


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("n_bins", [1, 2, 6])
def test_equals_the_sum_over_every_path(backend, zeros, n_bins):
    values, a, start = model(np.random.default_rng(n_bins), n_bins, 3, zeros=zeros)
    total, posterior, pairs, best = enumerated(values, a, start)
    found = forward_backward(values, a, start, backend=backend)
    np.testing.assert_allclose(found.log_likelihood, [total], atol=1e-12)
    np.testing.assert_allclose(found.posterior, posterior, atol=1e-12)
    np.testing.assert_allclose(found.pairs[0], pairs, atol=1e-12)
    np.testing.assert_array_equal(viterbi(values, a, start, backend=backend), best)
    for t in range(n_bins):  # filtering is smoothing of what came before
        np.testing.assert_allclose(found.filtered[t], enumerated(values[: t + 1], a, start)[1][-1], atol=1e-12)
    assert found.bin_log_likelihood.sum() == pytest.approx(total, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans())
def test_compiled_equals_the_definition(seed, n_states, lengths, zeros):
    values, a, start = model(np.random.default_rng(seed), sum(lengths), n_states, zeros=zeros)
    offsets = np.append(0, np.cumsum(lengths))
    one, two = (forward_backward(values, a, start, offsets=offsets, backend=b) for b in ("numpy", "numba"))
    for name, x, y in zip(one._fields, one, two, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-10, err_msg=name)
    paths = [viterbi(values, a, start, offsets=offsets, backend=b) for b in ("numpy", "numba")]
    np.testing.assert_array_equal(*paths)
    alone = forward_backward(values[: lengths[0]], a, start)
    np.testing.assert_allclose(alone.posterior, two.posterior[: lengths[0]], atol=1e-10)


@pytest.mark.parametrize("zeros", [False, True])
def test_never_underflows(zeros):
    rng = np.random.default_rng(0)
    values, a, start = model(rng, 2000, 3, zeros=zeros)
    far = 1e4 * values - 1e5  # likelihoods of e^-100000
    found = forward_backward(far, a, start)
    assert np.isfinite(found.log_likelihood).all()
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(found.posterior, forward_backward(far, a, start, backend="numpy").posterior, atol=1e-6)
    moved = forward_backward(values + np.linspace(-1e4, 1e4, 2000)[:, None], a, start)
    np.testing.assert_allclose(moved.posterior, forward_backward(values, a, start).posterior, atol=1e-8)


def test_a_state_that_comes_back_from_nothing():
    """The first bins all but rule out the only state that can explain the last one."""
    values = np.array([[0.0, -800.0], [0.0, -800.0], [-np.inf, 0.0]])
    for backend in ("numpy", "numba"):
        found = forward_backward(values, np.eye(2), backend=backend)
        np.testing.assert_allclose(found.posterior[:, 1], 1.0)
        assert found.log_likelihood[0] == pytest.approx(-1600 + np.log(0.5))


@pytest.mark.parametrize(
    ("values", "a", "more", "said"),
    [
        (np.zeros((4, 2)) * np.nan, np.eye(2), {}, "log-likelihoods"),
        (np.zeros((4, 2)), np.eye(3), {}, "transition is"),
        (np.zeros((4, 2)), np.ones((2, 2)), {}, "no probabilities"),
        (np.zeros((4, 2)), np.eye(2), {"offsets": [0, 2, 2, 4]}, "offsets"),
        (np.zeros((4, 2)), np.eye(2), {"offsets": [0, 1.5, 4]}, "offsets are whole"),
        (np.full((4, 2), "a"), np.eye(2), {}, "log-likelihoods must be numbers"),
        (np.zeros((4, 2)), np.full((2, 2), "a"), {}, "transition must be numbers"),
        (np.full((4, 2), -np.inf), np.eye(2), {}, "impossible"),
        (
            np.array([[0, 0], [0, -np.inf], [-np.inf, 0]]),
            np.eye(2),
            {"offsets": [0, 1, 3]},
            "(?s)impossible.*sequence 1",
        ),
        (np.zeros((4, 2)), np.eye(2), {"backend": "numbat"}, "did you mean 'numba'"),
    ],
)
def test_wrong_input_is_one_clear_error(values, a, more, said):
    for function in (forward_backward, viterbi):  # a path through what cannot be is no path
        with pytest.raises(BraindecError, match=said):
            function(values, a, **more)
