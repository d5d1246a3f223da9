"""Reader ``nwb``: Neurodata Without Borders through pynwb: sorted units -> Spikes, series of samples -> a Recording.

One series of (time, channel) is one recording; many series of one neuron each with the same time axis are stacked.
Samples are read from the file when they are needed. Positions of electrodes are turned from micrometres (as NWB says)
to m.

Differs from pynwb in: stretches between gaps of the timestamps are named (an event "gap", or one recording a stretch).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, MissingExtraError, UnreadableError, did_you_mean
from braindec.loaders import _files, _nwb, _nwb_tables, _options
from braindec.loaders._spike_trials import checked
from braindec.types import Recording, Spikes

__all__ = ["load", "files", "subjects"]

_SUFFIXES = (".nwb",)
_GAPS = ("mark", "split", "refuse")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str | None = None,
    what: str | None = None,
    series: str | Sequence[str] | None = None,
    gaps: str = "mark",
    intervals: str = "trials",
    bin_width: float | None = None,
    modality: str | None = None,
    ch_type: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
) -> list[Recording] | list[Spikes]:
    """Open NWB files.

    Parameters
    ----------
    root : str or Path
        One file, or a folder.
    subject, session, task, run : str, optional
        Labels in ``pattern``, or the labels of one file.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"sub-{subject}/*.nwb"``.
    what : {"units", "series"}, optional
        Spike times or samples; units when the file has them and ``series`` is not given.
    series : str or list of str, optional
        Names of series, or a pattern such as ``"Activity_*"``; needed when several could be meant.
    gaps : {"mark", "split", "refuse"}
        What to do with timestamps that jump: keep all samples in one recording with an event "gap" at each jump
        (times after it count samples, as the warning says), give one recording a stretch, or refuse.
    intervals : str
        Table of trials whose rows become events ("trials", or a name among the file's intervals).
    bin_width : float, optional
        Count spikes in bins of so many s.
    modality, ch_type : str, optional
        Where the file does not say it; electrical series are "ieeg", others "misc".

    Returns
    -------
    list of Recording or of Spikes

    Raises
    ------
    MissingExtraError
        If pynwb is not installed.
    UnreadableError
        If a file is damaged or no NWB.
    BraindecError
        If several series could be meant, or times are not regular.
    """
    for option, value, allowed in (("gaps", gaps, _GAPS), ("what", what or "units", ("units", "series"))):
        if value not in allowed:
            raise BraindecError(
                f"{option}: {value!r} is unknown{did_you_mean(str(value), allowed)}", allowed=", ".join(allowed)
            )
    wanted = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    found: list[Any] = []
    for file in _files.keep(
        _files.find(root, pattern, _SUFFIXES), **{k: _options.as_list(v) for k, v in wanted.items()}
    ):
        io, nwb = _open(file.path)
        with io:
            about = _about(
                nwb, file.path, {**{k: _options.text_or_none(v) for k, v in wanted.items()}, **file.entities}
            )
            if what == "units" or (what is None and series is None and nwb.units is not None and len(nwb.units)):
                spikes = _spikes(nwb, file.path, intervals, about)
                found.append(spikes if bin_width is None else spikes.counts(float(bin_width)))
            else:
                found += _recordings(nwb, file.path, series, gaps, intervals, {**about, "modality": modality}, ch_type)
    return found


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_files.find(root, values["pattern"], _SUFFIXES), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session", "task", "run")}
    return [f.path for f in _files.keep(_files.find(root, values["pattern"], _SUFFIXES), **wanted)]


def _open(path: Path) -> tuple[Any, Any]:
    try:
        import pynwb
    except ImportError:
        raise MissingExtraError.of("pynwb", "nwb", f"reading {path.name}") from None
    if path.suffix.lower() not in _SUFFIXES:
        raise UnreadableError(f"{path} cannot be read as NWB", found=f"ending {path.suffix}", allowed=".nwb")
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on cached and older schemas
            io = pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True)
            return io, io.read()
    except Exception as error:  # hdmf, h5py and pynwb each raise their own
        raise UnreadableError(
            f"{path} cannot be read as NWB (tried pynwb)",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:250]}",
            fix="the file is damaged, cut short, or of another version of NWB: copy it again, or check it with "
            "nwbinspector",
        ) from error


def _about(nwb: Any, path: Path, labels: dict[str, Any]) -> dict[str, Any]:
    who = getattr(nwb.subject, "subject_id", None) if nwb.subject is not None else None
    subject = labels.get("subject") or who or path.name.split(".")[0]
    return {**labels, "subject": str(subject), "path": str(path), "identifier": str(nwb.identifier), "space": None}


def _spikes(nwb: Any, path: Path, intervals: str, about: dict[str, Any]) -> Spikes:
    units = nwb.units
    if units is None or not len(units) or "spike_times" not in units.colnames:
        raise BraindecError(
            f"{path.name} holds no sorted units",
            found=f"series {', '.join(_nwb_tables.all_series(nwb))[:200]}",
            fix="what: series",
        )
    said: list[str] = []
    parts = [np.asarray(units["spike_times"][i], dtype=np.float64) for i in range(len(units))]
    times = np.concatenate(parts) if parts else np.zeros(0)
    who = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    order = np.argsort(times, kind="stable")
    table = {"name": [str(v) for v in units.id[:]]}
    for name in units.colnames:
        column = units[name]
        if name in (
            "spike_times",
            "obs_intervals",
            "electrodes",
            "electrode_group",
            "waveforms",
            "waveform_mean",
            "waveform_sd",
        ):
            continue
        values = list(column[:]) if hasattr(column, "__getitem__") else []
        if len(values) == len(parts) and all(np.isscalar(v) for v in values):
            table[str(name)] = values
    events = _nwb_tables.interval_events(nwb, intervals, said)
    observed = (
        [np.asarray(units["obs_intervals"][i], dtype=float) for i in range(len(units))]
        if "obs_intervals" in units.colnames
        else []
    )
    observed = [np.atleast_2d(o) for o in observed if o.size]
    support = None
    if observed:
        start, stop = min(float(o.min()) for o in observed), max(float(o.max()) for o in observed)
        if all(o.shape == observed[0].shape and np.array_equal(o, observed[0]) for o in observed) and len(
            observed
        ) == len(parts):
            support = observed[0]
        else:
            said.append(
                f"{path.name}: units were observed in different intervals (obs_intervals); {start:.6g} to {stop:.6g} s is used for all"
            )
    else:
        ends = [
            float(times.max(initial=0.0)),
            float((events["onset"] + events["duration"]).max()) if len(events) else 0.0,
        ]
        start, stop = min(0.0, float(times.min(initial=0.0))), max(ends)
        said.append(f"{path.name} does not say when units were observed: {start:.6g} to {stop:.6g} s is used")
    info = {**about, "modality": "spikes", "warnings": said}
    return checked(
        lambda: Spikes(times[order], who[order], pd.DataFrame(table), start, stop, events, info, support),
        "keep",
        path.name,
        said,
    )


def _recordings(
    nwb: Any, path: Path, series: Any, gaps: str, intervals: str, about: dict[str, Any], ch_type: str | None
) -> list[Recording]:
    everything = _nwb_tables.all_series(nwb)
    names = _nwb.choose(_nwb_tables.candidates(everything), series, list(everything), path)
    chosen = [everything[n] for n in names]
    said: list[str] = []
    n_samples = _same_axis(chosen, names, path)
    axis = _nwb.time_axis(chosen[0], n_samples, names[0] if len(names) == 1 else _nwb.stem(names[0]))
    channels, factor, offset, electric = _nwb_tables.channel_table(chosen, names, ch_type)
    about = {**about, "modality": about["modality"] or ("ieeg" if electric else "misc"), "series": _nwb.stem(names[0])}
    parts = list(axis.stretches)
    if axis.said is not None:
        if gaps == "refuse":
            raise BraindecError(
                axis.said, fix="gaps: split gives one recording a stretch, gaps: mark keeps one with events at the gaps"
            )
        how = (
            "one recording a stretch"
            if gaps == "split"
            else "samples are kept in one recording with an event 'gap' at each: times count samples"
        )
        said.append(f"{axis.said}: {how}")
    if gaps == "mark":
        parts = [(0, n_samples)]
    events = _nwb_tables.interval_events(nwb, intervals, said)
    datasets = [c.data.name if hasattr(c.data, "name") else "" for c in chosen]
    made = []
    for number, (first, last) in enumerate(parts):
        signal = _nwb.SeriesSignal(path, datasets, factor=factor, offset=offset, first=first, last=last)
        table = _nwb_tables.on_axis(events, axis, first, last, mark=gaps == "mark")
        info = {
            **about,
            "warnings": list(said),
            **({"run": f"{about['run'] or ''}stretch{number:03d}"} if len(parts) > 1 else {}),
        }
        made.append(Recording(signal, axis.sfreq, channels, table, info))
    return made


def _same_axis(chosen: Sequence[Any], names: Sequence[str], path: Path) -> int:
    """Number of samples of all series; refuse those that cannot be stacked."""
    lengths = {len(c.data) for c in chosen}
    wide = [n for n, c in zip(names, chosen, strict=True) if len(chosen) > 1 and np.ndim(c.data) > 1]
    rates = {getattr(c, "rate", None) for c in chosen}
    if len(lengths) > 1 or wide or len(rates) > 1:
        raise BraindecError(
            f"{path.name}: the series {names[0]} ... {names[-1]} cannot be stacked",
            found=f"lengths {sorted(lengths)[:5]}, rates {rates}"
            + (f"; {wide[0]} has several channels" if wide else ""),
            fix="name one series, or series of one length and rate",
        )
    if len(chosen) > 1 and chosen[0].rate is None:
        first = np.asarray(chosen[0].timestamps[:])
        for name, other in zip(names[1:], chosen[1:], strict=True):
            if other.timestamps is not chosen[0].timestamps and not np.array_equal(
                np.asarray(other.timestamps[:]), first
            ):
                raise BraindecError(
                    f"{path.name}: the series {names[0]} and {name} have different timestamps",
                    fix="name series with the same times",
                )
    return lengths.pop()
