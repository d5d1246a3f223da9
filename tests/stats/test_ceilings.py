"""Noise ceilings against simulated truth, closed forms, and each other."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.stats.ceilings import explainable_variance, noise_ceiling, normalized, split_half, subject_ceiling

SHARE = np.array([0.0, 0.1, 0.3, 0.5, 0.8, 0.95])  # of a single repeat's variance


def cube(rng, n_repeats, n_items, share=SHARE):
    """Unit-variance responses (repeat, item, target) with a known share of signal."""
    signal = rng.normal(size=(n_items, len(share))) * np.sqrt(share)
    return signal + rng.normal(size=(n_repeats, n_items, len(share))) * np.sqrt(1 - share)


def rows_of(data):
    """Trials in random order and their conditions."""
    n_repeats, n_items, _ = data.shape
    order = np.random.default_rng(0).permutation(n_repeats * n_items)
    return data.reshape(n_repeats * n_items, -1)[order], np.tile(np.arange(n_items), n_repeats)[order]


@pytest.mark.parametrize("n_averaged", [1, 3])
def test_repeats_recover_the_planted_share(n_averaged):
    data = cube(np.random.default_rng(0), 3, 4000)
    found = noise_ceiling(*rows_of(data), n_averaged=n_averaged)
    truth = SHARE / (SHARE + (1 - SHARE) / n_averaged)
    np.testing.assert_allclose(found.share, truth, atol=0.04)
    np.testing.assert_allclose(found.extra["ncsnr"][1:], np.sqrt(SHARE / (1 - SHARE))[1:], rtol=0.08)
    assert found.from_responses_only and found.n_averaged == n_averaged


def test_repeats_agree_with_the_published_formula_on_balanced_data():
    """ncsnr from the variance among repeats and the total variance, as written in the paper."""
    data = cube(np.random.default_rng(1), 3, 3000)
    Y, conditions = rows_of(data)
    noise = data.var(axis=0, ddof=1).mean(axis=0)
    signal = data.reshape(-1, len(SHARE)).var(axis=0) - noise
    q = signal[1:] / noise[1:]
    np.testing.assert_allclose(noise_ceiling(Y, conditions).share[1:], q / (q + 1), atol=1e-3)


def test_unequal_numbers_of_repeats_and_single_trials_do_not_bias():
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 5, size=4000)
    conditions = np.repeat(np.arange(4000), counts)
    signal = rng.normal(size=(4000, 1)) * np.sqrt(0.3)
    Y = signal[conditions] + rng.normal(size=(len(conditions), 1)) * np.sqrt(0.7)
    assert abs(noise_ceiling(Y, conditions).share[0] - 0.3) < 0.03
    names = np.where(counts[conditions] == 1, "", conditions.astype(str))  # trials without a name repeat nothing
    np.testing.assert_allclose(noise_ceiling(Y, names).share, noise_ceiling(Y, conditions).share)


def test_estimates_below_zero_are_kept():
    """Pure noise: about half of the estimates are below 0 and their mean is not above it."""
    data = cube(np.random.default_rng(3), 2, 60, share=np.zeros(400))
    found = noise_ceiling(*rows_of(data))
    assert 0.4 < np.mean(found.share < 0) < 0.6 and abs(found.share.mean()) < 0.02
    assert np.isnan(found.extra["ncsnr"][found.share < 0]).all()
    for other in (explainable_variance(data), split_half(data)):
        assert 0.35 < np.mean(other.share < 0) < 0.65


def test_explainable_variance_is_its_formula_and_unbiased():
    data = cube(np.random.default_rng(4), 4, 3000)
    ev = data.mean(axis=0).var(axis=0, ddof=1) / data.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(explainable_variance(data, bias_correction=False).share, ev)
    np.testing.assert_allclose(explainable_variance(data).share, ev - (1 - ev) / 3)
    np.testing.assert_allclose(explainable_variance(data).share, SHARE, atol=0.03)
    assert explainable_variance(data, bias_correction=False).share[0] > 0.2  # what the correction is for


@pytest.mark.parametrize("n_repeats", [2, 4, 5])
def test_split_halves_give_the_reliability_of_the_mean(n_repeats):
    data = cube(np.random.default_rng(5), n_repeats, 4000)
    truth = SHARE / (SHARE + (1 - SHARE) / n_repeats)
    np.testing.assert_allclose(split_half(data).share, truth, atol=0.05)
    assert split_half(data).n_averaged == n_repeats


def test_subjects_bound_the_true_correlation():
    """The group's signal correlates with a subject by sqrt(share): between lower and upper bound."""
    data = cube(np.random.default_rng(6), 8, 3000)
    found = subject_ceiling(data, n_bootstrap=200)
    truth = np.sqrt(SHARE)[1:]
    assert (found.extra["lower"][1:] <= truth + 0.02).all() and (found.extra["upper"][1:] >= truth - 0.02).all()
    others = np.sqrt(SHARE / (SHARE + (1 - SHARE) / 7))  # how well the mean of seven holds the signal
    np.testing.assert_allclose(found.extra["lower"], np.sqrt(SHARE) * others, atol=0.03)
    np.testing.assert_allclose(found.share, np.sign(found.extra["lower"]) * found.extra["lower"] ** 2)
    assert (found.low <= found.share + 1e-9).all() and (found.high >= found.share - 1e-9).all()


def test_intervals_hold_the_truth():
    hits, truth = np.zeros(3), 0.4
    for seed in range(60):
        data = cube(np.random.default_rng(100 + seed), 3, 150, share=np.array([truth]))
        found = (noise_ceiling(*rows_of(data), n_bootstrap=150, rng=seed),
                 explainable_variance(data, n_bootstrap=150, n_blocks=30, rng=seed),
                 split_half(data, n_splits=5, n_bootstrap=100, n_blocks=30, rng=seed))  # fmt: skip
        for k, (c, t) in enumerate(zip(found, (truth, truth, truth / (truth + 0.2)), strict=True)):
            hits[k] += c.low[0] <= t <= c.high[0]
    assert (hits / 60 > 0.83).all(), hits / 60


def test_too_little_to_say_is_nan():
    one = np.random.default_rng(0).normal(size=(20, 2))
    assert np.isnan(noise_ceiling(one, np.arange(20)).share).all()  # nothing repeats
    assert np.isnan(noise_ceiling(one, [""] * 20).share).all()
    assert np.isnan(explainable_variance(one[None]).share).all()
    assert np.isnan(split_half(one[None]).share).all()
    assert np.isnan(subject_ceiling(np.stack([one, one])).share).all()
    data = cube(np.random.default_rng(0), 3, 50)
    data[:, :, 1], data[0, 3, 2] = 7.0, np.nan
    for found in (noise_ceiling(*rows_of(data)), explainable_variance(data), split_half(data), subject_ceiling(data)):
        assert np.isnan(found.share[[1, 2]]).all() and np.isfinite(found.share[[0, 3, 4, 5]]).all()


def test_no_noise_at_all_is_a_ceiling_of_one():
    Y = np.repeat(np.arange(5.0), 2)[:, None]
    assert noise_ceiling(Y, np.repeat(np.arange(5), 2)).share[0] == 1.0


def test_normalised_scores():
    found = normalized(np.array([0.3, 0.3, -0.1, 0.9]), np.array([0.36, 0.04, 0.25, np.nan]))
    np.testing.assert_allclose(found, [0.5, np.nan, -0.2, np.nan])
    np.testing.assert_allclose(normalized(np.array([0.5]), np.array([0.25]), kind="r2"), [2.0])  # never clipped
    with pytest.raises(BraindecError, match="differ in shape"):
        normalized(np.zeros(2), np.zeros(3))
    with pytest.raises(BraindecError, match="floor"):
        normalized(np.zeros(2), np.zeros(2), floor=0.0)


def test_bad_input_is_one_message():
    with pytest.raises(BraindecError, match="one label for each row"):
        noise_ceiling(np.zeros((4, 1)), ["a", "b"])
    with pytest.raises(BraindecError, match="repeat, time"):
        explainable_variance(np.zeros(5))
    with pytest.raises(BraindecError, match="whole number"):
        noise_ceiling(np.zeros((4, 1)), list("aabb"), n_averaged=0)
