"""What users of alignments, sets of units, layer choices and reading times do wrong: one clear error each."""

import numpy as np
import pandas as pd
import pytest

from braindec.align._alignment_data import brain_items
from braindec.align.alignment import align_units
from braindec.align.alignment_controls import nuisance_bands, random_sets, untrained_list
from braindec.align.layer_choice import choose_layers
from braindec.align.reading_times import relate_reading_times
from braindec.align.report import report
from braindec.align.unit_sets import align_unit_sets, top_by_brain
from braindec.errors import BraindecError
from braindec.types import Features

N = 40
RNG = np.random.default_rng(0)


def items(n=N, prefix="s"):
    return pd.DataFrame({"stimulus_id": [f"{prefix}{i}" for i in range(n)], "concept_id": [f"p{i // 4}" for i in range(n)],
                         "text": ["word " * (1 + i % 5) for i in range(n)]})  # fmt: skip


def units(layers=3, prefix="s", values=None):
    table = pd.DataFrame({"layer": np.repeat(np.arange(layers), 4), "site": "mlp_out", "index": np.tile(np.arange(4), layers)})  # fmt: skip
    return Features(RNG.standard_normal((N, layers * 4)) if values is None else values, items(prefix=prefix), table)


def voxels(values=None, prefix="s"):
    table = pd.DataFrame({"region": ["A", "A", "B"], "name": ["a", "b", "c"]})
    return Features(RNG.standard_normal((N, 3)) if values is None else values, items(prefix=prefix), table)


F, B = units(), voxels()
GAP = np.where(np.arange(12) == 3, np.nan, F.load())
WORDS = pd.DataFrame({"text_id": np.repeat(list("abcd"), 50), "word": "w", "n_letters": RNG.integers(1, 9, 200), "surprisal": RNG.random(200),
                      "time": 300 + RNG.random(200)})  # fmt: skip
SCORES = np.zeros((2, 3, 1, 2))


def align(models=None, brain=B, **options):
    return align_units({"m": F} if models is None else models, brain, **{"n_surrogates": 4, "n_random_sets": 2, "scores": ("encoding",), "n_folds": 3,
                       "inner_folds": 2, **options})  # fmt: skip


def sets(choice, **options):
    return align_unit_sets(F, choice, B, **{"n_surrogates": 4, "n_random_sets": 2, "n_folds": 3, **options})


def read(table=WORDS, **options):
    return relate_reading_times(table, **{"n_permutations": 5, "n_bootstrap": 20, **options})


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: align(F), "which models"), (lambda: align(brain=None), "no responses"), (lambda: align(brain=voxels(prefix="x")), "not in the features|no features|not among"), (lambda: align({"m": units(values=GAP)}), "not finite"),
     (lambda: align(brain=voxels(np.ones((N, 3)))), "no channel can be scored"), (lambda: align({"m": units(values=np.ones((N, 12)))}), "ever changes"), (lambda: align(untrained=[units(2)]), "other layers"),
     (lambda: align(untrained=5), "list of Features"), (lambda: align(untrained=["a"]), "list of Features"), (lambda: align(scores=None), "scores=None"), (lambda: align(regions=3), "regions=3"),
     (lambda: align(split=None), "no folds"), (lambda: align(split="shuffled"), "both sides"), (lambda: align(split="zzz"), "no column 'zzz'"), (lambda: align(n_folds=0), "n_folds=0"), (lambda: align(n_folds="a"), "n_folds='a'"),
     (lambda: align(inner_folds=1), "inner_folds=1"), (lambda: align(buffer=2.5), "buffer=2.5"), (lambda: align(groups=3), "groups=3"), (lambda: align(nuisance={"x": np.zeros(3)}), "does not fit the items"),
     (lambda: align(nuisance={"x": "a"}), "no table of numbers"), (lambda: align(nuisance=np.zeros(N)), "are named"), (lambda: align(nuisance={"x": np.zeros((N, 2, 2))}), "no table of numbers"),
     (lambda: align(n_surrogates="a"), "n_surrogates='a'"), (lambda: align(n_random_sets=-1), "n_random_sets=-1"), (lambda: align(ceiling=np.full(3, np.nan)), "a ceiling is"), (lambda: align(window=(0, 1)), "in epochs"),
     (lambda: align(oasm_sigma="a"), "oasm_sigma='a'"), (lambda: align(seed=None), "seed=None"), (lambda: align(keys={"metric": "x"}), "another name than metric"), (lambda: align(keys="a"), "keys are columns"),
     (lambda: sets({}), "which sets"), (lambda: sets("a"), "which sets"), (lambda: sets({"a": "x"}), "does not name units"), (lambda: sets({"a": [0.5]}), "does not name units"), (lambda: sets({"a": lambda x, y: None}), "does not name"),
     (lambda: sets({"a": pd.DataFrame({"layer": ["a"], "site": ["mlp_out"], "index": [0]})}), "'layer' of the table"), (lambda: sets({"a": top_by_brain(99)}), "top 99"), (lambda: sets({"a": [0]}, n_random_sets=-1), "n_random_sets"),
     (lambda: top_by_brain(1.5), "k=1.5"), (lambda: top_by_brain(2, region=np.zeros(3, dtype=bool)), "mask of the channels"), (lambda: sets({"a": top_by_brain(2, region=np.ones(2, dtype=bool))}), "a mask of 2"),
     (lambda: choose_layers(SCORES, SCORES, None), "0 layers"), (lambda: choose_layers(SCORES[:, :0], SCORES[:, :0], ["a", "b"]), "1 of each"), (lambda: choose_layers(SCORES, SCORES, ["a", "b"], full=SCORES), "whole layers"),
     (lambda: nuisance_bands(items()[:0]), "a row an item"), (lambda: nuisance_bands(items(), groups=np.arange(3)), "3 labels for 40"), (lambda: random_sets(F.units, [99], n_sets=2, rng=RNG), "by their numbers"),
     (lambda: random_sets(F.units, [0], n_sets=2, rng=3), "source of chance"), (lambda: untrained_list([1], ["a"]), "list of Features"), (lambda: report(None), "of an Alignment"),
     (lambda: read(None), "one row a word"), (lambda: read(pd.concat([WORDS, WORDS[["time"]]], axis=1)), "two columns 'time'"), (lambda: read(WORDS.assign(surprisal="a")), "holds no numbers"), (lambda: read(controls=["word"]), "holds no numbers"),
     (lambda: read(controls=["time"]), "explain itself"), (lambda: read(controls="n_letters"), "list of columns"), (lambda: read(WORDS.assign(x=WORDS["n_letters"] * 2), controls=["n_letters", "x"]), "'x' is determined"),
     (lambda: read(WORDS.assign(text_id=[None] * 9 + ["a"] * 91 + ["b"] * 100)), "9 of 200 words have no text_id"), (lambda: read(spillover=1.5), "spillover=1.5"), (lambda: read(n_bootstrap=0), "n_bootstrap=0"), (lambda: read(seed="a"), "seed='a'")],
)  # fmt: skip
def test_one_clear_error(make, says):
    with pytest.raises(BraindecError, match=says):
        make()


def test_too_few_passages_for_a_choice_on_half_of_them():
    few = items()
    few["concept_id"] = [f"p{i // 8}" for i in range(N)]
    features, brain = (Features(f.load(), few, f.units) for f in (F, B))
    with pytest.raises(BraindecError, match="6 groups or more"):
        align_unit_sets(features, {"a": top_by_brain(2)}, brain, n_surrogates=0, n_folds=3)


def test_what_gets_no_score_and_folds_that_cannot_be_made_are_told():
    values = B.load().copy()
    values[:, 2] = 1.0
    assert any("No channel of B" in note for note in brain_items(voxels(values)).notes)
    found = align(n_folds=30)
    assert any("30 folds were asked for and 10 can be made" in note for note in found.notes)
