"""Single-trial betas: one value a voxel and trial, in HDF5, read in blocks of trials or of voxels.

:func:`write_betas` writes the form in which braindec keeps betas, :func:`open_betas` opens it as Windows of one sample.

The file (HDF5, attribute ``kind`` = "betas"): ``betas`` (trial, voxel), float32, or int16 with the attribute
``divide_by`` (value = stored / divide_by, as in the Natural Scenes Dataset; the stored value -32768 is NaN); the tables
``trials`` and ``channels`` as JSON text; the attributes ``info`` (JSON), ``nan_voxels`` and ``finite``. Chunks hold
64 trials of 1,024 voxels, so that rows (all voxels of some trials) and columns (some voxels of all trials) both read
a few whole chunks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.files import check_room, written_whole
from braindec.loaders._betas_signal import MISSING, BetasSignal, Kept
from braindec.loaders._betas_signal import nan_voxels as find_nan
from braindec.types import Recording, Windows
from braindec.types.signals import SelectedSignal
from braindec.types.storage import hdf5, read_table, to_json, write_table

__all__ = ["open_betas", "write_betas"]

_CHUNK = (64, 1024)  # trials, voxels: 256 KiB as float32
NOTHING = "n/a"  # a label that is not known
_TEXT = ("subject", "session", "run", "stimulus_id", "concept_id")


def write_betas(
    path: str | Path,
    betas: Any,
    trials: pd.DataFrame,
    channels: pd.DataFrame,
    *,
    info: Mapping[str, Any] | None = None,
    scale: float | None = None,
) -> Path:
    """Write betas in the form that :func:`open_betas` and the reader ``betas`` open; whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file, ending in .h5 or .hdf5; an old one is replaced.
    betas : array of shape (n_trials, n_voxels), or anything with that shape that is sliced by rows
        Written in blocks of rows, so it need not fit in memory. NaN is kept.
    trials : DataFrame
        One row a trial: stimulus_id, session, run, repetition, part, ... (see :func:`open_betas`).
    channels : DataFrame
        One row a voxel: name, type, i, j, k, x, y, z (m), region, ...
    info : mapping, optional
        subject, session, dataset, space, grid, affine, ... of the recording.
    scale : float, optional
        Store int16 numbers ``round(beta * scale)``, half the size; float32 without it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    BraindecError
        If the shapes do not fit, or a value times ``scale`` does not fit into int16.
    """
    path, betas = Path(path), betas if hasattr(betas, "shape") else np.asarray(betas)
    shape = tuple(int(n) for n in betas.shape)
    if len(shape) != 2 or shape != (len(trials), len(channels)) or 0 in shape:
        raise BraindecError(
            "betas need one row a trial and one column a voxel", found=f"betas {shape}, {len(trials)} trials, "
            f"{len(channels)} channels",
        )  # fmt: skip
    kind = np.dtype(getattr(betas, "dtype", np.float32)).kind
    if kind not in "iuf":
        raise BraindecError("betas must be real numbers", found=f"dtype {betas.dtype}", fix="betas.astype('float32')")
    if scale is not None and positive_number(scale) is None:
        raise BraindecError("scale must be a positive number", found=repr(scale), fix="for percent signal change: 300")
    _check_tables(trials, channels)
    stored = np.dtype(np.float32 if scale is None else np.int16)
    chunks = tuple(min(a, b) for a, b in zip(_CHUNK, shape, strict=True))
    with written_whole(path) as temporary, hdf5(temporary, "w") as file:
        check_room(temporary, stored.itemsize * shape[0] * shape[1])
        dataset = file.create_dataset("betas", shape=shape, dtype=stored, chunks=chunks)
        bad = np.zeros(shape[1], dtype=bool)
        step = chunks[0] * max(1, 16_000_000 // (chunks[0] * shape[1]))
        for start in range(0, shape[0], step):
            block = np.asarray(betas[start : start + step], dtype=np.float32)
            missing = ~np.isfinite(block)
            bad |= missing.any(axis=0)
            dataset[start : start + step] = block if scale is None else _as_int16(block, missing, float(scale), start)
        if scale is not None:
            dataset.attrs["divide_by"] = float(scale)
        file.attrs.update(kind="betas", info=to_json(dict(info or {})), finite=not bad.any())
        file.create_dataset("nan_voxels", data=np.flatnonzero(bad))
        write_table(file, "trials", trials.reset_index(drop=True))
        write_table(file, "channels", channels.reset_index(drop=True))
    return path


def open_betas(paths: str | Path | Sequence[str | Path]) -> Windows:
    """Open betas that :func:`write_betas` wrote, one file or several of one subject; values stay on disk.

    Parameters
    ----------
    paths : str, Path or list of these
        Several files (one a session, say) must have the same voxels.

    Returns
    -------
    Windows
        ``n_times`` = 1, one Recording a session (a stretch of trials with one label of ``session``). ``trials`` has at
        least subject, session, onset (the trial's place in its session), duration and, with stimulus_id, repetition (counted
        over all files where they do not say it). Voxels with a value that is not finite are there, marked bad, and counted in
        ``info["warnings"]``.

    Raises
    ------
    BraindecError, UnreadableError
        If one is no such file, or damaged, or files have other voxels.
    """
    many = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not many:
        raise BraindecError("there is no file of betas to open", found="an empty list")
    kept = Kept()
    parts = [_open_one(Path(path), kept) for path in many]
    channels, info = parts[0].channels, dict(parts[0].info)
    for path, part in zip(many[1:], parts[1:], strict=True):
        if part.channels["name"].tolist() != channels["name"].tolist():
            raise BraindecError(
                f"{many[0]} and {path} do not hold the same voxels", found=f"{len(channels)} and {len(part.channels)} voxels",
                fix="open files of one subject, made with one mask",
            )  # fmt: skip
    bad = np.unique(np.concatenate([part.bad for part in parts]))
    trials = pd.concat([part.trials for part in parts], ignore_index=True)
    return windows_of([part.signal for part in parts], trials, channels, {**info, "path": str(many[0])}, nan_voxels=bad)


@dataclass(frozen=True)
class _Part:
    """What one file holds."""

    signal: BetasSignal
    trials: pd.DataFrame
    channels: pd.DataFrame
    info: dict[str, Any]
    bad: np.ndarray


def _open_one(path: Path, kept: Kept) -> _Part:
    with hdf5(path, "r") as file:
        if file.attrs.get("kind") != "betas":
            raise UnreadableError(
                f"{path} does not hold betas of braindec", found=f"datasets {list(file)}",
                fix="describe the file to the reader betas with options (key, axes, divide_by, trials)",
            )  # fmt: skip
        try:
            trials, channels = read_table(file, "trials"), read_table(file, "channels")
            info, bad, finite = json.loads(file.attrs["info"]), file["nan_voxels"][...], bool(file.attrs["finite"])
            divide_by = float(file["betas"].attrs.get("divide_by", 1.0))
            missing = MISSING if file["betas"].dtype == np.int16 else None
        except (KeyError, ValueError, TypeError, OSError) as error:  # h5py and json: a part that is gone or damaged
            raise UnreadableError(
                f"{path} is not whole", found=" ".join(str(error).split())[:200],
                allowed="betas, trials, channels, nan_voxels and the attributes info and finite",
                fix="write it again (write_betas)",
            ) from error  # fmt: skip
    signal = BetasSignal(path, "betas", divide_by=divide_by, missing=missing, kept=kept)
    signal.finite = finite
    for column in ("subject", "session"):
        if column not in trials and info.get(column) is not None:
            trials[column] = str(info[column])
    return _Part(signal, trials, channels, info, bad)


def windows_of(
    signals: list[Any],
    trials: pd.DataFrame,
    channels: pd.DataFrame,
    info: Mapping[str, Any],
    *,
    nan_voxels: np.ndarray | None = None,
    warnings: list[str] | None = None,
    look: bool = False,
) -> Windows:
    """Join the signals of sessions (or one signal of all of them) and their trials, in order, into Windows.

    Parameters
    ----------
    signals : list of Signal (voxel, trial)
        Together as many trials as ``trials`` has rows.
    trials : DataFrame
        In the order of the signals.
    channels, info
        Of all sessions; ``info["path"]`` is replaced by the path of each signal.
    nan_voxels : array of int, optional
        Voxels known to hold values that are not finite: marked bad and counted.
    warnings : list of str, optional
        For ``info["warnings"]``.
    look : bool
        Look through the values for NaN, as far as :func:`~braindec.loaders._betas_signal.nan_voxels` does.
    """
    said = [*info.get("warnings", []), *(warnings or [])]
    channels = channels.reset_index(drop=True)
    if any(s.shape[0] != len(channels) for s in signals) or not len(channels):
        raise BraindecError(
            "the sessions do not hold the same voxels", found=", ".join(
                f"{Path(str(s.path)).name}: {s.shape[0]}" for s in signals[:8]), allowed=f"{len(channels)} each, one or more",
            fix="open files of one subject, made with one mask",
        )  # fmt: skip
    if look:
        nan_voxels, looked = find_nan(signals)
        for signal in signals:
            signal.finite |= looked == "all" and not len(nan_voxels)
        if looked != "all":
            what = "only the first and last trial of each part were" if looked == "ends" else "it was not"
            said.append(f"large file: {what} looked through for NaN")
    if nan_voxels is not None and len(nan_voxels):
        status = channels.get("status", pd.Series(["good"] * len(channels))).astype(object).copy()
        status.iloc[np.asarray(nan_voxels)] = "bad"
        channels = channels.assign(status=status)
        said.append(f"{len(nan_voxels)} of {len(channels)} voxels hold values that are not finite; kept and marked bad")
    trials = complete_trials(trials, info)
    said += [*_in_both_parts(trials), *_unnamed(trials)]
    recordings, index, first = [], [], 0
    for signal in signals:
        n_trials = signal.shape[1]
        labels = trials["session"].to_numpy()[first : first + n_trials]
        edges = [0, *(np.flatnonzero(labels[1:] != labels[:-1]) + 1).tolist(), n_trials]
        for start, stop in pairwise(edges):
            part = (
                signal if stop - start == n_trials else SelectedSignal(signal, np.arange(signal.shape[0]), start, stop)
            )
            about = {"modality": "fmri", **info, "session": labels[start], "path": signal.path}
            about |= {"warnings": said} if said else {}
            index += [(len(recordings), k) for k in range(stop - start)]
            recordings.append(Recording(part, 1.0, channels, info=about))
        first += n_trials
    if first != len(trials):
        raise BraindecError("betas and trials differ in number", found=f"{first} betas, {len(trials)} trials")
    return Windows(tuple(recordings), np.array(index), 1, trials, info=dict(info))


def whole_numbers(given: Any, name: str) -> list[int] | None:
    """Return None or a rising list of whole numbers, from one number or several, also as text."""
    try:
        many = None if given is None else [given] if isinstance(given, (str, int, float)) else list(given)
        if any(isinstance(n, float) and n != int(n) for n in many or []):
            raise ValueError(given)
        return None if many is None else sorted({int(n) for n in many})
    except (TypeError, ValueError, OverflowError):
        raise BraindecError(f"{name} must be whole numbers", found=repr(given), fix=f"{name}: [1, 2, 3]") from None


def positive_number(given: Any) -> float | None:
    """Return a finite number above 0, also from text, or None when it is no such number."""
    try:
        number = float(given)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def _check_tables(trials: pd.DataFrame, channels: pd.DataFrame) -> None:
    """Refuse to write what cannot be opened again."""
    if "name" not in channels or channels["name"].isna().any() or channels["name"].duplicated().any():
        twice: list[str] = []
        if "name" in channels:
            twice = channels["name"][channels["name"].duplicated()].astype(str).unique()[:3].tolist()
        raise BraindecError(
            "each channel needs a name of its own", found=f"more than once: {', '.join(twice)}" if twice else
            f"columns {', '.join(map(str, channels.columns))}", fix="channels['name'] = ...",
        )  # fmt: skip
    if "window_id" in trials and trials["window_id"].duplicated().any():
        raise BraindecError(
            "each trial needs a window_id of its own", found=str(trials["window_id"][trials["window_id"].duplicated()].iloc[0]),
            fix="leave the column out: ids follow from session and onset",
        )  # fmt: skip


def _unnamed(trials: pd.DataFrame) -> list[str]:
    """Sentences about trials that do not say what was shown, and about parts that are neither training nor test."""
    said = []
    if "stimulus_id" in trials and (trials["stimulus_id"] == NOTHING).any():
        lost = int((trials["stimulus_id"] == NOTHING).sum())
        said.append(
            f"{lost} of {len(trials)} trials do not say their stimulus (n/a): they repeat nothing and have no features"
        )
    if "part" in trials and not trials["part"].isin(["train", "test"]).any():
        found = ", ".join(map(str, trials["part"].unique()[:4]))
        said.append(f"no trial has the part train or test (found: {found}): there is no official split")
    return said


def _in_both_parts(trials: pd.DataFrame) -> list[str]:
    """A sentence about stimuli that stand in the training and in the test part."""
    if "part" not in trials or "stimulus_id" not in trials:
        return []
    ids = {part: set(trials["stimulus_id"][trials["part"] == part]) for part in ("train", "test")}
    both = sorted((ids["train"] & ids["test"]) - {NOTHING})
    if not both:
        return []
    return [
        f"{len(both)} stimuli stand in the training and in the test part, such as {', '.join(both[:3])}: split by stimulus_id"
    ]


def complete_trials(trials: pd.DataFrame, info: Mapping[str, Any]) -> pd.DataFrame:
    """Fill in subject, session, onset, duration and repetition (from stimulus_id); ids become text, "n/a" where missing."""
    trials = trials.reset_index(drop=True)
    for column in ("subject", "session"):
        if column not in trials:
            trials[column] = str(info.get(column) or "n/a")
    for column in _TEXT:
        if column in trials:
            known = trials[column].notna() & ~trials[column].astype(str).isin(["", "nan", "None", "<NA>"])
            trials[column] = trials[column].astype(str).astype(object).where(known, NOTHING)
    if "onset" not in trials:
        trials["onset"] = trials.groupby(["subject", "session"], sort=False).cumcount().astype(float)
    if "duration" not in trials:
        trials["duration"] = 1.0
    if "repetition" not in trials and "stimulus_id" in trials:
        trials["repetition"] = trials.groupby(["subject", "stimulus_id"], sort=False).cumcount()
        trials.loc[trials["stimulus_id"] == NOTHING, "repetition"] = 0
    return trials


def _as_int16(block: np.ndarray, missing: np.ndarray, scale: float, start: int) -> np.ndarray:
    scaled = np.round(np.where(missing, 0.0, block).astype(np.float64) * scale)
    if np.abs(scaled).max(initial=0.0) > 32767:
        row, voxel = np.unravel_index(int(np.abs(scaled).argmax()), scaled.shape)
        raise BraindecError(
            f"betas times {scale:g} do not fit into int16", found=f"{block[row, voxel]:g} (trial {start + row}, voxel {voxel})",
            allowed=f"up to {32767 / scale:.4g} at this scale", fix="choose a smaller scale, or none (float32)",
        )  # fmt: skip
    return np.where(missing, MISSING, scaled).astype(np.int16)
