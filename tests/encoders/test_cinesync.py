"""CineSync's encoder: published sizes from closed forms, each modality is used, and can be left out."""

import pytest
import torch

from braindec.encoders.cinesync import CineSync
from braindec.errors import BraindecError

PARTS = [[64, 4000], [8405, 5]]


def closed_form(width, layers, n_tokens, parts, frames, dim):
    """Parameters of the paper's layers, counted by hand."""
    layer = 12 * width**2 + 13 * width  # attention 4 w (w + 1), MLP 8 w^2 + 5 w, two norms 4 w
    tokenizers = sum(
        c * (t // frames) * width + width + frames * n_tokens + n_tokens + width + (1 + n_tokens) * width
        for c, t in parts
    )
    return layers * layer + tokenizers + len(parts) * n_tokens * width + 2 * width + width * dim + dim


def test_published_size():
    with torch.device("meta"):
        model = CineSync.from_preset("paper", n_chans=64 * 4000 + 8405 * 5, n_times=1, dim=1152, parts=PARTS)
        x = torch.empty(2, 64 * 4000 + 8405 * 5, 1)
        assert model(x).shape == (2, 1152) and model.tokens(x).shape == (2, 226, 4096)
    assert model.n_parameters == closed_form(4096, 2 * 8 + 8, 226, PARTS, 5, 1152) == 5_085_716_248


def test_parts_are_read_where_they_are():
    torch.manual_seed(0)
    parts, x = [[4, 10], [6, 3]], torch.randn(3, 58, 1)
    model = CineSync(n_chans=58, n_times=1, dim=5, parts=parts).eval()
    whole, other = model(x), x.clone()
    other[:, 40:] += 1.0  # the second part
    assert not torch.allclose(model(other), whole)
    assert torch.equal(model(other, without=1), model(x, without=1))
    assert not torch.allclose(model(other, without=0), model(x, without=0))
    assert not torch.allclose(model(x, without=1), whole)


def test_examples_lose_one_part_in_training_only():
    torch.manual_seed(0)
    model = CineSync(n_chans=58, n_times=1, dim=5, parts=[[4, 10], [6, 3]], drop_part=0.5, dropout=0.0)
    gone = model.train()._gone(4000, None, torch.device("cpu"))
    assert abs((gone < 0).float().mean() - 0.5) < 0.05 and abs((gone == 0).float().mean() - 0.25) < 0.04
    assert (model.eval()._gone(10, None, torch.device("cpu")) < 0).all()


def test_sizes_that_do_not_fit():
    with pytest.raises(BraindecError, match="add up"):
        CineSync(n_chans=57, n_times=1, dim=5, parts=[[4, 10], [6, 3]])
    with pytest.raises(BraindecError, match="n_heads divides width"):
        CineSync(n_chans=5, n_times=3, dim=5, width=30, n_heads=4)
    with pytest.raises(BraindecError, match="cannot be left out"):
        CineSync(n_chans=5, n_times=3, dim=5)(torch.zeros(1, 5, 3), without=0)
