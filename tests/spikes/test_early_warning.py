"""Early-warning measures: plain definitions, a system that slows down, trends of stationary series that are none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes.early_warning import detrended, dfa_exponent, early_warning


def autoregressive(weights, rng):
    """A series whose weight of the past is ``weights[t]``."""
    x = np.zeros(len(weights))
    for t in range(1, len(weights)):
        x[t] = weights[t] * x[t - 1] + rng.standard_normal()
    return x


def test_measures_are_those_of_plain_loops():
    rng = np.random.default_rng(0)
    x = autoregressive(np.full(300, 0.5), rng)
    found = early_warning(x, step=0.1, window=10.0, n_surrogates=19)
    np.testing.assert_allclose(found.residual + found.trend, x)
    for k in (0, 57, len(found.times) - 1):
        end = round(found.times[k] / 0.1)
        part = found.residual[end - 100 : end]
        assert found.variance[k] == pytest.approx(part.var())
        c = part - part.mean()
        assert found.autocorrelation[k] == pytest.approx((c[1:] @ c[:-1]) / (c @ c), abs=1e-9)
    assert found.table["value"][0] == pytest.approx(stats.kendalltau(found.times, found.variance).statistic, abs=1e-9)


def test_a_system_that_slows_down_is_found():
    rng = np.random.default_rng(1)
    x = autoregressive(np.linspace(0.1, 0.97, 1500), rng) + np.linspace(0, 5, 1500)
    for surrogate in ("autoregressive", "phases"):
        table = early_warning(x, step=0.01, surrogate=surrogate, n_surrogates=99).table
        assert (table["value"] > 0.5).all() and (table["p"] < 0.05).all()


def test_detrending_takes_the_course_away():
    t = np.linspace(0, 1, 400)
    for how, left in (("linear", 1e-9), ("gaussian", 0.3)):
        course = 3 * t
        assert np.abs(course - detrended(course, step=1.0, how=how, bandwidth=20.0)).max() < left
    np.testing.assert_allclose(detrended(t, step=1.0, how="none"), t.mean())


def test_exponents_of_fluctuations():
    rng = np.random.default_rng(2)
    white = rng.standard_normal(20_000)
    assert dfa_exponent(white) == pytest.approx(0.5, abs=0.05)
    assert dfa_exponent(np.cumsum(white)) == pytest.approx(1.5, abs=0.08)


@pytest.mark.parametrize(("values", "options", "says"), [(np.zeros(100), {}, "varies"), (np.arange(20.0), {}, "50 samples"), (np.full(80, np.nan), {}, "finite"),
                         (np.arange(80.0), {"window": 79.0}, "room to slide"), (np.arange(80.0), {"detrend": "gausian"}, "gaussian")])  # fmt: skip
def test_bad_input_is_told(values, options, says):
    with pytest.raises(BraindecError, match=says):
        early_warning(values, step=1.0, **options)


@pytest.mark.slow
@pytest.mark.parametrize("surrogate", ["autoregressive", "phases"])
def test_stationary_series_rise_as_often_as_they_may(surrogate):
    rng = np.random.default_rng(3)
    p = np.stack([early_warning(autoregressive(np.full(300, 0.8), rng), step=1.0, n_surrogates=99, n_windows=50, surrogate=surrogate, seed=s).table["p"]
                  for s in range(400)])  # fmt: skip
    assert ((p <= 0.05).mean(axis=0) >= 0.02).all() and ((p <= 0.05).mean(axis=0) <= 0.08).all(), (p <= 0.05).mean(
        axis=0
    )
