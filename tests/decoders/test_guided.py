"""GuidedDecoder: guided pictures rise in the eyes of an independent judge, the guide may not judge, and no scale is no guidance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from braindec.decoders.guided import GuidedDecoder, ResponseEncoder, check_independent
from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.stats.permutation import sign_flip_test
from braindec.types import Pictures, Recording, Windows
from braindec.types.signals import StackedSignal


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sided_voxels(pictures, rows, *, subject, seed, noise=0.7):
    """Voxels that count ink on the left or on the right of a picture, and voxels that see nothing."""
    rng = np.random.default_rng(seed)
    values = pictures.load(rows)[..., 0]
    ink = np.stack([values[:, :, :4].mean(axis=(1, 2)), values[:, :, 4:].mean(axis=(1, 2))], axis=1)
    ink = (ink - ink.mean(axis=0)) / ink.std(axis=0)
    region = np.repeat(["left", "right", "blind"], 12)
    clean = np.column_stack([np.repeat(ink, 12, axis=1), np.zeros((len(rows), 12))])
    signal = clean + noise * rng.standard_normal(clean.shape)
    trials = pictures.items.iloc[rows].reset_index(drop=True).assign(subject=subject, session="n/a", run="n/a")
    channels = pd.DataFrame({"name": [f"v{i}" for i in range(36)], "type": "voxel", "unit": "a.u.", "region": region})
    info = {"dataset": "sided voxels", "subject": subject, "modality": "fmri"}
    recording = Recording(StackedSignal(signal.astype(np.float32)[:, :, None]), 1.0, channels, info=info)
    return Windows((recording,), np.stack([np.zeros(len(rows), int), np.arange(len(rows))], axis=1), 1, trials)


@pytest.fixture(scope="module")
def digits():
    return digit_pictures()


@pytest.fixture(scope="module")
def guided(digits):
    """A decoder of subject 01, and a judge with other features of subject 02 who saw other digits."""
    mine = sided_voxels(digits, np.arange(500), subject="01", seed=1)
    decoder = GuidedDecoder(steps=150, encoder={"network": "conv", "min_r": 0.1}, num_inference_steps=15).fit(
        mine, digits
    )
    theirs = sided_voxels(digits, np.arange(500, 900), subject="02", seed=2)
    return decoder, ResponseEncoder(network="gabor", min_r=0.1).fit(theirs, digits), mine, theirs


def test_an_independent_judge_sees_the_activation_rise(guided):
    decoder, judge, _, _ = guided
    names = [f"n{i}" for i in range(24)]
    made = [decoder.prefer("left", names=names, scale=s) for s in (0.0, 1.0, 3.0, 9.0)]
    said = np.stack([decoder.judge(m, "left", judge) for m in made])
    assert (np.diff(said.mean(axis=1)) > 0).all()
    for row in said[1:]:
        assert sign_flip_test(row - said[0]) < 0.01
    wrong = decoder.judge(decoder.prefer("right", names=names, scale=9.0), "left", judge)
    assert said[-1].mean() - said[0].mean() > 1.0 > wrong.mean() - said[0].mean()
    ink = [(m[:, :, :4].mean(), m[:, :, 4:].mean()) for m in (made[0], made[-1])]
    assert ink[1][0] > 1.2 * ink[0][0] and ink[1][0] / ink[1][1] > 1.15 * ink[0][0] / ink[0][1]  # what was planted
    low = decoder.judge(decoder.prefer("left", names=names, scale=-3.0), "left", judge)
    assert low.mean() < said[0].mean()


def test_no_scale_is_the_prior_bit_for_bit(guided):
    decoder = guided[0]
    names = ["a", "b", "c"]
    assert np.array_equal(decoder.prefer("left", names=names, scale=0.0, seed=4), decoder.prior(names, seed=4))
    one = decoder.prefer("left", names=names, scale=2.0)
    assert np.array_equal(decoder.prefer("left", names=["a", "z"], scale=2.0)[0], one[0])  # whatever stands beside it
    assert np.array_equal(
        decoder.prefer("left", n=2, scale=2.0), decoder.prefer("left", names=["sample-0", "sample-1"], scale=2.0)
    )


def test_the_guide_is_refused_as_the_judge(guided, digits, tmp_path):
    decoder, judge, mine, theirs = guided
    pictures = decoder.prior(["a"])
    decoder.encoder_.save(tmp_path)
    for scorer in (decoder.encoder_, ResponseEncoder.load(tmp_path)):
        for need in ("both", "either"):
            with pytest.raises(BraindecError, match="cannot score what it guided"):
                decoder.judge(pictures, "left", scorer, need=need)
    with pytest.raises(BraindecError, match="no scorer"):
        decoder.score(pictures, "left")
    same_trials = ResponseEncoder(network="gabor").fit(mine, digits)
    same_features = ResponseEncoder(network="conv", seed=7).fit(theirs, digits)
    for scorer, said in ((same_trials, "500 training trials in common"), (same_features, "same kind of features")):
        with pytest.raises(BraindecError, match=said):
            decoder.judge(pictures, "left", scorer)
        assert decoder.judge(pictures, "left", scorer, need="either").shape == (1,)
    again = ResponseEncoder(network="conv", seed=3).fit(mine[:300], digits)
    with pytest.raises(BraindecError, match="not independent"):
        decoder.judge(pictures, "left", again, need="either")
    found = check_independent(decoder.encoder_, judge)
    assert found.other_features and not found.shared_windows and not found.shared_stimuli
    assert decoder.score(pictures, "left", judge) == pytest.approx(float(decoder.judge(pictures, "left", judge).mean()))
    with pytest.raises(BraindecError, match="'both' or 'either'"):
        check_independent(decoder.encoder_, judge, need="neither")
    with pytest.raises(BraindecError, match="scorer is not fitted"):
        check_independent(decoder.encoder_, ResponseEncoder())


def test_activation_counts_standard_deviations_of_training_pictures(guided, digits):
    encoder = guided[0].encoder_
    seen = encoder.activation(digits.load(np.arange(500)), "left")
    assert abs(seen.mean()) < 1e-4 and abs(seen.std() - 1) < 1e-3
    images = torch.from_numpy(np.ascontiguousarray(digits.load(np.arange(4)).transpose(0, 3, 1, 2)))
    assert np.allclose(encoder.objective("left")(images).numpy(), seen[:4], atol=1e-5)
    table = encoder.targets_.groupby("region")["r"].mean()
    assert table["left"] > 0.6 and table["right"] > 0.6 and table["blind"] < 0.1
    with pytest.raises(BraindecError, match="does not predict region 'blind'"):
        encoder.activation(digits.load(np.arange(2)), "blind")
    with pytest.raises(BraindecError, match="did you mean 'left'"):
        encoder.objective("lefft")


def test_saved_and_opened_it_samples_the_same(guided, tmp_path):
    decoder, _, mine, _ = guided
    decoder.save(tmp_path)
    again = GuidedDecoder.load(tmp_path)
    for made in (
        lambda d: d.prefer("right", n=3, scale=2.0),
        lambda d: d.reconstruct(mine[:3], seed=2),
        lambda d: d.prior(["a"]),
    ):
        assert np.array_equal(made(again), made(decoder))
    assert again.encoder_.model_.fingerprint() == decoder.encoder_.model_.fingerprint()
    assert [r.step for r in again.fit_records_] == [r.step for r in decoder.fit_records_]
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pkl"))


def test_what_cannot_be_fitted_is_said(digits):
    windows = sided_voxels(digits, np.arange(60), subject="01", seed=1)
    holes = replace(windows.recordings[0], signal=StackedSignal(np.full((60, 36, 1), np.nan, np.float32)))
    small = {"steps": 2, "encoder": {"network": "grid"}}
    with pytest.raises(BraindecError, match="finite"):
        GuidedDecoder(**small).fit(replace(windows, recordings=(holes,)), digits)
    with pytest.raises(BraindecError, match="no picture of"):
        GuidedDecoder(**small).fit(windows, digits[np.arange(30)])
    with pytest.raises(BraindecError, match="too few stimuli"):
        GuidedDecoder(**small).fit(windows[:8], digits)
    with pytest.raises(BraindecError, match="given films"):
        GuidedDecoder(**small).fit(windows, Pictures(np.zeros((len(digits), 2, 8, 8, 1)), digits.items, 5.0))
    with pytest.raises(BraindecError, match="another size or mode"):
        GuidedDecoder(**small).fit(windows, digits, prior_pictures=Pictures(np.zeros((3, 4, 4, 1)), digits.items[:3]))
    with pytest.raises(BraindecError, match="no differentiable network"):
        GuidedDecoder(**{**small, "encoder": {"network": "resnet"}}).fit(windows, digits)
    with pytest.raises(BraindecError, match="needs weights"):
        GuidedDecoder(**{**small, "encoder": {"network": "clip"}}).fit(windows, digits)
    with pytest.raises(BraindecError, match="holds no pipeline"):
        GuidedDecoder(**small, pretrained="/nowhere").fit(windows, digits)
    with pytest.raises(BraindecError, match="not fitted"):
        GuidedDecoder().prefer("left", n=2)
    decoder = GuidedDecoder(**small).fit(windows, digits)
    with pytest.raises(BraindecError, match="how many pictures"):
        decoder.prefer("left")
    with pytest.raises(BraindecError, match="one name a row"):
        decoder.generate(np.zeros((2, 36)), names=["a"])


def test_a_network_that_is_trained_predicts_better(digits):
    """Responses to contrast along one direction: two random filters miss it, trained ones find it."""
    windows = sided_voxels(digits, np.arange(600), subject="01", seed=1)
    values = digits.load(np.arange(600))[..., 0]
    drive = (
        np.abs(np.diff(values, axis=1)).mean(axis=(1, 2)) - np.abs(np.diff(values, axis=2)).mean(axis=(1, 2))
    ) * 1.0
    drive = (drive - drive.mean()) / drive.std()
    noisy = drive[:, None] + 0.5 * np.random.default_rng(0).standard_normal((600, 36))
    recording = replace(windows.recordings[0], signal=StackedSignal(noisy.astype(np.float32)[:, :, None]))
    windows = replace(windows, recordings=(recording,))
    options = {"network": "conv", "network_options": {"widths": [2], "grid": 1}}
    plain = ResponseEncoder(**options).fit(windows, digits)
    trained = ResponseEncoder(**options, train_steps=300).fit(windows, digits)
    assert trained.targets_["r"].mean() > plain.targets_["r"].mean() + 0.1


@pytest.mark.slow
def test_responses_are_turned_into_pictures(digits):
    """Bayes' rule with a learned prior reads digits from voxels above shuffled and mean responses."""
    windows = pixel_voxels(digits, n_voxels=150, noise=1.0)
    decoder = GuidedDecoder(steps=200, num_inference_steps=20).fit(windows[:1000], digits)
    test = windows[1000:1064]
    true, labels = digits.of(test.trials["stimulus_id"]), test.trials["concept_id"].to_numpy()
    said = decoder.condition(test)

    def two_way(made, within=False):
        a, b = (v.reshape(len(v), -1) - v.reshape(len(v), -1).mean(axis=1, keepdims=True) for v in (made, true))
        r = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
        other = ~np.eye(len(r), dtype=bool) & ((labels[:, None] == labels) | (not within))
        return float((r < np.diag(r)[:, None])[other].mean())

    made = decoder.generate(said, names=test.ids)
    assert two_way(made) > 0.95 and two_way(made, within=True) > 0.85
    for null in (np.roll(said, 21, axis=0), np.repeat(said.mean(axis=0, keepdims=True), 64, axis=0), None):
        assert abs(two_way(decoder.generate(null, names=test.ids)) - 0.5) < 0.1
