"""Induction heads: attention to the token that followed the earlier occurrence of the current one.

Reads no stimuli: random tokens said twice (:mod:`braindec.llm.scores._repeats`). ``induction`` is the mean attention,
``induction_chance`` what uniform attention over the allowed keys gives, ``induction_control`` the attention to the same
places when nothing repeats, ``induction_p`` tests for more than that control (paired t over prompts), ``induction_q`` is
corrected over heads. ``induction_duplicate`` is the attention to the earlier occurrence itself.
Source: Olsson et al. 2022 (In-context learning and induction heads), prefix matching score.
Differs from the reference in: a control prompt for each prompt, so that a head which attends to a fixed distance is no
induction head.
"""

from __future__ import annotations

import pandas as pd

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._repeats import LAGS, more_than_control, repeats_of
from braindec.stats.fdr import fdr_bh

__all__ = ["induction"]


def _table(probe: Probe) -> pd.DataFrame:
    found = repeats_of(probe)
    here, control = found.repeated[..., LAGS + 1], found.control[..., LAGS + 1]  # lag +1
    p = more_than_control(here, control)
    return found.heads.assign(
        induction=here.mean(axis=1),
        induction_chance=found.chance,
        induction_control=control.mean(axis=1),
        induction_p=p,
        induction_q=fdr_bh(p),
        induction_duplicate=found.repeated[..., LAGS].mean(axis=1),
    )


induction = UnitScore(
    name="induction", version="1", level="head", needs=(), function=_table,
    describe="attention to what followed the earlier occurrence of the current token", source="Olsson et al. 2022",
)  # fmt: skip
