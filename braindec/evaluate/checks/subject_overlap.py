"""Are the people of the test rows in training too, where the claim is about new people?

Source: Brookshire et al. 2024, Front Neurosci 10.3389/fnins.2024.1373515.
"""

from __future__ import annotations

from braindec.evaluate.finding import Context, Finding, some

__all__ = ["check"]
_REFERENCE = "Brookshire et al. 2024, Front Neurosci"


def check(context: Context) -> Finding:
    """Fail when subjects are claimed to be new, or the label belongs to the subject, and subjects are shared."""
    subject = context.rows.column("subject")
    if subject is None or len(set(subject)) < 2:
        n = 0 if subject is None else 1
        return Finding(
            "subject_overlap",
            "skip",
            f"{n} subject{'' if n == 1 else 's'} named: nothing to be shared between subjects",
        )
    shared = sorted({s for split in context.splits for s in set(subject[split.test]) & set(subject[split.train])})
    n = len(set(subject))
    owned = context.y is not None and len(set(zip(subject, context.y, strict=True))) == n and len(set(context.y)) > 1
    evidence = {"n_subjects": n, "n_shared": len(shared), "examples": shared[:5], "label_belongs_to_subject": owned}
    fix = 'split_by(windows, "subject")'
    if shared and owned:
        message = (
            f"each subject has one label, and {len(shared)} of {n} subjects ({some(shared)}) are in training and test: "
            "knowing the person is knowing the label"
        )
        return Finding("subject_overlap", "fail", message, evidence, fix, _REFERENCE)
    if shared and context.claims("subject"):
        message = (
            f"{len(shared)} of {n} subjects ({some(shared)}) are in training and test, but they are claimed to be new"
        )
        return Finding("subject_overlap", "fail", message, evidence, fix, _REFERENCE)
    if shared:
        return Finding(
            "subject_overlap", "pass", f"within-subject: {len(shared)} of {n} subjects are trained and tested", evidence
        )
    return Finding("subject_overlap", "pass", f"no subject of {n} is in training and test", evidence)
