"""Windows of two modalities as one: the right trials meet, numbers stay where they were, refusals name the fix."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.fusion import fuse_windows
from braindec.types import Windows


def windows(order, n_chans, n_times, seed=0, **columns):
    """Numbers that depend on the trial's name, not on its place."""
    data = np.stack([np.random.default_rng([seed, k]).normal(size=(n_chans, n_times)) for k in order]).astype("float32")
    trials = pd.DataFrame({"stimulus_id": [f"clip-{k}" for k in order], "subject": "01", **columns})
    return Windows.from_arrays(data, trials, sfreq=10.0)


def test_trials_meet_by_name_and_numbers_stay():
    eeg, fmri = windows([3, 1, 2, 5], 4, 6), windows([1, 2, 3, 4], 7, 2, seed=1)
    both = fuse_windows({"eeg": eeg, "fmri": fmri})
    assert both.shape == (3, 4 * 6 + 7 * 2, 1) and list(both.trials["stimulus_id"]) == ["clip-3", "clip-1", "clip-2"]
    assert both.info["fused"] == {"eeg": [4, 6], "fmri": [7, 2]} and both.info["left_out"] == {"eeg": 1, "fmri": 1}
    assert any("1 of 4 trials of fmri have no partner" in w for w in both.recordings[0].info["warnings"])
    loaded = both.load()[:, :, 0]
    np.testing.assert_array_equal(loaded[:, :24].reshape(3, 4, 6), eeg.load([0, 1, 2]))
    np.testing.assert_array_equal(loaded[:, 24:].reshape(3, 7, 2), fmri.load([2, 0, 1]))
    np.testing.assert_array_equal(both[[2, 0]].load()[:, :, 0], loaded[[2, 0]])
    assert (
        both.ch_names[0].startswith("eeg:")
        and both.ch_names[0].endswith("@0")
        and both.channels["part"].iloc[-1] == "fmri"
    )


def test_trials_that_cannot_be_told_apart_are_refused():
    eeg, fmri = windows([1, 1, 2], 4, 6), windows([1, 2, 2], 7, 2)
    with pytest.raises(BraindecError, match="stands twice"):
        fuse_windows({"eeg": eeg, "fmri": fmri})
    eeg, fmri = windows([1, 1, 2], 4, 6, repetition=[0, 1, 0]), windows([1, 2, 1], 7, 2, repetition=[1, 0, 0])
    assert len(fuse_windows({"eeg": eeg, "fmri": fmri})) == 3
    with pytest.raises(BraindecError, match="share no trial"):
        fuse_windows({"eeg": windows([1, 2], 4, 6), "fmri": windows([3, 4], 4, 6)})
    with pytest.raises(BraindecError, match="two modalities"):
        fuse_windows({"eeg": eeg})
