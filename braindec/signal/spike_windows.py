"""Windows of spike counts around events: bins are laid from each event, not on a grid of the recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Spikes, Windows

__all__ = ["spike_windows"]

_SCALES = ("count", "sqrt", "rate")


def spike_windows(
    spikes: Spikes | Sequence[Spikes],
    *,
    width: float,
    tmin: float,
    tmax: float,
    column: str = "trial_type",
    select: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    scale: str = "count",
) -> Windows:
    """Count the spikes of each unit in bins around each event.

    Parameters
    ----------
    spikes : Spikes or list of Spikes
        Recordings of the same units.
    width : float
        Width of a bin, s; it must divide the window.
    tmin, tmax : float
        Window around the onset, s.
    column : str
        Column of the events that names classes.
    select : sequence of str, optional
        Values of ``column`` to keep; all that are there by default.
    rename : dict, optional
        New names of values.
    scale : {"count", "sqrt", "rate"}
        Numbers of spikes, their square roots (variance of Poisson counts made even), or Hz.

    Returns
    -------
    Windows
        (window, unit, bin) at 1 / ``width`` Hz, one recording each Spikes. Windows that leave what was observed are
        left out and told in ``info["dropped"]``.

    Raises
    ------
    BraindecError
        If units differ, a column or value is not there, bins do not divide the window, or no window is left.
    """
    several = [spikes] if isinstance(spikes, Spikes) else list(spikes)
    if scale not in _SCALES:
        raise BraindecError(
            f"scale: {scale!r} is unknown{did_you_mean(str(scale), _SCALES)}", allowed=", ".join(_SCALES)
        )
    n_bins = _bins(width, tmin, tmax)
    names = several[0].units["name"].astype(str).tolist()
    for other in several[1:]:
        if other.units["name"].astype(str).tolist() != names:
            raise BraindecError("recordings have different units", found=f"{len(names)} and {other.n_units} units")
    present = [e[column].dropna().astype(str) for s in several if column in (e := s.events) and len(e)]
    if not present:
        columns = sorted({str(c) for s in several for c in s.events})
        if not any(len(s.events) for s in several):
            raise BraindecError(
                "the spikes have no events to cut windows around", found="no events",
                fix="name a table with onset, duration and trial_type: the reader's option events=events.tsv",
            )  # fmt: skip
        raise BraindecError(
            f"no event has a column {column!r}{did_you_mean(column, columns)}", found=", ".join(columns) or "no events"
        )
    known = sorted(set(pd.concat(present).map(lambda v: (rename or {}).get(v, v))))
    for value in select or ():
        if str(value) not in known:
            raise BraindecError(
                f"no event has {column} = {value!r}{did_you_mean(str(value), known)}", allowed=", ".join(known[:30])
            )
    parts, dropped = [], []
    for one in several:
        events, lost = _events(one, column, select, rename, (tmin, tmin + n_bins * width))
        dropped += lost
        if len(events):
            parts.append(_windows(one, events, width, tmin, n_bins, scale))
    if not parts:
        raise BraindecError(
            "no window of spikes is left", found="; ".join(dropped)[:300] or "no events", fix="use a shorter window"
        )
    made = parts[0] if len(parts) == 1 else Windows.concat(parts)
    made.info["dropped"] = dropped
    return made


def _bins(width: float, tmin: float, tmax: float) -> int:
    if not width > 0 or not tmax > tmin:
        raise BraindecError("windows of spikes need width > 0 and tmax > tmin", found=f"{width}, {tmin} to {tmax} s")
    n = round((tmax - tmin) / width)
    if n < 1 or abs(n * width - (tmax - tmin)) > 1e-6 * width * max(n, 1) + 1e-9:
        raise BraindecError(
            f"bins of {width:g} s do not divide {tmin:g} to {tmax:g} s",
            fix=f"for example tmax: {tmin + max(n, 1) * width:g}",
        )
    return n


def _events(
    one: Spikes, column: str, select: Sequence[str] | None, rename: Mapping[str, str] | None, span: tuple[float, float]
) -> tuple[pd.DataFrame, list[str]]:
    """Events that are asked for and lie inside what was observed, and what was left out."""
    if column not in one.events or not len(one.events):
        return one.events.iloc[:0], []
    label = str(one.info.get("run") or one.info.get("subject") or "recording")
    events = one.events[one.events[column].notna()]
    events = events.assign(**{column: events[column].astype(str).map(lambda v: (rename or {}).get(v, v))})
    if select is not None:
        events = events[events[column].isin([str(s) for s in select])]
    first, last = events["onset"].to_numpy(float) + span[0], events["onset"].to_numpy(float) + span[1]
    at = np.searchsorted(one.support[:, 0], first + 1e-9, side="right") - 1
    fine = (at >= 0) & (last <= one.support[np.maximum(at, 0), 1] + 1e-9)
    lost = [f"{label}: {int((~fine).sum())} of {len(events)} windows leave what was observed"] if (~fine).any() else []
    return events[fine].reset_index(drop=True), lost


def _windows(one: Spikes, events: pd.DataFrame, width: float, tmin: float, n_bins: int, scale: str) -> Windows:
    onsets = events["onset"].to_numpy(float)
    out = np.zeros((len(onsets), one.n_units, n_bins), dtype=np.float32)
    flat, offsets = one.trains()
    edges = (onsets + tmin)[:, None] + width * np.arange(n_bins + 1)
    for unit in range(one.n_units):
        # a spike on an edge, up to rounding, belongs to the bin that begins there
        place = np.searchsorted(flat[offsets[unit] : offsets[unit + 1]], edges.ravel() - 1e-9 * width)
        out[:, unit] = np.diff(place.reshape(edges.shape), axis=1)
    if scale != "count":
        out = np.sqrt(out) if scale == "sqrt" else out / np.float32(width)
    channels = one.units.assign(type="unit", unit={"count": "count", "sqrt": "sqrt(count)", "rate": "Hz"}[scale])
    info = {k: v for k, v in one.info.items() if k != "modality"}
    for key in ("subject", "session", "run"):
        if info.get(key) is not None and key not in events:
            events = events.assign(**{key: str(info[key])})
    return Windows.from_arrays(out, events, sfreq=1.0 / width, channels=channels, tmin=tmin, modality="spikes", **info)
