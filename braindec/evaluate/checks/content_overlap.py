"""Are stimuli or concepts of the test rows in training too?

Source: Shirakawa et al. 2024 (arXiv 2405.10078) on overlap of content; Défossez et al. 2023 split by content.
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.finding import CONTENT, Context, Finding, some

__all__ = ["check"]
_PARTS = ("train", "validation", "test")  # a column that names parts is no content
_REFERENCE = "Shirakawa et al. 2024, arXiv 2405.10078"


def check(context: Context) -> list[Finding]:
    """Look at stimulus_id and concept_id, and at any other content that is claimed to be new."""
    extra = [c for c in (*context.claim, *(s.by for s in context.splits)) if c in context.rows.trials]
    extra = [
        c for c in extra if c not in ("subject", "session", "run") and context.rows.trials[c].nunique() > len(_PARTS)
    ]
    columns = dict.fromkeys([*CONTENT, *extra])
    found = [_look(context, column) for column in columns if context.rows.column(column) is not None]
    return found or [
        Finding(
            "content_overlap", "skip", "the trials name no content (columns stimulus_id, concept_id)", fix="add them"
        )
    ]


def _look(context: Context, column: str) -> Finding:
    values = context.rows.column(column)
    shared: set[str] = set()
    folds, tested = [], set()
    for split in context.splits:
        inside = set(values[split.test]) - {""}  # "" is no content: volumes between stimuli
        both = inside & set(values[split.train])
        tested |= inside
        shared |= both
        folds += [split.name] if both else []
    evidence = {"column": column, "n_shared": len(shared), "n_test": len(tested), "examples": sorted(shared)[:5],
                "folds": folds[:5]}  # fmt: skip
    if not shared:
        return Finding("content_overlap", "pass", f"no {column} of {len(tested)} tested is in training", evidence)
    said = (
        f"{len(shared)} of {len(tested)} tested {column} values are in training too (such as {some(sorted(shared), 3)})"
    )
    fix = f"split by content: content_split(windows, {column!r}) or split_by(windows, {column!r}, n_folds=5)"
    if context.claims(column):
        return Finding("content_overlap", "fail", f"{said}, but they are claimed to be new", evidence, fix, _REFERENCE)
    if context.y is not None and context.candidates is None:
        if _is_class(values, context.y):
            return Finding(
                "content_overlap", "pass", f"the class is the {column}: the same ones are trained and tested", evidence
            )
        message = f"{said}: the decoder may know each {column} and not the class"
        return Finding("content_overlap", "warn", message, evidence, fix, _REFERENCE)
    message = f"{said}: this is identification of known items, not of new ones"
    return Finding("content_overlap", "warn", message, evidence, fix, _REFERENCE)


def _is_class(values: np.ndarray, y: np.ndarray) -> bool:
    """True when every class has one value of its own (or the value is coarser than the class)."""
    return len(set(zip(values, y, strict=True))) == len(set(y))
