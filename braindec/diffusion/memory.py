"""Memory that training or sampling will need, before it begins: weights, optimiser, averaged weights, and one step as it runs.

The step is run with tensors that have shapes but no memory ("fake" tensors of torch): what is alive at its peak is counted, so
that gradient checkpointing, half precision and any denoiser are accounted for without a formula. Nothing is allocated, and a
network of published size is estimated in seconds on a laptop.

Work space inside operations, kernels that are loaded on first use, and memory that is free in pieces only are added as a
share of the step and a fixed part (measured). Left out is what a process has before the first weight (torch and diffusers:
some 400 MB; CUDA another 500 MB).

Measured on a CPU (highest resident memory of a training of 2 or 3 steps less that before it, over this estimate without the
weights; 3 channels): tiny, 32 pixels, 32 rows .99; tiny, 16 pixels, 256 rows 1.12; base, 8 rows 1.06; base, 32 rows 1.07;
base, 16 rows in bf16 1.05; base, 32 rows in 8 parts 1.12; base, 16 rows with gradient checkpointing 1.41.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNetMotionModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from braindec.errors import BraindecError

__all__ = [
    "MemoryEstimate",
    "available_memory",
    "check_memory",
    "check_training_memory",
    "estimate_sampling",
    "estimate_training",
]

MARGIN, _WORK_SHARE, _WORK_FIXED = 1.15, 0.1, 64 * 2**20
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of each part.

    Parameters
    ----------
    what : str
        "training" or "sampling".
    rows : int
        Of the batch.
    weights, optimizer, average : int
        Weights of all modules, the two averages of AdamW, the averaged weights.
    gradients : int
        All gradients.
    step : int
        The most that is alive in one step beyond these: activations, and the gradients that are there at that moment.
    work : int
        Work space of operations.
    """

    what: str
    rows: int
    weights: int
    optimizer: int
    average: int
    gradients: int
    step: int
    work: int

    @property
    def total(self) -> int:
        """All parts."""
        return self.weights + self.beyond_weights

    @property
    def beyond_weights(self) -> int:
        """What is needed when the weights are in memory already."""
        return self.optimizer + self.average + max(self.step, self.gradients) + self.work

    def __str__(self) -> str:
        parts = f"weights {_size(self.weights)}"
        if self.what == "training":
            parts += f", optimiser {_size(self.optimizer)}, averaged weights {_size(self.average)}, gradients and activations "
            parts += _size(max(self.step, self.gradients))
        else:
            parts += f", activations {_size(self.step)}"
        parts += f", work space {_size(self.work)}"
        return f"{_size(self.total)} for {self.what} with {self.rows} rows ({parts})"


def estimate_training(
    model: nn.Module,
    loss: Callable[[nn.Module, Mapping[str, torch.Tensor], torch.Generator], torch.Tensor],
    batch: Mapping[str, Any],
    *,
    ema: bool = True,
    mixed_precision: str = "no",
    gradient_checkpointing: bool = False,
    accumulate: int = 1,
) -> MemoryEstimate:
    """Estimate what :func:`braindec.train.diffusion.fit_diffusion` needs with these arguments.

    Parameters
    ----------
    model : nn.Module
        What is trained, in memory or on the meta device.
    loss : callable
        ``loss(model, batch, generator)``, of :func:`braindec.train.denoising.diffusion_loss` for instance.
    batch : mapping of str to Tensor or shape
        One batch; shapes (rows, ...) stand for float32 tensors.
    ema, mixed_precision, gradient_checkpointing, accumulate
        As in ``fit_diffusion``.
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    gradients = sum(_bytes(p) for p in learned)
    shapes = {
        k: (tuple(v.shape), v.dtype) if torch.is_tensor(v) else (tuple(v), torch.float32) for k, v in batch.items()
    }
    rows = shapes["x"][0][0]
    part = -(-rows // accumulate)

    def step(tensors: Mapping[str, torch.Tensor]) -> None:
        dtype = _DTYPES.get(mixed_precision)
        with nullcontext() if dtype is None else torch.autocast("cpu", dtype):
            value = loss(model, tensors, torch.Generator())
        value.backward()

    peak = _peak(model, {k: ((part, *s[1:]), d) for k, (s, d) in shapes.items()}, step, gradient_checkpointing)
    peak += gradients if accumulate > 1 else 0  # those of the parts before
    return MemoryEstimate(
        "training", rows, _weights(model, loss), 2 * gradients, gradients if ema else 0, gradients, peak, _work(peak)
    )


def estimate_sampling(
    unet: nn.Module, *, rows: int, n_tokens: int = 77, vae: nn.Module | None = None, controlnet: nn.Module | None = None,
    guided: bool = True, frames: int | None = None, mixed_precision: str = "no",
) -> MemoryEstimate:  # fmt: skip
    """Estimate what sampling needs: the denoiser on all rows (twice of them with guidance), then the decoder of latents.

    Parameters
    ----------
    unet : nn.Module
        A denoiser of diffusers, in memory or on the meta device.
    rows : int
        Pictures (or films) at once.
    n_tokens : int
        That the denoiser listens to.
    vae, controlnet : nn.Module, optional
    guided : bool
        Guidance without a classifier doubles the rows.
    frames : int, optional
        Of each film.
    mixed_precision : {"no", "bf16", "fp16"}
        Type of weights and computations.
    """
    c, k = unet.config, 2 if guided else 1
    side = (c.sample_size,) * 2 if isinstance(c.sample_size, int) else tuple(c.sample_size)
    item = (c.in_channels, *(() if frames is None else (frames,)), *side)
    dtype = _DTYPES.get(mixed_precision, torch.float32)
    per_frame = frames if isinstance(unet, UNetMotionModel) and frames is not None else 1  # tokens are given for each
    shapes = {
        "x": ((k * rows, *item), dtype),
        "tokens": ((k * rows * per_frame, n_tokens, c.cross_attention_dim), dtype),
    }
    if getattr(c, "class_embed_type", None) == "projection":
        shapes["class_labels"] = ((k * rows, c.projection_class_embeddings_input_dim), dtype)
    parts = nn.ModuleDict(
        {n: m for n, m in (("unet", unet), ("controlnet", controlnet), ("vae", vae)) if m is not None}
    )

    @torch.no_grad()
    def denoise(t: Mapping[str, torch.Tensor]) -> None:
        extra = {"class_labels": t["class_labels"]} if "class_labels" in t else {}
        if getattr(c, "addition_embed_type", None) == "text_time":
            pooled = c.projection_class_embeddings_input_dim - 6 * c.addition_time_embed_dim
            extra["added_cond_kwargs"] = {
                "text_embeds": t["x"].new_empty(k * rows, pooled),
                "time_ids": t["x"].new_empty(k * rows, 6),
            }
        if controlnet is not None:
            factor = 2 ** (len(controlnet.config.conditioning_embedding_out_channels) - 1)
            hint = t["x"].new_empty(k * rows, controlnet.config.conditioning_channels, *(factor * s for s in side))
            down, middle = controlnet(
                t["x"], 1, encoder_hidden_states=t["tokens"], controlnet_cond=hint, return_dict=False, **extra
            )
            extra |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        unet(t["x"], 1, encoder_hidden_states=t["tokens"], return_dict=False, **extra)

    @torch.no_grad()
    def decode(t: Mapping[str, torch.Tensor]) -> None:
        vae.decode(t["x"], return_dict=False)

    peak = _peak(parts, shapes, denoise, False, dtype)
    if vae is not None:
        n = rows * (frames or 1)
        peak = max(peak, _peak(parts, {"x": ((n, c.in_channels, *side), dtype)}, decode, False, dtype))
    weights = sum(p.numel() for p in parts.parameters()) * dtype.itemsize
    return MemoryEstimate("sampling", rows, weights, 0, 0, 0, peak, _work(peak))


def available_memory(device: str | torch.device = "cpu") -> int:
    """Return the bytes that are free on a device: of this process's control group, if that has a limit, else of the machine."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    free = psutil.virtual_memory().available
    limit, used = (_number_in(Path("/sys/fs/cgroup") / n) for n in ("memory.max", "memory.current"))
    return free if limit is None or used is None else min(free, limit - used)


def check_memory(
    estimate: MemoryEstimate, available: int | None = None, *, device: str | torch.device = "cpu", loaded: bool = False,
    would_fit: Sequence[str] = (),
) -> None:  # fmt: skip
    """Raise if an estimate, with ``MARGIN``, is more than what is free.

    Parameters
    ----------
    estimate : MemoryEstimate
    available : int, optional
        Bytes; those free on ``device`` by default.
    device : str
    loaded : bool
        The weights are on the device already.
    would_fit : sequence of str
        Ways out that fit, for the message.

    Raises
    ------
    BraindecError
        With what is needed, what is there, and what to do.
    """
    free = available_memory(device) if available is None else available
    if _needed(estimate, loaded) <= free:
        return
    ways = " or ".join(would_fit) or "a smaller preset, or a machine with more memory"
    raise BraindecError(
        f"{estimate.what} needs more memory than {torch.device(device)} has free", allowed=f"{_size(free)} are free",
        found=f"about {_size(_needed(estimate, loaded))} needed, with a margin of {MARGIN - 1:.0%}: {estimate}",
        fix=f"use {ways}" if estimate.what == "training" else f"sample fewer at once, or use {ways}",
    )  # fmt: skip


def check_training_memory(
    model: nn.Module, loss: Callable[..., torch.Tensor], batch: Mapping[str, Any], *, available: int | None = None,
    device: str | torch.device = "cpu", **options: Any,
) -> MemoryEstimate:  # fmt: skip
    """Estimate the memory of a training and raise if it is not there, naming the changes with which it would fit.

    Parameters
    ----------
    model, loss, batch, options
        As in :func:`estimate_training`.
    available : int, optional
        Bytes; those free on ``device`` by default.
    device : str
    """
    loaded = all(p.device.type == torch.device(device).type for p in model.parameters())
    estimate = estimate_training(model, loss, batch, **options)
    free = available_memory(device) if available is None else available
    if _needed(estimate, loaded) <= free:
        return estimate
    ways = [
        f"{name} (about {_size(_needed(other, loaded))})"
        for name, other in _alternatives(model, loss, batch, estimate, options)
        if _needed(other, loaded) <= free
    ]
    ways = [w for w in ways if "accumulate" not in w][:2] + [w for w in ways if "accumulate" in w][:1]
    check_memory(estimate, free, device=device, loaded=loaded, would_fit=ways)
    return estimate


def _alternatives(
    model: nn.Module, loss: Callable[..., torch.Tensor], batch: Mapping[str, Any], now: MemoryEstimate, options: Mapping[str, Any]
) -> Iterator[tuple[str, MemoryEstimate]]:  # fmt: skip
    """Changes of a training that take less memory, the mildest first, with their estimates."""
    changes = {"gradient_checkpointing": True, "mixed_precision": "bf16"}
    for name, value in changes.items():
        if options.get(name, "no") in (False, "no"):
            yield f"{name}={value!r}", estimate_training(model, loss, batch, **{**options, name: value})
    rows, before = now.rows, options.get("accumulate", 1)
    if rows == before:
        return
    single = estimate_training(model, loss, batch, **{**options, "accumulate": rows})  # one row at once
    for parts in range(before + 1, rows + 1):  # activations are a line in the rows
        share = (math.ceil(rows / parts) - 1) / max(math.ceil(rows / before) - 1, 1)
        step = round(single.step + share * max(now.step + (now.gradients if before == 1 else 0) - single.step, 0))
        yield f"accumulate={parts}", replace(single, step=step, work=_work(step))


def _peak(
    model: nn.Module, shapes: Mapping[str, tuple[tuple[int, ...], torch.dtype]], run: Callable[[Mapping[str, torch.Tensor]], None],
    checkpointing: bool, dtype: torch.dtype | None = None,
) -> int:  # fmt: skip
    """Largest number of bytes alive while ``run`` runs with fake weights, without weights and inputs."""
    if checkpointing:
        able = [m for m in model.modules() if getattr(m, "_supports_gradient_checkpointing", False)]
        was = [m.is_gradient_checkpointing for m in able]
        for m in able:
            m.enable_gradient_checkpointing()
    training = model.training
    model.train(run.__name__ == "step")
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            fakes = {n: _fake(p, dtype) for n, p in (*model.named_parameters(), *model.named_buffers())}
            tensors = {k: torch.empty(s, dtype=d) for k, (s, d) in shapes.items()}
            counter = _LiveBytes([*fakes.values(), *tensors.values()])
            with counter:
                torch.func.functional_call(_Calls(model, run), {f"model.{n}": t for n, t in fakes.items()}, (tensors,))
            return counter.most
    finally:
        model.train(training)
        if checkpointing:
            for m, before in zip(able, was):
                if not before:
                    m.disable_gradient_checkpointing()
        gc.collect()


class _Calls(nn.Module):
    def __init__(self, model: nn.Module, run: Callable[[Mapping[str, torch.Tensor]], None]) -> None:
        super().__init__()
        self.model, self.run = model, run

    def forward(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.run(tensors)


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that operations make, until they are let go."""

    def __init__(self, known: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self._seen = weakref.WeakKeyDictionary({t.untyped_storage(): 0 for t in known})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        self.most = max(self.most, self.now)
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage in self._seen:
            return
        size = storage.nbytes()
        self._seen[storage] = size
        self.now += size
        weakref.finalize(storage, self._drop, size).atexit = False

    def _drop(self, size: int) -> None:
        self.now -= size


def _fake(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    return torch.empty(tensor.shape, dtype=kind).requires_grad_(tensor.requires_grad)


def _weights(model: nn.Module, loss: Any) -> int:
    """Bytes of the model, and of networks beside it that the loss calls."""
    beside = [m for m in vars(loss).values() if isinstance(m, nn.Module)] if hasattr(loss, "__dict__") else []
    tensors = {id(t): t for m in (model, *beside) for t in (*m.parameters(), *m.buffers())}
    return sum(_bytes(t) for t in tensors.values())


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _work(step: int) -> int:
    return _WORK_FIXED + round(_WORK_SHARE * step)


def _needed(estimate: MemoryEstimate, loaded: bool) -> int:
    return round(MARGIN * (estimate.beyond_weights if loaded else estimate.total))


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _size(n: float) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 else f"{n / 2**20:.0f} MiB"
