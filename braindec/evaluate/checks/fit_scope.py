"""Was a scaler, filter, selection or model fitted on rows outside training?

Source: Kapoor & Narayanan 2023 (Patterns); THINGS-EEG2 whitening on training and test; DARNet's CSP on all data.
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.finding import Context, Finding, some
from braindec.types import FitRecord, Split

__all__ = ["check"]
_REFERENCE = "Kapoor & Narayanan 2023, Patterns"


def check(context: Context) -> list[Finding] | Finding:
    """Compare the rows of each fit record with the training rows of its fold."""
    records = [(s, r) for s, r in context.records if r.purpose != "selection"]
    if not records:
        return Finding(
            "fit_scope",
            "skip",
            "no fit records were given",
            fix="pass records=decoder.fit_records_ (or CrossValidation.records)",
        )
    empty = sorted({r.step for _, r in records if not len(r.ids)})
    found, bad_steps = [], {}
    for split, record in records:
        if not len(record.ids):
            continue
        problem = outside(record, [split] if split is not None else context.splits)
        if problem is not None:
            bad_steps.setdefault((record.step, problem[0]), []).append(problem)
    for (step, kind), problems in bad_steps.items():
        _, ids, n_seen, fold = problems[0]
        evidence = {"step": step, "n_outside": len(ids), "n_seen": n_seen, "examples": list(ids[:5]), "fold": fold,
                    "n_records": len(problems)}  # fmt: skip
        if kind == "test":
            message = f"{step} was fitted on {len(ids)} test rows of {fold or 'the split'} (of {n_seen} rows that it saw): {some(ids, 3)}"
            fix = "fit it on windows[split.train] only, inside the fold"
            found.append(Finding("fit_scope", "fail", message, evidence, fix, _REFERENCE))
        else:
            message = f"{step} was fitted on {len(ids)} rows that are not training rows of {fold or 'any fold'}: {some(ids, 3)}"
            fix = "fit it on the training rows of this split (rows left out for the gap are not among them)"
            found.append(Finding("fit_scope", "warn", message, evidence, fix, _REFERENCE))
    if empty:
        message = f"{len(empty)} steps do not say what they were fitted on: {some(empty)}"
        found.append(
            Finding(
                "fit_scope", "warn", message, {"steps": empty}, "pass ids=windows.ids[split.train] to fit", _REFERENCE
            )
        )
    if not found:
        steps = sorted({r.step for _, r in records})
        message = f"{len(steps)} fitted steps ({some(steps)}) saw training rows only"
        found.append(Finding("fit_scope", "pass", message, {"steps": steps, "n_records": len(records)}))
    return found


def outside(record: FitRecord, splits: list[Split]) -> tuple[str, np.ndarray, int, str] | None:
    """Return (kind, ids outside, n seen, fold) of the fold that fits the record best, or None when all is well.

    ``kind`` is "test" when test rows were seen, else "other". Validation rows may be fitted on: a final fit on
    training and validation is common, and neither is tested.
    """
    seen = np.unique(np.asarray(record.ids).astype(str))
    best: tuple[str, np.ndarray, int, str] | None = None
    for split in splits:
        ids = split.ids.astype(str)
        allowed = ids[np.concatenate([split.train, split.validation])]
        beyond = seen[~np.isin(seen, allowed)]
        if not len(beyond):
            return None
        tested = beyond[np.isin(beyond, ids[split.test])]
        problem = ("test", tested, len(seen), split.name) if len(tested) else ("other", beyond, len(seen), split.name)
        if best is None or len(problem[1]) < len(best[1]):
            best = problem
    return best
