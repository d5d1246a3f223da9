"""Made-up motor imagery: same bytes, damping where and when it was planted, drift between sessions only."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.synthetic_imagery import CHANNELS, CLASSES, synthetic_imagery
from braindec.signal.filter_bank import band_pass
from braindec.signal.windows import make_windows


def power(windows, y, kind, channel, times):
    """Mean mu power of a channel in windows of a class."""
    X = band_pass(windows[y == kind].load()[:, [CHANNELS.index(channel)]], windows.sfreq, (9.0, 13.0))
    return float((X[:, 0, times] ** 2).mean())


def test_the_same_seed_gives_the_same_bytes_and_subjects_differ():
    a, b = (synthetic_imagery("03", n_runs=1, n_trials=8, seed=4) for _ in range(2))
    for one, two in zip(a.recordings, b.recordings, strict=True):
        assert one.signal.read().tobytes() == two.signal.read().tobytes() and one.events.equals(two.events)
    other = synthetic_imagery("04", n_runs=1, n_trials=8, seed=4)
    assert not np.array_equal(other.truth["patterns"], a.truth["patterns"])
    longer = synthetic_imagery("03", n_runs=2, n_trials=8, seed=4)  # more runs change no earlier one
    assert longer.recordings[0].signal.read().tobytes() == a.recordings[0].signal.read().tobytes()


def test_imagery_damps_the_planted_rhythms_after_the_cue():
    made = synthetic_imagery(n_sessions=1, n_runs=5, depth=0.9)
    windows = make_windows(made.recordings, tmin=-1.5, tmax=3.5)
    y = windows.trials["trial_type"].to_numpy()
    during, before = slice(270, 450), slice(20, 130)
    for kind, channel, other in (("left_hand", "C4", "C3"), ("right_hand", "C3", "C4"), ("feet", "Cz", "C3")):
        damped, kept = (
            power(windows, y, kind, c, during) / power(windows, y, kind, c, before) for c in (channel, other)
        )
        assert damped < 0.75 and damped < kept - 0.15, (kind, damped, kept)
    micro = windows.load().std() * 1e6
    assert 3 < micro < 30 and made.recordings[0].channels["unit"].eq("V").all()
    assert np.isfinite(made.recordings[0].channels[["x", "y", "z"]].to_numpy()).all()


def test_patterns_are_strongest_at_their_place_and_drift_changes_later_sessions_only():
    still, moved = (synthetic_imagery(n_sessions=3, n_runs=1, n_trials=8, drift=d).truth for d in (0.0, 1.0))
    at = {"left": "C3", "right": "C4", "vertex": "Cz"}
    for name, channel in at.items():
        pattern = still["patterns"][0][:, still["rhythms"].index(name)]
        best = [CHANNELS[k] for k in np.argsort(-np.abs(pattern))[:4]]
        assert channel in best, (name, best)
    np.testing.assert_array_equal(still["patterns"][0], still["patterns"][2])
    np.testing.assert_array_equal(still["patterns"][0], moved["patterns"][0])
    assert np.abs(moved["patterns"][1] - moved["patterns"][0]).max() > 0
    assert (moved["strength"][1] != moved["strength"][0]).all() and (still["strength"][1] == still["strength"][0]).all()


def test_the_design_is_balanced_and_described():
    made = synthetic_imagery("02", n_sessions=2, n_runs=2, n_trials=12, sfreq=120.0)
    assert [(r.info["session"], r.info["run"]) for r in made.recordings] == [
        ("01", "01"),
        ("01", "02"),
        ("02", "01"),
        ("02", "02"),
    ]
    for recording in made.recordings:
        assert recording.events["trial_type"].value_counts().to_dict() == dict.fromkeys(CLASSES, 3)
        assert recording.sfreq == 120.0 and (recording.events["onset"] + 3.5 < recording.duration).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": ["left_hand", "left_foot"]}, "known classes"),
        ({"classes": ["feet"]}, "two known classes"),
        ({"n_trials": 2}, "n_trials"),
        ({"sfreq": 40.0}, "60 Hz"),
        ({"depth": 1.5}, "depth"),
        ({"drift": -1.0}, "drift"),
        ({"channels": ["Cz", "C33"]}, "no channel 'C33'"),
    ],
)
def test_refusals(settings, words):
    with pytest.raises(BraindecError, match=words):
        synthetic_imagery(**settings)
