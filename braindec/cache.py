"""A cache of costly arrays: one HDF5 file a key, whole or not there; two processes may use one folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindec.errors import BraindecError
from braindec.files import remove_stale, written_whole
from braindec.types.storage import hdf5, to_json

if TYPE_CHECKING:
    import h5py

_WHOLE = 16 * 2**20  # files up to this size are hashed whole, larger ones by size, head and tail
_END = 4 * 2**20


class Cache:
    """HDF5 files under readable names with a hash of their key.

    Parameters
    ----------
    folder : str or Path
        Made when it is not there. Files of killed processes are removed.

    Notes
    -----
    Two processes that make the same entry at once both write a temporary file; the last rename wins and both files
    hold the same. An entry that cannot be opened is made again.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.is_dir():
            remove_stale(self.folder)

    def path(self, name: str, key: Mapping[str, Any]) -> Path:
        """Return where the entry ``name`` with ``key`` is, or would be."""
        readable = re.sub(r"[^A-Za-z0-9_.=-]+", "-", name)[:80]
        return self.folder / f"{readable}-{hash_key(key)}.h5"

    def get(self, name: str, key: Mapping[str, Any], make: Callable[[h5py.File], None]) -> Path:
        """Return the path of a complete HDF5 file; ``make(file)`` fills it when it is not there yet.

        Parameters
        ----------
        name : str
            A readable name for the file.
        key : mapping
            Plain JSON that says everything the content depends on.
        make : callable
            Writes the content into an open, empty ``h5py.File``.

        Raises
        ------
        BraindecError
            If the disk is full or the folder cannot be written; what was there stays as it was.
        """
        path = self.path(name, key)
        if path.is_file() and self._complete(path):
            return path
        with written_whole(path) as temporary, hdf5(temporary, "w") as file:
            make(file)
            file.attrs["key"] = to_json(dict(key))
        return path

    @staticmethod
    def _complete(path: Path) -> bool:
        try:
            with hdf5(path, "r") as file:
                return "key" in file.attrs
        except BraindecError:
            path.unlink(missing_ok=True)  # damaged: made again
            return False


def default_folder() -> Path:
    """Return the folder of caches: ``$BRAINDEC_CACHE``, else ``~/.cache/braindec``."""
    return Path(os.environ.get("BRAINDEC_CACHE") or Path.home() / ".cache" / "braindec")


def hash_key(key: Any) -> str:
    """Return a hash (16 hex digits) of plain JSON; the order of keys does not matter."""
    text = json.dumps(json.loads(to_json(key)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(path: str | Path) -> str:
    """Return a fingerprint of a file's content (a folder's: of all files in it); copying or touching does not change it.

    Files up to 16 MiB are hashed whole; larger ones by their size and their first and last 4 MiB.
    """
    path = Path(path)
    digest = hashlib.sha256()
    members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for member in members:
        if not member.is_file():
            raise BraindecError(f"there is no file {member}", fix="check the path")
        size = member.stat().st_size
        if path.is_dir():
            digest.update(member.relative_to(path).as_posix().encode())
        digest.update(str(size).encode())
        with member.open("rb") as stream:
            if size <= _WHOLE:
                digest.update(stream.read())
            else:
                digest.update(stream.read(_END))
                stream.seek(-_END, os.SEEK_END)
                digest.update(stream.read())
    return digest.hexdigest()[:16]
