"""Metrics against scikit-learn and scipy; ties, weights, batches, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn import metrics as reference

from braindec import registry
from braindec.errors import BraindecError


def metric(name):
    return registry.get("evaluate.metrics", name)


def labelled(n_classes, seed=0, n=80):
    rng = np.random.default_rng(seed)
    names = np.array(["face", "house", "shoe", "tool"])[:n_classes]
    codes = np.r_[
        np.arange(n_classes),
        rng.choice(n_classes, size=n - n_classes, p=[0.5, *[0.5 / (n_classes - 1)] * (n_classes - 1)]),
    ]
    scores = np.round(rng.normal(size=(n, n_classes)) + np.eye(n_classes)[codes], 1)  # rounded: many ties
    return names[codes], scores, names[scores.argmax(axis=1)], names


@pytest.mark.parametrize("n_classes", [2, 4])
def test_labels_and_scores_equal_scikit_learn(n_classes):
    y, scores, predicted, names = labelled(n_classes)
    assert metric("accuracy")(y, predicted) == pytest.approx(reference.accuracy_score(y, predicted))
    assert metric("balanced_accuracy")(y, predicted) == pytest.approx(reference.balanced_accuracy_score(y, predicted))
    assert metric("f1_macro")(y, predicted) == pytest.approx(reference.f1_score(y, predicted, average="macro"))
    posterior = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert metric("log_loss")(y, scores, classes=names) == pytest.approx(reference.log_loss(y, posterior))
    if n_classes == 2:
        expected = reference.roc_auc_score(y, scores[:, 1] - scores[:, 0])
    else:
        expected = np.mean([reference.roc_auc_score(y == c, scores[:, k]) for k, c in enumerate(names)])
    assert metric("auc")(y, scores, classes=names) == pytest.approx(expected)


def test_values_equal_scikit_learn_and_scipy():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(30, 3))
    given = y + rng.normal(size=(30, 3))
    assert metric("r2")(y, given) == pytest.approx(reference.r2_score(y, given))
    assert metric("pearson")(y, given) == pytest.approx(
        np.mean([pearsonr(a, b)[0] for a, b in zip(y.T, given.T, strict=True)])
    )


def test_one_score_a_row_is_enough_for_two_classes():
    y, scores, _, _ = labelled(2)
    margin = scores[:, 1] - scores[:, 0]
    assert metric("auc")(y, margin) == pytest.approx(reference.roc_auc_score(y, margin))


def test_auc_of_ties_only_is_one_half():
    assert metric("auc")(["a", "b", "a", "b"], np.zeros((4, 2))) == 0.5


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1_macro", "log_loss", "auc"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_are_repetitions(name, n_classes):
    y, scores, _, names = labelled(n_classes, seed=2)
    codes = np.searchsorted(names, y)
    weights = np.random.default_rng(3).integers(0, 4, size=(6, len(y))).astype(np.float32)
    given = scores if metric(name).needs == "scores" else scores.argmax(axis=1)
    found = metric(name).combine(*metric(name).sums(codes, given, n_classes, weights))
    for row, value in zip(weights.astype(int), found, strict=True):
        repeated = given.repeat(row, axis=0)
        prediction = repeated if metric(name).needs == "scores" else names[repeated]
        assert metric(name)(y.repeat(row), prediction, classes=names) == pytest.approx(value)


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro", "log_loss", "auc"])
def test_a_batch_equals_a_loop(name):
    rng = np.random.default_rng(4)
    codes = np.stack([rng.permutation(np.arange(40) % 3) for _ in range(5)])
    scores = np.round(rng.normal(size=(5, 40, 3)), 1)
    given = scores if metric(name).needs == "scores" else scores.argmax(axis=-1)
    batch = metric(name).combine(*metric(name).sums(codes, given, 3))
    loop = [float(metric(name).combine(*metric(name).sums(c, g, 3))) for c, g in zip(codes, given, strict=True)]
    np.testing.assert_allclose(batch, loop)


def test_sums_over_folds_weigh_auc_by_pairs():
    y, scores, _, _ = labelled(2, seed=5)
    codes = np.searchsorted(["face", "house"], y)
    folds = np.arange(len(y)) % 4
    above, below = (
        sum(parts)
        for parts in zip(*[metric("auc").sums(codes[folds == f], scores[folds == f], 2) for f in range(4)], strict=True)
    )
    pairs = [np.sum(codes[folds == f] == 0) * np.sum(codes[folds == f] == 1) for f in range(4)]
    values = [
        reference.roc_auc_score(codes[folds == f], scores[folds == f, 1] - scores[folds == f, 0]) for f in range(4)
    ]
    assert metric("auc").combine(above, below) == pytest.approx(np.average(values, weights=pairs))


def test_chance_is_what_ignorance_gets():
    rng = np.random.default_rng(6)
    y = rng.choice(["a", "b", "c"], size=20_000, p=[0.6, 0.3, 0.1])
    classes = np.array(["a", "b", "c"])
    share = np.array([np.mean(y == c) for c in classes])
    guess = rng.choice(classes, size=20_000, p=share)
    assert metric("f1_macro").chance(y, classes) == pytest.approx(metric("f1_macro")(y, guess), abs=0.01)
    assert metric("balanced_accuracy").chance(y, classes) == pytest.approx(
        metric("balanced_accuracy")(y, guess), abs=0.015
    )
    assert metric("accuracy").chance(y, classes) == metric("accuracy")(y, np.full(20_000, "a"))
    prior = np.log(share)[None].repeat(20_000, axis=0)
    assert metric("log_loss").chance(y, classes) == pytest.approx(metric("log_loss")(y, prior, classes=classes))
    assert metric("auc").chance(y, classes) == pytest.approx(
        metric("auc")(y, rng.normal(size=(20_000, 3)), classes=classes), abs=0.015
    )


@pytest.mark.parametrize(
    ("name", "y", "given", "message"),
    [
        ("auc", ["a", "a"], np.zeros((2, 1)), "one class"),
        ("auc", ["a", "b"], np.array([[0.0, np.nan], [0, 1]]), "not finite"),
        ("auc", ["a", "b"], np.zeros((2, 3)), "for each row and class"),
        ("accuracy", ["a", None], ["a", "a"], "missing"),
        ("accuracy", ["a", "b"], ["a"], "two lists"),
        ("accuracy", [], [], "one label a row"),
        ("log_loss", [0.0, np.nan], np.zeros((2, 2)), "missing"),
        ("r2", [1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "does not vary"),
        ("pearson", [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], "does not vary"),
        ("r2", [1.0, np.nan], [1.0, 2.0], "finite"),
    ],
)
def test_what_is_not_defined_is_refused(name, y, given, message):
    with pytest.raises(BraindecError, match=message):
        metric(name)(np.array(y, dtype=object if None in list(y) else None), given)


def test_a_label_that_is_no_class_is_named():
    with pytest.raises(BraindecError, match="zebra"):
        metric("accuracy")(["a", "zebra"], ["a", "b"], classes=["a", "b"])
