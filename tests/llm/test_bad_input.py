"""What users of language models do wrong: one clear error each, never a traceback from deep inside, never a guess."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm import interventions as change
from braindec.llm.controls import match_quality, matched_random_units
from braindec.llm.extract import extract, iterate_activations
from braindec.llm.lesion import lesion, mean_surprisal
from braindec.llm.load import load_model, wrap
from braindec.llm.score import Probe
from braindec.llm.suma import Suma, suma
from braindec.llm.surprisal import surprisal
from braindec.llm.tag_stimuli import design, tag_conditions, tag_trials
from braindec.llm.tiny import tiny_model, train_on
from braindec.llm.unit_table import UnitTable, unit_table
from braindec.llm.words import words_table
from braindec.stats.tagging import Design

TEXTS = ["The cat sat.", "A dog ran away."]


@pytest.fixture(scope="module")
def lm():
    return tiny_model(n_layers=2, n_units=16, n_heads=2, max_length=32)


@pytest.fixture
def folder(lm, tmp_path):
    lm.model.save_pretrained(tmp_path / "m")
    lm.tokenizer.save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def configured(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"n_layer": 4}, "24 weights of GPT2LMHeadModel are missing"), ({"n_layer": 1}, "weights of 1 layers"),
     ({"n_embd": 32, "n_inner": 64}, "of another shape")],
)  # fmt: skip
def test_a_configuration_that_is_not_that_of_the_weights(folder, changes, says, capfd):
    with pytest.raises(BraindecError, match=says):
        load_model(configured(folder, **changes))
    assert "LOAD REPORT" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["", None, 3])
def test_no_model_named(name):
    with pytest.raises(BraindecError, match="no model was named"):
        load_model(name)


def test_devices_tokenizers_and_weights_that_are_not_there(folder, lm):
    with pytest.raises(BraindecError, match="device 'gpu' cannot be used") as error:
        load_model(folder, device="gpu")
    assert "cpu" in error.value.allowed
    with pytest.raises(BraindecError, match="device 'gpu'"):
        lm.to(device="gpu")
    for nothing in ("x", torch.nn.ReLU()):
        with pytest.raises(BraindecError, match="no model with weights"):
            wrap(nothing, name="x")
    other = tiny_model(
        n_layers=1, n_units=8, n_heads=2, texts=["hello there " * 200 + " ".join(f"w{i}abc" for i in range(400))]
    )
    other.tokenizer.save_pretrained(folder)
    with pytest.raises(BraindecError, match="gives tokens that the model does not know"):
        extract(load_model(folder), ["w300abc w399abc"])


def test_weights_that_are_not_finite_are_named(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["transformer.wte.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BraindecError, match="not finite") as error:
        extract(load_model(folder), TEXTS)
    assert "wte" in error.value.found


@pytest.mark.parametrize(
    "options",
    [{"n_layers": 0}, {"n_heads": 0}, {"n_units": 0}, {"steps": -1}, {"max_length": 1}, {"seed": -1}, {"n_layers": "4"},
     {"texts": [], "steps": 2}, {"texts": [""]}, {"texts": [1, 2]}],
)  # fmt: skip
def test_tiny_models_that_cannot_be(options):
    with pytest.raises(BraindecError):
        tiny_model(**{"n_layers": 1, "n_units": 16, "n_heads": 2, **options})


def test_training_without_padding():
    lm = tiny_model(n_layers=1, n_units=8, n_heads=2)
    lm.tokenizer.pad_token = None
    with pytest.raises(BraindecError, match="no pad_token"):
        train_on(lm, TEXTS, steps=1)
    assert np.isfinite(extract(lm, ["one two", "a b c d"]).load()).all()  # reading needs none


@pytest.mark.parametrize(
    ("texts", "options", "says"),
    [(None, {}, "in a list"), ({"a", "b"}, {}, "in a list"), (["\ud83d lone"], {}, "half a character"),
     (TEXTS, {"sites": None}, "names no sites"), (TEXTS, {"layers": []}, "no layers"), (TEXTS, {"layers": "last"}, "is no layer"),
     (TEXTS, {"layers": [0.5]}, "is no layer"), (TEXTS, {"layers": True}, "is no layer"), (TEXTS, {"batch_size": 1.5}, "batch_size"),
     (TEXTS, {"batch_size": None}, "batch_size"), (TEXTS, {"pool": "word", "context": 1.5}, "context=1.5"),
     (TEXTS, {"pool": "word", "context": "2"}, "context='2'"), (TEXTS, {"ids": ["a", "a"]}, "the same id"),
     (TEXTS, {"ids": [1, "1"], "pool": "word"}, "the same id"), (TEXTS, {"ids": ["a"], "pool": "word"}, "2 texts but 1 ids"),
     (TEXTS, {"ids": ["a", np.nan]}, "ids are missing"), (["x" * 500], {"pool": "word", "context": 0}, "longer than")],
)  # fmt: skip
def test_extraction(lm, texts, options, says):
    with pytest.raises(BraindecError, match=says):
        extract(lm, texts, **options)


@pytest.mark.parametrize(
    ("units", "says"),
    [({"index": [0.5]}, "no whole number"), ({"index": [np.nan]}, "no whole number"), ({"index": ["a"]}, "no whole number"),
     ({"layer": [np.nan]}, "no whole number"), ({"site": [None]}, "'site'"), ([0, 1], "by a table"), (None, "by a table")],
)  # fmt: skip
def test_units_tables(lm, units, says):
    table = (
        pd.DataFrame({"layer": [0], "site": ["mlp_act"], "index": [1], **units}) if isinstance(units, dict) else units
    )
    if units is not None:
        with pytest.raises(BraindecError, match=says):
            extract(lm, TEXTS, units=table)
    with pytest.raises(BraindecError, match=says), change.ablate(lm, table):
        pass


@pytest.mark.parametrize("read", [lambda lm, w: extract(lm, w, pool="word"), surprisal])
@pytest.mark.parametrize(
    ("change", "says"),
    [(lambda w: w.assign(start=w["start"] + 3, stop=w["stop"] + 3), "was edited"), (lambda w: w.assign(word="zebra"), "was edited"),
     (lambda w: w.assign(word_index=w["word_index"] + 50), "was edited"), (lambda w: w.assign(word_index=w["word_index"] - 1), "word_index"),
     (lambda w: w.assign(start=np.nan), "'start'"), (lambda w: w.assign(word=None), "'word'"), (lambda w: w.assign(start=w["stop"]), "out of order"),
     (lambda w: w.assign(start=w["start"][::-1].to_numpy(), stop=w["stop"][::-1].to_numpy()), "out of order"),
     (lambda w: pd.concat([w, w]), "stands twice"), (lambda w: w.assign(stimulus_id="a"), "stimulus_id stands twice"),
     (lambda w: pd.DataFrame(w.to_dict("list")).assign(word="zebrazebra"), "does not fit its offsets")],
)  # fmt: skip
def test_words_tables_edited_by_hand(lm, read, change, says):
    with pytest.raises(BraindecError, match=says):
        read(lm, change(words_table(TEXTS)))


@pytest.mark.parametrize(
    ("texts", "options", "says"),
    [(None, {}, "in a list"), ([None], {}, "is not text"), ([3], {}, "is not text"), ([b"abc"], {}, "is not text"),
     ([["a", float("nan")]], {}, "word 1 of text '0' is not text"), ({1: "a b", "1": "c"}, {}, "the same id"), (TEXTS, {"separator": None}, "separator"),
     (["a b"], {"onsets": [[0, np.nan]]}, "finite"), (["a b"], {"onsets": [[1, 0]]}, "back in time"), (["a b"], {"onsets": [["x", "y"]]}, "seconds"),
     (["a b"], {"durations": [[1, -1]]}, "from 0 on"), (["a b"], {"onsets": [1]}, "2 words")],
)  # fmt: skip
def test_words(texts, options, says):
    with pytest.raises(BraindecError, match=says):
        words_table(texts, **options)


@pytest.mark.parametrize(
    "text",
    [
        "emoji 😀 cat 👨‍👩‍👧",
        "tab\there\nline\r\nend",
        "שלום עולם",
        "zero\u200bwidth",
        "nbsp\u00a0here",
        "\ufeffbom",
        "null\x00char",
        "读书",
    ],
)
def test_any_text_is_read(lm, text):
    table = words_table([text])
    assert extract(lm, table, pool="word", context=2).shape[0] == len(table)
    assert np.isfinite(surprisal(lm, table)["surprisal"]).all()


def test_interventions(lm):
    units = pd.DataFrame({"layer": 0, "site": "resid_post", "index": [0, 1]})
    batch = next(iterate_activations(lm, TEXTS))
    for wrong, says in (
        (change.ablate(lm, units, how="mean", means=[1, np.nan]), "must be finite"),
        (change.ablate(lm, units, how="mean", means=["a", "b"]), "must be numbers"),
        (change.clamp(lm, units, None), "must be"),
        (change.scale(lm, units, np.inf), "must be finite"),
        (change.ablate(lm, pd.concat([units, units])), "stands twice"),
        (change.ablate(lm, units, positions=[]), "no tokens"),
        (change.ablate(lm, units, positions="last"), "counted from"),
        (change.ablate(lm, units, positions=[0.5]), "counted from"),
        (change.add_direction(lm, np.full(16, np.nan), layer=0), "must be finite"),
        (change.add_direction(lm, np.ones(16), layer=None), "layer=None"),
        (change.add_direction(lm, np.ones(16), layer=[0, 1]), "layer="),
        (change.patch(lm, {}), "no values to patch in"),
        (change.patch(lm, None), "no values to patch in"),
        (change.patch(lm, {(0, "resid_post"): torch.full((2, 8, 16), np.nan)}), "must be finite"),
    ):
        with pytest.raises(BraindecError, match=says), wrong:
            pass
    with change.patch(lm, {k: v.numpy() for k, v in batch.values.items()}):  # arrays do as well
        assert extract(lm, TEXTS).shape[0] == 2


def test_controls_and_lesions(lm):
    units = pd.DataFrame(
        {"layer": np.repeat([0, 1], 10), "site": "mlp_act", "index": np.tile(np.arange(10), 2), "m": np.arange(20.0)}
    )
    for chosen in (np.array([True, False]), np.array([1.5]), [99]):
        with pytest.raises(BraindecError):
            matched_random_units(units, chosen)
    assert len(matched_random_units(units, [1], match="layer", n_sets=5)) == 5
    with pytest.raises(BraindecError, match="no column of numbers 'site'"):
        match_quality(units, [1], [[2]], ["site"])
    with pytest.raises(BraindecError, match="nothing to compare"):
        match_quality(units, [1], [], ["m"])
    with pytest.raises(BraindecError, match="different rows"):
        lesion(lm, units, [99], [], lambda m: mean_surprisal(m, TEXTS))
    for measure in (np.array([]), np.array([np.nan])):
        with pytest.raises(BraindecError, match="one finite number a text"):
            lesion(lm, units, [0], [], lambda m, measure=measure: measure)


def test_suma_and_unit_tables(lm, tmp_path):
    for options, says in (
        ({"num_heads": 0}, "num_heads"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"hidden_size": 64.0}, "hidden_size"),
        ({"sigma": -1}, "sigma"),
    ):
        with pytest.raises(BraindecError, match=says):
            Suma(**options)
    with pytest.raises(BraindecError, match="did you mean 'num_heads'"):
        suma(tokenizer=lm.tokenizer, num_head=3)
    with pytest.raises(BraindecError, match="needs a tokenizer"):
        suma(tokenizer=None)
    empty = unit_table(Probe(lm, {}), "lape")
    with pytest.raises(BraindecError, match="holds no numbers"):
        empty.save(tmp_path / "a.h5")
    with pytest.raises(BraindecError, match="no unit tables"):
        UnitTable.concat([])
    for name, content in (("b", ""), ("c", "model\nx\n")):
        (tmp_path / f"{name}.csv").write_text(content)
        (tmp_path / f"{name}-scores.csv").write_text(content)
        with pytest.raises(BraindecError, match="is no unit table"):
            UnitTable.open(tmp_path / f"{name}.csv")


@pytest.mark.parametrize(
    "make",
    [lambda: design(phrases={"phrase": 8}), lambda: design(phrases={"word": 2}), lambda: design(phrases=[2]), lambda: design("4"),
     lambda: design(unit="sentence"), lambda: design(unit_rate=np.inf), lambda: design(unit_rate="4"), lambda: design(n_sentences=9.5),
     lambda: design(drop=1.5), lambda: Design({"a": "x"}), lambda: Design(None), lambda: tag_trials(None, Design()),
     lambda: tag_trials([], {"word": 1}), lambda: tag_trials([[1, 2, 3, 4]] * 2, Design()), lambda: tag_trials([np.nan], Design()),
     lambda: tag_conditions([], Design({"word": 1, "sentence": 4}), controls="phrase_shuffle")],
)  # fmt: skip
def test_designs_and_trials(make):
    with pytest.raises(BraindecError):
        make()
