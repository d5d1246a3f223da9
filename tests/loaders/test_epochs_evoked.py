"""Readers epochs and evoked against mne: data, event names, metadata; several files; laziness; damage."""

from __future__ import annotations

import gzip
import pickle

import mne
import numpy as np
import pytest
import scipy.io

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders._detect import detect
from braindec.loaders.readers import epochs as reader
from braindec.loaders.readers import evoked as evoked_reader
from braindec.types.mne_signals import EpochsSignal


@pytest.fixture
def epochs():
    """Twenty epochs of two names with a slash."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Pz"], 100.0, "eeg", verbose="ERROR")
    events = np.stack([np.arange(20) * 150 + 40, np.zeros(20, int), np.arange(20) % 2 + 1], axis=1)
    return mne.EpochsArray(
        rng.standard_normal((20, 3, 60)) * 1e-6,
        info,
        events,
        -0.2,
        {"word/related": 1, "word/unrelated": 2},
        verbose="ERROR",
    )


def test_n400_words_equal_mne(shared):
    path = shared("n400-words/subject04-epo.fif")
    windows, expected = load(path, "04", event_sfreq=256.0), mne.read_epochs(path, verbose="ERROR")
    np.testing.assert_array_equal(windows.load(), expected.get_data().astype(np.float32))
    order = [150, 3, 77, 3]
    np.testing.assert_array_equal(windows.load(order), expected.get_data()[order].astype(np.float32))
    assert windows.trials["trial_type"].value_counts().to_dict() == {"related": 100, "unrelated": 100}
    for column in ("cue", "association", "FAS", "button"):
        assert windows.trials[column].tolist() == expected.metadata[column].tolist()
    np.testing.assert_allclose(windows.trials["onset"], expected.events[:, 0] / 256.0)
    assert windows.trials["subject"].unique().tolist() == ["04"] and windows.modality == "eeg"
    assert isinstance(windows.recordings[0].signal, EpochsSignal)
    text = pickle.dumps(windows[[7, 2]])
    np.testing.assert_array_equal(pickle.loads(text).load(), windows.load([7, 2]))


def test_times_are_not_invented(shared):
    windows = load(shared("n400-words/subject04-epo.fif"))
    assert "onset" not in windows.trials and np.all(np.diff(windows.trials["sample"]) > 0)
    assert any("event_sfreq" in w for w in windows.recordings[0].info["warnings"])


def test_several_files(epochs, tmp_path):
    for subject in ("01", "02"):
        (tmp_path / f"sub-{subject}").mkdir()
        epochs.save(tmp_path / f"sub-{subject}" / "words-epo.fif", verbose="ERROR")
    pattern = "sub-{subject}/*-epo.fif"
    assert reader.subjects(tmp_path, pattern=pattern) == ["01", "02"]
    both = reader.load(tmp_path, pattern=pattern)
    assert len(both) == 40 and both.trials["subject"].tolist() == ["01"] * 20 + ["02"] * 20 and len(set(both.ids)) == 40
    assert set(both.trials["trial_type"]) == {"word/related", "word/unrelated"}
    one = reader.load(tmp_path, "02", pattern=pattern)
    np.testing.assert_allclose(one.load(), epochs.get_data(), rtol=1e-6)
    assert [p.parent.name for p in reader.files(tmp_path, "02", pattern=pattern)] == ["sub-02"]


@pytest.mark.parametrize("fraction", [0.3, 0.9])
def test_cut_epochs_are_refused(epochs, tmp_path, fraction):
    path = tmp_path / "a-epo.fif"
    epochs.save(path, verbose="ERROR")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(UnreadableError, match=r"a-epo\.fif"):
        load(path)


def test_other_kinds_of_files_are_named(shared, epochs, tmp_path):
    with pytest.raises(UnreadableError, match="use the reader 'raw'|cannot be read"):
        load(shared("eeglab-sample/eeglab_data.set"), reader="epochs")
    with pytest.raises(UnreadableError, match="cannot be read as FIF"):
        load(shared("formats/SSS/141027_cropped_90Hz_raw.fif"), reader="epochs")
    with pytest.raises(BraindecError, match="no option 'event_sfrq'; did you mean 'event_sfreq'"):
        load(shared("n400-words/subject04-epo.fif"), event_sfrq=2)
    (tmp_path / "b-epo.fif").write_bytes(b"")
    with pytest.raises(UnreadableError, match="empty"):
        load(tmp_path / "b-epo.fif")


def test_eeglab_epochs_of_version_5(epochs, tmp_path):
    data = (epochs.get_data() * 1e6).transpose(1, 2, 0).astype(np.float32)  # (channel, time, trial) in microvolt
    kinds = ["related" if c == 1 else "unrelated" for c in epochs.events[:, 2]]
    names = np.array([(n,) for n in epochs.ch_names], dtype=[("labels", object)])
    events = np.array(
        [(k, t * 60 + 21.0, t + 1) for t, k in enumerate(kinds)],
        dtype=[(n, object) for n in ("type", "latency", "epoch")],
    )
    parts = np.array(
        [(k, 0.0, t + 1) for t, k in enumerate(kinds)],
        dtype=[(n, object) for n in ("eventtype", "eventlatency", "event")],
    )
    eeg = {"setname": "e", "data": data, "srate": 100.0, "nbchan": 3, "pnts": 60, "trials": 20, "xmin": -0.2, "xmax": 0.39,
           "times": epochs.times * 1e3, "chanlocs": names, "event": events, "epoch": parts, "icawinv": [], "icaweights": [],
           "icasphere": [], "ref": "common", "filename": "e.set", "etc": [], "comments": "", "chaninfo": {"nosedir": "+X"}}  # fmt: skip
    scipy.io.savemat(tmp_path / "e.set", {"EEG": eeg})
    windows = load(tmp_path / "e.set", "01")
    np.testing.assert_allclose(windows.load([19, 2]), epochs.get_data()[[19, 2]], rtol=1e-4, atol=1e-11)
    assert windows.trials["trial_type"].tolist() == kinds and windows.tmin == pytest.approx(-0.2)
    with pytest.raises(UnreadableError, match="reader 'epochs'"):
        load(tmp_path / "e.set", reader="raw")


def test_evoked_equals_mne(shared, tmp_path):
    path = tmp_path / "test-ave.fif"  # mne is slow in compressed files
    path.write_bytes(gzip.decompress(shared("meg_mne_sample_evoked/test-ave.fif.gz").read_bytes()))
    assert detect(shared("meg_mne_sample_evoked/test-ave.fif.gz")) == detect(path) == "evoked"
    windows, expected = load(path, condition=["Left visual", "Left Auditory"]), mne.read_evokeds(path, verbose="ERROR")
    assert windows.trials["trial_type"].tolist() == ["Left Auditory", "Left visual"] and windows.trials[
        "nave"
    ].tolist() == [3, 6]
    np.testing.assert_array_equal(windows.load([1])[0], expected[2].data.astype(np.float32))
    np.testing.assert_allclose(windows.times, expected[0].times, atol=1e-6)
    assert windows.modality == "meg" and windows.channels["type"].value_counts()["grad"] == 204


def test_evoked_of_several_subjects(shared):
    root, pattern = shared("eeg_erpcore_p3_evoked"), "sub-{subject}_ses-{session}_*.fif"
    assert evoked_reader.subjects(root, pattern=pattern) == ["015", "016", "017", "018", "019"]
    windows = evoked_reader.load(root, pattern=pattern)
    assert windows.trials["subject"].nunique() == 5 and len(set(windows.ids)) == len(windows)
    expected = mne.read_evokeds(root / "sub-017_ses-P3_task-P3_ave.fif", verbose="ERROR")
    rows = np.flatnonzero(windows.trials["subject"] == "017")
    np.testing.assert_array_equal(windows.load(rows)[0], expected[0].data.astype(np.float32))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(windows)).load(rows), windows.load(rows))
    with pytest.raises(BraindecError, match="has no average 'targets'"):
        evoked_reader.load(root / "sub-017_ses-P3_task-P3_ave.fif", condition=["targets"])


def test_a_covariance_is_not_a_recording(shared):
    with pytest.raises(UnreadableError, match=r"test-cov\.fif\.gz cannot be read"):
        load(shared("meg_mne_sample_evoked/test-cov.fif.gz"))
    with pytest.raises(UnreadableError, match="cannot be read|no whole averages"):
        load(shared("meg_mne_sample_evoked/test-cov.fif.gz"), reader="evoked")
