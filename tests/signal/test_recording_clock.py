"""The clock of a whole recording: planted drift is found and refused, rounding of short sounds is not taken for drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.clock import sound_clocks
from braindec.signal.recording_clock import check_clocks, clock_fact, recording_clock
from braindec.types import Recording

LIMITS = {"limit_ppm": 200.0, "limit_jitter": 0.005}


def recorded(n_sounds=3, n_words=60, *, ppm=0.0, rounded=None, jitter=0.0, seed=0):
    """Sounds one after the other; onsets in the recording go at a clock that drifts."""
    rng, rows, now = np.random.default_rng(seed), [], 1.0
    for k in range(n_sounds):
        at = np.cumsum(rng.uniform(0.2, 0.5, n_words))
        onset = now + (1 + ppm * 1e-6) * at + jitter * rng.normal(size=n_words)
        if rounded:
            onset = np.round(onset / rounded) * rounded
        rows += [
            {"onset": o, "duration": 0.1, "trial_type": "word", "audio": f"s{k}.wav", "audio_onset": a}
            for o, a in zip(onset, at, strict=True)
        ]
        now += at[-1] + 2
    channels = pd.DataFrame({"name": ["a"], "type": ["mag"]})
    return Recording(np.zeros((1, int(10 * (now + 5)))), 10.0, channels, pd.DataFrame(rows), {"subject": "01"})


@pytest.mark.parametrize("ppm", [-150.0, 0.0, 90.0])
def test_planted_drift_is_found(ppm):
    found = recording_clock(recorded(ppm=ppm), **LIMITS)
    assert found.drift_ppm == pytest.approx(ppm, abs=0.02) and found.n_sounds == 3 and found.jitter < 1e-9
    assert found.interval[0] <= ppm <= found.interval[1]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    inside = [
        f.interval[0] <= 80 <= f.interval[1]
        for f in (
            recording_clock(recorded(n_words=30, ppm=80.0, jitter=0.001, seed=k), limit_ppm=1e4, limit_jitter=0.005)
            for k in range(100)
        )
    ]
    assert 0.87 <= np.mean(inside) <= 0.99


def test_drift_beyond_the_limit_is_refused_and_can_be_allowed():
    fast = recorded(ppm=400.0)
    with pytest.raises(BraindecError, match="drift apart") as error:
        recording_clock(fast, **LIMITS)
    assert "400.0 ppm" in error.value.found and "200" in error.value.allowed and "limit_ppm" in error.value.fix
    assert recording_clock(fast, limit_ppm=500.0, limit_jitter=0.005).drift_ppm == pytest.approx(400.0, abs=0.02)


def test_one_wrong_sound_among_right_ones_is_named():
    events = recorded().events
    wrong = events["audio"] == "s1.wav"
    events = events.assign(onset=np.where(wrong, events["onset"] + 0.001 * events["audio_onset"], events["onset"]))
    with pytest.raises(BraindecError, match=r"s1\.wav: .*drift apart"):
        recording_clock(replace(recorded(), events=events), **LIMITS)


def test_rounding_of_short_sounds_is_no_drift_but_their_sum_tells_one():
    short = recorded(n_sounds=60, n_words=8, rounded=0.002)
    with pytest.raises(BraindecError, match="drift apart"):
        sound_clocks(short)  # each sound by itself: a rounding looks like a drift
    assert abs(recording_clock(short, **LIMITS).drift_ppm) < 100
    with pytest.raises(BraindecError, match="drift apart"):
        recording_clock(recorded(n_sounds=60, n_words=8, rounded=0.002, ppm=500.0), **LIMITS)


def test_jitter_beyond_the_limit_is_refused():
    with pytest.raises(BraindecError, match="scatter"):
        recording_clock(recorded(jitter=0.05), **LIMITS)


def test_what_cannot_be_told_is_said():
    lone = recorded(n_sounds=4, n_words=3)
    found = check_clocks([lone], **LIMITS)
    assert found[0].n_sounds == 0 and "not known" in clock_fact(found, limit_ppm=200)
    said = clock_fact([*found, *check_clocks([recorded(ppm=90.0)], **LIMITS)], limit_ppm=200)
    assert said.startswith("90.0 ppm at most (sub-01") and "allowed 200" in said and said.endswith("not known in 1")
    with pytest.raises(BraindecError, match="audio_onset"):
        recording_clock(replace(lone, events=lone.events.drop(columns="audio_onset")), **LIMITS)
    with pytest.raises(BraindecError, match="cannot be used"):
        recording_clock(replace(recorded(), events=recorded().events.assign(onset="x")), **LIMITS)
