"""Previous-token heads: mean attention to the token just before, over random tokens.

Reads no stimuli. ``previous_token`` is that mean, ``previous_token_chance`` what uniform attention over the allowed keys gives; ``previous_token_low``
and ``previous_token_high`` are the ends of the 95 % interval over prompts (t), ``previous_token_p`` tests whether the
mean is above that chance level (one-sided t over prompts).
Source: Elhage et al. 2021 (A mathematical framework for transformer circuits).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._repeats import more_than_control, repeats_of
from braindec.stats.fdr import fdr_bh

__all__ = ["previous_token"]


def _table(probe: Probe) -> pd.DataFrame:
    found = repeats_of(probe)
    values = found.previous  # (head, prompt)
    n = values.shape[1]
    mean = values.mean(axis=1)
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
    p = more_than_control(values, np.full_like(values, found.previous_chance))
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
