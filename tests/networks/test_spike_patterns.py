"""Classes of spike patterns differ in time and not in counts; streams keep every spike."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score

from braindec.errors import BraindecError
from braindec.networks.spike_patterns import jittered_patterns, rate_coded, steady_input


def test_counts_tell_no_pattern_apart_and_times_do():
    trials = jittered_patterns(4, 240, seed=1)

    def score(bins):
        return cross_val_score(RidgeClassifier(10.0), trials.counts(bins).reshape(240, -1), trials.labels, cv=5).mean()

    assert score(1) < 0.36 and score(12) > 0.95


def test_without_noise_a_trial_is_its_pattern():
    trials = jittered_patterns(2, 6, jitter=0.0, lost=0.0, noise_rate=0.0, n_channels=5, spikes_each=3)
    assert np.all(trials.counts(1) == 3)
    by_class = [np.sort(trials.time[trials.trial == t]) for t in np.flatnonzero(trials.labels == 0)]
    assert all(np.array_equal(by_class[0], b) for b in by_class[1:])


def test_spikes_stay_within_the_trial_and_are_lost_at_the_asked_rate():
    trials = jittered_patterns(2, 300, jitter=0.1, lost=0.25, noise_rate=0.0)
    assert trials.time.min() >= 0 and trials.time.max() <= trials.duration
    assert len(trials.time) == pytest.approx(0.75 * 300 * 40 * 4, rel=0.02)


def test_a_stream_keeps_every_spike_in_its_trial():
    trials = jittered_patterns(3, 12, seed=3)
    trains, onsets, stop = trials.stream(gap=0.2, start=0.5)
    assert len(trains) == trials.n_channels and stop == pytest.approx(0.5 + 12 * 0.5)
    assert all(np.all(np.diff(t) >= 0) for t in trains)
    table = np.array([[np.sum((t >= o) & (t <= o + trials.duration)) for t in trains] for o in onsets])
    assert np.array_equal(table, trials.counts()[:, :, 0])
    some = trials[[4, 2]]
    assert np.array_equal(some.counts(6), trials.counts(6)[[4, 2]]) and np.array_equal(
        some.labels, trials.labels[[4, 2]]
    )


def test_rates_follow_the_numbers():
    values = np.tile([[0.0, 1.0, 2.0]], (500, 1))
    trials = rate_coded(values, np.zeros(500), max_rate=40.0, duration=0.5)
    np.testing.assert_allclose(trials.counts()[:, :, 0].mean(axis=0), [0, 10, 20], rtol=0.05)
    assert sum(map(len, steady_input(50, 10.0, 20.0))) == pytest.approx(10_000, rel=0.05)


def test_same_seed_same_spikes():
    a, b, c = (jittered_patterns(seed=s) for s in (1, 1, 2))
    assert np.array_equal(a.time, b.time) and not np.array_equal(a.labels, c.labels)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: jittered_patterns(1), "n_classes=1"),
        (lambda: jittered_patterns(lost=1.0), "lost"),
        (lambda: rate_coded([[-1.0]], [0]), "finite numbers"),
        (lambda: rate_coded([[0.0]], [0]), "nothing to code"),
        (lambda: jittered_patterns()[[1, 1]], "twice"),
    ],
)
def test_wrong_input_is_one_clear_error(call, words):
    with pytest.raises(BraindecError, match=words):
        call()
