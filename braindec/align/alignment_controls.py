"""Controls of an alignment: what neighbourhood, position, length and pace explain, untrained networks, random units.

A score of a language model says something about language when it beats what needs none: place in the passage, number of
words and letters, the pace of words (nuisance), neighbourhood in time (OASM), the same network before training, and as many
units taken at random.

Source: Feghhi et al. 2024 (arXiv:2406.01538), Hadidi et al. 2025 (bioRxiv 2025.03.09.642245) for OASM and the simple model,
which accounts for untrained networks on Pereira 2018, Fedorenko 2016 and Blank 2014; AlKhamissi et al. 2025 (NAACL) for random units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.baselines import oasm_band, position_band
from braindec.errors import BraindecError
from braindec.stats.asked import whole
from braindec.types import Features

__all__ = ["nuisance_bands", "oasm_features", "random_sets", "untrained_list"]

_TEXT = ("text", "sentence", "word", "stimulus")
_NUMBERS = ("n_words", "n_tokens", "n_letters", "length", "word_rate", "duration", "log_frequency", "frequency")
_OASM_ROWS = 3000


def nuisance_bands(
    rows: pd.DataFrame, *, groups: np.ndarray | None = None, runs: np.ndarray | None = None, extra: Any = None
) -> dict[str, np.ndarray]:
    """Describe items by what needs no language.

    Parameters
    ----------
    rows : DataFrame
        One row an item, in order.
    groups : array of shape (n,), optional
        Passage or story of each row.
    runs : array of shape (n,), optional
    extra : mapping of str to array of shape (n, p), or Features, optional
        More bands (word rate, frequency, surprisal, static embeddings, ...).

    Returns
    -------
    dict of str to array of shape (n, p)
        "position" (place in the group and in the run), "length" (words, letters, letters a word, where there is a text),
        "numbers" (columns of the table such as n_words, duration, log_frequency), and the bands of ``extra``; bands that never
        change are left out.
    """
    if not isinstance(rows, pd.DataFrame) or not len(rows):
        raise BraindecError("nuisance is described for a table of items", found=type(rows).__name__, allowed="a DataFrame with a row an item")  # fmt: skip
    n = len(rows)
    for name, labels in (("groups", groups), ("runs", runs)):
        if labels is not None and len(labels) != n:
            raise BraindecError(f"{name} need one label an item", found=f"{len(labels)} labels for {n} items")
    if extra is not None and not isinstance(extra, (Mapping, Features)):
        raise BraindecError("nuisance bands are named", found=type(extra).__name__, allowed='{"name": array of (n_items, p)}, or Features')  # fmt: skip
    bands: dict[str, np.ndarray] = {"position": _position(n, groups, runs)}
    text = next((c for c in _TEXT if c in rows and _is_text(rows[c])), None)
    if text is not None:
        bands["length"] = _length(rows[text].astype(str))
    found = [c for c in _NUMBERS if c in rows and pd.api.types.is_numeric_dtype(rows[c]) and rows[c].notna().all()]
    if found:
        bands["numbers"] = rows[found].to_numpy(dtype=float)
    if (
        "onset" in rows
        and runs is None
        and pd.api.types.is_numeric_dtype(rows["onset"])
        and rows["onset"].is_monotonic_increasing
    ):
        gaps = np.diff(rows["onset"].to_numpy(dtype=float), append=np.nan)
        gaps[-1] = gaps[-2] if n > 1 else 0.0
        bands["pace"] = np.clip(gaps, 0, 5 * np.median(gaps) + 1e-9)[:, None]
    if isinstance(extra, Features):
        bands["given"] = extra.of(rows["stimulus_id"].tolist())
    elif extra is not None:
        for name, values in dict(extra).items():
            values = (
                values.of(rows["stimulus_id"].tolist()) if isinstance(values, Features) else _numeric(str(name), values)
            )
            bands[str(name)] = values.reshape(len(values), -1)
    checked = {name: _checked(name, values, n) for name, values in bands.items()}
    return {name: values for name, values in checked.items() if np.ptp(values, axis=0).any()}


def oasm_features(n: int, *, runs: np.ndarray | None = None, sigma: float = 2.0) -> np.ndarray | None:
    """Neighbourhood in time (OASM), or None for so many rows that the matrix would not fit."""
    return None if n > _OASM_ROWS else oasm_band(n, blocks=runs, sigma=sigma)


def untrained_list(untrained: Any, names: Sequence[str]) -> dict[str, list[Features]]:
    """The untrained networks of each model.

    Parameters
    ----------
    untrained : mapping of str to sequence of Features, or sequence of Features (when there is one model), or None

    Raises
    ------
    BraindecError
        If a name is unknown, or several models share one list.
    """
    if untrained is None:
        return {name: [] for name in names}
    if not isinstance(untrained, Mapping):
        if len(names) > 1:
            raise BraindecError("which model are these untrained networks of?", found=f"{len(names)} models",
                                fix='untrained={"model": [features of seed 0, ...]}')  # fmt: skip
        untrained = {names[0]: untrained}
    unknown = [n for n in untrained if n not in names]
    if unknown:
        raise BraindecError(f"untrained networks of an unknown model {unknown[0]!r}", allowed=", ".join(names))
    found = {name: untrained.get(name) for name in names}
    for name, seeds in found.items():
        if seeds is None:
            continue
        kinds = [type(s).__name__ for s in seeds if not isinstance(s, Features)] if isinstance(seeds, Sequence) else [type(seeds).__name__]  # fmt: skip
        if isinstance(seeds, str) or kinds:
            raise BraindecError(f"untrained networks of {name!r} are a list of Features, one a seed", found=kinds[0] if kinds else "a text",
                                fix="[extract(untrained(lm, seed), texts) for seed in range(5)]")  # fmt: skip
    return {name: list(seeds or []) for name, seeds in found.items()}


def random_sets(
    units: pd.DataFrame, chosen: np.ndarray, *, n_sets: int, rng: np.random.Generator, whole_layer: bool = False
) -> list[np.ndarray]:
    """Sets of units to compare a set with.

    Parameters
    ----------
    units : DataFrame
        All units.
    chosen : array of int
        Numbers of the set's units.
    n_sets : int
    rng : Generator
    whole_layer : bool
        The set is a layer: sets are drawn from all layers, as no others of that layer are left. Otherwise each set has
        as many units of each layer (and site) as the set itself.

    Returns
    -------
    list of array of int
        Empty where there is nothing else to draw from. Units of the set itself may be drawn, as in any permutation test: sets
        from the rest of the units are no null, because a set that holds much by chance leaves less for the others, and p-values of a
        choice at random are then too often near 0 and near 1.
    """
    found = np.asarray(chosen if chosen is not None else [np.nan])
    if not isinstance(units, pd.DataFrame) or (
        found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= len(units))
    ):
        raise BraindecError("a set of units is given by their numbers in the units table", found=repr(chosen)[:60], allowed="0, 1, 2, ...")  # fmt: skip
    if not isinstance(rng, np.random.Generator):
        raise BraindecError(f"rng={rng!r} is no source of chance", fix="np.random.default_rng(seed)")
    whole(n_sets, "n_sets")
    chosen = np.unique(found.astype(int))
    if len(chosen) >= len(units):
        return []
    if whole_layer:
        return [np.sort(rng.permutation(len(units))[: len(chosen)]) for _ in range(n_sets)]
    match = [c for c in ("layer", "site") if c in units]
    stratum = (
        units.groupby(match, sort=False, dropna=False).ngroup().to_numpy() if match else np.zeros(len(units), dtype=int)
    )
    wanted = np.bincount(stratum[chosen], minlength=int(stratum.max()) + 1)
    pools = {k: np.flatnonzero(stratum == k) for k in np.flatnonzero(wanted)}
    if all(len(pool) == wanted[k] for k, pool in pools.items()):
        return []
    return [
        np.sort(np.concatenate([rng.permutation(pool)[: wanted[k]] for k, pool in pools.items()]))
        for _ in range(n_sets)
    ]


def _position(n: int, groups: np.ndarray | None, runs: np.ndarray | None) -> np.ndarray:
    """Legendre polynomials of the place in the run, and of the place and its inverse in the group."""
    parts = [position_band(n, runs=runs, degree=3)]
    if groups is not None and len(set(np.asarray(groups).tolist())) > 1:
        labels = np.asarray(groups).astype(str)
        place = pd.Series(np.arange(n)).groupby(labels).cumcount().to_numpy(dtype=float)
        if place.max() > 0:
            parts.append(np.stack([place, place**2, 1 / (1 + place), place == 0], axis=1))
    return np.concatenate([p for p in parts if np.ptp(p, axis=0).any()] or [np.zeros((n, 1))], axis=1)


def _length(texts: pd.Series) -> np.ndarray:
    words = texts.map(lambda t: len(t.split())).to_numpy(dtype=float)
    letters = texts.str.len().to_numpy(dtype=float)
    return np.stack([words, letters, letters / np.maximum(words, 1)], axis=1)


def _is_text(column: pd.Series) -> bool:
    kept = column.dropna()
    return len(kept) == len(column) > 0 and all(isinstance(v, str) for v in kept)


def _numeric(name: str, values: Any) -> np.ndarray:
    """A band as float, (n,) or (n, p)."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub" or found.ndim not in (1, 2):
        raise BraindecError(f"the nuisance band {name!r} is no table of numbers", found=f"{found.dtype} of shape {found.shape}",
                            allowed="(n_items,) or (n_items, p)")  # fmt: skip
    return found.astype(float)


def _checked(name: str, values: np.ndarray, n: int) -> np.ndarray:
    if len(values) != n:
        raise BraindecError(
            f"the nuisance band {name!r} does not fit the items", found=f"{len(values)} rows for {n} items"
        )
    if not np.isfinite(values).all():
        raise BraindecError(
            f"the nuisance band {name!r} holds values that are not finite",
            found=f"{int((~np.isfinite(values)).sum())} values",
        )
    return values
