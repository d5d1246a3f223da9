"""Activations of a language model as :class:`~braindec.types.features.Features`: one row an item, one column a unit.

Texts are run in batches of similar length, padded on the right; the forward pass ends once the deepest site that was
asked for has been read; values are pooled as they appear, so that memory holds one batch. With ``path`` they go to
disk batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError, did_you_mean
from braindec.files import check_room, written_whole
from braindec.llm._check import unit_rows, whole
from braindec.llm._rows import (
    Row,
    batches,
    check_lengths,
    encode,
    not_finite,
    padded,
    text_rows,
    token_rows,
    word_rows,
)
from braindec.llm.sites import Slot, capture, resolve, run_until_read, units_of
from braindec.types.features import Features
from braindec.types.storage import hdf5, to_json, write_table

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["Batch", "constant_units", "extract", "iterate_activations"]

POOLS = ("last", "mean", "sum", "first", "word", "token")


@dataclass
class Batch:
    """Activations of a few rows.

    Parameters
    ----------
    rows : array of shape (batch,)
        Which of the texts these are.
    tokens : tensor of shape (batch, token)
    mask : tensor of bool, shape (batch, token)
        False where a row is padded (on the right); values there mean nothing.
    offsets : list of arrays (n_tokens, 2) or None
        Characters of each token.
    values : dict of (layer, site) to tensor (batch, token, unit), float32
    attention : dict of layer to tensor (batch, head, query, key), float32
        Zero where the query or the key is padding.
    """

    rows: np.ndarray
    tokens: torch.Tensor
    mask: torch.Tensor
    offsets: list[np.ndarray | None]
    values: dict[tuple[int, str], torch.Tensor] = field(default_factory=dict)
    attention: dict[int, torch.Tensor] = field(default_factory=dict)


def iterate_activations(
    lm: LanguageModel, texts: Sequence[Any], *, sites: str | Sequence[str] = ("resid_post",),
    layers: int | Sequence[int] | None = None, batch_size: int = 32, special_tokens: bool = False,
) -> Iterator[Batch]:  # fmt: skip
    """Run texts, or rows of token ids, and yield their activations batch by batch, long rows first.

    Parameters
    ----------
    lm : LanguageModel
    texts : sequence of str, or of sequences of int
    sites, layers
        See :mod:`braindec.llm.sites`; all layers by default. "attn_pattern" comes in ``Batch.attention``.
    batch_size : int
    special_tokens : bool
        Add the tokens that the tokenizer puts around texts.

    Yields
    ------
    Batch
        ``Batch.rows`` says which texts.
    """
    slots = resolve(lm, sites, layers)
    names = [str(k) for k in range(len(texts))]
    encoded = encode(lm, texts, names, special_tokens=special_tokens)
    rows = [Row(text.tokens, [(k, np.arange(0))]) for k, text in enumerate(encoded)]
    check_lengths(lm, rows, lambda item: names[item], pool="none", context=None)
    with capture(lm, slots, stop=True, change=lambda _, v: v.to(torch.float32, copy=True)) as seen:
        for chosen in batches(rows, batch_size):
            tokens, mask = padded(lm, [rows[k] for k in chosen])
            with torch.no_grad():
                run_until_read(lm, tokens, mask)
            shape = (*tokens.shape, -1)
            yield Batch(
                chosen, tokens, mask.bool(), [encoded[k].offsets for k in chosen],
                {key: v.reshape(shape) for key, v in seen.items() if key[1] != "attn_pattern"},
                {key[0]: v * mask[:, None, :, None] for key, v in seen.items() if key[1] == "attn_pattern"},
            )  # fmt: skip


def extract(
    lm: LanguageModel, texts: Any, *, sites: str | Sequence[str] = ("resid_post",),
    layers: int | Sequence[int] | None = None, pool: str = "last", ids: Sequence[Any] | None = None,
    context: int | None = None, batch_size: int = 32, path: str | Path | None = None, dtype: str = "float32",
    special_tokens: bool = False, units: pd.DataFrame | None = None,
) -> Features:  # fmt: skip
    """Read the activations of texts, words or tokens.

    Parameters
    ----------
    lm : LanguageModel
    texts : sequence of str, sequence of token ids, or words table
        A words table (:func:`~braindec.llm.words.words_table`) goes with ``pool="word"``; so does anything that
        ``words_table`` takes.
    sites, layers
        See :mod:`braindec.llm.sites`; all layers by default. The embedding has layer -1.
    pool : {"last", "mean", "sum", "first", "word", "token"}
        Over the tokens of a text: its last one, their mean or sum, or the first the model sees (special tokens are
        context otherwise). "word": one item a word, the mean over its tokens. "token": one item a token.
    ids : sequence, optional
        ``stimulus_id`` of each text; its number by default. For words and tokens, the text's part of it.
    context : int, optional
        For words and tokens: each is run by itself with that many preceding words (tokens) of its text, fewer at its
        beginning. None: the whole text is run, so each sees all that precedes it (and, in a bidirectional model, all
        that follows). Tokens are those of the whole text in either case.
    batch_size : int
        Rows that are run at once.
    path : str or Path, optional
        HDF5 file to write to; memory then holds one batch.
    dtype : {"float32", "float16"}
        How values are stored.
    special_tokens : bool
        Add the tokens that the tokenizer puts around texts.
    units : DataFrame, optional
        Rows (layer, site, index) to keep, in this order; ``sites`` and ``layers`` are then those of the table.

    Returns
    -------
    Features
        units: model, layer, site, index (and head for "head_out"; -1 elsewhere). items: stimulus_id, text or the
        columns of the words table. info has ``constant_units``, how many never change, and ``warnings``.

    Raises
    ------
    BraindecError
        If a text is empty or longer than the model can read, a word has no token, a site does not exist, or a value
        is not finite.
    """
    if pool not in POOLS:
        raise BraindecError(f"there is no pool {pool!r}{did_you_mean(pool, POOLS)}", allowed=", ".join(POOLS))
    if dtype not in ("float32", "float16"):
        raise BraindecError(f"values cannot be stored as {dtype!r}", allowed="float32, float16")
    if context is not None and (pool not in ("word", "token") or whole(context, "context", none=True) is None):
        raise BraindecError(
            f"context={context} does not go with pool={pool!r}",
            allowed="a number from 0 on, with pool='word' or 'token'",
        )
    slots, columns, table = _columns(lm, sites, layers, units)
    rows, items, warnings = _plan(lm, texts, pool=pool, ids=ids, context=context, special_tokens=special_tokens)
    place = "text_id" if pool in ("word", "token") and context is None else "stimulus_id"
    check_lengths(lm, rows, lambda item: items[place].iloc[item], pool=pool, context=context)
    info = {"model": lm.name, "pool": pool, "context": context, "special_tokens": special_tokens,
            "weights": str(next(lm.model.parameters()).dtype).removeprefix("torch."), "warnings": warnings}  # fmt: skip
    work = _pooled(lm, rows, slots, columns, mean=pool in ("mean", "word"), batch_size=batch_size)
    spread = _Spread(len(table))
    if path is None:
        values = np.empty((len(items), len(table)), dtype=dtype)
        for chosen, block in work:
            values[chosen] = spread.see(_as(block, dtype))
        return Features(values, items, table, {**info, **spread.told()})  # type: ignore[arg-type]
    _write(Path(path), work, spread, items, table, info, dtype)
    return Features.open(path)


def constant_units(features: Features) -> pd.DataFrame:
    """Return the units whose value is the same for all items, with that value: they can say nothing about items."""
    low = high = None
    for start in range(0, features.shape[0], 256):
        block = features.load(slice(start, start + 256))
        low = block.min(axis=0) if low is None else np.minimum(low, block.min(axis=0))
        high = block.max(axis=0) if high is None else np.maximum(high, block.max(axis=0))
    same = np.flatnonzero(low == high)
    return pd.DataFrame(features.units).iloc[same].assign(value=low[same])  # type: ignore[index]


class _Spread:
    """Smallest and largest value of each unit so far."""

    def __init__(self, n_units: int) -> None:
        self.low = np.full(n_units, np.inf, dtype=np.float32)
        self.high = -self.low

    def see(self, block: np.ndarray) -> np.ndarray:
        np.minimum(self.low, block.min(axis=0), out=self.low)
        np.maximum(self.high, block.max(axis=0), out=self.high)
        return block

    def told(self) -> dict[str, Any]:
        return {"constant_units": int((self.low == self.high).sum())}


def _columns(
    lm: LanguageModel, sites: Any, layers: Any, units: pd.DataFrame | None
) -> tuple[list[Slot], dict[tuple[int, str], tuple[Any, np.ndarray]], pd.DataFrame]:
    """Return the slots to read; for each, which units to keep and the columns they go to; and the units table."""
    if units is None:
        slots = resolve(lm, sites, layers)
        table = units_of(lm, slots)
        edges = np.cumsum([0] + [s.width for s in slots])
        columns: dict[tuple[int, str], tuple[Any, np.ndarray]] = {
            s.key: (None, np.arange(a, b)) for s, a, b in zip(slots, edges, edges[1:])
        }
    else:
        slots, columns = slots_of_units(lm, units)
        table = unit_rows(units).reset_index(drop=True).assign(model=lm.name)
    if any(slot.site == "attn_pattern" for slot in slots):
        raise BraindecError(
            "attention patterns are not units", fix="iterate_activations(lm, texts, sites='attn_pattern')"
        )
    return slots, columns, table


def slots_of_units(
    lm: LanguageModel, units: pd.DataFrame
) -> tuple[list[Slot], dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]]:
    """Return the slots of a units table; for each, the indices of its units and their rows in the table.

    Raises
    ------
    BraindecError
        If columns are missing, the table is empty, or an index is out of range.
    """
    units = unit_rows(units)
    slots, columns = [], {}
    places = units.reset_index(drop=True).groupby(["layer", "site"], sort=True).indices
    for (layer, site), rows in places.items():
        slot = resolve(lm, str(site), None if site == "embedding" else int(layer))[0]
        index = units["index"].to_numpy(dtype=int)[rows]
        if index.min() < 0 or index.max() >= slot.width:
            raise BraindecError(
                f"site {site!r} of layer {layer} of {lm.name} has no unit {index.max() if index.min() >= 0 else index.min()}",
                allowed=f"0 to {slot.width - 1}",
            )
        slots.append(slot)
        columns[slot.key] = (index, np.asarray(rows))
    return slots, columns


def _plan(
    lm: LanguageModel, texts: Any, *, pool: str, ids: Sequence[Any] | None, context: int | None, special_tokens: bool
) -> tuple[list[Row], pd.DataFrame, list[str]]:
    if pool == "word":
        if ids is not None and isinstance(texts, pd.DataFrame):
            raise BraindecError("a words table has its own ids", fix="leave out ids=")
        if ids is not None:
            texts = list(texts.values()) if isinstance(texts, Mapping) else list(texts)
            texts = dict(zip(_names(ids, len(texts)), texts, strict=True))
        return word_rows(lm, texts, context=context, special_tokens=special_tokens)
    if isinstance(texts, pd.DataFrame):
        raise BraindecError(f"a words table goes with pool='word', not {pool!r}")
    if isinstance(texts, str):
        raise BraindecError("texts must be several", found="one str", fix="[text]")
    if isinstance(texts, Mapping):
        ids, texts = (list(texts) if ids is None else ids), list(texts.values())
    if not isinstance(texts, Iterable) or isinstance(texts, (set, frozenset)):
        raise BraindecError("texts must stand in a list", found=type(texts).__name__, fix="[text, ...], in order")
    texts = list(texts)
    names = _names(range(len(texts)) if ids is None else ids, len(texts))
    encoded = encode(lm, texts, names, special_tokens=special_tokens)
    if pool == "token":
        return *token_rows(lm, encoded, context), []
    items = pd.DataFrame({"stimulus_id": names})
    if isinstance(texts[0], str):
        items["text"] = texts
    items["n_tokens"] = [int((~text.special).sum()) for text in encoded]
    return text_rows(encoded, pool), items, []


def _names(ids: Any, n: int) -> list[str]:
    """Return the ids of ``n`` texts as text; none may be missing or stand twice."""
    ids = list(ids)
    if len(ids) != n:
        raise BraindecError(f"{n} texts but {len(ids)} ids", fix="give one id a text")
    if any(pd.isna(i) for i in ids):
        raise BraindecError("some ids are missing", found=f"{sum(map(pd.isna, ids))} of {n}", fix="give one id a text")
    names = [str(i) for i in ids]
    if len(set(names)) < n:
        twice = sorted({i for i in names if names.count(i) > 1})
        raise BraindecError(
            "two texts have the same id", found=", ".join(map(repr, twice[:5])), fix="give each text an id of its own"
        )
    return names


def _pooled(
    lm: LanguageModel, rows: list[Row], slots: list[Slot],
    columns: dict[tuple[int, str], tuple[Any, np.ndarray]], *, mean: bool, batch_size: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Yield item numbers and their values (item, unit), batch by batch."""
    from tqdm import tqdm

    n_units = sum(len(c) for _, c in columns.values())
    now: dict[str, Any] = {}

    def pool(slot: Slot, values: torch.Tensor) -> bool:
        kept, place = columns[slot.key]
        values = values.reshape(*now["shape"], -1)[now["row"], now["token"]]  # (token of an item, unit)
        if kept is not None:
            values = values[:, torch.from_numpy(kept).to(values.device)]
        values = values.to(torch.float32)
        if now["item"] is not None:
            whole = values.new_zeros(now["n_items"], values.shape[1]).index_add_(0, now["item"], values)
            values = whole / now["count"][:, None] if mean else whole
        block = values.cpu().numpy()
        if not np.isfinite(block).all():
            raise not_finite(lm, f"values that are not finite in layer {slot.layer}, site {slot.site!r}")
        now["out"][:, place] = block
        return True

    todo = list(batches(rows, batch_size))
    with capture(lm, slots, stop=True, change=pool) as seen:
        for chosen in tqdm(todo, desc=f"{lm.name} activations", disable=None, leave=False):
            some = [rows[k] for k in chosen]
            tokens, mask = padded(lm, some)
            items = [item for row in some for item in row.items]
            sizes = [len(t) for _, t in items]
            owner = np.repeat(np.arange(len(some)), [sum(len(t) for _, t in row.items) for row in some])
            now.update(
                shape=tuple(tokens.shape), n_items=len(items),
                row=torch.from_numpy(owner).to(lm.device),
                token=torch.from_numpy(np.concatenate([t for _, t in items])).to(lm.device),
                out=np.empty((len(items), n_units), dtype=np.float32),
                item=torch.from_numpy(np.repeat(np.arange(len(items)), sizes)).to(lm.device) if max(sizes) > 1 else None,
                count=torch.tensor(sizes, dtype=torch.float32, device=lm.device),
            )  # fmt: skip
            with torch.no_grad():
                run_until_read(lm, tokens, mask)
            if len(seen) < len(slots):
                left = next(s for s in slots if s.key not in seen)
                raise BraindecError(f"site {left.site!r} of layer {left.layer} of {lm.name} was not reached")
            yield np.array([k for k, _ in items]), now["out"]


def _as(block: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "float16" and np.abs(block).max() > np.finfo(np.float16).max:
        raise BraindecError(
            "values are too large for float16",
            found=f"{np.abs(block).max():.3g}",
            fix="store them with dtype='float32'",
        )
    return block.astype(dtype, copy=False)


def _write(
    path: Path, work: Iterator[tuple[np.ndarray, np.ndarray]], spread: _Spread, items: pd.DataFrame,
    table: pd.DataFrame, info: dict[str, Any], dtype: str,
) -> None:  # fmt: skip
    """Write an HDF5 file that :meth:`Features.open` reads, in one piece or not at all."""
    shape = (len(items), len(table))
    with written_whole(path) as temporary, hdf5(temporary, "w") as file:
        check_room(temporary, np.dtype(dtype).itemsize * shape[0] * shape[1])
        values = file.create_dataset("values", shape=shape, dtype=dtype)
        for chosen, block in work:
            order = np.argsort(chosen)
            chosen, block = chosen[order], spread.see(_as(block[order], dtype))
            for run in np.split(np.arange(len(chosen)), np.flatnonzero(np.diff(chosen) > 1) + 1):
                values[chosen[run[0]] : chosen[run[-1]] + 1] = block[run]
        file.attrs.update(kind="features", info=to_json({**info, **spread.told()}))
        write_table(file, "items", items)
        write_table(file, "units", table)
