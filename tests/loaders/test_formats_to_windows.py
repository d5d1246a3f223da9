"""Every MEG and iEEG file of the format collection goes from disk to windows, equal to what MNE reads."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest

from braindec.loaders import load
from braindec.signal.layout import flat_positions
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows

CLIP = "sub-pt1_ses-02_task-monitor_acq-ecog_run-01_clip2"
MEG = ["formats/CTF/somMDYO-18av.ds", "formats/CTF/somMDYO-18av.ds_raw.fif", "formats/KIT/test.sqd", "formats_small/test.sqd",
       "formats/SSS/141027_cropped_90Hz_raw.fif"]  # fmt: skip
IEEG = [f"formats/Persyst/{CLIP}.lay", "formats/NihonKohden/MB0400FU.EDF", "ieeg_ecog_seizure_sample/sample_ecog.edf"]
LENGTH = 0.1  # s


def with_events(recording, every=0.12):
    onset = np.arange(0.02, recording.duration - 0.2, every)
    events = pd.DataFrame({"onset": onset, "duration": 0.0, "trial_type": np.where(np.arange(len(onset)) % 2, "a", "b")})  # fmt: skip
    return replace(recording, events=events)


@pytest.mark.parametrize("name", MEG + IEEG)
def test_windows_are_the_samples_of_the_file(shared, name):
    path = shared(name)
    options = {"types": {"*": "ecog"}, "modality": "ieeg"} if name in IEEG else {}
    recording = load(path, **options)
    kinds = ("mag", "grad") if name in MEG else ("ecog",)
    assert recording.info["modality"] == ("meg" if name in MEG else "ieeg")
    data = with_events(recording.select(types=kinds))
    windows = make_windows(data, tmin=0.0, tmax=LENGTH)
    assert len(windows) >= 3 and set(windows.channels["unit"]) <= {"T", "T/m", "V"}
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR")
    expected = raw.get_data(picks=[c for c in raw.ch_names if c in set(data.ch_names)])
    first = windows.index[:, 1]
    for row in (0, len(windows) - 1):
        piece = expected[:, first[row] : first[row] + windows.n_times]
        np.testing.assert_allclose(windows.load([row])[0], piece, rtol=2e-7, atol=1e-30)
    if name in MEG:
        flat = flat_positions(windows)
        assert np.isfinite(flat).all() and flat.min() == 0 and flat.max() == 1


@pytest.mark.parametrize("name", MEG + IEEG)
def test_windows_of_prepared_recordings_are_finite(shared, name):
    options = {"types": {"*": "ecog"}, "modality": "ieeg"} if name in IEEG else {}
    kinds = ("mag", "grad") if name in MEG else ("ecog",)
    data = with_events(load(shared(name), **options).select(types=kinds))
    high = 0.4 * data.sfreq / 2
    prepared = prepare([data], [{"filter": {"high": high}}, {"resample": {"sfreq": data.sfreq / 2}}, "zscore"], cache=None)  # fmt: skip
    X = make_windows(prepared, tmin=0.0, tmax=LENGTH).load()
    assert np.isfinite(X).all() and 0.1 < X.std() < 10
