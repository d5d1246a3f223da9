"""Which calls inside a block are attention, output projection, MLP and its non-linearity (see :mod:`._trace`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from braindec.llm._trace import N_TOKENS, Call, mixed, same
from braindec.llm.architecture import Block, Tap, is_linear, is_norm

HEADS = ("num_heads", "n_heads", "n_head", "num_attention_heads", "nhead", "heads")
FUSED = "its weights are used without calling a module, so there is nothing to read it from"


class _Reader:
    """Collects the sites of one block from its calls."""

    def __init__(self, calls: list[Call], model: nn.Module) -> None:
        self.calls, self.model = sorted(calls, key=lambda c: c.began), model
        self.block = self.calls[0]
        self.width = _last(self.block.out)
        self.taps: dict[str, Tap] = {}
        self.missing: dict[str, str] = {}
        self.widths: dict[str, int] = {}

    def tap(self, site: str, call: Call, where: str, *, part: int = 0, width: int | None = None, **more: Any) -> None:
        same_module = [c for c in self.calls if c.module is call.module]
        self.taps[site] = Tap(call.module, where, part, same_module.index(call), len(same_module), **more)
        self.widths[site] = width or _last(call.into if where == "input" else call.out)

    def inside(self, outer: Call) -> list[Call]:
        return [c for c in self.calls if outer.began <= c.began and c.ended <= outer.ended]

    def tops(self) -> list[Call]:
        """Return the outermost calls inside the block, looking into a single one that is all of it."""
        depth = 1
        while True:
            tops = [c for c in self.calls if c.depth == depth]
            alone = len(tops) == 1 and same(tops[0].out, self.block.out) and mixed(tops[0].out)
            if not (alone and any(c.depth == depth + 1 for c in self.calls)):
                return tops
            depth += 1

    def mixer(self) -> Call | None:
        """Return the call that mixes tokens; of nested ones the outermost."""
        return next((c for c in self.tops() if not mixed(c.into) and mixed(c.out)), None)

    def output_projection(self, mixer: Call | None) -> Call | None:
        """Return the linear map from heads (or states) into the residual stream."""
        linear = [c for c in self.calls if is_linear(c.module) and _last(c.out) == self.width]
        if mixer is None:
            return next((c for c in linear if mixed(c.into)), None)
        own = [c for c in self.inside(mixer) if c in linear and mixed(c.into)]
        if own:
            return own[-1]
        return next((c for c in linear if c.began > mixer.ended and same(c.into, mixer.out)), None)


def read_parts(calls: list[Call], model: nn.Module) -> Block:
    """Return the block that ``calls`` were recorded in."""
    reader = _Reader(calls, model)
    reader.tap("resid_pre", reader.block, "input")
    reader.tap("resid_post", reader.block, "output")
    mixer = reader.mixer()
    projection = reader.output_projection(mixer)
    heads = _attention(reader, mixer, projection)
    mlp = _mlp(reader, mixer, projection)
    _middle(reader, mlp)
    return Block(
        module=reader.block.module, taps=reader.taps, missing=reader.missing, widths=reader.widths,
        attention=None if mixer is None else mixer.module,
        attn_out_proj=None if projection is None else projection.module,
        **heads, **{k: None if c is None else c.module for k, c in mlp.items()},
    )  # fmt: skip


def _attention(reader: _Reader, mixer: Call | None, projection: Call | None) -> dict[str, int | None]:
    heads: dict[str, int | None] = {"n_heads": None, "head_dim": None}
    sites = ("attn_out", "head_out", "attn_pattern", "mixer_out")
    if mixer is None and projection is None:
        reader.missing.update(dict.fromkeys(sites, "nothing in the block mixes tokens"))
        return heads
    where = mixer or projection
    inside = reader.inside(mixer) if mixer else [c for c in reader.calls[1:] if c.began <= projection.began]  # type: ignore[union-attr]
    pattern, part = next(
        ((c, k) for c in inside for k, s in enumerate(c.shapes)
         if s and len(s) == 4 and s[0] == 3 and s[-2:] == (N_TOKENS, N_TOKENS)), (None, 0)
    )  # fmt: skip
    if pattern is None and _is_recurrent(where.module if mixer else None):  # type: ignore[union-attr]
        reader.tap("mixer_out", projection or mixer, "output")  # type: ignore[arg-type]
        reader.missing.update(dict.fromkeys(sites[:3], "the block has a state-space or recurrent mixer, no attention"))
        return heads
    reader.missing["mixer_out"] = "the block has attention"
    reader.tap("attn_out", projection or mixer, "output")  # type: ignore[arg-type]
    if pattern is None:
        reader.missing["attn_pattern"] = "the attention does not return its weights"
    else:
        heads["n_heads"] = int(pattern.shapes[part][1])  # type: ignore[index]
        reader.tap("attn_pattern", pattern, "output", part=part, width=heads["n_heads"], writes=False)
    if projection is None:
        reader.missing["head_out"] = f"the output projection of {type(where.module).__name__}: {FUSED}"  # type: ignore[union-attr]
        return heads
    reader.tap("head_out", projection, "input")
    size = reader.widths["head_out"]
    n_heads = heads["n_heads"] or _number_of_heads(where.module if mixer else reader.block.module, reader.model, size)  # type: ignore[union-attr]
    return {"n_heads": n_heads, "head_dim": size // n_heads if n_heads and size % n_heads == 0 else None}


def _is_recurrent(mixer: nn.Module | None) -> bool:
    """Whether a mixer has what recurrent ones have: a convolution over time, or matrices outside linear maps."""
    if mixer is None or any(isinstance(m, nn.MultiheadAttention) for m in mixer.modules()):
        return False
    modules = list(mixer.modules())
    if any(isinstance(m, nn.Conv1d) for m in modules):
        return True
    rest = [m for m in modules if not is_linear(m) and not isinstance(m, nn.Embedding)]
    own = any(p.ndim >= 2 for m in rest for p in m.parameters(recurse=False))
    return own and not any(hasattr(m, name) for m in modules for name in HEADS)


def _number_of_heads(mixer: nn.Module, model: nn.Module, size: int) -> int | None:
    for owner in (*mixer.modules(), getattr(mixer, "config", None), getattr(model, "config", None), model):
        for name in HEADS:
            value = getattr(owner, name, None)
            if isinstance(value, int) and value > 0 and size % value == 0:
                return value
        dim = getattr(owner, "head_dim", None)
        if isinstance(dim, int) and dim > 0 and size % dim == 0:
            return size // dim
    return None


def _mlp(reader: _Reader, mixer: Call | None, projection: Call | None) -> dict[str, Call | None]:
    parts: dict[str, Call | None] = {"mlp_up": None, "mlp_gate": None, "mlp_down": None}
    attention = reader.inside(mixer) if mixer else []
    if mixer is None and projection is not None:
        attention = [c for c in reader.calls if c.began <= projection.began]
    rest = [c for c in reader.calls[1:] if c not in attention and c is not projection]
    rest = [c for c in rest if not (mixer and c.began < mixer.began and c.ended > mixer.ended)]
    experts = next((c for c in reader.tops() if c in rest and _has_experts(c.module)), None)
    if experts is not None:
        reader.tap("mlp_out", experts, "output")
        why = "the MLP is a mixture of experts, which has no single hidden layer"
        reader.missing.update(mlp_act=why, mlp_pre=why)
        return parts
    linear = [c for c in rest if is_linear(c.module)]
    down = next((c for c in reversed(linear) if _last(c.out) == reader.width), None)
    ups = [
        c for c in linear if down and c.ended < down.began and _last(c.out) in (_last(down.into), 2 * _last(down.into))
    ]
    if down is None or not ups:
        reader.missing.update(
            dict.fromkeys(("mlp_pre", "mlp_act", "mlp_out"), "the block has no MLP of two linear maps")
        )
        return parts
    if len(linear) > len(ups) + 1:
        why = f"the MLP has {len(linear)} linear maps: which of them reads its hidden layer is not clear"
        reader.missing.update(mlp_pre=why, mlp_act=why)
        whole = next((c for c in reader.tops() if all(x in reader.inside(c) for x in linear)), None)
        if whole is None:
            reader.missing["mlp_out"] = why
        else:
            reader.tap("mlp_out", whole, "output")
        return parts
    reader.tap("mlp_out", down, "output")
    reader.tap("mlp_act", down, "input")
    act = next((c for c in rest if ups[0].ended < c.began < down.began and _is_activation(c)), None)
    if act is not None:
        reader.tap("mlp_pre", act, "input")
        gates = [c for c in ups if same(c.out, act.into)]
    elif len(ups) == 1 and _last(ups[0].out) == _last(down.into):
        reader.tap("mlp_pre", ups[0], "output")
        gates = []
    else:
        gates = []
        reader.missing["mlp_pre"] = "the MLP is gated and its non-linearity is not a module"
    gated = len(ups) > 1
    parts["mlp_down"] = down
    parts["mlp_gate"] = gates[0] if gated and gates else None
    parts["mlp_up"] = next((c for c in ups if c is not parts["mlp_gate"]), None)
    return parts


def _has_experts(module: nn.Module) -> bool:
    if any(p.ndim == 3 and p.shape[0] > 1 for p in module.parameters()):
        return True
    lists = [m for m in module.modules() if isinstance(m, nn.ModuleList)]
    return any(len(m) > 1 and all(any(is_linear(x) for x in e.modules()) for e in m) for m in lists)


def _is_activation(call: Call) -> bool:
    """Whether a call is a non-linearity: a module without weights that changes its input (dropout does not, here)."""
    leaf = not any(True for _ in call.module.children()) and not any(True for _ in call.module.parameters())
    return leaf and call.into is not None and call.out is not None and not same(call.into, call.out)


def _middle(reader: _Reader, mlp: dict[str, Call | None]) -> None:
    """Find the residual stream between attention and MLP."""
    if "attn_out" not in reader.taps and "mixer_out" not in reader.taps:
        reader.missing["resid_mid"] = "nothing in the block mixes tokens"
        return
    up = mlp["mlp_up"]
    if up is None:
        experts = reader.taps.get("mlp_out")
        up = next((c for c in reader.calls if experts and c.module is experts.module), None)
    if up is None:
        reader.missing["resid_mid"] = "the block has no MLP: see resid_post"
        return
    first = min((c for c in (up, mlp["mlp_gate"]) if c), key=lambda c: c.began)
    if not mixed(first.into):
        reader.missing["resid_mid"] = "attention and MLP run side by side, there is no stream between them"
        return
    norms = [c for c in reader.calls[1:] if is_norm(c.module)]
    before = next((c for c in reversed(norms) if c.ended < first.began and same(c.out, first.into)), None)
    after = any(same(c.out, reader.block.out) for c in norms)  # normalised after the sum, as in the first transformers
    if before is None or after:
        reader.tap("resid_mid", first, "input", writes=False)
    else:
        reader.tap("resid_mid", before, "input", writes=False)


def _last(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else int(tensor.shape[-1])
