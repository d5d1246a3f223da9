"""What ``braindec init`` looks at in one recording or one image: channels, signal, positions, events."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.evaluate._rows import rows_of
from braindec.evaluate.finding import Context, Finding, some
from braindec.types import Recording, Spikes, Windows

DATA = (
    "eeg",
    "mag",
    "grad",
    "ecog",
    "seeg",
    "dbs",
    "hbo",
    "hbr",
    "fnirs_cw_amplitude",
    "fnirs_od",
    "unit",
    "voxel",
    "vertex",
    "grayordinate",
    "parcel",
)
_PIECES, _SECONDS, _VALUES = 5, 10.0, 4_000_000
_KIND_OF_NOTE = (
    ("no events.tsv", "events_missing"),
    ("is empty: the re", "events_missing"),
    ("is empty: the run", "events_missing"),
    ("outside the recording", "events_outside"),
    ("lie outside", "events_outside"),
    ("have no onset", "events_outside"),
    ("positions are said", "positions"),
    ("looks like m", "positions"),
    ("no electrode has the name", "positions"),
    ("positions are left out", "positions"),
    ("the electrode", "duplicate_electrode"),
    ("stands twice", "duplicate_electrode"),
    ("cut short", "damaged"),
)


def row_of(recording: Recording) -> dict[str, Any]:
    """One line of the table of recordings."""
    info, types = recording.info, recording.channels["type"]
    data = types.isin(DATA)
    return {
        **{k: info.get(k) for k in ("subject", "session", "task", "run", "modality")},
        "n_channels": int(data.sum()) or recording.n_channels,
        "types": ", ".join(f"{n} {t}" for t, n in types.value_counts().items()),
        "sfreq": round(recording.sfreq, 6),
        "duration": recording.duration,
        "n_events": len(recording.events),
        "n_positions": int(np.isfinite(recording.positions).all(axis=1).sum()),
        "space": info.get("space"),
        "path": info.get("path"),
    }


def row_of_spikes(spikes: Spikes) -> dict[str, Any]:
    """One line of the table of recordings for sorted spikes, which have no samples."""
    info = spikes.info
    return {
        **{k: info.get(k) for k in ("subject", "session", "task", "run")},
        "modality": "spikes",
        "n_channels": spikes.n_units,
        "types": f"{spikes.n_units} units, {len(spikes.times)} spikes ({len(spikes.times) / max(spikes.n_units, 1) / spikes.duration:.3g} Hz a unit)",
        "sfreq": np.nan,
        "duration": spikes.duration,
        "n_events": len(spikes.events),
        "n_positions": 0,
        "space": None,
        "path": info.get("path"),
    }


def look(recording: Recording) -> tuple[list[Finding], float]:
    """Look at pieces of the signal and at the tables of a recording; return findings and the seconds to read a MiB."""
    findings = [note_finding(str(text)) for text in recording.info.get("warnings") or []]
    findings += _events(recording)
    if recording.info.get("positions_unit_found"):
        findings = [f for f in findings if not (f.check == "positions" and "looks like" in f.message)]
        found = recording.info["positions_unit_found"]
        findings.append(
            Finding(
                "positions",
                "fail",
                f"positions are not in the unit that their file says: they look like {found}",
                {"looks_like": found},
                "correct the unit in coordsystem.json (or the numbers in electrodes.tsv)",
            )
        )
    data = recording.channels["type"].isin(DATA).to_numpy()
    kept = recording.select(np.flatnonzero(data)) if data.any() else recording
    windows = _pieces(kept)
    started = time.perf_counter()
    values = windows.load(check=False)  # (piece, channel, time)
    seconds = (time.perf_counter() - started) / max(values.nbytes / 2**20, 1e-3)
    findings += _channels(kept, values)
    if not any(f.check in ("flat_channel", "nan_channel") for f in findings):
        findings += _check("rank_deficient", windows)
    if not recording.info.get("positions_unit_found"):
        findings += [f for f in _check("positions", windows) if "stood twice" not in f.message]
    given = recording.info.get("renamed") or {}
    twice = sorted({old for new, old in given.items() if str(new).startswith(f"{old}-")})
    if twice:
        findings.append(
            Finding(
                "duplicate_electrode",
                "warn",
                f"channel labels that stand twice: {some(twice)}",
                {"labels": twice},
                "correct the names in the file or in channels.tsv",
            )
        )
    return findings, seconds


def note_finding(text: str) -> Finding:
    """A finding made of a reader's warning."""
    check = next((kind for words, kind in _KIND_OF_NOTE if words in text), "reader")
    fixes = {
        "events_missing": "write an events.tsv, or make events of a channel: options: {events_from: ...}",
        "events_outside": "check that onsets are in s from the start of this recording",
        "duplicate_electrode": "correct electrodes.tsv",
        "damaged": "copy the file again",
    }
    return Finding(check, "warn", text, {}, fixes.get(check, ""))


def _pieces(recording: Recording) -> Windows:
    """A few stretches spread over the recording, as windows."""
    n = min(
        recording.n_times, max(2, int(_SECONDS * recording.sfreq)), max(2, _VALUES // (_PIECES * recording.n_channels))
    )
    if recording.info.get("modality") == "fmri":
        n = min(recording.n_times, max(2, _VALUES // recording.n_channels))
    starts = (
        np.unique(np.linspace(0, recording.n_times - n, _PIECES).round().astype(int))
        if n < recording.n_times
        else np.array([0])
    )
    index = np.stack([np.zeros(len(starts), int), starts], axis=1)
    return Windows((recording,), index, n, pd.DataFrame({"onset": starts / recording.sfreq}))


def _check(name: str, windows: Windows) -> list[Finding]:
    found = registry.get("evaluate.checks", name)(Context(rows_of(windows), []))
    return [f for f in (found if isinstance(found, list) else [found]) if f.level in ("warn", "fail")]


def _channels(recording: Recording, values: np.ndarray) -> list[Finding]:
    names, good = np.array(recording.ch_names, dtype=object), (recording.channels["status"] != "bad").to_numpy()
    holes = ~np.isfinite(values).all(axis=(0, 2))
    with np.errstate(invalid="ignore"):
        flat = (np.ptp(values, axis=(0, 2)) == 0) & ~holes
    findings = []
    for check, rows, what in (
        ("nan_channel", holes & good, "hold values that are not finite"),
        ("flat_channel", flat & good, "are flat"),
    ):
        if rows.any():
            level = "fail" if rows.all() else "warn"
            findings.append(
                Finding(
                    check,
                    level,
                    f"{int(rows.sum())} of {len(names)} channels {what}: {some(names[rows])}",
                    {"channels": names[rows][:20]},
                    "mark them bad (channels.tsv: status = bad), or leave them out: options: {drop_channels: [...]}",
                )
            )
    return findings


def _events(recording: Recording) -> list[Finding]:
    onset = recording.events["onset"].to_numpy(dtype=float)
    outside = (onset < 0) | (onset >= recording.duration)
    told = any("outside" in str(t) for t in recording.info.get("warnings") or [])
    if not len(onset):
        missing = any(note_finding(str(t)).check == "events_missing" for t in recording.info.get("warnings") or [])
        return (
            []
            if missing
            else [
                Finding(
                    "events_missing",
                    "warn",
                    "the recording has no events",
                    {},
                    "write an events.tsv, or make events of a channel",
                )
            ]
        )
    if outside.any() and not told:
        return [
            Finding(
                "events_outside",
                "warn",
                f"{int(outside.sum())} of {len(onset)} events lie outside the recording",
                {},
                "are the onsets in s?",
            )
        ]
    return []
