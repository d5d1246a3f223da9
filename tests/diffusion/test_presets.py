"""Sizes of diffusion models: published counts, small ones that run, bad sizes."""

import json

import pytest
import torch

from braindec.diffusion import presets
from braindec.errors import BraindecError

COUNTS = [(kind, name, count) for kind, table in presets.PARAMETERS.items() for name, count in table.items()]


@pytest.mark.parametrize(("kind", "name", "count"), COUNTS)
def test_published_sizes_on_the_meta_device(kind, name, count):
    module, n = presets.on_meta(lambda: getattr(presets, kind)(name))
    assert n == count == presets.n_parameters(module)
    assert all(p.is_meta for p in module.parameters())
    assert name in presets.sizes(kind)


def test_published_figures():
    """As printed in the papers, by the authors' programs or on the model cards."""
    table = presets.PARAMETERS
    assert table["unet"]["paper:sd15"] == 859_520_964 and table["unet"]["paper:sd21"] == 865_910_724
    assert table["unet"]["paper:sdxl"] == 2_567_463_684 and table["autoencoder"]["paper:sd15"] == 83_653_863
    assert table["controlnet"]["paper:sd15"] == 361_279_120
    assert (
        round(table["unet"]["paper:mindvis"] / 1e6, 2) == 400.92
        and round(table["vq_autoencoder"]["paper:mindvis"] / 1e6, 1) == 55.3
    )
    extra = 2048 * 1280 + 1280 + 1280 * 1280 + 1280  # the layers for the embedding that unCLIP adds to the time
    assert table["unet"]["paper:sd21-unclip"] == table["unet"]["paper:sd21"] + extra


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_tiny_denoiser_takes_pictures_of_each_size(size, channels):
    net = presets.unet("tiny", sample_size=size, channels=channels, width=24, vector=10)
    out = net(
        torch.randn(2, channels, size, size),
        3,
        encoder_hidden_states=torch.randn(2, 5, 24),
        class_labels=torch.randn(2, 10),
    )
    assert out.sample.shape == (2, channels, size, size)
    assert len(net.config.block_out_channels) == (3 if size == 32 else 2)


def test_settings_from_json_and_by_hand():
    preset = json.loads(json.dumps({"preset": "tiny", "block_out_channels": [8, 16], "norm_num_groups": 4}))
    net = presets.unet(preset, width=12)
    assert net.config.block_out_channels == (8, 16) and net.config.cross_attention_dim == 12
    flat = presets.unet("tiny", sample_size=(8, 16))
    assert flat(torch.randn(1, 1, 8, 16), 0, encoder_hidden_states=torch.randn(1, 2, 32)).sample.shape == (1, 1, 8, 16)


def test_autoencoders_and_films_run():
    x = torch.randn(2, 3, 16, 16)
    vae = presets.autoencoder("tiny")
    z = vae.encode(x).latent_dist.mode()
    assert z.shape == (2, 4, 8, 8) and vae.decode(z).sample.shape == x.shape
    vq = presets.vq_autoencoder("tiny", channels=1, sample_size=8)
    assert vq(torch.randn(2, 1, 8, 8)).sample.shape == (2, 1, 8, 8)
    film = presets.film_unet("tiny", channels=3, width=16)
    assert film(torch.randn(1, 3, 4, 8, 8), 1, encoder_hidden_states=torch.randn(1, 2, 16)).sample.shape == (
        1,
        3,
        4,
        8,
        8,
    )


def test_motion_layers_turn_a_denoiser_of_pictures_into_one_of_films():
    unet = presets.unet("tiny", channels=4)
    film = presets.film_unet(denoiser=unet)
    x, tokens = torch.randn(2, 4, 3, 8, 8), torch.randn(2 * 3, 2, 32)
    assert film(x, 1, encoder_hidden_states=tokens).sample.shape == x.shape
    weight = film.state_dict()["conv_in.weight"]
    assert torch.equal(weight, unet.conv_in.weight)
    with pytest.raises(BraindecError, match="do not fit the denoiser"):
        presets.film_unet(denoiser=unet, adapter=presets.motion_adapter("base"))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_new_control_network_changes_nothing(factor):
    unet = presets.unet("tiny").eval()
    control = presets.controlnet(denoiser=unet, hint_channels=2, factor=factor).eval()
    x, tokens, hint = torch.randn(2, 1, 8, 8), torch.randn(2, 3, 32), torch.rand(2, 2, 8 * factor, 8 * factor)
    down, middle = control(x, 5, encoder_hidden_states=tokens, controlnet_cond=hint, return_dict=False)
    with_control = unet(
        x, 5, encoder_hidden_states=tokens, down_block_additional_residuals=down, mid_block_additional_residual=middle
    )
    assert torch.equal(with_control.sample, unet(x, 5, encoder_hidden_states=tokens).sample)
    alone = presets.controlnet("tiny", hint_channels=2, factor=factor)
    assert presets.n_parameters(alone) == presets.n_parameters(control)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: presets.unet("tiney"), "did you mean 'tiny'"), (lambda: presets.unet("paper:sd51"), "did you mean 'paper:sd"),
        (lambda: presets.unet("tiny", layers_per_blok=2), "did you mean 'layers_per_block'"),
        (lambda: presets.unet("tiny", sample_size=9), "multiples of 2"),
        (lambda: presets.autoencoder("base", sample_size=30), "multiples of 4"),
        (lambda: presets.unet("tiny", norm_num_groups=7), "do not make a unet"),
        (lambda: presets.controlnet(factor=3), "1, 2, 4, 8"), (lambda: presets.sizes("unett"), "did you mean 'unet'"),
        (lambda: presets.controlnet(denoiser=presets.unet("tiny"), layers_per_block=2), "leave them out"),
    ],
)  # fmt: skip
def test_bad_sizes(call, match):
    with pytest.raises(BraindecError, match=match):
        call()
