"""What latent embeddings are fitted to: sessions of (unit, time), labels of their samples, windows, training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.types import Recording, Spikes

__all__ = ["Labels", "Scaling", "as_labels", "as_rows", "as_sessions", "parts_of", "unwrap", "windows_at"]


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of every sample.

    Parameters
    ----------
    values : list of array (n_samples, n_columns)
        One a session: numbers, or one column of codes.
    classes : array or None
        What the codes stand for; None for numbers.
    """

    values: list[np.ndarray]
    classes: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and spread of each unit on training rows; ``root`` takes the square root of counts first."""

    mean: np.ndarray
    scale: np.ndarray
    root: bool

    @classmethod
    def of(cls, values: np.ndarray, rows: np.ndarray, *, root: bool) -> Scaling:
        """See the samples ``rows`` of one session."""
        seen = rooted(values[:, rows], root)
        mean, scale = seen.mean(axis=1), seen.std(axis=1)
        return cls(mean, np.where(scale > 1e-9 * (np.abs(mean) + 1e-300), scale, np.inf), root)  # a flat unit becomes 0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (unit, time) with mean 0 and spread 1 on training rows, float32."""
        scaled = (rooted(values, self.root) - self.mean[:, None]) / self.scale[:, None]
        return scaled.astype(np.float32)


def rooted(values: np.ndarray, root: bool) -> np.ndarray:
    """Return the square root of counts, or the values as they are."""
    if not root:
        return values
    if (values < 0).any():
        raise BraindecError("root=True takes square roots of counts", found="negative values", fix="root=False")
    return np.sqrt(values)


def as_sessions(signal: Any, *, width: float | None) -> list[np.ndarray]:
    """Return one array (unit, time), float64, a session.

    Parameters
    ----------
    signal : array (unit, time), Recording, Spikes, or a list of them
    width : float, optional
        Bin width of Spikes, s.
    """
    several = list(signal) if isinstance(signal, (list, tuple)) else [signal]
    if not several:
        raise BraindecError("there is no session to fit")
    out = []
    for number, one in enumerate(several, 1):
        if isinstance(one, Spikes):
            if width is None:
                raise BraindecError("Spikes need a bin width", fix="width=0.05 (s), or pass spikes.counts(width)")
            one = one.counts(width)
        values = one.signal.read() if isinstance(one, Recording) else one
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise BraindecError(
                f"session {number} is no signal", found=type(one).__name__,
                allowed="an array (unit, time), a Recording, Spikes, or a list of them",
            ) from None  # fmt: skip
        if array.ndim != 2 or 0 in array.shape:
            raise BraindecError(f"session {number} must be (unit, time)", found=f"shape {array.shape}")
        if not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
            raise BraindecError(
                f"session {number} holds values that are not finite", found=f"{len(bad)} units, the first is number {bad[0]}",
                fix="cut these samples or leave these units out",
            )  # fmt: skip
        out.append(array)
    return out


def as_labels(labels: Any, lengths: Sequence[int], *, single: bool) -> Labels:
    """Return checked labels; whole numbers, flags and texts are classes, floats are numbers."""
    several = [labels] if single else list(labels)
    if len(several) != len(lengths):
        raise BraindecError("labels and sessions differ in number", found=f"{len(several)} and {len(lengths)}")
    arrays = [np.asarray(one) for one in several]
    numeric = [np.issubdtype(a.dtype, np.floating) for a in arrays]
    if any(numeric) != all(numeric):
        raise BraindecError(
            "labels are numbers in one session and classes in another", fix="use floats for numbers only"
        )
    for number, (array, n) in enumerate(zip(arrays, lengths, strict=True), 1):
        if array.ndim not in (1, 2) or len(array) != n:
            raise BraindecError(
                f"labels of session {number} do not fit",
                found=f"shape {array.shape}",
                allowed=f"({n},) or ({n}, n_columns)",
            )
        if numeric[0] and not np.isfinite(array).all():
            raise BraindecError(f"labels of session {number} are not finite", fix="leave those samples out with rows=")
    if numeric[0]:
        columns = [a.reshape(len(a), -1).astype(np.float64) for a in arrays]
        if len({c.shape[1] for c in columns}) != 1:
            raise BraindecError("labels of sessions differ in columns", found=str([c.shape[1] for c in columns]))
        if all(np.ptp(c, axis=0).max() == 0 for c in columns):
            raise BraindecError("the labels do not vary", found=f"{columns[0][0].tolist()} throughout")
        return Labels(columns, None)
    if any(a.ndim == 2 and a.shape[1] != 1 for a in arrays):
        raise BraindecError("classes are one column", found=f"shape {arrays[0].shape}")
    flat = [a.reshape(-1).astype(str) if a.dtype.kind in "OUS" else a.reshape(-1) for a in arrays]
    classes, codes = np.unique(np.concatenate(flat), return_inverse=True)
    if len(classes) < 2:
        raise BraindecError("labels need two classes at least", found=f"{classes.tolist()}")
    cuts = np.cumsum(lengths)[:-1]
    return Labels([c[:, None].astype(np.float64) for c in np.split(codes.reshape(-1), cuts)], classes)


def as_rows(rows: Any, lengths: Sequence[int], *, single: bool) -> list[np.ndarray]:
    """Return one mask a session of the samples that may be looked at."""
    if rows is None:
        return [np.ones(n, dtype=bool) for n in lengths]
    several = [rows] if single else list(rows)
    if len(several) != len(lengths):
        raise BraindecError("rows and sessions differ in number", found=f"{len(several)} and {len(lengths)}")
    out = []
    for one, n in zip(several, lengths, strict=True):
        given = np.asarray(one)
        mask = given if given.dtype == bool else np.zeros(n, dtype=bool)
        if given.dtype != bool:
            if given.ndim != 1 or (len(given) and (given.min() < 0 or given.max() >= n)):
                raise BraindecError("rows are sample numbers or a mask", allowed=f"0 to {n - 1}, or {n} booleans")
            mask[given.astype(int)] = True
        if mask.shape != (n,):
            raise BraindecError("a mask of rows has another length", found=f"{mask.shape}", allowed=f"({n},)")
        out.append(mask)
    return out


def parts_of(
    rows: np.ndarray, *, before: int, after: int, reach: int, share: float, n_blocks: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation samples of one session.

    Samples whose window leaves ``rows`` belong to neither, nor training samples whose window (or positive, up to
    ``reach`` away) would touch a validation window. Validation samples are the ends of ``n_blocks`` stretches.
    """
    inside = np.convolve(rows.astype(int), np.ones(before + after + 1, dtype=int), mode="full")
    whole = inside[after : after + len(rows)] == before + after + 1
    usable = np.flatnonzero(whole)
    if not share:
        return usable, np.zeros(0, dtype=int)
    edges = np.linspace(0, len(usable), n_blocks + 1).round().astype(int)
    held = [usable[b - round(share * (b - a)) : b] for a, b in pairwise(edges)]
    validation = np.concatenate(held)
    near = np.zeros(len(rows) + 1, dtype=int)
    gap = before + after + reach
    for part in held:
        if len(part):
            near[max(0, part[0] - gap)] += 1
            near[min(len(rows), part[-1] + gap + 1)] -= 1
    return usable[np.cumsum(near)[usable] == 0], validation


def windows_at(values: np.ndarray, samples: np.ndarray, *, before: int, after: int) -> np.ndarray:
    """Return the windows (n, unit, before + 1 + after) around samples; ends of the session repeat their last value."""
    padded = np.pad(values, ((0, 0), (before, after)), mode="edge")
    view = np.lib.stride_tricks.sliding_window_view(padded, before + after + 1, axis=1)
    return view[:, samples].transpose(1, 0, 2)


def unwrap(values: list[Any], signal: Any) -> Any:
    """Return a list for a list, and a single thing for a single one."""
    return values if isinstance(signal, (list, tuple)) else values[0]
