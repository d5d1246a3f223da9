"""The standard table of natural language: sentences by content, literals, TextGrids, tables, onsets beyond the recording."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.speech_events import (
    EVENT_COLUMNS,
    add_sentences,
    check_onsets,
    from_literals,
    normalised,
    place,
    read_textgrid,
    read_words_csv,
    sentence_id,
)
from braindec.loaders.synthetic_speech import made_up_story


def words_of(text, **columns):
    units = text.split()
    table = pd.DataFrame({"onset": 0.5 * np.arange(len(units)), "duration": 0.3, "trial_type": "word", "text": units})
    return table.assign(**columns)


@pytest.mark.parametrize(
    "other", ["Don't — STOP, now!", "  don’t stop\tnow ", "DON`T STOP NOW", "dont stop\u200b now…"]
)
def test_a_sentence_has_one_id_however_it_is_written(other):
    assert normalised(other) == "dont stop now"
    assert sentence_id(other) == hashlib.sha256(b"dont stop now").hexdigest()[:12]


def test_other_words_are_another_sentence():
    texts = ["the cat sat", "the cats at", "thecat sat", "the cat", "cat the sat", "the cat sat 2"]
    assert len({sentence_id(t) for t in texts}) == len(texts)
    assert sentence_id("ﬁne Straße") == sentence_id("fine STRASSE")
    for nothing in ("", " ... ", None, float("nan")):
        with pytest.raises(BraindecError, match="without words"):
            sentence_id(nothing)


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_normalising_twice_changes_nothing(text):
    assert normalised(normalised(text)) == normalised(text)


def test_sentences_end_with_their_punctuation_but_titles_do_not():
    table = add_sentences(words_of('Hello Mr. Fox. "It is!" Said he'))
    assert table["sentence"].tolist() == ["Hello Mr. Fox."] * 3 + ['"It is!"'] * 2 + ["Said he"] * 2
    assert table["word_index"].tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert table["sentence_id"].iloc[0] == sentence_id("hello mr fox")


def test_sentences_by_column_pause_sound_and_text():
    plain = words_of("a b c d e f")
    by_number = add_sentences(plain.assign(number=[1, 1, 2, 2, 2, 1]), column="number")
    assert by_number["word_index"].tolist() == [0, 1, 0, 1, 2, 0]
    assert by_number["sentence"].tolist() == ["a b"] * 2 + ["c d e"] * 3 + ["f"]
    late = plain.assign(onset=[0, 0.5, 3, 3.5, 4, 9.0])
    assert add_sentences(late, pause=1.0)["word_index"].tolist() == [0, 1, 0, 1, 2, 0]
    sounds = add_sentences(plain.assign(audio=list("xxyyyx")), pause=9.0)
    assert sounds["sentence"].tolist() == by_number["sentence"].tolist()
    written = plain.assign(sentence=["A b."] * 2 + ["C!"] * 2 + ["C!"] * 2, word_index=[0, 1, 0, 1, 0, 1])
    assert add_sentences(written)["word_index"].tolist() == [0, 1, 0, 1, 0, 1]  # one sentence twice in a row
    with pytest.raises(BraindecError, match="1 of 6 words have no number"):
        add_sentences(plain.assign(number=[1, 1, np.nan, 2, 2, 2]), column="number")
    with pytest.raises(BraindecError, match="nothing says where sentences end") as error:
        add_sentences(plain)
    assert "pause" in str(error.value) and "column" in str(error.value)
    with pytest.raises(BraindecError, match="no column 'numbr'; did you mean 'number'"):
        add_sentences(plain.assign(number=1), column="numbr")


def test_phonemes_take_the_sentence_of_their_word():
    story = made_up_story(n_sentences=4, seed=3)
    table = pd.concat([story.words, story.phonemes], ignore_index=True)
    bare = table.assign(sentence="n/a", sentence_id="n/a", word_index=-1)
    found = add_sentences(bare, pause=0.2)  # sentences of the story are 0.25 s or more apart
    assert found["sentence_id"].tolist() == [sentence_id(s) for s in table["sentence"]]
    assert found["word_index"].tolist() == table["word_index"].tolist()


def test_dictionaries_written_as_text():
    column = pd.Series(["{'kind': 'word', 'word': \"it's\", 'start': 1.5}", "{'kind': 'sound', 'start': nan, 'more': [1, {'x': (2, None)}]}"], index=[7, 9])  # fmt: skip
    table = from_literals(column)
    assert table.index.tolist() == [7, 9] and table["word"].iloc[0] == "it's" and table["start"].iloc[0] == 1.5
    assert np.isnan(table["start"].iloc[1]) and table["more"].iloc[1] == [1, {"x": (2, None)}]
    assert from_literals(["{'a': '((((((((('}"])["a"].iloc[0] == "((((((((("  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    ["__import__('os').system('true')", "{'a': open('x')}", "{'a': b}", "[1, 2]", "{1: 2}", "", "{'a': 1", None, 3.0,
     "{'a': " + "[" * 400 + "]" * 400 + "}", "-" * 15000 + "1", "{'a': '" + "x" * 30000 + "'}", "{'a': 9**9**9}",
     "{" + ", ".join(f"'k{i}': 0" for i in range(300)) + "}", "(" * 6 + ")" * 6, "{**{'a': 1}}", "{'a': f'{1}'}"],
)  # fmt: skip
def test_a_row_that_is_no_dictionary_is_named(bad):
    with pytest.raises(UnreadableError, match="row 3 ") as error:
        from_literals(["{'a': 1}", "{'a': 2}", bad])
    assert len(str(error.value)) < 600


def test_literals_equal_what_was_written():
    rng = np.random.default_rng(0)
    rows = [
        {"kind": str(k), "start": float(rng.normal()), "n": int(rng.integers(9)), "x": [1, "a'b\"c"]} for k in range(50)
    ]
    assert from_literals([repr(r) for r in rows]).to_dict("records") == rows


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Ann - words"
        xmin = 0
        xmax = 2
        intervals: size = 4
{words}
    item [2]:
        class = "IntervalTier"
        name = "Ann - phones"
        xmin = 0
        xmax = 2
        intervals: size = 4
{phones}
    item [3]:
        class = "IntervalTier"
        name = "lines"
        xmin = 0
        xmax = 2
        intervals: size = 2
{lines}
"""
WORDS = [(0, 0.5, ""), (0.5, 0.9, 'say ""no""'), (0.9, 1.0, "sp"), (1.0, 2, "go")]
PHONES = [(0, 0.5, "sil"), (0.5, 0.9, "OW1"), (1.0, 1.4, "G"), (1.4, 2, "OW1")]
LINES = [(0, 0.95, 'Say "no".'.replace('"', '""')), (0.95, 2, "Go!")]


def textgrid(short):
    tiers = (WORDS, PHONES, LINES)
    if not short:
        blocks = ["\n".join(f'        intervals [{k + 1}]:\n            xmin = {a}\n            xmax = {b}\n            text = "{t}"'
                            for k, (a, b, t) in enumerate(tier)) for tier in tiers]  # fmt: skip
        return LONG.format(words=blocks[0], phones=blocks[1], lines=blocks[2])
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "2", "<exists>", "3"]
    for name, tier in zip(("Ann - words", "Ann - phones", "lines"), tiers, strict=True):
        lines += ['"IntervalTier"', f'"{name}"', "0", "2", str(len(tier))]
        lines += [x for a, b, t in tier for x in (str(a), str(b), f'"{t}"')]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("short", [False, True])
def test_textgrids_of_both_formats(tmp_path, short, encoding):
    path = tmp_path / "story.TextGrid"
    path.write_text(textgrid(short), encoding=encoding)
    table = read_textgrid(path)
    assert list(table.columns) == list(EVENT_COLUMNS) and set(table["audio"]) == {"story.wav"}
    assert table[["trial_type", "text"]].to_numpy().tolist() == [["word", 'say "no"'], ["phoneme", "OW1"], ["word", "go"], ["phoneme", "G"], ["phoneme", "OW1"]]  # fmt: skip
    np.testing.assert_allclose(table["onset"], [0.5, 0.5, 1.0, 1.0, 1.4])
    np.testing.assert_allclose(table["duration"], [0.4, 0.4, 1.0, 0.4, 0.6])
    table = read_textgrid(path, sentences="lines", audio="a.flac", story="s1")
    assert table["sentence"].tolist() == ['Say "no".'] * 2 + ["Go!"] * 3 and set(table["story"]) == {"s1"}
    assert table["word_index"].tolist() == [0, 0, 0, 0, 0] and table["sentence_id"].iloc[2] == sentence_id("go")


def test_a_tier_that_is_not_there_or_not_the_only_one(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid(True))
    with pytest.raises(BraindecError, match="no tier 'Ann - word'; did you mean 'Ann - words'"):
        read_textgrid(path, words="Ann - word")
    path.write_text(textgrid(True).replace("Ann - phones", "Bob - words"))
    with pytest.raises(BraindecError, match="which tier holds the words") as error:
        read_textgrid(path)
    assert "Bob - words" in str(error.value)
    assert read_textgrid(path, words="Ann - words")["text"].tolist() == ['say "no"', "go"]
    path.write_text(textgrid(True)[:-40])
    with pytest.raises(UnreadableError, match="cut short"):
        read_textgrid(path, words="Ann - words")


@pytest.mark.parametrize(("unit", "sfreq", "factor"), [("s", None, 1), ("ms", None, 1000), ("samples", 250.0, 250)])
def test_tables_of_words_in_every_unit(tmp_path, unit, sfreq, factor):
    rows = pd.DataFrame({"start": np.array([0.2, 0.7, 1.5]) * factor, "stop": np.array([0.5, 1.3, 1.9]) * factor, "token": ["it", "is", "so"],
                         "wav": "sounds/x.wav", "line": ["It is."] * 2 + ["So"], "surprisal": [1.5, 2.5, 3.5]})  # fmt: skip
    rows.to_csv(tmp_path / "w.csv", index=False)
    rows.to_csv(tmp_path / "w.tsv", index=False, sep="\t")
    for name in ("w.csv", "w.tsv"):
        table = read_words_csv(tmp_path / name, onset="start", end="stop", text="token", unit=unit, sfreq=sfreq, audio="wav", sentence="line")  # fmt: skip
        np.testing.assert_allclose(table["onset"], [0.2, 0.7, 1.5])
        np.testing.assert_allclose(table["duration"], [0.3, 0.6, 0.4])
        assert table["word_index"].tolist() == [0, 1, 0] and set(table["audio"]) == {"x.wav"}
        assert table["surprisal"].tolist() == [1.5, 2.5, 3.5] and list(table.columns[:10]) == list(EVENT_COLUMNS)


def test_tables_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("start,token\n0.5,a\nx,b\n")
    with pytest.raises(BraindecError, match="are not numbers") as error:
        read_words_csv(path, onset="start", text="token", unit="s")
    assert "'x' in row 2" in str(error.value)
    with pytest.raises(BraindecError, match="unit of times 'sec' is unknown"):
        read_words_csv(path, onset="start", text="token", unit="sec")
    with pytest.raises(BraindecError, match="sampling frequency"):
        read_words_csv(path, onset="start", text="token", unit="samples")
    with pytest.raises(BraindecError, match="no column 'tokens'; did you mean 'token'"):
        read_words_csv(path, onset="start", text="tokens", unit="s")
    path.write_text("start,token,end\n0.5,a,0.1\n")
    with pytest.raises(BraindecError, match="end before they begin"):
        read_words_csv(path, onset="start", end="end", text="token", unit="s")
    path.write_text("start,token\n")
    with pytest.raises(BraindecError, match="no rows"):
        read_words_csv(path, onset="start", text="token", unit="s")


def test_words_are_placed_where_their_sound_began():
    table = pd.DataFrame(
        {"audio": ["a.wav", "b.wav", "a.wav", "c.wav"], "audio_onset": [1.0, 2.0, 3.0, 4.0], "onset": 0.0}
    )
    found = place(table, {"a.wav": 100.0, "b.wav": 10.5})
    assert found["onset"].tolist() == [12.5, 101.0, 103.0] and found["audio"].tolist() == ["b.wav", "a.wav", "a.wav"]
    with pytest.raises(BraindecError, match="no words for the sounds"):
        place(table, {"d.wav": 0.0})


@pytest.mark.parametrize(
    ("onsets", "said"),
    [([100.0, 20_000.0, 58_000.0], "look like ms"), ([5_000.0, 20_000.0, 29_000.0], "look like samples at 500 Hz"),
     ([1000.0, 1010.0, 1050.0], "another clock"), ([-3.0, 10.0, 50.0], "another clock"), ([1.0, 30.0, 61.0], "stopped early")],
)  # fmt: skip
def test_onsets_beyond_the_recording_say_why(onsets, said):
    events = pd.DataFrame({"onset": onsets, "trial_type": "word", "text": ["one", "two", "three"]})
    outside = [x for x in onsets if not 0 <= x < 60]
    with pytest.raises(BraindecError, match=f"{len(outside)} of 3 words lie beyond the recording") as error:
        check_onsets(events, 60.0, "sub-01", sfreq=500.0)
    message = str(error.value)
    assert "sub-01" in message and said in message and "60 s" in message and f"{outside[0]:.6g} s" in message
    assert error.value.fix


def test_onsets_inside_the_recording_are_fine_and_missing_ones_are_not():
    events = pd.DataFrame({"onset": [0.0, 59.99]})
    assert check_onsets(events, 60.0, "x") is None
    with pytest.raises(BraindecError, match="1 of 2 events have no onset"):
        check_onsets(events.assign(onset=[1.0, np.nan]), 60.0, "x")
