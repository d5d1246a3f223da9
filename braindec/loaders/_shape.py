"""What every reader of continuous recordings does after reading: pick, rename, place, make events, collect warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _events, _positions
from braindec.types import Recording

TYPES = (
    "eeg", "mag", "grad", "ref_meg", "ecog", "seeg", "dbs", "eog", "ecg", "emg", "stim", "misc", "resp", "gsr", "temperature", "bio",
    "eyegaze", "pupil", "hbo", "hbr", "fnirs_cw_amplitude", "fnirs_od", "syst", "exci", "chpi", "unit", "voxel", "parcel", "vertex",
)  # fmt: skip


def shape(
    recording: Recording,
    *,
    warnings: list[str],
    rename: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
    drop_channels: Sequence[str] = (),
    montage: str | None = None,
    positions: Path | None = None,
    positions_unit: str | None = None,
    events_from: Mapping[str, Any] | None = None,
    stim_values: Mapping[Any, str] | None = None,
) -> Recording:
    """Apply the options that all readers share; see :mod:`braindec.loaders.readers.raw` for what they mean."""
    if events_from is not None:
        recording = recording.with_events(_events.derive(recording, events_from, stim_values))
    if types:
        recording = _retype(recording, types)
    if drop_channels:
        recording = drop(recording, drop_channels)
    if rename:
        recording = _rename(recording, rename)
    if positions is not None:
        if positions_unit is None:
            raise BraindecError(
                f"the unit of the positions in {positions} is needed", fix="add positions_unit: m (or mm, cm)"
            )
        table = _positions.read_electrodes(positions, warnings)
        recording = _positions.place(
            recording, table, unit=positions_unit, source=positions.name, warnings=warnings, prefix=True,
            space=recording.info.get("space"),
        )  # fmt: skip
    if montage is not None:
        recording = _positions.standard_montage(recording, montage, warnings)
    said = [*(recording.info.get("warnings") or []), *warnings]
    return replace(recording, info={**recording.info, "warnings": list(dict.fromkeys(said))})


def drop(recording: Recording, names: Sequence[str | int]) -> Recording:
    """Return the recording without some channels, given by name or (integers) by row."""
    rows = {recording.n_channels + n if n < 0 else n for n in names if isinstance(n, int)}
    asked = set(_expanded(recording, {str(n): "" for n in names if not isinstance(n, int)}, "drop_channels"))
    if rows and not 0 <= max(rows) < recording.n_channels:
        raise BraindecError(f"there is no channel number {max(rows)} to drop", found=f"{recording.n_channels} channels")
    keep = [i for i, n in enumerate(recording.ch_names) if n not in asked and i not in rows]
    return recording.select(np.array(keep, dtype=int))


def _rename(recording: Recording, names: Mapping[str, str]) -> Recording:
    _known(recording, list(names), "rename")
    channels = recording.channels.assign(name=[str(names.get(n, n)) for n in recording.ch_names])
    renamed = {**(recording.info.get("renamed") or {}), **{str(new): str(old) for old, new in names.items()}}
    return replace(recording, channels=channels, info={**recording.info, "renamed": renamed})


def _retype(recording: Recording, types: Mapping[str, str]) -> Recording:
    types = _expanded(recording, types, "types")
    for kind in types.values():
        if kind not in TYPES:
            raise BraindecError(
                f"there is no channel type {kind!r}{did_you_mean(str(kind), TYPES)}", allowed=", ".join(TYPES)
            )
    from braindec.types.mne_bridge import modality_of

    kinds = [str(types.get(n, k)) for n, k in zip(recording.ch_names, recording.channels["type"], strict=True)]
    modality = recording.info.get("modality")
    found = modality_of(kinds)
    about = {"modality": found if found != "misc" else modality}
    return replace(recording, channels=recording.channels.assign(type=kinds), info={**recording.info, **about})


def _expanded(recording: Recording, table: Mapping[str, str], option: str) -> dict[str, str]:
    """Replace names with ``*`` by the channels that they match; a plain name wins over a pattern."""
    patterns = {n: v for n, v in table.items() if "*" in n and n not in recording.ch_names}
    plain = {n: v for n, v in table.items() if n not in patterns}
    _known(recording, list(plain), option)
    out: dict[str, str] = {}
    for pattern, value in patterns.items():
        found = [n for n in recording.ch_names if fnmatchcase(n, pattern)]
        if not found:
            _known(recording, [pattern], option)
        out.update(dict.fromkeys(found, value))
    return {**out, **plain}


def _known(recording: Recording, names: Sequence[str], option: str) -> None:
    for name in names:
        if name not in recording.ch_names:
            raise BraindecError(
                f"{option}: {recording.label} has no channel {name!r}{did_you_mean(name, recording.ch_names)}",
                allowed=", ".join(recording.ch_names[:40]),
            )


def unique_names(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Make channel names unique by adding -0, -1, ... to those that stand twice; return them and {new: old}."""
    names = [str(n) for n in names]
    taken, out, renamed = set(names), [], {}
    for row, name in enumerate(names):
        if names.count(name) == 1:
            out.append(name)
            continue
        number = names[:row].count(name)
        new = f"{name}-{number}"
        while new in taken:
            number += 1
            new = f"{name}-{number}"
        taken.add(new)
        renamed[new] = name
        out.append(new)
    return out, renamed
