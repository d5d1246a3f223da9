"""Pictures behind an array's face: in one size and mode, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.types.storage import hdf5

MODES = ("colour", "grey")
_GREY = {"1", "L", "LA"}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def check_mode(mode: str | None) -> None:
    """Refuse a mode that is none."""
    if mode not in (None, *MODES):
        raise BraindecError(f"mode={mode!r} is unknown{did_you_mean(str(mode), MODES)}", allowed="colour, grey")


def pair(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Height and width of ``size``."""
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, (list, tuple, np.ndarray)) else (size, size)
    if len(sides) != 2 or not all(
        isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s >= 1 for s in sides
    ):
        raise BraindecError(
            f"pictures cannot have size={size!r}",
            allowed="pixels a side, or (height, width): whole numbers of 1 or more",
        )
    return int(sides[0]), int(sides[1])


def of_mode(values: np.ndarray, mode: str) -> np.ndarray:
    """Turn pictures of one or three channels, uint8 (..., channel), into colour or grey ones (.299, .587, .114)."""
    n = values.shape[-1]
    if mode == "colour":
        return values if n == 3 else np.repeat(values, 3, axis=-1)
    if n == 1:
        return values
    return np.round(values @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]


def fitted(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale pictures, uint8 (..., height, width, channel), and crop them in the middle; by area going down."""
    from PIL import Image, ImageOps

    height, width, n = values.shape[-3:]
    if (height, width) == size:
        return values
    method = Image.Resampling.BOX if min(height / size[0], width / size[1]) > 1 else Image.Resampling.BILINEAR
    flat = values.reshape(-1, height, width, n)
    out = np.empty((len(flat), *size, n), np.uint8)
    for i, picture in enumerate(flat):
        image = Image.fromarray(picture[..., 0] if n == 1 else picture)
        out[i] = np.asarray(ImageOps.fit(image, size[::-1], method=method)).reshape(*size, n)
    return out.reshape(*values.shape[:-3], *size, n)


def headers(paths: Sequence[Path]) -> list[tuple[int, int, str]]:
    """(height, width, mode) of image files, of which only the beginning is read.

    Raises
    ------
    UnreadableError
        If a file is no image, or holds more than 8 bits a channel.
    """
    from PIL import Image

    found = []
    for path in paths:
        try:
            with Image.open(path) as image:
                kind, (width, height) = image.mode, image.size
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # on its side
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableError(f"{path} cannot be read as an image", found=f"{type(error).__name__}: {str(error)[:150]}",
                                  fix="the file is damaged or no image") from error  # fmt: skip
        if kind in _DEEP:
            raise UnreadableError(f"{path} holds more than 8 bits a channel", found=f"mode {kind}",
                                  allowed="8 bits, grey or colour", fix="save it with 8 bits")  # fmt: skip
        side = (width, height) if turned else (height, width)
        found.append((*side, "grey" if kind in _GREY else "colour"))
    return found


def agree(
    found: Sequence[tuple[int, int, str]], names: Sequence[str], *, size: Any, mode: str | None, what: str
) -> tuple[tuple[int, int], str]:
    """Size and mode that all have, or that are asked for.

    Raises
    ------
    BraindecError
        If they differ and nothing is asked for.
    """
    if not found:
        raise BraindecError(f"no {what} are asked for", found="an empty list", fix="name at least one stimulus")
    sizes, modes = {f[:2] for f in found}, {f[2] for f in found}
    if (len(sizes) > 1 and size is None) or (len(modes) > 1 and mode is None):
        kinds: dict[tuple[int, int, str], list[str]] = {}
        for kind, name in zip(found, names, strict=True):
            kinds.setdefault(kind, []).append(name)
        ordered = sorted(kinds.items(), key=lambda k: -len(k[1]))
        listed = "; ".join(
            f"{len(n)} of {k[0]} x {k[1]} {k[2]} ({n[0]}{', ...' if len(n) > 1 else ''})" for k, n in ordered[:5]
        )
        raise BraindecError(
            f"the {what} are not of one size and mode", found=listed,
            fix="say size=(height, width) to scale and crop all alike, and mode='colour' or mode='grey'",
        )  # fmt: skip
    return size or next(iter(sizes)), mode or next(iter(modes))


@dataclass(frozen=True, eq=False)
class Lazy:
    """uint8 pictures behind ``shape``: ``read(rows)`` gives those of an array of numbers.

    ``read`` is a function of a module (or a ``functools.partial`` of one), so that the pictures can go to another process.
    """

    shape: tuple[int, ...]
    read: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        kept = np.atleast_1d(np.arange(len(self))[rows])
        out = np.empty((len(kept), *self.shape[1:]), np.uint8)
        if len(kept):
            out[...] = self.read(kept)
        return out


def from_hdf5(path: Path, dataset: str, rows: np.ndarray, *, size: tuple[int, int] | None, mode: str | None) -> Lazy:
    """Pictures in an HDF5 file, uint8 (picture, height, width, channel), of which ``rows`` are wanted in that order."""
    with hdf5(path, "r") as file:
        shape, dtype = file[dataset].shape, file[dataset].dtype
    if len(shape) != 4 or shape[-1] not in (1, 3) or dtype != np.uint8:
        raise UnreadableError(
            f"{path}: {dataset} holds no pictures", found=f"{dtype} {shape}", allowed="uint8 (n, height, width, 3)"
        )
    if len(rows) and not 0 <= rows.min() <= rows.max() < shape[0]:
        raise BraindecError(f"{path.name} holds {shape[0]} pictures", found=f"number {rows.max() + 1} is asked for")
    wanted, kind = size or shape[1:3], mode or ("colour" if shape[-1] == 3 else "grey")

    read = partial(_read_hdf5, path, dataset, rows, wanted, kind)
    return Lazy((len(rows), *wanted, 3 if kind == "colour" else 1), read)


def _read_hdf5(
    path: Path, dataset: str, rows: np.ndarray, size: tuple[int, int], mode: str, kept: np.ndarray
) -> np.ndarray:
    order, back = np.unique(rows[kept], return_inverse=True)  # HDF5 wants rising numbers
    with hdf5(path, "r") as file:
        values = file[dataset][order]
    return of_mode(fitted(values, size), mode)[back.reshape(-1)]
