"""The recipe of spiking language models: networks learn the text, the control does not, sparsity is told, wrong settings are named."""

from __future__ import annotations

import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.types import Result

SMALL = ["text.n_stories=80", "training.n_times=48", "training.epochs=6", "n_permutations=199", "ngrams=[2]"]


def go(tmp_path, *settings: str):
    run(load_recipe("spiking_language_model"), cohort=None, overrides=[*SMALL, *settings], only=None, jobs=1, scheduler=None,
        out=tmp_path / "out", cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    return [Result.open(f) for f in sorted((tmp_path / "out" / "units").iterdir())]


@pytest.mark.slow
def test_a_network_learns_the_text_and_says_what_is_silent(tmp_path):
    (found,) = go(tmp_path, "models=[bdh]", "training.lr=1e-2")
    table = found.scores[found.scores["metric"] == "bits_saved"].set_index("row")
    assert table.loc["decoded", "low"] > 1 and table.loc["decoded", "p"] == 1 / 200
    assert abs(table.loc["label_shuffle", "value"]) < 0.05 and table.loc["fresh_weights", "value"] < -2
    assert table.loc["2-grams", "low"] > 0.5
    silent = found.scores[found.scores["metric"] == "silent_share"]
    assert silent["value"].between(0.2, 1).all() and len(silent) == 6
    assert {p["draw"] for p in found.made_by["panels"]} == {"training_curves", "raster"}
    assert any("bits a byte" in line for line in found.made_by["answers"])


@pytest.mark.slow
def test_a_text_of_your_own(tmp_path):
    lines = "\n\n".join(f"The {a} sees the {b} and {c}." for a in ("dog", "cat", "bird", "fish") for b in ("sun", "sea", "hill")
                        for c in ("sleeps", "sings", "runs away"))  # fmt: skip
    (tmp_path / "text.txt").write_text(lines, encoding="utf8")
    (found,) = go(
        tmp_path, "models=[egru]", f"text.path={tmp_path / 'text.txt'}", "training.epochs=3", "training.batch_size=4"
    )
    row = found.scores[(found.scores["metric"] == "bits_saved") & (found.scores["row"] == "decoded")].iloc[0]
    assert row["value"] > 0.5 and row["n"] == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [(["models=[spikegpt]"], "did you mean 'spike_gpt'"), (["models=[bdh]", "preset=huge"], "no preset 'huge'"),
     (["models=[bdh]", "text.path=/nowhere/text.txt"], "there is no file"), (["options={gru: {dim: 3}}"], "gru")],
)  # fmt: skip
def test_wrong_settings(tmp_path, settings, said):
    with pytest.raises(BraindecError, match=said):
        go(tmp_path, *settings)
