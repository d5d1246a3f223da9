"""Reader ``phy``: folders of sorted spikes as phy and Kilosort (2, 2.5, 3, 4) write them -> Spikes.

``params.py`` is parsed for plain assignments and never run; arrays of Python objects are not opened.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _arrays, _events, _files, _options
from braindec.loaders._spike_trials import checked
from braindec.stats.asked import number
from braindec.types import Recording, Spikes

__all__ = ["load", "files", "is_phy", "subjects"]

_TIMES, _CLUSTERS, _TEMPLATES = "spike_times.npy", "spike_clusters.npy", "spike_templates.npy"
_TABLES = ("cluster_info.tsv", "cluster_group.tsv", "cluster_groups.csv", "cluster_KSLabel.tsv")
_GROUPS = ("group", "KSLabel", "quality")
_DTYPES = {"int16": 2, "uint16": 2, "int32": 4, "float32": 4, "float64": 8, "int8": 1}


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str | None = None,
    quality: str | Sequence[str] | None = "good",
    sfreq: float | None = None,
    stop: float | None = None,
    events: str | None = None,
    duplicates: str = "keep",
    bin_width: float | None = None,
    dataset: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
) -> list[Spikes] | list[Recording]:
    """Open folders of phy or Kilosort.

    Parameters
    ----------
    root : str or Path
        The folder with ``spike_times.npy``, or with ``pattern`` a folder of such folders.
    subject, session, task, run : str, optional
        Labels in ``pattern``, or the labels of one folder.
    pattern : str, optional
        Path of the folders inside ``root``, such as ``"{subject}/{session}/kilosort4"``.
    quality : str or list of str, optional
        Which clusters: "good" (the curated label, else Kilosort's own), ["good", "mua"], or null for all.
    sfreq : float, optional
        Sampling frequency in Hz, where ``params.py`` is missing or does not say it.
    stop : float, optional
        End of the recording in s; from the size of the raw file where it is there, else the last spike (and then said).
    events : str, optional
        A table with onset and duration in s, inside the folder.
    duplicates : {"keep", "drop", "refuse"}
        What to do with spikes that a unit has twice at one time.
    bin_width : float, optional
        Count spikes in bins of so many s.
    dataset : str, optional
        Label.

    Returns
    -------
    list of Spikes, or of Recording with ``bin_width``

    Raises
    ------
    BraindecError
        If the sampling rate is not said, no cluster is of the quality, or arrays do not fit.
    UnreadableError
        If a file is missing or damaged.
    """
    wanted = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    found = []
    for folder in _folders(root, pattern, wanted):
        said: list[str] = []
        about = {**{k: _options.text_or_none(v) for k, v in wanted.items()}, **folder.entities}
        about |= {"dataset": dataset, "modality": "spikes", "path": str(folder.path), "warnings": said}
        spikes = _open(folder.path, quality, sfreq, stop, events, duplicates, about)
        found.append(spikes if bin_width is None else spikes.counts(bin_width))
    return found


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one folder, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_folders(root, values["pattern"], {}), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    names = ["params.py", _TIMES, _CLUSTERS, _TEMPLATES, *_TABLES, *([values["events"]] if values["events"] else [])]
    folders = _folders(root, values["pattern"], {k: values[k] for k in ("subject", "session", "task", "run")})
    return [f.path / n for f in folders for n in names if (f.path / n).is_file()]


def is_phy(path: Path) -> bool:
    """True for a folder that phy or Kilosort wrote."""
    return path.is_dir() and (path / _TIMES).is_file()


def _folders(root: str | Path, pattern: str | None, wanted: dict[str, Any]) -> list[_files.Found]:
    path = _files.existing(root)
    found = (
        [_files.Found(path if path.is_dir() else path.parent)] if pattern is None else _files.find(root, pattern, ())
    )
    sorted_ones = [f for f in found if is_phy(f.path)]
    found = _files.keep(sorted_ones or found, **{k: _options.as_list(v) for k, v in wanted.items()})
    for folder in found:
        if not is_phy(folder.path):
            there = sorted(p.name for p in folder.path.iterdir())[:8] if folder.path.is_dir() else []
            raise UnreadableError(
                f"{folder.path} is no folder of phy or Kilosort: it has no {_TIMES}",
                found=", ".join(there) or "nothing",
            )
    return found


def _open(
    folder: Path, quality: str | Sequence[str] | None, sfreq: float | None, stop: float | None, events: str | None,
    duplicates: str, about: dict[str, Any],
) -> Spikes:  # fmt: skip
    said = about["warnings"]
    settings = read_params(folder / "params.py") if (folder / "params.py").is_file() else {}
    rate = _rate(folder, settings, sfreq)
    samples = np.asarray(_arrays.read(_TIMES, folder)).reshape(-1)
    if samples.dtype.kind == "f" and not np.array_equal(samples, np.round(samples)):
        raise BraindecError(f"{folder.name}: {_TIMES} must hold samples, whole numbers", found=f"{samples[samples != np.round(samples)][0]:g}",
                            fix="times in s are read with reader: spikes")  # fmt: skip
    if len(samples) and samples.min() < 0:
        raise BraindecError(f"{folder.name}: {_TIMES} holds negative samples", found=str(samples.min()))
    name = _CLUSTERS if (folder / _CLUSTERS).is_file() else _TEMPLATES
    if not (folder / name).is_file():
        raise UnreadableError(f"{folder} has no {_CLUSTERS}", fix="copy the whole folder")
    if name == _TEMPLATES:
        said.append(f"{folder.name} was not curated: {_TEMPLATES} is used")
    clusters = np.asarray(_arrays.read(name, folder)).reshape(-1)
    if clusters.dtype.kind not in "iu" and not (
        clusters.dtype.kind == "f" and np.array_equal(clusters, np.round(clusters))
    ):
        raise BraindecError(f"{folder.name}: {name} must hold numbers of clusters", found=f"dtype {clusters.dtype}")
    clusters = clusters.astype(np.int64)
    if len(clusters) != len(samples):
        raise BraindecError(
            f"{folder.name}: {_TIMES} and {name} differ in number", found=f"{len(samples)} and {len(clusters)}"
        )
    table = _clusters(folder, clusters, quality, said)
    keep = np.isin(clusters, table["cluster_id"])
    times, ids = samples[keep] / rate, clusters[keep]
    order = np.argsort(times, kind="stable")
    unit = np.searchsorted(table["cluster_id"].to_numpy(), ids[order])
    last = _end(folder, settings, rate, stop, float(samples.max()) / rate if len(samples) else None, said)
    shown = pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    if events is not None:
        _files.check_inside(events)
        separator = "," if events.lower().endswith(".csv") else "\t"
        shown = _events.events_table(_events.read_tsv(folder / events, separator=separator), folder / events, said)
    units = table.assign(name=[f"cluster{c}" for c in table["cluster_id"]])
    units = units[["name", *(c for c in units if c != "name")]].reset_index(drop=True)
    return checked(lambda: Spikes(times[order], unit, units, 0.0, last, shown, about), duplicates, folder.name, said)


def read_params(path: Path) -> dict[str, Any]:
    """Return the plain assignments of ``params.py`` (text, numbers, lists of them) without running it.

    Raises
    ------
    UnreadableError
        If it is no Python text.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, UnicodeDecodeError) as error:
        raise UnreadableError(
            f"{path} cannot be parsed", found=str(error)[:120], fix="sfreq: ... instead, and remove the file"
        ) from error
    out: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                out[node.targets[0].id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError):
                continue  # not a plain value: what it would compute is not known
    return out


def _rate(folder: Path, settings: dict[str, Any], sfreq: float | None) -> float:
    stored = settings.get("sample_rate")
    if stored is not None and (
        not isinstance(stored, (int, float)) or isinstance(stored, bool) or not 0 < stored < np.inf
    ):
        raise BraindecError(
            f"{folder.name}/params.py: sample_rate is no rate", found=repr(stored), fix="correct it, or say sfreq: ..."
        )
    if sfreq is not None:
        number(sfreq, "sfreq", least=0, ends=False, unit="Hz")
    if stored is None and sfreq is None:
        raise BraindecError(
            f"{folder.name} does not say its sampling rate: spike times are in samples",
            found="no params.py" if not settings else f"params.py has {', '.join(list(settings)[:8])}", fix="sfreq: ... (Hz)",
        )  # fmt: skip
    if stored is not None and sfreq is not None and abs(stored - sfreq) > 1e-6 * sfreq:
        raise BraindecError(
            f"{folder.name}/params.py says {stored:g} Hz, the option sfreq {sfreq:g} Hz", fix="correct one of them"
        )
    rate = float(stored if stored is not None else sfreq)
    return rate


def _clusters(folder: Path, clusters: np.ndarray, quality: Any, said: list[str]) -> pd.DataFrame:
    """One row a cluster that is kept: cluster_id, what the tables say, in rising order."""
    table = pd.DataFrame({"cluster_id": np.unique(clusters)})
    for file in _TABLES:
        path = folder / file
        if not path.is_file():
            continue
        read = _events.read_tsv(path, separator="," if path.suffix == ".csv" else "\t")
        if not len(read):
            continue
        key = next((c for c in ("cluster_id", "id") if c in read), None)
        if key is None:
            raise UnreadableError(f"{path} has no column cluster_id", found=", ".join(map(str, read.columns[:8])))
        read = read.assign(cluster_id=pd.to_numeric(read[key], errors="coerce")).dropna(subset="cluster_id")
        read = read.astype({"cluster_id": np.int64}).drop_duplicates("cluster_id")
        fresh = [c for c in read if c not in table and c not in ("id", "n_spikes")]
        table = table.merge(read[["cluster_id", *fresh]], on="cluster_id", how="left")
    for column in table:
        if column != "cluster_id":
            table[column] = _events.numbers(table[column].astype(object))
    if quality is None:
        return table
    wanted = [str(q) for q in ([quality] if isinstance(quality, str) else quality)]
    column = next((c for c in _GROUPS if c in table and table[c].notna().any()), None)
    if column is None:
        raise BraindecError(
            f"{folder.name} does not say the quality of its clusters",
            found=f"none of {', '.join(_TABLES)}",
            fix="quality: null takes all clusters",
        )
    labels = table[column].astype(object).where(table[column].notna(), "unsorted").astype(str)
    kept = table[labels.isin(wanted)].reset_index(drop=True)
    counts = ", ".join(f"{k} {n}" for k, n in labels.value_counts().items())
    if not len(kept):
        raise BraindecError(
            f"{folder.name} has no cluster of quality {', '.join(wanted)}{did_you_mean(wanted[0], labels)}",
            found=counts,
            fix="quality: null takes all clusters",
        )
    said.append(f"{folder.name}: {len(kept)} of {len(table)} clusters are kept (by {column}: {counts})")
    return kept


def _end(
    folder: Path, settings: dict[str, Any], rate: float, stop: float | None, last: float | None, said: list[str]
) -> float:  # fmt: skip
    if stop is not None:
        return number(stop, "stop", least=0, ends=False, unit="s")
    raw = settings.get("dat_path")
    raw = raw[0] if isinstance(raw, list) and len(raw) == 1 else raw
    width, n = _DTYPES.get(str(settings.get("dtype"))), settings.get("n_channels_dat")
    offset = settings.get("offset") or 0
    if isinstance(raw, str) and width and isinstance(n, int) and n > 0 and isinstance(offset, int):
        path = folder / Path(raw.replace("\\", "/")).name
        if path.is_file() and path.stat().st_size:
            return (path.stat().st_size - offset) / (width * n) / rate
    if last is None:
        raise BraindecError(f"{folder.name} holds no spike and does not say its stop", fix="stop: ... (s)")
    said.append(
        f"{folder.name} does not say the stop of the recording: the last spike, {last:.6g} s, is used (option stop)"
    )
    return last
