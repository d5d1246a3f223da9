"""What pipelines refuse before they sample: numbers that are none, schedulers that step otherwise, folders without whole weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from braindec.diffusion.safe_weights import check_weights
from braindec.errors import BraindecError

__all__ = [
    "called_back",
    "check_guidance",
    "check_scheduler",
    "count",
    "finite",
    "open_pipeline",
    "own_memory",
    "set_timesteps",
]

_NEEDED = ("set_timesteps", "scale_model_input", "step", "add_noise", "timesteps", "config", "order", "alphas_cumprod")


def check_scheduler(scheduler: Any) -> None:
    """Raise unless a scheduler has what the pipelines call, and goes from noise to pictures."""
    missing = [f"it has no {name}" for name in _NEEDED if not hasattr(scheduler, name)]
    if hasattr(scheduler, "step"):
        known = list(inspect.signature(scheduler.step).parameters.values())
        own = [p.name for p in known[3:] if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        missing += [f"its step needs {', '.join(own)}"] if own or len(known) < 3 else []
    config = getattr(scheduler, "config", None)
    if not isinstance(config, Mapping) or "num_train_timesteps" not in config:
        missing.append("its config has no num_train_timesteps")
    if "Inverse" in type(scheduler).__name__:
        missing.append("it goes from pictures to noise")
    if missing:
        raise BraindecError(
            f"the pipeline cannot use the scheduler {type(scheduler).__name__}", found="; ".join(missing),
            allowed="schedulers of diffusers such as DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler",
        )  # fmt: skip


def set_timesteps(scheduler: Any, steps: Any, device: Any) -> None:
    """Set the steps of sampling; say so where the scheduler cannot take so many."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise BraindecError("num_inference_steps must be a whole number", found=repr(steps), allowed="1 or more")
    try:
        scheduler.set_timesteps(int(steps), device=device)
    except ValueError as error:
        raise BraindecError(
            f"{type(scheduler).__name__} cannot sample in {steps} steps", found=str(error).replace("\n", " ")[:200],
            allowed=f"fewer than the {scheduler.config.num_train_timesteps} levels of noise of training, and enough for its order",
        ) from error  # fmt: skip


def check_guidance(scale: Any) -> None:
    """Refuse a scale of guidance that is no finite number."""
    if not isinstance(scale, Real) or not np.isfinite(scale):
        raise BraindecError("guidance_scale must be a finite number", found=repr(scale), allowed="1 for no guidance")


def count(n: Any) -> int:
    """How many are wanted without a condition."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise BraindecError("n: how many are made without a condition", found=repr(n), allowed="a whole number")
    return int(n)


def finite(values: Any, what: str, *, dtype: torch.dtype, device: Any) -> torch.Tensor:
    """Return values as a tensor; refuse what are no real numbers, or not finite ones."""
    kind = "" if isinstance(values, torch.Tensor) else np.asarray(values).dtype.kind
    if kind not in ("", "b", "u", "i", "f") or (isinstance(values, torch.Tensor) and values.is_complex()):
        raise BraindecError(
            f"{what} must be real numbers", found=f"{type(values).__name__} of {getattr(values, 'dtype', '?')}"
        )
    tensor = torch.as_tensor(values, dtype=dtype, device=device)
    if not torch.isfinite(tensor).all():
        rows = (~torch.isfinite(tensor)).flatten(1).any(dim=1).nonzero().flatten().tolist() if tensor.ndim > 1 else []
        raise BraindecError(
            f"{what} holds values that are not finite", found=f"row {rows[0]}" + (f" and {len(rows) - 1} more" if rows[1:] else "") if rows else "NaN or inf",
            fix="leave such items out, or look at where they come from",
        )  # fmt: skip
    return tensor


def called_back(callback: Callable[..., Any], pipeline: Any, step: int, timestep: Any, x: torch.Tensor) -> torch.Tensor:
    """Tell a callback of a step; what it returns in place of the latents must have their shape."""
    if not callable(callback):
        raise BraindecError("callback_on_step_end must be a function", found=repr(callback))
    changed = callback(pipeline, step, timestep, {"latents": x})
    if changed is None:
        return x
    new = changed.get("latents", x) if isinstance(changed, Mapping) else None
    if not isinstance(new, torch.Tensor) or new.shape != x.shape:
        raise BraindecError(
            "what callback_on_step_end returned cannot be used", found=f"{type(changed).__name__} at step {step}",
            allowed=f"None, or {{'latents': Tensor of shape {tuple(x.shape)}}}",
        )  # fmt: skip
    return new


def open_pipeline(open_: Callable[..., Any], name: Any, **options: Any) -> Any:
    """Open what ``save_pretrained`` wrote (or a hub name), safetensors only and whole.

    Raises
    ------
    BraindecError
        If the folder holds no pipeline, its weights are a pickle or damaged, or it cannot be opened.
    """
    folder = Path(str(name))
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise BraindecError(f"{folder} holds no pipeline", found="no model_index.json", fix="name a folder that save_pretrained() of a pipeline wrote")  # fmt: skip
        for part in sorted(p for p in folder.iterdir() if (p / "config.json").is_file()):
            check_weights(part, torch.float32)
    elif folder.is_absolute() or str(name).startswith("."):
        raise BraindecError(
            f"there is no folder {name}", fix="name a folder that save_pretrained() of a pipeline wrote"
        )
    try:
        pipeline = open_(name, **{"use_safetensors": True, **options})
    except (OSError, ValueError, TypeError) as error:
        raise BraindecError(
            f"the pipeline in {name} cannot be opened", found=f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}",
            fix="open it with the class that saved it, or save it again",
        ) from error  # fmt: skip
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            own_memory(part)
    return pipeline


def own_memory(module: torch.nn.Module) -> torch.nn.Module:
    """Copy weights that lie in a mapped file, whose alignment changes the order of sums and so the last bit of products."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
    return module
