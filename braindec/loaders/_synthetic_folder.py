"""A folder that is either a whole cohort or not there: written beside its place, marked last, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from braindec.errors import BraindecError
from braindec.files import explain_os_error

MARKER = "derivatives/truth/cohort.json"
KIND = "braindec synthetic cohort"
VERSION = 1  # raised when the same parameters give other bytes


def make_folder(folder: Path, parameters: Mapping[str, Any], write: Callable[[Path], None]) -> bool:
    """Let ``write(temporary)`` fill a folder that then becomes ``folder``; return False if it was there already.

    Raises
    ------
    BraindecError
        If ``folder`` holds anything but the same whole cohort, or cannot be written.
    """
    if _already(folder, parameters):
        return False
    _remove_stale(folder)
    temporary = folder.with_name(f".{folder.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        files = {p.relative_to(temporary).as_posix(): [p.stat().st_size, _sha256(p)]
                 for p in sorted(temporary.rglob("*")) if p.is_file()}  # fmt: skip
        marker = {"kind": KIND, "version": VERSION, "parameters": dict(parameters), "files": files}
        (temporary / MARKER).parent.mkdir(parents=True, exist_ok=True)
        (temporary / MARKER).write_text(json.dumps(marker, indent=1) + "\n")
        try:
            os.rename(temporary, folder)  # also over an empty folder
        except OSError:
            if not _already(folder, parameters):  # another process was faster, or something else came in between
                raise
            return False
    except OSError as error:
        raise explain_os_error(error, folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def read_marker(folder: Path, *, verify: bool = False) -> dict[str, Any]:
    """Return the marker of a whole cohort.

    Parameters
    ----------
    folder : Path
        The cohort.
    verify : bool
        Compare the sha256 of every file, not only sizes.

    Raises
    ------
    BraindecError
        If there is no cohort, or files of it are missing or changed.
    """
    path = folder / MARKER
    if not path.is_file():
        raise BraindecError(f"there is no synthetic cohort in {folder}", found="an empty folder" if _empty(folder) else f"no {MARKER}",
                            fix="make it: braindec.loaders.synthetic.make_cohort(folder)")  # fmt: skip
    try:
        marker = json.loads(path.read_text(encoding="utf8"))
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in marker["files"].items()}
        known = marker["kind"] == KIND
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BraindecError(
            f"{path} is damaged", found=str(error), fix=f"delete {folder} and make the cohort again"
        ) from error
    if not known:
        raise BraindecError(
            f"{folder} is not a synthetic cohort", found=f"kind {marker['kind']!r}", fix="choose another folder"
        )
    changed = [
        name for name, (size, digest) in files.items() if _differs(folder / name, size, digest if verify else None)
    ]
    if changed:
        raise BraindecError(
            f"{len(changed)} files of the cohort in {folder} are missing or changed", found=", ".join(changed[:5]),
            fix="delete the folder and make the cohort again",
        )  # fmt: skip
    return marker


def _already(folder: Path, parameters: Mapping[str, Any]) -> bool:
    if not folder.exists() or _empty(folder):
        return False
    if not (folder / MARKER).is_file():
        listing = sorted(p.name for p in folder.iterdir())[:6] if folder.is_dir() else ["a file"]
        raise BraindecError(f"{folder} holds other things; nothing was written", found=", ".join(listing),
                            fix="choose a folder that is empty or not there")  # fmt: skip
    marker = read_marker(folder)
    wanted, there = {"version": VERSION, **parameters}, {"version": marker["version"], **marker["parameters"]}
    differ = [k for k in {**wanted, **there} if wanted.get(k) != there.get(k)]
    if differ:
        raise BraindecError(
            f"{folder} holds a cohort with other parameters; nothing was written",
            found="; ".join(f"{k} is {there.get(k)!r}, asked {wanted.get(k)!r}" for k in differ[:4]),
            fix="choose another folder, or delete this one",
        )  # fmt: skip
    return True


def _remove_stale(folder: Path) -> None:
    """Remove what a killed process of this host left of the same folder."""
    for left in folder.parent.glob(f".{folder.name}.{socket.gethostname()}.*.part"):
        with suppress(ValueError, PermissionError):
            try:
                os.kill(int(left.name.split(".")[-3]), 0)
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)


def _differs(path: Path, size: int, digest: str | None) -> bool:
    return not path.is_file() or path.stat().st_size != size or (digest is not None and _sha256(path) != digest)


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
