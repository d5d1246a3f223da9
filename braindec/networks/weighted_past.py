"""WKV for torch: one compiled scan over time with its own gradient on the processor, a loop of torch steps elsewhere.

Source: Peng et al. 2023, section 3.1.2; the kernel is :mod:`braindec.kernels.wkv`.
"""

from __future__ import annotations

import torch

from braindec.errors import BraindecError

__all__ = ["weighted_past", "weighted_past_loop"]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, u, k, v):  # type: ignore[no-untyped-def]
        from braindec.kernels.wkv import wkv

        ctx.save_for_backward(w, u, k, v)
        return torch.from_numpy(wkv(*(a.detach().numpy() for a in (w, u, k, v))))

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        from braindec.kernels.wkv import wkv_gradient

        found = wkv_gradient(*(a.detach().numpy() for a in ctx.saved_tensors), grad.contiguous().numpy())
        return tuple(torch.from_numpy(a) for a in found)


def weighted_past(
    w: torch.Tensor, u: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, backend: str = "auto"
) -> torch.Tensor:
    """Return the weighted averages of past values.

    Parameters
    ----------
    w, u : tensor of shape (channel,)
        Logarithm of the decay a step, and bonus of the present token.
    k, v : tensor of shape (batch, time, channel)
        Keys and values.
    backend : {"auto", "fused", "torch"}
        "auto" is the compiled scan on the CPU and the torch loop elsewhere.

    Raises
    ------
    BraindecError
        If the compiled scan is asked for away from the CPU, or shapes do not fit.
    """
    if backend not in ("auto", "fused", "torch"):
        raise BraindecError("there is no such backend", found=repr(backend), allowed="auto, fused, torch")
    on_cpu = k.device.type == "cpu"
    if backend == "fused" and not on_cpu:
        raise BraindecError("the compiled scan runs on the CPU", found=str(k.device), fix="backend='torch'")
    if backend == "torch" or not on_cpu:
        return weighted_past_loop(w, u, k, v)
    return _Scan.apply(w, u, k, v)


def weighted_past_loop(w: torch.Tensor, u: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The same, step by step in torch: what the compiled scan is tested against, and what runs on other devices."""
    decay = torch.exp(w)
    a = b = torch.zeros_like(k[:, 0])
    o = torch.full_like(a, -1e38)
    found = []
    for t in range(k.shape[1]):
        top = torch.maximum(o, u + k[:, t])
        past, now = torch.exp(o - top), torch.exp(u + k[:, t] - top)
        found.append((past * a + now * v[:, t]) / (past * b + now))
        top = torch.maximum(o - decay, k[:, t])
        past, now = torch.exp(o - decay - top), torch.exp(k[:, t] - top)
        a, b, o = past * a + now * v[:, t], past * b + now, top
    return torch.stack(found, dim=1)
