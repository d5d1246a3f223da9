"""Schedulers by name: how noise is added in training, and how it is taken away in sampling.

Any sampler can be used with any denoiser of the same noise levels: :func:`check_same_training` refuses one whose levels,
number of steps or kind of prediction are not those that the denoiser was trained with (pictures would be wrong without an
error).

Source: Ho et al. 2020 (DDPM); Song et al. 2021 (DDIM); Liu et al. 2022 (PNDM); Lu et al. 2022 (DPM-Solver++); Zhao et al. 2023
(UniPC); Karras et al. 2022 (Euler, Heun); Nichol & Dhariwal 2021 (cosine levels).
"""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import torch

from braindec.errors import BraindecError, did_you_mean

__all__ = ["SCHEDULERS", "TRAINING", "check_same_training", "make_scheduler", "scheduler_names", "training_scheduler"]

PREDICTIONS = ("epsilon", "sample", "v_prediction")
# name: class, settings, kinds of prediction that its step can use
SCHEDULERS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "ddim": ("DDIMScheduler", {}, PREDICTIONS),
    "ddpm": ("DDPMScheduler", {}, PREDICTIONS),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}, PREDICTIONS),
    "dpm++_karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}, PREDICTIONS),
    "sde_dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, PREDICTIONS),
    "unipc": ("UniPCMultistepScheduler", {}, PREDICTIONS),
    "deis": ("DEISMultistepScheduler", {}, PREDICTIONS),
    "euler": ("EulerDiscreteScheduler", {}, ("epsilon", "v_prediction")),
    "euler_edm": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}, ("epsilon", "v_prediction")),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}, ("epsilon", "v_prediction")),
    "heun": ("HeunDiscreteScheduler", {}, ("epsilon", "v_prediction")),
    "lms": ("LMSDiscreteScheduler", {}, PREDICTIONS),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}, ("epsilon", "v_prediction")),
}  # fmt: skip
_EMPTY = 1e-4  # alpha_bar below which a level holds no picture (Stable Diffusion ends at .0047)
_SD = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
       "clip_sample": False, "steps_offset": 1}  # fmt: skip
TRAINING: dict[str, dict[str, Any]] = {
    "tiny": {"num_train_timesteps": 200, "beta_schedule": "squaredcos_cap_v2"},
    "base": {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"},
    "paper:sd15": _SD, "paper:sdxl": _SD, "paper:sd21": {**_SD, "prediction_type": "v_prediction"},
    "paper:mindvis": {**_SD, "beta_start": 0.0015, "beta_end": 0.0195, "steps_offset": 0},
}  # fmt: skip


def scheduler_names() -> tuple[str, ...]:
    """Return the names of :func:`make_scheduler`."""
    return tuple(SCHEDULERS)


def training_scheduler(
    preset: str = "tiny", *, n_steps: int | None = None, schedule: str | None = None, prediction: str = "", latents: bool = False,
    **options: Any,
) -> diffusers.DDPMScheduler:  # fmt: skip
    """Return the scheduler that adds noise in training.

    Parameters
    ----------
    preset : str
        "tiny" (200 cosine levels), "base" (1000), "paper:sd15", "paper:sd21", "paper:sdxl", "paper:mindvis".
    n_steps : int, optional
        Levels of noise.
    schedule : str, optional
        "squaredcos_cap_v2", "linear", "scaled_linear", ... of diffusers.
    prediction : {"epsilon", "sample", "v_prediction"}, optional
        What the denoiser predicts: noise, the clean picture, or the velocity; the preset's by default.
    latents : bool
        Latents have no bounds: the estimate of the clean picture is not clipped to -1 to 1 in sampling.
    options
        Other settings of ``diffusers.DDPMScheduler``.
    """
    if preset not in TRAINING:
        raise BraindecError(
            f"there are no noise levels {preset!r}{did_you_mean(preset, TRAINING)}", allowed=", ".join(TRAINING)
        )
    settings = dict(TRAINING[preset])
    settings |= {"num_train_timesteps": n_steps} if n_steps is not None else {}
    settings |= {"beta_schedule": schedule} if schedule is not None else {}
    settings |= {"prediction_type": prediction} if prediction else {}
    settings |= {"clip_sample": False} if latents else {}
    settings |= options
    kind = settings.get("prediction_type", "epsilon")
    if kind not in PREDICTIONS:
        raise BraindecError(
            f"there is no prediction type {kind!r}{did_you_mean(kind, PREDICTIONS)}", allowed=", ".join(PREDICTIONS)
        )
    if settings["num_train_timesteps"] < 2:
        raise BraindecError("levels of noise", found=str(settings["num_train_timesteps"]), allowed="2 and more")
    return _make("DDPMScheduler", settings, "training_scheduler")


def make_scheduler(name: str, *, training: Any = None, **options: Any) -> Any:
    """Return a sampler of diffusers by name.

    Parameters
    ----------
    name : str
        One of :func:`scheduler_names`. "euler_edm" is the sampler of the EDM paper without added noise on the levels of a
        model trained with DDPM levels (what the published unCLIP pipelines of MindEye2 use); "pndm" skips the Runge-Kutta
        steps (PLMS).
    training : a scheduler of diffusers, optional
        The one that the denoiser was trained with: its levels, number of steps and kind of prediction are taken.
    options
        Settings of the class in diffusers (``use_karras_sigmas=True``, ``timestep_spacing="trailing"``, ...).

    Raises
    ------
    BraindecError
        If there is no such sampler or option, or it cannot be used with the denoiser's training.
    """
    if name not in SCHEDULERS:
        raise BraindecError(
            f"there is no scheduler {name!r}{did_you_mean(name, SCHEDULERS)}", allowed=", ".join(SCHEDULERS)
        )
    class_name, settings, predictions = SCHEDULERS[name]
    taken = {} if training is None else _training_settings(training)
    clash = [k for k in options if k in taken and options[k] != taken[k]]
    if clash:
        raise BraindecError(
            f"{clash[0]} is fixed by the training of the denoiser", found=repr(options[clash[0]]), allowed=repr(taken[clash[0]])
        )  # fmt: skip
    known = inspect.signature(getattr(diffusers, class_name).__init__).parameters
    unknown = [k for k in options if k not in known]
    if unknown:
        raise BraindecError(
            f"{class_name} has no option {unknown[0]!r}{did_you_mean(unknown[0], known)}",
            allowed=", ".join(k for k in known if k != "self"),
        )
    fitting = {} if training is None else _fitting(name, training)
    settings = {k: v for k, v in {**taken, **settings, **fitting, **options}.items() if k in known}
    kind = settings.get("prediction_type", "epsilon")
    if kind not in predictions:
        able = [n for n, (_, _, kinds) in SCHEDULERS.items() if kind in kinds]
        raise BraindecError(
            f"the scheduler {name!r} cannot be used with a denoiser that predicts {kind!r}", allowed=", ".join(predictions),
            fix=f"use one of {', '.join(able)}" if able else f"the kinds of prediction are {', '.join(PREDICTIONS)}",
        )  # fmt: skip
    made = _make(class_name, settings, name)
    if training is not None:
        check_same_training(made, training)
    return made


def check_same_training(scheduler: Any, training: Any) -> None:
    """Raise unless a scheduler has the levels, steps and kind of prediction of the one that a denoiser was trained with.

    Raises
    ------
    BraindecError
        That says which of them differs.
    """
    for one in (scheduler, training):
        if getattr(one, "alphas_cumprod", None) is None:
            raise BraindecError(
                f"the noise levels of {type(one).__name__} are not those of a denoiser trained with betas",
                found="no alphas_cumprod (levels of EDM or of flow matching)", allowed=", ".join(SCHEDULERS),
            )  # fmt: skip
    found = _number_and_kind(scheduler)
    wanted = _number_and_kind(training)
    for what, mine, theirs in zip(("number of noise levels", "prediction type"), found, wanted):
        if mine != theirs:
            raise BraindecError(
                f"the {what} of {type(scheduler).__name__} is not that of the denoiser's training", found=repr(mine),
                allowed=repr(theirs), fix="make_scheduler(name, training=...) takes it from the training scheduler",
            )  # fmt: skip
    mine, theirs = (torch.as_tensor(s.alphas_cumprod).float().cpu() for s in (scheduler, training))
    apart = float((mine - theirs).abs().max())
    if apart > 1e-5:
        raise BraindecError(
            f"the noise levels of {type(scheduler).__name__} are not those of the denoiser's training",
            found=f"beta schedule {scheduler.config.get('beta_schedule')!r}, alpha_bar differs by up to {apart:.2g}",
            allowed=f"beta schedule {training.config.get('beta_schedule')!r}, {training.config.get('beta_start')} to "
            f"{training.config.get('beta_end')}",
            fix="make_scheduler(name, training=...) takes them from the training scheduler",
        )


def _number_and_kind(scheduler: Any) -> tuple[int, str]:
    return int(scheduler.config.num_train_timesteps), scheduler.config.get("prediction_type", "epsilon")


def _training_settings(training: Any) -> dict[str, Any]:
    names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type", "clip_sample",
             "clip_sample_range", "thresholding", "dynamic_thresholding_ratio", "sample_max_value", "rescale_betas_zero_snr")  # fmt: skip
    if getattr(training, "alphas_cumprod", None) is None:
        check_same_training(training, training)  # says why
    return {k: training.config[k] for k in names if training.config.get(k) is not None}


def _fitting(name: str, training: Any) -> dict[str, Any]:
    """What a sampler needs beyond the levels: bounds of pixels, and a start below levels that hold no picture at all.

    Samplers without ``clip_sample`` get the same by thresholding at the bound. A clean picture cannot be computed from noise
    that was predicted where next to nothing but noise is (the last of the cosine levels: alpha_bar 1e-9), so sampling starts
    one stretch below ("leading", as DDIM does).
    """
    found: dict[str, Any] = {}
    if training.config.get("clip_sample"):
        found |= {"thresholding": True, "sample_max_value": training.config.get("clip_sample_range", 1.0)}
    noise_predicted = training.config.get("prediction_type", "epsilon") == "epsilon"
    if float(training.alphas_cumprod[-1]) < _EMPTY and (noise_predicted or name == "heun"):
        found["timestep_spacing"] = "leading"
    return found


def _make(class_name: str, settings: dict[str, Any], name: str) -> Any:
    known = inspect.signature(getattr(diffusers, class_name).__init__).parameters
    unknown = [k for k in settings if k not in known]
    if unknown:
        raise BraindecError(
            f"{class_name} has no option {unknown[0]!r}{did_you_mean(unknown[0], known)}",
            allowed=", ".join(k for k in known if k != "self"),
        )
    try:
        return getattr(diffusers, class_name)(**settings)
    except (ValueError, NotImplementedError, TypeError) as error:
        raise BraindecError(f"these settings do not make the scheduler {name!r}", found=str(error)) from error
