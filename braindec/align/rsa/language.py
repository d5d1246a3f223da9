"""Matrices of a language model's layers, of what needs no language, and of brain regions, over the same sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.rsa.rdm import RDMs, compute_rdm
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, Windows

__all__ = ["model_rdms", "nuisance_rdms", "region_rdms"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def model_rdms(
    features: Features,
    *,
    measure: str = "correlation",
    conditions: Sequence[Any] | None = None,
    standardise: bool = True,
) -> RDMs:
    """Return one matrix a layer (and site, where there are several), named in the column ``model``.

    Parameters
    ----------
    features : Features
        Units over items; the units table has ``layer`` and may have ``site``.
    measure : str
        A name of ``align.rsa.rdms``.
    conditions : sequence, optional
        Stimulus ids to keep, in this order; all by default.
    standardise : bool
        Give each unit mean 0 and standard deviation 1 over items first: a few units with huge values decide the geometry
        of a layer otherwise (Timkey & van Schijndel 2021, EMNLP). Units that never change are 0.
    """
    if not isinstance(features, Features) or "layer" not in features.units:
        found = (
            f"columns {', '.join(map(str, features.units))}"
            if isinstance(features, Features)
            else type(features).__name__
        )
        raise BraindecError("matrices of layers need Features whose units name their layer", found=found, fix="braindec.llm.extract")  # fmt: skip
    values, units = features.load(), features.units.reset_index(drop=True)
    if (bad := ~np.isfinite(values)).any() or units["layer"].isna().any():
        raise BraindecError("units of a model need a layer and finite values", found=f"{int(bad.sum())} values that are not finite in {int(bad.any(axis=0).sum())} units, "
                            f"{int(units['layer'].isna().sum())} units without a layer")  # fmt: skip
    if standardise:
        spread = values.std(axis=0)
        values = (values - values.mean(axis=0)) / np.where(
            spread > 1e-8 * max(1.0, float(np.abs(values).max())), spread, np.inf
        )
    ids = features.items["stimulus_id"].astype(str).to_numpy()
    several = "site" in units and units["site"].nunique() > 1
    keys = ["layer", "site"] if several else ["layer"]
    parts = []
    for key, rows in units.groupby(keys, sort=True).groups.items():
        named = dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True))
        name = f"layer {named['layer']}" + (f" {named['site']}" if several else "")
        parts.append(
            compute_rdm(
                values[:, np.asarray(rows)],
                measure=measure,
                conditions=ids,
                table={"model": name, "layer": named["layer"]},
            )
        )
    found = RDMs.concat(parts)
    return found if conditions is None else found.subset(conditions)


def nuisance_rdms(
    items: pd.DataFrame, text: str = "text", conditions: Sequence[Any] | None = None, *, group: str | None = None
) -> RDMs:
    """Return matrices of what needs no language: length, letters, place in the passage, and the passage itself.

    Items of one passage are read one after the other, so that slow noise makes their responses alike: a geometry that
    knows nothing but "same passage or not" is shared by all subjects, and raises their noise ceiling.

    Parameters
    ----------
    items : DataFrame
        One row an item: ``stimulus_id``, the text, and, if known, ``position``.
    text : str
        Column of the text.
    conditions : sequence, optional
        Stimulus ids to keep, in this order; all by default.
    group : str, optional
        Column of the passage.

    Returns
    -------
    RDMs
        Squared distances: "length" of standardised numbers of words and letters, "letters" of the shares of letters,
        "position" of ``position``, "passage" (0 within, 1 between); what does not vary is left out.
    """
    _check_items(items, text, group)
    texts = items[text].astype(str)
    words, lower = texts.str.split().str.len().to_numpy(dtype=float), texts.str.lower()
    shares = np.stack([lower.str.count(letter).to_numpy(dtype=float) for letter in _LETTERS], axis=1)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    bands = {"length": np.column_stack([words, texts.str.len()]), "letters": shares}
    if "position" in items and pd.api.types.is_numeric_dtype(items["position"]):
        bands["position"] = items[["position"]].to_numpy(dtype=float)
    if group is not None and group in items and 1 < items[group].nunique() < len(items):
        bands["passage"] = pd.get_dummies(items[group].astype(str)).to_numpy(dtype=float)
    ids = items["stimulus_id"].astype(str).to_numpy()
    parts = []
    for name, values in bands.items():
        spread = values.std(axis=0)
        spread[spread <= 1e-12 * (1 + np.abs(values).max(axis=0))] = 0.0  # rounding
        if (spread > 0).any():
            scaled = (values - values.mean(axis=0))[:, spread > 0] / (
                1.0 if name in ("letters", "passage") else spread[spread > 0]
            )
            parts.append(compute_rdm(scaled, measure="squared_euclidean", conditions=ids, table={"model": name}))
    if not parts:
        raise BraindecError(
            "nothing varies between the items that needs no language",
            found=f"{len(items)} items, {texts.nunique()} texts",
        )
    found = RDMs.concat(parts)
    return found if conditions is None else found.subset(conditions)


def _check_items(items: pd.DataFrame, text: str, group: str | None) -> None:
    """Refuse items without text, id or the column of the passage, and missing cells in these."""
    if not isinstance(items, pd.DataFrame):
        raise BraindecError("items are a table", found=type(items).__name__, allowed="a DataFrame with stimulus_id and a text")  # fmt: skip
    for column in ("stimulus_id", text, *([group] if group is not None else [])):
        if column not in items:
            raise BraindecError(f"the items have no column {column!r}{did_you_mean(str(column), map(str, items.columns))}",
                                allowed=", ".join(map(str, items.columns)))  # fmt: skip
    for column in ("stimulus_id", text, *([group] if group is not None else []), *(["position"] if "position" in items else [])):  # fmt: skip
        gaps = items[column].isna()
        if gaps.any() and not gaps.all():
            raise BraindecError(f"{int(gaps.sum())} of {len(items)} items have no {column}", found=f"e.g. row {int(np.flatnonzero(gaps)[0])}")  # fmt: skip


def region_rdms(
    brains: Sequence[Windows], stimuli: Sequence[Any], *, column: str = "region", measure: str = "correlation"
) -> RDMs:
    """Return one matrix a subject and region; responses are averaged over time and repetitions.

    Parameters
    ----------
    brains : sequence of Windows
        One a subject; trials have ``stimulus_id``.
    stimuli : sequence
        Ids in the order wanted. Those that some subject lacks are left out (``info["left_out"]`` counts them).
    column : str
        Column of the channel table that names regions; "n/a" is left out, unless no channel has a name: then all are one region.
    measure : str
        A name of ``align.rsa.rdms``.

    Raises
    ------
    BraindecError
        If the column is not there, or subjects share fewer than 5 stimuli.
    """
    if not isinstance(brains, Sequence) or not len(brains) or not all(isinstance(b, Windows) for b in brains):
        raise BraindecError("brains are a list of Windows, one a subject", found=type(brains).__name__ if not isinstance(brains, Sequence) else
                            ", ".join(type(b).__name__ for b in brains) or "none")  # fmt: skip
    if stimuli is None or isinstance(stimuli, str):
        raise BraindecError("stimuli are the ids wanted, in order", found=repr(stimuli))
    wanted = [str(s) for s in stimuli]
    seen = [set(b.trials["stimulus_id"].astype(str)) for b in brains]
    kept = [s for s in dict.fromkeys(wanted) if all(s in one for one in seen)]
    if len(kept) < 5:
        raise BraindecError("subjects share too few stimuli for a geometry", found=f"{len(kept)} of {len(set(wanted))} seen by all {len(seen)}",
                            allowed="at least 5")  # fmt: skip
    parts = []
    for brain in brains:
        channels = brain.channels
        if column not in channels:
            raise BraindecError(
                f"regions: the channels have no column {column!r}", allowed=", ".join(map(str, channels))
            )
        ids = brain.trials["stimulus_id"].astype(str).to_numpy()
        rows = np.flatnonzero(np.isin(ids, kept))
        values = brain.load(rows).mean(axis=2)  # (trial, channel)
        subject = str(brain.trials["subject"].iloc[0])
        names = channels[column].astype(str)
        named = {name: (names == name).to_numpy() for name in dict.fromkeys(names) if name not in ("", "n/a", "nan")}
        for region, mine in (named or {"all channels": np.ones(len(names), dtype=bool)}).items():
            found = compute_rdm(
                values[:, mine], measure=measure, conditions=ids[rows], table={"subject": subject, "region": region}
            )
            parts.append(found.subset(kept))
    found = RDMs.concat(parts)
    found.info["left_out"] = len(set(wanted)) - len(kept)  # type: ignore[index]
    return found
