"""LAPE: language activation probability entropy, and the neurons that are active in few languages.

Stimuli ``languages``: mapping of language to list of texts. Options: ``top`` (share of all units that is selected, default
0.01), ``active`` (percentile of all rates that a unit must exceed in some language, as a share, default 0.95).

A unit is active at a token where its activation (in a gated MLP, its gate) is above 0; its rate is the share of active tokens of a language; the
entropy (nats) of its rates, made to add up to 1 over languages, is low where it belongs to few. Units that exceed the
threshold in no language are not selected; a selected one is assigned to all languages in which it does.

Columns: ``lape`` the entropy (NaN: never active), ``_selected``, ``_languages`` (names, "+" between them), ``_rate_<language>``.

Source: Tang et al. 2024 (ACL, "Language-specific neurons"), section 3.

Differs from the reference in: languages of a unit are a table, so that a language without units, the last one included,
cannot shift the others; a unit that is never active has no entropy instead of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._active import active_counts, entropy_of, kth_smallest, languages_of, rates
from braindec.llm.scores._labelled import option
from braindec.stats.contrast import top_units

DEFAULTS: dict[str, Any] = {"top": 0.01, "active": 0.95}

__all__ = ["score", "Lape", "lape"]


@dataclass(frozen=True, eq=False)
class Lape:
    """Language entropy of units.

    Parameters
    ----------
    rates : array of shape (n_units, n_languages)
    entropy : array of shape (n_units,)
        Nats; NaN where a unit is never active.
    eligible : array of bool, shape (n_units,)
        Above the threshold in some language.
    selected : array of int
        Rows of the units with the lowest entropy, sorted.
    languages : array of bool, shape (n_units, n_languages)
        To which languages the selected ones belong.
    threshold : float
        Rate that counts as active.
    n_tied : int
        Units that share the entropy at the cut, decided between by the lower row.
    """

    rates: np.ndarray
    entropy: np.ndarray
    eligible: np.ndarray
    selected: np.ndarray
    languages: np.ndarray
    threshold: float
    n_tied: int


def lape(over_zero: np.ndarray, n_tokens: np.ndarray, *, top: float = 0.01, active: float = 0.95) -> Lape:
    """Find language-specific units from counts.

    Parameters
    ----------
    over_zero : array of int, shape (n_units, n_languages)
        Tokens at which a unit is above 0.
    n_tokens : array of int, shape (n_languages,)
    top : float
        Share of all units to select.
    active : float
        The threshold is at this share of all rates in rising order; a unit must exceed it.
    """
    if not (0 < top <= 1 and 0 < active <= 1):
        raise BraindecError("shares of units and rates lie between 0 and 1", found=f"top={top}, active={active}")
    p = rates(over_zero, n_tokens)
    entropy, threshold = entropy_of(p), kth_smallest(p, active)
    above = p > threshold
    eligible = np.asarray(above.any(axis=1))
    chosen = top_units(-entropy, k=max(round(top * len(p)), 1), allowed=eligible)
    belongs = above & chosen.mask(len(p))[:, None]
    return Lape(p, entropy, eligible, chosen.rows, belongs, threshold, chosen.n_tied)


def _score(probe: Probe) -> pd.DataFrame:
    languages = languages_of(probe.need("languages"))
    units, over_zero, n_tokens = active_counts(probe, languages)
    found = lape(over_zero, n_tokens, **option(probe, "lape", DEFAULTS))
    names = np.array(list(languages), dtype=object)
    selected = np.zeros(len(units), dtype=bool)
    selected[found.selected] = True
    table = units.assign(
        lape=found.entropy, lape_selected=selected, lape_languages=["+".join(names[row]) for row in found.languages]
    )
    return table.assign(**{f"lape_rate_{name}": found.rates[:, k] for k, name in enumerate(names)})


score = UnitScore(
    "lape", "1", "unit", ("languages",), _score, "entropy of activation over languages", "Tang et al. 2024"
)
