"""Words in time against volumes: interpolation, delays, held-out stories and the null of smooth series."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d

from braindec.align.alignment import align_units, timed_items, words_of_runs
from braindec.errors import BraindecError
from braindec.types import Features, Recording
from braindec.types.signals import ArraySignal


def story(run, *, n=90, tr=2.0, n_channels=8, seed=0):
    """A run of smooth noise with four words a volume."""
    rng = np.random.default_rng([seed, run])
    onset = np.arange(0.25, n * tr - 1, 0.5)
    words = [f"w{rng.integers(50)}" for _ in onset]
    events = pd.DataFrame({"onset": [0.0, *onset], "duration": [n * tr, *np.full(len(onset), 0.5)], "trial_type": ["story", *["word"] * len(onset)],
                           "stimulus_id": [f"story{run}", *[None] * len(onset)], "word": [None, *words]})  # fmt: skip
    noise = gaussian_filter1d(rng.normal(size=(n_channels, n + 40)), 2, axis=1)[:, 20:-20]
    channels = pd.DataFrame({"name": [f"v{k}" for k in range(n_channels)], "type": "voxel", "unit": "a.u."})
    return Recording(
        ArraySignal(noise.astype(np.float32)),
        1 / tr,
        channels,
        events,
        {"subject": "01", "run": str(run), "task": f"story{run}", "modality": "fmri"},
    )


def units_of(words, *, seed=0, p=6, n_layers=2):
    """Units that depend on the word."""
    rng = np.random.default_rng(seed)
    table = {w: rng.normal(size=p * n_layers) for w in sorted(set(words["word"]))}
    units = pd.DataFrame(
        {"layer": np.repeat(np.arange(n_layers), p), "site": "mlp_out", "index": np.tile(np.arange(p), n_layers)}
    )
    return Features(np.stack([table[w] for w in words["word"]]).astype(np.float32), words, units)


def test_words_and_volumes_fit():
    runs = [story(k) for k in range(2)]
    words = words_of_runs(runs)
    texts = words.attrs["texts"]
    assert set(texts) == {"story0", "story1"} and words["stimulus_id"].iloc[0] == "story0/0"
    for row in words.iloc[[0, 7, -1]].itertuples():
        assert texts[row.text_id][row.start : row.stop] == row.word
    brain, (features,) = timed_items(runs, [units_of(words)], lags=(2.0, 4.0))
    assert brain.kind == "time" and len(brain) == 180 and features.shape == (180, 24)
    values = features.load()
    np.testing.assert_allclose(values[1:90, 12:], values[:89, :12], atol=1e-6)  # the second delay is one volume later
    assert not values[90, 12:].any()  # and never reaches into the run before
    ones = Features(np.ones((len(words), 1), dtype=np.float32), words)
    level = timed_items(runs, [ones], lags=(0.0,))[1][0].load()[10:80, 0]
    np.testing.assert_allclose(level, 4.0, atol=0.1)  # four words a volume
    assert brain.bands["word rate and length"].shape == (180, 4)


def test_planted_words_are_found_in_held_out_stories():
    runs = [story(k) for k in range(4)]
    words = words_of_runs(runs)
    features = units_of(words)
    brain, (volumes,) = timed_items(runs, [features], lags=(4.0,))
    drive = volumes.load()[:, 6:] @ np.random.default_rng(1).normal(size=(6, 4))
    Y = brain.Y.copy()
    Y[:, :4] += 1.5 * Y.std() * (drive / drive.std(axis=0)).astype(np.float32)
    from dataclasses import replace

    driven = replace(
        brain, Y=Y, regions={"all channels": np.ones(8, bool), "driven": np.arange(8) < 4, "noise": np.arange(8) >= 4}
    )
    found = align_units({"m": volumes}, driven, scores=("encoding",), n_folds=4, n_surrogates=40)
    assert found.held.by == "content" and len(found.held.splits) == 4
    row = found.rows(row="decoded", metric="pearson", region="driven").iloc[0]
    assert row["value"] > 0.4 and row["p"] <= 0.05 and "phase-randomised" in row["note"]
    assert (found.choices["m", "pearson"].place[:, 1] == 1).all()
    assert found.value(row="decoded", metric="unique_r2", region="driven") > 0.1
    with pytest.raises(BraindecError, match="compare items"):
        align_units({"m": volumes}, driven, scores=("rsa",), n_surrogates=0)


def test_runs_without_words_are_refused():
    run = story(0)
    bare = Recording(run.signal, run.sfreq, run.channels, run.events.drop(columns="word"), run.info)
    with pytest.raises(BraindecError, match="hold no words"):
        words_of_runs([bare])
