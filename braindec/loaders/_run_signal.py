"""Signals of one fMRI run on grayordinates, vertices or parcels: rows of a file, averaged and cleaned when read."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from braindec.loaders._cifti_file import Stored
from braindec.loaders._fmri_signal import orthonormal
from braindec.types import Signal

__all__ = ["CiftiSignal", "RunSignal", "parcel_rows"]

_BLOCK = 4_000_000  # numbers read at once


class RunSignal(Signal):
    """Rows of something stored as (row, time): chosen, averaged over parcels, confounds regressed out; float32.

    Parameters
    ----------
    rows : array of int, shape (n_rows,)
        Rows of the file, parcel after parcel when ``starts`` is given.
    starts : array of int, shape (n_parcels,), optional
        First place of each parcel in ``rows``; one channel a row when it is left out.
    first, last : int
        Volumes ``first`` to ``last`` (not included) are the samples.
    confounds : array of shape (n_times, n_confounds), optional
        Centred columns that are regressed out of every channel by least squares over the whole run; the mean stays.
    """

    slow = True

    def __init__(
        self, rows: np.ndarray, *, starts: np.ndarray | None = None, first: int = 0, last: int,
        confounds: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.rows, self.starts = np.asarray(rows, dtype=np.int64), starts
        self.first, self.last = int(first), int(last)
        self.basis = None if confounds is None else orthonormal(np.asarray(confounds, dtype=np.float64))
        self.shape = (len(rows) if starts is None else len(starts), self.last - self.first)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        wanted = np.arange(self.shape[0])[channels]
        if self.basis is None or (start, stop) == (0, self.shape[1]):
            return self._channels(wanted, start, max(start, stop))
        clean = self.__dict__.get("_open_clean")
        if clean is None:  # a part needs the whole run, and the next part will need it again
            clean = self._open_clean = self._channels(np.arange(self.shape[0]), 0, self.shape[1])
        return clean[wanted, start:stop]

    def _channels(self, wanted: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Channels ``wanted`` of samples ``start`` to ``stop``; cleaned only when that is the whole run."""
        out = np.empty((len(wanted), stop - start), dtype=np.float32)
        counts = (
            np.ones(len(wanted), int) if self.starts is None else np.diff(np.r_[self.starts, len(self.rows)])[wanted]
        )
        for a, b in _groups(counts, max(1, _BLOCK // max(1, stop - start))):
            some = wanted[a:b]
            if self.starts is None:
                block = self._stored(self.rows[some], self.first + start, self.first + stop)
            else:
                places, begins = _spans(self.starts[some], counts[a:b])
                block = self._stored(self.rows[places], self.first + start, self.first + stop).astype(np.float64)
                block = np.add.reduceat(block, begins, axis=0) / counts[a:b, None]
            if self.basis is not None:
                wide = block.astype(np.float64)
                block = wide - (wide @ self.basis) @ self.basis.T
            out[a:b] = block
        return out

    def _stored(self, rows: np.ndarray, first: int, last: int) -> np.ndarray:
        """Values of rows of the file, shape (n_rows, last - first)."""
        raise NotImplementedError


class CiftiSignal(RunSignal):
    """Time series of grayordinates of one dtseries or ptseries, or their means over parcels.

    Parameters
    ----------
    stored : Stored
        Where the numbers are.
    rows, starts, first, last, confounds
        As in :class:`RunSignal`.
    """

    def __init__(self, stored: Stored, rows: np.ndarray, **options: Any) -> None:
        super().__init__(rows, **options)
        layout = asdict(stored)  # plain parts, so that caches see the file by its content and not by its place
        self.path, self.layout = layout.pop("path"), layout

    def _stored(self, rows: np.ndarray, first: int, last: int) -> np.ndarray:
        stored = Stored(self.path or "", **self.layout)
        source = self.__dict__.get("_open_source")
        if source is None:
            source = self._open_source = stored.open()
        whole = len(rows) > 1 and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all())
        block = source[rows[0] : rows[-1] + 1, first:last] if whole else source[rows, first:last]
        return stored.scaled(block)


def parcel_rows(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that have a key in ``wanted`` (sorted), parcel after parcel, and the first place of each parcel."""
    rows = np.flatnonzero(np.isin(keys, wanted))
    rows = rows[np.argsort(keys[rows], kind="stable")]
    return rows, np.searchsorted(keys[rows], wanted)


def _groups(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Neighbouring channels that together have about ``most`` rows."""
    if not len(counts):
        return []
    number = (np.cumsum(counts) - 1) // most
    edges = np.r_[0, np.flatnonzero(np.diff(number)) + 1, len(counts)]
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _spans(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places ``start`` to ``start + count`` one after the other, and where each begins among them."""
    begins = np.r_[0, np.cumsum(counts)[:-1]]
    return np.repeat(starts - begins, counts) + np.arange(counts.sum()), begins
