"""Time-resolved RSA: one dissimilarity matrix a sample (or stretch of time) of windows, compared with models.

Trials are averaged within conditions (and runs) while they are read, so memory holds the averages only; all time points
are then one batched product.

Source: Cichy, Pantazis & Oliva 2014 (Nature Neuroscience 17:455); Guggenmos, Sterzer & Cichy 2018 (NeuroImage 173:434)
for cross-validated dissimilarities of MEG and EEG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.rsa._batched import batched_cells
from braindec.align.rsa._patterns import Grouping, group_rows, whitener
from braindec.align.rsa._tables import complete
from braindec.align.rsa.ceilings import noise_ceiling
from braindec.align.rsa.compare import Comparator, comparator_of, compare
from braindec.align.rsa.measure import Measure
from braindec.align.rsa.rdm import RDMs, measure_of, square_to_cells
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number
from braindec.types import Windows

_BLOCK = 16_000_000  # numbers of windows read at once

__all__ = ["TimeResolved", "cells_by_time", "time_resolved_rdms", "time_resolved_rsa"]


@dataclass(frozen=True, eq=False)
class TimeResolved:
    """Similarity of models with the data over time.

    Parameters
    ----------
    values : array of shape (n_subject, n_model, n_time)
        Ready for a permutation with the maximum statistic over models and times.
    times : array of shape (n_time,)
        Middle of each stretch, s from onset.
    models : DataFrame
        One row a model.
    subjects : DataFrame
        One row a subject.
    lower, upper : array of shape (n_time,) or None
        Noise ceiling over subjects, when there are at least two.
    measure, comparator : str
    """

    values: np.ndarray
    times: np.ndarray
    models: pd.DataFrame
    subjects: pd.DataFrame
    lower: np.ndarray | None
    upper: np.ndarray | None
    measure: str
    comparator: str


def time_resolved_rdms(
    windows: Windows,
    *,
    measure: str | Measure = "correlation",
    conditions: str = "stimulus_id",
    runs: str = "run",
    noise: Any = None,
    width: float | None = None,
    step: float | None = None,
    combine: str = "mean",
) -> RDMs:
    """Return one dissimilarity matrix a sample, or a stretch of time, over the channels of windows.

    Parameters
    ----------
    windows : Windows
        Trials of one subject.
    measure : str or Measure
        See :func:`braindec.align.rsa.rdm.compute_rdm`.
    conditions : str
        Column of the trials that names the condition.
    runs : str
        Column that names the run, for cross-validated measures; runs are told apart within sessions.
    noise : array of shape (n_channels, n_channels) or (n_channels,), or Noise, optional
        Precision over channels, the same at all times.
    width, step : float, optional
        Length of a stretch and distance between stretches in s; single samples by default. ``step`` is ``width``
        unless given.
    combine : {"mean", "concatenate"}
        What a stretch becomes: channels averaged over its samples, or one unit for every channel and sample.

    Returns
    -------
    RDMs
        One a stretch, in order; table columns time (its middle), start, stop in s, and subject where it is known.

    Raises
    ------
    BraindecError
        For an unknown column, a stretch longer than the windows, or a pattern without variance over channels
        (correlation), named with its time.
    """
    measure = measure_of(measure)
    if not isinstance(windows, Windows):
        raise BraindecError("windows of one subject are needed", found=type(windows).__name__, fix="one call a subject: [time_resolved_rdms(w) for w in subjects]")  # fmt: skip
    if noise is not None and not measure.noise:
        raise BraindecError(f"{measure.name} takes no noise precision", allowed="mahalanobis and crossnobis do")
    if combine not in ("mean", "concatenate"):
        raise BraindecError(f"combine={combine!r} is unknown", allowed="mean, concatenate")
    starts, length = _stretches(windows, width, step)
    grouping = _grouping(windows, measure, conditions, runs)
    patterns = _averages(windows, grouping)  # (run, condition, channel, time)
    root = whitener(noise, windows.n_channels)
    if root is not None:
        patterns = (
            patterns * root[:, None] if root.ndim == 1 else np.einsum("rnct,cd->rndt", patterns, root, optimize=True)
        )
    sliding = np.lib.stride_tricks.sliding_window_view(patterns, length, axis=-1)
    hop = int(starts[1]) if len(starts) > 1 else windows.n_times
    stretches = sliding[..., ::hop, :]  # a view: (run, condition, channel, stretch, sample)
    if combine == "mean":
        units = np.moveaxis(stretches.mean(axis=-1), 3, 1).copy()
    else:
        units = stretches.transpose(0, 3, 1, 2, 4).reshape(len(patterns), len(starts), patterns.shape[1], -1)
    middle = windows.tmin + (starts + (length - 1) / 2) / windows.sfreq
    cells = _cells(units, measure, grouping, middle)
    table = pd.DataFrame({"time": middle, "start": windows.tmin + starts / windows.sfreq,
                          "stop": windows.tmin + (starts + length) / windows.sfreq})  # fmt: skip
    if "subject" in windows.trials:
        table.insert(0, "subject", windows.trials["subject"].iloc[0])
    info = {"version": measure.version, "n_units": units.shape[-1], "unit": measure.unit}
    return RDMs(cells, grouping.names, table, measure.name, info)


def time_resolved_rsa(
    data: RDMs | Sequence[RDMs],
    models: RDMs,
    *,
    comparator: str | Comparator = "cosine",
    sigma_k: np.ndarray | None = None,
    missing: str = "refuse",
) -> TimeResolved:
    """Compare the matrices of one or more subjects over time with models.

    Parameters
    ----------
    data : RDMs or list of RDMs
        From :func:`time_resolved_rdms`, one entry a subject, all with the same times.
    models : RDMs
        Over the same conditions, in any order.
    comparator, sigma_k, missing
        See :func:`braindec.align.rsa.compare.compare`.

    Raises
    ------
    BraindecError
        If times differ between subjects, or what :func:`compare` refuses.
    """
    complete(models=models)
    subjects = _subjects(data)
    if not subjects or any("time" not in one.table for one in subjects):
        raise BraindecError(
            "time-resolved RSA needs matrices with a column time", fix="make them with time_resolved_rdms"
        )
    times = subjects[0].table["time"].to_numpy(dtype=float)
    for one in subjects[1:]:
        if len(one) != len(times) or not np.allclose(one.table["time"], times, rtol=0, atol=1e-6):
            raise BraindecError("subjects have matrices at different times", found=f"{len(times)} and {len(one)} times")
    comparator = comparator_of(comparator)
    options = {"comparator": comparator, "sigma_k": sigma_k, "missing": missing}
    values = np.stack([compare(models, one, **options) for one in subjects])
    lower = upper = None
    if len(subjects) > 1:
        each = cells_by_time(subjects, models)
        bounds = [list(noise_ceiling(RDMs(cells, models.conditions), **options)) for cells in each]
        lower, upper = np.array(bounds).T
    keys = [
        c for c in subjects[0].table if c not in ("time", "start", "stop") and all(c in one.table for one in subjects)
    ]
    table = pd.concat([one.table[keys].iloc[:1] for one in subjects], ignore_index=True)
    return TimeResolved(values, times, models.table, table, lower, upper, subjects[0].measure, comparator.name)


def cells_by_time(data: RDMs | Sequence[RDMs], models: RDMs) -> list[np.ndarray]:
    """Return, for each time, the cells of all subjects (n_subject, n_pairs) in the models' order of conditions.

    This is what :func:`braindec.align.rsa.permutation.permutation_test` takes, which corrects for all times and models
    by the largest score of each permutation.
    """
    aligned = [one.aligned_to(models).values for one in _subjects(data)]
    if len({len(one) for one in aligned}) > 1:
        raise BraindecError(
            "subjects have matrices at different times", found=f"{', '.join(str(len(a)) for a in aligned)} times"
        )
    return list(np.stack(aligned, axis=1))


def _subjects(data: RDMs | Sequence[RDMs]) -> list[RDMs]:
    subjects = [data] if isinstance(data, RDMs) else list(data) if isinstance(data, Sequence) else [data]
    if wrong := [type(one).__name__ for one in subjects if not isinstance(one, RDMs)]:
        raise BraindecError("data are RDMs, or a list of them, one a subject", found=wrong[0], fix="make them with time_resolved_rdms")  # fmt: skip
    return subjects


def _stretches(windows: Windows, width: float | None, step: float | None) -> tuple[np.ndarray, int]:
    for name, value in (("width", width), ("step", step)):
        if value is not None:
            number(value, name, unit="s")
    length = 1 if width is None else round(width * windows.sfreq)
    hop = length if step is None else round(step * windows.sfreq)
    if not 1 <= length <= windows.n_times or hop < 1:
        raise BraindecError(
            "stretches of time do not fit the windows", found=f"width {width} s, step {step} s at {windows.sfreq:g} Hz",
            allowed=f"one sample ({1 / windows.sfreq:g} s) to the whole window ({windows.n_times / windows.sfreq:g} s)",
        )  # fmt: skip
    return np.arange(0, windows.n_times - length + 1, hop), length


def _grouping(windows: Windows, measure: Measure, conditions: str, runs: str) -> Grouping:
    trials = windows.trials
    if "subject" in trials and trials["subject"].nunique() > 1:
        raise BraindecError(
            "one matrix a time is of one subject", found=f"{trials['subject'].nunique()} subjects",
            fix="one call a subject: windows[(windows.trials.subject == '01').to_numpy()]",
        )  # fmt: skip
    for column in (conditions, runs) if measure.runs else (conditions,):
        if column not in trials or trials[column].isna().any():
            raise BraindecError(
                f"the trials have no complete column {column!r}{did_you_mean(column, trials.columns)}",
                allowed=", ".join(map(str, trials.columns)),
            )
    labels = None
    if measure.runs:
        outer = [c for c in ("subject", "session") if c in trials and c != runs]
        labels = trials[[*outer, runs]].astype(str).agg("/".join, axis=1).to_numpy()
    return group_rows(trials[conditions].to_numpy(), labels, n_rows=len(windows), measure=measure)


def _averages(windows: Windows, grouping: Grouping) -> np.ndarray:
    """Mean of the trials of each run and condition, shape (run, n, channel, time), float64."""
    _, n_channels, n_times = windows.shape
    total = np.zeros((grouping.present.size, n_channels * n_times))
    step = max(1, _BLOCK // (n_channels * n_times))
    for start in range(0, len(windows), step):
        rows = slice(start, min(start + step, len(windows)))
        block = windows.load(np.arange(rows.start, rows.stop)).reshape(rows.stop - rows.start, -1).astype(np.float64)
        if grouping.weights is None:
            total[rows] = block
        else:
            total += grouping.weights[:, rows] @ block
    return total.reshape(*grouping.present.shape, n_channels, n_times)


def _cells(units: np.ndarray, measure: Measure, grouping: Grouping, times: np.ndarray) -> np.ndarray:
    """Cells (time, n_pairs) of patterns (run, time, n, unit)."""
    if measure.counts and (units < 0).any():
        raise BraindecError(f"{measure.name} dissimilarities are of counts or rates, which are not negative")
    if not grouping.present.all():
        grouping.complete_enough(measure)
        assert measure.incomplete is not None
        n_units = units.shape[-1]
        each = [measure.incomplete(units[:, t], grouping.present) / n_units for t in range(len(times))]
        return square_to_cells(np.stack(each))
    cells, flat = batched_cells(units if measure.runs else units[0], measure)
    if flat.any():
        time, condition = np.argwhere(flat)[0]
        raise BraindecError(
            f"{int(flat.any(axis=1).sum())} of {len(times)} times hold a pattern that does not vary over channels",
            found=f"condition {str(grouping.names[condition])!r} at {times[time]:.3f} s",
            fix="leave out these times (a baseline that was subtracted sample by sample), or use squared_euclidean",
        )
    return cells
