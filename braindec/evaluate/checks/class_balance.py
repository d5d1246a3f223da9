"""Are there several classes, enough of each, and each in training wherever it is tested?"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.finding import Context, Finding, some

__all__ = ["check"]
_FEW = 5  # rows of a class


def check(context: Context) -> list[Finding] | Finding:
    """Count classes in all and in each fold."""
    if context.y is None:
        return Finding("class_balance", "skip", "no classes are decoded (y, or trial_type with several values)")
    names, counts = np.unique(context.y, return_counts=True)
    table = dict(zip(names.tolist(), counts.tolist(), strict=True))
    evidence = {
        "counts": dict(list(table.items())[:50]),
        "n_classes": len(names),
        "largest_share": counts.max() / counts.sum(),
    }
    if len(names) < 2:
        return Finding("class_balance", "fail", f"all {len(context.y)} rows are of one class ({names[0]!r})", evidence,
                       "choose events of two or more types")  # fmt: skip
    found = []
    unseen, alone = {}, []
    for split in context.splits:
        tested, trained = set(context.y[split.test]), set(context.y[split.train])
        if tested - trained:
            unseen[split.name] = sorted(tested - trained)
        if len(trained) < 2:
            unseen.setdefault(split.name, sorted(set(names) - trained))
        if len(tested) < 2:
            alone.append(split.name)
    if unseen:
        fold, missing = next(iter(unseen.items()))
        message = f"in {len(unseen)} of {len(context.splits)} folds training lacks a class that is tested ({fold}: {some(missing, 3)})"
        found.append(Finding("class_balance", "fail", message, {**evidence, "folds": unseen},
                             "use a key whose groups hold several classes, or fewer folds"))  # fmt: skip
    elif alone:
        message = f"{len(alone)} of {len(context.splits)} test parts hold one class only ({some(alone, 3)}): AUC is undefined there"
        found.append(Finding("class_balance", "warn", message, {**evidence, "folds": alone[:10]},
                             "score the pooled predictions, or use fewer, larger folds"))  # fmt: skip
    if counts.min() < _FEW:
        message = f"class {names[counts.argmin()]!r} has {counts.min()} rows"
        found.append(Finding("class_balance", "warn", message, evidence, "leave the class out, or join classes"))
    if found:
        return found
    share = 100 * counts.max() / counts.sum()
    advice = "; report balanced accuracy or AUC, not accuracy" if counts.max() > 1.5 * counts.min() else ""
    return Finding(
        "class_balance", "pass", f"{len(names)} classes, the largest has {share:.0f} % of rows{advice}", evidence
    )
