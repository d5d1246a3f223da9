"""Runs on their way into a single-trial model: events that can be estimated, regressors, nuisance, data in blocks of voxels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal._trials import identify
from braindec.signal.events import choose_labels, labelled_events
from braindec.signal.glm.design import drift_columns, nuisance_basis, trial_regressors
from braindec.signal.glm.hrf_library import Responses
from braindec.types import Recording
from braindec.types.windows import check_same_channels

__all__ = ["Block", "Run", "batches", "chosen_runs", "make_runs", "project_out"]

_SEEN = 0.1  # share of the energy of a trial's response that must lie in the run
_FLAT = 1e-6  # rms after drift, relative to the mean, below which a voxel counts as constant


@dataclass
class Block:
    """Data of some voxels in one run.

    Parameters
    ----------
    data : array of shape (n_times, n_voxels), float64
        Nuisance taken out; 0 where a voxel cannot be used.
    mean : array of shape (n_voxels,)
        Mean of the voxel in this run, in the unit of the recording.
    bad : dict of str to array of bool, shape (n_voxels,)
        Why voxels cannot be used: "not finite", "constant", "no baseline".
    """

    data: np.ndarray
    mean: np.ndarray
    bad: dict[str, np.ndarray]

    @property
    def unusable(self) -> np.ndarray:
        """Voxels that cannot be used, shape (n_voxels,)."""
        return np.logical_or.reduce(list(self.bad.values()))


@dataclass
class Run:
    """One run: its trials, nuisance and designs.

    Parameters
    ----------
    recording : Recording
    trials : DataFrame
        One row a trial that is estimated.
    basis : array of shape (n_times, n_nuisance)
        Orthonormal: constant, drift, confounds.
    times : array of shape (n_times,)
        s.
    dropped : list of str
        What was left out.
    """

    recording: Recording
    trials: pd.DataFrame
    basis: np.ndarray
    times: np.ndarray
    dropped: list[str] = field(default_factory=list)
    _designs: dict[Responses, np.ndarray] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Readable name of the recording."""
        return self.recording.label

    def designs(self, responses: Responses) -> np.ndarray:
        """Trial columns of each response, nuisance taken out, shape (n_hrfs, n_times, n_trials)."""
        found = self._designs.get(responses)
        if found is None:
            onset, duration = (self.trials[c].to_numpy(dtype=float) for c in ("onset", "duration"))
            found = trial_regressors(onset, duration, responses.values, times=self.times, step=responses.step)
            found = np.stack([project_out(self.basis, one) for one in found])
            self._designs = {**self._designs, responses: found}
        return found

    def without(self, components: np.ndarray) -> Run:
        """Return the run with orthonormal noise components (n_times, n) among its nuisance."""
        if not components.shape[1]:
            return self
        basis = np.concatenate([self.basis, components], axis=1)
        return replace(self, basis=np.linalg.qr(basis)[0], _designs={})

    def read(self, voxels: slice, *, percent: bool) -> Block:
        """Read some voxels, in percent of their mean in this run or as they are, with nuisance taken out."""
        raw = np.asarray(self.recording.signal.read(voxels, 0, self.recording.n_times), dtype=np.float32)
        finite = np.isfinite(raw).all(axis=1)
        data = np.where(finite[:, None], raw, 0.0).astype(np.float64).T  # (time, voxel)
        mean = data.mean(axis=0)
        bad = {"not finite": ~finite}
        data = project_out(self.basis, data - mean)
        size = np.abs(mean) if percent else np.maximum(np.abs(mean), np.sqrt((data**2).mean(axis=0)))
        bad["constant"] = finite & (np.sqrt((data**2).mean(axis=0)) <= _FLAT * np.maximum(size, 1e-300))
        if percent:
            bad["no baseline"] = finite & ~bad["constant"] & (mean <= np.sqrt((data**2).mean(axis=0)))
            data *= 100.0 / np.where(np.logical_or.reduce(list(bad.values())), np.inf, mean)
        data[:, np.logical_or.reduce(list(bad.values()))] = 0.0
        return Block(data, mean, bad)


def project_out(basis: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return ``data`` (n_times, ...) without what the orthonormal ``basis`` (n_times, k) explains."""
    return data - basis @ (basis.T @ data)


def batches(n_voxels: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of voxels."""
    for start in range(0, n_voxels, size):
        yield slice(start, min(start + size, n_voxels))


def make_runs(
    recordings: Sequence[Recording],
    *,
    column: str,
    select: Sequence[str] | str | None,
    drift: str | int,
    high_pass: float,
    slice_time_ref: float,
    responses: Responses,
    confounds: Sequence[np.ndarray | None] | None = None,
) -> list[Run]:
    """Return the runs with the trials that can be estimated.

    Raises
    ------
    BraindecError
        If names of runs are not unique, repetition times or voxels differ, labels are missing, confounds do not fit, or a run has no trial.
    """
    labels = [r.label for r in recordings]
    if len(set(labels)) < len(labels):
        twice = next(x for x in labels if labels.count(x) > 1)
        raise BraindecError("runs need names of their own: what was learned from which run must be known",
                            found=f"{labels.count(twice)} recordings are called {twice}", fix="set info['run'] (and session)")  # fmt: skip
    _check_one_tr(recordings)
    check_same_channels(recordings)
    if confounds is not None and len(confounds) != len(recordings):
        raise BraindecError("confounds need one table a run", found=f"{len(confounds)} tables, {len(recordings)} runs")
    tables = identify([labelled_events(r, column) for r in recordings], recordings)
    masks = choose_labels(tables, column, select, recordings)
    runs = []
    for number, (recording, table, mask) in enumerate(zip(recordings, tables, masks, strict=True)):
        times = (np.arange(recording.n_times) + slice_time_ref) / recording.sfreq
        trials, dropped = _estimable(recording, table[mask].reset_index(drop=True), times, responses)
        drifts = drift_columns(recording.n_times, recording.sfreq, drift, high_pass=high_pass)
        basis = nuisance_basis(drifts, None if confounds is None else confounds[number], label=recording.label)
        runs.append(Run(recording, trials, basis, times, dropped))
    return runs


def _check_one_tr(recordings: Sequence[Recording]) -> None:
    found = sorted({round(1 / r.sfreq, 4) for r in recordings})
    if len(found) > 1:
        raise BraindecError("runs differ in repetition time", found=f"TR {', '.join(f'{t:g}' for t in found)} s",
                            fix="fit runs of one TR together, the others by themselves")  # fmt: skip


def _estimable(
    recording: Recording, table: pd.DataFrame, times: np.ndarray, responses: Responses
) -> tuple[pd.DataFrame, list[str]]:
    """The trials whose response lies in the run, and what was left out."""
    onset = table["onset"].to_numpy(dtype=float)
    duration = np.maximum(table["duration"].to_numpy(dtype=float), 0.0)
    table = table.assign(onset=onset, duration=duration)
    dropped = []
    outside = (onset < 0) | (onset >= recording.duration)
    if outside.any():
        dropped.append(
            f"{recording.label}: {int(outside.sum())} events lie outside the run (0 to {recording.duration:g} s)"
        )
    default = responses.only(responses.default)
    span = default.values.shape[1] * default.step + duration.max(initial=0.0)
    longer = np.arange(0.0, times[-1] + span + 1 / recording.sfreq, 1 / recording.sfreq) + times[0]
    energy = trial_regressors(onset, duration, default.values, times=longer, step=default.step)[0] ** 2
    seen = energy[: len(times)].sum(axis=0) / np.maximum(energy.sum(axis=0), 1e-300)
    late = ~outside & (seen < _SEEN)
    if late.any():
        dropped.append(f"{recording.label}: {int(late.sum())} events so late that less than {_SEEN:.0%} of their response "
                       "lies in the run")  # fmt: skip
    kept = table[~(outside | late)].reset_index(drop=True)
    if not len(kept):
        raise BraindecError(f"{recording.label} has no trial that can be estimated", found="; ".join(dropped) or "no event was chosen",
                            fix="check that onsets are in s from the first volume, and the selection; or leave this run out")  # fmt: skip
    return kept, dropped


def chosen_runs(runs: Sequence[Run], wanted: Sequence[Any] | None) -> list[int]:
    """Return the places of the runs that ``wanted`` names: labels of runs, (session, run), or labels of recordings.

    Raises
    ------
    BraindecError
        If a name fits no run, or several.
    """
    if wanted is None:
        return list(range(len(runs)))
    infos = [r.recording.info for r in runs]
    names = [
        (str(i.get("run")), (str(i.get("session")), str(i.get("run"))), r.label)
        for r, i in zip(runs, infos, strict=True)
    ]
    found: list[int] = []
    for one in [wanted] if isinstance(wanted, (str, int)) else wanted:
        name = tuple(str(p) for p in one) if isinstance(one, (tuple, list)) else str(one)
        fits = [place for place, forms in enumerate(names) if name in forms]
        if len(fits) != 1:
            labels = [r.label for r in runs]
            raise BraindecError(
                f"{'no run' if not fits else f'{len(fits)} runs'} of these recordings named {name!r}"
                + (did_you_mean(str(name), [*labels, *(n[0] for n in names)]) if not fits else ""),
                allowed=", ".join(labels[:30]), fix="name runs by their label, (session, run), or the recording's label",
            )  # fmt: skip
        found += fits
    if not found:
        raise BraindecError("no training run was named", found="an empty list")
    return sorted(set(found))
