"""Retrieval: closed forms, ties, names, directions, and calibration of p and intervals under the null."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.evaluate._ranks import expected_rank, reciprocal, top_credit, true_ranks, unit_rows
from braindec.evaluate.retrieval import evaluate_retrieval
from braindec.types import Features, Result


def value(found, metric, column="value", row="decoded", **where):
    table = found.scores[(found.scores.metric == metric) & (found.scores.row == row)]
    for key, wanted in where.items():
        table = table[table[key] == wanted]
    assert len(table) == 1
    return table[column].iloc[0]


def simulate(rng, n_items=20, n_rep=3, dim=16, noise=4.0, signal=1.0, own=0.0):
    """Trials of items; ``own`` is noise that the trials of one item share."""
    vectors = rng.normal(size=(n_items, dim))
    true = np.repeat(np.arange(n_items), n_rep)
    shared = rng.normal(size=(n_items, dim)) * own
    return signal * vectors[true] + shared[true] + rng.normal(size=(len(true), dim)) * noise, vectors, true


def test_ranks_against_a_plain_loop():
    rng = np.random.default_rng(0)
    predicted, vectors, true = simulate(rng)
    found = evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=range(20), n_permutations=20)
    for q in range(len(true)):
        cosine = [predicted[q] @ v / np.linalg.norm(predicted[q]) / np.linalg.norm(v) for v in vectors]
        rank = 1 + sum(c > cosine[true[q]] for c in cosine)
        assert found.ranks[q] == rank
        assert list(found.top(3)[q]) == [str(i) for i in np.argsort(cosine)[::-1][:3]]
        assert np.allclose(found.similarity[q], cosine, atol=1e-6)
    ranks = found.ranks
    assert value(found, "top1") == pytest.approx(np.mean(ranks == 1))
    assert value(found, "top5") == pytest.approx(np.mean(ranks <= 5))
    assert value(found, "median_rank") == np.median(ranks)
    assert value(found, "mean_reciprocal_rank") == pytest.approx(np.mean(1 / ranks))
    assert value(found, "pairwise") == pytest.approx(np.mean((20 - ranks) / 19))


def test_ties_get_the_expectation_under_random_breaking():
    above, tied = np.array([0, 2, 0]), np.array([3, 0, 9])
    assert np.allclose(top_credit(above, tied, 1), [0.25, 0, 0.1])
    assert np.allclose(top_credit(above, tied, 3), [0.75, 1, 0.3])
    assert np.allclose(expected_rank(above, tied), [2.5, 3, 5.5])
    assert np.allclose(
        reciprocal(above, tied, 10), [np.mean(1 / np.arange(1, 5)), 1 / 3, np.mean(1 / np.arange(1, 11))]
    )


def test_collapsed_predictions_score_exactly_chance_in_any_order():
    """A decoder that always says the same thing, or nothing, must not profit from the order of candidates."""
    same = np.ones((8, 4))
    for predicted in (np.zeros((8, 4)), same):
        found = evaluate_retrieval(
            predicted, same * np.arange(1, 9)[:, None], true_ids=range(8), candidate_ids=range(8)
        )
        assert value(found, "top1") == pytest.approx(1 / 8)
        assert value(found, "top5") == pytest.approx(5 / 8)
        assert value(found, "median_rank") == 4.5
        assert value(found, "top1", "p") == 1.0


def test_order_of_candidates_does_not_matter():
    rng = np.random.default_rng(1)
    predicted, vectors, true = simulate(rng)
    order = rng.permutation(20)
    a = evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=range(20), n_permutations=0)
    b = evaluate_retrieval(predicted, vectors[order], true_ids=true, candidate_ids=order, n_permutations=0)
    assert np.array_equal(a.ranks, b.ranks)
    assert np.array_equal(a.top(4), b.top(4))


def test_candidates_are_counted_once_by_name():
    rng = np.random.default_rng(2)
    predicted, vectors, true = simulate(rng)
    once = evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=range(20))
    thrice = evaluate_retrieval(predicted, np.tile(vectors, (3, 1)), true_ids=true, candidate_ids=np.tile(range(20), 3))
    assert np.array_equal(once.ranks, thrice.ranks)
    assert value(thrice, "top1", "n_candidates") == 20
    assert value(thrice, "top1", "chance") == 1 / 20
    assert "40 repeated candidates counted once" in thrice.notes
    vectors = np.tile(vectors, (2, 1))
    vectors[25] += 1
    with pytest.raises(BraindecError, match="several different vectors"):
        evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=np.tile(range(20), 2))


def test_chance_with_several_trials_and_distractors():
    rng = np.random.default_rng(3)
    predicted, vectors, true = simulate(rng, n_items=10, n_rep=7)
    found = evaluate_retrieval(
        predicted, np.r_[vectors, rng.normal(size=(30, 16))], true_ids=true, candidate_ids=range(40), topk=(1, 3, 40)
    )
    assert [value(found, m, "chance") for m in ("top1", "top3", "median_rank", "pairwise")] == [
        1 / 40,
        3 / 40,
        20.5,
        0.5,
    ]
    assert value(found, "mean_reciprocal_rank", "chance") == pytest.approx(np.mean(1 / np.arange(1, 41)))
    assert "top40" not in set(found.scores.metric) and "top-40 left out" in found.scores.note.iloc[0]
    assert value(found, "top1", "n") == 70 and value(found, "top1", "n_items") == 10


def test_intervals_exact_for_single_trials_and_over_items_for_repeated_ones():
    rng = np.random.default_rng(4)
    predicted, vectors, true = simulate(rng, n_items=50, n_rep=1, noise=2.0)
    found = evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=range(50))
    hits = round(value(found, "top1") * 50)
    from scipy.stats import binomtest

    exact = binomtest(hits, 50).proportion_ci(method="exact")
    assert value(found, "top1", "low") == pytest.approx(exact.low)
    assert value(found, "top1", "high") == pytest.approx(exact.high)
    # ten identical trials of an item hold no more than one: the interval must not shrink
    ten = evaluate_retrieval(
        np.repeat(predicted, 10, axis=0), vectors, true_ids=np.repeat(true, 10), candidate_ids=range(50)
    )
    assert value(ten, "top1") == value(found, "top1")
    width, wide = (value(f, "top1", "high") - value(f, "top1", "low") for f in (ten, found))
    assert width > 0.8 * wide
    assert "50 items" in value(ten, "top1", "note")


def test_perfect_retrieval_of_repeated_items_keeps_an_interval():
    vectors = np.eye(12)
    found = evaluate_retrieval(
        np.repeat(vectors, 4, axis=0), vectors, true_ids=np.repeat(range(12), 4), candidate_ids=range(12)
    )
    assert value(found, "top1") == 1 and value(found, "top1", "high") == 1
    assert value(found, "top1", "low") == pytest.approx(0.025 ** (1 / 12))  # exact interval of 12 of 12
    assert value(found, "top1", "p") == pytest.approx(1 / 1001)


def test_image_to_brain_searches_the_mean_prediction_of_each_item():
    rng = np.random.default_rng(5)
    predicted, vectors, true = simulate(rng, n_items=15, n_rep=4)
    found = evaluate_retrieval(
        predicted, np.r_[vectors, vectors + 1], true_ids=true, candidate_ids=range(30), direction="image_to_brain"
    )
    means = np.stack([predicted[true == i].mean(axis=0) for i in range(15)])
    cosine = unit_rows(vectors) @ unit_rows(means).T
    ranks = 1 + (cosine > np.diag(cosine)[:, None]).sum(axis=1)
    assert np.array_equal(found.ranks, ranks)
    assert value(found, "top1", "n_candidates") == 15 and set(found.scores.direction) == {"image_to_brain"}
    assert found.top(2).shape == (15, 2)


def test_curve_averages_repetitions():
    """Top-1 at k trials is what evaluating means of k trials gives; at all trials there is one subset only."""
    rng = np.random.default_rng(6)
    predicted, vectors, true = simulate(rng, n_items=40, n_rep=16, noise=10.0)
    found = evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=range(40), n_permutations=0)
    assert list(found.curve.k) == [1, 2, 4, 8, 16]
    means = predicted.reshape(40, 16, -1).mean(axis=1)
    whole = evaluate_retrieval(means, vectors, true_ids=range(40), candidate_ids=range(40), n_permutations=0)
    assert found.curve.top1.iloc[-1] == value(whole, "top1")
    assert found.curve.low.iloc[-1] == pytest.approx(value(whole, "top1", "low"))
    assert found.curve.top1.iloc[0] == pytest.approx(value(found, "top1"), abs=0.04)
    assert np.all(np.diff(found.curve.top1) > 0)
    assert set(found.curve.n) == {40}


def test_curve_leaves_out_items_with_too_few_trials():
    rng = np.random.default_rng(7)
    predicted, vectors, true = simulate(rng, n_items=10, n_rep=6)
    kept = ~((true < 4) & (np.arange(60) % 6 >= 2))  # items 0 to 3 have two trials
    curve = evaluate_retrieval(
        predicted[kept], vectors, true_ids=true[kept], candidate_ids=range(10), repetitions=(1, 2, 3, 6, 7)
    ).curve
    assert list(zip(curve.k, curve.n, strict=True)) == [(1, 10), (2, 10), (3, 6), (6, 6)]


def test_subjects_are_scored_alone_and_pooled():
    rng = np.random.default_rng(8)
    predicted, vectors, true = simulate(rng, n_items=12, n_rep=6, noise=3.0)
    groups = np.tile(["01", "02", "03", "04", "05", "06"], 12)
    for direction in ("brain_to_image", "image_to_brain"):
        found = evaluate_retrieval(
            predicted, vectors, true_ids=true, candidate_ids=range(12), groups=groups, direction=direction
        )
        alone = [value(found, "top1", subject=s) for s in sorted(set(groups))]
        assert value(found, "top1", subject="pooled") == pytest.approx(np.mean(alone))
        assert "12 items and 6 subjects" in value(found, "top1", "note", subject="pooled")
        one = evaluate_retrieval(predicted[groups == "02"], vectors, true_ids=true[groups == "02"], candidate_ids=range(12),
                                 direction=direction)  # fmt: skip
        assert value(one, "top1") == value(found, "top1", subject="02")
        assert np.array_equal(found.queries["rank"][found.queries.subject == "02"], one.ranks)
        assert set(found.curve.subject) == {*groups, "pooled"}


def test_scores_fit_a_result_and_are_the_same_for_the_same_seed(tmp_path):
    rng = np.random.default_rng(9)
    predicted, vectors, true = simulate(rng)
    options = {"true_ids": true, "candidate_ids": range(20), "keys": {"subject": "01"}, "seed": 3}
    a, b = (evaluate_retrieval(predicted, vectors, **options) for _ in range(2))
    assert a.scores.equals(b.scores) and a.curve.equals(b.curve)
    assert Result(a.scores).save(tmp_path / "r").joinpath("scores.csv").read_text().startswith("subject,")
    assert list(a.scores.columns[:2]) == ["subject", "metric"]
    shuffled = a.scores[a.scores.row == "item_permutation"]
    top1 = shuffled[shuffled.metric == "top1"].iloc[0]
    assert abs(top1.value - 1 / 20) < 0.01 and top1.low <= 1 / 20 <= top1.high
    control = evaluate_retrieval(predicted, vectors, row="noise_input", **options)
    assert set(control.scores.row) == {"noise_input"}


def test_features_bring_their_names():
    vectors = np.eye(5)
    features = Features.from_array(vectors, list("abcde"))
    found = evaluate_retrieval(vectors, features, true_ids=list("abcde"))
    assert value(found, "top1") == 1 and found.top(1)[2, 0] == "c"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidate_ids": None}, "need names"),
        ({"candidate_ids": ["a", "b"]}, "differ in number"),
        ({"true_ids": ["a", "b", "dx"]}, "not among the candidates"),
        ({"true_ids": ["a"]}, "differ in number"),
        ({"direction": "forward"}, "brain_to_image"),
        ({"similarity": "euclid"}, "cosine"),
        ({"groups": ["1"]}, "groups and predicted"),
        ({"predicted": np.full((3, 3), np.nan)}, "not finite"),
        ({"predicted": np.zeros((3, 2))}, "one dim"),
        ({"candidates": np.zeros((3, 3))}, "all zeros"),
        ({"predicted": np.zeros((0, 3)), "true_ids": []}, "nothing to retrieve"),
        ({"candidates": np.eye(3)[:1], "candidate_ids": ["a"], "true_ids": ["a"] * 3}, "at least 2 candidates"),
    ],
)
def test_errors(change, words):
    arguments = {
        "predicted": np.eye(3),
        "candidates": np.eye(3),
        "true_ids": list("abc"),
        "candidate_ids": list("abc"),
        **change,
    }
    with pytest.raises(BraindecError, match=words):
        evaluate_retrieval(arguments.pop("predicted"), arguments.pop("candidates"), **arguments)


def test_blocks_give_the_same_as_one_piece(monkeypatch):
    rng = np.random.default_rng(10)
    predicted, vectors, true = simulate(rng)
    whole = evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=range(20), n_permutations=50)
    monkeypatch.setattr("braindec.evaluate._ranks._BLOCK", 47)
    parts = evaluate_retrieval(predicted, vectors, true_ids=true, candidate_ids=range(20), n_permutations=50)
    pd.testing.assert_frame_equal(whole.scores, parts.scores, rtol=1e-12)
    assert np.array_equal(whole.top(5), parts.top(5))
    a, t = true_ranks(unit_rows(predicted), unit_rows(vectors), true)
    assert np.array_equal(expected_rank(a, t), whole.ranks)


def false_positives(n, *, n_rep, own, groups=1, distractors=0, seed=0):
    """Share of null simulations with p <= 0.05, for three statistics."""
    hits = np.zeros(3)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        true = np.repeat(np.arange(12), n_rep * groups)
        shared = rng.normal(size=(12, 8)) * own  # trials of an item are alike, in a way that candidates know nothing of
        predicted = shared[true] + rng.normal(size=(len(true), 8)) + 0.7  # and all lean to one side
        vectors = rng.normal(size=(12 + distractors, 8))
        found = evaluate_retrieval(
            predicted, vectors, true_ids=true, candidate_ids=range(len(vectors)), n_permutations=199, n_bootstrap=0, topk=(1,),
            groups=None if groups == 1 else np.tile(np.arange(groups), 12 * n_rep), seed=i, row="null", repetitions=(),
        )  # fmt: skip
        where = {} if groups == 1 else {"subject": "pooled"}
        hits += [
            value(found, m, "p", row="null", **where) <= 0.05
            for m in ("median_rank", "mean_reciprocal_rank", "pairwise")
        ]
    return hits / n


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        {"n_rep": 1, "own": 0.0},
        {"n_rep": 5, "own": 0.0},
        {"n_rep": 5, "own": 2.0},  # a permutation of single trials would call half of these significant
        {"n_rep": 3, "own": 2.0, "groups": 3},
        {"n_rep": 2, "own": 1.0, "distractors": 30},
    ],
)
def test_p_is_calibrated_under_the_null(design):
    rates = false_positives(600, **design)
    assert np.all((rates[1:] >= 0.03) & (rates[1:] <= 0.07)), rates
    assert 0.01 <= rates[0] <= 0.07, rates  # medians among 12 candidates tie, which can only lower the rate


@pytest.mark.slow
def test_interval_over_items_covers_the_truth():
    """Items differ, their trials are alike: 95 % intervals of top-1 hold the long-run value of the items' population."""
    rng = np.random.default_rng(0)
    from braindec.evaluate._retrieval_stats import interval

    inside = []
    for _ in range(400):
        rate = rng.beta(1.5, 4.5, size=40)  # mean 0.25
        item = np.repeat(np.arange(40), 6)
        hits = (rng.random(240) < rate[item]).astype(float)
        low, high, _ = interval(hits, item, np.zeros(240, int), proportion=True, n_bootstrap=400, rng=rng)
        inside.append(low <= 0.25 <= high)
    assert 0.91 <= np.mean(inside) <= 0.98


def test_a_perfect_score_of_few_items_is_not_certain():
    vectors = np.eye(10)
    found = evaluate_retrieval(np.repeat(vectors, 3, axis=0), vectors, true_ids=np.repeat(np.arange(10), 3),
                               candidate_ids=np.arange(10), topk=(1,), n_permutations=0)  # fmt: skip
    rows = found.scores.set_index("metric")
    for metric in ("top1", "pairwise", "mean_reciprocal_rank"):
        assert rows.loc[metric, "value"] == 1 and rows.loc[metric, "low"] == pytest.approx(0.025**0.1)
