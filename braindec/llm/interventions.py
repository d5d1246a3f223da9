"""Change what a language model computes while a context is open: ablate, clamp, scale, steer, patch.

All are hooks on the sites of :mod:`braindec.llm.sites`; weights are never touched, and when the context is left, also
by an exception, the hooks are gone. Contexts nest: an inner one sees what an outer one has changed, and
:func:`~braindec.llm.extract.extract` inside them reads the changed values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm._check import finite, unit_rows, whole
from braindec.llm.extract import Batch, slots_of_units
from braindec.llm.sites import Slot, resolve, sites_of, watch
from braindec.types.features import Features

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["ablate", "add_direction", "clamp", "combine", "patch", "scale"]

Values = "float | Sequence[float] | np.ndarray | pd.Series | Features"
Change = Callable[[torch.Tensor, Slot, np.ndarray], torch.Tensor]


@contextmanager
def ablate(
    lm: LanguageModel, units: pd.DataFrame, *, how: str = "zero", means: Any = None,
    positions: Sequence[int] | None = None,
) -> Iterator[LanguageModel]:  # fmt: skip
    """Set units to zero, or to their mean.

    Parameters
    ----------
    lm : LanguageModel
    units : DataFrame
        Columns layer, site, index; of any number of sites and layers.
    how : {"zero", "mean"}
    means : array of shape (n_units,), or Features
        For ``how="mean"``: a value for each row of ``units``, or features that have these units (their mean over
        items is taken).
    positions : sequence of int, optional
        Only at these tokens, counted from the beginning of each row; all by default.

    Raises
    ------
    BraindecError
        If a unit does not exist, a site cannot be changed, or means are missing.
    """
    if how not in ("zero", "mean"):
        raise BraindecError(f"units cannot be ablated by {how!r}", allowed="zero, mean")
    if how == "mean" and means is None:
        raise BraindecError(
            "ablation to the mean needs means", allowed="one value a unit, or Features of these units",
            fix="means=extract(lm, texts, units=units, pool='token')",
        )  # fmt: skip
    with clamp(lm, units, 0.0 if how == "zero" else means, positions=positions):
        yield lm


@contextmanager
def clamp(
    lm: LanguageModel, units: pd.DataFrame, value: Any, *, positions: Sequence[int] | None = None
) -> Iterator[LanguageModel]:
    """Hold units at a value: one for all, one for each row of ``units``, or the means of Features."""
    held = _per_unit(units, value)
    with _on_units(lm, units, lambda old, slot, rows: _like(held[rows], old).expand_as(old), positions):
        yield lm


@contextmanager
def scale(
    lm: LanguageModel, units: pd.DataFrame, factor: Any, *, positions: Sequence[int] | None = None
) -> Iterator[LanguageModel]:
    """Multiply units by a factor: one for all, or one for each row of ``units``."""
    factors = _per_unit(units, factor)
    with _on_units(lm, units, lambda old, slot, rows: old * _like(factors[rows], old), positions):
        yield lm


@contextmanager
def add_direction(
    lm: LanguageModel, direction: Any, *, layer: int, site: str = "resid_post", strength: float = 1.0,
    positions: Sequence[int] | None = None,
) -> Iterator[LanguageModel]:  # fmt: skip
    """Add ``strength * direction`` to a site, by default to the residual stream that leaves ``layer``.

    Parameters
    ----------
    lm : LanguageModel
    direction : array of shape (n_units,)
        Taken as it is: divide it by its norm to give ``strength`` the unit of activations.
    layer : int
        -1 with ``site="embedding"``.
    site : str
    strength : float
    positions : sequence of int, optional
        Tokens, counted from the beginning of each row; all by default.
    """
    if site != "embedding":
        whole(layer, "layer")
    slot = resolve(lm, site, None if site == "embedding" else layer)[0]
    vector = torch.from_numpy(finite(direction, "a direction") * finite(strength, "strength"))
    if vector.shape != (slot.width,):
        raise BraindecError(
            f"a direction in {site!r} of layer {layer} has {slot.width} values", found=f"shape {tuple(vector.shape)}"
        )
    with _changing(lm, [(slot, lambda old: old + _like(vector, old))], positions):
        yield lm


@contextmanager
def patch(
    lm: LanguageModel, values: Batch | Mapping[tuple[int, str], torch.Tensor], *, units: pd.DataFrame | None = None,
    positions: Sequence[int] | None = None,
) -> Iterator[LanguageModel]:  # fmt: skip
    """Put the values of another run in the place of this one's.

    Parameters
    ----------
    lm : LanguageModel
    values : Batch, or mapping of (layer, site) to tensor (batch, token, unit)
        From :func:`~braindec.llm.extract.iterate_activations` or :func:`~braindec.llm.sites.capture`; a batch of one
        goes into every row.
    units : DataFrame, optional
        Only these units (layer, site, index); all by default.
    positions : sequence of int, optional
        Only these tokens; the runs may then differ in length.

    Raises
    ------
    BraindecError
        If ``values`` lack a site, or the runs differ in shape.
    """
    given = _given(values)
    if units is None:
        changes = [
            (resolve(lm, site, None if site == "embedding" else layer)[0], _replacing(tensor, None, positions))
            for (layer, site), tensor in given.items()
        ]
    else:
        slots, columns = slots_of_units(lm, units)
        if absent := [slot.key for slot in slots if slot.key not in given]:
            raise BraindecError(f"there are no values of {absent[0]} to patch in", found=", ".join(map(str, given)))
        changes = [(slot, _replacing(given[slot.key], columns[slot.key][0], positions)) for slot in slots]
    with _changing(lm, changes, None):
        yield lm


@contextmanager
def combine(*contexts: AbstractContextManager) -> Iterator[None]:
    """Open several interventions at once, the first one outermost."""
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield


def _on_units(
    lm: LanguageModel, units: pd.DataFrame, change: Change, positions: Sequence[int] | None
) -> AbstractContextManager:
    slots, columns = slots_of_units(lm, unit_rows(units, twice=False))

    def changer(slot: Slot) -> Callable[[torch.Tensor], torch.Tensor]:
        index, rows = columns[slot.key]
        places = torch.from_numpy(index)

        def function(old: torch.Tensor) -> torch.Tensor:
            where = places.to(old.device)
            return old.index_copy(-1, where, change(old.index_select(-1, where), slot, rows))

        return function

    return _changing(lm, [(slot, changer(slot)) for slot in slots], positions)


@contextmanager
def _changing(
    lm: LanguageModel, changes: Sequence[tuple[Slot, Callable[[torch.Tensor], torch.Tensor]]],
    positions: Sequence[int] | None,
) -> Iterator[None]:  # fmt: skip
    """Replace what each slot holds by a function of it, at all tokens or at some."""
    for slot, _ in changes:
        if not slot.tap.writes:
            can = [s for s in sites_of(lm, max(slot.layer, 0)) if s not in ("resid_mid", "attn_pattern")]
            raise BraindecError(f"site {slot.site!r} can be read but not changed", allowed=", ".join(can))
    some = None if positions is None else _positions(positions)

    def watcher(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        def replaced(tensor: torch.Tensor) -> torch.Tensor:
            rows = tensor.flatten(2) if tensor.ndim > 3 else tensor
            new = function(rows)
            if some is not None:
                if rows.ndim != 3:
                    raise BraindecError("this model lays all tokens in one row: positions cannot be told apart")
                there = some[some < rows.shape[1]].to(rows.device)
                new = rows.index_copy(1, there, new.index_select(1, there))
            return new.reshape(tensor.shape).to(tensor.dtype)

        return replaced

    with watch(lm, [(slot.tap, watcher(function)) for slot, function in changes]):
        yield


def _replacing(
    source: torch.Tensor, index: np.ndarray | None, positions: Sequence[int] | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    some = None if positions is None else _positions(positions)

    def function(old: torch.Tensor) -> torch.Tensor:
        new = source.to(device=old.device, dtype=old.dtype).reshape(*source.shape[:2], -1)
        if new.shape[0] not in (1, old.shape[0]) or new.shape[2] != old.shape[2]:
            raise BraindecError(
                "the values to patch in are of another shape", found=f"{tuple(new.shape)} for {tuple(old.shape)}"
            )
        new = new.expand(old.shape[0], -1, -1)
        if some is None and new.shape[1] != old.shape[1]:
            raise BraindecError(
                "the two runs differ in length", found=f"{new.shape[1]} and {old.shape[1]} tokens",
                fix="say at which tokens: positions=[...]",
            )  # fmt: skip
        here = torch.arange(old.shape[1]) if some is None else some
        if some is not None and len(some) and int(some.max()) >= min(old.shape[1], new.shape[1]):
            raise BraindecError(
                f"there is no token {int(some.max())} in both runs", found=f"{new.shape[1]} and {old.shape[1]} tokens"
            )
        here = here.to(old.device)
        value = new.index_select(1, here)
        if index is not None:
            where = torch.from_numpy(index).to(old.device)
            value = old.index_select(1, here).index_copy(-1, where, value.index_select(-1, where))
        return old.index_copy(1, here, value)

    return function


def _given(values: Any) -> Mapping[tuple[int, str], torch.Tensor]:
    """Return what is to be patched in, checked."""
    given = values.values if isinstance(values, Batch) else values
    fine = isinstance(given, Mapping) and len(given) and all(isinstance(k, tuple) and len(k) == 2 for k in given)
    if not fine:
        raise BraindecError(
            "there are no values to patch in", found=type(values).__name__,
            allowed="a Batch of iterate_activations, or {(layer, site): values (batch, token, unit)}",
        )  # fmt: skip
    made = {key: torch.as_tensor(v) for key, v in given.items()}
    for (layer, site), tensor in made.items():
        if tensor.ndim < 3 or not bool(torch.isfinite(tensor).all()):
            raise BraindecError(
                f"values to patch into site {site!r} of layer {layer} must be finite, of shape (batch, token, unit)",
                found=f"shape {tuple(tensor.shape)}, {int((~torch.isfinite(tensor)).sum())} not finite",
            )
    return made


def _positions(positions: Sequence[int]) -> torch.Tensor:
    given = list(positions) if isinstance(positions, Iterable) and not isinstance(positions, str) else [positions]
    if not given:
        raise BraindecError(
            "no tokens were named", found="positions=[]", allowed="None for all, or e.g. positions=[0, 3]"
        )
    if wrong := [p for p in given if isinstance(p, bool) or not isinstance(p, (int, np.integer)) or p < 0]:
        raise BraindecError(
            "tokens are counted from the beginning of a row", found=repr(wrong[0]), allowed="whole numbers: 0, 1, ..."
        )
    return torch.as_tensor(sorted(set(map(int, given))), dtype=torch.long)


def _per_unit(units: pd.DataFrame, value: Any) -> torch.Tensor:
    """Return one number for each row of ``units``, float32."""
    units = unit_rows(units)
    if isinstance(value, Features):
        value = _means(units, value)
    numbers = torch.from_numpy(finite(value, "values of units"))
    if numbers.ndim == 0:
        return numbers.repeat(len(units))
    if numbers.shape != (len(units),):
        raise BraindecError(f"{len(units)} units need one value each", found=f"shape {tuple(numbers.shape)}")
    return numbers


def _means(units: pd.DataFrame, features: Features) -> np.ndarray:
    keys = ["layer", "site", "index"]
    have = pd.MultiIndex.from_frame(pd.DataFrame(features.units)[keys])
    place = have.get_indexer(pd.MultiIndex.from_frame(units[keys]))
    if (place < 0).any():
        absent = units[keys].iloc[int(np.flatnonzero(place < 0)[0])].to_dict()
        raise BraindecError(f"the features have no unit {absent}", found=f"{features.shape[1]} units")
    total = np.zeros(len(place))
    for start in range(0, features.shape[0], 256):
        total += features.load(slice(start, start + 256))[:, place].sum(axis=0, dtype=np.float64)
    return total / features.shape[0]


def _like(values: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return values.to(device=other.device, dtype=other.dtype)
