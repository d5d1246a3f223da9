"""Parcels: the time course of each region from the voxels, vertices or grayordinates that carry its label.

Source: the first eigenvariate as in Friston et al. (2006), "A critique of functional localisers" (NeuroImage 30:1077) and
SPM's volumes of interest: the first temporal component of a region, u1 s1 / sqrt(n), with the sign of the region's mean.

Differs from the reference in: each voxel is centred over the run first (SPM works on filtered data without a mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Recording, Signal

__all__ = ["ParcelSignal", "parcellate"]

AVERAGES = ("mean", "median", "first_eigenvariate")
_BLOCK = 2**25  # numbers read at once


class ParcelSignal(Signal):
    """One channel a parcel, computed from the channels of another signal when it is read; float32.

    Parameters
    ----------
    source : Signal
        The channels.
    rows : array of int, shape (n_rows,)
        Channels of ``source``, parcel after parcel.
    starts : array of int, shape (n_parcels,)
        First place of each parcel in ``rows``.
    average : {"mean", "median", "first_eigenvariate"}
        How the channels of a parcel become one. An eigenvariate is that of the whole signal, whatever part is read.
    """

    def __init__(self, source: Signal, rows: np.ndarray, starts: np.ndarray, average: str = "mean") -> None:
        self.source, self.average = source, average
        self.rows, self.starts = np.asarray(rows, dtype=np.int64), np.asarray(starts, dtype=np.int64)
        self.shape = (len(self.starts), source.shape[1])
        self.path, self.slow = source.path, getattr(source, "slow", False)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        wanted = np.arange(self.shape[0])[channels]
        if self.average != "first_eigenvariate":
            return self._parcels(wanted, start, max(start, stop))
        whole = self.__dict__.get("_open_whole")
        if whole is None:  # a part needs the whole run, and the next part will need it again
            whole = self._open_whole = self._parcels(np.arange(self.shape[0]), 0, self.shape[1])
        return whole[wanted, start:stop]

    def _parcels(self, wanted: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Parcels ``wanted`` of the samples ``start`` to ``stop``, read so many at once as memory allows."""
        out = np.empty((len(wanted), stop - start), dtype=np.float32)
        ends = np.r_[self.starts[1:], len(self.rows)]
        counts = (ends - self.starts)[wanted]
        most = 2**30 if self.slow else max(1, _BLOCK // max(1, stop - start))  # a slow source is decoded once
        number = (np.cumsum(counts) - 1) // most if len(counts) else np.zeros(0, int)
        edges = np.r_[0, np.flatnonzero(np.diff(number)) + 1, len(wanted)]
        for a, b in pairwise(edges):
            rows = np.concatenate([self.rows[self.starts[p] : ends[p]] for p in wanted[a:b]] or [np.zeros(0, int)])
            block = np.asarray(self.source.read(rows, start, stop), dtype=np.float64)
            if not np.isfinite(block).all():
                bad = int((~np.isfinite(block)).any(axis=1).sum())
                raise BraindecError(
                    f"{bad} channels of parcels become NaN within the run ({self.path or 'in memory'})",
                    found=f"samples {start} to {stop}; they held numbers in the first and last sample",
                    fix="mask them, or save the recording first (recording.save), then every sample is checked",
                )
            begins = np.r_[0, np.cumsum(counts[a:b])]
            for k, (first, last) in enumerate(pairwise(begins)):
                out[a + k] = _one(block[first:last], self.average)
        return out


def parcellate(
    recording: Recording,
    labels: Any,
    names: Mapping[int, str],
    *,
    average: str = "mean",
    min_coverage: float = 0.0,
    sizes: Mapping[int, float] | None = None,
) -> Recording:
    """Make a recording of parcels from one of voxels, vertices or grayordinates; the signal stays lazy.

    Parameters
    ----------
    recording : Recording
        One channel a voxel or vertex.
    labels : array of int, shape (n_channels,)
        Parcel of each channel, 0 for none (see :func:`braindec.loaders.atlases.labels_of`).
    names : dict of int to str
        Name of each parcel; the order of the labels is that of the channels made.
    average : {"mean", "median", "first_eigenvariate"}
        How the channels of a parcel become one. The eigenvariate has no mean, and scales as a mean of like channels would.
    min_coverage : float
        Parcels with a smaller share of usable channels are left out and counted (0 to 1).
    sizes : dict of int to float, optional
        Channels that each whole parcel would fill (see :func:`braindec.loaders.atlases.sizes_on`); the channels of the
        recording with its label when left out.

    Returns
    -------
    Recording
        Channels of type "parcel" in order of the labels: x, y, z (mean of its channels, in m), region, label, n_channels,
        n_missing and coverage; ``info["warnings"]`` has what was left out.

    Raises
    ------
    BraindecError
        If lengths differ, a label has no name, or no parcel is left.

    Notes
    -----
    Channels that hold NaN or infinity are left out and counted: any sample counts, but for files that are decoded on each
    read (NIfTI, CIFTI) only the first and the last are looked at; one that turns NaN in between is an error when it is read.
    """
    keys = _checked(recording, labels, names, average, min_coverage)
    usable = ~_missing(recording.signal)
    said: list[str] = list(recording.info.get("warnings") or [])
    table, lost = _table(recording, keys, usable, names, sizes)
    n_bad = int((~usable & (keys != 0)).sum())
    if n_bad:
        said.append(f"{n_bad} of {int((keys != 0).sum())} channels in parcels hold no numbers (NaN) and are left out")
    empty = [*lost, *table["name"][table["n_channels"] == 0]]
    if empty:
        said.append(f"{len(empty)} of {len(names)} parcels have no channel and are left out: {_some(empty)}")
    table = table[table["n_channels"] > 0]
    thin = table["coverage"] < min_coverage
    if thin.any():
        said.append(
            f"{int(thin.sum())} parcels are covered by less than {100 * min_coverage:g} % and are left out: "
            f"{_some(table['name'][thin])}"
        )
    table = table[~thin].reset_index(drop=True)
    if not len(table):
        raise BraindecError(
            f"{recording.label}: no parcel is left", found="; ".join(said[-2:]) or f"labels {np.unique(keys)[:6]}"
        )
    rows = np.flatnonzero(usable & np.isin(keys, table["label"]))
    rows = rows[np.argsort(keys[rows], kind="stable")]
    starts = np.searchsorted(keys[rows], table["label"].to_numpy())
    signal = ParcelSignal(recording.signal, rows, starts, average)
    drop = {"grid", "affine", "n_vertices"}  # a parcel is no voxel: maps are not written from it
    info = {k: v for k, v in recording.info.items() if k not in drop}
    return Recording(signal, recording.sfreq, table, recording.events, {**info, "warnings": said, "average": average})


def _one(block: np.ndarray, average: str) -> np.ndarray:
    """One time course of a parcel, (channel, time) -> (time,)."""
    if average == "mean":
        return block.mean(axis=0)
    if average == "median":
        return np.median(block, axis=0)
    centred = block - block.mean(axis=1, keepdims=True)
    mean = centred.mean(axis=0)
    if len(block) == 1 or not centred.any():
        return mean
    small = centred @ centred.T if len(block) <= block.shape[1] else centred.T @ centred
    value, vector = np.linalg.eigh(small)
    top = vector[:, -1]  # over channels, or over time
    course = top @ centred if len(block) <= block.shape[1] else top * np.sqrt(max(value[-1], 0.0))
    course = course / np.sqrt(len(block))
    return course if course @ mean >= 0 else -course


def _missing(signal: Signal) -> np.ndarray:
    """Channels that hold a number that is not finite, shape (n_channels,)."""
    n, n_times = signal.shape
    if getattr(signal, "finite", False):
        return np.zeros(n, dtype=bool)
    if getattr(signal, "slow", False):
        ends = [signal.read(slice(None), t, t + 1) for t in sorted({0, n_times - 1})]
        return ~np.isfinite(np.concatenate(ends, axis=1)).all(axis=1)
    step = max(1, _BLOCK // max(1, n_times))
    parts = [np.isfinite(signal.read(slice(a, min(a + step, n)))).all(axis=1) for a in range(0, n, step)]
    return ~np.concatenate(parts)


def _table(
    recording: Recording,
    keys: np.ndarray,
    usable: np.ndarray,
    names: Mapping[int, str],
    sizes: Mapping[int, float] | None,
) -> tuple[pd.DataFrame, list[str]]:
    """Channel table of the parcels that occur, and the names of those that do not."""
    there = [int(k) for k in np.unique(keys) if k != 0]
    called = [str(names[k]) for k in there]
    called = [n if called.count(n) == 1 else f"{n}-{k}" for n, k in zip(called, there, strict=True)]
    positions, channels = recording.positions, recording.channels
    rows: list[dict[str, Any]] = []
    for key, name in zip(there, called, strict=True):
        inside = keys == key
        held = inside & usable
        placed = positions[held & np.isfinite(positions).all(axis=1)]
        centre = placed.mean(axis=0) if len(placed) else np.full(3, np.nan)
        whole = float((sizes or {}).get(key, inside.sum()))
        row = {"name": name, "type": "parcel", "x": centre[0], "y": centre[1], "z": centre[2], "region": str(names[key]),
               "label": key, "n_channels": int(held.sum()), "n_missing": int((inside & ~usable).sum()),
               "coverage": min(1.0, held.sum() / whole) if whole > 0 else 0.0}  # fmt: skip
        units = channels["unit"][inside].unique()
        row["unit"] = str(units[0]) if len(units) == 1 else "n/a"
        if "structure" in channels:
            row["structure"] = "+".join(dict.fromkeys(map(str, channels["structure"][inside])))
        rows.append(row)
    return pd.DataFrame(rows), [str(n) for k, n in names.items() if int(k) not in set(there) and int(k) != 0]


def _checked(
    recording: Recording, labels: Any, names: Mapping[int, str], average: str, min_coverage: float
) -> np.ndarray:
    if average not in AVERAGES:
        raise BraindecError(
            f"average={average!r} is unknown{did_you_mean(average, AVERAGES)}", allowed=", ".join(AVERAGES)
        )
    if not isinstance(names, Mapping) or not all(isinstance(k, (int, np.integer)) for k in names):
        raise BraindecError(
            "names must say the name of each label", found=repr(names)[:80], allowed="{1: 'V1', 2: 'V2', ...}"
        )
    if isinstance(min_coverage, str) or not 0 <= min_coverage <= 1:
        raise BraindecError("min_coverage is a share", found=f"{min_coverage!r}", allowed="0 to 1")
    keys = np.asarray(labels)
    if keys.shape != (recording.n_channels,) or keys.dtype.kind not in "iub":
        raise BraindecError(
            f"{recording.label}: labels must be one whole number a channel",
            found=f"shape {keys.shape} of {keys.dtype} for {recording.n_channels} channels",
        )
    keys = keys.astype(np.int64)
    if (keys < 0).any():
        raise BraindecError(
            f"{recording.label}: labels must be 0 (no parcel) or above", found=f"{int((keys < 0).sum())} below 0"
        )
    unnamed = sorted(set(np.unique(keys).tolist()) - {0} - {int(k) for k in names})
    if unnamed:
        raise BraindecError(
            f"labels without a name: {unnamed[:8]}", found=f"{len(unnamed)} of {len(np.unique(keys))} labels",
            fix="is it the table of this atlas? 0 is no parcel",
        )  # fmt: skip
    if not keys.any():
        raise BraindecError(f"{recording.label}: no channel has a label", found="every label is 0")
    return keys


def _some(names: Any) -> str:
    given = list(names)
    return ", ".join(given[:6]) + (" ..." if len(given) > 6 else "")
