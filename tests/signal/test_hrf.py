from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import compute_regressor, spm_hrf

from braindec.errors import BraindecError
from braindec.signal.hrf import LENGTH, canonical_hrf, peak_delay, regressors


def test_closed_form_peak_undershoot_and_integral():
    t = np.arange(0, 60, 0.01)
    h = canonical_hrf(t)
    assert h[0] == 0 and (canonical_hrf(np.array([-3.0, -0.1])) == 0).all()
    assert t[h.argmax()] == pytest.approx(5.0, abs=0.05)  # the mode of gamma(6) is 5
    assert 14 < t[h.argmin()] < 17 and h.min() < 0
    assert np.trapezoid(h, t) == pytest.approx(1, abs=1e-4)
    # by hand at 5 s: (5^5 e^-5 / 5! - 5^15 e^-5 / 15! / 6) / (5 / 6)
    expected = (5**5 * np.exp(-5) / 120 - 5**15 * np.exp(-5) / 1307674368000 / 6) * 6 / 5
    assert canonical_hrf(np.array([5.0]))[0] == pytest.approx(expected, rel=1e-12)


def test_against_nilearn():
    theirs = spm_hrf(1.0, oversampling=50)
    ours = canonical_hrf(np.arange(len(theirs)) / 50)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


def test_regressors_against_nilearn():
    tr, n = 2.0, 150
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(5, 250, 12))
    events = pd.DataFrame({"onset": onset, "duration": rng.choice([0.5, 4.0, 12.0], 12), "trial_type": ["a", "b"] * 6})
    ours = regressors(events, sfreq=1 / tr, n_times=n, oversampling=50)
    assert list(ours.columns) == ["a", "b"] and ours.shape == (n, 2)
    for label in "ab":
        part = events[events.trial_type == label]
        condition = np.stack([part.onset, part.duration, np.ones(len(part))])
        theirs = compute_regressor(condition, "spm", np.arange(n) * tr, oversampling=50)[0][:, 0]
        assert np.corrcoef(ours[label], theirs)[0, 1] > 0.995


def test_a_long_block_has_a_response_of_one_and_events_add_up():
    block = pd.DataFrame({"onset": [0.0], "duration": [100.0], "trial_type": ["a"]})
    long = regressors(block, sfreq=0.5, n_times=60)["a"].to_numpy()
    assert long[20:48] == pytest.approx(np.ones(28), abs=1e-3)
    assert long[0] == pytest.approx(0, abs=1e-3)
    two = pd.DataFrame({"onset": [0.0, 50.0], "duration": [50.0, 50.0], "trial_type": ["a", "a"]})
    assert np.allclose(regressors(two, sfreq=0.5, n_times=60)["a"], long, atol=1e-9)
    scaled = two.assign(size=[3.0, 3.0])
    assert np.allclose(regressors(scaled, sfreq=0.5, n_times=60, modulation="size")["a"], 3 * long, atol=1e-9)


def test_events_before_the_run_still_respond_in_it_and_start_moves_the_volumes():
    def course(onset, start=0.0):
        event = pd.DataFrame({"onset": [onset], "duration": [1.0], "trial_type": ["a"]})
        return regressors(event, sfreq=1.0, n_times=20, start=start, oversampling=20)["a"].to_numpy()

    late = course(0.0)
    assert late.argmax() in (5, 6) and late.max() > 0.15
    assert np.allclose(course(-4.0)[:16], late[4:])
    assert np.allclose(course(0.0, start=4.0)[:16], late[4:])
    assert np.allclose(course(-0.5), course(0.0, start=0.5))


def test_peak_delay():
    assert peak_delay() == pytest.approx(5.0, abs=0.02)
    for duration in (1.0, 10.0):
        t = np.arange(0, 60, 0.02)
        box = np.convolve((t < duration).astype(float), canonical_hrf(t))[: len(t)]
        assert peak_delay(duration) == pytest.approx(t[box.argmax()], abs=0.1)
    with pytest.raises(BraindecError):
        peak_delay(-1)
    assert peak_delay(5.0) < LENGTH


def test_what_cannot_be_used_is_refused():
    events = pd.DataFrame({"onset": [1.0, np.nan], "duration": [1.0, 1.0], "trial_type": ["a", "a"]})
    with pytest.raises(BraindecError, match="finite"):
        regressors(events, sfreq=0.5, n_times=10)
    with pytest.raises(BraindecError, match="no column 'kind'"):
        regressors(events, sfreq=0.5, n_times=10, column="kind")
    with pytest.raises(BraindecError, match="positive"):
        canonical_hrf(np.arange(3.0), ratio=0.5)
