"""Log-compressed time, by unit: is a unit's activation a line in the year (or number), or in its logarithm about a reference?

Stimuli and options as in :mod:`braindec.llm.scores.weber_fechner`. For each unit a line is fitted to every second item, on the
linear scale and on ``sign(v - r) log(1 + |v - r|)`` with the best reference r, and tried on the other items; then the other way
round. Explained variance is that of items that were not fitted, below 0 where a line is worse than the mean, never clipped.

Columns: ``weber_fechner_unit`` explained variance on the logarithmic scale minus that on the linear one, ``_log`` and ``_linear``
both, ``_reference`` (in the units of value), ``_p`` one-sided, of the larger of both, from permuted numbers, ``_q``, ``_selected``
(q at most 0.05, and logarithmic better than linear: a unit that carries compressed time).

Source: Fechner 1860; Nieder & Miller 2003 (Neuron 37:149) for comparing scales by the fit of single neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import keys_of, option, pooled
from braindec.llm.scores._log_time import Fits, fit_units, numbered, references_of
from braindec.stats.fdr import fdr_bh

DEFAULTS: dict[str, Any] = {"pool": "last", "references": None, "permutations": 199, "seed": None}
_LEVEL = 0.05

__all__ = ["score", "unit_test"]


def unit_test(
    activations: np.ndarray, values: np.ndarray, *, references: np.ndarray | None = None, permutations: int = 199,
    rng: np.random.Generator | int = 0,
) -> tuple[Fits, np.ndarray]:  # fmt: skip
    """Return the fits of each unit and their p; ``activations`` (n_items, n_units), ``values`` in rising order."""
    references = references_of(values) if references is None else np.asarray(references, dtype=float)
    found = fit_units(activations, values, references)
    best = np.fmax(found.linear, found.log)
    known = np.isfinite(best)
    more = np.zeros(len(best), int)
    rng = np.random.default_rng(rng)
    for _ in range(permutations):
        drawn = fit_units(activations[rng.permutation(len(values))], values, references)
        with np.errstate(invalid="ignore"):
            more += np.fmax(drawn.linear, drawn.log) >= best - 1e-12
    return found, np.where(known & (permutations > 0), (1 + more) / (1 + permutations), np.nan)


def _score(probe: Probe) -> pd.DataFrame:
    given = option(probe, "weber_fechner_unit", DEFAULTS)
    table = numbered(probe.need("years"))
    features = pooled(probe, table["text"].tolist(), pool=given["pool"])
    seed = probe.seed if given["seed"] is None else given["seed"]
    found, p = unit_test(features.load(), table["value"].to_numpy(), references=given["references"],
                         permutations=given["permutations"], rng=seed)  # fmt: skip
    gain, q = found.log - found.linear, fdr_bh(p)
    return keys_of(features).assign(
        weber_fechner_unit=gain, weber_fechner_unit_log=found.log, weber_fechner_unit_linear=found.linear,
        weber_fechner_unit_reference=found.reference, weber_fechner_unit_p=p, weber_fechner_unit_q=q,
        weber_fechner_unit_selected=(np.nan_to_num(q, nan=1.0) <= _LEVEL) & (np.nan_to_num(gain, nan=-1.0) > 0),
    )  # fmt: skip


score = UnitScore(
    "weber_fechner_unit", "1", "unit", ("years",), _score,
    "logarithmic minus linear explained variance of a unit over years", "Fechner 1860, Nieder & Miller 2003",
)  # fmt: skip
