"""Where things are in a BIDS folder: recordings by entity, and their sidecars by the inheritance principle.

Source: BIDS specification 1.10, "Filename template" and "The Inheritance Principle": a sidecar applies to a recording when
its suffix fits and all its entities are those of the recording; the deepest one wins, JSON keys are merged from the top.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._files import existing
from braindec.loaders._formats import suffix_of
from braindec.loaders._options import as_list

DATATYPES = ("eeg", "meg", "ieeg", "nirs")
KEYS = {"subject": "sub", "session": "ses", "task": "task", "acquisition": "acq", "run": "run", "processing": "proc",
        "recording": "recording", "split": "split", "space": "space", "description": "desc"}  # fmt: skip
_SUFFIXES = {"eeg": "eeg", "meg": "meg", "ieeg": "ieeg", "nirs": "nirs"}
_EXTENSIONS = (".vhdr", ".edf", ".bdf", ".set", ".fif", ".fif.gz", ".ds", ".sqd", ".con", ".snirf", ".mefd", ".nwb", ".gdf", ".cnt",
               ".mff")  # fmt: skip  # .nwb is found so that its refusal can name the reader that takes it


@dataclass(frozen=True)
class BidsFile:
    """One recording of a BIDS folder."""

    path: Path
    root: Path
    datatype: str

    @cached_property
    def entities(self) -> dict[str, str]:
        """Short names of entities and their labels, e.g. {"sub": "01", "task": "rest"}."""
        return entities_of(self.path.name)

    def get(self, name: str) -> str | None:
        """Return the label of an entity by its long name ("subject"), or None."""
        return self.entities.get(KEYS[name])

    def sidecars(self, suffix: str, extension: str) -> list[Path]:
        """Return the sidecars that apply, from the top of the folder down to the recording."""
        own = {**self.entities}
        found: list[tuple[int, int, Path]] = []
        folders = [p for p in (self.path.parent, *self.path.parents) if p == self.root or self.root in p.parents]
        for depth, folder in enumerate(reversed(list(dict.fromkeys(folders)))):
            for path in folder.glob(f"*{suffix}{extension}"):
                stem = path.name[: -len(extension)]
                if not (stem == suffix or stem.endswith(f"_{suffix}")):
                    continue
                theirs = entities_of(path.name)
                free = {
                    "electrodes": {"space"},
                    "coordsystem": {"space"},
                    "headshape": {"acq"},
                    "markers": {"acq"},
                }.get(suffix, set())
                if all(own.get(k) == v for k, v in theirs.items() if k not in free):
                    found.append((depth, len(theirs), path))
        return [path for _, _, path in sorted(found)]

    def sidecar(self, suffix: str, extension: str) -> Path | None:
        """Return the sidecar nearest to the recording, or None."""
        found = self.sidecars(suffix, extension)
        return found[-1] if found else None

    def json(self, suffix: str) -> dict[str, Any]:
        """Return the merged JSON of all sidecars with ``suffix``."""
        merged: dict[str, Any] = {}
        for path in self.sidecars(suffix, ".json"):
            merged.update(read_json(path))
        return merged


def entities_of(name: str) -> dict[str, str]:
    """Return the entities of a BIDS file name."""
    return dict(re.findall(r"(?:^|_)([a-zA-Z]+)-([^_.]+)", name))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON sidecar; a byte-order mark is skipped."""
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, OSError) as error:
        raise UnreadableError(
            f"{path} is not JSON", found=str(error)[:200], fix="repair the file: a JSON checker shows where"
        ) from error
    return value if isinstance(value, dict) else {}


def recordings(
    root: str | Path, *, subject: Any = None, session: Any = None, task: Any = None, run: Any = None, acquisition: Any = None,
    processing: Any = None, datatype: str | None = None, extension: str | None = None,
) -> list[BidsFile]:  # fmt: skip
    """Return the recordings of a BIDS folder with the labels asked for, in order of their names.

    Raises
    ------
    BraindecError
        If the folder is not BIDS, a label is not there, or several datatypes could be meant.
    """
    folder = check_root(root)
    if datatype is not None and datatype not in DATATYPES:
        raise BraindecError(
            f"there is no datatype {datatype!r}{did_you_mean(datatype, DATATYPES)}", allowed=", ".join(DATATYPES)
        )
    files = _all(folder, datatype, extension, as_list(subject))
    wanted = {
        "subject": subject,
        "session": session,
        "task": task,
        "run": run,
        "acquisition": acquisition,
        "processing": processing,
    }
    if not files:
        others = sorted(
            {
                p.name
                for s in folder.glob("sub-*")
                for p in s.rglob("*")
                if p.is_dir() and p.name in ("func", "anat", "beh")
            }
        )
        raise BraindecError(
            f"no EEG, MEG, iEEG or NIRS recording in {folder}",
            found=f"folders {', '.join(others)}" if others else "no sub-*/[ses-*/](eeg|meg|ieeg|nirs) with a known file",
            allowed=", ".join(_EXTENSIONS), fix="for fMRI use the reader 'fmri'" if "func" in others else "check the path",
        )  # fmt: skip
    for entity, value in wanted.items():
        files = _keep(files, entity, as_list(value), folder)
    if not files:
        asked = ", ".join(f"{k} {v}" for k, v in wanted.items() if v is not None)
        raise BraindecError(f"{folder} has no recording with all of {asked}", fix="leave one of them out")
    kinds = sorted({f.datatype for f in files})
    if len(kinds) > 1:
        raise BraindecError(
            f"{folder} holds several datatypes: which one?", found=", ".join(kinds), fix=f"add datatype: {kinds[0]}"
        )
    return files


def check_root(root: str | Path) -> Path:
    """Return the folder, or say why it is not BIDS."""
    folder = existing(root)
    if not folder.is_dir():
        raise BraindecError(
            f"{root} is a file, not a BIDS folder", fix="name the folder that holds sub-*, or use the reader 'raw'"
        )
    if not any(p.is_dir() for p in folder.glob("sub-*")):
        inside = next((p.parent for p in folder.glob("*/sub-*") if p.is_dir()), None)
        raise BraindecError(
            f"{folder} is not a BIDS folder: it has no sub-*", found=", ".join(sorted(p.name for p in folder.iterdir())[:8]),
            fix=f"did you mean {inside}?" if inside else "name the folder that holds sub-*",
        )  # fmt: skip
    return folder


def _all(root: Path, datatype: str | None, extension: str | None, subjects: Sequence[str] | None) -> list[BidsFile]:
    found = []
    folders = [p for p in sorted(root.glob("sub-*")) if p.is_dir()]
    if subjects is not None:
        labels = [p.name.removeprefix("sub-") for p in folders]
        asked = [s.removeprefix("sub-") for s in subjects]
        for label in asked:
            if label not in labels:
                raise BraindecError(
                    f"{root.name} has no subject {label!r}{did_you_mean(label, labels)}", allowed=", ".join(labels[:60])
                )
        folders = [p for p in folders if p.name.removeprefix("sub-") in asked]
    kinds = DATATYPES if datatype is None else (datatype,)
    for subject in folders:
        for kind in kinds:
            for path in sorted([*subject.glob(f"{kind}/*"), *subject.glob(f"ses-*/{kind}/*")]):
                suffix = suffix_of(path)
                if suffix not in _EXTENSIONS or (extension and suffix != extension) or path.name.startswith("."):
                    continue
                entities, stem = entities_of(path.name), path.name[: -len(suffix)]
                if not stem.endswith(f"_{_SUFFIXES[kind]}") or int(_digits(entities.get("split", "1"))) > 1:
                    continue
                if entities.get("acq") in ("crosstalk", "calibration"):
                    continue
                if entities.get("sub") != subject.name.removeprefix("sub-"):
                    raise UnreadableError(
                        f"{path} is named for another subject than its folder", found=f"sub-{entities.get('sub')} in {subject.name}",
                        fix="find out whose recording it is, and rename the file or move it",
                    )  # fmt: skip
                found.append(BidsFile(path, root, kind))
    return found


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text) or "1"


def _keep(files: list[BidsFile], entity: str, labels: Sequence[str] | None, root: Path) -> list[BidsFile]:
    if labels is None:
        return files
    asked = [label.removeprefix(f"{KEYS[entity]}-") for label in labels]
    have = sorted({label for f in files if (label := f.get(entity)) is not None})
    for label in asked:
        if label not in have:
            raise BraindecError(
                f"{root.name} has no {entity} {label!r}{did_you_mean(label, have)}",
                allowed=", ".join(have) or f"no {entity} at all",
            )
    return [f for f in files if f.get(entity) in asked]
