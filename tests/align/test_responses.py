"""Responses: blocks of channels of all runs, channels that cannot be used stay as NaN and are counted."""

import numpy as np
import pandas as pd
import pytest

from braindec.align.responses import load_responses, trial_responses
from braindec.errors import BraindecError
from braindec.types import Recording, Windows


def run(data, name):
    channels = pd.DataFrame({"name": [f"v{k}" for k in range(len(data))], "type": "voxel"})
    return Recording(data, 0.5, channels, info={"subject": "01", "run": name, "modality": "fmri"})


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((6, n)) * 3 + 100 for n in (20, 30)]
    data[0][1, 4] = np.nan
    data[1][3] = 7.0
    return [run(d, str(k)) for k, d in enumerate(data)]


def test_blocks_are_columns_of_all_runs(runs):
    found = load_responses(runs)
    assert found.shape == (50, 6) and found.usable.tolist() == [True, False, True, False, True, True]
    whole = found[:, :]
    assert np.isnan(whole[:, [1, 3]]).all() and np.isfinite(whole[:, [0, 2, 4, 5]]).all()
    assert np.array_equal(found[:, 2:5], whole[:, 2:5], equal_nan=True)
    rows = np.array([3, 40, 7])
    assert np.array_equal(found[rows, 0:3], whole[rows, 0:3], equal_nan=True)
    raw = np.asarray(runs[1].signal.read())[4]
    assert whole[20:, 4] == pytest.approx((raw - raw.mean()) / raw.std(), abs=1e-5)
    assert any("Channels with values that are not finite: 1 of 6." in n for n in found.notes)
    assert any("Channels that do not change in a run: 1 of 6." in n for n in found.notes)


def test_steps_are_applied_to_what_can_be_used(runs):
    found = load_responses(runs, [{"detrend": {"order": 1}}], standardise="none")[:, :]
    t = np.arange(20)
    assert abs(np.polyfit(t, found[:20, 0], 1)[0]) < 1e-4 and np.isnan(found[:, 1]).all()


def test_trials_keep_their_order():
    data = np.random.default_rng(1).standard_normal((8, 3, 1))
    windows = Windows.from_arrays(data, pd.DataFrame({"stimulus_id": list("abcdefgh")}), sfreq=1.0)
    chosen = windows[[5, 2, 7]]
    assert trial_responses(chosen)[:, :] == pytest.approx(data[[5, 2, 7], :, 0].astype(np.float32))
    with pytest.raises(BraindecError, match="one number a trial"):
        trial_responses(Windows.from_arrays(np.zeros((3, 2, 4)), pd.DataFrame({"stimulus_id": list("abc")}), sfreq=1.0))


def test_runs_must_hold_the_same_channels(runs):
    with pytest.raises(BraindecError, match="same channels"):
        load_responses([runs[0], runs[1].select(["v0", "v2"])])
    with pytest.raises(BraindecError, match="no channel can be used"):
        load_responses([r.select(["v1", "v3"]) for r in runs])


def test_steps_that_change_the_volumes_and_nothing_to_read_are_refused(runs):
    with pytest.raises(BraindecError, match="signal steps change the volumes"):
        load_responses(runs, [{"crop": {"tmin": 0.0, "tmax": 20.0}}])
    with pytest.raises(BraindecError, match="no runs to take responses from"):
        load_responses([])
    with pytest.raises(BraindecError, match="standardise 'session' is unknown"):
        load_responses(runs, standardise="session")
