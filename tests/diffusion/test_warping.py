"""Warping by optical flow against closed forms."""

from __future__ import annotations

import pytest
import torch

from braindec.diffusion.warping import animate, warp_backward, warp_forward
from braindec.errors import BraindecError


def test_whole_steps_shift_the_picture_exactly():
    picture = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(2, 9, 9, 2)
    flow[..., 0], flow[..., 1] = 2.0, -1.0  # to the right, up
    moved = warp_forward(picture, flow)
    assert torch.allclose(moved[:, :, :-1, 2:], picture[:, :, 1:, :-2], atol=1e-6)
    back = warp_backward(moved, flow)  # reads where each pixel went
    assert torch.allclose(back[:, :, 1:, :-2], picture[:, :, 1:, :-2], atol=1e-6)


def test_no_flow_changes_nothing():
    picture = torch.rand(1, 1, 6, 7, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(warp_forward(picture, torch.zeros(1, 6, 7, 2)), picture, atol=1e-6)
    assert torch.allclose(warp_backward(picture, torch.zeros(1, 6, 7, 2)), picture, atol=1e-6)


def test_half_a_step_of_a_ramp_is_half_a_step_of_its_values():
    ramp = torch.arange(10.0).expand(1, 1, 10, 10).contiguous()
    flow = torch.zeros(1, 10, 10, 2)
    flow[..., 0] = 0.5
    assert torch.allclose(warp_backward(ramp, flow)[..., :-1], ramp[..., :-1] + 0.5, atol=1e-5)
    assert torch.allclose(warp_forward(ramp, flow)[..., 1:-1], ramp[..., 1:-1] - 0.5, atol=1e-5)


def test_what_moves_lies_in_front_and_its_hole_is_filled_by_the_ground():
    picture = torch.full((1, 1, 8, 8), 0.2)
    picture[..., 3:5, 1:3] = 1.0
    flow = torch.zeros(1, 8, 8, 2)
    flow[:, 3:5, 1:3, 0] = 3.0
    film = animate(picture, flow[:, None])
    wanted = torch.full((1, 1, 8, 8), 0.2)
    wanted[..., 3:5, 4:6] = 1.0
    assert film.shape == (1, 1, 2, 8, 8) and torch.equal(film[:, :, 0], picture)
    assert (film[:, :, 1] - wanted).abs().max() < 1e-4 + torch.exp(torch.tensor(-12.0)) * 2
    assert (film[..., 3:5, 1:3][:, :, 1] - 0.2).abs().max() < 1e-5  # nothing of the object is left behind


def test_a_flow_of_another_size_is_refused():
    with pytest.raises(BraindecError, match="flow does not fit"):
        warp_forward(torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 7, 2))
