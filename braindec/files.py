"""Files that are either whole or not there: write to a temporary name, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from braindec.errors import BraindecError

_MARGIN = 128 * 2**10  # bytes: tables and what HDF5 keeps of its own


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success it is synced to disk and renamed to ``path``.

    On any failure (an exception, Ctrl-C, a full disk) the temporary file is removed and ``path`` is as it was.

    Raises
    ------
    BraindecError
        If the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf8")


def remove_stale(folder: str | Path) -> list[Path]:
    """Remove temporary files that processes of this host left behind when they were killed; return them."""
    removed = []
    for left in Path(folder).rglob(f".*.{socket.gethostname()}.*.tmp"):
        pid = left.name.rsplit(".", 3)[-3]
        if pid.isdigit() and not _alive(int(pid)):
            with suppress(OSError):
                left.unlink()
                removed.append(left)
    return removed


def check_room(path: Path, size: int) -> None:
    """Raise OSError when the disk of ``path`` has less than ``size`` bytes and a margin: HDF5 can crash on a full disk."""
    if shutil.disk_usage(path.parent).free < size + _MARGIN:
        raise OSError(errno.ENOSPC, f"No space left for {size / 2**20:.1f} MiB")


def explain_os_error(error: OSError, path: Path) -> BraindecError:
    """Turn an error of the file system into one that says what to do."""
    existing = next((p for p in (path, *path.parents) if p.exists()), Path("."))
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or any(
        text in str(error) for text in ("No space left", "errno = 28", "requested and")
    )  # the last is of ndarray.tofile
    if full:
        free = shutil.disk_usage(existing).free / 2**20
        return BraindecError(
            f"the disk is full while writing {path}", found=f"{free:.0f} MiB free",
            fix="free some space, or choose another place (--out, or the setting cache), and run the same command "
            "again: finished work is kept",
        )  # fmt: skip
    return BraindecError(f"cannot write {path}", found=str(error), fix="choose a folder that you may write to")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
