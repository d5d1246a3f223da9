"""MindBridge: published sizes counted by hand, poolings and the way back, adapters that begin as nothing."""

import numpy as np
import pytest
import torch

from braindec.encoders._base import Encoder
from braindec.encoders._pooling import pool, unpool, voxel_order
from braindec.encoders.mindbridge import Adapter, MindBridge
from braindec.errors import BraindecError

torch.set_num_threads(1)
VOXELS = [15724, 14278, 15226, 13153, 13039, 17907, 12682, 14386]


def tiny(n_chans, **changes):
    torch.manual_seed(0)
    return MindBridge.from_preset("tiny", n_chans=n_chans, n_times=1, dim=6, **{"n_pools": 16, "width": 8, **changes})


def linear(n_in, n_out):
    return n_in * n_out + n_out


def test_paper_has_the_published_sizes():
    """Counted from the layer sizes; they do not hang on the number of voxels, only on that of subjects."""
    with torch.device("meta"):
        model = MindBridge.from_preset("paper", n_chans=VOXELS, n_times=1, dim=257 * 768)
        x = torch.empty(8, 17907, 1)
        subject = torch.arange(8, device="cpu")
        heads = model.heads(x, subject=subject)
        pooled = model.pool(x, subject)
        built = model.build(model.embed(pooled, subject), subject.flip(0))
    adapter = linear(8192, 128) + linear(128, 8192)
    embedder = adapter + linear(8192, 2048) + 2 * 2048
    builder = linear(2048, 8192) + 2 * 8192 + adapter
    translator = 4 * (linear(2048, 2048) + 2 * 2048)
    expected = 8 * (embedder + builder) + translator + linear(2048, 257 * 768) + linear(2048, 77 * 768)
    assert model.n_parameters == expected
    assert adapter == 2_105_472 and translator == 16_801_792
    assert heads["image"].shape == (8, 257 * 768) and heads["text"].shape == (8, 77 * 768)
    assert pooled.shape == built.shape == (8, 8192)


@pytest.mark.parametrize(("n", "n_pools"), [(100, 16), (16, 16), (10, 16), (17, 5), (15724, 8192)])
def test_pools_are_maxima_and_means_of_neighbouring_values(n, n_pools):
    values = torch.randn(2, n, dtype=torch.float64)
    ends = [(k * n // n_pools, -(-(k + 1) * n // n_pools)) for k in range(n_pools)]
    for kind, statistic in (("max", np.max), ("average", np.mean)):
        by_hand = np.stack([[statistic(row[a:b]) for a, b in ends] for row in values.numpy()])
        np.testing.assert_allclose(pool(values, n_pools, kind).numpy(), by_hand, atol=1e-12)
    pooled = torch.randn(2, n_pools, dtype=torch.float64)
    total, count = np.zeros((2, n)), np.zeros(n)
    for k, (a, b) in enumerate(ends):
        total[:, a:b] += pooled.numpy()[:, k : k + 1]
        count[a:b] += 1
    assert (count > 0).all()
    np.testing.assert_allclose(unpool(pooled, n).numpy(), total / count, atol=1e-9)


def test_no_more_voxels_than_pools_come_back_as_they_were():
    values = torch.randn(3, 16, dtype=torch.float64)
    torch.testing.assert_close(unpool(pool(values, 16, "average"), 16), values)
    order = torch.randperm(16)
    back = unpool(pool(values, 16, "ordered", order), 16, order)
    torch.testing.assert_close(back, values)
    torch.testing.assert_close(pool(values, 4, "ordered", order), pool(values[:, order], 4, "average"))


def test_the_order_follows_space_wherever_voxels_are_stored():
    grid = np.stack(np.meshgrid(*[np.arange(8) * 0.004] * 3, indexing="ij"), -1).reshape(-1, 3) - 0.016
    shuffled = np.random.default_rng(0).permutation(len(grid))
    first, second = grid[voxel_order(grid)], grid[shuffled][voxel_order(grid[shuffled])]
    np.testing.assert_array_equal(first, second)
    steps = lambda p: np.linalg.norm(np.diff(p, axis=0), axis=1).mean()  # noqa: E731
    assert steps(first) < 0.5 * steps(grid[shuffled]) and sorted(voxel_order(grid)) == list(range(512))
    blocks = first.reshape(64, 8, 3)
    assert (np.ptp(blocks, axis=1) <= 0.004 + 1e-12).all()  # eight voxels in a row are a cube
    with pytest.raises(BraindecError, match="position of every voxel"):
        voxel_order(np.full((4, 3), np.nan))


def test_ordered_pooling_is_kept_in_the_file(tmp_path):
    model = tiny({"a": 20, "b": 12}, pooling="ordered", builder="linear").eval()
    x, subject = torch.randn(4, 20, 1), torch.tensor([0, 1, 0, 1])
    before = model(x, subject=subject)
    order = torch.randperm(20)
    model.set_order(0, order)
    after = model(x, subject=subject)
    assert torch.equal(before[1::2], after[1::2]) and not torch.equal(before[::2], after[::2])
    torch.testing.assert_close(model.pool(x, subject)[0], pool(x[:1, order, 0], 16, "average")[0])
    model.save(tmp_path)
    assert torch.equal(Encoder.load(tmp_path)(x, subject=subject), after)
    for number, wrong in ((0, torch.arange(19)), (1, torch.zeros(12, dtype=torch.int64))):
        with pytest.raises(BraindecError, match="no order"):
            model.set_order(number, wrong)
    with pytest.raises(BraindecError, match="no order"):
        tiny(20).set_order(0, order)


def test_adapters_begin_as_nothing_and_learn():
    adapter, x = Adapter(10, 3), torch.randn(4, 10)
    assert torch.equal(adapter(x), x)
    adapter(x).square().sum().backward()
    assert adapter.up.weight.grad.abs().sum() > 0


def test_the_way_back_is_of_the_subject_that_is_asked_for():
    model = tiny([20, 12], builder="linear").eval()
    shared = torch.randn(4, 8)
    codes = torch.tensor([1, 0, 0, 1])
    built = model.build(shared, codes)
    for i, s in enumerate(codes.tolist()):
        torch.testing.assert_close(built[i], model.builders[s](shared[i : i + 1])[0])
    assert model.unpool(built[:1], 1).shape == (1, 12, 1)
    assert (built < -0.2).any()  # responses have both signs
    published = tiny([20, 12], builder="published").eval()
    assert (published.build(shared, codes) > -0.2).all()  # GELU, as long as the adapter adds nothing
    with pytest.raises(BraindecError, match="no builders"):
        tiny(20).build(shared, codes)


def test_parts_of_a_subject_are_its_embedder_and_builder():
    model = tiny([20, 12], builder="linear")
    own = model.own()
    assert [len(parts) for parts in own.values()] == [2, 2] and own[1][1] is model.builders[1]
    assert [len(parts) for parts in tiny([20, 12]).own().values()] == [1, 1]
    grown = model.with_subject("2", 30)
    assert grown.n_subjects == 3 and grown.sizes == [20, 12, 30]
    assert all(
        torch.equal(p, q) for p, q in zip(model.embedders[1].parameters(), grown.embedders[1].parameters(), strict=True)
    )


def test_refusals():
    with pytest.raises(BraindecError, match="no pooling 'maximum'"):
        tiny(20, pooling="maximum")
    with pytest.raises(BraindecError, match="no builder 'linea'"):
        tiny(20, builder="linea")
