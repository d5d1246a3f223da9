"""Pre-trained generators that take image embeddings: tiny pipelines of the same classes as the published weights."""

import json
import warnings

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from braindec.decoders._reconstruction import picture_components
from braindec.decoders.unclip import Unclip
from braindec.diffusion.image_adapters import ImageAdapter, open_image_adapter
from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels

DIM = 32


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Text encoder, tokenizer, UNet and autoencoder of a tiny Stable Diffusion."""
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "a"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    text = CLIPTextConfig(hidden_size=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=1, vocab_size=4, max_position_embeddings=16,
                          bos_token_id=0, eos_token_id=1, pad_token_id=1, projection_dim=32)  # fmt: skip
    return {
        "text_encoder": CLIPTextModel(text), "tokenizer": CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16),
        "vae": AutoencoderKL(block_out_channels=(16, 32), down_block_types=("DownEncoderBlock2D",) * 2,
                             up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=8, sample_size=16),
        "scheduler": DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
                                   set_alpha_to_one=False, steps_offset=1),
    }  # fmt: skip


def tiny_unet(**changes):
    return UNet2DConditionModel(**{
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "block_out_channels": (16, 32), "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 32, "attention_head_dim": 4, **changes,
    })  # fmt: skip


@pytest.fixture(scope="module")
def unclip(parts, tmp_path_factory):
    from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer

    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=37, projection_dim=DIM, num_hidden_layers=1, num_attention_heads=4,
                              image_size=16, patch_size=8)  # fmt: skip
    pipeline = StableUnCLIPImg2ImgPipeline(
        feature_extractor=CLIPImageProcessor(size=16, crop_size=16), image_encoder=CLIPVisionModelWithProjection(vision),
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=DIM), image_noising_scheduler=DDPMScheduler(num_train_timesteps=100),
        unet=tiny_unet(class_embed_type="projection", projection_class_embeddings_input_dim=2 * DIM), **parts,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("unclip")
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def adapted(parts, tmp_path_factory):
    """Stable Diffusion and the file of an IP-Adapter for it."""
    torch.manual_seed(1)
    unet = tiny_unet()
    pipeline = StableDiffusionPipeline(
        unet=unet, **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    folder = tmp_path_factory.mktemp("adapter")
    pipeline.save_pretrained(folder / "sd", safe_serialization=True)
    weights, place = {}, 1
    for name in unet.attn_processors:  # odd numbers are cross-attention, in the order of the published files
        if name.endswith("attn2.processor"):
            size = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
            for part in ("to_k_ip", "to_v_ip"):
                weights[f"ip_adapter.{place}.{part}.weight"] = torch.randn(size) / 4
            place += 2
    n_tokens = 4
    weights |= {"image_proj.proj.weight": torch.randn(n_tokens * 32, DIM) / 6, "image_proj.proj.bias": torch.zeros(n_tokens * 32),
                "image_proj.norm.weight": torch.ones(32), "image_proj.norm.bias": torch.zeros(32)}  # fmt: skip
    save_file(weights, folder / "ip-adapter.safetensors")
    return folder


def check_adapter(adapter):
    z = np.random.default_rng(0).normal(size=(3, DIM)).astype(np.float32)
    made = adapter.sample(z, np.ones(3), names=["a", "b", "c"], seed=0, num_inference_steps=2)
    assert made.shape == (3, 16, 16, 3)
    alone = adapter.sample(z[1:2], np.ones(1), names=["b"], seed=0, num_inference_steps=2)
    assert np.array_equal(alone[0], made[1])
    other = adapter.sample(z[[0, 0, 0]], np.ones(3), names=["a", "b", "c"], seed=0, num_inference_steps=2)
    assert np.array_equal(other[0], made[0])
    assert np.abs(other[1] - made[1]).max() > 1e-4  # the embedding matters
    prior = adapter.sample(None, None, names=["a", "b"], seed=0, num_inference_steps=2)
    assert prior.shape == (2, 16, 16, 3)
    with pytest.raises(BraindecError, match="the embeddings are not those"):
        adapter.sample(z[:, :5], np.ones(3), names=["a", "b", "c"], seed=0)


def test_unclip(unclip):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        adapter = open_image_adapter(unclip, noise_level=3)
        assert adapter.is_unclip
        check_adapter(adapter)
    z = np.ones((1, DIM), np.float32)
    blurred, exact = (adapter.sample(z, np.array([k]), names=["a"], seed=0, num_inference_steps=2) for k in (1.0, 0.0))
    assert not np.array_equal(blurred, exact)
    with pytest.raises(BraindecError, match="noise_level"):
        ImageAdapter(adapter.pipeline, noise_level=100)


def test_ip_adapter(adapted):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        adapter = open_image_adapter(
            adapted / "sd", ip_adapter=adapted / "ip-adapter.safetensors", base="stable_diffusion"
        )
        check_adapter(adapter)
        check_adapter(ImageAdapter(adapter.pipeline, guidance_scale=3.0))
    plain = open_image_adapter(
        adapted / "sd", ip_adapter=adapted / "ip-adapter.safetensors", base="stable_diffusion"
    ).pipeline
    plain.unload_ip_adapter()
    with pytest.raises(BraindecError, match="takes no image embedding"):
        ImageAdapter(plain)


def test_a_decoder_with_pre_trained_weights(unclip, tmp_path):
    pictures = digit_pictures()[np.arange(60)]
    windows = pixel_voxels(pictures, n_voxels=30, noise=0.5)
    features = picture_components(pictures, pictures.ids[:50], n=DIM)
    options = {"pretrained": str(unclip), "num_inference_steps": 2, "cross_fit": 2}
    decoder = Unclip(**options).fit(windows[:50], pictures, features)
    assert decoder.picture_shape_ == (16, 16, 3)
    made = decoder.reconstruct(windows[50:53])
    assert made.shape == (3, 16, 16, 3)
    decoder.save(tmp_path / "model")
    assert np.array_equal(Unclip.load(tmp_path / "model").reconstruct(windows[50:53]), made)
    with pytest.raises(BraindecError, match="the embeddings are not those that the pre-trained model was made for"):
        Unclip(**options).fit(windows[:50], pictures, picture_components(pictures, pictures.ids[:50], n=8))


def test_pickles_are_refused(adapted, tmp_path):
    (tmp_path / "weights.ckpt").write_bytes(b"\x80\x04")
    with pytest.raises(BraindecError, match="pickle"):
        open_image_adapter(tmp_path / "weights.ckpt")
    with pytest.raises(BraindecError, match="pickle"):
        open_image_adapter(adapted / "sd", ip_adapter=tmp_path / "weights.ckpt", base="stable_diffusion")
