"""How ``braindec init`` opens what it is given: one function a recording, so that a damaged one stops no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.loaders import _bids_tree, _inspect_folder, _inspect_images
from braindec.loaders._detect import detect
from braindec.loaders._fmri_tree import GRAYORDINATES, SURFACES
from braindec.types import Recording

LOOSE = ("raw", "epochs", "nwb")
Opener = tuple[str, list[Path], Callable[[], Any]]  # name, files, function that opens
_BESIDE = re.compile(r"[-_](cov|eve|mrk|trans|fwd|inv|src|bem|bem-sol|ica|proj)\.", re.IGNORECASE)  # not recordings
FOLDERS = (".ds", ".mff", ".mefd")


def reader_of(path: Path) -> str:
    """The reader for a path; a folder that holds nothing but files of arrays is for ``arrays``, or for ``spikes``."""
    try:
        reader = detect(path)
    except BraindecError:
        if path.is_dir() and _inspect_folder.find_arrays(path):
            return _of_arrays(path)
        raise
    if (
        reader == "raw"
        and path.is_dir()
        and not any(
            p.suffix.lower() not in (".npz", ".npy", ".mat", ".h5", ".hdf5", ".yml", ".yaml", ".md", ".txt", ".json")
            for p in path.iterdir()
            if p.is_file()
        )
    ):
        return _of_arrays(path) if _inspect_folder.find_arrays(path) else reader
    return reader


def _of_arrays(folder: Path) -> str:
    """The reader of a folder of arrays: ``spikes`` where each file holds times and units."""
    return "spikes" if all(detect(p) == "spikes" for p in _inspect_folder.find_arrays(folder)) else "arrays"


def plan(path: Path, reader: str) -> tuple[Path, str, dict[str, Any], list[Opener]]:
    """Return what to open, with which reader and options, and (name, files, function that opens) of every recording."""
    bids = path.is_dir() and any(p.is_dir() for p in path.glob("sub-*"))
    if reader == "bids":
        return path, reader, {}, _bids_openers(path)
    if reader == "fmri" and bids:
        return path, reader, *_inspect_images.run_openers(path)
    if reader in ("cifti", "gifti") and bids:
        layout = GRAYORDINATES if reader == "cifti" else SURFACES
        return path, reader, *_inspect_images.run_openers(path, layout)
    if reader == "fmri" and path.is_dir():
        options = _inspect_images.loose_images(path)
        return (
            path,
            reader,
            options,
            [(path.name, [path / options["bold"]], lambda: load_any(path, reader=reader, **options))],
        )
    if reader == "fmri":
        options = {"mask": "auto"}
        return path, reader, options, [(path.name, [path], lambda: load_any(path, reader=reader, **options))]
    if path.is_dir() and reader == "spikes":
        paths = _inspect_folder.find_arrays(path)
        return path, reader, pattern([p.name for p in paths]), [(p.name, [p], lambda p=p: load_any(p)) for p in paths]
    if path.is_dir() and reader == "raw" and path.suffix.lower() not in FOLDERS:
        path, reader, found = loose_openers(path)
        names = [files[0].name for _, files, _ in found if files]
        return path, reader, pattern(names) if path.is_dir() and reader in LOOSE else {}, found
    return path, reader, {}, [(path.name, [path] if path.is_file() else [], lambda: load_any(path))]


def load_any(path: Path, **options: Any) -> Any:
    """Open a path by whatever reader fits."""
    from braindec.loaders import load

    return load(path, **options)


def loose_openers(path: Path) -> tuple[Path, str, list[Opener]]:
    """A folder of recordings that is not BIDS: the one recording in it, or all of them."""
    from braindec.loaders._formats import RAW_SUFFIXES, suffix_of

    heads = sorted(p for p in path.iterdir() if suffix_of(p) in (*RAW_SUFFIXES, ".nwb") and not p.name.startswith("."))
    heads = [p for p in heads if not _BESIDE.search(p.name)]
    stems = {p.stem for p in heads if p.suffix.lower() in (".vhdr", ".lay")}
    heads = [p for p in heads if p.suffix.lower() not in (".eeg", ".dat") or p.stem not in stems]
    if not heads:
        raise BraindecError(
            f"{path} holds no recording that a reader knows",
            found=", ".join(sorted(p.name for p in path.iterdir())[:8]) or "an empty folder",
            fix="name the folder that holds sub-*, or a file; text files of spike times, one unit each: reader spike_text; "
            "spikes in bins: reader spike_bins",
        )
    if len(heads) == 1:
        return heads[0], detect(heads[0]), [(heads[0].name, _parts(heads[0]), lambda: load_any(heads[0]))]
    return (
        path,
        detect(heads[0]),
        [(p.name, _parts(p), lambda p=p: load_any(p)) for p in tqdm(heads, desc="looking", disable=None, leave=False)],
    )


def pattern(names: Sequence[str]) -> dict[str, str]:
    """A pattern with ``{run}`` where the names of several files differ by a label in one place."""
    if len(names) < 2:
        return {}
    head = _shared_start(names).rstrip("0123456789")
    tail = _shared_start([n[::-1] for n in names])[::-1].lstrip("0123456789")
    middles = [n[len(head) : len(n) - len(tail)] for n in names]
    fits = all(m and "/" not in m for m in middles) and len(set(middles)) == len(names)
    return {"pattern": f"{head}{{run}}{tail}"} if fits and head else {}


def _parts(path: Path) -> list[Path]:
    """The files of a recording; a damaged header does not stop the look."""
    from braindec.loaders._formats import companions

    try:
        return companions(path)
    except (BraindecError, OSError, ValueError, KeyError):
        return [path]


def _bids_openers(path: Path) -> list[Opener]:
    from braindec.loaders.readers.bids import open_recording

    def opener(file: _bids_tree.BidsFile) -> Recording:
        said: list[str] = []
        recording = open_recording(file, said)
        told = [*(recording.info.get("warnings") or []), *said]
        return recording.with_signal(recording.signal, warnings=list(dict.fromkeys(told)))

    files: list[_bids_tree.BidsFile] = []
    first: BraindecError | None = None
    for kind in _bids_tree.DATATYPES:
        try:
            files += _bids_tree.recordings(path, datatype=kind)
        except BraindecError as error:
            first = first or error
    if not files and first is not None:
        raise first
    shown = tqdm(files, desc="looking", disable=None, leave=False)
    return [(_stem(f.path), _parts(f.path), lambda f=f: opener(f)) for f in shown]


def _shared_start(names: Sequence[str]) -> str:
    """The letters that all names begin with."""
    return "".join(letters[0] for letters in takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False)))


def _stem(path: Path) -> str:
    name = path.name.split(".")[0]
    return name.rsplit("_", 1)[0] if name.startswith("sub-") else path.name
