"""Reader ``neo``: vendor formats through neo (Blackrock, Plexon, Neuralynx, Spike2, Axon, Intan, ...).

Sorted spike trains become Spikes, sampled signals a Recording; one each segment of the file. Every number is converted by
the unit that the file says (times to s, voltages to V, currents to A); what has none is refused.

Differs from neo in: formats that run code when they are opened (pickle) and those for which neo assumes a unit or a rate
(plain text, KlustaKwik without ``sampling_rate``) are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, MissingExtraError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._shape import unique_names
from braindec.loaders._spike_trials import checked
from braindec.types import Recording, Spikes
from braindec.types.signals import as_signal

__all__ = ["load", "files", "subjects", "SUFFIXES"]

# endings that neo reads and no other reader of braindec does
SUFFIXES = (
    ".nev", ".ns1", ".ns2", ".ns4", ".ns5", ".ns6", ".plx", ".pl2", ".smr", ".smrx", ".abf", ".rhd", ".rhs", ".nex", ".ncs", ".nse",
    ".ntt", ".kwik", ".nix", ".wcp", ".axgd", ".axgx", ".tbk", ".mcd", ".rec", ".continuous",
)  # fmt: skip
_REFUSED = {
    "PickleIO": "pickles run code when they are opened: save the data in another format",
    "AsciiSpikeTrainIO": "neo would assume seconds: use reader spike_text and say time_unit",
    "AsciiSignalIO": "neo would assume a unit and a rate: use reader table and say them",
    "NWBIO": "use the reader 'nwb'",
    "PhyIO": "use the reader 'phy'",
}
_SI = ("V", "A", "T", "m", "s", "kelvin", "Pa", "N")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str | None = None,
    format: str | None = None,
    what: str | None = None,
    stream: str | None = None,
    io: Mapping[str, Any] | None = None,
    duplicates: str = "keep",
    bin_width: float | None = None,
    modality: str | None = None,
    ch_type: str | None = None,
    dataset: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
) -> list[Spikes] | list[Recording]:
    """Open recordings of a vendor's format.

    Parameters
    ----------
    root : str or Path
        One file, a folder that is one recording (Neuralynx, TDT, Open Ephys), or a folder with ``pattern``.
    subject, session, task, run : str, optional
        Labels in ``pattern``, or the labels of one file.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"{subject}/*.nev"``.
    format : str, optional
        Name of the format as neo calls it ("Blackrock", "Plexon", "Neuralynx", ...); by default from the ending.
    what : {"spikes", "signals"}, optional
        What to open; spikes where the file has sorted units.
    stream : str, optional
        Name of the group of signals, where there are several with different rates.
    io : dict, optional
        Options of neo's reader of that format.
    duplicates : {"keep", "drop", "refuse"}
        What to do with spikes that a unit has twice at one time.
    bin_width : float, optional
        Count spikes in bins of so many s.
    modality, ch_type : str, optional
        Of signals, where they are not "ieeg" and "seeg" (voltages) or "misc".
    dataset : str, optional
        Label.

    Returns
    -------
    list of Spikes, or of Recording

    Raises
    ------
    MissingExtraError
        If neo is not installed.
    UnreadableError
        If no format fits, or the file is damaged.
    BraindecError
        If a unit is not said, or signals of several rates could be meant.
    """
    if what not in (None, "spikes", "signals"):
        raise BraindecError(f"what: {what!r} is unknown", allowed="spikes, signals")
    wanted = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    found: list[Any] = []
    for file in _found(root, pattern, wanted):
        about = {**{k: _options.text_or_none(v) for k, v in wanted.items()}, **file.entities}
        about |= {"dataset": dataset, "path": str(file.path)}
        segments = _segments(file.path, format, dict(io or {}))
        sorted_units = any(len(s.spiketrains) for s in segments)
        if what == "spikes" and not sorted_units:
            raise BraindecError(
                f"{file.path.name} holds no sorted units",
                found=f"{sum(len(s.analogsignals) for s in segments)} signals",
                fix="what: signals",
            )
        for number, segment in enumerate(segments):
            one = {**about, **({"run": f"{about.get('run') or ''}segment{number:03d}"} if len(segments) > 1 else {})}
            if what == "spikes" or (what is None and sorted_units):
                spikes = to_spikes(segment, one, duplicates=duplicates)
                found.append(spikes if bin_width is None else spikes.counts(bin_width))
            else:
                found.append(to_recording(segment, one, stream=stream, modality=modality, ch_type=ch_type))
    return found


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_found(root, values["pattern"], {}), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    out: list[Path] = []
    for file in _found(root, values["pattern"], {k: values[k] for k in ("subject", "session", "task", "run")}):
        beside = file.path.iterdir() if file.path.is_dir() else file.path.parent.glob(f"{file.path.stem}.*")
        out += sorted(p for p in beside if p.is_file())
    return list(dict.fromkeys(out))


def to_spikes(segment: Any, about: Mapping[str, Any], *, duplicates: str = "keep") -> Spikes:
    """Turn the spike trains of a neo segment into Spikes; the table of units holds their names and annotations."""
    name, said = Path(str(about.get("path") or "segment")).name, [*(about.get("warnings") or [])]
    trains = [_loaded(t) for t in segment.spiketrains]
    if not trains:
        raise BraindecError(
            f"{name} holds no sorted units", found=f"{len(segment.analogsignals)} signals", fix="what: signals"
        )
    times = [np.atleast_1d(_in(t.times, "s", f"{name}: times of unit {i}")) for i, t in enumerate(trains)]
    starts, stops = (
        [float(_in(getattr(t, end), "s", f"{name}: {end}")) for t in trains] for end in ("t_start", "t_stop")
    )
    if len(set(starts)) > 1 or len(set(stops)) > 1:
        said.append(
            f"{name}: units were observed for different times; {min(starts):.6g} to {max(stops):.6g} s is used for all"
        )
    called, renamed = unique_names(
        [str(t.name or t.annotations.get("id") or f"unit{i:03d}") for i, t in enumerate(trains)]
    )
    if renamed:
        said.append(f"{name}: {len(renamed)} units share names with others and were numbered")
    table = pd.DataFrame({"name": called})
    for key in sorted({k for t in trains for k in t.annotations}):
        values = [t.annotations.get(key) for t in trains]
        if key not in table and all(isinstance(v, (str, int, float, np.integer, np.floating)) for v in values):
            table[str(key)] = values
    events = _events_of(segment, 0.0, name)
    info = {**about, "modality": "spikes", "warnings": said}
    stop = (
        max(stops)
        if max(stops) > min(starts)
        else min(starts) + max((float(t.max()) for t in times if len(t)), default=0.0)
    )
    return checked(
        lambda: Spikes.from_trains(times, start=min(starts), stop=stop, units=table, events=events, info=info),
        duplicates,
        name,
        said,
    )


def to_recording(
    segment: Any, about: Mapping[str, Any], *, stream: str | None = None, modality: str | None = None, ch_type: str | None = None
) -> Recording:  # fmt: skip
    """Turn the sampled signals of a neo segment into a Recording in SI units; events are relative to its first sample."""
    name = Path(str(about.get("path") or "segment")).name
    every = [(str(s.name or f"stream{i}"), s) for i, s in enumerate(segment.analogsignals)]
    if not every:
        raise BraindecError(
            f"{name} holds no sampled signals", found=f"{len(segment.spiketrains)} spike trains", fix="what: spikes"
        )
    names = [n for n, _ in every]
    if stream is not None and stream not in names:
        raise BraindecError(f"{name} has no stream {stream!r}{did_you_mean(stream, names)}", allowed=", ".join(names))
    kept = [(n, s) for n, s in every if stream is None or n == stream]
    rates = {
        (round(float(_in(s.sampling_rate, "Hz", n)), 6), s.shape[0], round(float(_in(s.t_start, "s", n)), 6))
        for n, s in kept
    }
    if len(rates) > 1:
        raise BraindecError(
            f"{name} holds signals of several rates, lengths or beginnings: which are meant?",
            found="; ".join(f"{n}: {float(s.sampling_rate.rescale('Hz')):g} Hz, {s.shape[0]} samples" for n, s in kept[:6]),
            fix="stream: name of one of them",
        )  # fmt: skip
    rate, _, start = rates.pop()
    rows, called, units = [], [], []
    for label, signal in kept:
        values, unit = _si(_loaded(signal), f"{name}: {label}")
        rows.append(values.T.astype(np.float32))
        given = signal.array_annotations.get("channel_names") if hasattr(signal, "array_annotations") else None
        called += [str(c) for c in given] if given is not None and len(given) == values.shape[1] else [
            label if values.shape[1] == 1 else f"{label}-{k}" for k in range(values.shape[1])]  # fmt: skip
        units += [unit] * values.shape[1]
    unique, renamed = unique_names(called)
    electric = all(u == "V" for u in units)
    channels = pd.DataFrame({"name": unique, "type": ch_type or ("seeg" if electric else "misc"), "unit": units})
    info = {
        **about,
        "modality": modality or ("ieeg" if electric else "misc"),
        "warnings": [],
        **({"renamed": renamed} if renamed else {}),
    }
    return Recording(as_signal(np.concatenate(rows)), rate, channels, _events_of(segment, start, name), info)


def _found(root: str | Path, pattern: str | None, wanted: Mapping[str, Any]) -> list[_files.Found]:
    path = _files.existing(root)
    found = [_files.Found(path)] if pattern is None else _files.find(root, pattern, ())
    return _files.keep(found, **{k: _options.as_list(v) for k, v in wanted.items()})


def _segments(path: Path, format: str | None, io: dict[str, Any]) -> list[Any]:
    try:
        import neo
    except ImportError:
        raise MissingExtraError.of("neo", "nwb", f"reading {path.name}") from None
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    known = {c.__name__.removesuffix("IO"): c for c in neo.io.iolist}
    if format is not None and format not in known:
        raise BraindecError(
            f"neo has no format {format!r}{did_you_mean(format, known)}", allowed=", ".join(sorted(known))
        )
    try:
        kinds = [known[format]] if format else list(neo.io.list_candidate_ios(path))
    except Exception as error:  # neo raises ValueError, KeyError, ... for names that it does not know
        raise _unreadable(path, error) from error
    refused = [k for k in kinds if k.__name__ in _REFUSED]
    kinds = [k for k in kinds if k.__name__ not in _REFUSED]
    if refused and not kinds:
        kind = refused[0].__name__
        raise UnreadableError(f"{path} is not opened through neo ({kind})", fix=_REFUSED[kind])
    if not kinds:
        raise UnreadableError(
            f"no format of neo fits {path}",
            found=f"ending {path.suffix or 'none'}",
            fix="format: Blackrock, Plexon, ...",
        )
    if kinds[0].__name__ == "KlustaKwikIO" and "sampling_rate" not in io:
        raise BraindecError(
            f"{path.name}: KlustaKwik files do not say their sampling rate", fix="io: {sampling_rate: ...} (Hz)"
        )
    try:
        reader = kinds[0](str(path), **io)
        blocks = reader.read(lazy=bool(getattr(reader, "support_lazy", False)))
    except Exception as error:  # each format raises its own
        raise _unreadable(path, error, kinds[0].__name__) from error
    segments = [s for b in blocks for s in b.segments]
    if not segments:
        raise UnreadableError(f"{path} holds no segment", found=f"{len(blocks)} blocks of {kinds[0].__name__}")
    return segments


def _loaded(thing: Any) -> Any:
    return thing.load() if hasattr(thing, "load") else thing


def _in(quantity: Any, unit: str, what: str) -> np.ndarray:
    try:
        return np.asarray(quantity.rescale(unit).magnitude, dtype=np.float64)[()]
    except (ValueError, AttributeError) as error:
        raise BraindecError(
            f"{what}: the unit is not one of {'time' if unit == 's' else 'rate'}",
            found=str(getattr(quantity, "dimensionality", "none")),
        ) from error


def _si(signal: Any, what: str) -> tuple[np.ndarray, str]:
    """Values in SI units, and the unit; numbers without a dimension are kept, with unit n/a."""
    for unit in _SI:
        try:
            return np.asarray(signal.rescale(unit).magnitude, dtype=np.float64), "K" if unit == "kelvin" else unit
        except ValueError:
            continue
    text = str(signal.dimensionality)
    return np.asarray(signal.magnitude, dtype=np.float64), "n/a" if text == "dimensionless" else text


def _events_of(segment: Any, start: float, name: str) -> pd.DataFrame:
    """Events and epochs: onset after ``start``, duration, trial_type (the label) and where they come from."""
    rows = []
    for thing in [*segment.events, *segment.epochs]:
        thing = _loaded(thing)
        onset = np.atleast_1d(_in(thing.times, "s", f"{name}: events")) - start
        lengths = getattr(thing, "durations", None)
        length = np.zeros(len(onset)) if lengths is None else np.atleast_1d(_in(lengths, "s", f"{name}: epochs"))
        labels = [str(v) for v in np.atleast_1d(getattr(thing, "labels", []))] or [str(thing.name or "event")] * len(
            onset
        )
        rows += [
            (o, d, label or "event", str(thing.name or "")) for o, d, label in zip(onset, length, labels, strict=True)
        ]
    table = pd.DataFrame(rows, columns=["onset", "duration", "trial_type", "source"]).sort_values(
        "onset", kind="stable"
    )
    return table.reset_index(drop=True)


def _unreadable(path: Path, error: Exception, kind: str | None = None) -> UnreadableError:
    return UnreadableError(
        f"{path} cannot be read (tried neo{f', {kind}' if kind else ''})", found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        fix="the file is damaged, cut short or of another format: copy it again with the files beside it, or name the format",
    )  # fmt: skip
