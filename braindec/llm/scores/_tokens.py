"""Activations of units over running text, extracted once and shared by the scores that need them.

The stimuli "texts" (a list of texts, a mapping, or a table with a column ``text``, whose rows of one ``text_id`` are joined)
are tokenised, put one after the other and cut into windows of equal length, so that every position within a context is
seen equally often. Options under "texts": ``length`` of a window (64 tokens), ``max_tokens`` (20,000), ``max_bytes`` kept in
memory before activations go to a temporary file (1 GB).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores._labelled import option

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["TokenSample", "per_unit", "sample_model", "text_list", "token_sample", "token_windows", "windows_of"]

_MIN_WINDOWS = 8
_MAX_BYTES = 1_000_000_000
_OPTIONS = {"length": 64, "max_tokens": 20_000, "max_bytes": _MAX_BYTES}


@dataclass(frozen=True)
class TokenSample:
    """Activations over windows of tokens.

    Parameters
    ----------
    model : str
    tokens : array of int, shape (window, position)
    values : mapping of (layer, site) to array (window * position, unit), float32
        Windows one after the other.
    """

    model: str
    tokens: np.ndarray
    values: Mapping[tuple[int, str], np.ndarray]
    folder: Any = field(default=None, repr=False)  # keeps the temporary files for as long as the sample is used

    def blocks(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """Yield layer, site and values (window * position, unit), in order."""
        for layer, site in sorted(self.values):
            yield layer, site, self.values[layer, site]


def text_list(stimuli: Any, *, name: str = "texts") -> list[str]:
    """Return stimuli as a list of texts.

    Raises
    ------
    BraindecError
        If they are something else or empty.
    """
    if isinstance(stimuli, pd.DataFrame):
        column = next((c for c in ("text", "word") if c in stimuli), None)
        if column is None:
            raise BraindecError(f"{name}: the table has no column text or word", found=", ".join(map(str, stimuli)))
        if "text_id" in stimuli:
            texts = [" ".join(map(str, part)) for _, part in stimuli.groupby("text_id", sort=False)[column]]
        else:
            texts = list(map(str, stimuli[column]))
    elif isinstance(stimuli, Mapping):
        texts = list(map(str, stimuli.values()))
    elif isinstance(stimuli, Sequence) and not isinstance(stimuli, str):
        texts = [" ".join(map(str, t)) if isinstance(t, (list, tuple)) else str(t) for t in stimuli]
    else:
        raise BraindecError(f"{name} must be texts", found=type(stimuli).__name__,
                            allowed="a list of texts, a mapping, a table with a column text")  # fmt: skip
    given = (
        stimuli[column]
        if isinstance(stimuli, pd.DataFrame)
        else stimuli.values()
        if isinstance(stimuli, Mapping)
        else stimuli
    )
    if odd := [t for t in given if not isinstance(t, (str, list, tuple))]:
        raise BraindecError(f"{name} holds something that is not text", found=repr(odd[0])[:60], fix="leave it out")
    if not any(t.strip() for t in texts):
        raise BraindecError(f"{name} holds no text")
    return texts


def token_windows(lm: LanguageModel, texts: Sequence[str], *, length: int = 64, max_tokens: int = 20_000) -> np.ndarray:
    """Return token numbers (window, position): the texts one after the other, cut into windows of equal length.

    Raises
    ------
    BraindecError
        If the texts are too short for eight windows of a few tokens.
    """
    length = min(length, lm.max_length)
    ids: list[int] = []
    for k, text in enumerate(texts):
        ids += lm.tokenizer(f" {text}" if k else text, add_special_tokens=False)["input_ids"]
        if len(ids) >= max_tokens:
            break
    ids = ids[:max_tokens]
    length = min(length, max(1, len(ids) // _MIN_WINDOWS))
    n = len(ids) // length
    if n < _MIN_WINDOWS or length < 4:
        raise BraindecError("the texts are too short to score units on", found=f"{len(ids)} tokens",
                            allowed=f"at least {_MIN_WINDOWS * 4}", fix="give more text as the stimuli 'texts'")  # fmt: skip
    return np.array(ids[: n * length], dtype=np.int64).reshape(n, length)


def sample_model(
    lm: LanguageModel, tokens: np.ndarray, *, sites: Sequence[str], layers: Sequence[int] | None = None,
    batch_size: int = 32, max_bytes: int = _MAX_BYTES,
) -> TokenSample:  # fmt: skip
    """Return the activations of a model over windows of tokens (window, position).

    Raises
    ------
    BraindecError
        If an activation is not finite.
    """
    from braindec.llm.extract import iterate_activations

    n, length = tokens.shape
    values: dict[tuple[int, str], np.ndarray] = {}
    folder: Any = None
    for batch in iterate_activations(lm, [list(map(int, t)) for t in tokens], sites=tuple(sites), layers=layers,
                                     batch_size=batch_size):  # fmt: skip
        rows = np.asarray(batch.rows)
        if not values:
            total = sum(4 * n * length * v.shape[-1] for v in batch.values.values())
            folder = tempfile.TemporaryDirectory(prefix="braindec-units-") if total > max_bytes else None
            values = {k: _empty(folder, k, (n, length, v.shape[-1])) for k, v in batch.values.items()}
        for key, found in batch.values.items():
            array = found.float().cpu().numpy()
            if not np.isfinite(array).all():
                raise BraindecError(f"activations of {lm.name} are not finite", found=f"layer {key[0]}, site {key[1]}")
            values[key][rows] = array
    flat = {k: v.reshape(n * length, v.shape[-1]) for k, v in values.items()}
    return TokenSample(lm.name, tokens, flat, folder)


def windows_of(probe: Probe) -> np.ndarray:
    """Return the token windows of the probe's stimuli "texts"."""
    options = option(probe, "texts", _OPTIONS)
    texts = text_list(probe.need("texts"))
    return token_windows(probe.model, texts, length=options["length"], max_tokens=options["max_tokens"])


def token_sample(probe: Probe) -> TokenSample:
    """Return the activations of the probe's model over its stimuli "texts"; extracted once."""

    def make() -> TokenSample:
        tokens = windows_of(probe)
        sites = [s for s in probe.sites if s != "attn_pattern"]
        return sample_model(probe.model, tokens, sites=sites, layers=probe.layers, batch_size=probe.batch_size,
                            max_bytes=option(probe, "texts", _OPTIONS)["max_bytes"])  # fmt: skip

    return probe.once("token sample", make)


def per_unit(probe: Probe, measure: Callable[[TokenSample, int, str, np.ndarray], Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table with the columns that ``measure(sample, layer, site, values)`` gives for each layer and site."""
    sample = token_sample(probe)
    tables = []
    for layer, site, values in sample.blocks():
        keys = {"model": sample.model, "layer": layer, "site": site, "index": np.arange(values.shape[1])}
        tables.append(pd.DataFrame({**keys, **measure(sample, layer, site, values)}))
    return pd.concat(tables, ignore_index=True)


def _empty(folder: Any, key: tuple[int, str], shape: tuple[int, ...]) -> np.ndarray:
    if folder is None:
        return np.empty(shape, dtype=np.float32)
    path = Path(folder.name) / f"{key[1]}-{key[0]}.npy"
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
