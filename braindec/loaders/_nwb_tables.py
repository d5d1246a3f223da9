"""Tables of the reader nwb: which series a file holds, their channels and units, intervals as events on a time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._nwb import Axis, stem

_UNITS = {
    "volts": "V",
    "volt": "V",
    "meters": "m",
    "meter": "m",
    "amperes": "A",
    "none": "n/a",
    "": "n/a",
    "unknown": "n/a",
}


def all_series(nwb: Any) -> dict[str, Any]:
    """Every TimeSeries with numbers in acquisition and processing, by name (with its container when that is needed)."""
    import pynwb

    found: dict[str, Any] = {}
    for item in nwb.objects.values():
        if (
            not isinstance(item, pynwb.TimeSeries)
            or item.data is None
            or np.ndim(item.data) not in (1, 2)
            or len(item.data) < 2
        ):
            continue
        if np.dtype(getattr(item.data, "dtype", "O")).kind not in "biuf" or isinstance(item, pynwb.image.ImageSeries):
            continue
        parent = getattr(item.parent, "name", "")
        name = item.name if item.name not in found else f"{parent}/{item.name}"
        found[name] = item
    return dict(sorted(found.items()))


def candidates(everything: dict[str, Any]) -> dict[str, list[str]]:
    """Series of (time, channel), and stacks of one-channel series; tracked positions are not offered."""
    import pynwb

    groups: dict[str, list[str]] = {}
    for name, item in everything.items():
        if isinstance(item, pynwb.behavior.SpatialSeries):
            continue
        if np.ndim(item.data) == 2:
            groups[name] = [name]
        else:
            groups.setdefault(stem(name), []).append(name)
    wide = {k: v for k, v in groups.items() if len(v) > 1 or np.ndim(everything[v[0]].data) == 2}
    return wide or groups


def channel_table(
    chosen: Sequence[Any], names: Sequence[str], ch_type: str | None
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, bool]:
    import pynwb

    first = chosen[0]
    electric = isinstance(first, pynwb.ecephys.ElectricalSeries)
    kind = ch_type or "misc"
    if len(chosen) > 1 or np.ndim(first.data) == 1:
        table = pd.DataFrame({"name": list(names), "type": kind, "unit": [_unit(c) for c in chosen]})
        table["description"] = [str(c.description) for c in chosen]
        return (
            table,
            np.array([c.conversion for c in chosen], float),
            np.array([c.offset for c in chosen], float),
            electric,
        )
    n = int(first.data.shape[1])
    factor = np.full(n, float(first.conversion))
    if electric and first.channel_conversion is not None:
        factor = factor * np.asarray(first.channel_conversion[:], dtype=float)
    table = pd.DataFrame({"name": [f"{first.name}{i:03d}" for i in range(n)], "type": kind, "unit": _unit(first)})
    if electric:
        rows = first.electrodes.to_dataframe() if hasattr(first.electrodes, "to_dataframe") else pd.DataFrame()
        if len(rows) == n:
            labels = next((c for c in ("label", "channel_name", "electrode_name") if c in rows), None)
            called = [str(v) for v in rows[labels]] if labels else [f"electrode{i}" for i in rows.index]
            if len(set(called)) == n:
                table["name"] = called
            for axis in "xyz":
                if axis in rows:
                    table[axis] = pd.to_numeric(rows[axis], errors="coerce").to_numpy(dtype=float) * 1e-6
            if "location" in rows:
                table["region"] = [str(v) for v in rows["location"]]
    return table, factor, np.full(n, float(first.offset)), electric


def _unit(series: Any) -> str:
    unit = str(series.unit or "").strip()
    return _UNITS.get(unit.lower(), unit)


def interval_events(nwb: Any, intervals: str, said: list[str]) -> pd.DataFrame:
    """The rows of a table of intervals as events, times in s of the session."""
    table = nwb.trials if intervals == "trials" else (nwb.intervals or {}).get(intervals)
    if table is None:
        if intervals != "trials":
            known = list(nwb.intervals or {})
            raise BraindecError(
                f"there are no intervals {intervals!r}{did_you_mean(intervals, known)}",
                allowed=", ".join(known) or "none",
            )
        return pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    frame = table.to_dataframe().reset_index(drop=True)
    events = pd.DataFrame(
        {
            "onset": frame["start_time"].astype(float),
            "duration": (frame["stop_time"] - frame["start_time"]).astype(float),
        }
    )
    for column in frame.columns.difference(["start_time", "stop_time", "timeseries"], sort=False):
        if frame[column].map(np.isscalar).all():
            events[str(column)] = frame[column].to_numpy()
        else:
            said.append(f"the column {column} of {intervals} holds no single values and is left out")
    return events


def on_axis(events: pd.DataFrame, axis: Axis, first: int, last: int, *, mark: bool) -> pd.DataFrame:
    """Events in s from the first sample of a stretch; for marked gaps times are turned to counts of samples."""
    onset = events["onset"].to_numpy(dtype=float)
    if axis.times is None:
        shifted = onset - axis.start
        keep = np.ones(len(onset), dtype=bool)
    elif mark:
        place = np.interp(onset, axis.times, np.arange(len(axis.times)), left=-1, right=len(axis.times))
        shifted, keep = place / axis.sfreq, np.ones(len(onset), dtype=bool)
    else:
        shifted = onset - axis.times[first]
        keep = (onset >= axis.times[first]) & (onset <= axis.times[last - 1])
    table = events[keep].assign(onset=shifted[keep])
    if mark and len(axis.stretches) > 1 and axis.times is not None:
        jumps = np.array([a for a, _ in axis.stretches[1:]])
        lost = np.diff(axis.times)[jumps - 1]
        marks = pd.DataFrame({"onset": jumps / axis.sfreq, "duration": 0.0, "trial_type": "gap", "seconds_lost": lost})
        table = pd.concat([table, marks], ignore_index=True).sort_values("onset", kind="stable")
    return table.reset_index(drop=True)
