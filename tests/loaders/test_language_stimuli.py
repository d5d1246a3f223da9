"""Made-up stimuli: seeded, matched, of the structure that was asked for; readers of stimulus files: true files, and what is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._language_nonwords import Nonwords
from braindec.loaders._language_words import CLASSES, NOUNS, VERBS, plural, words_of
from braindec.loaders.language_stimuli import (
    make_languages,
    make_localizer,
    make_stories,
    make_tagged_corpus,
    make_word_classes,
    make_word_pairs,
    make_years,
    read_corpus,
    read_localizer,
    read_word_pairs,
    story_words,
)

MAKERS = {
    "localizer": lambda seed: make_localizer(20, seed).to_json(),
    "corpus": lambda seed: json.dumps(make_tagged_corpus(20, 5, seed)),
    "stories": lambda seed: make_stories(6, seed).to_json(),
    "classes": lambda seed: make_word_classes(6, seed).to_json(),
    "languages": lambda seed: json.dumps(make_languages(3, 5, seed)),
    "pairs": lambda seed: make_word_pairs(5, seed).to_json(),
    "years": lambda seed: make_years(10, seed).to_json(),
}


@pytest.mark.parametrize("name", MAKERS)
def test_same_seed_same_text(name):
    make = MAKERS[name]
    assert make(3) == make(3)
    assert make(3) != make(4)


def test_localizer_is_matched_letter_by_letter():
    table = make_localizer(60, seed=1)
    assert table["condition"].value_counts().to_dict() == {"sentence": 60, "nonword": 60}
    assert table["stimulus_id"].is_unique and table["text"].is_unique
    assert (table["words"].str.len() == 12).all() and (table["n_words"] == 12).all()
    for _, pair in table.groupby("pair"):
        lengths = [[len(word) for word in words] for words in pair["words"]]
        assert len(pair) == 2 and lengths[0] == lengths[1]
    assert table.groupby(["run", "condition"]).size().eq(30).all()
    real = words_of()
    sentences, other = (table[table["condition"] == c] for c in ("sentence", "nonword"))
    assert {w for words in sentences["words"] for w in words} <= real
    assert not {w for words in other["words"] for w in words} & real


def test_nonwords_can_be_pronounced():
    draw, rng = Nonwords(), np.random.default_rng(0)
    for length in range(2, 13):
        made = [draw.draw(length, rng) for _ in range(30)]
        assert all(len(w) == length and re.search("[aeiouy]", w) for w in made)
        assert not any(re.search("[^aeiouy]{5}|[aeiou]{4}", w) for w in made)
        assert len(set(made)) > (20 if length > 2 else 8)
    with pytest.raises(BraindecError, match="needs a letter"):
        draw.draw(0, rng)


@pytest.mark.parametrize("n_words", [3, 4, 5, 6, 7, 8])
def test_tagged_corpus_has_the_structure_it_says(n_words):
    corpus = make_tagged_corpus(120, n_words, seed=2)
    assert len(corpus) == len({tuple(s) for s in corpus}) == 120
    assert all(len(units) == n_words == corpus.n_units for units in corpus)
    assert (
        corpus.phrases[0][0] == 0 and corpus.phrases[0][1] == corpus.phrases[1][0] and corpus.phrases[1][1] == n_words
    )
    nouns = set(CLASSES["noun"]) | {plural(n) for n in CLASSES["noun"]}
    allowed = {
        "noun": nouns,
        "object": nouns,
        "verb": set(VERBS),
        "modifier": set(CLASSES["adjective"]),
        "determiner": {"the", "this", "every"},
    }
    for units in corpus:
        assert all(unit in allowed[kind] for unit, kind in zip(units, corpus.classes, strict=True))
    assert corpus.classes.index("verb") == corpus.phrases[1][0], "the second phrase begins with the verb"


def test_verbs_take_only_what_fits_them():
    kinds = {plural(noun): kind for kind, group in NOUNS.items() for noun in group}
    for _, noun, verb, target in make_tagged_corpus(300, 4, seed=3):
        who, what = VERBS[verb]
        assert kinds[noun] in who and kinds[target] in what and noun != target


def test_stories_have_topics_and_times():
    stories = make_stories(24, seed=0)
    assert len(stories) == 96 and stories["text"].is_unique and stories["stimulus_id"].is_unique
    assert stories.groupby("text_id")["topic"].nunique().eq(1).all() and stories["topic"].nunique() == 8
    words = story_words(stories)
    assert words["stimulus_id"].is_unique and len(words) == stories["n_words"].sum()
    for text_id, part in words.groupby("text_id"):
        text = words.attrs["texts"][text_id]
        assert [text[a:b] for a, b in zip(part["start"], part["stop"], strict=True)] == part["word"].tolist()
        assert (
            part["onset"].is_monotonic_increasing
            and (np.diff(part["onset"]) >= part["duration"].to_numpy()[:-1] - 1e-9).all()
        )
    # what is told apart by topic can be told from the words: stories of one topic share more words than others
    bags = {t: set(part["word"][part["word_class"] == "noun"]) for t, part in words.groupby("text_id")}
    topic = stories.drop_duplicates("text_id").set_index("text_id")["topic"]
    pairs = [(a, b) for a in bags for b in bags if a < b]
    shared = {
        same: np.mean([len(bags[a] & bags[b]) for a, b in pairs if (topic[a] == topic[b]) == same])
        for same in (True, False)
    }
    assert shared[True] > 3 * shared[False]


def test_word_classes_are_those_of_the_vocabulary():
    words = make_word_classes(40, seed=1)
    assert all(row.word in CLASSES[row.word_class] for row in words.itertuples())
    assert {"noun", "verb", "adjective", "determiner"} <= set(words["word_class"])


def test_languages_differ_in_everything_but_what_is_said():
    languages = make_languages(10, 30, seed=0)
    assert len(languages) == 10 and all(len(texts) == 30 for texts in languages.values())
    vocabularies = {name: {word for text in texts for word in text.split()} for name, texts in languages.items()}
    names = list(languages)
    for a in names:
        for b in names:
            if a < b:
                assert len(vocabularies[a] & vocabularies[b]) <= 0.05 * len(vocabularies[a])
    lengths = [[len(text.split()) for text in texts] for texts in languages.values()]
    assert all(row == lengths[0] for row in lengths)
    assert len({frozenset("".join(v)) for v in vocabularies.values()}) == 10


def test_word_pairs_and_years():
    pairs = make_word_pairs(20)
    assert pairs.groupby("relation").size().eq(20).all() and pairs["stimulus_id"].is_unique
    assert all(row.word2 in row.text and row.word1 in row.text for row in pairs.itertuples())
    assert not any(row.prompt.endswith(f" {row.word2}") for row in pairs.itertuples() if row.prompt != row.text)
    assert set(make_word_pairs(3, relations=("part",))["relation"]) == {"part"}
    years = make_years(100, first=1525, last=2524)
    assert years["value"].min() == 1525 and years["value"].max() == 2524 and years["value"].is_unique
    assert all(str(row.value) in row.text for row in years.itertuples())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_localizer(0), "at least one item"),
        (lambda: make_localizer(5, n_words=30), "5 to 17"),
        (lambda: make_tagged_corpus(5, 9), "no sentence of 9 words"),
        (lambda: make_stories(3, n_words=(2, 8)), "5 to 17"),
        (lambda: make_languages(0), "at least 3 words"),
        (lambda: make_word_pairs(50), "no such word pairs"),
        (lambda: make_word_pairs(5, relations=("uncle",)), "uncle"),
        (lambda: make_years(5, kind="month"), "kind year or number"),
        (lambda: make_years(5, frame="in spring"), "no place for the number"),
    ],
)
def test_bad_sizes_are_refused(make, message):
    with pytest.raises(BraindecError, match=message):
        make()


def localizer_file(path, rows, header=None):
    header = header or ",".join(f"stim{k}" for k in range(1, 15))
    path.write_text(header + "\n" + "\n".join(rows) + "\n", encoding="utf8")
    return path


GOOD = "1,THE,OLD,DOG,SAW,THE,CAT,AND,THE,CAT,SAW,THE,DOG,S"


def test_localizer_tables_are_read(tmp_path):
    localizer_file(tmp_path / "langloc_fmri_run2_stim_set3.csv", [GOOD, GOOD.replace(",S", ",N").replace("DOG", "DAG")])
    table = read_localizer(tmp_path)
    assert (
        table["condition"].tolist() == ["sentence", "nonword"]
        and table["run"].tolist() == ["2", "2"]
        and set(table["set"]) == {"3"}
    )
    assert table["text"][0] == "the old dog saw the cat and the cat saw the dog" and table["n_words"].tolist() == [
        12,
        12,
    ]
    assert read_localizer(tmp_path, lower=False)["words"][0][0] == "THE"


def test_localizer_words_that_look_like_missing_values_are_words(tmp_path):
    localizer_file(tmp_path / "a.csv", [GOOD.replace("OLD", "NULL").replace("CAT", "NA")])
    assert read_localizer(tmp_path)["words"][0][1] == "null"


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([GOOD], "a,b,c,d,e,f,g,h,i,j,k,l,m,n", r"lacks stim2.*"),
        ([GOOD, GOOD[:-1] + "X"], None, "line 3: the condition is not known"),
        ([GOOD.replace("OLD", "")], None, "line 2: a word is missing"),
    ],
)
def test_bad_localizer_tables(tmp_path, rows, header, message):
    localizer_file(tmp_path / "run1_set1.csv", rows, header)
    with pytest.raises(BraindecError, match=message):
        read_localizer(tmp_path)


def test_missing_localizer_files(tmp_path):
    with pytest.raises(BraindecError, match="no localizer tables"):
        read_localizer(tmp_path)
    with pytest.raises(BraindecError, match="there is no file or folder"):
        read_localizer(tmp_path / "nowhere")
    localizer_file(tmp_path / "run1_set1.csv", [GOOD])
    localizer_file(tmp_path / "again_run1_set1.csv", [GOOD])
    with pytest.raises(BraindecError, match="one run and set"):
        read_localizer(tmp_path)


def test_corpora_with_and_without_a_header(tmp_path):
    lines = ["old dogs saw cats", "red boats left.", "", "fat rats ate pies"]
    (tmp_path / "a.csv").write_text("text\n" + "\n".join([lines[0], lines[3]]), encoding="utf-8-sig")
    assert read_corpus(tmp_path / "a.csv") == [lines[0].split(), lines[3].split()]
    (tmp_path / "b.csv").write_text("\n".join(lines), encoding="utf8")
    with pytest.raises(BraindecError, match=r"line 2: 3 \('red boats left\.'\)"):
        read_corpus(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("老牛耕地。\n朋友请客\n", encoding="utf8")
    assert read_corpus(tmp_path / "c.csv", unit="character") == [list("老牛耕地"), list("朋友请客")]
    (tmp_path / "d.csv").write_bytes(b"\xff\xfe\x00bad\x80")
    with pytest.raises(UnreadableError, match="UTF-8"):
        read_corpus(tmp_path / "d.csv")
    (tmp_path / "e.csv").write_text("text\n", encoding="utf8")
    with pytest.raises(BraindecError, match="holds no sentences"):
        read_corpus(tmp_path / "e.csv")
    with pytest.raises(BraindecError, match="no unit"):
        read_corpus(tmp_path / "a.csv", unit="syllable")


def test_word_pairs_are_read(tmp_path):
    (tmp_path / "EN-X.txt").write_bytes(b"car\tautomobile\t3.92\r\ngem  jewel 3.84\r\n")
    pairs = read_word_pairs(tmp_path)
    assert pairs[["word1", "word2", "rating", "set"]].to_numpy().tolist() == [
        ["car", "automobile", 3.92, "EN-X"],
        ["gem", "jewel", 3.84, "EN-X"],
    ]
    (tmp_path / "bad.txt").write_text("car automobile\n", encoding="utf8")
    with pytest.raises(BraindecError, match="line 1: no word pair"):
        read_word_pairs(tmp_path / "bad.txt")


def test_localizer_of_the_study(shared):
    table = read_localizer(shared("language-stimuli") / "langloc")
    sizes = table.groupby(["run", "set", "condition"]).size()
    assert sizes.eq(24).all() and len(table) == 48 * len(sizes) // 2 and table["stimulus_id"].is_unique
    assert set(table["n_words"]) == {12} and {"1", "2"} == set(table["run"])
    short = table.set_index("condition")["words"].map(lambda ws: np.mean([len(w) for w in ws])).groupby(level=0).mean()
    assert abs(short["sentence"] - short["nonword"]) < 0.5


@pytest.mark.parametrize(
    ("name", "unit"),
    [("hftp_syntactic_corpora/English_syntactic_corpus.csv", "word"), ("hftp_syntactic_corpora/Chinese_syntactic_corpus.csv", "character"),
     ("language-stimuli/hftp_english_four_word_sentences.csv", "word")],
)  # fmt: skip
def test_corpora_of_the_study(shared, name, unit):
    folder, file = name.split("/")
    corpus = read_corpus(shared(folder) / file, unit=unit)
    assert len(corpus) == 50 and {len(units) for units in corpus} == {4}
    assert all(unit_.strip() for units in corpus for unit_ in units)


def test_all_word_similarity_sets(shared):
    pairs = read_word_pairs(shared("word_similarity"))
    assert pairs["set"].nunique() == 13
    sizes = pairs.groupby("set").size()
    assert sizes["EN-SIMLEX-999"] == 999 and sizes["EN-MEN-TR-3k"] == 3000 and sizes["EN-SimVerb-3500"] == 3500
