"""Look at a folder of recordings: what is in it, what is wrong with it, and a first cohort file to edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.evaluate.finding import Finding, some
from braindec.loaders import _files, _inspect_folder, _inspect_look, _inspect_open
from braindec.loaders._first_guess import first_guess
from braindec.types import Recording, Spikes, Windows

__all__ = ["Inspection", "first_guess", "inspect"]

_ORDER = {"fail": 0, "warn": 1, "pass": 2, "skip": 3}
_MARK = {"fail": "FAIL", "warn": "warn", "pass": "ok  ", "skip": "note"}


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a folder holds.

    Parameters
    ----------
    root : Path
        The folder or file.
    reader : str
        The reader that opens it.
    options : dict
        Options that are needed to open it.
    table : DataFrame
        One row a recording: subject, session, task, run, modality, n_channels, types, sfreq, duration, n_events, ...
    column : str or None
        The column of the events that most likely names classes.
    events : dict of str to int
        How often each value of it stands there.
    timing : dict
        Median duration of events and the median time between their onsets, s.
    findings : list of Finding
        What is wrong, worst first.
    about : dict
        Size on disk and in memory, seconds to read, and anything else worth a line.
    """

    root: Path
    reader: str
    options: dict[str, Any]
    table: pd.DataFrame
    column: str | None = None
    events: dict[str, int] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def level(self) -> str:
        """The worst level of the findings."""
        return min((f.level for f in self.findings), key=lambda level: _ORDER[level], default="pass")

    def of(self, check: str) -> list[Finding]:
        """Return the findings of one check."""
        return [f for f in self.findings if f.check == check]

    def __str__(self) -> str:
        lines = [f"{self.root}: {len(self.table)} recordings, reader {self.reader}"]
        for key in ("subject", "session", "task", "run", "modality"):
            values = [str(v) for v in self.table.get(key, pd.Series(dtype=object)).dropna().unique()]
            if values:
                lines.append(f"  {key + 's' if key != 'modality' else 'modality'}: {some(values, 12)} ({len(values)})")
        for key, unit in (("types", ""), ("sfreq", " Hz"), ("space", "")):
            values = [
                f"{v:g}" if isinstance(v, float) else str(v)
                for v in self.table.get(key, pd.Series(dtype=object)).dropna().unique()
            ]
            if values:
                lines.append(f"  {'channels' if key == 'types' else key}: {some(values, 4)}{unit}")
        if "duration" in self.table and len(self.table):
            total = self.table["duration"].sum()
            lines.append(
                f"  length: {self.table['duration'].min():.1f} to {self.table['duration'].max():.1f} s a "
                f"recording, {total / 60:.1f} min in all"
            )
        if self.events:
            lines.append(
                f"  events by {self.column}: " + ", ".join(f"{k} ({v})" for k, v in list(self.events.items())[:12])
            )
        lines += [f"  {k}: {v}" for k, v in self.about.items()]
        lines += [
            f"  {_MARK[f.level]} {f.check}: {f.message}" + (f"\n       fix: {f.fix}" if f.fix else "")
            for f in self.findings
        ]
        return "\n".join(lines if self.findings else [*lines, "  nothing suspicious was found"])


def inspect(root: str | Path) -> Inspection:
    """Look at a folder (or a file) of recordings; pieces of each signal are read, nothing is changed.

    Parameters
    ----------
    root : str or Path
        A BIDS folder, a folder of images or arrays, or one recording.

    Raises
    ------
    BraindecError
        If there is nothing that a reader knows.
    """
    path = _files.existing(root)
    card = _card_of(path)
    try:
        reader = _inspect_open.reader_of(path)
        if reader == "arrays":
            return _finish(_Look(path, reader), arrays=True, card=card)
        path, reader, options, openers = _inspect_open.plan(path, reader)
    except BraindecError as error:
        if card is None:
            raise
        raise BraindecError(error.asked, found=error.found, allowed=error.allowed,
                            fix=f"there is a card for a folder of this name, which says how to read it: data.dataset={card}") from error  # fmt: skip
    seen = _Look(path, reader)
    seen.options = options
    for name, files, open_it in openers:
        seen.add(name, files, open_it)
    return _finish(seen, card=card)


class _Look:
    """What was seen so far."""

    def __init__(self, root: Path, reader: str) -> None:
        self.root, self.reader = root, reader
        self.rows: list[dict[str, Any]] = []
        self.names: list[str] = []
        self.channels: list[tuple[str, ...]] = []
        self.events: list[pd.DataFrame] = []
        self.found: list[tuple[str, Finding]] = []
        self.files: dict[str, list[Path]] = {}
        self.seconds: list[float] = []
        self.options: dict[str, Any] = {}
        self.cut: tuple[float, float] | None = None

    def add(self, name: str, files: list[Path], open_it: Callable[[], Any]) -> None:
        """Open one recording and look at it; one that cannot be opened becomes a finding."""
        self.files[name] = files
        try:
            opened = open_it()
            for thing in opened if isinstance(opened, list) else [opened]:
                self._look(thing, name)
        except BraindecError as error:
            check = "repetition_time" if "repetition time" in error.asked else "damaged"
            self.found.append(
                (
                    name,
                    Finding(
                        check, "fail", error.asked + (f" ({error.found})" if error.found else ""), {}, error.fix or ""
                    ),
                )
            )

    def _look(self, thing: Any, name: str) -> None:
        if isinstance(thing, Windows):
            first = thing.recordings[0]
            self.rows.append(
                {
                    **_inspect_look.row_of(first),
                    "n_events": len(thing),
                    "duration": len(thing) * thing.n_times / thing.sfreq,
                }
            )
            self.events.append(thing.trials)
            self.cut = (round(thing.tmin, 4), round(thing.tmin + thing.n_times / thing.sfreq, 4))
            self.names.append(name)
            self.channels.append(tuple(first.ch_names))
            self.found += [(name, _inspect_look.note_finding(str(t))) for t in first.info.get("warnings") or []]
            return
        if isinstance(thing, Spikes):
            self.rows.append(_inspect_look.row_of_spikes(thing))
            self.events.append(thing.events)
            self.names.append(name)
            self.channels.append(tuple(thing.units["name"].astype(str)))
            self.found += [(name, _inspect_look.note_finding(str(t))) for t in thing.info.get("warnings") or []]
            return
        if not isinstance(thing, Recording):
            self.found.append((name, Finding("reader", "skip", f"{thing!r} is not looked at further")))
            return
        label = thing.label if name not in thing.label and thing.info.get("run") else name
        findings, seconds = _inspect_look.look(thing)
        self.rows.append(_inspect_look.row_of(thing))
        self.names.append(label)
        kept = thing.channels["type"].isin(_inspect_look.DATA)
        self.channels.append(tuple(thing.channels["name"][kept] if kept.any() else thing.channels["name"]))
        self.events.append(thing.events)
        self.seconds.append(seconds)
        self.found += [(label, f) for f in findings]


def _finish(seen: _Look, *, arrays: bool = False, card: str | None = None) -> Inspection:
    about: dict[str, Any] = {}
    options = dict(seen.options)
    if arrays:
        paths = _inspect_folder.find_arrays(seen.root)
        for path in paths:
            try:
                shapes, guess, findings = _inspect_folder.look_at_arrays(path)
            except BraindecError as error:
                seen.found.append(
                    (
                        path.name,
                        Finding(
                            "damaged",
                            "fail",
                            error.asked + (f" ({error.found})" if error.found else ""),
                            {},
                            error.fix or "",
                        ),
                    )
                )
                continue
            about[path.name] = ", ".join(f"{n or 'array'} {s}" for n, s in shapes.items())
            if "X" in guess or ("signal" in guess and not options):
                options = guess
            seen.found += [(path.name, f) for f in findings]
            seen.files[path.name] = [path]
        if "X" in options and "y" not in options:
            options |= _labels_beside(seen.root, options["X"], paths)
    table = pd.DataFrame(seen.rows)
    findings = _inspect_folder.duplicates(seen.files)
    column, counts, timing = None, {}, {}
    if len(table):
        findings += _inspect_folder.compare(table, seen.channels, seen.names)
        some_events = [e for e in seen.events if len(e)]
        column = _inspect_folder.choose_column(some_events)
        counts = _inspect_folder.count_events(some_events, column)
        findings += _inspect_folder.classes(
            seen.events, ["?" if pd.isna(s) else str(s) for s in table["subject"]], column
        )
        timing = _timing(some_events) if seen.cut is None else {"tmin": seen.cut[0], "tmax": seen.cut[1]}
        about |= _cost(table, seen)
    findings += _inspect_folder.grouped(seen.found)
    if not len(table) and not arrays and not findings:
        raise BraindecError(f"there is nothing to look at in {seen.root}")
    findings.sort(key=lambda f: _ORDER[f.level])
    if card:
        about["card"] = f"{card} (data: {{dataset: {card}}} reads this folder with its options)"
    return Inspection(seen.root.resolve(), seen.reader, options, table, column, counts, timing, findings, about)


def _labels_beside(root: Path, X: str, paths: Sequence[Path]) -> dict[str, str]:
    """Labels in a file of their own: as many as there are windows."""
    from braindec.loaders import _arrays

    folder = root if root.is_dir() else root.parent
    n = len(_arrays.read(X, folder))
    for path in paths:
        for name, shape in _arrays.variables(path).items():
            if shape in ((n,), (n, 1), (1, n)):
                return {"y": f"{path.name}:{name}" if name else path.name}
    return {}


def _timing(events: Sequence[pd.DataFrame]) -> dict[str, float]:
    with_onset = [e for e in events if "onset" in e and len(e) > 1]
    steps = (
        np.concatenate([np.diff(np.sort(e["onset"].to_numpy(dtype=float))) for e in with_onset])
        if with_onset
        else np.zeros(0)
    )
    steps = steps[np.isfinite(steps) & (steps > 0)]
    lengths = (
        np.concatenate([e["duration"].to_numpy(dtype=float) for e in events if "duration" in e])
        if events
        else np.zeros(0)
    )
    lengths = lengths[np.isfinite(lengths)]
    return {k: round(float(np.median(v)), 4) for k, v in (("between_onsets", steps), ("duration", lengths)) if len(v)}


def _cost(table: pd.DataFrame, seen: _Look) -> dict[str, str]:
    """Size on disk, memory of the largest subject (float32), and seconds to read everything once."""
    size = sum(p.stat().st_size for paths in seen.files.values() for p in paths if p.is_file())
    memory = (table["n_channels"] * table["sfreq"] * table["duration"] * 4).groupby(
        table["subject"].fillna("?").astype(str)
    ).sum() / 2**20
    cost = {"size on disk": f"{size / 2**20:.1f} MiB"}
    if table["sfreq"].notna().all():  # spikes have no samples
        cost["largest subject in memory"] = f"{memory.max():.1f} MiB as float32"
    if seen.seconds:
        cost["reading all of it once"] = (
            f"about {max(1.0, float(np.median(seen.seconds)) * memory.sum()):.0f} s on this machine"
        )
    return cost


def _card_of(root: Path) -> str | None:
    from braindec.loaders.cards import load_card, names

    for name in names():
        card = load_card(name)
        if card.folder == root.resolve().name and (
            not card.files or any((root / f.path).is_file() for f in card.files)
        ):
            return name
    return None
