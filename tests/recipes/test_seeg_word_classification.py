"""The recipe on small made-up data: its rows, the planted regions, silence, the published split, settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.cache import Cache
from braindec.engine.recipe import Work, load_recipe
from braindec.errors import BraindecError

SMALL = ["simulated.n_subjects=2", "simulated.n_words=5", "simulated.n_runs=3", "simulated.n_repetitions=6", "simulated.n_speech_runs=1",
         "simulated.speech_duration=30", "simulated.high_gamma=2.5", "statistics.n_permutations=79", "statistics.n_bootstrap=100", "channels.n=6",
         "channels.counts=[1, 3]", "decoder.epochs_vqvae=2", "decoder.epochs_mae=1", "decoder.epochs=8"]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(tmp_path, *words, units=1):
    recipe = load_recipe("seeg_word_classification")
    config = recipe.config(
        None,
        [
            *(w for w in SMALL if not (w.startswith("decoder.") and any(o.startswith("decoder=") for o in words))),
            *words,
        ],
    )
    results = [
        recipe.run(config, unit, Work(tmp_path / unit["subject"], Cache(tmp_path / "cache"), 1))
        for unit in recipe.units(config)[:units]
    ]
    return recipe, config, results


def test_rows_regions_and_panels(tmp_path):
    recipe, config, results = run(tmp_path, units=2)
    for result in results:
        scores = result.scores
        main = scores[(scores["metric"] == "accuracy") & scores["region"].isna()].set_index("row")
        assert {"decoded", "from scratch", "few labels", "few labels, from scratch", "few labels, high gamma", "high gamma", "label_shuffle",
                "noise_input", "time_only", "high gamma, 1 channel", "high gamma, 3 channels"} == set(main.index)  # fmt: skip
        assert main.index[0] == "decoded" and (main["n"] == 30).all() and np.allclose(main["chance"], 0.2)
        assert main.loc[["decoded", "high gamma"], "p"].max() <= 0.02 and main.loc["high gamma", "low"] > 0.2
        regions = scores[(scores["metric"] == "accuracy") & scores["region"].notna()].set_index("region")
        assert regions.loc["vSMC", "p"] <= 0.02 and regions.loc[["visual", "IFG", "insula"], "p"].min() > 0.02
        assert scores.loc[scores["metric"] == "auc_planted", "value"].iloc[0] > 0.9
        assert result.made_by["audit"]["level"] != "fail"
        levels = {f["check"]: f["level"] for f in result.made_by["audit"]["findings"]}
        assert (
            levels["test_selection"] == "pass" and levels["fit_scope"] == "pass" and levels["time_adjacency"] == "pass"
        )
        assert [p["draw"] for p in result.made_by["panels"]] == [
            "score_bars",
            "roi_bars",
            "roi_bars",
            "training_curves",
            "training_curves",
            "codebook_usage",
        ]
        for panel in result.made_by["panels"]:
            assert all(
                v[1:] in result.arrays for v in panel["args"].values() if isinstance(v, str) and v.startswith("@")
            )
        assert any("perplexity" in text for text in result.made_by["notes"])
        assert any("Words are decoded from" in text and "vSMC" in text for text in result.made_by["answers"])
    group = recipe.summary(config, results)
    assert (group.scores["subject"] == "mean").all() and {"vSMC"} <= set(group.scores["region"].dropna())


def test_the_published_split_is_flagged(tmp_path):
    _, config, (result,) = run(tmp_path, "split.by=paper", "regions=null", "simulated.n_speech_runs=0")
    finding = next(f for f in result.made_by["audit"]["findings"] if f["check"] == "time_adjacency")
    assert finding["level"] in ("warn", "fail") and config.split.by == "paper"
    assert result.scores["n"].iloc[0] < 30 and "published split" in result.made_by["notes"][0]


def test_where_nothing_is_planted_nothing_is_found(tmp_path):
    _, _, (result,) = run(
        tmp_path, "simulated.slow=0", "simulated.high_gamma=0", "decoder={name: high_gamma}", "channels.counts=[]"
    )
    scores = result.scores
    assert "auc_planted" not in set(scores["metric"])
    assert (
        scores.loc[scores["row"] == "decoded", "p"].min() > 0.01
        and scores.loc[scores["row"] == "decoded", "value"].max() < 0.5
    )
    assert any("No single region" in text for text in result.made_by["answers"])


@pytest.mark.parametrize(
    ("word", "said"),
    [("decoder={name: du_in, stages: [mae, cls]}", "stages cannot be"), ("decoder.preset=tinny", "tiny"), ("few_labels=0", "greater than 0"),
     ("signal=[{reference: {knd: bipolar}}]", "kind"), ("simulated.n_word=3", "n_words"), ("statistics.controls=[label_shufle]", "label_shuffle")],
)  # fmt: skip
def test_settings_that_cannot_work(word, said):
    with pytest.raises(BraindecError) as error:
        load_recipe("seeg_word_classification").config(None, [word])
    assert said in str(error.value)


def test_subjects_are_named_and_the_design_is_audited_alone():
    recipe = load_recipe("seeg_word_classification")
    with pytest.raises(BraindecError, match="no subject '99'"):
        recipe.units(recipe.config(None, ["select.subjects=[99]"]))
    config = recipe.config(None, SMALL)
    assert recipe.module.design(config, {"subject": "01"}).level != "fail"
