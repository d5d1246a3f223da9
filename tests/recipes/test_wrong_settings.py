"""Settings of recipes that cannot work are refused before anything runs; clocks that drift are refused before anything is fitted."""

from __future__ import annotations

import pandas as pd
import pytest

from braindec.cache import Cache
from braindec.engine.recipe import Work, load_recipe
from braindec.errors import BraindecError
from braindec.loaders.twin import make_twin


@pytest.mark.parametrize(
    ("recipe", "word", "said"),
    [
        ("motor_imagery", "band={low: 30, high: 7}", "not above low=30"),
        ("seeg_integration_sites", "bins={tmin: 2, tmax: 1}", "holds no bin"),
        ("continuous_decoding", "series.delays=[]", "at least 1 item"),
        ("continuous_decoding", "statistics.controls=[label_shufle]", "label_shuffle"),
        ("continuous_decoding", "series.threshold={grip: 0.5}", "no target 'grip'"),
        ("continuous_decoding", "series.targets=[force, force]", "stands twice"),
        ("meg_speech_retrieval", "windows={tmin: 1, tmax: 2}", "tmin <= 0"),
        ("meg_speech_retrieval", "windows.shift=5", "leaves nothing"),
        ("meg_speech_retrieval", "split={test: 0.7, validation: 0.4}", "nothing is left to train on"),
        ("meg_speech_retrieval", "deep_mel={dims: 3}", "did you mean 'dim'"),
        ("meg_speech_retrieval", "clock.limit_ppm=0", "greater than 0"),
        ("meg_speech_retrieval", "features={name: motion_energy}", "features of film, not of sounds"),
        ("meg_speech_retrieval", "features={name: speech_model}", "speech_model needs the option model"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(recipe, word, said):
    with pytest.raises(BraindecError) as error:
        load_recipe(recipe).config(None, [word])
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["seeg_integration_sites", "continuous_decoding", "pseudo_online", "motor_imagery"])
def test_a_made_up_subject_that_is_not_there_is_named(name):
    recipe = load_recipe(name)
    with pytest.raises(BraindecError, match="no subject '99'"):
        recipe.units(recipe.config(None, ["select.subjects=[99]"]))
    assert recipe.units(recipe.config(None, ["select.subjects=[01]"])) == [{"subject": "01"}]


def test_models_that_are_not_there_are_said_before_a_subject_is_begun(tmp_path):
    recipe = load_recipe("seeg_integration_sites")
    with pytest.raises(BraindecError, match="which models"):
        recipe.units(recipe.config(None, [f"data.root={tmp_path}"]))
    with pytest.raises(BraindecError, match=r"features of clip .*clip\.h5.* are not there"):
        recipe.units(recipe.config(None, [f"data.root={tmp_path}", f"models.clip.path={tmp_path}/clip.h5"]))


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin(
        "meg_masc", tmp_path_factory.mktemp("speech") / "twin", n_subjects=2, n_sentences=16, n_sessions=1, n_stories=1
    )


def drifting(twin, ppm):
    """Let the events of the second subject go ``ppm`` faster than the sounds, from the beginning of each."""
    for path in twin.root.glob("sub-02/**/*_events.tsv"):
        table = pd.read_csv(path, sep="\t", encoding="utf-8-sig")
        begins = table["onset"].where(table["trial_type"].str.contains("'kind': 'sound'")).ffill()
        table["onset"] = begins + (1 + ppm * 1e-6) * (table["onset"] - begins)
        table.to_csv(path, sep="\t", index=False)


def settings(twin):
    words = [
        f"data.dataset={twin.data['dataset']}",
        f"data.root={twin.root}",
        "features.n_mels=8",
        "windows={min_block: 3.0}",
    ]
    return load_recipe("meg_speech_retrieval"), words


def test_a_new_subject_that_is_not_there_is_named(twin):
    recipe, words = settings(twin)
    with pytest.raises(BraindecError, match="calibration.new_subject: there is no subject '09'"):
        recipe.units(recipe.config(None, [*words, "calibration.new_subject=09"]))


def test_drift_is_reported_and_refused_beyond_the_limit(twin, tmp_path):
    recipe, words = settings(twin)
    work = Work(tmp_path / "unit", Cache(tmp_path / "cache"), 1)
    quick = ["decoder.epochs=1", "decoder.n_batches=2", "baselines=[]", "controls=[]", "calibration.n_draws=0", "n_permutations=0", "n_bootstrap=10",
             "topk=[1]"]  # fmt: skip
    drifting(twin, 120)
    result = recipe.run(recipe.config(None, [*words, *quick]), {"cohort": "all subjects"}, work)
    said = result.made_by["overview"]["drift of recordings against sounds"]
    assert said.startswith("120.0 ppm at most (sub-02") and "allowed 200" in said and said.endswith("2 recordings")
    with pytest.raises(BraindecError, match="topk: 500 of") as error:
        recipe.run(recipe.config(None, [*words, *quick, "topk=[500]"]), {"cohort": "all subjects"}, work)
    assert "allowed" in str(error.value)
    drifting(twin, 400)
    with pytest.raises(BraindecError, match=r"sub-02.*drift apart") as error:
        recipe.run(recipe.config(None, [*words, *quick]), {"cohort": "all subjects"}, work)
    assert "520.0 ppm" in error.value.found
