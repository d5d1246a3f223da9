"""load() finds the reader; braindec's own files; events from triggers and thresholds against slow loops; light imports."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec import registry
from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders._detect import detect
from braindec.loaders._events import from_threshold, from_triggers
from braindec.loaders._files import regex
from braindec.types import Features, Recording

MINE = ["arrays", "bids", "epochs", "evoked", "raw", "table"]


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("muse-p300", "bids"), ("ecog-grip", "bids"), ("formats_small/test.edf", "raw"), ("formats_small/test.xdf", "raw"),
        ("formats/CTF/somMDYO-18av.ds", "raw"), ("n400-words/subject04-epo.fif", "epochs"), ("eeglab-sample/eeglab_data.set", "raw"),
        ("meg_mne_sample_evoked/test-ave.fif.gz", "evoked"), ("meg_hand_movement_direction/X_train.npy", "arrays"),
        ("eeg_p300_bi2012_s01/subject_01_session_01.npz", "arrays"), ("haxby-slice/bold.nii.gz", "fmri"),
        ("spikes/10_spikes-1.mat", "arrays"), ("ieeg_ecog_seizure_sample/sample_ecog_electrodes.tsv", "table"),
    ],
)  # fmt: skip
def test_the_reader_is_found(shared, name, reader):
    assert detect(shared(name)) == reader


def test_spikes_are_told_from_arrays(tmp_path):
    np.savez(tmp_path / "s.npz", times=[0.1, 0.2], unit=[0, 0])
    np.savez(tmp_path / "a.npz", x=[0.1])
    assert detect(tmp_path / "s.npz") == "spikes" and detect(tmp_path / "a.npz") == "arrays"


def test_own_files_are_opened(tmp_path):
    data = np.arange(8.0).reshape(2, 4)
    Recording(data, 2.0, pd.DataFrame({"name": ["a", "b"]})).save(tmp_path / "r.h5")
    Features.from_array(data, ["x", "y"]).save(tmp_path / "f.h5")
    np.testing.assert_array_equal(load(tmp_path / "r.h5").load(), data)
    np.testing.assert_array_equal(load(tmp_path / "f.h5").load(), data)


def test_refusals(tmp_path):
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(UnreadableError, match="no reader knows"):
        load(tmp_path / "a.docx")
    with pytest.raises(BraindecError, match="did you mean 'arrays'"):
        load(tmp_path / "a.docx", reader="aray")
    with pytest.raises(BraindecError, match="no file or folder"):
        load(tmp_path / "none.edf")
    with pytest.raises(BraindecError, match="0 readable files"):
        load(tmp_path)


@pytest.mark.parametrize("name", MINE)
def test_the_three_functions_of_a_reader(name):
    module = registry.load_module("loaders.readers", name)
    assert module.__all__[0] == "load" and registry.get("loaders.readers", name) is module.load
    assert callable(module.subjects) and callable(module.files)
    for function in (module.subjects, module.files):
        with pytest.raises(BraindecError, match="has no option 'no_such_option'"):
            function(".", no_such_option=1, **({"sfreq": 1} if name in ("arrays", "table") else {}))


def test_importing_the_loaders_is_light():
    code = "import sys, braindec.loaders; print([m for m in ('mne', 'torch', 'h5py', 'scipy', 'pandas', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.sampled_from([0.0, 0.02]))
def test_triggers_equal_a_loop(codes, shortest):
    rows = []
    for i in range(1, len(codes)):
        if codes[i] != codes[i - 1] and codes[i] != 0:
            end = next((j for j in range(i, len(codes)) if codes[j] != codes[i]), len(codes))
            if (end - i) / 100 >= shortest:
                rows.append((i / 100, (end - i) / 100, codes[i]))
    events = from_triggers(np.array(codes), 100.0, min_duration=shortest)
    assert events[["onset", "duration", "value"]].to_numpy().tolist() == [list(map(float, r)) for r in rows]


def test_trigger_masks_and_names():
    codes = np.array([65280, 65280, 65281, 65281, 65280, 65282, 65280])
    events = from_triggers(codes, 10.0, mask=255, values={1: "a", "2": "b"})
    assert events["trial_type"].tolist() == ["a", "b"] and events["onset"].tolist() == [0.2, 0.5]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_thresholds_equal_a_loop(values):
    trace = np.array(values)
    expected = [i for i in range(1, len(trace)) if trace[i] > 0.2 >= trace[i - 1]]
    events = from_threshold(trace, 10.0, threshold=0.2, name="up")
    np.testing.assert_allclose(events["onset"], np.array(expected) / 10)
    both = from_threshold(trace, 10.0, threshold=0.2, name="up", below="down")
    assert both["duration"].sum() == pytest.approx(len(trace) / 10)
    labels = np.repeat(both["trial_type"].to_numpy(), np.round(both["duration"] * 10).astype(int))
    assert labels.tolist() == ["up" if v > 0.2 else "down" for v in trace]


def test_stretches_are_cut_into_equal_events():
    trace = np.r_[np.zeros(10), np.ones(25), np.zeros(5)]
    events = from_threshold(trace, 10.0, threshold=0.5, name="on", below="off", every=1.0)
    assert events["trial_type"].tolist() == ["off", "on", "on"] and events["onset"].tolist() == [0.0, 1.0, 2.0]
    assert set(events["duration"]) == {1.0}


def test_patterns():
    match = regex("sub-{subject}/*/{subject}_run{run}.edf").fullmatch("sub-01/eeg/01_run2.edf")
    assert match.groupdict() == {"subject": "01", "run": "2"}
    assert regex("sub-{subject}/{subject}.edf").fullmatch("sub-01/02.edf") is None
    assert regex("a.{run}").fullmatch("ab1") is None
