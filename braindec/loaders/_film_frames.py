"""Frames of one film in batches, from a file, a folder of frames, an array or an item of :class:`Pictures`; never all at once.

Source: IEC 61966-2-1 for the linear light of sRGB and its weights (0.2126, 0.7152, 0.0722); CIE 1976 for L*, the lightness that is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, films
from braindec.loaders.stimulus_series import hash_of
from braindec.stats.asked import number
from braindec.types import Pictures

__all__ = ["FilmFrames", "lightness", "open_film", "shrunk"]

_BATCH = 64  # frames
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class FilmFrames:
    """A film that is read in batches.

    Attributes
    ----------
    n_frames : int
    rate : float
        Frames a second, Hz.
    shape : (int, int)
        Height and width.
    name, path, content
        Name, file, and hash of the content.
    batches : callable
        Gives an iterator of uint8 or float arrays (frame, height, width, 1 or 3), in order.
    """

    n_frames: int
    rate: float
    shape: tuple[int, int]
    name: str
    path: str | None
    content: str
    batches: Callable[[], Iterator[np.ndarray]]

    @property
    def duration(self) -> float:
        """Length in s."""
        return self.n_frames / self.rate

    def lightness(self, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Give batches of L* (0 is black, 100 is white), float32 (frame, height, width), averaged to ``size``."""
        total = -(-self.n_frames // _BATCH)
        for batch in tqdm(self.batches(), desc=f"looking at {self.name}", total=total, disable=None, leave=False):
            values = lightness(batch)
            yield values if size is None else shrunk(values, size)


def open_film(film: Any, *, frame_rate: float | None = None) -> FilmFrames:
    """Open a film.

    Parameters
    ----------
    film : path, Pictures of one film, or array (frame, height, width[, 1 or 3])
        Arrays are uint8, or floats of 0 to 1.
    frame_rate : float, optional
        Hz, for what does not say it: arrays and folders of frames.

    Raises
    ------
    BraindecError
        If the frame rate is not known or another than the film says, there are several films, or no frame.
    """
    if frame_rate is not None:
        frame_rate = number(frame_rate, "frame_rate", least=0, ends=False, unit="Hz")
    if isinstance(film, FilmFrames):
        return film
    if isinstance(film, (str, Path)):
        return _from_path(_files.existing(film), frame_rate)
    name, path, known = "film", None, None
    if isinstance(film, Pictures):
        if not film.is_film or len(film.items) != 1:
            raise BraindecError("one film is read at a time", found=f"{len(film.items)} {'films' if film.is_film else 'pictures'}", fix="take one: films[[0]]")  # fmt: skip
        name, path, known = film.ids[0], film.info.get("path"), film.frame_rate
        values = np.asarray(film.values[np.array([0])])[0]
    else:
        values = np.asarray(film)
    values = values[..., None] if values.ndim == 3 else values
    if values.ndim != 4 or 0 in values.shape or values.shape[-1] not in (1, 3) or values.dtype.kind not in "uf":
        raise BraindecError("this is no film", found=f"{values.dtype} of shape {values.shape}", allowed="(frame, height, width[, 1 or 3]), uint8 or floats of 0 to 1")  # fmt: skip
    _check_range(values, str(name))

    def batches() -> Iterator[np.ndarray]:
        for first in range(0, len(values), _BATCH):
            yield values[first : first + _BATCH]

    return FilmFrames(len(values), _rate(known, frame_rate, str(name)), values.shape[1:3], str(name), path, hash_of(values), batches)  # fmt: skip


def _from_path(path: Path, frame_rate: float | None) -> FilmFrames:
    if not films._is_film(path):
        raise UnreadableError(
            f"{path} is no film", allowed=f"a folder of frames, .npy, .gif, {', '.join(films._VIDEOS)}"
        )
    probed = films._probe(path)
    if probed.n_frames < 1:
        raise UnreadableError(f"{path} holds no frames", found="0 frames")
    rate = _rate(probed.rate, frame_rate, path.name)
    return FilmFrames(probed.n_frames, rate, tuple(probed.kind[:2]), path.name, str(path), hash_of(path), lambda: _batches(path, probed))  # fmt: skip


def _batches(path: Path, probed: Any) -> Iterator[np.ndarray]:
    """Frames of a file, decoded one batch at a time."""
    if path.is_dir():
        yield from _gathered(_pictures(films._frames(path)))
    elif path.suffix.lower() == ".npy":
        values = films._array(path)
        for first in range(0, len(values), _BATCH):
            batch = np.array(values[first : first + _BATCH])
            _check_range(batch, path.name)
            yield batch[..., None] if batch.ndim == 3 else batch
    elif path.suffix.lower() == ".gif":
        yield from _gathered(_gif(path, probed.n_frames))
    else:
        with films._open_video(path) as container:
            yield from _gathered(f.to_ndarray(format="rgb24") for f in container.decode(container.streams.video[0]))


def _gathered(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    held: list[np.ndarray] = []
    for frame in frames:
        held.append(frame)
        if len(held) == _BATCH:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def _pictures(paths: list[Path]) -> Iterator[np.ndarray]:
    from PIL import Image

    for path in paths:
        try:
            with Image.open(path) as image:
                yield np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableError(f"{path} cannot be read as a picture", found=str(error)[:150]) from error


def _gif(path: Path, n: int) -> Iterator[np.ndarray]:
    from PIL import Image

    with Image.open(path) as image:
        for k in range(n):
            image.seek(k)
            yield np.asarray(image.convert("RGB"))


def _check_range(values: np.ndarray, name: str) -> None:
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise BraindecError(f"{name}: floats of films must be between 0 and 1", found=f"{np.min(values):.3g} to {np.max(values):.3g}",
                            fix="divide by the largest value that the format allows, or use uint8")  # fmt: skip
    if values.dtype.kind == "u" and values.dtype != np.uint8:
        raise BraindecError(f"{name}: whole numbers of films are uint8", found=str(values.dtype))


def _rate(known: float | None, asked: float | None, name: str) -> float:
    if known is None and asked is None:
        raise BraindecError(f"the frame rate of {name} is not known", fix="say frame_rate=... (Hz)")
    if known is not None and asked is not None and abs(known - asked) > 0.01 * asked:
        raise BraindecError(f"frame_rate={asked:g} Hz is not what {name} says", found=f"{known:g} Hz", fix="leave frame_rate out")  # fmt: skip
    return float(known if known is not None else asked)  # type: ignore[arg-type]


def lightness(frames: np.ndarray) -> np.ndarray:
    """Return L* of CIE 1976 (0 to 100) of sRGB or grey frames (frame, height, width, channel), float32, (frame, height, width)."""
    values = frames.astype(np.float32) / (255.0 if frames.dtype == np.uint8 else 1.0)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    light = linear[..., 0] if linear.shape[-1] == 1 else linear @ _WEIGHTS
    return np.where(light > (6 / 29) ** 3, 116 * np.cbrt(light) - 16, light * (29 / 3) ** 3).astype(np.float32)


def shrunk(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average (frame, height, width) over the area of each pixel of a smaller (or larger) frame of ``size``."""
    rows, columns = (_areas(n, m) for n, m in zip(values.shape[1:], size, strict=True))
    return np.einsum("ih,thw,jw->tij", rows, values, columns, optimize=True).astype(np.float32)


def _areas(n: int, m: int) -> np.ndarray:
    """Share of each of ``n`` old pixels in each of ``m`` new ones, shape (m, n); rows sum to 1."""
    old, new = np.arange(n + 1) / n, np.arange(m + 1) / m
    overlap = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])
    return (np.clip(overlap, 0, None) * m).astype(np.float32)
