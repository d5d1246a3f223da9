"""How high must accuracy be, with this many test rows, to be above chance?

Source: Combrisson & Jerbi 2015, J Neurosci Methods 250, eq. 1 (binomial threshold).
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.finding import Context, Finding
from braindec.stats.binomial import binomial_threshold

__all__ = ["check"]
_REFERENCE = "Combrisson & Jerbi 2015, J Neurosci Methods"
_MARGIN = 0.16  # a threshold this far above chance hides most real effects


def check(context: Context) -> Finding:
    """Print the exact binomial threshold for the number of rows that are tested."""
    tested = np.unique(np.concatenate([s.test for s in context.splits]))
    n = len(tested)
    if context.y is None:
        return Finding(
            "small_n", "skip", f"{n} rows are tested; without classes there is no binomial threshold", {"n": n}
        )
    n_classes = len(set(context.y))
    if n_classes < 2:
        return Finding("small_n", "skip", "one class only")
    chance = 1 / n_classes
    threshold = binomial_threshold(n, chance) / n
    stretches = _stretches(context, tested)
    evidence = {"n": n, "chance": chance, "threshold": threshold, "n_stretches": stretches}
    said = (
        f"{n} rows are tested: accuracy must reach {100 * threshold:.1f} % to beat chance ({100 * chance:.1f} %) at 5 %"
    )
    if stretches < n / 3:
        said += f"; only {stretches} stretches of one class, so rows are not independent"
    if threshold - chance > _MARGIN:
        fix = "record more trials, pool subjects, or report the interval and the permutation p"
        return Finding("small_n", "warn", said, evidence, fix, _REFERENCE)
    return Finding("small_n", "pass", said, evidence, reference=_REFERENCE)


def _stretches(context: Context, tested: np.ndarray) -> int:
    """Number of stretches of one class in order of time."""
    kept = context.rows.order[np.isin(context.rows.order, tested)]
    code, recording = context.code[kept], context.rows.recording[kept]
    return int(1 + np.sum((np.diff(code) != 0) | (np.diff(recording) != 0)))
