"""Coefficients against the FFT, tests against closed forms and independent implementations, levels and power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.stats.tagging import (
    TESTS,
    check_rates,
    coefficients,
    hotelling,
    itpc,
    label_permutation,
    neighbours,
    power,
    rayleigh,
    sign_flip,
    t2circ,
    tag_arrays,
    two_sample,
)

RATES = {"sentence": 1.0, "phrase": 2.0}


def noise(rng, n, units=2000, n_times=32, exponent=0.0, long=8):
    """Trials cut from the middle of longer 1/f noise, so that they do not join at their ends."""
    if not exponent:
        return rng.standard_normal((n, n_times, units))
    total = n_times * long
    shape = np.fft.rfft(rng.standard_normal((n, total, units)), axis=1)
    f = np.maximum(np.arange(shape.shape[1]), 1.0)
    x = np.fft.irfft(shape * f[:, None] ** (-exponent / 2), n=total, axis=1)
    return x[:, total // 2 : total // 2 + n_times]


def test_coefficients_are_those_of_the_fft():
    x = np.random.default_rng(0).standard_normal((3, 40, 5))
    full = np.fft.fft(x - x.mean(axis=1, keepdims=True), axis=1) / 40
    mine = coefficients(x, 8.0, [1.0, 2.0, 4.0])
    assert np.allclose(mine, full[:, [5, 10, 20]], atol=1e-14)
    line = np.linspace(-3, 9, 40)[:, None]
    assert np.allclose(
        coefficients(x + line, 8.0, [1.0], detrend="linear"), coefficients(x, 8.0, [1.0], detrend="linear")
    )
    assert np.allclose(coefficients(x + 1e6, 8.0, [1.0]), coefficients(x, 8.0, [1.0]), atol=1e-8)
    t = np.arange(40) / 8
    assert np.isclose(
        np.sqrt(power(coefficients(3 * np.cos(2 * np.pi * t + 0.4)[None, :, None], 8.0, [1.0])))[0, 0], 1.5
    )
    with pytest.raises(BraindecError):
        coefficients(x[0], 8.0, [1.0])


def test_t2circ_and_hotelling_by_definition():
    rng = np.random.default_rng(1)
    c = rng.standard_normal((9, 1)) + 1j * rng.standard_normal((9, 1)) + 0.4
    f, p = t2circ(c)
    m = c.mean()
    t2 = (9 - 1) * abs(m) ** 2 / (abs(c - m) ** 2).sum()  # Victor & Mast 1991, equation 3
    assert np.isclose(f[0], 9 * t2) and np.isclose(p[0], stats.f.sf(9 * t2, 2, 16))
    xy = np.column_stack([c.real, c.imag])
    h = 9 * xy.mean(0) @ np.linalg.solve(np.cov(xy.T), xy.mean(0))
    f, p = hotelling(c)
    assert np.isclose(f[0], h * 7 / 16) and np.isclose(p[0], stats.f.sf(h * 7 / 16, 2, 7))
    real = rng.standard_normal((9, 1, 1)) + 0.3 + 0j
    for test in (t2circ, hotelling):
        assert np.isclose(test(real, np.array([True]))[1], stats.ttest_1samp(real.real[:, 0, 0], 0.0).pvalue)
    a, b = rng.standard_normal((6, 1, 1)) + 0j, rng.standard_normal((8, 1, 1)) + 0j
    assert np.isclose(two_sample(a, b, np.array([True]))[1], stats.ttest_ind(a.real[:, 0, 0], b.real[:, 0, 0]).pvalue)


def test_coherence_and_its_test():
    phases = np.array([0.1, 0.2, -0.1, 3.0, 0.4, 0.0])
    c = 5 * np.exp(1j * phases)[:, None] * np.arange(1, 7)[:, None]
    assert np.isclose(itpc(c)[0], abs(np.exp(1j * phases).mean()))
    for n in (6, 10, 30):
        p = rayleigh(np.exp(2j * np.pi * np.random.default_rng(n).random((n, 40_000))))[1]
        assert all(abs((p <= level).mean() - level) < 0.2 * level for level in (0.1, 0.05, 0.01))
    sign = np.array([1, 1, 1, 1, 1, 1, 1, -1.0])[:, None] + 0j
    assert np.isclose(rayleigh(sign, True)[1][0], stats.binomtest(1, 8, 0.5).pvalue)


def test_permutations_by_brute_force():
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal((k, 1, 4)) + 1j * rng.standard_normal((k, 1, 4)) for k in (4, 5))
    null, p = label_permutation(a, b)
    assert len(null) == 126  # all of them
    from itertools import combinations

    def welch(one, other):
        variances = [(abs(g - g.mean(0)) ** 2).sum(0) / (len(g) - 1) / len(g) for g in (one, other)]
        return abs(one.mean(0) - other.mean(0)) ** 2 / sum(variances)

    both = np.concatenate([a, b])
    values = [welch(both[list(k)], np.delete(both, list(k), 0)) for k in combinations(range(9), 4)]
    assert np.allclose(p, (np.array(values) >= welch(a, b) - 1e-12).mean(axis=0))
    _, p = label_permutation(a, b[:4])  # as many of both: the difference of the means orders them alike
    both, true = np.concatenate([a, b[:4]]), abs(a.mean(0) - b[:4].mean(0))
    values = [abs(both[list(k)].mean(0) - np.delete(both, list(k), 0).mean(0)) for k in combinations(range(8), 4)]
    assert np.allclose(p, (np.array(values) >= true - 1e-12).mean(axis=0))
    both = np.concatenate([a, b])
    _, p = label_permutation(a, b, statistic="stronger")
    values = [abs(both[list(k)].mean(0)) - abs(np.delete(both, list(k), 0).mean(0)) for k in combinations(range(9), 4)]
    assert np.allclose(p, (np.array(values) >= abs(a.mean(0)) - abs(b.mean(0)) - 1e-12).mean(axis=0))
    _, p = sign_flip(b)
    from itertools import product

    values = [abs((np.array(s)[:, None, None] * b).mean(0)) for s in product((1, -1), repeat=5)]
    assert np.allclose(p, (np.array(values) >= abs(b.mean(0)) - 1e-12).mean(axis=0))


def test_blocks_are_respected():
    rng = np.random.default_rng(4)
    shift = np.repeat([0.0, 50.0], 6)  # two runs that differ
    x = rng.standard_normal((12, 1, 500)) + 0j + shift[:, None, None]
    label = np.tile([True, True, False, False, True, False], 2)
    order = np.concatenate([np.flatnonzero(label), np.flatnonzero(~label)])
    blocks = np.repeat([0, 1], 6)[order]
    _, p = label_permutation(x[label], x[~label], blocks=blocks, n_permutations=300, rng=0)
    assert abs((p <= 0.05).mean() - 0.05) < 0.035


@pytest.mark.parametrize("test", [t for t in TESTS if t != "auto"])
def test_white_noise_holds_the_level(test):
    rng = np.random.default_rng(5)
    control = noise(rng, 12) if test in ("permutation", "two_sample") else None
    found = tag_arrays(noise(rng, 10), sfreq=4.0, rates=RATES, control=control, test=test, n_permutations=400)
    share = (found.p <= 0.05).mean(axis=1)
    discrete = test == "rayleigh"  # at Nyquist the sign test of 10 trials: 2.1 %
    assert found.test == test and 0.035 < share[0] < 0.067
    assert (0.01 if discrete else 0.035) < share[1] < 0.067


@pytest.mark.parametrize("exponent", [1.0, 2.0])
@pytest.mark.parametrize("test", ["t2circ", "hotelling", "neighbours", "permutation", "two_sample", "sign_flip"])
def test_coloured_noise_holds_the_level(test, exponent):
    rng = np.random.default_rng(6)
    x = noise(rng, 14, units=1200, n_times=64, exponent=exponent)
    control = (
        noise(rng, 12, units=1200, n_times=64, exponent=exponent) if test in ("permutation", "two_sample") else None
    )
    rates = {"a": 1.0, "b": 2.5}
    found = tag_arrays(x, sfreq=8.0, rates=rates, control=control, test=test, detrend="linear", n_permutations=300)
    assert ((found.p <= 0.05).mean(axis=1) < 0.072).all() and ((found.p <= 0.05).mean(axis=1) > 0.028).all()


def test_the_test_against_white_noise_is_wrong_for_coloured_noise():
    found = tag_arrays(
        noise(np.random.default_rng(7), 14, units=400, n_times=64, exponent=1.0),
        sfreq=8.0,
        rates={"a": 0.5},
        test="white",
    )
    assert (found.p <= 0.05).mean() > 0.15


@pytest.mark.parametrize("test", [t for t in TESTS if t != "auto"])
def test_power_on_planted_tones(test):
    rng = np.random.default_rng(8)
    x, y = noise(rng, 16, units=400), noise(rng, 16, units=400)
    wave = np.cos(2 * np.pi * np.arange(32) / 4 + 0.3)
    x[:, :, :100] += 0.5 * wave[:, None]  # power in its bin: 2 times that of the noise, in one trial
    found = tag_arrays(
        x, sfreq=4.0, rates={"sentence": 1.0}, control=y if test in ("permutation", "two_sample") else None, test=test
    )
    value = -found.p[0] if test == "white" else found.statistic[0]
    auc = stats.mannwhitneyu(value[:100], value[100:]).statistic / 30_000
    assert auc > 0.95 and (found.p[0, :100] <= 0.05).mean() > 0.9


def test_harmonics_jointly():
    rng = np.random.default_rng(9)
    for test in ("permutation", "t2circ", "sign_flip"):
        x, y = noise(rng, 14), noise(rng, 14)
        control = y if test == "permutation" else None
        options = {
            "sfreq": 8.0,
            "rates": {"s": 1.0},
            "control": control,
            "test": test,
            "harmonics": 3,
            "n_permutations": 400,
        }
        null = tag_arrays(x, **options)
        assert null.harmonics == ["1", "1-3"] and 0.035 < (null.p[1] <= 0.05).mean() < 0.067
        pulse = np.zeros(32)
        pulse[::8] = 1.0  # once a sentence, sharp: all harmonics
        x[:, :, :200] += 0.9 * pulse[:, None]
        found = tag_arrays(x, **options)
        assert (found.p[1, :200] <= 0.05).mean() > (found.p[0, :200] <= 0.05).mean() + 0.1


def test_neighbours_are_paired_and_leave_tags_out():
    bins = check_rates({"a": 1.0, "b": 1.5}, 8.0, 64)  # bins 8 and 12
    near = neighbours(bins, n=5)
    assert near[0].tolist() == [2, 3, 5, 6, 7, 9, 10, 11, 13, 14]  # 4 goes with 12, which is a tag
    assert 8 not in near[1] and 16 not in near[1]
    assert neighbours(bins, n=2, skip=1)[0].tolist() == [5, 6, 10, 11]
    assert neighbours(check_rates({"n": 4.0}, 8.0, 64), n=3)[0].tolist() == [26, 27, 28, 29, 30, 31]


def test_signal_to_noise_of_a_tone_in_one_over_f():
    rng = np.random.default_rng(10)
    x = noise(rng, 1, units=3000, n_times=256, exponent=1.0)
    flat = tag_arrays(x, sfreq=16.0, rates={"a": 0.5, "b": 4.0}, test="neighbours", detrend="linear")
    assert np.all(np.abs(np.median(flat.snr, axis=1) - 0.7) < 0.12)  # median of F(2, 24) is 0.71


@pytest.mark.slow
def test_max_statistic_over_dependent_units_holds_its_level():
    hits, mixing = 0, np.random.default_rng(0).standard_normal((5, 200))
    for seed in range(200):
        rng = np.random.default_rng([seed, 1])
        x, y = (rng.standard_normal((8, 16, 5)) @ mixing for _ in range(2))
        found = tag_arrays(x, sfreq=4.0, rates={"s": 1.0}, control=y, n_permutations=400, rng=seed)
        hits += bool((found.p_max <= 0.05).any())
    assert stats.binomtest(hits, 200, 0.05).pvalue > 0.01


def test_units_that_do_not_vary_have_no_p():
    x, y = np.random.default_rng(11).standard_normal((2, 8, 32, 3))
    x[:, :, 1], y[:, :, 1] = 0.0, 0.0
    x[:, :, 2], y[:, :, 2] = (np.cos(np.arange(32)),) * 2  # alike in every trial
    found = tag_arrays(x, sfreq=4.0, rates=RATES, control=y)
    assert np.isnan(found.p[:, 1:]).all() and np.isfinite(found.p[:, 0]).all()
    assert np.isnan(found.q[:, 1:]).all() and np.isnan(found.p_max[:, 1:]).all()
    assert any("2 of 3 units do not vary" in n for n in found.notes)
    with pytest.raises(BraindecError, match="no unit varies"):
        tag_arrays(x[:, :, 1:2], sfreq=4.0, rates=RATES, control=y[:, :, 1:2])


def test_which_test_auto_takes_and_why():
    rng = np.random.default_rng(12)
    tried = {"permutation": (6, 6, 32), "t2circ": (8, 0, 32), "neighbours": (1, 0, 64)}
    for name, (n, m, n_times) in tried.items():
        control = rng.standard_normal((m, n_times, 4)) if m else None
        found = tag_arrays(rng.standard_normal((n, n_times, 4)), sfreq=8.0, rates={"s": 1.0}, control=control)
        assert found.test == name and "because" in found.notes[0]
    with pytest.raises(BraindecError, match="no calibrated test"):
        tag_arrays(rng.standard_normal((2, 8, 4)), sfreq=8.0, rates={"s": 1.0})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"test": "permutation"}, "there is none"), ({"test": "t2"}, "did you mean"), ({"statistic": "x"}, "unknown"),
        ({"control": np.zeros((4, 16, 3))}, "differ in trial length"), ({"control": np.zeros((4, 32, 2))}, "differ in trial length"),
        ({"x": np.full((8, 32, 3), np.nan)}, "not finite"), ({"x": np.zeros((8, 32))}, "trial, time, unit"), ({"harmonics": 0}, "harmonics=0 does not work"),
        ({"test": "neighbours", "x": np.zeros((8, 8, 3))}, "at least 4"), ({"detrend": "cubic"}, "unknown"), ({"x": np.zeros((0, 32, 3))}, "no trials"),
    ],
)  # fmt: skip
def test_bad_input(change, message):
    options = {"x": np.random.default_rng(0).standard_normal((8, 32, 3)), "sfreq": 4.0, "rates": {"s": 1.0}, **change}
    with pytest.raises(BraindecError, match=message):
        tag_arrays(options.pop("x"), **options)


def test_same_seed_same_numbers_and_blocks_of_units_do_not_matter(monkeypatch):
    from braindec.stats.tagging import engine

    rng = np.random.default_rng(13)
    x, y = rng.standard_normal((2, 9, 32, 40))
    whole = tag_arrays(x, sfreq=4.0, rates=RATES, control=y, rng=3)
    monkeypatch.setattr(engine, "_BLOCK", 20_000)
    parts = tag_arrays(x, sfreq=4.0, rates=RATES, control=y, rng=3)
    assert np.array_equal(whole.p, parts.p) and np.array_equal(whole.p_max, parts.p_max)


def test_first_bins_are_not_circular_and_auto_knows():
    """A line taken out of white noise takes most of a sine of one period and little of its cosine."""
    x = noise(np.random.default_rng(21), 12, units=8000, exponent=1.0)
    found = tag_arrays(x, sfreq=4.0, rates={"s": 1 / 8}, detrend="linear", harmonics=2)
    assert found.test == "hotelling" and np.all(np.abs((found.p <= 0.05).mean(axis=1) - 0.05) < 0.012)
    assert tag_arrays(x, sfreq=4.0, rates={"s": 3 / 8}, detrend="linear").test == "t2circ"
    assert (tag_arrays(x, sfreq=4.0, rates={"s": 1 / 8}, detrend="linear", test="t2circ").p <= 0.05).mean() > 0.056


def test_silent_units_have_no_p_and_the_smallest_p_is_true():
    rng = np.random.default_rng(22)
    x, y = rng.standard_normal((2, 4, 32, 3))
    c = coefficients(x, 4.0, [1.0])
    c = np.concatenate([c, c])
    c[:, :, 1] = 0
    assert np.array_equal(np.isnan(sign_flip(c)[1]), [[False, True, False]])
    x[:, :, 0] += 9 * np.cos(2 * np.pi * np.arange(32) / 4)[None]  # nothing is more extreme than the true labels
    found = tag_arrays(x, sfreq=4.0, rates={"s": 1.0}, control=y)
    assert np.isclose(found.p[0, 0], 2 / 70) and "smallest possible p is 0.029" in " ".join(found.notes)
    inside = tag_arrays(
        x, sfreq=4.0, rates={"s": 1.0}, control=y, blocks=np.array(list("aabbaabb"))
    )  # 6 deals in each block
    assert "smallest possible p is 0.056" in " ".join(inside.notes) and 0.03 < inside.p[0, 0] < 0.09


def test_unequal_numbers_of_trials_are_told():
    rng = np.random.default_rng(23)
    x, y = rng.standard_normal((5, 32, 2)), rng.standard_normal((12, 32, 2))
    told = [
        any("equally many" in n for n in tag_arrays(x, sfreq=4.0, rates=RATES, control=c).notes) for c in (y, y[:6])
    ]
    assert told == [True, False]


@pytest.mark.parametrize(("n", "m", "amplitude"), [(5, 40, 2.0), (40, 5, 2.0), (8, 24, 2.0), (10, 20, 0.5)])
def test_unequal_numbers_of_trials_with_unequal_noise_hold_their_level(n, m, amplitude):
    rng = np.random.default_rng(31)
    found = []
    for seed in range(4):
        a, b = (rng.normal(size=(k, 1, 300)) + 1j * rng.normal(size=(k, 1, 300)) for k in (n, m))
        found.append(label_permutation(amplitude * a, b, n_permutations=299, rng=seed)[1])
    assert 0.025 <= np.mean(np.concatenate(found) <= 0.05) <= 0.075  # without a variance of each: up to .33


def test_the_studentised_statistic_is_the_plain_one_for_equal_numbers():
    from braindec.stats.tagging.compare import _studentised, deals, permuted

    rng = np.random.default_rng(32)
    a, b = (rng.normal(size=(7, 2, 5)) + 1j * rng.normal(size=(7, 2, 5)) for _ in range(2))
    labels, _ = deals(7, 7, 50, rng)
    both = np.concatenate([a, b])
    own = _studentised(labels.astype(float), both - both.mean(axis=0), 7, 7)
    np.testing.assert_allclose(own, permuted(a, b, labels), atol=1e-12)
    uneven = permuted(a, b[:4], deals(7, 4, 20, rng)[0])[0]  # by the definition of Welch
    d = np.abs(a.mean(axis=0) - b[:4].mean(axis=0)) ** 2
    v = [(np.abs(g - g.mean(axis=0)) ** 2).sum(axis=0) / (len(g) - 1) / len(g) for g in (a, b[:4])]
    np.testing.assert_allclose(uneven, d / (d + 9 * (v[0] + v[1])), atol=1e-12)
