"""Contrast localizer: which units respond more to sentences than to lists of non-words (or to any condition than another).

Stimuli ``localizer``: a table with the columns text and condition, or a mapping condition -> list of texts. Options
(``probe.options["localizer"]``): ``conditions`` (first, second; default "sentence", "nonword"), ``pool`` ("last"), ``absolute``
(contrast ``|a|``, default False), ``percent`` (1.0) or ``k``, ``gate`` (level of the false discovery rate that a selected unit must
pass, default 0.05; None: no gate), ``match_tokens`` (False), ``path`` (HDF5 file for activations that do not fit in memory).

Columns: ``localizer`` Welch's t (no unit), ``_effect`` difference over the standard deviation, ``_p`` two-sided, ``_q`` its false
discovery rate over all units, ``_selected``, ``_odd`` and ``_even`` t of each half of the stimuli, ``_split_half`` their correlation
over units (one number for all rows: a property of the map, not of the unit).

Source: AlKhamissi, Tuckute, Bosselut & Schrimpf 2025 (NAACL, "The LLM language network"), after Fedorenko et al. 2010 (J
Neurophysiol 104:1177); t in :mod:`braindec.stats.contrast`.

Differs from the reference in: texts are never truncated (12 tokens there); signed activations unless ``absolute`` is asked for;
p-values gate the selection; a tie never makes the selection larger; reliability and token counts come with the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import distinct, groups_of, keys_of, labelled, option, pooled
from braindec.stats.contrast import Moments, Reliability, Selection, Welch, reliability_of, top_units, welch_t
from braindec.types import Features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braindec.llm.load import LanguageModel

_BLOCK = 64  # texts whose activations are looked at together
_FEWEST = 8  # matched texts a condition
_UNEVEN = 0.05  # difference in tokens, of their mean, above which length may pass for language
DEFAULTS: dict[str, Any] = {"conditions": ("sentence", "nonword"), "pool": "last", "absolute": False, "percent": 1.0, "k": None,
                            "gate": 0.05, "match_tokens": False, "path": None}  # fmt: skip

__all__ = ["score", "Localization", "evaluated_halves", "localize", "matched_tokens", "selected_by", "token_counts"]


@dataclass(frozen=True, eq=False)
class Localization:
    """What a localizer found.

    Parameters
    ----------
    units : DataFrame
        model, layer, site, index of each unit.
    welch : Welch
        The contrast of each unit, all stimuli.
    selection : Selection
        The units that are called selective.
    reliability : Reliability
        t of odd stimuli against t of even ones.
    features : Features
        Activations (text, unit), rows as in ``stimuli``.
    stimuli : DataFrame
        What was used: text, condition, n_tokens.
    notes : tuple of str
        What a reader must know: token counts, texts left out, units without variance.
    conditions : (str, str)
        Units that respond more to the first were looked for.
    """

    units: pd.DataFrame
    welch: Welch
    selection: Selection
    reliability: Reliability
    features: Features
    stimuli: pd.DataFrame
    notes: tuple[str, ...]
    conditions: tuple[str, str]

    @property
    def chosen(self) -> pd.DataFrame:
        """The selected units, as interventions take them."""
        return self.units.iloc[self.selection.rows].reset_index(drop=True)

    def table(self) -> pd.DataFrame:
        """One row a unit, in the columns of the score."""
        return self.units.assign(
            localizer=self.welch.t, localizer_effect=self.welch.effect, localizer_p=self.welch.p(),
            localizer_q=self.welch.q(), localizer_selected=self.selection.mask(len(self.units)),
            localizer_odd=self.reliability.odd, localizer_even=self.reliability.even,
            localizer_split_half=self.reliability.r,
        )  # fmt: skip


def localize(
    lm: LanguageModel, stimuli: Any, *, sites: Sequence[str] = ("mlp_act",), layers: Sequence[int] | None = None,
    conditions: Sequence[str] = ("sentence", "nonword"), pool: str = "last", absolute: bool = False,
    percent: float | None = 1.0, k: int | None = None, gate: float | None = 0.05, match_tokens: bool = False,
    batch_size: int = 32, path: str | Path | None = None, features: Features | None = None,
) -> Localization:  # fmt: skip
    """Contrast two conditions in every unit of a model.

    Parameters
    ----------
    lm : LanguageModel
    stimuli : DataFrame (text, condition) or mapping of condition to texts
        Texts of other conditions are not read.
    sites, layers
        Which units.
    conditions : (str, str)
        Units that respond more to the first are looked for.
    pool : {"last", "mean", "sum", "first"}
        Over the tokens of a text.
    absolute : bool
        Contrast ``|a|``: for sites whose sign means nothing.
    percent, k
        How many units are selected at most; ``k`` goes first.
    gate : float, optional
        Only units with q at most this (two-sided) and t above 0 may be selected.
    match_tokens : bool
        Leave out texts until both conditions have equally many of each number of tokens.
    batch_size : int
    path : str or Path, optional
        File for the activations.
    features : Features, optional
        Activations of ``stimuli`` in their order, if they are there already.

    Raises
    ------
    BraindecError
        If a condition has no texts, a text stands there twice (halves of the stimuli would share it), too few are left after
        matching, or a text is longer than the model can read.
    """
    table = _two_conditions(labelled(stimuli, label="condition", what="localizer"), conditions)
    table["n_tokens"] = token_counts(lm, table["text"].tolist())
    notes = []
    if match_tokens:
        kept = matched_tokens(table, conditions)
        notes.append(
            f"{len(table) - len(kept)} of {len(table)} texts are left out so that both conditions have the same numbers of tokens."
        )
        table, features = table.iloc[kept].reset_index(drop=True), features[kept] if features is not None else None
    if features is None:
        features = extract(
            lm, table["text"].tolist(), sites=sites, layers=layers, pool=pool, batch_size=batch_size, path=path
        )
    units = keys_of(features)
    halves = evaluated_halves(features, table["condition"].to_numpy(), conditions, absolute=absolute)
    welch = welch_t(*(Moments(absolute=absolute).merge(halves[c, 0]).merge(halves[c, 1]) for c in conditions))
    odd, even = (welch_t(*(halves[c, h] for c in conditions)).t for h in (0, 1))
    reliability = reliability_of(odd, even, groups=groups_of(units))
    chosen = selected_by(welch.t, welch.q(), percent=percent, k=k, gate=gate)
    notes += [_tokens_note(table, conditions), *_variance_note(welch)]
    return Localization(
        units, welch, chosen, reliability, features, table, tuple(notes), (conditions[0], conditions[1])
    )


def selected_by(
    t: np.ndarray, q: np.ndarray, *, percent: float | None, k: int | None, gate: float | None
) -> Selection:  # fmt: skip
    """Choose units with the largest t among those that pass the gate (q at most ``gate``, t above 0)."""
    known = np.nan_to_num(t, nan=-1.0) > 0
    allowed = known & (np.nan_to_num(q, nan=1.0) <= gate) if gate is not None else None
    return top_units(t, k=k, percent=None if k is not None else percent, allowed=allowed)


def evaluated_halves(
    features: Features, condition: np.ndarray, conditions: Sequence[str], *, absolute: bool
) -> dict[tuple[str, int], Moments]:
    """Moments of each condition in its odd (0) and even (1) texts, read block by block."""
    if min(int((condition == c).sum()) for c in conditions) < 4:
        raise BraindecError("a localizer needs at least 4 texts in each condition",
                            found=", ".join(f"{c}: {int((condition == c).sum())}" for c in conditions))  # fmt: skip
    half = np.zeros(len(condition), int)
    for c in conditions:
        half[condition == c] = np.arange(int((condition == c).sum())) % 2
    moments = {(c, h): Moments(absolute=absolute) for c in conditions for h in (0, 1)}
    for start in range(0, len(condition), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(condition)))
        block = features.load(rows)
        for (c, h), own in moments.items():
            own.add(block[(condition[rows] == c) & (half[rows] == h)])
    return moments


def token_counts(lm: LanguageModel, texts: Sequence[str]) -> list[int]:
    """Number of tokens of each text, special ones left out."""
    return [len(ids) for ids in lm.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def matched_tokens(table: pd.DataFrame, conditions: Sequence[str]) -> np.ndarray:
    """Rows to keep so that both conditions have equally many texts of each number of tokens; the first ones stay.

    Raises
    ------
    BraindecError
        If fewer than 8 texts a condition are left.
    """
    by = [table[table["condition"] == c].groupby("n_tokens").indices for c in conditions]
    rows = [table.index[(table["condition"] == c)].to_numpy() for c in conditions]
    kept = [
        r[group[n][: min(len(g[n]) for g in by)]]
        for r, group in zip(rows, by, strict=True)
        for n in set(by[0]) & set(by[1])
    ]
    found = np.sort(np.concatenate(kept)) if kept else np.zeros(0, int)
    if len(found) < 2 * _FEWEST:
        counts = [table.loc[table["condition"] == c, "n_tokens"] for c in conditions]
        raise BraindecError(
            f"only {len(found) // 2} texts a condition have the same number of tokens",
            found=", ".join(f"{c}: {n.min()} to {n.max()} tokens" for c, n in zip(conditions, counts, strict=True)),
            fix="use non-words that the tokenizer splits into as many tokens as the words, or pool='mean' without matching",
        )  # fmt: skip
    return found


def _two_conditions(table: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    there = set(table["condition"].astype(str))
    if len(conditions) != 2 or not set(conditions) <= there:
        raise BraindecError("a localizer contrasts two conditions that are in its stimuli", found=", ".join(sorted(there)),
                            allowed=" and ".join(map(repr, conditions)), fix=f"name them: conditions={tuple(sorted(there))[:2]}")  # fmt: skip
    return distinct(table[table["condition"].isin(list(conditions))].reset_index(drop=True), "localizer")


def _tokens_note(table: pd.DataFrame, conditions: Sequence[str]) -> str:
    means = [float(table.loc[table["condition"] == c, "n_tokens"].mean()) for c in conditions]
    gap = abs(means[0] - means[1]) / np.mean(means)
    text = " and ".join(f"{m:.1f} tokens a {c}" for m, c in zip(means, conditions, strict=True))
    if gap <= _UNEVEN:
        return f"The conditions are matched in length: {text} on average, none truncated."
    return (f"The conditions differ in length: {text} on average, none truncated. Units that follow the number of tokens, or how "
            "rare they are, may pass for selective: match_tokens=True leaves texts out until the numbers agree.")  # fmt: skip


def _variance_note(welch: Welch) -> list[str]:
    n = welch.n_undefined
    return (
        [f"{n} of {len(welch.t)} units never change in either condition: they have no t and are not selected."]
        if n
        else []
    )


def _score(probe: Probe) -> pd.DataFrame:
    given = option(probe, "localizer", DEFAULTS)
    features = None
    table = _two_conditions(labelled(probe.need("localizer"), label="condition", what="localizer"), given["conditions"])
    if given["path"] is None:
        features = pooled(probe, table["text"].tolist(), pool=given["pool"])
    return localize(
        probe.model,
        table,
        sites=probe.sites,
        layers=probe.layers,
        batch_size=probe.batch_size,
        features=features,
        **given,
    ).table()


score = UnitScore(
    "localizer", "1", "unit", ("localizer",), _score,
    "Welch's t of sentences against non-words", "AlKhamissi et al. 2025, Fedorenko et al. 2010",
)  # fmt: skip
