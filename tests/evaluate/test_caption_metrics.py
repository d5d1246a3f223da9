"""Caption metrics against figures worked by hand, brute force and, where they are installed, nltk, rouge-score and sacrebleu."""

import itertools
from math import exp, log, sqrt

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.evaluate._caption_words import central_caption, words_of
from braindec.evaluate._porter import stem
from braindec.evaluate.captions.bleu import bleu, corpus_bleu
from braindec.evaluate.captions.cider import cider
from braindec.evaluate.captions.meteor import align_words, meteor
from braindec.evaluate.captions.rouge import common_subsequence, rouge
from braindec.evaluate.captions.sentence_cosine import sentence_cosine
from braindec.evaluate.sentence_vectors import HashingSentences, TfidfSentences, open_sentences

ALL = [(bleu, {}), (rouge, {}), (meteor, {}), (cider, {}), (sentence_cosine, {"network": "hashing"})]
VOCABULARY = (
    "a man dog cats cat riding rides ride horse on the red blue street in of two people running run big".split()
)


def made_up(n=60, seed=0, several=3):
    rng = np.random.default_rng(seed)

    def sentence():
        return " ".join(rng.choice(VOCABULARY, rng.integers(4, 10)))

    true = [[sentence() for _ in range(several)] for _ in range(n)]
    made = [
        " ".join([*r[0].split()[:-1], *sentence().split()[:2]]) if i % 2 else sentence() for i, r in enumerate(true)
    ]
    return made, true


def test_words():
    assert words_of("A man's T-shirt, don’t  you-- think? (3 times!)") == [
        "a",
        "man's",
        "t-shirt",
        "don't",
        "you",
        "think",
        "3",
        "times",
    ]
    assert words_of("Café naïve ... _ !") == ["café", "naïve"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("caresses", "caress"), ("ponies", "poni"), ("ties", "ti"), ("cats", "cat"), ("feed", "feed"), ("agreed", "agre"),
     ("plastered", "plaster"), ("bled", "bled"), ("motoring", "motor"), ("sing", "sing"), ("conflated", "conflat"),
     ("troubled", "troubl"), ("sized", "size"), ("hopping", "hop"), ("falling", "fall"), ("hissing", "hiss"),
     ("failing", "fail"), ("filing", "file"), ("happy", "happi"), ("sky", "sky"), ("relational", "relat"),
     ("conditional", "condit"), ("vietnamization", "vietnam"), ("sensibiliti", "sensibl"), ("triplicate", "triplic"),
     ("electriciti", "electr"), ("hopefulness", "hope"), ("adoption", "adopt"), ("replacement", "replac"),
     ("probate", "probat"), ("rate", "rate"), ("cease", "ceas"), ("controll", "control"), ("roll", "roll"), ("as", "as")],
)  # fmt: skip
def test_stems_of_the_paper(word, expected):
    assert stem(word) == expected


def test_stems_equal_those_of_nltk():
    porter = pytest.importorskip("nltk.stem.porter")
    theirs = porter.PorterStemmer(mode=porter.PorterStemmer.ORIGINAL_ALGORITHM)
    endings = [
        "",
        "s",
        "ed",
        "ing",
        "ation",
        "ational",
        "ness",
        "fulness",
        "ies",
        "y",
        "ement",
        "ively",
        "ize",
        "izer",
        "ll",
    ]
    words = [
        b + e
        for b in ("relat", "hop", "happ", "control", "transmit", "bab", "try", "agre", "siz", "oper")
        for e in endings
    ]
    assert [stem(w) for w in words] == [theirs.stem(w) for w in words]


def test_bleu_by_hand():
    made, true = ["the the the the"], [["the cat is on the mat", "there is a cat on the mat"]]
    assert corpus_bleu(made, true, max_n=1) == pytest.approx(2 / 4 * exp(1 - 6 / 4))  # clipped to two; brevity
    assert bleu.score(made, true, version="bleu-1") == pytest.approx(2 / 4 * exp(1 - 6 / 4))
    same = ["a b c d e"], ["a b c d e"]
    assert corpus_bleu(*same) == 1 and bleu.score(*same) == 1
    made, true = ["a b c x"], ["a b c d"]
    # 3/4, (2+1)/(3+1), (1+1)/(2+1), (0+1)/(1+1)
    assert bleu.score(made, true) == pytest.approx((3 / 4 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert corpus_bleu(made, true) == 0
    nearest = ["a b c"], [["a b", "a b c d"]]  # equally near in length: the shorter counts
    assert corpus_bleu(*nearest, max_n=1) == 1


def test_bleu_equals_nltk_and_sacrebleu():
    theirs = pytest.importorskip("nltk.translate.bleu_score")
    made, true = made_up()
    split, references = [m.split() for m in made], [[r.split() for r in several] for several in true]
    for n in (1, 2, 3, 4):
        expected = theirs.corpus_bleu(references, split, weights=[1 / n] * n)
        assert corpus_bleu(made, true, max_n=n) == pytest.approx(expected)
    smooth = theirs.SmoothingFunction().method2
    expected = [theirs.sentence_bleu(r, m, smoothing_function=smooth) for m, r in zip(split, references)]
    np.testing.assert_allclose(bleu.per_item(made, true), expected)
    sacrebleu = pytest.importorskip("sacrebleu")
    score = sacrebleu.corpus_bleu(made, list(zip(*true)), tokenize="none", smooth_method="none").score
    assert corpus_bleu(made, true) == pytest.approx(score / 100)


def test_rouge_by_hand_and_by_brute_force():
    made, true = ["police kill the gunman"], ["police killed the gunman"]
    assert rouge.score(made, true) == pytest.approx(3 / 4)
    assert rouge.score(["the gunman kill police"], true) == pytest.approx(2 / 4)  # order counts
    assert rouge.score(["the gunman kill police"], true, version="rouge-1") == pytest.approx(3 / 4)
    p, r = 2 / 2, 2 / 4
    assert rouge.score(["the gunman"], true, version="coco-2015") == pytest.approx((1 + 1.44) * p * r / (r + 1.44 * p))
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = (list(rng.choice(list("abc"), rng.integers(1, 7))) for _ in range(2))
        longest = max(k for k in range(len(a) + 1) for c in itertools.combinations(a, k) if _is_subsequence(c, b))
        assert common_subsequence(a, b) == longest


def _is_subsequence(part, whole):
    rest = iter(whole)
    return all(any(w == p for w in rest) for p in part)


def test_rouge_equals_rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rougeL"])
    made, true = made_up()
    for version, key in (("strict", "rougeL"), ("rouge-1", "rouge1")):
        expected = [max(scorer.score(r, m)[key].fmeasure for r in several) for m, several in zip(made, true)]
        np.testing.assert_allclose(rouge.per_item(made, true, version=version), expected)


def test_meteor_by_hand():
    # all six words, one chunk
    assert meteor.score(["the cat sat on the mat"], ["the cat sat on the mat"]) == pytest.approx(1 - 0.5 * (1 / 6) ** 3)
    # "on the mat sat the cat": six matches in three chunks at best
    assert meteor.score(["on the mat sat the cat"], ["the cat sat on the mat"]) == pytest.approx(1 - 0.5 * (3 / 6) ** 3)
    # one stem match of two words and three: P 1/2, R 1/3
    f = (1 / 2) * (1 / 3) / (0.9 / 2 + 0.1 / 3)
    assert meteor.score(["dogs bark"], ["one dog slept"]) == pytest.approx(f * 0.5)
    assert meteor.score(["blue"], ["a red disc"]) == 0


def test_alignment_has_the_most_pairs_in_the_fewest_chunks():
    """Against all alignments of short captions."""
    rng = np.random.default_rng(0)
    same = [lambda a, b: a == b, lambda a, b: a[0] == b[0]]
    words = ["a1", "a2", "b1", "b2", "c"]
    for _ in range(40):
        made, reference = (list(rng.choice(words, 5)) for _ in range(2))
        best = max(_all_alignments(made, reference))
        found = align_words(made, reference, same)
        assert _worth(found, made, reference) == best


def _worth(pairs, made, reference):
    exact = sum(made[i] == reference[j] for i, j in pairs)
    chunks = sum(k == 0 or pairs[k] != (pairs[k - 1][0] + 1, pairs[k - 1][1] + 1) for k in range(len(pairs)))
    return exact, len(pairs) - exact, -chunks


def _all_alignments(made, reference):
    options = [[None, *(j for j, r in enumerate(reference) if r[0] == m[0])] for m in made]
    for choice in itertools.product(*options):
        used = [j for j in choice if j is not None]
        if len(used) == len(set(used)):
            yield _worth([(i, j) for i, j in enumerate(choice) if j is not None], made, reference)


def test_meteor_is_at_least_that_of_nltk_whose_alignment_is_greedy():
    theirs = pytest.importorskip("nltk.translate.meteor_score")
    porter = pytest.importorskip("nltk.stem.porter")
    stemmer = porter.PorterStemmer(mode=porter.PorterStemmer.ORIGINAL_ALGORITHM)

    class NoSynonyms:
        def synsets(self, word):
            return []

    made, true = made_up(several=1)
    expected = np.array([
        theirs.single_meteor_score(r[0].split(), m.split(), stemmer=stemmer, wordnet=NoSynonyms())
        for m, r in zip(made, true)
    ])  # fmt: skip
    found = meteor.per_item(made, true)
    assert (found >= expected - 1e-9).all() and (np.abs(found - expected) < 1e-9).mean() > 0.5


def test_meteor_with_synonyms_says_what_it_needs():
    try:
        from nltk.corpus import wordnet

        wordnet.ensure_loaded()
    except ImportError:
        with pytest.raises(BraindecError, match="nltk"):
            meteor.score(["a car"], ["an automobile"], version="wordnet-2005")
    except LookupError:
        with pytest.raises(BraindecError, match="data of WordNet"):
            meteor.score(["a car"], ["an automobile"], version="wordnet-2005")
    else:
        found = [meteor.score(["a car"], ["an automobile"], version=v) for v in ("strict", "wordnet-2005")]
        assert found[0] == 0 < found[1]


def cider_by_equations(made, true, *, d=False):
    """Equations of the paper, run by run."""

    def runs(text, n):
        words = text.split()
        return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    values = []
    for text, several in zip(made, true):
        each = []
        for reference in several:
            total = 0
            for n in (1, 2, 3, 4):
                grams = sorted(set(runs(text, n)) | set(runs(reference, n)))
                rare = [log(len(true) / max(1, sum(any(g in runs(r, n) for r in s) for s in true))) for g in grams]
                a, b = (np.array([runs(t, n).count(g) * w for g, w in zip(grams, rare)]) for t in (text, reference))
                length = sqrt((a @ a) * (b @ b)) if len(grams) else 0
                total += ((np.minimum(a, b) if d else a) @ b) / length if length else 0
            penalty = exp(-((len(text.split()) - len(reference.split())) ** 2) / 72) if d else 1
            each.append(total / 4 * penalty)
        values.append(np.mean(each) * (10 if d else 1))
    return values


def test_cider_equals_the_equations():
    made, true = made_up(n=12)
    np.testing.assert_allclose(cider.per_item(made, true), cider_by_equations(made, true), atol=1e-12)
    found = cider.per_item(made, true, version="cider-d")
    np.testing.assert_allclose(found, cider_by_equations(made, true, d=True), atol=1e-12)
    alone = [r[0] for r in true]
    assert cider.score(alone, alone) == pytest.approx(1) and cider.score(
        alone, alone, version="cider-d"
    ) == pytest.approx(10)
    repeated = ["horse " * 8, "x y z w"], [["horse on a street"], ["the cat sat there"]]
    assert cider.per_item(*repeated, version="cider-d")[0] < cider.per_item(*repeated)[0] * 10
    one = cider.per_item(made[:1], true[:1], collection=true)
    assert one == pytest.approx(cider.per_item(made, true)[:1])
    assert cider.score(["dogs running fast", "a"], ["dog runs fast", "b"], stem=True) > cider.score(
        ["dogs running fast", "a"], ["dog runs fast", "b"]
    )
    with pytest.raises(BraindecError, match="at least two items"):
        cider.score(["a b"], ["a b"])


def test_sentence_cosine_on_any_network():
    vectors = {"a": [1, 0], "b": [0, 2], "c": [1, 1], "": [0, 0]}
    found = sentence_cosine.per_item(
        ["a", "b", "c"], [["b", "c"], ["a"], "c"], network=lambda t: np.array([vectors[x] for x in t])
    )
    assert found == pytest.approx([sqrt(0.5), 0, 1])
    with pytest.warns(UserWarning, match="1 of 1 items"):
        assert sentence_cosine.score([""], ["a"], network=lambda t: np.array([vectors[x] for x in t])) == 0
    with pytest.raises(BraindecError, match="one finite vector a text"):
        sentence_cosine.score(["a"], ["b"], network=lambda t: np.full((len(t), 2), np.nan))


def test_built_in_sentence_networks():
    texts = ["a red disc", "a red disc moves", "two dogs"]
    for network in (HashingSentences(), TfidfSentences(), TfidfSentences(collection=["a cat", "a man"])):
        v = network(texts)
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
        assert v[0] @ v[1] > 0.6 and v[0] @ v[2] == pytest.approx(0)
    np.testing.assert_array_equal(HashingSentences()(texts)[:1], HashingSentences()(texts[:1]))  # of the text alone
    counts = {"a": 2 / 4, "red": 2 / 4, "disc": 2 / 4}  # in two of three texts: log((1 + 3) / (1 + 2)) + 1
    weight = TfidfSentences()(texts)[0]
    assert sorted(weight[weight > 0]) == pytest.approx([log(4 / 3) + 1] * len(counts))


@pytest.mark.parametrize(("metric", "options"), ALL)
def test_every_caption_metric_knows_right_from_wrong(metric, options):
    made, true = made_up(n=30)
    perfect = [r[1] for r in true]
    right, some, wrong = (metric.per_item(m, true, **options) for m in (perfect, made, ["zzz qqq"] * 30))
    assert right.shape == (30,) and right.mean() > some.mean() > wrong.mean() == 0
    assert metric.per_item([""] * 30, true, **options).tolist() == [0] * 30 if metric is not sentence_cosine else True
    assert some.mean() > metric.exchanged(made, true, **options) > 0
    assert right.mean() > metric.blind(true, perfect, **options) > 0
    assert np.isnan(metric.chance(30))
    order = np.random.default_rng(0).permutation(30)
    shuffled = metric.per_item([made[i] for i in order], [true[i] for i in order], **options)
    np.testing.assert_allclose(shuffled, some[order])


def test_the_blind_caption_is_the_most_central_one():
    assert central_caption(["a dog", "a red dog runs", "a dog runs", "blue"]) == "a dog runs"
    assert central_caption([["a b", "c d"], ["a b", "x"]]) == "a b"


@pytest.mark.parametrize(
    ("made", "true", "words"),
    [
        (["a"], ["a", "b"], "1 made, 2 true"),
        ("a", ["a"], "lists of captions"),
        ([None], ["a"], "must be texts"),
        (["a"], [None], "at least one reference"),
        (["a"], [[]], "at least one reference"),
        (["a"], ["..."], "at least one reference"),
        ([], [], "0 made"),
    ],
)
@pytest.mark.parametrize(("metric", "options"), ALL)
def test_bad_captions_are_refused(metric, options, made, true, words):
    with pytest.raises(BraindecError, match=words):
        metric.per_item(made, true, **options)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("hasing", "did you mean 'hashing'"),
        (None, "needs a network of sentences"),
        ({"name": "hashing", "unit": 4}, "did you mean 'units'"),
        ({"name": "hashing", "units": 1}, "at least two units"),
        ({"name": "transformers", "weights": "/nowhere"}, "no folder"),
    ],
)
def test_bad_sentence_networks_are_refused(network, words):
    with pytest.raises(BraindecError, match=words):
        open_sentences(network)
    with pytest.raises(BraindecError, match=r"no version 'bleu-5'; did you mean 'bleu-"):
        bleu.score(["a"], ["a"], version="bleu-5")
