"""Words, their characters, and the tokens that belong to them."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.load import wrap
from braindec.llm.tiny import tiny_model
from braindec.llm.words import texts_of, tokens_of_words, word_spans, words_table


def test_words_of_texts():
    table = words_table({"a": "The  cat, sat.\nDown", "b": " Naïve café"})
    assert list(table["word"]) == ["The", "cat,", "sat.", "Down", "Naïve", "café"]
    for _, row in table.iterrows():
        assert table.attrs["texts"][row.text_id][row.start : row.stop] == row.word
    assert list(table["stimulus_id"]) == ["a/0", "a/1", "a/2", "a/3", "b/0", "b/1"]
    assert list(table["word_index"]) == [0, 1, 2, 3, 0, 1]


def test_words_given_and_characters():
    table = words_table([["New York", "is", "big"], ["a"]])
    assert table.attrs["texts"] == {"0": "New York is big", "1": "a"}
    assert [(a, b) for a, b in zip(table["start"], table["stop"])] == [(0, 8), (9, 11), (12, 15), (0, 1)]
    assert list(words_table(["老师教书"], separator="")["word"]) == list("老师教书")
    assert list(words_table(["one | two|three"], separator="|")["word"]) == ["one", "two", "three"]
    chinese = words_table([list("老师")], separator="")
    assert chinese.attrs["texts"] == {"0": "老师"} and list(chinese["stop"]) == [1, 2]


def test_times_of_words():
    table = words_table({"a": "x y", "b": "z"}, onsets={"a": [0.0, 0.5], "b": [1.0]}, durations=[[0.1, 0.2], [0.3]])
    assert list(table["onset"]) == [0.0, 0.5, 1.0] and list(table["duration"]) == [0.1, 0.2, 0.3]
    with pytest.raises(BraindecError, match="'b' has 1 words, but 2 values of onset"):
        words_table({"a": "x y", "b": "z"}, onsets={"a": [0.0, 0.5], "b": [1.0, 2.0]})
    with pytest.raises(BraindecError, match="none values of onset"):
        words_table({"a": "x y", "b": "z"}, onsets={"a": [0.0, 0.5]})


@pytest.mark.parametrize(
    ("texts", "says"),
    [([], "no texts"), (["a", "  "], "'1' is empty"), ({"x": []}, "'x' has no words"), ([["a", ""]], "word 1"),
     ("a text", "several")],
)  # fmt: skip
def test_texts_without_words(texts, says):
    with pytest.raises(BraindecError, match=says):
        words_table(texts)


def test_a_table_that_lost_its_texts():
    table = words_table({"a": "the old  man", "b": "sat"})
    bare = table.copy()
    bare.attrs = {}
    assert texts_of(bare) == {"a": "the old  man", "b": "sat"}
    assert word_spans(bare, "a").tolist() == word_spans(table, "a").tolist() == [[0, 3], [4, 7], [9, 12]]
    with pytest.raises(BraindecError, match="'a' are missing"):
        texts_of(bare.iloc[[1, 2]])
    some = table.iloc[[1, 2]]  # a selection carries the texts
    assert texts_of(some) == {"a": "the old  man"}
    assert word_spans(some, "a").tolist() == [[0, 3], [4, 7], [9, 12]]
    with pytest.raises(BraindecError, match="columns"):
        texts_of(table.drop(columns="start"))


def brute(offsets, spans):
    """Return the tokens of each word, one comparison at a time."""
    return [[t for t, (a, b) in enumerate(offsets) if b > a and a < stop and b > start] for start, stop in spans]


def test_tokens_of_words_against_one_by_one():
    rng = np.random.default_rng(0)
    for _ in range(200):
        cuts = np.sort(rng.choice(np.arange(1, 40), rng.integers(2, 12), replace=False))
        offsets = np.stack([np.concatenate([[0], cuts]), np.concatenate([cuts, [40]])], axis=1)
        repeated = np.repeat(offsets, rng.integers(1, 3, len(offsets)), axis=0)  # bytes of one character
        edges = np.sort(rng.choice(np.arange(41), 8, replace=False)).reshape(-1, 2)
        found = tokens_of_words(repeated, edges)
        assert [list(range(a, b)) for a, b in found] == brute(repeated, edges)


def test_tokens_with_gaps_leave_words_without_any():
    offsets = np.array([[0, 0], [0, 3], [8, 10], [0, 0]])
    special = np.array([True, False, False, True])
    found = tokens_of_words(offsets, np.array([[0, 3], [4, 7], [8, 10]]), special)
    assert found[0].tolist() == [1, 2] and found[2].tolist() == [2, 3] and found[1, 0] == found[1, 1]


def dropping_tokenizer():
    """Return a word-level tokenizer whose normaliser removes digits."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pieces = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "cats": 2, "sat": 3}, unk_token="<unk>"))
    pieces.normalizer = normalizers.Replace(Regex("[0-9]"), "")
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    return pieces


def test_a_tokenizer_that_drops_characters():
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2)
    lm = wrap(lm.model, tokenizer=dropping_tokenizer(), name="drops")
    with pytest.raises(BraindecError, match="drops or changes characters: the word '12' of text 'story'") as error:
        extract(lm, {"story": "the 12 cats sat 7"}, pool="word")
    assert "2 such words: '12', '7'" in error.value.found
    with pytest.raises(BraindecError, match="text '1' has no tokens"):
        extract(lm, ["the cats", "12 7"], pool="last")
    table = words_table({"story": "the 12 cats sat"})
    kept = table[table["word"] != "12"]  # a selection still knows the text
    made = extract(lm, kept, pool="word")
    assert list(made.items["word"]) == ["the", "cats", "sat"]
    assert extract(lm, kept, pool="word", context=1).shape == made.shape
    with pytest.raises(BraindecError, match="text 'a' has no tokens|no token"):
        extract(lm, {"a": "12"}, pool="word")


def test_unknown_characters_are_told():
    lm = wrap(tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2).model, tokenizer=dropping_tokenizer(), name="drops")
    made = extract(lm, {"a": "the dogs sat"}, pool="word")
    if lm.tokenizer.unk_token_id is None:
        lm.tokenizer.unk_token = "<unk>"
        made = extract(lm, {"a": "the dogs sat"}, pool="word")
    assert made.info["warnings"] == ["1 of 3 words hold a token for unknown characters"]
