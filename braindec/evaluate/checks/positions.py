"""Are channel positions in metres, and does each channel have its own?

Source: real iEEG sets hold metres in one and millimetres in another, and an electrode label twice.
"""

from __future__ import annotations

import re

import numpy as np

from braindec.evaluate.finding import Context, Finding, some
from braindec.signal.electrodes import electrode_places

__all__ = ["check"]
_OWN = ("eeg", "ecog", "seeg", "dbs", "ieeg")  # types whose channels have a place of their own
_LARGEST = 0.3  # m from the origin; heads, MNI and scanner space are all within
_SMALLEST = 0.005


def check(context: Context) -> list[Finding] | Finding:
    """Look at the size of positions and for two channels in one place."""
    windows = context.windows
    if windows is None:
        return Finding("positions", "skip", "needs Windows: a table holds no channels")
    found: dict[str, Finding] = {}
    known = 0
    for recording in windows.recordings:
        position = recording.positions
        fine = np.isfinite(position).all(axis=1) & np.any(position != 0, axis=1)
        known = max(known, int(fine.sum()))
        for finding in (
            _units(recording, position[fine]),
            _shared(recording, position, fine),
            _renamed(recording),
            *_in_a_head(recording),
        ):
            if finding is not None:
                found.setdefault(finding.message.split(":")[0] + finding.level, finding)
    if found:
        return list(found.values())
    if not known:
        return Finding("positions", "skip", "no channel has a position")
    return Finding(
        "positions",
        "pass",
        f"{known} of {windows.n_channels} channels have a position, in m, each its own",
        {"n": known},
    )


def _units(recording, position: np.ndarray) -> Finding | None:
    if len(position) < 2:
        return None
    size = float(np.median(np.linalg.norm(position, axis=1)))
    evidence = {"recording": recording.label, "median_distance": size}
    if _SMALLEST < size < _LARGEST:
        return None
    guess = (
        "mm"
        if 10 <= size < 300
        else "cm"
        if 2 <= size < 10
        else "a unit sphere"
        if 0.7 < size < 1.5
        else "another unit"
    )
    message = f"positions are not in m: the median distance from the origin is {size:.3g} (as in {guess}) in {recording.label}"
    return Finding(
        "positions", "warn", message, evidence, "give the unit in coordsystem.json, or divide: mm by 1000, cm by 100"
    )


def _shared(recording, position: np.ndarray, fine: np.ndarray) -> Finding | None:
    own = fine & recording.channels["type"].isin(_OWN).to_numpy()
    rows = np.flatnonzero(own)
    if len(rows) < 2:
        return None
    scale = max(float(np.median(np.linalg.norm(position[rows], axis=1))), 1e-9)
    _, code, counts = np.unique(np.round(position[rows] / scale, 5), axis=0, return_inverse=True, return_counts=True)
    twice = np.flatnonzero(counts > 1)
    if not len(twice):
        return None
    names = np.array(recording.ch_names, dtype=object)
    groups = [list(names[rows[code.ravel() == g]]) for g in twice]
    message = f"channels share a position: {some([' = '.join(g) for g in groups], 3)} in {recording.label}"
    return Finding(
        "positions", "warn", message, {"groups": groups[:10]}, "correct electrodes.tsv, or leave one of them out"
    )


def _in_a_head(recording) -> list[Finding]:
    """Electrodes in the brain: have they all a place, in a space that is said, inside a head?"""
    places = electrode_places(recording)
    if not places.names:
        return []
    if len(places.without) == len(places.names):
        message = f"no electrode has a position in {recording.label}: regions and maps cannot be told"
        return [
            Finding("positions", "warn", message, {"n": len(places.names)}, "give electrodes.tsv and coordsystem.json")
        ]
    found = []
    if places.without:
        message = f"electrodes without a position: {some(places.without)} in {recording.label}"
        found.append(Finding("positions", "warn", message, {"without": places.without[:20]}, "they are left out of maps and regions"))  # fmt: skip
    if places.space is None:
        message = f"positions of electrodes are in an unknown space in {recording.label}"
        found.append(Finding("positions", "warn", message, {}, "name it in coordsystem.json, or by the reader's option space"))  # fmt: skip
    if places.outside:
        message = f"electrodes lie outside the head: {some(places.outside)} in {recording.label} ({places.space or 'unknown space'})"
        found.append(Finding("positions", "warn", message, {"outside": places.outside[:20]}, "check the unit and the sign of the axes"))  # fmt: skip
    return found


def _renamed(recording) -> Finding | None:
    """Readers number labels that stand twice (A1-0, A1-1); names that somebody gave to channels are no fault."""
    given = recording.info.get("renamed") or {}
    twice = {new: old for new, old in given.items() if re.fullmatch(re.escape(str(old)) + r"-\d+", str(new))}
    if not twice:
        return None
    message = f"a channel label stood twice: {some(sorted(set(twice.values())))} in {recording.label}"
    return Finding("positions", "warn", message, {"renamed": twice}, "correct channels.tsv and electrodes.tsv")
