"""Films as :class:`Pictures`: from folders of frames, arrays, GIFs or video files, one entry of a folder a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError, MissingExtraError, UnreadableError
from braindec.loaders import _files
from braindec.loaders._events import read_tsv
from braindec.loaders._picture_values import Lazy, agree, check_mode, fitted, headers, of_mode, pair
from braindec.loaders.images import Images
from braindec.loaders.pictures import match
from braindec.types import Pictures

__all__ = ["load_films"]

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


@dataclass(frozen=True)
class _Film:
    """What a film is before its frames are decoded."""

    path: Path
    name: str
    n_frames: int
    kind: tuple[int, int, str]
    rate: float | None


def load_films(
    source: str | Path, *, frame_rate: float | None = None, size: int | tuple[int, int] | None = None, mode: str | None = None,
    n_frames: int | None = None, step: int = 1, stimulus_ids: Sequence[Any] | None = None,
) -> Pictures:  # fmt: skip
    """Open films; frames are decoded when they are asked for.

    Parameters
    ----------
    source : str or Path
        A folder in which each entry is a film: a folder of frames (images in order of the numbers in their names), an
        .npy of (frame, height, width[, channel]), uint8 or floats of 0 to 1, a GIF, or a video file (which needs PyAV). Its
        name without the ending is the ``stimulus_id``. Or a table (.tsv, .csv) with ``stimulus_id``, ``path`` and any
        other column.
    frame_rate : float, optional
        Hz, for frames and arrays, which do not say it; GIFs and videos do.
    size, mode
        See :func:`braindec.loaders.pictures.load_pictures`.
    n_frames : int, optional
        Keep the first frames (counted after ``step``); all films must be as long as that. Without it all must have one length.
    step : int
        Keep each ``step``-th frame.
    stimulus_ids : sequence, optional
        The films wanted, in this order.

    Returns
    -------
    Pictures of shape (n, n_frames, height, width, channel)
        ``frame_rate`` is that of the frames kept, Hz.

    Raises
    ------
    BraindecError
        If films differ in size, mode, length or frame rate, the rate is not known, or stimuli have no film.
    MissingExtraError
        If a video file is to be read and PyAV is not installed.
    """
    check_mode(mode)
    wanted = pair(size)
    counts = [step] if n_frames is None else [step, n_frames]
    sensible = all(isinstance(k, (int, np.integer)) and k >= 1 for k in counts)
    if not sensible or (frame_rate is not None and not (isinstance(frame_rate, Real) and frame_rate > 0)):
        raise BraindecError("films need sensible numbers", found=f"step={step}, n_frames={n_frames}, frame_rate={frame_rate}",
                            allowed="whole numbers of 1 or more; frames per second above 0")  # fmt: skip
    items, paths = _entries(_files.existing(source))
    if stimulus_ids is not None:
        rows = match(items["stimulus_id"].tolist(), stimulus_ids, where=str(source))
        items, paths = items.iloc[rows].assign(stimulus_id=[str(s) for s in stimulus_ids]), [paths[i] for i in rows]
    films = [_probe(p) for p in tqdm(paths, desc="looking at films", disable=None, leave=False)]
    wanted, kind = agree([f.kind for f in films], [f.name for f in films], size=wanted, mode=mode, what="films")
    kept = _length(films, n_frames, step)
    rate = _rate(films, frame_rate)

    read = partial(_read_films, films, kept, step, wanted, kind)
    values = Lazy((len(films), kept, *wanted, 3 if kind == "colour" else 1), read)
    return Pictures(values, items, rate / step, {"path": str(source)})


def _read_films(
    films: list[_Film], n: int, step: int, size: tuple[int, int], mode: str, rows: np.ndarray
) -> np.ndarray:
    return np.stack([of_mode(fitted(_decode(films[i], n, step), size), mode) for i in rows])


def _entries(path: Path) -> tuple[pd.DataFrame, list[Path]]:
    """The table of the films, and where each one is."""
    if path.is_dir():
        paths = sorted(
            (p for p in path.iterdir() if not p.name.startswith(".") and _is_film(p)), key=lambda p: _natural(p.name)
        )
        if not paths:
            raise BraindecError(f"there are no films in {path}", allowed=f"folders of frames, .npy, .gif, {', '.join(_VIDEOS)}",
                                fix="one folder of frames, or one file, a film")  # fmt: skip
        names = [p.name if p.is_dir() else p.stem for p in paths]
        return pd.DataFrame({"stimulus_id": names, "path": [p.name for p in paths]}), paths
    if path.suffix.lower() not in (".tsv", ".csv"):
        raise BraindecError(f"{path} is neither a folder of films nor a table", allowed="a folder, .tsv, .csv")
    items = read_tsv(path, separator="," if path.suffix.lower() == ".csv" else "\t")
    column = next((c for c in ("path", "stim_file", "file") if c in items), None)
    if "stimulus_id" not in items or column is None:
        raise BraindecError(
            f"{path} does not name films", found=f"columns {list(items.columns)}", allowed="stimulus_id and path"
        )
    for text in items[column]:
        _files.check_inside(str(text))
    paths = [path.parent / str(text) for text in items[column]]
    missing = [str(s) for s, p in zip(items["stimulus_id"], paths, strict=True) if not p.exists()]
    if missing:
        raise BraindecError(
            f"{len(missing)} of {len(paths)} films are not there", found=", ".join(missing[:5]), fix="correct the table"
        )
    return items, paths


def _is_film(path: Path) -> bool:
    if path.is_dir():
        return any(p.suffix.lower() in _IMAGES for p in path.iterdir())
    return path.suffix.lower() in (".npy", ".gif", *_VIDEOS)


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Order by the numbers in a name: frame2 comes before frame10."""
    import re

    return tuple((int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name) if p)


def _frames(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in _IMAGES), key=lambda p: _natural(p.name))


def _probe(path: Path) -> _Film:
    """Look at a film: frames, size, mode, rate."""
    if path.is_dir():
        frames = _frames(path)
        found = headers(frames)
        if len(set(found)) > 1:
            raise BraindecError(
                f"{path}: the frames of one film are not of one size and mode", found=str(sorted(set(found))[:4])
            )
        return _Film(path, path.name, len(frames), found[0], None)
    if path.suffix.lower() == ".npy":
        values = _array(path)
        kind = "colour" if values.ndim == 4 and values.shape[-1] == 3 else "grey"
        return _Film(path, path.name, len(values), (*values.shape[1:3], kind), None)
    if path.suffix.lower() == ".gif":
        return _probe_gif(path)
    with _open_video(path) as container:
        stream = container.streams.video[0]
        n = sum(1 for _ in container.decode(stream))  # the header may not say it, or say it wrongly
        rate = stream.average_rate
        return _Film(path, path.name, n, (stream.height, stream.width, "colour"), float(rate) if rate else None)


def _array(path: Path) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read as an array", found=str(error)[:150]) from error
    right = values.ndim == 3 or (values.ndim == 4 and values.shape[-1] in (1, 3))
    if not right or not (values.dtype == np.uint8 or values.dtype.kind == "f"):
        raise UnreadableError(f"{path} holds no film", found=f"{values.dtype} {values.shape}",
                              allowed="uint8 or floats of 0 to 1, (frame, height, width[, 1 or 3])")  # fmt: skip
    return values


def _probe_gif(path: Path) -> _Film:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            n, (width, height) = getattr(image, "n_frames", 1), image.size
            durations = []
            for k in range(n):
                image.seek(k)
                durations.append(float(image.info.get("duration", 0)))
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, ValueError) as error:
        raise UnreadableError(
            f"{path} cannot be read as a GIF", found=f"{type(error).__name__}: {str(error)[:150]}"
        ) from error
    even = len(set(durations)) == 1 and durations[0] > 0
    return _Film(path, path.name, n, (height, width, "colour"), 1000 / durations[0] if even else None)


def _open_video(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise MissingExtraError.of("av", "video", f"reading the film {path.name}") from None
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise UnreadableError(
            f"{path} cannot be read as a film", found=f"{type(error).__name__}: {str(error)[:150]}"
        ) from error
    if not container.streams.video:
        container.close()
        raise UnreadableError(
            f"{path} holds no moving picture", found="sound alone" if container.streams.audio else "nothing"
        )
    return container


def _decode(film: _Film, n: int, step: int) -> np.ndarray:
    """Read the frames that are kept, uint8 (frame, height, width, channel)."""
    last = (n - 1) * step + 1
    if film.path.is_dir():
        paths = _frames(film.path)[:last:step]
        values = Images(tuple(paths), pd.DataFrame({"stimulus_id": [p.name for p in paths]}), film.kind[:2])[:]
        return of_mode(values, film.kind[2])
    if film.path.suffix.lower() == ".npy":
        values = np.asarray(_array(film.path)[:last:step])
        if values.dtype != np.uint8:
            if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
                raise BraindecError(f"{film.path}: floats of films must be between 0 and 1", found=f"{np.min(values):.3g} to {np.max(values):.3g}",
                                    fix="divide by the largest value that the format allows, or save uint8")  # fmt: skip
            values = np.round(255 * values).astype(np.uint8)
        return values[..., None] if values.ndim == 3 else values
    if film.path.suffix.lower() == ".gif":
        from PIL import Image

        with Image.open(film.path) as image:
            frames = []
            for k in range(0, last, step):
                image.seek(k)
                frames.append(np.asarray(image.convert("RGB")))
        return np.stack(frames)
    with _open_video(film.path) as container:
        frames = []
        for k, frame in enumerate(container.decode(container.streams.video[0])):
            if k >= last:
                break
            if k % step == 0:
                frames.append(frame.to_ndarray(format="rgb24"))
    return np.stack(frames)


def _length(films: list[_Film], n_frames: int | None, step: int) -> int:
    lengths = [-(-f.n_frames // step) for f in films]
    if n_frames is None and len(set(lengths)) == 1:
        return lengths[0]
    if n_frames is None or min(lengths) < n_frames:
        short = sorted(zip(lengths, [f.name for f in films], strict=True))
        raise BraindecError(
            "the films are not of one length" if n_frames is None else f"not all films have {n_frames} frames",
            found=f"{short[0][1]} has {short[0][0]}, {short[-1][1]} has {short[-1][0]}"
            + (f" (each {step}. frame)" if step > 1 else ""),
            fix=f"say n_frames={short[0][0]} to keep the first frames of each",
        )
    return n_frames


def _rate(films: list[_Film], frame_rate: float | None) -> float:
    rates = {round(f.rate, 6) for f in films if f.rate is not None}
    if frame_rate is not None:
        wrong = [r for r in rates if abs(r - frame_rate) > 0.01 * frame_rate]
        if wrong:
            raise BraindecError(f"frame_rate={frame_rate:g} Hz is not what the films say", found=f"{wrong[0]:g} Hz",
                                fix="leave frame_rate out")  # fmt: skip
        return float(frame_rate)
    silent = [f.name for f in films if f.rate is None]
    if silent:
        raise BraindecError("the frame rate of the films is not known", found=f"{len(silent)} do not say it ({silent[0]}, ...)",
                            fix="say frame_rate=... (Hz)")  # fmt: skip
    if max(rates) - min(rates) > 0.01 * max(rates):
        raise BraindecError("the films differ in frame rate", found=", ".join(f"{r:g} Hz" for r in sorted(rates)[:5]),
                            fix="make them alike first")  # fmt: skip
    return float(np.median([f.rate for f in films if f.rate is not None]))
