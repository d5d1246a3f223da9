"""Run a model once and read its architecture off the calls (see :mod:`braindec.llm.architecture`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.llm.architecture import Architecture, Block, eager_attention, find_blocks, is_linear, is_norm

__all__ = ["Call", "first_tensor", "introspect", "mixed", "same"]

N_TOKENS = 6


@dataclass
class Call:
    """One call of a module inside a block.

    ``depth`` counts the calls around it (the block itself: 0), ``into`` and ``out`` are its first tensors in and out,
    ``shapes`` those of all its outputs; ``began`` and ``ended`` order the calls.
    """

    module: nn.Module
    depth: int
    began: int
    into: torch.Tensor | None
    out: torch.Tensor | None = None
    shapes: list[tuple[int, ...] | None] = field(default_factory=list)
    ended: int = -1


def introspect(
    model: nn.Module, run: Callable[[torch.Tensor], Any], *, vocab_size: int, blocks: Sequence[nn.Module] | None = None
) -> Architecture:
    """Find the parts of ``model``.

    Parameters
    ----------
    model : Module
        In evaluation mode.
    run : callable
        Runs the model on token ids of shape (batch, token).
    vocab_size : int
    blocks : sequence of Module, optional
        The layers; found when not given.

    Raises
    ------
    BraindecError
        If there are no blocks or the model cannot be run on token ids.
    """
    device = next(model.parameters()).device
    tokens = ((torch.arange(N_TOKENS, device=device) * 7 + 3) % max(1, vocab_size)).repeat(3, 1)
    with torch.no_grad(), eager_attention(model):
        order = _order_of_calls(model, lambda: run(tokens))
        blocks = list(blocks) if blocks else find_blocks(model, order)
        layers = [m for m in order if any(m is b for b in blocks)]
        if not layers:
            raise BraindecError(f"none of the {len(blocks)} blocks runs when {type(model).__name__} is given tokens")
        traces, after = _trace(model, blocks, lambda: run(tokens))
        found = {key: _read_block(calls, model) for key, calls in traces.items()}
        for key, (_, mixes, _) in list(found.items()):
            if not mixes:  # weights that are all zero hide what is connected: look at a copy with others
                found[key] = _read_block(_trace_copy(traces[key]), model)
    hidden = found[_signature(layers[0])][0].widths["resid_post"]
    counts: dict[int, int] = {}
    made = []
    for module in layers:
        n = counts[id(module)] = counts.get(id(module), -1) + 1
        total = sum(m is module for m in layers)
        made.append(_apply(found[_signature(module)][0], traces[_signature(module)][0].module, module, n, total))
    return Architecture(
        blocks=tuple(made),
        hidden_size=hidden,
        embedding=_input_embedding(model, order, hidden),
        final_norm=next((c for c in after[:1] if is_norm(c)), None),
        unembedding=_output_embedding(model, after, vocab_size),
        bidirectional=any(both for _, _, both in found.values()),
    )


def first_tensor(value: Any) -> torch.Tensor | None:
    """Return the first floating tensor in a tuple, list, dict or output object; None when there is none."""
    if isinstance(value, torch.Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return next((t for v in value if (t := first_tensor(v)) is not None), None)
    return None


def _order_of_calls(model: nn.Module, run: Callable[[], Any]) -> list[nn.Module]:
    order: list[nn.Module] = []
    handles = [m.register_forward_hook(lambda module, _, __: order.append(module)) for m in model.modules()]
    try:
        run()
    except BraindecError:
        raise
    except Exception as error:
        raise BraindecError(
            f"{type(model).__name__} cannot be run on token ids", found=f"{type(error).__name__}: {error}",
            allowed="a model whose forward takes token ids (batch, token)",
        ) from error  # fmt: skip
    finally:
        for handle in handles:
            handle.remove()
    return order


def _signature(block: nn.Module) -> tuple:
    """Blocks of equal signature are built alike: one of them is looked at."""
    return (
        type(block).__qualname__,
        tuple((name, type(m).__qualname__) for name, m in block.named_modules()),
        tuple((name, tuple(p.shape)) for name, p in block.named_parameters()),
    )


def _trace(
    model: nn.Module, blocks: list[nn.Module], run: Callable[[], Any]
) -> tuple[dict[tuple, list[Call]], list[nn.Module]]:
    """Return the calls inside one block of each signature (preferably one that mixes tokens), and what ran after."""
    traces: dict[tuple, list[Call]] = {}
    state: dict[str, Any] = {"calls": None, "open": [], "clock": 0, "after": []}
    ids, handles = {id(b) for b in blocks}, []

    def begin(module: nn.Module, args: tuple, kwargs: dict) -> Any:
        changed = _perturbed(args, kwargs) if id(module) in ids else None
        if changed is not None:
            args, kwargs = changed
            state.update(calls=[], open=[], after=[])
        if state["calls"] is None:
            return None
        state["clock"] += 1
        into = first_tensor(args)
        into = first_tensor(kwargs) if into is None else into
        call = Call(module, len(state["open"]), state["clock"], _kept(into))
        state["open"].append(call)
        state["calls"].append(call)
        return changed

    def end(module: nn.Module, args: tuple, output: Any) -> None:
        if state["calls"] is None:
            state["after"].append(module)
            return
        state["clock"] += 1
        call = state["open"].pop()
        call.shapes, call.ended = _shapes(output), state["clock"]
        call.out = _kept(first_tensor(output))
        if not state["open"]:
            key = _signature(module)
            if key not in traces or not mixed(traces[key][0].out):
                traces[key] = state["calls"]
            state["calls"] = None

    inner = {id(m): m for b in blocks for m in b.modules()}
    for module in inner.values():
        handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
    for module in model.modules():
        handles.append(module.register_forward_hook(end))
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return traces, [m for m in state["after"] if not any(True for _ in m.children())]


def _kept(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.detach().float().cpu().clone()


def _shapes(output: Any) -> list[tuple[int, ...] | None]:
    parts = output if isinstance(output, (tuple, list)) else [output]
    return [tuple(p.shape) if isinstance(p, torch.Tensor) else None for p in parts]


def _perturbed(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return the arguments of a block with its hidden states changed: row 1 in its first token, row 2 in its last."""

    def change(hidden: torch.Tensor) -> torch.Tensor:
        if hidden.ndim != 3 or tuple(hidden.shape[:2]) != (3, N_TOKENS):
            raise BraindecError(
                "the blocks do not take hidden states of (batch, token, unit)", found=f"shape {tuple(hidden.shape)}",
                fix="wrap the model so that its blocks do",
            )  # fmt: skip
        hidden = hidden[:1].repeat(3, 1, 1)
        hidden[1, 0] = -hidden[1, 0].roll(1, -1) + hidden[1, 1]
        hidden[2, -1] = -hidden[2, -1].roll(1, -1) + hidden[2, 0]
        return hidden

    for k, value in enumerate(args):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return (*args[:k], change(value), *args[k + 1 :]), kwargs
    for key, value in kwargs.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim == 3:
            return args, {**kwargs, key: change(value)}
    raise BraindecError("a block was called without hidden states", found=f"{len(args)} arguments, {list(kwargs)}")


def rows_of(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """Bring values to (row, token, unit); None when they are something else."""
    if tensor is None or tensor.ndim < 2:
        return None
    if tensor.shape[0] == 3 and tensor.ndim >= 3 and tensor.shape[1] == N_TOKENS:
        return tensor.reshape(3, N_TOKENS, -1)
    if tensor.ndim == 2 and tensor.shape[0] == 3 * N_TOKENS:
        return tensor.reshape(3, N_TOKENS, -1)
    return None


def mixed(tensor: torch.Tensor | None) -> bool:
    """Whether a token's values depend on another token."""
    rows = rows_of(tensor)
    if rows is None:
        return False
    change = (rows[1, 1:] - rows[0, 1:]).abs().max() + (rows[2, :-1] - rows[0, :-1]).abs().max()
    return bool(change > 1e-4 * rows[0].abs().max())


def _sees_later(tensor: torch.Tensor | None) -> bool:
    rows = rows_of(tensor)
    return rows is not None and bool((rows[2, :-1] - rows[0, :-1]).abs().max() > 1e-4 * rows[0].abs().max())


def same(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    return a is not None and b is not None and a.numel() == b.numel() and torch.equal(a.flatten(), b.flatten())


def _trace_copy(calls: list[Call]) -> list[Call]:
    """Trace a copy of a block with random weights, fed with random hidden states."""
    block = copy.deepcopy(calls[0].module)
    generator = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        fresh = torch.randn(parameter.shape, generator=generator) * (0.2 if parameter.ndim > 1 else 0.02)
        parameter.data.copy_(fresh + (1.0 if parameter.ndim == 1 else 0.0))
    hidden = torch.randn(3, N_TOKENS, calls[0].into.shape[-1], generator=generator)  # type: ignore[union-attr]
    hidden = hidden.to(next(block.parameters()))
    try:
        traces, _ = _trace(block, [block], lambda: block(hidden))
    except Exception:
        return calls  # it needs more than hidden states; the caller goes on with what was seen
    made = next(iter(traces.values()))
    names = {id(m): n for n, m in block.named_modules()}
    original = dict(calls[0].module.named_modules())
    for call in made:
        call.module = original[names[id(call.module)]]
    return made


def _apply(found: Block, origin: nn.Module, module: nn.Module, call: int, total: int) -> Block:
    """Carry what was found in one block over to another of the same build."""
    names, target = {id(m): n for n, m in origin.named_modules()}, dict(module.named_modules())

    def there(part: nn.Module | None) -> Any:
        return None if part is None else target[names[id(part)]]

    taps = {
        site: replace(tap, module=there(tap.module), call=call * tap.calls + tap.call, calls=tap.calls * total)
        for site, tap in found.taps.items()
    }
    parts = {k: there(getattr(found, k)) for k in ("attention", "attn_out_proj", "mlp_up", "mlp_gate", "mlp_down")}
    return replace(found, module=module, taps=taps, **parts)


def _input_embedding(model: nn.Module, order: list[nn.Module], hidden: int) -> nn.Module | None:
    if hasattr(model, "get_input_embeddings"):
        return model.get_input_embeddings()
    return next((m for m in order if isinstance(m, nn.Embedding)), None)


def _output_embedding(model: nn.Module, after: list[nn.Module], vocab_size: int) -> nn.Module | None:
    if hasattr(model, "get_output_embeddings"):
        return model.get_output_embeddings()
    last = [m for m in after if is_linear(m) and vocab_size in tuple(m.weight.shape)]
    return last[-1] if last else None


def _read_block(calls: list[Call], model: nn.Module) -> tuple[Block, bool, bool]:
    """Return the parts of a block, whether tokens were mixed in it, and whether a token saw later ones."""
    from braindec.llm._parts import read_parts

    whole = calls[0]
    return read_parts(calls, model), mixed(whole.out), _sees_later(whole.out)
