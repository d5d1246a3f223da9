"""Losses against independent NumPy versions and closed forms; items of one id are never negatives of each other."""

import numpy as np
import pytest
import torch
from scipy import stats

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


def mixed_by_hand(z, y, partner, weight, temperature):
    """The published sums, pair by pair: every row names its own stimulus and its partner's."""
    n = len(z)
    logits = unit(z) @ unit(y).T / temperature
    there, back = log_softmax(logits), log_softmax(logits.T)
    total = 0.0
    for i in range(n):
        for j, w in ((i, weight[i]), (partner[i], 1 - weight[i])):
            total -= w * there[i, j] + w * back[j, i]
    return total / (2 * n)


@pytest.mark.parametrize("partner", [[1, 2, 3, 4, 5, 0], [0, 2, 1, 3, 5, 4], [0, 1, 2, 3, 4, 5], [5, 5, 5, 5, 5, 5]],
                         ids=["derangement", "fixed points", "identity", "one partner of all"])  # fmt: skip
def test_bimixco_is_the_published_sum_also_at_fixed_points(partner):
    z, y = pairs(6)
    weight = np.array([0.9, 0.3, 1.0, 0.0, 0.5, 0.2])
    loss = losses.get("bimixco", temperature=0.1).double()
    given = {"partner": torch.tensor(partner), "weight": torch.as_tensor(weight)}
    found = loss(torch.as_tensor(z), torch.as_tensor(y), **given).item()
    assert found == pytest.approx(mixed_by_hand(z, y, partner, weight, 0.1), rel=1e-9)
    wanted = loss.targets(given["partner"], given["weight"], torch.arange(6)).numpy()
    np.testing.assert_allclose(wanted.sum(axis=1), 1.0, atol=1e-12)
    for i in range(6):
        assert wanted[i, i] == pytest.approx(1.0 if partner[i] == i else weight[i])


def test_bimixco_without_mixing_is_the_cross_entropy_of_pairs():
    z, y = pairs()
    assert value("bimixco", z, y, temperature=0.2) == pytest.approx(value("infonce", z, y, learned=False), rel=1e-6)
    assert value("bimixco", z, y, [0, 1, 0, 2, 1, 0, 3], temperature=0.2) == pytest.approx(
        value("multi_positive", z, y, [0, 1, 0, 2, 1, 0, 3], learned=False), rel=1e-6
    )  # what falls to a stimulus is shared by its rows


def test_target_rows_add_up_to_one_for_any_permutation_and_any_ids():
    loss, generator = losses.get("bimixco"), torch.Generator().manual_seed(0)
    for n in (1, 2, 5, 32):
        for _ in range(50):
            ids = torch.randint(max(1, n // 2), (n,), generator=generator)
            _, mixed = loss.mix(torch.randn(n, 3, 1, generator=generator), generator=generator)
            wanted = loss.targets(**mixed, ids=ids)
            assert torch.allclose(wanted.sum(1), torch.ones(n), atol=1e-6) and (wanted >= 0).all()


def test_partners_stay_within_their_subject_wherever_it_stands():
    generator = torch.Generator().manual_seed(1)
    block = torch.arange(7).repeat_interleave(6)  # seven subjects of six, as in multi-subject training
    for groups in (block, block[torch.randperm(42, generator=generator)], torch.tensor([3, 3, 9, 3, 9, 0])):
        seen = torch.zeros(len(groups), len(groups))
        for _ in range(300):
            found = losses.partners(groups, generator=generator)
            assert (groups[found] == groups).all() and sorted(found.tolist()) == list(range(len(groups)))
            seen[torch.arange(len(groups)), found] += 1
        assert ((seen > 0) == (groups[:, None] == groups[None])).all()  # every partner of the same subject occurs
    x = torch.randn(42, 4, 1)
    mixed, named = losses.get("bimixco", share=1.0).mix(x, groups=block, generator=generator)
    w = named["weight"][:, None, None]
    torch.testing.assert_close(mixed, w * x + (1 - w) * x[named["partner"]])


def test_weights_are_of_the_beta_distribution_and_a_share_is_mixed():
    def weights(seed, **options):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(20_000, 1, dtype=torch.float64)
        return losses.get("bimixco", **options).mix(x, generator=generator)[1]["weight"].numpy()

    assert stats.kstest(weights(2, share=1.0), stats.beta(0.15, 0.15).cdf).pvalue > 0.01
    assert (weights(2) == 1).mean() == pytest.approx(0.5, abs=0.015)
    assert np.array_equal(weights(3), weights(3)) and not np.array_equal(weights(3), weights(4))


def test_softclip_targets_are_the_similarities_of_the_stimuli():
    z, y = pairs()
    sim = unit(y) @ unit(y).T / 0.05
    wanted = np.exp(log_softmax(sim))
    logits = unit(z) @ unit(y).T / 0.05
    expected = -((wanted * log_softmax(logits)).sum(1).mean() + (wanted.T * log_softmax(logits.T)).sum(1).mean()) / 2
    assert value("softclip", z, y, temperature=0.05) == pytest.approx(expected, rel=1e-6)


def test_temperature_runs_from_first_to_last_along_a_cosine():
    loss = losses.get("softclip")
    seen = []
    for progress in (0.0, 0.5, 1.0):
        loss.at(progress)
        seen.append(loss.temperature)
    assert seen == pytest.approx([0.004, 0.00575, 0.0075])
    loss.at(0.0)
    assert loss.eval().temperature == 0.0075  # evaluation does not change with the epoch


def test_mixing_ends_after_a_third_of_the_training():
    loss = losses.get("bimixco_softclip")
    x = torch.randn(8, 3)
    used = []
    for epoch in range(9):
        loss.at(epoch / 9)
        made, named = loss.mix(x)
        used.append(bool(named))
        if not named:
            assert made is x
    assert used == [True] * 3 + [False] * 6
    loss.at(3 / 9)
    assert loss.softclip.temperature == pytest.approx(0.004)
    loss.at(6 / 9)
    assert loss.softclip.temperature == pytest.approx(0.00575)  # half of what was left
    loss.at(0.0)
    assert loss.eval().mix(x)[1] == {}
    z, y = pairs()
    assert loss.double()(torch.as_tensor(z), torch.as_tensor(y)).item() == pytest.approx(
        value("softclip", z, y, temperature=0.0075)
    )


@pytest.mark.parametrize("name", ["bimixco", "softclip", "bimixco_softclip"])
def test_losses_with_mixing_have_finite_gradients_and_no_queue(name):
    loss, z = losses.get(name), torch.randn(5, 5, requires_grad=True)
    named = loss.mix(torch.zeros(5, 1))[1] if hasattr(loss, "mix") else {}
    loss(z, torch.randn(5, 5), ids=torch.tensor([0, 0, 0, 3, 4]), **named).backward()
    assert torch.isfinite(z.grad).all() and z.grad.abs().sum() > 0
    with pytest.raises(BraindecError, match="no memory queue"):
        loss(z, z, ids=torch.arange(5), queue=losses.MemoryQueue(3, 5))


def test_options_of_mixing_are_checked():
    for name, wrong in (("bimixco", {"temperature": 0}), ("bimixco", {"share": 2}), ("softclip", {"temperature": [0.1]}),
                        ("softclip", {"temperature": -1.0}), ("bimixco_softclip", {"switch": 1.5})):  # fmt: skip
        with pytest.raises(BraindecError):
            losses.get(name, **wrong)
