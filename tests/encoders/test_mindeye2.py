"""MindEye2 and MindEye: published sizes counted by hand, subjects with other voxels in one batch, a new subject."""

import pytest
import torch

from braindec.encoders._base import Encoder
from braindec.encoders.mindeye import MindEye
from braindec.encoders.mindeye2 import MindEye2
from braindec.errors import BraindecError

torch.set_num_threads(1)
VOXELS = {"01": 15724, "02": 14278, "03": 15226, "04": 13153, "05": 13039, "06": 17907, "07": 12682, "08": 14386}


def tiny(n_chans, dim=6, **changes):
    torch.manual_seed(0)
    return MindEye2.from_preset("tiny", n_chans=n_chans, n_times=1, dim=dim, **changes)


def linear(n_in, n_out):
    return n_in * n_out + n_out


def perceptron(n):
    return 2 * n + linear(n, n) + linear(n, n)  # LayerNorm, two linear maps


def token_projector(width, hidden):
    norms = 2 * width + 2 * hidden + 2 * hidden
    return norms + linear(width, hidden) + linear(hidden, hidden) + linear(hidden, width)


def test_paper_has_the_published_sizes():
    """Counted from the layer sizes: eight linear maps, four mixer blocks, the map to 256 x 1664 tokens, the projector."""
    with torch.device("meta"):
        model = MindEye2.from_preset("paper", n_chans=VOXELS, n_times=1, dim=256 * 1664)
        x = torch.empty(16, 17907, 1)
        heads = model.heads(x, subject=torch.arange(8, device="cpu").repeat(2))
    h = 4096
    adapters = sum(v * h + h for v in VOXELS.values())
    assert adapters == 116_395 * 4096 + 8 * 4096 == 476_786_688
    backbone = 4 * (perceptron(h) + perceptron(1)) + linear(h, 256 * 1664)
    assert backbone == 4 * 33_570_816 + 4 * 6 + 4096 * 425_984 + 425_984
    assert sum(p.numel() for p in model.adapters.parameters()) == adapters
    assert model.n_parameters == adapters + backbone + token_projector(1664, 1664)
    assert heads["tokens"].shape == heads["retrieval"].shape == (16, 256, 1664)
    assert model(x, subject=torch.zeros(16, dtype=torch.int64)).shape == (16, 256 * 1664)


def test_mindeye_has_the_published_sizes():
    with torch.device("meta"):
        model = MindEye.from_preset("paper", n_chans=15724, n_times=1, dim=257 * 768)
        heads = model.heads(torch.empty(2, 15724, 1))
    h = 4096
    first, block = linear(15724, h) + 2 * h, linear(h, h) + 2 * h
    assert model.n_parameters == first + 4 * block + linear(h, 257 * 768) + token_projector(768, 2048)
    assert heads["tokens"].shape == heads["retrieval"].shape == (2, 257, 768)


def test_subjects_share_a_batch_and_each_gets_its_own_voxels():
    model = tiny([5, 9, 7]).eval()
    x, subject = torch.randn(8, 9, 1), torch.tensor([2, 0, 1, 1, 2, 0, 0, 2])
    together = model(x, subject=subject)
    for i in range(8):
        torch.testing.assert_close(together[i : i + 1], model(x[i : i + 1], subject=subject[i : i + 1]))
    other = x.clone()
    other[subject == 0, 5:] = 99.0  # beyond the voxels of subject 0
    assert torch.equal(model(other, subject=subject), together)
    by_hand = x[1, :5, 0] @ model.adapters[0].weight.T + model.adapters[0].bias
    torch.testing.assert_close(model.shared(x, subject=subject)[1], by_hand)


def test_only_the_parts_of_the_subjects_in_the_batch_learn():
    model = tiny({"a": 5, "b": 9})
    model(torch.randn(4, 9, 1), subject=torch.ones(4, dtype=torch.int64)).square().sum().backward()
    assert model.adapters[0].weight.grad is None and model.adapters[1].weight.grad.abs().sum() > 0


def test_a_new_subject_leaves_the_known_ones_as_they_are():
    model = tiny({"a": 5, "b": 9}).eval()
    x, subject = torch.randn(4, 9, 1), torch.tensor([0, 1, 1, 0])
    grown = model.with_subject("c", 12).eval()
    wide = torch.nn.functional.pad(x, (0, 0, 0, 3))
    torch.testing.assert_close(grown(wide, subject=subject), model(x, subject=subject))
    assert grown.settings["n_chans"] == {"a": 5, "b": 9, "c": 12} and grown.n_chans == 12
    assert grown(torch.randn(2, 12, 1), subject=torch.tensor([2, 2])).shape == (2, 6)
    with pytest.raises(BraindecError, match="has a subject 'b' already"):
        model.with_subject("b", 3)


def test_saved_with_names_of_subjects(tmp_path):
    model = tiny({"01": 5, "x.y/z": 9}, dim=12, token_dim=4).eval()
    model.save(tmp_path)
    again = Encoder.load(tmp_path)
    x, subject = torch.randn(3, 9, 1), torch.tensor([1, 0, 1])
    assert torch.equal(again(x, subject=subject), model(x, subject=subject))
    assert again.subjects == ["01", "x.y/z"] and again.heads(x, subject=subject)["tokens"].shape == (3, 3, 4)


def test_small_first_weights_keep_unseen_directions_quiet():
    loud, quiet = tiny(500, first_scale=1.0), tiny(500, first_scale=0.05)
    torch.testing.assert_close(quiet.adapters[0].weight, 0.05 * loud.adapters[0].weight)


def test_with_one_vector_inside_the_second_mixer_adds_a_constant():
    model = tiny(7).eval()
    over = model.blocks[0].over_vectors
    made = over(torch.randn(50, 128, 1))
    assert made.std() < 1e-6  # LayerNorm of one number is its bias
    assert tiny(7, n_mixed=4).blocks[0].over_vectors(torch.randn(50, 128, 4)).std() > 0.01


def test_refusals():
    with pytest.raises(BraindecError, match="needs the subject of each window"):
        tiny([5, 9])(torch.randn(2, 9, 1))
    for wrong in (torch.tensor([0, 2]), torch.tensor([-1, 0]), torch.tensor([0])):
        with pytest.raises(BraindecError, match="needs the subject"):
            tiny([5, 9])(torch.randn(2, 9, 1), subject=wrong)
    for wrong in ([], {}, [5, 0], {"a": 2.5}):
        with pytest.raises(BraindecError, match="n_chans"):
            tiny(wrong)
    with pytest.raises(BraindecError, match="cannot be cut into tokens of 4"):
        tiny(5, dim=6, token_dim=4)
    assert tiny(5, dim=6, token_dim=1664).n_tokens == 1  # shorter than a token
