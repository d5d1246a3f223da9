"""GIFTI files with nibabel: whole, or no further than their first array, which says what the others are."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

from braindec.errors import UnreadableError, did_you_mean

_CHUNK = 2**18


def load_gifti(path: Path) -> Any:
    """Return the whole image; every array that it promises must be there."""
    import nibabel as nib

    _exists(path)
    try:
        image = (
            nib.load(path)
            if path.suffix != ".gz"
            else nib.gifti.GiftiImage.from_bytes(gzip.decompress(path.read_bytes()))
        )
        promised = int(re.search(rb'NumberOfDataArrays\s*=\s*"(\d+)"', _head(path)).group(1))  # type: ignore[union-attr]
    except Exception as error:  # nibabel, expat, gzip and zlib each raise their own
        raise _damaged(path, error) from error
    if not isinstance(image, nib.gifti.GiftiImage) or not image.darrays or len(image.darrays) != promised:
        raise UnreadableError(f"{path} holds no whole GIFTI data", found=f"{len(image.darrays)} of {promised} arrays")
    return _no_mesh(image, path)


def first_array(path: Path) -> tuple[Any, int]:
    """Return the document up to its first array, and how many arrays it promises."""
    import nibabel as nib

    _exists(path)
    try:
        text, end = b"", -1
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while end < 0 and (chunk := file.read(_CHUNK)):
                text += chunk
                end = text.find(b"</DataArray>", max(0, len(text) - len(chunk) - 16))
        found = re.search(rb'NumberOfDataArrays\s*=\s*"(\d+)"', text)
        if found is None or end < 0:
            raise ValueError("no whole DataArray")
        if b"ExternalFileBinary" in text[:end]:
            return load_gifti(path), int(found.group(1))
        head = text[: found.start(1)] + b"1" + text[found.end(1) : end]
        image = nib.gifti.GiftiImage.from_bytes(head + b"</DataArray></GIFTI>")
    except Exception as error:
        raise _damaged(path, error) from error
    if path.suffix != ".gz":
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 256))
            if b"</GIFTI>" not in file.read():
                raise UnreadableError(
                    f"{path} was cut short", found="it has no end (</GIFTI>)", fix="copy the file again"
                )
    return _no_mesh(image, path), int(found.group(1))


def _head(path: Path) -> bytes:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return file.read(_CHUNK)


def _exists(path: Path) -> None:
    if not path.is_file():
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise UnreadableError(f"there is no file {path}{did_you_mean(path.name, there)}", fix="check the path")
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again from where it was made")


def _damaged(path: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        f"{path} cannot be read as GIFTI (tried nibabel)",
        found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        fix="the file is damaged, cut short or of another kind: copy it again",
    )


def _no_mesh(image: Any, path: Path) -> Any:
    codes = {int(a.intent) for a in image.darrays}
    if codes & {1008, 1009}:  # NIFTI_INTENT_POINTSET, NIFTI_INTENT_TRIANGLE
        raise UnreadableError(f"{path} is a mesh, not data on one", allowed=".func.gii, .shape.gii, .label.gii")
    return image
