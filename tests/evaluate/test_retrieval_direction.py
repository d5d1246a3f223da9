"""Retrieval says which way it goes: on a matrix that is far from symmetric the two directions get different, right figures."""

import numpy as np

from braindec.evaluate.retrieval import evaluate_retrieval


def top1(predicted, vectors, direction):
    names = [f"i{k}" for k in range(len(vectors))]
    found = evaluate_retrieval(
        predicted, vectors, true_ids=names, candidate_ids=names, direction=direction, n_permutations=0, n_bootstrap=50
    ).scores
    return found[(found["metric"] == "top1") & (found["row"] == "decoded")]["value"].iloc[0]


def cosine(a, b):
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


def test_a_hub_among_the_images_spoils_one_direction_only():
    """Image 0 is near every prediction: predictions find it instead of their own image, images find their own prediction."""
    n = 12
    vectors = np.eye(n)
    predicted = np.eye(n)
    predicted[1:, 0] = 1.5
    assert top1(predicted, vectors, "brain_to_image") == 1 / n
    assert top1(predicted, vectors, "image_to_brain") == 1.0


def test_both_directions_equal_argmax_of_rows_and_of_columns():
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((40, 6))
    predicted = vectors + rng.standard_normal((40, 6)) * rng.uniform(0.1, 3, (40, 1))  # unequal noise: not symmetric
    similarity = cosine(predicted, vectors)  # brain x image
    rows, columns = (similarity.argmax(1) == np.arange(40)).mean(), (similarity.argmax(0) == np.arange(40)).mean()
    assert rows != columns
    assert np.isclose(top1(predicted, vectors, "brain_to_image"), rows)
    assert np.isclose(top1(predicted, vectors, "image_to_brain"), columns)
