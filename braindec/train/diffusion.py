"""Training of diffusion models: by optimiser steps, with an average of the weights, resumable.

Source: exponential moving average of the weights, Ho et al. 2020 (appendix B).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.train.loop import resolve_device

Batch = Mapping[str, torch.Tensor]

__all__ = ["StepHistory", "fit_diffusion"]


@dataclass
class StepHistory:
    """Mean training loss over stretches of steps: rows with step, lr, train_loss."""

    rows: list[dict[str, float]] = field(default_factory=list)


def fit_diffusion(
    model: nn.Module,
    loss: Callable[[nn.Module, Batch, torch.Generator], torch.Tensor],
    batches: Callable[[torch.Generator], Iterable[Batch]],
    *,
    steps: int,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    warm_up: int = 0,
    schedule: str = "cosine",
    ema: float | None = 0.995,
    clip_norm: float | None = 1.0,
    seed: int = 0,
    device: str = "cpu",
    folder: str | Path | None = None,
) -> StepHistory:
    """Train ``model`` in place; at the end it holds the averaged weights.

    Parameters
    ----------
    model : nn.Module
        Everything that is learned (an ``nn.ModuleDict`` of a denoiser and a conditioner, for instance).
    loss : callable
        ``loss(model, batch, generator) -> scalar``; noise, timesteps and dropped conditions come from ``generator``.
    batches : callable
        ``batches(generator)`` yields the batches of one pass; it is called again until ``steps`` are done.
    steps : int
        Optimiser steps.
    lr, weight_decay, warm_up, schedule, clip_norm
        AdamW; linear warm-up over ``warm_up`` steps, then "cosine" to 0 or "constant".
    ema : float, optional
        Decay of the average of the weights; None keeps the last weights.
    seed : int
    device : str
    folder : str or Path, optional
        Checkpoints.
    """
    where = resolve_device(device)
    model.to(where).train()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=weight_decay)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()} if ema is not None else None
    history, done, losses = StepHistory(), 0, []
    bar = tqdm(total=steps, desc="training", disable=None, leave=False)
    while done < steps:
        for batch in batches(generator):
            rate = lr * min(1.0, (done + 1) / warm_up if warm_up else 1.0)
            if schedule == "cosine":
                rate *= 0.5 * (1 + math.cos(math.pi * done / steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
            value = loss(model, {k: v.to(where) for k, v in batch.items()}, generator)
            if not torch.isfinite(value):
                raise BraindecError(f"the loss is not finite at step {done + 1}", found=repr(float(value)))
            optimizer.zero_grad()
            value.backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            done += 1
            bar.update()
            losses.append(float(value.detach()))
            if average is not None:
                decay = min(ema, (1 + done) / (10 + done))
                with torch.no_grad():
                    for k, v in model.state_dict().items():
                        if v.is_floating_point():
                            average[k].lerp_(v, 1 - decay)
                        else:
                            average[k].copy_(v)
            if done % max(1, steps // 50) == 0 or done == steps:
                history.rows.append({"step": done, "lr": rate, "train_loss": sum(losses) / len(losses)})
                losses = []
            if done >= steps:
                break
    bar.close()
    if average is not None:
        model.load_state_dict(average)
    model.eval()
    return history
