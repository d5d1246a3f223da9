"""Which reader a path is for: by its ending, and by its content where the ending does not say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindec.errors import UnreadableError
from braindec.loaders._files import existing
from braindec.loaders._formats import RAW_SUFFIXES, suffix_of

_FOLDERS = (".ds", ".mff", ".mefd")
_EPOCHS = ("-epo", "_epo")
_EVOKED = ("-ave", "_ave")


def detect(path: str | Path) -> str:
    """Return the name of the reader for a path.

    Raises
    ------
    UnreadableError
        If no reader knows it.
    """
    path = existing(path)
    suffix = suffix_of(path)
    if path.is_dir() and suffix not in _FOLDERS:
        return _folder(path)
    stem = path.name.lower().removesuffix(".gz").removesuffix(".fif")
    if suffix.startswith(".fif") and stem.endswith(_EPOCHS):
        return "epochs"
    if suffix.startswith(".fif") and stem.endswith(_EVOKED):
        return "evoked"
    if suffix in (".npz", ".h5", ".hdf5", ".npy", ".mat"):
        return _arrays(path, suffix)
    simple = {".nii": "fmri", ".nii.gz": "fmri", ".nwb": "nwb", ".csv": "table", ".tsv": "table", ".set": _eeglab(path)}
    if suffix in simple:
        return simple[suffix]
    if suffix in RAW_SUFFIXES or suffix in (".xdf", ".vmrk", ".fdt", ".meg4"):
        return "raw"  # which says what to do about those that it refuses
    raise UnreadableError(
        f"no reader knows {path}", found=f"ending {suffix or 'none'}",
        allowed=", ".join([*RAW_SUFFIXES[:14], ".nii.gz", ".nwb", ".npy", ".npz", ".h5", ".mat", ".csv", ".tsv"]),
        fix="name the reader: braindec.load(path, reader='...')",
    )  # fmt: skip


def open_own(path: str | Path) -> Any:
    """Open a file that braindec wrote (a recording or features); None for anything else."""
    path = Path(path)
    if suffix_of(path) not in (".h5", ".hdf5") or not path.is_file() or path.stat().st_size == 0:
        return None
    from braindec.types import Features
    from braindec.types.storage import hdf5, open_recording

    with hdf5(path, "r") as file:
        kind = file.attrs.get("kind")
    if kind == "recording":
        return open_recording(path)
    return Features.open(path) if kind == "features" else None


def _folder(path: Path) -> str:
    subjects = [p for p in path.glob("sub-*") if p.is_dir()]
    if not subjects and not (path / "dataset_description.json").is_file():
        if any(p.name.endswith((".nii", ".nii.gz")) for p in path.iterdir()):
            return "fmri"
        return "raw"  # which says how to name one file of a folder
    kinds = {
        p.parent.name
        for s in subjects
        for p in s.glob("**/*.*")
        if p.parent.name in ("eeg", "meg", "ieeg", "nirs", "func")
    }
    return "fmri" if kinds == {"func"} else "bids"


def _arrays(path: Path, suffix: str) -> str:
    from braindec.loaders._arrays import variables

    names = set(variables(path)) if suffix in (".npz", ".h5", ".hdf5") and path.stat().st_size else set()
    return "spikes" if {"times", "unit"} <= names else "arrays"


def _eeglab(path: Path) -> str:
    """Say "epochs" for an EEGLAB file with more than one trial; anything unreadable is left to the reader ``raw``."""
    if suffix_of(path) != ".set" or not path.is_file():
        return "raw"
    from braindec.loaders.eeglab_hdf5 import count_trials

    return "epochs" if count_trials(path) > 1 else "raw"
