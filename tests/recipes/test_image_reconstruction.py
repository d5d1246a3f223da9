"""Pictures drawn again: the digits experiment with all its controls, the recipe on scenes and on real betas."""

import json
import time

import numpy as np
import pytest
import torch

from braindec.decoders._reconstruction import reconstruct_fold
from braindec.decoders.conditioned import Conditioned
from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.evaluate.control_report import NULLS
from braindec.evaluate.picture_attributes import AttributeReader
from braindec.loaders.scenes import scene_pictures
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.loaders.synthetic_scenes import scene_cohort
from braindec.types import Result, Split


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_digits_are_decoded_above_every_null_and_ridge_is_said_to_win():
    """300 voxels, 400 steps of 64, 300 test items, nine control rows."""
    began = time.process_time()
    pictures = digit_pictures()
    windows = pixel_voxels(pictures, n_voxels=300, noise=1.0)
    rows = np.arange(len(pictures))
    split = Split(rows[:1497], rows[:0], rows[1497:], by="part", ids=windows.ids)
    options = {"name": "conditioned", "steps": 400, "batch_size": 64}
    fold = reconstruct_fold([options], windows, split, pictures, None, seeds=1, network="pixels")
    report = fold.rows.report(network="pixels", n_permutations=200, n_bootstrap=200)
    scores = report.scores.pivot_table(index="row", columns="metric", values="value")
    nulls = scores.loc[list(NULLS)]
    assert scores.loc["decoded", "pixcorr"] - nulls["pixcorr"].max() > 0.1
    assert scores.loc["decoded", "two_way"] > 0.9
    assert scores.loc["decoded", "within_category"] > 0.7
    assert (np.abs(nulls["two_way"] - 0.5) < 0.06).all()
    assert abs(scores.loc["category_oracle", "within_category"] - 0.5) < 0.06
    assert scores.loc["category_oracle", "two_way"] > 0.7
    assert scores.loc["ridge", "pixcorr"] > scores.loc["decoded", "pixcorr"]
    assert report.finding("simpler_decoders").level == "warn"
    assert any("ridge" in s.lower() and "nearest training picture" in s for s in report.sentences), report.sentences
    decoder, test = fold.decoders["conditioned"], windows[split.test[:40]]
    first = decoder.reconstruct(test)
    assert np.array_equal(decoder.reconstruct(test), first)
    np.testing.assert_array_equal(np.round(255 * first).astype(np.uint8)[:10], fold.rows.made["decoded"][0][:10])
    short = [Conditioned(steps=5).fit(windows[:128], pictures).reconstruct(test[:4]) for _ in range(2)]
    assert np.array_equal(*short)
    assert time.process_time() - began < 90


QUICK = ("n_permutations=99", "n_bootstrap=100", "seeds=1")
FEW = [{"name": "unclip", "steps": 20, "batch_size": 16, "num_inference_steps": 4, "cross_fit": 2,
        "autoencoder": "patches", "autoencoder_options": {"patch": 4}}]  # fmt: skip


@pytest.fixture
def go(tmp_path):
    def run_it(*settings, cohort=None):
        run(load_recipe("image_reconstruction"), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None,
            out=tmp_path / "out", cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
        return Result.open(next((tmp_path / "out" / "units").iterdir()))

    return run_it


def value(result, metric, row):
    kept = result.scores[(result.scores["metric"] == metric) & (result.scores["row"] == row)]
    return float(kept["value"].iloc[0])


@pytest.mark.parametrize("modality", ["fmri", "eeg"])
def test_scenes_are_drawn_beside_their_controls_and_the_best_is_chosen_on_validation_rows(go, modality):
    small = [f"synthetic.{k}" for k in ("n_subjects=1", "n_train=160", "n_test=24", f"modality={modality}")]
    found = go(*QUICK, *small, f"decoders={json.dumps([*FEW, {'name': 'low_level', 'steps': 10}])}")
    rows = set(found.scores["row"])
    assert {
        "decoded",
        *NULLS,
        "ridge",
        "nearest_training",
        "category_oracle",
        "true_features",
        "low_level",
        "chosen",
    } <= rows
    assert {"shape", "colour", "place", "two_way", "within_category", "pixcorr", "ssim"} <= set(found.scores["metric"])
    said = " ".join(map(str, found.made_by["answers"]))
    assert "Best on validation rows" in said
    assert any(f"Against ridge unclip {word}" in said for word in ("loses", "gains", "neither gains nor loses"))
    assert [p["draw"] for p in found.made_by["panels"]][:2] == ["picture_grid", "control_bars"]
    records = {f["check"]: f["level"] for f in found.made_by["audit"]["findings"]}
    assert records["fit_scope"] == "pass"
    assert "fail" not in records.values()


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["fmri", "eeg"])
def test_shape_colour_and_place_of_scenes_are_decoded_above_every_null(modality):
    """Retrieval by embedding, one subject, 64 test scenes; the largest of the p-values against each null."""
    radius = (0.2, 0.25)
    cohort = scene_cohort(modality, n_subjects=1, radius=radius)
    windows, rows = cohort.windows("01"), np.arange(896)
    part = windows.trials["part"].to_numpy()
    split = Split(rows[part == "train"], rows[:0], rows[part == "test"], by="part", ids=windows.ids)
    embedder = {"name": "ridge", "scaler": "standard_scaler", "noise_normalise": modality == "eeg"}
    fold = reconstruct_fold([{"name": "nearest_embedding", "embedder": embedder}], windows, split, cohort.pictures, cohort.features,
                            average=True, seeds=1)  # fmt: skip
    reader = AttributeReader(scene_pictures(1000, size=16, radius=radius, seed=10_007, prefix="reader"), ["shape", "colour", "x", "y"])  # fmt: skip
    assert min(reader.accuracy.values()) > 0.9
    place = reader.metric("x", "y")
    place.__name__ = "place"
    report = fold.rows.report(
        metrics=[reader.metric("shape"), reader.metric("colour"), place], n_permutations=499, n_bootstrap=100
    )
    headline = report.headline.set_index("metric")
    assert (headline["gain"] > 0).all(), headline
    assert (headline["p"] < 0.01).all(), headline
    blind = fold.rows.made["shuffled_brain"][0] / 255
    assert abs(reader.metric("shape")(blind, fold.rows.true / 255).mean() - 0.25) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("by", ["concept_id", "cluster", "stimulus_id"])
def test_other_splits(go, by):
    small = [f"synthetic.{k}" for k in ("n_subjects=1", "n_train=120", "n_test=24")]
    decoders = json.dumps([{**FEW[0], "steps": 3}])
    found = go(*QUICK, *small, f"split.by={by}", "split.n_clusters=8", "split.n_folds=2", f"decoders={decoders}", 'rows=["decoded", "shuffled_brain"]')  # fmt: skip
    records = {f["check"]: f["level"] for f in found.made_by["audit"]["findings"]}
    assert records["content_overlap"] in ("pass", "warn")
    assert "fail" not in records.values()


@pytest.mark.slow
def test_real_digits_the_best_honest_decoder(go, shared, monkeypatch):
    """Ten folds, 100 single trials; the decoder is chosen on validation pictures of each fold (a short training here)."""
    monkeypatch.setenv("BRAINDEC_DATA", str(shared("fmri_digits69_images").parent))
    decoders = json.dumps([{**FEW[0], "autoencoder_options": {"patch": 7, "latent_channels": 16}, "steps": 10}])
    found = go(*QUICK, f"decoders={decoders}", 'rows=["decoded", "shuffled_brain", "mean_brain", "ridge", "nearest_training"]',
               cohort="fmri_digits69_pictures")  # fmt: skip
    assert value(found, "two_way", "chosen") >= 0.85
    assert value(found, "within_category", "chosen") >= 0.75
    assert value(found, "two_way", "ridge") >= 0.85
    said = " ".join(map(str, found.made_by["answers"]))
    assert "of 10 folds" in said
    assert "Against ridge unclip" in said


def test_what_is_wrong_is_said_before_anything_is_trained(go):
    with pytest.raises(BraindecError, match="conditoned"):
        go('decoders=[{"name": "conditoned"}]')
    with pytest.raises(BraindecError, match="stepps"):
        go('decoders=[{"name": "conditioned", "stepps": 3}]')
    with pytest.raises(BraindecError, match="reconstruct"):
        go('decoders=[{"name": "ridge"}]')
    with pytest.raises(BraindecError, match="tiny"):
        go('decoders=[{"name": "conditioned", "preset": "small"}]')
