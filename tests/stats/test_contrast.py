"""Welch's t against scipy and the published localizer, selection with ties, reliability, cross-fitting, calibration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.stats.contrast import Moments, split_half, top_units, welch_t
from braindec.stats.cross_fit import cross_fit, effect_interval, reliability_test


def _pair(seed: int = 0, n: tuple[int, int] = (40, 30), units: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n[0], units)), rng.normal(0.3, 2.0, size=(n[1], units))


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_welch_is_that_of_scipy(absolute, alternative):
    a, b = _pair()
    mine = welch_t(a, b, absolute=absolute)
    first, second = (np.abs(a), np.abs(b)) if absolute else (a, b)
    other = stats.ttest_ind(first, second, equal_var=False, alternative=alternative)
    np.testing.assert_allclose(mine.t, other.statistic, rtol=1e-12)
    np.testing.assert_allclose(mine.df, other.df, rtol=1e-12)
    np.testing.assert_allclose(mine.p(alternative), other.pvalue, rtol=1e-10)
    np.testing.assert_allclose(mine.q(alternative), stats.false_discovery_control(other.pvalue), rtol=1e-10)


def test_the_published_localizer(shared):
    numbers = np.load(shared("localizer.npz", kind="parity"), allow_pickle=False)
    pos, neg = (numbers[k].reshape(240, -1) for k in ("pos", "neg"))
    mine = welch_t(pos, neg, absolute=True)
    assert np.abs(mine.t - numbers["t_abs_welch"].ravel()).max() <= 1e-4
    np.testing.assert_allclose(mine.q("two-sided"), numbers["fdr_p"].ravel(), atol=1e-10)
    chosen = top_units(mine.t, percent=float(numbers["percentage"]))
    assert len(chosen) == 12
    np.testing.assert_array_equal(chosen.mask(256), numbers["mask_top5pct"].ravel().astype(bool))


def test_moments_gathered_in_blocks_are_those_of_all_rows_even_far_from_zero():
    a, b = (x + 1e6 for x in _pair())
    gathered = []
    for x in (a, b):
        one, two = Moments(), Moments()
        for block in np.array_split(x[:17], 4):
            one.add(block)
        gathered.append(one.merge(two.add(x[17:])))
    mine = welch_t(*gathered)
    np.testing.assert_allclose(mine.t, stats.ttest_ind(a, b, equal_var=False).statistic, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(gathered[0].variance, a.var(axis=0, ddof=1), rtol=1e-8)
    assert gathered[0].n == 40


def test_a_unit_without_variance_is_nan_and_counted():
    a, b = _pair()
    a[:, 3], b[:, 3] = 0.1, 0.1  # 0.1 has no exact sum: rounding must not pass for variance
    a[:, 4], b[:, 4] = 1.0, 0.0
    a[:, 5] = 0.7  # constant in one condition only: Welch is defined
    found = welch_t(a.astype(np.float32), b.astype(np.float32))
    assert np.isnan(found.t[[3, 4]]).all() and np.isnan(found.p()[[3, 4]]).all() and np.isnan(found.q()[[3, 4]]).all()
    assert found.n_undefined == 2 and not np.isinf(found.t).any()
    assert np.isfinite(found.t[5]) and np.isclose(found.df[5], len(b) - 1)
    assert found.difference[4] == 1.0
    assert len(top_units(found.t, k=50)) == 48


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2 rows"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "differ in units"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "not finite"),
        (np.zeros(5), np.zeros(5), "matrix"),
    ],
)
def test_what_cannot_be_contrasted_is_said(a, b, says):
    with pytest.raises(BraindecError, match=says):
        welch_t(a, b)


def test_signed_and_absolute_moments_do_not_mix():
    a, b = _pair()
    with pytest.raises(BraindecError, match="absolute"):
        welch_t(Moments(absolute=True).add(a), Moments().add(b))
    with pytest.raises(BraindecError, match="merged"):
        Moments(absolute=True).add(a).merge(Moments().add(b))
    with pytest.raises(BraindecError, match="unknown"):
        welch_t(a, b).p("larger")


def test_ties_at_the_cut_never_enlarge_a_selection():
    scores = np.array([5.0, 3.0, 3.0, 3.0, 1.0, np.nan])
    chosen = top_units(scores, k=2)
    np.testing.assert_array_equal(chosen.rows, [0, 1])
    assert chosen.n_tied == 3 and "3 share the score at the cut" in chosen.note
    assert top_units(scores, k=4).n_tied == 0  # all three tied units are in: nothing was decided between them
    drawn = {tuple(top_units(scores, k=2, rng=seed).rows) for seed in range(40)}
    assert drawn == {(0, 1), (0, 2), (0, 3)}
    assert tuple(top_units(scores, k=2, rng=3).rows) == tuple(top_units(scores, k=2, rng=3).rows)
    assert len(top_units(scores, k=6)) == 5  # NaN is never chosen


def test_selection_by_percent_groups_and_gate():
    scores = np.arange(20.0)
    layers = np.repeat([0, 1], 10)
    np.testing.assert_array_equal(top_units(scores, percent=14).rows, [18, 19])  # 2.8 is rounded down
    np.testing.assert_array_equal(top_units(scores, percent=20, groups=layers).rows, [8, 9, 18, 19])
    gated = top_units(scores, k=5, allowed=scores < 3)
    np.testing.assert_array_equal(gated.rows, [0, 1, 2])
    assert gated.asked == 5 and gated.n_allowed == 3
    assert len(top_units(scores, k=5, allowed=np.zeros(20, bool))) == 0
    for bad in ({}, {"k": 1, "percent": 1.0}, {"k": 0}, {"percent": 0.0}, {"percent": 101.0}, {"k": 1.5}):
        with pytest.raises(BraindecError):
            top_units(scores, **bad)


def test_reliability_is_that_of_the_effects_and_layers_apart_do_not_pass_for_it():
    rng = np.random.default_rng(0)
    effects = rng.normal(0, 1.0, 400)
    noise = [rng.normal(size=(n, 400)) for n in (60, 60)]
    strong = split_half(noise[0] + effects, noise[1])
    nothing = split_half(*noise)
    assert strong.r > 0.9 and strong.rho > 0.9 and abs(nothing.r) < 0.2
    layers = np.repeat([0, 1], 200)
    shifted = split_half(noise[0] + 1.0 * layers, noise[1], groups=layers)
    assert shifted.r > 0.7 and abs(shifted.within) < 0.2
    # var(t) = 1 + n/2 * effect variance / 2 in halves of 30: reliability = signal / (signal + 1)
    signal = 30 / 2 * 0.1
    weak = split_half(noise[0] + np.sqrt(0.1) * effects, noise[1])
    assert abs(weak.r - signal / (signal + 1)) < 0.1


def test_cross_fitting_takes_selection_out_of_the_effect():
    a, b = _pair(n=(40, 40), units=300)
    b = b - 0.3
    found = cross_fit(a, b, lambda t, df: top_units(t, k=10).rows)
    assert found.circular > 0.35 and abs(found.effect) < 0.2
    assert [len(s) for s in found.selections] == [10, 10] and found.overlap_chance == pytest.approx(10 / 300)
    planted = cross_fit(
        a + np.where(np.arange(300) < 10, 4.0, 0.0), b, lambda t, df: top_units(t, k=10).rows, n_permutations=39
    )
    assert planted.overlap > 0.7 and planted.effect > 0.3 and planted.p == pytest.approx(1 / 40)


def test_cross_fitting_is_two_separate_contrasts():
    a, b = _pair(n=(21, 30))
    found = cross_fit(a, b, lambda t, df: top_units(t, k=3).rows)
    odd, even = welch_t(a[::2], b[::2]), welch_t(a[1::2], b[1::2])
    one, two = top_units(odd.t, k=3).rows, top_units(even.t, k=3).rows
    np.testing.assert_array_equal(found.selections[0], one)
    np.testing.assert_allclose(found.effects, [even.effect[one].mean(), odd.effect[two].mean()], rtol=1e-12)
    np.testing.assert_allclose(found.circular, (odd.effect[one].mean() + even.effect[two].mean()) / 2)
    nothing = cross_fit(a, b, lambda t, df: np.zeros(0, int), n_permutations=9)
    assert nothing.effect == 0 and nothing.p == 1


def test_p_of_the_contrast_holds_its_level_with_unequal_variances_and_sizes():
    rng = np.random.default_rng(1)
    p = welch_t(rng.normal(size=(24, 20_000)), rng.normal(0, 2.0, size=(40, 20_000))).p()
    assert 0.045 < (p <= 0.05).mean() < 0.055


def test_p_of_cross_fitting_holds_its_level():
    rng = np.random.default_rng(2)
    p = np.array(
        [
            cross_fit(*rng.normal(size=(2, 12, 15)), lambda t, df: np.argsort(-t)[:3], n_permutations=39, rng=i).p
            for i in range(800)
        ]
    )
    assert 0.03 < (p <= 0.05).mean() < 0.07


def test_p_of_reliability_holds_its_level_though_units_depend_on_one_another():
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(3, 40))  # 3 sources behind 40 units
    p = []
    for i in range(400):
        a, b = (rng.normal(size=(12, 3)) @ mixing + 0.1 * rng.normal(size=(12, 40)) for _ in range(2))
        p.append(reliability_test(a, b, n_permutations=39, rng=i)[1])
    assert 0.03 < (np.array(p) <= 0.05).mean() < 0.07
    a, b = rng.normal(size=(2, 20, 60))
    found, p_one, null = reliability_test(a + rng.normal(size=60), b, n_permutations=39)
    assert p_one == 1 / 40 and found.within > null.max()


def test_the_interval_of_a_held_out_effect_covers_it():
    rng = np.random.default_rng(5)
    rows, covered = (np.arange(5), np.arange(5)), 0
    for i in range(200):
        a, b = rng.normal(0.5, 1.0, size=(60, 5)), rng.normal(size=(60, 5))
        low, high = effect_interval(a, b, rows, n=300, rng=i)
        covered += low <= 0.5 <= high
    assert 0.88 < covered / 200 < 0.99
