"""Spikes and fields: closed forms of coherence and of phase consistency, tests that hold their level, what a rate does."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.aligned import aligned, thinned
from braindec.spikes.field_coherence import spike_field_coherence
from braindec.spikes.phase_consistency import phase_consistency
from braindec.spikes.spectra import field_spectrum
from braindec.spikes.spike_triggered import spike_triggered_average
from braindec.types import Spikes

SFREQ = 500.0


def rhythm(n_trials, n, rng, *, frequency=20.0, width=2.0):
    """Noise in a band around a frequency, unit variance, another one in each trial."""
    f = np.fft.rfftfreq(4 * n, 1 / SFREQ)
    shape = np.exp(-0.5 * ((f - frequency) / width) ** 2)
    noise = np.fft.irfft(
        shape * (rng.standard_normal((n_trials, len(f))) + 1j * rng.standard_normal((n_trials, len(f)))), axis=1
    )
    return (noise / noise.std())[:, :n]


def spiking(rates, rng):
    """Trials one after the other, rates (unit, trial, time) in Hz."""
    n_units, n_trials, n = rates.shape
    counts = rng.poisson(rates / SFREQ)
    trains = []
    for u in range(n_units):
        trial, bin_ = np.nonzero(counts[u])
        times = trial * (n / SFREQ + 1) + bin_ / SFREQ
        trains.append(np.repeat(times, counts[u][trial, bin_]) + rng.uniform(0, 0.9 / SFREQ, counts[u].sum()))
    step = n / SFREQ + 1
    spikes = Spikes.from_trains(trains, start=0.0, stop=step * n_trials)
    return aligned(spikes, step * np.arange(n_trials), tmin=0.0, tmax=n / SFREQ)


def test_coherence_has_its_closed_form_and_its_phase():
    rng = np.random.default_rng(0)
    field = rhythm(150, 500, rng)
    gain = 12.0
    lagged = np.roll(field, 5, axis=1)  # 10 ms later: 72 degrees at 20 Hz
    found = spiking(np.stack([40 + gain * field, 40 + gain * lagged, np.full(field.shape, 40.0)]).clip(0), rng)
    result = spike_field_coherence(found, field, sfreq=SFREQ, half_bandwidth=3.0, fmax=60.0, n_permutations=199)
    power = field_spectrum(field, sfreq=SFREQ, half_bandwidth=3.0, fmax=60.0).values[0] / 2  # two-sided
    theory = np.sqrt(gain**2 * power / (40 + gain**2 * power))
    peak = np.argmin(np.abs(result.frequencies - 20))
    assert theory[peak] > 0.4
    for unit in (0, 1):
        assert result.corrected[unit, peak] == pytest.approx(theory[peak], abs=0.06)
        assert result.table["p_family"][unit] == 1 / 200 and abs(result.table["frequency"][unit] - 20) < 4
        at = np.argmin(np.abs(result.frequencies - result.table["frequency"][unit]))
        assert result.table["low"][unit] < theory[at] + 0.03 and theory[at] < result.table["high"][unit] + 0.03
        assert result.table["chance_high"][unit] < result.table["low"][unit]
    assert abs(result.phase[0, peak]) < 0.25 and result.phase[1, peak] == pytest.approx(2 * np.pi * 20 * 0.01, abs=0.3)
    assert result.table["p_family"][2] > 0.05 and result.values.max() <= 1


def test_phase_consistency_is_a_quarter_of_the_squared_modulation_and_knows_no_rate():
    rng = np.random.default_rng(1)
    t = np.arange(1000) / SFREQ
    angle = 2 * np.pi * 20 * t + rng.uniform(0, 2 * np.pi, (60, 1))
    field = np.cos(angle) + 0.02 * rng.standard_normal(angle.shape)
    found = spiking(np.stack([60 * (1 + 0.8 * np.cos(angle)), np.full(angle.shape, 60.0)]), rng)
    result = phase_consistency(found, field, sfreq=SFREQ, frequencies=[10.0, 20.0, 40.0], n_permutations=199)
    assert result.values[0, 1] == pytest.approx(0.16, abs=0.02) and abs(result.phase[0, 1]) < 0.1
    assert (
        result.table["frequency"][0] == 20
        and result.table["p_family"][0] == 1 / 200
        and result.table["p_family"][1] > 0.02
    )
    assert result.table["low"][0] < 0.16 < result.table["high"][0] and result.table["high"][0] < 0.2
    few = thinned(found, 0.1, seed=2)
    again = phase_consistency(few, field, sfreq=SFREQ, frequencies=[20.0], n_permutations=19)
    assert again.values[0, 0] == pytest.approx(0.16, abs=0.07) and again.n[0, 0] < 0.12 * result.n[0, 1]
    every = phase_consistency(found, field, sfreq=SFREQ, frequencies=[20.0], across_trials=False, n_permutations=19)
    assert every.values[0, 0] == pytest.approx(result.values[0, 1], abs=0.01)
    rich, poor = (
        spike_field_coherence(f, field, sfreq=SFREQ, n_permutations=19).table["corrected"][0] for f in (found, few)
    )
    assert rich > 1.3 * poor  # coherence does know


def test_phase_consistency_is_the_mean_cosine_over_pairs():
    rng = np.random.default_rng(2)
    field = rhythm(6, 400, rng)
    found = spiking(np.full((1, 6, 400), 30.0), rng)
    result = phase_consistency(found, field, sfreq=SFREQ, frequencies=[25.0], n_permutations=19)
    margin = int(np.ceil(2 * 5 / (2 * np.pi * 25) * SFREQ))
    bins = np.floor(found.times * SFREQ + 1e-6).astype(int)
    keep = (bins >= margin) & (bins < 400 - margin)
    from braindec.spikes.phase_consistency import _phases

    angle, trial = np.angle(_phases(field, 25.0, SFREQ, 5.0))[found.trial[keep], bins[keep]], found.trial[keep]
    cosine, other = np.cos(angle[:, None] - angle[None]), trial[:, None] != trial[None]
    assert result.values[0, 0] == pytest.approx(cosine[other].mean(), abs=1e-10) and result.n[0, 0] == keep.sum()


def test_the_triggered_average_is_the_mean_around_spikes():
    rng = np.random.default_rng(3)
    field = rhythm(40, 500, rng)
    found = spiking(np.stack([np.exp(3.0 + 0.7 * field), np.full(field.shape, 20.0)]), rng)
    result = spike_triggered_average(found, field, sfreq=SFREQ, reach=0.1, n_permutations=199)
    centred, mine = field - field.mean(axis=1, keepdims=True), found.unit == 0
    bins = np.floor(found.times[mine] * SFREQ + 1e-6).astype(int)
    keep = (bins >= 50) & (bins < 450)
    plain = np.mean(
        [centred[k, b - 50 : b + 51] for k, b in zip(found.trial[mine][keep], bins[keep], strict=True)], axis=0
    )
    np.testing.assert_allclose(result.values[0], plain, atol=1e-10)
    assert result.values[0, 50] == pytest.approx(0.7, abs=0.12)  # E[x exp(g x)] / E[exp(g x)] = g
    assert (
        result.table["p_family"][0] == 1 / 200
        and abs(result.table["lag"][0]) < 0.01
        and result.table["p_family"][1] > 0.02
    )


def test_bad_input_is_told():
    rng = np.random.default_rng(4)
    field, found = rhythm(8, 300, rng), spiking(np.full((1, 8, 300), 20.0), rng)
    with pytest.raises(BraindecError, match="fit the trials"):
        spike_field_coherence(found, field[:, :200], sfreq=SFREQ)
    with pytest.raises(BraindecError, match="not finite"):
        spike_field_coherence(found, np.where(field > 2, np.nan, field), sfreq=SFREQ)
    with pytest.raises(BraindecError, match="5 trials"):
        spike_field_coherence(found.select([0, 1]), field[:2], sfreq=SFREQ)
    with pytest.raises(BraindecError, match="longer than the trials"):
        phase_consistency(found, field, sfreq=SFREQ, frequencies=[1.0])
    with pytest.raises(BraindecError, match="reach"):
        spike_triggered_average(found, field, sfreq=SFREQ, reach=1.0)


@pytest.mark.slow
def test_tests_hold_their_level_for_rhythmic_spikes_that_ignore_the_field():
    rng = np.random.default_rng(5)
    p = {"coherence": [], "consistency": [], "average": []}
    for seed in range(250):
        field, other = rhythm(20, 200, rng) + 0.3 * rng.standard_normal((20, 200)), rhythm(20, 200, rng)
        found = spiking((40 * (1 + 0.8 * np.tanh(other)))[None], rng)
        p["coherence"].append(
            spike_field_coherence(found, field, sfreq=SFREQ, n_permutations=99, seed=seed).table["p"][0]
        )
        p["consistency"].append(
            phase_consistency(
                found, field, sfreq=SFREQ, frequencies=[15.0, 20.0, 30.0], n_permutations=99, seed=seed
            ).table["p"][0]
        )
        p["average"].append(
            spike_triggered_average(found, field, sfreq=SFREQ, reach=0.05, n_permutations=99, seed=seed).table["p"][0]
        )
    for name, values in p.items():
        assert 0.02 <= np.mean(np.array(values) <= 0.05) <= 0.08, name


def test_rates_and_power_that_grow_together_are_no_coherence():
    rng = np.random.default_rng(8)
    coherent, locked = [], []
    for seed in range(40):
        gain = np.exp(rng.normal(0, 0.8, 25))[:, None]
        field = gain * (rhythm(25, 300, rng) + rhythm(25, 300, rng, frequency=45.0, width=8.0))
        found = spiking(np.repeat(20 * gain, 300, axis=1)[None], rng)
        how = {"sfreq": SFREQ, "n_permutations": 39, "seed": seed}
        coherent.append(spike_field_coherence(found, field, half_bandwidth=4.0, fmax=80.0, **how).table["p"][0])
        locked.append(spike_triggered_average(found, field, reach=0.05, **how).table["p"][0])
    assert np.mean(np.array(coherent) <= 0.05) <= 0.15  # two thirds when power does not stay where it was
    assert np.mean(np.array(locked) <= 0.05) <= 0.15
