"""Noise of films: its covariance is the stated one, and an item's noise depends on its name alone."""

from __future__ import annotations

import pytest
import torch

from braindec.diffusion.film_noise import film_noise, frame_covariance, mix_frames, named_film_noise
from braindec.errors import BraindecError


@pytest.mark.parametrize("kind", ["mixed", "progressive"])
@pytest.mark.parametrize("mixing", [0.0, 0.3, 0.9, 1.0])
def test_covariance_between_frames_is_the_stated_one(kind, mixing):
    g = torch.Generator().manual_seed(0)
    own, shared = torch.randn(40, 2, 5, 30, 30, generator=g), torch.randn(40, 2, 30, 30, generator=g)
    noise = mix_frames(own, mixing, kind=kind, shared=shared)
    flat = noise.transpose(1, 2).transpose(0, 1).reshape(5, -1).double()  # (frame, values)
    found = flat @ flat.T / flat.shape[1]
    # 72,000 values: standard error of a covariance at most sqrt(2 / 72000) = .0053
    assert (found - frame_covariance(5, mixing, kind)).abs().max() < 5 * 0.0053
    assert flat.mean().abs() < 5 * 0.004


def test_closed_forms():
    mixed, progressive = frame_covariance(3, 0.49), frame_covariance(3, 0.49, "progressive")
    assert torch.allclose(mixed, torch.tensor([[1, 0.49, 0.49], [0.49, 1, 0.49], [0.49, 0.49, 1]], dtype=torch.float64))
    assert torch.allclose(progressive[0], torch.tensor([1, 0.7, 0.49], dtype=torch.float64))
    alpha = 2.0  # PYoCo: alpha^2 / (1 + alpha^2) is shared
    assert torch.isclose(frame_covariance(2, alpha**2 / (1 + alpha**2))[0, 1], torch.tensor(0.8, dtype=torch.float64))
    same = mix_frames(torch.randn(1, 1, 4, 2, 2), 1.0, shared=torch.ones(1, 1, 2, 2))
    assert torch.equal(same, torch.ones(1, 1, 4, 2, 2))


def test_an_items_noise_depends_on_its_name_alone():
    shape = (3, 4, 8, 8)
    many = named_film_noise(["a", "b", "c"], shape, 7, mixing=0.5)
    alone = named_film_noise(["b"], shape, 7, mixing=0.5)
    assert many.shape == (3, *shape) and torch.equal(many[1], alone[0])
    assert not torch.equal(many[0], many[1])
    assert not torch.equal(alone, named_film_noise(["b"], shape, 8, mixing=0.5))
    assert film_noise(shape, []).shape == (0, *shape)


def test_bad_input():
    with pytest.raises(BraindecError, match="mixed"):
        mix_frames(torch.zeros(1, 1, 2, 2, 2), 0.5, kind="mixd")
    with pytest.raises(BraindecError, match="0 to 1"):
        mix_frames(torch.zeros(1, 1, 2, 2, 2), 1.5)
    with pytest.raises(BraindecError, match="shared"):
        mix_frames(torch.zeros(1, 1, 2, 2, 2), 0.5)
