"""Reader ``moabb``: what a paradigm of MOABB gives, saved as it is: ``X.npy``, ``y.npy`` and ``metadata.csv``.

``X, y, metadata = paradigm.get_data(dataset)``; ``np.save("X.npy", X)``; ``np.save("y.npy", y)``;
``metadata.to_csv("metadata.csv", index=False)``. X is (trial, channel, time) in microvolt (MOABB multiplies by 1e6), y
the class of each trial, metadata has subject, session ("0train", "1test", ...) and run. The arrays do not say the
sampling frequency, the channels or the time of the first sample: they are options. ``y.npy`` may be an array of Python
texts, which numpy stores as a pickle; it is read as plain data and never unpickled. (The BIDS folders that MOABB's
``convert_to_bids`` and its cache make are read by the reader ``bids``.)

Source: moabb/paradigms/base.py and moabb/datasets/bids_interface.py of github.com/NeuroTechX/moabb (BSD-3). Checked
against synthetic files only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _arrays, _files, _options
from braindec.loaders._positions import standard_montage
from braindec.loaders.plain_pickle import load_plain
from braindec.types import Recording, Windows
from braindec.types.signals import StackedSignal

__all__ = ["load", "files", "subjects"]

_COLUMNS = ("subject", "session", "run")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    sfreq: float,
    ch_names: Sequence[str] | None = None,
    tmin: float = 0.0,
    unit: str = "uV",
    X: str = "X.npy",
    y: str = "y.npy",
    metadata: str = "metadata.csv",
    session: str | Sequence[str] | None = None,
    parts: Mapping[str, str] | None = None,
    montage: str | None = None,
    dataset: str | None = None,
) -> Windows:
    """Open the trials of one subject; X stays on disk.

    Parameters
    ----------
    root : str or Path
        The folder.
    subject : str
        As in the column subject of the table.
    sfreq : float
        Hz (``paradigm.resample``, or that of the data set).
    ch_names : list of str, optional
        Names of the channels in order.
    tmin : float
        Time of the first sample after the cue, s (``paradigm.tmin``).
    unit : str
        Of X; converted to V.
    X, y, metadata : str
        Names of the files; ``{subject}`` stands for the subject where there is one file a subject.
    session : str or list of str, optional
        Sessions to keep.
    parts : dict of str to str, optional
        Session -> "train", "validation" or "test", for the column ``part``: ``{0train: train, 1test: test}``.
    montage : str, optional
        Template for positions, when ``ch_names`` are names of the 10-10 system.
    dataset : str, optional
        Name of the data set.

    Returns
    -------
    Windows
        trials: subject, session, run, trial_type, and other columns of the table. Nothing says when a trial was.

    Raises
    ------
    BraindecError, UnreadableError
        If the files do not fit together.
    """
    folder, label = _files.existing(root), _label(subject)
    table = _table(folder, metadata, label)
    data = load_plain(_path(folder, X, label))
    if not isinstance(data, np.ndarray) or data.ndim != 3 or data.dtype.kind not in "fiu" or len(data) != len(table):
        shape = getattr(data, "shape", type(data).__name__)
        raise UnreadableError(
            f"{X} must be (trial, channel, time), one trial a row of {metadata}", found=f"{shape} and {len(table)} rows"
        )
    classes = _arrays.column(np.asarray(load_plain(_path(folder, y, label))).astype(str), len(table), y)
    table = table.assign(trial_type=classes)
    mine = (table["subject"] == label).to_numpy()
    for wanted in _options.as_list(session) or []:
        known = sorted(table.loc[mine, "session"].unique())
        if wanted not in known:
            raise BraindecError(
                f"subject {label} has no session {wanted!r}{did_you_mean(wanted, known)}", allowed=", ".join(known)
            )
    if session is not None:
        mine = mine & table["session"].isin(_options.as_list(session)).to_numpy()
    names = [str(n) for n in ch_names] if ch_names else [f"ch{k:03d}" for k in range(data.shape[1])]
    if len(names) != data.shape[1]:
        raise BraindecError(
            f"{len(names)} names for {data.shape[1]} channels",
            fix="ch_names: those of the channels that X holds, in order",
        )
    return _windows(data, table, mine, sfreq, names, tmin, unit, parts, montage, _path(folder, X, label), dataset)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects of the table, or those that have files."""
    values = _options.bind(load, options)
    folder = _files.existing(root)
    if "{subject}" in values["metadata"]:
        return _files.labels(_files.find(folder, values["metadata"], ()), {})
    found = _table(folder, values["metadata"], "")["subject"].unique()
    return sorted(found, key=lambda s: (len(s), s))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    folder, label = _files.existing(root), _label(subject)
    return [_path(folder, values[key], label) for key in ("X", "y", "metadata")]


def _label(subject: str | None) -> str:
    if subject is None:
        raise BraindecError("the reader moabb opens one subject at a time", fix='say subject: "1"')
    return str(subject).removeprefix("sub-")


def _path(folder: Path, name: str, label: str) -> Path:
    name = name.replace("{subject}", label)
    _files.check_inside(name)
    return _files.existing(folder / name)


def _table(folder: Path, name: str, label: str) -> pd.DataFrame:
    path = _path(folder, name, label)
    try:
        table = pd.read_csv(path, dtype=str)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=str(error)[:200]) from error
    missing = [c for c in _COLUMNS if c not in table]
    if missing:
        raise UnreadableError(
            f"{path.name} has no column {missing[0]}",
            found=f"columns {list(table.columns)}",
            allowed=", ".join(_COLUMNS),
        )
    return table.drop(columns=[c for c in table if c.startswith("Unnamed")])


def _windows(
    data: np.ndarray, table: pd.DataFrame, mine: np.ndarray, sfreq: float, names: list[str], tmin: float, unit: str,
    parts: Mapping[str, str] | None, montage: str | None, path: Path, dataset: str | None,
) -> Windows:  # fmt: skip
    si, factor = _arrays.si(unit)
    n_times = data.shape[2]
    signal = StackedSignal(data)
    signal = _arrays.ScaledSignal(signal, factor) if factor != 1 else signal
    trials = table[mine].reset_index(drop=True)
    if not len(trials):
        raise BraindecError(
            "no trial is left",
            found=f"{len(table)} trials of subjects {', '.join(sorted(table['subject'].unique())[:10])}",
        )
    label, said = trials["subject"].iloc[0], ["MOABB does not keep when a trial was: no trial has a time"]
    if parts is not None:
        unknown = sorted(set(trials["session"]) - set(parts))
        if unknown:
            raise BraindecError(
                f"parts does not say what session {unknown[0]!r} is", found=f"parts of {', '.join(parts)}"
            )
        trials["part"] = trials["session"].map(dict(parts))
    rows = np.flatnonzero(mine)
    trials["window_id"] = [
        f"sub-{label}_ses-{s}_run-{r}_{k}" for s, r, k in zip(trials["session"], trials["run"], rows, strict=True)
    ]
    info = {"dataset": dataset, "subject": label, "modality": "eeg", "path": str(path), "warnings": said}
    recording = Recording(signal, sfreq, pd.DataFrame({"name": names, "type": "eeg", "unit": si}), info=info)
    recording = standard_montage(recording, montage, said) if montage else recording
    index = np.stack([np.zeros(len(rows), np.int64), rows * n_times], axis=1)
    return Windows((recording,), index, n_times, trials, tmin)
