"""Published weights: open a denoiser, autoencoder, control network, encoder or whole pipeline from a folder or by hub name.

Weights are read from safetensors only. Pickles (.bin, .ckpt, .pt, .pth, .pkl) can run code when they are opened: they are
refused, and the message has the lines that convert them. What a component was built for is compared with what is asked of it
(``expect``) before its weights are read.

Nothing is downloaded unless ``local_only=False``: hub names are looked up in the cache of huggingface_hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from braindec.diffusion.safe_weights import (
    PICKLES,
    check_weights,
    from_hub,
    how_to_convert,
    pickle_refused,
    read_config,
)
from braindec.errors import BraindecError, did_you_mean

__all__ = ["KINDS", "how_to_convert", "open_component"]

# kind: library, classes that are allowed (the first is opened where the config names none), folder inside a pipeline
KINDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "unet": ("diffusers", ("UNet2DConditionModel",), "unet"),
    "film_unet": ("diffusers", ("UNet3DConditionModel", "UNetMotionModel"), "unet"),
    "autoencoder": ("diffusers", ("AutoencoderKL", "AutoencoderTiny"), "vae"),
    "vq_autoencoder": ("diffusers", ("VQModel",), "vqvae"),
    "controlnet": ("diffusers", ("ControlNetModel",), "controlnet"),
    "motion_adapter": ("diffusers", ("MotionAdapter",), "motion_adapter"),
    "prior": ("diffusers", ("PriorTransformer",), "prior"),
    "scheduler": ("diffusers", (), "scheduler"),
    "image_encoder": ("transformers", ("CLIPVisionModelWithProjection", "CLIPVisionModel"), "image_encoder"),
    "text_encoder": ("transformers", ("CLIPTextModel", "CLIPTextModelWithProjection"), "text_encoder"),
    "captioner": ("transformers", ("GitForCausalLM",), ""),
    "ip_adapter": ("", (), ""),
    "stable_diffusion": ("pipeline", ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"), ""),
    "stable_diffusion_xl": ("pipeline", ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"), ""),
    "unclip": ("pipeline", ("StableUnCLIPImg2ImgPipeline",), ""),
    "animatediff": ("pipeline", ("AnimateDiffPipeline",), ""),
    "text_to_video": ("pipeline", ("TextToVideoSDPipeline",), ""),
}
_DTYPES = {"float32": torch.float32, "fp32": torch.float32, "float16": torch.float16, "fp16": torch.float16,
           "bfloat16": torch.bfloat16, "bf16": torch.bfloat16}  # fmt: skip


def open_component(
    kind: str,
    source: str | Path,
    *,
    subfolder: str | None = None,
    expect: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype = "float32",
    local_only: bool = True,
    variant: str | None = None,
) -> Any:
    """Open a component (in evaluation mode), a scheduler, or a whole pipeline.

    Parameters
    ----------
    kind : str
        A name of ``KINDS``: "unet", "autoencoder", "controlnet", "scheduler", "image_encoder", "prior", "motion_adapter",
        "captioner" (GIT), "ip_adapter", ...; pipelines: "stable_diffusion" (1.5, 2.1), "stable_diffusion_xl" (and Turbo),
        "unclip", "animatediff", "text_to_video".
    source : str or Path
        A folder that ``save_pretrained`` wrote (of the component, or of a pipeline that has it), or a name on the hub. An
        IP-Adapter is one safetensors file.
    subfolder : str, optional
        Of the component; found by itself inside pipelines.
    expect : mapping, optional
        Settings that the component must have: ``{"cross_attention_dim": 768, "in_channels": 4}``. For pipelines
        ``{"unet.cross_attention_dim": 768}``; for an IP-Adapter ``cross_attention_dim`` and ``image_dim``.
    dtype : str or torch.dtype
        "float32", "fp16", "bf16".
    local_only : bool
        False downloads from the hub what is not in its cache (configurations and safetensors only).
    variant : str, optional
        "fp16" for files such as ``diffusion_pytorch_model.fp16.safetensors``.

    Returns
    -------
    nn.Module, scheduler or DiffusionPipeline
        For "ip_adapter" the weights as ``pipeline.load_ip_adapter(weights, subfolder="", weight_name="")`` takes them.

    Raises
    ------
    BraindecError
        If the weights are a pickle, files are missing or damaged, the class or a setting is another one, the hub cannot be
        reached, or memory does not suffice.
    """
    if kind not in KINDS:
        raise BraindecError(
            f"there is no kind of component {kind!r}{did_you_mean(kind, KINDS)}", allowed=", ".join(KINDS)
        )
    number = _dtype(dtype)
    place = _place(kind, source, subfolder, local_only, variant)
    if kind == "ip_adapter":
        return _ip_adapter(place, expect or {}, number)
    library, classes, _ = KINDS[kind]
    if library == "pipeline":
        return _pipeline(place, kind, expect or {}, number, variant)
    config, name = _config(place, kind, library, classes)
    _check_expected(place, config, expect or {}, kind)
    if kind == "scheduler":
        return _class("diffusers", name, place).from_pretrained(place)
    check_weights(place, number, variant)
    return _load(_class(library, name, place), place, number, variant)


def _place(kind: str, source: str | Path, subfolder: str | None, local_only: bool, variant: str | None) -> Path:
    """Return the folder (or file) on this machine that holds the component."""
    path = Path(source).expanduser()
    if path.suffix.lower() in PICKLES:
        raise pickle_refused([path])
    if path.is_file():
        if kind == "ip_adapter" and path.suffix == ".safetensors":
            return path
        raise BraindecError(
            f"{path} is one file", allowed="a folder that save_pretrained wrote (config.json and safetensors)",
            fix="files of the original Stable Diffusion: StableDiffusionPipeline.from_single_file(file).save_pretrained(folder)",
        )  # fmt: skip
    if not path.is_dir():
        inside = [f for f in (KINDS[kind][2] if subfolder is None else subfolder,) if f]
        what = {"pipeline": "pipeline", "": "file"}.get(KINDS[kind][0], "component")
        path = from_hub(str(source), inside, what=what, local_only=local_only, variant=variant)
    if kind == "ip_adapter":
        return _ip_adapter_file(path if subfolder is None else path / subfolder)
    usual = KINDS[kind][2]
    if subfolder is None and usual and (path / "model_index.json").is_file() and (path / usual).is_dir():
        subfolder = usual
    place = path if subfolder is None else path / subfolder
    if not place.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.is_dir())
        raise BraindecError(
            f"{path} has no folder {subfolder!r}{did_you_mean(subfolder or '', inside)}",
            found=", ".join(inside) or "no folders",
        )
    return place


def _config(place: Path, kind: str, library: str, classes: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """The configuration, and the name of the class; refused when it is of another kind."""
    file = place / ("scheduler_config.json" if kind == "scheduler" else "config.json")
    if not file.is_file():
        there = sorted(p.name for p in place.iterdir())[:8]
        pickles = [p for p in place.iterdir() if p.suffix.lower() in PICKLES]
        fix = "give the folder that save_pretrained wrote, or subfolder='...'"
        if pickles:
            fix += f"; {pickles[0].name} is a pickle and would be refused"
        raise BraindecError(f"{place} has no {file.name}", found=", ".join(there) or "an empty folder", fix=fix)
    config = read_config(file)
    name = config.get("_class_name") or next(iter(config.get("architectures") or []), None) or (classes or ("",))[0]
    fits = name.endswith("Scheduler") if kind == "scheduler" else name in classes or _part_of(name, classes)
    if not fits:
        right = [k for k, (_, c, _) in KINDS.items() if name in c]
        raise BraindecError(
            f"{place} does not hold a component of kind {kind!r}", found=f"a {name or 'class without a name'}",
            allowed=", ".join(classes) or "a scheduler", fix=f"open it as {right[0]!r}" if right else None,
        )  # fmt: skip
    return config, name if library == "diffusers" or name in classes else classes[0]


def _part_of(name: str, classes: tuple[str, ...]) -> bool:
    """Whole CLIP models hold the encoders of pictures and of text."""
    return name == "CLIPModel" and any(c.startswith("CLIP") for c in classes)


def _check_expected(place: Path, config: Mapping[str, Any], expect: Mapping[str, Any], kind: str) -> None:
    for key, wanted in expect.items():
        if key not in config:
            raise BraindecError(f"the {kind} in {place} has no setting {key!r}{did_you_mean(key, config)}")
        found = config[key]
        if (tuple(found) if isinstance(found, list) else found) != (
            tuple(wanted) if isinstance(wanted, list) else wanted
        ):
            fix = {
                "cross_attention_dim": "predict the embedding that it was trained on, or train a model for yours (pretrained=None)",
                "in_channels": "use the autoencoder that belongs to it", "sample_size": "use pictures of its size",
            }.get(key)  # fmt: skip
            raise BraindecError(
                f"{key} of the {kind} in {place} does not fit", found=repr(found), allowed=repr(wanted), fix=fix
            )


def _load(kind: Any, place: Path, dtype: torch.dtype, variant: str | None) -> Any:
    name = "torch_dtype" if kind.__module__.startswith("diffusers") else "dtype"
    try:
        module, info = kind.from_pretrained(
            place,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            variant=variant,
            **{name: dtype},
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BraindecError(
            f"the {kind.__name__} in {place} cannot be opened", found=str(error).strip()[:400],
            fix="see whether configuration and weights belong together",
        ) from error  # fmt: skip
    lacking = [
        *info.get("missing_keys", ()),
        *(k[0] if isinstance(k, tuple) else k for k in info.get("mismatched_keys", ())),
    ]
    if lacking:
        raise BraindecError(
            f"the weights in {place} are not those of its configuration",
            found=f"{len(lacking)} tensors are missing or of another shape, {sorted(lacking)[0]!r} for one",
            fix="copy configuration and weights from the same place",
        )
    return module.eval()


def _pipeline(place: Path, kind: str, expect: Mapping[str, Any], dtype: torch.dtype, variant: str | None) -> Any:
    classes = KINDS[kind][1]
    if not (place / "model_index.json").is_file():
        raise BraindecError(
            f"{place} does not hold a pipeline",
            found="no model_index.json",
            fix="give the folder that save_pretrained wrote",
        )
    index = read_config(place / "model_index.json")
    name = index.get("_class_name", "")
    if name not in classes:
        right = [k for k, (_, c, _) in KINDS.items() if name in c]
        raise BraindecError(
            f"{place} does not hold a pipeline of kind {kind!r}", found=f"a {name}", allowed=", ".join(classes),
            fix=f"open it as {right[0]!r}" if right else None,
        )  # fmt: skip
    for part, about in index.items():
        if part.startswith("_") or not isinstance(about, list) or about[0] is None:
            continue
        if not (place / part).is_dir():
            raise BraindecError(f"the pipeline in {place} lacks its {part}", fix="copy the whole folder")
        if (place / part / "config.json").is_file():
            check_weights(place / part, dtype, variant)
    for key, wanted in expect.items():
        part, _, setting = key.partition(".")
        if not (place / part / "config.json").is_file():
            raise BraindecError(
                f"the pipeline in {place} has no component {part!r}", allowed="names such as 'unet.in_channels'"
            )
        _check_expected(place / part, read_config(place / part / "config.json"), {setting: wanted}, part)
    try:
        return _class("diffusers", name, place).from_pretrained(
            place, use_safetensors=True, local_files_only=True, variant=variant, **{_dtype_argument(): dtype}
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BraindecError(f"the {name} in {place} cannot be opened", found=str(error).strip()[:400]) from error


def _ip_adapter_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if len(files) == 1:
        return files[0]
    pickles = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICKLES)
    if not files and pickles:
        raise pickle_refused(pickles)
    raise BraindecError(
        f"which file of {folder} is the IP-Adapter?",
        found=", ".join(f.name for f in files) or "no safetensors",
        fix="give its path",
    )


def _ip_adapter(file: Path, expect: Mapping[str, Any], dtype: torch.dtype) -> dict[str, dict[str, torch.Tensor]]:
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise BraindecError(f"{file} is damaged", found=str(error), fix="copy or download it again") from error
    weights: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part not in weights:
            raise BraindecError(
                f"{file} is not an IP-Adapter", found=f"a tensor {name!r}", allowed="image_proj..., ip_adapter..."
            )
        weights[part][rest] = tensor.to(dtype)
    keys = [k for k in weights["ip_adapter"] if k.endswith("to_k_ip.weight")]
    if not keys or not weights["image_proj"]:
        raise BraindecError(
            f"{file} is not a whole IP-Adapter", found=f"{len(tensors)} tensors", allowed="image_proj and ip_adapter"
        )
    found = {"cross_attention_dim": weights["ip_adapter"][keys[0]].shape[1]}
    first = next(
        (t for k, t in weights["image_proj"].items() if k in ("proj.weight", "proj.0.weight", "proj_in.weight")), None
    )
    found |= {} if first is None else {"image_dim": first.shape[1]}
    _check_expected(file, found, expect, "ip_adapter")
    return weights


def _class(library: str, name: str, place: Path) -> Any:
    import diffusers
    import transformers

    found = getattr(transformers if library == "transformers" else diffusers, name, None)
    if found is None:
        raise BraindecError(
            f"the installed {library} has no {name}",
            found=f"{place} asks for it",
            fix=f"pip install --upgrade {library}",
        )
    return found


def _dtype_argument() -> str:
    """Diffusers calls it ``dtype`` from 0.42 on, as transformers does."""
    import diffusers

    return "dtype" if tuple(int(v) for v in diffusers.__version__.split(".")[:2]) >= (0, 42) else "torch_dtype"


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in _DTYPES:
        raise BraindecError(f"there is no dtype {dtype!r}{did_you_mean(dtype, _DTYPES)}", allowed=", ".join(_DTYPES))
    return _DTYPES[dtype]
