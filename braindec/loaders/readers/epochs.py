"""Reader ``epochs``: epochs saved by mne (``-epo.fif``) or EEGLAB (``.set`` with trials, v7.3 too) -> Windows.

Event names become ``trial_type`` ("a/b" is kept), metadata become columns of ``trials``; data stay on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np

from braindec.errors import UnreadableError
from braindec.loaders import _files, _formats, _options
from braindec.loaders.eeglab_hdf5 import is_hdf5, read_windows
from braindec.types import Windows
from braindec.types.mne_bridge import windows_from_mne
from braindec.types.mne_signals import EpochsSignal, quiet_mne

__all__ = ["load", "files", "subjects"]

_SUFFIXES = ("-epo.fif", "_epo.fif", "-epo.fif.gz", "_epo.fif.gz", ".set")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    session: str | None = None,
    task: str | None = None,
    run: str | Sequence[str] | None = None,
    pattern: str | None = None,
    event_sfreq: float | None = None,
    proj: bool = True,
) -> Windows:
    """Open epochs; several files are joined.

    Parameters
    ----------
    root : str or Path
        One file, or a folder.
    subject, session, task, run : str, optional
        Labels in ``pattern``, or the labels of one file.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"sub-{subject}/*-epo.fif"``.
    event_sfreq : float, optional
        Sampling frequency (Hz) of the recording that the event samples count, before decimation or resampling. A file of
        epochs does not say it; with it ``trials`` has ``onset`` in s, without it only ``sample``, in order of time.
    proj : bool
        Apply projectors that the file holds, as ``mne.read_epochs`` does.

    Returns
    -------
    Windows

    Raises
    ------
    UnreadableError
        If a file is damaged or holds no epochs.
    """
    wanted = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    parts = []
    for file in _files.keep(_find(root, pattern), **{k: _options.as_list(v) for k, v in wanted.items()}):
        about = {k: _options.text_or_none(v) for k, v in wanted.items()} | file.entities
        parts.append(_open(file.path, event_sfreq, proj, about))
    return Windows.concat(parts) if len(parts) > 1 else parts[0]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_find(root, values["pattern"]), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session", "task", "run")}
    return [p for f in _files.keep(_find(root, values["pattern"]), **wanted) for p in _formats.companions(f.path)]


def _open(path: Path, event_sfreq: float | None, proj: bool, about: dict[str, Any]) -> Windows:
    warnings = list(_formats.check(path))
    suffix = _formats.suffix_of(path)
    if suffix == ".set" and is_hdf5(path):
        return read_windows(path, warnings, **about)
    kind, options = ("epochs_eeglab", {}) if suffix == ".set" else ("epochs", {"proj": proj})
    read = mne.read_epochs_eeglab if suffix == ".set" else mne.read_epochs
    if suffix not in (".set", ".fif", ".fif.gz"):
        raise UnreadableError(
            f"{path} cannot be read as epochs", found=f"ending {path.suffix}", allowed=".fif, .fif.gz, .set"
        )
    try:
        with quiet_mne() as said:
            epochs = read(path, **({} if suffix == ".set" else {"preload": False}), **options)
            if len(epochs.events) and suffix == ".fif":
                epochs[len(epochs.events) - 1].get_data(copy=False)  # a cut file fails here
    except Exception as error:  # mne raises every kind of error on damaged files
        if "trial" in str(error) and suffix == ".set":
            raise UnreadableError(
                f"{path} is a continuous recording", found=str(error)[:200], fix="use the reader 'raw'"
            ) from error
        raise _formats.explain(error, path, read.__name__) from error
    said = [s for s in said if "naming convention" not in s and "does not conform" not in s]
    if any("Invalid tag" in s for s in said):
        raise _formats.explain(ValueError(said[0]), path, read.__name__)
    shape = (len(epochs.events), len(epochs.ch_names), len(epochs.times))
    if not shape[0]:
        raise UnreadableError(f"{path} holds no epochs", found="all were rejected before it was saved")
    warnings += [f"{path.name}: {s}" for s in said]
    if event_sfreq is None:
        warnings.append(f"{path.name} does not say the times of its events in s: give event_sfreq to have onsets")
    windows = windows_from_mne(
        epochs, event_sfreq=event_sfreq, signal=EpochsSignal(path, kind, shape, options, epochs), path=str(path),
        warnings=warnings, **about,
    )  # fmt: skip
    _check_length(windows, path)
    return windows


def _check_length(windows: Windows, path: Path) -> None:
    last = windows.load(np.array([len(windows) - 1]), check=False)
    if last.shape[2] != windows.n_times:
        raise UnreadableError(
            f"{path} was cut short", found=f"the last epoch has {last.shape[2]} of {windows.n_times} samples"
        )


def _find(root: str | Path, pattern: str | None) -> list[_files.Found]:
    path = Path(root)
    if pattern is None and path.is_file():
        return [_files.Found(path)]
    return _files.find(root, pattern, _SUFFIXES)
