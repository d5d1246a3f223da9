"""Training of diffusion models: by optimiser steps, with an average of the weights, resumable bit for bit.

A run that is interrupted at any moment (Ctrl-C, kill -9, a power cut) and started again with the same arguments ends with the
same weights as an undisturbed one. On the CPU "the same" also asks for the same number of threads; a GPU must have the same
kernels.

Source: exponential moving average of the weights, Ho et al. 2020 (appendix B); mixed precision, Micikevicius et al. 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from braindec.diffusion.memory import available_memory, check_training_memory
from braindec.errors import BraindecError
from braindec.train.denoising import DiffusionLoss, diffusion_loss
from braindec.train.diffusion_run import Batch, Batches, DiffusionRun, Loss
from braindec.train.processes import Processes
from braindec.train.step_history import StepHistory
from braindec.train.stopping import StopAfterStep

__all__ = ["DiffusionLoss", "StepHistory", "diffusion_loss", "fit_diffusion"]

_BYTES_FOR_A_VALUE = 60_000  # activations for one number of a batch: base 17,000, Stable Diffusion 1.5 60,000
_SCHEDULES, _PRECISIONS = ("cosine", "constant"), ("no", "bf16", "fp16")


def fit_diffusion(
    model: nn.Module,
    loss: Loss,
    batches: Batches,
    *,
    steps: int,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    warm_up: int = 0,
    schedule: str = "cosine",
    ema: float | None = 0.995,
    clip_norm: float | None = 1.0,
    accumulate: int = 1,
    mixed_precision: str = "no",
    gradient_checkpointing: bool = False,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    validate_every: int | None = None,
    keep_best: bool = False,
    seed: int = 0,
    device: str = "cpu",
    accelerate: Any = False,
    folder: str | Path | None = None,
    save_every: int | None = None,
    key: str = "",
    check_memory: bool = True,
    title: str = "training",
) -> StepHistory:
    """Train ``model`` in place; at the end it holds the averaged weights and is in evaluation mode.

    Parameters
    ----------
    model : nn.Module
        Everything that is learned (an ``nn.ModuleDict`` of a denoiser and a conditioner, for instance), in float32. What has
        ``requires_grad=False`` is neither trained nor averaged nor put into checkpoints.
    loss : callable
        ``loss(model, batch, generator) -> scalar``, the mean over the rows of the batch; all its randomness comes from
        ``generator``. :func:`diffusion_loss` makes one.
    batches : callable
        ``batches(generator)`` yields the batches of one pass (tensors with one row an item; ``x`` among them); it is called
        again until ``steps`` are done. All shuffling comes from ``generator``.
    steps : int
        Optimiser steps; 0 leaves the weights as they are.
    lr, weight_decay, warm_up, schedule, clip_norm
        AdamW (biases and normalisation do not decay); linear warm-up over ``warm_up`` steps, then "cosine" to 0 or
        "constant"; largest norm of the gradient.
    ema : float, optional
        Decay of the average of the weights, after its own warm-up; None keeps the last weights.
    accumulate : int
        Parts that each batch is cut into: the same gradients, a part of the memory for activations.
    mixed_precision : {"no", "bf16", "fp16"}
        Type of the computations; weights, their average and the optimiser stay in float32. "fp16" (with a scaled loss)
        needs a GPU.
    gradient_checkpointing : bool
        Compute activations again in the backward pass instead of keeping them: less memory, about a third more time.
    validate : callable, optional
        ``validate(model) -> {"loss": ..., ...}`` with the averaged weights in place, in evaluation mode, without gradients.
    validate_every : int, optional
        Steps; a tenth of all by default.
    keep_best : bool
        End with the averaged weights of the lowest validation loss. The default keeps the last ones: the loss of a denoiser
        says little about its pictures.
    seed : int
        Of shuffling, noise and dropout. The state of torch's global generator is as before afterwards.
    device : str
        "cpu", "cuda", "cuda:1", "auto".
    accelerate : bool or accelerate.Accelerator
        Share each batch among the processes of ``accelerate launch`` or ``torchrun``: the same training as one process with the same
        batches, to rounding (losses with a ``draw`` method, as those of :func:`diffusion_loss`, see the same noise). All
        processes end with the same weights; only the first writes. A batch of fewer rows than processes is left out.
    folder : str or Path, optional
        Checkpoints go to ``folder/<hash of the arguments, the first weights and key>``; an interrupted run finds its own.
    save_every : int, optional
        Steps between checkpoints; a tenth of all by default. One is also written when Ctrl-C or SIGTERM stops the run (one
        process), and at the end.
    key : str
        Names the data: other data must have another key.
    check_memory : bool
        Before the first step of a large training, estimate what it needs (:mod:`braindec.diffusion.memory`), and do not begin
        if that is not there.
    title : str
        Of the progress bar.

    Returns
    -------
    StepHistory

    Raises
    ------
    BraindecError
        If the loss or the gradient is not finite (with step, learning rate, and where the last good checkpoint is; the model
        holds its weights), memory does not suffice, there is nothing to train on, or an argument is wrong.
    """
    settings = {"steps": steps, "lr": lr, "weight_decay": weight_decay, "warm_up": warm_up, "schedule": schedule, "ema": ema,
                "clip_norm": clip_norm, "mixed_precision": mixed_precision, "seed": seed, "keep_best": keep_best,
                "validated": validate is not None}  # fmt: skip
    every = validate_every or max(1, steps // 10) if validate is not None else max(1, steps // 50)
    _check(settings, accumulate=accumulate, save_every=save_every, validate_every=validate_every)
    processes = Processes(accelerate, device)
    _check_precision(mixed_precision, processes.device)
    with ExitStack() as stack:
        cuda = [processes.device] if processes.device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False))
        if gradient_checkpointing:
            stack.enter_context(_checkpointed(model))
        run = DiffusionRun(model, loss, {**settings, "every": every}, processes, accumulate)
        if folder is not None:
            run.open(Path(folder), key)
        bar = tqdm(total=steps, initial=run.step, desc=title, unit="step", leave=False,
                   disable=None if processes.rank == 0 else True)  # fmt: skip
        stack.enter_context(bar)
        first = (lambda batch: _check_room(run, batch, gradient_checkpointing)) if check_memory else None
        _train(run, batches, first, validate, every, save_every or max(1, steps // 10), bar)
    return run.finish()


def _train(
    run: DiffusionRun,
    batches: Batches,
    first: Callable[[Batch], None] | None,
    validate: Callable | None,
    every: int,
    save_every: int,
    bar: tqdm,
) -> None:
    if run.finished:
        return
    single = run.processes.n == 1  # several would wait for one that has stopped
    stop = StopAfterStep(active=run.folder is not None and single)
    run.model.train()
    with stop:
        for batch in _saved_when_stopped(run, batches):
            if first is not None:
                first(batch)
                first = None
            with _memory_explained(batch):
                rate = run.train_step(batch)
            if run.step % every == 0 or run.finished:
                run.close_stretch(rate, {} if validate is None else run.validate(validate))
                bar.set_postfix({k: f"{v:.3g}" for k, v in run.history.rows[-1].items() if k != "step"}, refresh=False)
            if run.step % save_every == 0 or run.finished or stop.asked is not None:
                run.save()
            bar.update()
            if run.finished or stop.asked is not None:
                break
        run.processes.wait()


def _saved_when_stopped(run: DiffusionRun, batches: Batches) -> Iterator[Batch]:
    """Batches; if reading them is interrupted or fails, the steps that were done are saved."""
    source = run.batches(batches)
    while True:
        try:
            batch = next(source)
        except BaseException:
            if run.step and run.processes.n == 1:
                run.save()
            raise
        yield batch


@contextmanager
def _checkpointed(model: nn.Module) -> Iterator[None]:
    """Gradient checkpointing of every part that can: modules of diffusers and transformers, and one's own."""
    able = [m for m in model.modules() if getattr(m, "_supports_gradient_checkpointing", False)
            or getattr(m, "supports_gradient_checkpointing", False)]  # fmt: skip
    if not able:
        raise BraindecError(
            "gradient checkpointing is not possible with this model", found="no part of it supports it",
            fix="leave it out, and use accumulate=2 (or more) to save memory",
        )  # fmt: skip
    for module in able:
        module.enable_gradient_checkpointing() if hasattr(module, "enable_gradient_checkpointing") else (
            module.gradient_checkpointing_enable()
        )
    try:
        yield
    finally:
        for module in able:
            module.disable_gradient_checkpointing() if hasattr(module, "disable_gradient_checkpointing") else (
                module.gradient_checkpointing_disable()
            )


def _check_room(run: DiffusionRun, batch: Batch, gradient_checkpointing: bool) -> None:
    """Raise if memory will not suffice; small trainings are not looked at (the estimate takes seconds)."""
    free = available_memory(run.device)
    fixed = sum(16 * p.numel() for p in run.model.parameters() if p.requires_grad)
    if fixed + _BYTES_FOR_A_VALUE * batch["x"].numel() < free / 2:
        return
    options = {"ema": run.settings["ema"] is not None, "mixed_precision": run.settings["mixed_precision"],
               "accumulate": run.accumulate * run.processes.n, "gradient_checkpointing": gradient_checkpointing}  # fmt: skip
    check_training_memory(run.model, run.loss, batch, available=free, device=run.device, **options)


@contextmanager
def _memory_explained(batch: Batch) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        text = str(error)
        if "out of memory" not in text and "can't allocate memory" not in text:
            raise
        raise BraindecError(
            "memory does not suffice for a training step", found=f"a batch of {len(batch['x'])}; {text.splitlines()[0][:200]}",
            fix="accumulate=4 (the same training in parts), gradient_checkpointing=True, mixed_precision='bf16', a smaller "
            "batch or preset",
        ) from error  # fmt: skip


def _check(settings: Mapping[str, Any], **counts: int | None) -> None:
    for name, allowed in (("schedule", _SCHEDULES), ("mixed_precision", _PRECISIONS)):
        if settings[name] not in allowed:
            raise BraindecError(f"{name} cannot be {settings[name]!r}", allowed=", ".join(allowed))
    good = {
        "steps": settings["steps"] >= 0, "lr": 0 < settings["lr"] < math.inf, "weight_decay": settings["weight_decay"] >= 0,
        "warm_up": settings["warm_up"] >= 0, "ema": settings["ema"] is None or 0 <= settings["ema"] < 1,
        "clip_norm": settings["clip_norm"] is None or settings["clip_norm"] > 0,
        **{name: value is None or value >= 1 for name, value in counts.items()},
    }  # fmt: skip
    for name, fine in good.items():
        if not fine:
            raise BraindecError(
                f"{name} of the training cannot be {({**settings, **counts})[name]!r}",
                allowed="steps, weight_decay, warm_up >= 0; lr, clip_norm > 0; 0 <= ema < 1 or None; accumulate, save_every, "
                "validate_every >= 1",
            )
    if settings["keep_best"] and not settings["validated"]:
        raise BraindecError(
            "keep_best needs a validation loss", fix='pass validate=, a function that gives {"loss": ...}'
        )


def _check_precision(name: str, device: torch.device) -> None:
    if name == "fp16" and device.type == "cpu":
        raise BraindecError(
            'mixed_precision="fp16" needs a GPU', found="the CPU", fix='use mixed_precision="bf16" or "no"'
        )
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise BraindecError(
            'mixed_precision="bf16" is not possible on this GPU', found=torch.cuda.get_device_name(device), fix='use "fp16"'
        )  # fmt: skip
