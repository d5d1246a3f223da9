"""CMR heads: is the lag curve of attention that of human free recall, as Context Maintenance and Retrieval has it?

Reads no stimuli: random tokens said twice. The logarithm of attention by lag -5 to 5 from the earlier occurrence is
compared with the lag-CRP of every cell of the CMR grid. ``cmr`` is the distance to the nearest cell (0: the same curve),
``cmr_beta_enc``, ``cmr_beta_rec``, ``cmr_gamma_ft`` its parameters, ``cmr_corner`` whether they lie in a corner of the
grid, ``cmr_selected`` whether the head counts as CMR-like (:func:`~braindec.llm.scores._cmr_fit.cmr_like`, with the
induction score and its correction over heads), and ``cmr_lag_-5`` ... ``cmr_lag_5`` the mean attention at each lag.
Options: ``max_distance`` (0.5), ``min_induction`` (0.1), ``sharpness`` of the choice rule (4).
Source: Ji-An, Zhou, Benna & Mattar 2024 (NeurIPS, Linking in-context learning in transformers to human episodic memory).
"""

from __future__ import annotations

import pandas as pd

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._cmr_fit import MAX_DISTANCE, MIN_INDUCTION, cmr_like, fit_cmr
from braindec.llm.scores._cmr_model import cmr_grid
from braindec.llm.scores._labelled import option
from braindec.llm.scores._repeats import LAGS, more_than_control, repeats_of
from braindec.stats.fdr import fdr_bh

__all__ = ["cmr", "cmr_grid", "cmr_like", "fit_cmr"]

DEFAULTS = {"max_distance": MAX_DISTANCE, "min_induction": MIN_INDUCTION, "sharpness": 4.0}


def _table(probe: Probe) -> pd.DataFrame:
    options = option(probe, "cmr", DEFAULTS)
    found = repeats_of(probe)
    fit = fit_cmr(found.log_repeated.mean(axis=1), cmr_grid(n_lags=LAGS, sharpness=options["sharpness"]))
    here = found.repeated[..., LAGS + 1]
    q = fdr_bh(more_than_control(here, found.control[..., LAGS + 1]))
    like = cmr_like(fit.distance, fit.corner, here.mean(axis=1), max_distance=options["max_distance"],
                    min_induction=options["min_induction"])  # fmt: skip
    table = found.heads.assign(cmr=fit.distance, cmr_corner=fit.corner, cmr_selected=like & (q <= 0.05))
    for k, name in enumerate(("beta_enc", "beta_rec", "gamma_ft")):
        table[f"cmr_{name}"] = fit.params[:, k]
    for k, lag in enumerate(range(-LAGS, LAGS + 1)):
        table[f"cmr_lag_{lag}"] = found.repeated[..., k].mean(axis=1)
    return table


cmr = UnitScore(
    name="cmr", version="1", level="head", needs=(), function=_table,
    describe="distance of attention by lag from the recall curves of CMR", source="Ji-An et al. 2024; Polyn et al. 2009",
)  # fmt: skip
