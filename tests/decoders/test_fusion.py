"""Fusion: two modalities that carry different halves of a stimulus are better together, and each is asked alone."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from braindec.decoders.fusion import FusionDecoder
from braindec.errors import BraindecError
from braindec.signal.fusion import fuse_windows
from braindec.types import Features, Windows


def cohort(n=420, dim=8, noise=1.0, seed=0):
    """EEG carries the first half of the features (from sample 4), fMRI the second half."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, dim)).astype("float32")
    trials = {"stimulus_id": [f"s{i:03d}" for i in range(n)], "repetition": np.zeros(n, int), "subject": ["01"] * n}
    half = dim // 2
    eeg = noise * rng.normal(size=(n, 12, 10))
    eeg[:, :, 4:] += np.einsum("nk,kc->nc", values[:, :half], rng.normal(size=(half, 12)))[:, :, None]
    fmri = noise * rng.normal(size=(n, 20, 2)) + (values[:, half:] @ rng.normal(size=(dim - half, 20)))[:, :, None]
    both = fuse_windows({
        "eeg": Windows.from_arrays(eeg.astype("float32"), trials, sfreq=10.0),
        "fmri": Windows.from_arrays(fmri.astype("float32"), trials, sfreq=1.0),
    })  # fmt: skip
    return both, Features.from_array(values, trials["stimulus_id"])


def top1(decoder, test, candidates, **options):
    z, y = decoder.embed(test, **options), decoder.project(candidates).load()
    z, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (z, y))
    return float(((z @ y.T).argmax(axis=1) == np.arange(len(z))).mean())


@pytest.mark.slow
def test_together_they_tell_more(tmp_path):
    torch.set_num_threads(1)
    windows, features = cohort()
    train, test = windows[:360], windows[360:]
    decoder = FusionDecoder(epochs=30, patience=None, encoder_options={"width": 32}).fit(train, features)
    candidates = features[features.rows_of(test.trials["stimulus_id"])]
    scores = {name: top1(decoder, test, candidates, without=name) for name in (None, "eeg", "fmri")}
    assert scores[None] > 0.6 and 0.1 < scores["eeg"] < scores[None] - 0.2 and 0.1 < scores["fmri"] < scores[None] - 0.2
    assert decoder.tokens(test).shape == (60, 4, 32)
    described, true = decoder.describe(test), candidates.load()
    assert 0.5 < described.std() / true.std() < 1.5
    decoder.save(tmp_path)
    again = FusionDecoder.load(tmp_path)
    assert (
        np.array_equal(again.embed(test, without="eeg"), decoder.embed(test, without="eeg"))
        and again.parts_ == decoder.parts_
    )


def test_one_modality_alone_and_refusals():
    torch.set_num_threads(1)
    windows, features = cohort(n=60)
    decoder = FusionDecoder(epochs=1, patience=None)
    assert clone(decoder).get_params() == decoder.get_params()
    decoder.fit(windows, features)
    with pytest.raises(BraindecError, match="no modality 'meg'"):
        decoder.embed(windows, without="meg")
    alone = Windows.from_arrays(
        windows.load()[:, :120].reshape(60, 12, 10), windows.trials.drop(columns="window_id"), sfreq=10.0
    )
    decoder.fit(alone, features)
    assert decoder.embed(alone).shape == (60, 8)
    with pytest.raises(BraindecError, match="fuse windows"):
        decoder.embed(alone, without="eeg")
