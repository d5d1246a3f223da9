"""The recipe on its twin: segments of unheard sentences are found, controls find none, layers and contrast pay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.cache import Cache
from braindec.engine.recipe import Work, load_recipe
from braindec.errors import BraindecError

torch.set_num_threads(1)
SMALL = ["synthetic.n_subjects=2", "synthetic.n_sentences=24", "split.test=0.3", "split.validation=0.15", "split.seed=3", "features.n_mels=8",
         "decoder.epochs=1", "decoder.n_batches=2", "n_permutations=20", "n_bootstrap=20"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recipe")


@pytest.fixture
def recipe(folder, monkeypatch):
    monkeypatch.setenv("BRAINDEC_CACHE", str(folder / "cache"))
    return load_recipe("meg_speech_retrieval")


def value(result, row, metric="top10", level="segment", column="value"):
    t = result.scores
    return t[(t["metric"] == metric) & (t["level"] == level) & (t["row"] == row)][column].item()


def test_no_subject_trains_on_a_sentence_that_another_is_tested_on(recipe, folder):
    config = recipe.config(None, SMALL)
    (unit,) = recipe.units(config)
    assert unit == {"cohort": "all subjects"}
    _, parts, segments, *_ = recipe.module.load(config, Cache(folder / "cache"))
    sentences = {
        p: {s for w in own for ids in w.trials["block_sentences"] for s in ids.split(" ")} for p, own in parts.items()
    }
    assert len(parts["test"]) == 2 and all(sentences.values())
    assert not sentences["train"] & sentences["test"] and not sentences["validation"] & (
        sentences["test"] | sentences["train"]
    )
    sessions = [set(w.trials["session"]) for w in parts["test"]]
    assert sessions == [{"0", "1"}] * 2  # both sessions play the same stories: all of a sentence is on one side
    assert len(segments) >= len({i for w in parts["train"] for i in w.trials["stimulus_id"]})
    assert recipe.module.design(config, unit).level == "pass"


def test_a_quick_run_has_what_the_page_needs(recipe, folder):
    words = [*SMALL, "baselines=[ridge]", "controls=[untrained]", "calibration.n_draws=0"]
    config = recipe.config(None, words)
    result = recipe.run(config, recipe.units(config)[0], Work(folder / "quick", Cache(folder / "cache"), 0))
    assert [p["draw"] for p in result.made_by["panels"]] == ["subject_scores", "training_curves"]
    assert {"decoded", "content_permutation", "ridge", "untrained", "over_ridge"} == set(result.scores["row"])
    assert any("on one side of the split" in n for n in result.made_by["notes"]) and len(result.made_by["answers"]) == 2
    assert result.made_by["audit"]["level"] == "pass" and (folder / "quick" / "model" / "decoder.json").is_file()
    assert value(result, "untrained") == pytest.approx(value(result, "untrained", column="chance"), abs=0.2)


def test_settings_that_cannot_work_are_said(recipe):
    for words, message in ((["features.n_mel=4"], "did you mean 'n_mels'"), (["decoder.loss=contrast"], "there is no loss"),
                           (["features.name=log_mels"], "did you mean 'log_mel'"), (["ridge.alphas=1"], "did you mean 'alpha'")):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            recipe.config(None, words)
    with pytest.raises(BraindecError, match="no subject '99'"):
        recipe.units(recipe.config(None, [*SMALL, "select.subjects=['99']"]))


@pytest.mark.slow
def test_segments_are_found_and_layers_and_contrast_pay(recipe, folder):
    words = ["synthetic.n_subjects=5", "synthetic.snr=0.015", "features.n_mels=16", "decoder.n_batches=12", "decoder.epochs=5", "regression.epochs=10",
             "calibration.n_draws=0",
             "baselines=[regression,no_subject_layers]", "n_permutations=200", "n_bootstrap=500"]  # fmt: skip
    config = recipe.config(None, words)
    result = recipe.run(config, recipe.units(config)[0], Work(folder / "slow", Cache(folder / "cache"), 0))
    chance = value(result, "decoded", column="chance")
    assert value(result, "decoded") >= 5 * chance and value(result, "decoded", column="p") < 0.01
    assert value(result, "decoded", level="word") > value(result, "decoded", level="word", column="chance") + 0.3
    for name in config.controls:
        for level in ("segment", "word"):
            low, high, own = (value(result, name, level=level, column=c) for c in ("low", "high", "chance"))
            assert low <= own <= high and abs(value(result, name, level=level) - own) < 0.06, (name, level)
            assert value(result, name, level=level, column="p") > 0.02, (name, level)
    for name in ("over_regression", "over_no_subject_layers"):
        assert (
            value(result, name, "top10_difference") > 0.05
            and value(result, name, "top10_difference", column="p") < 0.05
        ), name
    assert np.isfinite(result.scores["value"].astype(float)).all()


def test_sounds_of_a_named_folder_stand_for_those_of_the_reader(recipe, folder):
    config = recipe.config(None, SMALL)
    module, own = recipe.module, folder / "own"
    (own / "part").mkdir(parents=True)
    (own / "part" / "story.wav").write_bytes(b"")
    assert module.sounds_of(recipe.config(None, [*SMALL, f"sounds={own}"]), None) == {
        "part/story.wav": own / "part" / "story.wav"
    }
    assert module.sounds_of(config, module.source_of(module.data_of(config)))
    with pytest.raises(BraindecError, match="there is no folder"):
        module.sounds_of(recipe.config(None, [*SMALL, f"sounds={own / 'x'}"]), None)
