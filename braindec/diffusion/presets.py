"""Sizes of denoisers, autoencoders and control networks by name: "tiny", "base", and "paper:..." as they were published.

"tiny" trains on one core in seconds, "base" on a small GPU (or patiently on a CPU); "paper:sd15" and the like have the sizes
of published weights, so that those weights fit them (:mod:`braindec.diffusion.pretrained` opens the weights themselves).

Source: Rombach et al. 2022 (CVPR, LDM: Stable Diffusion 1.5 and 2.1, the VQ-f4 autoencoder and the ImageNet model that
MinD-Vis starts from, Chen et al. 2023); Podell et al. 2023 (SDXL); Zhang et al. 2023 (ControlNet); Wang et al. 2023
(ModelScope text-to-video); Guo et al. 2023 (AnimateDiff).

Parameter counts were taken by building each size on the meta device. They agree with published figures for sd15
(859,520,964), sd21 (865,910,724), sdxl (2,567,463,684), their autoencoder (83,653,863) and the sd15 ControlNet (361,279,120).
The names in ``FROM_MEMORY`` have configurations, or counts to compare with, that were written down from memory of the papers
and model cards (400.92 M for the ImageNet model, 55.3 M for VQ-f4, "1.4 B" for text-to-video, 417 M and 453 M for motion).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch
from torch import nn

from braindec.errors import BraindecError, did_you_mean

__all__ = [
    "FROM_MEMORY", "PARAMETERS", "autoencoder", "controlnet", "film_unet", "motion_adapter", "n_parameters", "on_meta", "sizes",
    "unet", "vq_autoencoder",
]  # fmt: skip

Preset = str | Mapping[str, Any]

_DOWN, _CROSS_DOWN, _UP, _CROSS_UP = "DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"
_SD = {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2, "in_channels": 4, "out_channels": 4,
       "down_block_types": (_CROSS_DOWN,) * 3 + (_DOWN,), "norm_num_groups": 32}  # fmt: skip
_SD_UNET = {**_SD, "up_block_types": (_UP,) + (_CROSS_UP,) * 3}
_SD21 = {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}
_SDXL = {
    "sample_size": 128, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20), "use_linear_projection": True, "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10), "down_block_types": (_DOWN, _CROSS_DOWN, _CROSS_DOWN),
    "up_block_types": (_CROSS_UP, _CROSS_UP, _UP), "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
_KL = {"in_channels": 3, "out_channels": 3, "latent_channels": 4}
_SD_VAE = {**_KL, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "norm_num_groups": 32,
           "scaling_factor": 0.18215, "sample_size": 512}  # fmt: skip
_MOTION = {"block_out_channels": (320, 640, 1280, 1280), "motion_layers_per_block": 2, "motion_num_attention_heads": 8}

_UNET = {
    "tiny": {"sample_size": 8, "in_channels": 1, "layers_per_block": 1, "block_out_channels": (16, 32), "norm_num_groups": 8,
             "cross_attention_dim": 32, "attention_head_dim": 4},
    "base": {"sample_size": 32, "in_channels": 3, "layers_per_block": 2, "block_out_channels": (64, 128, 256),
             "norm_num_groups": 32, "cross_attention_dim": 256, "attention_head_dim": 8},
    "paper:sd15": {**_SD_UNET, "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "paper:sd21": {**_SD_UNET, **_SD21, "sample_size": 96},
    "paper:sd21-unclip": {**_SD_UNET, **_SD21, "sample_size": 96, "class_embed_type": "projection",
                          "projection_class_embeddings_input_dim": 2048},
    "paper:sdxl": _SDXL,
    "paper:mindvis": {
        "sample_size": 64, "in_channels": 3, "out_channels": 3, "layers_per_block": 2, "cross_attention_dim": 512,
        "attention_head_dim": 1, "block_out_channels": (192, 384, 576, 960),
        "down_block_types": (_DOWN,) + (_CROSS_DOWN,) * 3, "up_block_types": (_CROSS_UP,) * 3 + (_UP,),
    },
}  # fmt: skip
_AUTOENCODER = {
    "tiny": {**_KL, "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 16},
    "base": {**_KL, "block_out_channels": (64, 128, 128), "layers_per_block": 1, "norm_num_groups": 32, "sample_size": 64},
    "paper:sd15": _SD_VAE,
    "paper:sd21": {**_SD_VAE, "sample_size": 768},
    "paper:sdxl": {**_SD_VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
}  # fmt: skip
_VQ = {
    "tiny": {"in_channels": 3, "out_channels": 3, "latent_channels": 3, "block_out_channels": (16, 32), "layers_per_block": 1,
             "norm_num_groups": 8, "num_vq_embeddings": 64, "vq_embed_dim": 3, "sample_size": 16},
    "base": {"in_channels": 3, "out_channels": 3, "latent_channels": 3, "block_out_channels": (64, 128, 128),
             "layers_per_block": 1, "norm_num_groups": 32, "num_vq_embeddings": 1024, "vq_embed_dim": 3, "sample_size": 64},
    "paper:mindvis": {"in_channels": 3, "out_channels": 3, "latent_channels": 3, "block_out_channels": (128, 256, 512),
                      "layers_per_block": 2, "norm_num_groups": 32, "num_vq_embeddings": 8192, "vq_embed_dim": 3,
                      "sample_size": 256},
}  # fmt: skip
_CONTROL = {
    "tiny": {"in_channels": 1, "conditioning_channels": 3, "layers_per_block": 1, "block_out_channels": (16, 32),
             "norm_num_groups": 8, "cross_attention_dim": 32, "attention_head_dim": 4,
             "conditioning_embedding_out_channels": (16, 32)},
    "base": {"in_channels": 3, "conditioning_channels": 3, "layers_per_block": 2, "block_out_channels": (64, 128, 256),
             "norm_num_groups": 32, "cross_attention_dim": 256, "attention_head_dim": 8,
             "conditioning_embedding_out_channels": (16, 32)},
    "paper:sd15": {**{k: v for k, v in _SD.items() if k != "out_channels"}, "cross_attention_dim": 768,
                   "attention_head_dim": 8, "conditioning_embedding_out_channels": (16, 32, 96, 256)},
    "paper:sd21": {**{k: v for k, v in _SD.items() if k != "out_channels"}, **_SD21,
                   "conditioning_embedding_out_channels": (16, 32, 96, 256)},
}  # fmt: skip
_FILM = {
    "tiny": {"sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "block_out_channels": (32, 64),
             "norm_num_groups": 32, "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
             "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"), "cross_attention_dim": 32, "attention_head_dim": 4},
    "base": {"sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 1,
             "block_out_channels": (64, 128, 128), "norm_num_groups": 32,
             "down_block_types": ("CrossAttnDownBlock3D",) * 2 + ("DownBlock3D",),
             "up_block_types": ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 2, "cross_attention_dim": 256,
             "attention_head_dim": 32},
    "paper:modelscope": {"sample_size": 32, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
                         "block_out_channels": (320, 640, 1280, 1280), "norm_num_groups": 32, "cross_attention_dim": 1024,
                         "attention_head_dim": 64},
}  # fmt: skip
_ADAPTER = {
    "tiny": {"block_out_channels": (16, 32), "motion_layers_per_block": 1, "motion_num_attention_heads": 4,
             "motion_norm_num_groups": 8, "motion_max_seq_length": 16, "use_motion_mid_block": False},
    "base": {"block_out_channels": (64, 128, 256), "motion_layers_per_block": 2, "motion_num_attention_heads": 8,
             "motion_max_seq_length": 32, "use_motion_mid_block": False},
    "paper:animatediff-v2": {**_MOTION, "motion_max_seq_length": 32, "use_motion_mid_block": True},
    "paper:animatediff-v3": {**_MOTION, "motion_max_seq_length": 32, "use_motion_mid_block": False},
}  # fmt: skip
_KINDS = {
    "unet": ("UNet2DConditionModel", _UNET), "autoencoder": ("AutoencoderKL", _AUTOENCODER),
    "vq_autoencoder": ("VQModel", _VQ), "controlnet": ("ControlNetModel", _CONTROL),
    "film_unet": ("UNet3DConditionModel", _FILM), "motion_adapter": ("MotionAdapter", _ADAPTER),
}  # fmt: skip

PARAMETERS: dict[str, dict[str, int]] = {
    "unet": {"paper:sd15": 859_520_964, "paper:sd21": 865_910_724, "paper:sd21-unclip": 870_173_124,
             "paper:sdxl": 2_567_463_684, "paper:mindvis": 400_920_579},
    "autoencoder": {"paper:sd15": 83_653_863, "paper:sd21": 83_653_863, "paper:sdxl": 83_653_863},
    "vq_autoencoder": {"paper:mindvis": 55_322_782},
    "controlnet": {"paper:sd15": 361_279_120, "paper:sd21": 364_228_240},
    "film_unet": {"paper:modelscope": 1_411_233_860},
    "motion_adapter": {"paper:animatediff-v2": 453_209_280, "paper:animatediff-v3": 417_137_600},
}  # fmt: skip
FROM_MEMORY = {
    ("unet", "paper:sd21-unclip"), ("unet", "paper:mindvis"), ("vq_autoencoder", "paper:mindvis"), ("controlnet", "paper:sd21"),
    ("film_unet", "paper:modelscope"), ("motion_adapter", "paper:animatediff-v2"), ("motion_adapter", "paper:animatediff-v3"),
}  # fmt: skip


def sizes(kind: str) -> tuple[str, ...]:
    """Return the names of the sizes of a kind of network ("unet", "autoencoder", "controlnet", ...)."""
    return tuple(_table(kind)[1])


def unet(
    preset: Preset = "tiny", *, sample_size: int | tuple[int, int] | None = None, channels: int | None = None,
    width: int | None = None, vector: int | None = None, **changes: Any,
) -> diffusers.UNet2DConditionModel:  # fmt: skip
    """Build a denoiser of pixels or latents that listens to tokens.

    Parameters
    ----------
    preset : str or mapping
        A name of ``sizes("unet")``, or settings of one's own (those of ``{"preset": "tiny", ...}`` are changed).
    sample_size : int or (int, int), optional
        Height and width of what is denoised, in pixels or latents. "tiny" has two levels (8 to 16 pixels) and gets one more
        above 16 and above 32; cross-attention stands on all but the first level.
    channels : int, optional
        Of what is denoised: 1 or 3 for pixels, the autoencoder's for latents.
    width : int, optional
        Of the tokens (``cross_attention_dim``).
    vector : int, optional
        Length of a vector that is added to the time embedding (``class_embed_type="projection"``).
    changes
        Any other setting of ``diffusers.UNet2DConditionModel``.

    Raises
    ------
    BraindecError
        If there is no such size or setting, or the sizes do not go together.
    """
    settings = _settings("unet", preset, {**_given(sample_size=sample_size, cross_attention_dim=width), **changes})
    if channels is not None:
        settings |= {"in_channels": channels, "out_channels": channels}
    if vector is not None:
        settings |= {"class_embed_type": "projection", "projection_class_embeddings_input_dim": vector}
    settings.setdefault("out_channels", settings["in_channels"])
    if _name(preset) == "tiny" and "block_out_channels" not in {**changes, **_own(preset)}:
        settings["block_out_channels"] = (16, 32, 32, 64)[: _tiny_levels(settings["sample_size"])]
    levels = len(settings["block_out_channels"])
    settings.setdefault("down_block_types", (_DOWN,) + (_CROSS_DOWN,) * (levels - 1))
    settings.setdefault("up_block_types", (_CROSS_UP,) * (levels - 1) + (_UP,))
    _check_divisible(settings["sample_size"], levels, "unet")
    return _build("unet", settings)


def autoencoder(
    preset: Preset = "tiny", *, sample_size: int | None = None, channels: int | None = None, **changes: Any
) -> diffusers.AutoencoderKL:
    """Build an autoencoder between pictures and latents; ``channels`` are the picture's, ``latent_channels`` may be changed."""
    settings = _settings("autoencoder", preset, {**_given(sample_size=sample_size), **changes})
    return _build("autoencoder", _autoencoder_settings(settings, channels))


def vq_autoencoder(
    preset: Preset = "tiny", *, sample_size: int | None = None, channels: int | None = None, **changes: Any
) -> diffusers.VQModel:
    """Build an autoencoder with a codebook (VQ), as the latent model of MinD-Vis has."""
    settings = _settings("vq_autoencoder", preset, {**_given(sample_size=sample_size), **changes})
    return _build("vq_autoencoder", _autoencoder_settings(settings, channels))


def controlnet(
    preset: Preset = "tiny", *, denoiser: diffusers.UNet2DConditionModel | None = None, hint_channels: int = 3,
    factor: int = 1, **changes: Any,
) -> diffusers.ControlNetModel:  # fmt: skip
    """Build a control network; at first it changes nothing (its last layers are zero).

    Parameters
    ----------
    preset : str or mapping
        A name of ``sizes("controlnet")``; not used when ``denoiser`` is given.
    denoiser : UNet2DConditionModel, optional
        Start from the weights and the size of this one, as ControlNet does.
    hint_channels : int
        Channels of the control image.
    factor : int
        How many times larger than the latents the control image is: 1, 2, 4 or 8 (8 for Stable Diffusion; the names
        "paper:..." have 8 whatever is given).
    changes
        Other settings of ``diffusers.ControlNetModel``, without ``denoiser``.
    """
    if denoiser is None and _name(preset).startswith("paper:"):
        return _build(
            "controlnet", _settings("controlnet", preset, {"conditioning_channels": hint_channels, **changes})
        )
    if factor not in (1, 2, 4, 8):
        raise BraindecError(
            "the control image cannot be so many times larger", found=repr(factor), allowed="1, 2, 4, 8"
        )
    widths = {1: (16,), 2: (16, 32), 4: (16, 32, 48), 8: (16, 32, 96, 256)}[factor]
    hint = {"conditioning_channels": hint_channels, "conditioning_embedding_out_channels": widths}
    if denoiser is None:
        settings = _settings("controlnet", preset, {**hint, **changes})
        levels = len(settings["block_out_channels"])
        settings.setdefault("down_block_types", (_DOWN,) + (_CROSS_DOWN,) * (levels - 1))
        return _build("controlnet", settings)
    if changes:
        raise BraindecError(
            "a control network that starts from a denoiser has its size", found=", ".join(changes), fix="leave them out"
        )
    return diffusers.ControlNetModel.from_unet(
        denoiser, conditioning_channels=hint_channels, conditioning_embedding_out_channels=widths
    )


def film_unet(
    preset: Preset = "tiny", *, sample_size: int | None = None, channels: int | None = None, width: int | None = None,
    denoiser: diffusers.UNet2DConditionModel | None = None, adapter: diffusers.MotionAdapter | None = None, **changes: Any,
) -> diffusers.UNet3DConditionModel | diffusers.UNetMotionModel:  # fmt: skip
    """Build a denoiser of films (batch, channel, frame, height, width).

    Parameters
    ----------
    preset : str or mapping
        A name of ``sizes("film_unet")``: convolutions and attention over time of text-to-video models.
    sample_size, channels, width
        As in :func:`unet`.
    denoiser, adapter : UNet2DConditionModel, MotionAdapter, optional
        A denoiser of pictures that motion layers turn into one of films (AnimateDiff), and those layers
        (:func:`motion_adapter`); its size is that of ``denoiser``. It is called with the tokens of each frame:
        (batch × frame, n_tokens, width).
    changes
        Other settings of ``diffusers.UNet3DConditionModel``.
    """
    if denoiser is not None:
        adapter = adapter if adapter is not None else motion_adapter(
            {"preset": "tiny", "block_out_channels": tuple(denoiser.config.block_out_channels)}
        )  # fmt: skip
        try:
            return diffusers.UNetMotionModel.from_unet2d(denoiser, adapter)
        except (RuntimeError, ValueError, IndexError) as error:
            raise BraindecError(
                "the motion layers do not fit the denoiser", fix="build them with the denoiser's block_out_channels",
                found=f"{tuple(adapter.config.block_out_channels)} and {tuple(denoiser.config.block_out_channels)}",
            ) from error  # fmt: skip
    settings = _settings("film_unet", preset, {**_given(sample_size=sample_size, cross_attention_dim=width), **changes})
    if channels is not None:
        settings |= {"in_channels": channels, "out_channels": channels}
    _check_divisible(settings["sample_size"], len(settings["block_out_channels"]), "film_unet")
    return _build("film_unet", settings)


def motion_adapter(preset: Preset = "tiny", **changes: Any) -> diffusers.MotionAdapter:
    """Build motion layers (AnimateDiff) for a denoiser of pictures with the same ``block_out_channels``."""
    return _build("motion_adapter", _settings("motion_adapter", preset, changes))


def on_meta(build: Callable[[], nn.Module]) -> tuple[nn.Module, int]:
    """Return the module that ``build()`` makes, without memory for its weights, and its number of parameters."""
    with torch.device("meta"):
        module = build()
    return module, n_parameters(module)


def n_parameters(module: nn.Module) -> int:
    """How many numbers a module holds (parameters, each once)."""
    return sum(p.numel() for p in module.parameters())


def _table(kind: str) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    if kind not in _KINDS:
        raise BraindecError(
            f"there is no kind of network {kind!r}{did_you_mean(kind, _KINDS)}", allowed=", ".join(_KINDS)
        )
    return _KINDS[kind]


def _name(preset: Preset) -> str:
    return preset if isinstance(preset, str) else str(preset.get("preset", ""))


def _own(preset: Preset) -> dict[str, Any]:
    return {} if isinstance(preset, str) else {k: v for k, v in preset.items() if k != "preset"}


def _given(**values: Any) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}


def _settings(kind: str, preset: Preset, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a size with changes; unknown names are refused."""
    class_name, table = _table(kind)
    name = _name(preset) or "tiny"
    if name not in table:
        raise BraindecError(f"{kind} has no preset {name!r}{did_you_mean(name, table)}", allowed=", ".join(table))
    changes = {**_own(preset), **changes}
    allowed = [p for p in inspect.signature(getattr(diffusers, class_name).__init__).parameters if p != "self"]
    for key in changes:
        if key not in allowed:
            raise BraindecError(
                f"{class_name} has no setting {key!r}{did_you_mean(key, allowed)}", allowed=", ".join(allowed)
            )
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}  # from JSON
    return {**table[name], **tuples}


def _autoencoder_settings(settings: dict[str, Any], channels: int | None) -> dict[str, Any]:
    if channels is not None:
        settings |= {"in_channels": channels, "out_channels": channels}
    levels = len(settings["block_out_channels"])
    settings.setdefault("down_block_types", ("DownEncoderBlock2D",) * levels)
    settings.setdefault("up_block_types", ("UpDecoderBlock2D",) * levels)
    _check_divisible(settings["sample_size"], levels, "autoencoder")
    return settings


def _tiny_levels(sample_size: int | tuple[int, int]) -> int:
    largest = sample_size if isinstance(sample_size, int) else max(sample_size)
    return 2 + (largest > 16) + (largest > 32)


def _check_divisible(sample_size: int | tuple[int, int], levels: int, kind: str) -> None:
    factor = 2 ** (levels - 1)
    for side in (sample_size,) if isinstance(sample_size, int) else sample_size:
        if side % factor:
            raise BraindecError(
                f"pictures or latents of {sample_size} do not fit this {kind}", found=f"{levels} levels",
                allowed=f"heights and widths that are multiples of {factor}", fix="resize the pictures, or use fewer levels",
            )  # fmt: skip


def _build(kind: str, settings: dict[str, Any]) -> Any:
    try:
        return getattr(diffusers, _table(kind)[0])(**settings)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise BraindecError(f"these settings do not make a {kind}", found=str(error)) from error
