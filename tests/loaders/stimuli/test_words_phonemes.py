"""Series of words and phonemes: where they stand, how high, which features; refusals."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders._phonetics import ALPHABETS, FEATURES, features_of, symbol_of
from braindec.loaders.stimuli.phonemes import phonemes
from braindec.loaders.stimuli.words import words
from braindec.loaders.synthetic_speech import made_up_story

WORDS = pd.DataFrame({"audio_onset": [0.5, 1.0, 1.004], "duration": [0.3, 0.4, 0.1], "trial_type": "word", "text": ["it's", "so", "go"],
                      "audio": "a.wav", "surprisal": [2.0, 3.0, 5.0]})  # fmt: skip
SOUNDS = pd.DataFrame({"audio_onset": [0.1, 0.2], "duration": [0.1, 0.15], "trial_type": "phoneme", "text": ["t_B", "AO1_E"], "audio": "a.wav"})  # fmt: skip


def test_impulses_of_words():
    series = words(WORDS, duration=2.0, values=("onset", "length", "surprisal"))
    assert series.ch_names == ["onset", "length", "surprisal"] and series.n_times == 200
    expected = np.zeros((3, 200))
    expected[:, 50], expected[:, 100] = (1, 3, 2), (2, 4, 8)  # the last two share a sample
    np.testing.assert_array_equal(series.load(), expected)


def test_spans_of_words_end_with_their_block():
    found = words(WORDS.iloc[:2], duration=2.0, values=("surprisal",), at="span", blocks=[(0.0, 1.25)]).load()[0]
    expected = np.zeros(200)
    expected[50:80], expected[100:125] = 2, 3
    np.testing.assert_array_equal(found, expected)


def test_phonemes_of_a_story_sum_to_their_durations():
    story = made_up_story(n_sentences=3)
    series = phonemes(story.phonemes, duration=story.duration, sfreq=200.0)
    seconds = series.load().sum(axis=1) / 200
    by_label = story.phonemes.groupby("text")["duration"].sum()
    for name, found in zip(series.ch_names, seconds, strict=True):
        assert found == pytest.approx(
            by_label.get(name, 0.0), abs=0.01 * max(1, (story.phonemes["text"] == name).sum())
        )
    assert series.load().max() == 1.0
    impulses = phonemes(story.phonemes, duration=story.duration, at="onset", sfreq=500.0).load()
    assert impulses.sum() == len(story.phonemes)


def test_features_of_articulation():
    found = phonemes(SOUNDS, duration=0.5, coding="features")
    on = {t: {n for n, v in zip(found.ch_names, found.load()[:, t], strict=True) if v} for t in (5, 12, 25, 40)}
    assert on[5] == set() and on[12] == {"consonant", "plosive", "alveolar"} and on[40] == set()
    assert on[25] == {"vowel", "voiced", "mid", "back", "rounded"}
    for alphabet, symbols in ALPHABETS.items():
        for symbol in symbols:
            mine = features_of(symbol, alphabet)
            assert mine and set(mine) <= set(FEATURES) and ("vowel" in mine) != ("consonant" in mine)
    pairs = [("P", "B"), ("T", "D"), ("K", "G"), ("F", "V"), ("S", "Z"), ("SH", "ZH"), ("TH", "DH"), ("CH", "JH")]
    for silent, voiced in pairs:
        assert set(features_of(voiced, "arpabet")) - set(features_of(silent, "arpabet")) == {"voiced"}
    distinct = {features_of(s, "arpabet") for s in ALPHABETS["arpabet"]}
    assert len(distinct) >= 37  # UH and OY are told from their neighbours; few share all of their features


@pytest.mark.parametrize(("label", "alphabet", "symbol"), [("AH0", "arpabet", "AH"), ("ae1_I", "arpabet", "AE"), ("hh", "arpabet", "HH"), ("sil", "arpabet", None), ("ˈaː", "ipa", "a"),
                                                            ("t͡ʃ", "ipa", "tʃ"), ("g", "ipa", "ɡ"), ("ɑ̃", "ipa", "ɑ"), ("ç", "ipa", "ç"), ("9", "ipa", None)])  # fmt: skip
def test_labels_without_stress_length_and_place(label, alphabet, symbol):
    assert symbol_of(label, alphabet) == symbol


def test_alphabets_of_your_own_and_unknown_labels():
    own = SOUNDS.assign(text=["x", "q"])
    assert phonemes(own, duration=0.5, labels=["q", "x", "z"]).load().sum(axis=1).tolist() == [15.0, 10.0, 0.0]
    for unknown in ("raise", "drop"):
        with pytest.raises(BraindecError, match="2 of 2 phonemes are not in the alphabet") as error:
            phonemes(own, duration=0.5, unknown=unknown)
        assert "'x' (1 times)" in str(error.value)
    dropped = phonemes(SOUNDS.assign(text=["T", "??"]), duration=0.5, unknown="drop")
    assert "1 of 2 phonemes" in dropped.info["warnings"][0] and dropped.load().sum() == 10.0
    assert phonemes(SOUNDS, duration=0.5, unknown="drop").info["warnings"] == []
    with pytest.raises(BraindecError, match="labels of your own"):
        phonemes(own, duration=0.5, labels=["x", "x"])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [({}, {"duration": 0.9}, "2 of 3 words lie beyond their sound"), ({"audio_onset": [0.5, np.nan, 1.0]}, {}, "1 of 3 words"),
     ({}, {"values": ["surprise"]}, "did you mean 'surprisal'"), ({"surprisal": [1.0, np.nan, 2.0]}, {"values": ["surprisal"]}, "1 of 3 words have no surprisal"),
     ({"audio": ["a.wav", "b.wav", "a.wav"]}, {}, "several sounds"), ({"trial_type": "phoneme"}, {}, "holds no words"), ({}, {"audio": "b.wav"}, "no words of 'b.wav'"),
     ({}, {"at": "spans"}, "did you mean 'span'"), ({"duration": [0.1, np.nan, 0.1]}, {"at": "span"}, "duration"), ({}, {"values": []}, "different names")],
)  # fmt: skip
def test_words_that_cannot_be_placed(change, options, said):
    with pytest.raises(BraindecError, match=said):
        words(WORDS.assign(**change), **{"duration": 2.0, **options})
    with pytest.raises(BraindecError, match="needs a column 'audio_onset'"):
        words(WORDS.drop(columns="audio_onset"), duration=2.0)


def test_one_sound_of_several():
    table = WORDS.assign(audio=["a.wav", "b.wav", "b.wav"])
    assert (
        words(table, duration=2.0, audio="b.wav").load().sum() == 2
        and words(table, duration=2.0, audio="b.wav").info["stimulus"] == "b.wav"
    )
