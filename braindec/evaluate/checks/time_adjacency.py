"""Do training and test windows of one recording overlap in time, or lie side by side without a gap?

Source: Xu et al. 2024 (arXiv 2405.17024); Front. Neuroergonomics 2025, 10.3389/fnrgo.2025.1582724.
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate._rows import distance_to
from braindec.evaluate.finding import CONTENT, Context, Finding

__all__ = ["check"]
_REFERENCE = "Xu et al. 2024, arXiv 2405.17024"
_FMRI_GAP = 10.0  # s, about the length of the haemodynamic response
_PLAIN_GAP = 1.0  # s, where windows have no length
_FAR = 10  # windows this many gaps apart are not neighbours, whatever lies between them


def check(context: Context) -> Finding:
    """Measure the time from each test window to the nearest training window of its recording."""
    rows = context.rows
    if not rows.timed:
        return Finding(
            "time_adjacency", "skip", "the rows have no time (no onset): distances cannot be measured",
            fix="add onset (s from the start of the recording)",
        )  # fmt: skip
    needed = _needed(context)
    distance = np.concatenate([distance_to(rows, s.test, s.train) for s in context.splits])
    beside = np.concatenate([s.test for s in context.splits])
    overlap, near = distance < -1e-9, distance < needed - 1e-9
    smallest = float(distance.min())
    mixed = interleaved(context)
    evidence = {
        "share_beside_training": mixed, "n_test": len(distance), "n_overlapping": int(overlap.sum()), "n_near": int(near.sum()), "needed_s": needed,
        "smallest_s": smallest if np.isfinite(smallest) else None, "examples": list(rows.ids[beside[near]][:3]),
        "gap_s": [s.gap for s in context.splits][:1],
    }  # fmt: skip
    if not np.isfinite(smallest):
        return Finding("time_adjacency", "pass", "no recording has both training and test windows", evidence)
    content = [c for c in CONTENT if context.new_in_test(c)]
    fix = f"split_by(..., gap={needed:.3g}), or split by run"
    if overlap.any():
        shared = f"{int(overlap.sum())} of {len(distance)} test windows share samples with training windows"
        if content:
            message = f"{shared} (by up to {-smallest:.3g} s), though no {content[0]} is shared"
            return Finding(
                "time_adjacency", "warn", message, evidence, "use shorter windows, or split by run", _REFERENCE
            )
        return Finding("time_adjacency", "fail", f"{shared} (by up to {-smallest:.3g} s)", evidence, fix, _REFERENCE)
    if near.any() and not content:
        message = (
            f"{int(near.sum())} of {len(distance)} test windows lie closer than {needed:.3g} s to a training window of the "
            f"same recording (nearest {smallest:.3g} s)"
        )
        return Finding("time_adjacency", "warn", message, evidence, fix, _REFERENCE)
    if mixed > 0.5 and smallest < _FAR * needed and not content:
        message = (
            f"{100 * mixed:.0f} % of test windows have a training window right before or after them (nearest {smallest:.3g} s): "
            "training and test are interleaved in time"
        )
        return Finding("time_adjacency", "warn", message, evidence, fix, _REFERENCE)
    if near.any():
        message = f"training and test windows are neighbours (nearest {smallest:.3g} s), but share no {content[0]}"
        return Finding("time_adjacency", "pass", message, evidence)
    message = f"training and test windows of one recording are at least {smallest:.3g} s apart ({needed:.3g} s needed)"
    return Finding("time_adjacency", "pass", message, evidence)


def interleaved(context: Context) -> float:
    """Share of test rows whose neighbour in the recording (in order of time) is a training row."""
    order, recording = context.rows.order, context.rows.recording
    beside = total = 0
    for split in context.splits:
        part = np.zeros(len(order), dtype=int)
        part[split.train], part[split.test] = 1, 2
        line, home = part[order], recording[order]
        cross = (line[1:] * line[:-1] == 2) & (home[1:] == home[:-1])
        touched = np.zeros(len(order), dtype=bool)
        touched[1:] |= cross
        touched[:-1] |= cross
        beside += int((touched & (line == 2)).sum())
        total += len(split.test)
    return beside / total


def _needed(context: Context) -> float:
    if context.min_gap is not None:
        return float(context.min_gap)
    if context.windows is not None and context.windows.modality == "fmri":
        return _FMRI_GAP
    return float(np.median(context.rows.stop - context.rows.start)) or _PLAIN_GAP
