"""Channel positions: tables of electrodes in a named unit, and standard montages; always in m, never a guessed unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._events import read_tsv
from braindec.types import Recording
from braindec.types.mne_signals import quiet_mne

UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
# Systems of BIDS whose axes are front-left-up; the channel table is always right-front-up (RAS).
_ALS = {"CTF", "4DBti", "KitYokogawa", "EEGLAB", "EEGLAB-HJ", "ChietiItab"}
_HEAD_FRAMES = _ALS | {"CapTrak", "NeuromagElektaMEGIN", "ElektaNeuromag"}
_MNI = ("mni", "fsaverage", "icbm", "talairach", "ixi", "nihpd", "oasis", "uncinfant")


def read_electrodes(path: str | Path, warnings: list[str]) -> pd.DataFrame:
    """Read a table with the columns name, x, y, z (numbers in the file's own unit), one row a label.

    A label that stands twice is said in ``warnings``; it keeps its place only if both rows agree.
    """
    separator = "," if str(path).lower().endswith(".csv") else "\t"
    table = read_tsv(path, separator=separator)
    missing = [c for c in ("name", "x", "y", "z") if c not in table]
    if missing:
        raise UnreadableError(
            f"{path} has no column {missing[0]}", found=f"columns {list(table.columns)}", allowed="name, x, y, z"
        )
    for axis in "xyz":
        table[axis] = pd.to_numeric(table[axis], errors="coerce")
    table = table[table["name"].notna()].copy()
    table["name"] = table["name"].str.strip()
    for name, rows in table.groupby("name", sort=False):
        if len(rows) == 1:
            continue
        same = len(rows[["x", "y", "z"]].drop_duplicates()) == 1
        warnings.append(
            f"{Path(path).name}: the electrode {name} stands {len(rows)} times"
            + ("" if same else " in different places: it is left without a position")
        )
        if not same:
            table.loc[rows.index, ["x", "y", "z"]] = np.nan
    return table.drop_duplicates("name").reset_index(drop=True)


def plausible_unit(values: np.ndarray, unit: str) -> str | None:
    """Return the unit that coordinates look like when they cannot be in ``unit``, else None.

    A head is 0.05 to 0.3 m from its middle to any sensor: more than 1 in m, or all below 0.3 in mm, is impossible.
    """
    finite = np.abs(values[np.isfinite(values)])
    if not len(finite) or unit not in UNITS:
        return None
    largest = float(finite.max())
    fits = [name for name, scale in (("m", 1.0), ("cm", 1e-2), ("mm", 1e-3)) if 0.03 <= largest * scale <= 0.35]
    impossible = (
        (unit == "m" and largest > 1)
        or (unit == "mm" and largest < 0.3)
        or (unit == "cm" and not 0.3 <= largest <= 100)
    )
    return (fits[0] if fits else "none of m, cm, mm") if impossible else None


def place(
    recording: Recording, table: pd.DataFrame, *, unit: str, source: str, space: str | None = None,
    warnings: list[str], prefix: bool = False,
) -> Recording:  # fmt: skip
    """Return the recording with the positions of ``table``, converted from ``unit`` to m.

    Parameters
    ----------
    recording : Recording
        Channels are matched by name.
    table : DataFrame
        name, x, y, z and other columns, of :func:`read_electrodes`.
    unit : {"m", "cm", "mm"}
        The unit that the file or the caller names; it is used as it is. If the numbers cannot be in that unit, a warning
        and ``info["positions_unit_found"]`` say which unit they look like.
    source : str
        Name of the file, for messages.
    space : str, optional
        Coordinate system; front-left-up systems are turned to right-front-up.
    prefix : bool
        Match a channel whose name only starts with a label ("C3_alpha" is at C3), the longest label first.
    """
    if unit not in UNITS:
        raise BraindecError(f"{source}: unknown unit of positions {unit!r}", allowed=", ".join(UNITS))
    raw = table[["x", "y", "z"]].to_numpy(dtype=float)
    info = {"space": space}
    found = plausible_unit(raw, unit)
    if found is not None:
        warnings.append(
            f"{source}: positions are said to be in {unit} but reach {np.nanmax(np.abs(raw)):.4g}, which looks like {found}; "
            "they were used as said: correct the unit in the file"
        )
        info["positions_unit_found"] = found
    points = raw * UNITS[unit]
    if space in _ALS:
        points = np.stack([-points[:, 1], points[:, 0], points[:, 2]], axis=1)
        info["axes"] = f"right-front-up, turned from the front-left-up axes of {space}"
    rows = [_match(name, list(table["name"]), prefix) for name in recording.ch_names]
    if all(r is None for r in rows):
        warnings.append(
            f"{source}: no electrode has the name of a channel (electrodes {', '.join(table['name'][:4])}; "
            f"channels {', '.join(recording.ch_names[:4])})"
        )
        return replace(recording, info={**recording.info, "space": space})
    channels = recording.channels.drop(columns=["loc"], errors="ignore").copy()
    frame = 4 if space in _HEAD_FRAMES else 2004 if str(space).lower().startswith(_MNI) else 0
    place_of = np.array([points[r] if r is not None else [np.nan] * 3 for r in rows])
    matched = np.array([r is not None for r in rows])
    channels.loc[matched, ["x", "y", "z"]] = place_of[matched]
    channels.loc[matched, "coord_frame"] = frame
    for column in [c for c in table if c not in ("name", "x", "y", "z")]:
        values = np.array([table[column].iloc[r] if r is not None else np.nan for r in rows], dtype=object)
        if column == "region":
            channels[column] = [v if isinstance(v, str) else "n/a" for v in values]
        elif column not in channels:
            channels[column] = values
    return replace(recording, channels=channels, info={**recording.info, **info})


def _match(name: str, labels: Sequence[str], prefix: bool) -> int | None:
    if name in labels:
        return labels.index(name)
    if not prefix:
        return None
    starts = [b for b in labels if name.startswith(b) and not name[len(b)].isalnum()]
    return labels.index(max(starts, key=len)) if starts else None


def standard_montage(recording: Recording, name: str, warnings: list[str]) -> Recording:
    """Return the recording with the template positions of a montage of mne (such as ``standard_1020``), head frame.

    Raises
    ------
    BraindecError
        If mne has no such montage, or no channel has a name of it.
    """
    import mne

    known = mne.channels.get_builtin_montages()
    try:  # older names such as standard_1020 are still made, though not listed by newer versions
        with quiet_mne():
            montage = mne.channels.make_standard_montage(name)
    except ValueError as error:
        raise BraindecError(
            f"there is no montage {name!r}{did_you_mean(name, known)}", allowed=", ".join(known)
        ) from error
    electric = recording.channels["type"].isin(["eeg", "misc", "ecog", "seeg", "dbs"]).to_numpy()
    scratch = mne.create_info(
        [n for n, e in zip(recording.ch_names, electric, strict=True) if e], 1.0, "eeg", verbose="ERROR"
    )
    scratch.set_montage(montage, match_case=False, match_alias=True, on_missing="ignore", verbose="ERROR")
    places = {c["ch_name"]: np.asarray(c["loc"][:3]) for c in scratch["chs"]}
    placed = {n: p for n, p in places.items() if np.isfinite(p).all()}
    if not placed:
        raise BraindecError(
            f"no channel has a name of the montage {name}", found=", ".join(recording.ch_names[:8]),
            allowed=", ".join(montage.ch_names[:12]) + ", ...", fix="rename the channels, or leave the montage out",
        )  # fmt: skip
    left = [n for n in recording.channels.loc[recording.channels["type"] == "eeg", "name"] if n not in placed]
    if left:
        warnings.append(f"the montage {name} has no place for {len(left)} EEG channels: {', '.join(left[:8])}")
    channels = recording.channels.drop(columns=["loc"], errors="ignore").copy()
    for row, channel in enumerate(recording.ch_names):
        if channel in placed:
            channels.loc[row, ["x", "y", "z"]] = placed[channel]
            channels.loc[row, "coord_frame"] = 4
    return replace(recording, channels=channels, info={**recording.info, "space": f"head, template {name}"})
