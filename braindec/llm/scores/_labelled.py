"""Texts with a label each, as scores of contrasts and concepts take them; activations pooled once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.llm.extract import extract
from braindec.llm.score import Probe
from braindec.types import Features

__all__ = ["distinct", "labelled", "option", "pooled"]


def labelled(stimuli: Any, *, label: str, what: str) -> pd.DataFrame:
    """Return texts as a table with the columns text and ``label``, whatever form they came in.

    Parameters
    ----------
    stimuli : DataFrame, or mapping of label to list of str
        A table needs the columns text and ``label``; its other columns stay.
    label : str
    what : str
        Name of the stimuli, for messages.

    Raises
    ------
    BraindecError
        If it is neither, columns are missing, or a label or text is.
    """
    if isinstance(stimuli, Mapping):
        table = pd.DataFrame([(t, str(k)) for k, texts in stimuli.items() for t in texts], columns=["text", label])
    elif isinstance(stimuli, pd.DataFrame):
        table = stimuli.reset_index(drop=True)
    else:
        raise BraindecError(f"the stimuli {what!r} are neither a table nor a mapping", found=type(stimuli).__name__,
                            allowed=f"DataFrame with the columns text and {label}, or {{{label}: [text, ...]}}")  # fmt: skip
    if missing := [c for c in ("text", label) if c not in table]:
        raise BraindecError(f"the stimuli {what!r} have no column {', '.join(missing)}{did_you_mean(missing[0], map(str, table))}",
                            found=", ".join(map(str, table)))  # fmt: skip
    if len(table) == 0 or table[["text", label]].isna().any().any():
        raise BraindecError(f"the stimuli {what!r} have rows without a text or {label}", found=f"{len(table)} rows")
    return table


def distinct(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the table if no text stands in it twice: a model answers the same text with the same numbers.

    Raises
    ------
    BraindecError
        If one does: rows would not be independent, and halves of the stimuli would share texts.
    """
    twice = table["text"].duplicated()
    if twice.any():
        raise BraindecError(f"{int(twice.sum())} texts of the stimuli {what!r} stand there before",
                            found=repr(str(table["text"][twice].iloc[0])[:60]), fix="keep one of each: stimuli.drop_duplicates('text')")  # fmt: skip
    return table


def pooled(probe: Probe, texts: list[str], *, pool: str, sites: tuple[str, ...] | None = None) -> Features:
    """Return activations of texts, extracted once for all scores that ask for the same."""
    sites = tuple(probe.sites) if sites is None else sites
    layers = None if probe.layers is None else tuple(probe.layers)
    return probe.once(
        ("pooled", pool, sites, layers, tuple(texts)),
        lambda: extract(probe.model, texts, sites=sites, layers=layers, pool=pool, batch_size=probe.batch_size),
    )


def option(probe: Probe, score: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a score, defaults filled in.

    Raises
    ------
    BraindecError
        If one is unknown.
    """
    given = probe.options.get(score, {})
    if unknown := [k for k in given if k not in defaults]:
        raise BraindecError(
            f"the score {score} has no option {unknown[0]!r}{did_you_mean(unknown[0], defaults)}",
            allowed=", ".join(defaults),
        )
    return {**defaults, **given}


def keys_of(features: Features) -> pd.DataFrame:
    """The columns that name units, one row a unit."""
    assert features.units is not None
    return features.units[["model", "layer", "site", "index"]].reset_index(drop=True)


def groups_of(units: pd.DataFrame) -> np.ndarray:
    """Number of the layer and site of each unit, shape (n_units,)."""
    return units.groupby(["layer", "site"], sort=True).ngroup().to_numpy()
