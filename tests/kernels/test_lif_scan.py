"""The LIF scan against its definition, and the definition against numerical differentiation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.lif_scan import LIFRule, SurrogateSlope, lif_scan, lif_scan_backward

KINDS = list(product(("soft", "hard", "none"), (False, True)))


def _bell(x, k, one, exp):
    return k * exp(-x * x) + one / (one + one)


BELL, FLAT = SurrogateSlope(_bell, 0.7), SurrogateSlope(lambda x, k, one, exp: 0 * k * x, 1.0)


def problem(seed, shape, dtype=np.float64, reset="soft", delay=False):
    rng = np.random.default_rng(seed)
    n = shape[2]
    rule = LIFRule(*(rng.uniform(0.4, 1, n).astype(dtype) for _ in "123"), v_reset=-0.2, reset=reset, delay=delay)
    x = rng.normal(0.4, 1, shape).astype(dtype)
    v0, s0 = rng.normal(0, 0.5, shape[1:]).astype(dtype), (rng.random(shape[1:]) < 0.4).astype(dtype)
    gradients = {"spikes": rng.normal(size=shape).astype(dtype), "potential": rng.normal(size=shape).astype(dtype),
                 "last": rng.normal(size=shape[1:]).astype(dtype)}  # fmt: skip
    return rule, x, v0, s0, gradients


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.tuples(*(st.integers(1, 9),) * 3), st.sampled_from(KINDS),
    st.sampled_from([np.float32, np.float64]), st.sets(st.sampled_from(["spikes", "potential", "last"])), st.booleans(),
)  # fmt: skip
def test_numba_is_the_definition(seed, shape, kind, dtype, given_gradients, detach):
    rule, x, v0, s0, gradients = problem(seed, shape, dtype, *kind)
    plain, fast = (lif_scan(x, v0, s0, rule, keep_potential=True, backend=b) for b in ("numpy", "numba"))
    for a, b in zip(plain, fast):
        np.testing.assert_array_equal(a, b)  # every bit: the order of the operations is the same
    chosen = {name: gradients[name] for name in given_gradients}
    slow, quick = (
        lif_scan_backward(plain, x, v0, s0, BELL, rule, **chosen, detach=detach, backend=b) for b in ("numpy", "numba")
    )
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    for a, b in zip(slow, quick):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(a).max()))


@pytest.mark.parametrize("reset, delay", KINDS)
def test_hand_computed(reset, delay):
    rule = LIFRule(np.array([0.5]), np.array([1.0]), np.array([1.0]), v_reset=0.25, reset=reset, delay=delay)
    x = np.array([0.8, 0.8, 0.5, 0.0]).reshape(4, 1, 1)
    zero = np.zeros((1, 1))
    scan = lif_scan(x, zero, zero, rule, keep_potential=True)
    charged = {  # 0.8, then 0.4 + 0.8 = 1.2 fires; what follows depends on the reset
        ("soft", False): [0.8, 1.2, 0.6, 0.3],  # 0.5 * 0.2 + 0.5, 0.5 * 0.6
        ("soft", True): [0.8, 1.2, 0.1, 0.05],  # 0.5 * 1.2 + 0.5 - 1
        ("hard", False): [0.8, 1.2, 0.625, 0.3125],  # 0.5 * 0.25 + 0.5
        ("hard", True): [0.8, 1.2, 0.25, 0.125],  # the drive of that step is lost
        ("none", False): [0.8, 1.2, 1.1, 0.55],
        ("none", True): [0.8, 1.2, 1.1, 0.55],
    }[reset, delay]
    np.testing.assert_allclose(scan.charged.ravel(), charged, atol=1e-15)
    np.testing.assert_array_equal(scan.spikes.ravel(), [float(u >= 1) for u in charged])


@pytest.mark.parametrize("reset, delay", KINDS)
def test_gradient_of_the_potentials_by_differences(reset, delay):
    """Between two spike patterns the potentials are smooth in everything, and with detach their gradient is exact."""
    rule, x, v0, s0, gradients = problem(5, (6, 2, 3), np.float64, reset, delay)
    g = {"potential": gradients["potential"], "last": gradients["last"]}

    def loss(x=x, v0=v0, **constants):
        new = LIFRule(**{**vars(rule), **constants})
        scan = lif_scan(x, v0, s0, new, keep_potential=True, backend="numpy")
        np.testing.assert_array_equal(scan.spikes, here.spikes)
        return (scan.potential * g["potential"]).sum() + (scan.last * g["last"]).sum()

    here = lif_scan(x, v0, s0, rule, keep_potential=True)
    found = lif_scan_backward(here, x, v0, s0, FLAT, rule, **g, detach=True)
    h = 1e-6
    for name, array in (("x", x), ("v0", v0), ("decay", rule.decay), ("amount", rule.amount)):
        for at in list(np.ndindex(array.shape))[::2]:
            up, down = array.copy(), array.copy()
            up[at] += h
            down[at] -= h
            slope_found = (loss(**{name: up}) - loss(**{name: down})) / (2 * h)
            assert getattr(found, name)[at] == pytest.approx(slope_found, abs=1e-7)


@pytest.mark.parametrize("reset, delay", KINDS)
def test_bits_do_not_depend_on_threads(reset, delay):
    rule, x, v0, s0, gradients = problem(1, (5, 300, 40), np.float32, reset, delay)
    results = []
    for threads in (1, 2, 3):
        scan = lif_scan(x, v0, s0, rule, keep_potential=True, threads=threads)
        back = lif_scan_backward(scan, x, v0, s0, BELL, rule, **gradients, threads=threads)
        results.append((*scan, *back))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_going_on_from_a_state_is_the_same_as_not_stopping():
    rule, x, v0, s0, _ = problem(3, (12, 4, 5), np.float32, "hard", True)
    whole = lif_scan(x, v0, s0, rule)
    first = lif_scan(x[:7], v0, s0, rule)
    second = lif_scan(x[7:], first.last, first.spikes[-1].copy(), rule)
    np.testing.assert_array_equal(whole.spikes, np.concatenate([first.spikes, second.spikes]))
    np.testing.assert_array_equal(whole.last, second.last)


def test_wrong_input():
    rule, x, v0, s0, _ = problem(0, (3, 2, 4))
    with pytest.raises(BraindecError, match="no reset 'sotf'; did you mean 'soft'"):
        LIFRule(rule.decay, rule.threshold, rule.amount, reset="sotf")
    with pytest.raises(BraindecError, match="wrong shape or type"):
        lif_scan(x[0], v0, s0, rule)
    with pytest.raises(BraindecError, match="wrong shape or type"):
        lif_scan(x.astype(np.int64), v0, s0, rule)
    with pytest.raises(BraindecError, match="do not fit"):
        lif_scan(x, v0[:, :2], s0, rule)
    with pytest.raises(BraindecError, match="do not fit"):
        lif_scan(x, v0.astype(np.float32), s0, rule)
    with pytest.raises(BraindecError, match="no version for the backend"):
        lif_scan(x, v0, s0, rule, backend="cuda")
    with pytest.raises(BraindecError, match="do not fit"):
        lif_scan(x, v0[:, :2], s0, rule, backend="numpy")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_gradients_of_another_shape_are_refused(backend):
    """The compiled scan would read past their ends."""
    rule, x, v0, s0, gradients = problem(0, (5, 2, 4))
    scan = lif_scan(x, v0, s0, rule)
    for name, wrong in (("spikes", x[:4]), ("potential", x[:, :1]), ("last", v0[:1]), ("spikes", x.astype(np.float32))):
        with pytest.raises(BraindecError, match=f"{name} of a LIF scan do not fit"):
            lif_scan_backward(scan, x, v0, s0, BELL, rule, **{**gradients, name: wrong}, backend=backend)
    with pytest.raises(BraindecError, match="spikes of the scan"):
        lif_scan_backward(lif_scan(x[:3], v0, s0, rule), x, v0, s0, BELL, rule, **gradients, backend=backend)


def test_any_layout_and_arrays_that_must_not_be_written():
    rule, x, v0, s0, gradients = problem(2, (6, 3, 4), np.float32)
    scan = lif_scan(x, v0, s0, rule, keep_potential=True)
    back = lif_scan_backward(scan, x, v0, s0, BELL, rule, **gradients)
    other_x, other_v, other_s = (np.asfortranarray(a) for a in (x, v0, s0))
    for array in (other_x, other_v, other_s, rule.decay, rule.threshold, *gradients.values()):
        array.setflags(write=False)
    again = lif_scan(other_x, other_v, other_s, rule, keep_potential=True)
    for a, b in zip(scan, again):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(back, lif_scan_backward(again, other_x, other_v, other_s, BELL, rule, **gradients)):
        np.testing.assert_array_equal(a, b)
