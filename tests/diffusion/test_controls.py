"""Controls of a frozen denoiser: nothing at first, exactly nothing at weight zero, silhouettes by their rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from skimage.filters import threshold_otsu

from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.controlled_pipeline import ControlHints, ControlledImagePipeline
from braindec.diffusion.image_pipeline import BrainImagePipeline
from braindec.diffusion.presets import controlnet
from braindec.diffusion.signal_hint import ResidualHint, SignalHint
from braindec.diffusion.silhouette import SilhouetteDecoder, _otsu, silhouette_loss, silhouettes
from braindec.errors import BraindecError
from braindec.loaders.scenes import scene_masks, scene_pictures

CONTROLS = [{"name": "silhouette", "kind": "image", "channels": 1}, {"name": "eeg", "kind": "signal", "n_chans": 5, "n_times": 12, "width": 8},
            {"name": "residual", "kind": "residual", "dim": 60, "hidden": 8, "base": 4}]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=4,
    )  # fmt: skip
    scheduler = DDIMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    hints = ControlHints(controls=CONTROLS, size=(8, 8))
    conditioner = Conditioner(dim=3, width=8)
    net = controlnet(denoiser=unet, hint_channels=hints.n_channels)
    alone = BrainImagePipeline(unet, scheduler, conditioner)
    made = ControlledImagePipeline(unet, scheduler, conditioner, net, hints)
    for pipeline in (alone, made):
        pipeline.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(0)
    given = {
        "silhouette": rng.random((2, 8, 8, 1)),
        "eeg": rng.standard_normal((2, 5, 12)),
        "residual": rng.standard_normal((2, 60)),
    }
    return (
        alone,
        made,
        {k: v.astype(np.float32) for k, v in given.items()},
        rng.standard_normal((2, 3)).astype(np.float32),
    )


def sample(pipeline, condition, **options):
    return pipeline(condition, num_inference_steps=3, seed=2, progress=False, **options).images


def test_before_training_a_control_changes_nothing(parts):
    alone, made, given, condition = parts
    controls = [(k, v, 1.0) for k, v in given.items()]
    plain = sample(alone, condition)
    assert np.array_equal(sample(made, condition, controls=controls), plain)
    assert np.array_equal(sample(made, condition), plain)  # no control at all
    assert np.array_equal(sample(made, None, n=2), sample(alone, None, n=2))


def test_trained_controls_change_pictures_and_scale_zero_does_not(parts, tmp_path):
    alone, made, given, condition = parts
    state = {k: v.clone() for k, v in made.controlnet.state_dict().items()}
    try:
        for value in made.controlnet.parameters():
            value.data += 0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
        controls = [(k, v, 1.0) for k, v in given.items()]
        plain, steered = sample(alone, condition), sample(made, condition, controls=controls)
        assert not np.array_equal(steered, plain)
        assert np.array_equal(sample(made, condition, controls=controls, control_scale=0.0), plain)
        assert np.array_equal(sample(made, condition, control=made.control_image(controls)), steered)
        without = sample(made, condition, controls=[c for c in controls if c[0] != "silhouette"])
        assert np.array_equal(
            sample(made, condition, controls=[(k, v, 0.0 if k == "silhouette" else w) for k, v, w in controls]), without
        )
        assert not np.array_equal(without, steered)
        made.save_pretrained(tmp_path, safe_serialization=True)
        again = ControlledImagePipeline.from_pretrained(tmp_path)
        for part in (again.unet, again.conditioner, again.controlnet, again.hints):
            for value in part.parameters():
                value.data = value.data.clone()
        assert np.array_equal(sample(again, condition, controls=controls), steered)
    finally:
        made.controlnet.load_state_dict(state)


def test_the_control_image_is_the_weighted_controls_in_order(parts):
    _, made, given, _ = parts
    image = made.control_image([("residual", given["residual"], 1.0), ("silhouette", given["silhouette"], 0.5)])
    assert (
        np.allclose(image[..., :1], 0.5 * given["silhouette"]) and (image[..., 1:] == 0).all()
    )  # the residual block is zero at first
    full = made.control_image([("eeg", given["eeg"], 2.0)])
    assert full.shape == (2, 8, 8, 1 + 4 + 2) and np.abs(full[..., 1:5]).max() > 0 and (full[..., 5:] == 0).all()


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        ([("silhouete", np.zeros((2, 8, 8, 1)), 1.0)], "did you mean 'silhouette'"),
        ([("silhouette", np.zeros((2, 8, 8, 1)), 1.0)] * 2, "stands twice"),
        ([("silhouette", np.zeros((2, 4, 4, 1)), 1.0)], "does not fit"),
        ([("silhouette", np.full((2, 8, 8, 1), np.nan), 1.0)], "not finite"),
        ([("silhouette", np.zeros((2, 8, 8, 1)), 1.0), ("eeg", np.zeros((3, 5, 12)), 1.0)], "one entry an item"),
        ([("eeg", np.zeros((2, 5, 10)), 1.0)], "does not fit the hint"),
        ([("silhouette", np.zeros((3, 8, 8, 1)), 1.0)], "a control is needed for each condition"),
    ],
)
def test_wrong_controls_are_said(parts, controls, said):
    _, made, _, condition = parts
    with pytest.raises(BraindecError, match=said):
        sample(made, condition, controls=controls)


def test_kinds_of_controls():
    with pytest.raises(BraindecError, match="did you mean 'signal'"):
        ControlHints(controls=[{"name": "a", "kind": "signall"}], size=(8, 8))


@pytest.mark.parametrize("n_times", [1, 3, 50])
def test_hints_of_any_recording(n_times):
    hint = SignalHint(n_chans=6, n_times=n_times, size=(10, 16), channels=3, width=8)
    assert hint(torch.randn(2, 6, n_times)).shape == (2, 3, 10, 16)
    block = ResidualHint(dim=6 * n_times, size=(10, 16), channels=2)
    x = torch.randn(2, 6 * n_times)
    assert (block(x) == 0).all()
    block(x).sum().backward()
    assert block.zero.bias.grad.abs().sum() > 0  # it can learn


def test_silhouettes_are_the_objects_of_scenes():
    pictures = scene_pictures(60, size=32, seed=3)
    found, true = silhouettes(pictures.load())[..., 0], scene_masks(pictures) >= 0.5
    overlap = 2 * (found * true).sum(axis=(1, 2)) / (found.sum(axis=(1, 2)) + true.sum(axis=(1, 2)))
    assert overlap.min() > 0.8 and overlap.mean() > 0.93
    flat = silhouettes(np.full((2, 8, 8, 3), 0.4, np.float32))
    assert flat.shape == (2, 8, 8, 1) and not flat.any()
    with pytest.raises(BraindecError, match="height, width, channel"):
        silhouettes(np.zeros((8, 8, 1)))


def test_the_threshold_is_that_of_otsu():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.05, (4, 300)), rng.normal(0.7, 0.1, (4, 100))], axis=1).clip(0, 1)
    for row, mine in zip(values, _otsu(values), strict=True):
        assert abs(mine - threshold_otsu(row, nbins=64)) < 2 / 64 * row.max() + 1e-6 or (
            row > mine
        ).sum() == pytest.approx(100, abs=6)


def test_a_reader_of_silhouettes_learns():
    rng = np.random.default_rng(0)
    place = rng.integers(0, 2, 64)
    true = np.zeros((64, 1, 8, 8), np.float32)
    true[place == 0, :, :, :4], true[place == 1, :, :, 4:] = 1, 1
    x = torch.from_numpy(np.stack([place, 1 - place], axis=1).astype(np.float32))
    torch.manual_seed(0)
    model = SilhouetteDecoder(dim=2, size=(8, 8), width=8, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        loss = silhouette_loss(model.logits(x), torch.from_numpy(true))
        loss.backward()
        optimizer.step()
    assert ((model(x).detach().numpy() > 0.5) == (true > 0.5)).mean() > 0.95
    perfect = silhouette_loss(torch.from_numpy(20 * (2 * true - 1)), torch.from_numpy(true), variation=0.0)
    assert float(perfect) == pytest.approx(0.0, abs=1e-5)
