"""Reference: potentials against the mean of all good electrodes, against named ones, or against neighbours of a shaft.

Source: Li et al. (2018, NeuroImage 183) on bipolar and Laplacian references of depth electrodes; Bertrand, Perrin & Pernier (1985) on
the average reference, which leaves one dimension less than there are electrodes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.steps._blocks import add_warning, by_time, finish
from braindec.types import Recording
from braindec.types.recording import CHANNEL_COLUMNS

__all__ = ["reference"]
VERSION = 1

_TYPES = ("eeg", "ecog", "seeg", "dbs")
_CONTACT = re.compile(r"^(.*?)(\d+)(\D*)$")


def reference(
    recording: Recording,
    *,
    kind: str | list[str] = "average",
    pairs: list[tuple[str, str]] | None = None,
    ends: str = "one-sided",
) -> Recording:
    """Change the reference of electrodes (types eeg, ecog, seeg, dbs); other channels stay as they are.

    Parameters
    ----------
    recording : Recording
        Bad electrodes never enter a reference.
    kind : "average", "bipolar", "laplacian" or list of str
        "average": minus the mean of the good electrodes of the same type. "bipolar": each electrode minus its neighbour,
        by name (shaft and number: A1 - A2, A2 - A3, ...) unless ``pairs`` are given; the position is the midpoint.
        "laplacian": each contact minus the mean of its two neighbours on the shaft (A2 - (A1 + A3) / 2); names and positions
        stay. A contact without good neighbours is left out, and said. Names:
        minus the mean of these electrodes; a single one, which would become 0, is left out afterwards.
    pairs : list of (str, str), optional
        Names of bipolar pairs. Name them for grids, whose rows end where numbers go on.
    ends : {"one-sided", "drop"}
        Of "laplacian": what becomes of a contact with one good neighbour, as at the ends of a shaft and beside a bad contact:
        it minus that neighbour (a bipolar derivation), or nothing. ``info["warnings"]`` names them.

    Raises
    ------
    BraindecError
        If there are no such electrodes, a named one is bad, or no two are neighbours.
    """
    electrodes = recording.channels["type"].isin(_TYPES).to_numpy()
    if not electrodes.any():
        counts = recording.channels["type"].value_counts().to_dict()
        raise BraindecError(f"{recording.label}: there are no electrodes to re-reference", found=f"channel types {counts}",
                            allowed=", ".join(_TYPES), fix="say the types in channels.tsv")  # fmt: skip
    if pairs is not None and kind not in ("average", "bipolar"):
        raise BraindecError("pairs are for bipolar references", found=f"kind {kind!r}", fix="use kind: bipolar")
    if ends not in ("one-sided", "drop"):
        raise BraindecError(f"ends of a Laplacian reference cannot be {ends!r}", allowed="one-sided, drop")
    if kind == "bipolar" or pairs is not None:
        return _bipolar(recording, electrodes, pairs)
    if kind == "laplacian":
        return _laplacian(recording, electrodes, ends)
    if isinstance(kind, str) and kind != "average":
        known = ["average", "bipolar", "laplacian"]
        raise BraindecError(f"there is no reference {kind!r}{did_you_mean(kind, known)}",
                            allowed="average, bipolar, laplacian, or a list of channel names", fix=f"for one channel write [{kind}]")  # fmt: skip
    return _average(recording, electrodes) if kind == "average" else _named(recording, electrodes, list(kind))


def neighbours(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of names that have the same shaft and numbers one apart (LA1, LA2), sorted by shaft and number."""
    contacts: dict[tuple[str, str], dict[int, str]] = {}
    for name in names:
        found = _CONTACT.match(name)
        if found:
            contacts.setdefault((found[1], found[3]), {})[int(found[2])] = name
    return [(shaft[n], shaft[n + 1]) for shaft in contacts.values() for n in sorted(shaft) if n + 1 in shaft]


def _average(recording: Recording, electrodes: np.ndarray) -> Recording:
    channels = recording.channels
    good = electrodes & (channels["status"] != "bad").to_numpy()
    weights = np.eye(recording.n_channels)
    for kind in channels["type"][electrodes].unique():
        of_kind = (channels["type"] == kind).to_numpy()
        members = of_kind & good
        if members.sum() < 2:
            raise BraindecError(f"{recording.label}: an average reference needs two good electrodes of type {kind}",
                                found=f"{int(members.sum())} of {int(of_kind.sum())}")  # fmt: skip
        weights[np.ix_(of_kind, members)] -= 1 / members.sum()
    return _mix(recording, weights, reference="average")


def _named(recording: Recording, electrodes: np.ndarray, names: list[str]) -> Recording:
    rows = recording._rows(names)
    bad = [n for n, row in zip(names, rows, strict=True) if recording.channels["status"].iloc[row] == "bad"]
    if bad or not names or not electrodes[rows].all():
        raise BraindecError(
            f"{recording.label}: {', '.join(names) or 'an empty list'} cannot be the reference",
            found=f"marked bad: {bad}" if bad else f"types {[str(recording.channels['type'].iloc[r]) for r in rows]}",
            allowed="good electrodes",
        )
    weights = np.eye(recording.n_channels)
    weights[np.ix_(electrodes, rows)] -= 1 / len(rows)
    found = _mix(recording, weights, reference=", ".join(names))
    return found if len(rows) > 1 else found.select(np.delete(np.arange(found.n_channels), rows))


def _mix(recording: Recording, weights: np.ndarray, *, reference: str) -> Recording:
    data, flat = by_time(recording, lambda block: weights @ block, len(weights))
    stim = (recording.channels["type"] == "stim").to_numpy()
    return finish(recording, data, flat & ~stim, reference=reference)


def _bipolar(recording: Recording, electrodes: np.ndarray, pairs: list | None) -> Recording:
    names, bad = recording.ch_names, set(recording.channels["name"][recording.channels["status"] == "bad"])
    if pairs is None:
        asked = neighbours([n for n, e in zip(names, electrodes, strict=True) if e])
    else:
        if any(isinstance(p, str) or len(p) != 2 for p in pairs):
            raise BraindecError(
                "pairs are lists of two names", found=repr(pairs)[:200], fix="e.g. pairs: [[A1, A2], [A2, A3]]"
            )
        asked = [(str(a), str(b)) for a, b in pairs]
        recording._rows([n for pair in asked for n in pair])  # refuses unknown names
    kept = [(a, b) for a, b in asked if a not in bad and b not in bad and a != b]
    if not kept:
        raise BraindecError(
            f"{recording.label}: no two good electrodes are neighbours by name", found=", ".join(names[:12]),
            fix="name the pairs: reference: {kind: bipolar, pairs: [[A1, A2], ...]}",
        )  # fmt: skip
    place = {n: i for i, n in enumerate(names)}
    others = np.flatnonzero(~electrodes)
    first, second = (np.array([place[p[k]] for p in kept]) for k in (0, 1))

    def subtract(block: np.ndarray) -> np.ndarray:
        return np.concatenate([block[first] - block[second], block[others]])

    data, flat = by_time(recording, subtract, len(kept) + len(others))
    lost = sorted({n for pair in set(asked) - set(kept) for n in pair if n in bad})
    table = _bipolar_table(recording.channels, first, second, others, dead=flat)
    found = replace(recording, channels=table, signal=data, info={**recording.info, "reference": "bipolar"})
    return add_warning(found, f"pairs with bad electrodes left out: {', '.join(lost)}") if lost else found


def _laplacian(recording: Recording, electrodes: np.ndarray, ends: str) -> Recording:
    names = recording.ch_names
    good = electrodes & (recording.channels["status"] != "bad").to_numpy()
    beside: dict[str, list[str]] = {}
    for a, b in neighbours([n for n, g in zip(names, good, strict=True) if g]):
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    wanted = 1 if ends == "one-sided" else 2
    kept = [n for n, e in zip(names, electrodes, strict=True) if not e or len(beside.get(n, [])) >= wanted]
    centres = [n for n in kept if n in beside]
    if not centres:
        raise BraindecError(
            f"{recording.label}: no contact has {wanted} good neighbour{'s' if wanted > 1 else ''} by name", found=", ".join(names[:12]),
            fix="names are a shaft and a number (A1, A2, A3); use ends: one-sided for shafts of two contacts",
        )  # fmt: skip
    place = {n: i for i, n in enumerate(names)}
    weights = np.eye(recording.n_channels)
    for name in centres:
        weights[place[name], [place[b] for b in beside[name]]] -= 1 / len(beside[name])
    rows = np.array([place[n] for n in kept])
    found = _mix(recording, weights, reference="laplacian").select(rows)
    one_sided, lost = [n for n in centres if len(beside[n]) == 1], [n for n in names if n not in set(kept)]
    if one_sided:
        found = add_warning(
            found, f"Laplacian of contacts with one good neighbour is against it alone: {', '.join(one_sided)}"
        )
    return add_warning(found, f"left out for lack of good neighbours: {', '.join(lost)}") if lost else found


def _bipolar_table(
    channels: pd.DataFrame, first: np.ndarray, second: np.ndarray, others: np.ndarray, *, dead: np.ndarray
) -> pd.DataFrame:
    a, b = (channels.iloc[rows].reset_index(drop=True) for rows in (first, second))
    table = a[list(CHANNEL_COLUMNS)].copy()
    table["name"] = a["name"] + "-" + b["name"]
    table[["x", "y", "z"]] = (a[["x", "y", "z"]].to_numpy(float) + b[["x", "y", "z"]].to_numpy(float)) / 2
    table["region"] = [r if r == s else f"{r}/{s}" for r, s in zip(a["region"], b["region"], strict=True)]
    table["status"] = np.where(dead[first] | dead[second], "bad", "good")
    table["anode"], table["cathode"] = a["name"], b["name"]
    if "coord_frame" in channels:
        table["coord_frame"] = a["coord_frame"]
    rest = channels.iloc[others][[c for c in channels.columns if c != "loc"]]
    joined = pd.concat([table, rest], ignore_index=True) if len(others) else table
    if len(joined["name"].unique()) < len(joined):
        twice = joined["name"][joined["name"].duplicated()].tolist()
        raise BraindecError("a bipolar pair is named twice", found=", ".join(twice[:5]))
    return joined
