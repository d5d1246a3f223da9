"""A first cohort file from an inspection: what can be read off is filled in, what must be decided is a comment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from braindec.config import dump_yaml

if TYPE_CHECKING:
    from braindec.loaders.inspect import Inspection

_NOT_A_CLASS = ("n/a", "rest", "fixation", "baseline")


def first_guess(inspection: Inspection) -> str:
    """Return the text of a cohort file (YAML) for the recipe that fits, with a comment on every guess.

    Parameters
    ----------
    inspection : Inspection
        What :func:`braindec.loaders.inspect.inspect` saw.
    """
    fmri = inspection.reader == "fmri" or "fmri" in set(inspection.table.get("modality", []))
    lines = [f"# First guess for {inspection.root.name}; look through it before you believe a number."]
    lines += [f"# {f.level.upper()} {f.check}: {f.message}" for f in inspection.findings if f.level in ("fail", "warn")]
    if "card" in inspection.about:
        lines.append(f"# There is a card for a folder of this name: {inspection.about['card']}")
    spikes = "spikes" in set(inspection.table.get("modality", []))
    of_spikes = "spike_decoding" if inspection.events else "spike_statistics"
    recipe = "fmri_category_decoding" if fmri else of_spikes if spikes else "erp_classification"
    lines += [f"recipe: {recipe}", *_data(inspection, fmri), *_select(inspection)]
    if spikes:
        lines += (
            [*_events(inspection), *_bins(inspection), *_split(inspection)]
            if inspection.events
            else _without_events(inspection)
        )
        return "\n".join(lines) + "\n"
    if not fmri:
        lines += _signal(inspection)
        if inspection.of("channel_set"):
            lines.append("channels: common            # channel sets differ: keep those that all runs share")
    lines += _events(inspection)
    lines += _volumes(seen=inspection) if fmri else _epochs(inspection)
    return "\n".join([*lines, *_split(inspection)]) + "\n"


def _data(seen: Inspection, fmri: bool) -> list[str]:
    options = dict(seen.options)
    comments: list[str] = []
    for option in ("task", "modality"):
        values = (
            seen.table[option].dropna().value_counts()
            if option in seen.table and len(seen.table)
            else pd.Series(dtype=int)
        )
        if len(values) > 1 and seen.reader in ("bids", "fmri", "cifti", "gifti"):
            key = "datatype" if option == "modality" else option
            options[key] = {"fnirs": "nirs"}.get(str(values.index[0]), str(values.index[0]))
            comments.append(f"  # {key}: also {', '.join(map(str, values.index[1:]))}")
    if (
        fmri
        and seen.reader == "fmri"
        and not any("derivatives" in str(p) or "desc-preproc" in str(p) for p in seen.table.get("path", []))
    ):
        options.setdefault("mask", "auto")
    if fmri and options.get("mask") == "auto":
        comments.append(
            "  # mask: auto computes one from intensities; better: the path of a mask, or atlas: path of a parcellation"
        )
    redundant = sorted({c for f in seen.of("rank_deficient") for c in f.evidence.get("channels", [])})
    if 0 < len(redundant) <= 3:  # many copies are a property of the recording (padding, ICA), not a channel to drop
        key = "drop" if seen.reader in ("arrays", "table") else "drop_channels"
        options[key] = [int(c.split()[-1]) - 1 if c.startswith("column ") else c for c in redundant]
        comments.append(f"  # {key}: a channel that others determine ({', '.join(redundant)})")
    if "pattern" in options:
        comments.append("  # pattern: {run} may be {subject} or {session}; say which")
    if seen.reader == "arrays":
        comments.append("  # FILL IN options.sfreq: the sampling frequency in Hz; the files do not say it")
        comments.append(
            "  # say also unit (uV, V, fT, ...), modality (eeg, meg, ...), ch_names and names or stim_names of "
            "the labels"
        )
    data: dict[str, Any] = {"root": str(seen.root), "reader": seen.reader}
    data |= {"options": options} if options else {}
    return [*dump_yaml({"data": data}).rstrip().splitlines(), *comments]


def _select(seen: Inspection) -> list[str]:
    lines: list[str] = []
    copies = [n for f in seen.of("duplicate_recordings") for n in f.evidence.get("names", [])[1:]]
    if copies:
        lines.append(
            f"# the recordings {', '.join(copies)} are copies of others: keep the labels of the others only, e.g. "
            f"options: {{session: [...]}}"
        )
    bad = {
        s
        for f in seen.findings
        if f.check == "damaged"
        for n in f.evidence.get("recordings", [])
        for s in [_subject(n)]
        if s
    }
    whole = [
        s
        for s in dict.fromkeys(str(v) for v in seen.table.get("subject", pd.Series(dtype=object)).dropna())
        if s not in bad
    ]
    if bad and whole:
        lines.append(
            dump_yaml({"select": {"subjects": whole}}).rstrip()
            + f"   # without {', '.join(sorted(bad))}: a recording is damaged"
        )
    return lines


def _signal(seen: Inspection) -> list[str]:
    if "X" in seen.options or "tmax" in seen.timing:
        return ["signal: []                  # windows that are already cut take no signal steps"]
    if not len(seen.table):
        return [
            "signal:",
            "  - filter: {low: 1.0, high: 20.0}   # Hz; the upper edge must lie below half the sampling frequency",
        ]
    lowest = float(seen.table["sfreq"].min())
    high = 20.0 if "ieeg" not in set(seen.table["modality"]) else 150.0
    high = min(high, round(0.4 * lowest, 1))
    lines = ["signal:", f"  - filter: {{low: 1.0, high: {high}}}   # Hz"]
    if lowest <= 3.0:
        lines = ["signal: []                  # sampled too slowly for a filter of 1 Hz and more"]
    elif seen.of("sampling_rate"):
        lines.append(f"  - resample: {{sfreq: {min(lowest, 128.0):g}}}   # sampling rates differ")
    elif lowest > 256:
        lines.append(
            "  - resample: {sfreq: 128.0}   # enough for 20 Hz, and faster"
            if high <= 40
            else f"  - resample: {{sfreq: {4 * high:g}}}"
        )
    return lines


def _events(seen: Inspection) -> list[str]:
    if not seen.events:
        return (
            [
                "# No events were found. Make them of a channel: data.options.events_from: {stim_channel: ...}, "
                "or write events.tsv files.",
                "events: {column: trial_type}",
            ]
            if seen.reader != "arrays"
            else ["events: {column: trial_type}"]
        )
    kept = [k for k, n in seen.events.items() if n >= 10 and not k.lower().startswith(_NOT_A_CLASS)]
    kept = kept if len(kept) >= 2 else list(seen.events)
    chosen = sorted(kept[:8])
    lines = [dump_yaml({"events": {"column": seen.column, "classes": chosen}}).rstrip()]
    left = {k: n for k, n in seen.events.items() if k not in chosen}
    counts = ", ".join(f"{k} {seen.events[k]}" for k in chosen)
    lines.append(
        f"  # events of each class: {counts}"
        + (f"; left out: {', '.join(f'{k} {n}' for k, n in list(left.items())[:10])}" if left else "")
    )
    return lines


def _epochs(seen: Inspection) -> list[str]:
    if "X" in seen.options:
        return ["epochs: {tmin: 0.0, tmax: null}   # from the first sample of the windows to the last"]
    if "tmax" in seen.timing:
        start, stop = seen.timing["tmin"], seen.timing["tmax"]
        return [
            f"epochs: {{tmin: {max(start, 0.0):g}, tmax: {min(stop, max(start, 0.0) + 0.8):g}}}   # s after "
            f"onset; the windows have {start:g} to {stop:g}"
        ]
    step, length = seen.timing.get("between_onsets"), seen.timing.get("duration", 0.0)
    tmax = 0.8 if length < 1.5 else round(min(length, step or length), 2)
    shortest = float(seen.table["duration"].min()) if len(seen.table) else None
    tmax = min(tmax, round(shortest / 2, 2)) if shortest else tmax
    overlap = f" (events follow one another after {step:g} s: windows overlap)" if step and step < tmax else ""
    return [f"epochs: {{tmin: 0.0, tmax: {tmax:g}}}   # s after onset{overlap}"]


def _bins(seen: Inspection) -> list[str]:
    """Windows and bins of spikes; bins divide the window."""
    length = seen.timing.get("duration") or 0.5
    tmax = round(min(max(length, 0.1), 5.0), 1)
    return [
        f"epochs: {{tmin: 0.0, tmax: {tmax:g}, before: 0.2}}   # s after onset; before: what the audit looks at before it",
        f"counts: {{width: {tmax / 5:g}, scale: sqrt}}   # s; bins must divide the window",
        "time_course: null           # or {step: ..., width: ...} in s: decoding over time",
    ]


def _without_events(seen: Inspection) -> list[str]:
    """Spikes without events are described; nothing can be decoded."""
    many = len(seen.table) and seen.table["n_channels"].max() > 100
    return [
        "# No events were found: rates, intervals and synchrony only. Name a table beside the file, data.options.events: events.tsv",
        "# (onset, duration, trial_type), and say trials: {tmin: ..., tmax: ...} to compare conditions, or recipe: spike_decoding",
        "trials: null",
        *(["synchrony: null             # all pairs of so many units take long"] if many else []),
    ]


def _volumes(seen: Inspection) -> list[str]:
    if "labels" in seen.options:
        return [
            "volumes: {delay: 0.0, average: false}   # s; labels a volume often hold the hemodynamic delay "
            "already: else 5"
        ]
    return [
        "volumes: {delay: 5.0, average: false}   # s between a stimulus and the volume that shows it; average: "
        "one window a block"
    ]


def _split(seen: Inspection) -> list[str]:
    if len(seen.table) and "run" in seen.table:
        runs = seen.table.groupby(seen.table["subject"].fillna("?").astype(str)).size()
        if runs.min() >= 2:
            return ["split: {by: run}            # whole runs are held out in turn"]
        if "tmax" in seen.timing:
            return ["split: {by: time, n_folds: 5}   # contiguous blocks are held out"]
        return [
            f"split: {{by: time, n_folds: 5, gap: 1.0}}   # {_who(runs)} one recording: contiguous blocks are "
            "held out, 1 s apart"
        ]
    return ["split: {by: time, n_folds: 5}   # contiguous blocks are held out"]


def _who(runs: pd.Series) -> str:
    """Who has one recording only."""
    single = [str(s) for s, n in runs.items() if n < 2]
    return "each subject has" if len(single) == len(runs) else f"{', '.join(single[:4])} have"


def _subject(name: str) -> str | None:
    return name.split("_")[0].removeprefix("sub-") if name.startswith("sub-") else None
