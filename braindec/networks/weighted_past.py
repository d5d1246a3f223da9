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
    @torch.autograd.function.once_differentiable
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
        "auto" is the compiled scan on the CPU in float32 and float64, and the torch loop elsewhere.

    Raises
    ------
    BraindecError
        If the compiled scan is asked for where it does not run, or shapes do not fit.
    """
    if backend not in ("auto", "fused", "torch"):
        raise BraindecError("there is no such backend", found=repr(backend), allowed="auto, fused, torch")
    if k.ndim != 3 or v.shape != k.shape or w.shape != k.shape[2:] or u.shape != k.shape[2:]:
        raise BraindecError(
            "weighted averages of the past need keys and values of (batch, time, channel) and one decay and bonus a channel",
            found=f"w {tuple(w.shape)}, u {tuple(u.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}",
        )
    able = k.device.type == "cpu" and all(a.dtype in (torch.float32, torch.float64) for a in (w, u, k, v))
    if backend == "fused" and not able:
        raise BraindecError("the compiled scan runs on the CPU, in float32 and float64", found=f"{k.dtype} on {k.device}",
                            fix="backend='torch'")  # fmt: skip
    if backend == "torch" or not able:
        return weighted_past_loop(w, u, k, v)
    return _Scan.apply(w, u, k, v)


def weighted_past_loop(w: torch.Tensor, u: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The same, step by step in torch: what the compiled scan is tested against, and what runs on other devices."""
    decay = torch.exp(w)
    a = b = torch.zeros_like(k[:, 0])
    o = torch.full_like(a, max(-1e38, torch.finfo(a.dtype).min / 2))  # exponent of an empty sum
    found = []
    for t in range(k.shape[1]):
        top = torch.maximum(o, u + k[:, t])
        past, now = torch.exp(o - top), torch.exp(u + k[:, t] - top)
        found.append((past * a + now * v[:, t]) / (past * b + now))
        top = torch.maximum(o - decay, k[:, t])
        past, now = torch.exp(o - decay - top), torch.exp(k[:, t] - top)
        a, b, o = past * a + now * v[:, t], past * b + now, top
    return torch.stack(found, dim=1)
