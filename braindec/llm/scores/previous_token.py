"""Previous-token heads: mean attention to the token just before, over random tokens.

Reads no stimuli. ``previous_token`` is that mean, ``previous_token_chance`` what uniform attention over the allowed keys
gives; ``previous_token_low`` and ``previous_token_high`` are the ends of the 95 % interval over prompts (t).
``previous_token_p`` tests whether the token before gets more than those 2 to 20 places back do (t, one more draw from
their spread): with random weights a head prefers some places a little, and not the last one in particular;
``previous_token_q`` is corrected over heads.
Source: Elhage et al. 2021 (A mathematical framework for transformer circuits).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._repeats import repeats_of
from braindec.stats.fdr import fdr_bh

__all__ = ["previous_token", "more_than_others"]


def more_than_others(recent: np.ndarray) -> np.ndarray:
    """Return one-sided p (n_heads,) that the first of several places (n_heads, n_places) stands out from the others."""
    first, others = recent[:, 0], recent[:, 1:]
    n, spread = others.shape[1], others.std(axis=1, ddof=1)
    same = spread <= 1e-6 * np.maximum(np.abs(others).max(axis=1), 1e-12)  # single precision
    difference = first - others.mean(axis=1)
    p = stats.t.sf(difference / np.where(same, 1.0, spread * np.sqrt(1 + 1 / n)), n - 1)
    return np.where(same, np.where(difference > 1e-5, 0.0, 1.0), p)


def _table(probe: Probe) -> pd.DataFrame:
    found = repeats_of(probe)
    values = found.previous  # (head, prompt)
    n = values.shape[1]
    mean = values.mean(axis=1)
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
    p = more_than_others(found.recent.mean(axis=1))
    return found.heads.assign(
        previous_token=mean,
        previous_token_chance=found.previous_chance,
        previous_token_low=mean - half,
        previous_token_high=mean + half,
        previous_token_p=p,
        previous_token_q=fdr_bh(p),
    )


previous_token = UnitScore(
    name="previous_token", version="1", level="head", needs=(), function=_table,
    describe="attention to the token just before", source="Elhage et al. 2021",
)  # fmt: skip
