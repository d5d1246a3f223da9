"""Betas of one run, and betas as Windows: one Recording a session, names of trials, what is said of voxels without a beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.signal._trials import join_trials
from braindec.signal.glm._hyper import groups_of
from braindec.signal.glm._runs import Run, batches
from braindec.signal.glm.estimators import Spectrum, lsa_matrix, lss_matrix, spectrum_of
from braindec.signal.glm.fractional_ridge import fractional_betas
from braindec.signal.glm.hrf_library import Responses
from braindec.types import Recording, Windows

__all__ = ["as_windows", "count_bad", "run_betas", "say_overlap", "told_apart", "trial_ids"]

_COLLINEAR = 30.0  # condition number above which collinearity is strong (Belsley et al. 1980)


def told_apart(run: Run, responses: Responses, h: int, on_collinear: str) -> Spectrum:
    """Decompose the design of a run.

    Raises
    ------
    BraindecError
        If trials cannot be told apart and ``on_collinear`` is "raise".
    """
    found = spectrum_of(run.designs(responses)[h])
    if found.full or on_collinear != "raise":
        return found
    first, second = (run.trials.iloc[k]["onset"] for k in found.closest)
    raise BraindecError(
        f"{run.label}: its {len(run.trials)} trials cannot be told apart (rank {len(found.s)}, condition number "
        f"{found.condition:.3g})",
        found=f"most alike: the trials at {first:g} s and {second:g} s; {len(run.times)} volumes, {run.basis.shape[1]} "
        "nuisance columns",
        fix="select one event a trial, use model='lss', or on_collinear='min_norm'",
    )  # fmt: skip


def run_betas(
    run: Run, responses: Responses, index: np.ndarray, fraction: np.ndarray, out: np.ndarray, *, estimator: str, percent: bool,
    batch: int, on_collinear: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Fill ``out`` (n_trials, n_voxels) with the betas of one run; return why voxels are NaN: reason -> mask."""
    operators: dict[int, Any] = {}
    bad: dict[str, list[np.ndarray]] = {}
    for voxels in batches(out.shape[1], batch):
        block = run.read(voxels, percent=percent)
        kept = ~block.unusable
        for h, mine in groups_of(index[voxels], kept):
            if h not in operators:
                operators[h] = _operator(run, responses, h, estimator, on_collinear)
            if estimator == "ridge":
                found = fractional_betas(operators[h], block.data[:, mine], fraction[voxels][mine][None])[0]
            else:
                found = operators[h] @ block.data[:, mine]
            out[:, np.flatnonzero(mine) + voxels.start] = found
        out[:, np.flatnonzero(~kept) + voxels.start] = np.nan
        for reason, mask in block.bad.items():
            bad.setdefault(reason, []).append(mask)
    return {reason: np.concatenate(masks) for reason, masks in bad.items()}


def _operator(run: Run, responses: Responses, h: int, estimator: str, on_collinear: str) -> Any:
    if estimator == "lss":
        try:
            return lss_matrix(run.designs(responses)[h])
        except BraindecError as error:
            raise BraindecError(f"{run.label}: {error.asked}", found=error.found, fix=error.fix) from None
    spectrum = told_apart(run, responses, h, on_collinear)
    return spectrum if estimator == "ridge" else lsa_matrix(spectrum)


def trial_ids(runs: Sequence[Run]) -> list[np.ndarray]:
    """Return names of the trials of each run, the same in ``fit`` and ``betas``."""
    return [np.array([f"{run.label}_trial-{k:03d}" for k in run.trials["event_index"]], dtype=object) for run in runs]


def say_overlap(numbers: Mapping[str, float]) -> list[str]:
    """Say which runs have trials that overlap so much that their betas are hard to tell apart."""
    lost = [k for k, v in numbers.items() if not np.isfinite(v)]
    steep = {k: v for k, v in numbers.items() if v > _COLLINEAR and np.isfinite(v)}
    said = []
    if lost:
        said.append(f"trials of {len(lost)} of {len(numbers)} runs cannot be told apart ({lost[0]}, ...): least squares "
                    "and ridge give the betas of smallest length")  # fmt: skip
    if steep:
        worst = max(steep, key=lambda k: steep[k])
        said.append(f"trials overlap: condition number above {_COLLINEAR:g} in {len(steep)} of {len(numbers)} runs (up to "
                    f"{steep[worst]:.3g} in {worst}): least-squares betas of neighbours trade off")  # fmt: skip
    return said


def count_bad(bad: Sequence[Mapping[str, np.ndarray]]) -> list[str]:
    """Say how many voxels have no beta in one run or more, and why."""
    said = []
    for reason in dict.fromkeys(r for run in bad for r in run):
        n = int(np.logical_or.reduce([run[reason] for run in bad if reason in run]).sum())
        if n:
            said.append(f"{n} of {len(bad[0][reason])} voxels have no beta (NaN) in one run or more: {reason}")
    return said


def as_windows(
    runs: Sequence[Run], values: np.ndarray, bad: Sequence[Mapping[str, np.ndarray]], info: Mapping[str, Any], *,
    used: Sequence[str], left_out: int,
) -> Windows:  # fmt: skip
    """Return betas (n_trials, n_voxels), runs in order, as windows of one sample.

    Parameters
    ----------
    used : sequence of str
        Labels of the training runs.
    left_out : int
        How many runs ``fit`` left out; then ``trials.part`` says "train" or "test" where the events do not.
    """
    tables = []
    for run, names in zip(runs, trial_ids(runs), strict=True):
        own = run.label in used
        table = run.trials.assign(used_in_fit=own, window_id=names)
        if left_out and "part" not in table:
            table["part"] = "train" if own else "test"
        tables.append(table)
    missing = np.logical_or.reduce([m for run in bad for m in run.values()])
    counts = {r: int(np.logical_or.reduce([run[r] for run in bad]).sum()) for r in bad[0]}
    recordings, index, first = [], [], 0
    for members in _sessions(runs):
        n = sum(len(run.trials) for run in members)
        source = members[0].recording
        status = np.where(missing, "bad", source.channels["status"].to_numpy(dtype=object))
        unit = "%" if info["scale"] == "percent" else source.channels["unit"]
        about = {
            **source.info,
            "run": None,
            "path": None,
            **info,
            "warnings": _warnings(members, info),
            "nan_voxels": counts,
        }
        index += [(len(recordings), k) for k in range(n)]
        channels = source.channels.assign(unit=unit, status=status)
        recordings.append(Recording(values[first : first + n].T, 1.0, channels, info=about))
        first += n
    return Windows(tuple(recordings), np.array(index), 1, join_trials(tables), info={**info, "nan_voxels": counts})


def _sessions(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that stand together and share subject and session."""
    found: list[list[Run]] = []
    for run in runs:
        key = [run.recording.info.get(k) for k in ("subject", "session")]
        if found and [found[-1][0].recording.info.get(k) for k in ("subject", "session")] == key:
            found[-1].append(run)
        else:
            found.append([run])
    return found


def _warnings(members: Sequence[Run], info: Mapping[str, Any]) -> list[str]:
    texts = [text for run in members for text in run.recording.info.get("warnings") or []]
    return list(dict.fromkeys([*texts, *info["notes"]]))
