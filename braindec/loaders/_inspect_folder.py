"""What ``braindec init`` compares: copies, sampling rates, channel sets, classes; and files of plain arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.evaluate.finding import Finding, some
from braindec.loaders import _arrays
from braindec.loaders._inspect_look import look
from braindec.types import ArraySignal, Recording

_EDGE = 1 << 20
_SMALL = 64  # bytes: shorter files may be alike by chance
MARKS = (
    "bad",
    "boundary",
    "edge",
    "gap",
    "new segment",
    "sync",
)  # events that say something of the recording, not of a stimulus
_LABELS = ("trial_type", "value", "stimulus", "condition", "stim_type", "category")


def duplicates(groups: dict[str, list[Path]]) -> list[Finding]:
    """Find recordings whose samples are the same bytes; ``groups`` is name of the recording -> its files."""
    by_size: dict[int, list[tuple[str, Path]]] = {}
    for name, paths in groups.items():
        files = [p for p in paths if p.is_file()]
        if files:
            largest = max(files, key=lambda p: p.stat().st_size)  # the samples, not the header that names them
            by_size.setdefault(largest.stat().st_size, []).append((name, largest))
    findings = []
    for size, members in by_size.items():
        if len(members) < 2 or size < _SMALL:
            continue
        for same in _alike(members):
            findings.append(
                Finding(
                    "duplicate_recordings",
                    "fail",
                    f"the same recording stands under {len(same)} names: {' = '.join(n for n, _ in same)} "
                    f"({size} identical bytes)",
                    {"names": [n for n, _ in same], "files": [str(p) for _, p in same]},
                    "leave all but one out (options: session, run): a copy in the training part of a test run "
                    "raises every score",
                )
            )
    return findings


def compare(table: pd.DataFrame, channel_sets: Sequence[tuple[str, ...]], names: Sequence[str]) -> list[Finding]:
    """Compare sampling rates and channel sets of the recordings."""
    findings = []
    rates = table["sfreq"].value_counts()
    if len(rates) > 1:
        odd = [n for n, s in zip(names, table["sfreq"], strict=True) if s != rates.index[0]]
        said = ", ".join(f"{n} at {s:g} Hz" for s, n in rates.items())
        findings.append(
            Finding(
                "sampling_rate",
                "warn",
                f"sampling rates differ: {said} ({some(odd)})",
                {"rates": {f"{s:g}": int(n) for s, n in rates.items()}},
                "resample them to one rate (signal: - resample: {sfreq: ...})",
            )
        )
    counts: dict[tuple[str, ...], int] = {}
    for channels in channel_sets:
        counts[channels] = counts.get(channels, 0) + 1
    if len(counts) > 1:
        usual = max(counts, key=lambda c: counts[c])
        shared = set.intersection(*(set(c) for c in counts))
        odd = [n for n, c in zip(names, channel_sets, strict=True) if c != usual]
        differ = sorted(set().union(*counts) - shared)
        order = "" if differ else ", the same channels in another order"
        findings.append(
            Finding(
                "channel_set",
                "warn",
                f"channel sets differ in {len(odd)} of {len(names)} recordings ({some(odd)}): {len(shared)} "
                "channels are in all" + (f", not in all: {some(differ)}" if differ else order),
                {"shared": len(shared), "differ": differ[:20]},
                "keep the shared ones: channels: common",
            )
        )
    return findings


def choose_column(events: Sequence[pd.DataFrame]) -> str | None:
    """The column that most likely names classes: trial_type, else one of 2 to 20 values that come again and again."""
    joined = pd.concat(events, ignore_index=True) if events else pd.DataFrame()
    scores: dict[str, tuple[int, int]] = {}
    for column in joined.columns.difference(
        ["onset", "duration", "sample", "response_time", "seconds_lost"], sort=False
    ):
        values = joined[column].dropna().astype(str)
        n = values.nunique()
        if n < 1 or len(values) < 0.3 * len(joined):
            continue
        fits = 2 <= n <= 20 and values.value_counts().iloc[1] >= 5
        scores[str(column)] = (
            2 * fits + (column == "trial_type"),
            -_LABELS.index(column) if column in _LABELS else -len(_LABELS) - n,
        )
    return max(scores, key=lambda c: scores[c]) if scores else None


def count_events(events: Sequence[pd.DataFrame], column: str | None) -> dict[str, int]:
    """How often each value of ``column`` stands in the events of all recordings."""
    if column is None:
        return {}
    values = pd.concat([e[column] for e in events if column in e], ignore_index=True).dropna().astype(str)
    values = values[~values.str.lower().str.startswith(MARKS)]
    return {str(k): int(v) for k, v in values.value_counts().items()}


def classes(events: Sequence[pd.DataFrame], subjects: Sequence[str], column: str | None) -> list[Finding]:
    """Find data with one class only, over all or for some subjects."""
    counts = count_events(events, column)
    if not counts:
        return []
    if len(counts) == 1:
        only = next(iter(counts))
        return [
            Finding(
                "one_class",
                "fail",
                f"all {counts[only]} events are of one class: {column} = {only!r}",
                {"column": column},
                "two or more classes are needed: use another column (events: {column: ...}), or other recordings",
            )
        ]
    per: dict[str, set[str]] = {}
    for table, subject in zip(events, subjects, strict=True):
        values = table[column].dropna().astype(str) if column in table else []
        per.setdefault(subject, set()).update(values)
    poor = [s for s, found in per.items() if len(found) == 1]
    if not poor:
        return []
    return [
        Finding(
            "one_class",
            "warn",
            f"subjects with one class only: {some(poor)}",
            {"subjects": poor},
            "leave them out: select: {subjects: [...]}",
        )
    ]


def look_at_arrays(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, Any], list[Finding]]:
    """Look at a file of arrays: shapes, a guess of the options of the reader ``arrays``, findings on its signal."""
    shapes = _arrays.variables(path)
    guess: dict[str, Any] = {}
    findings: list[Finding] = []

    def spec(name: str) -> str:
        return f"{path.name}:{name}" if name else path.name

    cubes = [n for n, s in shapes.items() if len(s) == 3 and min(s) > 0]
    sheets = [
        n for n, s in shapes.items() if len(s) == 2 and max(s) >= 500 and 2 <= min(s) <= 1024 and max(s) >= 8 * min(s)
    ]
    if cubes:
        name = max(cubes, key=lambda n: int(np.prod(shapes[n])))
        guess["X"] = spec(name)
        labels = [n for n, s in shapes.items() if s in ((shapes[name][0],), (shapes[name][0], 1), (1, shapes[name][0]))]
        guess |= {"y": spec(labels[0])} if labels else {}
        values = np.asarray(_arrays.read(spec(name), path.parent)).swapaxes(0, 1)
        values = values.reshape(len(values), -1)
    elif sheets:
        name = max(sheets, key=lambda n: int(np.prod(shapes[n])))
        tall = shapes[name][0] > shapes[name][1]
        guess |= {"signal": spec(name), "orientation": "time_channel" if tall else "channel_time"}
        traces = [n for n, s in shapes.items() if n != name and int(np.prod(s)) == max(shapes[name]) and len(s) <= 2]
        guess |= {"stim": spec(traces[0])} if traces else {}
        values = np.asarray(_arrays.read(spec(name), path.parent))
        values = values.T if tall else values
    else:
        return shapes, guess, findings
    if values.dtype.kind in "fiu" and 2 <= len(values) <= 1024 and values.shape[1] >= 2:
        named = pd.DataFrame({"name": [f"column {i + 1}" for i in range(len(values))], "type": "eeg"})
        found, _ = look(Recording(ArraySignal(values), 1.0, named, info={"path": str(path)}))
        findings += [
            _name_last(f, values) for f in found if f.check in ("rank_deficient", "flat_channel", "nan_channel")
        ]
    return shapes, guess, findings


def _name_last(finding: Finding, values: np.ndarray) -> Finding:
    """Columns without names that add up to zero: any of them could be the computed one, files put it last."""
    sampled = values[:, :: max(1, values.shape[1] // 50_000)].astype(np.float64)
    sampled = sampled[:, np.isfinite(sampled).all(axis=0)]
    if (
        finding.check != "rank_deficient"
        or len(values) < 3
        or sampled.sum(axis=0).var() > 0.01 * sampled.var(axis=1).min()
    ):
        return finding
    n = len(values)
    return Finding(
        "rank_deficient",
        "warn",
        f"rank {n - 1} of {n}: all columns add up to zero, so one is minus the sum of the others: the last, "
        f"column {n}, "
        "if it is no electrode",
        {"channels": [f"column {n}"], "rank": n - 1},
        f"leave it out: options: {{drop: [{n - 1}]}} (columns are counted from 0)",
        finding.reference,
    )


def find_arrays(folder: Path) -> list[Path]:
    """Files of arrays in a folder (not below it), or the file itself."""
    if folder.is_file():
        return [folder] if folder.suffix.lower() in _arrays.SUFFIXES else []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _arrays.SUFFIXES and not p.name.startswith("."))


def grouped(found: Sequence[tuple[str, Finding]]) -> list[Finding]:
    """Say what many recordings share once: findings of one check, with how many recordings have it and an example."""
    order: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for name, finding in found:
        order.setdefault((finding.check, _shape_of(finding.message, name)), []).append((name, finding))
    merged = []
    for (check, _), members in order.items():
        names = list(dict.fromkeys(n for n, _ in members))
        first = members[0][1]
        where = f" [{names[0]}]" if len(names) == 1 else f" [{len(names)} recordings: {some(names, 3)}]"
        level = "fail" if any(f.level == "fail" for _, f in members) else first.level
        merged.append(
            Finding(
                check,
                level,
                first.message + where,
                {**first.evidence, "recordings": names[:50]},
                first.fix,
                first.reference,
            )
        )
    return merged


def _shape_of(message: str, name: str) -> str:
    """The message without names and numbers, so that the same trouble of two runs is one line."""
    words = [w for w in message.replace(name, "").split() if not any(c.isdigit() for c in w)]
    return " ".join(words)


def _alike(members: Sequence[tuple[str, Path]]) -> list[list[tuple[str, Path]]]:
    """Groups of files with the same content: first and last MiB, then everything."""
    groups: list[list[tuple[str, Path]]] = [list(members)]
    for digest in (_edges, _whole):
        split: list[list[tuple[str, Path]]] = []
        for group in groups:
            found: dict[str, list[tuple[str, Path]]] = {}
            for member in group:
                found.setdefault(digest(member[1]), []).append(member)
            split += [g for g in found.values() if len(g) > 1]
        groups = split
    return groups


def _edges(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_EDGE))
        file.seek(-min(_EDGE, path.stat().st_size), 2)
        digest.update(file.read())
    return digest.hexdigest()


def _whole(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_EDGE):
                digest.update(block)
    except OSError as error:
        raise BraindecError(f"{path} cannot be read", found=str(error)) from error
    return digest.hexdigest()
