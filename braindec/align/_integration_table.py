"""From tests to a table of electrodes: best bins, effects, p over bins and event types, correction over electrodes, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from braindec.align._integration_fit import BlockSums, Models
from braindec.align._integration_test import correct, simes
from braindec.errors import BraindecError
from braindec.signal.electrodes import electrode_places
from braindec.types import Windows

__all__ = ["CONTROLLED", "correct_sites", "electrode_table", "region_table", "site_notes", "type_notes"]

CONTROLLED = "controlled"


def electrode_table(
    subject: str, windows: Windows, found: Mapping[str, Mapping[str, np.ndarray]], models: Models, times: np.ndarray, *, combine: str,
) -> pd.DataFrame:  # fmt: skip
    """One row an electrode of a subject; p is not yet corrected over electrodes.

    Parameters
    ----------
    found : mapping of event type to dict
        Of :func:`braindec.align._integration_test.site_tests`. Effects are those of the type with the smaller p.
    """
    channels, places = windows.channels, electrode_places(windows)
    n = len(channels)
    table = pd.DataFrame(
        {"subject": subject, "name": channels["name"], "region": channels["region"].fillna("n/a").astype(str)}
    )
    table[["x", "y", "z"]] = channels[["x", "y", "z"]].to_numpy(dtype=float)
    table["space"] = places.space or "n/a"
    unplaced = {*places.without, *places.outside}
    table["mapped"] = ~table["name"].isin(unplaced) & table[["x", "y", "z"]].notna().all(axis=1)
    p = np.stack([own["p"] for own in found.values()])
    best, rows = np.where(np.isfinite(p), p, np.inf).argmin(axis=0), np.arange(n)
    values = {k: np.stack([own[k] for own in found.values()])[best, rows] for k in next(iter(found.values()))}
    known = np.isfinite(values["bin"])
    table["best_type"] = np.where(known, np.array(list(found), dtype=object)[best], "n/a")
    table["best_time"] = np.where(known, times[np.nan_to_num(values.pop("bin")).astype(int)], np.nan)
    table["best_model"] = np.where(known, np.array(models.multimodal, dtype=object)[np.nan_to_num(values.pop("model")).astype(int)], "n/a")  # fmt: skip
    values |= {f"p_{kind}": own["p"] for kind, own in found.items()}
    values["p"] = _combined(p, combine)
    if "untrained_p" in values:
        values["untrained_p"] = _combined(np.stack([own["untrained_p"] for own in found.values()]), combine)
    return pd.concat([table, pd.DataFrame(values)], axis=1)


def _combined(p: np.ndarray, combine: str) -> np.ndarray:
    """p of electrodes over event types (type, electrode): Simes for "any", the largest for "all"."""
    return simes(p, axis=0) if combine == "any" else np.where(np.isfinite(p).all(axis=0), p.max(axis=0), np.nan)


def correct_sites(table: pd.DataFrame, *, correction: str = "bh", alpha: float = 0.05) -> pd.DataFrame:
    """Correct p over all electrodes of a table and call sites; also for tables of several subjects put together.

    Parameters
    ----------
    table : DataFrame
        With ``p`` and ``p_<type>`` of each electrode.
    correction : {"bh", "by"}
    alpha : float

    Returns
    -------
    DataFrame
        With ``q`` (and ``untrained_q``), ``is_site`` and ``agreement``: the event types at which a site holds by itself (p of the type corrected
        over electrodes), "both", or "together" where none does alone.
    """
    if "p" not in table:
        raise BraindecError("the table of electrodes has no p", found=", ".join(map(str, table.columns)))
    q = correct(table["p"].to_numpy(dtype=float), correction)
    is_site = np.nan_to_num(q, nan=1.0) <= alpha
    kinds = [c.removeprefix("p_") for c in table if str(c).startswith("p_")]
    alone = {
        k: np.nan_to_num(correct(table[f"p_{k}"].to_numpy(dtype=float), correction), nan=1.0) <= alpha for k in kinds
    }
    agreement = []
    for i in range(len(table)):
        own = [k for k in kinds if alone[k][i]]
        word = "both" if len(own) == len(kinds) > 1 else " and ".join(own) or "together"
        agreement.append(word if is_site[i] else "")
    if "untrained_p" in table:
        table = table.assign(untrained_q=correct(table["untrained_p"].to_numpy(dtype=float), correction))
    return table.assign(q=q, is_site=is_site, agreement=agreement)


def region_table(table: pd.DataFrame) -> pd.DataFrame:
    """Share of sites in each region: region, n, sites, share, the most sites first."""
    rows = table.groupby("region", sort=False)["is_site"].agg(n="size", sites="sum").reset_index()
    rows["share"] = rows["sites"] / rows["n"]
    return rows.sort_values(["share", "n"], ascending=False, ignore_index=True)[["region", "n", "sites", "share"]]


def type_notes(kind: str, found: Sequence[BlockSums], widenings: Sequence[tuple[float, float]]) -> list[str]:
    """How much film there is at events of a type, over subjects, and what the tests were widened by."""
    events, blocks = [int(f.counts.sum()) for f in found], [len(f.counts) for f in found]
    wide, rho = zip(*widenings, strict=True)
    said = [
        f"{kind.capitalize()} events: {_span(events)} in {_span(blocks)} blocks of film; variances of differences are widened by "
        f"{_span(wide, '.2f')} (folds that share training rows; neighbouring blocks correlate at {_span(rho, '.2f')})."
    ]  # fmt: skip
    unusable = sum(int((~f.usable).sum()) for f in found)
    if unusable:
        said.append(
            f"{kind.capitalize()} events: {unusable} electrodes x bins have a constant response and are no tests."
        )
    return said


def _span(values: Sequence[float], how: str = ",") -> str:
    low, high = format(min(values), how), format(max(values), how)
    return low if low == high else f"{low} to {high}"


def site_notes(table: pd.DataFrame, models: Models, correction: str, alpha: float, combine: str, gap: float, block: float) -> list[str]:  # fmt: skip
    """What was done, for a reader of the page."""
    name = {"bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}[correction]
    how = "of any type (Simes)" if combine == "any" else "of every type (the largest p)"
    said = [
        f"A site is an electrode where the multimodal model beats {_names(models.vision)} (vision), "
        f"{_names(models.language)} (language), all of them joined"
        + (", its randomly initialised twin" if any(m in models.random for m in models.multimodal) else "")
        + " and low-level features: the largest p of these comparisons (intersection-union), "
        f"at events {how}, corrected over {len(table)} electrodes ({name}, false discovery rate {alpha:g}).",
        f"Folds are contiguous in film time with a gap of {gap:g} s; units of the statistics are blocks of {block:g} s of film.",
        "p, r and differences of an electrode are read, fold by fold, in the bin where the multimodal model was furthest ahead in inner folds of "
        "the training events: choosing it does not make them larger. "
        "Low-level features and place in the film are regressed out of responses and features, fitted on training rows.",
    ]  # fmt: skip
    twins = [m for m in models.multimodal if m not in models.random]
    if twins:
        said.append(
            f"{_names(twins)}: no randomly initialised twin was given, so that training is not shown to matter."
        )
    if not models.nuisance:
        said.append(
            "No low-level features were given (word rate, luminance, sound envelope): only the place in the film is taken out."
        )
    said.append("A multimodal model that simply reads vision or language better than the unimodal candidates would also win: give strong "
                "candidates, and a pair of models that differ in supervision by language only (controlled).")  # fmt: skip
    return said


def _names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
