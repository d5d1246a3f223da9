"""Named places in a language model where units are read: residual stream, attention heads, MLPs, mixers.

==============  =====================================================================================================
embedding       what enters the first block (token and position embeddings, as ``hidden_states[0]``); its layer is -1
resid_pre       what enters a block
resid_mid       the stream between attention and MLP
resid_post      what leaves a block (before the final norm)
attn_out        output of the attention's output projection (before a norm that follows it)
head_out        input of that projection: head after head, unit = head x head_dim + k
attn_pattern    attention weights (head, query, key); read them with ``iterate_activations``
mlp_pre         what enters the non-linearity of the MLP
mlp_act         what enters the last linear map of the MLP: after the non-linearity, times the other half where gated
mlp_out         output of that map (of all experts together in a mixture)
mixer_out       output of a state-space or recurrent mixer
==============  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError, did_you_mean
from braindec.llm._check import layer_numbers
from braindec.llm._trace import first_tensor
from braindec.llm.architecture import Tap, eager_attention

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["SITES", "Slot", "capture", "resolve", "sites_of", "tap_of", "units_of", "width_of"]

SITES = ("embedding", "resid_pre", "resid_mid", "resid_post", "attn_out", "head_out", "attn_pattern", "mlp_pre",
         "mlp_act", "mlp_out", "mixer_out")  # fmt: skip
EMBEDDING_LAYER = -1


@dataclass(frozen=True)
class Slot:
    """One site of one layer."""

    layer: int
    site: str
    tap: Tap
    width: int
    head_dim: int | None = None

    @property
    def key(self) -> tuple[int, str]:
        """(layer, site)."""
        return self.layer, self.site


class Stopped(Exception):
    """Raised inside the model to leave it when all sites have been read."""


def sites_of(lm: LanguageModel, layer: int | None = None) -> list[str]:
    """Return the sites that ``layer`` has (any layer by default), in the order of :data:`SITES`."""
    blocks = lm.blocks if layer is None else [lm.blocks[layer]]
    there = {"embedding"} | {site for block in blocks for site in block.taps}
    return [site for site in SITES if site in there]


def tap_of(lm: LanguageModel, site: str, layer: int) -> Tap:
    """Return where a site is read.

    Raises
    ------
    BraindecError
        If there is no such site or layer; the message lists the sites that the model has.
    """
    if site not in SITES:
        raise BraindecError(f"there is no site {site!r}{did_you_mean(site, SITES)}", allowed=", ".join(sites_of(lm)))
    if site == "embedding":
        return lm.blocks[0].taps["resid_pre"]
    _check_layer(lm, layer)
    block = lm.blocks[layer]
    if site not in block.taps:
        raise BraindecError(
            f"layer {layer} of {lm.name} has no site {site!r}", found=block.missing.get(site),
            allowed=", ".join(sites_of(lm, layer)),
        )  # fmt: skip
    return block.taps[site]


def width_of(lm: LanguageModel, site: str, layer: int) -> int:
    """Return the number of units of a site (of "attn_pattern": heads)."""
    tap_of(lm, site, layer)
    return lm.hidden_size if site == "embedding" else lm.blocks[layer].widths[site]


def resolve(lm: LanguageModel, sites: str | Sequence[str], layers: int | Sequence[int] | None = None) -> list[Slot]:
    """Return the slots of ``sites`` in ``layers`` (all by default), layer by layer.

    In models whose layers differ, a site is taken in the layers that have it when ``layers`` is not given.

    Raises
    ------
    BraindecError
        If a site or layer does not exist.
    """
    if isinstance(sites, str):
        sites = [sites]
    if not isinstance(sites, Iterable) or not all(isinstance(s, str) for s in sites):
        raise BraindecError(f"sites={sites!r} names no sites", allowed=", ".join(sites_of(lm)))
    sites, layers = list(dict.fromkeys(sites)), layer_numbers(layers)
    if not sites:
        raise BraindecError("no sites were asked for", allowed=", ".join(sites_of(lm)))
    asked = range(lm.n_layers) if layers is None else layers
    slots = []
    if "embedding" in sites:
        slots.append(Slot(EMBEDDING_LAYER, "embedding", tap_of(lm, "embedding", 0), lm.hidden_size))
    for site in sites:
        if layers is None and site != "embedding" and site in SITES and site not in sites_of(lm):
            tap_of(lm, site, 0)  # explains why
    for layer in asked:
        if layer == EMBEDDING_LAYER and "embedding" in sites:
            continue
        _check_layer(lm, layer)
        for site in sites:
            if site == "embedding" or (layers is None and site in SITES and site not in lm.blocks[layer].taps):
                continue
            tap, block = tap_of(lm, site, layer), lm.blocks[layer]
            slots.append(Slot(layer, site, tap, block.widths[site], block.head_dim if site == "head_out" else None))
    return slots


def units_of(lm: LanguageModel, slots: Sequence[Slot]) -> pd.DataFrame:
    """Return one row a unit: model, layer, site, index, and head where a slot has heads (-1 elsewhere)."""
    sizes = [slot.width for slot in slots]
    index = np.concatenate([np.arange(n) for n in sizes]) if slots else np.array([], dtype=int)
    table = pd.DataFrame({
        "model": lm.name, "layer": np.repeat([s.layer for s in slots], sizes).astype(int),
        "site": np.repeat(np.array([s.site for s in slots], dtype=object), sizes), "index": index,
    })  # fmt: skip
    if any(slot.head_dim for slot in slots):
        dims = np.repeat([slot.head_dim or 0 for slot in slots], sizes)
        table["head"] = np.where(dims > 0, index // np.maximum(dims, 1), -1)
    return table


def _check_layer(lm: LanguageModel, layer: int) -> None:
    if not 0 <= layer < lm.n_layers:
        raise BraindecError(
            f"{lm.name} has no layer {layer}", allowed=f"0 to {lm.n_layers - 1} (the embedding is a site of its own)"
        )


@contextmanager
def capture(
    lm: LanguageModel, slots: Sequence[Slot], *, stop: bool = False, gradients: bool = False,
    change: Callable[[Slot, torch.Tensor], Any] | None = None,
) -> Iterator[dict[tuple[int, str], Any]]:  # fmt: skip
    """Read ``slots`` in every forward pass inside the context.

    Parameters
    ----------
    lm : LanguageModel
    slots : sequence of Slot
        From :func:`resolve`.
    stop : bool
        Leave the model as soon as all have been read: :func:`run_until_read` turns that into a normal return.
    gradients : bool
        Keep the values in the graph so that they have ``.grad`` after ``backward()``; run under
        ``torch.enable_grad()``. Otherwise they are detached copies: what the model does with them later leaves them
        as they were.
    change : callable, optional
        ``change(slot, values)`` is stored instead of a copy of the values.

    Yields
    ------
    dict of (layer, site) to tensor
        Values (batch, token, unit) of the last forward pass; of "attn_pattern" (batch, head, query, key).
    """
    values: dict[tuple[int, str], Any] = {}

    def store(slot: Slot, tensor: torch.Tensor) -> torch.Tensor | None:
        new = None
        if gradients:
            if not tensor.requires_grad:
                tensor = new = tensor.detach().clone().requires_grad_(True)
            tensor.retain_grad()
            values[slot.key] = tensor
        else:
            tensor = tensor.detach()
            values[slot.key] = tensor.clone() if change is None else change(slot, tensor)
        if stop and len(values) == len(slots):
            raise Stopped
        return new

    with watch(lm, [(slot.tap, lambda t, slot=slot: store(slot, t)) for slot in slots], on_start=values.clear):
        if any(slot.site == "attn_pattern" for slot in slots):
            with eager_attention(lm.model):
                yield values
        else:
            yield values


def run_until_read(lm: LanguageModel, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> None:
    """Run the model; return when it ends or when :func:`capture` has read everything.

    Where no token sees later ones, padding on the right is out of sight: without a mask attention is faster.
    """
    if mask is not None and (not lm.bidirectional or bool(mask.all())):
        mask = None
    try:
        lm.run(tokens, mask)
    except Stopped:
        pass


@contextmanager
def watch(
    lm: LanguageModel, watchers: Sequence[tuple[Tap, Callable[[torch.Tensor], torch.Tensor | None]]], *,
    on_start: Callable[[], Any] | None = None,
) -> Iterator[None]:  # fmt: skip
    """Call a function with the values of each tap; what it returns (if anything) replaces them. All hooks go at the end."""
    counts: dict[int, int] = {}

    def start(*_: Any) -> None:
        counts.clear()
        if on_start is not None:
            on_start()

    def due(k: int, tap: Tap) -> bool:
        counts[k] = counts.get(k, -1) + 1
        return counts[k] % tap.calls == tap.call

    def of_input(k: int, tap: Tap, function: Callable) -> Callable:
        def hook(module: Any, args: tuple, kwargs: dict) -> Any:
            if not due(k, tap):
                return None
            place, tensor = _first_argument(args, kwargs)
            new = function(tensor)
            if new is None:
                return None
            if isinstance(place, int):
                return (*args[:place], new, *args[place + 1 :]), kwargs
            return args, {**kwargs, place: new}

        return hook

    def of_output(k: int, tap: Tap, function: Callable) -> Callable:
        def hook(module: Any, args: tuple, output: Any) -> Any:
            if not due(k, tap):
                return None
            tensor = output[tap.part] if isinstance(output, (tuple, list)) else first_tensor(output)
            new = function(tensor)
            if new is None:
                return None
            if isinstance(output, torch.Tensor):
                return new
            if isinstance(output, (tuple, list)):
                return type(output)([*output[: tap.part], new, *output[tap.part + 1 :]])
            raise BraindecError(
                f"the output of {type(module).__name__} cannot be replaced", found=type(output).__name__
            )

        return hook

    handles = [lm.model.register_forward_pre_hook(start)]
    try:
        for k, (tap, function) in enumerate(watchers):
            if tap.where == "input":
                handles.append(tap.module.register_forward_pre_hook(of_input(k, tap, function), with_kwargs=True))
            else:
                handles.append(tap.module.register_forward_hook(of_output(k, tap, function)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first_argument(args: tuple, kwargs: dict) -> tuple[int | str, torch.Tensor]:
    for k, value in enumerate(args):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return k, value
    for key, value in kwargs.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim >= 2:
            return key, value
    raise BraindecError("a module was called without values", found=f"{len(args)} arguments, {list(kwargs)}")
