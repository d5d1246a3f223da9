"""Synthetic brains: what was planted is there, at the strength that is said, and nothing else is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from braindec.errors import BraindecError
from braindec.evaluate.splits import split_by
from braindec.loaders.language_stimuli import make_stories
from braindec.loaders.synthetic_language import language_brain, tagged_seeg
from braindec.types import Features


@pytest.fixture(scope="module")
def stories():
    return make_stories(24, seed=0)


@pytest.fixture(scope="module")
def features(stories):
    """Three layers of 40 units, each a mixture of the one before and something new."""
    rng = np.random.default_rng(1)
    layers = [rng.standard_normal((len(stories), 40))]
    for _ in range(2):
        layers.append(0.6 * layers[-1] + 0.8 * rng.standard_normal(layers[0].shape))
    units = pd.DataFrame(
        {"model": "made", "layer": np.repeat(range(3), 40), "site": "resid_post", "index": list(range(40)) * 3}
    )
    values = np.concatenate(layers, axis=1)
    values[:, 5] = 1.0  # a unit that never changes
    return Features(values.astype(np.float32), stories[["stimulus_id", "text", "text_id", "topic"]], units)


def auc(labels, scores):
    labels = np.asarray(labels, dtype=bool)
    ranks = rankdata(scores)
    n1, n0 = labels.sum(), (~labels).sum()
    return (ranks[labels].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)


def means(window, ids, region=None):
    """Mean over repetitions (stimulus, voxel), in the order of ids."""
    values = (
        pd.DataFrame(window.load()[:, :, 0])
        .groupby(window.trials["stimulus_id"].to_numpy())
        .mean()
        .loc[list(ids)]
        .to_numpy()
    )
    return values if region is None else values[:, (window.channels["region"] == region).to_numpy()]


def correlations(X, Y):
    X, Y = ((v - v.mean(axis=0)) / np.where(v.std(axis=0) > 0, v.std(axis=0), 1) for v in (X, Y))
    return X.T @ Y / len(X)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_driving_units_are_found_at_the_documented_snr(features, seed):
    windows, truth = language_brain(features, driving_layer=2, seed=seed)
    language = ["IFG", "AntTemp", "PostTemp"]
    score = np.mean([
        np.abs(correlations(features.load().astype(float), np.hstack([means(w, features.ids, r) for r in language]))).max(axis=1) for w in windows
    ], axis=0)  # fmt: skip
    assert auc(truth.driving, score) > 0.95
    layer = (features.units["layer"] == 2).to_numpy()
    assert not truth.driving[~layer].any() and auc(truth.driving[layer], score[layer]) > 0.95
    for region in language:
        of = np.array([region in drives for drives in truth.units["drives"]])
        own = np.mean(
            [
                np.abs(correlations(features.load().astype(float), means(w, features.ids, region))).max(axis=1)
                for w in windows
            ],
            axis=0,
        )
        assert of.sum() == 6 and auc(of, own) > 0.95


def test_regions_follow_what_they_should(features, stories):
    windows, truth = language_brain(features, driving_layer=1, snr=1.5, nuisance=0.0, n_subjects=2, seed=4)
    length = np.column_stack([stories["n_words"], stories["position"]]).astype(float)
    for window in windows:
        for region, expected in (("A1", True), ("V1", False), ("IFG", False)):
            X = np.column_stack([np.ones(len(length)), length])
            Y = means(window, features.ids, region)
            left = Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]
            share = 1 - (left.var(axis=0) / Y.var(axis=0)).mean()
            assert (share > 0.5) == expected and (expected or share < 0.15)
    kinds = truth.voxels.groupby("region")["kind"].first()
    assert kinds["A1"] == "length" and kinds["V1"] == "noise"
    assert (truth.voxels["unit"] >= 0).equals(truth.voxels["kind"] == "language")


def test_ceiling_and_snr_are_true(features):
    windows, truth = language_brain(
        features, driving_layer=0, n_subjects=1, n_voxels=60, snr=1.0, n_repetitions=4, autocorrelation=0.0, seed=2
    )
    values, table = windows[0].load()[:, :, 0], windows[0].trials
    scaled = features.load().astype(float)
    order = np.lexsort((table["stimulus_id"], table["repetition"]))
    repeats = values[order].reshape(4, -1, values.shape[1])
    noise = repeats.var(axis=0, ddof=1).mean(axis=0)
    measured = repeats.mean(axis=0).var(axis=0, ddof=1) - noise / 4
    said = truth.voxels["snr"].to_numpy() ** 2
    assert np.abs(noise.mean() - 1) < 0.05
    driven = said > 0
    assert np.abs(measured[driven] / said[driven] - 1).mean() < 0.2 and np.abs(measured[~driven]).mean() < 0.1
    language = (truth.voxels["kind"] == "language").to_numpy()
    top, averaged = truth.voxels[language], means(windows[0], features.ids)
    r = [
        abs(np.corrcoef(averaged[:, i], scaled[:, u])[0, 1])
        for i, u in zip(np.flatnonzero(language), top["unit"], strict=True)
    ]
    expected = top["ceiling"] * np.sqrt(top["driven"])
    assert np.abs(np.array(r) - expected).mean() < 0.05


def test_noise_is_autocorrelated_within_runs_only(features):
    windows, _ = language_brain(
        features, driving_layer=0, regions={"V1": "noise"}, n_voxels=200, n_subjects=1, autocorrelation=0.5, seed=0
    )
    X, run = windows[0].load()[:, :, 0], windows[0].trials["run"].to_numpy()
    same = run[1:] == run[:-1]
    lag = (X[1:] * X[:-1]).mean(axis=1)
    assert lag[same].mean() > 0.6 and abs(lag[~same].mean()) < 0.25
    assert abs(X.var() - 1) < 0.15


def test_same_structure_as_readers_of_betas(features):
    windows, _ = language_brain(
        features,
        driving_layer={"IFG": 0, "PostTemp": 2},
        regions={"IFG": "language", "PostTemp": "language"},
        n_subjects=2,
    )
    again, _ = language_brain(
        features,
        driving_layer={"IFG": 0, "PostTemp": 2},
        regions={"IFG": "language", "PostTemp": "language"},
        n_subjects=2,
    )
    for one, other in zip(windows, again, strict=True):
        assert one.shape == (192, 48, 1) and one.modality == "fmri" and np.array_equal(one.load(), other.load())
        table = one.trials
        assert {
            "subject",
            "session",
            "run",
            "stimulus_id",
            "concept_id",
            "topic",
            "repetition",
            "onset",
            "sentence",
        } <= set(table)
        assert table["concept_id"].nunique() == 24 and table.groupby("concept_id")["run"].nunique().le(2).all()
        assert table.groupby(["repetition", "concept_id"])["position"].apply(lambda p: p.tolist() == [0, 1, 2, 3]).all()
        assert one.channels[["x", "y", "z"]].abs().to_numpy().max() < 0.15
        for split in split_by(one, "concept_id", n_folds=4):
            assert not set(table["concept_id"].iloc[split.train]) & set(table["concept_id"].iloc[split.test])
    assert not np.allclose(windows[0].load(), windows[1].load())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"driving_layer": 9}, "layers \\[0, 1, 2\\]"),
        ({"driving_layer": 0, "site": "mlp_act"}, "sites"),
        ({"driving_layer": 0, "regions": {"IFG": "langage"}}, "did you mean 'language'"),
        ({"driving_layer": 0, "n_runs": 30}, "30 runs need as many passages"),
        ({"driving_layer": 0, "snr": -1.0}, "snr"),
        ({"driving_layer": 0, "stimuli": pd.DataFrame({"stimulus_id": ["a"], "text": ["b"]})}, "no row for"),
    ],
)
def test_bad_brains(features, change, message):
    with pytest.raises(BraindecError, match=message):
        language_brain(features, **change)


def test_length_must_be_known(features):
    bare = Features(features.load(), features.items[["stimulus_id"]], features.units)
    with pytest.raises(BraindecError, match="length of the stimuli is not known"):
        language_brain(bare, driving_layer=0)
    with pytest.raises(BraindecError, match="no layer"):
        language_brain(Features(features.load(), features.items), driving_layer=0)


def evoked(windows, condition, frequency, sfreq=64.0):
    """Power of the mean over trials against power of single trials about it, at one frequency after the first second."""
    x = windows[(windows.trials["trial_type"] == condition).to_numpy()].load()[:, :, int(sfreq) :]
    c = np.fft.rfft(x, axis=2)[:, :, round(frequency * x.shape[2] / sfreq)]
    return np.abs(c.mean(axis=0)) ** 2 / (np.abs(c - c.mean(axis=0)) ** 2).mean(axis=0)


def test_tagged_channels_are_found_at_the_documented_snr():
    windows, truth = tagged_seeg(snr=0.5, seed=0)
    assert len(windows) == 3 and windows[0].shape == (72, 24, 576) and windows[0].modality == "ieeg"
    for rate, frequency in truth.rates.items():
        for condition, there in truth.conditions.items():
            labels = np.concatenate([truth.tagged(w.trials["subject"][0], rate) for w in windows])
            scores = np.concatenate([evoked(w, condition, frequency) for w in windows])
            assert (auc(labels, scores) > 0.95) if rate in there else (0.2 < auc(labels, scores) < 0.8), (
                rate,
                condition,
            )


def test_tag_to_background_is_as_said():
    windows, truth = tagged_seeg(n_subjects=2, n_trials=48, sfreq=32.0, snr=1.0, onset_response=0.0, seed=1)
    for rate, frequency in truth.rates.items():
        ratio, said = [], []
        for w in windows:
            x = w[(w.trials["trial_type"] == "sentence").to_numpy()].load()
            c = np.fft.rfft(x, axis=2)[:, :, round(frequency * x.shape[2] / 32)]
            rows = truth.channels[
                (truth.channels["rate"] == rate) & (truth.channels["subject"] == w.trials["subject"][0])
            ]
            tag = np.abs(c.mean(axis=0)) ** 2 - (np.abs(c - c.mean(axis=0)) ** 2).mean(axis=0) / len(c)
            ratio += (tag / (np.abs(c - c.mean(axis=0)) ** 2).mean(axis=0))[rows["tagged"].to_numpy()].tolist()
            said += rows["snr"][rows["tagged"]].tolist()
        assert 0.7 < np.mean(ratio) / np.mean(said) < 1.4, rate


def test_background_falls_with_frequency():
    windows, _ = tagged_seeg(n_subjects=1, snr=0.0, onset_response=0.0, exponent=1.0)
    power = (np.abs(np.fft.rfft(windows[0].load(), axis=2)) ** 2).mean(axis=(0, 1))
    frequency = np.fft.rfftfreq(576, 1 / 64)
    band = (frequency > 0.5) & (frequency < 20)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert -1.2 < slope < -0.8


def test_design_gives_rates_and_duration():
    design = SimpleNamespace(rates={"word": 3.0, "phrase": 1.5, "sentence": 0.75}, duration=12.0)
    windows, truth = tagged_seeg(design, n_subjects=1, n_trials=4, sfreq=60.0)
    assert truth.rates["sentence"] == 0.75 and windows[0].n_times == 720 and truth.conditions["random"] == ("word",)
    texts = {"sentence": ["a b", "c d"], "phrase": ["e f", "g h"], "random": ["i j", "k l"]}
    windows, _ = tagged_seeg(n_subjects=1, texts=texts)
    assert len(windows[0]) == 6 and set(windows[0].trials["text"]) == {t for many in texts.values() for t in many}
    assert windows[0].trials.groupby("run")["trial_type"].nunique().eq(3).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": {"word": 40.0}}, "half the sampling frequency"),
        ({"duration": 0.5}, "more than 1 s"),
        ({"conditions": {"sentence": ("clause",)}}, "'clause'"),
        ({"n_trials": 1}, "each run needs a trial"),
    ],
)
def test_bad_tagging(change, message):
    with pytest.raises(BraindecError, match=message):
        tagged_seeg(n_subjects=1, **change)
