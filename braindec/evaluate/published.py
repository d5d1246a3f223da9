"""Steps that the authors of published data fitted or chose on all trials, test trials among them, as records for the audit.

A reader that hands out whitened, z-scored or selected data cannot undo what was done; it says so in ``info``, and the audit
counts it as the leak that it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braindec.types import FitRecord, Windows

__all__ = ["published_records", "published_step"]


def published_step(step: str, reason: str, *, purpose: str = "fit") -> dict[str, Any]:
    """Return ``info`` of a recording that tells a step which saw all of its trials.

    Parameters
    ----------
    step : str
        Name of the step.
    reason : str
        A sentence for the report: who did it, and to what.
    purpose : {"fit", "selection"}
        Whether something was fitted, or chosen.
    """
    return {"published_steps": [{"step": step, "purpose": purpose, "reason": reason}], "warnings": [reason]}


def published_records(windows: Windows) -> list[FitRecord]:
    """Return a record, with all windows of the recordings that tell of it, for each step that the publishers fitted.

    Parameters
    ----------
    windows : Windows
        All windows that were read, before they are split.
    """
    rows: dict[tuple[str, str], list[int]] = {}
    recording = windows.index[:, 0]
    for number, one in enumerate(windows.recordings):
        steps: list[Mapping[str, str]] = one.info.get("published_steps") or []
        for step in steps:
            rows.setdefault((step["step"], step["purpose"]), []).append(number)
    return [
        FitRecord.of(step, windows.ids[[r in set(numbers) for r in recording]], purpose=purpose)
        for (step, purpose), numbers in rows.items()
    ]
