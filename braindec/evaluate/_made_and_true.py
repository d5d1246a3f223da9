"""What metrics of pictures are given: checked arrays of one shape, films frame by frame, the mean training item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError

__all__ = ["checked_pair", "checked_pictures", "mean_training_item", "of_frames", "resized", "sizes_then", "with_grey"]

GREY = np.array([0.2125, 0.7154, 0.0721])  # luminance of red, green, blue: CIE 1931 Y of the sRGB primaries
BATCH = 64


def checked_pair(made: Any, true: Any, *, kind: str, metric: str) -> tuple[Any, Any]:
    """Return made and true items, checked; see :meth:`braindec.evaluate.picture_metric.PictureMetric.per_item`."""
    if kind == "captions":
        from braindec.evaluate._caption_words import checked_captions

        return checked_captions(made, true, metric=metric)
    a, b = (
        checked_pictures(v, what=f"{metric}: {w}", films=kind == "films") for v, w in ((made, "made"), (true, "true"))
    )
    if a.shape != b.shape:
        raise BraindecError(
            f"{metric} compares pictures of one size and mode", found=f"made {a.shape}, true {b.shape}",
            fix="make or scale both to one size; give grey pictures a last axis of one",
        )  # fmt: skip
    return a, b


def checked_pictures(values: Any, *, what: str, films: bool | None = None) -> np.ndarray:
    """Return pictures as a float array of 0 to 1, (n, [frame,] height, width, channel).

    Raises
    ------
    BraindecError
        If they are of mixed size, of another shape, no numbers, not finite, or outside 0 to 1.
    """
    if isinstance(values, (list, tuple)) and len({np.shape(v) for v in values}) > 1:
        found = sorted({np.shape(v) for v in values}, key=str)
        raise BraindecError(f"{what} pictures are of mixed shape", found=", ".join(map(str, found[:6])))
    array = np.asarray(values)
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    if array.dtype.kind not in "fiub" or array.ndim not in (4, 5) or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise BraindecError(
            f"{what} pictures must be (item, height, width, channel), films (item, frame, height, width, channel)",
            found=f"shape {array.shape} of {array.dtype}", allowed="1 channel (grey) or 3 (red, green, blue), last",
        )  # fmt: skip
    if films and array.ndim != 5:
        raise BraindecError(
            f"{what} must be films (item, frame, height, width, channel)", found=f"shape {array.shape}",
            fix="use a metric of evaluate.pictures for still pictures",
        )  # fmt: skip
    array = array.astype(np.float32, copy=False) if array.dtype != np.float64 else array
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # a NaN fails both
        n_bad = int((~np.isfinite(array)).reshape(len(array), -1).any(axis=1).sum())
        raise BraindecError(
            f"{what} pictures must be finite and between 0 and 1",
            found=f"{n_bad} of {len(array)} with values that are not finite" if n_bad else f"{low:.3g} to {high:.3g}",
            fix="clip what a generator makes to 0..1; divide 8-bit pictures by 255 or give uint8",
        )  # fmt: skip
    return array


def of_frames(function: Callable[..., np.ndarray], made: np.ndarray, true: np.ndarray, **given: Any) -> np.ndarray:
    """Return the mean over frames of a score of pictures; frames without an answer are left out, NaN if all are."""
    n, n_frames = made.shape[:2]
    a, b = (v.reshape(n * n_frames, *v.shape[2:]) for v in (made, true))
    values = np.asarray(function(a, b, **given), dtype=float).reshape(n, n_frames)
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(n, np.nan), where=known.any(axis=1))


def mean_training_item(true: np.ndarray, train: np.ndarray, *, kind: str, metric: str) -> Any:
    """Return the mean training picture (or film), or the most central training caption, for every test item."""
    if kind == "captions":
        from braindec.evaluate._caption_words import central_caption

        return [central_caption(train)] * len(true)
    a, b = (checked_pictures(v, what=f"{metric}: {w}") for v, w in ((true, "true"), (train, "training")))
    if a.shape[1:] != b.shape[1:]:
        raise BraindecError(
            f"{metric}: training pictures and test pictures differ in size or mode",
            found=f"{b.shape[1:]}, {a.shape[1:]}",
        )
    mean = b.mean(axis=0, dtype=np.float64).astype(np.float32)
    return np.broadcast_to(mean, a.shape)


def with_grey(pictures: np.ndarray) -> np.ndarray:
    """Return (..., height, width): luminance of colour pictures, the one channel of grey ones."""
    return pictures[..., 0] if pictures.shape[-1] == 1 else pictures @ GREY.astype(pictures.dtype)


def resized(pictures: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Scale (n, height, width, channel) bilinearly; smaller sizes are low-pass filtered first (antialias)."""
    import torch
    from torch.nn.functional import interpolate

    size = (size, size) if isinstance(size, int) else tuple(size)
    if pictures.shape[1:3] == size:
        return pictures
    nchw = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, 1)))
    scaled = interpolate(nchw, size=size, mode="bilinear", antialias=True, align_corners=False)
    return np.moveaxis(scaled.numpy(), 1, -1)


def sizes_then(
    function: Callable[..., np.ndarray], made: np.ndarray, true: np.ndarray, sizes: Sequence[int] | None
) -> np.ndarray:
    """Scale pictures through ``sizes`` one after the other and score them, some at a time: large copies stay few."""
    values = []
    for start in range(0, len(made), BATCH):
        a, b = made[start : start + BATCH], true[start : start + BATCH]
        for size in sizes or ():
            a, b = resized(a, size), resized(b, size)
        values.append(function(a, b))
    return np.concatenate(values)
