"""What a language model is made of, found by running it once on a few tokens: blocks, attention, MLP, norms, heads.

Nothing here knows a model by name. Three copies of a short token row run through the model; before each block the
hidden states of the first copy replace the others, with the first token of the second copy and the last token of the
third changed. What changes at *other* tokens has been mixed across tokens: the sub-module whose input is not mixed and
whose output is, is the attention (or the mixer of a state-space model). The rest follows from the order of calls and
from widths: the output projection is the attention's last linear map into the residual stream, the MLP's last
linear map is the last one outside the attention, its input is the activation after the non-linearity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from braindec.errors import BraindecError

__all__ = ["Architecture", "Block", "Tap", "eager_attention", "find_blocks", "is_linear", "is_norm", "weight_of"]


@dataclass(frozen=True)
class Tap:
    """Where the values of a site are read and replaced.

    Parameters
    ----------
    module : Module
        Its input or output is the site.
    where : {"input", "output"}
    part : int
        Which element when the output is a tuple.
    call : int
        Which call of the module within one forward pass (a block may run several times).
    calls : int
        How often the module is called in one forward pass.
    writes : bool
        Whether a replaced value has its full effect on what follows.
    """

    module: nn.Module
    where: str
    part: int = 0
    call: int = 0
    calls: int = 1
    writes: bool = True


@dataclass(frozen=True)
class Block:
    """One layer: where its sites are, and its linear maps.

    Parameters
    ----------
    module : Module
    taps : dict of str to Tap
        Sites that exist.
    missing : dict of str to str
        Sites that do not, with the reason.
    widths : dict of str to int
        Number of units of each site (of "attn_pattern": heads).
    n_heads, head_dim : int or None
    attention, attn_out_proj, mlp_up, mlp_gate, mlp_down : Module or None
    """

    module: nn.Module
    taps: dict[str, Tap]
    missing: dict[str, str]
    widths: dict[str, int]
    n_heads: int | None = None
    head_dim: int | None = None
    attention: nn.Module | None = None
    attn_out_proj: nn.Module | None = None
    mlp_up: nn.Module | None = None
    mlp_gate: nn.Module | None = None
    mlp_down: nn.Module | None = None


@dataclass(frozen=True)
class Architecture:
    """The parts of a language model.

    Parameters
    ----------
    blocks : tuple of Block
        In the order in which they run; a block that runs several times stands here several times.
    hidden_size : int
        Width of the residual stream.
    embedding, final_norm, unembedding : Module or None
    bidirectional : bool
        Whether a token sees the tokens after it.
    """

    blocks: tuple[Block, ...]
    hidden_size: int
    embedding: nn.Module | None = None
    final_norm: nn.Module | None = None
    unembedding: nn.Module | None = None
    bidirectional: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def is_linear(module: nn.Module) -> bool:
    """Whether ``module`` is one linear map with its weight (``nn.Linear``, the ``Conv1D`` of GPT-2, adapters of them)."""
    if isinstance(module, (nn.Embedding, nn.modules.conv._ConvNd)) or any(True for _ in module.children()):
        return False
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and (weight.ndim == 2 or isinstance(module, nn.Linear))


def is_norm(module: nn.Module) -> bool:
    """Whether ``module`` has vectors for parameters and nothing else, as normalisations do."""
    parameters = list(module.parameters())
    return bool(parameters) and all(p.ndim == 1 for p in parameters) and not any(True for _ in module.children())


def weight_of(module: nn.Module) -> torch.Tensor:
    """Return the weight of a linear map as (outputs, inputs); ``Conv1D`` keeps it the other way round.

    Raises
    ------
    BraindecError
        If the module is not a plain linear map.
    """
    if not is_linear(module) or module.weight.ndim != 2:
        raise BraindecError(f"{type(module).__name__} has no plain weight matrix", allowed="Linear, Conv1D")
    return module.weight if isinstance(module, nn.Linear) else module.weight.T


@contextmanager
def eager_attention(model: nn.Module) -> Iterator[None]:
    """Run attention so that its patterns exist, then go back to the implementation of before."""
    config = getattr(model, "config", None)
    before = getattr(config, "_attn_implementation", None)
    if before in (None, "eager") or not hasattr(model, "set_attn_implementation"):
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def find_blocks(model: nn.Module, called: Sequence[nn.Module]) -> list[nn.Module]:
    """Return the block list of ``model``: of the outermost lists whose modules ran, the longest of equal modules.

    Parameters
    ----------
    model : Module
    called : sequence of Module
        Modules in the order in which they ran.

    Raises
    ------
    BraindecError
        If there is none.
    """
    ran = set(map(id, called))
    lists: list[list[nn.Module]] = []
    inside: set[int] = set()
    for module in model.modules():
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and id(module) not in inside:
            inside |= set(map(id, module.modules()))
            children = list(module)
            maps = all(any(p.ndim >= 2 for p in child.parameters()) for child in children)
            if children and maps and all(id(child) in ran for child in children):
                lists.append(children)
    if not lists:
        raise BraindecError(
            f"no list of blocks was found in {type(model).__name__}",
            found="no nn.ModuleList or nn.Sequential of modules that all run",
            fix="name them: wrap(module, tokenizer=..., name=..., blocks=[...])",
        )

    def size(children: list[nn.Module]) -> tuple[bool, int, int]:
        same = len({type(c) for c in children}) == 1
        return same, len(children), sum(p.numel() for c in children for p in c.parameters())

    same = [c for c in lists if size(c)[0]] or lists
    return max(same, key=lambda children: size(children)[1:])
