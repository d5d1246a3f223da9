"""Spectra: flat for Poisson, Bartlett's for renewal processes, white noise for fields, honest intervals."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.spectra import field_spectrum, segments, spike_spectrum
from braindec.types import Spikes


def test_a_poisson_process_is_flat_at_its_rate_and_a_renewal_process_has_its_own():
    rng = np.random.default_rng(0)
    gamma = np.cumsum(rng.gamma(5.0, 1 / (5 * 40), 40_000))
    spikes = Spikes.from_trains([rng.uniform(0, 600, 600 * 30), gamma[gamma < 600], []], start=0.0, stop=600.0)
    found = spike_spectrum(segments(spikes, length=2.0), half_bandwidth=2.0, fmax=150.0)
    assert (found.n_trials, found.n_tapers) == (300, 7)
    inner = found.frequencies > 3
    np.testing.assert_allclose(found.values[0, inner], 30, rtol=0.12)
    inside = (found.low[0, inner] < 30) & (30 < found.high[0, inner])
    assert inside.mean() > 0.88
    phi = (1 + 2j * np.pi * found.frequencies / (5 * 40)) ** -5.0
    theory = 40 * (1 - np.abs(phi) ** 2) / np.abs(1 - phi) ** 2
    np.testing.assert_allclose(found.values[1, inner], theory[inner], rtol=0.15)
    assert theory[inner].min() < 9 and theory.max() > 40  # rate times squared CV at low frequencies
    assert found.values[2].max() == 0 and np.isnan(found.low[2]).all()


def test_a_field_sums_to_its_variance_and_shows_its_rhythm():
    rng = np.random.default_rng(1)
    t = np.arange(1000) / 500
    field = rng.standard_normal((60, 1000)) + 2 * np.sin(2 * np.pi * 20 * t + rng.uniform(0, 6.3, (60, 1)))
    found = field_spectrum(field, sfreq=500.0)
    assert np.trapezoid(found.values[0], found.frequencies) == pytest.approx(3.0, rel=0.03)
    assert found.frequencies[found.values[0].argmax()] == pytest.approx(20, abs=1.1)
    away = np.abs(found.frequencies - 20) > 3
    assert found.values[0, away].mean() == pytest.approx(2 / 500, rel=0.03)
    both = field_spectrum(np.stack([field, 2 * field], axis=1), sfreq=500.0)
    np.testing.assert_allclose(both.values[1], 4 * both.values[0])


def test_bad_input_is_told():
    spikes = Spikes.from_trains([[0.5, 1.5]], start=0.0, stop=2.0)
    with pytest.raises(BraindecError, match="half bandwidth"):
        spike_spectrum(segments(spikes, length=1.0), half_bandwidth=0.2)
    with pytest.raises(BraindecError, match="do not fit"):
        segments(spikes, length=5.0)
    with pytest.raises(BraindecError, match="finite"):
        field_spectrum(np.full((3, 50), np.nan), sfreq=100.0)


def test_intervals_of_spectra_cover_at_every_frequency():
    rng = np.random.default_rng(7)
    trains = [np.cumsum(rng.exponential(0.05, 900)) for _ in range(120)]
    spikes = Spikes.from_trains([t[t < 30] for t in trains], start=0.0, stop=30.0)
    found = spike_spectrum(segments(spikes, length=1.0), sfreq=250.0, fmax=60.0)
    inside = ((found.low <= 20) & (20 <= found.high)).mean(axis=0)
    assert (
        inside.mean() > 0.9 and inside[:2].min() > 0.85
    )  # the first, 1 Hz: 0.2 with the mean of each trial taken away
