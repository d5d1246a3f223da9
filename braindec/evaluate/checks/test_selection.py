"""Did test rows choose something: a checkpoint, a hyper-parameter, channels?

Source: the best of 40 epochs on a test set of 200 items gains about 6 points of accuracy when nothing was learned
after the first; Cawley & Talbot 2010 (JMLR).
"""

from __future__ import annotations

from braindec.evaluate.checks.fit_scope import outside
from braindec.evaluate.finding import Context, Finding, some

__all__ = ["check"]
_REFERENCE = "Cawley & Talbot 2010, JMLR"


def check(context: Context) -> list[Finding] | Finding:
    """Look at the records whose purpose is selection."""
    records = [(s, r) for s, r in context.records if r.purpose == "selection"]
    if not records:
        return Finding("test_selection", "skip", "no record says that rows chose something")
    found: dict[str, Finding] = {}
    for split, record in records:
        if not len(record.ids):
            message = f"{record.step} does not say which rows it chose on"
            found[record.step] = Finding(
                "test_selection", "warn", message, {"step": record.step}, "record the rows", _REFERENCE
            )
            continue
        problem = outside(record, [split] if split is not None else list(context.splits))
        if problem is None or record.step in found:
            continue
        kind, ids, n_seen, fold = problem
        evidence = {
            "step": record.step,
            "n_outside": len(ids),
            "n_seen": n_seen,
            "examples": list(ids[:5]),
            "fold": fold,
        }
        if kind == "test":
            message = f"{record.step} chose on {len(ids)} test rows of {fold or 'the split'}: {some(ids, 3)}"
            fix = "choose on validation rows (split_by(..., validation=0.1)); the score of a choice made on test rows is too high"
            found[record.step] = Finding("test_selection", "fail", message, evidence, fix, _REFERENCE)
        else:
            message = f"{record.step} chose on {len(ids)} rows outside training and validation: {some(ids, 3)}"
            found[record.step] = Finding(
                "test_selection", "warn", message, evidence, "choose on validation rows", _REFERENCE
            )
    if found:
        return list(found.values())
    steps = sorted({r.step for _, r in records})
    return Finding("test_selection", "pass", f"{some(steps)} chose on rows that are not tested", {"steps": steps})
