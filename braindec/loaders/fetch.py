"""Download the files of a data-set card: resumed after a cut, checked by sha256, never outside the folder.

A file that is being downloaded is called ``name.part``; it becomes ``name`` only when all of it is there and its
checksum is right. Source: HTTP range requests, RFC 9110 section 14.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.files import explain_os_error
from braindec.loaders.cards import Card, CardFile

__all__ = ["checksum", "fetch"]

_CHUNK = 1 << 18
_RETRY = (408, 425, 429, 500, 502, 503, 504)


def fetch(
    card: Card,
    destination: str | Path,
    *,
    mirror: str | Path | None = None,
    progress: bool | None = None,
    retries: int = 4,
    timeout: float = 30.0,
) -> list[Path]:
    """Download the files of a data set, or say how to obtain it.

    Parameters
    ----------
    card : Card
        Names the files, their addresses and checksums.
    destination : str or Path
        The data set's folder; files that are there and whole are kept.
    mirror : str or Path, optional
        A folder, a ``file://`` or an ``http(s)://`` address that holds the same files by their paths.
    progress : bool, optional
        Show a bar; by default on a terminal only.
    retries : int
        How often a file is tried again after a cut or a busy server (with waits of 0.5, 1, 2, ... s).
    timeout : float
        Seconds without an answer.

    Returns
    -------
    list of Path
        The files, in the order of the card.

    Raises
    ------
    BraindecError
        If the licence does not let us, a checksum is wrong, a server refuses, or the disk is full. Files that were
        finished stay, and a file that was cut goes on where it ended.
    """
    _check_allowed(card, mirror)
    folder = Path(destination).expanduser()
    plan = [(file, _inside(folder, file.path), _address(file, mirror, card)) for file in card.files]
    _check_space(card, folder, [target for _, target, _ in plan])
    bar = tqdm(
        total=card.n_bytes,
        unit="B",
        unit_scale=True,
        desc=card.name,
        disable=None if progress is None else not progress,
    )
    done = []
    with closing(bar):
        for file, target, address in plan:
            if _is_whole(file, target):
                bar.update(target.stat().st_size)
            else:
                _one(file, target, address, bar, retries=retries, timeout=timeout)
            done.append(target)
    return done


def checksum(path: str | Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_allowed(card: Card, mirror: str | Path | None) -> None:
    if card.access != "open" and mirror is None:
        raise BraindecError(
            f"{card.name} cannot be downloaded for you: its licence ({card.licence}) asks for "
            + ("an account or an agreement of your own" if card.access == "registration" else "a copy from its owners"),
            found=card.url,
            fix=card.how_to_obtain.strip(),
        )
    if not card.files:
        raise BraindecError(
            f"the card of {card.name} names no files to download", found=card.url, fix=card.how_to_obtain.strip()
        )


def _inside(folder: Path, relative: str) -> Path:
    """The target path; links inside the folder that lead out of it are refused too."""
    target = folder / relative
    if not target.resolve().is_relative_to(folder.resolve()):
        raise BraindecError(
            f"the file {relative!r} of the card lies outside {folder}",
            fix="correct the card, or remove the link in the folder",
        )
    return target


def _address(file: CardFile, mirror: str | Path | None, card: Card) -> str:
    if mirror is None:
        if file.url is None:
            raise BraindecError(
                f"the card of {card.name} has no address for {file.path}", fix=card.how_to_obtain.strip()
            )
        return file.url
    text = str(mirror)
    if text.startswith(("http://", "https://", "file://")):
        return text.rstrip("/") + "/" + urllib.parse.quote(file.path)
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise BraindecError(f"there is no mirror folder {mirror}", fix="check the path")
    return (folder.resolve() / file.path).as_uri()


def _check_space(card: Card, folder: Path, targets: list[Path]) -> None:
    missing = sum(f.bytes or 0 for f, t in zip(card.files, targets, strict=True) if not t.is_file())
    existing = next((p for p in (folder, *folder.absolute().parents) if p.exists()), Path("."))
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise BraindecError(
            f"{card.name} does not fit on the disk of {existing}",
            found=f"{missing / 2**20:.0f} MiB to download, {free / 2**20:.0f} MiB free",
            fix="free some space, or choose another folder (--to)",
        )


def _is_whole(file: CardFile, target: Path) -> bool:
    if not target.is_file() or (file.bytes is not None and target.stat().st_size != file.bytes):
        return False
    if file.sha256 is None:
        return True
    if checksum(target) == file.sha256:
        return True
    raise BraindecError(
        f"{target} is there but is not the file of the card",
        found=f"sha256 {checksum(target)}",
        allowed=f"sha256 {file.sha256}",
        fix="move it away (it may be your own) and run the same command again",
    )


def _one(file: CardFile, target: Path, address: str, bar: Any, *, retries: int, timeout: float) -> None:
    """Download one file into ``.part``, check it, and give it its name."""
    part = target.with_name(target.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, part) from error
    start = part.stat().st_size if part.is_file() else 0
    if file.bytes is not None and start > file.bytes:
        part.unlink()
        start = 0
    bar.update(start)
    if file.bytes is None or start < file.bytes:
        _with_retries(part, address, bar, retries, timeout, file.bytes)
    size = part.stat().st_size
    if file.bytes is not None and size != file.bytes:
        if size > file.bytes:
            part.unlink()
        raise BraindecError(
            f"{target.name} came with another length",
            found=f"{size} bytes from {address}",
            allowed=f"{file.bytes} bytes",
            fix="run the same command again; if it stays so, the file at this address was changed",
        )
    if file.sha256 is not None:
        found = checksum(part)
        if found != file.sha256:
            part.unlink()
            raise BraindecError(
                f"{target.name} has another checksum than its card says: it was not kept",
                found=f"sha256 {found} from {address}",
                allowed=f"sha256 {file.sha256}",
                fix="run the same command again; if it stays so, the file at this address was changed",
            )
    try:
        os.replace(part, target)
    except OSError as error:
        raise explain_os_error(error, target) from error


def _with_retries(part: Path, address: str, bar: Any, retries: int, timeout: float, expected: int | None) -> None:
    for attempt in range(retries + 1):
        try:
            _transfer(part, address, bar, timeout)
            if expected is None or part.stat().st_size >= expected:
                return
            reason: str = f"the connection ended after {part.stat().st_size} of {expected} bytes"
        except urllib.error.HTTPError as error:
            if error.code not in _RETRY:
                raise BraindecError(
                    f"{address} cannot be downloaded",
                    found=f"HTTP {error.code} {error.reason}",
                    fix="the address may have changed: look at the page of the data set, or use a mirror (--mirror)",
                ) from error
            reason = f"HTTP {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if address.startswith("file:"):
                raise BraindecError(f"{address} cannot be read", found=reason, fix="check the mirror folder") from error
        except OSError as error:
            raise explain_os_error(error, part) from error
        if attempt < retries:
            time.sleep(0.5 * 2**attempt)
    kept = part.stat().st_size if part.is_file() else 0
    raise BraindecError(
        f"{address} could not be downloaded in {retries + 1} attempts",
        found=reason,
        fix=f"check the connection and run the same command again: it goes on after the {kept} bytes that are there",
    )


def _transfer(part: Path, address: str, bar: Any, timeout: float) -> None:
    """Append what is missing to ``part``; when the server cannot continue, start again from the first byte."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "braindec", "Accept-Encoding": "identity"}
    if start and not address.startswith("file:"):
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - cards allow http(s) only, mirrors are the user's
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing after the bytes that are there, or the file is another one
            total = _total(error.headers.get("Content-Range"))
            if total == start:
                return
            _restart(part, bar, start)
            return _transfer(part, address, bar, timeout)
        raise
    with closing(answer):
        continues = getattr(answer, "status", None) == 206 and str(answer.headers.get("Content-Range", "")).startswith(
            f"bytes {start}-"
        )
        if start and address.startswith("file:"):
            answer.read(start)
            continues = True
        if start and not continues:
            _restart(part, bar, start)
            start = 0
        length = answer.headers.get("Content-Length")
        with part.open("ab") as file:
            got = _copy(answer, file, bar)
        whole = int(length) if length and length.isdigit() and not address.startswith("file:") else None
        if whole is not None and got < whole:
            raise http.client.IncompleteRead(b"", whole - got)


def _copy(source: Any, file: BinaryIO, bar: Any) -> int:
    got = 0
    for block in _blocks(source):
        file.write(block)
        got += len(block)
        bar.update(len(block))
    return got


def _blocks(source: Any) -> Iterator[bytes]:
    while block := source.read(_CHUNK):
        yield block


def _restart(part: Path, bar: Any, start: int) -> None:
    part.unlink(missing_ok=True)
    bar.update(-start)


def _total(content_range: str | None) -> int | None:
    """Length of the whole from ``bytes */123``."""
    text = (content_range or "").rsplit("/", 1)[-1]
    return int(text) if text.isdigit() else None
