"""Read-out of latents on held-out time: equal to plain formulas, at chance where it must be."""

import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.neighbors import NearestNeighbors

from braindec.errors import BraindecError
from braindec.ridge.folds import contiguous_folds
from braindec.spikes.read_out import angular_error, nearest, read_out, scored


def slow(n, dim, rng, keep=0.95):
    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.standard_normal((n, dim)), axis=0)


@pytest.mark.parametrize("how", ["linear", "neighbours"])
def test_planted_labels_are_read_and_scored(how):
    rng = np.random.default_rng(0)
    z = slow(1500, 3, rng)
    y = z @ rng.standard_normal((3, 2)) + 0.2 * rng.standard_normal((1500, 2))
    folds = contiguous_folds(1500, 5, buffer=20)
    found = read_out(z, y, folds=folds, how=how)
    score = scored(found, n_shifts=99)
    assert score.value > 0.85 and score.p == 0.01 and score.low < score.value < score.high
    by_hand = 1 - ((y - found.predicted) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
    assert score.value == pytest.approx(by_hand)
    assert score.value == pytest.approx(r2_score(y, found.predicted, multioutput="variance_weighted"))
    two = scored([found, found], metric="pearson", n_shifts=9)
    blocks = [np.corrcoef(y[t, 0], found.predicted[t, 0])[0, 1] for _, t in folds]
    assert two.value == pytest.approx(np.mean(blocks), abs=0.03) and two.n == 3000


def test_neighbours_are_the_nearest():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200, 4)), rng.standard_normal((30, 4))
    expected = NearestNeighbors(n_neighbors=7).fit(a).kneighbors(b, return_distance=False)
    assert np.array_equal(nearest(a, b, 7), expected)


def test_classes():
    rng = np.random.default_rng(0)
    kind = np.repeat(rng.integers(0, 3, 80), 15)
    z = np.eye(3)[kind] + 0.4 * rng.standard_normal((1200, 3))
    found = read_out(z, np.array(["a", "b", "c"])[kind], folds=contiguous_folds(1200, 4, buffer=5))
    score = scored(found, n_shifts=39)
    assert score.metric == "balanced_accuracy" and score.chance == pytest.approx(1 / 3)
    assert (
        score.value == pytest.approx(balanced_accuracy_score(found.true[:, 0], found.predicted[:, 0]))
        and score.value > 0.85
    )
    with pytest.raises(BraindecError, match="balanced_accuracy"):
        scored(found, metric="r2")


def test_slow_unrelated_series_keep_the_level():
    p, r = [], []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        found = read_out(slow(400, 3, rng), slow(400, 1, rng), folds=contiguous_folds(400, 4, buffer=20))
        score = scored(found, metric="pearson", n_shifts=19, n_bootstrap=0, rng=seed)
        p.append(score.p)
        r.append(score.value)
    assert np.mean(np.array(p) <= 0.1) < 0.2
    assert abs(np.mean(r)) < 0.08  # within blocks, training means do not push r below 0


def test_latents_of_their_own_in_each_fold_and_angles():
    rng = np.random.default_rng(0)
    angle = np.cumsum(0.1 * rng.standard_normal(900))
    y = np.stack([np.cos(angle), np.sin(angle)], 1)
    folds = contiguous_folds(900, 3, buffer=10)
    turned = [y @ np.linalg.qr(rng.standard_normal((2, 2)))[0] for _ in folds]
    found = read_out(turned, y, folds=folds)
    assert scored(found, n_shifts=0).value > 0.999 and angular_error(found.true, found.predicted) < 0.5
    assert angular_error(y, 3 * y @ np.array([[0, 1], [-1, 0]])) == pytest.approx(90)
    with pytest.raises(BraindecError, match="one a fold"):
        read_out(turned[:2], y, folds=folds)
    with pytest.raises(BraindecError, match="linear"):
        read_out(y, y, folds=folds, how="linar")
