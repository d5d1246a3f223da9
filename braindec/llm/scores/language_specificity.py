"""Language-specific, language-related and language-agnostic units.

Stimuli ``languages``: mapping of language to list of texts; ``languages_prefix``, optional: the part of each text that is the same
instruction everywhere, whose tokens are not counted. Options: ``top`` (share of units, default 0.1), ``active`` (share of all rates
below the threshold, default 0.95), ``weight`` (lambda; found by bisection by default).

A unit with activation rates p over K languages has the score ``H / log K - lambda max(p) / (H_K / K)``: H is the entropy of p made to
add up to 1, H_K the K-th harmonic number (H_K / K is the mean largest part of a stick broken at random into K). The units with the
lowest score are selected; lambda is the largest with which no selected unit is above the threshold in all languages. A selected unit
is *specific* when it exceeds the threshold in one language, *related* when in some but not all; any unit above it in all is *agnostic*.

Columns: ``language_specificity`` the score (lower: more specific; no unit), ``_selected``, ``_kind`` ("specific", "related", "agnostic",
"" for all others), ``_languages`` (names, "+" between them), ``_weight`` (lambda, one number for all).

Source: Zhang et al. 2026 (AAAI, "How does alignment enhance LLMs' multilingual capabilities? A language neurons perspective"),
after Tang et al. 2024 (ACL).

Differs from the reference in: the bisection is of any number of languages (10 there) and widens its range until a selected unit is
in all languages; a unit that is never active has no score instead of that of uniform rates; agnostic units are named from the same
threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._active import active_counts, entropy_of, kth_smallest, languages_of, rates
from braindec.llm.scores._labelled import option
from braindec.stats.contrast import top_units

_PRECISION = 1e-4  # of lambda
_LARGEST = 64.0
DEFAULTS: dict[str, Any] = {"top": 0.1, "active": 0.95, "weight": None}

__all__ = ["score", "Specificity", "language_specificity"]


@dataclass(frozen=True, eq=False)
class Specificity:
    """How specific units are to languages.

    Parameters
    ----------
    score : array of shape (n_units,)
        Lower is more specific; NaN where a unit is never active.
    weight : float
        Lambda.
    selected : array of bool, shape (n_units,)
    languages : array of bool, shape (n_units, n_languages)
        Above the threshold.
    kind : array of str, shape (n_units,)
    """

    score: np.ndarray
    weight: float
    selected: np.ndarray
    languages: np.ndarray
    kind: np.ndarray


def language_specificity(
    p: np.ndarray, *, top: float = 0.1, active: float = 0.95, weight: float | None = None
) -> Specificity:
    """Score units from their activation rates.

    Parameters
    ----------
    p : array of shape (n_units, n_languages)
        Rates between 0 and 1.
    top : float
        Share of all units to select.
    active : float
        The threshold is at this share of all rates in rising order.
    weight : float, optional
        Lambda; the largest that selects no unit of all languages by default.

    Raises
    ------
    BraindecError
        If rates are out of range, or every lambda, 0 included, selects a unit of all languages.
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2 or p.min() < 0 or p.max() > 1 or not (0 < top <= 1 and 0 < active <= 1):
        raise BraindecError("rates are (unit, language) from 0 to 1, of 2 languages or more; shares lie between 0 and 1",
                            found=f"shape {p.shape}, top={top}, active={active}")  # fmt: skip
    n_languages = p.shape[1]
    even, largest = entropy_of(p) / np.log(n_languages), p.max(axis=1)
    expected = np.sum(1 / np.arange(1, n_languages + 1)) / n_languages
    above = p > kth_smallest(p, active)
    k = max(round(top * len(p)), 1)

    def chosen(lam: float) -> np.ndarray:
        return top_units(lam * largest / expected - even, k=k).mask(len(p))

    def fits(lam: float) -> bool:
        return not above[chosen(lam)].all(axis=1).any()

    if weight is None:
        weight = _bisect(fits)
    mask, n_above = chosen(weight), above.sum(axis=1)
    kind = np.where(
        n_above == n_languages,
        "agnostic",
        np.where(~mask | (n_above == 0), "", np.where(n_above == 1, "specific", "related")),
    )
    return Specificity(even - weight * largest / expected, float(weight), mask, above, kind)


def _bisect(fits: Any) -> float:
    """The largest weight that fits, to four digits; a unit of all languages is selected beyond it."""
    if not fits(0.0):
        raise BraindecError("units of all languages are among those with the lowest entropy",
                            fix="select fewer (top), or raise the threshold (active)")  # fmt: skip
    low, high = 0.0, 0.2
    while fits(high):
        low, high = high, 2 * high
        if high > _LARGEST:  # no unit is above the threshold in all languages
            return low
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _score(probe: Probe) -> pd.DataFrame:
    languages = languages_of(probe.need("languages"))
    units, over_zero, n_tokens = active_counts(probe, languages)
    prefix = probe.stimuli.get("languages_prefix")
    if prefix is not None:
        over_zero, n_tokens = _without(probe, languages, prefix, over_zero, n_tokens)
    found = language_specificity(rates(over_zero, n_tokens), **option(probe, "language_specificity", DEFAULTS))
    names = np.array(list(languages), dtype=object)
    return units.assign(
        language_specificity=found.score, language_specificity_selected=found.selected, language_specificity_kind=found.kind,
        language_specificity_languages=["+".join(names[row]) for row in found.languages],
        language_specificity_weight=found.weight,
    )  # fmt: skip


def _without(
    probe: Probe, languages: Mapping[str, list[str]], prefix: Any, over_zero: np.ndarray, n_tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take the tokens of the common beginnings out of the counts."""
    given = languages_of(prefix)
    if set(given) != set(languages) or any(len(given[k]) != len(v) for k, v in languages.items()):
        raise BraindecError(
            "languages_prefix needs one beginning for each text of each language", found=", ".join(given)
        )
    for name, texts in languages.items():
        if wrong := [t for t, start in zip(texts, given[name], strict=True) if not t.startswith(start) or t == start]:
            raise BraindecError(f"a text of {name!r} does not go on from its prefix", found=repr(wrong[0][:60]))
    _, less, fewer = active_counts(probe, {k: given[k] for k in languages})
    return np.maximum(over_zero - less, 0), n_tokens - fewer


score = UnitScore(
    "language_specificity", "1", "unit", ("languages",), _score,
    "entropy over languages minus the largest rate: low where specific", "Zhang et al. 2026, Tang et al. 2024",
)  # fmt: skip
