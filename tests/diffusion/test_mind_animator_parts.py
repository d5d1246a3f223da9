"""Readers of Mind-Animator and the encoder of MinD-Video: published sizes, causality, masks, losses in closed form."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from braindec.diffusion.mind_animator_parts import (
    PAPER,
    ConsistencyMotionGenerator,
    SemanticReader,
    StructureReader,
    sparse_causal_mask,
)
from braindec.diffusion.presets import on_meta
from braindec.diffusion.window_attention import SIZES, WindowAttention
from braindec.errors import BraindecError

torch.set_num_threads(1)


def linear(n, m):
    return (n + 1) * m


def attention(dim):
    return linear(dim, 3 * dim) + linear(dim, dim)


def test_paper_sizes_of_the_readers():
    voxels, hidden, tokens, width = 4500, 512, 19, 768
    body = linear(voxels, hidden) + 2 * linear(hidden, hidden)
    _, n = on_meta(lambda: SemanticReader(**PAPER["semantic"]))
    assert n == body + linear(hidden, tokens * width) + linear(tokens * width, width) == 21_522_944
    model, n = on_meta(lambda: StructureReader(**PAPER["structure"]))
    assert n == linear(4500, 1024) + linear(1024, 1024) + linear(1024, 4 * 64 * 64) == 22_452_224
    assert model.head.out_features == 4 * 64 * 64
    model, n = on_meta(lambda: ConsistencyMotionGenerator(**PAPER["motion"]))
    d, frame, brain = 512, 4 * 64 * 64, 8
    block = 3 * 2 * d + 2 * attention(d) + linear(d, 4 * d) + linear(4 * d, d)
    wanted = linear(4500, brain * d) + 2 * d + linear(frame, d) + d + 7 * d + 2 * block + 2 * d + linear(d, frame)
    assert n == wanted == 43_644_416
    assert len(model.blocks) == 2 and model.config.mask_ratio == 0.6 and model.config.n_frames == 8


def test_paper_size_of_the_window_encoder():
    voxels, d, patches = 4500, 1024, 282
    model, n = on_meta(lambda: WindowAttention(n_voxels=voxels, n_volumes=2, width=768, **SIZES["paper"]))
    block = 3 * 2 * d + 2 * attention(d) + 2 * linear(d, d)
    wanted = (
        linear(16, d)
        + patches * d
        + 2 * d
        + 24 * block
        + 2 * d
        + linear(patches, 77)
        + linear(d, 768)
        + 2 * 768
        + 77 * 768
    )
    assert n == wanted
    assert model.null.shape == (77, 768)


def test_the_causal_mask_keeps_the_past_and_leaves_out_the_asked_share():
    assert torch.equal(sparse_causal_mask(4)[0], torch.tril(torch.ones(4, 4)).bool())
    mask = sparse_causal_mask(8, 0.6, n=2000, generator=torch.Generator().manual_seed(0))
    before = torch.tril(torch.ones(8, 8), diagonal=-1).bool()
    assert mask[:, range(8), range(8)].all() and not mask[:, torch.triu(torch.ones(8, 8), diagonal=1).bool()].any()
    assert abs(float(mask[:, before].float().mean()) - 0.4) < 5 * (0.24 / (2000 * 28)) ** 0.5
    with pytest.raises(BraindecError, match="share of frames"):
        sparse_causal_mask(4, 1.2)


def generator(**more):
    torch.manual_seed(0)
    model = ConsistencyMotionGenerator(
        n_inputs=6, latent_shape=[2, 8, 8], n_frames=5, dim=16, heads=2, n_brain_tokens=2, **more
    )
    torch.nn.init.normal_(model.change.weight, std=0.1)  # at first it changes nothing
    return model.eval()


@pytest.mark.parametrize("patch", [None, 4])
def test_motion_is_causal_and_listens_to_the_recording(patch):
    model, g = generator(patch=patch), torch.Generator().manual_seed(1)
    frames, x = torch.randn(3, 2, 4, 8, 8, generator=g), torch.randn(3, 6, generator=g)
    out = model(frames, x)
    later = frames.clone()
    later[:, :, 2:] += 1
    assert torch.allclose(model(later, x)[:, :, :2], out[:, :, :2], atol=1e-5)
    assert not torch.allclose(model(later, x)[:, :, 2:], out[:, :, 2:] + 1, atol=1e-3)
    assert not torch.allclose(model(frames, x + 1), out, atol=1e-3)
    only_itself = torch.eye(4, dtype=torch.bool)[None]
    earlier = frames.clone()
    earlier[:, :, 0] += 1
    assert torch.allclose(model(earlier, x, only_itself)[:, :, 1:], model(frames, x, only_itself)[:, :, 1:], atol=1e-5)


def test_patches_round_trip_and_rolling_feeds_predictions_back():
    model = generator(patch=4)
    frames = torch.arange(2 * 2 * 3 * 64.0).reshape(2, 2, 3, 8, 8)
    assert torch.equal(model._frames(model._patches(frames)), frames)
    first, x = torch.randn(2, 2, 8, 8), torch.randn(2, 6)
    film = model.roll(first, x)
    assert film.shape == (2, 2, 5, 8, 8) and torch.equal(film[:, :, 0], first)
    assert torch.allclose(model(film[:, :, :4], x), film[:, :, 1:], atol=1e-5)  # causal: one pass gives the same
    fresh = ConsistencyMotionGenerator(n_inputs=6, latent_shape=[2, 8, 8], n_frames=3, dim=16, heads=2)
    assert torch.equal(fresh.roll(first, x)[:, :, 2], first)  # nothing moves before training
    with pytest.raises(BraindecError, match="tile"):
        generator(patch=3)


def test_the_three_parts_of_the_semantic_loss():
    torch.manual_seed(0)
    model = SemanticReader(n_inputs=4, n_tokens=2, width=3, hidden=8, n_hidden=1).eval()
    x, tokens = torch.randn(5, 4), torch.randn(5, 2, 3)
    made, pooled = model(x), tokens.mean(dim=1)
    projected = model.projection(made.flatten(1))
    similar = torch.nn.functional.cosine_similarity(projected[:, None], pooled[None], dim=-1) / 0.07
    nce = -(similar.log_softmax(1).diag().mean() + similar.log_softmax(0).diag().mean()) / 2
    wanted = (made - tokens).pow(2).mean() + 0.01 * nce + 0.5 * (projected - pooled).pow(2).mean()
    assert torch.allclose(model.loss(x, tokens), wanted, atol=1e-5)
    twins = model.loss(x, tokens, contrast=1.0, ids=torch.tensor([0, 0, 1, 2, 3]))
    assert torch.isfinite(twins) and twins < model.loss(x, tokens, contrast=1.0)
    assert torch.allclose(model.loss(x, tokens, contrast=0.0, project=0.0), F.mse_loss(made, tokens))


def test_window_attention_keeps_windows_apart_and_drops_conditions():
    torch.manual_seed(0)
    model = WindowAttention(
        n_voxels=20, n_volumes=2, width=8, vector=5, patch=8, dim=16, depth=1, heads=2, n_tokens=3
    ).eval()
    x = torch.randn(4, 40)
    tokens, vector = model(x, torch.tensor([False, True, False, False]))
    assert tokens.shape == (4, 3, 8) and vector.shape == (4, 5)
    nothing, none = model.nothing(1)
    assert torch.equal(tokens[1], nothing[0]) and torch.equal(vector[1], none[0])
    assert torch.allclose(model(x[2:3])[0], tokens[2:3], atol=1e-6)
    swapped = x.reshape(4, 20, 2).flip(2).reshape(4, 40)  # order of volumes counts
    assert not torch.allclose(model(swapped)[0], tokens, atol=1e-4)
    model.standardise(x)
    scaled = model(x)[0]
    assert scaled.mean(dim=0).abs().max() < 1e-4 and torch.allclose(scaled.std(dim=0), torch.ones(3, 8), atol=1e-3)
    with pytest.raises(BraindecError, match="windows do not fit"):
        model(x[:, :30])
