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
    surface = _surface(path)
    if surface is not None:
        return surface
    simple = {
        ".nii": "fmri",
        ".nii.gz": "fmri",
        ".nwb": "nwb",
        ".nc": "brainscore",
        ".csv": "table",
        ".tsv": "table",
        ".set": _eeglab(path),
    }
    if suffix in simple:
        return simple[suffix]
    if suffix in _vendor():
        return "neo"
    if suffix in RAW_SUFFIXES or suffix in (".xdf", ".vmrk", ".fdt", ".meg4"):
        return "raw"  # which says what to do about those that it refuses
    raise UnreadableError(
        f"no reader knows {path}", found=f"ending {suffix or 'none'}",
        allowed=", ".join([*RAW_SUFFIXES[:14], ".nii.gz", ".dtseries.nii", ".func.gii", ".nwb", ".nev", ".plx", ".smr", ".abf", ".nc", ".npy", ".npz", ".h5", ".mat", ".csv", ".tsv"]),
        fix="name the reader: braindec.load(path, reader='...')",
    )  # fmt: skip


def _surface(path: Path) -> str | None:
    """The reader of a CIFTI or GIFTI file; None for anything else.

    Raises
    ------
    UnreadableError
        If it is a mesh, or a matrix between brain places.
    """
    from braindec.loaders._cifti_file import KINDS, kind_of_name

    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".surf.gii"):
        raise UnreadableError(f"{path} is a mesh, not data on one", allowed=".func.gii, .shape.gii, .label.gii")
    kind = kind_of_name(path)
    if kind is None:
        return "gifti" if name.endswith(".gii") else None
    if kind not in KINDS:
        raise UnreadableError(
            f"{path} is a matrix between brain places ({kind}): it has no time and no maps",
            allowed=", ".join(f".{k}.nii" for k in KINDS),
        )
    return "cifti"


def open_maps(path: str | Path) -> Any:
    """Open a file of maps or labels on the brain (dscalar, pscalar, dlabel, shape and label GIFTI); None for others."""
    path = Path(path)
    name = path.name.lower().removesuffix(".gz")
    if not path.is_file() or not name.endswith((".gii", "scalar.nii", "label.nii")) or name.endswith(".surf.gii"):
        return None
    from braindec.loaders.brain_maps import read_map
    from braindec.loaders.cifti import read_labels
    from braindec.loaders.surfaces import open_surface, read_surface_labels

    if name.endswith("dlabel.nii"):
        from braindec.loaders._cifti_file import open_cifti

        file = open_cifti(path)
        found = [read_labels(file, k) for k in range(file.n_rows)]
        return found[0] if len(found) == 1 else found
    if not name.endswith(".gii"):
        return read_map(path)
    surface = open_surface(path)
    if surface.labels:
        found = [read_surface_labels(path, k) for k in range(surface.n_maps)]
        return found[0] if len(found) == 1 else found
    return None if surface.step is not None or (surface.n_maps > 1 and ".func." in name) else read_map(path)


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


def _vendor() -> tuple[str, ...]:
    """Endings that the reader neo knows and mne does not."""
    from braindec.loaders.readers.neo import SUFFIXES

    return tuple(s for s in SUFFIXES if s not in RAW_SUFFIXES)


def _folder(path: Path) -> str:
    from braindec.loaders.readers.phy import is_phy

    if is_phy(path):
        return "phy"
    subjects = [p for p in path.glob("sub-*") if p.is_dir()]
    if not subjects and not (path / "dataset_description.json").is_file():
        if any(path.glob("*/MNINonLinear")):
            return "cifti"  # which says how to name the runs of the HCP
        found = {_surface_series(p) for p in path.iterdir() if p.is_file()}
        if found & {"fmri", "cifti", "gifti"}:
            return next(r for r in ("fmri", "cifti", "gifti") if r in found)
        return "raw"  # which says how to name one file of a folder
    kinds = {
        p.parent.name
        for s in subjects
        for p in s.glob("**/*.*")
        if p.parent.name in ("eeg", "meg", "ieeg", "nirs", "func")
    }
    return _func(path) if kinds == {"func"} else "bids"


def _surface_series(path: Path) -> str | None:
    """The reader that a loose file of a folder is for, by its name."""
    if path.name.endswith((".dtseries.nii", ".ptseries.nii")):
        return "cifti"
    if path.name.endswith(".func.gii"):
        return "gifti"
    from braindec.loaders._cifti_file import kind_of_name

    return "fmri" if path.name.endswith((".nii", ".nii.gz")) and kind_of_name(path) is None else None


def _func(path: Path) -> str:
    """The reader of a BIDS folder of fMRI: volumes where there are any, else grayordinates, else surfaces."""
    from braindec.loaders._fmri_tree import VOLUMES, has_runs, other_runs

    other = None if has_runs(path, VOLUMES) else other_runs(path, VOLUMES)
    return other.reader if other else "fmri"


def _arrays(path: Path, suffix: str) -> str:
    from braindec.loaders._arrays import variables

    names = set(variables(path)) if suffix in (".npz", ".h5", ".hdf5") and path.stat().st_size else set()
    one_each = bool(names) and any(n.startswith("times/") for n in names) and "times" not in names
    return "spikes" if {"times", "unit"} <= names or one_each else "arrays"


def _eeglab(path: Path) -> str:
    """Say "epochs" for an EEGLAB file with more than one trial; anything unreadable is left to the reader ``raw``."""
    if suffix_of(path) != ".set" or not path.is_file():
        return "raw"
    from braindec.loaders.eeglab_hdf5 import count_trials

    return "epochs" if count_trials(path) > 1 else "raw"
