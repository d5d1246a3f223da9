"""The exponential moving average of the weights: what a diffusion model is sampled with.

Source: Ho et al. 2020 (appendix B); the decay rises with the steps, ``min(decay, (1 + step) / (10 + step))``, so that the
first weights, which are noise, are soon forgotten (as in TensorFlow's ExponentialMovingAverage).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["WeightAverage", "learned_tensors"]


class WeightAverage:
    """Average of everything that training changes in a model.

    Parameters
    ----------
    model : nn.Module
    decay : float, optional
        Of the average, after its warm-up; None follows the weights themselves (nothing is kept beside them).
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.decay, self.live = decay, learned_tensors(model)
        self.tensors = {} if decay is None else {k: v.detach().clone() for k, v in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` (from 1)."""
        if self.decay is None:
            return
        keep = min(self.decay, (1 + step) / (10 + step))
        floats = [k for k, v in self.live.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.tensors[k] for k in floats], [self.live[k] for k in floats], 1 - keep)
        for k in self.live.keys() - set(floats):
            self.tensors[k].copy_(self.live[k])

    def current(self) -> dict[str, torch.Tensor]:
        """The averaged tensors; the weights themselves when there is no average."""
        return self.tensors if self.decay is not None else self.live

    @torch.no_grad()
    def put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put tensors into the model."""
        for k, v in tensors.items():
            if v is not self.live[k]:
                self.live[k].copy_(v)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the average meanwhile."""
        if self.decay is None:
            yield
            return
        kept = {k: v.detach().clone() for k, v in self.live.items()}
        self.put(self.tensors)
        try:
            yield
        finally:
            self.put(kept)


def learned_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that need a gradient, and the buffers that belong to the model's state, each once."""
    state = model.state_dict(keep_vars=True)
    found: dict[str, torch.Tensor] = {k: p for k, p in model.named_parameters() if p.requires_grad}
    return {**found, **{k: b for k, b in model.named_buffers() if k in state}}
