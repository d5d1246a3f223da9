"""Dead units: never active over the texts.

Reads "texts". A unit behind a non-linearity (sites "mlp_pre" and, where the MLP is not gated, "mlp_act") is active at a token
where its value is above ``threshold`` (0); any other unit where its absolute value is. ``dead`` is 1 where no token activates it,
else 0;
``dead_active`` the share of tokens that do, ``dead_active_high`` the upper end of its exact 95 % interval (a unit that n
tokens never activated may still be active in 3 / n of all tokens; the interval takes tokens as independent),
``dead_constant`` whether the unit has one value throughout.
Options: ``threshold``.
Source: Voita, Ferrando & Nalmpantis 2023 (Neurons in large language models: dead, n-gram, positional); Clopper & Pearson
1934 for the interval.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._active import rectified
from braindec.llm.scores._labelled import option
from braindec.llm.scores._tokens import TokenSample, per_unit

__all__ = ["dead", "active_share"]


def active_share(values: np.ndarray, *, threshold: float = 0.0, rectified: bool = True) -> np.ndarray:
    """Return the share of tokens at which each unit is active, (unit,), from values (token, unit)."""
    return ((values if rectified else np.abs(values)) > threshold).mean(axis=0)


def _table(probe: Probe) -> pd.DataFrame:
    threshold = float(option(probe, "dead", {"threshold": 0.0})["threshold"])

    def measure(sample: TokenSample, layer: int, site: str, values: np.ndarray) -> Mapping[str, np.ndarray]:
        share = active_share(values, threshold=threshold, rectified=rectified(probe.model, layer, site))
        n = len(values)
        count = np.rint(share * n)
        high = np.where(count < n, stats.beta.ppf(0.975, count + 1, np.maximum(n - count, 1)), 1.0)
        constant = np.ptp(values, axis=0) == 0
        return {
            "dead": (count == 0).astype(float),
            "dead_active": share,
            "dead_active_high": high,
            "dead_constant": constant,
        }

    return per_unit(probe, measure)


dead = UnitScore(
    name="dead", version="1", level="unit", needs=("texts",), function=_table,
    describe="1 for a unit that no token activates", source="Voita et al. 2023",
)  # fmt: skip
