"""Priors of embeddings: sizes of the papers, closed forms of Gaussian embeddings, sampling by name, files."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.diffusion._prior_parts import distance_bins, rotary_angles, rotated
from braindec.diffusion.embedding_scale import EmbeddingScale
from braindec.diffusion.prior_pipeline import PriorPipeline
from braindec.diffusion.schedulers import make_scheduler, training_scheduler
from braindec.diffusion.transformer_prior import TransformerPrior
from braindec.diffusion.unet_prior import UNetPrior
from braindec.errors import BraindecError


def levels(kind=DDIMScheduler, *, n=100, prediction="sample", **options):
    return kind(n, beta_schedule="squaredcos_cap_v2", prediction_type=prediction, clip_sample=False, **options)


def transformer_count(dim, depth, dim_head, heads, n_tokens, *, n_bins=32, widening=4):
    """Learned numbers, layer by layer."""
    norm = dim
    attention = norm + dim * heads * dim_head + dim * 2 * dim_head + 2 * dim_head + heads * dim_head * dim + norm
    perceptron = norm + dim * 2 * widening * dim + widening * dim * dim
    time = (dim + 1) * 2 * dim + (2 * dim + 1) * 2 * dim + (2 * dim + 1) * dim
    tokens = 3 * n_tokens * dim  # positions, "nothing" for the brain, "nothing" for the picture
    return depth * (attention + perceptron) + norm + dim * dim + n_bins * heads + time + tokens


@pytest.mark.parametrize(
    ("preset", "sizes", "count"),
    [
        ("paper:mindeye", (768, 6, 64, 12, 257), 56_055_168),
        ("paper:mindeye2", (1664, 6, 52, 32, 256), 259_865_200),
        ("paper", (1664, 6, 52, 32, 256), 259_865_200),
    ],
)
def test_transformer_of_the_papers(preset, sizes, count):
    """The MindEye2 count is also the one that its training log prints."""
    with torch.device("meta"):
        prior = TransformerPrior.from_preset(preset)
        sample = torch.empty(2, sizes[4], sizes[0])
        out = prior(sample, torch.zeros(2, dtype=torch.int64), sample.flatten(1))
    assert out.shape == sample.shape
    assert sum(p.numel() for p in prior.parameters()) == transformer_count(*sizes) == count


def test_unet_of_the_paper():
    widths, time, condition, dim = [1024, 512, 256, 128, 64], 512, 1024, 1024
    with torch.device("meta"):
        prior = UNetPrior.from_preset("paper")
        out = prior(torch.empty(3, dim), torch.zeros(3, dtype=torch.int64), torch.empty(3, condition))
    assert out.shape == (3, dim)
    count = (dim + 1) * widths[0] + 2 * widths[0] + (widths[0] + 1) * dim
    for a, b in [*pairwise(widths), *pairwise(widths[::-1])]:
        count += (time + 1) * a + (a + 1) * a + (condition + 1) * a + (a + 1) * b + 2 * b
    assert sum(p.numel() for p in prior.parameters()) == count == 9_675_648


def test_no_place_is_hidden_and_order_matters():
    """Not causal: the first output hangs on the last token; tokens are told apart by their place."""
    torch.manual_seed(0)
    prior = TransformerPrior.from_preset("tiny", n_tokens=6, token_dim=5).eval()
    x, c = torch.randn(1, 6, 5), torch.randn(1, 6, 5)
    with torch.no_grad():
        out = prior(x, 3, c)
        changed = x.clone()
        changed[0, 5] += 1.0
        assert (prior(changed, 3, c)[0, 0] - out[0, 0]).abs().max() > 1e-4
        assert (prior(x, 4, c) - out).abs().max() > 1e-4
        assert (prior(x, 3, c.flip(1)) - out).abs().max() > 1e-4
        assert torch.equal(prior(x.flatten(1), 3, c.flatten(1)), out.flatten(1))


@pytest.mark.parametrize("make", [lambda: TransformerPrior.from_preset("tiny", n_tokens=2, token_dim=3),
                                  lambda: UNetPrior.from_preset("tiny", dim=6)])  # fmt: skip
def test_dropped_rows_are_rows_without_a_condition(make):
    torch.manual_seed(0)
    prior = make().eval()
    x, c = torch.randn(4, *prior.sample_shape), torch.randn(4, *prior.condition_shape)
    drop = torch.tensor([True, False, True, False])
    with torch.no_grad():
        with_, without, mixed = prior(x, 5, c), prior(x, 5), prior(x, 5, c, drop=drop)
    assert torch.allclose(mixed[drop], without[drop], atol=1e-6) and torch.allclose(
        mixed[~drop], with_[~drop], atol=1e-6
    )
    assert (with_ - without).abs().max() > 1e-4


def test_rotary_products_hang_on_the_distance_only():
    torch.manual_seed(0)
    q, k = torch.randn(12, 16), torch.randn(12, 16)
    q, k = q[:1].expand(12, -1), k[:1].expand(12, -1)
    angles = rotary_angles(12, 8)
    products = rotated(q, angles) @ rotated(k, angles).T
    for d in range(-11, 12):
        line = products.diagonal(d)
        assert torch.allclose(line, line[:1].expand_as(line), atol=1e-4)
    assert torch.allclose(rotated(q, angles).norm(dim=1), q.norm(dim=1), atol=1e-5)


def test_bins_of_distance():
    bins = distance_bins(300, 32, 128)
    assert bins.min() == 0 and bins.max() == 31
    assert (
        bins[10, 10] == 0 and bins[10, 7] == 3 and bins[10, 13] == 16 + 3
    )  # near places have a bin each, on either side
    assert bins[0, 200] == bins[0, 290] == 31  # beyond the furthest all are alike
    assert (bins[0].diff() >= 0)[1:].all()


class GaussianPrior(ModelMixin, ConfigMixin):
    """The exact denoiser of x0 ~ N(A c, diag(s^2)) (N(0, diag(s^2 + A A')) without c): E[x0 | x_t, c] in closed form."""

    prediction_type = "sample"

    @register_to_config
    def __init__(self, *, n: int = 100):
        super().__init__()
        self.sample_shape, self.condition_shape = (2,), (2,)
        self.kept = levels(n=n).alphas_cumprod.double()
        self.gain = nn.Parameter(torch.tensor([[0.8, 0.1], [-0.3, 0.6]]), requires_grad=False)
        self.spread = nn.Parameter(torch.tensor([0.4, 0.7]), requires_grad=False)

    def forward(self, sample, timestep, condition=None, *, drop=None):
        a = self.kept[timestep]
        gain = self.gain.double()
        covariance = torch.diag(self.spread.double() ** 2)
        mean = torch.zeros(2, dtype=torch.float64) if condition is None else condition.double() @ gain.T
        if condition is None:
            covariance = covariance + gain @ gain.T
        eye = torch.eye(2, dtype=torch.float64)
        weight = a.sqrt() * covariance @ torch.linalg.inv(a * covariance + (1 - a) * eye)
        return (mean + (sample.double() - a.sqrt() * mean) @ weight.T).to(sample.dtype)


@pytest.mark.parametrize(("kind", "n"), [(DDIMScheduler, 100), (DDPMScheduler, 600)])
def test_samples_of_the_exact_denoiser_have_the_exact_distribution(kind, n):
    """DDPM draws with a little too little variance where steps are large, so it gets more of them."""
    prior = GaussianPrior(n=n)
    pipeline = PriorPipeline(prior, levels(kind, n=n))
    gain, spread = prior.gain.numpy(), prior.spread.numpy()
    condition = np.tile(np.float32([[1.0, -2.0]]), (3000, 1))
    drawn = {"num_inference_steps": n, "generator": torch.Generator().manual_seed(0), "progress": False}
    given = pipeline(condition, **drawn).embeddings
    se = spread / np.sqrt(3000)
    assert (np.abs(given.mean(axis=0) - gain @ condition[0]) < 4 * se + 0.01).all()
    assert np.allclose(given.std(axis=0), spread, rtol=0.06)
    free = pipeline(n=3000, **drawn).embeddings
    assert np.allclose(np.cov(free.T), np.diag(spread**2) + gain @ gain.T, atol=0.06)
    none = pipeline(
        condition, guidance_scale=0.0, **{**drawn, "generator": torch.Generator().manual_seed(0)}
    ).embeddings
    again = pipeline(n=3000, **{**drawn, "generator": torch.Generator().manual_seed(0)}).embeddings
    assert np.array_equal(none, again)


def test_guidance_moves_along_the_condition():
    pipeline = PriorPipeline(GaussianPrior(), levels())
    condition = np.tile(np.float32([[1.0, -1.0]]), (64, 1))
    means = [
        pipeline(condition, guidance_scale=s, num_inference_steps=25, progress=False).embeddings.mean(axis=0)
        for s in (0, 1, 3)
    ]
    direction = means[1] - means[0]
    assert (means[2] - means[1]) @ direction > 0.5 * direction @ direction


def test_noise_goes_by_name_and_generators_are_used():
    pipeline = PriorPipeline(GaussianPrior(), levels())
    c = np.float32([[0.0, 0.0], [1.0, 1.0], [0.3, -0.4]])
    full = pipeline(c, names=["a", "b", "c"], progress=False).embeddings
    one = pipeline(c[1:2], names=["b"], progress=False).embeddings
    assert np.allclose(one[0], full[1], atol=1e-6)
    assert np.array_equal(pipeline(c, names=["a", "b", "c"], progress=False).embeddings, full)
    assert not np.allclose(pipeline(c, names=["a", "b", "c"], seed=1, progress=False).embeddings, full, atol=1e-3)
    own = [pipeline(c, generator=torch.Generator().manual_seed(5), progress=False).embeddings for _ in range(2)]
    assert np.array_equal(*own) and not np.allclose(own[0], full, atol=1e-3)
    noise = torch.randn(3, 2)
    assert np.array_equal(*[pipeline(c, latents=noise, progress=False).embeddings for _ in range(2)])


def test_candidates_are_chosen_by_the_brains_own_embedding():
    pipeline = PriorPipeline(GaussianPrior(), levels())
    c, names = np.float32([[1.0, 0.5]] * 40), [f"w{i}" for i in range(40)]
    wanted = np.float32([[0.0, 3.0]] * 40)
    tried = [
        pipeline(c, names=[f"{n}/candidate {k}" if k else n for n in names], progress=False).embeddings
        for k in range(4)
    ]
    cosine = np.stack([(t * wanted).sum(1) / np.linalg.norm(t, axis=1) / 3 for t in tried])
    best = np.stack(tried)[cosine.argmax(axis=0), np.arange(40)]
    assert np.allclose(
        pipeline(c, names=names, n_candidates=4, brain_embedding=wanted, progress=False).embeddings, best
    )
    assert np.array_equal(pipeline(c, names=names, n_candidates=1, progress=False).embeddings, tried[0])


def test_callback_sees_and_replaces():
    pipeline, seen = PriorPipeline(GaussianPrior(), levels()), []

    def callback(pipe, step, timestep, tensors):
        seen.append((step, int(timestep)))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 3 else None

    out = pipeline(n=2, num_inference_steps=4, callback_on_step_end=callback, progress=False).embeddings
    assert [s for s, _ in seen] == [0, 1, 2, 3] and np.array_equal(out, np.zeros((2, 2)))


@pytest.mark.parametrize("kind", ["transformer", "unet"])
def test_saved_pipelines_sample_the_same(kind, tmp_path):
    torch.manual_seed(0)
    tokens = {"n_tokens": 2, "token_dim": 3}
    prior = (
        TransformerPrior.from_preset("tiny", **tokens)
        if kind == "transformer"
        else UNetPrior.from_preset("tiny", dim=6)
    )
    scale = EmbeddingScale(n=6, n_condition=6)
    scale.mean.data += 2.0
    scale.condition_scale.data *= 3.0
    pipeline = PriorPipeline(prior.eval(), levels(prediction=prior.prediction_type), scale)
    c = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    before = pipeline(c, num_inference_steps=5, guidance_scale=2.0, progress=False).embeddings
    pipeline.save_pretrained(tmp_path / "p", safe_serialization=True)
    assert not [f for f in (tmp_path / "p").rglob("*") if f.suffix in (".bin", ".pt", ".ckpt")]
    loaded = PriorPipeline.from_pretrained(tmp_path / "p")
    loaded.set_progress_bar_config(disable=True)
    for part in (loaded.prior, loaded.scaler):
        part.load_state_dict({k: v.clone() for k, v in part.state_dict().items()}, assign=True)
    assert np.array_equal(loaded(c, num_inference_steps=5, guidance_scale=2.0, progress=False).embeddings, before)
    assert before.shape == (3, *prior.sample_shape)


def test_scale_is_undone():
    scale = EmbeddingScale(n=6, n_condition=4)
    scale.mean.data, scale.scale.data = torch.arange(6.0), torch.arange(1.0, 7.0)
    x = torch.randn(3, 2, 3)
    assert torch.allclose(scale.from_units(scale.to_units(x)), x, atol=1e-5)
    assert torch.allclose(scale.to_units(torch.zeros(1, 2, 3)).flatten(), torch.arange(6.0))


def test_wrong_calls_are_explained():
    prior = TransformerPrior.from_preset("tiny", n_tokens=2, token_dim=3)
    with pytest.raises(BraindecError, match="prediction_type"):
        PriorPipeline(prior, levels(prediction="epsilon"))
    with pytest.raises(BraindecError, match="cannot use the scheduler"):
        PriorPipeline(prior, object())
    pipeline = PriorPipeline(prior, levels())
    with pytest.raises(BraindecError, match="does not fit the prior"):
        pipeline(np.zeros((3, 7), np.float32))
    with pytest.raises(BraindecError, match="how many"):
        pipeline()
    with pytest.raises(BraindecError, match="callbacks cannot get"):
        pipeline(n=1, callback_on_step_end_tensor_inputs=["truth"])
    with pytest.raises(BraindecError, match="another size"):
        pipeline(
            np.zeros((2, 6), np.float32), n_candidates=2, brain_embedding=np.zeros((2, 5), np.float32), progress=False
        )
    with pytest.raises(BraindecError, match="no preset 'tinny'.*tiny"):
        TransformerPrior.from_preset("tinny")
    with pytest.raises(BraindecError, match="two levels"):
        UNetPrior(widths=(4,))


def test_samplers_differ_in_the_variance_they_keep():
    """Twenty steps with the exact denoiser: why dpm++ is what decoders with a prior sample by."""
    training = training_scheduler("base", n_steps=100, latents=True, prediction="sample")
    kept = {}
    for name in ("ddim", "dpm++"):
        pipeline = PriorPipeline(GaussianPrior(), make_scheduler(name, training=training, timestep_spacing="trailing"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = pipeline(n=4000, generator=torch.Generator().manual_seed(0), progress=False).embeddings
        kept[name] = (drawn.var(axis=0) / np.array([0.81, 0.94])).mean()
    assert kept["ddim"] < 0.92 and 0.96 < kept["dpm++"] < 1.05
