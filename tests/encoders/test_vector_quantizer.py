"""The quantiser against hand computations."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from braindec.encoders._vector_quantizer import VectorQuantizer, code_usage, moved_codes
from braindec.errors import BraindecError


def made(**options):
    torch.manual_seed(0)
    return VectorQuantizer(6, **{"n_codes": 5, "dim": 4, **options})


def test_one_step_of_the_moving_average_by_hand():
    codes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    unit = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]])
    index = torch.tensor([0, 0, 1])
    # code 0: the mean of (0.6, 0.8) and (1, 0) points along (1.6, 0.8); its unit vector is (2, 1) / sqrt 5
    mean = np.array([2.0, 1.0]) / math.sqrt(5)
    wanted = 0.9 * np.array([1.0, 0.0]) + 0.1 * mean
    wanted /= np.linalg.norm(wanted)
    found = moved_codes(codes, unit, index, decay=0.9).numpy()
    np.testing.assert_allclose(found[0], wanted, atol=1e-7)
    np.testing.assert_allclose(found[1], [0.0, 1.0], atol=1e-7)
    assert np.array_equal(found[2], [-1.0, 0.0]), "a code without vectors stays"


def test_training_moves_codes_and_counts_as_computed_by_hand():
    quantizer, z = made(decay=0.8), torch.randn(3, 7, 6)
    quantizer.started.fill_(1)
    codes = quantizer.codes.clone()
    with torch.no_grad():
        unit = F.normalize(quantizer.to_code(z), dim=-1).reshape(-1, 4).numpy()
    index = ((unit[:, None] - codes.numpy()[None]) ** 2).sum(axis=2).argmin(axis=1)
    wanted = codes.numpy().copy()
    for k in range(5):
        if (index == k).any():
            mean = unit[index == k].mean(axis=0)
            wanted[k] = 0.8 * wanted[k] + 0.2 * mean / np.linalg.norm(mean)
            wanted[k] /= np.linalg.norm(wanted[k])
    found = quantizer(z)
    assert np.array_equal(found.index.flatten().numpy(), index) and found.index.shape == (3, 7)
    np.testing.assert_allclose(quantizer.codes.numpy(), wanted, atol=1e-6)
    np.testing.assert_allclose(quantizer.counts.numpy(), 0.2 * np.bincount(index, minlength=5), atol=1e-6)
    np.testing.assert_allclose(float(found.loss.detach()), ((unit - codes.numpy()[index]) ** 2).mean(), rtol=1e-5)


def test_gradients_pass_as_if_nothing_had_been_quantised():
    quantizer = made(beta=0.0).eval()
    z = torch.randn(4, 6, requires_grad=True)
    weights = torch.randn(4, 6)
    (quantizer(z).values * weights).sum().backward()
    unit = F.normalize(quantizer.to_code(z.detach()), dim=-1).requires_grad_()
    nearest = quantizer.codes[(unit @ quantizer.codes.T).argmax(1)].detach().requires_grad_()
    (quantizer.from_code(quantizer.norm(nearest)) * weights).sum().backward()
    other = z.detach().clone().requires_grad_()
    F.normalize(quantizer.to_code(other), dim=-1).backward(
        nearest.grad
    )  # the gradient at the code, handed to the vector
    torch.testing.assert_close(z.grad, other.grad)
    assert not quantizer.codes.requires_grad


def test_it_starts_at_the_centres_of_clusters():
    quantizer = made(n_codes=6, dim=2)
    angle = torch.cat([c + 0.02 * torch.randn(40) for c in (0.1, 2.0, 4.2)])
    unit = torch.stack([angle.cos(), angle.sin()], dim=1)
    quantizer.start(unit)
    index = (unit @ quantizer.codes.T).argmax(1)
    for k in range(6):
        if (index == k).any():
            torch.testing.assert_close(
                quantizer.codes[k], F.normalize(unit[index == k].mean(0), dim=0), atol=1e-3, rtol=0
            )
    assert not set(index[:40].tolist()) & set(index[40:80].tolist()), "no code serves two clusters"
    assert (1 - (unit * quantizer.codes[index]).sum(1)).mean() < 1e-3
    assert quantizer.started.item() == 1 and quantizer.counts.sum() == 120


def test_more_codes_than_vectors_can_be_started():
    quantizer = made(n_codes=50)
    quantizer(torch.randn(2, 3, 6))
    assert torch.isfinite(quantizer.codes).all() and quantizer.started.item() == 1


def test_codes_that_are_hardly_used_move_to_vectors_of_the_batch():
    quantizer = made(revive=0.5)
    quantizer.started.fill_(1)
    quantizer.counts.copy_(torch.tensor([4.0, 4.0, 0.1, 4.0, 0.0]))
    unit = F.normalize(torch.randn(20, 4), dim=1)
    before = quantizer.codes.clone()
    torch.manual_seed(3)
    quantizer.follow(unit, torch.zeros(20, dtype=torch.int64))
    for k in (2, 4):
        assert (unit == quantizer.codes[k]).all(dim=1).any() and quantizer.counts[k] >= 0.5
    assert torch.equal(quantizer.codes[1], before[1]) and torch.equal(quantizer.codes[3], before[3])
    untouched = made(revive=0.0)
    untouched.started.fill_(1)
    kept = untouched.codes.clone()
    untouched.follow(unit, torch.zeros(20, dtype=torch.int64))
    assert torch.equal(untouched.codes[1:], kept[1:]), "published: codes are never moved"


def test_evaluation_changes_nothing_and_passing_skips_the_codes():
    quantizer = made()
    quantizer(torch.randn(9, 6))
    state = {k: v.clone() for k, v in quantizer.state_dict().items()}
    quantizer.eval()
    first, second = quantizer(torch.ones(2, 6)), quantizer(torch.ones(2, 6))
    assert torch.equal(first.values, second.values)
    assert all(torch.equal(v, state[k]) for k, v in quantizer.state_dict().items())
    quantizer.train()
    quantizer.passing = True
    found = quantizer(torch.randn(9, 6))
    assert float(found.loss) == 0 and torch.equal(quantizer.codes, state["codes"])


def test_the_same_seed_gives_the_same_codes_and_state_is_saved_without_pickle(tmp_path):
    def run():
        quantizer = made(revive=0.3, decay=0.9)
        torch.manual_seed(5)
        for _ in range(4):
            quantizer(torch.randn(8, 6))
        return quantizer

    a, b = run(), run()
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
    save_file(a.state_dict(), tmp_path / "q.safetensors")
    other = made()
    other.load_state_dict(load_file(tmp_path / "q.safetensors"))
    x = torch.randn(3, 6)
    assert torch.equal(other.eval()(x).index, a.eval()(x).index)


def test_usage_and_perplexity():
    assert code_usage(torch.tensor([[0, 1], [2, 3]]), 8) == (0.5, pytest.approx(4.0))
    assert code_usage(torch.zeros(9, dtype=torch.int64), 4) == (0.25, pytest.approx(1.0))
    share = np.array([0.5, 0.25, 0.25])
    index = torch.tensor([0, 0, 1, 2])
    assert code_usage(index, 3)[1] == pytest.approx(np.exp(-(share * np.log(share)).sum()))


def test_refusals():
    for wrong in ({"n_codes": 1}, {"decay": 1.0}, {"beta": -1.0}, {"revive": -0.1}):
        with pytest.raises(BraindecError, match="cannot be made so"):
            made(**wrong)
