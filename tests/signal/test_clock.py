"""Two clocks: simulated drift is found within its interval, missing and superfluous triggers do not matter, limits are kept."""

import re

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.clock import align_audio, align_clock


def triggers(rng, n=200, *, drift=50e-6, offset=12.3, jitter=0.002, missing=0.1, extra=20, step=(1.0, 4.0)):
    """Times in a stimulus and in a recording, the second in no order."""
    a = np.cumsum(rng.uniform(*step, n))
    b = (offset + (1 + drift) * a + rng.normal(0, jitter, n))[rng.random(n) >= missing]
    b = np.r_[b, rng.uniform(b.min(), b.max(), extra)]
    return a, rng.permutation(b)


def test_without_jitter_offset_and_drift_are_exact():
    a = np.cumsum(np.random.default_rng(0).uniform(1, 3, 50))
    clock = align_clock(a, 3.25 + (1 + 40e-6) * a)
    assert clock.offset == pytest.approx(3.25, abs=1e-9) and clock.drift_ppm == pytest.approx(40.0, abs=1e-6)
    assert clock.jitter < 1e-9 and len(clock.missing) == len(clock.extra) == 0
    np.testing.assert_allclose(clock.to_recording(a), 3.25 + (1 + 40e-6) * a, atol=1e-9)
    np.testing.assert_allclose(clock.to_stimulus(clock.to_recording(a)), a, atol=1e-9)
    np.testing.assert_array_equal(clock.matches, np.stack([np.arange(50)] * 2, axis=1))


@pytest.mark.parametrize("drift", [-180e-6, 0.0, 120e-6])
@pytest.mark.parametrize("offset", [-500.0, 0.0, 7200.5])
def test_missing_and_superfluous_triggers_do_not_matter(drift, offset):
    rng = np.random.default_rng(round(1e6 * drift) + 1000)
    a, b = triggers(rng, drift=drift, offset=offset, missing=0.3, extra=60)
    clock = align_clock(a, b)
    assert clock.drift_ppm == pytest.approx(1e6 * drift, abs=5.0) and clock.offset == pytest.approx(offset, abs=2e-3)
    assert clock.jitter == pytest.approx(0.002, rel=0.25)
    true = offset + (1 + drift) * a[clock.matches[:, 0]]
    assert np.abs(b[clock.matches[:, 1]] - true).max() < 0.015  # rows in the order that was given
    assert len(clock.missing) == 200 - len(clock.matches) and "ppm" in clock.describe()
    assert clock.to_dict()["n_extra"] == len(b) - len(clock.matches) >= 55


def test_least_squares_when_all_is_matched():
    rng = np.random.default_rng(3)
    a, b = triggers(rng, missing=0.0, extra=0)
    b = np.sort(b)
    clock = align_clock(a, b)
    slope, offset = np.polyfit(a, b, 1)
    assert clock.offset == pytest.approx(offset, abs=1e-9) and clock.drift_ppm == pytest.approx(
        1e6 * (slope - 1), abs=1e-4
    )
    centred = a - a.mean()
    error = np.sqrt(np.square(b - offset - slope * a).sum() / 198 / np.square(centred).sum())
    low, high = clock.drift_interval
    assert (high - low) / 2 == pytest.approx(1.972017 * error * 1e6, rel=1e-5)  # t of 198 degrees of freedom


def test_far_times_are_not_used():
    rng = np.random.default_rng(4)
    a, b = triggers(rng, missing=0.0, extra=0, jitter=0.0005)
    b = np.sort(b)
    b[::20] += 0.03  # within the tolerance, far from the line
    clock = align_clock(a, b)
    assert clock.drift_ppm == pytest.approx(50.0, abs=2.0) and clock.jitter == pytest.approx(0.0005, rel=0.2)
    assert "10 matches lie far" in clock.notes[0]


def test_drift_beyond_the_limit_is_refused_with_its_value():
    a, b = triggers(np.random.default_rng(5), drift=900e-6)
    with pytest.raises(BraindecError, match="drift apart") as error:
        align_clock(a, b, label="sub-01")
    assert "sub-01" in str(error.value) and "up to 200 ppm" in str(error.value)
    assert 895 < float(error.value.found.split(" ppm")[0]) < 905 and "limit_ppm" in error.value.fix
    assert align_clock(a, b, limit_ppm=1000.0).drift_ppm == pytest.approx(900.0, abs=5.0)


def test_jitter_beyond_the_limit_is_refused_with_its_value():
    a, b = triggers(np.random.default_rng(6), jitter=0.010, extra=0)
    with pytest.raises(BraindecError, match="scatter") as error:
        align_clock(a, b)
    assert "up to 5 ms" in str(error.value)
    assert align_clock(a, b, limit_jitter=0.02).jitter == pytest.approx(0.010, rel=0.25)


def test_even_steps_leave_the_offset_open_unless_times_are_paired():
    a = 2.0 * np.arange(60)
    b = 5.0 + (1 + 30e-6) * a[3:]
    with pytest.raises(BraindecError, match="is open") as error:
        align_clock(a, b)
    assert re.search(r"shifted by -?[246]\.00\d s", str(error.value)) and "paired" in error.value.fix
    clock = align_clock(a[3:], b, paired=True)
    assert clock.offset == pytest.approx(5.0) and clock.drift_ppm == pytest.approx(30.0, abs=1e-3)
    with pytest.raises(BraindecError, match="57 in the recording"):
        align_clock(a, b, paired=True)


def test_triggers_of_another_run_are_refused():
    refused = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        with pytest.raises(BraindecError) as error:
            align_clock(np.sort(rng.uniform(0, 200, 60)), rng.uniform(0, 200, 60))
        refused += "do not match" in str(error.value)
    assert refused >= 9


def test_few_times_say_so_in_a_note():
    a, b = triggers(np.random.default_rng(8), n=8, missing=0.0, extra=0)
    clock = align_clock(a, b)
    assert clock.drift_interval[0] < 50 < clock.drift_interval[1] and "there are few times" in clock.notes[-1]


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, 2.0, np.nan, 3.0], [[1.0], [2.0], [3.0], [4.0]]])
def test_times_that_cannot_be_used(wrong):
    with pytest.raises(BraindecError, match="times of the stimulus cannot be used"):
        align_clock(wrong, np.arange(9.0))
    with pytest.raises(BraindecError, match="limit_ppm"):
        align_clock(np.arange(9.0), np.arange(9.0), limit_ppm=-1.0)


@pytest.mark.parametrize("n", [6, 18])
def test_intervals_of_few_times_cover_the_truth_too(n):
    rng, hits = np.random.default_rng(1), 0
    for _ in range(500):
        a = np.cumsum(rng.uniform(1, 4, n))
        clock = align_clock(a, 3 + (1 + 50e-6) * a + rng.normal(0, 1e-3, n), paired=True, limit_ppm=5000.0)
        hits += clock.drift_interval[0] <= 50 <= clock.drift_interval[1]
    assert 0.925 < hits / 500 < 0.975


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    rng, n = np.random.default_rng(0), 400
    hits = np.zeros(2)
    for _ in range(n):
        drift, offset = rng.uniform(-150e-6, 150e-6), rng.uniform(-30, 30)
        clock = align_clock(*triggers(rng, n=60, drift=drift, offset=offset, missing=0.1, extra=5), limit_ppm=500.0)
        hits += [
            clock.drift_interval[0] <= 1e6 * drift <= clock.drift_interval[1],
            clock.offset_interval[0] <= offset <= clock.offset_interval[1],
        ]
    assert ((hits / n > 0.92) & (hits / n < 0.98)).all(), hits / n


def talk(rng, seconds=90, sfreq=8000):
    """A sound whose loudness goes up and down like that of speech."""
    slow = np.interp(np.arange(seconds * sfreq) / sfreq, np.arange(0, seconds + 1, 0.12), rng.exponential(1.0, len(np.arange(0, seconds + 1, 0.12))))  # fmt: skip
    return slow * rng.normal(size=len(slow)) * 0.1


def recorded(sound, rng, *, offset, drift, sfreq=500.0, before=8.0, noise=0.02, sound_sfreq=8000.0):
    """The loudness of the sound in a channel that begins ``before`` s too early, on a clock of its own."""
    n = int((len(sound) / sound_sfreq + before + 5) * sfreq)
    at = (np.arange(n) / sfreq - offset) / (1 + drift)
    return np.interp(at * sound_sfreq, np.arange(len(sound)), sound, left=0, right=0) + rng.normal(0, noise, n)


@pytest.mark.parametrize("drift", [-150e-6, 0.0, 80e-6])
def test_a_recorded_sound_gives_offset_and_drift(drift):
    rng = np.random.default_rng(1)
    sound = talk(rng)
    channel = recorded(sound, rng, offset=7.25, drift=drift)
    clock = align_audio(channel, sound, sfreq=500.0, sound_sfreq=8000.0)
    assert clock.offset == pytest.approx(7.25, abs=3e-3) and clock.drift_ppm == pytest.approx(1e6 * drift, abs=40.0)
    assert len(clock.matches) >= 0.8 * clock.n_stimulus


def test_part_of_a_sound_is_found_in_part_of_a_recording():
    rng = np.random.default_rng(2)
    sound = talk(rng)
    channel = recorded(sound, rng, offset=7.25, drift=50e-6)[30 * 500 : 70 * 500]
    clock = align_audio(channel, sound, sfreq=500.0, sound_sfreq=8000.0)
    assert clock.offset == pytest.approx(7.25 - 30, abs=4e-3)
    assert 5 <= len(clock.matches) <= 8 and len(clock.missing) >= 10


def test_a_channel_without_the_sound_and_drift_beyond_the_limit():
    rng = np.random.default_rng(3)
    sound = talk(rng)
    with pytest.raises(BraindecError, match="not found in the recorded channel") as error:
        align_audio(recorded(talk(rng), rng, offset=3.0, drift=0.0), sound, sfreq=500.0, sound_sfreq=8000.0)
    assert "correlation" in str(error.value)
    with pytest.raises(BraindecError, match="drift apart"):
        align_audio(recorded(sound, rng, offset=3.0, drift=1500e-6), sound, sfreq=500.0, sound_sfreq=8000.0)
    with pytest.raises(BraindecError, match="flat"):
        align_audio(np.zeros(5000), sound, sfreq=500.0, sound_sfreq=8000.0)


@pytest.mark.slow
def test_intervals_of_recorded_sounds_cover_the_truth():
    rng, n, hits = np.random.default_rng(5), 120, np.zeros(2)
    for _ in range(n):
        drift, offset = rng.uniform(-150e-6, 150e-6), rng.uniform(2, 9)
        sound = talk(rng, seconds=60)
        channel = recorded(sound, rng, offset=offset, drift=drift, before=10.0)
        clock = align_audio(channel, sound, sfreq=500.0, sound_sfreq=8000.0, limit_ppm=500.0)
        hits += [
            clock.drift_interval[0] <= 1e6 * drift <= clock.drift_interval[1],
            clock.offset_interval[0] <= offset <= clock.offset_interval[1],
        ]
    assert ((hits / n >= 0.90) & (hits / n <= 0.99)).all(), hits / n
