"""Published weights: real components of each class are saved and opened; pickles and what does not fit are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    DDIMScheduler,
    DDPMScheduler,
    PriorTransformer,
    StableDiffusionPipeline,
    StableUnCLIPImg2ImgPipeline,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    GitConfig,
    GitForCausalLM,
)

from braindec.diffusion import presets
from braindec.diffusion.pretrained import KINDS, how_to_convert, open_component
from braindec.diffusion.schedulers import training_scheduler
from braindec.errors import BraindecError

ROOT = Path(__file__).resolve().parents[2]


def text_encoder():
    return CLIPTextModel(CLIPTextConfig(hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
                                        vocab_size=40, max_position_embeddings=16, bos_token_id=1, eos_token_id=2))  # fmt: skip


def image_encoder():
    return CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_size=32, intermediate_size=37, projection_dim=32, num_hidden_layers=2,
                                                          num_attention_heads=4, image_size=32, patch_size=8))  # fmt: skip


def captioner():
    vision = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 32,
              "patch_size": 8}  # fmt: skip
    return GitForCausalLM(GitConfig(vision_config=vision, vocab_size=40, hidden_size=32, num_hidden_layers=1, num_attention_heads=4,
                                    intermediate_size=37))  # fmt: skip


def tokenizer(folder):
    folder.mkdir()
    letters = [chr(c) for c in range(ord("a"), ord("p"))]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{w}</w>" for w in letters)]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=16)


COMPONENTS = {
    "unet": lambda: presets.unet("tiny"), "film_unet": lambda: presets.film_unet("tiny"),
    "autoencoder": lambda: presets.autoencoder("tiny"), "vq_autoencoder": lambda: presets.vq_autoencoder("tiny"),
    "controlnet": lambda: presets.controlnet("tiny"), "motion_adapter": lambda: presets.motion_adapter("tiny"),
    "prior": lambda: PriorTransformer(num_attention_heads=2, attention_head_dim=16, num_layers=1, embedding_dim=32, num_embeddings=4,
                                      additional_embeddings=4),
    "image_encoder": image_encoder, "text_encoder": text_encoder, "captioner": captioner,
}  # fmt: skip


@pytest.mark.parametrize("kind", COMPONENTS)
def test_each_component_comes_back_as_it_was_saved(tmp_path, kind):
    made = COMPONENTS[kind]()
    made.save_pretrained(tmp_path)
    found = open_component(kind, tmp_path)
    assert type(found) is type(made) and not found.training
    assert found.state_dict().keys() == made.state_dict().keys()
    assert all(torch.equal(v, made.state_dict()[k]) for k, v in found.state_dict().items())
    assert open_component(kind, tmp_path, dtype="bf16").dtype == torch.bfloat16
    other = "unet" if kind != "unet" else "controlnet"
    with pytest.raises(BraindecError, match=rf"(?s)does not hold a component of kind '{other}'.*open it as '{kind}'"):
        open_component(other, tmp_path)


def test_motion_unet_and_schedulers(tmp_path):
    film = presets.film_unet(denoiser=presets.unet("tiny", channels=4))
    film.save_pretrained(tmp_path / "film")
    assert type(open_component("film_unet", tmp_path / "film")).__name__ == "UNetMotionModel"
    training_scheduler(prediction="sample").save_pretrained(tmp_path / "scheduler")
    found = open_component("scheduler", tmp_path / "scheduler", expect={"prediction_type": "sample"})
    assert isinstance(found, DDPMScheduler) and found.config.num_train_timesteps == 200
    with pytest.raises(BraindecError, match="prediction_type of the scheduler"):
        open_component("scheduler", tmp_path / "scheduler", expect={"prediction_type": "epsilon"})


def stable_diffusion(folder, kind=StableDiffusionPipeline, **more):
    parts = {
        "vae": presets.autoencoder("tiny"), "unet": presets.unet("tiny", channels=4), "scheduler": DDIMScheduler(steps_offset=1, clip_sample=False),
        "text_encoder": text_encoder(), "tokenizer": tokenizer(folder / "words"), **more,
    }  # fmt: skip
    if kind is StableDiffusionPipeline:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    kind(**parts).save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def sample(pipeline, **more):
    return pipeline(prompt="a b c", num_inference_steps=2, height=16, width=16, output_type="np", generator=torch.Generator().manual_seed(0),
                    **more).images  # fmt: skip


def test_stable_diffusion_whole_and_in_parts(tmp_path):
    folder = stable_diffusion(tmp_path)
    expected = sample(StableDiffusionPipeline.from_pretrained(folder))
    pipeline = open_component(
        "stable_diffusion", folder, expect={"unet.cross_attention_dim": 32, "vae.latent_channels": 4}
    )
    assert np.array_equal(sample(pipeline), expected) and expected.std() > 0
    for kind in ("unet", "autoencoder", "text_encoder", "scheduler"):  # found inside the pipeline by themselves
        assert type(open_component(kind, folder)) in {type(c) for c in pipeline.components.values()}
    with pytest.raises(BraindecError, match=r"(?s)cross_attention_dim of the unet.*32.*768"):
        open_component("stable_diffusion", folder, expect={"unet.cross_attention_dim": 768})
    with pytest.raises(BraindecError, match="no component 'unett'"):
        open_component("stable_diffusion", folder, expect={"unett.in_channels": 4})
    with pytest.raises(BraindecError, match="open it as 'stable_diffusion'"):
        open_component("unclip", folder)
    with pytest.raises(BraindecError, match="(?s)no folder 'une'; did you mean 'unet'"):
        open_component("unet", folder, subfolder="une")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(BraindecError, match="vae has no weights"):
        open_component("stable_diffusion", folder)


def test_unclip_and_animatediff(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    extractor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    folder = stable_diffusion(
        tmp_path / "a", StableUnCLIPImg2ImgPipeline, unet=presets.unet("tiny", channels=4, vector=64), feature_extractor=extractor,
        image_encoder=image_encoder(), image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=32),
        image_noising_scheduler=DDPMScheduler(),
    )  # fmt: skip
    pipeline = open_component("unclip", folder, expect={"unet.projection_class_embeddings_input_dim": 64})
    embedding = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    assert sample(pipeline, image_embeds=embedding).shape == (1, 16, 16, 3)
    folder = stable_diffusion(tmp_path / "b", AnimateDiffPipeline, motion_adapter=presets.motion_adapter("tiny"))
    assert isinstance(open_component("animatediff", folder), AnimateDiffPipeline)


def ip_adapter(folder, unet, image_dim=24):
    """An IP-Adapter with the tensors that published ones have."""
    width, weights, n = unet.config.cross_attention_dim, {}, 0
    for name in unet.attn_processors:
        if name.endswith("attn2.processor"):
            hidden = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
            weights[f"ip_adapter.{2 * n + 1}.to_k_ip.weight"] = torch.randn(hidden, width)
            weights[f"ip_adapter.{2 * n + 1}.to_v_ip.weight"] = torch.randn(hidden, width)
            n += 1
    weights |= {"image_proj.proj.weight": torch.randn(4 * width, image_dim), "image_proj.proj.bias": torch.zeros(4 * width),
                "image_proj.norm.weight": torch.ones(width), "image_proj.norm.bias": torch.zeros(width)}  # fmt: skip
    folder.mkdir()
    save_file(weights, folder / "ip-adapter.safetensors")
    return folder


def test_an_ip_adapter_steers_a_pipeline(tmp_path):
    pipeline = open_component("stable_diffusion", stable_diffusion(tmp_path))
    folder = ip_adapter(tmp_path / "adapter", pipeline.unet)
    weights = open_component("ip_adapter", folder, expect={"cross_attention_dim": 32, "image_dim": 24})
    assert torch.equal(
        open_component("ip_adapter", folder / "ip-adapter.safetensors")["image_proj"]["norm.weight"], torch.ones(32)
    )
    pipeline.load_ip_adapter(weights, subfolder="", weight_name="", image_encoder_folder=None)
    made = [
        sample(pipeline, ip_adapter_image_embeds=[torch.stack([torch.zeros(1, 24), v * torch.ones(1, 24)])])
        for v in (1.0, -1.0)
    ]
    assert not np.allclose(made[0], made[1])
    with pytest.raises(BraindecError, match=r"(?s)image_dim of the ip_adapter.*24.*1024"):
        open_component("ip_adapter", folder, expect={"image_dim": 1024})
    save_file({"other": torch.ones(1)}, tmp_path / "no.safetensors")
    with pytest.raises(BraindecError, match="is not an IP-Adapter"):
        open_component("ip_adapter", tmp_path / "no.safetensors")
    save_file({"image_proj.x": torch.ones(1)}, tmp_path / "half.safetensors")
    with pytest.raises(BraindecError, match="not a whole IP-Adapter"):
        open_component("ip_adapter", tmp_path / "half.safetensors")
    with pytest.raises(BraindecError, match="which file"):
        open_component("ip_adapter", tmp_path / "words")


def test_pickles_are_refused_and_the_lines_that_convert_them_work(tmp_path):
    unet = presets.unet("tiny")
    unet.save_pretrained(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    pickle = tmp_path / "diffusion_pytorch_model.bin"
    torch.save(unet.state_dict(), pickle)
    with pytest.raises(BraindecError) as caught:
        open_component("unet", tmp_path)
    text = str(caught.value)
    assert "are a pickle" in text and "diffusion_pytorch_model.bin" in text and "weights_only=True" in text
    printed = "\n".join(line.strip() for line in text[text.index("import torch") :].splitlines())
    assert printed.strip() == how_to_convert(pickle).strip()  # what is printed can be pasted
    exec(compile(printed, "printed", "exec"), {})
    found = open_component("unet", tmp_path)  # and now it opens, beside the pickle
    assert all(torch.equal(v, unet.state_dict()[k]) for k, v in found.state_dict().items())
    assert how_to_convert("a/pytorch_model.bin").count("a/model.safetensors") == 1


@pytest.mark.parametrize("ending", [".bin", ".ckpt", ".pt", ".pth", ".pkl", ".CKPT"])
@pytest.mark.parametrize("kind", ["unet", "stable_diffusion", "ip_adapter"])
def test_files_that_are_pickles_are_refused_without_being_opened(tmp_path, ending, kind):
    path = tmp_path / f"weights{ending}"
    path.write_bytes(b"not even a pickle")
    with pytest.raises(BraindecError, match=r"(?s)pickle.*torch.load"):
        open_component(kind, path)
    with pytest.raises(BraindecError, match="pickle"):
        open_component(kind, tmp_path / f"missing{ending}")
    if kind == "ip_adapter":
        with pytest.raises(BraindecError, match="pickle"):
            open_component(kind, tmp_path)


def break_whole(folder):
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    name = next(iter(weights))
    return weights, name


def damaged(folder):
    file = folder / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def one_tensor_less(folder):
    weights, name = break_whole(folder)
    del weights[name]
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")


def another_shape(folder):
    weights, name = break_whole(folder)
    weights[name] = torch.zeros(3)
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")


def no_config(folder):
    (folder / "config.json").unlink()


def bad_config(folder):
    (folder / "config.json").write_text("{")


def part_missing(folder):
    index = {"weight_map": {"a": "diffusion_pytorch_model.safetensors", "b": "part-2.safetensors"}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "match"),
    [(damaged, "is damaged"), (one_tensor_less, "1 tensors are missing"), (another_shape, "(?s)cannot be opened|another shape"),
     (no_config, "has no config.json"), (bad_config, "config.json is damaged"), (part_missing, "no part-2.safetensors")],
)  # fmt: skip
def test_damaged_folders(tmp_path, spoil, match):
    presets.unet("tiny").save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(BraindecError, match=match):
        open_component("unet", tmp_path)


def test_variants(tmp_path):
    unet = presets.unet("tiny")
    unet.half().save_pretrained(tmp_path, variant="fp16")
    found = open_component("unet", tmp_path, variant="fp16", dtype="fp16")
    assert all(torch.equal(v, unet.state_dict()[k]) for k, v in found.state_dict().items())
    with pytest.raises(BraindecError, match="no weights of the variant None"):
        open_component("unet", tmp_path)


def test_what_does_not_fit(tmp_path, monkeypatch):
    presets.unet("tiny").save_pretrained(tmp_path)
    expect = {"cross_attention_dim": 32, "in_channels": 1, "sample_size": 8, "block_out_channels": (16, 32)}
    open_component("unet", tmp_path, expect=expect)
    for key, match in (
        ("cross_attention_dim", "embedding that it was trained on"),
        ("in_channels", "autoencoder"),
        ("sample_size", "pictures"),
    ):
        with pytest.raises(BraindecError, match=rf"(?s){key} of the unet.*{match}"):
            open_component("unet", tmp_path, expect={key: 77})
    with pytest.raises(BraindecError, match="did you mean 'in_channels'"):
        open_component("unet", tmp_path, expect={"in_channel": 4})
    for call, match in (
        (lambda: open_component("unett", tmp_path), "did you mean 'unet'"),
        (lambda: open_component("unet", tmp_path, dtype="fp17"), "did you mean 'fp16'"),
        (lambda: open_component("unet", tmp_path / "config.json"), "is one file"),
        (lambda: open_component("unet", tmp_path / "nothing"), "there is no folder"),
        (lambda: open_component("unclip", tmp_path), "no model_index.json"),
    ):
        with pytest.raises(BraindecError, match=match):
            call()
    import braindec.diffusion.safe_weights as under_test

    monkeypatch.setattr(under_test, "available_memory", lambda: 2**19)  # a small machine
    with pytest.raises(BraindecError, match="memory does not suffice for the weights"):
        open_component("unet", tmp_path)


HUB = """
from braindec.diffusion.pretrained import open_component
from braindec.errors import BraindecError
for local_only in (True, False):
    try:
        open_component("unet", "someone/some-model", local_only=local_only)
    except BraindecError as error:
        print(str(error).replace("\\n", " | "))
"""


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", HUB], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    cached, reached = done.stdout.splitlines()
    assert "neither a folder here nor in the cache" in cached and "local_only=False" in cached
    assert "could not be had from the hub" in reached and "online" in reached


def test_a_hub_name_that_is_in_the_cache(tmp_path, monkeypatch):
    """The layout of the cache of huggingface_hub, as a download leaves it."""
    import huggingface_hub.constants as constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--some-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    unet = presets.unet("tiny")
    unet.save_pretrained(repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = open_component("unet", "someone/some-model")
    assert all(torch.equal(v, unet.state_dict()[k]) for k, v in found.state_dict().items())


def test_every_kind_has_a_test():
    pipelines = {"stable_diffusion", "unclip", "animatediff", "ip_adapter", "scheduler"}
    assert set(KINDS) - set(COMPONENTS) - pipelines == {"stable_diffusion_xl", "text_to_video"}  # of the same code
