"""Losses against independent NumPy versions and closed forms; items of one id are never negatives of each other."""

import numpy as np
import pytest
import torch

from braindec import losses
from braindec.errors import BraindecError

NAMES = ("infonce", "one_way_sequence", "multi_positive", "siglip")


def unit(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def log_softmax(v):
    v = v - v.max(axis=1, keepdims=True)
    return v - np.log(np.exp(v).sum(axis=1, keepdims=True))


def pairs(n=7, dim=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)), rng.normal(size=(n, dim)) * 3


def value(name, z, y, ids=None, queue=None, **options):
    loss = losses.get(name, **options).double()
    ids = None if ids is None else torch.as_tensor(ids)
    return loss(torch.as_tensor(z), torch.as_tensor(y), ids=ids, queue=queue).item()


def test_infonce_is_cross_entropy_in_both_directions():
    z, y = pairs()
    logits = unit(z) @ unit(y).T / 0.2
    there, back = -np.diag(log_softmax(logits)).mean(), -np.diag(log_softmax(logits.T)).mean()
    assert value("infonce", z, y) == pytest.approx((there + back) / 2, rel=1e-6)
    assert value("infonce", z, y, symmetric=False, temperature=0.2) == pytest.approx(there, rel=1e-6)


def test_infonce_closed_forms():
    same = np.ones((6, 3))
    assert value("infonce", same, same) == pytest.approx(np.log(6))  # no information
    z = np.eye(4)
    expected = np.log(1 + 3 * np.exp(-1 / 0.5))  # orthogonal and right
    assert value("infonce", z, 9 * z, temperature=0.5) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 9)])
def test_one_way_is_the_published_formula(shape):
    """CE of <Z_i, Y_j> over features and time, divided by the norm of Y_j; Z is not normalised, no temperature."""
    rng = np.random.default_rng(0)
    Z, Y = rng.normal(size=shape), rng.normal(size=shape)
    total = 0.0
    for i in range(6):
        scores = np.array([(Z[i] * Y[j]).sum() / np.sqrt((Y[j] ** 2).sum()) for j in range(6)])
        total += np.log(np.exp(scores).sum()) - scores[i]
    assert value("one_way_sequence", Z, Y) == pytest.approx(total / 6)
    assert value("one_way_sequence", Z, 5 * Y) == pytest.approx(total / 6)
    assert value("one_way_sequence", 2 * Z, Y) != pytest.approx(total / 6)


def test_multi_positive_averages_over_positives():
    z, y = pairs()
    ids = np.array([0, 1, 0, 2, 1, 0, 3])
    logits = unit(z) @ unit(y).T / 0.2
    total = 0.0
    for direction in (log_softmax(logits), log_softmax(logits.T)):
        total += np.mean([-direction[i, ids == ids[i]].mean() for i in range(7)]) / 2
    assert value("multi_positive", z, y, ids) == pytest.approx(total, rel=1e-6)
    assert value("multi_positive", z, y, np.arange(7)) == pytest.approx(value("infonce", z, y), rel=1e-9)


def test_siglip_is_a_sum_of_yes_or_no():
    z, y = pairs()
    ids = np.array([0, 1, 0, 2, 1, 5, 3])
    logits = unit(z) @ unit(y).T / 0.1 - 10
    sign = np.where(ids[:, None] == ids[None], 1, -1)
    assert value("siglip", z, y, ids) == pytest.approx(np.log1p(np.exp(-sign * logits)).sum() / 7, rel=1e-6)


@pytest.mark.parametrize("name", ["infonce", "one_way_sequence"])
def test_rows_of_one_stimulus_are_not_negatives(name):
    """Row i with a second row of its stimulus: the loss of i is as if that row were not there."""
    z, y = pairs(5)
    y[1] = y[0]
    options = {"symmetric": False} if name == "infonce" else {}
    with_ids = [value(name, z, y, [0, 0, 2, 3, 4], **options)] * 1
    by_row = []
    scale, left = (1 / 0.2, unit(z)) if name == "infonce" else (1.0, z)
    logits = scale * left @ unit(y).T
    for i in range(5):
        kept = [j for j in range(5) if j == i or not ({i, j} == {0, 1})]
        by_row.append(np.log(np.exp(logits[i, kept]).sum()) - logits[i, i])
    assert with_ids[0] == pytest.approx(np.mean(by_row), rel=1e-6)
    assert with_ids[0] < value(name, z, y, **options)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_with_duplicates_and_a_queue(name):
    loss = losses.get(name)
    queue = losses.MemoryQueue(6, 5)
    queue.push(torch.randn(4, 5), torch.tensor([0, 7, 8, 9]))
    z = torch.randn(5, 5, requires_grad=True)
    loss(z, torch.randn(5, 5), ids=torch.tensor([0, 0, 0, 3, 4]), queue=queue).backward()
    assert torch.isfinite(z.grad).all() and z.grad.abs().sum() > 0
    assert all(torch.isfinite(p.grad).all() for p in loss.parameters())


def test_all_of_one_stimulus_has_nothing_to_tell_apart():
    z, y = pairs(4)
    assert value("infonce", z, np.repeat(y[:1], 4, axis=0), [5, 5, 5, 5]) == pytest.approx(0.0, abs=1e-9)


def test_queue_gives_candidates_but_never_the_row_itself():
    z, y = pairs(4)
    extra = np.random.default_rng(5).normal(size=(3, 5))
    queue = losses.MemoryQueue(10, 5).double()
    queue.push(torch.as_tensor(np.concatenate([extra, y[2:3]])), torch.tensor([10, 11, 12, 2]))
    logits = unit(z) @ unit(np.concatenate([y, extra])).T / 0.2  # y[2] of the queue is left out
    expected = -np.diag(log_softmax(logits)).mean()
    assert value("infonce", z, y, [0, 1, 2, 3], queue, symmetric=False) == pytest.approx(expected, rel=1e-6)
    scores = z @ unit(np.concatenate([y, extra])).T
    expected = -np.diag(log_softmax(scores)).mean()
    assert value("one_way_sequence", z, y, [0, 1, 2, 3], queue) == pytest.approx(expected, rel=1e-6)
    logits = unit(z) @ unit(np.concatenate([y, extra])).T / 0.1 - 10
    sign = np.where(np.eye(4, 7) == 1, 1, -1)
    expected = np.log1p(np.exp(-sign * logits)).sum() / 4
    assert value("siglip", z, y, [0, 1, 2, 3], queue) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(BraindecError, match="needs ids"):
        value("infonce", z, y, None, queue)


def test_queue_holds_each_stimulus_once_newest_last():
    queue = losses.MemoryQueue(4, 1)
    push = lambda *ids: queue.push(torch.tensor([[float(i)] for i in ids]), torch.tensor(ids))  # noqa: E731
    push(1, 2, 2, 1)
    assert len(queue) == 2 and queue.ids[:2].tolist() == [2, 1]
    push(3, 2)
    assert queue.ids[:3].tolist() == [1, 3, 2] and queue.values[:3, 0].tolist() == [1.0, 3.0, 2.0]
    push(4, 5)
    assert queue.ids.tolist() == [3, 2, 4, 5]  # the oldest left
    values, ids = queue.candidates(torch.tensor([2, 99]))
    assert ids.tolist() == [3, 4, 5] and values[:, 0].tolist() == [3.0, 4.0, 5.0]
    other = losses.MemoryQueue(4, 1)
    other.load_state_dict(queue.state_dict())
    assert len(other) == 4 and other.ids.tolist() == queue.ids.tolist()
    push(*range(20, 30))
    assert queue.ids.tolist() == [26, 27, 28, 29]


def test_temperature_is_learned_and_limited():
    loss = losses.get("infonce", temperature=0.011)
    z = torch.eye(4)  # all right: a smaller temperature is always better
    step = torch.optim.SGD(loss.parameters(), lr=1e7)
    for _ in range(3):
        step.zero_grad()
        loss(z + 0.999, z + 0.999).backward()
        step.step()
        loss.constrain()
        assert loss.scale.item() <= 100.0 + 1e-3
    assert loss.scale.item() == pytest.approx(100.0, rel=1e-4)
    loss(z, z.roll(1, 0)).backward()  # all wrong: the gradient at the limit leads back
    assert loss.log_scale.grad > 0
    assert not any(p.requires_grad for p in losses.get("infonce", learned=False).parameters())


def test_names_and_shapes_are_checked():
    with pytest.raises(BraindecError, match="did you mean 'infonce'"):
        losses.get("infonse")
    with pytest.raises(BraindecError, match="does not take"):
        losses.get("siglip", symmetric=True)
    with pytest.raises(BraindecError, match=r"recordings \(3, 5\), stimuli \(3, 4\)"):
        losses.get("infonce")(torch.zeros(3, 5), torch.zeros(3, 4))
    with pytest.raises(BraindecError, match="at least 0.01"):
        losses.get("infonce", temperature=0.0)
