"""Reader ``evoked``: averages saved by mne (``-ave.fif``) -> Windows, one row a condition.

``trial_type`` is the comment of the average, ``nave`` the number of trials in it. Averages are for group statistics and
topographies, not for decoding of single trials.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _formats, _options
from braindec.types import Recording, Windows
from braindec.types.mne_bridge import channel_table, modality_of
from braindec.types.mne_signals import EpochsSignal, quiet_mne

__all__ = ["load", "files", "subjects"]

_SUFFIXES = ("-ave.fif", "_ave.fif", "-ave.fif.gz", "_ave.fif.gz")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    session: str | None = None,
    task: str | None = None,
    pattern: str | None = None,
    condition: list[str] | None = None,
    proj: bool = True,
) -> Windows:
    """Open averages; several files (subjects) are joined.

    Parameters
    ----------
    root : str or Path
        One file, or a folder.
    subject, session, task : str, optional
        Labels in ``pattern``, or the labels of one file.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"sub-{subject}_*_ave.fif"``.
    condition : list of str, optional
        Comments of the averages to keep.
    proj : bool
        Apply projectors that the file holds, as ``mne.read_evokeds`` does.

    Returns
    -------
    Windows
        One row an average: trial_type, nave, kind ("average" or "standard_error").

    Raises
    ------
    UnreadableError
        If a file is damaged or holds no averages.
    BraindecError
        If the averages differ in length or channels, or a condition is not there.
    """
    wanted = {"session": session, "task": task, **({"subject": subject} if subject is not None else {})}
    parts = []
    for file in _files.keep(_find(root, pattern), **{k: _options.as_list(v) for k, v in wanted.items()}):
        about = {k: _options.text_or_none(v) for k, v in wanted.items()} | file.entities
        parts.append(_open(file.path, condition, proj, about))
    return Windows.concat(parts) if len(parts) > 1 else parts[0]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_find(root, values["pattern"]), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session", "task")}
    return [f.path for f in _files.keep(_find(root, values["pattern"]), **wanted)]


def _open(path: Path, condition: list[str] | None, proj: bool, about: dict[str, Any]) -> Windows:
    warnings = list(_formats.check(path))
    try:
        with quiet_mne() as said:
            averages = mne.read_evokeds(path, proj=proj)
    except Exception as error:  # mne raises every kind of error on damaged files
        raise _formats.explain(error, path, "mne.read_evokeds") from error
    if any("Invalid tag" in s for s in said) or not averages:
        raise UnreadableError(
            f"{path} holds no whole averages", found=said[0] if said else "none", fix="copy the file again"
        )
    warnings += [f"{path.name}: {s}" for s in said if "naming convention" not in s and "does not conform" not in s]
    first = averages[0]
    for other in averages[1:]:
        if (
            len(other.times) != len(first.times)
            or abs(other.tmin - first.tmin) > 1e-6
            or other.ch_names != first.ch_names
        ):
            raise BraindecError(
                f"the averages of {path} differ in length, start or channels",
                found=f"{first.comment!r}: {len(first.times)} samples from {first.tmin:.4f} s; {other.comment!r}: "
                f"{len(other.times)} samples from {other.tmin:.4f} s",
                fix="crop them to one length in mne and save them again",
            )
    shape = (len(averages), len(first.ch_names), len(first.times))
    channels = channel_table(first.info)
    info = {"path": str(path), "modality": modality_of(channels["type"]), "line_freq": first.info["line_freq"],
            "warnings": warnings, **about}  # fmt: skip
    signal = EpochsSignal(path, "evoked", shape, {"proj": proj}, np.stack([e.data for e in averages]))
    recording = Recording(signal, first.info["sfreq"], channels, info=info)
    comments = [str(e.comment) for e in averages]
    trials = pd.DataFrame({"trial_type": comments, "nave": [int(e.nave) for e in averages],
                           "kind": [str(e.kind) for e in averages], "duration": 0.0})  # fmt: skip
    for key, value in about.items():
        if value is not None:
            trials[key] = value
    index = np.stack([np.zeros(len(trials), np.int64), np.arange(len(trials)) * shape[2]], axis=1)
    windows = Windows((recording,), index, shape[2], trials, float(first.tmin))
    return windows if condition is None else windows[_rows(comments, condition, path)]


def _rows(comments: list[str], condition: list[str], path: Path) -> np.ndarray:
    for name in condition:
        if name not in comments:
            raise BraindecError(
                f"{path.name} has no average {name!r}{did_you_mean(name, comments)}",
                allowed=", ".join(dict.fromkeys(comments)),
            )
    return np.flatnonzero([c in condition for c in comments])


def _find(root: str | Path, pattern: str | None) -> list[_files.Found]:
    path = Path(root)
    if pattern is None and path.is_file():
        return [_files.Found(path)]
    return _files.find(root, pattern, _SUFFIXES)
